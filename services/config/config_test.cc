#include "services/config/config.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/security/testing.h"

namespace tacit {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// Lines are counted in tests below: keep them.
constexpr char kParty[] = R"(id: 0
listen: 127.0.0.1:7510
peer:
  address: 127.0.0.1:7511
dealer:
  address: "127.0.0.1:7500"   # a comment
model: model
state_dir: /var/lib/tacit
tls:
  ca: certs/ca.pem
  cert: certs/cert.pem
  key: /etc/tacit/key.pem
limits:
  max_sessions: 12
  memory: 3 GiB
deadlines:
  step: 1500ms
)";

class ConfigTest : public ::testing::Test {
 protected:
  // Writes party.yaml and loads it; "FILE" stands for its path in messages.
  absl::StatusOr<LoadedConfig<PartyConfig>> Load(
      const std::string& text, const Environment& environment = {},
      std::map<std::string, std::string> flags = {}) {
    std::ofstream(file_, std::ios::trunc) << text;
    return LoadConfig<PartyConfig>({file_, false, std::move(flags)},
                                   environment);
  }
  std::string Message(const absl::Status& status) {
    return absl::StrReplaceAll(std::string(status.message()),
                               {{file_, "FILE"}});
  }

  TestDir dir_;
  const std::string file_ = dir_.File("party.yaml");
};

TEST_F(ConfigTest, ReadsAFile) {
  const auto loaded = Load(kParty);
  ASSERT_OK(loaded);
  const PartyConfig& config = loaded->config;
  EXPECT_EQ(config.id, 0);
  EXPECT_EQ(config.listen, "127.0.0.1:7510");
  EXPECT_EQ(config.peer_address, "127.0.0.1:7511");
  EXPECT_EQ(config.dealer_address, "127.0.0.1:7500");
  EXPECT_EQ(config.limits.max_sessions, 12);
  EXPECT_EQ(config.limits.memory, uint64_t{3} << 30);
  EXPECT_EQ(config.deadlines.step, absl::Milliseconds(1500));
  EXPECT_EQ(config.limits.max_tokens, LimitsConfig().max_tokens) << "default";
  EXPECT_EQ(config.LedgerPath(), "/var/lib/tacit/ledger");
  EXPECT_EQ(loaded->origins.at("peer.address"), file_ + ":4:3");
  EXPECT_EQ(loaded->origins.count("threads"), 0);
}

TEST_F(ConfigTest, TakesPathsRelativeToTheFileTheyStandIn) {
  const auto loaded = Load(kParty, {{"TACIT_TLS_CERT", "c.pem"}});
  ASSERT_OK(loaded);
  EXPECT_EQ(loaded->config.tls.ca, dir_.File("certs/ca.pem"));
  EXPECT_EQ(loaded->config.model, dir_.File("model"));
  EXPECT_EQ(loaded->config.tls.key, "/etc/tacit/key.pem");
  EXPECT_EQ(loaded->config.tls.cert, "c.pem") << "from the environment";
}

TEST_F(ConfigTest, LetsFlagsOverrideTheEnvironmentAndThatTheFile) {
  const Environment environment = {{"TACIT_LIMITS_MAX_SESSIONS", "20"},
                                   {"TACIT_DEADLINES_STEP", "2s"}};
  const auto loaded =
      Load(kParty, environment, {{"limits.max_sessions", "30"}});
  ASSERT_OK(loaded);
  EXPECT_EQ(loaded->config.limits.max_sessions, 30);
  EXPECT_EQ(loaded->config.deadlines.step, absl::Seconds(2));
  EXPECT_EQ(loaded->config.limits.memory, uint64_t{3} << 30);
  EXPECT_EQ(loaded->origins.at("limits.max_sessions"), "--limits-max-sessions");
  EXPECT_EQ(loaded->origins.at("deadlines.step"), "TACIT_DEADLINES_STEP");
}

TEST_F(ConfigTest, NeedsNoFile) {
  const auto loaded = LoadConfig<DealerConfig>(
      {"",
       false,
       {{"model", "m"}, {"state_dir", "s"}, {"tls.insecure", "true"}}},
      {});
  ASSERT_OK(loaded);
  EXPECT_EQ(loaded->config.listen, "127.0.0.1:7500");
  EXPECT_TRUE(loaded->config.tls.insecure);
}

TEST_F(ConfigTest, TakesTheFileFromTheEnvironment) {
  std::ofstream(file_) << kParty;
  const auto loaded = LoadConfig<PartyConfig>({}, {{"TACIT_CONFIG", file_}});
  ASSERT_OK(loaded);
  EXPECT_EQ(loaded->config.limits.max_sessions, 12);
  EXPECT_THAT(loaded->warnings, ElementsAre());
}

TEST_F(ConfigTest, SaysWhichFileIsMissing) {
  EXPECT_THAT(LoadConfig<PartyConfig>({"nowhere.yaml", false, {}}, {}),
              StatusIs(absl::StatusCode::kNotFound, "nowhere.yaml"));
}

TEST_F(ConfigTest, WarnsOfVariablesThatAreNoSettings) {
  const auto loaded = Load(kParty, {{"TACIT_LIMITS_MAX_SESSION", "20"}});
  ASSERT_OK(loaded);
  EXPECT_THAT(loaded->warnings,
              ElementsAre(HasSubstr("TACIT_LIMITS_MAX_SESSION")));
}

struct BadFile {
  const char* from;  // text in kParty
  const char* to;    // what replaces it
  const char* error;
};

TEST_F(ConfigTest, PlacesEveryErrorByLineAndColumn) {
  const std::vector<BadFile> cases = {
      {"  address: 127.0.0.1:7511", "  address: 127.0.0.1",
       "FILE:4:3: peer.address: \"127.0.0.1\" is no address"},
      {"  address: 127.0.0.1:7511", "  address: 127.0.0.1:0",
       "FILE:4:3: peer.address: port 0"},
      {"  address: 127.0.0.1:7511", "  addres: 127.0.0.1:7511",
       "FILE:4:3: peer.addres: there is no such setting; did you mean "
       "peer.address?"},
      {"  max_sessions: 12", "  max_sesions: 12",
       "FILE:14:3: limits.max_sesions: there is no such setting; did you mean "
       "limits.max_sessions?"},
      {"  max_sessions: 12", "  max_sessions: 0",
       "FILE:14:3: limits.max_sessions: \"0\" is out of range, 1 to 100000"},
      {"  max_sessions: 12", "  max_sessions: many",
       "FILE:14:3: limits.max_sessions: \"many\" is no integer"},
      {"  max_sessions: 12", "  max_sessions: 99999999999999999999",
       "FILE:14:3: limits.max_sessions: "},
      {"  max_sessions: 12",
       "  max_sessions:", "FILE:14:3: limits.max_sessions: has no value"},
      {"  max_sessions: 12", "  max_sessions: [1]",
       "FILE:14:17: limits.max_sessions: must be one value (integer)"},
      {"  max_sessions: 12", "  max_sessions: 12\n  max_sessions: 13",
       "FILE:15:3: limits.max_sessions: is there twice"},
      {"  memory: 3 GiB", "  memory: -3GiB", "FILE:15:3: limits.memory: "},
      {"  memory: 3 GiB", "  memory: 3 Gib",
       "FILE:15:3: limits.memory: \"3 Gib\" is no size such as"},
      {"  memory: 3 GiB", "  memory: 99999999TiB",
       "FILE:15:3: limits.memory: \"99999999TiB\" is too large"},
      {"  memory: 3 GiB", "  memory: 20MiB",
       "FILE: limits.material_buffer: is larger than limits.memory"},
      {"  step: 1500ms", "  step: 30",
       "FILE:17:3: deadlines.step: \"30\" is no duration such as"},
      {"  step: 1500ms", "  step: 1ms",
       "FILE:17:3: deadlines.step: \"1ms\" is out of range, 10ms to 1h"},
      {"  step: 1500ms", "  step: inf", "FILE:17:3: deadlines.step: "},
      {"id: 0", "id: 2", "FILE:1:1: id: \"2\" is out of range, 0 to 1"},
      {"id: 0", "threads: 1",
       "FILE: id: is missing; set it in the file, as "
       "--id or as TACIT_ID"},
      {"limits:", "limts:",
       "FILE:13:1: limts: there is no such setting; did "
       "you mean limits?"},
      {"model: model", "tls: {}\nmodel: model",
       "FILE:10:1: tls: is there twice"},
      {"model: model", "max_sessions: 5\nmodel: model",
       "FILE:7:1: max_sessions: there is no such setting; did you mean "
       "limits.max_sessions?"},
      {"model: model", "log: debug\nmodel: model",
       "FILE:7:6: log: must hold settings of its own"},
      {"model: model", "log: {level: loud}\nmodel: model",
       "FILE:7:7: log.level: \"loud\" is none of debug, info, warning, error"},
      {"model: model", "model: model\nqueue: 1: 2", "FILE:8:"},
      {"model: model", "\tmodel: model", "FILE:7:"},
      {"  key: /etc/tacit/key.pem", "  insecure: maybe",
       "FILE:12:3: tls.insecure: \"maybe\" is neither true nor false"},
      {"tls:\n", "---\ntls:\n", "a second document"},
      {"  key: /etc/tacit/key.pem\n", "", "FILE: tls.key: is missing"},
  };
  for (const BadFile& bad : cases) {
    const std::string text = absl::StrReplaceAll(kParty, {{bad.from, bad.to}});
    ASSERT_NE(text, kParty) << bad.from;
    const auto loaded = Load(text);
    EXPECT_EQ(loaded.status().code(), kInvalid) << text;
    EXPECT_THAT(Message(loaded.status()), HasSubstr(bad.error)) << text;
  }
}

TEST_F(ConfigTest, RejectsFilesThatHoldNoSettings) {
  for (const char* text : {"- 1\n- 2\n", "just text", "[a, b]", "? {a: b}\n: c",
                           "{", "a: *nothing", "\x01"}) {
    const auto loaded = Load(text);
    EXPECT_EQ(loaded.status().code(), kInvalid) << text;
    EXPECT_THAT(Message(loaded.status()), HasSubstr("FILE")) << text;
  }
  EXPECT_EQ(Load(std::string(size_t{2} << 20, '#')).status().code(), kInvalid);
  EXPECT_THAT(Message(Load("").status()), HasSubstr("FILE: id: is missing"));
}

TEST_F(ConfigTest, ReportsAllErrorsAtOnceWithTheirSources) {
  const auto loaded = Load(absl::StrReplaceAll(kParty, {{"id: 0", "id: 7"}}),
                           {{"TACIT_STRIPES", "0"}}, {{"log.format", "xml"}});
  EXPECT_THAT(
      Message(loaded.status()),
      testing::AllOf(HasSubstr("FILE:1:1: id: "),
                     HasSubstr("\nTACIT_STRIPES: stripes: \"0\" is out of"),
                     HasSubstr("\n--log-format: log.format: \"xml\" is none")));
}

TEST_F(ConfigTest, AllowsInsecureOnLoopbackOnly) {
  std::string text = kParty;
  text =
      absl::StrReplaceAll(text, {{"  ca: certs/ca.pem\n", "  insecure: true\n"},
                                 {"  cert: certs/cert.pem\n", ""},
                                 {"  key: /etc/tacit/key.pem\n", ""}});
  EXPECT_OK(Load(text));
  const auto wide = Load(text, {}, {{"listen", "0.0.0.0:7510"}});
  EXPECT_THAT(Message(wide.status()),
              HasSubstr("--listen: listen: 0.0.0.0:7510 is not on loopback"));
  const auto far = Load(text, {{"TACIT_DEALER_ADDRESS", "dealer:7500"}});
  EXPECT_THAT(Message(far.status()), HasSubstr("TACIT_DEALER_ADDRESS: "
                                               "dealer.address: dealer:7500"));
}

TEST_F(ConfigTest, ShowsAConfigurationThatLoadsBackTheSame) {
  const auto loaded =
      Load(kParty, {{"TACIT_STRIPES", "7"}}, {{"tls.cert", "/a 'b' \"c\"#d"}});
  ASSERT_OK(loaded);
  EXPECT_THAT(loaded->shown, HasSubstr("stripes: 7  # TACIT_STRIPES\n"));
  EXPECT_THAT(loaded->shown, HasSubstr("  memory: 3GiB  # " + file_ + ":15:3"));
  EXPECT_THAT(loaded->shown, HasSubstr("  max_tokens: 4096  # default\n"));
  const auto again = Load(loaded->shown);
  ASSERT_OK(again);
  EXPECT_EQ(again->config.tls.cert, "/a 'b' \"c\"#d");
  EXPECT_EQ(again->config.stripes, 7);
  EXPECT_EQ(again->config.deadlines.step, absl::Milliseconds(1500));
  EXPECT_EQ(again->config.LedgerPath(), loaded->config.LedgerPath());
}

template <typename Config>
void ReferenceNamesEveryField() {
  Config config;
  const ConfigSchema schema = Describe(config);
  const std::string reference = ConfigReference(schema);
  for (const ConfigField& field : schema.fields()) {
    EXPECT_THAT(reference, HasSubstr(field.doc));
    EXPECT_FALSE(field.doc.empty()) << field.key;
    // Defaults must pass their own range, or be missing altogether.
    const std::string text = field.show();
    if (!text.empty() && field.key != "id") {
      EXPECT_OK(field.parse(text)) << field.key;
      EXPECT_EQ(field.show(), text) << field.key;
    }
  }
}

TEST(ConfigReferenceTest, NamesEveryField) {
  ReferenceNamesEveryField<DealerConfig>();
  ReferenceNamesEveryField<PartyConfig>();
  ReferenceNamesEveryField<GatewayConfig>();
}

TEST(ConfigFlagsTest, HasAFlagForEveryField) {
  PartyConfig config;
  const ConfigSchema schema = Describe(config);
  CLI::App app;
  ConfigFlags flags;
  AddConfigFlags(app, schema, flags);
  std::vector<std::string> arguments = {
      "--check-config",           "--insecure", "--id=1",
      "--limits-memory",          "1GiB",       "--config=x.yaml",
      "--deadlines-session-idle", "5s"};
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
  app.parse(arguments);
  EXPECT_TRUE(flags.check);
  EXPECT_EQ(flags.file, "x.yaml");
  EXPECT_EQ(flags.values, (std::map<std::string, std::string>{
                              {"tls.insecure", "true"},
                              {"id", "1"},
                              {"limits.memory", "1GiB"},
                              {"deadlines.session_idle", "5s"}}));
  const std::string help = app.help();
  for (const ConfigField& field : schema.fields()) {
    EXPECT_THAT(help, HasSubstr(field.Flag()));
    EXPECT_THAT(help, HasSubstr(field.Environment()));
  }
}

TEST(ConfigFlagsTest, TakesFalseForAFlag) {
  PartyConfig config;
  const ConfigSchema schema = Describe(config);
  CLI::App app;
  ConfigFlags flags;
  AddConfigFlags(app, schema, flags);
  app.parse(std::vector<std::string>{"--tls-check-hostname=false"});
  EXPECT_EQ(flags.values.at("tls.check_hostname"), "false");
}

TEST(QuantityTest, ParsesSizes) {
  const std::vector<std::pair<std::string, uint64_t>> good = {
      {"0", 0},
      {"1", 1},
      {"1000000", 1000000},
      {"2GiB", uint64_t{2} << 30},
      {"64 KiB", 65536},
      {" 3 MB ", 3000000},
      {"5B", 5},
      {"7kB", 7000},
      {"16777215TiB", 16777215 * (uint64_t{1} << 40)}};
  for (const auto& [text, bytes] : good) {
    const auto size = ParseSize(text);
    ASSERT_OK(size) << text;
    EXPECT_EQ(*size, bytes) << text;
  }
  for (const char* bad : {"", "GiB", "-1", "+1", "1.5GiB", "1 2", "1KB", "1gib",
                          "16777216TiB", "18446744073709551616", "0x10"}) {
    EXPECT_THAT(ParseSize(bad), StatusIs(kInvalid, "\"")) << bad;
  }
  EXPECT_EQ(FormatSize(uint64_t{3} << 30), "3GiB");
  EXPECT_EQ(FormatSize(1536), "1536");
  EXPECT_EQ(FormatSize(0), "0");
}

TEST(QuantityTest, MeasuresEditDistance) {
  EXPECT_EQ(EditDistance("", ""), 0);
  EXPECT_EQ(EditDistance("abc", ""), 3);
  EXPECT_EQ(EditDistance("abc", "abd"), 1);
  EXPECT_EQ(EditDistance("abc", "acb"), 1);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
}

TEST(QuantityTest, SuggestsNothingForNonsense) {
  PartyConfig config;
  const ConfigSchema schema = Describe(config);
  EXPECT_EQ(schema.Nearest("xyzzyplugh"), "");
  EXPECT_EQ(schema.Nearest(std::string(1000000, 'a')), "");
  EXPECT_EQ(schema.Nearest("lsiten"), "listen");
  EXPECT_EQ(schema.Nearest("max_sessions"), "limits.max_sessions");
}

}  // namespace
}  // namespace tacit

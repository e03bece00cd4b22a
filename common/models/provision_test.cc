#include "common/models/provision.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/status_macros.h"
#include "common/base/status_matchers.h"
#include "common/gates/testing.h"
#include "common/models/checkpoint_testing.h"
#include "common/models/json_file.h"
#include "common/models/provision_format.h"
#include "common/models/split_model.h"
#include "common/models/testing.h"
#include "common/nn/embedding.h"

namespace tacit {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kNotFound = absl::StatusCode::kNotFound;
constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;
constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;
constexpr size_t kContext = 32;
constexpr WeightMode kModes[] = {WeightMode::kDealerHeld, WeightMode::kBlind};

// Seeds in a known order.
class TestSeedSource : public SeedSource {
 public:
  static Seed Number(uint8_t i) { return TestSeeds(i).gateway; }
  absl::StatusOr<Seed> Next() override { return Number(++drawn_); }

 private:
  uint8_t drawn_ = 0;
};
// The second that provisioning draws, after the run's id.
Seed Parent() { return TestSeedSource::Number(2); }

std::string Contents(const fs::path& path) {
  return ReadWholeFile(path.string(), size_t{1} << 30).value_or("");
}
void Write(const fs::path& path, absl::string_view contents) {
  std::ofstream(path, std::ios::binary) << contents;
}
absl::string_view View(const Seed& seed) {
  return {reinterpret_cast<const char*>(seed.bytes().data()), Seed::kBytes};
}

// All files below a folder, as "dealer/plan.json".
std::map<std::string, std::string> FilesOf(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    files[fs::relative(entry.path(), folder).string()] = Contents(entry.path());
  }
  return files;
}
std::vector<std::string> NamesOf(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

// Limits the size of files that this process writes, as a full disk does.
class FileLimit {
 public:
  explicit FileLimit(rlim_t bytes) : handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit = {bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_;
  const sighandler_t handler_;
};

void ExpectSameWords(const WordsRef& got, const WordsRef& want) {
  ASSERT_EQ(got == nullptr, want == nullptr);
  if (got == nullptr) return;
  EXPECT_TRUE(std::equal(got->begin(), got->end(), want->begin(), want->end()));
}
void ExpectSame(const ModelMatrices& got, const ModelMatrices& want) {
  std::vector<const StaticMatrix*> wanted;
  ForEachMatrix(want, [&](const std::string&, const StaticMatrix& matrix) {
    wanted.push_back(&matrix);
  });
  size_t index = 0;
  ForEachMatrix(got, [&](const std::string& name, const StaticMatrix& matrix) {
    SCOPED_TRACE(name);
    ASSERT_LT(index, wanted.size());
    const StaticMatrix& other = *wanted[index++];
    EXPECT_EQ(matrix.k, other.k);
    EXPECT_EQ(matrix.n, other.n);
    EXPECT_EQ(matrix.frac, other.frac);
    EXPECT_EQ(matrix.layout, other.layout);
    EXPECT_EQ(matrix.mode, other.mode);
    ExpectSameWords(matrix.value, other.value);
    ExpectSameWords(matrix.part, other.part);
    ExpectSameWords(matrix.hat, other.hat);
  });
  EXPECT_EQ(index, wanted.size());
}

using ModelShares = RoleMatrices<ModelMatrices>;
template <typename Matrices>
absl::StatusOr<ModelShares> Generic(
    absl::StatusOr<RoleMatrices<Matrices>> shares) {
  if (!shares.ok()) return shares.status();
  return ModelShares{std::move(shares->dealer),
                     {std::move(shares->party[0]), std::move(shares->party[1])},
                     std::move(shares->plain)};
}
absl::StatusOr<ModelShares> ShareModel(const ModelPlan& plan,
                                       const ModelWeights& weights,
                                       WeightMode mode, const Seed& seed) {
  if (const auto* decoder = std::get_if<DecoderPlan>(&plan)) {
    return Generic(ShareDecoder(*decoder, weights, mode, seed));
  }
  return Generic(
      ShareEncoder(std::get<EncoderPlan>(plan), weights, mode, seed));
}

class ProvisionTest : public testing::Test {
 protected:
  ProvisionTest() {
    std::string name = (fs::temp_directory_path() / "tacit.XXXXXX").string();
    root_ = mkdtemp(name.data());
    model_ = root_ + "/model";
    out_ = root_ + "/out";
    fs::create_directory(model_);
    Write(model_ + "/tokenizer.json", "{}");
    Write(model_ + "/tokenizer_config.json", R"({"a": 1})");
    Write(model_ + "/chat_template.jinja", "{{ x }}");
    Write(model_ + "/README.md", "not for any role");
    Write(model_ + "/generation_config.json", R"({"top_k": 7})");
  }
  ~ProvisionTest() override { fs::remove_all(root_); }

  void UseModel(const ModelWeights& weights) {
    ASSERT_OK(WriteModel(model_, weights));
    options_.model = model_;
    options_.out = out_;
    options_.name = "small";
    options_.plan = {kContext, Objective::kBytes,
                     TypicalBounds(weights.config)};
  }
  void UseModel(Architecture architecture) {
    weights_ = RandomModel(architecture);
    UseModel(weights_);
  }
  // With bounds that hold for a run.
  void UseMeasuredBounds(const ModelWeights& weights) {
    ModelRanges ranges;
    const auto tokens = SomeTokens(kContext, weights.config.vocab_size);
    if (weights.config.is_bert()) {
      ASSERT_OK(FloatEncode(weights, tokens, SomeTokens(kContext, 2), &ranges));
    } else {
      ASSERT_OK(FloatForward(weights, tokens, &ranges));
    }
    options_.plan.bounds = BoundsOf(ranges);
  }
  absl::Status Split() {
    TestSeedSource seeds;
    return SplitModel(options_, seeds).status();
  }
  void SplitSmallLlama(WeightMode mode) {
    UseModel(Architecture::kLlama);
    options_.weights = mode;
    ASSERT_OK(Split());
  }

  std::string Folder(FolderRole role) const {
    return absl::StrCat(out_, "/", ToString(role));
  }
  std::string File(FolderRole role, absl::string_view name) const {
    return absl::StrCat(Folder(role), "/", name);
  }
  absl::StatusOr<ModelMatrices> Load(FolderRole role) const {
    ASSIGN_OR_RETURN(const ProvisionedPlan plan,
                     LoadProvisionedPlan(Folder(role)));
    if (role == FolderRole::kDealer) {
      return LoadDealerMatrices(Folder(role), plan);
    }
    return LoadPartyMatrices(Folder(role), role == FolderRole::kParty1, plan);
  }
  // All roles, from their folders; `plain` from `weights`.
  absl::StatusOr<ModelShares> LoadAll(const ModelPlan& plan,
                                      const ModelWeights& weights) const {
    ASSIGN_OR_RETURN(ModelShares shares,
                     ShareModel(plan, weights, options_.weights, Parent()));
    ASSIGN_OR_RETURN(shares.dealer, Load(FolderRole::kDealer));
    ASSIGN_OR_RETURN(shares.party[0], Load(FolderRole::kParty0));
    ASSIGN_OR_RETURN(shares.party[1], Load(FolderRole::kParty1));
    return shares;
  }
  // Every role's matrices are those of sharing in memory.
  void ExpectLoadsWhatSharingGives(const ModelWeights& weights) {
    const auto plan = LoadProvisionedPlan(Folder(FolderRole::kDealer));
    ASSERT_OK(plan);
    const auto want =
        ShareModel(plan->plan, weights, options_.weights, Parent());
    ASSERT_OK(want);
    const auto got = LoadAll(plan->plan, weights);
    ASSERT_OK(got);
    ExpectSame(got->dealer, want->dealer);
    ExpectSame(got->party[0], want->party[0]);
    ExpectSame(got->party[1], want->party[1]);
  }
  // The provisioned roles' results are the plain evaluator's.
  void ExpectRuns(const ModelWeights& weights) {
    const auto plan = LoadProvisionedPlan(Folder(FolderRole::kDealer));
    ASSERT_OK(plan);
    const auto shares = LoadAll(plan->plan, weights);
    ASSERT_OK(shares);
    constexpr size_t kTokens = 3;
    const ModelConfig& config = weights.config;
    std::vector<InputValue> inputs = {{SomeTokens(kTokens, config.vocab_size),
                                       TokenWidth(config.vocab_size)}};
    ProgramShape shape = GenerationShape{.prompts = {kTokens}};
    if (config.is_bert()) {
      shape = ClassificationShape{.lengths = {kTokens}, .segments = true};
      inputs.push_back({{0, 1, 1}, TokenWidth(config.type_vocab_size)});
    }
    RunAndCheck(
        [&](Evaluator& ev) {
          RunModelProgram(ev, plan->plan, Pick(ev, *shares), shape);
        },
        inputs);
  }
  void EditPlan(FolderRole role, absl::string_view from, absl::string_view to) {
    const std::string path = File(role, kPlanName);
    const std::string text = Contents(path);
    ASSERT_THAT(text, HasSubstr(std::string(from)));
    Write(path, absl::StrReplaceAll(text, {{from, to}}));
  }

  std::string root_, model_, out_;
  ModelWeights weights_;
  SplitOptions options_;
};

// ---- What the roles get ----

class RolesTest
    : public ProvisionTest,
      public testing::WithParamInterface<std::pair<Architecture, WeightMode>> {
};

TEST_P(RolesTest, LoadWhatSharingInMemoryGivesAndRunAlike) {
  UseModel(GetParam().first);
  UseMeasuredBounds(weights_);
  options_.weights = GetParam().second;
  ASSERT_OK(Split());
  ExpectLoadsWhatSharingGives(weights_);
  ExpectRuns(weights_);
}

INSTANTIATE_TEST_SUITE_P(
    Models, RolesTest,
    testing::Values(
        std::pair(Architecture::kLlama, WeightMode::kDealerHeld),
        std::pair(Architecture::kLlama, WeightMode::kBlind),
        std::pair(Architecture::kQwen2, WeightMode::kBlind),
        std::pair(Architecture::kGpt2, WeightMode::kDealerHeld),
        std::pair(Architecture::kGpt2, WeightMode::kBlind),
        std::pair(Architecture::kBertClassifier, WeightMode::kDealerHeld),
        std::pair(Architecture::kBertClassifier, WeightMode::kBlind)));

TEST_F(ProvisionTest, TheDemoModelLoadsAndRuns) {
  const std::string demo = std::string(TACIT_MODELS) + "/demo";
  const auto config = LoadModelConfig(demo);
  ASSERT_OK(config);
  const auto checkpoint = Checkpoint::Open(demo);
  ASSERT_OK(checkpoint);
  const auto weights = LoadModelWeights(*config, *checkpoint);
  ASSERT_OK(weights);
  options_.model = demo;
  options_.out = out_;
  options_.name = "demo";
  options_.plan = {kContext, Objective::kRounds, {}};
  UseMeasuredBounds(*weights);
  for (const WeightMode mode : kModes) {
    options_.weights = mode;
    options_.force = mode == WeightMode::kBlind;
    ASSERT_OK(Split());
    ExpectLoadsWhatSharingGives(*weights);
    ExpectRuns(*weights);
  }
}

TEST_F(ProvisionTest, ATiedHeadIsTheEmbedding) {
  ModelConfig config = SmallConfig(Architecture::kGpt2);
  config.tied_head = true;
  const ModelWeights weights = RandomModel(config);
  UseModel(weights);
  ASSERT_OK(Split());
  ExpectLoadsWhatSharingGives(weights);
}

TEST_F(ProvisionTest, EntriesBeyond32BitsTakeWiderTensors) {
  ModelWeights weights = RandomModel(Architecture::kLlama);
  weights.layers[1].down.weight[7] = -1e6f;
  UseModel(weights);
  ASSERT_OK(Split());
  const auto file = Checkpoint::Open(File(FolderRole::kDealer, kWeightsName));
  ASSERT_OK(file);
  EXPECT_EQ(file->Info("layers.1.down")->dtype, "I64");
  EXPECT_EQ(file->Info("layers.0.down")->dtype, "I32");
  ExpectLoadsWhatSharingGives(weights);
}

TEST_F(ProvisionTest, MatricesLargerThanABlockAreMaskedAsAWhole) {
  ModelConfig config = SmallConfig(Architecture::kLlama);
  config.vocab_size = 6001;  // times hidden: an odd number of blocks
  const ModelWeights weights = RandomModel(config);
  for (const WeightMode mode : kModes) {
    UseModel(weights);
    options_.weights = mode;
    options_.force = true;
    ASSERT_OK(Split());
    ExpectLoadsWhatSharingGives(weights);
  }
}

TEST_F(ProvisionTest, EveryFolderHasItsFilesForItsOwnerOnly) {
  UseModel(Architecture::kLlama);
  options_.gateway_embedding = true;
  ASSERT_OK(Split());
  const std::vector<std::string> common = {"config.json",
                                           "generation_config.json"};
  EXPECT_THAT(NamesOf(out_),
              UnorderedElementsAre("dealer", "party0", "party1", "gateway"));
  EXPECT_THAT(NamesOf(Folder(FolderRole::kDealer)),
              UnorderedElementsAre("config.json", "generation_config.json",
                                   "plan.json", "weights.safetensors"));
  EXPECT_THAT(NamesOf(Folder(FolderRole::kParty0)),
              UnorderedElementsAre("config.json", "generation_config.json",
                                   "plan.json", "weights.seed"));
  EXPECT_THAT(NamesOf(Folder(FolderRole::kParty1)),
              UnorderedElementsAre("config.json", "generation_config.json",
                                   "plan.json", "weights.safetensors"));
  EXPECT_THAT(
      NamesOf(Folder(FolderRole::kGateway)),
      UnorderedElementsAre("config.json", "generation_config.json", "plan.json",
                           "embedding.safetensors", "tokenizer.json",
                           "tokenizer_config.json", "chat_template.jinja"));
  EXPECT_EQ(fs::status(out_).permissions(), fs::perms(0700));
  for (const auto& entry : fs::recursive_directory_iterator(out_)) {
    EXPECT_EQ(entry.status().permissions(),
              fs::perms(entry.is_directory() ? 0700 : 0600))
        << entry.path();
  }
  for (const FolderRole role : kFolderRoles) {
    for (const std::string& name : common) {
      EXPECT_EQ(Contents(File(role, name)), Contents(model_ + "/" + name));
    }
  }
}

TEST_F(ProvisionTest, BlindDealersHaveASeedAndPartiesTheMaskedWeights) {
  SplitSmallLlama(WeightMode::kBlind);
  EXPECT_TRUE(fs::exists(File(FolderRole::kDealer, kSeedName)));
  EXPECT_FALSE(fs::exists(File(FolderRole::kDealer, kWeightsName)));
  for (const FolderRole party : {FolderRole::kParty0, FolderRole::kParty1}) {
    EXPECT_TRUE(fs::exists(File(party, kSeedName)));
    EXPECT_TRUE(fs::exists(File(party, kWeightsName)));
  }
}

TEST_F(ProvisionTest, NoSeedIsInTwoRolesFolders) {
  const auto streams = WeightSeeds::Derive(Parent());
  ASSERT_OK(streams);
  for (const WeightMode mode : kModes) {
    SplitSmallLlama(mode);
    std::map<std::string, std::set<std::string>> holders;
    for (const auto& [name, contents] : FilesOf(out_)) {
      const std::string role = name.substr(0, name.find('/'));
      if (absl::StrContains(contents, View(Parent()))) {
        holders["parent"].insert(role);
      }
      for (int b = 0; b < 2; ++b) {
        if (absl::StrContains(contents, View(streams->stream[b]))) {
          holders[absl::StrCat("stream", b)].insert(role);
        }
      }
    }
    using Holders = std::map<std::string, std::set<std::string>>;
    if (mode == WeightMode::kDealerHeld) {
      EXPECT_EQ(holders, (Holders{{"stream0", {"party0"}}}));
    } else {
      EXPECT_EQ(holders, (Holders{{"parent", {"dealer"}},
                                  {"stream0", {"party0"}},
                                  {"stream1", {"party1"}}}));
    }
    fs::remove_all(out_);
  }
}

TEST_F(ProvisionTest, EveryRunDrawsNewSeeds) {
  UseModel(Architecture::kLlama);
  ASSERT_OK(SplitModel(options_).status());
  const auto first = FilesOf(out_);
  const auto before = LoadProvisionedPlan(Folder(FolderRole::kDealer));
  options_.force = true;
  ASSERT_OK(SplitModel(options_).status());
  const auto second = FilesOf(out_);
  const auto after = LoadProvisionedPlan(Folder(FolderRole::kDealer));
  EXPECT_NE(first.at("party0/weights.seed"), second.at("party0/weights.seed"));
  EXPECT_NE(first.at("party1/weights.safetensors"),
            second.at("party1/weights.safetensors"));
  EXPECT_EQ(before->digest, after->digest);
  EXPECT_NE(before->session_digest, after->session_digest);
}

TEST_F(ProvisionTest, PlansAreTheSameForAllRolesAndNameThem) {
  UseModel(Architecture::kLlama);
  options_.weights = WeightMode::kBlind;
  TestSeedSource seeds;
  const auto result = SplitModel(options_, seeds);
  ASSERT_OK(result);
  for (const FolderRole role : kFolderRoles) {
    const auto plan = LoadProvisionedPlan(Folder(role));
    ASSERT_OK(plan);
    EXPECT_EQ(plan->info.role, role);
    EXPECT_EQ(plan->info.model, "small");
    EXPECT_EQ(plan->info.weights, WeightMode::kBlind);
    EXPECT_FALSE(plan->info.gateway_embedding);
    EXPECT_EQ(plan->digest, result->plan.digest);
    EXPECT_EQ(plan->session_digest, result->plan.session_digest);
    uint64_t bytes = 0;
    for (const auto& [name, contents] : FilesOf(Folder(role))) {
      bytes += contents.size();
    }
    EXPECT_EQ(result->bytes.at(role), bytes);
  }
}

TEST_F(ProvisionTest, TheGatewayEmbedsTokensAsTheModelDoes) {
  for (const Architecture architecture :
       {Architecture::kLlama, Architecture::kGpt2}) {
    UseModel(architecture);
    options_.gateway_embedding = options_.force = true;
    ASSERT_OK(Split());
    const auto gateway = LoadGatewayFolder(Folder(FolderRole::kGateway));
    ASSERT_OK(gateway);
    ASSERT_TRUE(gateway->embedding.has_value());
    EXPECT_EQ(Contents(gateway->tokenizer + "/tokenizer.json"), "{}");
    std::vector<int64_t> got(24), want(24);
    const auto& plan = std::get<DecoderPlan>(gateway->plan.plan);
    EmbedToken(plan, *gateway->embedding, 5, 3, got);
    EmbedToken(plan, weights_, 5, 3, want);
    EXPECT_EQ(got, want);
  }
}

TEST_F(ProvisionTest, WithoutTheOptionTheGatewayHasNoWeights) {
  SplitSmallLlama(WeightMode::kDealerHeld);
  EXPECT_FALSE(fs::exists(File(FolderRole::kGateway, kEmbeddingName)));
  const auto gateway = LoadGatewayFolder(Folder(FolderRole::kGateway));
  ASSERT_OK(gateway);
  EXPECT_FALSE(gateway->embedding.has_value());
}

// ---- Loading what is not right ----

TEST_F(ProvisionTest, AnotherRolesFolderIsRefusedByName) {
  SplitSmallLlama(WeightMode::kBlind);
  const std::string party1 = Folder(FolderRole::kParty1);
  const auto plan = LoadProvisionedPlan(party1);
  ASSERT_OK(plan);
  EXPECT_THAT(
      LoadPartyMatrices(party1, 0, *plan),
      StatusIs(kPrecondition, "was provisioned for party1, not for party0"));
  EXPECT_THAT(LoadDealerMatrices(party1, *plan),
              StatusIs(kPrecondition, "for party1, not for dealer"));
  EXPECT_THAT(LoadGatewayFolder(party1),
              StatusIs(kPrecondition, "for party1, not for gateway"));
}

TEST_F(ProvisionTest, FilesOfAnotherRoleAreRefused) {
  SplitSmallLlama(WeightMode::kBlind);
  const FolderRole party0 = FolderRole::kParty0, party1 = FolderRole::kParty1;
  EditPlan(party0, "\"party0\"", "\"party1\"");
  const auto plan = LoadProvisionedPlan(Folder(party0));
  ASSERT_OK(plan);
  EXPECT_THAT(LoadPartyMatrices(Folder(party0), 1, *plan),
              StatusIs(kPrecondition, "weights.seed: not written for party1"));
  fs::copy_file(File(party1, kSeedName), File(party0, kSeedName),
                fs::copy_options::overwrite_existing);
  EXPECT_THAT(LoadPartyMatrices(Folder(party0), 1, *plan),
              StatusIs(kPrecondition, "role is \"party0\", while plan.json"));
}

TEST_F(ProvisionTest, FilesOfAnotherRunAreRefused) {
  UseModel(Architecture::kLlama);
  options_.weights = WeightMode::kBlind;
  ASSERT_OK(SplitModel(options_));
  const auto first = FilesOf(out_);
  options_.force = true;
  for (const char* file : {"weights.seed", "weights.safetensors"}) {
    ASSERT_OK(SplitModel(options_));
    Write(File(FolderRole::kParty0, file),
          first.at(absl::StrCat("party0/", file)));
    EXPECT_THAT(Load(FolderRole::kParty0),
                StatusIs(kPrecondition, "do not mix folders"));
  }
}

TEST_F(ProvisionTest, AChangedPlanIsRefusedWithBothDigests) {
  SplitSmallLlama(WeightMode::kDealerHeld);
  const auto plan = LoadProvisionedPlan(Folder(FolderRole::kDealer));
  ASSERT_OK(plan);
  EditPlan(FolderRole::kDealer, "\"logit\": 7", "\"logit\": 8");
  const auto changed = LoadProvisionedPlan(Folder(FolderRole::kDealer));
  EXPECT_THAT(changed, StatusIs(kPrecondition, "provision again"));
  EXPECT_THAT(changed, StatusIs(kPrecondition, ToHex(plan->digest)));
}

TEST_F(ProvisionTest, AChangedConfigurationIsRefused) {
  SplitSmallLlama(WeightMode::kDealerHeld);
  const std::string path = File(FolderRole::kParty0, kConfigName);
  Write(path, absl::StrReplaceAll(Contents(path), {{"40", "44"}}));
  EXPECT_THAT(LoadProvisionedPlan(Folder(FolderRole::kParty0)),
              StatusIs(kPrecondition, "provision again"));
}

TEST_F(ProvisionTest, BrokenFieldsOfAPlanAreNamed) {
  SplitSmallLlama(WeightMode::kDealerHeld);
  const FolderRole role = FolderRole::kDealer;
  const std::string text = Contents(File(role, kPlanName));
  const auto with = [&](absl::string_view from, absl::string_view to) {
    Write(File(role, kPlanName), text);
    EditPlan(role, from, to);
    return LoadProvisionedPlan(Folder(role)).status();
  };
  EXPECT_THAT(with("\"role\": \"dealer\"", "\"role\": \"boss\""),
              StatusIs(kInvalid, "\"role\" is \"boss\", none of dealer, "));
  EXPECT_THAT(with("\"role\": \"dealer\"", "\"role\": 1"),
              StatusIs(kInvalid, "no string \"role\""));
  EXPECT_THAT(with("dealer-held", "held"), StatusIs(kInvalid, "\"weights\""));
  EXPECT_THAT(with("\"small\"", "\"a b\""), StatusIs(kInvalid, "name"));
  EXPECT_THAT(with("\"provision\": \"", "\"provision\": \"00"),
              StatusIs(kInvalid, "\"provision\" is"));
  EXPECT_THAT(with("\"digest\": \"", "\"digest\": \"zz"),
              StatusIs(kInvalid, "\"digest\" is"));
  EXPECT_THAT(with("\"gateway_embedding\": false", "\"gateway_embedding\": 0"),
              StatusIs(kInvalid, "\"gateway_embedding\""));
  EXPECT_THAT(with("\"format\": 1", "\"format\": 2"),
              StatusIs(kInvalid, "format"));
  EXPECT_THAT(with("\"context\": 32", "\"context\": 1000000"),
              StatusIs(kInvalid, "context"));
  EXPECT_THAT(with("{", "["), StatusIs(kInvalid, "plan"));
}

TEST_F(ProvisionTest, MissingFilesAreNamed) {
  SplitSmallLlama(WeightMode::kBlind);
  const FolderRole role = FolderRole::kParty0;
  for (const char* name : {kWeightsName, kSeedName, kConfigName, kPlanName}) {
    fs::remove(File(role, name));
    EXPECT_THAT(Load(role), StatusIs(kNotFound, name));
  }
}

TEST_F(ProvisionTest, AGatewayWithoutItsEmbeddingIsRefused) {
  UseModel(Architecture::kLlama);
  options_.gateway_embedding = true;
  ASSERT_OK(Split());
  fs::remove(File(FolderRole::kGateway, kEmbeddingName));
  EXPECT_THAT(LoadGatewayFolder(Folder(FolderRole::kGateway)),
              StatusIs(kNotFound, kEmbeddingName));
}

TEST_F(ProvisionTest, DamagedWeightsAreRefused) {
  SplitSmallLlama(WeightMode::kDealerHeld);
  for (const FolderRole role : {FolderRole::kDealer, FolderRole::kParty1}) {
    const std::string path = File(role, kWeightsName);
    const std::string whole = Contents(path);
    for (const size_t size : {whole.size() - 1, whole.size() / 2, size_t{9}}) {
      Write(path, whole.substr(0, size));
      EXPECT_THAT(Load(role), StatusIs(kInvalid, path));
    }
    std::string flipped = whole;
    flipped[whole.size() - 100] ^= 1;
    Write(path, flipped);
    EXPECT_THAT(Load(role), StatusIs(kDataLoss, "damaged"));
  }
}

TEST_F(ProvisionTest, DamagedSeedsAreRefused) {
  SplitSmallLlama(WeightMode::kDealerHeld);
  const FolderRole role = FolderRole::kParty0;
  const std::string path = File(role, kSeedName);
  const std::string whole = Contents(path);
  for (const size_t at : {0, 8, 24, 25, 40, 95}) {
    std::string flipped = whole;
    flipped[at] ^= 1;
    Write(path, flipped);
    EXPECT_THAT(Load(role), StatusIs(kDataLoss, "damaged")) << at;
  }
  Write(path, whole.substr(1));
  EXPECT_THAT(Load(role), StatusIs(kInvalid, "96 bytes"));
  Write(path, whole);
  fs::permissions(path, fs::perms(0604));
  EXPECT_THAT(Load(role),
              StatusIs(absl::StatusCode::kPermissionDenied, "chmod 600"));
}

// Rewrites party 1's weights, one tensor changed.
class OtherTensorsTest : public ProvisionTest {
 protected:
  using Change = std::function<void(std::vector<TensorData>&)>;

  absl::Status LoadChanged(const Change& change) {
    options_.force = true;
    SplitSmallLlama(WeightMode::kDealerHeld);
    const std::string path = File(FolderRole::kParty1, kWeightsName);
    {
      const auto file = Checkpoint::Open(path);
      EXPECT_OK(file);
      std::vector<std::string> data;
      std::vector<TensorData> tensors;
      for (const std::string& name : file->names()) {
        const auto info = file->Info(name);
        tensors.push_back({name, info->dtype, info->shape,
                           *file->Bytes(name, info->dtype, info->shape)});
      }
      change(tensors);
      EXPECT_OK(WriteSafetensors(path, tensors, file->metadata()));
    }
    return Load(FolderRole::kParty1).status();
  }
  static TensorData& Find(std::vector<TensorData>& tensors,
                          absl::string_view name) {
    return *std::find_if(tensors.begin(), tensors.end(),
                         [&](const TensorData& t) { return t.name == name; });
  }
};

TEST_F(OtherTensorsTest, AreNamed) {
  using Tensors = std::vector<TensorData>;
  EXPECT_THAT(LoadChanged([](Tensors& tensors) {
                Find(tensors, "layers.1.q").shape = {12, 48};
              }),
              StatusIs(kInvalid, "\"layers.1.q\" has shape [12, 48]"));
  EXPECT_THAT(LoadChanged([](Tensors& tensors) {
                Find(tensors, "head").dtype = "I64";
              }),
              StatusIs(kInvalid, "\"head\" is I64, not U64"));
  EXPECT_THAT(LoadChanged([](Tensors& tensors) {
                Find(tensors, "head").name = "heads";
              }),
              StatusIs(kNotFound, "did you mean \"heads\"?"));
  EXPECT_THAT(LoadChanged([](Tensors& tensors) {
                tensors.push_back({"more", "U64", {0}, {}});
              }),
              StatusIs(kInvalid, "the plan has"));
  EXPECT_THAT(LoadChanged([](Tensors& tensors) {
                std::swap(Find(tensors, "layers.0.q").data,
                          Find(tensors, "layers.1.q").data);
              }),
              StatusIs(kDataLoss, "damaged"));
}

TEST_F(OtherTensorsTest, WeightsWithoutMetadataAreRefused) {
  SplitSmallLlama(WeightMode::kDealerHeld);
  ASSERT_OK(WriteSafetensors(File(FolderRole::kDealer, kWeightsName), {}));
  EXPECT_THAT(Load(FolderRole::kDealer), StatusIs(kInvalid, "no \"checksum\""));
}

// ---- Writing ----

TEST_F(ProvisionTest, ExistingFoldersAreReplacedByForceOnly) {
  SplitSmallLlama(WeightMode::kDealerHeld);
  const auto before = FilesOf(out_);
  EXPECT_THAT(Split(), StatusIs(absl::StatusCode::kAlreadyExists, "--force"));
  EXPECT_EQ(FilesOf(out_), before);
  options_.force = true;
  options_.weights = WeightMode::kBlind;
  ASSERT_OK(Split());
  ExpectLoadsWhatSharingGives(weights_);
  EXPECT_FALSE(fs::exists(File(FolderRole::kDealer, kWeightsName)));
  EXPECT_EQ(NamesOf(out_).size(), 4u) << "something is left";
}

TEST_F(ProvisionTest, ForceDeletesNothingThatProvisioningDidNotWrite) {
  SplitSmallLlama(WeightMode::kDealerHeld);
  Write(File(FolderRole::kParty1, "key.pem"), "a key");
  const auto before = FilesOf(out_);
  options_.force = true;
  EXPECT_THAT(Split(), StatusIs(kPrecondition, "holds key.pem"));
  EXPECT_EQ(FilesOf(out_), before);
  fs::remove_all(Folder(FolderRole::kParty1));
  Write(Folder(FolderRole::kParty1), "a file");
  EXPECT_THAT(Split(), StatusIs(kPrecondition, "is no folder"));
}

TEST_F(ProvisionTest, AFullDiskLeavesNothing) {
  UseModel(Architecture::kLlama);
  for (const WeightMode mode : kModes) {
    options_.weights = mode;
    for (const rlim_t limit : {0, 10, 700, 3000, 20000, 60000}) {
      const FileLimit full(limit);
      EXPECT_THAT(Split(), StatusIs(kExhausted, "cannot write")) << limit;
      EXPECT_FALSE(fs::exists(out_)) << limit;
    }
  }
  ASSERT_OK(Split());
}

TEST_F(ProvisionTest, AFullDiskLeavesEarlierFoldersAsTheyWere) {
  SplitSmallLlama(WeightMode::kBlind);
  const auto before = FilesOf(out_);
  options_.force = true;
  const FileLimit full(20000);
  EXPECT_THAT(Split(), StatusIs(kExhausted, kWeightsName));
  EXPECT_EQ(FilesOf(out_), before);
  EXPECT_EQ(NamesOf(out_).size(), 4u);
}

TEST_F(ProvisionTest, StoppingLeavesNothing) {
  UseModel(Architecture::kLlama);
  for (size_t last = 0; last < 4; ++last) {
    options_.on_progress = [last](size_t done, size_t pieces) {
      EXPECT_EQ(pieces, 4u);
      return done < last;
    };
    EXPECT_THAT(Split(), StatusIs(absl::StatusCode::kCancelled, "stopped"));
    EXPECT_FALSE(fs::exists(out_));
  }
}

TEST_F(ProvisionTest, WhatAKilledRunLeftIsRemoved) {
  UseModel(Architecture::kLlama);
  fs::create_directories(out_ + "/.provision-abcdef/dealer");
  Write(out_ + "/.provision-abcdef/dealer/weights.safetensors", "a part");
  ASSERT_OK(Split());
  EXPECT_EQ(NamesOf(out_).size(), 4u);
}

TEST_F(ProvisionTest, TwoRunsInOneFolderDoNotMix) {
  UseModel(Architecture::kLlama);
  fs::create_directory(out_);
  const int fd = open(out_.c_str(), O_RDONLY);
  ASSERT_EQ(flock(fd, LOCK_EX), 0);
  EXPECT_THAT(Split(), StatusIs(kPrecondition, "another process"));
  close(fd);
  ASSERT_OK(Split());
}

TEST_F(ProvisionTest, ModelsThatDoNotFitAreNamedAndNothingIsWritten) {
  UseModel(Architecture::kLlama);
  const SplitOptions good = options_;
  options_.name = "two words";
  EXPECT_THAT(Split(), StatusIs(kInvalid, "--name"));
  options_ = good;
  options_.plan.context = 65;
  EXPECT_THAT(Split(), StatusIs(kInvalid, "context 65"));
  options_ = good;
  options_.plan.bounds.layers.pop_back();
  EXPECT_THAT(Split(), StatusIs(kInvalid, "bounds of 1 layers"));
  options_ = good;
  ModelWeights nan = weights_;
  nan.layers[1].up.weight[3] = NAN;
  ASSERT_OK(WriteModel(model_, nan));
  EXPECT_THAT(Split(), StatusIs(kInvalid, "mlp.up_proj.weight"));
  ModelWeights huge = weights_;
  huge.layers[1].up.weight[3] = 1e12f;
  ASSERT_OK(WriteModel(model_, huge));
  EXPECT_THAT(Split(), StatusIs(kInvalid, "layers.1.up"));
  fs::remove(model_ + "/model.safetensors");
  EXPECT_THAT(Split(), StatusIs(kNotFound, "model.safetensors"));
  fs::remove(model_ + "/tokenizer.json");
  EXPECT_THAT(Split(), StatusIs(kNotFound, "tokenizer.json"));
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(ProvisionTest, EncodersWithoutAClassifierAreUnimplemented) {
  UseModel(Architecture::kBert);
  EXPECT_THAT(Split(), StatusIs(absl::StatusCode::kUnimplemented,
                                "BertModel has no classifier"));
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(ProvisionTest, AClassifiersTokensAreNotLookedUpByTheGateway) {
  UseModel(Architecture::kBertClassifier);
  options_.gateway_embedding = true;
  EXPECT_THAT(Split(), StatusIs(kInvalid, "leave out --client-embedding"));
  EXPECT_FALSE(fs::exists(out_));
  options_.gateway_embedding = false;
  ASSERT_OK(Split());
  const FolderRole gateway = FolderRole::kGateway;
  EditPlan(gateway, "\"gateway_embedding\": false",
           "\"gateway_embedding\": true");
  EXPECT_THAT(LoadGatewayFolder(Folder(gateway)),
              StatusIs(kInvalid, "plan.json: a classifier's tokens"));
}

TEST_F(ProvisionTest, ThePlanOfAClassifierIsNoDecoders) {
  UseModel(Architecture::kBertClassifier);
  ASSERT_OK(Split());
  const auto plan = LoadProvisionedPlan(Folder(FolderRole::kParty1));
  ASSERT_OK(plan);
  EXPECT_EQ(KindOf(plan->plan), ModelKind::kClassifier);
  EXPECT_EQ(ContextOf(plan->plan), kContext);
  EXPECT_EQ(ConfigOf(plan->plan).labels, weights_.config.labels);
  // The shape of the other kind names what to call.
  EXPECT_THAT(CheckShape(plan->plan, GenerationShape{.prompts = {3}}),
              StatusIs(kPrecondition, "call Classify"));
  EXPECT_OK(CheckShape(plan->plan, ClassificationShape{.lengths = {3}}));
  UseModel(Architecture::kLlama);
  options_.force = true;
  ASSERT_OK(Split());
  const auto other = LoadProvisionedPlan(Folder(FolderRole::kParty1));
  ASSERT_OK(other);
  EXPECT_THAT(CheckShape(other->plan, ClassificationShape{.lengths = {3}}),
              StatusIs(kPrecondition, "call Complete"));
}

}  // namespace
}  // namespace tacit

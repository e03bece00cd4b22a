// `tacit run --in-process`, `tacit plan` and `tacit eval`: as functions, and
// through the program.
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_matchers.h"
#include "common/models/plan_file.h"
#include "common/models/shapes.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/cli/classify.h"
#include "services/cli/eval.h"
#include "services/cli/model.h"
#include "services/cli/plan.h"
#include "services/cli/run.h"

namespace tacit {
namespace {

using Json = nlohmann::json;
using Tokens = std::vector<int64_t>;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kNotFound = absl::StatusCode::kNotFound;

const std::string kDemo = std::string(TACIT_MODELS) + "/demo";
const std::string kGpt2 = std::string(TACIT_MODELS) + "/test-gpt2";
const std::string kBert = std::string(TACIT_MODELS) + "/test-bert";

std::string ReadFile(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}
// This process's files, gone at its end.
class TempFolder : public testing::Environment {
 public:
  static std::string Path() {
    return absl::StrCat(testing::TempDir(), "/cli_test.", getpid());
  }
  void SetUp() override { std::filesystem::create_directories(Path()); }
  void TearDown() override { std::filesystem::remove_all(Path()); }
};
const testing::Environment* const kTempFolder =
    testing::AddGlobalTestEnvironment(new TempFolder);

std::string TempPath(const std::string& name) {
  return absl::StrCat(TempFolder::Path(), "/", name);
}
std::string WriteTemp(const std::string& name, const std::string& text) {
  const std::string path = TempPath(name);
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

// What transformers generates from prompt `index`.
Json Golden(const std::string& folder, size_t index) {
  return Json::parse(ReadFile(folder + "/golden.json"))["generations"][index];
}
// Its first `n` tokens; tests take prompts whose best two logits are far apart
// there.
Tokens GoldenTokens(const Json& golden, size_t n) {
  const Tokens all = golden["generated_ids"];
  for (size_t i = 0; i < n; ++i) {
    EXPECT_GE(golden["top1_top2_gap_per_step"][i].get<double>(), 0.02) << i;
  }
  return {all.begin(), all.begin() + n};
}

std::set<std::string> Keys(const Json& json) {
  std::set<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.insert(key);
  return keys;
}
void ExpectTwoCounts(const Json& json) {
  ASSERT_TRUE(json.is_array());
  ASSERT_EQ(json.size(), 2u);
  for (const Json& count : json) {
    EXPECT_TRUE(count.is_number_unsigned());
    EXPECT_GT(count.get<uint64_t>(), 0u);
  }
}

// ---- run ----

RunOptions OptionsFor(const std::string& folder, const std::string& prompt,
                      size_t max_tokens) {
  RunOptions options;
  options.model = folder;
  options.request.prompts = {prompt};
  options.request.max_tokens = max_tokens;
  return options;
}

TEST(RunTest, TokensAreTheGoldenOnes) {
  for (const std::string& folder : {kDemo, kGpt2}) {
    const Json golden = Golden(folder, 1);
    std::string streamed;
    std::vector<std::string> phases;
    const auto result =
        RunModel(OptionsFor(folder, golden["prompt"], 10),
                 {[&](size_t sequence, const std::string& piece) {
                    EXPECT_EQ(sequence, 0u);
                    streamed += piece;
                    return true;
                  },
                  [&](const std::string& phase) { phases.push_back(phase); }});
    ASSERT_OK(result);
    ASSERT_EQ(result->sequences.size(), 1u);
    const TextSequence& sequence = result->sequences[0];
    EXPECT_EQ(sequence.generated.tokens, GoldenTokens(golden, 10));
    EXPECT_EQ(sequence.prompt_tokens, golden["prompt_ids"].size());
    EXPECT_EQ(sequence.text, streamed);
    EXPECT_TRUE(absl::StartsWith(golden["generated_text"].get<std::string>(),
                                 sequence.text))
        << sequence.text;
    EXPECT_EQ(result->tokens(), 10u);
    EXPECT_EQ(phases.front(), "loading");
    EXPECT_EQ(phases.size(), 4u);
  }
}

// Issue 4, item 5, and how many AES calls.
void ExpectRunFields(const Json& json, const std::set<std::string>& more) {
  std::set<std::string> keys = {"rounds", "opened_bytes", "material_bytes",
                                "aes_calls", "seconds"};
  keys.insert(more.begin(), more.end());
  EXPECT_EQ(Keys(json), keys);
  EXPECT_GT(json["rounds"].get<uint64_t>(), 0u);
  EXPECT_TRUE(json["aes_calls"].is_number_unsigned());
  ExpectTwoCounts(json["opened_bytes"]);
  ExpectTwoCounts(json["material_bytes"]);
  EXPECT_EQ(Keys(json["seconds"]),
            (std::set<std::string>{"plan", "material", "prefill", "decode",
                                   "total"}));
  double sum = 0;
  for (const char* part : {"plan", "prefill", "decode"}) {
    EXPECT_GE(json["seconds"][part].get<double>(), 0) << part;
    sum += json["seconds"][part].get<double>();
  }
  EXPECT_LE(sum, json["seconds"]["total"].get<double>() * 1.01);
}

TEST(RunTest, JsonOfOnePromptHasItsFields) {
  const Json golden = Golden(kDemo, 1);
  const auto result = RunModel(OptionsFor(kDemo, golden["prompt"], 4), {});
  ASSERT_OK(result);
  const Json json = Json::parse(ToJson(*result));
  ExpectRunFields(json, {"text", "prompt_tokens", "tokens", "first_step_top5"});
  EXPECT_EQ(json["text"].get<std::string>(), result->sequences[0].text);
  EXPECT_EQ(json["prompt_tokens"].get<size_t>(), golden["prompt_ids"].size());
  EXPECT_EQ(json["tokens"].get<Tokens>(), GoldenTokens(golden, 4));
  const Json& top = json["first_step_top5"];
  const Json& want = golden["first_step_top5"];
  ASSERT_EQ(top.size(), 5u);
  for (size_t i = 0; i < 5; ++i) {
    ASSERT_EQ(top[i].size(), 2u);
    EXPECT_EQ(top[i][0].get<int64_t>(), want["ids"][i].get<int64_t>()) << i;
    EXPECT_NEAR(top[i][1].get<double>(), want["logits"][i].get<double>(), 0.05);
  }
}

TEST(RunTest, SeveralPromptsGiveSequences) {
  RunOptions options = OptionsFor(kGpt2, "", 3);
  options.request.prompts.clear();
  for (size_t i : {1, 5}) {
    options.request.prompts.push_back(Golden(kGpt2, i)["prompt"]);
  }
  const auto result = RunModel(options, {});
  ASSERT_OK(result);
  EXPECT_EQ(result->tokens(), 6u);
  const Json json = Json::parse(ToJson(*result));
  ExpectRunFields(json, {"sequences"});
  ASSERT_EQ(json["sequences"].size(), 2u);
  for (size_t i : {0, 1}) {
    const Json& sequence = json["sequences"][i];
    EXPECT_EQ(Keys(sequence),
              (std::set<std::string>{"text", "prompt_tokens", "tokens",
                                     "first_step_top5"}));
    EXPECT_EQ(sequence["tokens"].get<Tokens>(),
              GoldenTokens(Golden(kGpt2, i == 0 ? 1 : 5), 3));
  }
}

// Whatever is chosen where, greedy tokens are the same.
TEST(RunTest, EverySideAndModeGivesTheGoldenTokens) {
  const Json golden = Golden(kGpt2, 1);
  const RunOptions base = OptionsFor(kGpt2, golden["prompt"], 5);
  RunOptions secure = base, embedding = base, blind = base;
  secure.request.sampling_side = SamplingSide::kSecure;
  embedding.request.embedding_side = EmbeddingSide::kClient;
  blind.weights = WeightMode::kBlind;
  blind.request.rounding = Rounding::kFaithful;
  for (const RunOptions& options : {secure, embedding, blind}) {
    const auto result = RunModel(options, {});
    ASSERT_OK(result);
    EXPECT_EQ(result->sequences[0].generated.tokens, GoldenTokens(golden, 5));
    // Who samples between the parties does not see logits.
    EXPECT_EQ(result->sequences[0].generated.first_step_top.empty(),
              options.request.sampling_side == SamplingSide::kSecure);
  }
}

TEST(RunTest, SamplingRunsAtBothSides) {
  for (SamplingSide side : {SamplingSide::kClient, SamplingSide::kSecure}) {
    RunOptions options = OptionsFor(kGpt2, "Once upon a time", 3);
    options.request.sampling_side = side;
    options.request.sampling.temperature = 0.8;
    options.request.sampling.top_k = 20;
    options.request.sampling.top_p = 0.9;
    options.request.sampling.seed = 3;
    const auto result = RunModel(options, {});
    ASSERT_OK(result);
    EXPECT_GE(result->tokens(), 1u);
    EXPECT_LE(result->tokens(), 3u);
  }
}

TEST(RunTest, StopsWhereAStopTextIsComplete) {
  const Json golden = Golden(kDemo, 1);
  const std::string text = golden["generated_text"];
  RunOptions options = OptionsFor(kDemo, golden["prompt"], 20);
  // Across tokens, most likely; and one that never comes.
  const std::string stop = text.substr(4, 5);
  options.request.stop = {"xyzzy", "", stop};
  const auto result = RunModel(options, {});
  ASSERT_OK(result);
  const TextSequence& sequence = result->sequences[0];
  EXPECT_TRUE(absl::StrContains(sequence.text, stop)) << sequence.text;
  EXPECT_TRUE(absl::StartsWith(text, sequence.text)) << sequence.text;
  EXPECT_LT(sequence.generated.tokens.size(), 10u);
}

TEST(RunTest, RejectsBadRequests) {
  const auto status = [](const RunOptions& options) {
    return RunModel(options, {}).status();
  };
  EXPECT_THAT(status(OptionsFor(kGpt2, "", 3)),
              StatusIs(kInvalid, "the prompt is empty"));
  RunOptions options = OptionsFor(kGpt2, "One", 3);
  options.request.prompts.clear();
  EXPECT_THAT(status(options), StatusIs(kInvalid, "no prompt"));
  EXPECT_THAT(status(OptionsFor(kGpt2, "One", 0)),
              StatusIs(kInvalid, "max-tokens"));
  EXPECT_THAT(status(OptionsFor(kGpt2, "a\xff\xfe", 3)),
              StatusIs(kInvalid, ""));
  std::string words;
  for (int i = 0; i < 300; ++i) words += " friend";
  EXPECT_THAT(status(OptionsFor(kGpt2, words, 3)),
              StatusIs(kInvalid, "exceed the context of 256"));
  for (size_t tokens : {size_t{257}, ~size_t{0}}) {
    EXPECT_THAT(status(OptionsFor(kGpt2, "One", tokens)),
                StatusIs(kInvalid, "exceed the context of 256"));
  }
  options = OptionsFor(kGpt2, "One", 3);
  options.request.sampling.temperature = -1;
  EXPECT_THAT(status(options), StatusIs(kInvalid, "temperature"));
  options = OptionsFor(kGpt2, "One", 3);
  options.request.chat = true;
  EXPECT_THAT(status(options), StatusIs(kNotFound, "chat template"));
}

ClassifyRequest TextsOf(const std::vector<ClassifyText>& texts) {
  ClassifyRequest request;
  request.texts = texts;
  return request;
}

TEST(ClassifyTest, LogitsAreNearTheGoldenOnes) {
  const Json golden =
      Json::parse(ReadFile(kBert + "/golden.json"))["sentences"];
  RunOptions options;
  options.model = kBert;
  std::vector<ClassifyText> texts;
  for (const Json& sentence : golden) texts.push_back({sentence["text"], {}});
  std::vector<std::string> phases;
  const auto result =
      ClassifyModel(options, TextsOf(texts),
                    [&](const std::string& phase) { phases.push_back(phase); });
  ASSERT_OK(result);
  EXPECT_EQ(phases.size(), 4u);
  EXPECT_EQ(result->labels, (std::vector<std::string>{"negative", "positive"}));
  ASSERT_EQ(result->texts.size(), golden.size());
  for (size_t i = 0; i < golden.size(); ++i) {
    const std::vector<double> want = golden[i]["logits"];
    for (size_t l = 0; l < 2; ++l) {
      EXPECT_NEAR(result->texts[i].logits[l], want[l], 0.03) << i;
    }
    EXPECT_EQ(result->texts[i].tokens, golden[i]["ids"].size());
  }
}

TEST(ClassifyTest, JsonOfOneTextHasItsFields) {
  RunOptions options;
  options.model = kBert;
  const auto result =
      ClassifyModel(options, TextsOf({{"a wonderful film", "but dull"}}), {});
  ASSERT_OK(result);
  const Json json = Json::parse(ToJson(*result));
  EXPECT_EQ(Keys(json),
            (std::set<std::string>{"label", "scores", "tokens", "rounds",
                                   "opened_bytes", "material_bytes",
                                   "aes_calls", "seconds"}));
  ExpectTwoCounts(json["opened_bytes"]);
  EXPECT_EQ(json["tokens"].get<size_t>(), 8u);
  ASSERT_EQ(json["scores"].size(), 2u);
  EXPECT_EQ(json["scores"][1]["label"], "positive");
  double sum = 0;
  for (const Json& score : json["scores"]) {
    sum += score["probability"].get<double>();
  }
  EXPECT_NEAR(sum, 1, 1e-9);
  EXPECT_EQ(Keys(json["seconds"]),
            (std::set<std::string>{"plan", "material", "online", "total"}));
}

TEST(ClassifyTest, TheSecondTextOfAPairCounts) {
  RunOptions options;
  options.model = kBert;
  const auto result = ClassifyModel(
      options, TextsOf({{"good", {}}, {"good", "bad"}, {"good bad", {}}}), {});
  ASSERT_OK(result);
  EXPECT_EQ(result->texts[0].tokens, 3u);
  EXPECT_EQ(result->texts[1].tokens, 5u);
  // Neither the first alone, nor both as one text.
  EXPECT_GT(std::abs(result->texts[1].logits[0] - result->texts[0].logits[0]),
            0.1);
  EXPECT_GT(std::abs(result->texts[1].logits[0] - result->texts[2].logits[0]),
            0.1);
}

TEST(ClassifyTest, RejectsBadRequests) {
  RunOptions options;
  options.model = kBert;
  const auto status = [&](const std::vector<ClassifyText>& texts) {
    return ClassifyModel(options, TextsOf(texts), {}).status();
  };
  EXPECT_THAT(status({}), StatusIs(kInvalid, "no text"));
  EXPECT_THAT(status({{"", {}}}), StatusIs(kInvalid, "a text is empty"));
  EXPECT_THAT(status({{"a", ""}}), StatusIs(kInvalid, "second text"));
  EXPECT_THAT(status({{"\xff", {}}}), StatusIs(kInvalid, "UTF-8"));
  std::string words;
  for (int i = 0; i < 130; ++i) words += "dull ";
  EXPECT_THAT(status({{words, {}}}), StatusIs(kInvalid, "1 to 128"));
  options.model = kGpt2;
  EXPECT_THAT(status({{"a", {}}}),
              StatusIs(absl::StatusCode::kFailedPrecondition, "no classifier"));
}

TEST(RunTest, RejectsFoldersThatAreNoDecoders) {
  EXPECT_THAT(RunModel(OptionsFor(kGpt2 + "/none", "One", 3), {}).status(),
              StatusIs(kNotFound, "test-gpt2/none"));
  EXPECT_THAT(RunModel(OptionsFor(testing::TempDir(), "One", 3), {}).status(),
              StatusIs(kNotFound, "config.json"));
  EXPECT_THAT(RunModel(OptionsFor(kBert, "One", 3), {}).status(),
              StatusIs(absl::StatusCode::kUnimplemented, "is no decoder"));
}

TEST(ContextTest, IsAPowerOfTwoThatTheModelHolds) {
  ModelConfig config;
  config.max_positions = 1000;
  for (const auto& [positions, context] : {std::pair<size_t, size_t>(0, 64),
                                           {1, 64},
                                           {64, 64},
                                           {65, 128},
                                           {512, 512},
                                           {513, 1000},
                                           {1001, 1000},
                                           {~size_t{0}, 1000}}) {
    EXPECT_EQ(ContextFor(config, positions), context) << positions;
  }
  config.max_positions = 11;
  EXPECT_EQ(ContextFor(config, 3), 11u);
}

// ---- plan ----

absl::StatusOr<Json> PlanJson(PlanOptions options) {
  options.json = true;
  const auto report = PlanReport(options);
  if (!report.ok()) return report.status();
  return Json::parse(*report);
}

void ExpectPass(const Json& pass, bool parts) {
  std::set<std::string> keys = {"rounds", "opened_bytes", "material_bytes",
                                "aes_calls"};
  if (parts) keys.insert("parts");
  EXPECT_EQ(Keys(pass), keys);
  EXPECT_GT(pass["rounds"].get<uint64_t>(), 0u);
  ExpectTwoCounts(pass["opened_bytes"]);
  ExpectTwoCounts(pass["material_bytes"]);
  EXPECT_EQ(Keys(pass["aes_calls"]),
            (std::set<std::string>{"dealer", "party0", "party1"}));
}

TEST(PlanTest, JsonHasCostsOfTokenAndPrefill) {
  PlanOptions shape, folder;
  shape.shape = "gpt2";
  folder.model = kDemo;
  for (PlanOptions options : {shape, folder}) {
    for (bool cost : {false, true}) {
      options.cost = cost;
      const auto json = PlanJson(options);
      ASSERT_OK(json);
      EXPECT_EQ(Keys(*json), (std::set<std::string>{
                                 "model", "digest", "context", "per_token",
                                 "prefill", "memory", "plan"}));
      EXPECT_EQ((*json)["context"].get<size_t>(), 128u);
      EXPECT_EQ((*json)["digest"].get<std::string>().size(), 64u);
      ExpectPass((*json)["per_token"], cost);
      ExpectPass((*json)["prefill"], cost);
      EXPECT_EQ((*json)["plan"]["context"].get<size_t>(), 128u);
    }
  }
}

TEST(PlanTest, AnEncoderHasOnePass) {
  PlanOptions options;
  options.shape = "bert-tiny";
  const auto json = PlanJson(options);
  ASSERT_OK(json);
  EXPECT_TRUE((*json)["per_token"].is_null());
  ExpectPass((*json)["prefill"], false);
}

TEST(PlanTest, PartsAddUpToTheirPass) {
  PlanOptions options;
  options.shape = "gpt2";
  options.cost = true;
  const auto json = PlanJson(options);
  ASSERT_OK(json);
  for (const char* name : {"per_token", "prefill"}) {
    const Json& pass = (*json)[name];
    uint64_t rounds = 0, material = 0;
    for (const Json& part : pass["parts"]) {
      EXPECT_TRUE(part["part"].is_string());
      rounds += part["rounds"].get<uint64_t>();
      material += part["material_bytes"][1].get<uint64_t>();
    }
    EXPECT_EQ(rounds, pass["rounds"].get<uint64_t>());
    EXPECT_EQ(material, pass["material_bytes"][1].get<uint64_t>());
  }
}

TEST(PlanTest, OptionsChangeThePlan) {
  PlanOptions options;
  options.shape = "gpt2";
  std::set<std::string> digests;
  for (size_t context : {64, 128}) {
    for (Objective objective : {Objective::kBytes, Objective::kRounds}) {
      options.context = context;
      options.objective = objective;
      const auto json = PlanJson(options);
      ASSERT_OK(json);
      digests.insert((*json)["digest"].get<std::string>());
    }
  }
  EXPECT_EQ(digests.size(), 4u);
}

TEST(PlanTest, TheTableOfLlama7bHasSigmasCosts) {
  PlanOptions options;
  options.shape = "llama-7b";
  options.cost = true;
  auto report = PlanReport(options);
  ASSERT_OK(report);
  for (const char* part : {"SIGMA", "255 GB", "12.1 GB", "3,648", "layers.31",
                           "material P1", "prefill of 127 tokens"}) {
    EXPECT_TRUE(absl::StrContains(*report, part)) << part;
  }
  options.shape = "gpt2";
  report = PlanReport(options);
  ASSERT_OK(report);
  EXPECT_FALSE(absl::StrContains(*report, "SIGMA"));
  EXPECT_TRUE(absl::StrContains(*report, "layers.11.mlp"));
}

TEST(PlanTest, RejectsBadOptions) {
  PlanOptions options;
  options.shape = "gpt5";
  EXPECT_THAT(PlanReport(options).status(),
              StatusIs(kNotFound, absl::StrJoin(ShapeNames(), ", ")));
  options.shape = "gpt2";
  options.context = 1025;
  EXPECT_THAT(PlanReport(options).status(),
              StatusIs(kInvalid, "a context of 1025; the model holds 1024"));
  options = {};
  options.model = kDemo + "/none";
  EXPECT_THAT(PlanReport(options).status(), StatusIs(kNotFound, "demo/none"));
  options = {};
  options.shape = "gpt2";
  options.save = TempPath("none/plan.json");
  EXPECT_THAT(PlanReport(options).status(),
              StatusIs(absl::StatusCode::kPermissionDenied, "cannot write"));
}

// A plan of the small GPT-2 for 16 positions.
std::string SavedPlan(const std::string& name, Objective objective) {
  PlanOptions options;
  options.model = kGpt2;
  options.context = 16;
  options.save = TempPath(name);
  options.objective = objective;
  EXPECT_OK(PlanReport(options));
  return options.save;
}

TEST(PlanTest, ASavedPlanIsRun) {
  const Json golden = Golden(kGpt2, 1);
  for (Objective objective : {Objective::kBytes, Objective::kRounds}) {
    RunOptions options = OptionsFor(kGpt2, golden["prompt"], 6);
    options.plan = SavedPlan("plan.json", objective);
    const auto file = LoadPlanFile(options.plan);
    ASSERT_OK(file);
    EXPECT_EQ(file->context, 16u);
    EXPECT_EQ(file->objective, objective);
    const auto result = RunModel(options, {});
    ASSERT_OK(result);
    EXPECT_EQ(result->sequences[0].generated.tokens, GoldenTokens(golden, 6));
  }
}

TEST(PlanTest, ASavedPlanHoldsItsContextAndNoMore) {
  const Json golden = Golden(kGpt2, 1);  // 7 tokens
  RunOptions options = OptionsFor(kGpt2, golden["prompt"], 10);
  options.plan = SavedPlan("full.json", Objective::kBytes);
  // The last token is not fed back.
  EXPECT_OK(RunModel(options, {}));
  options.request.max_tokens = 11;
  EXPECT_THAT(RunModel(options, {}).status(),
              StatusIs(kInvalid, "a context of 16 positions; this takes 17"));
}

TEST(PlanTest, PlansThatAreNotTheModelsAreRefused) {
  RunOptions options = OptionsFor(kDemo, "One", 3);
  options.plan = SavedPlan("other.json", Objective::kBytes);
  EXPECT_THAT(RunModel(options, {}).status(), StatusIs(kInvalid, "4 layers"));
  options.plan = WriteTemp("no.json", "no plan");
  EXPECT_THAT(RunModel(options, {}).status(), StatusIs(kInvalid, "plan"));
  options.plan = TempPath("missing.json");
  EXPECT_THAT(RunModel(options, {}).status(),
              StatusIs(kNotFound, "missing.json"));
}

// ---- eval ----

// A text that the models were not trained on.
std::string StoryFile(const std::string& folder) {
  const Json golden = Json::parse(ReadFile(folder + "/golden.json"));
  return WriteTemp("story.txt", golden["loss"]["texts"][0]);
}

EvalOptions EvalOptionsFor(const std::string& folder, const std::string& text) {
  EvalOptions options;
  options.model = folder;
  options.text = text;
  options.context = 48;
  return options;
}

TEST(EvalTest, PrivateEqualsPlainAndIsNearFloat) {
  const auto result = EvalModel(EvalOptionsFor(kDemo, StoryFile(kDemo)));
  ASSERT_OK(result);
  EXPECT_TRUE(result->secure_equals_plain);
  EXPECT_FALSE(result->classifies);
  EXPECT_EQ(result->model, kDemo);
  EXPECT_GT(result->reference.count, 100u);
  EXPECT_EQ(result->reference.agreement, 1);
  EXPECT_NEAR(result->reference.divergence, 0, 1e-12);
  for (const EvalFigures* figures : {&result->plain, &result->secure}) {
    EXPECT_EQ(figures->count, result->reference.count);
    EXPECT_GE(figures->agreement, 0.99);
    EXPECT_LE(figures->divergence, 5e-5);
    // Rounding coins are fresh each time; over so few predictions their share
    // has a deviation of about 7e-4.
    EXPECT_NEAR(figures->perplexity() / result->reference.perplexity(), 1,
                5e-3);
    EXPECT_GT(figures->seconds, 0);
  }
  // Both are of the same logits.
  EXPECT_EQ(result->secure.nll, result->plain.nll);
}

TEST(EvalTest, TheLimitIsOfWholePasses) {
  EvalOptions options = EvalOptionsFor(kGpt2, StoryFile(kGpt2));
  options.limit = 49;
  const auto result = EvalModel(options);
  ASSERT_OK(result);
  EXPECT_TRUE(result->secure_equals_plain);
  EXPECT_EQ(result->secure.count, 2 * 47u);
  EXPECT_EQ(result->plain.count, result->reference.count);
  EXPECT_GT(result->plain.count, 2 * 47u);
}

TEST(EvalTest, PrintsAllThreeWays) {
  EvalOptions options = EvalOptionsFor(kGpt2, StoryFile(kGpt2));
  options.limit = 1;
  const auto result = EvalModel(options);
  ASSERT_OK(result);
  const Json json = Json::parse(ToJson(*result));
  EXPECT_EQ(Keys(json),
            (std::set<std::string>{"model", "float", "plain", "private",
                                   "private_equals_plain"}));
  for (const char* way : {"float", "plain", "private"}) {
    EXPECT_EQ(Keys(json[way]),
              (std::set<std::string>{"count", "nll", "perplexity", "agreement",
                                     "divergence", "seconds"}))
        << way;
    EXPECT_NEAR(json[way]["perplexity"].get<double>(),
                std::exp(json[way]["nll"].get<double>()), 1e-6);
  }
  EXPECT_TRUE(json["private_equals_plain"].get<bool>());
  const std::string table = ToTable(*result);
  for (const char* part :
       {"float32", "plain fixed point", "private", "bit for bit: yes"}) {
    EXPECT_TRUE(absl::StrContains(table, part)) << table;
  }
}

TEST(EvalTest, RejectsFilesThatAreNoText) {
  const auto status = [](const std::string& path) {
    return EvalModel(EvalOptionsFor(kGpt2, path)).status();
  };
  EXPECT_THAT(status(TempPath("missing.txt")),
              StatusIs(kNotFound, "missing.txt"));
  EXPECT_THAT(status(testing::TempDir()), StatusIs(kInvalid, "not a file"));
  for (const char* text : {"", "a"}) {
    EXPECT_THAT(status(WriteTemp("short.txt", text)),
                StatusIs(kInvalid, "fewer than two tokens"));
  }
  EXPECT_THAT(status(WriteTemp("latin.txt", "caf\xe9 and more\n")),
              StatusIs(kInvalid, ""));
  // A line that is longer than what a tokenizer takes.
  EXPECT_THAT(status(WriteTemp("long.txt", std::string(9 << 20, 'a'))),
              StatusIs(kInvalid, ""));
}

EvalOptions LabelledLines(const std::string& lines) {
  EvalOptions options;
  options.model = kBert;
  options.classify = WriteTemp("lines.tsv", lines);
  return options;
}

TEST(EvalTest, ClassifiersAreRightWhereFloatIs) {
  // The second label is wrong.
  EvalOptions options = LabelledLines(
      "sentence\tlabel\n"
      "a wonderful film with a warm heart .\t1\r\n"
      "dull , slow and far too long .\t1\n\n"
      "i wanted to leave after ten minutes\t0\n");
  options.limit = 2;
  const auto result = EvalModel(options);
  ASSERT_OK(result);
  EXPECT_TRUE(result->classifies);
  EXPECT_TRUE(result->secure_equals_plain);
  EXPECT_EQ(result->reference.count, 3u);
  EXPECT_EQ(result->plain.count, 3u);
  EXPECT_EQ(result->secure.count, 2u);
  EXPECT_DOUBLE_EQ(result->plain.accuracy, 2.0 / 3);
  EXPECT_DOUBLE_EQ(result->secure.accuracy, 1.0 / 2);
  EXPECT_EQ(result->plain.agreement, 1);
  EXPECT_LE(result->plain.divergence, 5e-5);
  const Json json = Json::parse(ToJson(*result));
  EXPECT_TRUE(json["private"].contains("accuracy"));
  EXPECT_FALSE(json["private"].contains("perplexity"));
  EXPECT_TRUE(absl::StrContains(ToTable(*result), "accuracy"));
}

TEST(EvalTest, RejectsLinesWithoutALabel) {
  for (const char* lines : {"", "no label\n", "sentence\tlabel\n"}) {
    EXPECT_THAT(EvalModel(LabelledLines(lines)).status(),
                StatusIs(kInvalid, "no line with a label"));
  }
  for (const char* line : {"good", "good\t", "good\t2", "good\t-1"}) {
    EXPECT_THAT(
        EvalModel(LabelledLines(absl::StrCat("good\t1\n", line))).status(),
        StatusIs(kInvalid, "lines.tsv:2: no label"));
  }
}

TEST(EvalTest, RejectsFilesThatAreNotForTheModel) {
  EvalOptions options = EvalOptionsFor(kGpt2, "");
  EXPECT_THAT(EvalModel(options).status(), StatusIs(kInvalid, "name one file"));
  options.classify = WriteTemp("lines.tsv", "good\t1\n");
  EXPECT_THAT(EvalModel(options).status(), StatusIs(kInvalid, "takes --text"));
  options.text = StoryFile(kGpt2);
  EXPECT_THAT(EvalModel(options).status(), StatusIs(kInvalid, "name one file"));
  EXPECT_THAT(EvalModel(EvalOptionsFor(kBert, options.text)).status(),
              StatusIs(kInvalid, "takes --classify"));
}

TEST(EvalTest, APlanWithTooShortAContextIsRefused) {
  EvalOptions options = EvalOptionsFor(kGpt2, StoryFile(kGpt2));
  options.plan = SavedPlan("short.json", Objective::kBytes);
  EXPECT_THAT(EvalModel(options).status(), StatusIs(kInvalid, "longer"));
  options.context = 16;
  options.limit = 1;
  const auto result = EvalModel(options);
  ASSERT_OK(result);
  EXPECT_EQ(result->secure.count, 15u);
}

// ---- The program ----

struct Ended {
  int code;
  std::string out, err;
};

std::string ShellQuoted(const std::string& text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

Ended Tacit(const std::vector<std::string>& arguments) {
  std::string command = ShellQuoted(TACIT_PROGRAM);
  for (const std::string& argument : arguments) {
    absl::StrAppend(&command, " ", ShellQuoted(argument));
  }
  const std::string out = TempPath("out"), err = TempPath("err");
  absl::StrAppend(&command, " >", ShellQuoted(out), " 2>", ShellQuoted(err),
                  " </dev/null");
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, ReadFile(out),
          ReadFile(err)};
}

TEST(ProgramTest, RunPrintsTextAloneToStdout) {
  const Json golden = Golden(kGpt2, 1);
  const std::string prompt = golden["prompt"];
  const Ended run = Tacit({"run", "--in-process", "--model", kGpt2, "--prompt",
                           prompt, "--max-tokens", "6"});
  EXPECT_EQ(run.code, 0) << run.err;
  ASSERT_TRUE(absl::StartsWith(run.out, prompt)) << run.out;
  ASSERT_TRUE(absl::EndsWith(run.out, "\n"));
  const std::string text =
      run.out.substr(prompt.size(), run.out.size() - prompt.size() - 1);
  EXPECT_FALSE(text.empty());
  EXPECT_TRUE(
      absl::StartsWith(golden["generated_text"].get<std::string>(), text))
      << text;
  EXPECT_TRUE(absl::StrContains(run.err, "[7 prompt tokens, 6 tokens in "));
  EXPECT_FALSE(absl::StrContains(run.err, prompt));
  EXPECT_EQ(run.err.find('\r'), std::string::npos);  // no terminal
}

TEST(ProgramTest, RunPrintsJsonAlone) {
  const Ended run =
      Tacit({"run", "--in-process", "--json", "--model", kGpt2, "--max-tokens",
             "2", "--seed", "5", "--sampling", "secure", "--rounding",
             "faithful", "--weights", "blind", "One"});
  ASSERT_EQ(run.code, 0) << run.err;
  const Json json = Json::parse(run.out, nullptr, false);
  ASSERT_FALSE(json.is_discarded()) << run.out;
  EXPECT_EQ(json["tokens"].size(), 2u);
  EXPECT_EQ(run.err, "");
}

TEST(ProgramTest, RunOfAClassifierPrintsLabels) {
  const std::string text = "a wonderful film with a warm heart .";
  const Ended one = Tacit({"run", "--in-process", "--model", kBert, text});
  ASSERT_EQ(one.code, 0) << one.err;
  EXPECT_TRUE(absl::StartsWith(one.out, "positive             0.9")) << one.out;
  EXPECT_TRUE(absl::StrContains(one.out, "\nnegative             0.0"));
  EXPECT_TRUE(absl::StrContains(one.err, "[10 tokens in "));
  EXPECT_FALSE(absl::StrContains(one.err, "wonderful"));
  const Ended two =
      Tacit({"run", "--in-process", "--json", "--model", kBert, "--weights",
             "blind", "--rounding", "faithful", text, "dull , slow"});
  ASSERT_EQ(two.code, 0) << two.err;
  const Json json = Json::parse(two.out, nullptr, false);
  ASSERT_FALSE(json.is_discarded()) << two.out;
  EXPECT_EQ(Keys(json),
            (std::set<std::string>{"texts", "rounds", "opened_bytes",
                                   "material_bytes", "aes_calls", "seconds"}));
  EXPECT_EQ(json["texts"][0]["label"], "positive");
  EXPECT_EQ(json["texts"][1]["label"], "negative");
}

// Neither is "[a, b]" a list, nor does an option take what follows its text.
TEST(ProgramTest, TextsAreTakenAsTheyAre) {
  const Ended brackets =
      Tacit({"run", "--in-process", "--json", "--model", kBert, "[SEP], [a]"});
  ASSERT_EQ(brackets.code, 0) << brackets.err;
  // [CLS] [ se ##p ] , [ a ] [SEP]
  EXPECT_EQ(Json::parse(brackets.out)["tokens"].get<size_t>(), 10u);
  const Ended pair = Tacit({"run", "--in-process", "--json", "--model", kBert,
                            "--pair", "bad", "good"});
  ASSERT_EQ(pair.code, 0) << pair.err;
  EXPECT_EQ(Json::parse(pair.out)["tokens"].get<size_t>(), 5u);
  const Ended two = Tacit({"run", "--in-process", "--json", "--model", kBert,
                           "good", "bad", "--pair", "bad", "--pair", "good"});
  ASSERT_EQ(two.code, 0) << two.err;
  EXPECT_EQ(Json::parse(two.out)["texts"].size(), 2u);
  const Ended stop = Tacit({"run", "--in-process", "--json", "--model", kGpt2,
                            "--max-tokens", "1", "--stop", "x", "One"});
  EXPECT_EQ(stop.code, 0) << stop.err;
}

TEST(ProgramTest, PlanAndEvalPrintWhatTheyFound) {
  const Ended plan = Tacit({"plan", "--shape", "gpt2", "--json"});
  ASSERT_EQ(plan.code, 0) << plan.err;
  EXPECT_TRUE(Json::parse(plan.out)["per_token"].is_object());
  EXPECT_EQ(plan.err, "");
  const Ended eval = Tacit({"eval", kGpt2, "--text", StoryFile(kGpt2),
                            "--limit", "1", "--context", "32", "--json"});
  ASSERT_EQ(eval.code, 0) << eval.err;
  EXPECT_TRUE(Json::parse(eval.out)["private_equals_plain"].get<bool>());
  const Ended help = Tacit({"--help"});
  EXPECT_EQ(help.code, 0);
  for (const char* command : {"run", "plan", "eval", "bench"}) {
    EXPECT_TRUE(absl::StrContains(help.out, command)) << command;
  }
}

TEST(ProgramTest, ExitCodesTellBadUsageFromFailure) {
  const std::vector<std::pair<int, std::vector<std::string>>> cases = {
      {2, {}},
      {2, {"walk"}},
      {2, {"run", "--in-process", "--model", kGpt2}},
      {2, {"run", "--in-process", "--model", kGpt2, ""}},
      {2, {"run", "--in-process", "--model", kGpt2, "a\xff"}},
      {2,
       {"run", "--in-process", "--model", kGpt2, "One", "--max-tokens", "0"}},
      {2, {"run", "--in-process", "--model", kGpt2, "One", "--top-k", "-1"}},
      {2, {"run", "--in-process", "--model", kGpt2, "One", "--top-p", "2"}},
      {2, {"run", "--in-process", "--model", kGpt2, "One", "--sampling", "x"}},
      {1, {"run", "--in-process", "--model", kGpt2 + "/none", "One"}},
      {2, {"run", "--in-process", "--model", kBert, ""}},
      {2, {"run", "--in-process", "--model", kBert, "One", "--seed", "1"}},
      {2, {"run", "--in-process", "--model", kBert, "One", "--chat"}},
      {2,
       {"run", "--in-process", "--model", kBert, "One", "--pair", "Two",
        "--pair", "Three"}},
      {2, {"run", "--in-process", "--model", kGpt2, "One", "--pair", "Two"}},
      {1, {"plan", "--shape", "gpt5"}},
      {2, {"plan", "--shape", "gpt2", "--context", "4096"}},
      {2, {"plan", kDemo, "--shape", "gpt2"}},
      {2, {"eval", kGpt2}},
      {2, {"eval", kGpt2, "--text", "x", "--limit", "-1"}},
      {1, {"eval", kGpt2, "--text", TempPath("missing.txt")}},
      {2, {"eval", kBert, "--text", StoryFile(kGpt2)}},
  };
  for (const auto& [code, arguments] : cases) {
    const Ended run = Tacit(arguments);
    EXPECT_EQ(run.code, code) << absl::StrJoin(arguments, " ") << run.err;
    EXPECT_EQ(run.out, "") << absl::StrJoin(arguments, " ");
    EXPECT_NE(run.err, "") << absl::StrJoin(arguments, " ");
  }
}

}  // namespace
}  // namespace tacit

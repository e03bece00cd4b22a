// How near fixed point is to float32, on trained models and the text that
// transformers generates from them (golden.json, made by the script it names).
//
// The plain evaluator stands for the private run, which equals it bit for bit;
// one prompt of each model is run privately, too.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/status_macros.h"
#include "common/gates/testing.h"
#include "common/models/bounds.h"
#include "common/models/decoder.h"
#include "common/models/float_model.h"
#include "common/models/json_file.h"
#include "common/models/tokenizer.h"
#include "common/nn/embedding.h"

namespace tacit {
namespace {

using Tokens = std::vector<int64_t>;

// Two right answers may differ where float's best two logits are this near.
constexpr double kTie = 0.02;
// Of the mean divergence from float, in nats.
constexpr double kDivergence = 5e-5;
constexpr double kAgreement = 0.995;
constexpr double kPerplexity = 1e-3;  // relative

const std::string kData = TACIT_TEST_DATA;
const std::string kModels = TACIT_MODELS;

std::vector<double> LogSoftmax(std::vector<double> logits) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (double v : logits) sum += std::exp(v - max);
  for (double& v : logits) v -= max + std::log(sum);
  return logits;
}

size_t ArgMax(std::span<const double> values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

// Sums over predictions, and what is asked of their means.
struct Distance {
  size_t count = 0, same = 0;
  double divergence = 0, nll = 0, float_nll = 0;

  // A row of logits, float's, and the token that came.
  void Add(const std::vector<double>& logits,
           const std::vector<double>& reference, int64_t next) {
    const std::vector<double> q = LogSoftmax(logits), p = LogSoftmax(reference);
    ++count;
    same += ArgMax(logits) == ArgMax(reference);
    for (size_t i = 0; i < p.size(); ++i) {
      divergence += std::exp(p[i]) * (p[i] - q[i]);
    }
    nll -= q[next];
    float_nll -= p[next];
  }

  void ExpectSmall(const std::string& name) const {
    const double n = static_cast<double>(count);
    const double perplexity = std::exp((nll - float_nll) / n);
    EXPECT_LE(divergence / n, kDivergence);
    EXPECT_GE(same / n, kAgreement);
    EXPECT_NEAR(perplexity, 1, kPerplexity);
    std::printf(
        "%s: %zu predictions, agreement %.4f %%, KL %.2e, perplexity "
        "times %.6f\n",
        name.c_str(), count, 100 * same / n, divergence / n, perplexity);
  }
};

// A folder's model, planned as `tacit run` does.
struct Model {
  std::string name;
  ModelWeights weights;
  DecoderPlan plan;
  DecoderShares shares;
  nlohmann::json golden;

  size_t vocabulary() const { return weights.config.vocab_size; }
};

absl::StatusOr<Model> Load(const std::string& folder) {
  Model model;
  model.name = std::filesystem::path(folder).filename();
  ASSIGN_OR_RETURN(const ModelConfig config, LoadModelConfig(folder));
  ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(folder));
  ASSIGN_OR_RETURN(model.weights, LoadModelWeights(config, checkpoint));
  const size_t context =
      std::min<size_t>(256, static_cast<size_t>(config.max_positions));
  ASSIGN_OR_RETURN(const ModelRanges ranges,
                   Calibrate(model.weights, 128, /*seed=*/1));
  ASSIGN_OR_RETURN(model.plan, PlanDecoder(config, BoundsOf(ranges), context));
  ASSIGN_OR_RETURN(model.shares,
                   ShareDecoder(model.plan, model.weights,
                                WeightMode::kDealerHeld, TestSeeds().gateway));
  ASSIGN_OR_RETURN(const std::string text,
                   ReadWholeFile(folder + "/golden.json", 16 << 20));
  ASSIGN_OR_RETURN(model.golden, ParseJsonObject("golden.json", text, 16));
  return model;
}

// Prefill of all tokens but the last `steps`, then a step for each: the logits
// of all positions.
Program Steps(const Model& model, size_t tokens, size_t steps) {
  return [&model, tokens, steps](Evaluator& ev) {
    DecoderCache cache;
    const int width = TokenWidth(model.vocabulary());
    for (size_t done = 0, end = tokens - steps; done < tokens; done = end++) {
      ev.Output(DecoderForward(ev, model.plan, Pick(ev, model.shares),
                               ev.Input({end - done}, width, 0), cache,
                               LogitsOf::kAll));
    }
  };
}
std::vector<InputValue> StepInputs(const Model& model, const Tokens& tokens,
                                   size_t steps) {
  const int width = TokenWidth(model.vocabulary());
  std::vector<InputValue> inputs = {
      {{tokens.begin(), tokens.end() - steps}, width}};
  for (size_t i = tokens.size() - steps; i < tokens.size(); ++i) {
    inputs.push_back({{tokens[i]}, width});
  }
  return inputs;
}

// Outputs of such a program as rows, one for each position.
std::vector<std::vector<double>> Rows(
    const Model& model, const std::vector<std::vector<int64_t>>& outputs) {
  std::vector<std::vector<double>> rows;
  for (const std::vector<int64_t>& output : outputs) {
    for (size_t i = 0; i < output.size(); ++i) {
      if (i % model.vocabulary() == 0) rows.emplace_back();
      rows.back().push_back(
          std::ldexp(static_cast<double>(output[i]), -kLogitFrac));
    }
  }
  return rows;
}

absl::StatusOr<std::vector<std::vector<double>>> PlainRows(
    const Model& model, const Tokens& tokens) {
  ASSIGN_OR_RETURN(const auto outputs,
                   RunPlain({}, TestSeeds(), Steps(model, tokens.size(), 0),
                            StepInputs(model, tokens, 0)));
  return Rows(model, outputs);
}

// Adds the predictions of tokens[first], ..., and what comes last.
void Compare(const Model& model, const Tokens& tokens, size_t first,
             Distance& distance) {
  const Tokens fed(tokens.begin(), tokens.end() - 1);
  const auto rows = PlainRows(model, fed);
  ASSERT_OK(rows);
  const auto reference = FloatForward(model.weights, fed);
  ASSERT_OK(reference);
  for (size_t i = first - 1; i < fed.size(); ++i) {
    const auto row = reference->begin() + i * model.vocabulary();
    distance.Add((*rows)[i], {row, row + model.vocabulary()}, tokens[i + 1]);
  }
}

// Whether each row's largest logit is the next of `generated`, but for ties.
void ExpectGreedy(std::span<const std::vector<double>> rows,
                  const nlohmann::json& golden) {
  const Tokens generated = golden["generated_ids"];
  std::vector<double> gaps(generated.size(), 1);
  if (golden.contains("top1_top2_gap_per_step")) {
    gaps = golden["top1_top2_gap_per_step"].get<std::vector<double>>();
  }
  ASSERT_EQ(rows.size(), generated.size());
  ASSERT_EQ(gaps.size(), generated.size());
  for (size_t step = 0; step < generated.size(); ++step) {
    if (gaps[step] < kTie) continue;
    EXPECT_EQ(ArgMax(rows[step]), static_cast<size_t>(generated[step]))
        << "step " << step << ", gap " << gaps[step];
  }
}

// What a golden generation feeds: its prompt and all that it generates but the
// last.
Tokens Fed(const nlohmann::json& golden) {
  const bool prompted = golden.contains("prompt_ids");
  Tokens tokens = golden[prompted ? "prompt_ids" : "input_ids"];
  const Tokens generated = golden["generated_ids"];
  tokens.insert(tokens.end(), generated.begin(), generated.end() - 1);
  return tokens;
}

// The whole text, [first token's window, ...], as the golden loss scores it.
absl::StatusOr<std::vector<Tokens>> GoldenTexts(const Model& model,
                                                const std::string& folder) {
  ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Load(folder));
  std::vector<Tokens> texts;
  for (const auto& text : model.golden["loss"]["texts"]) {
    ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                     tokenizer->Encode(text.get<std::string>()));
    const size_t n = std::min(ids.size(), model.plan.context);
    texts.emplace_back(ids.begin(), ids.begin() + n);
  }
  return texts;
}

// BOS and consecutive windows of 255 tokens of a whole file, as stories260K's
// golden loss has them.
absl::StatusOr<std::vector<Tokens>> Windows(const std::string& folder,
                                            const std::string& file,
                                            size_t count) {
  ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Load(folder));
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(file, 16 << 20));
  ASSIGN_OR_RETURN(const std::vector<int32_t> ids, tokenizer->Encode(text));
  std::vector<Tokens> windows;
  for (size_t begin = 1; windows.size() < count && begin + 255 <= ids.size();
       begin += 255) {
    windows.push_back({ids[0]});
    windows.back().insert(windows.back().end(), ids.begin() + begin,
                          ids.begin() + begin + 255);
  }
  return windows;
}

class AccuracyTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(GetParam())) {
      GTEST_SKIP() << "no " << GetParam();
    }
    auto model = Load(GetParam());
    ASSERT_OK(model);
    model_ = *std::move(model);
  }

  // Texts that the model was not trained on; empty where there are none.
  absl::StatusOr<std::vector<Tokens>> Texts() const {
    if (model_.golden.contains("loss")) return GoldenTexts(model_, GetParam());
    if (model_.golden.contains("mean_nll")) {
      return Windows(GetParam(), kData + "/text/tinystories_sample.txt", 6);
    }
    return std::vector<Tokens>();
  }

  Model model_;
};

TEST_P(AccuracyTest, GreedyTokensAreTransformers) {
  const auto& generations = model_.golden["generations"];
  ASSERT_FALSE(generations.empty());
  for (const auto& golden : generations) {
    const Tokens fed = Fed(golden);
    const size_t steps = golden["generated_ids"].size();
    const auto rows = PlainRows(model_, fed);
    ASSERT_OK(rows);
    SCOPED_TRACE(golden.value("prompt", testing::PrintToString(fed)));
    ExpectGreedy(std::span(*rows).last(steps), golden);
  }
}

TEST_P(AccuracyTest, AWholePrivateRunEqualsPlainAndIsGreedy) {
  const auto& generations = model_.golden["generations"];
  const auto& golden = generations[generations.size() / 2];
  const Tokens fed = Fed(golden);
  const size_t generated = golden["generated_ids"].size();
  const auto outputs = RunAndCheck(Steps(model_, fed.size(), generated - 1),
                                   StepInputs(model_, fed, generated - 1));
  ASSERT_EQ(outputs.size(), generated);
  const auto rows = Rows(model_, outputs);
  ASSERT_EQ(rows.size(), fed.size());
  ExpectGreedy(std::span(rows).last(generated), golden);
}

TEST_P(AccuracyTest, LogitsAreFloatsOnUnseenText) {
  const auto texts = Texts();
  ASSERT_OK(texts);
  Distance distance;
  for (const Tokens& text : *texts) Compare(model_, text, 1, distance);
  // What a model without texts generates.
  for (const auto& golden : model_.golden["generations"]) {
    if (!texts->empty()) break;
    Tokens tokens = Fed(golden);
    const Tokens generated = golden["generated_ids"];
    tokens.push_back(generated.back());
    Compare(model_, tokens, tokens.size() - generated.size(), distance);
  }
  ASSERT_GT(distance.count, 0u);
  distance.ExpectSmall(model_.name);
}

INSTANTIATE_TEST_SUITE_P(
    Checkpoints, AccuracyTest,
    testing::Values(kModels + "/demo", kModels + "/test-gpt2",
                    kData + "/stories260K", kData + "/gpt-nano-sort"),
    [](const auto& info) {
      std::string name = std::filesystem::path(info.param).filename();
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

TEST(NanoSortAccuracyTest, SortsAllItsInputs) {
  const std::string folder = kData + "/gpt-nano-sort";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no " << folder;
  const auto model = Load(folder);
  ASSERT_OK(model);
  const auto& generations = model->golden["generations"];
  EXPECT_EQ(generations.size(), 81u);
  for (const auto& golden : generations) {
    Tokens sorted = golden["input_ids"], fed = sorted;
    std::sort(sorted.begin(), sorted.end());
    for (size_t i = 0; i < sorted.size(); ++i) {
      const auto rows = PlainRows(*model, fed);
      ASSERT_OK(rows);
      fed.push_back(static_cast<int64_t>(ArgMax(rows->back())));
    }
    EXPECT_EQ(Tokens(fed.end() - sorted.size(), fed.end()), sorted);
  }
}

}  // namespace
}  // namespace tacit

#include "common/models/encoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>

#include "common/base/status_macros.h"
#include "common/gates/linear.h"
#include "common/gates/testing.h"
#include "common/models/float_model.h"
#include "common/models/testing.h"
#include "common/models/tokenizer.h"
#include "common/nn/embedding.h"

namespace tacit {
namespace {

using Tokens = std::vector<int64_t>;

constexpr size_t kMaxTokens = 64;
constexpr int64_t kVocabulary = 37;
// Of logits, pooled and hidden rows, in units of 1, where these reach 1, 1 and
// 3.5. Measured: 0.006.
constexpr double kTolerance = 0.02;

// A planned and shared model.
struct Model {
  EncoderPlan plan;
  EncoderShares shares;
};

absl::StatusOr<Model> MakeModel(const ModelWeights& weights,
                                const ModelRanges& ranges,
                                WeightMode mode = WeightMode::kDealerHeld,
                                size_t max_tokens = kMaxTokens) {
  ASSIGN_OR_RETURN(EncoderPlan plan,
                   PlanEncoder(weights.config, BoundsOf(ranges), max_tokens));
  ASSIGN_OR_RETURN(EncoderShares shares,
                   ShareEncoder(plan, weights, mode, TestSeeds().gateway));
  return Model{std::move(plan), std::move(shares)};
}

// Texts one after the other, their segments if there are any.
struct Texts {
  std::vector<size_t> lengths;
  Tokens tokens, types;

  Tokens Own(const Tokens& all, size_t text) const {
    if (all.empty()) return {};
    const auto begin =
        all.begin() +
        std::accumulate(lengths.begin(), lengths.begin() + text, size_t{0});
    return Tokens(begin, begin + static_cast<ptrdiff_t>(lengths[text]));
  }
};

Texts SomeTexts(const std::vector<size_t>& lengths, bool types) {
  const size_t total =
      std::accumulate(lengths.begin(), lengths.end(), size_t{0});
  Texts texts{lengths, SomeTokens(total, kVocabulary), {}};
  if (types) texts.types = SomeTokens(total, 2);
  return texts;
}

Program Encode(const Model& model, const std::vector<size_t>& lengths,
               bool with_types, EncoderOutput what) {
  return [&model, lengths, with_types, what](Evaluator& ev) {
    const ModelConfig& config = model.plan.config;
    const size_t total =
        std::accumulate(lengths.begin(), lengths.end(), size_t{0});
    const Wire tokens = ev.Input({total}, TokenWidth(config.vocab_size), 0);
    Wire types;
    if (with_types) {
      types = ev.Input({total}, TokenWidth(config.type_vocab_size), 0);
    }
    ev.Output(EncoderForward(ev, model.plan, Pick(ev, model.shares), tokens,
                             with_types ? &types : nullptr, lengths, what));
  };
}

std::vector<InputValue> Inputs(const Model& model, const Texts& texts) {
  std::vector<InputValue> inputs = {
      {texts.tokens, TokenWidth(model.plan.config.vocab_size)}};
  if (!texts.types.empty()) {
    inputs.push_back(
        {texts.types, TokenWidth(model.plan.config.type_vocab_size)});
  }
  return inputs;
}

// Runs all roles; the result must equal the plain one, the cost the declared.
std::vector<double> RunSecurely(const Model& model, const Texts& texts,
                                EncoderOutput what,
                                const TwoPartyOptions& options = {}) {
  const auto out =
      RunAndCheck(Encode(model, texts.lengths, !texts.types.empty(), what),
                  Inputs(model, texts), options);
  EXPECT_EQ(out.size(), 1u);
  if (out.size() != 1) return {};
  const int frac = what == EncoderOutput::kLogits ? kEncoderLogitFrac : kFrac;
  std::vector<double> values;
  for (int64_t v : out[0]) {
    values.push_back(std::ldexp(static_cast<double>(v), -frac));
  }
  return values;
}

// The same by the plain evaluator alone.
std::vector<double> RunPlainly(const Model& model, const Texts& texts,
                               EncoderOutput what) {
  const auto out = RunPlain(
      {}, TestSeeds(), Encode(model, texts.lengths, !texts.types.empty(), what),
      Inputs(model, texts));
  EXPECT_OK(out);
  if (!out.ok()) return {};
  const int frac = what == EncoderOutput::kLogits ? kEncoderLogitFrac : kFrac;
  std::vector<double> values;
  for (int64_t v : (*out)[0]) {
    values.push_back(std::ldexp(static_cast<double>(v), -frac));
  }
  return values;
}

// What floats give for all texts; raises `ranges`.
std::vector<float> Wanted(const ModelWeights& weights, const Texts& texts,
                          EncoderOutput what, ModelRanges* ranges) {
  std::vector<float> all;
  for (size_t i = 0; i < texts.lengths.size(); ++i) {
    const auto out = FloatEncode(weights, texts.Own(texts.tokens, i),
                                 texts.Own(texts.types, i), ranges);
    EXPECT_OK(out);
    if (!out.ok()) return {};
    const std::vector<float>& own = what == EncoderOutput::kHidden ? out->hidden
                                    : what == EncoderOutput::kPooled
                                        ? out->pooled
                                        : out->logits;
    all.insert(all.end(), own.begin(), own.end());
  }
  return all;
}

template <typename T>
double LargestError(const std::vector<double>& got,
                    const std::vector<T>& want) {
  EXPECT_EQ(got.size(), want.size());
  if (got.size() != want.size()) return INFINITY;
  double largest = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    largest = std::max(largest, std::abs(got[i] - want[i]));
  }
  return largest;
}

// Plans for what the texts reach, runs all roles, compares with floats.
double ErrorOf(const ModelWeights& weights, const Texts& texts,
               EncoderOutput what, WeightMode mode = WeightMode::kDealerHeld,
               const TwoPartyOptions& options = {}) {
  ModelRanges ranges;
  const std::vector<float> want = Wanted(weights, texts, what, &ranges);
  const auto model = MakeModel(weights, ranges, mode);
  EXPECT_OK(model);
  if (!model.ok()) return INFINITY;
  return LargestError(RunSecurely(*model, texts, what, options), want);
}

using Case = std::tuple<size_t, bool, WeightMode>;
class EncoderTest : public testing::TestWithParam<Case> {};

TEST_P(EncoderTest, SecureEqualsPlainAndIsNearFloat) {
  const auto& [length, types, mode] = GetParam();
  const ModelWeights weights = RandomModel(Architecture::kBertClassifier);
  EXPECT_LT(ErrorOf(weights, SomeTexts({length}, types), EncoderOutput::kLogits,
                    mode),
            kTolerance);
}

INSTANTIATE_TEST_SUITE_P(
    Lengths, EncoderTest,
    testing::Combine(testing::Values(1, 2, 17, 64), testing::Bool(),
                     testing::Values(WeightMode::kDealerHeld,
                                     WeightMode::kBlind)));

TEST(EncoderRoundingTest, FaithfulRoundingRunsToo) {
  TwoPartyOptions options;
  options.rounding = Rounding::kFaithful;
  EXPECT_LT(ErrorOf(RandomModel(Architecture::kBertClassifier),
                    SomeTexts({5, 2}, true), EncoderOutput::kLogits,
                    WeightMode::kDealerHeld, options),
            kTolerance);
}

// Texts of a batch do not see each other.
TEST(EncoderBatchTest, EveryOutputEqualsItsTextsOneByOne) {
  const ModelWeights weights = RandomModel(Architecture::kBertClassifier);
  const Texts texts = SomeTexts({3, 40, 1, 17}, true);
  for (EncoderOutput what : {EncoderOutput::kHidden, EncoderOutput::kPooled,
                             EncoderOutput::kLogits}) {
    EXPECT_LT(ErrorOf(weights, texts, what), kTolerance)
        << static_cast<int>(what);
  }
}

TEST(EncoderModelTest, OtherShapesAndActivationsRun) {
  ModelConfig config = SmallConfig(Architecture::kBert);
  config.hidden_size = 32;  // a power of two: nothing to scale when centring
  config.head_dim = 8;
  config.num_layers = 1;
  config.activation = Activation::kRelu;
  config.type_vocab_size = 1;
  config.max_positions = kMaxTokens;
  const ModelWeights weights = RandomModel(config);
  EXPECT_LT(ErrorOf(weights, SomeTexts({9}, false), EncoderOutput::kPooled),
            kTolerance);
}

// Rows whose mean is far from zero, and dimensions far larger than others, as
// trained BERTs have them. Rows reach 12; measured: 0.021.
TEST(EncoderOutlierTest, LargeMeansAndDimensionsKeepAccuracy) {
  ModelWeights weights = RandomModel(Architecture::kBertClassifier);
  for (LayerWeights& layer : weights.layers) {
    for (float& b : layer.down.bias) b += 20;
    for (float& b : layer.attention_norm.bias) b += 1;
    layer.mlp_norm.gain[7] = 6;
    layer.mlp_norm.bias[7] = -8;
  }
  EXPECT_LT(ErrorOf(weights, SomeTexts({30}, true), EncoderOutput::kHidden),
            3 * kTolerance);
}

TEST(EncoderRoundsTest, ALayerTakesTwentyTwo) {
  const ModelWeights weights = RandomModel(Architecture::kBertClassifier);
  ModelRanges ranges;
  ASSERT_OK(FloatEncode(weights, SomeTokens(9, kVocabulary), {}, &ranges));
  const auto model = MakeModel(weights, ranges);
  ASSERT_OK(model);
  const auto rounds = [&](const std::vector<size_t>& lengths, bool types,
                          EncoderOutput what) {
    const auto cost = DeclaredCost(Encode(*model, lengths, types, what));
    EXPECT_OK(cost);
    return cost.ok() ? cost->rounds : 0;
  };
  // The embedding 2, the last norm with the pooler 4, tanh 2.
  const uint64_t want = 2 + 2 * 22 + 4 + 2;
  EXPECT_EQ(rounds({9}, false, EncoderOutput::kLogits), want);
  EXPECT_EQ(rounds({9}, true, EncoderOutput::kLogits), want);
  EXPECT_EQ(rounds({9, 64, 1}, true, EncoderOutput::kLogits), want);
  EXPECT_EQ(rounds({9}, true, EncoderOutput::kHidden), want - 2);
}

// In the last layer only first tokens have queries, an MLP and norms.
TEST(EncoderCostTest, LogitsCostLessThanHiddenRows) {
  const ModelWeights weights = RandomModel(Architecture::kBertClassifier);
  ModelRanges ranges;
  ASSERT_OK(FloatEncode(weights, SomeTokens(64, kVocabulary), {}, &ranges));
  const auto model = MakeModel(weights, ranges);
  ASSERT_OK(model);
  const auto material = [&](EncoderOutput what) {
    const auto cost = DeclaredCost(Encode(*model, {64}, false, what));
    EXPECT_OK(cost);
    return cost.ok() ? cost->material_bytes[1] : 0;
  };
  EXPECT_LT(material(EncoderOutput::kLogits),
            material(EncoderOutput::kHidden) * 6 / 10);
}

ModelConfig PublishedShape(int64_t layers, int64_t hidden, int64_t heads,
                           Architecture architecture) {
  ModelConfig c = SmallConfig(architecture);
  c.vocab_size = 30522;
  c.num_layers = layers;
  c.hidden_size = hidden;
  c.num_heads = c.num_kv_heads = heads;
  c.head_dim = hidden / heads;
  c.intermediate_size = 4 * hidden;
  c.max_positions = 512;
  return c;
}

TEST(EncoderPlanTest, TypicalBoundsFitPublishedShapes) {
  for (const auto& [layers, hidden, heads] :
       {std::tuple{2, 128, 2}, {12, 768, 12}, {24, 1024, 16}}) {
    const ModelConfig config =
        PublishedShape(layers, hidden, heads, Architecture::kBertClassifier);
    for (size_t tokens : {128, 512}) {
      const auto plan = PlanEncoder(config, TypicalBounds(config), tokens);
      ASSERT_OK(plan);
      const auto matrices =
          ShapesOnly(EncoderSpecs(*plan, nullptr), WeightMode::kDealerHeld);
      const auto cost = DeclaredCost([&](Evaluator& ev) {
        const Wire ids = ev.Input({tokens}, TokenWidth(config.vocab_size), 0);
        ev.Output(EncoderForward(ev, *plan, matrices, ids, nullptr,
                                 std::vector<size_t>{tokens}));
      });
      ASSERT_OK(cost);
      EXPECT_EQ(cost->rounds, 8u + 22 * layers);
    }
  }
}

TEST(EncoderPlanTest, RejectsWhatDoesNotFit) {
  const ModelWeights weights = RandomModel(Architecture::kBertClassifier);
  ModelRanges ranges;
  ASSERT_OK(FloatEncode(weights, SomeTokens(9, kVocabulary), {}, &ranges));
  const ModelBounds bounds = BoundsOf(ranges);
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(PlanEncoder(weights.config, bounds, 65),
              StatusIs(kInvalid, "65 tokens"));
  EXPECT_THAT(PlanEncoder(weights.config, bounds, 0),
              StatusIs(kInvalid, "0 tokens"));
  ModelBounds broken = bounds;
  broken.layers[1].attention_out = 30;
  EXPECT_THAT(PlanEncoder(weights.config, broken, 64),
              StatusIs(kInvalid, "layer 1: attention: normalised results"));
  broken = bounds;
  broken.layers[0].gate = 40;
  EXPECT_THAT(PlanEncoder(weights.config, broken, 64),
              StatusIs(kInvalid, "layer 0: "));
  broken = bounds;
  broken.layers.pop_back();
  EXPECT_THAT(PlanEncoder(weights.config, broken, 64),
              StatusIs(kInvalid, "bounds of 1 layers"));
  EXPECT_THAT(PlanEncoder(RandomModel(Architecture::kLlama).config, bounds, 64),
              StatusIs(absl::StatusCode::kUnimplemented, "is no encoder"));
}

class EncoderErrorTest : public testing::Test {
 protected:
  void SetUp() override {
    weights_ = RandomModel(Architecture::kBertClassifier);
    Make();
  }
  void Make() {
    ModelRanges ranges;
    ASSERT_OK(FloatEncode(weights_, SomeTokens(9, kVocabulary), {}, &ranges));
    auto model = MakeModel(weights_, ranges, WeightMode::kDealerHeld, 8);
    ASSERT_OK(model);
    model_ = *std::move(model);
  }
  absl::Status StatusOf(const std::vector<size_t>& lengths,
                        EncoderOutput what = EncoderOutput::kLogits) {
    return DeclaredCost(Encode(model_, lengths, true, what)).status();
  }

  ModelWeights weights_;
  Model model_;
};

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST_F(EncoderErrorTest, TextsMustFitThePlan) {
  EXPECT_OK(StatusOf({8, 1}));
  EXPECT_THAT(StatusOf({1, 9}), StatusIs(kInvalid, "1 to 9 tokens; the plan"));
  EXPECT_THAT(StatusOf({3, 0}), StatusIs(kInvalid, "0 to 3 tokens; the plan"));
  EXPECT_THAT(StatusOf({}), StatusIs(kInvalid, "0 texts"));
}

TEST_F(EncoderErrorTest, WiresMustBeTokensOfAllTexts) {
  const auto status = [&](size_t tokens, size_t types, int width) {
    return DeclaredCost([&](Evaluator& ev) {
             const Wire ids = ev.Input({tokens}, width, 0);
             const Wire segments = ev.Input({types}, TokenWidth(2), 0);
             const std::vector<size_t> lengths = {2, 3};
             EncoderForward(ev, model_.plan, Pick(ev, model_.shares), ids,
                            &segments, lengths);
           })
        .status();
  };
  const int width = TokenWidth(kVocabulary);
  EXPECT_OK(status(5, 5, width));
  EXPECT_THAT(status(6, 5, width), StatusIs(kInvalid, "tokens [6]"));
  EXPECT_THAT(status(5, 4, width), StatusIs(kInvalid, "5 tokens in 2 texts"));
  EXPECT_THAT(status(5, 5, width + 1), StatusIs(kInvalid, "of 8 bits"));
}

TEST_F(EncoderErrorTest, OutputsMustBeTheModels) {
  weights_ = RandomModel(Architecture::kBert);
  Make();
  EXPECT_OK(StatusOf({3}, EncoderOutput::kPooled));
  EXPECT_THAT(StatusOf({3}), StatusIs(kInvalid, "no classifier"));
  weights_.pooler = {};
  Make();
  EXPECT_OK(StatusOf({3}, EncoderOutput::kHidden));
  EXPECT_THAT(
      StatusOfPlain(Encode(model_, {3}, false, EncoderOutput::kPooled),
                    {{SomeTokens(3, kVocabulary), TokenWidth(kVocabulary)}}),
      StatusIs(kInvalid, "no pooler"));
}

TEST_F(EncoderErrorTest, PlainEvaluatorSeesIdsOutsideTheTables) {
  const auto status = [&](int64_t token, int64_t type) {
    return StatusOfPlain(
        Encode(model_, {1}, true, EncoderOutput::kLogits),
        {{{token}, TokenWidth(kVocabulary)}, {{type}, TokenWidth(2)}});
  };
  EXPECT_OK(status(36, 1));
  EXPECT_THAT(status(37, 1), StatusIs(absl::StatusCode::kOutOfRange, ""));
  EXPECT_THAT(status(36, 2), StatusIs(absl::StatusCode::kOutOfRange, ""));
}

// ---- A trained checkpoint ----

class TestBertTest : public testing::Test {
 protected:
  static constexpr char kFolder[] = TACIT_MODELS "/test-bert";

  void SetUp() override {
    const auto config = LoadModelConfig(kFolder);
    ASSERT_OK(config);
    const auto checkpoint = Checkpoint::Open(kFolder);
    ASSERT_OK(checkpoint);
    auto weights = LoadModelWeights(*config, *checkpoint);
    ASSERT_OK(weights);
    weights_ = *std::move(weights);
    // As a user's plan is made: without a look at the texts.
    const auto ranges = Calibrate(weights_, 128, 1);
    ASSERT_OK(ranges);
    auto model = MakeModel(weights_, *ranges, WeightMode::kDealerHeld, 128);
    ASSERT_OK(model);
    model_ = *std::move(model);
  }

  ModelWeights weights_;
  Model model_;
};

// Of logits, which reach 1.6, and hidden rows, which reach 3.3. Measured:
// 0.0033.
constexpr double kTrainedTolerance = 0.01;

nlohmann::json Golden() {
  std::ifstream file(TACIT_MODELS "/test-bert/golden.json");
  return nlohmann::json::parse(file);
}

// transformers' logits, for all sentences as one private batch.
TEST_F(TestBertTest, GivesTransformersLogits) {
  Texts texts;
  std::vector<double> want;
  const nlohmann::json golden = Golden();
  for (const auto& sentence : golden["sentences"]) {
    const auto ids = sentence["ids"].get<Tokens>();
    texts.lengths.push_back(ids.size());
    texts.tokens.insert(texts.tokens.end(), ids.begin(), ids.end());
    for (double logit : sentence["logits"]) want.push_back(logit);
  }
  ASSERT_EQ(texts.lengths.size(), 16u);
  EXPECT_LT(
      LargestError(RunSecurely(model_, texts, EncoderOutput::kLogits), want),
      0.01);
}

TEST_F(TestBertTest, GivesTransformersHiddenRows) {
  const auto golden =
      Checkpoint::Open(std::string(kFolder) + "/golden_forward.safetensors");
  ASSERT_OK(golden);
  const auto bytes =
      golden->Bytes("input_ids", "I64", std::vector<int64_t>{12});
  ASSERT_OK(bytes);
  Tokens ids(12);
  std::memcpy(ids.data(), bytes->data(), bytes->size());
  const auto hidden =
      golden->ReadFloat("hidden_states", std::vector<int64_t>{3, 12, 128});
  ASSERT_OK(hidden);
  const std::vector<float> last(hidden->end() - 12 * 128, hidden->end());
  const Texts texts{{12}, ids, {}};
  EXPECT_LT(
      LargestError(RunSecurely(model_, texts, EncoderOutput::kHidden), last),
      0.02);
}

// The first 100 sentences of SST-2's dev split, where the folder is there.
TEST_F(TestBertTest, KeepsFloatsAccuracyOnSst2) {
  const std::string path = TACIT_TEST_DATA "/sst2/dev.tsv";
  std::ifstream file(path);
  if (!file) GTEST_SKIP() << "no " << path;
  const auto tokenizer = Tokenizer::Load(kFolder);
  ASSERT_OK(tokenizer);
  Texts texts;
  std::vector<int> labels;
  std::string line;
  std::getline(file, line);  // the columns' names
  while (labels.size() < 100 && std::getline(file, line)) {
    const size_t tab = line.find('\t');
    ASSERT_NE(tab, std::string::npos);
    const auto ids = (*tokenizer)->Encode(line.substr(0, tab));
    ASSERT_OK(ids);
    texts.lengths.push_back(ids->size());
    texts.tokens.insert(texts.tokens.end(), ids->begin(), ids->end());
    labels.push_back(line[tab + 1] - '0');
  }
  ASSERT_EQ(labels.size(), 100u);
  const std::vector<float> want =
      Wanted(weights_, texts, EncoderOutput::kLogits, nullptr);
  const std::vector<double> got =
      RunPlainly(model_, texts, EncoderOutput::kLogits);
  EXPECT_LT(LargestError(got, want), kTrainedTolerance);
  int correct_float = 0, correct = 0;
  for (size_t i = 0; i < labels.size() && got.size() == want.size(); ++i) {
    correct_float += (want[2 * i + 1] > want[2 * i]) == (labels[i] == 1);
    correct += (got[2 * i + 1] > got[2 * i]) == (labels[i] == 1);
  }
  EXPECT_EQ(correct, correct_float);
  EXPECT_GE(correct, 70);
}

}  // namespace
}  // namespace tacit

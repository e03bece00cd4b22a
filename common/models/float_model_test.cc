#include "common/models/float_model.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstring>
#include <filesystem>
#include <functional>
#include <numbers>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/models/json_file.h"
#include "common/models/testing.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

using Floats = std::vector<float>;
using Tokens = std::vector<int64_t>;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// Of what RelativeError gives. float32 rounds otherwise in another order of
// sums: measured 1.1e-6 at most, and 2.4e-6 against small logits that a golden
// file rounds to six digits.
constexpr double kTolerance = 1e-5;

// Largest difference, as a part of the largest magnitude of `want`.
template <typename Got, typename Want>
double RelativeError(const Got& got, const Want& want) {
  EXPECT_EQ(got.size(), want.size());
  double error = 0, scale = 0;
  for (size_t i = 0; i < std::min<size_t>(got.size(), want.size()); ++i) {
    const double difference = std::abs(double{got[i]} - double{want[i]});
    error = std::isnan(difference) ? INFINITY : std::max(error, difference);
    scale = std::max(scale, std::abs(double{want[i]}));
  }
  return error / scale;
}

int64_t Argmax(std::span<const float> logits) {
  return std::max_element(logits.begin(), logits.end()) - logits.begin();
}

// --- The same models written plainly, in doubles ----------------------------

using Vec = std::vector<double>;
using Rows = std::vector<Vec>;  // one for each token

class Reference {
 public:
  explicit Reference(const ModelWeights& weights)
      : w_(weights), c_(weights.config) {
    ranges.layers.resize(w_.layers.size());
  }

  // A decoder's logits of all tokens, one after the other.
  Vec Decode(const Tokens& tokens) {
    Rows x = Embed(tokens, {});
    for (size_t i = 0; i < w_.layers.size(); ++i) {
      const LayerWeights& l = w_.layers[i];
      ModelRanges::Layer& r = ranges.layers[i];
      Add(x, Attention(i, Norm(x, l.attention_norm, r.attention_norm),
                       Raw(x, l.attention_norm)));
      Add(x, Mlp(i, Norm(x, l.mlp_norm, r.mlp_norm), Raw(x, l.mlp_norm)));
    }
    x = Norm(x, w_.final_norm, ranges.final_norm);
    Vec all;
    for (const Vec& row : x) {
      const Vec logits = Times(row, w_.head_or_embedding());
      Raise(ranges.logit, logits);
      all.insert(all.end(), logits.begin(), logits.end());
    }
    return all;
  }

  // BERT's rows after the last layer, one after the other, and the labels'
  // logits.
  std::pair<Vec, Vec> Encode(const Tokens& tokens, const Tokens& types) {
    Rows x = Embed(tokens, types);
    const auto norm = [&](const NormWeights& n, SquareRange& squares,
                          double& largest) {
      x = Norm(x, n, squares);
      for (const Vec& row : x) {
        Raise(largest, row);
        RaiseBoth(ranges.residual, row);
      }
    };
    norm(w_.embedding_norm, ranges.embedding_norm, ranges.embedding_normed);
    for (size_t i = 0; i < w_.layers.size(); ++i) {
      const LayerWeights& l = w_.layers[i];
      ModelRanges::Layer& r = ranges.layers[i];
      Add(x, Attention(i, x, {}));
      norm(l.attention_norm, r.attention_norm, r.attention_normed);
      Add(x, Mlp(i, x, {}));
      norm(l.mlp_norm, r.mlp_norm, r.mlp_normed);
    }
    Vec pooled = Plus(Times(x[0], w_.pooler.weight), w_.pooler.bias);
    Raise(ranges.pooler, pooled);
    for (double& v : pooled) v = std::tanh(v);
    const Vec logits =
        Plus(Times(pooled, w_.classifier.weight), w_.classifier.bias);
    Raise(ranges.logit, logits);
    Vec all;
    for (const Vec& row : x) all.insert(all.end(), row.begin(), row.end());
    return {all, logits};
  }

  ModelRanges ranges;

 private:
  static Vec Times(const Vec& x, const Floats& matrix) {
    Vec y(matrix.size() / x.size());
    for (size_t o = 0; o < y.size(); ++o) {
      for (size_t i = 0; i < x.size(); ++i) {
        y[o] += x[i] * matrix[o * x.size() + i];
      }
    }
    return y;
  }
  static Vec Plus(Vec x, const Floats& bias) {
    for (size_t i = 0; i < bias.size(); ++i) x[i] += bias[i];
    return x;
  }
  static double Mean(const Vec& x) {
    double sum = 0;
    for (double v : x) sum += v;
    return sum / static_cast<double>(x.size());
  }
  static void Raise(double& largest, const Vec& x) {
    for (double v : x) largest = std::max(largest, std::abs(v));
  }

  bool has_layer_norm() const {
    return c_.architecture == Architecture::kGpt2 || c_.is_bert();
  }
  Vec Centred(Vec x) const {
    const double mean = has_layer_norm() ? Mean(x) : 0;
    for (double& v : x) v -= mean;
    return x;
  }
  void RaiseBoth(double& largest, const Vec& x) const {
    Raise(largest, x);
    Raise(largest, Centred(x));
  }

  // A row of a table, as doubles.
  Vec Row(const Floats& table, int64_t row) const {
    return {table.begin() + row * c_.hidden_size,
            table.begin() + (row + 1) * c_.hidden_size};
  }

  Rows Embed(const Tokens& tokens, const Tokens& types) {
    for (int64_t i = 0; i < c_.vocab_size; ++i) {
      RaiseBoth(ranges.embedding, Row(w_.embedding, i));
    }
    Rows x;
    for (size_t t = 0; t < tokens.size(); ++t) {
      Vec row = Row(w_.embedding, tokens[t]);
      for (size_t i = 0; i < row.size(); ++i) {
        if (has_layer_norm()) {
          row[i] += w_.positions[t * row.size() + i];
        }
        if (c_.is_bert()) {
          row[i] += w_.token_types[types[t] * row.size() + i];
        }
      }
      RaiseBoth(ranges.embedded, row);
      RaiseBoth(ranges.residual, row);
      x.push_back(row);
    }
    return x;
  }

  Rows Norm(const Rows& x, const NormWeights& norm, SquareRange& range) {
    Rows out;
    for (const Vec& row : x) {
      Vec y = Centred(row);
      double square = 0;
      for (double v : y) square += v * v;
      square /= static_cast<double>(y.size());
      range.min = range.max == 0 ? square : std::min(range.min, square);
      range.max = std::max(range.max, square);
      for (size_t i = 0; i < y.size(); ++i) {
        y[i] = y[i] / std::sqrt(square + c_.norm_eps) * norm.gain[i];
      }
      out.push_back(Plus(y, norm.bias));
    }
    return out;
  }
  Rows Raw(const Rows& x, const NormWeights& norm) const {
    Rows out;
    for (const Vec& row : x) {
      out.push_back(Centred(row));
      for (size_t i = 0; i < row.size(); ++i) out.back()[i] *= norm.gain[i];
    }
    return out;
  }

  // Each head's halves as real and imaginary parts.
  Vec Turn(Vec x, size_t position) const {
    if (has_layer_norm()) return x;
    const size_t d = c_.head_dim;
    for (size_t head = 0; head < x.size(); head += d) {
      for (size_t i = 0; i < d / 2; ++i) {
        const double angle =
            static_cast<double>(position) *
            std::pow(c_.rope.theta,
                     -2.0 * static_cast<double>(i) / static_cast<double>(d));
        const auto z = std::complex(x[head + i], x[head + i + d / 2]) *
                       std::polar(1.0, angle);
        x[head + i] = z.real();
        x[head + i + d / 2] = z.imag();
      }
    }
    return x;
  }
  Rows Project(const Rows& x, const LinearWeights& l, double& largest,
               bool with_bias, bool turns) const {
    Rows out;
    for (size_t t = 0; t < x.size(); ++t) {
      const Vec y = Plus(Times(x[t], l.weight), with_bias ? l.bias : Floats());
      Raise(largest, y);
      out.push_back(turns ? Turn(y, t) : y);
      Raise(largest, out.back());
    }
    return out;
  }

  bool Sees(size_t layer, size_t query, size_t key) const {
    if (c_.is_bert()) return true;
    const bool slides =
        c_.sliding_window.has_value() && layer >= c_.first_sliding_layer;
    return key <= query && (!slides || key + *c_.sliding_window > query);
  }

  // One head's weighted sum of values.
  Vec Attend(size_t layer, size_t head, size_t query, const Vec& q,
             const Rows& k, const Rows& v) {
    const size_t d = c_.head_dim, from = head * d;
    const size_t kv_from = head * c_.num_kv_heads / c_.num_heads * d;
    double total = 0;
    Vec out(d);
    for (size_t j = 0; j < k.size(); ++j) {
      if (!Sees(layer, query, j)) continue;
      double score = 0;
      for (size_t i = 0; i < d; ++i) score += q[from + i] * k[j][kv_from + i];
      if (c_.scale_attention) score /= std::sqrt(static_cast<double>(d));
      if (c_.scale_attention_by_layer) score /= static_cast<double>(layer + 1);
      Raise(ranges.layers[layer].score, {score * std::numbers::log2e});
      total += std::exp(score);
      for (size_t i = 0; i < d; ++i) {
        out[i] += std::exp(score) * v[j][kv_from + i];
      }
    }
    for (double& value : out) value /= total;
    return out;
  }

  Rows Attention(size_t layer, const Rows& x, const Rows& raw) {
    const LayerWeights& l = w_.layers[layer];
    ModelRanges::Layer& r = ranges.layers[layer];
    Project(raw, l.q, r.raw_q, false, true);
    Project(raw, l.k, r.raw_k, false, true);
    Project(raw, l.v, r.raw_v, false, false);
    const Rows q = Project(x, l.q, r.q, true, true);
    const Rows k = Project(x, l.k, r.k, true, true);
    const Rows v = Project(x, l.v, r.v, true, false);
    Rows out;
    for (size_t t = 0; t < x.size(); ++t) {
      Vec heads;
      for (int64_t h = 0; h < c_.num_heads; ++h) {
        const Vec head = Attend(layer, h, t, q[t], k, v);
        heads.insert(heads.end(), head.begin(), head.end());
      }
      Raise(r.attention, heads);
      out.push_back(Plus(Times(heads, l.o.weight), l.o.bias));
      RaiseBoth(r.attention_out, out.back());
    }
    return out;
  }

  Rows Mlp(size_t layer, const Rows& x, const Rows& raw) {
    const LayerWeights& l = w_.layers[layer];
    ModelRanges::Layer& r = ranges.layers[layer];
    const bool gated = !has_layer_norm();
    Project(raw, l.gate, r.raw_gate, false, false);
    Rows product = Project(x, l.gate, r.gate, true, false);
    for (Vec& row : product) {
      for (double& v : row) v = Evaluate(c_.activation, v);
    }
    if (gated) {
      Project(raw, l.up, r.raw_up, false, false);
      const Rows up = Project(x, l.up, r.up, true, false);
      for (size_t t = 0; t < up.size(); ++t) {
        for (size_t i = 0; i < up[t].size(); ++i) product[t][i] *= up[t][i];
      }
    }
    Rows out;
    for (const Vec& row : product) {
      Raise(r.product, row);
      out.push_back(Plus(Times(row, l.down.weight), l.down.bias));
      RaiseBoth(r.mlp_out, out.back());
    }
    return out;
  }

  void Add(Rows& x, const Rows& y) {
    for (size_t t = 0; t < x.size(); ++t) {
      for (size_t i = 0; i < x[t].size(); ++i) x[t][i] += y[t][i];
      RaiseBoth(ranges.residual, x[t]);
    }
  }

  const ModelWeights& w_;
  const ModelConfig& c_;
};

// All of them, in a fixed order, with their names.
std::vector<std::pair<std::string, double>> Flat(const ModelRanges& r) {
  std::vector<std::pair<std::string, double>> out = {
      {"embedding", r.embedding},
      {"embedded", r.embedded},
      {"embedding_norm.min", r.embedding_norm.min},
      {"embedding_norm.max", r.embedding_norm.max},
      {"embedding_normed", r.embedding_normed},
      {"residual", r.residual},
      {"final_norm.min", r.final_norm.min},
      {"final_norm.max", r.final_norm.max},
      {"logit", r.logit},
      {"pooler", r.pooler}};
  for (size_t i = 0; i < r.layers.size(); ++i) {
    const ModelRanges::Layer& l = r.layers[i];
    const std::pair<const char*, double> fields[] = {
        {"attention_norm.min", l.attention_norm.min},
        {"attention_norm.max", l.attention_norm.max},
        {"mlp_norm.min", l.mlp_norm.min},
        {"mlp_norm.max", l.mlp_norm.max},
        {"attention_normed", l.attention_normed},
        {"mlp_normed", l.mlp_normed},
        {"q", l.q},
        {"k", l.k},
        {"v", l.v},
        {"score", l.score},
        {"attention", l.attention},
        {"attention_out", l.attention_out},
        {"gate", l.gate},
        {"up", l.up},
        {"product", l.product},
        {"mlp_out", l.mlp_out},
        {"raw_q", l.raw_q},
        {"raw_k", l.raw_k},
        {"raw_v", l.raw_v},
        {"raw_gate", l.raw_gate},
        {"raw_up", l.raw_up}};
    for (const auto& [name, value] : fields) {
      out.emplace_back(absl::StrCat("layer ", i, " ", name), value);
    }
  }
  return out;
}

void ExpectNear(const ModelRanges& got, const ModelRanges& want) {
  const auto a = Flat(got), b = Flat(want);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_NEAR(a[i].second, b[i].second, kTolerance * b[i].second)
        << a[i].first;
  }
}

struct Variant {
  std::string name;
  ModelConfig config;
};
void PrintTo(const Variant& variant, std::ostream* out) {
  *out << variant.name;
}

// Everything that a decoder's config can ask for.
std::vector<Variant> Decoders() {
  ModelConfig window = SmallConfig(Architecture::kMistral);
  window.sliding_window = 5;
  ModelConfig half = SmallConfig(Architecture::kQwen2);
  half.sliding_window = 3;
  half.first_sliding_layer = 1;
  ModelConfig biases = SmallConfig(Architecture::kLlama);
  biases.qkv_bias = biases.attention_output_bias = biases.mlp_bias = true;
  biases.tied_head = true;
  ModelConfig by_layer = SmallConfig(Architecture::kGpt2);
  by_layer.scale_attention_by_layer = true;
  ModelConfig unscaled = SmallConfig(Architecture::kGpt2);
  unscaled.scale_attention = false;
  return {{"Llama", SmallConfig(Architecture::kLlama)},
          {"LlamaBiasesTied", biases},
          {"Qwen2", SmallConfig(Architecture::kQwen2)},
          {"Qwen2SlidingFromLayer1", half},
          {"MistralSliding", window},
          {"Gpt2", SmallConfig(Architecture::kGpt2)},
          {"Gpt2ScoresByLayer", by_layer},
          {"Gpt2ScoresUnscaled", unscaled}};
}

class DecoderFloatTest : public testing::TestWithParam<Variant> {};

// Attention there is a loop over the keys that a mask lets through.
TEST_P(DecoderFloatTest, LogitsAndRangesAreThoseOfThePlainReference) {
  const ModelWeights weights = RandomModel(GetParam().config);
  for (size_t n : {1, 2, 19, 64}) {
    SCOPED_TRACE(n);
    const Tokens tokens = SomeTokens(n, weights.config.vocab_size);
    Reference reference(weights);
    const Vec want = reference.Decode(tokens);
    ModelRanges ranges;
    const auto got = FloatForward(weights, tokens, &ranges);
    ASSERT_OK(got);
    EXPECT_LT(RelativeError(*got, want), kTolerance);
    ExpectNear(ranges, reference.ranges);
  }
}

TEST_P(DecoderFloatTest, CachedStepsGiveTheLogitsOfOnePass) {
  const ModelWeights weights = RandomModel(GetParam().config);
  const Tokens tokens = SomeTokens(40, weights.config.vocab_size);
  ModelRanges whole_ranges, step_ranges;
  const auto whole = FloatForward(weights, tokens, &whole_ranges);
  ASSERT_OK(whole);
  FloatCache cache;
  Floats steps;
  for (size_t n : {9, 1, 1, 20, 1, 8}) {
    const auto logits =
        FloatForward(weights, std::span(tokens).subspan(cache.positions, n),
                     cache, &step_ranges);
    ASSERT_OK(logits);
    steps.insert(steps.end(), logits->begin(), logits->end());
  }
  EXPECT_EQ(cache.positions, 40);
  EXPECT_LT(RelativeError(steps, *whole), kTolerance);
  ExpectNear(step_ranges, whole_ranges);
}

TEST_P(DecoderFloatTest, MeasuringChangesNoLogit) {
  const ModelWeights weights = RandomModel(GetParam().config);
  const Tokens tokens = SomeTokens(17, weights.config.vocab_size);
  ModelRanges ranges;
  EXPECT_EQ(*FloatForward(weights, tokens),
            *FloatForward(weights, tokens, &ranges));
}

INSTANTIATE_TEST_SUITE_P(All, DecoderFloatTest, testing::ValuesIn(Decoders()),
                         [](const auto& info) { return info.param.name; });

TEST(EncoderFloatTest, ResultsAndRangesAreThoseOfThePlainReference) {
  const ModelWeights weights = RandomModel(Architecture::kBertClassifier);
  for (size_t n : {1, 2, 19, 64}) {
    SCOPED_TRACE(n);
    const Tokens tokens = SomeTokens(n, weights.config.vocab_size);
    Tokens types(n, 0);
    std::fill(types.begin() + n / 2, types.end(), 1);
    Reference reference(weights);
    const auto [hidden, logits] = reference.Encode(tokens, types);
    ModelRanges ranges;
    const auto got = FloatEncode(weights, tokens, types, &ranges);
    ASSERT_OK(got);
    EXPECT_LT(RelativeError(got->hidden, hidden), kTolerance);
    EXPECT_LT(RelativeError(got->logits, logits), kTolerance);
    ExpectNear(ranges, reference.ranges);
  }
}

TEST(EncoderFloatTest, NoTypesAreZeros) {
  const ModelWeights weights = RandomModel(Architecture::kBertClassifier);
  const Tokens tokens = SomeTokens(7, weights.config.vocab_size);
  EXPECT_EQ(FloatEncode(weights, tokens, {})->logits,
            FloatEncode(weights, tokens, Tokens(7, 0))->logits);
  EXPECT_NE(FloatEncode(weights, tokens, {})->logits,
            FloatEncode(weights, tokens, Tokens(7, 1))->logits);
}

TEST(EncoderFloatTest, HeadsThatAModelLacksAreEmpty) {
  ModelWeights weights = RandomModel(Architecture::kBert);
  const Tokens tokens = SomeTokens(7, weights.config.vocab_size);
  EXPECT_EQ(FloatEncode(weights, tokens, {})->pooled.size(), 24);
  EXPECT_TRUE(FloatEncode(weights, tokens, {})->logits.empty());
  weights.pooler = {};
  EXPECT_TRUE(FloatEncode(weights, tokens, {})->pooled.empty());
}

// --- Errors -----------------------------------------------------------------

TEST(FloatForwardTest, RejectsBadTokens) {
  const ModelWeights weights = RandomModel(Architecture::kLlama);
  EXPECT_THAT(FloatForward(weights, {}),
              StatusIs(kInvalid, "0 tokens after 0"));
  EXPECT_THAT(FloatForward(weights, Tokens{3, 37}),
              StatusIs(kInvalid, "token 37 is outside the vocabulary of 37"));
  EXPECT_THAT(FloatForward(weights, Tokens{-1}),
              StatusIs(kInvalid, "token -1 is outside"));
  EXPECT_THAT(FloatForward(weights, SomeTokens(65, 37)),
              StatusIs(kInvalid, "65 tokens after 0; the context holds 64"));
}

TEST(FloatForwardTest, AnErrorLeavesTheCacheAsItWas) {
  const ModelWeights weights = RandomModel(Architecture::kGpt2);
  FloatCache cache;
  ASSERT_OK(FloatForward(weights, SomeTokens(63, 37), cache));
  EXPECT_THAT(FloatForward(weights, Tokens{1, 2}, cache),
              StatusIs(kInvalid, "2 tokens after 63; the context holds 64"));
  EXPECT_THAT(FloatForward(weights, Tokens{37}, cache),
              StatusIs(kInvalid, "token 37"));
  EXPECT_EQ(cache.positions, 63);
  EXPECT_OK(FloatForward(weights, Tokens{1}, cache));
}

TEST(FloatForwardTest, ModelsAreKeptApart) {
  EXPECT_THAT(FloatForward(RandomModel(Architecture::kBert), Tokens{1}),
              StatusIs(kInvalid, "BertModel is no decoder"));
  EXPECT_THAT(FloatEncode(RandomModel(Architecture::kGpt2), Tokens{1}, {}),
              StatusIs(kInvalid, "GPT2LMHeadModel is no encoder"));
}

TEST(FloatEncodeTest, RejectsBadTokensAndSegments) {
  const ModelWeights weights = RandomModel(Architecture::kBertClassifier);
  EXPECT_THAT(FloatEncode(weights, {}, {}),
              StatusIs(kInvalid, "0 tokens after 0"));
  EXPECT_THAT(FloatEncode(weights, Tokens{37}, {}),
              StatusIs(kInvalid, "token 37"));
  EXPECT_THAT(FloatEncode(weights, SomeTokens(65, 37), {}),
              StatusIs(kInvalid, "the context holds 64"));
  EXPECT_THAT(FloatEncode(weights, Tokens{1, 2}, Tokens{0}),
              StatusIs(kInvalid, "1 segment ids for 2 tokens"));
  for (int64_t type : {-1, 2}) {
    EXPECT_THAT(FloatEncode(weights, Tokens{1}, Tokens{type}),
                StatusIs(kInvalid, absl::StrCat("segment id ", type)));
  }
}

// --- Calibration ------------------------------------------------------------

class CalibrateTest : public testing::TestWithParam<Architecture> {};

TEST_P(CalibrateTest, FillsEverythingAndDependsOnModelAndSeedOnly) {
  const ModelWeights weights = RandomModel(GetParam());
  const auto ranges = Calibrate(weights, 32, 1);
  ASSERT_OK(ranges);
  EXPECT_EQ(Flat(*ranges), Flat(*Calibrate(weights, 32, 1)));
  EXPECT_NE(Flat(*ranges), Flat(*Calibrate(weights, 32, 2)));
  // What a single text fills is what calibration fills.
  ModelRanges text;
  ASSERT_OK(CalibrateOn(weights, SomeTokens(9, 37), text));
  const auto a = Flat(*ranges), b = Flat(text);
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].second > 0, b[i].second > 0) << a[i].first;
  }
}

TEST_P(CalibrateTest, TextsOnlyWidenRanges) {
  const ModelWeights weights = RandomModel(GetParam());
  auto ranges = Calibrate(weights, 8, 1);
  ASSERT_OK(ranges);
  const auto before = Flat(*ranges);
  ModelRanges text;
  const Tokens tokens = SomeTokens(50, 37);
  ASSERT_OK(CalibrateOn(weights, tokens, text));
  ASSERT_OK(CalibrateOn(weights, tokens, *ranges));
  const auto alone = Flat(text), after = Flat(*ranges);
  for (size_t i = 0; i < after.size(); ++i) {
    const auto& [name, value] = after[i];
    const bool is_min = name.find(".min") != std::string::npos;
    const double want = is_min ? std::min(before[i].second, alone[i].second)
                               : std::max(before[i].second, alone[i].second);
    EXPECT_EQ(value, want) << name;
  }
}

TEST_P(CalibrateTest, LengthIsCutToTheContext) {
  const ModelWeights weights = RandomModel(GetParam());
  EXPECT_EQ(Flat(*Calibrate(weights, 1000, 1)),
            Flat(*Calibrate(weights, 64, 1)));
  EXPECT_THAT(Calibrate(weights, 0, 1), StatusIs(kInvalid, "0 tokens"));
}

INSTANTIATE_TEST_SUITE_P(Architectures, CalibrateTest,
                         testing::Values(Architecture::kLlama,
                                         Architecture::kGpt2,
                                         Architecture::kBertClassifier),
                         [](const auto& info) {
                           return std::string(ToString(info.param));
                         });

// --- What transformers computes for real checkpoints ------------------------

const std::string kData = TACIT_TEST_DATA;
const std::string kModels = TACIT_MODELS;

absl::StatusOr<ModelWeights> LoadFolder(const std::string& folder) {
  auto config = LoadModelConfig(folder);
  if (!config.ok()) return config.status();
  const auto checkpoint = Checkpoint::Open(folder);
  if (!checkpoint.ok()) return checkpoint.status();
  return LoadModelWeights(*config, *checkpoint);
}

nlohmann::json Golden(const std::string& folder) {
  const auto text = ReadWholeFile(folder + "/golden.json", 16 << 20);
  EXPECT_OK(text);
  const auto json = ParseJsonObject("golden.json", *text, 16);
  EXPECT_OK(json);
  return *json;
}

// A tensor of any shape.
Floats ReadFloats(const Checkpoint& file, absl::string_view name) {
  return *file.ReadFloat(name, file.Info(name)->shape);
}
Tokens ReadTokens(const Checkpoint& file, absl::string_view name) {
  const TensorInfo info = *file.Info(name);
  Tokens tokens(info.bytes / sizeof(int64_t));
  std::memcpy(tokens.data(), file.Bytes(name, "I64", info.shape)->data(),
              info.bytes);
  return tokens;
}

// Two right answers may differ where the best two logits are this near.
constexpr double kTie = 1e-3;
// Of the difference of those two, where logits reach 21. Measured: 1.9e-5.
constexpr double kGapTolerance = 2e-4;

// The test data is not part of the repository.
#define SKIP_WITHOUT(folder)              \
  if (!std::filesystem::exists(folder)) { \
    GTEST_SKIP() << "no " << (folder);    \
  }

class GoldenTest : public testing::TestWithParam<std::string> {};

TEST_P(GoldenTest, ForwardGivesTransformersLogits) {
  SKIP_WITHOUT(GetParam());
  const auto weights = LoadFolder(GetParam());
  ASSERT_OK(weights);
  const auto golden =
      Checkpoint::Open(GetParam() + "/golden_forward.safetensors");
  ASSERT_OK(golden);
  const auto logits = FloatForward(*weights, ReadTokens(*golden, "input_ids"));
  ASSERT_OK(logits);
  EXPECT_LT(RelativeError(*logits, ReadFloats(*golden, "logits")), kTolerance);
}

// Feeds the golden continuation, so that one tie does not end the comparison.
void ExpectGreedy(const ModelWeights& weights, const nlohmann::json& golden) {
  SCOPED_TRACE(golden["prompt"].dump());
  const Tokens generated = golden["generated_ids"];
  const Vec gaps = golden["top1_top2_gap_per_step"];
  Tokens next = golden["prompt_ids"];
  FloatCache cache;
  for (size_t step = 0; step < generated.size(); ++step) {
    const auto logits = FloatForward(weights, next, cache);
    ASSERT_OK(logits);
    Floats last(logits->end() - weights.config.vocab_size, logits->end());
    if (gaps[step] >= kTie) {
      EXPECT_EQ(Argmax(last), generated[step]) << step;
    }
    if (step == 0) {
      const auto& top = golden["first_step_top5"];
      Floats best;
      for (const auto& id : top["ids"]) best.push_back(last[id]);
      EXPECT_LT(RelativeError(best, top["logits"].get<Floats>()), kTolerance);
    }
    std::partial_sort(last.begin(), last.begin() + 2, last.end(),
                      std::greater<>());
    EXPECT_NEAR(last[0] - last[1], gaps[step], kGapTolerance) << step;
    next = {generated[step]};
  }
}

TEST_P(GoldenTest, GreedyTokensAreTransformers) {
  SKIP_WITHOUT(GetParam());
  const auto weights = LoadFolder(GetParam());
  ASSERT_OK(weights);
  const auto golden = Golden(GetParam());
  ASSERT_FALSE(golden["generations"].empty());
  for (const auto& generation : golden["generations"]) {
    ExpectGreedy(*weights, generation);
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, GoldenTest,
                         testing::Values(kData + "/stories260K",
                                         kModels + "/demo",
                                         kModels + "/test-gpt2"),
                         [](const auto& info) {
                           std::string name =
                               std::filesystem::path(info.param).filename();
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(GptNanoSortTest, SortsAllItsInputs) {
  const std::string folder = kData + "/gpt-nano-sort";
  SKIP_WITHOUT(folder);
  const auto weights = LoadFolder(folder);
  ASSERT_OK(weights);
  const auto goldens = Golden(folder);
  EXPECT_EQ(goldens["generations"].size(), 81);
  for (const auto& golden : goldens["generations"]) {
    Tokens next = golden["input_ids"], generated;
    FloatCache cache;
    for (size_t step = 0; step < 6; ++step) {
      const auto logits = FloatForward(*weights, next, cache);
      ASSERT_OK(logits);
      const Floats last(logits->end() - 3, logits->end());
      if (step == 0) {
        EXPECT_LT(
            RelativeError(last, golden["first_step_logits"].get<Floats>()),
            kTolerance);
      }
      generated.push_back(Argmax(last));
      next = {generated.back()};
    }
    EXPECT_EQ(generated, golden["generated_ids"].get<Tokens>());
  }
}

// Three inputs with all values in between, computed by another program.
TEST(GptNanoSortTest, LogitsAndRangesAreThePublishedOnes) {
  const std::string folder = kData + "/gpt-nano-sort";
  SKIP_WITHOUT(folder);
  const auto weights = LoadFolder(folder);
  ASSERT_OK(weights);
  const auto published =
      Checkpoint::Open(folder + "/published_activations.safetensors");
  ASSERT_OK(published);
  const Tokens tokens = ReadTokens(*published, "idx_int");
  ModelRanges ranges;
  Floats logits;
  for (size_t i = 0; i < 3; ++i) {
    const auto some =
        FloatForward(*weights, std::span(tokens).subspan(i * 11, 11), &ranges);
    ASSERT_OK(some);
    logits.insert(logits.end(), some->begin(), some->end());
  }
  EXPECT_LT(RelativeError(logits, ReadFloats(*published, "lm_head")),
            kTolerance);
  const ModelRanges::Layer& r = ranges.layers[0];
  const std::pair<absl::string_view, double> maxima[] = {
      {"q", r.q},
      {"k", r.k},
      {"v", r.v},
      {"fc", r.gate},
      {"gelu", r.product},
      {"y", r.attention},
      {"lm_head", ranges.logit}};
  for (const auto& [name, got] : maxima) {
    double want = 0;
    for (float v : ReadFloats(*published, name)) {
      want = std::max(want, std::abs(double{v}));
    }
    EXPECT_NEAR(got, want, kTolerance * want) << name;
  }
}

TEST(TestBertTest, GivesTransformersRowsAndLogits) {
  const std::string folder = kModels + "/test-bert";
  const auto weights = LoadFolder(folder);
  ASSERT_OK(weights);
  const auto golden = Checkpoint::Open(folder + "/golden_forward.safetensors");
  ASSERT_OK(golden);
  const auto out = FloatEncode(*weights, ReadTokens(*golden, "input_ids"), {});
  ASSERT_OK(out);
  Floats hidden = ReadFloats(*golden, "hidden_states");
  hidden.erase(hidden.begin(),
               hidden.end() - static_cast<ptrdiff_t>(out->hidden.size()));
  EXPECT_LT(RelativeError(out->hidden, hidden), kTolerance);
  EXPECT_LT(RelativeError(out->logits, ReadFloats(*golden, "logits")),
            kTolerance);
  const auto goldens = Golden(folder);
  EXPECT_EQ(goldens["sentences"].size(), 16);
  for (const auto& sentence : goldens["sentences"]) {
    const auto got = FloatEncode(*weights, sentence["ids"].get<Tokens>(), {});
    ASSERT_OK(got);
    EXPECT_LT(RelativeError(got->logits, sentence["logits"].get<Floats>()),
              kTolerance)
        << sentence["text"];
  }
}

}  // namespace
}  // namespace tacit

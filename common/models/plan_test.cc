// From ranges to a plan, its text, its digest and its costs.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/gates/testing.h"
#include "common/models/bounds.h"
#include "common/models/decoder.h"
#include "common/models/float_model.h"
#include "common/models/plan_cost.h"
#include "common/models/plan_file.h"
#include "common/models/shapes.h"
#include "common/models/testing.h"
#include "common/nn/embedding.h"
#include "nlohmann/json.hpp"

namespace tacit {
namespace {

using Json = nlohmann::json;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// ---- Bounds ----

// All of a layer's ranges at `value`, its norms' squares at `squares`.
ModelRanges RangesAt(double value, const SquareRange& squares) {
  ModelRanges ranges;
  ModelRanges::Layer& l = ranges.layers.emplace_back();
  l.attention_norm = l.mlp_norm = squares;
  for (double* v :
       {&l.attention_normed, &l.mlp_normed, &l.q, &l.k, &l.v, &l.score,
        &l.attention, &l.attention_out, &l.gate, &l.up, &l.product, &l.mlp_out,
        &l.raw_q, &l.raw_k, &l.raw_v, &l.raw_gate, &l.raw_up}) {
    *v = value;
  }
  ranges.embedding_norm = ranges.final_norm = squares;
  for (double* v :
       {&ranges.embedding, &ranges.embedded, &ranges.embedding_normed,
        &ranges.residual, &ranges.logit, &ranges.pooler}) {
    *v = value;
  }
  return ranges;
}

// A description's numbers by their places: "/layers/0/q".
std::vector<std::string> Leaves(const Json& json) {
  std::vector<std::string> leaves;
  const Json flat = json.flatten();
  for (const auto& [place, value] : flat.items()) {
    leaves.push_back(place);
  }
  return leaves;
}
bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() &&
         text.compare(text.size() - end.size(), end.size(), end) == 0;
}
// "/layers/0/q" to "q".
std::string LastName(const std::string& place) {
  return place.substr(place.rfind('/') + 1);
}

TEST(BoundsTest, AreTheRangesTimesTheMarginInPowersOfTwo) {
  // 3 times 4, and 9 times 4 under the root.
  const Json bounds = Json::parse(ToJson(BoundsOf(RangesAt(3, {0.3, 9}))));
  for (const std::string& place : Leaves(bounds)) {
    int want = 4;
    if (EndsWith(place, "/score")) want = 12;
    if (EndsWith(place, "/embedding")) want = 2;  // known: no margin
    if (EndsWith(place, "norm/min")) want = -1;   // no margin below, either
    EXPECT_EQ(bounds.at(Json::json_pointer(place)).get<int64_t>(), want)
        << place;
  }
}

TEST(BoundsTest, MarginsMove) {
  for (const auto& [margin, log] : {std::pair(1.0, 2), std::pair(1.34, 3),
                                    std::pair(4.0, 4), std::pair(64.0, 8)}) {
    const ModelBounds b = BoundsOf(RangesAt(3, {1, 9}), margin);
    EXPECT_EQ(b.layers[0].q, log);
    EXPECT_EQ(b.layers[0].attention_norm.max, log);
    EXPECT_EQ(b.layers[0].attention_norm.min, 0);
    EXPECT_EQ(b.layers[0].score,
              std::max<int64_t>(8, static_cast<int64_t>(std::ceil(3 * margin))))
        << margin;
    EXPECT_EQ(b.embedding, 2);
  }
}

TEST(BoundsTest, PowersOfTwoAreTheirOwnBounds) {
  EXPECT_EQ(BoundsOf(RangesAt(4, {1, 1}), 4).layers[0].q, 4);
  EXPECT_EQ(BoundsOf(RangesAt(std::nextafter(4, 5), {1, 1}), 4).layers[0].q, 5);
  EXPECT_EQ(BoundsOf(RangesAt(0.125, {1, 1}), 4).layers[0].q, -1);
}

TEST(BoundsTest, NextToNothingCostsNothing) {
  for (double value : {0.0, 1e-300, 1e-9, 0x1p-12}) {
    const ModelBounds b = BoundsOf(RangesAt(value, {0, 0}));
    EXPECT_EQ(b.layers[0].q, -10) << value;
    EXPECT_EQ(b.layers[0].score, 8) << value;
    EXPECT_EQ(b.embedding, -10) << value;
    EXPECT_EQ(b.final_norm.min, 0) << value;
    EXPECT_EQ(b.final_norm.max, 0) << value;
  }
  EXPECT_EQ(BoundsOf(RangesAt(0x1.01p-12, {1, 1})).layers[0].q, -9);
}

// Rows of zeros, or almost: epsilon is what their norms see.
TEST(BoundsTest, TheLeastRootMeanSquareStaysInRange) {
  for (double least : {0.0, 5e-324, 1e-100, 0x1p-41}) {
    const ModelBounds b = BoundsOf(RangesAt(1, {least, 4}));
    EXPECT_EQ(b.final_norm.min, -20) << least;
    EXPECT_EQ(b.final_norm.max, 3) << least;
    EXPECT_OK(ParseModelBounds(ToJson(b)));
  }
  EXPECT_EQ(BoundsOf(RangesAt(1, {0x1p-30, 4})).final_norm.min, -15);
}

// Where floats overflow nothing may be planned.
TEST(BoundsTest, WhatIsNotFiniteHasNoPlan) {
  const ModelConfig config = SmallConfig(Architecture::kLlama);
  for (double value : {1e30, kInfinity, std::nan("")}) {
    for (const ModelRanges& one :
         {RangesAt(value, {1, 1}), RangesAt(1, {1, value})}) {
      ModelRanges ranges = one;
      ranges.layers.resize(2, ranges.layers[0]);
      EXPECT_THAT(PlanDecoder(config, BoundsOf(ranges), 16),
                  StatusIs(kInvalid, ""))
          << value;
    }
  }
}

// Each bound alone, where a decoder reads it: a ring that nothing holds.
TEST(BoundsTest, NoneMayExceedARing) {
  const std::set<std::string> unread = {"attention_normed", "mlp_normed",
                                        "embedding_normed", "pooler", "min"};
  for (Architecture architecture :
       {Architecture::kLlama, Architecture::kGpt2}) {
    const ModelConfig config = SmallConfig(architecture);
    ModelRanges ranges = RangesAt(1, {1, 1});
    ranges.layers.resize(2, ranges.layers[0]);
    const Json json = Json::parse(ToJson(BoundsOf(ranges)));
    for (const std::string& place : Leaves(json)) {
      const std::string name = LastName(place);
      const bool up = architecture == Architecture::kGpt2 &&
                      (name == "up" || name == "raw_up" || name == "product");
      if (unread.count(name) || place == "/embedding_norm/max" || up) continue;
      // Of a gate's, each objective reads its own.
      const bool raw = name == "raw_gate" || name == "raw_up";
      Json other = json;
      other[Json::json_pointer(place)] = 60;
      if (name == "score") other[Json::json_pointer(place)] = 1 << 20;
      const auto bounds = ParseModelBounds(other.dump());
      ASSERT_OK(bounds);
      EXPECT_THAT(PlanDecoder(config, *bounds, 16,
                              raw ? Objective::kRounds : Objective::kBytes)
                      .status(),
                  StatusIs(kInvalid, ""))
          << ToString(architecture) << place;
    }
  }
}

TEST(BoundsTest, TypicalOnesAreOfTheModelsLayers) {
  for (const std::string& name : ShapeNames()) {
    const auto config = ShapeConfig(name);
    ASSERT_OK(config);
    EXPECT_EQ(TypicalBounds(*config).layers.size(), config->num_layers) << name;
  }
}

// ---- Bounds as JSON ----

// Another value in each place.
ModelBounds DistinctBounds(size_t layers) {
  ModelBounds b;
  b.layers.resize(layers);
  Json json = Json::parse(ToJson(b));
  int next = -60;
  for (const std::string& place : Leaves(json)) {
    json[Json::json_pointer(place)] = next == 60 ? next = -60 : next++;
  }
  const auto parsed = ParseModelBounds(json.dump());
  EXPECT_OK(parsed);
  if (parsed.ok()) {
    EXPECT_EQ(Json::parse(ToJson(*parsed)).dump(), json.dump());
  }
  return parsed.value_or(b);
}

TEST(BoundsJsonTest, ReturnsEveryField) {
  const ModelBounds b = DistinctBounds(2);
  // 21 of a layer; 10 of the model.
  EXPECT_EQ(Leaves(Json::parse(ToJson(b))).size(), 2 * 21 + 10);
  ModelBounds other = b;
  other.layers[1].score = int64_t{1} << 40;
  other.layers[0].raw_up = 60;
  const auto parsed = ParseModelBounds(ToJson(other));
  ASSERT_OK(parsed);
  EXPECT_EQ(parsed->layers[1].score, int64_t{1} << 40);
  EXPECT_EQ(parsed->layers[0].raw_up, 60);
  EXPECT_EQ(parsed->layers[0].attention_norm.min,
            b.layers[0].attention_norm.min);
  EXPECT_EQ(parsed->pooler, b.pooler);
}

TEST(BoundsJsonTest, NamesAMissingField) {
  const Json json = Json::parse(ToJson(DistinctBounds(2)));
  for (const std::string& place : Leaves(json)) {
    Json without = json;
    const Json::json_pointer pointer(place);
    without.at(pointer.parent_pointer()).erase(pointer.back());
    EXPECT_THAT(ParseModelBounds(without.dump()),
                StatusIs(kInvalid, LastName(place)))
        << place;
  }
}

TEST(BoundsJsonTest, NamesAFieldOfAnotherType) {
  const Json json = Json::parse(ToJson(DistinctBounds(2)));
  const Json wrong[] = {"3", 3.5, true, nullptr, 1e300, int64_t{1} << 41, -61,
                        UINT64_MAX, INT64_MIN,
                        // What a narrowing conversion would make 3 of.
                        (int64_t{1} << 32) + 3 - (int64_t{1} << 50),
                        (int64_t{1} << 42) + 3};
  for (const std::string& place : Leaves(json)) {
    for (const Json& value : wrong) {
      Json other = json;
      other[Json::json_pointer(place)] = value;
      EXPECT_THAT(ParseModelBounds(other.dump()),
                  StatusIs(kInvalid, LastName(place)))
          << place << " = " << value;
    }
  }
  Json other = json;
  other["layers"][1]["q"] = (int64_t{1} << 32) + 3;
  EXPECT_THAT(ParseModelBounds(other.dump()), StatusIs(kInvalid, "q"));
  other["layers"][1]["q"] = 61;
  EXPECT_THAT(ParseModelBounds(other.dump()),
              StatusIs(kInvalid, "61 lies outside [-60, 60]"));
}

TEST(BoundsJsonTest, RejectsTextThatIsNoBounds) {
  const std::string deep = std::string(100, '[') + std::string(100, ']');
  for (const std::string& text :
       {std::string(), std::string("bounds"), std::string("{"),
        std::string("[]"), std::string("{}"), std::string("{\"layers\": 3}"),
        std::string("{\"layers\": [3]}"), deep,
        absl::StrCat("{\"layers\": ", deep, "}"), std::string("\xff\xfe")}) {
    EXPECT_THAT(ParseModelBounds(text), StatusIs(kInvalid, "")) << text;
  }
}

// ---- Plan files ----

PlanFile SomeFile() { return {192, Objective::kRounds, DistinctBounds(2)}; }

TEST(PlanFileTest, ReturnsEveryField) {
  for (Objective objective : {Objective::kBytes, Objective::kRounds}) {
    PlanFile file = SomeFile();
    file.objective = objective;
    const auto parsed = ParsePlanFile(ToJson(file));
    ASSERT_OK(parsed);
    EXPECT_EQ(parsed->context, 192u);
    EXPECT_EQ(parsed->objective, objective);
    EXPECT_EQ(ToJson(parsed->bounds), ToJson(file.bounds));
    EXPECT_EQ(ToJson(*parsed), ToJson(file));
  }
}

TEST(PlanFileTest, IsReadAsSaved) {
  const std::string path =
      absl::StrCat(testing::TempDir(), "/plan_test.", getpid());
  ASSERT_OK(SavePlanFile(SomeFile(), path));
  const auto loaded = LoadPlanFile(path);
  ASSERT_OK(loaded);
  EXPECT_EQ(ToJson(*loaded), ToJson(SomeFile()));
  EXPECT_THAT(LoadPlanFile(path + ".other"),
              StatusIs(absl::StatusCode::kNotFound, ".other"));
  EXPECT_THAT(LoadPlanFile(testing::TempDir()), StatusIs(kInvalid, "no"));
  EXPECT_THAT(SavePlanFile(SomeFile(), path + "/none/plan.json"),
              StatusIs(absl::StatusCode::kPermissionDenied, "cannot write"));
  std::filesystem::remove(path);
}

TEST(PlanFileTest, NamesWhatIsMissingOrWrong) {
  const Json json = Json::parse(ToJson(SomeFile()));
  for (const char* field : {"format", "context", "objective", "bounds"}) {
    Json other = json;
    other.erase(field);
    EXPECT_THAT(ParsePlanFile(other.dump()), StatusIs(kInvalid, field));
    for (const Json& value : {Json("x"), Json(-1), Json(1.5), Json(nullptr),
                              Json(Json::value_t::array), Json(true)}) {
      other[field] = value;
      EXPECT_THAT(ParsePlanFile(other.dump()), StatusIs(kInvalid, field))
          << value;
    }
  }
  Json other = json;
  other["format"] = 2;
  EXPECT_THAT(ParsePlanFile(other.dump()), StatusIs(kInvalid, "format 1"));
  other = json;
  other["bounds"]["layers"][1]["gate"] = 1000;
  EXPECT_THAT(ParsePlanFile(other.dump()), StatusIs(kInvalid, "gate"));
}

TEST(PlanFileTest, RejectsTextThatIsNoPlan) {
  const std::string deep = std::string(100, '[') + std::string(100, ']');
  const Json json = Json::parse(ToJson(SomeFile()));
  const std::string good = json.dump();
  for (const std::string& text :
       {std::string(), std::string("plan"), std::string("[]"),
        std::string("{}"), std::string("null"), good.substr(1),
        good.substr(0, good.size() / 2), good + good}) {
    EXPECT_THAT(ParsePlanFile(text), StatusIs(kInvalid, "")) << text;
  }
  EXPECT_THAT(ParsePlanFile(deep), StatusIs(kInvalid, "100 levels"));
  EXPECT_THAT(ParsePlanFile(absl::StrCat("{\"bounds\": ", deep, "}")),
              StatusIs(kInvalid, "101 levels"));
  EXPECT_THAT(ParsePlanFile("{\"context\": 1, \"context\": 2}"),
              StatusIs(kInvalid, "twice"));
  for (const char* context : {"1e30", "99999999999999999999", "-5", "1.0"}) {
    std::string text = good;
    text.replace(text.find("192"), 3, context);
    EXPECT_THAT(ParsePlanFile(text), StatusIs(kInvalid, "context")) << context;
  }
}

// ---- Digests ----

absl::StatusOr<ModelBounds> SeenBounds(const ModelWeights& weights) {
  const auto ranges = Calibrate(weights, 16, 1);
  if (!ranges.ok()) return ranges.status();
  return BoundsOf(*ranges);
}

class DigestTest : public testing::TestWithParam<Architecture> {
 protected:
  void SetUp() override {
    config_ = SmallConfig(GetParam());
    const auto bounds = SeenBounds(RandomModel(config_));
    ASSERT_OK(bounds);
    bounds_ = *bounds;
    digest_ = Digest(config_, bounds_);
  }

  static std::string Digest(const ModelConfig& config,
                            const ModelBounds& bounds, size_t context = 32,
                            Objective objective = Objective::kBytes) {
    const auto plan = PlanDecoder(config, bounds, context, objective);
    EXPECT_OK(plan);
    if (!plan.ok()) return "";
    const auto digest = DigestOf(*plan);
    EXPECT_OK(digest);
    return digest.ok() ? ToHex(*digest) : "";
  }

  ModelConfig config_;
  ModelBounds bounds_;
  std::string digest_;
};

TEST_P(DigestTest, EqualPlansHaveEqualDigests) {
  EXPECT_EQ(digest_.size(), 64u);
  const auto again = ParseModelBounds(ToJson(bounds_));
  ASSERT_OK(again);
  EXPECT_EQ(Digest(config_, *again), digest_);
  // Who reads no weights plans the same.
  ModelConfig named = config_;
  named.bos_id = 7;
  named.generation.temperature = 0.5;
  EXPECT_EQ(Digest(named, bounds_), digest_);
}

TEST_P(DigestTest, EveryBoundCounts) {
  const Json json = Json::parse(ToJson(bounds_));
  std::set<std::string> seen = {digest_};
  for (const std::string& place : Leaves(json)) {
    Json other = json;
    Json& value = other[Json::json_pointer(place)];
    value = value.get<int64_t>() + 1;
    const auto bounds = ParseModelBounds(other.dump());
    ASSERT_OK(bounds);
    EXPECT_TRUE(seen.insert(Digest(config_, *bounds)).second) << place;
  }
}

TEST_P(DigestTest, ContextAndObjectiveCount) {
  std::set<std::string> seen = {digest_};
  for (size_t context : {1, 31, 33, 64}) {
    EXPECT_TRUE(seen.insert(Digest(config_, bounds_, context)).second)
        << context;
  }
  EXPECT_TRUE(
      seen.insert(Digest(config_, bounds_, 32, Objective::kRounds)).second);
}

TEST_P(DigestTest, WhatTheProgramReadsOfTheConfigurationCounts) {
  const std::pair<const char*, std::function<void(ModelConfig&)>> changes[] = {
      {"vocab_size", [](ModelConfig& c) { ++c.vocab_size; }},
      {"hidden_size", [](ModelConfig& c) { ++c.hidden_size; }},
      {"intermediate_size", [](ModelConfig& c) { ++c.intermediate_size; }},
      {"num_heads", [](ModelConfig& c) { c.num_heads *= 2; }},
      {"num_kv_heads", [](ModelConfig& c) { c.num_kv_heads = 1; }},
      {"head_dim", [](ModelConfig& c) { c.head_dim += 2; }},
      {"max_positions", [](ModelConfig& c) { ++c.max_positions; }},
      {"activation", [](ModelConfig& c) { c.activation = Activation::kRelu; }},
      {"norm_eps", [](ModelConfig& c) { c.norm_eps *= 1.001; }},
      {"qkv_bias", [](ModelConfig& c) { c.qkv_bias = !c.qkv_bias; }},
      {"attention_output_bias",
       [](ModelConfig& c) {
         c.attention_output_bias = !c.attention_output_bias;
       }},
      {"mlp_bias", [](ModelConfig& c) { c.mlp_bias = !c.mlp_bias; }},
      {"sliding_window", [](ModelConfig& c) { c.sliding_window = 9; }},
      {"first_sliding_layer",
       [](ModelConfig& c) {
         c.sliding_window = 9;
         c.first_sliding_layer = 1;
       }},
      {"architecture", [](ModelConfig& c) {
         c.architecture =
             c.uses_rope() ? Architecture::kMistral : Architecture::kLlama;
       }}};
  std::set<std::string> seen = {digest_};
  for (const auto& [name, change] : changes) {
    ModelConfig other = config_;
    change(other);
    EXPECT_TRUE(seen.insert(Digest(other, bounds_)).second) << name;
  }
}

TEST_P(DigestTest, LayersCount) {
  ModelConfig other = config_;
  ModelBounds bounds = bounds_;
  ++other.num_layers;
  bounds.layers.push_back(bounds.layers[0]);
  EXPECT_NE(Digest(other, bounds), digest_);
}

TEST_P(DigestTest, RotationsCountWhereThereAreAny) {
  std::set<std::string> seen = {digest_};
  for (const auto& change : std::vector<std::function<void(RopeConfig&)>>{
           [](RopeConfig& r) { r.theta = 10001; },
           [](RopeConfig& r) {
             r.type = RopeConfig::Type::kLinear;
             r.factor = 2;
           },
           [](RopeConfig& r) {
             r.type = RopeConfig::Type::kYarn;
             r.factor = 2;
             r.original_max_positions = 32;
           },
           [](RopeConfig& r) {
             r.type = RopeConfig::Type::kYarn;
             r.factor = 2;
             r.original_max_positions = 32;
             r.attention_factor = 0.9;
           }}) {
    ModelConfig other = config_;
    change(other.rope);
    EXPECT_EQ(seen.insert(Digest(other, bounds_)).second, config_.uses_rope());
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, DigestTest,
                         testing::Values(Architecture::kLlama,
                                         Architecture::kGpt2),
                         [](const auto& info) {
                           return std::string(ToString(info.param));
                         });

// ---- Costs ----

// What CostOf counts: all positions but one, then the last.
Program TwoPasses(const DecoderPlan& plan, const DecoderShares& shares) {
  return [&](Evaluator& ev) {
    const int width = TokenWidth(plan.config.vocab_size);
    DecoderCache cache;
    for (size_t tokens : {plan.context - 1, size_t{1}}) {
      if (tokens == 0) continue;
      ev.Output(DecoderForward(ev, plan, Pick(ev, shares),
                               ev.Input({tokens}, width, 0), cache));
    }
  };
}

Cost SumOf(const PassCost& pass) {
  Cost sum;
  for (const auto& [name, cost] : pass.parts) sum += cost;
  return sum;
}

using CostCase = std::tuple<Architecture, WeightMode, Rounding, Objective>;
class PlanCostTest : public testing::TestWithParam<CostCase> {};

TEST_P(PlanCostTest, IsWhatARunCounts) {
  const auto& [architecture, mode, rounding, objective] = GetParam();
  ModelWeights weights = RandomModel(architecture);
  const auto bounds = SeenBounds(weights);
  ASSERT_OK(bounds);
  for (size_t context : {1, 10}) {
    const auto plan = PlanDecoder(weights.config, *bounds, context, objective);
    ASSERT_OK(plan);
    const auto shares = ShareDecoder(*plan, weights, mode, TestSeeds().gateway);
    ASSERT_OK(shares);
    const auto cost = CostOf(*plan, mode, rounding);
    ASSERT_OK(cost);
    std::vector<InputValue> inputs;
    const std::vector<int64_t> tokens = SomeTokens(context, 37);
    if (context > 1) {
      inputs.push_back({{tokens.begin(), tokens.end() - 1}, TokenWidth(37)});
    }
    inputs.push_back({{tokens.back()}, TokenWidth(37)});
    TwoPartyOptions options;
    options.rounding = rounding;
    const auto run =
        RunTwoParty(options, TestSeeds(), TwoPasses(*plan, *shares), inputs);
    ASSERT_OK(run);
    Cost declared = cost->prefill.total;
    declared += cost->per_token.total;
    EXPECT_EQ(declared, run->counted) << context;
    EXPECT_EQ(SumOf(cost->prefill), cost->prefill.total);
    EXPECT_EQ(SumOf(cost->per_token), cost->per_token.total);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Modes, PlanCostTest,
    testing::Combine(
        testing::Values(Architecture::kLlama, Architecture::kGpt2),
        testing::Values(WeightMode::kDealerHeld, WeightMode::kBlind),
        testing::Values(Rounding::kStochastic, Rounding::kFaithful),
        testing::Values(Objective::kBytes, Objective::kRounds)));

TEST(PlanCostTest, PartsAreThoseOfTheModelInOrder) {
  const ModelWeights weights = RandomModel(Architecture::kLlama);
  const auto bounds = SeenBounds(weights);
  ASSERT_OK(bounds);
  const auto plan = PlanDecoder(weights.config, *bounds, 10);
  ASSERT_OK(plan);
  const auto cost =
      CostOf(*plan, WeightMode::kDealerHeld, Rounding::kStochastic);
  ASSERT_OK(cost);
  std::vector<std::string> names;
  for (const auto& part : cost->per_token.parts) names.push_back(part.first);
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(),
            names.size());
  auto at = names.begin();
  for (const char* name : {"inputs", "layers.0.attention", "layers.0.mlp",
                           "layers.1.attention", "layers.1.mlp", "head"}) {
    at = std::find(at, names.end(), name);
    ASSERT_NE(at, names.end())
        << name << " in " << testing::PrintToString(names);
  }
}

uint64_t WordsOf(const WordsRef& words) {
  return words == nullptr ? 0 : words->size();
}

TEST(PlanCostTest, MemoryIsThatOfTheShares) {
  const ModelWeights weights = RandomModel(Architecture::kGpt2);
  const auto bounds = SeenBounds(weights);
  ASSERT_OK(bounds);
  const auto plan = PlanDecoder(weights.config, *bounds, 10);
  ASSERT_OK(plan);
  for (WeightMode mode : {WeightMode::kDealerHeld, WeightMode::kBlind}) {
    const auto shares = ShareDecoder(*plan, weights, mode, TestSeeds().gateway);
    ASSERT_OK(shares);
    const auto cost = CostOf(*plan, mode, Rounding::kStochastic);
    ASSERT_OK(cost);
    const auto bytes = [](const DecoderMatrices& matrices) {
      uint64_t words = 0;
      matrices.ForEach([&](const std::string&, const StaticMatrix& m) {
        words += WordsOf(m.value) + WordsOf(m.part) + WordsOf(m.hat);
      });
      return words * sizeof(uint64_t);
    };
    EXPECT_EQ(cost->dealer.weights, bytes(shares->dealer));
    EXPECT_EQ(cost->party.weights, bytes(shares->party[0]));
    EXPECT_EQ(cost->party.weights, bytes(shares->party[1]));
    // Keys and values of 2 layers, 4 heads of 6: masks; masked values, too.
    EXPECT_EQ(cost->dealer.kv_cache, 2u * 10 * 2 * 24 * 8);
    EXPECT_EQ(cost->party.kv_cache, 2 * cost->dealer.kv_cache);
  }
}

TEST(PlanCostTest, ASlidingWindowBoundsTheCache) {
  ModelConfig config = SmallConfig(Architecture::kMistral);
  config.sliding_window = 8;
  config.first_sliding_layer = 1;
  const auto bounds = SeenBounds(RandomModel(config));
  ASSERT_OK(bounds);
  const auto plan = PlanDecoder(config, *bounds, 40);
  ASSERT_OK(plan);
  const auto cost =
      CostOf(*plan, WeightMode::kDealerHeld, Rounding::kStochastic);
  ASSERT_OK(cost);
  // What is behind the window goes at the end of a pass: 7 stay of layer 1.
  EXPECT_EQ(cost->dealer.kv_cache, 2u * (40 + 7) * 12 * 8);
}

TEST(PlanCostTest, AnEncodersPartsAddUp) {
  const auto config = ShapeConfig("bert-tiny");
  ASSERT_OK(config);
  const auto plan = PlanEncoder(*config, TypicalBounds(*config), 128);
  ASSERT_OK(plan);
  const auto cost = CostOf(*plan, WeightMode::kBlind, Rounding::kStochastic);
  ASSERT_OK(cost);
  EXPECT_EQ(SumOf(cost->prefill), cost->prefill.total);
  EXPECT_EQ(cost->per_token.total, Cost{});
}

// ---- Shapes ----

TEST(ShapesTest, AnUnknownOneListsTheNames) {
  for (const std::string& name : ShapeNames()) {
    EXPECT_THAT(ShapeConfig("llama-8b"),
                StatusIs(absl::StatusCode::kNotFound, name));
  }
  EXPECT_THAT(ShapeConfig(""), StatusIs(absl::StatusCode::kNotFound, "gpt2"));
}

TEST(ShapesTest, AreTheIssuesOnes) {
  EXPECT_EQ(ShapeNames(), (std::vector<std::string>{
                              "llama-7b", "llama-13b", "llama3-8b", "gpt2",
                              "bert-tiny", "bert-base", "bert-large"}));
}

// Parameters as published, embedding and head included.
TEST(ShapesTest, HaveTheirModelsParameters) {
  for (const auto& [name, millions] :
       {std::pair("llama-7b", 6738.4), std::pair("llama-13b", 13015.9),
        std::pair("llama3-8b", 8030.3)}) {
    const auto c = ShapeConfig(name);
    ASSERT_OK(c);
    const int64_t kv = c->num_kv_heads * c->head_dim;
    const int64_t layer = 2 * c->hidden_size * (c->hidden_size + kv) +
                          3 * c->hidden_size * c->intermediate_size +
                          2 * c->hidden_size;
    const int64_t all = 2 * c->vocab_size * c->hidden_size + c->hidden_size +
                        c->num_layers * layer;
    EXPECT_NEAR(all / 1e6, millions, 0.1) << name;
  }
}

TEST(ShapesTest, EveryDecoderPlansAt128AndAtItsFullContext) {
  for (const std::string& name : ShapeNames()) {
    const auto config = ShapeConfig(name);
    ASSERT_OK(config);
    if (config->is_bert()) continue;
    const ModelBounds bounds = TypicalBounds(*config);
    for (Objective objective : {Objective::kBytes, Objective::kRounds}) {
      for (size_t context :
           {size_t{128}, static_cast<size_t>(config->max_positions)}) {
        EXPECT_OK(PlanDecoder(*config, bounds, context, objective))
            << name << " " << context;
      }
    }
    EXPECT_THAT(PlanDecoder(*config, bounds, config->max_positions + 1),
                StatusIs(kInvalid, "context"));
  }
}

// Declared costs are exact.
TEST(ShapesTest, Llama7bKeepsToItsRoundsAndMaterial) {
  const auto config = ShapeConfig("llama-7b");
  ASSERT_OK(config);
  const auto plan = PlanDecoder(*config, TypicalBounds(*config), 128);
  ASSERT_OK(plan);
  const auto cost =
      CostOf(*plan, WeightMode::kDealerHeld, Rounding::kStochastic);
  ASSERT_OK(cost);
  EXPECT_LE(cost->per_token.total.rounds, 850u);
  for (int b = 0; b < 2; ++b) {
    EXPECT_LE(cost->per_token.total.material_bytes[b], 110'000'000u) << b;
  }
}

}  // namespace
}  // namespace tacit

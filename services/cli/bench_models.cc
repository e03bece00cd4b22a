#include <cmath>
#include <memory>
#include <random>
#include <utility>

#include "common/base/status_macros.h"
#include "common/models/decoder.h"
#include "common/models/float_model.h"
#include "common/models/shapes.h"
#include "common/nn/embedding.h"
#include "services/cli/bench_case.h"

namespace tacit {
namespace {

constexpr uint64_t kSeed = 2026;  // of weights and tokens

// Weights with about the deviations that the trained model has.
class RandomWeights {
 public:
  std::vector<float> Draw(size_t n, float deviation, float mean = 0) {
    std::normal_distribution<float> normal(mean, deviation);
    std::vector<float> values(n);
    for (float& v : values) v = normal(rng_);
    return values;
  }
  LinearWeights Linear(size_t outputs, size_t inputs) {
    return {Draw(outputs * inputs, 0.1f), Draw(outputs, 0.1f)};
  }
  NormWeights Norm(size_t hidden) {
    return {Draw(hidden, 0.1f, 1), Draw(hidden, 0.1f)};
  }
  std::vector<int64_t> Tokens(size_t n, int64_t vocabulary) {
    std::vector<int64_t> tokens(n);
    for (int64_t& token : tokens) {
      token = static_cast<int64_t>(rng_() % static_cast<uint64_t>(vocabulary));
    }
    return tokens;
  }

 private:
  std::mt19937_64 rng_{kSeed};
};

LayerWeights RandomLayer(RandomWeights& random, const ModelConfig& c) {
  const size_t hidden = c.hidden_size, mlp = c.intermediate_size;
  LayerWeights w;
  w.attention_norm = random.Norm(hidden);
  w.mlp_norm = random.Norm(hidden);
  for (LinearWeights* linear : {&w.q, &w.k, &w.v, &w.o}) {
    *linear = random.Linear(hidden, hidden);
  }
  w.gate = random.Linear(mlp, hidden);
  w.down = random.Linear(hidden, mlp);
  return w;
}

}  // namespace

absl::StatusOr<BenchCase> Gpt2Case() {
  constexpr size_t kTokens = 32;
  ASSIGN_OR_RETURN(const ModelConfig config, ShapeConfig("gpt2"));
  RandomWeights random;
  ModelWeights weights;
  weights.config = config;
  const size_t hidden = config.hidden_size, vocabulary = config.vocab_size;
  weights.embedding = random.Draw(vocabulary * hidden, 0.14f);
  weights.positions = random.Draw(config.max_positions * hidden, 0.05f);
  for (int64_t i = 0; i < config.num_layers; ++i) {
    weights.layers.push_back(RandomLayer(random, config));
  }
  weights.final_norm = random.Norm(hidden);

  const std::vector<int64_t> tokens = random.Tokens(kTokens, vocabulary);
  ModelRanges ranges;
  ASSIGN_OR_RETURN(const std::vector<float> logits,
                   FloatForward(weights, tokens, &ranges));
  struct Model {
    DecoderPlan plan;
    DecoderShares shares;
  };
  auto model = std::make_shared<Model>();
  ASSIGN_OR_RETURN(model->plan, PlanDecoder(config, BoundsOf(ranges), kTokens));
  ASSIGN_OR_RETURN(const Seed seed, OsSeedSource().Next());
  ASSIGN_OR_RETURN(model->shares, ShareDecoder(model->plan, weights,
                                               WeightMode::kDealerHeld, seed));
  BenchCase out;
  out.shape = "32 tokens";
  out.inputs = {{tokens, TokenWidth(vocabulary)}};
  out.expected.assign(logits.end() - config.vocab_size, logits.end());
  out.out_frac = kLogitFrac;
  out.program = [model](Evaluator& ev) {
    DecoderCache cache;
    const Wire ids =
        ev.Input({kTokens}, TokenWidth(model->plan.config.vocab_size), 0);
    ev.Output(
        DecoderForward(ev, model->plan, Pick(ev, model->shares), ids, cache));
  };
  return out;
}

}  // namespace tacit

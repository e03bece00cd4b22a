#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "common/models/decoder.h"
#include "common/models/float_model.h"
#include "common/models/shapes.h"
#include "common/models/typical_weights.h"
#include "common/nn/embedding.h"
#include "services/cli/bench_case.h"

namespace tacit {
namespace {

constexpr uint64_t kSeed = 2026;  // of weights and tokens

}  // namespace

absl::StatusOr<BenchCase> Gpt2Case() {
  constexpr size_t kTokens = 32;
  ASSIGN_OR_RETURN(const ModelConfig config, ShapeConfig("gpt2"));
  const ModelWeights weights = TypicalWeights(config, kSeed);
  std::mt19937_64 rng(kSeed);
  const std::vector<int64_t> tokens =
      RandomTokens(kTokens, config.vocab_size, rng);
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
  out.inputs = {{tokens, TokenWidth(config.vocab_size)}};
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

#include "common/models/plan_cost.h"

#include <array>

#include "absl/strings/match.h"
#include "common/base/status_macros.h"
#include "common/gates/cost.h"
#include "common/nn/embedding.h"

namespace tacit {
namespace {

using Parts = std::vector<std::pair<std::string, Cost>>;

// "layers.3.attention.Norm" belongs to "layers.3.attention".
std::string PartOf(const std::string& scope) {
  const size_t dots = absl::StartsWith(scope, "layers.") ? 3 : 1;
  size_t end = 0;
  for (size_t i = 0; i < dots && end != std::string::npos; ++i) {
    end = scope.find('.', i == 0 ? 0 : end + 1);
  }
  return scope.empty() ? "inputs" : scope.substr(0, end);
}

Cost Minus(Cost a, const Cost& b) {
  a.rounds -= b.rounds;
  a.dealer_aes -= b.dealer_aes;
  for (int p = 0; p < 2; ++p) {
    a.opened_bytes[p] -= b.opened_bytes[p];
    a.material_bytes[p] -= b.material_bytes[p];
    a.party_aes[p] -= b.party_aes[p];
  }
  return a;
}

// What came up since `before`.
PassCost Since(const CostEvaluator& ev, const Cost& before,
               const Parts& parts_before) {
  PassCost pass;
  pass.total = Minus(ev.cost(), before);
  for (size_t i = 0; i < ev.by_scope().size(); ++i) {
    auto [scope, cost] = ev.by_scope()[i];
    // Scopes keep their places.
    if (i < parts_before.size()) cost = Minus(cost, parts_before[i].second);
    if (cost == Cost{}) continue;
    const std::string part = PartOf(scope);
    auto at = pass.parts.begin();
    while (at != pass.parts.end() && at->first != part) ++at;
    if (at == pass.parts.end()) {
      pass.parts.emplace_back(part, cost);
    } else {
      at->second += cost;
    }
  }
  return pass;
}

template <typename Matrices>
uint64_t WeightBytes(const Matrices& matrices) {
  uint64_t words = 0;
  matrices.ForEach([&](const std::string&, const StaticMatrix& m) {
    words += uint64_t{m.k} * m.n;
  });
  return words * sizeof(uint64_t);
}

// The session's header, which is in the total, comes with the first inputs.
void AddHeader(const Cost& header, PassCost& pass) {
  if (!pass.parts.empty()) pass.parts.front().second += header;
}

uint64_t CacheEntries(const DecoderCache& cache) {
  uint64_t entries = 0;
  for (const DecoderCache::Sequence& sequence : cache.sequences) {
    for (const DecoderCache::Layer& layer : sequence.layers) {
      entries += layer.keys.size() + layer.values.size();
    }
  }
  return entries;
}

}  // namespace

absl::StatusOr<PlanCost> CostOf(const DecoderPlan& plan, WeightMode mode,
                                Rounding rounding) {
  const DecoderMatrices matrices =
      ShapesOnly<DecoderTensors>(DecoderSpecs(plan, nullptr), mode);
  const int width = TokenWidth(plan.config.vocab_size);
  CostEvaluator ev(rounding);
  DecoderCache cache;
  PlanCost out;
  Cost header = ev.cost();
  auto pass = [&](size_t tokens) {
    const Cost before = Minus(ev.cost(), header);
    const Parts parts = ev.by_scope();
    ev.Output(DecoderForward(ev, plan, matrices, ev.Input({tokens}, width, 0),
                             cache));
    ev.Flush();
    PassCost cost = Since(ev, before, parts);
    AddHeader(std::exchange(header, Cost{}), cost);
    return cost;
  };
  if (plan.context > 1) out.prefill = pass(plan.context - 1);
  out.per_token = pass(1);
  RETURN_IF_ERROR(ev.status());
  out.dealer.weights = out.party.weights = WeightBytes(matrices);
  if (mode == WeightMode::kBlind) out.party.weights *= 2;
  const uint64_t entries = CacheEntries(cache);
  out.dealer.kv_cache = entries * sizeof(uint64_t);
  out.party.kv_cache = 2 * entries * sizeof(uint64_t);
  return out;
}

absl::StatusOr<PlanCost> CostOf(const EncoderPlan& plan, WeightMode mode,
                                Rounding rounding) {
  const EncoderMatrices matrices =
      ShapesOnly<EncoderTensors>(EncoderSpecs(plan, nullptr), mode);
  CostEvaluator ev(rounding);
  const Cost header = ev.cost();
  const std::array<size_t, 1> length = {plan.max_tokens};
  const Wire tokens =
      ev.Input({plan.max_tokens}, TokenWidth(plan.config.vocab_size), 0);
  const EncoderOutput what = plan.config.labels.empty()
                                 ? EncoderOutput::kHidden
                                 : EncoderOutput::kLogits;
  ev.Output(EncoderForward(ev, plan, matrices, tokens, nullptr, length, what));
  ev.Flush();
  RETURN_IF_ERROR(ev.status());
  PlanCost out;
  out.prefill = Since(ev, Cost{}, {});
  AddHeader(header, out.prefill);
  out.dealer.weights = out.party.weights = WeightBytes(matrices);
  if (mode == WeightMode::kBlind) out.party.weights *= 2;
  return out;
}

}  // namespace tacit

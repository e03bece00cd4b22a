#include "common/gates/cost.h"

#include "common/gates/opening_cost.h"
#include "common/gates/session.h"

namespace tacit {

CostEvaluator::CostEvaluator(Rounding rounding)
    : Evaluator(Role::kCost, -1, rounding, InlinePool()) {
  for (uint64_t& bytes : cost_.material_bytes) bytes = SessionHeader::kBytes;
}

void CostEvaluator::Count(const Cost& cost) {
  cost_ += cost;
  // Most often the last one.
  auto at = by_scope_.rbegin();
  while (at != by_scope_.rend() && at->first != scope()) ++at;
  if (at != by_scope_.rend()) {
    at->second += cost;
  } else {
    by_scope_.emplace_back(scope(), cost);
  }
}

void CostEvaluator::CountRound() {
  Cost cost;
  cost.rounds = 1;
  for (uint64_t& bytes : cost.opened_bytes) bytes = kMessageHeaderBytes;
  Count(cost);
}

Wire CostEvaluator::Open(const Share& x) {
  Wire wire{x.shape, x.width, x.frac, /*mask_shared=*/true};
  if (!ok()) return wire;
  if (opening_ == nullptr) opening_ = std::make_shared<Opening>();
  wire.opening = opening_;
  Count(OpeningCost(wire.size(), wire.width));
  return wire;
}

BitWire CostEvaluator::Open(const BitShare& x) {
  BitWire wire{x.shape};
  if (!ok()) return wire;
  if (opening_ == nullptr) opening_ = std::make_shared<Opening>();
  wire.opening = opening_;
  Count(BitOpeningCost(wire.size()));
  return wire;
}

void CostEvaluator::Flush() {
  if (!ok() || opening_ == nullptr) return;
  CountRound();
  opening_->done = true;
  opening_.reset();
}

Wire CostEvaluator::Input(const Shape& shape, int width, int frac) {
  Wire wire{shape, width, frac};
  Cost cost;
  cost.dealer_aes = PrgBlocks(wire.size());
  Count(cost);
  return wire;
}

void CostEvaluator::RunBlocks(absl::string_view, const Schema& schema, size_t n,
                              DealFn, EvalFn, PlainFn, DeviceFn) {
  if (ok()) Count(schema.MaterialCost(n));
}

Words CostEvaluator::Reveal(const Share& x) {
  if (ok()) {
    CountRound();
    Cost cost;
    for (uint64_t& bytes : cost.opened_bytes) {
      bytes = PackedBytes(x.size(), x.width);
    }
    Count(cost);
  }
  return Words();
}

Words CostEvaluator::Transfer(int sender, std::span<const uint64_t>, size_t n,
                              int width) {
  if (ok()) {
    CountRound();
    Cost cost;
    cost.opened_bytes[sender] = PackedBytes(n, width);
    Count(cost);
  }
  return Words();
}

}  // namespace tacit

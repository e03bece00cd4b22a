#include "common/gates/cost.h"

#include "common/gates/opening_cost.h"
#include "common/gates/session.h"

namespace tacit {

CostEvaluator::CostEvaluator(Rounding rounding)
    : Evaluator(Role::kCost, -1, rounding, InlinePool()) {
  for (uint64_t& bytes : cost_.material_bytes) bytes = SessionHeader::kBytes;
}

void CostEvaluator::CountRound() {
  ++cost_.rounds;
  for (uint64_t& bytes : cost_.opened_bytes) bytes += kMessageHeaderBytes;
}

Wire CostEvaluator::Open(const Share& x) {
  Wire wire{x.shape, x.width, x.frac, /*mask_shared=*/true};
  if (!ok()) return wire;
  if (opening_ == nullptr) opening_ = std::make_shared<Opening>();
  wire.opening = opening_;
  cost_ += OpeningCost(wire.size(), wire.width);
  return wire;
}

BitWire CostEvaluator::Open(const BitShare& x) {
  BitWire wire{x.shape};
  if (!ok()) return wire;
  if (opening_ == nullptr) opening_ = std::make_shared<Opening>();
  wire.opening = opening_;
  cost_ += BitOpeningCost(wire.size());
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
  cost_.dealer_aes += PrgBlocks(wire.size());
  return wire;
}

void CostEvaluator::RunBlocks(absl::string_view, const Schema& schema, size_t n,
                              DealFn, EvalFn, PlainFn) {
  if (ok()) cost_ += schema.MaterialCost(n);
}

Words CostEvaluator::Reveal(const Share& x) {
  if (ok()) {
    CountRound();
    for (uint64_t& bytes : cost_.opened_bytes) {
      bytes += PackedBytes(x.size(), x.width);
    }
  }
  return Words();
}

Words CostEvaluator::Transfer(int sender, std::span<const uint64_t>, size_t n,
                              int width) {
  if (ok()) {
    CountRound();
    cost_.opened_bytes[sender] += PackedBytes(n, width);
  }
  return Words();
}

}  // namespace tacit

#include "common/gates/plain.h"

#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/gates/opening_cost.h"
#include "common/ring/elementwise.h"

namespace tacit {

absl::StatusOr<std::unique_ptr<PlainEvaluator>> PlainEvaluator::Create(
    const SessionSeeds& seeds, Rounding rounding, ThreadPool& pool) {
  std::unique_ptr<PlainEvaluator> plain(new PlainEvaluator(rounding, pool));
  for (int b = 0; b < 2; ++b) {
    ASSIGN_OR_RETURN(plain->streams_[b], PartyStreams::Create(seeds.party[b]));
  }
  ASSIGN_OR_RETURN(plain->gateway_, GatewayStream(seeds.gateway));
  return plain;
}

void PlainEvaluator::CheckBound(absl::string_view gate,
                                std::span<const uint64_t> values, int width) {
  if (!ok() || width >= kMaxWidth) return;
  uint64_t outside = 0;
  for (uint64_t v : values) {
    outside |= v ^ static_cast<uint64_t>(ToSigned(v, width));
  }
  if (outside == 0) return;
  Fail(absl::OutOfRangeError(
      absl::StrCat(gate, ": a value does not fit ", width,
                   " bits: the plan gives this wire too small a width")));
}

Wire PlainEvaluator::Open(const Share& x) {
  Wire wire{x.shape, x.width, x.frac, /*mask_shared=*/true};
  if (!ok()) return wire;
  const size_t n = wire.size();
  CheckBound("Open", *x.part, x.width);
  auto mask = std::make_shared<Words>(n);
  FillMask(streams_, AllocateMask(PrgBlocks(n)), *mask);
  wire.mask = std::move(mask);
  wire.hat = x.part;
  return wire;
}

BitWire PlainEvaluator::Open(const BitShare& x) {
  BitWire wire{x.shape};
  if (!ok()) return wire;
  const size_t n = wire.size();
  auto mask = std::make_shared<Bytes>(n);
  FillBitMask(streams_, AllocateMask(BitPrgBlocks(n)), *mask);
  wire.mask = std::move(mask);
  wire.hat = x.part;
  return wire;
}

Wire PlainEvaluator::Input(const Shape& shape, int width, int frac) {
  Wire wire{shape, width, frac};
  if (!ok()) return wire;
  if (inputs_.empty() || inputs_.front().size() != wire.size()) {
    Reject("Input", absl::StrCat("no input of shape ", ToString(shape)));
    return wire;
  }
  CheckBound("Input", inputs_.front(), width);
  wire.hat = std::make_shared<Words>(std::move(inputs_.front()));
  inputs_.pop_front();
  auto mask = std::make_shared<Words>(wire.size());
  gateway_->Fill(AllocateInput(PrgBlocks(wire.size())),
                 std::span<uint64_t>(*mask));
  wire.mask = std::move(mask);
  return wire;
}

void PlainEvaluator::Output(const Share& x) {
  if (!ok()) return;
  CheckBound("Output", *x.part, x.width);
  outputs_.push_back({x.part->Clone(), x.width});
}

void PlainEvaluator::RunBlocks(absl::string_view gate, const Schema&, size_t n,
                               DealFn, EvalFn, PlainFn plain, DeviceFn) {
  if (!ok() || n == 0) return;
  constexpr size_t kGrain = 4096;
  std::atomic<bool> out_of_bound = false;
  pool().ParallelFor(n, kGrain, [&](size_t begin, size_t end) {
    PlainBlock one(begin, end - begin, out_of_bound);
    plain(one);
  });
  if (out_of_bound) {
    Fail(absl::OutOfRangeError(absl::StrCat(
        gate, ": a value lies outside the bound that the plan gives it")));
  }
}

Words PlainEvaluator::Reveal(const Share& x) {
  Words values(ok() ? x.size() : 0);
  if (ok()) ReduceAll(*x.part, x.width, values);
  return values;
}

Words PlainEvaluator::Transfer(int, std::span<const uint64_t>, size_t, int) {
  return Words();
}

}  // namespace tacit

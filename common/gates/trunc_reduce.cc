#include "common/gates/trunc_reduce.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/gates/gate_util.h"
#include "common/gates/linear.h"
#include "common/gates/select.h"
#include "common/ring/elementwise.h"

namespace tacit {
namespace {

WordsRef Shifted(Evaluator& ev, const WordsRef& words, int width, int f) {
  auto out = std::make_shared<Words>(NewWords(ev, words->size()));
  if (ev.accelerator() != nullptr) {
    ev.accelerator()->ShiftRight(*words, width, f, *out);
  } else {
    ShiftRight(*words, width, f, *out);
  }
  return out;
}

// 1{x_hat mod 2^f < r mod 2^f}, the carry of TruncReduce.
BitShare Carry(Evaluator& ev, const Wire& x, int f) {
  BitShare out{x.shape};
  Bytes part = MakeBits(ev, out.size());
  auto low = [f](const Words& words, const auto& block) {
    Words out(block.count());
    ReduceAll(std::span(words).subspan(block.begin(), block.count()), f, out);
    return out;
  };
  ev.RunBlocks(
      "TruncReduce", {DpfField(f, /*paths=*/1)}, out.size(),
      [&](DealBlock& block) {
        Bytes positive(block.count());
        block.Dpf(low(*x.mask, block), positive);
      },
      [&](EvalBlock& block) {
        const std::span<uint8_t> bits =
            std::span(part).subspan(block.begin(), block.count());
        DpfEvalPrefix(block.Dpf(), low(*x.hat, block), bits);
        if (block.party() == 0) {
          for (uint8_t& bit : bits) bit ^= 1;
        }
      },
      [&](PlainBlock& block) {
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          const uint64_t hat = (*x.hat)[e] + (*x.mask)[e];
          part[e] = Reduce(hat, f) < Reduce((*x.mask)[e], f);
        }
      },
      [&](AcceleratorBlock& block) { block.Carry(x, part); });
  SetBits(ev, std::move(part), out);
  return out;
}

}  // namespace

Wire TruncReduceStochastic(Evaluator& ev, const Wire& x, int f) {
  Wire out{x.shape, x.width - f, x.frac - f};
  if (f < 0 || f >= x.width) {
    ev.Reject("TruncReduce", absl::StrCat(f, " bits of a wire of ", x.width));
    return x;
  }
  if (f == 0) return x;
  ev.Await(x);
  if (!ev.has_data()) return out;
  if (ev.is_plain()) {
    // floor(x / 2^f) and the carry that the mask decides.
    auto value = std::make_shared<Words>(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      const uint64_t v = (*x.hat)[i];
      const uint64_t low = Reduce(v, f) + Reduce((*x.mask)[i], f);
      (*value)[i] =
          static_cast<uint64_t>(static_cast<int64_t>(v) >> f) + (low >> f);
    }
    out.hat = std::move(value);
  } else if (ev.is_party()) {
    out.hat = Shifted(ev, x.hat, x.width, f);
  }
  // r >> f: nobody holds shares of it, though they may of r.
  if (!ev.is_party()) out.mask = Shifted(ev, x.mask, x.width, f);
  return out;
}

Wire TruncReduce(Evaluator& ev, const Wire& x, int f) {
  Wire y = TruncReduceStochastic(ev, x, f);
  if (ev.rounding() == Rounding::kStochastic || f == 0 || !ev.ok()) return y;
  ev.Await(x);
  const Share carry = BitToShare(ev, Carry(ev, x, f), y.width);
  Share exact = ToShare(ev, y);
  exact.frac = 0;  // the carry counts units of the last place
  exact = Sub(ev, exact, carry);
  exact.frac = y.frac;
  return ev.Open(exact);
}

}  // namespace tacit

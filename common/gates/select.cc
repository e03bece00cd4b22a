#include "common/gates/select.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/gates/gate_util.h"
#include "common/gates/linear.h"

namespace tacit {

Share Select(Evaluator& ev, const BitShare& s, const Wire& x, int width) {
  constexpr absl::string_view kGate = "Select";
  Share out{x.shape, width, x.frac};
  const bool repeats = s.shape != x.shape;
  if (repeats && (x.shape.empty() ||
                  Shape(x.shape.begin(), x.shape.end() - 1) != s.shape)) {
    ev.Reject(kGate, absl::StrCat("bits ", ToString(s.shape), " for values ",
                                  ToString(x.shape)));
    return out;
  }
  if (!IsWidth(width) || width > x.width) {
    ev.Reject(kGate, absl::StrCat("width ", width, " of an input of ", x.width,
                                  " bits: extend it first"));
    return out;
  }
  const BitWire bit = ev.Open(s);
  ev.Await(bit);
  ev.Await(x);
  const size_t d = repeats ? x.shape.back() : 1;
  const Schema schema =
      x.mask_shared
          ? Schema{ShareField(width), ShareField(width)}
          : Schema{ShareField(width), ShareField(width), ShareField(width)};
  Words part = MakeWords(ev, out.size());
  ev.RunBlocks(
      kGate, schema, out.size(),
      [&](DealBlock& block) {
        const size_t n = block.count();
        Words rho(n), product(n);
        for (size_t i = 0; i < n; ++i) {
          const size_t e = block.begin() + i;
          rho[i] = (*bit.mask)[e / d];
          product[i] = rho[i] * (*x.mask)[e];
        }
        block.Share(rho);
        block.Share(product);
        if (!x.mask_shared) {
          block.Share(std::span(*x.mask).subspan(block.begin(), n));
        }
      },
      [&](EvalBlock& block) {
        const size_t n = block.count();
        const Words rho = block.Share(), product = block.Share();
        const Words dealt = x.mask_shared ? Words() : block.Share();
        const uint64_t* mask =
            x.mask_shared ? x.mask->data() + block.begin() : dealt.data();
        const uint64_t b = block.party();
        for (size_t i = 0; i < n; ++i) {
          const size_t e = block.begin() + i;
          const uint64_t hat = (*x.hat)[e];
          const uint64_t zero = rho[i] * hat - product[i];
          const uint64_t one = b * hat - mask[i] - zero;
          part[e] = (*bit.hat)[e / d] ? one : zero;
        }
      },
      [&](PlainBlock& block) {
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          part[e] = (*bit.hat)[e / d] * (*x.hat)[e];
        }
      },
      [&](AcceleratorBlock& block) { block.Select(bit, x, d, part); });
  SetWords(ev, std::move(part), out);
  return out;
}

Share BitToShare(Evaluator& ev, const BitShare& s, int width) {
  constexpr absl::string_view kGate = "BitToShare";
  Share out{s.shape, width, 0};
  if (!IsWidth(width)) {
    ev.Reject(kGate, absl::StrCat("width ", width));
    return out;
  }
  const BitWire bit = ev.Open(s);
  ev.Await(bit);
  Words part = MakeWords(ev, out.size());
  ev.RunBlocks(
      kGate, {ShareField(width)}, out.size(),
      [&](DealBlock& block) {
        Words rho(block.count());
        for (size_t i = 0; i < block.count(); ++i) {
          rho[i] = (*bit.mask)[block.begin() + i];
        }
        block.Share(rho);
      },
      [&](EvalBlock& block) {
        const Words rho = block.Share();
        const uint64_t first = block.party() == 0;
        for (size_t i = 0; i < block.count(); ++i) {
          const uint64_t hat = (*bit.hat)[block.begin() + i];
          part[block.begin() + i] = first * hat + (1 - 2 * hat) * rho[i];
        }
      },
      [&](PlainBlock& block) {
        for (size_t i = 0; i < block.count(); ++i) {
          part[block.begin() + i] = (*bit.hat)[block.begin() + i];
        }
      },
      [&](AcceleratorBlock& block) { block.BitToShare(bit, part); });
  SetWords(ev, std::move(part), out);
  return out;
}

}  // namespace tacit

#include "common/gates/extend.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/gates/gate_util.h"
#include "common/gates/linear.h"

namespace tacit {

Share Extend(Evaluator& ev, const Wire& x, int width) {
  constexpr absl::string_view kGate = "Extend";
  const int n = x.width;
  Share out{x.shape, width, x.frac};
  if (!IsWidth(width) || width < n || n < 2) {
    ev.Reject(kGate, absl::StrCat("from ", n, " to ", width, " bits"));
    return out;
  }
  if (width == n) return ToShare(ev, x);
  ev.Await(x);
  const uint64_t offset = uint64_t{1} << (n - 2);
  Words part = MakeWords(ev, out.size());
  ev.RunBlocks(
      kGate, {ShareField(width), ShareField(width - n)}, out.size(),
      [&](DealBlock& block) {
        Words mask(block.count()), msb(block.count());
        for (size_t i = 0; i < block.count(); ++i) {
          mask[i] = Reduce((*x.mask)[block.begin() + i], n);
          msb[i] = mask[i] >> (n - 1);
        }
        block.Share(mask);
        block.Share(msb);
      },
      [&](EvalBlock& block) {
        const Words mask = block.Share(), msb = block.Share();
        const uint64_t first = block.party() == 0;
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          const uint64_t hat = Reduce((*x.hat)[e] + offset, n);
          const uint64_t wraps = 1 - (hat >> (n - 1));
          part[e] = first * (hat - offset) - mask[i] + ((wraps * msb[i]) << n);
        }
      },
      [&](PlainBlock& block) {
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          const int64_t v = static_cast<int64_t>((*x.hat)[e]);
          // The protocol adds 2^(n-2) and needs the sum in [0, 2^(n-1)).
          const int64_t bound = static_cast<int64_t>(offset);
          if (v < -bound || v >= bound) block.OutOfBound();
          part[e] = (*x.hat)[e];
        }
      },
      [&](AcceleratorBlock& block) {
        block.Extend({x, offset}, part);
      });
  SetWords(ev, std::move(part), out);
  return out;
}

}  // namespace tacit

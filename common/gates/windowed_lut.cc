#include "common/gates/windowed_lut.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/gates/gate_util.h"

namespace tacit {

Share WindowedLut(Evaluator& ev, const Wire& x, int m, int64_t low,
                  std::span<const int64_t> table, int width, int frac) {
  constexpr absl::string_view kGate = "WindowedLut";
  Share out{x.shape, width, frac};
  if (!CheckWindow(ev, kGate, x, /*shift=*/0, m, low, table.size())) return out;
  if (!IsWidth(width)) {
    ev.Reject(kGate, absl::StrCat("width ", width));
    return out;
  }
  ev.Await(x);
  const size_t n = out.size(), length = table.size();
  const auto window = WindowTables::Reversed({table});
  const int64_t high = low + static_cast<int64_t>(length) - 1;

  Words sums = MakeWords(ev, n);
  Bytes positive = MakeSigns(ev, n);
  ev.RunBlocks(
      kGate, {DpfField(m, /*paths=*/0, {length})}, n,
      [&](DealBlock& block) {
        block.Dpf(std::span(*x.mask).subspan(block.begin(), block.count()),
                  std::span(positive).subspan(block.begin(), block.count()));
      },
      [&](EvalBlock& block) {
        Words start(block.count());
        for (size_t i = 0; i < block.count(); ++i) {
          start[i] = (*x.hat)[block.begin() + i] - static_cast<uint64_t>(high);
        }
        const std::array<std::span<uint64_t>, 1> to = {
            std::span(sums).subspan(block.begin(), block.count())};
        DpfWindowSum(block.Dpf(), start, window, to);
      },
      [&](PlainBlock& block) {
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          const int64_t v = static_cast<int64_t>((*x.hat)[e]);
          if (ToSigned(v, m) != v) block.OutOfBound();
          sums[e] = v >= low && v <= high ? table[v - low] : 0;
        }
      },
      [&](AcceleratorBlock& block) {
        block.WindowSum(x, 0, static_cast<uint64_t>(high), window.table(0),
                        sums, positive);
      });
  const SumRing ring(table, width);
  Share masked{x.shape, ring.width(), frac};
  SetWords(ev, std::move(sums), masked);
  const Wire u = ev.Open(masked);
  ev.Await(u);
  Words part = MakeWords(ev, n);
  ev.RunBlocks(
      kGate, SumSchema(ring, width), n,
      [&](DealBlock& block) {
        Words sigma(block.count());
        for (size_t i = 0; i < block.count(); ++i) {
          sigma[i] = Sign(positive[block.begin() + i]);
        }
        DealSum(block, ring, sigma,
                std::span(*u.mask).subspan(block.begin(), block.count()));
      },
      [&](EvalBlock& block) {
        EvalSum(block, ring,
                std::span(*u.hat).subspan(block.begin(), block.count()),
                std::span(part).subspan(block.begin(), block.count()));
      },
      [&](PlainBlock& block) {
        for (size_t i = 0; i < block.count(); ++i) {
          part[block.begin() + i] = (*u.hat)[block.begin() + i];
        }
      },
      [&](AcceleratorBlock& block) {
        block.FinishSum(u, ring, positive, part);
      });
  SetWords(ev, std::move(part), out);
  return out;
}

}  // namespace tacit

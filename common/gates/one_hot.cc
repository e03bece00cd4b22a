#include "common/gates/one_hot.h"

#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/gates/gate_util.h"
#include "common/ring/elementwise.h"

namespace tacit {

Share OneHot(Evaluator& ev, const Wire& t, int m, size_t size, int width) {
  constexpr absl::string_view kGate = "OneHot";
  Share out{t.shape, width, 0};
  out.shape.push_back(size);
  if (m < 1 || m > kMaxOneHotBits || m > t.width || size == 0 ||
      size > size_t{1} << m || !IsWidth(width)) {
    ev.Reject(kGate,
              absl::StrCat(size, " rows, domain of ", m, " bits, a wire of ",
                           t.width, " bits, width ", width));
    return out;
  }
  ev.Await(t);
  Words part = MakeWords(ev, out.size());
  ev.RunBlocks(
      kGate, {OneHotField(m, width)}, t.size(),
      [&](DealBlock& block) {
        block.OneHot(std::span(*t.mask).subspan(block.begin(), block.count()));
      },
      [&](EvalBlock& block) {
        OneHotEval(block.OneHot(),
                   std::span(*t.hat).subspan(block.begin(), block.count()),
                   size,
                   std::span(part).subspan(block.begin() * size,
                                           block.count() * size));
      },
      [&](PlainBlock& block) {
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          if ((*t.hat)[e] >= size) block.OutOfBound();
          for (size_t v = 0; v < size; ++v) {
            part[e * size + v] = (*t.hat)[e] == v;
          }
        }
      },
      [&](AcceleratorBlock& block) { block.OneHot(t, m, size, width, part); });
  SetWords(ev, std::move(part), out);
  return out;
}

Share Histogram(Evaluator& ev, const Wire& k, size_t buckets, int width) {
  constexpr absl::string_view kGate = "Histogram";
  const int m = std::countr_zero(buckets);
  Share out{k.shape, width, 0};
  if (k.shape.empty() || !std::has_single_bit(buckets) || m > k.width ||
      buckets > size_t{1} << 16 || !IsWidth(width) ||
      k.shape.back() > LowMask(width)) {
    ev.Reject(kGate,
              absl::StrCat("keys ", ToString(k.shape), " of ", k.width,
                           " bits, ", buckets, " buckets of ", width, " bits"));
    return out;
  }
  const size_t length = k.shape.back();
  out.shape.back() = buckets;
  ev.Await(k);
  // A row at a time: a block's partial sums go to its own rows.
  const size_t rows = out.size() / buckets;
  Words part = MakeWords(ev, out.size());
  ev.RunBlocks(
      kGate, {ShareField(width, buckets * length)}, rows,
      [&](DealBlock& block) {
        Words one_hot(block.count() * length * buckets);
        for (size_t i = 0; i < block.count() * length; ++i) {
          const uint64_t r =
              (*k.mask)[block.begin() * length + i] & (buckets - 1);
          // Every entry is compared: the address does not depend on r.
          for (size_t v = 0; v < buckets; ++v) {
            one_hot[i * buckets + v] = v == r;
          }
        }
        block.Share(one_hot);
      },
      [&](EvalBlock& block) {
        const Words dealt = block.Share();
        for (size_t row = 0; row < block.count(); ++row) {
          uint64_t* sum = part.data() + (block.begin() + row) * buckets;
          std::fill_n(sum, buckets, 0);
          for (size_t i = 0; i < length; ++i) {
            const size_t hat =
                (*k.hat)[(block.begin() + row) * length + i] & (buckets - 1);
            const uint64_t* one = dealt.data() + (row * length + i) * buckets;
            // Bucket v counts k = v, that is r = k_hat - v.
            for (size_t v = 0; v <= hat; ++v) sum[v] += one[hat - v];
            for (size_t v = hat + 1; v < buckets; ++v) {
              sum[v] += one[hat + buckets - v];
            }
          }
        }
      },
      [&](PlainBlock& block) {
        for (size_t row = block.begin(); row < block.begin() + block.count();
             ++row) {
          uint64_t* sum = part.data() + row * buckets;
          std::fill_n(sum, buckets, 0);
          for (size_t i = 0; i < length; ++i) {
            ++sum[(*k.hat)[row * length + i] & (buckets - 1)];
          }
        }
      },
      [&](AcceleratorBlock& block) {
        block.Histogram(k, length, buckets, part);
      });
  SetWords(ev, std::move(part), out);
  return out;
}

}  // namespace tacit

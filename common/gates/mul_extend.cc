#include "common/gates/mul_extend.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/gates/extend.h"
#include "common/gates/gate_util.h"
#include "common/gates/linear.h"

namespace tacit {
namespace {

constexpr absl::string_view kGate = "MulExtend";

uint64_t Offset(Range range, int n) {
  return range == Range::kSigned ? uint64_t{1} << (n - 2) : 0;
}

bool Check(Evaluator& ev, const Wire& x, const Wire& y, int width,
           std::span<const uint32_t> rows) {
  const bool dense = rows.empty();
  const bool shapes =
      dense ? !x.shape.empty() &&
                  Shape(x.shape.begin(), x.shape.end() - 1) == y.shape
            : rows.size() == x.size() &&
                  *std::max_element(rows.begin(), rows.end()) < y.size();
  if (!shapes) {
    ev.Reject(kGate, absl::StrCat("shapes ", ToString(x.shape), " and ",
                                  ToString(y.shape), ", ", rows.size(),
                                  " row numbers"));
  } else if (!IsWidth(width) || width > y.width || x.width < 2) {
    ev.Reject(kGate, absl::StrCat("width ", width, " of inputs of ", x.width,
                                  " and ", y.width, " bits"));
  }
  return ev.ok();
}

}  // namespace

Share MulExtend(Evaluator& ev, const Wire& x, const Wire& y_wire, Range range,
                int width, std::span<const uint32_t> rows) {
  Share out{x.shape, width, x.frac + y_wire.frac};
  if (!Check(ev, x, y_wire, width, rows)) return out;
  const Wire y = ShareMask(ev, y_wire);
  ev.Await(x);
  ev.Await(y);
  const int n = x.width;
  const bool extends = width > n;
  const uint64_t offset = Offset(range, n);
  const size_t d = rows.empty() ? x.shape.back() : 1;
  auto row = [&](size_t e) { return rows.empty() ? e / d : rows[e]; };

  std::vector<Field> fields = {ShareField(width), ShareField(width)};
  if (extends) {
    fields.push_back(ShareField(width - n));
    fields.push_back(ShareField(width - n));
  }
  Words part = MakeWords(ev, out.size());
  ev.RunBlocks(
      kGate, Schema(fields), out.size(),
      [&](DealBlock& block) {
        const size_t count = block.count();
        Words mask(count), product(count);
        Words msb(extends ? count : 0), msb_product(extends ? count : 0);
        for (size_t i = 0; i < count; ++i) {
          const size_t e = block.begin() + i;
          const uint64_t other = (*y.mask)[row(e)];
          mask[i] = Reduce((*x.mask)[e], n);
          product[i] = mask[i] * other;
          if (!extends) continue;
          msb[i] = mask[i] >> (n - 1);
          msb_product[i] = msb[i] * other;
        }
        block.Share(mask);
        block.Share(product);
        if (!extends) return;
        block.Share(msb);
        block.Share(msb_product);
      },
      [&](EvalBlock& block) {
        const Words mask = block.Share(), product = block.Share();
        const Words msb = extends ? block.Share() : Words();
        const Words msb_product = extends ? block.Share() : Words();
        const uint64_t b = block.party();
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          const size_t to = row(e);
          const uint64_t y_hat = (*y.hat)[to];
          const uint64_t shifted = Reduce((*x.hat)[e] + offset, n);
          const uint64_t a = shifted - offset;
          uint64_t z =
              a * (b * y_hat - (*y.mask)[to]) - mask[i] * y_hat + product[i];
          if (extends) {
            const uint64_t wraps = 1 - (shifted >> (n - 1));
            z += (wraps * (msb[i] * y_hat - msb_product[i])) << n;
          }
          part[e] = z;
        }
      },
      [&](PlainBlock& block) {
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          const uint64_t v = (*x.hat)[e];
          if (extends && ((v + offset) >> (n - 1)) != 0) block.OutOfBound();
          part[e] = v * (*y.hat)[row(e)];
        }
      });
  SetWords(ev, std::move(part), out);
  return out;
}

Share ExtendRange(Evaluator& ev, const Wire& x, Range range, int width) {
  if (range == Range::kSigned || x.width < 2 || width <= x.width) {
    return Extend(ev, x, width);
  }
  // Extend takes values around zero.
  const int64_t center = int64_t{1} << (x.width - 2);
  return AddPublic(ev, Extend(ev, AddPublic(ev, x, -center), width), center);
}

}  // namespace tacit

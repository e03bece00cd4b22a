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
      },
      [&](AcceleratorBlock& block) {
        block.MulExtend({x, offset}, y, d, rows, extends, part);
      });
  SetWords(ev, std::move(part), out);
  return out;
}

namespace {

// One factor of MulExtendBoth: what is public of it, and its dealt values.
struct Factor {
  const Wire& wire;
  const Range range;
  const int missing;  // bits that its ring lacks

  int bits() const { return wire.width; }
  uint64_t Mask(size_t e) const { return Reduce((*wire.mask)[e], bits()); }
  uint64_t Shifted(size_t e) const {
    return Reduce((*wire.hat)[e] + Offset(range, bits()), bits());
  }
  // a, and u.
  uint64_t Value(size_t e) const { return Shifted(e) - Offset(range, bits()); }
  uint64_t Wraps(size_t e) const { return 1 - (Shifted(e) >> (bits() - 1)); }
  bool BreaksRange(size_t e) const {
    return missing > 0 &&
           (((*wire.hat)[e] + Offset(range, bits())) >> (bits() - 1)) != 0;
  }
};

// mu, mu r of the other factor; then mu mu'.
void DealBoth(DealBlock& block, const Factor& x, const Factor& y) {
  const size_t count = block.count();
  Words rx(count), ry(count), product(count);
  for (size_t i = 0; i < count; ++i) {
    const size_t e = block.begin() + i;
    rx[i] = x.Mask(e);
    ry[i] = y.Mask(e);
    product[i] = rx[i] * ry[i];
  }
  block.Share(rx);
  block.Share(ry);
  block.Share(product);
  auto deal_msb = [&](const Factor& f, const Words& own, const Words& other) {
    if (f.missing <= 0) return;
    Words msb(count), msb_other(count);
    for (size_t i = 0; i < count; ++i) {
      msb[i] = own[i] >> (f.bits() - 1);
      msb_other[i] = msb[i] * other[i];
    }
    block.Share(msb);
    block.Share(msb_other);
  };
  deal_msb(x, rx, ry);
  deal_msb(y, ry, rx);
  if (x.missing - y.bits() <= 0) return;
  Words both(count);
  for (size_t i = 0; i < count; ++i) {
    both[i] = (rx[i] >> (x.bits() - 1)) & (ry[i] >> (y.bits() - 1));
  }
  block.Share(both);
}

void EvalBoth(EvalBlock& block, const Factor& x, const Factor& y,
              std::span<uint64_t> out) {
  const size_t count = block.count();
  const uint64_t b = block.party();
  const Words rx = block.Share(), ry = block.Share(), product = block.Share();
  for (size_t i = 0; i < count; ++i) {
    const uint64_t a = x.Value(block.begin() + i);
    const uint64_t c = y.Value(block.begin() + i);
    out[i] = b * a * c - a * ry[i] - c * rx[i] + product[i];
  }
  auto add_msb = [&](const Factor& f, const Factor& other) {
    if (f.missing <= 0) return;
    const Words msb = block.Share(), msb_other = block.Share();
    for (size_t i = 0; i < count; ++i) {
      const size_t e = block.begin() + i;
      out[i] += (f.Wraps(e) * (other.Value(e) * msb[i] - msb_other[i]))
                << f.bits();
    }
  };
  add_msb(x, y);
  add_msb(y, x);
  if (x.missing - y.bits() <= 0) return;
  const Words both = block.Share();
  for (size_t i = 0; i < count; ++i) {
    const size_t e = block.begin() + i;
    out[i] += (x.Wraps(e) * y.Wraps(e) * both[i]) << (x.bits() + y.bits());
  }
}

}  // namespace

Share MulExtendBoth(Evaluator& ev, const Wire& x, Range x_range, const Wire& y,
                    Range y_range, int width) {
  constexpr absl::string_view kName = "MulExtendBoth";
  Share out{x.shape, width, x.frac + y.frac};
  if (x.shape != y.shape || !IsWidth(width) || x.width < 2 || y.width < 2) {
    ev.Reject(kName, absl::StrCat("shapes ", ToString(x.shape), " and ",
                                  ToString(y.shape), ", ", x.width, " and ",
                                  y.width, " bits to ", width));
    return out;
  }
  ev.Await(x);
  ev.Await(y);
  const Factor left{x, x_range, width - x.width};
  const Factor right{y, y_range, width - y.width};
  std::vector<Field> fields(3, ShareField(width));
  for (const Factor* f : {&left, &right}) {
    if (f->missing > 0) fields.insert(fields.end(), 2, ShareField(f->missing));
  }
  const int both = left.missing - right.bits();
  if (both > 0) fields.push_back(ShareField(both));
  Words part = MakeWords(ev, out.size());
  ev.RunBlocks(
      kName, Schema(fields), out.size(),
      [&](DealBlock& block) { DealBoth(block, left, right); },
      [&](EvalBlock& block) {
        EvalBoth(block, left, right,
                 std::span(part).subspan(block.begin(), block.count()));
      },
      [&](PlainBlock& block) {
        for (size_t i = 0; i < block.count(); ++i) {
          const size_t e = block.begin() + i;
          if (left.BreaksRange(e) || right.BreaksRange(e)) block.OutOfBound();
          part[e] = (*x.hat)[e] * (*y.hat)[e];
        }
      },
      [&](AcceleratorBlock& block) {
        block.MulExtendBoth({x, Offset(x_range, x.width)},
                            {y, Offset(y_range, y.width)}, left.missing > 0,
                            right.missing > 0, both > 0, part);
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

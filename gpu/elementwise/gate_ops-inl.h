// The party's side of the gates in common/gates, once keys are evaluated and
// dealt shares taken (material.h): one op for each formula. x_hat are opened
// values, public; masks and dealt values are this party's shares, SECRET; so
// are outputs. Formulas stand with the gates, and in ARCHITECTURE.md.
#ifndef TACIT_GPU_ELEMENTWISE_GATE_OPS_INL_H_
#define TACIT_GPU_ELEMENTWISE_GATE_OPS_INL_H_

#include <cstddef>
#include <cstdint>

#include "gpu/base/host_device.h"
#include "gpu/elementwise/ring_ops-inl.h"

namespace tacit::gpu {

// The ring in which a window sum is opened, of `width` bits; SumRing of
// common/gates/gate_util.h. `extends`: the sum is needed in a wider ring.
struct RingOfSums {
  int width = 64;
  bool extends = false;

  bool Valid() const { return IsWidth(width) && (!extends || width >= 2); }
  TACIT_HOST_DEVICE uint64_t Offset() const {
    return uint64_t{1} << (width - 2);
  }
  TACIT_HOST_DEVICE uint64_t Value(uint64_t hat) const {
    return extends ? Reduce(hat + Offset(), width) - Offset() : hat;
  }
  TACIT_HOST_DEVICE uint64_t Wraps(uint64_t hat) const {
    return 1 - Msb(hat + Offset(), width);
  }
  TACIT_HOST_DEVICE uint64_t Mask(uint64_t rho) const {
    return extends ? Reduce(rho, width) : rho;
  }
};

// A narrow factor of n bits, |x| below 2^(n-2) (offset = 2^(n-2)) or x in
// [0, 2^(n-1)) (offset = 0): a = (x_hat + offset mod 2^n) - offset.
struct NarrowHat {
  const uint64_t* hat;
  int n;
  uint64_t offset;

  bool Valid() const { return n >= 2 && n <= 64; }
  TACIT_HOST_DEVICE uint64_t Shifted(size_t i) const {
    return Reduce(hat[i] + offset, n);
  }
  TACIT_HOST_DEVICE uint64_t Value(size_t i) const {
    return Shifted(i) - offset;
  }
  TACIT_HOST_DEVICE uint64_t Wraps(size_t i) const {
    return 1 - (Shifted(i) >> (n - 1));
  }
};

// What two words opened, [0, 2^width).
struct OpenedOp {
  const uint64_t *mine, *theirs;
  int width;
  uint64_t* out;
  bool Valid() const { return IsWidth(width); }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    out[i] = Reduce(mine[i] + theirs[i], width);
  }
};
// Bits, one in a byte.
struct XorBitsOp {
  const uint8_t *a, *b;
  uint8_t* out;
  TACIT_HOST_DEVICE void operator()(size_t i) const { out[i] = a[i] ^ b[i]; }
};
struct NotBitsOp {
  const uint8_t* a;
  uint8_t* out;
  TACIT_HOST_DEVICE void operator()(size_t i) const { out[i] = a[i] ^ 1; }
};

// A wire's share: b x_hat - [r].
struct ToShareOp {
  int party;
  const uint64_t *hat, *mask;
  uint64_t* out;
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    out[i] = (party == 1 ? hat[i] : 0) - mask[i];
  }
};

// Compare, from a prefix parity at x_hat mod 2^m (null for m = 1): see
// IsNegative in common/gates/compare.cc.
struct CompareOp {
  int party, m;
  const uint64_t* hat;
  const uint8_t *below, *msb;
  uint8_t* out;
  bool Valid() const { return IsWidth(m) && (m == 1 || below != nullptr); }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const uint8_t first = party == 0;
    const uint8_t parity = m == 1 ? first : below[i];
    const uint8_t top = static_cast<uint8_t>(Msb(hat[i], m));
    out[i] = parity ^ msb[i] ^ (first & (top ^ 1));
  }
};

// 1{low <= u < high} from prefix parities at u_hat - low (`upper`) and u_hat -
// high (`lower`) of keys over m bits: EvalIntervals, one interval of `stride`.
// u_hat = (hat mod 2^width) >> shift.
struct IntervalOp {
  int party, m;
  const uint64_t* hat;
  int width, shift;
  uint64_t low, high;
  const uint8_t *upper, *lower;
  size_t stride;
  uint8_t* out;  // [n, stride]; points to this interval's bit of element 0
  bool Valid() const {
    return IsWidth(m) && IsWidth(width) && shift >= 0 && shift < 64;
  }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const uint64_t u = Reduce(hat[i], width) >> shift;
    const bool wraps = Reduce(u - high, m) >= Reduce(u - low, m);  // public
    out[i * stride] =
        upper[i] ^ lower[i] ^ static_cast<uint8_t>(party == 0 && wraps);
  }
};

// Extend from n bits: dealt r and msb r.
struct ExtendOp {
  int party;
  NarrowHat x;
  const uint64_t *mask, *msb;
  uint64_t* out;
  bool Valid() const { return x.Valid() && x.n < 64; }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const uint64_t first = party == 0 ? x.Value(i) : 0;
    out[i] = first - mask[i] + ((x.Wraps(i) * msb[i]) << x.n);
  }
};

// s x for an opened bit s + rho: dealt rho and rho r. A bit serves d elements.
struct SelectOp {
  int party;
  size_t d;
  const uint8_t* bit;
  const uint64_t *hat, *mask, *rho, *product;
  uint64_t* out;
  bool Valid() const { return d > 0; }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const uint64_t zero = rho[i] * hat[i] - product[i];
    const uint64_t one = (party == 1 ? hat[i] : 0) - mask[i] - zero;
    out[i] = bit[i / d] != 0 ? one : zero;  // the bit is public
  }
};
struct BitToShareOp {
  int party;
  const uint8_t* bit;
  const uint64_t* rho;
  uint64_t* out;
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const uint64_t hat = bit[i];
    out[i] = (party == 0 ? hat : 0) + (1 - 2 * hat) * rho[i];
  }
};

// x y: dealt r_x r_y. A y serves d elements.
struct MulGateOp {
  int party;
  size_t d;
  const uint64_t *x_hat, *x_mask, *y_hat, *y_mask, *dealt;
  uint64_t* out;
  bool Valid() const { return d > 0; }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const uint64_t y = y_hat[i / d];
    out[i] = x_hat[i] * ((party == 1 ? y : 0) - y_mask[i / d]) - x_mask[i] * y +
             dealt[i];
  }
};
// x^2 but for the dealt r^2: the term of sums of squares.
struct SquareTerm {
  int party;
  const uint64_t *hat, *mask;
  TACIT_HOST_DEVICE uint64_t operator()(size_t i) const {
    return hat[i] * ((party == 1 ? hat[i] : 0) - 2 * mask[i]);
  }
};
struct SquareOp {  // dealt r^2
  SquareTerm term;
  const uint64_t* dealt;
  uint64_t* out;
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    out[i] = term(i) + dealt[i];
  }
};

// Narrow x times y: dealt r_x, r_x r_y, and where x's ring is narrower than the
// product's, msb r_x and msb r_x r_y (else null). y of element i is y[rows[i]],
// or y[i / d] if rows is null.
struct MulExtendOp {
  int party;
  NarrowHat x;
  size_t d;
  const uint32_t* rows;
  const uint64_t *y_hat, *y_mask, *mask, *product, *msb, *msb_product;
  uint64_t* out;
  bool Valid() const { return x.Valid() && (d > 0 || rows != nullptr); }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const size_t to = rows != nullptr ? rows[i] : i / d;
    const uint64_t y = y_hat[to];
    uint64_t z = x.Value(i) * ((party == 1 ? y : 0) - y_mask[to]) -
                 mask[i] * y + product[i];
    if (msb != nullptr) {
      z += (x.Wraps(i) * (msb[i] * y - msb_product[i])) << x.n;
    }
    out[i] = z;
  }
};

// Both factors narrow: dealt r_x, r_y, r_x r_y; msb r_x, msb r_x r_y and msb
// r_y, msb r_y r_x where they are needed (else null), and msb r_x msb r_y.
struct MulExtendBothOp {
  int party;
  NarrowHat x, y;
  const uint64_t *rx, *ry, *product;
  const uint64_t *x_msb, *x_msb_other, *y_msb, *y_msb_other, *both;
  uint64_t* out;
  bool Valid() const { return x.Valid() && y.Valid(); }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const uint64_t a = x.Value(i), c = y.Value(i);
    uint64_t z = (party == 1 ? a * c : 0) - a * ry[i] - c * rx[i] + product[i];
    if (x_msb != nullptr) {
      z += (x.Wraps(i) * (c * x_msb[i] - x_msb_other[i])) << x.n;
    }
    if (y_msb != nullptr) {
      z += (y.Wraps(i) * (a * y_msb[i] - y_msb_other[i])) << y.n;
    }
    if (both != nullptr) {
      z += (x.Wraps(i) * y.Wraps(i) * both[i]) << (x.n + y.n);
    }
    out[i] = z;
  }
};

// s = x + narrow u, and what each element adds to its row's sum of s^2: dealt
// r_u, msb r_u and, where it reaches into the squares' ring, msb r_u r_s.
struct AddSquaresOp {
  int party;
  NarrowHat u;
  const uint64_t *x_hat, *x_mask, *mask, *msb, *cross;
  uint64_t *sum, *square;
  bool Valid() const { return u.Valid() && u.n < 64; }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const uint64_t hat = x_hat[i] + u.Value(i);
    const uint64_t first = party == 1 ? hat : 0;
    const uint64_t sum_mask = x_mask[i] + mask[i];
    const uint64_t wraps = u.Wraps(i), carry = wraps * msb[i];
    sum[i] = first - sum_mask + (carry << u.n);
    uint64_t z = hat * (first - 2 * sum_mask);
    if (cross != nullptr) {
      // 2 n may be 64 bits and more.
      z += (((carry * hat - wraps * cross[i]) << 1) + (carry << u.n)) << u.n;
    }
    square[i] = z;
  }
};

// From an opened window sum: EvalSum of common/gates/gate_util.cc.
struct WindowSumOp {
  RingOfSums ring;
  const uint64_t *hat, *factor, *product, *msb;  // msb: only if it extends
  uint64_t* out;
  bool Valid() const { return ring.Valid() && (!ring.extends || msb); }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    uint64_t z = factor[i] * ring.Value(hat[i]) - product[i];
    if (ring.extends) z += (ring.Wraps(hat[i]) * msb[i]) << ring.width;
    out[i] = z;
  }
};

// Exp2's last factor: a * powers[hat mod 2^f], a public index.
struct MulPowerOp {
  const uint64_t *a, *hat, *powers;  // powers: [2^f]
  int f;
  uint64_t* out;
  bool Valid() const { return f >= 0 && f < 32; }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    out[i] = a[i] * powers[hat[i] & ((uint64_t{1} << f) - 1)];
  }
};

// Segmented's sum over segments, [n, segments] inputs: dealt sigma, sigma rho,
// tau sigma, tau sigma rho.
struct SegmentedOp {
  size_t segments;
  const uint64_t* hat;
  const uint8_t* bit;
  const uint64_t *sigma, *product, *tau_sigma, *tau_product;
  uint64_t* out;  // [n]
  TACIT_HOST_DEVICE void operator()(size_t e) const {
    uint64_t sum = 0;
    for (size_t i = e * segments; i < (e + 1) * segments; ++i) {
      const uint64_t masked = tau_sigma[i] * hat[i] - tau_product[i];
      const uint64_t other = sigma[i] * hat[i] - product[i] - masked;
      sum += bit[i] != 0 ? other : masked;  // public
    }
    out[e] = sum;
  }
};

// Counts of a row's keys by bucket: dealt one-hot vectors of the masks, [rows,
// length, buckets]. One element of the op is a row's bucket.
struct HistogramOp {
  size_t length, buckets;  // buckets: a power of two
  const uint64_t *hat, *dealt;
  uint64_t* out;  // [rows, buckets]
  bool Valid() const { return buckets > 0 && (buckets & (buckets - 1)) == 0; }
  TACIT_HOST_DEVICE void operator()(size_t item) const {
    const size_t row = item / buckets, v = item % buckets;
    uint64_t sum = 0;
    for (size_t i = row * length; i < (row + 1) * length; ++i) {
      // Bucket v counts k = v, that is r = k_hat - v.
      sum += dealt[i * buckets + ((hat[i] - v) & (buckets - 1))];
    }
    out[item] = sum;
  }
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_ELEMENTWISE_GATE_OPS_INL_H_

// The dealer's side of the gates: from masks to the values that are shared out
// (material.h). Everything here is SECRET; no branch or address depends on it.
#ifndef TACIT_GPU_ELEMENTWISE_DEAL_OPS_INL_H_
#define TACIT_GPU_ELEMENTWISE_DEAL_OPS_INL_H_

#include <cstddef>
#include <cstdint>

#include "gpu/base/host_device.h"
#include "gpu/elementwise/gate_ops-inl.h"
#include "gpu/elementwise/ring_ops-inl.h"

namespace tacit::gpu {

// msb of r mod 2^width as a bit: Compare's.
struct MsbBitOp {
  const uint64_t* mask;
  int width;
  uint8_t* out;
  bool Valid() const { return IsWidth(width); }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    out[i] = static_cast<uint8_t>(Msb(mask[i], width));
  }
};

// r mod 2^n and its msb: Extend's.
struct DealExtendOp {
  const uint64_t* mask;
  int n;
  uint64_t *reduced, *msb;
  bool Valid() const { return IsWidth(n); }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    reduced[i] = Reduce(mask[i], n);
    msb[i] = reduced[i] >> (n - 1);
  }
};

// rho and rho r of a bit that serves d elements: Select's, and with mask =
// null BitToShare's.
struct DealSelectOp {
  size_t d;
  const uint8_t* bit;
  const uint64_t* mask;
  uint64_t *rho, *product;
  size_t first = 0;  // as in SelectOp
  bool Valid() const { return d > 0; }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    rho[i] = bit[(first + i) / d];
    if (mask != nullptr) product[i] = rho[i] * mask[i];
  }
};

// r_x r_y; a y serves d elements: Mul's, and Square's with y = x, d = 1.
struct DealMulOp {
  size_t d;
  const uint64_t *x, *y;
  uint64_t* out;
  size_t first = 0;
  bool Valid() const { return d > 0; }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    out[i] = x[i] * y[(first + i) / d];
  }
};

// MulExtend's: r_x mod 2^n and its product with r_y, and the msb's likewise
// where it is dealt (else null).
struct DealMulExtendOp {
  int n;
  size_t d;
  const uint32_t* rows;  // as in MulExtendOp
  const uint64_t *x, *y;
  uint64_t *mask, *product, *msb, *msb_product;
  size_t first = 0;
  bool Valid() const { return IsWidth(n) && (d > 0 || rows != nullptr); }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const uint64_t other = y[rows != nullptr ? rows[i] : (first + i) / d];
    const uint64_t r = Reduce(x[i], n);
    mask[i] = r;
    product[i] = r * other;
    if (msb == nullptr) return;
    msb[i] = r >> (n - 1);
    msb_product[i] = msb[i] * other;
  }
};

// MulExtendBoth's, in the order of its op.
struct DealMulExtendBothOp {
  int x_bits, y_bits;
  const uint64_t *x, *y;
  uint64_t *rx, *ry, *product;
  uint64_t *x_msb, *x_msb_other, *y_msb, *y_msb_other, *both;
  bool Valid() const { return IsWidth(x_bits) && IsWidth(y_bits); }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const uint64_t a = Reduce(x[i], x_bits), c = Reduce(y[i], y_bits);
    const uint64_t a_msb = a >> (x_bits - 1), c_msb = c >> (y_bits - 1);
    rx[i] = a;
    ry[i] = c;
    product[i] = a * c;
    if (x_msb != nullptr) {
      x_msb[i] = a_msb;
      x_msb_other[i] = a_msb * c;
    }
    if (y_msb != nullptr) {
      y_msb[i] = c_msb;
      y_msb_other[i] = c_msb * a;
    }
    if (both != nullptr) both[i] = a_msb & c_msb;
  }
};

// AddSquares': r_u mod 2^n, its msb, msb r_s (null where not dealt), and r_s =
// r_x + r_u, whose squares are summed by rows.
struct DealAddSquaresOp {
  int n;
  const uint64_t *x, *u;
  uint64_t *mask, *msb, *cross, *sum_mask;
  bool Valid() const { return IsWidth(n); }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const uint64_t r = Reduce(u[i], n), top = r >> (n - 1);
    const uint64_t s = x[i] + r;
    mask[i] = r;
    msb[i] = top;
    if (cross != nullptr) cross[i] = top * s;
    sum_mask[i] = s;
  }
};
// A row's sum of r^2: a term of sums over rows.
struct SelfSquareTerm {
  const uint64_t* mask;
  TACIT_HOST_DEVICE uint64_t operator()(size_t i) const {
    return mask[i] * mask[i];
  }
};

// sigma = +1 or -1 of a key whose bit_0 at its point is `positive`.
TACIT_HOST_DEVICE inline uint64_t SignOf(uint8_t positive) {
  return uint64_t{2} * positive - 1;
}
struct SignOp {
  const uint8_t* positive;
  uint64_t* out;
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    out[i] = SignOf(positive[i]);
  }
};

// Products of a factor with an opening's mask: DealSum of
// common/gates/gate_util.cc. msb: null if the ring does not extend.
struct DealWindowSumOp {
  RingOfSums ring;
  const uint64_t *factor, *rho;
  uint64_t *product, *msb;
  bool Valid() const { return ring.Valid(); }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    product[i] = factor[i] * ring.Mask(rho[i]);
    if (msb != nullptr) msb[i] = factor[i] * Msb(rho[i], ring.width);
  }
};

// sigma 2^(-R), R the mask's fraction of f bits: Exp2's factor, with
// PowerOfTwoFraction of common/gates/exp2.h at `bits` bits. roots[i] =
// round(2^(-1/2^(i+1)) * 2^63), [f], public.
struct DealExp2Op {
  int f, bits;
  const uint64_t* roots;
  const uint64_t* mask;
  const uint8_t* positive;
  uint64_t* out;
  bool Valid() const { return f >= 0 && f <= 32 && bits >= 1 && bits <= 61; }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const uint64_t fraction = mask[i] & ((uint64_t{1} << f) - 1);
    uint64_t power = uint64_t{1} << 63;
    for (int k = 1; k <= f; ++k) {
      const uint64_t set = uint64_t{0} - (fraction >> (f - k) & 1);
      // The factor is a root or one: chosen without a branch.
      power = MulFraction(power,
                          (roots[k - 1] & set) | ((uint64_t{1} << 63) & ~set));
    }
    const int drop = 63 - bits;
    power = (power + (uint64_t{1} << (drop - 1))) >> drop;
    out[i] = SignOf(positive[i]) * power;
  }

 private:
  // Upper half of a product of fractions of 2^63, rounded.
  TACIT_HOST_DEVICE static uint64_t MulFraction(uint64_t a, uint64_t b) {
    const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>((product + (uint64_t{1} << 62)) >> 63);
  }
};

// Segmented's, [n segments] elements: sigma, sigma rho, tau sigma, tau sigma
// rho, tau the mask of the segment's bit.
struct DealSegmentedOp {
  const uint8_t *positive, *bit;
  const uint64_t* rho;
  uint64_t *sigma, *product, *tau_sigma, *tau_product;
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const uint64_t s = SignOf(positive[i]), p = s * rho[i];
    sigma[i] = s;
    product[i] = p;
    tau_sigma[i] = bit[i] * s;
    tau_product[i] = bit[i] * p;
  }
};

// One-hot vectors of masks mod `buckets`, [n, buckets]; one element of the op
// is an entry. Every entry is compared: no address depends on the mask.
struct DealHistogramOp {
  size_t buckets;
  const uint64_t* mask;
  uint64_t* out;
  bool Valid() const { return buckets > 0 && (buckets & (buckets - 1)) == 0; }
  TACIT_HOST_DEVICE void operator()(size_t item) const {
    out[item] =
        (mask[item / buckets] & (buckets - 1)) == item % buckets ? 1 : 0;
  }
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_ELEMENTWISE_DEAL_OPS_INL_H_

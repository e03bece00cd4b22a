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

// Rows of d bits: out[r, j] = a[r, j - 1] xor a[r, j], where a[r, -1] is `one`;
// `out` is not `a`.
struct TurnBitsOp {
  const uint8_t* a;
  size_t d;
  uint8_t one;
  uint8_t* out;
  bool Valid() const { return d > 0; }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    out[i] = a[i] ^ (i % d == 0 ? one : a[i - 1]);
  }
};
// out[i stride] = a[i].
struct SpreadBitsOp {
  const uint8_t* a;
  size_t stride;
  uint8_t* out;
  TACIT_HOST_DEVICE void operator()(size_t i) const { out[i * stride] = a[i]; }
};
// Bits as words.
struct WidenOp {
  const uint8_t* a;
  uint64_t* out;
  TACIT_HOST_DEVICE void operator()(size_t i) const { out[i] = a[i]; }
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

// s x for an opened bit s + rho: dealt rho and rho r. A bit serves d elements;
// `first`, here and in other ops: the number of element 0 among those.
struct SelectOp {
  int party;
  size_t d;
  const uint8_t* bit;
  const uint64_t *hat, *mask, *rho, *product;
  uint64_t* out;
  size_t first = 0;
  bool Valid() const { return d > 0; }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const uint64_t zero = rho[i] * hat[i] - product[i];
    const uint64_t one = (party == 1 ? hat[i] : 0) - mask[i] - zero;
    out[i] = bit[(first + i) / d] != 0 ? one : zero;  // the bit is public
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

// The party's side of products (common/gates/multiply.cc, mul_extend.cc,
// add_squares.cc), as gate_ops-inl.h has it for other gates.
#ifndef TACIT_GPU_ELEMENTWISE_PRODUCT_OPS_INL_H_
#define TACIT_GPU_ELEMENTWISE_PRODUCT_OPS_INL_H_

#include <cstddef>
#include <cstdint>

#include "gpu/base/host_device.h"
#include "gpu/elementwise/gate_ops-inl.h"
#include "gpu/elementwise/ring_ops-inl.h"

namespace tacit::gpu {

// x y: dealt r_x r_y. A y serves d elements.
struct MulGateOp {
  int party;
  size_t d;
  const uint64_t *x_hat, *x_mask, *y_hat, *y_mask, *dealt;
  uint64_t* out;
  size_t first = 0;  // as in SelectOp
  bool Valid() const { return d > 0; }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const size_t to = (first + i) / d;
    const uint64_t y = y_hat[to];
    out[i] = x_hat[i] * ((party == 1 ? y : 0) - y_mask[to]) - x_mask[i] * y +
             dealt[i];
  }
};
// By one row of d: sign * a row[j] + add, j the place in its row of element
// first + i; add may be null.
struct MulStaticOp {
  const uint64_t *a, *row;
  size_t d, first;
  bool minus;
  const uint64_t* add;
  uint64_t* out;
  bool Valid() const { return d > 0; }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const uint64_t product = a[i] * row[(first + i) % d];
    out[i] = (minus ? 0 - product : product) + (add != nullptr ? add[i] : 0);
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
  size_t first = 0;
  bool Valid() const { return x.Valid() && (d > 0 || rows != nullptr); }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const size_t to = rows != nullptr ? rows[i] : (first + i) / d;
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

}  // namespace tacit::gpu

#endif  // TACIT_GPU_ELEMENTWISE_PRODUCT_OPS_INL_H_

// Interpolated and InterpolatedTimes after their openings: the linear form of
// common/gates/interpolated.cc, sum over terms of coefficient * [value] *
// 2^shift plus what is public. Terms in their order:
//
//   0 sigma, 1 sigma r_e, 2 the rest; 3 sigma msb(rho_p) if the sum's ring
//   extends, 4 sigma r_e msb(rho_w) if the slope's does, 5 rho of the bit
//   "above" if there is a tail; with an identity above 6 (2 rho - 1) r, and if
//   that extends 7 rho msb r and 8 (1 - 2 rho) msb r.
//
// Terms that the form has not are null.
#ifndef TACIT_GPU_ELEMENTWISE_INTERPOLATED_OPS_INL_H_
#define TACIT_GPU_ELEMENTWISE_INTERPOLATED_OPS_INL_H_

#include <cstddef>
#include <cstdint>

#include "gpu/base/host_device.h"
#include "gpu/elementwise/deal_ops-inl.h"
#include "gpu/elementwise/gate_ops-inl.h"

namespace tacit::gpu {

enum class Tail { kNone, kIdentity, kConstant };

// Public.
struct InterpolatedForm {
  static constexpr int kTerms = 9;

  RingOfSums sum, slope;
  Tail tail = Tail::kNone;
  int tail_shift = 0;
  bool extends = false;         // an identity's wire is narrower than its place
  uint64_t constant_above = 0;  // of a constant tail
  int x_width = 64;
  int step_bits = 0;

  bool Valid() const {
    return sum.Valid() && slope.Valid() && IsWidth(x_width) &&
           tail_shift >= 0 && tail_shift < 64 && step_bits >= 0 &&
           step_bits < 64 && (!extends || tail_shift + x_width < 64);
  }
  TACIT_HOST_DEVICE bool Has(int term) const {
    switch (term) {
      case 3:
        return sum.extends;
      case 4:
        return slope.extends;
      case 5:
        return tail != Tail::kNone;
      case 6:
        return tail == Tail::kIdentity;
      case 7:
      case 8:
        return tail == Tail::kIdentity && extends;
      default:
        return true;
    }
  }
  TACIT_HOST_DEVICE int Shift(int term) const {
    return term < 3    ? 0
           : term == 3 ? sum.width
           : term == 4 ? slope.width
           : term < 7  ? tail_shift
                       : tail_shift + x_width;
  }
};

// The party's side. With y (its opened value and mask share) T(x) y: every
// value is dealt twice, the second time times r_y.
struct InterpolatedOp {
  int party;
  InterpolatedForm form;
  const uint64_t *sum_hat, *slope_hat, *x_hat;
  const uint8_t* above_hat;
  const uint64_t* value[InterpolatedForm::kTerms];
  const uint64_t* times[InterpolatedForm::kTerms];
  const uint64_t *y_hat, *y_mask;  // null without y
  uint64_t* out;

  bool Valid() const { return form.Valid(); }

  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const uint64_t g = form.tail == Tail::kNone ? 0 : above_hat[i];
    const uint64_t constant = form.tail == Tail::kConstant
                                  ? g * form.constant_above
                                  : (g * Hat(i)) << form.tail_shift;
    uint64_t z;
    if (y_hat != nullptr) {
      z = constant * ((party == 1 ? y_hat[i] : 0) - y_mask[i]);
    } else {
      z = party == 0 ? constant : 0;
    }
    TACIT_UNROLL
    for (int term = 0; term < InterpolatedForm::kTerms; ++term) {
      if (!form.Has(term)) continue;
      uint64_t v = value[term][i];
      if (y_hat != nullptr) v = y_hat[i] * v - times[term][i];
      z += (Coefficient(term, i, g) * v) << form.Shift(term);
    }
    out[i] = z;
  }

 private:
  TACIT_HOST_DEVICE uint64_t Hat(size_t i) const {
    return Reduce(x_hat[i], form.x_width);
  }
  TACIT_HOST_DEVICE uint64_t Coefficient(int term, size_t i, uint64_t g) const {
    switch (term) {
      case 0:
        return form.sum.Value(sum_hat[i]);
      case 1:
        return 0 - form.slope.Value(slope_hat[i]);
      case 2:
        return 1;
      case 3:
        return form.sum.Wraps(sum_hat[i]);
      case 4:
        return 0 - form.slope.Wraps(slope_hat[i]);
      case 5:
        return (1 - 2 * g) * (form.tail == Tail::kIdentity
                                  ? Hat(i)
                                  : form.constant_above >> form.tail_shift);
      case 6:
        return g;
      default: {
        const uint64_t wraps = 1 - (Hat(i) >> (form.x_width - 1));
        return term == 7 ? wraps : wraps * g;
      }
    }
  }
};

// The dealer's side: values, and with y's mask their products with it.
struct DealInterpolatedOp {
  InterpolatedForm form;
  const uint8_t *positive, *above_mask;
  const uint64_t *sum_mask, *slope_mask, *x_mask;
  const uint64_t* y_mask;  // null without y
  uint64_t* value[InterpolatedForm::kTerms];
  uint64_t* times[InterpolatedForm::kTerms];

  bool Valid() const { return form.Valid(); }

  TACIT_HOST_DEVICE void operator()(size_t i) const {
    TACIT_UNROLL
    for (int term = 0; term < InterpolatedForm::kTerms; ++term) {
      if (!form.Has(term)) continue;
      const uint64_t v = Value(term, i);
      value[term][i] = v;
      if (y_mask != nullptr) times[term][i] = v * y_mask[i];
    }
  }

 private:
  TACIT_HOST_DEVICE uint64_t Value(int term, size_t i) const {
    const uint64_t sigma = SignOf(positive[i]);
    const uint64_t step = x_mask[i] & ((uint64_t{1} << form.step_bits) - 1);
    const uint64_t r = Reduce(x_mask[i], form.x_width);
    const uint64_t rho = form.tail == Tail::kNone ? 0 : above_mask[i];
    switch (term) {
      case 0:
        return sigma;
      case 1:
        return sigma * step;
      case 2: {
        const uint64_t rest = sigma * (step * form.slope.Mask(slope_mask[i]) -
                                       form.sum.Mask(sum_mask[i]));
        return form.tail == Tail::kIdentity
                   ? rest - ((rho * r) << form.tail_shift)
                   : rest;
      }
      case 3:
        return sigma * Msb(sum_mask[i], form.sum.width);
      case 4:
        return sigma * step * Msb(slope_mask[i], form.slope.width);
      case 5:
        return rho;
      case 6:
        return (2 * rho - 1) * r;
      default: {
        const uint64_t msb = r >> (form.x_width - 1);
        return term == 7 ? rho * msb : (1 - 2 * rho) * msb;
      }
    }
  }
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_ELEMENTWISE_INTERPOLATED_OPS_INL_H_

// Activation functions, elementwise over wires.
//
// GELU, SiLU, sigmoid and tanh are piecewise linear on a window of steps
// (Interpolated) and constant or the identity outside it; the result is opened
// at the width it needs and truncated to the input's fraction count f: two
// rounds in all. Errors of the approximation, in units of 1:
//   - a cell's line over its two steps: step^2 |f''| / 4 at most (measured:
//     activations_test.cc), since the table index is rounded stochastically and
//     entry u thus serves x in ((u - 1) step, (u + 1) step);
//   - the tables' rounding: 2^-(value_bits + 1) + 2^-(slope_bits + 1) step;
//   - the result's rounding: 2^-f.
// Every function returns a wire of x's shape and fraction count.
// Errors (sticky): INVALID_ARGUMENT, naming the layer, if the parameters do not
// fit each other or the wire; in the plain evaluator OUT_OF_RANGE if a value
// leaves the domain that follows from `bound`.
#ifndef TACIT_COMMON_NN_ACTIVATIONS_H_
#define TACIT_COMMON_NN_ACTIVATIONS_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/gates/evaluator.h"
#include "common/gates/exp2.h"
#include "common/gates/interpolated.h"

namespace tacit {

enum class Activation {
  kGelu,      // x (1 + erf(x / sqrt 2)) / 2
  kGeluTanh,  // x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
  kSilu,      // x / (1 + e^-x)
  kSigmoid,   // 1 / (1 + e^-x)
  kTanh,
  kRelu,  // max(x, 0); exact, without a table
};

// The function in double precision: what tables are made of.
double Evaluate(Activation activation, double x);

struct ActivationParams {
  // |x| < bound, in units of 1 (the planner's). Material grows by 16 bytes for
  // each doubling.
  double bound = 0;
  // Of the result; 0 for x's.
  int width = 0;
  // The step is 2^-step_log; 0 for the function's own: 1/32 for GELU and tanh,
  // which bend most, 1/16 for SiLU and sigmoid. A step half as long takes 16
  // bytes of material more and a window of twice as many entries.
  int step_log = 0;
  int value_bits = 14;  // fraction bits of the tables' values
  int slope_bits = 10;  // and slopes
  // Made once by PrepareActivation, for a plan to keep; without it, every call
  // makes its own.
  std::shared_ptr<const InterpolatedTable> table = nullptr;
};

// The table that Activate uses, for a wire of fraction count `frac`; it does
// not depend on a secret. tanh's is that of 1 + tanh, which is 0 below.
// Errors: INVALID_ARGUMENT.
absl::StatusOr<InterpolatedTable> ActivationTable(
    Activation activation, int frac, const ActivationParams& params);

// Sets params.table for wires of fraction count `frac`; nothing for ReLU, which
// has none. A table that does not fit the activation, the wire or the other
// parameters is INVALID_ARGUMENT where it is used. Errors: INVALID_ARGUMENT.
absl::Status PrepareActivation(Activation activation, int frac,
                               ActivationParams& params);

Wire Activate(Evaluator& ev, Activation activation, const Wire& x,
              const ActivationParams& params);

// Activation(x) * y as a share over Z_{2^width}, for y of x's shape and width
// <= y.width; frac is x.frac + params.slope_bits + y.frac, for ReLU x.frac +
// y.frac. One round (InterpolatedTimes), in whose message y may go out, too;
// for ReLU two, y in the first of them. params.width counts for ReLU only.
Share ActivateTimes(Evaluator& ev, Activation activation, const Wire& x,
                    const Wire& y, const ActivationParams& params, int width);

inline Wire Gelu(Evaluator& ev, const Wire& x, const ActivationParams& params) {
  return Activate(ev, Activation::kGelu, x, params);
}
inline Wire GeluTanh(Evaluator& ev, const Wire& x,
                     const ActivationParams& params) {
  return Activate(ev, Activation::kGeluTanh, x, params);
}
inline Wire Silu(Evaluator& ev, const Wire& x, const ActivationParams& params) {
  return Activate(ev, Activation::kSilu, x, params);
}
inline Wire Sigmoid(Evaluator& ev, const Wire& x,
                    const ActivationParams& params) {
  return Activate(ev, Activation::kSigmoid, x, params);
}
inline Wire Tanh(Evaluator& ev, const Wire& x, const ActivationParams& params) {
  return Activate(ev, Activation::kTanh, x, params);
}

// max(x, 0), exact: one comparison on the bits that `bound` needs, one opened
// bit, the result opened. Two rounds. Uses bound and width of the parameters.
Wire Relu(Evaluator& ev, const Wire& x, const ActivationParams& params);

struct ExpParams {
  double bound = 0;        // |x| < bound
  double max = 0;          // x < max, which bounds the result by e^max
  int width = 0;           // of the result; 0 for the smallest that holds it
  int frac = 12;           // of the result
  int exponent_bits = 14;  // fraction bits of x log2 e, at most 16
};

// e^x = 2^(x log2 e): the factor is public, so it costs nothing but width (x's
// must hold x 2^k log2 e for a k of at least 8). Exp2, then the result opened
// and truncated: two rounds. Relative error about 2^-exponent_bits ln 2,
// absolute 2^-frac.
Wire Exp(Evaluator& ev, const Wire& x, const ExpParams& params);

}  // namespace tacit

#endif  // TACIT_COMMON_NN_ACTIVATIONS_H_

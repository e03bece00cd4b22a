// Linear maps with public coefficients: local, free, exact.
//
// The same map acts on masked values, masks and shares, so one implementation
// serves every evaluator. Widths: the result of a sum has the smaller width of
// its terms. Errors (sticky, INVALID_ARGUMENT): mismatched shapes or fraction
// counts. In the plain evaluator a wire that leaves its bound is OUT_OF_RANGE.
#ifndef TACIT_COMMON_GATES_LINEAR_H_
#define TACIT_COMMON_GATES_LINEAR_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "common/gates/accelerator.h"
#include "common/gates/evaluator.h"

namespace tacit {

using LinearFn = absl::FunctionRef<void(std::span<const uint64_t> in,
                                        std::span<uint64_t> out)>;

using DeviceLinearFn =
    absl::FunctionRef<void(Accelerator& device, const Words& in, Words& out)>;

// Applies the linear map `fn`, which must set all of `out`; on an accelerator
// `device`, the same map.
Wire MapLinear(Evaluator& ev, absl::string_view gate, const Wire& x,
               const Shape& shape, int frac, LinearFn fn,
               DeviceLinearFn device);
Share MapLinear(Evaluator& ev, absl::string_view gate, const Share& x,
                const Shape& shape, int frac, LinearFn fn,
                DeviceLinearFn device);

Wire Add(Evaluator& ev, const Wire& a, const Wire& b);
Wire Sub(Evaluator& ev, const Wire& a, const Wire& b);
Share Add(Evaluator& ev, const Share& a, const Share& b);
Share Sub(Evaluator& ev, const Share& a, const Share& b);
Wire Negate(Evaluator& ev, const Wire& x);
Share Negate(Evaluator& ev, const Share& x);

// x + constant, x * constant; integers in units of 2^-frac (of 1).
Wire AddPublic(Evaluator& ev, const Wire& x, int64_t constant);
Share AddPublic(Evaluator& ev, const Share& x, int64_t constant);
Wire MulPublic(Evaluator& ev, const Wire& x, int64_t constant, int frac = 0);
Share MulPublic(Evaluator& ev, const Share& x, int64_t constant, int frac = 0);
// Elementwise by `factors`, one for each element of the last axis (or of all).
Wire MulPublic(Evaluator& ev, const Wire& x, std::span<const int64_t> factors,
               int frac);

// Sum over the last axis: [..., d] -> [...].
Wire SumLast(Evaluator& ev, const Wire& x);
Share SumLast(Evaluator& ev, const Share& x);
// [...] -> [..., d], d copies.
Wire RepeatLast(Evaluator& ev, const Wire& x, size_t d);
Share RepeatLast(Evaluator& ev, const Share& x, size_t d);
// Rows of a public selection: out[i] = x[indices[i]] along the first axis.
Wire GatherRows(Evaluator& ev, const Wire& x, std::span<const size_t> indices);
Share GatherRows(Evaluator& ev, const Share& x,
                 std::span<const size_t> indices);
// Elements [begin, begin + count) of the last axis.
Wire SliceLast(Evaluator& ev, const Wire& x, size_t begin, size_t count);
Share SliceLast(Evaluator& ev, const Share& x, size_t begin, size_t count);
// Along the first axis; all other axes, widths and fraction counts equal.
Wire Concat(Evaluator& ev, std::span<const Wire> parts);
Share Concat(Evaluator& ev, std::span<const Share> parts);
Wire Transpose(Evaluator& ev, const Wire& x, std::span<const int> axes);
Share Transpose(Evaluator& ev, const Share& x, std::span<const int> axes);
// No copy.
Wire Reshape(Evaluator& ev, const Wire& x, const Shape& shape);
Share Reshape(Evaluator& ev, const Share& x, const Shape& shape);
// The same residues read modulo a smaller power of two. No copy.
Wire Narrow(Evaluator& ev, const Wire& x, int width);
Share Narrow(Evaluator& ev, const Share& x, int width);
// x * 2^bits without a change of meaning: frac and width grow by `bits`.
Share Rescale(Evaluator& ev, const Share& x, int bits);

// A public value as a wire (mask 0) and as a share (party 0 holds it).
Wire Constant(Evaluator& ev, const Shape& shape, int width, int frac,
              std::span<const int64_t> values);

// Gives the parties shares of x's mask, if they have none: one dealt element
// each, sent to party 1.
Wire ShareMask(Evaluator& ev, const Wire& x);
// x as a share: b x_hat - r_b. Calls ShareMask.
Share ToShare(Evaluator& ev, const Wire& x);

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_LINEAR_H_

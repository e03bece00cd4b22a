// Powers of two.
#ifndef TACIT_COMMON_GATES_EXP2_H_
#define TACIT_COMMON_GATES_EXP2_H_

#include <cstdint>
#include <span>

#include "common/gates/evaluator.h"

namespace tacit {

struct Exp2Params {
  int domain_bits;   // m: the integer part of x lies in [-2^(m-1), 2^(m-1))
  int min_exponent;  // 2^x is 0 for integer parts below this; <= 0
  int max_exponent;  // largest integer part
  int mask_bits;     // fraction bits of 2^-R, the mask's factor
  int public_bits;   // fraction bits of 2^F, the public factor

  // Fraction count of the result; its magnitude is below 2^(max_exponent + 1).
  int out_frac() const { return -min_exponent + mask_bits + public_bits; }
  int width() const { return out_frac() + max_exponent + 2; }
};

// 2^x over Z_{2^params.width()}. With x_hat = (I, F) and r = (J, R) split into
// integer part (m bits) and fraction,
//   2^x = 2^(I-J) 2^F 2^-R, borrow or not.
// 2^(I-J) is a windowed table over the integer bits alone, 2^-R rides on the
// dealt sign: [sigma 2^-R], [sigma rho 2^-R]; 2^F is public. One round, in the
// smallest ring that holds the table (see SumRing).
// Relative error about 2^-mask_bits + 2^-public_bits, absolute
// 2^min_exponent. Errors: as WindowedLut; plain: OUT_OF_RANGE if x exceeds
//   max_exponent or the domain.
Share Exp2(Evaluator& ev, const Wire& x, const Exp2Params& params);

// round(2^(sign * fraction / 2^frac) * 2^bits) for fraction in [0, 2^frac),
// with sign = -1 or +1; the same bits on every machine, in constant time.
// Requires 0 <= frac <= 32, 0 <= bits <= 40.
uint64_t PowerOfTwoFraction(uint64_t fraction, int frac, int sign, int bits);

// The constants that it multiplies: round(2^(-1/2^i) * 2^63) for i = 1 .. 32.
// Public.
std::span<const uint64_t> PowerOfTwoRoots();

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_EXP2_H_

// Secret permutations.
#ifndef TACIT_COMMON_GATES_SHUFFLE_H_
#define TACIT_COMMON_GATES_SHUFFLE_H_

#include <vector>

#include "common/gates/evaluator.h"

namespace tacit {

// Rows of x [n, c] in an order pi_1 (pi_0 (.)) that neither party knows: party
// b's permutation comes from its own stream, so each party knows one of the two
// and the dealer both. Twice, with the roles exchanged, the sender s masks its
// share by a from its own stream, and the permuting party p computes
//   p:  pi_p(x_p + (x_s - a)) + Delta,   s:  pi_p(a) - Delta,
// the second term being a dealt share of pi_p(a) each (Chase, Ghosh,
// Poburinnaya, "Secret-shared shuffle", ASIACRYPT 2020, with the dealer in
// place of their OT). Two rounds, one message of n c elements in each.
// Timing at party p depends on pi_p through its cache only.
Share Shuffle(Evaluator& ev, const Share& x);

// A uniform permutation of n elements from blocks `position`, ... of `stream`
// (Fisher-Yates with 64-bit draws: bias below n 2^-64).
std::vector<size_t> DrawPermutation(const Prg& stream, uint64_t position,
                                    size_t n);

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_SHUFFLE_H_

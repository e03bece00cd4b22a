// Bits times values.
#ifndef TACIT_COMMON_GATES_SELECT_H_
#define TACIT_COMMON_GATES_SELECT_H_

#include "common/gates/evaluator.h"

namespace tacit {

// s * x for an XOR-shared bit s, over Z_{2^width}. s has x's shape, or lacks
// x's last axis and is repeated along it. Opens s xor rho, one bit each:
//   s_hat = 0:  [rho]_b x_hat - [rho r]_b
//   s_hat = 1:  (b x_hat - [r]_b) - that
// Dealt: [rho], [rho r], and [r] if the parties have no share of it.
Share Select(Evaluator& ev, const BitShare& s, const Wire& x, int width);

// An XOR-shared bit as an additive share over Z_{2^width}; one opened bit and
// one dealt element each: s = s_hat + (1 - 2 s_hat) rho.
Share BitToShare(Evaluator& ev, const BitShare& s, int width);

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_SELECT_H_

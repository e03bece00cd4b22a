// Rotary position embeddings: a public rotation of pairs, local and free.
#ifndef TACIT_COMMON_NN_ROPE_H_
#define TACIT_COMMON_NN_ROPE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/gates/evaluator.h"

namespace tacit {

struct RopeParams {
  // Radians per position for each pair of rotated dimensions; scaling of long
  // contexts (linear, dynamic NTK, yarn, llama3) is in them already: the
  // planner's work. A head's dimensions from 2 * size on stay as they are.
  std::vector<double> inverse_frequency;
  // Pairs (2i, 2i + 1); else (i, i + size), as in Hugging Face's models.
  bool interleaved = false;
  // Of cos and sin.
  int frac = 12;
  // Factor of cos and sin (yarn's attention factor).
  double scale = 1;
};

// x [..., positions, heads, d]; positions[i] is that of index i of the third
// axis from the end, in any order and with any offset (decoding):
//   (a, b) -> (a cos - b sin, b cos + a sin),  angle = position * frequency
// with cos and sin at params.frac bits, then TruncReduce by `drop` bits, which
// may take in fraction bits that x carries from the product before it: the
// result has width x.width - drop and frac x.frac + params.frac - drop. x.width
// must hold sqrt 2 |x| scale 2^frac.
// Errors (sticky): INVALID_ARGUMENT, naming the layer, on shapes, frequencies
//   outside [0, 2 pi), frac outside [1, 24] or drop outside [0, x.width); in
//   the plain evaluator OUT_OF_RANGE if x.width is too small.
Wire Rope(Evaluator& ev, const Wire& x, const RopeParams& params,
          std::span<const int64_t> positions, int drop);
// drop = params.frac: the result has x's fraction count.
Wire Rope(Evaluator& ev, const Wire& x, const RopeParams& params,
          std::span<const int64_t> positions);

// The same rotation of a share, exact: x's width, which must hold sqrt 2 |x|
// scale 2^frac, and frac x.frac + params.frac. Errors as above, but none in
// the plain evaluator before the result is opened.
Share Rope(Evaluator& ev, const Share& x, const RopeParams& params,
           std::span<const int64_t> positions);

// first, first + 1, ..., count of them.
std::vector<int64_t> ConsecutivePositions(int64_t first, size_t count);

// round(cos * 2^bits), round(sin * 2^bits) of `turn` / 2^64 turns, in integers:
// dealer and parties apply the same map to masks and masked values, so their
// coefficients must agree to the last bit, whatever their mathematical
// libraries. Requires 1 <= bits <= 40.
struct Rotation {
  int64_t cos, sin;
};
Rotation RotationOf(uint64_t turn, int bits);

}  // namespace tacit

#endif  // TACIT_COMMON_NN_ROPE_H_

// What flows between gates: wires, shares, bits and static weights.
//
// The same types serve every evaluator; which buffers are set depends on it:
//
//                 dealer      party b               plain        cost
//   Wire.hat      -           x + r mod 2^n, public  x            -
//   Wire.mask     r           its share of r, if     r            -
//                             mask_shared
//   Share.part    -           x_b, SECRET            x            -
//   BitShare.part -           b's XOR share, SECRET  the bit      -
//   BitWire       like Wire, over Z_2
//
// Masks and plain values are SECRET. Shapes, widths and fraction counts are
// public and the same in all evaluators. Copies share buffers, which never
// change once made.
#ifndef TACIT_COMMON_GATES_VALUES_H_
#define TACIT_COMMON_GATES_VALUES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <span>
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/buffer.h"
#include "common/ring/gemm.h"
#include "common/ring/ring.h"

namespace tacit {

// Row-major; {} is a scalar of one element.
using Shape = absl::InlinedVector<size_t, 4>;

inline size_t NumElements(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), size_t{1},
                         std::multiplies<size_t>());
}
inline std::string ToString(const Shape& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

using WordsRef = std::shared_ptr<const Words>;
using BytesRef = std::shared_ptr<const Bytes>;

// An opening that waits to be sent; see Evaluator::Open.
struct Opening {
  bool done = false;
};
using OpeningRef = std::shared_ptr<const Opening>;

// x over Z_{2^width}, |x| < 2^(width-1); stands for x / 2^frac.
struct Wire {
  Shape shape = {};
  int width = 0;
  int frac = 0;
  bool mask_shared = false;  // the parties hold shares of r
  WordsRef hat = nullptr;
  WordsRef mask = nullptr;
  OpeningRef opening = nullptr;  // null if hat was made locally

  size_t size() const { return NumElements(shape); }
};

// x = x_0 + x_1 mod 2^width.
struct Share {
  Shape shape = {};
  int width = 0;
  int frac = 0;
  WordsRef part = nullptr;

  size_t size() const { return NumElements(shape); }
};

// Bits, one in a byte. A BitShare is bit_0 xor bit_1, a BitWire bit xor mask.
struct BitShare {
  Shape shape = {};
  BytesRef part = nullptr;

  size_t size() const { return NumElements(shape); }
};
struct BitWire {
  Shape shape = {};
  BytesRef hat = nullptr;
  BytesRef mask = nullptr;
  OpeningRef opening = nullptr;

  size_t size() const { return NumElements(shape); }
};

// Who knows a static matrix.
enum class WeightMode {
  kDealerHeld,  // the dealer knows W; W_0 from a seed, W_1 = W - W_0
  kBlind,       // the dealer knows r_W only; both parties hold W + r_W
};

// A weight matrix, loaded once and used by many sessions. Shape [k, n], laid
// out as `layout` says. Buffers:
//                dealer         party b                 plain
//   value        W or (blind)   -                       W
//                r_W
//   part         -              W_b = blind: b (W+r_W)  -
//                               - [r_W]_b
//   hat          -              blind: W + r_W          -
struct StaticMatrix {
  size_t k = 0, n = 0;
  int frac = 0;
  Layout layout = Layout::kRowMajor;
  WeightMode mode = WeightMode::kDealerHeld;
  WordsRef value;
  WordsRef part = nullptr;
  WordsRef hat = nullptr;

  size_t ld() const { return layout == Layout::kRowMajor ? n : k; }
};

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_VALUES_H_

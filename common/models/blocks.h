// Pieces that decoders and encoders are made of.
#ifndef TACIT_COMMON_MODELS_BLOCKS_H_
#define TACIT_COMMON_MODELS_BLOCKS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/gates/evaluator.h"
#include "common/models/attention.h"
#include "common/models/bounds.h"
#include "common/models/share_weights.h"
#include "common/models/weights.h"
#include "common/nn/activations.h"
#include "common/nn/norm.h"
#include "common/nn/rope.h"

namespace tacit {

// The residual stream's ring.
inline constexpr int kResidualWidth = 64;

// Ring of a product with 2 kFrac fraction bits below 2^log: one bit for the
// sign, one that Extend needs.
inline int ProductRing(int log) { return 2 * kFrac + log + 2; }

HeadShape HeadsOf(const ModelConfig& config);
// What a layer's scores are multiplied by, to be in units of log2.
double ScoreScale(const ModelConfig& config, size_t layer);

// INVALID_ARGUMENT, naming the ring, above 64 bits.
absl::Status CheckRing(absl::string_view name, int bits);

// A norm of rows of `dim` entries with `frac` fraction bits in the residual
// stream's ring; RMSNorm without gamma. out_width 0: just wide enough.
absl::StatusOr<NormParams> PlanRms(size_t dim, int frac, double epsilon,
                                   const RmsBounds& rms, int out_width = 0);

// The residual stream at a norm: x, and Q of its squares (see nn/norm.h).
struct Residual {
  Wire x, q;
};
// x + update (see AddSquares), opened together with its squares.
Residual Advance(Evaluator& ev, const Wire& x, const Wire& update,
                 const NormParams& norm);

// A projection of a normalised residual stream, norm(x) W^T + bias, computed as
// (x W^T) root + bias: x W^T is opened while the root is still on its way,
// which saves a round beside normalising first.
struct ScaledPlan {
  int raw_ring = 0;   // x W^T is opened there, rotated if it is to be
  int raw_drop = 0;   // fraction bits dropped from it
  int ring = 0;       // of the product with the root, opened
  int drop = 0;       // fraction bits dropped from that: kFrac are left
  int bias_frac = 0;  // of the bias as shared

  int width() const { return ring - drop; }
};
// For |x W^T| < 2^raw_log, |result| < 2^log in a wire of at least `width` bits,
// roots as planned by `norm` for root mean squares from 2^rms_min, and
// `rope_frac` fraction bits more where a rotation comes in between.
// Errors: INVALID_ARGUMENT, naming the projection, if rings exceed 64 bits.
absl::StatusOr<ScaledPlan> PlanScaled(absl::string_view name, int frac,
                                      int raw_log, int log, int width,
                                      const NormParams& norm, int rms_min,
                                      int rope_frac = 0);
// Whether that would fit.
bool ScaledFits(int frac, int raw_log, int log, int width,
                const NormParams& norm, int rms_min, int rope_frac = 0);

struct ScaledProjection {
  const ScaledPlan* plan;
  const StaticMatrix* weight;  // [hidden, outputs]
  const StaticMatrix* bias;    // [1, outputs]; outputs 0: none
  // Null: no rotation.
  const RopeParams* rope = nullptr;
  size_t heads = 0;
  // Which of the residual stream's rows, and their positions (for rotations).
  std::span<const size_t> rows = {};
  std::span<const int64_t> positions = {};
  // The weight is a row [1, hidden] that multiplies elementwise; `centred`:
  // then (d x - sum(x)) 2^-k, k = ceil(log2 d), for rows of d entries.
  bool elementwise = false;
  bool centred = false;
};
// All of them: opened, kFrac. Two rounds before the last opening, which is made
// when a result is read.
std::vector<Wire> ProjectScaled(Evaluator& ev, const Residual& residual,
                                const NormParams& norm,
                                std::span<const ScaledProjection> projections);

// x W^T (+ bias), opened; 2 kFrac fraction bits.
Wire Project(Evaluator& ev, const Wire& x, const StaticMatrix& weight,
             const StaticMatrix& bias, int ring);

// begin, begin + 1, ..., count of them.
std::vector<size_t> Indices(size_t begin, size_t count);

// Rows of a wire, without a copy where they are all of them.
Wire SelectRows(Evaluator& ev, const Wire& x, std::span<const size_t> rows);

// ---- Weights ----

// How a linear layer is changed on its way into a program: W diag(gain) scale,
// and b + W shift, for a norm's gain and bias in front of it; `centred` takes
// the mean over outputs away (of W's columns and of b), for what is added to a
// residual stream that LayerNorm centres anyway.
struct Folding {
  const NormWeights* norm = nullptr;
  double scale = 1;
  bool centred = false;
};
// `weight` [outputs, inputs]; null for its shape alone, here and below.
MatrixSpec WeightSpec(const std::vector<float>* weight, size_t inputs,
                      size_t outputs, const Folding& folding = {});
// b + W shift; without `bias` only the shift. No matrix unless `present`.
MatrixSpec BiasSpec(bool present, const std::vector<float>* weight,
                    const std::vector<float>* bias, size_t inputs,
                    size_t outputs, int frac, const Folding& folding = {});
// Both of a linear layer.
struct LinearSpecs {
  MatrixSpec weight, bias;
};
LinearSpecs LinearSpecsOf(const LinearWeights* weights, bool has_bias,
                          size_t inputs, size_t outputs, int bias_frac,
                          const Folding& folding = {});
void Set(LinearSpecs specs, MatrixSpec& weight, MatrixSpec& bias);
// A table of rows [rows, columns] for lookups; `centred` as above, by rows.
MatrixSpec TableSpec(const std::vector<float>* values, size_t rows,
                     size_t columns, int frac, bool centred);

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_BLOCKS_H_

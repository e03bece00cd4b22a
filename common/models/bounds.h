// The numbers that a plan is made of: powers of two above what a model's values
// reach. With the configuration they determine every ring.
#ifndef TACIT_COMMON_MODELS_BOUNDS_H_
#define TACIT_COMMON_MODELS_BOUNDS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/models/config.h"
#include "common/models/float_model.h"

namespace tacit {

// Root mean squares of a norm's rows lie in [2^min, 2^max). Below, only
// precision is lost; above, the result is wrong.
struct RmsBounds {
  int min = 0, max = 0;
};

// |x| < 2^bound in units of 1; scores: |s| <= score in units of log2. Fields as
// in ModelRanges.
struct LayerBounds {
  RmsBounds attention_norm, mlp_norm;
  int attention_normed = 0, mlp_normed = 0;
  int q = 0, k = 0, v = 0, attention = 0, attention_out = 0;
  int64_t score = 8;
  int gate = 0, up = 0, product = 0, mlp_out = 0;
  int raw_q = 0, raw_k = 0, raw_v = 0, raw_gate = 0, raw_up = 0;
};

struct ModelBounds {
  std::vector<LayerBounds> layers;
  int embedding = 0, embedded = 0, residual = 0;
  RmsBounds embedding_norm, final_norm;
  int embedding_normed = 0;
  int logit = 0, pooler = 0;
};

// `margin` times the ranges, rounded up to powers of two (scores to integers).
// Ranges that are not finite get bounds that no plan holds.
ModelBounds BoundsOf(const ModelRanges& ranges, double margin = 4);

// What trained models of the architecture typically reach: for costs from
// shapes alone, not for running a model.
ModelBounds TypicalBounds(const ModelConfig& config);

// The bounds as JSON text, and back. Errors: INVALID_ARGUMENT, naming the
// field, for text that is no such object or bounds outside [-60, 60].
std::string ToJson(const ModelBounds& bounds);
absl::StatusOr<ModelBounds> ParseModelBounds(absl::string_view json);

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_BOUNDS_H_

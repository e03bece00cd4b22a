// Models with random weights as all roles hold them, for end_to_end.cc.
#ifndef TACIT_GPU_SESSION_MEASURED_MODEL_H_
#define TACIT_GPU_SESSION_MEASURED_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/gates/evaluator.h"
#include "common/models/config.h"

namespace tacit::gpu {

struct MeasuredModel {
  ModelConfig config;
  uint64_t parameters = 0;
  // A role's part in a session: passes over so many tokens each, a prompt and
  // then, for decoders, what follows it. Calls `ended` when an output is there.
  std::function<void(Evaluator& ev, const std::vector<size_t>& passes,
                     const std::function<void()>& ended)>
      session;
};

// Names of shapes.h, and "llama-tiny": made as the large Llamas are, but in no
// time.
std::vector<std::string> MeasuredShapes();
// Errors: NOT_FOUND.
absl::StatusOr<ModelConfig> MeasuredConfig(const std::string& shape);

// For sessions over these tokens, or the first of them. Llamas have the weights
// of one layer in all their layers: this host holds them once, a device, which
// knows weights by their buffers, holds every layer's.
// Errors: those of calibration, planning and sharing.
absl::StatusOr<MeasuredModel> MakeMeasuredModel(
    const ModelConfig& config, const std::vector<int64_t>& tokens);

}  // namespace tacit::gpu

#endif  // TACIT_GPU_SESSION_MEASURED_MODEL_H_

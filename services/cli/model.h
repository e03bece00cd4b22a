// A model's folder, loaded, planned and shared for use in this process.
#ifndef TACIT_SERVICES_CLI_MODEL_H_
#define TACIT_SERVICES_CLI_MODEL_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/gates/session.h"
#include "common/models/config.h"
#include "common/models/decoder.h"
#include "common/models/encoder.h"
#include "common/models/model.h"
#include "common/models/tokenizer.h"
#include "common/models/weights.h"

namespace tacit {

// The demo model's folder: beside the sources, or where the program is
// installed. NOT_FOUND.
absl::StatusOr<std::string> DemoModel();

struct LoadedModel {
  std::string folder;
  ModelConfig config;
  std::unique_ptr<Tokenizer> tokenizer;
  ModelWeights weights;
};
// `folder` empty: the demo model. Errors: those of the files.
absl::StatusOr<LoadedModel> LoadModel(const std::string& folder);

// What the folder's model does; empty: the demo model. Errors: those of
// config.json.
absl::StatusOr<ModelKind> ModelKindOf(const std::string& folder);

// Positions to plan for: enough for these, in powers of two, so that the plan
// says no more than the order of their number; at most what the model holds.
size_t ContextFor(const ModelConfig& config, size_t positions);

// Bounds: those of the plan file, if `plan_file` is not empty, else calibrated
// on tokens that the model draws itself.
absl::StatusOr<ModelBounds> BoundsFor(const ModelWeights& weights,
                                      const std::string& plan_file,
                                      size_t context);

struct PlannedDecoder {
  DecoderPlan plan;
  PlanDigest digest;
};
// Errors: PlanDecoder's; INVALID_ARGUMENT if the plan file's context is
//   shorter than `positions`.
absl::StatusOr<PlannedDecoder> PlanModel(const ModelWeights& weights,
                                         const std::string& plan_file,
                                         size_t positions);

struct PlannedEncoder {
  EncoderPlan plan;
  PlanDigest digest;
};
// The same of a classifier. Errors: also FAILED_PRECONDITION if the model is
//   none.
absl::StatusOr<PlannedEncoder> PlanClassifier(const ModelWeights& weights,
                                              const std::string& plan_file,
                                              size_t positions);

}  // namespace tacit

#endif  // TACIT_SERVICES_CLI_MODEL_H_

// Configurations of well-known models, for costs from shapes alone.
#ifndef TACIT_COMMON_MODELS_SHAPES_H_
#define TACIT_COMMON_MODELS_SHAPES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/models/config.h"

namespace tacit {

// "llama-7b", "llama-13b", "llama3-8b", "gpt2", "bert-tiny", "bert-base",
// "bert-large".
std::vector<std::string> ShapeNames();
// Errors: NOT_FOUND, listing the names.
absl::StatusOr<ModelConfig> ShapeConfig(absl::string_view name);

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_SHAPES_H_

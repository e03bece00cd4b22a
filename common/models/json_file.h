// Reading the JSON files of a model's folder, which may come from anywhere.
#ifndef TACIT_COMMON_MODELS_JSON_FILE_H_
#define TACIT_COMMON_MODELS_JSON_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace tacit {

// Parses a JSON object of at most `max_depth` levels; one level is an object
// without others inside.
// Errors: INVALID_ARGUMENT for anything else, with the place, and for a name
//   that an object holds twice. `source` names the text in messages.
absl::StatusOr<nlohmann::json> ParseJsonObject(absl::string_view source,
                                               absl::string_view text,
                                               int max_depth);

// The whole file. Errors: NOT_FOUND if there is none, INVALID_ARGUMENT if it
// is no file or has more than `max_bytes`.
absl::StatusOr<std::string> ReadWholeFile(const std::string& path,
                                          size_t max_bytes);

// A string from a file in a message: quoted, escaped and cut to length.
std::string Quoted(absl::string_view text);

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_JSON_FILE_H_

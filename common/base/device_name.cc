#include "common/base/device_name.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace tacit {

absl::StatusOr<std::optional<int>> ParseDevice(absl::string_view name) {
  if (name == "cpu") return std::nullopt;
  if (name == "cuda") return 0;
  int index = 0;
  absl::string_view number = name;
  if (absl::ConsumePrefix(&number, "cuda:") &&
      absl::SimpleAtoi(number, &index) && index >= 0) {
    return index;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("device \"", name, "\" is not cpu, cuda or cuda:N"));
}

}  // namespace tacit

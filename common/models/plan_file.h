// A plan as text: what is stored, shown, and agreed on by its digest.
#ifndef TACIT_COMMON_MODELS_PLAN_FILE_H_
#define TACIT_COMMON_MODELS_PLAN_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/gates/session.h"
#include "common/models/decoder.h"
#include "common/models/encoder.h"

namespace tacit {

// All numbers that a program's evaluation depends on, as JSON: configuration,
// bounds, rings, and digests of tables. Two plans that differ anywhere have
// different descriptions, whatever the mathematical libraries that they were
// made with.
std::string Describe(const DecoderPlan& plan);
std::string Describe(const EncoderPlan& plan);
// SHA-256 of that. Sessions carry it, so that roles with different plans stop
// before anything is used. INTERNAL if OpenSSL fails.
absl::StatusOr<PlanDigest> DigestOf(const DecoderPlan& plan);
absl::StatusOr<PlanDigest> DigestOf(const EncoderPlan& plan);
std::string ToHex(const PlanDigest& digest);

// What a plan follows from, given a model's configuration; kept beside it.
struct PlanFile {
  size_t context = 0;
  Objective objective = Objective::kBytes;
  ModelBounds bounds;
};
// Errors: INVALID_ARGUMENT, naming the field, for text that is no plan of this
//   version; of files NOT_FOUND, PERMISSION_DENIED, or INTERNAL.
absl::StatusOr<PlanFile> ParsePlanFile(absl::string_view json);
std::string ToJson(const PlanFile& file);
absl::StatusOr<PlanFile> LoadPlanFile(const std::string& path);
absl::Status SavePlanFile(const PlanFile& file, const std::string& path);

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_PLAN_FILE_H_

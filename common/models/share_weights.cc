#include "common/models/share_weights.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace tacit {

StaticMatrix MatrixSpec::ShapeOnly(WeightMode mode) const {
  StaticMatrix out;
  out.k = inputs;
  out.n = outputs;
  out.frac = frac;
  out.layout = layout;
  out.mode = mode;
  return out;
}

absl::StatusOr<WeightSeeds> WeightSeeds::Derive(const Seed& parent) {
  ASSIGN_OR_RETURN(const Seed stream0, DeriveSeed(parent, "weights/0"));
  ASSIGN_OR_RETURN(const Seed stream1, DeriveSeed(parent, "weights/1"));
  return WeightSeeds{{stream0, stream1}};
}

absl::StatusOr<Seed> MatrixSeed(const Seed& stream, const std::string& name) {
  return DeriveSeed(stream, absl::StrCat("matrix/", name));
}

absl::StatusOr<Words> EncodeMatrix(const MatrixSpec& spec,
                                   const std::string& name) {
  Words values(spec.inputs * spec.outputs);
  std::vector<double> row(spec.columns());
  for (size_t r = 0; r < spec.rows(); ++r) {
    spec.fill(r, row);
    for (size_t c = 0; c < row.size(); ++c) {
      const double scaled = std::ldexp(row[c], spec.frac);
      if (!(std::abs(scaled) < 0x1p40)) {
        return absl::InvalidArgumentError(absl::StrCat(
            name, "[", r, ", ", c, "] is no number that can be encoded"));
      }
      values[r * row.size() + c] = static_cast<uint64_t>(std::llround(scaled));
    }
  }
  return values;
}

absl::StatusOr<StaticMatrixShares> ShareMatrix(const MatrixSpec& spec,
                                               const std::string& name,
                                               WeightMode mode,
                                               const WeightSeeds& seeds) {
  ASSIGN_OR_RETURN(Words values, EncodeMatrix(spec, name));
  ASSIGN_OR_RETURN(const Seed stream0, MatrixSeed(seeds.stream[0], name));
  ASSIGN_OR_RETURN(const Seed stream1, MatrixSeed(seeds.stream[1], name));
  return ShareStaticMatrix(std::move(values), spec.inputs, spec.outputs,
                           spec.frac, spec.layout, mode, Prg(stream0),
                           Prg(stream1));
}

}  // namespace tacit

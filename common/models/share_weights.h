// From a model's weights to what each role holds of them.
#ifndef TACIT_COMMON_MODELS_SHARE_WEIGHTS_H_
#define TACIT_COMMON_MODELS_SHARE_WEIGHTS_H_

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/gates/evaluator.h"
#include "common/gates/matmul.h"
#include "common/prg/seed.h"

namespace tacit {

// A matrix of a program, [inputs, outputs] to the gates, and how to make it
// from a checkpoint. outputs = 0: the model has no such matrix.
struct MatrixSpec {
  size_t inputs = 0, outputs = 0;
  int frac = 0;
  Layout layout = Layout::kTransposed;
  // Fills row `row` as it is stored: kTransposed [outputs, inputs], kRowMajor
  // [inputs, outputs]. Null where only costs are asked for.
  std::function<void(size_t row, std::span<double> values)> fill;

  size_t rows() const {
    return layout == Layout::kTransposed ? outputs : inputs;
  }
  size_t columns() const {
    return layout == Layout::kTransposed ? inputs : outputs;
  }
  // The matrix without contents.
  StaticMatrix ShapeOnly(WeightMode mode) const;
};

// The seeds behind the parts of all matrices. Dealer-held: W_0 comes from
// stream[0]; stream[1] is not used. Blind: r_W is the sum of both streams, of
// which party b holds stream[b] only.
struct WeightSeeds {
  Seed stream[2];

  static absl::StatusOr<WeightSeeds> Derive(const Seed& parent);
};
// The seed of one matrix's stream.
absl::StatusOr<Seed> MatrixSeed(const Seed& stream, const std::string& name);

// The matrix in fixed point, as it is stored.
// Errors: INVALID_ARGUMENT, naming the matrix, if an entry is no number or
//   2^40 units or more.
absl::StatusOr<Words> EncodeMatrix(const MatrixSpec& spec,
                                   const std::string& name);

// Encodes and shares one matrix under streams of its own.
// Errors: EncodeMatrix's; INTERNAL from key derivation.
absl::StatusOr<StaticMatrixShares> ShareMatrix(const MatrixSpec& spec,
                                               const std::string& name,
                                               WeightMode mode,
                                               const WeightSeeds& seeds);

// What all roles of one process hold; index with Pick.
template <typename Matrices>
struct RoleMatrices {
  Matrices dealer, party[2], plain;
};
template <typename Matrices>
const Matrices& Pick(const Evaluator& ev,
                     const RoleMatrices<Matrices>& shares) {
  if (ev.is_dealer()) return shares.dealer;
  if (ev.is_party()) return shares.party[ev.party()];
  return shares.plain;
}

// `Tensors<T>` is a model's set of matrices with a member
//   template <typename F> void ForEach(F f), f(name, T&),
// and Like(other) that makes room for as many layers as `other` has.
template <template <typename> class Tensors>
absl::StatusOr<RoleMatrices<Tensors<StaticMatrix>>> ShareMatrices(
    const Tensors<MatrixSpec>& specs, WeightMode mode, const Seed& seed) {
  const absl::StatusOr<WeightSeeds> seeds = WeightSeeds::Derive(seed);
  if (!seeds.ok()) return seeds.status();
  RoleMatrices<Tensors<StaticMatrix>> out;
  std::vector<StaticMatrix*> to[4];
  Tensors<StaticMatrix>* const roles[4] = {&out.dealer, &out.party[0],
                                           &out.party[1], &out.plain};
  for (int role = 0; role < 4; ++role) {
    roles[role]->Like(specs);
    roles[role]->ForEach([&](const std::string&, StaticMatrix& matrix) {
      to[role].push_back(&matrix);
    });
  }
  absl::Status status;
  size_t index = 0;
  specs.ForEach([&](const std::string& name, const MatrixSpec& spec) {
    const size_t i = index++;
    if (!status.ok() || spec.outputs == 0) return;
    absl::StatusOr<StaticMatrixShares> shares =
        ShareMatrix(spec, name, mode, *seeds);
    if (!shares.ok()) {
      status = shares.status();
      return;
    }
    *to[0][i] = std::move(shares->dealer);
    *to[1][i] = std::move(shares->party[0]);
    *to[2][i] = std::move(shares->party[1]);
    *to[3][i] = std::move(shares->plain);
  });
  if (!status.ok()) return status;
  return out;
}

// The matrices without contents: for declared costs.
template <template <typename> class Tensors>
Tensors<StaticMatrix> ShapesOnly(const Tensors<MatrixSpec>& specs,
                                 WeightMode mode) {
  Tensors<StaticMatrix> out;
  out.Like(specs);
  std::vector<StaticMatrix*> to;
  out.ForEach([&](const std::string&, StaticMatrix& m) { to.push_back(&m); });
  size_t index = 0;
  specs.ForEach([&](const std::string&, const MatrixSpec& spec) {
    *to[index++] = spec.ShapeOnly(mode);
  });
  return out;
}

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_SHARE_WEIGHTS_H_

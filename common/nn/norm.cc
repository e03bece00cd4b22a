#include "common/nn/norm.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/bits.h"
#include "common/base/status_macros.h"
#include "common/gates/linear.h"
#include "common/gates/matmul.h"
#include "common/gates/mul_extend.h"
#include "common/gates/multiply.h"
#include "common/gates/trunc_reduce.h"
#include "common/nn/tables.h"
#include "common/ring/elementwise.h"

namespace tacit {
namespace {

constexpr absl::string_view kLayer = "Norm";

absl::Status CheckSpec(const NormSpec& spec) {
  const bool numbers =
      spec.dim >= 1 && spec.dim <= (size_t{1} << 24) && spec.frac >= 0 &&
      spec.frac <= 30 && IsWidth(spec.width) && spec.precision >= 4 &&
      spec.precision <= 15 && spec.root_bits >= 0 && spec.root_bits <= 15 &&
      spec.out_frac >= 0 && spec.out_width >= 0 && spec.out_width <= kMaxWidth;
  const bool ranges = spec.epsilon >= 0 && spec.min_mean_square > 0 &&
                      spec.max_mean_square >= 1 &&
                      spec.max_mean_square < 1e18 && spec.gamma_bound > 0 &&
                      spec.beta_bound > 0;
  if (numbers && ranges) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      kLayer, ": ", spec.dim, " entries of ", spec.width, " bits, fraction ",
      "counts ", spec.frac, " and ", spec.out_frac, ", precision ",
      spec.precision, ", mean square up to ", spec.max_mean_square));
}

bool CheckRow(Evaluator& ev, const StaticMatrix* row, bool planned, size_t d,
              int frac, absl::string_view name) {
  if ((row != nullptr) != planned) {
    ev.Reject(kLayer, absl::StrCat(planned ? "no " : "unplanned ", name));
  } else if (planned && (row->k != 1 || row->n != d || row->frac != frac)) {
    ev.Reject(kLayer, absl::StrCat(name, " [", row->k, ", ", row->n,
                                   "], fraction count ", row->frac,
                                   "; the plan has [1, ", d, "] and ", frac));
  }
  return ev.ok();
}

// The row times 2^bits: exact on shares, and free.
StaticMatrix Rescaled(const StaticMatrix& row, int bits) {
  StaticMatrix out = row;
  auto shifted = [bits](const WordsRef& words) -> WordsRef {
    if (words == nullptr) return nullptr;
    auto to = std::make_shared<Words>(words->size());
    ShiftLeft(*words, bits, *to);
    return to;
  };
  out.frac += bits;
  out.value = shifted(row.value);
  out.part = shifted(row.part);
  out.hat = shifted(row.hat);
  return out;
}

// The wire to normalise times the rows' roots, over Z_{2^product_bits}.
Share TimesRoot(Evaluator& ev, const Wire& x, const Wire& root,
                const NormParams& params) {
  const Wire y = TruncReduce(ev, x, x.frac - params.scaled_frac);
  return params.product_bits <= y.width
             ? Mul(ev, y, root, params.product_bits)
             : MulExtend(ev, y, root, Range::kSigned, params.product_bits);
}

}  // namespace

absl::StatusOr<NormParams> PlanNorm(const NormSpec& spec) {
  RETURN_IF_ERROR(CheckSpec(spec));
  const bool layer = spec.kind == NormKind::kLayer;
  const double d = static_cast<double>(spec.dim);
  // Q = q * (mean square) and the wire that is normalised is c * (x - mean).
  const double q = layer ? d * d : d;
  const double c = layer ? d : 1;
  const double low = spec.epsilon > 0 ? spec.epsilon : spec.min_mean_square;
  NormParams p;
  p.spec = spec;

  PowerTableSpec table{};
  table.frac = 2 * spec.frac;
  table.lo = FloorLog2(q * low);
  table.hi = CeilLog2(q * (spec.max_mean_square + spec.epsilon));
  table.scale = layer ? 1 : std::sqrt(d);  // sqrt(q) / c
  table.index_bits = spec.precision;
  // Fraction bits of the root, so that it is exact where it is smallest.
  const int root_frac =
      (spec.root_bits == 0 ? spec.precision : spec.root_bits) +
      CeilLog2(c * std::sqrt(spec.max_mean_square));
  table.out_frac = root_frac;
  p.root_frac = root_frac;
  table.centered = true;
  p.square_bits = TableDomainBits(table);
  if (p.square_bits > spec.width) {
    return absl::InvalidArgumentError(absl::StrCat(
        kLayer, ": squares of ", p.square_bits, " bits, a wire of ", spec.width,
        ": lower max_mean_square or the fraction count"));
  }
  p.epsilon = std::llround(std::ldexp(q * spec.epsilon, 2 * spec.frac));
  p.center = CenterOffset(table);
  ASSIGN_OR_RETURN(p.rsqrt, RsqrtTable(table));

  // |y| <= sqrt(d) gamma + beta, but for the root's error.
  const double largest =
      1.01 * std::sqrt(d) * (spec.gamma ? spec.gamma_bound : 1) +
      (spec.beta ? spec.beta_bound : 0);
  p.scaled_bits = 0;
  p.scaled_frac = spec.frac;
  if (spec.gamma) {
    // gamma * c (x - mean), within the range of MulExtend.
    p.scaled_bits =
        2 + spec.frac + spec.gamma_frac +
        CeilLog2(c * std::sqrt(d * spec.max_mean_square) * spec.gamma_bound);
    // What one unit of it becomes under the largest root stays below
    // 2^-precision.
    p.scaled_frac = std::min(spec.frac + spec.gamma_frac,
                             spec.precision - FloorLog2(c * std::sqrt(low)));
  }
  const int product_frac = p.scaled_frac + root_frac;
  const int drop = product_frac - spec.out_frac;
  if (drop < 0 || (spec.beta && spec.beta_frac > product_frac)) {
    return absl::InvalidArgumentError(
        absl::StrCat(kLayer, ": the product's fraction count is ", product_frac,
                     ", below the result's or beta's"));
  }
  p.product_bits =
      std::max(1 + CeilLog2(largest) + product_frac, spec.out_width + drop);
  p.out_width = p.product_bits - drop;
  if (p.product_bits > kMaxWidth || p.scaled_bits > spec.width) {
    return absl::InvalidArgumentError(absl::StrCat(
        kLayer, ": a product of ", p.product_bits, " bits, inputs times gamma ",
        "of ", p.scaled_bits, ", a wire of ", spec.width));
  }
  return p;
}

Wire Norm(Evaluator& ev, const Wire& input, const NormParams& params,
          const StaticMatrix* gamma, const StaticMatrix* beta) {
  const NormSpec& spec = params.spec;
  const size_t d = spec.dim;
  Wire out{input.shape, params.out_width, spec.out_frac};
  if (input.shape.empty() || input.shape.back() != d ||
      input.width != spec.width || input.frac != spec.frac) {
    ev.Reject(kLayer, absl::StrCat("input ", ToString(input.shape), " of ",
                                   input.width, " bits, fraction count ",
                                   input.frac, "; the plan has rows of ", d,
                                   ", ", spec.width, " bits and ", spec.frac));
    return out;
  }
  if (!CheckRow(ev, gamma, spec.gamma, d, spec.gamma_frac, "gamma") ||
      !CheckRow(ev, beta, spec.beta, d, spec.beta_frac, "beta")) {
    return out;
  }
  const Wire x = ShareMask(ev, input);

  // Q, and the wire to normalise.
  Share square = SumSquares(ev, x, params.square_bits);
  Wire y = x;
  if (spec.kind == NormKind::kLayer) {
    const Wire sum = SumLast(ev, x);
    const int64_t count = static_cast<int64_t>(d);
    square = Sub(ev, MulPublic(ev, square, count),
                 Square(ev, sum, params.square_bits));
    y = Sub(ev, MulPublic(ev, x, count), RepeatLast(ev, sum, d));
  }
  const Wire q = OpenSquares(ev, square, params);
  // Opened in the same message as q.
  if (spec.gamma) y = ev.Open(MulStatic(ev, y, *gamma, params.scaled_bits));
  const Wire root = InverseRoot(ev, q, params, params.product_bits);
  Share product = TimesRoot(ev, y, root, params);
  if (spec.beta) {
    product =
        AddStatic(ev, product, Rescaled(*beta, product.frac - beta->frac));
  }
  return TruncReduce(ev, ev.Open(product), product.frac - spec.out_frac);
}

Wire OpenSquares(Evaluator& ev, const Share& squares,
                 const NormParams& params) {
  const uint64_t shift = static_cast<uint64_t>(params.epsilon) -
                         static_cast<uint64_t>(params.center);
  return ev.Open(AddPublic(ev, squares, static_cast<int64_t>(shift)));
}

Wire InverseRoot(Evaluator& ev, const Wire& q, const NormParams& params,
                 int width) {
  return ev.Open(Segmented(ev, q, params.rsqrt, width));
}

Wire NormWithSquares(Evaluator& ev, const Wire& x, const Wire& q,
                     const NormParams& params) {
  const Wire root = InverseRoot(ev, q, params, params.product_bits);
  const Share product = TimesRoot(ev, x, root, params);
  return TruncReduce(ev, ev.Open(product), product.frac - params.spec.out_frac);
}

}  // namespace tacit

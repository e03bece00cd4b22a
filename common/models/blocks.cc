#include "common/models/blocks.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/bits.h"
#include "common/base/status_macros.h"
#include "common/gates/add_squares.h"
#include "common/gates/linear.h"
#include "common/gates/matmul.h"
#include "common/gates/mul_extend.h"
#include "common/gates/trunc_reduce.h"
#include "common/ring/elementwise.h"

namespace tacit {
namespace {

// Bounds have a margin of 4: where values really are, roots have two bits more.
constexpr int kMarginBits = 2;

// Fraction bits of x W^T beside the root: what one unit becomes under the
// largest root should stay below 2^-kFrac.
int WantedFrac(int rms_min) { return kFrac + std::max(0, -rms_min); }
// With fewer the result would be too coarse.
constexpr int kLeastFrac = 8;

int Available(int log, int width, const NormParams& norm) {
  const int result = std::max(width, kFrac + log + 2);
  return kMaxWidth - (result + norm.root_frac - kFrac);
}

// The mean over the outputs of W's columns: [inputs].
std::vector<double> ColumnMeans(const std::vector<float>& w, size_t inputs) {
  const size_t outputs = w.size() / inputs;
  std::vector<double> mean(inputs, 0);
  for (size_t o = 0; o < outputs; ++o) {
    for (size_t i = 0; i < inputs; ++i) mean[i] += w[o * inputs + i];
  }
  for (double& m : mean) m /= static_cast<double>(outputs);
  return mean;
}

template <typename T>
double Mean(std::span<const T> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) /
         static_cast<double>(values.size());
}

// b + W shift, scaled and centred.
std::vector<double> FoldedBias(const std::vector<float>& weight,
                               const std::vector<float>* bias, size_t inputs,
                               size_t outputs, const Folding& folding) {
  std::vector<double> out(outputs, 0);
  if (bias != nullptr) std::copy(bias->begin(), bias->end(), out.begin());
  if (folding.norm != nullptr && !folding.norm->bias.empty()) {
    const std::vector<float>& shift = folding.norm->bias;
    for (size_t o = 0; o < outputs; ++o) {
      for (size_t i = 0; i < inputs; ++i) {
        out[o] += static_cast<double>(weight[o * inputs + i]) * shift[i];
      }
    }
  }
  const double mean = folding.centred ? Mean(std::span<const double>(out)) : 0;
  for (double& v : out) v = (v - mean) * folding.scale;
  return out;
}

// The residual stream's rows times the roots of the rows they come from.
Wire TimesRoot(Evaluator& ev, const Wire& raw, const Wire& root,
               const ScaledProjection& p) {
  const Wire y = TruncReduce(ev, raw, p.plan->raw_drop);
  const Wire own = SelectRows(ev, root, p.rows);
  Share product = MulExtend(ev, y, own, Range::kSigned, p.plan->ring);
  if (p.bias->n != 0) {
    if (p.rope == nullptr) {
      product = AddStatic(ev, product, *p.bias);
    } else {
      const size_t tokens = y.shape[0], n = p.bias->n;
      const std::vector<size_t> copies(tokens, 0);
      const Share bias = FromStatic(ev, *p.bias, copies, p.plan->ring);
      const Share rotated =
          Rope(ev, Reshape(ev, bias, {tokens, p.heads, n / p.heads}), *p.rope,
               p.positions);
      product = Add(ev, product, Reshape(ev, rotated, {tokens, n}));
    }
  }
  return ev.Open(product);
}

// For rows of d entries (d x - sum(x)) 2^-k, k = ceil(log2 d), exactly: with
// 2^k / d in x, that is x less its mean.
Share Centred(Evaluator& ev, const Share& x) {
  const size_t d = x.shape.back();
  return MapLinear(
      ev, "Centred", x, x.shape, x.frac + CeilLog2(d),
      [d](ConstWordSpan in, WordSpan out) {
        for (size_t i = 0; i < in.size(); i += d) {
          const uint64_t sum = Sum(in.subspan(i, d));
          for (size_t j = i; j < i + d; ++j) {
            out[j] = d * in[j] - sum;
          }
        }
      },
      [d](Accelerator& device, const Words& in, Words& out) {
        Words sums = device.NewWords(in.size() / d);
        Words repeated = device.NewWords(in.size());
        Words scaled = device.NewWords(in.size());
        device.SumLast(in, d, sums);
        device.RepeatLast(sums, d, repeated);
        device.MulScalar(in, d, scaled);
        device.Sub(scaled, repeated, out);
      });
}

Wire Raw(Evaluator& ev, const Wire& x, const ScaledProjection& p) {
  const Wire rows = SelectRows(ev, x, p.rows);
  Share raw = p.elementwise
                  ? MulStatic(ev, rows, *p.weight, p.plan->raw_ring)
                  : MatMulStatic(ev, rows, *p.weight, p.plan->raw_ring);
  if (p.centred) raw = Centred(ev, raw);
  if (p.rope != nullptr) {
    const Shape shape = raw.shape;
    raw = Reshape(
        ev,
        Rope(ev, Reshape(ev, raw, {shape[0], p.heads, shape[1] / p.heads}),
             *p.rope, p.positions),
        shape);
  }
  return ev.Open(raw);
}

}  // namespace

HeadShape HeadsOf(const ModelConfig& config) {
  return {static_cast<size_t>(config.num_heads),
          static_cast<size_t>(config.num_kv_heads),
          static_cast<size_t>(config.head_dim)};
}

double ScoreScale(const ModelConfig& config, size_t layer) {
  double scale = std::numbers::log2e;
  if (config.scale_attention) {
    scale /= std::sqrt(static_cast<double>(config.head_dim));
  }
  if (config.scale_attention_by_layer) scale /= static_cast<double>(layer + 1);
  return scale;
}

absl::Status CheckRing(absl::string_view name, int bits) {
  if (bits <= kMaxWidth) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " needs a ring of ", bits,
                   " bits: calibrate with less margin or a shorter context"));
}

absl::StatusOr<NormParams> PlanRms(size_t dim, int frac, double epsilon,
                                   const RmsBounds& rms, int out_width) {
  NormSpec spec;
  spec.kind = NormKind::kRms;
  spec.dim = dim;
  spec.frac = frac;
  spec.width = kResidualWidth;
  spec.epsilon = epsilon;
  spec.max_mean_square = std::ldexp(1.0, 2 * std::max(0, rms.max));
  spec.root_bits = spec.precision - kMarginBits;
  spec.out_frac = kFrac;
  spec.out_width = out_width;
  return PlanNorm(spec);
}

Residual Advance(Evaluator& ev, const Wire& x, const Wire& update,
                 const NormParams& norm) {
  const SumAndSquares sum =
      AddSquares(ev, x, update, Range::kSigned, norm.square_bits);
  Residual out;
  out.x = ev.Open(sum.sum);
  out.q = OpenSquares(ev, sum.squares, norm);
  return out;
}

bool ScaledFits(int frac, int raw_log, int log, int width,
                const NormParams& norm, int rms_min, int rope_frac) {
  const int raw_frac = frac + kFrac + rope_frac;
  return raw_frac + raw_log + 2 <= kMaxWidth &&
         Available(log, width, norm) >= std::min(WantedFrac(rms_min), raw_frac);
}

absl::StatusOr<ScaledPlan> PlanScaled(absl::string_view name, int frac,
                                      int raw_log, int log, int width,
                                      const NormParams& norm, int rms_min,
                                      int rope_frac) {
  const int raw_frac = frac + kFrac + rope_frac;
  // Fewer than wanted where the rings are full: precision before failure.
  const int available = Available(log, width, norm);
  const int kept = std::min({WantedFrac(rms_min), raw_frac, available});
  ScaledPlan p;
  p.raw_ring = raw_frac + raw_log + 2;
  p.raw_drop = raw_frac - kept;
  const int product_frac = kept + norm.root_frac;
  p.drop = product_frac - kFrac;
  p.ring = std::max(width, kFrac + log + 2) + p.drop;
  p.bias_frac = product_frac - rope_frac;
  RETURN_IF_ERROR(CheckRing(name, p.raw_ring));
  if (kept < kLeastFrac) {
    RETURN_IF_ERROR(CheckRing(name, kMaxWidth + kLeastFrac - kept));
  }
  return p;
}

std::vector<Wire> ProjectScaled(Evaluator& ev, const Residual& residual,
                                const NormParams& norm,
                                std::span<const ScaledProjection> projections) {
  std::vector<Wire> wires;
  int width = 1;
  for (const ScaledProjection& p : projections) {
    wires.push_back(Raw(ev, residual.x, p));
    width = std::max(width, p.plan->ring);
  }
  const Wire root = InverseRoot(ev, residual.q, norm, width);
  for (size_t i = 0; i < wires.size(); ++i) {
    wires[i] = TimesRoot(ev, wires[i], root, projections[i]);
  }
  for (size_t i = 0; i < wires.size(); ++i) {
    wires[i] = TruncReduce(ev, wires[i], projections[i].plan->drop);
  }
  return wires;
}

Wire Project(Evaluator& ev, const Wire& x, const StaticMatrix& weight,
             const StaticMatrix& bias, int ring) {
  Share product = MatMulStatic(ev, x, weight, ring);
  if (bias.n != 0) product = AddStatic(ev, product, bias);
  return ev.Open(product);
}

std::vector<size_t> Indices(size_t begin, size_t count) {
  std::vector<size_t> indices(count);
  std::iota(indices.begin(), indices.end(), begin);
  return indices;
}

Wire SelectRows(Evaluator& ev, const Wire& x, std::span<const size_t> rows) {
  if (rows.size() == x.shape[0]) return x;
  return GatherRows(ev, x, rows);
}

MatrixSpec WeightSpec(const std::vector<float>* weight, size_t inputs,
                      size_t outputs, const Folding& folding) {
  MatrixSpec spec;
  spec.inputs = inputs;
  spec.outputs = outputs;
  spec.frac = kFrac;
  spec.layout = Layout::kTransposed;
  if (weight == nullptr) return spec;
  std::vector<double> mean;
  if (folding.centred) mean = ColumnMeans(*weight, inputs);
  spec.fill = [weight, inputs, folding, mean](size_t row,
                                              std::span<double> out) {
    for (size_t i = 0; i < inputs; ++i) {
      double v = (*weight)[row * inputs + i];
      if (!mean.empty()) v -= mean[i];
      if (folding.norm != nullptr) v *= folding.norm->gain[i];
      out[i] = v * folding.scale;
    }
  };
  return spec;
}

MatrixSpec BiasSpec(bool present, const std::vector<float>* weight,
                    const std::vector<float>* bias, size_t inputs,
                    size_t outputs, int frac, const Folding& folding) {
  MatrixSpec spec;
  if (!present) return spec;
  spec.inputs = 1;
  spec.outputs = outputs;
  spec.frac = frac;
  spec.layout = Layout::kRowMajor;
  if (weight == nullptr) return spec;
  spec.fill = [values = FoldedBias(*weight, bias, inputs, outputs, folding)](
                  size_t, std::span<double> out) {
    std::copy(values.begin(), values.end(), out.begin());
  };
  return spec;
}

LinearSpecs LinearSpecsOf(const LinearWeights* weights, bool has_bias,
                          size_t inputs, size_t outputs, int bias_frac,
                          const Folding& folding) {
  const std::vector<float>* weight = weights ? &weights->weight : nullptr;
  const std::vector<float>* bias = weights ? &weights->bias : nullptr;
  return {
      WeightSpec(weight, inputs, outputs, folding),
      BiasSpec(has_bias, weight, bias, inputs, outputs, bias_frac, folding)};
}

void Set(LinearSpecs specs, MatrixSpec& weight, MatrixSpec& bias) {
  weight = std::move(specs.weight);
  bias = std::move(specs.bias);
}

MatrixSpec TableSpec(const std::vector<float>* values, size_t rows,
                     size_t columns, int frac, bool centred) {
  MatrixSpec spec;
  spec.inputs = rows;
  spec.outputs = columns;
  spec.frac = frac;
  spec.layout = Layout::kRowMajor;
  if (values == nullptr) return spec;
  spec.fill = [values, columns, centred](size_t row, std::span<double> out) {
    const std::span<const float> from(values->data() + row * columns, columns);
    const double mean = centred ? Mean(from) : 0;
    for (size_t i = 0; i < columns; ++i) out[i] = from[i] - mean;
  };
  return spec;
}

}  // namespace tacit

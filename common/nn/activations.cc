#include "common/nn/activations.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <numbers>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/gates/compare.h"
#include "common/gates/linear.h"
#include "common/gates/mul_extend.h"
#include "common/gates/select.h"
#include "common/gates/trunc_reduce.h"

namespace tacit {
namespace {

enum class Above { kIdentity, kConstant };

struct Form {
  absl::string_view name;
  Above above;
  int window;  // the function is constant or the identity outside +-window
  // What is added so that the function is zero below the window.
  int offset;
  double constant;  // with the offset, above the window
  int step_log;     // where the parameters name none
};

Form FormOf(Activation activation) {
  switch (activation) {
    case Activation::kGelu:
      return {"Gelu", Above::kIdentity, 5, 0, 0, 5};
    case Activation::kGeluTanh:
      return {"GeluTanh", Above::kIdentity, 5, 0, 0, 5};
    case Activation::kSilu:
      return {"Silu", Above::kIdentity, 12, 0, 0, 4};
    case Activation::kSigmoid:
      return {"Sigmoid", Above::kConstant, 10, 0, 1, 4};
    case Activation::kTanh:
      return {"Tanh", Above::kConstant, 5, 1, 2, 5};
    case Activation::kRelu:
      break;
  }
  return {"Activation", Above::kIdentity, 0, 0, 0, 4};
}

// The line over (-1, 1) steps around `center` whose largest error is least for
// a slope that the table can hold: the chord's slope, and the middle of what
// remains. In units of 2^-value_bits and 2^-slope_bits.
struct Line {
  int64_t value;
  int64_t slope;
};

Line FitLine(Activation activation, double offset, double center, double step,
             int value_bits, int slope_bits) {
  // Even, so that the ends and the middle, where the error is largest, are
  // among the samples.
  constexpr int kSamples = 16;
  std::array<double, kSamples + 1> sample;
  for (int i = 0; i <= kSamples; ++i) {
    const double e = step * (2.0 * i / kSamples - 1);
    sample[i] = Evaluate(activation, center + e) + offset;
  }
  const double chord = (sample[kSamples] - sample[0]) / (2 * step);
  const double slope = std::round(std::ldexp(chord, slope_bits));
  double low = INFINITY, high = -INFINITY;
  for (int i = 0; i <= kSamples; ++i) {
    const double e = step * (2.0 * i / kSamples - 1);
    const double rest = sample[i] - std::ldexp(slope, -slope_bits) * e;
    low = std::min(low, rest);
    high = std::max(high, rest);
  }
  const double value = std::ldexp((low + high) / 2, value_bits);
  return {std::llround(value), static_cast<int64_t>(slope)};
}

// bound in units of 2^-frac, or 0 if it is no such number.
int64_t BoundUnits(double bound, int frac) {
  const double units = std::ceil(std::ldexp(bound, frac));
  if (frac < 0 || frac > 40 || !(bound > 0) || !(units < 0x1p62)) return 0;
  return static_cast<int64_t>(units);
}

// The scope names the layer.
void RejectLayer(Evaluator& ev, const std::string& message) {
  ev.Fail(absl::InvalidArgumentError(message));
}

// Smallest m with |v| < 2^(m-1) for all integers |v| <= largest.
int SignedBits(int64_t largest) {
  int bits = 1;
  while (largest >> (bits - 1) != 0) ++bits;
  return bits;
}

// The table without its entries; they follow from it and the parameters.
absl::StatusOr<InterpolatedTable> TableLayout(Activation activation, int frac,
                                              const ActivationParams& params) {
  if (activation == Activation::kRelu) {
    return absl::InvalidArgumentError("Relu has no table");
  }
  const Form form = FormOf(activation);
  const int step_log = params.step_log == 0 ? form.step_log : params.step_log;
  const int step_bits = frac - step_log;
  const int out_frac = frac + params.slope_bits;
  const int64_t bound = BoundUnits(params.bound, frac);
  if (bound == 0 || step_log < 0 || step_log > 8 || step_bits < 0 ||
      params.slope_bits < 0 || params.slope_bits > 24 ||
      params.value_bits < 0 || params.value_bits > out_frac || out_frac > 48) {
    return absl::InvalidArgumentError(
        absl::StrCat("bound ", params.bound, ", step 2^-", step_log,
                     ", values of ", params.value_bits, " and slopes of ",
                     params.slope_bits, " fraction bits for a wire of ", frac));
  }
  const int64_t half = int64_t{form.window} << step_log;
  InterpolatedTable table;
  table.step_bits = step_bits;
  // |x| < bound has |u| <= ceil(bound / step), since the index is rounded up
  // or down. The window must lie inside the domain, too.
  const int64_t largest = (bound + (int64_t{1} << step_bits) - 1) >> step_bits;
  table.domain_bits = SignedBits(std::max(largest, half));
  table.low = -half;
  table.value_shift = out_frac - params.value_bits;
  table.out_frac = out_frac;
  table.identity_above = form.above == Above::kIdentity;
  table.constant_above =
      static_cast<int64_t>(std::ldexp(form.constant, out_frac));
  return table;
}

// Whether a table may be one of this layout, whose window is +-low.
bool Fits(const InterpolatedTable& table, const InterpolatedTable& layout) {
  return table.step_bits == layout.step_bits &&
         table.domain_bits == layout.domain_bits && table.low == layout.low &&
         table.value.size() == static_cast<size_t>(-2 * layout.low) &&
         table.value_shift == layout.value_shift &&
         table.out_frac == layout.out_frac &&
         table.identity_above == layout.identity_above &&
         table.constant_above == layout.constant_above;
}

// The prepared table, or a new one.
absl::StatusOr<std::shared_ptr<const InterpolatedTable>> TableFor(
    Activation activation, const Wire& x, const ActivationParams& params) {
  ActivationParams prepared = params;
  if (prepared.table == nullptr) {
    RETURN_IF_ERROR(PrepareActivation(activation, x.frac, prepared));
    return prepared.table;
  }
  ASSIGN_OR_RETURN(const InterpolatedTable layout,
                   TableLayout(activation, x.frac, params));
  if (Fits(*prepared.table, layout)) return prepared.table;
  return absl::InvalidArgumentError(
      absl::StrCat("the prepared table gives ", prepared.table->out_frac,
                   " fraction bits from ", prepared.table->value.size(),
                   " entries; the parameters and a wire of ", x.frac,
                   " ask for another: prepare it again"));
}

// TableFor, if the wire holds the table's domain; else fails with null.
std::shared_ptr<const InterpolatedTable> CheckedTable(
    Evaluator& ev, Activation activation, const Wire& x,
    const ActivationParams& params) {
  if (!ev.ok()) return nullptr;
  auto table = TableFor(activation, x, params);
  if (!table.ok()) {
    ev.Fail(table.status());
    return nullptr;
  }
  if ((*table)->domain_bits + (*table)->step_bits <= x.width) return *table;
  RejectLayer(ev, absl::StrCat("bound ", params.bound, " for a wire of ",
                               x.width, " bits (fraction ", x.frac,
                               "): extend the wire or lower the bound"));
  return nullptr;
}

// ReLU opened, then the product with a wire of its width or more.
Share ReluTimes(Evaluator& ev, const Wire& x, const Wire& y,
                const ActivationParams& params, int width) {
  const Evaluator::Scope scope(ev, "ReluTimes");
  Share out{x.shape, width, x.frac + y.frac};
  if (x.shape != y.shape) {
    RejectLayer(ev, absl::StrCat("shapes ", ToString(x.shape), " and ",
                                 ToString(y.shape)));
  }
  const Wire positive = Relu(ev, x, params);
  if (!ev.ok()) return out;
  // MulExtend repeats y along x's last axis: one of one element.
  Shape column = x.shape;
  column.push_back(1);
  return Reshape(ev,
                 MulExtend(ev, Reshape(ev, positive, column), y,
                           Range::kNonNegative, width),
                 x.shape);
}

}  // namespace

double Evaluate(Activation activation, double x) {
  switch (activation) {
    case Activation::kGelu:
      return x / 2 * std::erfc(-x / std::numbers::sqrt2);
    case Activation::kGeluTanh: {
      constexpr double kScale = 0.7978845608028654;  // sqrt(2 / pi)
      return x / 2 * (1 + std::tanh(kScale * (x + 0.044715 * x * x * x)));
    }
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kRelu:
      return std::max(x, 0.0);
  }
  return 0;
}

absl::StatusOr<InterpolatedTable> ActivationTable(
    Activation activation, int frac, const ActivationParams& params) {
  ASSIGN_OR_RETURN(InterpolatedTable table,
                   TableLayout(activation, frac, params));
  const double offset = FormOf(activation).offset;
  const double step = std::ldexp(1, table.step_bits - frac);
  for (int64_t u = table.low; u < -table.low; ++u) {
    const Line line = FitLine(activation, offset, static_cast<double>(u) * step,
                              step, params.value_bits, params.slope_bits);
    table.value.push_back(line.value);
    table.slope.push_back(line.slope);
  }
  PrepareWindows(table);
  return table;
}

absl::Status PrepareActivation(Activation activation, int frac,
                               ActivationParams& params) {
  params.table = nullptr;
  if (activation == Activation::kRelu) return absl::OkStatus();
  ASSIGN_OR_RETURN(InterpolatedTable table,
                   ActivationTable(activation, frac, params));
  params.table = std::make_shared<InterpolatedTable>(std::move(table));
  return absl::OkStatus();
}

Wire Activate(Evaluator& ev, Activation activation, const Wire& x,
              const ActivationParams& params) {
  if (activation == Activation::kRelu) return Relu(ev, x, params);
  const Form form = FormOf(activation);
  const Evaluator::Scope scope(ev, form.name);
  const int width = params.width == 0 ? x.width : params.width;
  Wire out{x.shape, width, x.frac};
  const auto table = CheckedTable(ev, activation, x, params);
  if (table == nullptr) return out;
  const int64_t largest = form.above == Above::kIdentity
                              ? BoundUnits(params.bound, x.frac)
                              : int64_t{1} << x.frac;
  if (!IsWidth(width + params.slope_bits) || SignedBits(largest) > width) {
    RejectLayer(
        ev, absl::StrCat("bound ", params.bound, " for a wire of ", x.width,
                         " bits (fraction ", x.frac, ") and a result of ",
                         width, " bits: extend the wire or lower the bound"));
    return out;
  }
  Share y = Interpolated(ev, x, *table, width + params.slope_bits);
  if (form.offset != 0) {
    y = AddPublic(ev, y, -(int64_t{form.offset} << y.frac));
  }
  return TruncReduce(ev, ev.Open(y), params.slope_bits);
}

Share ActivateTimes(Evaluator& ev, Activation activation, const Wire& x,
                    const Wire& y_wire, const ActivationParams& params,
                    int width) {
  if (activation == Activation::kRelu) {
    return ReluTimes(ev, x, y_wire, params, width);
  }
  const Form form = FormOf(activation);
  const Evaluator::Scope scope(ev, absl::StrCat(form.name, "Times"));
  Share out{x.shape, width, x.frac + params.slope_bits + y_wire.frac};
  const auto table = CheckedTable(ev, activation, x, params);
  if (table == nullptr) return out;
  if (form.offset == 0) {
    return InterpolatedTimes(ev, x, y_wire, *table, width);
  }
  // (f + offset) y less offset y, from one share of y's mask.
  const Wire y = ShareMask(ev, y_wire);
  out = InterpolatedTimes(ev, x, y, *table, width);
  const Share rest =
      MulPublic(ev, ToShare(ev, y), int64_t{form.offset} << table->out_frac,
                table->out_frac);
  return ev.ok() ? Sub(ev, out, Narrow(ev, rest, width)) : out;
}

Wire Relu(Evaluator& ev, const Wire& x, const ActivationParams& params) {
  const Evaluator::Scope scope(ev, "Relu");
  const int width = params.width == 0 ? x.width : params.width;
  Wire out{x.shape, width, x.frac};
  if (!ev.ok()) return out;
  const int64_t bound = BoundUnits(params.bound, x.frac);
  // |x| <= bound - 1.
  const int m = bound == 0 ? 0 : SignedBits(bound - 1);
  if (m < 1 || m > width || !IsWidth(width) || width > x.width) {
    RejectLayer(ev, absl::StrCat("bound ", params.bound, " for a wire of ",
                                 x.width, " bits (fraction ", x.frac,
                                 ") and a result of ", width, " bits"));
    return out;
  }
  const BitShare positive = Not(ev, IsNegative(ev, x, m));
  return ev.Open(Select(ev, positive, x, width));
}

Wire Exp(Evaluator& ev, const Wire& x, const ExpParams& params) {
  const Evaluator::Scope scope(ev, "Exp");
  Wire out{x.shape, params.width, params.frac};
  if (!ev.ok()) return out;
  // 2^(x log2 e): the bounds in powers of two.
  const double bound = params.bound * std::numbers::log2e;
  const int64_t units = BoundUnits(bound, x.frac);
  // The factor's fraction bits: what the wire has room for, up to 16.
  const int room = x.width - SignedBits(units);
  const int k = std::min(room, 16);
  const int exponent_frac = std::min(params.exponent_bits, x.frac + k);
  if (units == 0 || k < 8 || std::abs(params.max) > 32 || params.frac < 0 ||
      params.frac > 20 || exponent_frac < 1 || params.exponent_bits > 16) {
    RejectLayer(
        ev, absl::StrCat("|x| < ", params.bound, ", x < ", params.max,
                         ", a wire of ", x.width, " bits (fraction ", x.frac,
                         "), a result of fraction ", params.frac));
    return out;
  }
  Exp2Params exp2;
  // The largest integer part, one more where rounding reaches it.
  exp2.max_exponent = std::max(
      0, static_cast<int>(std::floor(params.max * std::numbers::log2e)) + 1);
  exp2.min_exponent = -(params.frac + 2);
  exp2.domain_bits = SignedBits(
      std::max<int64_t>(static_cast<int64_t>(std::ceil(bound)) + 1,
                        std::max(exp2.max_exponent + 2, -exp2.min_exponent)));
  exp2.mask_bits = exp2.public_bits = 14;
  const int width =
      params.width == 0 ? params.frac + exp2.max_exponent + 2 : params.width;
  out.width = width;
  const int dropped = exp2.out_frac() - params.frac;
  if (width < 2 || width + dropped > exp2.width()) {
    RejectLayer(ev, absl::StrCat("a result of ", width, " bits"));
    return out;
  }
  const int64_t factor = std::llround(std::ldexp(std::numbers::log2e, k));
  Wire exponent = MulPublic(ev, x, factor, k);
  exponent = TruncReduce(ev, exponent, exponent.frac - exponent_frac);
  if (exp2.domain_bits + exponent_frac > exponent.width) {
    exp2.domain_bits = exponent.width - exponent_frac;
  }
  const Share y = Narrow(ev, Exp2(ev, exponent, exp2), width + dropped);
  return TruncReduce(ev, ev.Open(y), dropped);
}

}  // namespace tacit

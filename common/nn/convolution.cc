#include "common/nn/convolution.h"

#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/gates/compare.h"
#include "common/gates/linear.h"
#include "common/gates/matmul.h"
#include "common/gates/select.h"
#include "common/gates/trunc_reduce.h"

namespace tacit {
namespace {

bool Check(Evaluator& ev, absl::string_view gate, const Wire& x,
           const Window2d& window) {
  if (absl::Status status = CheckWindow(window); !status.ok()) {
    ev.Reject(gate, status.message());
    return false;
  }
  const Shape shape = {window.batch, window.channels, window.height,
                       window.width};
  if (x.shape != shape) {
    ev.Reject(gate, absl::StrCat("input ", ToString(x.shape),
                                 " where the window has ", ToString(shape)));
    return false;
  }
  return true;
}

// Patches [rows, channels * kernel]; linear, so masks unfold alike.
Wire Unfold(Evaluator& ev, absl::string_view gate, const Wire& x,
            const Window2d& window) {
  const size_t rows = window.batch * window.out_height() * window.out_width();
  const size_t patch =
      window.channels * window.kernel_height * window.kernel_width;
  return MapLinear(
      ev, gate, x, {rows, patch}, x.frac,
      [&](std::span<const uint64_t> in, std::span<uint64_t> out) {
        Im2col(window, in, out);
      },
      [&](Accelerator& device, const Words& in, Words& out) {
        // The same of numbered elements says where each comes
        // from; padding from a zero behind them.
        Words numbers(in.size()), from(out.size());
        std::iota(numbers.begin(), numbers.end(), uint64_t{1});
        Im2col(window, numbers, from);
        std::vector<size_t> source(from.size());
        for (size_t i = 0; i < from.size(); ++i) {
          source[i] = from[i] == 0 ? in.size() : from[i] - 1;
        }
        Words padded = device.NewWords(in.size() + 1);
        device.PlaceColumns(in, in.size(), 0, 0, in.size(), in.size() + 1,
                            padded);
        device.GatherRows(padded, 1, source, out);
      });
}

// Windows of each channel by itself: channels join the batch.
Window2d PerChannel(const Window2d& window) {
  Window2d single = window;
  single.batch = window.batch * window.channels;
  single.channels = 1;
  return single;
}

Wire UnfoldPerChannel(Evaluator& ev, absl::string_view gate, const Wire& x,
                      const Window2d& window) {
  const Window2d single = PerChannel(window);
  return Unfold(ev, gate,
                Reshape(ev, x, {single.batch, 1, window.height, window.width}),
                single);
}

}  // namespace

Share ConvStatic(Evaluator& ev, const Wire& x, const Window2d& window,
                 const StaticMatrix& weights, int width) {
  constexpr absl::string_view kGate = "ConvStatic";
  Share out{{}, width, x.frac + weights.frac};
  if (!Check(ev, kGate, x, window)) return out;
  const Evaluator::Scope scope(ev, kGate);
  const Share product =
      MatMulStatic(ev, Unfold(ev, kGate, x, window), weights, width);
  // Rows are positions: [batch, oh, ow, channels] to [batch, channels, oh, ow].
  const Shape rows = {window.batch, window.out_height(), window.out_width(),
                      weights.n};
  constexpr std::array<int, 4> kAxes = {0, 3, 1, 2};
  return Transpose(ev, Reshape(ev, product, rows), kAxes);
}

Wire AveragePool(Evaluator& ev, const Wire& x, const Window2d& window,
                 int precision) {
  constexpr absl::string_view kGate = "AveragePool";
  if (!Check(ev, kGate, x, window)) return x;
  if (precision < 1 || precision > 30) {
    ev.Reject(kGate, absl::StrCat("precision of ", precision, " bits"));
    return x;
  }
  const size_t size = window.kernel_height * window.kernel_width;
  const int64_t factor =
      std::llround(std::ldexp(1.0, precision) / static_cast<double>(size));
  const Wire sum = SumLast(ev, UnfoldPerChannel(ev, kGate, x, window));
  const Wire mean =
      TruncReduce(ev, MulPublic(ev, sum, factor, precision), precision);
  return Reshape(
      ev, mean,
      {window.batch, window.channels, window.out_height(), window.out_width()});
}

Wire Maximum(Evaluator& ev, const Wire& a, const Wire& b, int m, int width) {
  const Wire difference = Sub(ev, a, b);
  const BitShare larger = Not(ev, IsNegative(ev, difference, m));
  return ev.Open(Add(ev, Narrow(ev, ToShare(ev, b), width),
                     Select(ev, larger, difference, width)));
}

Wire MaxPool(Evaluator& ev, const Wire& x, const Window2d& window, int m,
             int width) {
  constexpr absl::string_view kGate = "MaxPool";
  if (!Check(ev, kGate, x, window)) return x;
  const Evaluator::Scope scope(ev, kGate);
  // [positions, candidates]; halve the candidates until one is left.
  Wire left = UnfoldPerChannel(ev, kGate, x, window);
  while (ev.ok() && left.shape.back() > 1) {
    const size_t count = left.shape.back(), half = count / 2;
    const Wire winner = Maximum(ev, SliceLast(ev, left, 0, half),
                                SliceLast(ev, left, half, half), m, width);
    if (count % 2 == 0) {
      left = winner;
      continue;
    }
    // The odd one waits for the next level, at the end of each row.
    const std::array<int, 2> swap = {1, 0};
    const std::array<Wire, 2> parts = {
        Transpose(ev, winner, swap),
        Transpose(ev, Narrow(ev, SliceLast(ev, left, count - 1, 1), width),
                  swap)};
    left = Transpose(ev, Concat(ev, std::span<const Wire>(parts)), swap);
  }
  return Reshape(
      ev, left,
      {window.batch, window.channels, window.out_height(), window.out_width()});
}

absl::Status FoldBatchNorm(const BatchNorm& norm, std::span<float> weights,
                           std::span<float> bias) {
  const size_t channels = bias.size();
  if (norm.gamma.size() != channels || norm.beta.size() != channels ||
      norm.mean.size() != channels || norm.variance.size() != channels ||
      channels == 0 || weights.size() % channels != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "batch norm of ", norm.gamma.size(), " channels, convolution of ",
        channels, " with ", weights.size(), " weights"));
  }
  const size_t rest = weights.size() / channels;
  for (size_t o = 0; o < channels; ++o) {
    if (!(norm.variance[o] >= 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("batch norm: variance of channel ", o,
                       " is negative or not a number"));
    }
    const float scale =
        norm.gamma[o] / std::sqrt(norm.variance[o] + norm.epsilon);
    for (float& w : weights.subspan(o * rest, rest)) w *= scale;
    bias[o] = (bias[o] - norm.mean[o]) * scale + norm.beta[o];
  }
  return absl::OkStatus();
}

}  // namespace tacit

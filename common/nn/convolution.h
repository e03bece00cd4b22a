// Convolution and pooling.
#ifndef TACIT_COMMON_NN_CONVOLUTION_H_
#define TACIT_COMMON_NN_CONVOLUTION_H_

#include <span>
#include <vector>

#include "common/gates/evaluator.h"
#include "common/ring/conv.h"

namespace tacit {

// Static convolution of x [batch, channels, height, width] with weights
// [channels * kernel_height * kernel_width, out_channels] (kTransposed:
// [out_channels, ...], PyTorch's order flattened): share [batch, out_channels,
// out_height, out_width] over Z_{2^width}. Patches are unfolded locally, then
// one MatMulStatic. Errors: INVALID_ARGUMENT on sizes; as MatMulStatic.
Share ConvStatic(Evaluator& ev, const Wire& x, const Window2d& window,
                 const StaticMatrix& weights, int width);

// Mean over windows, padding counted as zeros: wire [batch, channels,
// out_height, out_width], fraction count of x, width x.width - precision: the
// public factor 1 / window has `precision` bits. Local but for rounding.
Wire AveragePool(Evaluator& ev, const Wire& x, const Window2d& window,
                 int precision = 12);

// Maximum over windows, for |x| < 2^(m-2): m bits compare two values. The
// padding's zeros take part, as after a ReLU. A tournament: two rounds for each
// halving of the window. Result opened over Z_{2^width}, width <= x.width.
Wire MaxPool(Evaluator& ev, const Wire& x, const Window2d& window, int m,
             int width);

// Elementwise maximum: b + max(a - b, 0), two rounds.
Wire Maximum(Evaluator& ev, const Wire& a, const Wire& b, int m, int width);

// Batch normalisation folded into the convolution before it, in floats, before
// weights are encoded: w[o] *= s, bias[o] = (bias[o] - mean[o]) s + beta[o],
// with s = gamma[o] / sqrt(variance[o] + epsilon). `weights` [out_channels,
// rest]. INVALID_ARGUMENT if sizes differ or a variance is negative.
struct BatchNorm {
  std::vector<float> gamma, beta, mean, variance;
  float epsilon = 1e-5f;
};
absl::Status FoldBatchNorm(const BatchNorm& norm, std::span<float> weights,
                           std::span<float> bias);

}  // namespace tacit

#endif  // TACIT_COMMON_NN_CONVOLUTION_H_

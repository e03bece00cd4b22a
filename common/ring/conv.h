// Convolution and pooling windows as linear maps (im2col).
#ifndef TACIT_COMMON_RING_CONV_H_
#define TACIT_COMMON_RING_CONV_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"

namespace tacit {

// A 2-D window over images of shape [batch, channels, height, width].
struct Window2d {
  size_t batch, channels, height, width;
  size_t kernel_height, kernel_width;
  size_t stride = 1;
  size_t padding = 0;  // zeros on every side
  size_t dilation = 1;

  size_t out_height() const;
  size_t out_width() const;
};

// INVALID_ARGUMENT, naming the sizes, if a size or stride is zero, the kernel
// is larger than the padded image, or the unfolded size overflows.
absl::Status CheckWindow(const Window2d& window);

// Unfolds the image into rows of patches:
//   out[(b * out_height + y) * out_width + x, (c * kh + i) * kw + j]
//     = image[b, c, y * stride + i * dilation - padding, ...], 0 outside.
// Linear, hence applied alike to masked values, masks and shares.
// Requires CheckWindow(window).ok(), in.size() == batch * channels * height *
// width, out.size() == batch * oh * ow * channels * kh * kw.
void Im2col(const Window2d& window, std::span<const uint64_t> in,
            std::span<uint64_t> out);

}  // namespace tacit

#endif  // TACIT_COMMON_RING_CONV_H_

#include "common/ring/conv.h"

#include <cassert>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace tacit {
namespace {

// Every size and every product below stays under this, so that byte counts
// and signed positions fit, too.
constexpr size_t kMaxElements = size_t{1} << 48;

// *product *= factor; false if that leaves [1, kMaxElements].
bool Multiply(size_t factor, size_t* product) {
  if (factor == 0 || factor > kMaxElements / *product) return false;
  *product *= factor;
  return true;
}

// Positions that `kernel` elements `dilation` apart span.
size_t Extent(size_t kernel, size_t dilation) {
  return (kernel - 1) * dilation + 1;
}

size_t OutSize(size_t size, size_t padding, size_t kernel, size_t dilation,
               size_t stride) {
  return (size + 2 * padding - Extent(kernel, dilation)) / stride + 1;
}

std::string Describe(const Window2d& w) {
  return absl::StrCat("batch ", w.batch, ", channels ", w.channels, ", image ",
                      w.height, "x", w.width, ", kernel ", w.kernel_height, "x",
                      w.kernel_width, ", stride ", w.stride, ", padding ",
                      w.padding, ", dilation ", w.dilation);
}

// Copies row[x * stride + offset - padding] for x in [0, n) to out[x * step],
// 0 where that lies outside [0, width).
void CopyTap(const uint64_t* row, size_t width, size_t offset, size_t stride,
             size_t padding, size_t n, uint64_t* out, size_t step) {
  for (size_t x = 0; x < n; ++x) {
    const size_t position = x * stride + offset;  // in the padded row
    const bool inside = position >= padding && position - padding < width;
    out[x * step] = inside ? row[position - padding] : 0;
  }
}

}  // namespace

size_t Window2d::out_height() const {
  return OutSize(height, padding, kernel_height, dilation, stride);
}

size_t Window2d::out_width() const {
  return OutSize(width, padding, kernel_width, dilation, stride);
}

absl::Status CheckWindow(const Window2d& w) {
  size_t image = 1;
  if (!Multiply(w.batch, &image) || !Multiply(w.channels, &image) ||
      !Multiply(w.height, &image) || !Multiply(w.width, &image)) {
    return absl::InvalidArgumentError(
        absl::StrCat("image is empty or too large: ", Describe(w)));
  }
  size_t reach_y = 1, reach_x = 1;
  if (w.stride == 0 || w.stride > kMaxElements || w.padding > kMaxElements ||
      !Multiply(w.kernel_height, &reach_y) || !Multiply(w.dilation, &reach_y) ||
      !Multiply(w.kernel_width, &reach_x) || !Multiply(w.dilation, &reach_x)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "stride, kernel or dilation is zero or too large: ", Describe(w)));
  }
  if (Extent(w.kernel_height, w.dilation) > w.height + 2 * w.padding ||
      Extent(w.kernel_width, w.dilation) > w.width + 2 * w.padding) {
    return absl::InvalidArgumentError(
        absl::StrCat("kernel is larger than the padded image: ", Describe(w)));
  }
  size_t unfolded = w.batch;
  if (!Multiply(w.out_height(), &unfolded) ||
      !Multiply(w.out_width(), &unfolded) || !Multiply(w.channels, &unfolded) ||
      !Multiply(w.kernel_height, &unfolded) ||
      !Multiply(w.kernel_width, &unfolded)) {
    return absl::InvalidArgumentError(
        absl::StrCat("unfolded image is too large: ", Describe(w)));
  }
  return absl::OkStatus();
}

void Im2col(const Window2d& w, std::span<const uint64_t> in,
            std::span<uint64_t> out) {
  const size_t out_height = w.out_height(), out_width = w.out_width();
  const size_t patch = w.channels * w.kernel_height * w.kernel_width;
  assert(in.size() == w.batch * w.channels * w.height * w.width);
  assert(out.size() == w.batch * out_height * out_width * patch);
  uint64_t* rows = out.data();  // of one output line: [out_width, patch]
  for (size_t b = 0; b < w.batch; ++b) {
    for (size_t y = 0; y < out_height; ++y, rows += out_width * patch) {
      uint64_t* column = rows;
      for (size_t c = 0; c < w.channels; ++c) {
        const uint64_t* image =
            in.data() + (b * w.channels + c) * w.height * w.width;
        for (size_t i = 0; i < w.kernel_height; ++i) {
          const size_t line = y * w.stride + i * w.dilation;
          const bool inside = line >= w.padding && line - w.padding < w.height;
          // Outside the image no position is inside a row of width 0.
          const uint64_t* row =
              inside ? image + (line - w.padding) * w.width : nullptr;
          for (size_t j = 0; j < w.kernel_width; ++j, ++column) {
            CopyTap(row, inside ? w.width : 0, j * w.dilation, w.stride,
                    w.padding, out_width, column, patch);
          }
        }
      }
    }
  }
}

}  // namespace tacit

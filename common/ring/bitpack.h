// Ring elements on the wire: exactly n bits each.
#ifndef TACIT_COMMON_RING_BITPACK_H_
#define TACIT_COMMON_RING_BITPACK_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace tacit {

// ceil(count * width / 8). Requires count * width < 2^63.
constexpr size_t PackedBytes(size_t count, int width) {
  return (count * static_cast<size_t>(width) + 7) / 8;
}

// Element i occupies bits [i * width, (i + 1) * width) of `out`, bit k of the
// message being bit k % 8 of byte k / 8; the last byte is padded with zeros.
// Bits of an element above `width` are dropped.
// Requires 1 <= width <= 64 and out.size() == PackedBytes(in.size(), width).
void Pack(std::span<const uint64_t> in, int width, std::span<uint8_t> out);

// The inverse; every out[i] is in [0, 2^width).
// Requires in.size() == PackedBytes(out.size(), width).
void Unpack(std::span<const uint8_t> in, int width, std::span<uint64_t> out);

// The same for bits that are held one in a byte (0 or 1).
// Requires out.size() == PackedBytes(in.size(), 1); for UnpackBits the inverse.
void PackBits(std::span<const uint8_t> in, std::span<uint8_t> out);
void UnpackBits(std::span<const uint8_t> in, std::span<uint8_t> out);

}  // namespace tacit

#endif  // TACIT_COMMON_RING_BITPACK_H_

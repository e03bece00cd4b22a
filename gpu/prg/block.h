// 128-bit blocks in registers: the layout of common/prg's Block as four words.
#ifndef TACIT_GPU_PRG_BLOCK_H_
#define TACIT_GPU_PRG_BLOCK_H_

#include <cstddef>
#include <cstdint>

#include "gpu/base/host_device.h"

namespace tacit::gpu {

// Bit i is bit i % 32 of w[i / 32]; in memory little-endian, as common's Block.
struct alignas(16) Block {
  uint32_t w[4];
};

TACIT_HOST_DEVICE inline uint64_t Low(const Block& x) {
  return uint64_t{x.w[1]} << 32 | x.w[0];
}
TACIT_HOST_DEVICE inline uint64_t High(const Block& x) {
  return uint64_t{x.w[3]} << 32 | x.w[2];
}
TACIT_HOST_DEVICE inline Block MakeBlock(uint64_t low, uint64_t high) {
  return {{static_cast<uint32_t>(low), static_cast<uint32_t>(low >> 32),
           static_cast<uint32_t>(high), static_cast<uint32_t>(high >> 32)}};
}
TACIT_HOST_DEVICE inline Block Xor(const Block& a, const Block& b) {
  return {{a.w[0] ^ b.w[0], a.w[1] ^ b.w[1], a.w[2] ^ b.w[2], a.w[3] ^ b.w[3]}};
}
// a xor (b and mask); mask is all ones or zero.
TACIT_HOST_DEVICE inline Block XorMasked(const Block& a, const Block& b,
                                         uint32_t mask) {
  return {{a.w[0] ^ (b.w[0] & mask), a.w[1] ^ (b.w[1] & mask),
           a.w[2] ^ (b.w[2] & mask), a.w[3] ^ (b.w[3] & mask)}};
}
// All ones if the lowest bit, a node's control bit, is set.
TACIT_HOST_DEVICE inline uint32_t ControlMask(const Block& x) {
  return 0u - (x.w[0] & 1u);
}
// x + n as 128-bit numbers.
TACIT_HOST_DEVICE inline Block Plus(const Block& x, uint64_t n) {
  const uint64_t low = Low(x) + n;
  return MakeBlock(low, High(x) + (low < n ? 1 : 0));
}

// Material lies in a stream of bytes, so a field may begin anywhere: whole
// words where the address allows it, else byte by byte. All threads of a launch
// take the same branch in practice, since records have one stride.
TACIT_HOST_DEVICE inline Block LoadBlock(const uint8_t* from) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(from);
  if (address % 16 == 0) return *reinterpret_cast<const Block*>(from);
  if (address % 8 == 0) {
    const uint64_t* words = reinterpret_cast<const uint64_t*>(from);
    return MakeBlock(words[0], words[1]);
  }
  Block x;
  for (int i = 0; i < 4; ++i) {
    x.w[i] = uint32_t{from[4 * i]} | uint32_t{from[4 * i + 1]} << 8 |
             uint32_t{from[4 * i + 2]} << 16 | uint32_t{from[4 * i + 3]} << 24;
  }
  return x;
}

TACIT_HOST_DEVICE inline void StoreBlock(const Block& x, uint8_t* to) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(to);
  if (address % 16 == 0) {
    *reinterpret_cast<Block*>(to) = x;
  } else if (address % 8 == 0) {
    uint64_t* words = reinterpret_cast<uint64_t*>(to);
    words[0] = Low(x);
    words[1] = High(x);
  } else {
    for (int i = 0; i < 16; ++i) {
      to[i] = static_cast<uint8_t>(x.w[i / 4] >> (8 * (i % 4)));
    }
  }
}

// u / d, in 32 bits where they suffice: the device has no divider.
TACIT_HOST_DEVICE inline uint64_t Quotient(uint64_t u, uint64_t d) {
  if ((u | d) >> 32 == 0) {
    return static_cast<uint32_t>(u) / static_cast<uint32_t>(d);
  }
  return u / d;
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_PRG_BLOCK_H_

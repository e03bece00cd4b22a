// AES's S-box as a circuit on planes of bits, and the key expansion on it.
#ifndef TACIT_GPU_PRG_AES_CIRCUIT_INL_H_
#define TACIT_GPU_PRG_AES_CIRCUIT_INL_H_

#include <cstdint>

#include "gpu/base/host_device.h"

namespace tacit::gpu {

inline constexpr int kAesRounds = 10;
inline constexpr int kAesKeyWords = 4 * (kAesRounds + 1);

namespace planes {

TACIT_HOST_DEVICE inline uint32_t RotateRight(uint32_t x, int bits) {
  return bits == 0 ? x : x >> bits | x << (32 - bits);
}

// The S-box on eight planes: Boyar, Peralta, "A new combinational logic
// minimization technique with applications to cryptology", SEA 2010
// (https://eprint.iacr.org/2009/191), Fig. "AES S-box": 115 gates. x0 and s0
// are the highest bits there.
TACIT_HOST_DEVICE inline void SubBytes(uint32_t* q) {
  const uint32_t x0 = q[7], x1 = q[6], x2 = q[5], x3 = q[4];
  const uint32_t x4 = q[3], x5 = q[2], x6 = q[1], x7 = q[0];
  // Top linear transformation.
  const uint32_t y14 = x3 ^ x5, y13 = x0 ^ x6, y9 = x0 ^ x3, y8 = x0 ^ x5;
  const uint32_t t0 = x1 ^ x2;
  const uint32_t y1 = t0 ^ x7;
  const uint32_t y4 = y1 ^ x3, y12 = y13 ^ y14, y2 = y1 ^ x0, y5 = y1 ^ x6;
  const uint32_t y3 = y5 ^ y8, t1 = x4 ^ y12;
  const uint32_t y15 = t1 ^ x5, y20 = t1 ^ x1;
  const uint32_t y6 = y15 ^ x7, y10 = y15 ^ t0, y11 = y20 ^ y9;
  const uint32_t y7 = x7 ^ y11, y17 = y10 ^ y11, y19 = y10 ^ y8;
  const uint32_t y16 = t0 ^ y11;
  const uint32_t y21 = y13 ^ y16, y18 = x0 ^ y16;
  // Inversion.
  const uint32_t t2 = y12 & y15;
  const uint32_t t4 = (y3 & y6) ^ t2, t6 = (y4 & x7) ^ t2;
  const uint32_t t7 = y13 & y16;
  const uint32_t t9 = (y5 & y1) ^ t7, t11 = (y2 & y7) ^ t7;
  const uint32_t t12 = y9 & y11;
  const uint32_t t14 = (y14 & y17) ^ t12, t16 = (y8 & y10) ^ t12;
  const uint32_t t21 = t4 ^ t14 ^ y20, t22 = t6 ^ t16 ^ y19;
  const uint32_t t23 = t9 ^ t14 ^ y21, t24 = t11 ^ t16 ^ y18;
  const uint32_t t25 = t21 ^ t22, t26 = t21 & t23;
  const uint32_t t27 = t24 ^ t26;
  const uint32_t t29 = (t25 & t27) ^ t22;
  const uint32_t t33 = ((t22 ^ t26) & (t23 ^ t24)) ^ t24;
  const uint32_t t36 = t24 & (t27 ^ t33);
  const uint32_t t37 = t36 ^ t23 ^ t33;
  const uint32_t t40 = t25 ^ (t29 & (t27 ^ t36));
  const uint32_t t41 = t40 ^ t37, t42 = t29 ^ t33, t43 = t29 ^ t40;
  const uint32_t t44 = t33 ^ t37;
  const uint32_t t45 = t42 ^ t41;
  const uint32_t z0 = t44 & y15, z1 = t37 & y6, z2 = t33 & x7, z3 = t43 & y16;
  const uint32_t z4 = t40 & y1, z5 = t29 & y7, z6 = t42 & y11, z7 = t45 & y17;
  const uint32_t z8 = t41 & y10, z9 = t44 & y12, z10 = t37 & y3;
  const uint32_t z11 = t33 & y4, z12 = t43 & y13, z13 = t40 & y5;
  const uint32_t z14 = t29 & y2, z15 = t42 & y9, z16 = t45 & y14;
  const uint32_t z17 = t41 & y8;
  // Bottom linear transformation.
  const uint32_t t46 = z15 ^ z16, t48 = z5 ^ z13, t53 = z0 ^ z3;
  const uint32_t t57 = z2 ^ z12 ^ t53, t58 = z4 ^ t46;
  const uint32_t t59 = z3 ^ z6 ^ z7;
  const uint32_t t62 = z7 ^ z8 ^ t58, t63 = z9 ^ z10 ^ t58;
  const uint32_t t64 = z4 ^ t59, t65 = z14 ^ t57 ^ t62, t66 = z1 ^ t63;
  const uint32_t s3 = t53 ^ t66;
  q[7] = t59 ^ t63;
  q[6] = t64 ^ ~s3;
  q[5] = z16 ^ z17 ^ ~(t64 ^ t65);
  q[4] = s3;
  q[3] = z2 ^ z5 ^ t66;
  q[2] = z10 ^ z11 ^ t65;
  q[1] = z12 ^ t48 ^ ~t62;
  q[0] = t48 ^ ~(t46 ^ t57);
}

TACIT_HOST_DEVICE inline void Swap(uint32_t& a, uint32_t& b, uint32_t mask,
                                   int bits) {
  const uint32_t t = ((a >> bits) ^ b) & mask;
  b ^= t;
  a ^= t << bits;
}

// Within each byte: bit k of word i goes to bit i of word k. Its own inverse.
TACIT_HOST_DEVICE inline void Transpose(uint32_t (&q)[8]) {
  TACIT_UNROLL
  for (int i = 0; i < 8; i += 2) Swap(q[i], q[i + 1], 0x55555555u, 1);
  TACIT_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int at = (i & 1) | (i & 2) << 1;  // 0, 1, 4, 5
    Swap(q[at], q[at + 2], 0x33333333u, 2);
  }
  TACIT_UNROLL
  for (int i = 0; i < 4; ++i) Swap(q[i], q[i + 4], 0x0F0F0F0Fu, 4);
}

// Bytes of four words: byte r of word c goes to byte c of word r.
TACIT_HOST_DEVICE inline void TransposeBytes(uint32_t (&y)[4]) {
  Swap(y[0], y[1], 0x00FF00FFu, 8);
  Swap(y[2], y[3], 0x00FF00FFu, 8);
  Swap(y[0], y[2], 0x0000FFFFu, 16);
  Swap(y[1], y[3], 0x0000FFFFu, 16);
}

// FIPS-197's SubWord without a table.
TACIT_HOST_DEVICE inline uint32_t SubWord(uint32_t word) {
  uint32_t q[8] = {word};
  Transpose(q);
  SubBytes(q);
  Transpose(q);
  return q[0];
}

}  // namespace planes

// FIPS-197, Sec. 5.2, for Nk = 4: the 44 words of the expanded key, without a
// table, so that it may run where others share the processor's caches.
TACIT_HOST_DEVICE inline void ExpandAesKey(const uint32_t (&key)[4],
                                           uint32_t (&words)[kAesKeyWords]) {
  for (int i = 0; i < 4; ++i) words[i] = key[i];
  uint32_t rcon = 1;
  for (int i = 4; i < kAesKeyWords; ++i) {
    uint32_t word = words[i - 1];
    if (i % 4 == 0) {
      word = planes::SubWord(planes::RotateRight(word, 8)) ^ rcon;
      rcon = (rcon << 1) ^ ((rcon >> 7) * 0x11B);
    }
    words[i] = words[i - 4] ^ word;
  }
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_PRG_AES_CIRCUIT_INL_H_

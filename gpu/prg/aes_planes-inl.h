// Bitsliced AES-128: no table, so neither addresses nor branches depend on what
// is encrypted. Two forms, by how many blocks one thread holds:
//
//   PlanesAes<2>: eight registers, register k holding bit k of every byte;
//     bit 8 r + 2 c + b of it belongs to row r, column c of block b. Few
//     registers, so many threads to a multiprocessor.
//   PlanesAes<8>: 32 registers, register 8 r + k holding bit k of row r's
//     bytes; bit 8 c + b belongs to column c of block b. MixColumns and
//     ShiftRows need no masks: columns are bytes, rows are registers.
#ifndef TACIT_GPU_PRG_AES_PLANES_INL_H_
#define TACIT_GPU_PRG_AES_PLANES_INL_H_

#include <cstdint>

#include "gpu/base/host_device.h"
#include "gpu/kernel/phased.h"
#include "gpu/prg/aes_circuit-inl.h"
#include "gpu/prg/block.h"

namespace tacit::gpu {

template <int kBlocksEach>
class PlanesAes;

template <>
class PlanesAes<2> {
 public:
  static constexpr int kBlocks = 2;
  static constexpr uint32_t kThreads = 256;  // of a block of the launch
  static constexpr int kKeyWords = 8 * (kAesRounds + 1);
  struct Tables {};

  TACIT_HOST_DEVICE static void FillTables(Tables&, unsigned, unsigned) {}
  // The key in planes, this thread's part of it.
  TACIT_HOST_DEVICE static void FillKey(const uint32_t* words, uint32_t* key,
                                        unsigned thread, unsigned threads) {
    for (unsigned round = thread; round <= kAesRounds; round += threads) {
      uint32_t q[8];
      for (int i = 0; i < 8; ++i) q[i] = words[4 * round + i / 2];
      planes::Transpose(q);
      for (int i = 0; i < 8; ++i) key[8 * round + i] = q[i];
    }
  }

  TACIT_HOST_DEVICE PlanesAes(const Tables&, unsigned) {}

  TACIT_HOST_DEVICE void Encrypt(const uint32_t* key,
                                 Block (&x)[kBlocks]) const {
    uint32_t q[8];
    TACIT_UNROLL
    for (int i = 0; i < 8; ++i) q[i] = x[i % 2].w[i / 2];
    planes::Transpose(q);
    AddKey(key, q);
    TACIT_NO_UNROLL
    for (int round = 1; round < kAesRounds; ++round) {
      planes::SubBytes(q);
      ShiftRows(q);
      MixColumns(q);
      AddKey(key + 8 * round, q);
    }
    planes::SubBytes(q);
    ShiftRows(q);
    AddKey(key + 8 * kAesRounds, q);
    planes::Transpose(q);
    TACIT_UNROLL
    for (int i = 0; i < 8; ++i) x[i % 2].w[i / 2] = q[i];
  }

 private:
  TACIT_HOST_DEVICE static void AddKey(const uint32_t* key, uint32_t (&q)[8]) {
    TACIT_UNROLL
    for (int i = 0; i < 8; ++i) q[i] ^= key[i];
  }
  // Row r is byte r; its new column c is the old column c + r.
  TACIT_HOST_DEVICE static void ShiftRows(uint32_t (&q)[8]) {
    TACIT_UNROLL
    for (int i = 0; i < 8; ++i) {
      const uint32_t x = q[i];
      q[i] = (x & 0x000000FFu) | ((x & 0x0000FC00u) >> 2) |
             ((x & 0x00000300u) << 6) | ((x & 0x00F00000u) >> 4) |
             ((x & 0x000F0000u) << 4) | ((x & 0xC0000000u) >> 6) |
             ((x & 0x3F000000u) << 2);
    }
  }
  // 2 (a_r + a_{r+1}) + a_{r+1} + (a + a_{next})_{r+2}.
  TACIT_HOST_DEVICE static void MixColumns(uint32_t (&q)[8]) {
    uint32_t next[8], sum[8];
    TACIT_UNROLL
    for (int k = 0; k < 8; ++k) {
      next[k] = planes::RotateRight(q[k], 8);
      sum[k] = q[k] ^ next[k];
    }
    TACIT_UNROLL
    for (int k = 0; k < 8; ++k) {
      uint32_t doubled = sum[(k + 7) % 8];
      if (k == 1 || k == 3 || k == 4) doubled ^= sum[7];
      q[k] = doubled ^ next[k] ^ planes::RotateRight(sum[k], 16);
    }
  }
};

template <>
class PlanesAes<8> {
 public:
  static constexpr int kBlocks = 8;
  static constexpr uint32_t kThreads = 128;
  static constexpr int kKeyWords = 32 * (kAesRounds + 1);
  struct Tables {};

  TACIT_HOST_DEVICE static void FillTables(Tables&, unsigned, unsigned) {}
  TACIT_HOST_DEVICE static void FillKey(const uint32_t* words, uint32_t* key,
                                        unsigned thread, unsigned threads) {
    for (unsigned i = thread; i < kKeyWords; i += threads) {
      const unsigned round = i / 32, row = i / 8 % 4, bit = i % 8;
      uint32_t plane = 0;
      for (unsigned c = 0; c < 4; ++c) {
        const uint32_t set = words[4 * round + c] >> (8 * row + bit) & 1u;
        plane |= (set * 0xFFu) << (8 * c);
      }
      key[i] = plane;
    }
  }

  TACIT_HOST_DEVICE PlanesAes(const Tables&, unsigned) {}

  TACIT_HOST_DEVICE void Encrypt(const uint32_t* key,
                                 Block (&x)[kBlocks]) const {
    uint32_t q[32];
    ToPlanes(x, q);
    AddKey(key, q);
    TACIT_NO_UNROLL
    for (int round = 1; round < kAesRounds; ++round) {
      SubBytesAndShift(q);
      MixColumns(q);
      AddKey(key + 32 * round, q);
    }
    SubBytesAndShift(q);
    AddKey(key + 32 * kAesRounds, q);
    FromPlanes(q, x);
  }

 private:
  TACIT_HOST_DEVICE static void ToPlanes(const Block (&x)[kBlocks],
                                         uint32_t (&q)[32]) {
    uint32_t y[4][8];
    TACIT_UNROLL
    for (int c = 0; c < 4; ++c) {
      TACIT_UNROLL
      for (int b = 0; b < 8; ++b) y[c][b] = x[b].w[c];
      planes::Transpose(y[c]);
    }
    TACIT_UNROLL
    for (int k = 0; k < 8; ++k) {
      uint32_t rows[4] = {y[0][k], y[1][k], y[2][k], y[3][k]};
      planes::TransposeBytes(rows);
      TACIT_UNROLL
      for (int r = 0; r < 4; ++r) q[8 * r + k] = rows[r];
    }
  }
  TACIT_HOST_DEVICE static void FromPlanes(const uint32_t (&q)[32],
                                           Block (&x)[kBlocks]) {
    uint32_t y[4][8];
    TACIT_UNROLL
    for (int k = 0; k < 8; ++k) {
      uint32_t columns[4] = {q[k], q[8 + k], q[16 + k], q[24 + k]};
      planes::TransposeBytes(columns);
      TACIT_UNROLL
      for (int c = 0; c < 4; ++c) y[c][k] = columns[c];
    }
    TACIT_UNROLL
    for (int c = 0; c < 4; ++c) {
      planes::Transpose(y[c]);
      TACIT_UNROLL
      for (int b = 0; b < 8; ++b) x[b].w[c] = y[c][b];
    }
  }
  TACIT_HOST_DEVICE static void AddKey(const uint32_t* key, uint32_t (&q)[32]) {
    TACIT_UNROLL
    for (int i = 0; i < 32; ++i) q[i] ^= key[i];
  }
  // Row r's new column c is its old column c + r.
  TACIT_HOST_DEVICE static void SubBytesAndShift(uint32_t (&q)[32]) {
    TACIT_UNROLL
    for (int r = 0; r < 4; ++r) {
      planes::SubBytes(q + 8 * r);
      TACIT_UNROLL
      for (int k = 0; k < 8; ++k) {
        q[8 * r + k] = planes::RotateRight(q[8 * r + k], 8 * r);
      }
    }
  }
  // 2 (a_r + a_{r+1}) + (sum of all rows + a_r), from the highest plane down,
  // so that the plane below is still the old one.
  TACIT_HOST_DEVICE static void MixColumns(uint32_t (&q)[32]) {
    uint32_t top[4];
    TACIT_UNROLL
    for (int r = 0; r < 4; ++r) top[r] = Pair(q, r, 7);
    TACIT_UNROLL
    for (int k = 7; k >= 0; --k) {
      const uint32_t all = Pair(q, 0, k) ^ Pair(q, 2, k);
      TACIT_UNROLL
      for (int r = 0; r < 4; ++r) {
        uint32_t doubled = k == 0 ? top[r] : Pair(q, r, k - 1);
        if (k == 1 || k == 3 || k == 4) doubled ^= top[r];
        q[8 * r + k] ^= all ^ doubled;
      }
    }
  }
  TACIT_HOST_DEVICE static uint32_t Pair(const uint32_t (&q)[32], int r,
                                         int k) {
    return q[8 * r + k] ^ q[8 * ((r + 1) % 4) + k];
  }
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_PRG_AES_PLANES_INL_H_

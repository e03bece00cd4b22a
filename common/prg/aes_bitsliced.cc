#include <string.h>

#include "common/base/buffer.h"
#include "common/prg/aes.h"
#include "hwy/base.h"

namespace tacit::internal {
namespace {

// Plane k holds bit k of each of 64 bytes. Transposition puts byte i of word j
// at bit 8 i + j. Words 2 b and 2 b + 1 are block b, whose byte 4 c + r is row
// r, column c of the AES state; so a bit's index reads, from the top,
//   c mod 2 | r (2 bits) | b (2 bits) | c div 2.
using Planes = std::array<uint64_t, 8>;

constexpr uint64_t kEvenBits = 0x5555555555555555;
constexpr uint64_t kRow0 = 0x000000FF000000FF;

void Transpose(Planes& q) {
  constexpr uint64_t kMasks[3] = {kEvenBits, 0x3333333333333333,
                                  0x0F0F0F0F0F0F0F0F};
  for (int log = 0; log < 3; ++log) {
    const int step = 1 << log;
    for (int i = 0; i < 8; ++i) {
      if (i & step) continue;
      const uint64_t swap = ((q[i] >> step) ^ q[i + step]) & kMasks[log];
      q[i] ^= swap << step;
      q[i + step] ^= swap;
    }
  }
}

// Reduction modulo x^8 + x^4 + x^3 + x + 1.
Planes Reduce(std::array<uint64_t, 15>& c) {
  HWY_UNROLL(16)
  for (int k = 14; k >= 8; --k) {
    c[k - 8] ^= c[k];
    c[k - 7] ^= c[k];
    c[k - 5] ^= c[k];
    c[k - 4] ^= c[k];
  }
  Planes out;
  HWY_UNROLL(16)
  for (int k = 0; k < 8; ++k) out[k] = c[k];
  return out;
}

Planes Multiply(const Planes& a, const Planes& b) {
  std::array<uint64_t, 15> c = {};
  HWY_UNROLL(16)
  for (int i = 0; i < 8; ++i) {
    HWY_UNROLL(16)
    for (int j = 0; j < 8; ++j) c[i + j] ^= a[i] & b[j];
  }
  return Reduce(c);
}

Planes Square(const Planes& a) {
  std::array<uint64_t, 15> c = {};
  HWY_UNROLL(16)
  for (int i = 0; i < 8; ++i) c[2 * i] = a[i];
  return Reduce(c);
}

// FIPS-197, Sec. 5.1.1: the inverse x^254 (0 for 0), then the affine map.
void SubBytes(Planes& x) {
  const Planes x2 = Square(x);
  const Planes x3 = Multiply(x2, x);
  const Planes x12 = Square(Square(x3));
  const Planes x15 = Multiply(x12, x3);
  const Planes x240 = Square(Square(Square(Square(x15))));
  const Planes y = Multiply(Multiply(x240, x12), x2);
  constexpr uint64_t kConstant = 0x63;
  for (int k = 0; k < 8; ++k) {
    const uint64_t constant = -((kConstant >> k) & 1);
    x[k] = y[k] ^ y[(k + 4) % 8] ^ y[(k + 5) % 8] ^ y[(k + 6) % 8] ^
           y[(k + 7) % 8] ^ constant;
  }
}

uint64_t SwapNeighbours(uint64_t x) {
  return ((x >> 1) & kEvenBits) | ((x & kEvenBits) << 1);
}

// Row r of the new column c is that of the old column c + r.
void ShiftRows(Planes& q) {
  for (uint64_t& x : q) {
    const uint64_t row1 = x & (kRow0 << 8);
    const uint64_t row2 = x & (kRow0 << 16);
    const uint64_t row3 = x & (kRow0 << 24);
    x = (x & kRow0) | SwapNeighbours(row2) | (row1 >> 32) |
        (SwapNeighbours(row1) << 32) | (row3 << 32) |
        (SwapNeighbours(row3) >> 32);
  }
}

// Row r of the result is row r + 1 (r + 2) of x.
uint64_t NextRow(uint64_t x) {
  return ((x >> 8) & ~(kRow0 << 24)) | ((x << 24) & (kRow0 << 24));
}
uint64_t RowAfterNext(uint64_t x) {
  constexpr uint64_t kLowHalves = 0x0000FFFF0000FFFF;
  return ((x >> 16) & kLowHalves) | ((x & kLowHalves) << 16);
}

// 2 a_r + 3 a_{r+1} + a_{r+2} + a_{r+3}
//   = 2 (a_r + a_{r+1}) + a_{r+1} + (a + a_{next})_{r+2}.
void MixColumns(Planes& q) {
  Planes next, sum;
  for (int k = 0; k < 8; ++k) {
    next[k] = NextRow(q[k]);
    sum[k] = q[k] ^ next[k];
  }
  for (int k = 0; k < 8; ++k) {
    uint64_t doubled = k == 0 ? sum[7] : sum[k - 1];
    if (k == 1 || k == 3 || k == 4) doubled ^= sum[7];
    q[k] = doubled ^ next[k] ^ RowAfterNext(sum[k]);
  }
}

void AddRoundKey(const Planes& key, Planes& q) {
  for (int k = 0; k < 8; ++k) q[k] ^= key[k];
}

}  // namespace

void BitsliceKey(const uint8_t* round_keys, BitslicedKey& key) {
  for (int r = 0; r <= kAesRounds; ++r) {
    for (size_t b = 0; b < kBitslicedBlocks; ++b) {
      memcpy(&key[r][2 * b], round_keys + r * kAesBlockBytes, kAesBlockBytes);
    }
    Transpose(key[r]);
  }
}

void EncryptBitsliced(const BitslicedKey& key, Block* blocks) {
  Planes q;
  memcpy(q.data(), blocks, sizeof(q));
  Transpose(q);
  AddRoundKey(key[0], q);
  for (int r = 1; r < kAesRounds; ++r) {
    SubBytes(q);
    ShiftRows(q);
    MixColumns(q);
    AddRoundKey(key[r], q);
  }
  SubBytes(q);
  ShiftRows(q);
  AddRoundKey(key[kAesRounds], q);
  Transpose(q);
  memcpy(static_cast<void*>(blocks), q.data(), sizeof(q));
}

uint32_t SubWordBitsliced(uint32_t word) {
  Planes q = {word};
  Transpose(q);
  SubBytes(q);
  Transpose(q);
  const uint32_t substituted = static_cast<uint32_t>(q[0]);
  SecureWipe(q.data(), sizeof(q));
  return substituted;
}

}  // namespace tacit::internal

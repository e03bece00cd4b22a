// AES-128 by table lookups in shared memory. Every lane of a warp has a copy of
// the table in a bank of its own (entry x of lane l is word 32 x + l, and word
// w lies in bank w mod 32), so that 32 lookups never meet in a bank: they take
// one step whatever is looked up, unlike a table shared by the lanes, whose
// conflicts, and so whose time, depend on what is encrypted.
//
// kRotations says how many of the four rotations of the round table are stored:
//   1: 32 KiB, three rotations a column in registers;
//   2: 64 KiB, one rotation;
//   4: 128 KiB, none, but a single block of threads to a multiprocessor.
//
// Shared memory is addressed by secrets here. Where that is not wanted, though
// no cache lies in between, there is PlanesAes.
#ifndef TACIT_GPU_PRG_AES_TABLE_INL_H_
#define TACIT_GPU_PRG_AES_TABLE_INL_H_

#include <cstdint>

#include "gpu/base/host_device.h"
#include "gpu/kernel/phased.h"
#include "gpu/prg/aes_circuit-inl.h"
#include "gpu/prg/block.h"

namespace tacit::gpu {

namespace internal {

constexpr uint8_t MultiplyBytes(uint8_t a, uint8_t b) {
  uint8_t product = 0;
  for (int i = 0; i < 8; ++i) {
    if (b >> i & 1) product ^= a;
    a = static_cast<uint8_t>(a << 1 ^ (a >> 7) * 0x1B);
  }
  return product;
}

// FIPS-197, Sec. 5.1.1: x^254, then the affine map.
constexpr uint8_t SBox(uint8_t x) {
  uint8_t power = 1;
  for (int i = 7; i >= 0; --i) {
    power = MultiplyBytes(power, power);
    if (254 >> i & 1) power = MultiplyBytes(power, x);
  }
  uint8_t y = 0x63;
  for (int i = 0; i < 5; ++i) {
    y ^= static_cast<uint8_t>(power << i | power >> (8 - i));
  }
  return y;
}

// S-box and MixColumns of a byte in row 0: (2 s, s, s, 3 s) from the low byte.
struct RoundTable {
  uint32_t entry[256];
};
constexpr RoundTable MakeRoundTable() {
  RoundTable table = {};
  for (uint32_t x = 0; x < 256; ++x) {
    const uint32_t s = SBox(static_cast<uint8_t>(x));
    const uint32_t twice = MultiplyBytes(static_cast<uint8_t>(s), 2);
    table.entry[x] = twice | s << 8 | s << 16 | (twice ^ s) << 24;
  }
  return table;
}

inline constexpr RoundTable kHostRoundTable = MakeRoundTable();
#ifdef __CUDACC__
// Static: each source with kernels has a copy. 1 KiB.
static __device__ const RoundTable kDeviceRoundTable = MakeRoundTable();
#endif

TACIT_HOST_DEVICE inline uint32_t RoundTableEntry(uint32_t x) {
#ifdef __CUDA_ARCH__
  return kDeviceRoundTable.entry[x];
#else
  return kHostRoundTable.entry[x];
#endif
}

}  // namespace internal

template <int kRotations>
class TableAes {
  static_assert(kRotations == 1 || kRotations == 2 || kRotations == 4);

 public:
  static constexpr int kBlocks = 1;
  // Those that share a table: about as many as a multiprocessor holds.
  static constexpr uint32_t kThreads = 256 * kRotations;
  static constexpr int kKeyWords = kAesKeyWords;
  static constexpr uint32_t kEntries = 256 * kRotations;
  struct Tables {
    uint32_t words[kEntries * kWarp];
  };

  // Rotation i of the table is by 8 i bits; with two, by 16 i.
  TACIT_HOST_DEVICE static void FillTables(Tables& tables, unsigned thread,
                                           unsigned threads) {
    for (uint32_t i = thread; i < kEntries * kWarp; i += threads) {
      const uint32_t entry = i / kWarp;
      const int bits = static_cast<int>(entry / 256) * (32 / kRotations);
      tables.words[i] = planes::RotateRight(
          internal::RoundTableEntry(entry % 256), (32 - bits) % 32);
    }
  }
  TACIT_HOST_DEVICE static void FillKey(const uint32_t* words, uint32_t* key,
                                        unsigned thread, unsigned threads) {
    for (unsigned i = thread; i < kAesKeyWords; i += threads) key[i] = words[i];
  }

  TACIT_HOST_DEVICE TableAes(const Tables& tables, unsigned lane)
      : tables_(reinterpret_cast<const unsigned char*>(tables.words)),
        lane_(static_cast<uint32_t>(sizeof(uint32_t)) * lane) {}

  TACIT_HOST_DEVICE void Encrypt(const uint32_t* key,
                                 Block (&x)[kBlocks]) const {
    uint32_t s[4], t[4];
    TACIT_UNROLL
    for (int c = 0; c < 4; ++c) s[c] = x[0].w[c] ^ key[c];
    TACIT_NO_UNROLL
    for (int round = 1; round < kAesRounds; ++round) {
      const uint32_t* round_key = key + 4 * round;
      TACIT_UNROLL
      for (int c = 0; c < 4; ++c) t[c] = Column(s, c) ^ round_key[c];
      TACIT_UNROLL
      for (int c = 0; c < 4; ++c) s[c] = t[c];
    }
    TACIT_UNROLL
    for (int c = 0; c < 4; ++c) {
      x[0].w[c] = LastColumn(s, c) ^ key[4 * kAesRounds + c];
    }
  }

 private:
  // Table entry of byte `row` of the word, the table rotated by 8 * rotation.
  // In bytes, so that a shift and one operation on bits give the address.
  template <int kRotation>
  TACIT_HOST_DEVICE uint32_t Look(uint32_t word, int row) const {
    constexpr int kEntryLog = 7;  // an entry's copies take 4 * 32 bytes
    constexpr uint32_t kFirst = kRotation * kRotations / 4 * 256 << kEntryLog;
    const uint32_t shifted =
        row == 0 ? word << kEntryLog : word >> (8 * row - kEntryLog);
    const uint32_t offset = (shifted & (0xFFu << kEntryLog)) | lane_;
    return *reinterpret_cast<const uint32_t*>(tables_ + kFirst + offset);
  }
  // Column c after SubBytes, ShiftRows and MixColumns: row r comes from column
  // c + r, and its table is rotated by r bytes.
  TACIT_HOST_DEVICE uint32_t Column(const uint32_t (&s)[4], int c) const {
    const uint32_t s0 = s[c], s1 = s[(c + 1) % 4];
    const uint32_t s2 = s[(c + 2) % 4], s3 = s[(c + 3) % 4];
    if constexpr (kRotations == 4) {
      return Look<0>(s0, 0) ^ Look<1>(s1, 1) ^ Look<2>(s2, 2) ^ Look<3>(s3, 3);
    } else if constexpr (kRotations == 2) {
      const uint32_t odd = Look<0>(s1, 1) ^ Look<2>(s3, 3);
      return Look<0>(s0, 0) ^ Look<2>(s2, 2) ^ planes::RotateRight(odd, 24);
    } else {
      const uint32_t even =
          Look<0>(s0, 0) ^ planes::RotateRight(Look<0>(s2, 2), 16);
      const uint32_t odd =
          Look<0>(s1, 1) ^ planes::RotateRight(Look<0>(s3, 3), 16);
      return even ^ planes::RotateRight(odd, 24);
    }
  }
  // Without MixColumns: bytes 1 and 2 of an entry are s.
  TACIT_HOST_DEVICE uint32_t LastColumn(const uint32_t (&s)[4], int c) const {
    return (Look<0>(s[c], 0) >> 8 & 0x000000FFu) |
           (Look<0>(s[(c + 1) % 4], 1) & 0x0000FF00u) |
           (Look<0>(s[(c + 2) % 4], 2) & 0x00FF0000u) |
           (Look<0>(s[(c + 3) % 4], 3) << 8 & 0xFF000000u);
  }

  const unsigned char* tables_;
  uint32_t lane_;  // byte of this lane's copy
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_PRG_AES_TABLE_INL_H_

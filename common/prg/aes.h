// AES-128 building blocks without SIMD; internal to common/prg and common/fss.
#ifndef TACIT_COMMON_PRG_AES_H_
#define TACIT_COMMON_PRG_AES_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "common/prg/prg.h"

namespace tacit::internal {

inline constexpr int kAesRounds = 10;
inline constexpr size_t kAesBlockBytes = 16;
// Aligned to 16 bytes wherever kernels read it.
using AesRoundKeys = std::array<uint8_t, (kAesRounds + 1) * kAesBlockBytes>;

// FIPS-197 key expansion, constant-time: the S-box is an AES instruction or the
// circuit below, never a table indexed by the key.
void ExpandAesKey(const uint8_t* key, AesRoundKeys& round_keys);

// Bitsliced AES for processors without AES instructions: four blocks are held
// as eight words, one for each bit of a byte, so that the S-box is a circuit.
// Highway's emulated targets won't do here: their byte shuffles are loads from
// addresses that depend on the state.
inline constexpr size_t kBitslicedBlocks = 4;
using BitslicedKey = std::array<std::array<uint64_t, 8>, kAesRounds + 1>;

void BitsliceKey(const uint8_t* round_keys, BitslicedKey& key);
// In place, kBitslicedBlocks of them.
void EncryptBitsliced(const BitslicedKey& key, Block* blocks);
// The S-box on each byte of a word, e.g. SubWord of FIPS-197, Sec. 5.2.
uint32_t SubWordBitsliced(uint32_t word);

}  // namespace tacit::internal

#endif  // TACIT_COMMON_PRG_AES_H_

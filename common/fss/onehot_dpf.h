// Distributed point functions with output in Z_{2^n}: additive one-hot vectors.
//
// Party b's outputs satisfy out_0[j] + out_1[j] = 1{j = alpha} mod 2^n. Same
// tree as dpf.h; a leaf holds lanes of 32 bits (n <= 32: four) or 64 bits
// (two). Leaf conversion as in Boyle, Gilboa, Ishai, CCS 2016, Fig. 1:
//   CW = (-1)^{t_1} (e_{alpha} - H(s_0) + H(s_1)),
//   out_b = (-1)^b (H(s_b) + t_b CW)         lane by lane.
// For lookups in large vocabularies: 16 (m - 1) bytes a key, no opening.
// SECRET: alpha, outputs. PUBLIC: m, width, count.
#ifndef TACIT_COMMON_FSS_ONEHOT_DPF_H_
#define TACIT_COMMON_FSS_ONEHOT_DPF_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/prg/prg.h"

namespace tacit {

inline constexpr int kMaxOneHotBits = 24;

constexpr int OneHotLaneLog(int width) { return width <= 32 ? 2 : 1; }
// Tree levels; 0 if one leaf holds the whole vector.
constexpr int OneHotLevels(int m, int width) {
  return m > OneHotLaneLog(width) ? m - OneHotLaneLog(width) : 0;
}
// Bytes of `count` keys, the same for both parties.
constexpr size_t OneHotKeyBytes(int m, int width, size_t count) {
  return 16 * static_cast<size_t>(OneHotLevels(m, width) + 1) * count;
}
constexpr uint64_t OneHotPrgBlocks(size_t count) { return count; }
constexpr uint64_t OneHotGenAes(int m, int width, size_t count) {
  return 2 * uint64_t(OneHotLevels(m, width) + 1) * count;
}
constexpr uint64_t OneHotEvalAes(int m, int width, size_t count) {
  return ((uint64_t{2} << OneHotLevels(m, width)) - 1) * count;
}

// Key i is [levels + 1] blocks at key[i * 16 * (levels + 1)]. Both parties get
// the same bytes. Requires 1 <= m <= kMaxOneHotBits, 1 <= width <= 64,
// key.size() == OneHotKeyBytes(m, width, alpha.size()).
void OneHotGen(int m, int width, std::span<const uint64_t> alpha,
               const Prg& prg0, const Prg& prg1, uint64_t position,
               std::span<uint8_t> key);

struct OneHotKeys {
  int party;
  int m;
  int width;
  size_t count;
  std::span<const uint8_t> key;
  const Prg* prg;
  uint64_t position;
};

// out[i * size + v] = this party's share of 1{alpha[i] = (top[i] - v) mod 2^m}
// for v < size; words represent residues mod 2^width. With top = t + alpha this
// is the one-hot vector of t. Requires size <= 2^m.
void OneHotEval(const OneHotKeys& keys, std::span<const uint64_t> top,
                size_t size, std::span<uint64_t> out);

}  // namespace tacit

#endif  // TACIT_COMMON_FSS_ONEHOT_DPF_H_

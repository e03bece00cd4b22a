// What dpf.cc and onehot_dpf.cc share, and what their tests reach directly.
#ifndef TACIT_COMMON_FSS_FSS_INTERNAL_H_
#define TACIT_COMMON_FSS_FSS_INTERNAL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/fss/dpf.h"
#include "common/fss/onehot_dpf.h"
#include "common/prg/aes.h"

namespace tacit::internal {

// Ends the process if a caller breaks a stated requirement: going on would
// write past a span. Sizes from a peer are checked where they are parsed.
void Require(bool holds, const char* requirement);

// The expanded key of the permutation pi. Public.
const AesRoundKeys& HashRoundKeys();

// Nodes that a window of `length` points takes at height h above the leaf
// blocks, h = 0..DpfLevels(m). Requires m > kMaxDirectBits, 1 <= length <= 2^m.
using WindowNodes = std::array<size_t, kMaxDomainBits - kLeafBits + 1>;
WindowNodes DpfWindowNodes(int m, size_t length);

// The public functions of the same names, returning the hash evaluations that
// the kernels counted for `count` keys: tests hold DpfGenAes etc. against it.
uint64_t CountedDpfGen(int m, std::span<const uint64_t> alpha, const Prg& prg0,
                       const Prg& prg1, uint64_t position,
                       std::span<uint8_t> key0, std::span<uint8_t> key1,
                       std::span<uint8_t> positive);
uint64_t CountedDpfEvalPrefix(const DpfKeys& keys, std::span<const uint64_t> t,
                              std::span<uint8_t> out);
uint64_t CountedDpfEvalPoint(const DpfKeys& keys, std::span<const uint64_t> j,
                             std::span<uint8_t> out);
uint64_t CountedDpfEvalWindow(const DpfKeys& keys,
                              std::span<const uint64_t> start, size_t length,
                              std::span<uint64_t> bits);
uint64_t CountedDpfWindowSum(const DpfKeys& keys,
                             std::span<const uint64_t> start,
                             const WindowTables& tables,
                             std::span<const std::span<uint64_t>> out);
uint64_t CountedOneHotGen(int m, int width, std::span<const uint64_t> alpha,
                          const Prg& prg0, const Prg& prg1, uint64_t position,
                          std::span<uint8_t> key);
uint64_t CountedOneHotEval(const OneHotKeys& keys,
                           std::span<const uint64_t> top, size_t size,
                           std::span<uint64_t> out);

}  // namespace tacit::internal

#endif  // TACIT_COMMON_FSS_FSS_INTERNAL_H_

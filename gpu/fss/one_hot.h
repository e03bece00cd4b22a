// Additive one-hot vectors on the device: common/fss/onehot_dpf.h, bit for bit.
#ifndef TACIT_GPU_FSS_ONE_HOT_H_
#define TACIT_GPU_FSS_ONE_HOT_H_

#include <cstdint>

#include "gpu/base/error.h"
#include "gpu/base/launch.h"
#include "gpu/fss/dpf.h"

namespace tacit::gpu {

inline constexpr int kMaxOneHotBits = 24;

// Makes keys at alpha, the same bytes for both parties, as OneHotField lies in
// their records. SECRET: alpha, the streams' keys.
struct OneHotGenArgs {
  int m = 0;      // domain 2^m, 1 <= m <= kMaxOneHotBits
  int width = 0;  // of the output's ring, 1..64
  FieldLayout field[2];
  uint8_t* material[2] = {nullptr, nullptr};
  const PrgKey* key[2] = {nullptr, nullptr};
  Points alpha;
};
Error OneHotGen(AesVariant variant, const OneHotGenArgs& args,
                StreamHandle stream);

// out[i * size + v] = the party's share of 1{alpha_i = (top_i - v) mod 2^m} for
// v < size <= 2^m. SECRET: out, the stream's key. A thread makes a subtree of
// at most 32 leaves, so that one key, too, is many threads' work.
struct OneHotEvalArgs {
  int party = 0;
  int m = 0;
  int width = 0;
  FieldLayout field;
  const uint8_t* material = nullptr;
  const PrgKey* key = nullptr;
  Points top;
  uint64_t size = 0;
  uint64_t* out = nullptr;  // [n, size]
};
Error OneHotEval(AesVariant variant, const OneHotEvalArgs& args,
                 StreamHandle stream);

// Errors of all functions as in dpf.h. What the two above check first:
Error CheckArgs(const OneHotGenArgs& args);
Error CheckArgs(const OneHotEvalArgs& args);

}  // namespace tacit::gpu

#endif  // TACIT_GPU_FSS_ONE_HOT_H_

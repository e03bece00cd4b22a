// Distributed point functions in batches on the device: the construction, key
// format and streams of common/fss/dpf.h, bit for bit, so that keys made on
// either side are evaluated on either.
//
// Keys are read where the dealer's records lie, without conversion: within a
// group of 64 keys the wire format already stores them level by level, so that
// the 32 lanes of a warp, one key each, read 512 bytes in a row.
//
// A batch is all keys of a gate, in one launch: `field` says how they lie in
// records. Threads stay and take keys warp by warp. All pointers are device
// memory; functions enqueue on `stream`.
//
// SECRET: alpha, materials' contents, keys of streams, outputs but for what a
// gate opens. PUBLIC: m, layouts, points, tables. No branch depends on a
// secret; addresses do in the table variants of AES alone (aes_table-inl.h).
// Which nodes a window needs depends on its start, which is public.
//
// Errors of all functions: INVALID_ARGUMENT with the figures for a shape that
// common/fss/dpf.h excludes or a null pointer that is needed; as ExpandWords
// (gpu/prg/expand.h) for what CUDA says.
#ifndef TACIT_GPU_FSS_DPF_H_
#define TACIT_GPU_FSS_DPF_H_

#include <cstddef>
#include <cstdint>

#include "gpu/base/error.h"
#include "gpu/base/launch.h"
#include "gpu/prg/expand.h"
#include "gpu/prg/field_layout.h"
#include "gpu/prg/prg_key.h"

namespace tacit::gpu {

inline constexpr int kMaxDomainBits = 64;
inline constexpr int kMaxDirectBits = 9;
inline constexpr int kLeafBits = 7;
inline constexpr uint64_t kDpfGroup = 64;

// One point for each key: element i is (words[i] mod 2^width) >> shift minus
// `minus`; the functions below take it modulo 2^m. So gates need not write
// truncated wires or starts of windows to memory.
struct Points {
  const uint64_t* words = nullptr;  // [n]
  int width = 64;
  int shift = 0;
  uint64_t minus = 0;
};

// One party's keys.
struct DpfBatch {
  int party = 0;
  int m = 0;
  FieldLayout field;                  // as DpfField lies in the party's records
  const uint8_t* material = nullptr;  // not read for party 0 if m is direct
  const PrgKey* key = nullptr;        // the party's stream of correlations
};

// Makes key pairs at alpha: writes both parties' records and positive[i] =
// bit_0(alpha_i), [n] bytes of 0 or 1. field[0] and field[1] agree in all but
// bytes. material[0] is not written if m is direct.
struct DpfGenArgs {
  int m = 0;
  FieldLayout field[2];
  uint8_t* material[2] = {nullptr, nullptr};
  const PrgKey* key[2] = {nullptr, nullptr};
  Points alpha;
  uint8_t* positive = nullptr;
};
Error DpfGen(AesVariant variant, const DpfGenArgs& args, StreamHandle stream);

// out[i] = the party's XOR share of 1{alpha_i <= point_i}, or of 1{alpha_i =
// point_i}, [n] bytes of 0 or 1.
enum class PathOutput { kPrefix, kPoint };
struct DpfPathArgs {
  DpfBatch keys;
  Points points;
  PathOutput output = PathOutput::kPrefix;
  uint8_t* out = nullptr;
};
Error DpfEvalPath(AesVariant variant, const DpfPathArgs& args,
                  StreamHandle stream);

// out[q][i * out_stride] = (-1)^party * sum over k < length of
//   bit(start_i + k) * tables[q][k] modulo 2^64,
// for q < table_count <= 2: DpfWindowSum with the product fused. With
// interpolate = true (two tables, values and slopes) out[0] is
//   (sum_0 << value_shift) + sum_1 * (hat_i mod 2^step_bits)
// instead, hat_i = start.words[i]: what Interpolated opens.
struct DpfWindowArgs {
  DpfBatch keys;
  Points start;
  uint64_t length = 0;
  int table_count = 1;
  const uint64_t* tables[2] = {nullptr, nullptr};  // [length] each
  bool interpolate = false;
  int step_bits = 0;
  int value_shift = 0;
  uint64_t* out[2] = {nullptr, nullptr};
  uint64_t out_stride = 1;
};
Error DpfWindowSum(AesVariant variant, const DpfWindowArgs& args,
                   StreamHandle stream);

// What the functions above check first.
Error CheckArgs(const DpfGenArgs& args);
Error CheckArgs(const DpfPathArgs& args);
Error CheckArgs(const DpfWindowArgs& args);

}  // namespace tacit::gpu

#endif  // TACIT_GPU_FSS_DPF_H_

// PRG expansion on the device: the streams of common/prg/prg.h, bit for bit.
#ifndef TACIT_GPU_PRG_EXPAND_H_
#define TACIT_GPU_PRG_EXPAND_H_

#include <cstdint>

#include "gpu/base/error.h"
#include "gpu/base/launch.h"
#include "gpu/prg/field_layout.h"
#include "gpu/prg/prg_key.h"

namespace tacit::gpu {

// How the device computes AES; all give the same bits. See aes_table-inl.h and
// aes_planes-inl.h.
enum class AesVariant {
  kTable1,   // one table, 32 copies in shared memory
  kTable2,   // two rotations of it
  kTable4,   // all four
  kPlanes2,  // bitsliced, two blocks in 8 registers
  kPlanes8,  // bitsliced, eight blocks in 32 registers
};
inline constexpr AesVariant kAesVariants[] = {
    AesVariant::kTable1, AesVariant::kTable2, AesVariant::kTable4,
    AesVariant::kPlanes2, AesVariant::kPlanes8};
const char* AesVariantName(AesVariant variant);

// What callers take who have not measured, for `items` calls of AES or keys at
// once: a variant that addresses nothing by a secret. kPlanes8 needs eight
// times as many items as threads, so smaller work is better spread by kPlanes2.
inline constexpr AesVariant DefaultAesVariant(uint64_t items) {
  return items < uint64_t{1} << 16 ? AesVariant::kPlanes2
                                   : AesVariant::kPlanes8;
}

enum class Combine {
  kStore,     // out = stream
  kAdd,       // out = in + stream
  kSubtract,  // out = in - stream
};

// All pointers are device memory. Element e of the field takes word e' % 2 of
// stream block (record's position + e' / 2), e' its place in its record.
// SECRET: keys, what the streams give, and so `out`.
struct ExpandWordsArgs {
  const PrgKey* key = nullptr;
  const PrgKey* second = nullptr;  // if not null, the sum of both streams
  FieldLayout field;
  Combine combine = Combine::kStore;
  const uint64_t* in = nullptr;  // [n]; unused for kStore; may be `out`
  uint64_t* out = nullptr;       // [n]
};

// Enqueues on `stream`. INVALID_ARGUMENT if a pointer that is needed is null;
// INTERNAL or UNAVAILABLE if CUDA refuses the launch; UNAVAILABLE in a build
// without CUDA.
Error ExpandWords(AesVariant variant, const ExpandWordsArgs& args,
                  StreamHandle stream);

// One bit (0 or 1) in each byte: element e takes bit e' % 128 of stream block
// (record's position + e' / 128). With `second` the XOR of both streams, with
// `in` added (XOR) to it.
struct ExpandBitsArgs {
  const PrgKey* key = nullptr;
  const PrgKey* second = nullptr;
  FieldLayout field;
  const uint8_t* in = nullptr;  // [n] or null; may be `out`
  uint8_t* out = nullptr;       // [n]
};
Error ExpandBits(AesVariant variant, const ExpandBitsArgs& args,
                 StreamHandle stream);

// What the two functions above check first.
Error CheckArgs(const ExpandWordsArgs& args);
Error CheckArgs(const ExpandBitsArgs& args);

}  // namespace tacit::gpu

#endif  // TACIT_GPU_PRG_EXPAND_H_

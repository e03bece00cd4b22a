// Dealt values in records: what EvalBlock::Share and Bits take, and what
// DealBlock::Share and Bits write (common/gates/evaluator.h), for all records
// of a field at once. A backend (backends.h, or the kernels of
// gpu/session) says where: on the device, or on the host as the reference.
#ifndef TACIT_GPU_ELEMENTWISE_MATERIAL_H_
#define TACIT_GPU_ELEMENTWISE_MATERIAL_H_

#include <cstdint>

#include "gpu/base/error.h"
#include "gpu/elementwise/pack_ops-inl.h"
#include "gpu/prg/expand.h"

namespace tacit::gpu {

// out[e] = the party's shares of the field's values, n words: party 0 expands
// them from its stream `key`, party 1 unpacks its records. SECRET: out.
template <class Backend>
Error TakeShare(Backend&& backend, int party, const FieldLayout& field,
                int width, const PrgKey* key, const uint8_t* material,
                uint64_t* out) {
  if (party == 1) {
    return backend.RunOp(UnpackOp{material, field, width, out}, field.n);
  }
  return backend.ExpandWords(
      {key, nullptr, field, Combine::kStore, nullptr, out});
}

// Writes values minus party 0's stream (`key`), packed, to party 1's records,
// whose layout `field` is. `scratch`: n words, SECRET afterwards; may be
// `values`, which are then lost.
template <class Backend>
Error DealShare(Backend&& backend, const FieldLayout& field, int width,
                const PrgKey* key, const uint64_t* values, uint64_t* scratch,
                uint8_t* material) {
  TACIT_GPU_RETURN_IF_ERROR(backend.ExpandWords(
      {key, nullptr, field, Combine::kSubtract, values, scratch}));
  const PackOp pack{scratch, field, width, material};
  return backend.RunOp(pack, pack.items());
}

// The same for bits, one in a byte.
template <class Backend>
Error TakeBits(Backend&& backend, int party, const FieldLayout& field,
               const PrgKey* key, const uint8_t* material, uint8_t* out) {
  if (party == 1) {
    return backend.RunOp(UnpackBitsOp{material, field, out}, field.n);
  }
  return backend.ExpandBits({key, nullptr, field, nullptr, out});
}
template <class Backend>
Error DealBits(Backend&& backend, const FieldLayout& field, const PrgKey* key,
               const uint8_t* bits, uint8_t* scratch, uint8_t* material) {
  TACIT_GPU_RETURN_IF_ERROR(
      backend.ExpandBits({key, nullptr, field, bits, scratch}));
  const PackBitsOp pack{scratch, field, material};
  return backend.RunOp(pack, pack.items());
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_ELEMENTWISE_MATERIAL_H_

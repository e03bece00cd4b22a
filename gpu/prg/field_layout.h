// Where one field of a gate's material lies, and which blocks of a party's
// stream belong to it: what DealBlock and EvalBlock (common/gates/evaluator.h)
// compute record by record, for all records of a gate at once.
#ifndef TACIT_GPU_PRG_FIELD_LAYOUT_H_
#define TACIT_GPU_PRG_FIELD_LAYOUT_H_

#include <cstddef>
#include <cstdint>

#include "gpu/base/host_device.h"
#include "gpu/prg/block.h"

namespace tacit::gpu {

// n elements in records of `block`; the last record, number (n - 1) / block,
// may be shorter, so that its fields begin elsewhere.
struct FieldLayout {
  uint64_t n = 0;
  uint64_t block = 1;        // >= 1
  uint64_t stream = 0;       // blocks of the stream before the first record's
  uint64_t stream_step = 0;  // from a record to the next
  uint64_t stream_last = 0;  // as `stream`, of the last record
  uint64_t bytes = 0;        // bytes of material likewise
  uint64_t bytes_step = 0;
  uint64_t bytes_last = 0;

  TACIT_HOST_DEVICE uint64_t records() const {
    return n == 0 ? 0 : Quotient(n - 1, block) + 1;
  }
};

// One record's part of the field.
struct FieldRecord {
  uint64_t first;  // element
  uint64_t count;
  uint64_t stream;
  uint64_t bytes;
};

TACIT_HOST_DEVICE inline FieldRecord RecordAt(const FieldLayout& field,
                                              uint64_t record) {
  const uint64_t first = record * field.block;
  if (field.n - first <= field.block) {
    return {first, field.n - first, field.stream_last, field.bytes_last};
  }
  return {first, field.block, field.stream + record * field.stream_step,
          field.bytes + record * field.bytes_step};
}

// n elements in one record, from `stream` and `bytes` on.
inline FieldLayout OneRecord(uint64_t n, uint64_t stream, uint64_t bytes = 0) {
  FieldLayout field;
  field.n = n;
  field.block = n == 0 ? 1 : n;
  field.stream = field.stream_last = stream;
  field.bytes = field.bytes_last = bytes;
  return field;
}

// The field cut into chunks of `per_chunk` elements, the last of a record
// shorter: what one thread works on.
struct FieldChunk {
  FieldRecord record;
  uint64_t chunk;  // of the record

  TACIT_HOST_DEVICE uint64_t begin(uint64_t per_chunk) const {
    return record.first + chunk * per_chunk;
  }
  TACIT_HOST_DEVICE uint64_t size(uint64_t per_chunk) const {
    const uint64_t rest = record.count - chunk * per_chunk;
    return rest < per_chunk ? rest : per_chunk;
  }
};

TACIT_HOST_DEVICE inline uint64_t ChunkCount(const FieldLayout& field,
                                             uint64_t per_chunk) {
  if (field.n == 0) return 0;
  const uint64_t last = field.records() - 1;
  return last * Quotient(field.block + per_chunk - 1, per_chunk) +
         Quotient(field.n - last * field.block + per_chunk - 1, per_chunk);
}

// Requires chunk < ChunkCount(field, per_chunk).
TACIT_HOST_DEVICE inline FieldChunk ChunkAt(const FieldLayout& field,
                                            uint64_t per_chunk,
                                            uint64_t chunk) {
  if (field.n <= field.block) return {RecordAt(field, 0), chunk};
  const uint64_t each = Quotient(field.block + per_chunk - 1, per_chunk);
  const uint64_t record = Quotient(chunk, each);
  return {RecordAt(field, record), chunk - record * each};
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_PRG_FIELD_LAYOUT_H_

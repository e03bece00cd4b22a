// Ring elements in n bits each, in openings and in records of material: the
// format of common/ring/bitpack.h.
#ifndef TACIT_GPU_ELEMENTWISE_PACK_OPS_INL_H_
#define TACIT_GPU_ELEMENTWISE_PACK_OPS_INL_H_

#include <cstddef>
#include <cstdint>

#include "gpu/base/host_device.h"
#include "gpu/elementwise/ring_ops-inl.h"
#include "gpu/prg/field_layout.h"

namespace tacit::gpu {

// Packs words into records. One element of the op is eight bytes of a record;
// there are items() of them. Bits of a word above `width` are dropped, the last
// byte of a record is padded with zeros, and no other byte is written.
struct PackOp {
  const uint64_t* in;
  FieldLayout field;
  int width;
  uint8_t* out;

  bool Valid() const { return IsWidth(width) && field.block > 0; }

  TACIT_HOST_DEVICE static uint64_t WordsOf(uint64_t count, int width) {
    return (count * static_cast<uint64_t>(width) + 63) / 64;
  }
  TACIT_HOST_DEVICE uint64_t items() const {
    if (field.n == 0) return 0;
    const uint64_t last = field.records() - 1;
    return last * WordsOf(field.block, width) +
           WordsOf(field.n - last * field.block, width);
  }

  TACIT_HOST_DEVICE void operator()(size_t item) const {
    const uint64_t each = WordsOf(field.block, width);
    const uint64_t r = field.n <= field.block ? 0 : Quotient(item, each);
    const FieldRecord record = RecordAt(field, r);
    const uint64_t u = item - r * each;
    const uint64_t bytes =
        (record.count * static_cast<uint64_t>(width) + 7) / 8 - 8 * u;
    Store(WordAt(record, u), bytes < 8 ? static_cast<int>(bytes) : 8,
          out + record.bytes + 8 * u);
  }

 private:
  // Bits [64 u, 64 u + 64) of the record's field.
  TACIT_HOST_DEVICE uint64_t WordAt(const FieldRecord& record,
                                    uint64_t u) const {
    const uint64_t w = static_cast<uint64_t>(width);
    uint64_t e = Quotient(64 * u, w);
    uint64_t word = Reduce(in[record.first + e], width) >> (64 * u - e * w);
    for (++e; e < record.count && e * w < 64 * u + 64; ++e) {
      word |= Reduce(in[record.first + e], width) << (e * w - 64 * u);
    }
    return word;
  }
  TACIT_HOST_DEVICE static void Store(uint64_t word, int bytes, uint8_t* to) {
    if (bytes == 8 && reinterpret_cast<uintptr_t>(to) % 8 == 0) {
      *reinterpret_cast<uint64_t*>(to) = word;
      return;
    }
    for (int i = 0; i < bytes; ++i) to[i] = static_cast<uint8_t>(word >> 8 * i);
  }
};

// The inverse, one element each; every out[i] is in [0, 2^width). Reads whole
// aligned words of eight bytes that hold bits of an element, so the memory that
// `in` lies in must end at a multiple of eight bytes, as all device memory
// does.
struct UnpackOp {
  const uint8_t* in;
  FieldLayout field;
  int width;
  uint64_t* out;

  bool Valid() const { return IsWidth(width) && field.block > 0; }

  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const uint64_t r = field.n <= field.block ? 0 : Quotient(i, field.block);
    const FieldRecord record = RecordAt(field, r);
    const uint8_t* begin = in + record.bytes;
    const uintptr_t odd = reinterpret_cast<uintptr_t>(begin) % 8;
    const uint64_t* words = reinterpret_cast<const uint64_t*>(begin - odd);
    const uint64_t bit =
        8 * odd + (i - record.first) * static_cast<uint64_t>(width);
    const int shift = static_cast<int>(bit % 64);
    uint64_t word = words[bit / 64] >> shift;
    if (shift + width > 64) word |= words[bit / 64 + 1] << (64 - shift);
    out[i] = Reduce(word, width);
  }
};

// Bits held one in a byte. One element of the op is a byte of a record; there
// are items() of them.
struct PackBitsOp {
  const uint8_t* in;
  FieldLayout field;
  uint8_t* out;

  bool Valid() const { return field.block > 0; }
  TACIT_HOST_DEVICE uint64_t items() const { return ChunkCount(field, 8); }
  TACIT_HOST_DEVICE void operator()(size_t item) const {
    const FieldChunk at = ChunkAt(field, 8, item);
    uint32_t byte = 0;
    for (uint64_t k = 0; k < at.size(8); ++k) {
      byte |= (in[at.begin(8) + k] & 1u) << k;
    }
    out[at.record.bytes + at.chunk] = static_cast<uint8_t>(byte);
  }
};
struct UnpackBitsOp {
  const uint8_t* in;
  FieldLayout field;
  uint8_t* out;

  bool Valid() const { return field.block > 0; }
  TACIT_HOST_DEVICE void operator()(size_t i) const {
    const uint64_t r = field.n <= field.block ? 0 : Quotient(i, field.block);
    const FieldRecord record = RecordAt(field, r);
    const uint64_t k = i - record.first;
    out[i] = in[record.bytes + k / 8] >> (k % 8) & 1;
  }
};

}  // namespace tacit::gpu

#endif  // TACIT_GPU_ELEMENTWISE_PACK_OPS_INL_H_

#include "gpu/elementwise/schema_layout.h"

namespace tacit::gpu {
namespace {

// Elements of the field's layout per element of the gate: words of a share.
size_t PerElement(const Field& field) {
  return field.kind == Field::Kind::kShare ? field.per_element : 1;
}

}  // namespace

std::vector<FieldPlace> PlaceFields(const Schema& schema, size_t n,
                                    MaterialCursor& cursor) {
  const size_t block = schema.block();
  const size_t last =
      n == 0 ? 0 : (n - 1) / block;      // number of the last record
  const size_t rest = n - last * block;  // its elements
  const uint64_t stream_step = schema.RecordPrgBlocks(block);
  const MaterialCursor begin = cursor;
  // Of the field at hand, within a full record and within the last one.
  uint64_t stream = 0, stream_last = last * stream_step;
  uint64_t bytes[2] = {0, 0}, bytes_last[2];
  for (int b = 0; b < 2; ++b) {
    bytes_last[b] = last * schema.RecordBytes(b, block);
  }
  std::vector<FieldPlace> places;
  for (const Field& field : schema.fields()) {
    FieldPlace place{field, {}};
    for (int b = 0; b < 2; ++b) {
      FieldLayout& layout = place.layout[b];
      layout.n = n * PerElement(field);
      layout.block = block * PerElement(field);
      layout.stream = begin.stream + stream;
      layout.stream_step = stream_step;
      layout.stream_last = begin.stream + stream_last;
      layout.bytes = begin.bytes[b] + bytes[b];
      layout.bytes_step = schema.RecordBytes(b, block);
      layout.bytes_last = begin.bytes[b] + bytes_last[b];
      bytes[b] += FieldBytes(field, b, block);
      bytes_last[b] += FieldBytes(field, b, rest);
    }
    stream += FieldPrgBlocks(field, block);
    stream_last += FieldPrgBlocks(field, rest);
    places.push_back(place);
  }
  if (n == 0) return places;
  cursor.stream = begin.stream + stream_last;
  for (int b = 0; b < 2; ++b) cursor.bytes[b] = begin.bytes[b] + bytes_last[b];
  return places;
}

}  // namespace tacit::gpu

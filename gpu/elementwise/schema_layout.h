// From a gate's schema to where its fields lie in device memory.
#ifndef TACIT_GPU_ELEMENTWISE_SCHEMA_LAYOUT_H_
#define TACIT_GPU_ELEMENTWISE_SCHEMA_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/gates/schema.h"
#include "gpu/prg/field_layout.h"

namespace tacit::gpu {

// A place in a session: blocks of the parties' correlation streams taken, and
// bytes of each party's material, counted from where records begin in memory.
struct MaterialCursor {
  uint64_t stream = 0;
  uint64_t bytes[2] = {0, 0};
};

// Both parties' layouts of one field; they agree in all but bytes. Shares of
// several values per element are laid out by value: n is then the number of
// values, and `block` that of a record.
struct FieldPlace {
  Field field;
  FieldLayout layout[2];
};

// The fields of a gate over n elements, whose records follow each other from
// `cursor` on, as RunBlocks of the dealer and the parties writes and reads
// them. Advances the cursor past them.
std::vector<FieldPlace> PlaceFields(const Schema& schema, size_t n,
                                    MaterialCursor& cursor);

}  // namespace tacit::gpu

#endif  // TACIT_GPU_ELEMENTWISE_SCHEMA_LAYOUT_H_

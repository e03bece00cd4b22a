#include "gpu/base/arena.h"

namespace tacit::gpu {

Result<Arena> Arena::Create(size_t capacity) {
  TACIT_GPU_ASSIGN_OR_RETURN(DeviceMemory memory,
                             DeviceMemory::Create(capacity));
  return Arena(std::move(memory), capacity);
}

Error Arena::Release(size_t mark, StreamHandle stream) {
  const size_t used = layout_.used();
  if (mark > used) {
    return Error(Code::kInvalidArgument,
                 "mark " + std::to_string(mark) + " is past the " +
                     std::to_string(used) + " bytes in use");
  }
  layout_.Release(mark);
  return Wipe(static_cast<char*>(memory_.data()) + mark, used - mark, stream);
}

}  // namespace tacit::gpu

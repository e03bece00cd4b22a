// What of expand.h needs no device.
#include "gpu/prg/expand.h"

namespace tacit::gpu {

const char* AesVariantName(AesVariant variant) {
  switch (variant) {
    case AesVariant::kTable1:
      return "Table1";
    case AesVariant::kTable2:
      return "Table2";
    case AesVariant::kTable4:
      return "Table4";
    case AesVariant::kPlanes2:
      return "Planes2";
    case AesVariant::kPlanes8:
      return "Planes8";
  }
  return "unknown";
}

Error CheckArgs(const ExpandWordsArgs& args) {
  if (args.field.n == 0) return {};
  if (args.key == nullptr || args.out == nullptr || args.field.block == 0 ||
      (args.combine != Combine::kStore && args.in == nullptr)) {
    return Error(Code::kInvalidArgument,
                 "ExpandWords: a key, an output, an input to combine with and "
                 "records of at least one element are needed");
  }
  return {};
}

Error CheckArgs(const ExpandBitsArgs& args) {
  if (args.field.n == 0) return {};
  if (args.key == nullptr || args.out == nullptr || args.field.block == 0) {
    return Error(Code::kInvalidArgument,
                 "ExpandBits: a key, an output and records of at least one "
                 "element are needed");
  }
  return {};
}

}  // namespace tacit::gpu

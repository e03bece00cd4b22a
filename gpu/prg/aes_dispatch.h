// From AesVariant to the class that computes it.
#ifndef TACIT_GPU_PRG_AES_DISPATCH_H_
#define TACIT_GPU_PRG_AES_DISPATCH_H_

#include <utility>

#include "gpu/prg/aes_planes-inl.h"
#include "gpu/prg/aes_table-inl.h"
#include "gpu/prg/expand.h"

namespace tacit::gpu {

template <class AesT>
struct AesTag {
  using Aes = AesT;
};

// fn(AesTag<the variant's class>()).
template <class Fn>
auto WithAes(AesVariant variant, const Fn& fn) {
  switch (variant) {
    case AesVariant::kTable2:
      return fn(AesTag<TableAes<2>>());
    case AesVariant::kTable4:
      return fn(AesTag<TableAes<4>>());
    case AesVariant::kPlanes2:
      return fn(AesTag<PlanesAes<2>>());
    case AesVariant::kPlanes8:
      return fn(AesTag<PlanesAes<8>>());
    default:
      return fn(AesTag<TableAes<1>>());
  }
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_PRG_AES_DISPATCH_H_

// Launch of the products with few rows on the left; gemv-inl.h has the kernel.
#ifndef TACIT_GPU_RING_GEMV_H_
#define TACIT_GPU_RING_GEMV_H_

#include "gpu/base/error.h"
#include "gpu/ring/gemv-inl.h"

namespace tacit::gpu {

// C (op)= the chunk's product, for rings of `limbs` digits. Enqueues on
// `stream`. The arguments are RingGemm's, checked there.
Error Gemv(int limbs, const GemvArgs& args, StreamHandle stream);

// Calls function.operator()<limbs, tiles>() for the two numbers of `args`.
template <typename Function>
void DispatchGemv(int limbs, const GemvArgs& args, const Function& function) {
  const auto with_limbs = [&]<int kLimbs>() {
    if (args.m <= kGemvTile) {
      function.template operator()<kLimbs, 1>();
    } else {
      function.template operator()<kLimbs, 2>();
    }
  };
  switch (limbs) {
    case 1:
      return with_limbs.template operator()<1>();
    case 2:
      return with_limbs.template operator()<2>();
    case 3:
      return with_limbs.template operator()<3>();
    case 4:
      return with_limbs.template operator()<4>();
    case 5:
      return with_limbs.template operator()<5>();
    case 6:
      return with_limbs.template operator()<6>();
    case 7:
      return with_limbs.template operator()<7>();
    default:
      return with_limbs.template operator()<8>();
  }
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_RING_GEMV_H_

// Launch of the products with few rows on the left; gemv-inl.h has the kernel.
#ifndef TACIT_GPU_RING_GEMV_H_
#define TACIT_GPU_RING_GEMV_H_

#include "gpu/base/error.h"
#include "gpu/ring/gemv-inl.h"

namespace tacit::gpu {

// C (op)= the chunk's product, for rings of `limbs` digits and a right operand
// of `right_limbs`: as many, or 2 or 3 if that is less. Enqueues on `stream`.
// The arguments are RingGemm's, checked there.
Error Gemv(int limbs, int right_limbs, const GemvArgs& args,
           StreamHandle stream);

namespace internal {

template <int kLimbs, int kRight, typename Function>
void DispatchGemvTiles(const GemvArgs& args, const Function& function) {
  if (args.m <= kGemvTile) {
    function.template operator()<kLimbs, kRight, 1>();
  } else {
    function.template operator()<kLimbs, kRight, 2>();
  }
}

template <int kLimbs, typename Function>
void DispatchGemvRight(int right_limbs, const GemvArgs& args,
                       const Function& function) {
  if constexpr (kLimbs > 2) {
    if (right_limbs == 2) {
      return DispatchGemvTiles<kLimbs, 2>(args, function);
    }
  }
  if constexpr (kLimbs > 3) {
    if (right_limbs == 3) {
      return DispatchGemvTiles<kLimbs, 3>(args, function);
    }
  }
  DispatchGemvTiles<kLimbs, kLimbs>(args, function);
}

}  // namespace internal

// Calls function.operator()<limbs, right limbs, tiles>() for these arguments.
template <typename Function>
void DispatchGemv(int limbs, int right_limbs, const GemvArgs& args,
                  const Function& function) {
  switch (limbs) {
    case 1:
      return internal::DispatchGemvRight<1>(right_limbs, args, function);
    case 2:
      return internal::DispatchGemvRight<2>(right_limbs, args, function);
    case 3:
      return internal::DispatchGemvRight<3>(right_limbs, args, function);
    case 4:
      return internal::DispatchGemvRight<4>(right_limbs, args, function);
    case 5:
      return internal::DispatchGemvRight<5>(right_limbs, args, function);
    case 6:
      return internal::DispatchGemvRight<6>(right_limbs, args, function);
    case 7:
      return internal::DispatchGemvRight<7>(right_limbs, args, function);
    default:
      return internal::DispatchGemvRight<8>(right_limbs, args, function);
  }
}

}  // namespace tacit::gpu

#endif  // TACIT_GPU_RING_GEMV_H_

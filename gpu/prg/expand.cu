#include "gpu/kernel/phased_launch.cuh"
#include "gpu/prg/aes_dispatch.h"
#include "gpu/prg/expand-inl.h"
#include "gpu/prg/expand.h"

namespace tacit::gpu {
namespace {

template <class Aes, int kKeys>
Error LaunchWords(const ExpandWordsArgs& args, StreamHandle stream) {
  return LaunchPhased("ExpandWords", MakeWordsKernel<Aes, kKeys>(args),
                      ExpandThreads<Aes>(args.field, 2), stream);
}

template <class Aes, int kKeys>
Error LaunchBits(const ExpandBitsArgs& args, StreamHandle stream) {
  return LaunchPhased("ExpandBits", MakeBitsKernel<Aes, kKeys>(args),
                      ExpandThreads<Aes>(args.field, 128), stream);
}

}  // namespace

Error ExpandWords(AesVariant variant, const ExpandWordsArgs& args,
                  StreamHandle stream) {
  TACIT_GPU_RETURN_IF_ERROR(CheckArgs(args));
  return WithAes(variant, [&](auto tag) {
    using Aes = typename decltype(tag)::Aes;
    return args.second == nullptr ? LaunchWords<Aes, 1>(args, stream)
                                  : LaunchWords<Aes, 2>(args, stream);
  });
}

Error ExpandBits(AesVariant variant, const ExpandBitsArgs& args,
                 StreamHandle stream) {
  TACIT_GPU_RETURN_IF_ERROR(CheckArgs(args));
  return WithAes(variant, [&](auto tag) {
    using Aes = typename decltype(tag)::Aes;
    return args.second == nullptr ? LaunchBits<Aes, 1>(args, stream)
                                  : LaunchBits<Aes, 2>(args, stream);
  });
}

}  // namespace tacit::gpu

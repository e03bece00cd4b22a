// gpu/prg on the device against the same bodies on the host.
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "gpu/base/memory.h"
#include "gpu/check/check.h"
#include "gpu/kernel/phased.h"
#include "gpu/prg/expand.h"
#include "gpu/prg/expand_dispatch.h"

namespace tacit::gpu {
namespace {

std::vector<PrgKey> RandomKeys(size_t count, std::mt19937_64& rng) {
  std::vector<PrgKey> keys(count);
  for (PrgKey& key : keys) {
    const std::vector<uint8_t> seed = RandomValues<uint8_t>(32, rng);
    ExpandPrgKey(seed.data(), key);
  }
  return keys;
}

// Records with gaps in the stream.
FieldLayout Records(size_t n, size_t block) {
  FieldLayout field = OneRecord(n, 3);
  if (n <= block) return field;
  field.block = block;
  field.stream_step = block + 5;
  field.stream_last = 3 + (block + 5) * ((n - 1) / block) + 1;
  return field;
}

Error CheckWords(AesVariant variant, const FieldLayout& field, bool two,
                 Combine combine) {
  std::mt19937_64 rng(field.n);
  const std::vector<PrgKey> keys = RandomKeys(2, rng);
  const auto in = RandomValues<uint64_t>(field.n, rng);
  std::vector<uint64_t> expected(field.n);
  ExpandWordsArgs args{&keys[0],  two ? &keys[1] : nullptr, field, combine,
                       in.data(), expected.data()};
  // The reference, one variant for all.
  TACIT_GPU_RETURN_IF_ERROR(
      DispatchWords(AesVariant::kPlanes8, args, HostLauncher()));
  TACIT_GPU_ASSIGN_OR_RETURN(auto key_memory, DeviceArray<PrgKey>::Copy(keys));
  TACIT_GPU_ASSIGN_OR_RETURN(auto in_memory, DeviceArray<uint64_t>::Copy(in));
  TACIT_GPU_ASSIGN_OR_RETURN(auto out, DeviceArray<uint64_t>::Create(field.n));
  args.key = key_memory.data();
  args.second = two ? key_memory.data() + 1 : nullptr;
  args.in = in_memory.data();
  args.out = out.data();
  const Error error = ExpandWords(variant, args, nullptr);
  // The device has too little shared memory for this variant.
  if (error.code() == Code::kFailedPrecondition) return {};
  TACIT_GPU_RETURN_IF_ERROR(error);
  TACIT_GPU_ASSIGN_OR_RETURN(const auto actual, out.ToHost());
  return ExpectEqual(
      std::string(AesVariantName(variant)) + ", n = " + std::to_string(field.n),
      actual, expected);
}

TACIT_GPU_SMALL_CHECK(Prg, FewWordsEqualTheReference) {
  for (AesVariant variant : kAesVariants) {
    TACIT_GPU_RETURN_IF_ERROR(
        CheckWords(variant, Records(333, 64), true, Combine::kAdd));
  }
  return {};
}

TACIT_GPU_CHECK(Prg, WordsEqualTheReference) {
  for (AesVariant variant : kAesVariants) {
    for (size_t n : {1, 2, 3, 255, 513, 4099, 200001}) {
      for (Combine combine :
           {Combine::kStore, Combine::kAdd, Combine::kSubtract}) {
        for (bool two : {false, true}) {
          TACIT_GPU_RETURN_IF_ERROR(
              CheckWords(variant, OneRecord(n, 7), two, combine));
        }
      }
      TACIT_GPU_RETURN_IF_ERROR(
          CheckWords(variant, Records(n, 64), true, Combine::kStore));
    }
  }
  return {};
}

TACIT_GPU_CHECK(Prg, BitsEqualTheReference) {
  for (AesVariant variant : kAesVariants) {
    for (size_t n : {1, 127, 128, 129, 70001}) {
      std::mt19937_64 rng(n);
      const std::vector<PrgKey> keys = RandomKeys(2, rng);
      std::vector<uint8_t> expected(n);
      ExpandBitsArgs args{&keys[0], &keys[1], Records(n, 1024), nullptr,
                          expected.data()};
      TACIT_GPU_RETURN_IF_ERROR(
          DispatchBits(AesVariant::kPlanes2, args, HostLauncher()));
      TACIT_GPU_ASSIGN_OR_RETURN(auto key_memory,
                                 DeviceArray<PrgKey>::Copy(keys));
      TACIT_GPU_ASSIGN_OR_RETURN(auto out, DeviceArray<uint8_t>::Create(n));
      args.key = key_memory.data();
      args.second = key_memory.data() + 1;
      args.out = out.data();
      const Error error = ExpandBits(variant, args, nullptr);
      if (error.code() == Code::kFailedPrecondition) continue;
      TACIT_GPU_RETURN_IF_ERROR(error);
      TACIT_GPU_ASSIGN_OR_RETURN(const auto actual, out.ToHost());
      TACIT_GPU_RETURN_IF_ERROR(
          ExpectEqual(AesVariantName(variant), actual, expected));
    }
  }
  return {};
}

}  // namespace
}  // namespace tacit::gpu

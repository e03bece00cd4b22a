// The ring kernels on the device, case by case.
#include <cstddef>
#include <vector>

#include "gpu/ring/loop_multiplier.h"
#include "gpu/ring/ring_check_util.h"

namespace tacit::gpu {
namespace {

using namespace ring_check;  // NOLINT: of this file's kind alone

std::vector<Case> Sizes(size_t least_m, size_t most_m) {
  std::vector<Case> cases;
  for (size_t m : {0, 1, 2, 7, 8, 9, 15, 16, 17, 33, 128, 129}) {
    if (m < least_m || m > most_m) continue;
    for (size_t n : {0, 1, 15, 16, 17, 33, 300}) {
      for (size_t k : {0, 1, 63, 64, 65, 200, 1000}) {
        cases.push_back({.m = m, .n = n, .k = k, .width = 48});
        cases.push_back({.m = m, .n = n, .k = k});
      }
    }
  }
  return cases;
}

std::vector<Case> WidthsAndUpdates(size_t m) {
  std::vector<Case> cases;
  for (int width = 1; width <= 64; ++width) {
    cases.push_back({.m = m, .n = 40, .k = 150, .width = width});
    cases.push_back({.m = m,
                     .n = 40,
                     .k = 150,
                     .width = width,
                     .b_layout = Layout::kRowMajor,
                     .accumulate = Accumulate::kAdd,
                     .pack_b = true});
    cases.push_back({.m = m,
                     .n = 40,
                     .k = 150,
                     .width = width,
                     .batch = 3,
                     .accumulate = Accumulate::kSubtract});
    for (int digits : {2, 3}) {
      if (digits >= LimbsOf(width)) continue;
      cases.push_back({.m = m,
                       .n = 40,
                       .k = 150,
                       .width = width,
                       .pack_b = true,
                       .b_digits = digits});
    }
  }
  return cases;
}

std::vector<Case> Deep(size_t m) {
  return {
      {.m = m, .n = 20, .k = 40000, .accumulate = Accumulate::kSubtract},
      {.m = m, .n = 20, .k = 40000, .extreme = true},
      {.m = m, .n = 20, .k = 140000, .width = 8, .extreme = true},
      {.m = m, .n = 600, .k = 4096, .width = 48, .pack_b = true},
  };
}

// One of each kind: for compute-sanitizer, under which everything takes long.
TACIT_GPU_SMALL_CHECK(RingGemv, Few) {
  return CheckAll(
      RingGemm::Create(nullptr),
      {{.m = 1, .n = 17, .k = 65, .width = 48},
       {.m = 9, .n = 33, .k = 1, .batch = 2},
       {.m = 16, .n = 40, .k = 2000, .accumulate = Accumulate::kAdd},
       {.m = 5, .n = 40, .k = 9000, .width = 7},
       {.m = 1, .n = 40, .k = 300, .width = 48, .b_digits = 2},
       {.m = 35,
        .n = 15,
        .k = 100,
        .b_layout = Layout::kRowMajor,
        .accumulate = Accumulate::kSubtract,
        .pack_b = true}});
}
TACIT_GPU_SMALL_CHECK(RingGemm, FewInLoops) {
  return CheckAll(
      RingGemm::Create(MakeLoopMultiplier()),
      {{.m = 17, .n = 17, .k = 65, .width = 48},
       {.m = 33, .n = 300, .k = 70, .width = 12, .least_workspace = true},
       {.m = 20,
        .n = 15,
        .k = 100,
        .batch = 3,
        .b_layout = Layout::kRowMajor,
        .accumulate = Accumulate::kSubtract,
        .pack_b = true}});
}
TACIT_GPU_CHECK(RingGemv, Sizes) {
  return CheckAll(RingGemm::Create(nullptr), Sizes(0, 16));
}
TACIT_GPU_CHECK(RingGemv, WidthsAndUpdates) {
  TACIT_GPU_RETURN_IF_ERROR(
      CheckAll(RingGemm::Create(nullptr), WidthsAndUpdates(3)));
  return CheckAll(RingGemm::Create(nullptr), WidthsAndUpdates(13));
}
TACIT_GPU_CHECK(RingGemv, DeepAndExtreme) {
  TACIT_GPU_RETURN_IF_ERROR(CheckAll(RingGemm::Create(nullptr), Deep(1)));
  return CheckAll(RingGemm::Create(nullptr), Deep(16));
}
TACIT_GPU_CHECK(RingGemv, ManyRowsWithoutALibrary) {
  return CheckAll(RingGemm::Create(nullptr), WidthsAndUpdates(35));
}
// Tells the library's faults from ours: the same cases, the library replaced.
TACIT_GPU_CHECK(RingGemm, WidthsAndUpdatesInLoops) {
  TACIT_GPU_RETURN_IF_ERROR(
      CheckAll(RingGemm::Create(MakeLoopMultiplier()), WidthsAndUpdates(35)));
  return CheckAll(RingGemm::Create(MakeLoopMultiplier()), Deep(17));
}
TACIT_GPU_CHECK(RingGemm, SizesByLibrary) {
  return CheckAll(WithLibrary(), Sizes(17, 129));
}
TACIT_GPU_CHECK(RingGemm, WidthsAndUpdatesByLibrary) {
  return CheckAll(WithLibrary(), WidthsAndUpdates(70));
}
TACIT_GPU_CHECK(RingGemm, DeepAndExtremeByLibrary) {
  return CheckAll(WithLibrary(), Deep(33));
}
TACIT_GPU_CHECK(RingGemm, LittleWorkspaceByLibrary) {
  return CheckAll(WithLibrary(),
                  {{.m = 40, .n = 700, .k = 300, .least_workspace = true},
                   {.m = 40,
                    .n = 513,
                    .k = 300,
                    .width = 40,
                    .batch = 2,
                    .least_workspace = true}});
}

}  // namespace
}  // namespace tacit::gpu

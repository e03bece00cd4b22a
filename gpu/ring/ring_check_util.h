// Products for checks on the device: their data, their definition in loops, and
// the comparison. On the host, gemm_test.cc compares the same steps with
// common/ring.
#ifndef TACIT_GPU_RING_RING_CHECK_UTIL_H_
#define TACIT_GPU_RING_RING_CHECK_UTIL_H_

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/ring/ring.h"
#include "gpu/check/check.h"
#include "gpu/ring/cublaslt.h"
#include "gpu/ring/gemm.h"

namespace tacit::gpu::ring_check {

using Vec = std::vector<uint64_t>;

struct Case {
  size_t m, n, k;
  int width = 64;
  size_t batch = 1;
  Layout b_layout = Layout::kTransposed;
  Accumulate accumulate = Accumulate::kOverwrite;
  bool pack_b = false;
  bool least_workspace = false;
  bool extreme = false;  // every digit -128: the largest sums
  int b_digits = 0;
};

inline std::string Describe(const Case& t) {
  return "m " + std::to_string(t.m) + ", n " + std::to_string(t.n) + ", k " +
         std::to_string(t.k) + ", width " + std::to_string(t.width) +
         ", batch " + std::to_string(t.batch);
}

// The matrices of a case. C's rows are one word longer than the product's.
struct Data {
  Vec a, b, c;
  size_t ldb, ldc;
};

inline Data MakeData(const Case& t, std::mt19937_64& rng) {
  Data data;
  data.a = RandomValues<uint64_t>(t.batch * t.m * t.k, rng);
  data.b = RandomValues<uint64_t>(t.batch * t.k * t.n, rng);
  if (t.extreme) {
    std::fill(data.a.begin(), data.a.end(), 0x7f7f7f7f7f7f7f80);
    std::fill(data.b.begin(), data.b.end(), 0x7f7f7f7f7f7f7f80);
  }
  if (t.b_digits > 0) {
    std::uniform_int_distribution<int64_t> small(LeastOf(t.b_digits),
                                                 GreatestOf(t.b_digits));
    for (uint64_t& word : data.b) word = static_cast<uint64_t>(small(rng));
  }
  data.ldb = t.b_layout == Layout::kTransposed ? t.k : t.n;
  data.ldc = t.n + 1;
  data.c = RandomValues<uint64_t>(t.batch * t.m * data.ldc, rng);
  return data;
}

inline void Reference(const Case& t, Data& data) {
  const bool transposed = t.b_layout == Layout::kTransposed;
  for (size_t matrix = 0; matrix < t.batch; ++matrix) {
    const uint64_t* b = data.b.data() + matrix * t.k * t.n;
    for (size_t i = 0; i < t.m; ++i) {
      const uint64_t* a = data.a.data() + (matrix * t.m + i) * t.k;
      for (size_t j = 0; j < t.n; ++j) {
        uint64_t sum = 0;
        for (size_t p = 0; p < t.k; ++p) {
          sum += a[p] * b[transposed ? j * t.k + p : p * t.n + j];
        }
        uint64_t& c = data.c[(matrix * t.m + i) * data.ldc + j];
        if (t.accumulate == Accumulate::kOverwrite) c = 0;
        c += t.accumulate == Accumulate::kSubtract ? -sum : sum;
      }
    }
  }
}

inline RingProduct Product(const Case& t, const Data& data) {
  RingProduct p{.m = t.m, .n = t.n, .k = t.k, .width = t.width};
  p.batch = t.batch;
  p.b_digits = t.b_digits;
  p.a = {.ld = t.k, .batch_stride = t.m * t.k};
  p.b = {.ld = data.ldb, .batch_stride = t.k * t.n, .layout = t.b_layout};
  p.ldc = data.ldc;
  p.c_batch_stride = t.m * data.ldc;
  p.accumulate = t.accumulate;
  return p;
}

// C of the device. The workspace holds what is not zero before.
inline Result<Vec> OnDevice(const RingGemm& gemm, const Case& t,
                            const Data& data) {
  TACIT_GPU_ASSIGN_OR_RETURN(auto a, DeviceArray<uint64_t>::Copy(data.a));
  TACIT_GPU_ASSIGN_OR_RETURN(auto b, DeviceArray<uint64_t>::Copy(data.b));
  TACIT_GPU_ASSIGN_OR_RETURN(auto c, DeviceArray<uint64_t>::Copy(data.c));
  RingProduct p = Product(t, data);
  p.a.words = a.data();
  p.b.words = b.data();
  p.c = c.data();
  TACIT_GPU_ASSIGN_OR_RETURN(
      auto limbs, DeviceArray<int8_t>::Create(t.batch * p.right().bytes()));
  if (t.pack_b) {
    TACIT_GPU_RETURN_IF_ERROR(
        gemm.Pack(p.right(), p.b, t.batch, limbs.data(), nullptr));
    p.b = {.limbs = limbs.data(), .limb_batch_stride = p.right().bytes()};
  }
  const size_t bytes =
      t.least_workspace ? gemm.MinWorkspaceBytes(p) : gemm.WorkspaceBytes(p);
  TACIT_GPU_ASSIGN_OR_RETURN(
      auto workspace,
      DeviceArray<uint8_t>::Copy(std::vector<uint8_t>(bytes, 0xa5)));
  TACIT_GPU_RETURN_IF_ERROR(gemm.Multiply(p, workspace.data(), bytes, nullptr));
  return c.ToHost();
}

// Words of the product modulo 2^width; the border's words whole.
inline Vec Residues(const Case& t, Vec c) {
  for (size_t i = 0; i < c.size(); ++i) {
    if (i % (t.n + 1) < t.n) c[i] = Reduce(c[i], t.width);
  }
  return c;
}

inline Error CheckCase(const RingGemm& gemm, const Case& t,
                       std::mt19937_64& rng) {
  Data data = MakeData(t, rng);
  TACIT_GPU_ASSIGN_OR_RETURN(Vec c, OnDevice(gemm, t, data));
  Reference(t, data);
  return ExpectEqual(Describe(t), Residues(t, std::move(c)),
                     Residues(t, std::move(data.c)));
}

inline Result<RingGemm> WithLibrary() {
  TACIT_GPU_ASSIGN_OR_RETURN(auto library, CreateCublasLt());
  return RingGemm::Create(std::move(library));
}

inline Error CheckAll(Result<RingGemm> gemm, const std::vector<Case>& cases) {
  if (!gemm.ok()) return gemm.error();
  std::mt19937_64 rng(7);
  for (const Case& t : cases) {
    TACIT_GPU_RETURN_IF_ERROR(CheckCase(*gemm, t, rng));
  }
  return {};
}

}  // namespace tacit::gpu::ring_check

#endif  // TACIT_GPU_RING_RING_CHECK_UTIL_H_

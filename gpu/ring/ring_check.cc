// The ring kernels on the device. What they compute is defined by loops here;
// on the host, ring_test.cc compares the same steps with common/ring.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/ring/ring.h"
#include "gpu/base/stream.h"
#include "gpu/check/check.h"
#include "gpu/ring/cublaslt.h"
#include "gpu/ring/gemm.h"
#include "gpu/ring/loop_multiplier.h"

namespace tacit::gpu {
namespace {

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

std::string Describe(const Case& t) {
  return "m " + std::to_string(t.m) + ", n " + std::to_string(t.n) + ", k " +
         std::to_string(t.k) + ", width " + std::to_string(t.width) +
         ", batch " + std::to_string(t.batch);
}

// The matrices of a case. C's rows are one word longer than the product's.
struct Data {
  Vec a, b, c;
  size_t ldb, ldc;
};

Data MakeData(const Case& t, std::mt19937_64& rng) {
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

void Reference(const Case& t, Data& data) {
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

RingProduct Product(const Case& t, const Data& data) {
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
Result<Vec> OnDevice(const RingGemm& gemm, const Case& t, const Data& data) {
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
Vec Residues(const Case& t, Vec c) {
  for (size_t i = 0; i < c.size(); ++i) {
    if (i % (t.n + 1) < t.n) c[i] = Reduce(c[i], t.width);
  }
  return c;
}

Error CheckCase(const RingGemm& gemm, const Case& t, std::mt19937_64& rng) {
  Data data = MakeData(t, rng);
  TACIT_GPU_ASSIGN_OR_RETURN(Vec c, OnDevice(gemm, t, data));
  Reference(t, data);
  return ExpectEqual(Describe(t), Residues(t, std::move(c)),
                     Residues(t, std::move(data.c)));
}

Result<RingGemm> WithLibrary() {
  TACIT_GPU_ASSIGN_OR_RETURN(auto library, CreateCublasLt());
  return RingGemm::Create(std::move(library));
}

Error CheckAll(Result<RingGemm> gemm, const std::vector<Case>& cases) {
  if (!gemm.ok()) return gemm.error();
  std::mt19937_64 rng(7);
  for (const Case& t : cases) {
    TACIT_GPU_RETURN_IF_ERROR(CheckCase(*gemm, t, rng));
  }
  return {};
}

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

// A layer's real size, where loops on the host would take too long: C v and
// A (B v) are the same for random vectors v. A wrong element is missed by one
// vector with probability at most 1/2, if only its top bit is wrong.
Vec TimesVector(const Vec& matrix, size_t rows, size_t columns, size_t ld,
                const Vec& vector) {
  Vec product(rows);
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < columns; ++j) {
      product[i] += matrix[i * ld + j] * vector[j];
    }
  }
  return product;
}

// Columns of [n, k] weighted: B v for B [k, n] held transposed.
Vec TransposedTimesVector(const Data& data, const Case& t, const Vec& vector) {
  Vec product(t.k);
  for (size_t j = 0; j < t.n; ++j) {
    for (size_t p = 0; p < t.k; ++p) {
      product[p] += data.b[j * t.k + p] * vector[j];
    }
  }
  return product;
}

Error CheckByVectors(const RingGemm& gemm, const Case& t) {
  std::mt19937_64 rng(9);
  const Data data = MakeData(t, rng);
  TACIT_GPU_ASSIGN_OR_RETURN(const Vec c, OnDevice(gemm, t, data));
  const auto reduce = [&](Vec words) {
    for (uint64_t& word : words) word = Reduce(word, t.width);
    return words;
  };
  for (int i = 0; i < 8; ++i) {
    const Vec v = RandomValues<uint64_t>(t.n, rng);
    const Vec expected =
        TimesVector(data.a, t.m, t.k, t.k, TransposedTimesVector(data, t, v));
    TACIT_GPU_RETURN_IF_ERROR(ExpectEqual(
        Describe(t) + ", times a vector",
        reduce(TimesVector(c, t.m, t.n, data.ldc, v)), reduce(expected)));
  }
  return {};
}

TACIT_GPU_CHECK(RingGemm, LayersOfRealSizeByLibrary) {
  TACIT_GPU_ASSIGN_OR_RETURN(const RingGemm gemm, WithLibrary());
  TACIT_GPU_RETURN_IF_ERROR(CheckByVectors(
      gemm, {.m = 1000, .n = 4096, .k = 11008, .width = 48, .pack_b = true}));
  return CheckByVectors(gemm, {.m = 128, .n = 11008, .k = 4096});
}
TACIT_GPU_CHECK(RingGemv, LayersOfRealSize) {
  TACIT_GPU_ASSIGN_OR_RETURN(const RingGemm gemm, RingGemm::Create(nullptr));
  for (size_t m : {1, 8, 16}) {
    TACIT_GPU_RETURN_IF_ERROR(CheckByVectors(
        gemm, {.m = m, .n = 4096, .k = 11008, .width = 48, .pack_b = true}));
  }
  return CheckByVectors(gemm, {.m = 1, .n = 11008, .k = 4096, .pack_b = true});
}

// Sessions on threads of their own, each with its stream and workspace, use one
// RingGemm at once.
Error OnAStreamOfItsOwn(const RingGemm& gemm, const Case& t, uint64_t seed) {
  std::mt19937_64 rng(seed);
  Data data = MakeData(t, rng);
  TACIT_GPU_ASSIGN_OR_RETURN(Stream stream, Stream::Create());
  TACIT_GPU_ASSIGN_OR_RETURN(auto a, DeviceArray<uint64_t>::Copy(data.a));
  TACIT_GPU_ASSIGN_OR_RETURN(auto b, DeviceArray<uint64_t>::Copy(data.b));
  TACIT_GPU_ASSIGN_OR_RETURN(auto c, DeviceArray<uint64_t>::Copy(data.c));
  RingProduct p = Product(t, data);
  p.a.words = a.data(), p.b.words = b.data(), p.c = c.data();
  TACIT_GPU_ASSIGN_OR_RETURN(
      auto workspace, DeviceArray<uint8_t>::Create(gemm.WorkspaceBytes(p)));
  Reference(t, data);
  for (int i = 0; i < 20; ++i) {
    TACIT_GPU_RETURN_IF_ERROR(
        gemm.Multiply(p, workspace.data(), workspace.size(), stream.handle()));
  }
  TACIT_GPU_RETURN_IF_ERROR(stream.Synchronize());
  TACIT_GPU_ASSIGN_OR_RETURN(Vec read, c.ToHost());
  return ExpectEqual(Describe(t), Residues(t, std::move(read)),
                     Residues(t, std::move(data.c)));
}

TACIT_GPU_CHECK(RingGemm, SessionsShareTheDevice) {
  TACIT_GPU_ASSIGN_OR_RETURN(const RingGemm gemm, WithLibrary());
  std::vector<Error> errors(6);
  std::vector<std::thread> sessions;
  for (size_t i = 0; i < errors.size(); ++i) {
    sessions.emplace_back([&, i] {
      const size_t m = i % 2 == 0 ? 1 + i : 30 + i;
      errors[i] = OnAStreamOfItsOwn(
          gemm, {.m = m, .n = 300, .k = 500, .width = 48}, 100 + i);
    });
  }
  for (std::thread& session : sessions) session.join();
  for (const Error& error : errors) TACIT_GPU_RETURN_IF_ERROR(error);
  return {};
}

// A decode step is captured once and launched on new values.
TACIT_GPU_SMALL_CHECK(RingGemv, RunsInAGraph) {
  std::mt19937_64 rng(8);
  const Case t{.m = 1, .n = 500, .k = 700, .width = 48};
  TACIT_GPU_ASSIGN_OR_RETURN(const auto gemm, RingGemm::Create(nullptr));
  TACIT_GPU_ASSIGN_OR_RETURN(Stream stream, Stream::Create());
  Data data = MakeData(t, rng);
  TACIT_GPU_ASSIGN_OR_RETURN(auto a, DeviceArray<uint64_t>::Copy(data.a));
  TACIT_GPU_ASSIGN_OR_RETURN(auto b, DeviceArray<uint64_t>::Copy(data.b));
  TACIT_GPU_ASSIGN_OR_RETURN(auto c, DeviceArray<uint64_t>::Copy(data.c));
  RingProduct p = Product(t, data);
  p.a.words = a.data(), p.b.words = b.data(), p.c = c.data();
  const size_t bytes = gemm.WorkspaceBytes(p);
  TACIT_GPU_ASSIGN_OR_RETURN(auto workspace,
                             DeviceArray<uint8_t>::Create(bytes));
  // The first launch of a kernel may load it, which a capture does not allow.
  TACIT_GPU_RETURN_IF_ERROR(
      gemm.Multiply(p, workspace.data(), bytes, stream.handle()));
  TACIT_GPU_ASSIGN_OR_RETURN(const Graph graph, Graph::Capture(stream, [&] {
                               return gemm.Multiply(p, workspace.data(), bytes,
                                                    stream.handle());
                             }));
  for (int step = 0; step < 3; ++step) {
    data.a = RandomValues<uint64_t>(data.a.size(), rng);
    TACIT_GPU_RETURN_IF_ERROR(CopyToDevice(a.data(), data.a.data(),
                                           data.a.size() * sizeof(uint64_t),
                                           stream.handle()));
    TACIT_GPU_RETURN_IF_ERROR(graph.Launch(stream.handle()));
    TACIT_GPU_RETURN_IF_ERROR(stream.Synchronize());
    TACIT_GPU_ASSIGN_OR_RETURN(Vec read, c.ToHost());
    Reference(t, data);
    TACIT_GPU_RETURN_IF_ERROR(ExpectEqual("step " + std::to_string(step),
                                          Residues(t, std::move(read)),
                                          Residues(t, data.c)));
  }
  return {};
}

}  // namespace
}  // namespace tacit::gpu

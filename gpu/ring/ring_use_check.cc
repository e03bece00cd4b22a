// Ring products on the device as they are used: real sizes, sessions at once,
// graphs.
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gpu/base/stream.h"
#include "gpu/ring/ring_check_util.h"

namespace tacit::gpu {
namespace {

using namespace ring_check;  // NOLINT: of this file's kind alone

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

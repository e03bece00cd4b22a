// Ring products on the device. Operands are random: zeros run faster.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "gpu/base/memory.h"
#include "gpu/check/device_benchmark.h"
#include "gpu/ring/cublaslt.h"
#include "gpu/ring/gemm.h"

namespace tacit::gpu {
namespace {

// Random words on the device: a block from the host, repeated, since gigabytes
// from a generator would take longer than what is measured.
Result<DeviceArray<uint64_t>> RandomWords(size_t size) {
  constexpr size_t kBlock = (1 << 20) - 3;
  std::mt19937_64 rng(7);
  std::vector<uint64_t> block(std::min(size, kBlock));
  for (uint64_t& word : block) word = rng();
  TACIT_GPU_ASSIGN_OR_RETURN(auto words, DeviceArray<uint64_t>::Create(size));
  for (size_t i = 0; i < size; i += block.size()) {
    const size_t count = std::min(block.size(), size - i);
    TACIT_GPU_RETURN_IF_ERROR(CopyToDevice(words.data() + i, block.data(),
                                           count * sizeof(uint64_t), nullptr));
  }
  TACIT_GPU_RETURN_IF_ERROR(Synchronize(nullptr));
  return Result<DeviceArray<uint64_t>>(std::move(words));
}

// X [m, k] by a packed weight [n, k]: what a linear layer does.
struct Layer {
  RingGemm gemm;
  DeviceArray<uint64_t> x, c;
  DeviceArray<int8_t> weight;
  DeviceArray<uint8_t> workspace;
  RingProduct product;

  static Result<Layer> Create(RingGemm gemm, size_t m, size_t n, size_t k,
                              int width, int b_digits) {
    RingProduct p{.m = m, .n = n, .k = k, .width = width, .b_digits = b_digits};
    TACIT_GPU_ASSIGN_OR_RETURN(auto x, RandomWords(m * k));
    TACIT_GPU_ASSIGN_OR_RETURN(auto c, RandomWords(m * n));
    TACIT_GPU_ASSIGN_OR_RETURN(auto weight,
                               DeviceArray<int8_t>::Create(p.right().bytes()));
    TACIT_GPU_RETURN_IF_ERROR(PackRandom(gemm, p, weight));
    p.a = {.words = x.data(), .ld = k};
    p.b = {.limbs = weight.data()};
    p.c = c.data();
    p.ldc = n;
    TACIT_GPU_ASSIGN_OR_RETURN(
        auto workspace, DeviceArray<uint8_t>::Create(gemm.WorkspaceBytes(p)));
    return Layer{std::move(gemm),   std::move(x),         std::move(c),
                 std::move(weight), std::move(workspace), p};
  }

  static Error PackRandom(const RingGemm& gemm, const RingProduct& p,
                          DeviceArray<int8_t>& weight) {
    TACIT_GPU_ASSIGN_OR_RETURN(auto words, RandomWords(p.n * p.k));
    TACIT_GPU_RETURN_IF_ERROR(gemm.Pack(
        p.right(),
        {.words = words.data(), .ld = p.k, .layout = Layout::kTransposed}, 1,
        weight.data(), nullptr));
    return Synchronize(nullptr);
  }

  Error Multiply(StreamHandle stream) {
    return gemm.Multiply(product, workspace.data(), workspace.size(), stream);
  }
};

Result<RingGemm> WithLibrary() {
  TACIT_GPU_ASSIGN_OR_RETURN(auto library, CreateCublasLt());
  return RingGemm::Create(std::move(library));
}

// Arguments of a layer's benchmark: m, n, k, width, and the weight's digits, 0
// for as many as the ring has.
struct LayerArgs {
  explicit LayerArgs(const benchmark::State& state)
      : m(state.range(0)),
        n(state.range(1)),
        k(state.range(2)),
        width(static_cast<int>(state.range(3))),
        b_digits(static_cast<int>(state.range(4))) {}

  int right_limbs() const { return b_digits > 0 ? b_digits : LimbsOf(width); }
  double elements() const { return static_cast<double>(n) * k; }
  // Pairs of digits i + j below the ring's number.
  int products() const {
    int count = 0;
    for (int d = 0; d < LimbsOf(width); ++d) {
      count += std::min(d + 1, right_limbs());
    }
    return count;
  }

  size_t m, n, k;
  int width, b_digits;
};

const std::vector<std::string> kLayerArgNames = {"m", "n", "k", "width",
                                                 "digits"};

void RunLayer(benchmark::State& state, Result<RingGemm> gemm,
              const LayerArgs& args, const Work& work) {
  Result<Layer> layer = gemm.ok()
                            ? Layer::Create(*std::move(gemm), args.m, args.n,
                                            args.k, args.width, args.b_digits)
                            : Result<Layer>(gemm.error());
  if (!layer.ok()) {
    state.SkipWithError(layer.error().message().c_str());
    return;
  }
  RunOnDevice(state, work,
              [&](StreamHandle stream) { return layer->Multiply(stream); });
}

// of_int8_peak: the limbs' products alone, over the time of everything, taking
// X apart and putting the result together included.
void BM_Gemm(benchmark::State& state) {
  const LayerArgs args(state);
  RunLayer(state, WithLibrary(), args,
           {.operations = 2.0 * args.products() * args.m * args.elements()});
}
BENCHMARK(BM_Gemm)
    ->ArgNames(kLayerArgNames)
    ->Args({4096, 4096, 4096, 40, 0})
    ->Args({4096, 4096, 4096, 48, 0})
    ->Args({4096, 4096, 4096, 64, 0})
    ->Args({4096, 4096, 4096, 48, 2})
    ->Args({128, 11008, 4096, 48, 0})
    ->Args({128, 4096, 11008, 48, 0})
    ->Args({128, 4096, 4096, 48, 0})
    // Where the two forms meet (BM_Gemv): which is faster decides.
    ->ArgsProduct({{17, 32, 48, 64}, {11008}, {4096}, {48}, {0}})
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

// of_bandwidth: the packed weight, read once.
void BM_Gemv(benchmark::State& state) {
  const LayerArgs args(state);
  RunLayer(state, RingGemm::Create(nullptr), args,
           {.bytes = args.right_limbs() * args.elements()});
}
BENCHMARK(BM_Gemv)
    ->ArgNames(kLayerArgNames)
    ->ArgsProduct({{1, 2, 4, 8, 16, 32, 48, 64}, {11008}, {4096}, {48}, {0}})
    ->Args({1, 4096, 11008, 48, 0})
    ->Args({1, 4096, 4096, 48, 0})
    ->Args({1, 32000, 4096, 48, 0})
    ->Args({1, 11008, 4096, 40, 0})
    ->Args({1, 11008, 4096, 64, 0})
    ->Args({1, 32000, 4096, 48, 2})
    ->Args({8, 32000, 4096, 48, 2})
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

// An attention head's scores for each of `batch` heads, words on both sides:
// what of_bandwidth counts is the keys, read once.
void BM_Scores(benchmark::State& state) {
  const size_t batch = state.range(0), m = state.range(1), n = state.range(2);
  constexpr size_t kHead = 128;
  Result<RingGemm> gemm = WithLibrary();
  Result<DeviceArray<uint64_t>> q = RandomWords(batch * m * kHead);
  Result<DeviceArray<uint64_t>> k = RandomWords(batch * n * kHead);
  Result<DeviceArray<uint64_t>> c = RandomWords(batch * m * n);
  if (!gemm.ok() || !q.ok() || !k.ok() || !c.ok()) {
    state.SkipWithError(
        (gemm.ok() ? "too little device memory" : gemm.error().message())
            .c_str());
    return;
  }
  RingProduct p{.m = m, .n = n, .k = kHead, .width = 46};
  p.batch = batch;
  p.a = {.words = q->data(), .ld = kHead, .batch_stride = m * kHead};
  p.b = {.words = k->data(),
         .ld = kHead,
         .batch_stride = n * kHead,
         .layout = Layout::kTransposed};
  p.c = c->data(), p.ldc = n, p.c_batch_stride = m * n;
  Result<DeviceArray<uint8_t>> workspace =
      DeviceArray<uint8_t>::Create(gemm->WorkspaceBytes(p));
  if (!workspace.ok()) {
    state.SkipWithError(workspace.error().message().c_str());
    return;
  }
  RunOnDevice(
      state, {.bytes = 8.0 * batch * n * kHead}, [&](StreamHandle stream) {
        return gemm->Multiply(p, workspace->data(), workspace->size(), stream);
      });
}
BENCHMARK(BM_Scores)
    ->ArgNames({"batch", "m", "n"})
    ->Args({32, 1, 1024})
    ->Args({32, 128, 128})
    ->Args({12, 128, 128})
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

// One int8 product as the library does it: what BM_Gemm could reach at most.
void BM_Int8Library(benchmark::State& state) {
  const size_t size = state.range(0);
  Result<std::unique_ptr<Int8Multiplier>> library = CreateCublasLt();
  Result<DeviceArray<uint64_t>> a = RandomWords(size * size / 8);
  Result<DeviceArray<uint64_t>> c = RandomWords(size * size / 2);
  if (!library.ok() || !a.ok() || !c.ok()) {
    state.SkipWithError(
        (library.ok() ? "too little device memory" : library.error().message())
            .c_str());
    return;
  }
  Result<DeviceArray<uint8_t>> workspace =
      DeviceArray<uint8_t>::Create((*library)->workspace_bytes());
  if (!workspace.ok()) {
    state.SkipWithError(workspace.error().message().c_str());
    return;
  }
  const auto* digits = reinterpret_cast<const int8_t*>(a->data());
  const Int8Product product{
      .m = size,
      .n = size,
      .k = size,
      .batch = 1,
      .a = digits,
      .lda = size,
      .a_batch_stride = 0,
      .b = digits,
      .ldb = size,
      .b_batch_stride = 0,
      .c = reinterpret_cast<int32_t*>(c->data()),
      .ldc = size,
      .c_batch_stride = 0,
  };
  RunOnDevice(state, {.operations = 2.0 * size * size * size},
              [&](StreamHandle stream) {
                return (*library)->Multiply(product, workspace->data(), stream);
              });
}
BENCHMARK(BM_Int8Library)
    ->ArgName("size")
    ->Arg(4096)
    ->Arg(8192)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

// A copy on the device, bytes read and written: what BM_Gemv could reach at
// most.
void BM_Copy(benchmark::State& state) {
  const size_t bytes = size_t{1} << 30;
  Result<DeviceArray<uint64_t>> from = RandomWords(bytes / 8);
  Result<DeviceArray<uint64_t>> to = RandomWords(bytes / 8);
  if (!from.ok() || !to.ok()) {
    state.SkipWithError("too little device memory");
    return;
  }
  RunOnDevice(state, {.bytes = 2.0 * bytes}, [&](StreamHandle stream) {
    return CopyOnDevice(to->data(), from->data(), bytes, stream);
  });
}
BENCHMARK(BM_Copy)->UseManualTime()->Unit(benchmark::kMicrosecond);

// Words to limb planes: 8 bytes read and `limbs` written for an element.
void BM_Pack(benchmark::State& state) {
  const LimbShape shape{4096, 4096, static_cast<int>(state.range(0)),
                        Operand::kRight};
  const auto layout =
      state.range(1) != 0 ? Layout::kTransposed : Layout::kRowMajor;
  Result<RingGemm> gemm = RingGemm::Create(nullptr);
  Result<DeviceArray<uint64_t>> words = RandomWords(shape.rows * shape.depth);
  Result<DeviceArray<int8_t>> limbs =
      DeviceArray<int8_t>::Create(gemm.ok() ? shape.bytes() : 0);
  if (!gemm.ok() || !words.ok() || !limbs.ok()) {
    state.SkipWithError(gemm.ok() ? "too little device memory"
                                  : gemm.error().message().c_str());
    return;
  }
  const GemmOperand operand{
      .words = words->data(), .ld = 4096, .layout = layout};
  RunOnDevice(state,
              {.bytes = (8.0 + shape.limbs()) * shape.rows * shape.depth},
              [&](StreamHandle stream) {
                return gemm->Pack(shape, operand, 1, limbs->data(), stream);
              });
}
BENCHMARK(BM_Pack)
    ->ArgNames({"width", "along_rows"})
    ->ArgsProduct({{48, 64}, {0, 1}})
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace tacit::gpu

// gpu/fss on the device against the same bodies on the host.
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "gpu/base/memory.h"
#include "gpu/check/check.h"
#include "gpu/fss/dpf.h"
#include "gpu/fss/dpf_dispatch.h"
#include "gpu/fss/one_hot.h"
#include "gpu/fss/one_hot_dispatch.h"
#include "gpu/kernel/phased.h"

namespace tacit::gpu {
namespace {

constexpr AesVariant kReference = AesVariant::kTable1;

// Whether the device has too little shared memory for the variant.
bool LacksShared(const Error& error) {
  return error.code() == Code::kFailedPrecondition;
}

std::vector<PrgKey> TwoKeys(std::mt19937_64& rng) {
  std::vector<PrgKey> keys(2);
  for (PrgKey& key : keys) {
    ExpandPrgKey(RandomValues<uint8_t>(32, rng).data(), key);
  }
  return keys;
}

std::string Name(const char* what, AesVariant variant, int m, size_t n) {
  return std::string(what) + ", " + AesVariantName(variant) +
         ", m = " + std::to_string(m) + ", n = " + std::to_string(n);
}

// n keys in records of 64, made by the host, and the same on the device.
struct Keys {
  int m;
  size_t n;
  std::vector<PrgKey> streams;
  std::vector<uint64_t> alpha;
  std::vector<uint8_t> material[2], positive;
  FieldLayout field[2];

  DpfGenArgs Args() {
    DpfGenArgs args;
    args.m = m;
    for (int b = 0; b < 2; ++b) {
      args.field[b] = field[b];
      args.material[b] = material[b].data();
      args.key[b] = &streams[b];
    }
    args.alpha.words = alpha.data();
    args.positive = positive.data();
    return args;
  }
};

Keys MakeKeys(int m, size_t n) {
  std::mt19937_64 rng(m * 100000 + n);
  Keys keys{m, n, TwoKeys(rng), RandomValues<uint64_t>(n, rng), {}, {}, {}};
  const size_t key_bytes = DpfIsDirect(m) ? DirectBytes(m) : 16 * (m - 6);
  const size_t last = (n - 1) / 64;
  for (int b = 0; b < 2; ++b) {
    FieldLayout field = OneRecord(n, 5);
    if (last > 0) {
      field.block = 64;
      field.stream_step = 256;
      field.stream_last = 5 + 256 * last;
      field.bytes_step = 64 * key_bytes + (b == 0 ? 8 : 3);
      field.bytes_last = last * field.bytes_step;
    }
    keys.field[b] = field;
    keys.material[b].resize(field.bytes_last + 64 * key_bytes);
  }
  keys.positive.resize(n);
  return keys;
}

constexpr int kDomains[] = {1, 3, 6, 9, 10, 17, 39, 64};

TACIT_GPU_CHECK(Fss, KeysEqualTheReference) {
  for (AesVariant variant : kAesVariants) {
    for (int m : kDomains) {
      for (size_t n : {1, 63, 65, 1000}) {
        Keys keys = MakeKeys(m, n);
        DpfGenArgs args = keys.Args();
        TACIT_GPU_ASSIGN_OR_RETURN(auto streams,
                                   DeviceArray<PrgKey>::Copy(keys.streams));
        TACIT_GPU_ASSIGN_OR_RETURN(auto alpha,
                                   DeviceArray<uint64_t>::Copy(keys.alpha));
        TACIT_GPU_ASSIGN_OR_RETURN(
            auto material0, DeviceArray<uint8_t>::Copy(keys.material[0]));
        TACIT_GPU_ASSIGN_OR_RETURN(
            auto material1, DeviceArray<uint8_t>::Copy(keys.material[1]));
        TACIT_GPU_ASSIGN_OR_RETURN(auto positive,
                                   DeviceArray<uint8_t>::Copy(keys.positive));
        TACIT_GPU_RETURN_IF_ERROR(
            DispatchGen(kReference, args, HostLauncher()));
        args.alpha.words = alpha.data();
        args.material[0] = material0.data();
        args.material[1] = material1.data();
        args.key[0] = streams.data();
        args.key[1] = streams.data() + 1;
        args.positive = positive.data();
        const Error error = DpfGen(variant, args, nullptr);
        if (LacksShared(error)) continue;
        TACIT_GPU_RETURN_IF_ERROR(error);
        TACIT_GPU_ASSIGN_OR_RETURN(const auto actual0, material0.ToHost());
        TACIT_GPU_ASSIGN_OR_RETURN(const auto actual1, material1.ToHost());
        TACIT_GPU_ASSIGN_OR_RETURN(const auto signs, positive.ToHost());
        const std::string name = Name("keys", variant, m, n);
        TACIT_GPU_RETURN_IF_ERROR(ExpectEqual(name, actual0, keys.material[0]));
        TACIT_GPU_RETURN_IF_ERROR(ExpectEqual(name, actual1, keys.material[1]));
        TACIT_GPU_RETURN_IF_ERROR(ExpectEqual(name, signs, keys.positive));
      }
    }
  }
  return {};
}

// A party's keys on the device, for one evaluation after the other.
struct DeviceKeys {
  DeviceArray<PrgKey> streams;
  DeviceArray<uint8_t> material;
  DeviceArray<uint64_t> points;
};

Result<DeviceKeys> ToDevice(const Keys& keys, int party,
                            const std::vector<uint64_t>& points) {
  TACIT_GPU_ASSIGN_OR_RETURN(auto streams,
                             DeviceArray<PrgKey>::Copy(keys.streams));
  TACIT_GPU_ASSIGN_OR_RETURN(auto material,
                             DeviceArray<uint8_t>::Copy(keys.material[party]));
  TACIT_GPU_ASSIGN_OR_RETURN(auto at, DeviceArray<uint64_t>::Copy(points));
  return DeviceKeys{std::move(streams), std::move(material), std::move(at)};
}

Error CheckPaths(AesVariant variant, int m, size_t n, int party,
                 PathOutput output) {
  Keys keys = MakeKeys(m, n);
  TACIT_GPU_RETURN_IF_ERROR(
      DispatchGen(kReference, keys.Args(), HostLauncher()));
  std::mt19937_64 rng(n);
  std::vector<uint64_t> points = RandomValues<uint64_t>(n, rng);
  points[0] = keys.alpha[0];
  std::vector<uint8_t> expected(n);
  DpfPathArgs args;
  args.keys = {party, m, keys.field[party], keys.material[party].data(),
               &keys.streams[party]};
  args.points.words = points.data();
  args.output = output;
  args.out = expected.data();
  TACIT_GPU_RETURN_IF_ERROR(DispatchPath(kReference, args, HostLauncher()));
  TACIT_GPU_ASSIGN_OR_RETURN(DeviceKeys device, ToDevice(keys, party, points));
  TACIT_GPU_ASSIGN_OR_RETURN(auto out, DeviceArray<uint8_t>::Create(n));
  args.keys.material = device.material.data();
  args.keys.key = device.streams.data() + party;
  args.points.words = device.points.data();
  args.out = out.data();
  const Error error = DpfEvalPath(variant, args, nullptr);
  if (LacksShared(error)) return {};
  TACIT_GPU_RETURN_IF_ERROR(error);
  TACIT_GPU_ASSIGN_OR_RETURN(const auto actual, out.ToHost());
  return ExpectEqual(Name("paths", variant, m, n), actual, expected);
}

TACIT_GPU_CHECK(Fss, PathsEqualTheReference) {
  for (AesVariant variant : kAesVariants) {
    for (int m : kDomains) {
      for (size_t n : {1, 65, 1000}) {
        for (int party = 0; party < 2; ++party) {
          TACIT_GPU_RETURN_IF_ERROR(
              CheckPaths(variant, m, n, party, PathOutput::kPrefix));
          TACIT_GPU_RETURN_IF_ERROR(
              CheckPaths(variant, m, n, party, PathOutput::kPoint));
        }
      }
    }
  }
  return {};
}

Error CheckWindows(AesVariant variant, int m, size_t n, int party,
                   size_t length) {
  Keys keys = MakeKeys(m, n);
  TACIT_GPU_RETURN_IF_ERROR(
      DispatchGen(kReference, keys.Args(), HostLauncher()));
  std::mt19937_64 rng(n + length);
  std::vector<uint64_t> start = RandomValues<uint64_t>(n, rng);
  for (size_t i = 0; i < n; i += 2) {  // windows that meet alpha
    start[i] = keys.alpha[i] - start[i] % length;
  }
  // Two tables, one after the other.
  const auto tables = RandomValues<uint64_t>(2 * length, rng);
  std::vector<uint64_t> expected(2 * n);
  DpfWindowArgs args;
  args.keys = {party, m, keys.field[party], keys.material[party].data(),
               &keys.streams[party]};
  args.start.words = start.data();
  args.length = length;
  args.table_count = 2;
  args.interpolate = true;
  args.step_bits = 4;
  args.value_shift = 3;
  for (int q = 0; q < 2; ++q) {
    args.tables[q] = tables.data() + q * length;
    args.out[q] = expected.data() + q * n;
  }
  TACIT_GPU_RETURN_IF_ERROR(DispatchWindow(kReference, args, HostLauncher()));
  TACIT_GPU_ASSIGN_OR_RETURN(DeviceKeys device, ToDevice(keys, party, start));
  TACIT_GPU_ASSIGN_OR_RETURN(auto table_memory,
                             DeviceArray<uint64_t>::Copy(tables));
  TACIT_GPU_ASSIGN_OR_RETURN(auto out, DeviceArray<uint64_t>::Create(2 * n));
  args.keys.material = device.material.data();
  args.keys.key = device.streams.data() + party;
  args.start.words = device.points.data();
  for (int q = 0; q < 2; ++q) {
    args.tables[q] = table_memory.data() + q * length;
    args.out[q] = out.data() + q * n;
  }
  const Error error = DpfWindowSum(variant, args, nullptr);
  if (LacksShared(error)) return {};
  TACIT_GPU_RETURN_IF_ERROR(error);
  TACIT_GPU_ASSIGN_OR_RETURN(const auto actual, out.ToHost());
  return ExpectEqual(
      Name("windows", variant, m, n) + ", length " + std::to_string(length),
      actual, expected);
}

TACIT_GPU_CHECK(Fss, WindowSumsEqualTheReference) {
  for (AesVariant variant : kAesVariants) {
    for (int m : {3, 9, 10, 14, 40, 64}) {
      for (size_t length : {1, 129, 400, 513, 2049}) {
        if (length > uint64_t{1} << (m < 32 ? m : 32)) continue;
        for (int party = 0; party < 2; ++party) {
          TACIT_GPU_RETURN_IF_ERROR(
              CheckWindows(variant, m, 333, party, length));
        }
      }
    }
  }
  return {};
}

Error CheckOneHotKeys(AesVariant variant, int m, int width, size_t n) {
  std::mt19937_64 rng(m * 100 + n);
  const std::vector<PrgKey> streams = TwoKeys(rng);
  const auto alpha = RandomValues<uint64_t>(n, rng);
  const size_t bytes = 16 * (OneHotLevels(m, width) + 1) * n;
  const size_t size = size_t{1} << m;
  std::vector<uint8_t> material(2 * bytes);  // both parties'
  OneHotGenArgs gen{m,
                    width,
                    {OneRecord(n, 9), OneRecord(n, 9)},
                    {material.data(), material.data() + bytes},
                    {&streams[0], &streams[1]},
                    {alpha.data()}};
  TACIT_GPU_RETURN_IF_ERROR(DispatchOneHotGen(kReference, gen, HostLauncher()));
  TACIT_GPU_ASSIGN_OR_RETURN(auto keys, DeviceArray<PrgKey>::Copy(streams));
  TACIT_GPU_ASSIGN_OR_RETURN(auto points, DeviceArray<uint64_t>::Copy(alpha));
  TACIT_GPU_ASSIGN_OR_RETURN(auto made,
                             DeviceArray<uint8_t>::Create(2 * bytes));
  TACIT_GPU_ASSIGN_OR_RETURN(auto out, DeviceArray<uint64_t>::Create(n * size));
  for (int b = 0; b < 2; ++b) {
    gen.material[b] = made.data() + b * bytes;
    gen.key[b] = keys.data() + b;
  }
  gen.alpha.words = points.data();
  const Error error = OneHotGen(variant, gen, nullptr);
  if (LacksShared(error)) return {};
  TACIT_GPU_RETURN_IF_ERROR(error);
  TACIT_GPU_ASSIGN_OR_RETURN(const auto actual, made.ToHost());
  const std::string name = Name("one-hot", variant, m, n);
  TACIT_GPU_RETURN_IF_ERROR(ExpectEqual(name, actual, material));
  for (int party = 0; party < 2; ++party) {
    std::vector<uint64_t> expected(n * size);
    OneHotEvalArgs eval{party,           m,
                        width,           gen.field[party],
                        material.data(), &streams[party],
                        {alpha.data()},  size,
                        expected.data()};
    TACIT_GPU_RETURN_IF_ERROR(
        DispatchOneHotEval(kReference, eval, HostLauncher()));
    eval.material = made.data();
    eval.key = keys.data() + party;
    eval.top.words = points.data();
    eval.out = out.data();
    TACIT_GPU_RETURN_IF_ERROR(OneHotEval(variant, eval, nullptr));
    TACIT_GPU_ASSIGN_OR_RETURN(const auto vectors, out.ToHost());
    TACIT_GPU_RETURN_IF_ERROR(ExpectEqual(name, vectors, expected));
  }
  return {};
}

// A direct domain and a tree, each kernel once.
TACIT_GPU_SMALL_CHECK(Fss, FewKeysEqualTheReference) {
  for (AesVariant variant : kAesVariants) {
    for (int m : {6, 12}) {
      TACIT_GPU_RETURN_IF_ERROR(
          CheckPaths(variant, m, 65, 1, PathOutput::kPrefix));
      TACIT_GPU_RETURN_IF_ERROR(CheckWindows(variant, m, 65, 1, 60));
    }
    TACIT_GPU_RETURN_IF_ERROR(CheckOneHotKeys(variant, 9, 20, 3));
  }
  return {};
}

TACIT_GPU_CHECK(Fss, OneHotEqualsTheReference) {
  for (AesVariant variant : kAesVariants) {
    for (int m : {1, 5, 12}) {
      for (int width : {20, 40}) {
        TACIT_GPU_RETURN_IF_ERROR(CheckOneHotKeys(variant, m, width, 13));
      }
    }
  }
  return {};
}

}  // namespace
}  // namespace tacit::gpu

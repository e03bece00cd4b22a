// Runs the generator and the DPF with every secret marked as undefined, so that
// valgrind's memcheck reports each branch and each address that depends on one:
//
//   valgrind --error-exitcode=1 bin/secret_taint_test
//
// Without valgrind the marks do nothing. Valgrind has no AVX-512: it sees the
// AVX2 path and the baseline, which share their source with the AVX-512 path.
#include <valgrind/memcheck.h>

#include <array>
#include <memory>
#include <vector>

#include "common/fss/dpf.h"
#include "common/fss/onehot_dpf.h"
#include "common/prg/simd_targets.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

template <typename T>
void Taint(T& object) {
  VALGRIND_MAKE_MEM_UNDEFINED(object.data(),
                              object.size() * sizeof(*object.data()));
}

// Under valgrind, each element depends on something tainted: the marks got
// through the kernels, so that silence means something.
template <typename T>
void ExpectTainted(const std::vector<T>& object, const char* what) {
  if (!RUNNING_ON_VALGRIND) return;
  for (const T& element : object) {
    T undefined_bits = 0;
    VALGRIND_GET_VBITS(&element, &undefined_bits, sizeof(T));
    ASSERT_NE(undefined_bits, 0) << what;
  }
}

Prg SecretPrg(uint8_t tag) {
  std::array<uint8_t, Seed::kBytes> bytes = {tag, 1, 2, 3};
  Taint(bytes);
  return Prg(Seed(bytes));
}

class SecretTaintTest : public SimdTargetTest {};
INSTANTIATE_TEST_SUITE_P(AllTargets, SecretTaintTest,
                         ::testing::ValuesIn(CompiledTargets()),
                         TargetTestName);

TEST_P(SecretTaintTest, Prg) {
  const Prg prg = SecretPrg(0);
  std::vector<uint64_t> words(77);
  prg.Fill(5, std::span<uint64_t>(words));
  prg.AddTo(7, words);
  prg.SubtractFrom(9, words);
  std::vector<uint8_t> bits(1001);
  prg.FillBits(3, bits);
  ExpectTainted(words, "stream");
  ExpectTainted(bits, "bits");
}

TEST_P(SecretTaintTest, Dpf) {
  const Prg prgs[2] = {SecretPrg(0), SecretPrg(1)};
  for (int m : {2, 5, 9, 10, 16, 39, 64}) {
    const size_t count = 67;
    std::vector<uint64_t> alpha(count), at(count);
    for (size_t i = 0; i < count; ++i) alpha[i] = at[i] = i * i * i;
    Taint(alpha);
    std::vector<uint8_t> key0(DpfKeyBytes(m, 0, count));
    std::vector<uint8_t> key1(DpfKeyBytes(m, 1, count));
    std::vector<uint8_t> positive(count), out(count);
    DpfGen(m, alpha, prgs[0], prgs[1], 1, key0, key1, positive);
    ExpectTainted(key0, "key 0");
    ExpectTainted(key1, "key 1");
    ExpectTainted(positive, "signs");
    const size_t length = m < 10 ? 3 : 200;
    const std::vector<uint64_t> table(length, 5);
    const std::span<const uint64_t> in[2] = {table, table};
    std::vector<uint64_t> sums[2] = {std::vector<uint64_t>(count),
                                     std::vector<uint64_t>(count)};
    const std::span<uint64_t> to[2] = {sums[0], sums[1]};
    std::vector<uint64_t> bits(count * ((length + 63) / 64));
    for (int party : {0, 1}) {
      const DpfKeys keys{party, m, count, party ? key1 : key0, &prgs[party], 1};
      DpfEvalPrefix(keys, at, out);
      ExpectTainted(out, "prefix");
      DpfEvalPoint(keys, at, out);
      ExpectTainted(out, "point");
      DpfEvalWindow(keys, at, length, bits);
      ExpectTainted(bits, "window");
      DpfWindowSum(keys, at, WindowTables(in), to);
      ExpectTainted(sums[0], "sum");
      ExpectTainted(sums[1], "sum");
    }
  }
}

TEST_P(SecretTaintTest, OneHot) {
  const Prg prgs[2] = {SecretPrg(0), SecretPrg(1)};
  for (int m : {1, 2, 9}) {
    for (int width : {20, 40}) {
      std::vector<uint64_t> alpha = {1, 200, 3};
      const std::vector<uint64_t> top = {4, 5, 600};
      Taint(alpha);
      std::vector<uint8_t> key(OneHotKeyBytes(m, width, alpha.size()));
      OneHotGen(m, width, alpha, prgs[0], prgs[1], 0, key);
      std::vector<uint64_t> out(3 * (size_t{1} << m));
      for (int party : {0, 1}) {
        OneHotEval({party, m, width, 3, key, &prgs[party], 0}, top,
                   size_t{1} << m, out);
        ExpectTainted(out, "one-hot");
      }
    }
  }
}

}  // namespace
}  // namespace tacit

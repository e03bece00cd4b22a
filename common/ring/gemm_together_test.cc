#include "common/ring/gemm_together.h"

#include <cstdint>
#include <random>
#include <vector>

#include "common/ring/gemm_test_util.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

TEST(GemmTogetherTest, EqualsGemmOfEach) {
  constexpr size_t kN = 70, kK = 31;
  std::mt19937_64 rng(3);
  ThreadPool pool(2);
  const std::vector<uint64_t> b = RandomVector(kN * kK, rng);
  for (Layout layout : {Layout::kRowMajor, Layout::kTransposed}) {
    for (size_t count : {0, 1, 2, 7}) {
      std::vector<TestProduct> products;
      for (size_t i = 0; i < count; ++i) {
        products.emplace_back(rng() % 5, kN, kK, b, layout,
                              static_cast<Accumulate>(i % 3), rng);
      }
      std::vector<const GemmArgs*> args;
      for (const TestProduct& product : products) {
        args.push_back(&product.args());
      }
      GemmTogether(args, pool);
      for (const TestProduct& product : products) {
        EXPECT_TRUE(product.IsRight()) << count << " products";
      }
    }
  }
}

TEST(GemmTogetherTest, TellsMatricesOfTheSameMemoryApart) {
  const std::vector<uint64_t> b(24), other(24);
  const GemmArgs args{.m = 1,
                      .n = 4,
                      .k = 6,
                      .a = nullptr,
                      .lda = 6,
                      .b = b.data(),
                      .ldb = 4,
                      .c = nullptr,
                      .ldc = 4};
  GemmArgs more_rows = args;
  more_rows.m = 3;
  EXPECT_TRUE(SameRightOperand(args, more_rows));
  GemmArgs elsewhere = args, narrower = args, shorter = args, strided = args,
           transposed = args;
  elsewhere.b = other.data();
  narrower.n = 3;
  shorter.k = 5;
  strided.ldb = 5;
  transposed.b_layout = Layout::kTransposed;
  for (const GemmArgs& different :
       {elsewhere, narrower, shorter, strided, transposed}) {
    EXPECT_FALSE(SameRightOperand(args, different));
  }
}

}  // namespace
}  // namespace tacit

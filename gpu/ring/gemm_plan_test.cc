#include "gpu/ring/gemm_plan.h"

#include <cstdint>
#include <string>
#include <vector>

#include "gpu/ring/gemv-inl.h"
#include "gtest/gtest.h"

namespace tacit::gpu {
namespace {

using Vec = std::vector<uint64_t>;

TEST(GemvTest, ShareWorkUsesEveryStepOnce) {
  for (size_t depth : {64, 128, 192, 4096, 11008, 16320}) {
    for (size_t n : {1, 16, 512, 4096, 11008}) {
      GemvArgs args{};
      args.m = 1, args.n = n, args.depth = depth, args.batch = 1;
      ShareWork(args, 132);
      ASSERT_EQ(kGemvWarps % args.depth_warps, 0);
      std::vector<int> visits(args.row_tiles() * depth / kGemvDepth);
      for (uint32_t y = 0; y < args.depth_blocks; ++y) {
        for (size_t x = 0; x < args.row_blocks(); ++x) {
          for (uint32_t w = 0; w < kGemvWarps; ++w) {
            const auto place = GemvPlace::Of(args, x, y, 0, w);
            if (place.row_tile >= args.row_tiles()) continue;
            for (size_t s = place.first_step; s < depth / kGemvDepth;
                 s += place.step_stride) {
              ++visits[place.row_tile * (depth / kGemvDepth) + s];
            }
          }
        }
      }
      EXPECT_EQ(visits, std::vector<int>(visits.size(), 1));
    }
  }
}

RingProduct Valid(const uint64_t* words, uint64_t* c) {
  RingProduct p{.m = 20, .n = 20, .k = 20};
  p.a = {.words = words, .ld = 20};
  p.b = {.words = words, .ld = 20};
  p.c = c;
  p.ldc = 20;
  return p;
}

TEST(RingProductTest, BadArgumentsAreRejectedWithFigures) {
  const Vec words(400);
  Vec c(400);
  const RingProduct valid = Valid(words.data(), c.data());
  EXPECT_TRUE(Check(valid).ok());
  const auto rejects = [&](auto change, const std::string& words_of_it) {
    RingProduct p = valid;
    change(p);
    const Error error = Check(p);
    EXPECT_EQ(error.code(), Code::kInvalidArgument);
    EXPECT_NE(error.message().find(words_of_it), std::string::npos)
        << error.message();
  };
  rejects([](RingProduct& p) { p.width = 0; }, "width 0");
  rejects([](RingProduct& p) { p.width = 65; }, "width 65");
  rejects([](RingProduct& p) { p.b_digits = 1; }, "not 2 or 3");
  rejects([](RingProduct& p) { p.b_digits = -2; }, "not 2 or 3");
  rejects([](RingProduct& p) { p.b_digits = 3, p.width = 24; }, "not fewer");
  rejects([](RingProduct& p) { p.k = size_t{1} << 31; }, "too large");
  rejects([](RingProduct& p) { p.k = ~size_t{0}; }, "too large");
  rejects([](RingProduct& p) { p.m = p.n = size_t{1} << 30; }, "too large");
  rejects([](RingProduct& p) { p.batch = 65536; }, "too large");
  rejects([](RingProduct& p) { p.a.words = nullptr; }, "left operand");
  rejects([](RingProduct& p) { p.b.words = nullptr; }, "right operand");
  rejects([](RingProduct& p) { p.a.ld = 19; }, "row stride 19");
  rejects([](RingProduct& p) { p.c = nullptr; }, "result");
  rejects([](RingProduct& p) { p.ldc = 19; }, "row stride 19");
  rejects(
      [](RingProduct& p) { p.a.limbs = reinterpret_cast<const int8_t*>(8); },
      "aligned");
}

TEST(RingProductTest, TooLittleWorkspaceIsAnErrorWithFigures) {
  const Vec words(400);
  Vec c(400);
  const RingProduct p = Valid(words.data(), c.data());
  const size_t least = PlanFor(p, true, 512, true).bytes;
  EXPECT_TRUE(PlanWithin(p, true, 512, least).ok());
  const auto plan = PlanWithin(p, true, 512, least - 1);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code(), Code::kResourceExhausted);
  EXPECT_NE(plan.error().message().find(std::to_string(least)),
            std::string::npos);
}

}  // namespace
}  // namespace tacit::gpu

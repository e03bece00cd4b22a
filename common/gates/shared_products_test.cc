// Sessions that multiply by static weights together.

#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "common/gates/linear.h"
#include "common/gates/matmul.h"
#include "common/gates/testing.h"
#include "common/ring/gemm_batcher.h"

namespace tacit {
namespace {

constexpr size_t kSessions = 4, kSteps = 6, kDim = 16;
constexpr int kWidth = 40;

// What the services hold: one batcher for each role.
class Batchers {
 public:
  Batchers() {
    for (auto& batcher : of_) {
      batcher = std::make_unique<GemmBatcher>(
          InlinePool(),
          GemmBatcher::Options{.min_bytes = 0,
                               .least_wait = std::chrono::milliseconds(20)});
    }
  }
  GemmBatcher& Of(const Evaluator& ev) {
    return *of_[ev.is_dealer() ? 2 : ev.party()];
  }
  GemmBatcher& Of(int role) { return *of_[role]; }

 private:
  std::unique_ptr<GemmBatcher> of_[3];
};

// Two matrices in each step, with an opening in between.
void Steps(Evaluator& ev, const StaticMatrixShares& first,
           const StaticMatrixShares& second) {
  for (size_t step = 0; step < kSteps && ev.ok(); ++step) {
    const Wire x = ev.Input({1, kDim}, kWidth, 0);
    ev.BeginStep(1);
    const Wire y = ev.Open(MatMulStatic(ev, x, Pick(ev, first), kWidth));
    ev.Output(MatMulStatic(ev, y, Pick(ev, second), kWidth));
  }
}

TEST(SharedProductsTest, SessionsOfAllRolesComputeWhatTheyComputeAlone) {
  std::mt19937_64 rng(5);
  const StaticMatrixShares first =
      TestMatrix(RandomValues(kDim * kDim, -10, 10, rng), kDim, kDim, 0);
  const StaticMatrixShares second =
      TestMatrix(RandomValues(kDim * kDim, -10, 10, rng), kDim, kDim, 0,
                 Layout::kTransposed);
  std::vector<std::vector<InputValue>> inputs(kSessions);
  for (auto& of_session : inputs) {
    for (size_t step = 0; step < kSteps; ++step) {
      of_session.push_back({RandomValues(kDim, -1000, 1000, rng), kWidth});
    }
  }
  Batchers batchers;
  std::vector<std::thread> sessions;
  for (size_t s = 0; s < kSessions; ++s) {
    sessions.emplace_back([&, s] {
      const SessionSeeds seeds = TestSeeds(static_cast<uint8_t>(s));
      const absl::StatusOr<TwoPartyResult> together = RunTwoParty(
          {}, seeds,
          [&](Evaluator& ev) {
            ev.ShareProducts(batchers.Of(ev));
            Steps(ev, first, second);
          },
          inputs[s]);
      const auto alone = RunPlain(
          {}, seeds, [&](Evaluator& ev) { Steps(ev, first, second); },
          inputs[s]);
      ASSERT_OK(together);
      ASSERT_OK(alone);
      EXPECT_EQ(together->outputs, *alone);
    });
  }
  for (std::thread& session : sessions) session.join();
  for (int role = 0; role < 3; ++role) {
    const GemmBatcher::Stats stats = batchers.Of(role).stats();
    EXPECT_EQ(stats.products, kSessions * kSteps * 2);
    EXPECT_LE(stats.passes, stats.products);
  }
}

}  // namespace
}  // namespace tacit

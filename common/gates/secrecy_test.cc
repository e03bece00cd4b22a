// What a party sees does not depend on the inputs: every byte of every message
// is uniform whatever the input, and sizes and order of messages are the same.
// A statistical net for mistakes (a mask left out, used twice or too short),
// not a proof.
#include <array>
#include <cmath>
#include <mutex>

#include "common/gates/compare.h"
#include "common/gates/exp2.h"
#include "common/gates/interpolated.h"
#include "common/gates/linear.h"
#include "common/gates/matmul.h"
#include "common/gates/multiply.h"
#include "common/gates/select.h"
#include "common/gates/shuffle.h"
#include "common/gates/testing.h"
#include "common/gates/trunc_reduce.h"
#include "common/gates/windowed_lut.h"

namespace tacit {
namespace {

constexpr size_t kElements = 8;  // whole bytes at every width
constexpr int kRuns = 4096;
constexpr int kWidth = 32;
constexpr int kFrac = 8;

// A bit of everything that sends messages.
void Work(Evaluator& ev) {
  const Wire x = ev.Input({kElements}, kWidth, kFrac);
  const Wire square = ev.Open(Mul(ev, x, x, kWidth));
  const Wire y = TruncReduce(ev, square, kFrac);
  ev.Output(Select(ev, IsNegative(ev, x, 20), x, kWidth));
  const std::vector<int64_t> table = {5, -3, 2, 7};
  ev.Output(WindowedLut(ev, y, 12, -2, table, 16, 0));
  InterpolatedTable line;
  line.step_bits = 4;
  line.domain_bits = 11;
  line.low = -2;
  line.value = {1, 2, 3, 4};
  line.slope = {1, -1, 1, -1};
  line.value_shift = 0;
  line.out_frac = kFrac;
  line.identity_above = true;
  ev.Output(Interpolated(ev, x, line, 24));
  const Exp2Params exp{.domain_bits = 8,
                       .min_exponent = -10,
                       .max_exponent = 20,
                       .mask_bits = 8,
                       .public_bits = 8};
  ev.Output(Exp2(ev, Narrow(ev, x, 17), exp));
  ev.Output(Shuffle(ev, ToShare(ev, x)));
}

// Counts of each value of each byte of each party's messages, headers left out:
// those are step numbers and digests of what both parties know.
class ByteCounts {
 public:
  void Add(int party, std::span<const uint8_t> message) {
    size_t& at = next_[party];
    sizes_[party].push_back(message.size());
    for (uint8_t byte : message.subspan(kMessageHeaderBytes)) {
      if (counts_[party].size() == at) counts_[party].emplace_back();
      ++counts_[party][at++][byte];
    }
  }
  void EndRun() {
    for (int b = 0; b < 2; ++b) {
      if (first_sizes_[b].empty()) first_sizes_[b] = sizes_[b];
      EXPECT_EQ(sizes_[b], first_sizes_[b]);
      sizes_[b].clear();
      next_[b] = 0;
    }
  }

  const std::vector<std::array<int, 256>>& counts(int party) const {
    return counts_[party];
  }
  const std::vector<size_t>& sizes(int party) const {
    return first_sizes_[party];
  }

 private:
  std::vector<std::array<int, 256>> counts_[2];
  std::vector<size_t> sizes_[2], first_sizes_[2];
  size_t next_[2] = {0, 0};
};

ByteCounts Observe(const std::vector<int64_t>& input) {
  ByteCounts counts;
  std::mutex mutex;
  TwoPartyOptions options;
  options.observer = [&](int party, std::span<const uint8_t> message) {
    std::lock_guard<std::mutex> lock(mutex);
    counts.Add(party, message);
  };
  for (int run = 0; run < kRuns; ++run) {
    const auto seeds = SessionSeeds::Generate(OsSeedSource());
    EXPECT_OK(seeds);
    EXPECT_OK(RunTwoParty(options, *seeds, Work, {{input, kWidth}}));
    counts.EndRun();
  }
  return counts;
}

// Chi-square with 255 degrees of freedom is near normal; 1e-9 per byte keeps
// the false alarms of some hundred bytes below 1e-6.
constexpr double kSigmas = 6.5;

double ChiSquareSigmas(double chi_square) {
  // Wilson and Hilferty's cube root transformation.
  constexpr double k = 255;
  return (std::cbrt(chi_square / k) - (1 - 2 / (9 * k))) /
         std::sqrt(2 / (9 * k));
}

TEST(SecrecyTest, MessagesAreUniformWhateverTheInput) {
  const ByteCounts zeros = Observe(std::vector<int64_t>(kElements, 0));
  const ByteCounts large =
      Observe({4000, -4000, 4095, -4095, 1, -1, 2048, -777});
  for (int party = 0; party < 2; ++party) {
    EXPECT_EQ(zeros.sizes(party), large.sizes(party));
    ASSERT_EQ(zeros.counts(party).size(), large.counts(party).size());
    ASSERT_GT(zeros.counts(party).size(), 100u);
    for (size_t byte = 0; byte < zeros.counts(party).size(); ++byte) {
      for (const ByteCounts* view : {&zeros, &large}) {
        double chi_square = 0;
        for (int count : view->counts(party)[byte]) {
          const double expected = kRuns / 256.0;
          chi_square += (count - expected) * (count - expected) / expected;
        }
        EXPECT_LT(ChiSquareSigmas(chi_square), kSigmas)
            << "party " << party << ", byte " << byte;
      }
    }
  }
}

TEST(SecrecyTest, APlainValueWouldBeNoticed) {
  // The test's own power: a constant byte among uniform ones.
  EXPECT_GT(ChiSquareSigmas(kRuns * 255.0), kSigmas);
  // One bit that never changes.
  double chi_square = 0;
  for (int v = 0; v < 256; ++v) {
    const double expected = kRuns / 256.0;
    const double count = v < 128 ? 2 * expected : 0;
    chi_square += (count - expected) * (count - expected) / expected;
  }
  EXPECT_GT(ChiSquareSigmas(chi_square), kSigmas);
}

}  // namespace
}  // namespace tacit

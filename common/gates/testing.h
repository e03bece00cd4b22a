// What every gate's and layer's test does; test code only.
#ifndef TACIT_COMMON_GATES_TESTING_H_
#define TACIT_COMMON_GATES_TESTING_H_

#include <array>
#include <cstdint>
#include <random>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/gates/two_party.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tacit {

// Seeds for tests: reproducible, injected through constructors only.
inline SessionSeeds TestSeeds(uint8_t tag = 1) {
  auto seed = [tag](uint8_t role) {
    std::array<uint8_t, Seed::kBytes> bytes;
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<uint8_t>(tag * 31 + role * 7 + i);
    }
    return Seed(bytes);
  };
  return SessionSeeds{{seed(0), seed(1)}, seed(2)};
}

// n integers in [low, high], the ends among them where they fit.
inline std::vector<int64_t> RandomValues(size_t n, int64_t low, int64_t high,
                                         std::mt19937_64& rng) {
  std::uniform_int_distribution<int64_t> draw(low, high);
  std::vector<int64_t> values(n);
  for (int64_t& v : values) v = draw(rng);
  if (n > 0) values[0] = low;
  if (n > 1) values[1] = high;
  return values;
}

// What the roles of tests compute on that don't say; none: this host.
// gpu/session runs the tests of gates, layers and models on devices.
inline AcceleratorFactory& DefaultAccelerator() {
  static AcceleratorFactory factory;
  return factory;
}
inline TwoPartyOptions WithAccelerator(TwoPartyOptions options) {
  if (!options.accelerator) options.accelerator = DefaultAccelerator();
  return options;
}

// Runs the program with all roles and by the plain evaluator under the same
// seeds: the outputs must agree bit for bit, and the counted cost must be the
// declared one. Returns the outputs.
inline std::vector<std::vector<int64_t>> RunAndCheck(
    const Program& program, const std::vector<InputValue>& inputs,
    const TwoPartyOptions& options = {}, uint8_t seed_tag = 1) {
  const SessionSeeds seeds = TestSeeds(seed_tag);
  absl::StatusOr<TwoPartyResult> secure =
      RunTwoParty(WithAccelerator(options), seeds, program, inputs);
  EXPECT_OK(secure);
  absl::StatusOr<std::vector<std::vector<int64_t>>> plain =
      RunPlain(options, seeds, program, inputs);
  EXPECT_OK(plain);
  absl::StatusOr<Cost> declared = DeclaredCost(program, options.rounding);
  EXPECT_OK(declared);
  if (!secure.ok() || !plain.ok() || !declared.ok()) return {};
  EXPECT_EQ(secure->outputs, *plain);
  EXPECT_EQ(secure->counted.rounds, declared->rounds);
  for (int b = 0; b < 2; ++b) {
    EXPECT_EQ(secure->counted.opened_bytes[b], declared->opened_bytes[b]) << b;
    EXPECT_EQ(secure->counted.material_bytes[b], declared->material_bytes[b])
        << b;
    EXPECT_EQ(secure->counted.party_aes[b], declared->party_aes[b]) << b;
  }
  EXPECT_EQ(secure->counted.dealer_aes, declared->dealer_aes);
  return secure->outputs;
}

// The status that a program ends with in a run of all roles.
inline absl::Status StatusOfRun(const Program& program,
                                const std::vector<InputValue>& inputs,
                                const TwoPartyOptions& options = {}) {
  return RunTwoParty(WithAccelerator(options), TestSeeds(), program, inputs)
      .status();
}
inline absl::Status StatusOfPlain(const Program& program,
                                  const std::vector<InputValue>& inputs) {
  return RunPlain({}, TestSeeds(), program, inputs).status();
}

// A static matrix shared with test streams.
inline StaticMatrixShares TestMatrix(
    const std::vector<int64_t>& values, size_t k, size_t n, int frac,
    Layout layout = Layout::kRowMajor,
    WeightMode mode = WeightMode::kDealerHeld) {
  const SessionSeeds seeds = TestSeeds(99);
  return ShareStaticMatrix(values, k, n, frac, layout, mode,
                           Prg(seeds.party[0]), Prg(seeds.party[1]));
}

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_TESTING_H_

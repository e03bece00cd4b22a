#include "common/nn/activations.h"

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/gates/linear.h"
#include "common/gates/mul_extend.h"
#include "common/gates/testing.h"

namespace tacit {
namespace {

using ::testing::HasSubstr;

constexpr Activation kAll[] = {Activation::kGelu, Activation::kGeluTanh,
                               Activation::kSilu, Activation::kSigmoid,
                               Activation::kTanh};

Program ActivationProgram(Activation activation, size_t n, int width, int frac,
                          const ActivationParams& params) {
  return [=](Evaluator& ev) {
    const Wire x = ev.Input({n}, width, frac);
    ev.Output(ToShare(ev, Activate(ev, activation, x, params)));
  };
}

struct Error {
  double max = 0, mean = 0;
};

// Of a program over the given values against `function` in double precision.
template <typename Function>
Error Measure(const Program& program, const std::vector<int64_t>& x, int width,
              int frac, Function function) {
  Error error;
  auto outputs = RunPlain({}, TestSeeds(3), program, {InputValue{x, width}});
  EXPECT_OK(outputs);
  if (!outputs.ok()) return error;
  const std::vector<int64_t>& y = (*outputs)[0];
  for (size_t i = 0; i < x.size(); ++i) {
    const double want = function(std::ldexp(static_cast<double>(x[i]), -frac));
    const double e =
        std::abs(std::ldexp(static_cast<double>(y[i]), -frac) - want);
    error.max = std::max(error.max, e);
    error.mean += e / x.size();
  }
  return error;
}

std::vector<int64_t> Grid(int64_t low, int64_t high) {
  std::vector<int64_t> x;
  for (int64_t v = low; v <= high; ++v) x.push_back(v);
  return x;
}

TEST(ActivationsTest, SecureEqualsPlainAtEverySize) {
  std::mt19937_64 rng(1);
  for (Activation activation : kAll) {
    for (size_t n : {0, 1, 2, 127, 128, 129, 1000}) {
      SCOPED_TRACE(absl::StrCat(static_cast<int>(activation), " n=", n));
      const std::vector<int64_t> x =
          RandomValues(n, -(40 << 12), 40 << 12, rng);
      RunAndCheck(ActivationProgram(activation, n, 32, 12, {.bound = 50}),
                  {{x, 32}});
    }
  }
}

TEST(ActivationsTest, SecureEqualsPlainAtOtherWidthsBoundsAndSteps) {
  struct Case {
    int width, frac, result;
    double bound;
    int step_log, slope_bits;
  };
  std::mt19937_64 rng(2);
  for (const Case& c :
       {Case{18, 10, 18, 100, 4, 10}, Case{24, 12, 20, 127, 5, 10},
        Case{40, 12, 40, 2000, 3, 8}, Case{54, 14, 30, 30000, 4, 10},
        Case{64, 16, 50, 1e6, 4, 14}, Case{20, 4, 20, 30, 4, 10},
        Case{28, 12, 0, 255, 4, 12},
        // Wider than the input.
        Case{20, 12, 36, 100, 4, 10}, Case{21, 12, 54, 255, 4, 10}}) {
    for (Activation activation : kAll) {
      if (activation == Activation::kRelu && c.result > c.width) continue;
      SCOPED_TRACE(absl::StrCat(static_cast<int>(activation), " width ",
                                c.width, " frac ", c.frac));
      ActivationParams params{.bound = c.bound,
                              .width = c.result,
                              .step_log = c.step_log,
                              .slope_bits = c.slope_bits};
      params.value_bits = std::min(14, c.frac + c.slope_bits);
      const int64_t limit =
          static_cast<int64_t>(std::ldexp(c.bound, c.frac)) - 1;
      std::vector<int64_t> x = RandomValues(100, -limit, limit, rng);
      const int64_t near = std::min(limit, int64_t{8} << c.frac);
      for (int64_t v : RandomValues(100, -near, near, rng)) x.push_back(v);
      const Program program =
          ActivationProgram(activation, x.size(), c.width, c.frac, params);
      const auto y = RunAndCheck(program, {{x, c.width}});
      ASSERT_EQ(y.size(), 1);
      for (size_t i = 0; i < x.size(); ++i) {
        const double v = std::ldexp(static_cast<double>(x[i]), -c.frac);
        const double tolerance =
            std::ldexp(1, -2 * c.step_log) / 4 + std::ldexp(2, -c.frac) +
            std::ldexp(1, -c.slope_bits - c.step_log) + 1e-4;
        EXPECT_NEAR(std::ldexp(static_cast<double>(y[0][i]), -c.frac),
                    Evaluate(activation, v), tolerance)
            << v;
      }
    }
  }
}

Program TimesProgram(Activation activation, size_t n, int width,
                     const ActivationParams& params, int y_width) {
  return [=](Evaluator& ev) {
    const Wire x = ev.Input({n}, width, 12);
    // Waits, and goes out with the table's sums.
    const Wire y = ev.Open(ToShare(ev, ev.Input({n}, y_width, 10)));
    ev.Output(ActivateTimes(ev, activation, x, y, params, y_width));
  };
}

constexpr Activation kAllAndRelu[] = {Activation::kGelu, Activation::kGeluTanh,
                                      Activation::kSilu, Activation::kSigmoid,
                                      Activation::kTanh, Activation::kRelu};

TEST(ActivateTimesTest, IsTheProductAtEverySize) {
  std::mt19937_64 rng(6);
  for (Activation activation : kAllAndRelu) {
    // x in its ring's full range, and a y that needs the wide one.
    for (const auto& [width, y_width] :
         {std::pair{24, 60}, std::pair{19, 48}, std::pair{60, 60}}) {
      const int64_t x_limit = (50 << 12) - 1;
      const int64_t y_limit = int64_t{1} << (y_width - 32);
      const int frac = activation == Activation::kRelu ? 22 : 32;
      for (size_t n : {0, 1, 2, 127, 128, 129, 1000}) {
        SCOPED_TRACE(absl::StrCat(static_cast<int>(activation), " n=", n,
                                  " width ", width));
        const std::vector<int64_t> x = RandomValues(n, -x_limit, x_limit, rng);
        const std::vector<int64_t> y = RandomValues(n, -y_limit, y_limit, rng);
        const auto z = RunAndCheck(
            TimesProgram(activation, n, width, {.bound = 50}, y_width),
            {{x, width}, {y, y_width}});
        ASSERT_EQ(z.size(), 1);
        for (size_t i = 0; i < n; ++i) {
          const double factor = std::ldexp(double(y[i]), -10);
          EXPECT_NEAR(std::ldexp(double(z[0][i]), -frac) / factor,
                      Evaluate(activation, x[i] / 4096.0), 1.2e-3)
              << x[i] << " " << y[i];
        }
      }
    }
  }
}

TEST(ActivateTimesTest, TakesOneRoundWithItsFactorReluTwo) {
  for (Activation activation : kAllAndRelu) {
    const auto cost =
        DeclaredCost(TimesProgram(activation, 10, 24, {.bound = 50}, 54));
    ASSERT_OK(cost);
    EXPECT_EQ(cost->rounds, activation == Activation::kRelu ? 2 : 1);
  }
}

TEST(ActivateTimesTest, MaterialOfAGatedMlp) {
  constexpr size_t kElements = 1 << 14;
  const ActivationParams params{.bound = 255};
  auto cost = [&](bool fused) {
    const auto total = DeclaredCost([&](Evaluator& ev) {
      const Wire x = ev.Input({kElements, 1}, 24, 12);
      const Wire y = ev.Open(Share{{kElements}, 54, 12});
      if (fused) {
        ActivateTimes(ev, Activation::kSilu, Reshape(ev, x, {kElements}), y,
                      params, 54);
      } else {
        MulExtend(ev, Silu(ev, x, params), y, Range::kSigned, 54);
      }
    });
    EXPECT_OK(total);
    return *total;
  };
  for (bool fused : {false, true}) {
    const Cost c = cost(fused);
    std::printf(
        "silu times y, %s: %d rounds, bits per element: opened %.1f, "
        "material %.1f and %.1f\n",
        fused ? "fused" : "in two steps", static_cast<int>(c.rounds),
        8.0 * c.opened_bytes[0] / kElements,
        8.0 * c.material_bytes[0] / kElements,
        8.0 * c.material_bytes[1] / kElements);
  }
  EXPECT_EQ(cost(true).rounds + 1, cost(false).rounds);
}

TEST(ActivateTimesTest, RejectsWhatDoesNotFit) {
  auto status = [](Activation activation, const Shape& y, int width,
                   const ActivationParams& params) {
    return DeclaredCost([&](Evaluator& ev) {
             const Wire x = ev.Input({4, 2}, 24, 12);
             ActivateTimes(ev, activation, x, ev.Input(y, 48, 12), params,
                           width);
           })
        .status();
  };
  for (Activation activation : kAllAndRelu) {
    SCOPED_TRACE(static_cast<int>(activation));
    const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument, "Times");
    EXPECT_OK(status(activation, {4, 2}, 48, {.bound = 50}));
    EXPECT_THAT(status(activation, {2, 4}, 48, {.bound = 50}), invalid);
    EXPECT_THAT(status(activation, {4}, 48, {.bound = 50}), invalid);
    EXPECT_THAT(status(activation, {4, 2}, 49, {.bound = 50}), invalid);
    EXPECT_THAT(status(activation, {4, 2}, 0, {.bound = 50}), invalid);
    EXPECT_THAT(status(activation, {4, 2}, 48, {.bound = 1e5}), invalid);
    EXPECT_THAT(status(activation, {4, 2}, 48, {}), invalid);
  }
}

TEST(ActivationsTest, APreparedTableChangesNothing) {
  std::mt19937_64 rng(7);
  const std::vector<int64_t> x = RandomValues(129, -(40 << 12), 40 << 12, rng);
  const std::vector<int64_t> y = RandomValues(129, -(1 << 20), 1 << 20, rng);
  for (Activation activation : kAllAndRelu) {
    const ActivationParams plain{.bound = 50};
    ActivationParams prepared = plain;
    ASSERT_OK(PrepareActivation(activation, 12, prepared));
    EXPECT_EQ(prepared.table == nullptr, activation == Activation::kRelu);
    EXPECT_EQ(RunAndCheck(ActivationProgram(activation, 129, 32, 12, plain),
                          {{x, 32}}),
              RunAndCheck(ActivationProgram(activation, 129, 32, 12, prepared),
                          {{x, 32}}));
    EXPECT_EQ(RunAndCheck(TimesProgram(activation, 129, 24, plain, 60),
                          {{x, 24}, {y, 60}}),
              RunAndCheck(TimesProgram(activation, 129, 24, prepared, 60),
                          {{x, 24}, {y, 60}}));
  }
}

TEST(ActivationsTest, APreparedTableMustFit) {
  ActivationParams params{.bound = 50};
  ASSERT_OK(PrepareActivation(Activation::kSilu, 12, params));
  auto code = [](Activation activation, int frac,
                 const ActivationParams& params) {
    return DeclaredCost(ActivationProgram(activation, 3, 32, frac, params))
        .status()
        .code();
  };
  EXPECT_EQ(code(Activation::kSilu, 12, params), absl::StatusCode::kOk);
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(code(Activation::kSilu, 13, params), kInvalid);
  EXPECT_EQ(code(Activation::kGelu, 12, params), kInvalid);
  EXPECT_EQ(code(Activation::kSigmoid, 12, params), kInvalid);
  ActivationParams changed = params;
  changed.slope_bits = 11;
  EXPECT_EQ(code(Activation::kSilu, 12, changed), kInvalid);
  changed = params;
  changed.value_bits = 13;
  EXPECT_EQ(code(Activation::kSilu, 12, changed), kInvalid);
  changed = params;
  changed.bound = 500;
  EXPECT_EQ(code(Activation::kSilu, 12, changed), kInvalid);
  changed.bound = 0;
  EXPECT_EQ(PrepareActivation(Activation::kSilu, 12, changed).code(), kInvalid);
  EXPECT_EQ(changed.table, nullptr);
}

TEST(ActivationsTest, FaithfulRoundingIsBitExactToo) {
  std::mt19937_64 rng(3);
  TwoPartyOptions options;
  options.rounding = Rounding::kFaithful;
  const std::vector<int64_t> x = RandomValues(129, -(9 << 12), 9 << 12, rng);
  RunAndCheck(ActivationProgram(Activation::kSilu, 129, 32, 12, {.bound = 64}),
              {{x, 32}}, options);
}

TEST(ActivationsTest, ErrorOverADenseGrid) {
  struct Case {
    Activation activation;
    absl::string_view name;
    int step_log;
    double max;
  };
  const std::vector<int64_t> x = Grid(-(40 << 12), 40 << 12);
  for (const Case& c : {Case{Activation::kGelu, "gelu", 4, 1.2e-3},
                        Case{Activation::kGelu, "gelu", 5, 6e-4},
                        Case{Activation::kGeluTanh, "gelu_tanh", 4, 1.2e-3},
                        Case{Activation::kSilu, "silu", 4, 9e-4},
                        Case{Activation::kSilu, "silu", 5, 6e-4},
                        Case{Activation::kSigmoid, "sigmoid", 4, 5e-4},
                        Case{Activation::kTanh, "tanh", 4, 1.2e-3},
                        Case{Activation::kTanh, "tanh", 5, 6e-4}}) {
    ActivationParams params{.bound = 64, .step_log = c.step_log};
    const Error error =
        Measure(ActivationProgram(c.activation, x.size(), 32, 12, params), x,
                32, 12, [&](double v) { return Evaluate(c.activation, v); });
    EXPECT_LT(error.max, c.max) << c.name << " step 2^-" << c.step_log;
    EXPECT_LT(error.mean, 3e-4) << c.name;
    std::printf("%s step 2^-%d: max error %.2e, mean %.2e\n", c.name.data(),
                c.step_log, error.max, error.mean);
  }
}

// The bench's shape: what the issue holds GELU to.
TEST(ActivationsTest, GeluStaysWithinItsBudget) {
  constexpr size_t kElements = 128 * 3072;
  const ActivationParams params{.bound = 255};
  const auto gelu = DeclaredCost(
      [&](Evaluator& ev) { Gelu(ev, ev.Input({kElements}, 32, 12), params); });
  ASSERT_OK(gelu);
  EXPECT_EQ(gelu->rounds, 2);
  EXPECT_LE(gelu->opened_bytes[0] + gelu->opened_bytes[1], 24 * kElements);
  EXPECT_LE(gelu->material_bytes[0], 180 * kElements);
  EXPECT_LE(gelu->material_bytes[1], 180 * kElements);
  std::printf("gelu per element: opened %.2f + %.2f, material %.1f, %.1f\n",
              double(gelu->opened_bytes[0]) / kElements,
              double(gelu->opened_bytes[1]) / kElements,
              double(gelu->material_bytes[0]) / kElements,
              double(gelu->material_bytes[1]) / kElements);
}

TEST(ActivationsTest, ReluIsExact) {
  std::mt19937_64 rng(4);
  for (int width : {8, 16, 32, 40, 64}) {
    for (size_t n : {0, 1, 2, 127, 128, 129, 1000}) {
      const int64_t limit = (int64_t{1} << (std::min(width, 40) - 1)) - 1;
      const std::vector<int64_t> x = RandomValues(n, -limit, limit, rng);
      const auto y = RunAndCheck(
          [&](Evaluator& ev) {
            const Wire in = ev.Input({n}, width, 4);
            ev.Output(ToShare(
                ev,
                Relu(ev, in, {.bound = std::ldexp(double(limit) + 1, -4)})));
          },
          {{x, width}});
      ASSERT_EQ(y.size(), 1);
      for (size_t i = 0; i < n; ++i) {
        EXPECT_EQ(y[0][i], std::max<int64_t>(x[i], 0));
      }
    }
  }
  const auto cost = DeclaredCost([](Evaluator& ev) {
    Relu(ev, ev.Input({1000}, 32, 12), {.bound = 100});
  });
  ASSERT_OK(cost);
  EXPECT_EQ(cost->rounds, 2);
}

TEST(ActivationsTest, ExpOverADenseGrid) {
  std::mt19937_64 rng(5);
  const ExpParams params{.bound = 41, .max = 4};
  auto program = [params](size_t n) {
    return [params, n](Evaluator& ev) {
      ev.Output(ToShare(ev, Exp(ev, ev.Input({n}, 36, 12), params)));
    };
  };
  for (size_t n : {0, 1, 2, 127, 128, 129, 1000}) {
    RunAndCheck(program(n), {{RandomValues(n, -(40 << 12), 4 << 12, rng), 36}});
  }
  const std::vector<int64_t> x = Grid(-(40 << 12), 4 << 12);
  // Relative to e^x above 1.
  Error error;
  auto y = RunPlain({}, TestSeeds(3), program(x.size()), {{x, 36}});
  ASSERT_OK(y);
  for (size_t i = 0; i < x.size(); ++i) {
    const double want = std::exp(x[i] / 4096.0);
    error.max = std::max(
        error.max, std::abs((*y)[0][i] / 4096.0 - want) / std::max(want, 1.0));
  }
  EXPECT_LT(error.max, 6e-4);
  std::printf("exp: max error %.2e\n", error.max);
  const auto cost = DeclaredCost(program(1000));
  ASSERT_OK(cost);
  EXPECT_EQ(cost->rounds, 2);
}

TEST(ActivationsTest, ValueOutsideTheDomainIsAnErrorThatNamesTheLayer) {
  for (Activation activation : kAll) {
    const absl::Status status =
        StatusOfPlain(ActivationProgram(activation, 1, 32, 12, {.bound = 16}),
                      {{{300 << 12}, 32}});
    EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("Interpolated"));
  }
  const absl::Status relu = StatusOfPlain(
      [](Evaluator& ev) { Relu(ev, ev.Input({1}, 32, 12), {.bound = 16}); },
      {{{300 << 12}, 32}});
  EXPECT_EQ(relu.code(), absl::StatusCode::kOutOfRange) << relu;
  EXPECT_THAT(std::string(relu.message()), HasSubstr("Relu"));
}

TEST(ActivationsTest, RejectsParametersThatDoNotFit) {
  auto expect_invalid = [](int width, int frac, const ActivationParams& p) {
    const absl::Status status =
        DeclaredCost(ActivationProgram(Activation::kGelu, 3, width, frac, p))
            .status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("Gelu"));
  };
  expect_invalid(32, 12, {});                             // no bound
  expect_invalid(32, 12, {.bound = -1});                  // negative
  expect_invalid(32, 12, {.bound = NAN});                 // not a number
  expect_invalid(32, 12, {.bound = 1e7});                 // above the wire's
  expect_invalid(32, 12, {.bound = 64, .width = 60});     // with the slopes'
  expect_invalid(32, 12, {.bound = 64, .width = 10});     // below the bound
  expect_invalid(32, 12, {.bound = 64, .step_log = 13});  // below the wire's
  expect_invalid(32, 12, {.bound = 64, .step_log = -1});
  expect_invalid(32, 12, {.bound = 64, .slope_bits = -1});
  expect_invalid(32, 12, {.bound = 64, .value_bits = 40});
  expect_invalid(60, 12, {.bound = 64});  // 70 bits opened
  const absl::Status relu = DeclaredCost([](Evaluator& ev) {
                              Relu(ev, ev.Input({3}, 8, 4), {.bound = 64});
                            }).status();
  EXPECT_EQ(relu.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(relu.message()), HasSubstr("Relu"));
  const absl::Status exp =
      DeclaredCost([](Evaluator& ev) {
        Exp(ev, ev.Input({3}, 16, 12), {.bound = 8, .max = 1});
      }).status();
  EXPECT_EQ(exp.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(exp.message()), HasSubstr("Exp"));
}

}  // namespace
}  // namespace tacit

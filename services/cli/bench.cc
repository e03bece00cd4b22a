#include "services/cli/bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <map>
#include <random>
#include <span>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/gates/compare.h"
#include "common/gates/linear.h"
#include "common/gates/matmul.h"
#include "common/gates/select.h"
#include "common/gates/trunc_reduce.h"
#include "common/gates/two_party.h"
#include "common/nn/activations.h"
#include "common/nn/norm.h"
#include "common/nn/softmax.h"
#include "common/ring/gemm.h"
#include "gpu/session/device.h"
#include "nlohmann/json.hpp"
#include "services/cli/bench_case.h"

namespace tacit {
namespace {

constexpr int kFrac = 12;

std::mt19937_64& TestData() {
  static std::mt19937_64& rng = *new std::mt19937_64(2026);
  return rng;
}

std::vector<double> Normal(size_t n, double deviation) {
  std::normal_distribution<double> draw(0, deviation);
  std::vector<double> values(n);
  for (double& v : values) v = draw(TestData());
  return values;
}

// Rounds to `frac` bits; `values` become what was encoded, so that an error
// is the protocol's and not the encoding's.
std::vector<int64_t> Encode(std::vector<double>& values, int frac) {
  std::vector<int64_t> out(values.size());
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = std::llround(std::ldexp(values[i], frac));
    values[i] = std::ldexp(static_cast<double>(out[i]), -frac);
  }
  return out;
}

std::vector<double> Product(const std::vector<double>& a,
                            const std::vector<double>& b, size_t m, size_t k,
                            size_t n) {
  std::vector<double> c(m * n);
  for (size_t i = 0; i < m; ++i) {
    for (size_t p = 0; p < k; ++p) {
      for (size_t j = 0; j < n; ++j)
        c[i * n + j] += a[i * k + p] * b[p * n + j];
    }
  }
  return c;
}

std::shared_ptr<const StaticMatrixShares> ShareWeights(
    const std::vector<int64_t>& values, size_t k, size_t n, int frac) {
  std::array<uint8_t, Seed::kBytes> bytes;
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(TestData()());
  const Prg stream{Seed(bytes)};
  return std::make_shared<const StaticMatrixShares>(
      ShareStaticMatrix(values, k, n, frac, Layout::kRowMajor,
                        WeightMode::kDealerHeld, stream, stream));
}

// x W with static weights, the result opened and truncated to a wire.
BenchCase MatMulCase() {
  constexpr size_t m = 128, k = 768, n = 3072;
  constexpr int kWidth = 40;
  std::vector<double> x = Normal(m * k, 1), w = Normal(k * n, 0.05);
  const std::vector<int64_t> x_fixed = Encode(x, kFrac),
                             w_fixed = Encode(w, kFrac);
  const auto shares = ShareWeights(w_fixed, k, n, kFrac);
  BenchCase c;
  c.shape = "128x768x3072";
  c.program = [weights = shares](Evaluator& ev) {
    const Wire a = ev.Input({m, k}, kWidth, kFrac);
    const Wire z = ev.Open(MatMulStatic(ev, a, Pick(ev, *weights), kWidth));
    ev.Output(ToShare(ev, TruncReduce(ev, z, kFrac)));
  };
  c.inputs = {{x_fixed, kWidth}};
  c.expected = Product(x, w, m, k, n);
  c.out_frac = kFrac;
  return c;
}

// 1{x < 0}, the bits opened under masks.
BenchCase CompareCase() {
  constexpr size_t n = 1'000'000;
  constexpr int kWidth = 40;
  std::vector<int64_t> x(n);
  for (int64_t& v : x) v = ToSigned(TestData()(), kWidth);
  BenchCase c;
  c.shape = "1000000";
  c.program = [](Evaluator& ev) {
    const Wire a = ev.Input({n}, kWidth, kFrac);
    ev.Output(BitToShare(ev, IsNegative(ev, a, kWidth), 2));
  };
  for (int64_t v : x) c.expected.push_back(v < 0);
  c.inputs = {{std::move(x), kWidth}};
  return c;
}

// GELU and SiLU as in a feed-forward layer, result opened and truncated.
BenchCase ActivationCase(Activation activation) {
  constexpr size_t rows = 128, columns = 3072;
  constexpr int kWidth = 32;
  std::vector<double> x = Normal(rows * columns, 3);
  for (double& v : x) v = std::clamp(v, -15.9, 15.9);
  BenchCase c;
  c.shape = "128x3072";
  c.inputs = {{Encode(x, kFrac), kWidth}};
  c.program = [activation](Evaluator& ev) {
    ActivationParams params;
    params.bound = 16;
    const Wire a = ev.Input({rows, columns}, kWidth, kFrac);
    ev.Output(ToShare(ev, Activate(ev, activation, a, params)));
  };
  for (double v : x) c.expected.push_back(Evaluate(activation, v));
  c.out_frac = kFrac;
  return c;
}

// Scores of 12 heads, 128 queries and keys; probabilities opened.
absl::StatusOr<BenchCase> SoftmaxCase() {
  constexpr size_t heads = 12, length = 128;
  ASSIGN_OR_RETURN(const SoftmaxParams params,
                   PlanSoftmax(length, /*score_bound=*/120));
  std::vector<double> scores = Normal(heads * length * length, 8);
  for (double& v : scores) v = std::clamp(v, -100.0, 100.0);
  BenchCase c;
  c.shape = "12x128x128";
  c.inputs = {{Encode(scores, params.frac), params.score_bits}};
  c.program = [params](Evaluator& ev) {
    const Wire s =
        ev.Input({heads, length, length}, params.score_bits, params.frac);
    ev.Output(ToShare(ev, Softmax(ev, s, params)));
  };
  for (size_t row = 0; row < heads * length; ++row) {
    const std::span<const double> in =
        std::span(scores).subspan(row * length, length);
    const double max = *std::max_element(in.begin(), in.end());
    double sum = 0;
    for (double v : in) sum += std::exp2(v - max);
    for (double v : in) c.expected.push_back(std::exp2(v - max) / sum);
  }
  c.out_frac = params.probability_frac;
  return c;
}

// LayerNorm with gain and bias over the residual stream.
absl::StatusOr<BenchCase> LayerNormCase() {
  constexpr size_t rows = 128, d = 768;
  NormSpec spec;
  spec.kind = NormKind::kLayer;
  spec.dim = d;
  spec.frac = kFrac;
  spec.max_mean_square = 1e4;
  spec.gamma = spec.beta = true;
  ASSIGN_OR_RETURN(const NormParams params, PlanNorm(spec));
  std::vector<double> x = Normal(rows * d, 2), gamma = Normal(d, 0.2),
                      beta = Normal(d, 0.2);
  for (double& g : gamma) g = std::clamp(1 + g, -1.9, 1.9);
  const std::vector<int64_t> x_fixed = Encode(x, kFrac);
  const auto gamma_shares =
      ShareWeights(Encode(gamma, spec.gamma_frac), 1, d, spec.gamma_frac);
  const auto beta_shares =
      ShareWeights(Encode(beta, spec.beta_frac), 1, d, spec.beta_frac);
  BenchCase c;
  c.shape = "128x768";
  c.inputs = {{x_fixed, spec.width}};
  c.program = [params, gamma_shares, beta_shares](Evaluator& ev) {
    const Wire a = ev.Input({rows, d}, params.spec.width, kFrac);
    ev.Output(ToShare(ev, Norm(ev, a, params, &Pick(ev, *gamma_shares),
                               &Pick(ev, *beta_shares))));
  };
  for (size_t row = 0; row < rows; ++row) {
    const std::span<const double> in = std::span(x).subspan(row * d, d);
    double mean = 0, variance = 0;
    for (double v : in) mean += v / d;
    for (double v : in) variance += (v - mean) * (v - mean) / d;
    for (size_t j = 0; j < d; ++j) {
      c.expected.push_back((in[j] - mean) / std::sqrt(variance + spec.epsilon) *
                               gamma[j] +
                           beta[j]);
    }
  }
  c.out_frac = spec.out_frac;
  return c;
}

using MakeCase = std::function<absl::StatusOr<BenchCase>()>;

const std::map<std::string, MakeCase>& Cases() {
  static const auto& cases = *new std::map<std::string, MakeCase>{
      {"compare", CompareCase},
      {"gpt2", Gpt2Case},
      {"gelu", [] { return ActivationCase(Activation::kGelu); }},
      {"layernorm", LayerNormCase},
      {"matmul", MatMulCase},
      {"silu", [] { return ActivationCase(Activation::kSilu); }},
      {"softmax", SoftmaxCase},
  };
  return cases;
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + values.size() / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double Seconds(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

// The kernel alone, on one thread.
BenchResult BenchGemm(const BenchOptions& options) {
  constexpr size_t m = 128, k = 768, n = 3072;
  Words a(m * k), b(k * n), c(m * n);
  for (uint64_t& v : a) v = TestData()();
  for (uint64_t& v : b) v = TestData()();
  std::vector<double> seconds;
  for (int i = 0; i < options.repeat; ++i) {
    seconds.push_back(Seconds([&] {
      Gemm({.m = m,
            .n = n,
            .k = k,
            .a = a.data(),
            .lda = k,
            .b = b.data(),
            .ldb = n,
            .c = c.data(),
            .ldc = n},
           InlinePool());
    }));
  }
  BenchResult result;
  result.op = "gemm";
  result.shape = "128x768x3072";
  result.seconds_total = Median(seconds);
  return result;
}

void SetErrors(const BenchCase& c, const std::vector<int64_t>& output,
               BenchResult& result) {
  double sum = 0;
  for (size_t i = 0; i < output.size(); ++i) {
    const double error =
        std::abs(std::ldexp(static_cast<double>(output[i]), -c.out_frac) -
                 c.expected[i]);
    result.max_error = std::max(result.max_error, error);
    sum += error;
  }
  result.mean_error = output.empty() ? 0 : sum / output.size();
}

}  // namespace

std::vector<std::string> BenchOps() {
  return {"gemm", "compare", "gelu", "silu", "softmax", "layernorm", "matmul"};
}

std::vector<std::string> BenchModels() { return {"gpt2"}; }

absl::StatusOr<BenchResult> RunBench(const std::string& op,
                                     const BenchOptions& options) {
  if (op == "gemm") return BenchGemm(options);
  const auto it = Cases().find(op);
  if (it == Cases().end()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "no such operation; there are ", absl::StrJoin(BenchOps(), ", "), ", ",
        absl::StrJoin(BenchModels(), ", ")));
  }
  ASSIGN_OR_RETURN(const BenchCase c, it->second());
  ASSIGN_OR_RETURN(const std::unique_ptr<gpu::Device> device,
                   gpu::OpenDevice(options.device));
  BenchResult result;
  result.op = op;
  result.shape = c.shape;
  std::vector<double> deal, online, total;
  for (int i = 0; i < options.repeat; ++i) {
    ASSIGN_OR_RETURN(const SessionSeeds seeds,
                     SessionSeeds::Generate(OsSeedSource()));
    TwoPartyOptions run;
    run.threads = options.threads;
    run.accelerator = gpu::SessionsOn(device.get());
    run.prefetch = true;
    ASSIGN_OR_RETURN(const TwoPartyResult phases,
                     RunTwoParty(run, seeds, c.program, c.inputs));
    deal.push_back(phases.seconds_deal);
    online.push_back(
        std::max(phases.seconds_online[0], phases.seconds_online[1]));
    run.prefetch = false;
    ASSIGN_OR_RETURN(const SessionSeeds fresh,
                     SessionSeeds::Generate(OsSeedSource()));
    ASSIGN_OR_RETURN(const TwoPartyResult streamed,
                     RunTwoParty(run, fresh, c.program, c.inputs));
    total.push_back(streamed.seconds_total);
    result.cost = streamed.counted;
    SetErrors(c, streamed.outputs.at(0), result);
  }
  result.seconds_deal = Median(deal);
  result.seconds_online = Median(online);
  result.seconds_total = Median(total);
  return result;
}

std::string ToJson(const std::vector<BenchResult>& results) {
  nlohmann::ordered_json array = nlohmann::ordered_json::array();
  for (const BenchResult& r : results) {
    array.push_back({{"op", r.op},
                     {"shape", r.shape},
                     {"seconds_deal", r.seconds_deal},
                     {"seconds_online", r.seconds_online},
                     {"seconds_total", r.seconds_total},
                     {"rounds", r.cost.rounds},
                     {"opened_bytes", r.cost.opened_bytes},
                     {"material_bytes", r.cost.material_bytes},
                     {"aes_calls", r.cost.aes_calls()},
                     {"max_error", r.max_error},
                     {"mean_error", r.mean_error}});
  }
  return array.dump(2);
}

std::string ToTable(const std::vector<BenchResult>& results) {
  std::string table = absl::StrFormat(
      "%-10s %-13s %8s %8s %8s %6s %16s %18s %9s %9s %9s", "op", "shape",
      "deal s", "online s", "total s", "rounds", "opened MB P0+P1",
      "material MB P0+P1", "AES M", "max err", "mean err");
  for (const BenchResult& r : results) {
    absl::StrAppendFormat(
        &table,
        "\n%-10s %-13s %8.4f %8.4f %8.4f %6d %7.2f + %6.2f %8.2f + %7.2f "
        "%9.2f %9.1e %9.1e",
        r.op, r.shape, r.seconds_deal, r.seconds_online, r.seconds_total,
        r.cost.rounds, r.cost.opened_bytes[0] / 1e6,
        r.cost.opened_bytes[1] / 1e6, r.cost.material_bytes[0] / 1e6,
        r.cost.material_bytes[1] / 1e6, r.cost.aes_calls() / 1e6, r.max_error,
        r.mean_error);
  }
  return table;
}

}  // namespace tacit

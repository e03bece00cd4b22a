#include "common/models/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"

namespace tacit {

absl::StatusOr<TokenSampler> TokenSampler::Create(
    const SamplingOptions& options) {
  auto bad = [](absl::string_view name, double value) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " ", value, " is out of range"));
  };
  if (!(options.temperature >= 0 && options.temperature <= 100)) {
    return bad("temperature", options.temperature);
  }
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    return bad("top-p", options.top_p);
  }
  if (!(options.repetition_penalty > 0 && options.repetition_penalty <= 100)) {
    return bad("repetition penalty", options.repetition_penalty);
  }
  return TokenSampler(options);
}

int64_t TokenSampler::Next(std::span<const double> logits,
                           std::span<const int64_t> history) {
  std::vector<double> score(logits.begin(), logits.end());
  if (options_.repetition_penalty != 1) {
    std::vector<bool> seen(score.size(), false);
    for (int64_t token : history) {
      const size_t i = static_cast<size_t>(token);
      if (i >= score.size() || seen[i]) continue;
      seen[i] = true;
      score[i] = score[i] > 0 ? score[i] / options_.repetition_penalty
                              : score[i] * options_.repetition_penalty;
    }
  }
  const auto largest = std::max_element(score.begin(), score.end());
  if (options_.temperature == 0) return largest - score.begin();

  // Descending; equal scores in the order of their ids.
  std::vector<size_t> order(score.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return score[a] > score[b]; });
  if (options_.top_k != 0) {
    order.resize(std::min(order.size(), options_.top_k));
  }
  std::vector<double> weight(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    weight[i] =
        std::exp((score[order[i]] - score[order[0]]) / options_.temperature);
  }
  const double total = std::accumulate(weight.begin(), weight.end(), 0.0);
  double kept = 0;
  size_t count = 0;
  // The fewest whose probabilities reach top_p, at least one.
  while (count < order.size() &&
         (count == 0 || kept < options_.top_p * total)) {
    kept += weight[count++];
  }
  double draw = std::ldexp(static_cast<double>(rng_() >> 11), -53) * kept;
  for (size_t i = 0; i < count; ++i) {
    draw -= weight[i];
    if (draw < 0) return static_cast<int64_t>(order[i]);
  }
  return static_cast<int64_t>(order[count - 1]);
}

}  // namespace tacit

#include "common/models/decoder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/gates/linear.h"
#include "common/gates/mul_extend.h"
#include "common/gates/trunc_reduce.h"

namespace tacit {
namespace {

constexpr int kFrac = 12;
static_assert(2 * kFrac == kLogitFrac);
// Fraction bits of weights times values before the inverse: the sum of weights
// may be as small as 2^-8, which leaves kFrac.
constexpr int kValueFrac = kFrac + 8;
constexpr int kResidualWidth = 64;

int CeilLog2(double value) {
  return value <= 0 ? 0 : static_cast<int>(std::ceil(std::log2(value)));
}

// Ring of a product with 2 kFrac fraction bits below 2^log: one bit for the
// sign, one that Extend needs.
int ProductRing(int log) { return 2 * kFrac + log + 2; }

absl::Status CheckRing(size_t layer, absl::string_view name, int bits) {
  if (bits <= kMaxWidth) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("layer ", layer, ": ", name, " needs a ring of ", bits,
                   " bits: calibrate with less margin or a shorter context"));
}

absl::StatusOr<NormParams> PlanDecoderNorm(const ModelConfig& config,
                                           double mean_square, double margin,
                                           int out_width) {
  NormSpec spec;
  spec.kind = NormKind::kRms;
  spec.dim = static_cast<size_t>(config.hidden_size);
  spec.frac = kFrac;
  spec.width = kResidualWidth;
  spec.epsilon = config.norm_eps;
  // A power of four, so that its root is one of two.
  spec.max_mean_square = std::exp2(
      2 * std::max(0, (CeilLog2(mean_square * margin * margin) + 1) / 2));
  spec.out_frac = kFrac;
  spec.out_width = out_width;
  return PlanNorm(spec);
}

absl::StatusOr<DecoderLayerPlan> PlanLayer(const ModelConfig& config,
                                           const DecoderRanges::Layer& range,
                                           size_t index, size_t context,
                                           double margin) {
  auto log = [margin](double value) { return CeilLog2(value * margin); };
  const double scale =
      std::numbers::log2e / std::sqrt(static_cast<double>(config.head_dim));
  DecoderLayerPlan p;
  p.q_ring = ProductRing(log(range.q * scale));
  p.k_ring = ProductRing(log(range.k));
  p.v_ring = ProductRing(log(range.v));
  const int64_t score_bound =
      std::max<int64_t>(8, std::llround(std::ceil(range.score * margin)));
  ASSIGN_OR_RETURN(p.softmax, PlanSoftmax(context, score_bound));
  p.score_ring = p.softmax.score_bits + kFrac;
  const int length_log = CeilLog2(static_cast<double>(context));
  // |weights * values| < length 2^8 2^log at kValueFrac, in Extend's range.
  p.value_ring = kValueFrac + length_log + 8 + log(range.v) + 2 +
                 p.softmax.weight_frac + kFrac - kValueFrac;
  p.attention_out_ring = ProductRing(log(range.attention_out));
  const int attention_frac = kValueFrac + p.softmax.inverse_frac;
  p.attention_ring = std::max(attention_frac + log(range.attention) + 1,
                              attention_frac - kFrac + p.attention_out_ring);
  p.gate_ring = ProductRing(log(range.gate));
  p.up_ring = ProductRing(log(range.up));
  p.activation.bound = std::exp2(std::max(0, log(range.gate)));
  p.gate_ring = std::max(p.gate_ring, ProductRing(0));
  p.mlp_out_ring = ProductRing(log(range.mlp_out));
  p.product_ring =
      std::max(ProductRing(log(range.product)), kFrac + p.mlp_out_ring);
  RETURN_IF_ERROR(CheckRing(index, "queries and keys", p.score_ring + kFrac));
  RETURN_IF_ERROR(CheckRing(index, "weights times values", p.value_ring));
  RETURN_IF_ERROR(CheckRing(index, "attention", p.attention_ring));
  RETURN_IF_ERROR(CheckRing(index, "activation times up", p.product_ring));
  ASSIGN_OR_RETURN(p.attention_norm,
                   PlanDecoderNorm(config, range.mean_square[0], margin,
                                   std::max({p.q_ring, p.k_ring, p.v_ring})));
  ASSIGN_OR_RETURN(p.mlp_norm,
                   PlanDecoderNorm(config, range.mean_square[1], margin,
                                   std::max(p.gate_ring, p.up_ring)));
  return p;
}

// x W (+ bias), opened; 2 kFrac fraction bits.
Wire Project(Evaluator& ev, const Wire& x, const StaticMatrix& w, int ring,
             const StaticMatrix* bias = nullptr) {
  Share product = MatMulStatic(ev, x, w, ring);
  if (bias != nullptr && bias->n != 0) product = AddStatic(ev, product, *bias);
  return ev.Open(product);
}

// The residual stream plus a layer's output, whose wire has 2 kFrac.
Wire AddToResidual(Evaluator& ev, const Wire& residual, const Wire& product) {
  const Wire update = TruncReduce(ev, product, kFrac);
  return ev.Open(Add(ev, ToShare(ev, residual),
                     ExtendRange(ev, update, Range::kSigned, kResidualWidth)));
}

// A truncated projection in a wider ring, opened there.
Wire Widen(Evaluator& ev, const Wire& product, int width) {
  return ev.Open(
      ExtendRange(ev, TruncReduce(ev, product, kFrac), Range::kSigned, width));
}

// x * y elementwise; y is at least `width` wide.
Share MulElementwise(Evaluator& ev, const Wire& x, const Wire& y, int width) {
  std::vector<uint32_t> rows(x.size());
  std::iota(rows.begin(), rows.end(), 0u);
  return MulExtend(ev, x, Reshape(ev, y, {y.size()}), Range::kSigned, width,
                   rows);
}

// The attention of `tokens` new positions to all in the cache: [tokens, heads *
// head_dim], truncated to kFrac.
Wire Attend(Evaluator& ev, const DecoderPlan& plan, const DecoderLayerPlan& p,
            const Wire& queries, const DecoderCache::Layer& cache,
            size_t tokens) {
  const ModelConfig& config = plan.config;
  const size_t kv = config.num_kv_heads, group = config.num_heads / kv;
  const size_t d = config.head_dim, keys = cache.keys.shape[0];
  // [tokens, kv, group, d] to [kv, group * tokens, d]: a group of query heads
  // shares its keys and values.
  constexpr std::array<int, 4> kHeadsFirst = {1, 2, 0, 3};
  constexpr std::array<int, 3> kKvFirst = {1, 0, 2};
  const Wire q = Reshape(
      ev,
      Transpose(ev, Reshape(ev, queries, {tokens, kv, group, d}), kHeadsFirst),
      {kv, group * tokens, d});
  const Wire k =
      Transpose(ev, Reshape(ev, cache.keys, {keys, kv, d}), kKvFirst);
  const Wire v =
      Transpose(ev, Reshape(ev, cache.values, {keys, kv, d}), kKvFirst);
  const Wire scores = TruncReduce(
      ev, ev.Open(MatMul(ev, q, k, Layout::kTransposed, p.score_ring)), kFrac);
  Wire mixed;
  const AttentionWeights attention = SoftmaxWeights(
      ev, Reshape(ev, scores, {kv * group, tokens, keys}), p.softmax,
      p.value_ring, p.attention_ring,
      [&](const Wire& weights) {
        // Opened together with the reciprocal's table.
        mixed =
            ev.Open(MatMul(ev, Reshape(ev, weights, {kv, group * tokens, keys}),
                           v, Layout::kRowMajor, p.value_ring));
      },
      CausalMask(tokens, keys, keys - tokens));
  mixed = Reshape(
      ev, TruncReduce(ev, mixed, p.softmax.weight_frac + kFrac - kValueFrac),
      {kv * group, tokens, d});
  const Wire out = ev.Open(MulExtend(ev, mixed, attention.inverse,
                                     Range::kSigned, p.attention_ring));
  // [heads, tokens, d] to [tokens, heads * d].
  return Reshape(
      ev,
      Transpose(
          ev, TruncReduce(ev, out, kValueFrac + p.softmax.inverse_frac - kFrac),
          kKvFirst),
      {tokens, kv * group * d});
}

void Append(Evaluator& ev, Wire& to, const Wire& rows) {
  // Shares of the masks are dealt once, here, and not at every use.
  const Wire added = ShareMask(ev, rows);
  if (to.shape.empty()) {
    to = added;
    return;
  }
  const std::array<Wire, 2> parts = {to, added};
  to = Concat(ev, std::span<const Wire>(parts));
}

Wire AttentionBlock(Evaluator& ev, const DecoderPlan& plan,
                    const DecoderLayerPlan& p, const DecoderMatrices::Layer& w,
                    const Wire& residual, DecoderCache::Layer& cache,
                    size_t position) {
  const Evaluator::Scope scope(ev, "attention");
  const ModelConfig& config = plan.config;
  const size_t tokens = residual.shape[0], d = config.head_dim;
  const size_t heads = config.num_heads, kv = config.num_kv_heads;
  const Wire x = Norm(ev, residual, p.attention_norm);
  const Wire q = Project(ev, x, w.q, p.q_ring, &w.q_bias);
  const Wire k = Project(ev, x, w.k, p.k_ring, &w.k_bias);
  const Wire v = Project(ev, x, w.v, p.v_ring, &w.v_bias);
  const int wide = p.score_ring + plan.rope.frac;
  const Wire wide_q = Widen(ev, q, wide), wide_k = Widen(ev, k, wide);
  const Wire wide_v = Widen(ev, v, p.value_ring);
  const std::vector<int64_t> positions =
      ConsecutivePositions(static_cast<int64_t>(position), tokens);
  const Wire rotated_q =
      Rope(ev, Reshape(ev, wide_q, {tokens, heads, d}), plan.rope, positions);
  const Wire rotated_k =
      Rope(ev, Reshape(ev, wide_k, {tokens, kv, d}), plan.rope, positions);
  Append(ev, cache.keys, Reshape(ev, rotated_k, {tokens, kv * d}));
  Append(ev, cache.values, wide_v);
  const Wire out = Attend(ev, plan, p, rotated_q, cache, tokens);
  return AddToResidual(ev, residual,
                       Project(ev, out, w.o, p.attention_out_ring));
}

Wire MlpBlock(Evaluator& ev, const DecoderPlan& plan, const DecoderLayerPlan& p,
              const DecoderMatrices::Layer& w, const Wire& residual) {
  const Evaluator::Scope scope(ev, "mlp");
  const Wire x = Norm(ev, residual, p.mlp_norm);
  const Wire gate = Project(ev, x, w.gate, p.gate_ring);
  const Wire up = Project(ev, x, w.up, p.up_ring);
  // Opened together with the activation's table.
  const Wire wide_up = Widen(ev, up, p.product_ring);
  const Wire activated = Activate(ev, plan.config.activation,
                                  TruncReduce(ev, gate, kFrac), p.activation);
  const Wire product =
      ev.Open(MulElementwise(ev, activated, wide_up, p.product_ring));
  return AddToResidual(
      ev, residual,
      Project(ev, TruncReduce(ev, product, kFrac), w.down, p.mlp_out_ring));
}

// ---- Weights ----

// Row o of `w` [outputs, inputs] times gain[i] and `scale`.
std::vector<double> Folded(const std::vector<float>& w,
                           const std::vector<float>& gain, double scale = 1) {
  std::vector<double> out(w.size());
  for (size_t i = 0; i < w.size(); ++i) {
    out[i] = static_cast<double>(w[i]) * gain[i % gain.size()] * scale;
  }
  return out;
}

std::vector<double> Doubles(const std::vector<float>& w, double scale = 1) {
  std::vector<double> out(w.begin(), w.end());
  for (double& v : out) v *= scale;
  return out;
}

// Gives each matrix streams of its own.
class Sharer {
 public:
  Sharer(WeightMode mode, const Seed& seed) : mode_(mode), seed_(seed) {}

  // `member` of every role's layer.
  absl::StatusOr<StaticMatrixShares> Share(const std::vector<double>& values,
                                           size_t inputs, size_t outputs,
                                           Layout layout, int frac) {
    std::vector<int64_t> fixed(values.size());
    for (size_t i = 0; i < fixed.size(); ++i) {
      const double scaled = std::ldexp(values[i], frac);
      if (!(std::abs(scaled) < 0x1p40)) {
        return absl::InvalidArgumentError(
            absl::StrCat("weight ", i, " of a matrix [", outputs, ", ", inputs,
                         "] is out of range"));
      }
      fixed[i] = std::llround(scaled);
    }
    ASSIGN_OR_RETURN(const Seed stream0,
                     DeriveSeed(seed_, absl::StrCat("weights/0/", next_)));
    ASSIGN_OR_RETURN(const Seed stream1,
                     DeriveSeed(seed_, absl::StrCat("weights/1/", next_)));
    ++next_;
    return ShareStaticMatrix(fixed, inputs, outputs, frac, layout, mode_,
                             Prg(stream0), Prg(stream1));
  }

 private:
  const WeightMode mode_;
  const Seed seed_;
  int next_ = 0;
};

void Assign(DecoderShares& shares, const StaticMatrixShares& from,
            StaticMatrix DecoderMatrices::*member) {
  shares.dealer.*member = from.dealer;
  shares.plain.*member = from.plain;
  for (int b = 0; b < 2; ++b) shares.party[b].*member = from.party[b];
}
void Assign(DecoderShares& shares, size_t layer, const StaticMatrixShares& from,
            StaticMatrix DecoderMatrices::Layer::*member) {
  shares.dealer.layers[layer].*member = from.dealer;
  shares.plain.layers[layer].*member = from.plain;
  for (int b = 0; b < 2; ++b) {
    shares.party[b].layers[layer].*member = from.party[b];
  }
}

}  // namespace

absl::StatusOr<DecoderPlan> PlanDecoder(const ModelConfig& config,
                                        const DecoderRanges& ranges,
                                        size_t context, double margin) {
  if (ranges.layers.size() != static_cast<size_t>(config.num_layers) ||
      context < 1 || context > static_cast<size_t>(config.max_positions) ||
      !(margin >= 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "ranges of ", ranges.layers.size(), " layers, context ", context,
        ", margin ", margin, " for a model of ", config.num_layers,
        " layers and context ", config.max_positions));
  }
  if (config.sliding_window.has_value() &&
      context > static_cast<size_t>(*config.sliding_window)) {
    return absl::UnimplementedError(absl::StrCat(
        "a context of ", context, " exceeds the sliding window of ",
        *config.sliding_window, "; plan for less"));
  }
  DecoderPlan plan;
  plan.config = config;
  plan.context = context;
  plan.embedding.entry_bound = std::max(1.0 / 4096, ranges.embedding);
  plan.embedding.width = kResidualWidth;
  const RopeFrequencies rope =
      ComputeRopeFrequencies(config, static_cast<int64_t>(context));
  plan.rope.inverse_frequency.assign(rope.inv_freq.begin(),
                                     rope.inv_freq.end());
  plan.rope.scale = rope.attention_factor;
  for (size_t i = 0; i < ranges.layers.size(); ++i) {
    ASSIGN_OR_RETURN(DecoderLayerPlan layer,
                     PlanLayer(config, ranges.layers[i], i, context, margin));
    plan.layers.push_back(std::move(layer));
  }
  plan.logit_ring = ProductRing(CeilLog2(ranges.logit * margin));
  ASSIGN_OR_RETURN(plan.final_norm,
                   PlanDecoderNorm(config, ranges.final_mean_square, margin,
                                   plan.logit_ring));
  return plan;
}

absl::StatusOr<DecoderShares> ShareDecoder(const DecoderWeights& weights,
                                           WeightMode mode, const Seed& seed) {
  const ModelConfig& config = weights.config;
  const size_t hidden = config.hidden_size, mlp = config.intermediate_size;
  const size_t q_size = config.num_heads * config.head_dim;
  const size_t kv_size = config.num_kv_heads * config.head_dim;
  const size_t vocabulary = config.vocab_size;
  const double scale =
      std::numbers::log2e / std::sqrt(static_cast<double>(config.head_dim));
  Sharer sharer(mode, seed);
  DecoderShares out;
  for (DecoderMatrices* matrices :
       {&out.dealer, &out.party[0], &out.party[1], &out.plain}) {
    matrices->layers.resize(weights.layers.size());
  }
  ASSIGN_OR_RETURN(StaticMatrixShares shared,
                   sharer.Share(Doubles(weights.embedding), vocabulary, hidden,
                                Layout::kRowMajor, kFrac));
  Assign(out, shared, &DecoderMatrices::embedding);
  ASSIGN_OR_RETURN(
      shared,
      sharer.Share(Folded(weights.head_or_embedding(), weights.final_norm),
                   hidden, vocabulary, Layout::kTransposed, kFrac));
  Assign(out, shared, &DecoderMatrices::head);
  using Layer = DecoderMatrices::Layer;
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const DecoderLayerWeights& w = weights.layers[i];
    auto add = [&](const std::vector<double>& values, size_t inputs,
                   size_t outputs, StaticMatrix Layer::*member,
                   int frac = kFrac) -> absl::Status {
      ASSIGN_OR_RETURN(
          const StaticMatrixShares matrix,
          sharer.Share(values, inputs, outputs, Layout::kTransposed, frac));
      Assign(out, i, matrix, member);
      return absl::OkStatus();
    };
    RETURN_IF_ERROR(
        add(Folded(w.q, w.attention_norm, scale), hidden, q_size, &Layer::q));
    RETURN_IF_ERROR(
        add(Folded(w.k, w.attention_norm), hidden, kv_size, &Layer::k));
    RETURN_IF_ERROR(
        add(Folded(w.v, w.attention_norm), hidden, kv_size, &Layer::v));
    if (!w.q_bias.empty()) {
      RETURN_IF_ERROR(
          add(Doubles(w.q_bias, scale), 1, q_size, &Layer::q_bias, 2 * kFrac));
      RETURN_IF_ERROR(
          add(Doubles(w.k_bias), 1, kv_size, &Layer::k_bias, 2 * kFrac));
      RETURN_IF_ERROR(
          add(Doubles(w.v_bias), 1, kv_size, &Layer::v_bias, 2 * kFrac));
    }
    RETURN_IF_ERROR(add(Doubles(w.o), q_size, hidden, &Layer::o));
    RETURN_IF_ERROR(add(Folded(w.gate, w.mlp_norm), hidden, mlp, &Layer::gate));
    RETURN_IF_ERROR(add(Folded(w.up, w.mlp_norm), hidden, mlp, &Layer::up));
    RETURN_IF_ERROR(add(Doubles(w.down), mlp, hidden, &Layer::down));
  }
  return out;
}

const DecoderMatrices& Pick(const Evaluator& ev, const DecoderShares& shares) {
  if (ev.is_dealer()) return shares.dealer;
  if (ev.is_party()) return shares.party[ev.party()];
  return shares.plain;
}

Share DecoderForward(Evaluator& ev, const DecoderPlan& plan,
                     const DecoderMatrices& weights, const Wire& tokens,
                     DecoderCache& cache) {
  const size_t vocabulary = plan.config.vocab_size;
  Share logits{{vocabulary}, plan.logit_ring, 2 * kFrac};
  const size_t count = tokens.size(), position = cache.positions;
  if (tokens.shape.size() != 1 || count == 0 || position > plan.context ||
      count > plan.context - position ||
      weights.layers.size() != plan.layers.size()) {
    ev.Reject(
        "Decoder",
        absl::StrCat("tokens ", ToString(tokens.shape), " after ", position,
                     " positions; the plan's context is ", plan.context));
    return logits;
  }
  cache.layers.resize(plan.layers.size());
  Wire residual = Embedding(ev, tokens, weights.embedding, plan.embedding);
  for (size_t i = 0; i < plan.layers.size() && ev.ok(); ++i) {
    const Evaluator::Scope scope(ev, absl::StrCat("layers.", i));
    residual = AttentionBlock(ev, plan, plan.layers[i], weights.layers[i],
                              residual, cache.layers[i], position);
    residual = MlpBlock(ev, plan, plan.layers[i], weights.layers[i], residual);
  }
  if (!ev.ok()) return logits;
  cache.positions += count;
  const Evaluator::Scope scope(ev, "head");
  const std::vector<size_t> last = {count - 1};
  const Wire x = Norm(ev, GatherRows(ev, residual, last), plan.final_norm);
  return Reshape(ev, MatMulStatic(ev, x, weights.head, plan.logit_ring),
                 {vocabulary});
}

}  // namespace tacit

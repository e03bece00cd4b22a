#include "common/models/decoder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <utility>

#include "common/base/bits.h"
#include "common/base/status_macros.h"
#include "common/gates/linear.h"
#include "common/gates/matmul.h"
#include "common/gates/mul_extend.h"
#include "common/gates/trunc_reduce.h"

namespace tacit {
namespace {

static_assert(2 * kFrac == kLogitFrac);

// ---- Plan ----

bool IsGated(const ModelConfig& config) {
  return config.architecture != Architecture::kGpt2;
}
bool HasLayerNorm(const ModelConfig& config) {
  return config.architecture == Architecture::kGpt2;
}

std::optional<size_t> WindowOf(const ModelConfig& config, size_t layer) {
  if (!config.sliding_window.has_value() ||
      static_cast<int64_t>(layer) < config.first_sliding_layer) {
    return std::nullopt;
  }
  return static_cast<size_t>(*config.sliding_window);
}

// Enough fraction bits that 2^-11 of the least root mean square is seen, as far
// as the ring of the squares allows, and no fewer than kFrac.
int ResidualFrac(const ModelConfig& config, const ModelBounds& bounds) {
  constexpr int kMost = 16, kPrecision = 10;
  int least = bounds.final_norm.min, most = bounds.final_norm.max;
  for (const LayerBounds& b : bounds.layers) {
    least = std::min({least, b.attention_norm.min, b.mlp_norm.min});
    most = std::max({most, b.attention_norm.max, b.mlp_norm.max});
  }
  const int dim = CeilLog2(static_cast<size_t>(config.hidden_size));
  const int room = (kResidualWidth - 2 - dim - 2 * most) / 2;
  return std::max(kFrac, std::min({kPrecision - least, kMost, room}));
}

absl::Status PlanAttentionBlock(const DecoderPlan& plan, const LayerBounds& b,
                                size_t index, DecoderLayerPlan& p) {
  const ModelConfig& config = plan.config;
  const int frac = plan.residual_frac, least = b.attention_norm.min;
  p.window = WindowOf(config, index);
  p.attention_out_ring = ProductRing(b.attention_out);
  const size_t keys =
      p.window ? std::min(*p.window, plan.context) : plan.context;
  ASSIGN_OR_RETURN(p.attention,
                   PlanAttention(HeadsOf(config), keys, b.score, b.v,
                                 b.attention, p.attention_out_ring));
  ASSIGN_OR_RETURN(
      p.attention_norm,
      PlanRms(config.hidden_size, frac, config.norm_eps, b.attention_norm));
  const int rope = config.uses_rope() ? plan.rope.frac : 0;
  // The scale is in the queries' weights.
  const double scale = ScoreScale(config, index);
  const int scale_log = CeilLog2(scale);
  const int score = p.attention.score_ring, value = p.attention.value_ring;
  ASSIGN_OR_RETURN(
      p.q, PlanScaled("queries", frac, b.raw_q + scale_log, b.q + scale_log,
                      score, p.attention_norm, least, rope));
  ASSIGN_OR_RETURN(p.k, PlanScaled("keys", frac, b.raw_k, b.k, score,
                                   p.attention_norm, least, rope));
  // Values are widened later, in a round that there is anyway, where they do
  // not come wide enough.
  const bool wide =
      ScaledFits(frac, b.raw_v, b.v, value, p.attention_norm, least);
  ASSIGN_OR_RETURN(p.v, PlanScaled("values", frac, b.raw_v, b.v,
                                   wide ? value : 0, p.attention_norm, least));
  return absl::OkStatus();
}

// Both projections behind the MLP's root, and the product inside the table.
absl::Status PlanMlpForRounds(const DecoderPlan& plan, const LayerBounds& b,
                              int domain, DecoderLayerPlan& p) {
  const int frac = plan.residual_frac, least = b.mlp_norm.min;
  const bool gated = IsGated(plan.config);
  ASSIGN_OR_RETURN(p.gate, PlanScaled("the MLP's gate", frac, b.raw_gate,
                                      b.gate, domain, p.mlp_norm, least));
  if (!gated) return absl::OkStatus();
  const int product_frac = 2 * kFrac + p.activation.slope_bits;
  p.product_ring = std::max(product_frac - kFrac + p.mlp_out_ring,
                            product_frac + b.product + 1);
  RETURN_IF_ERROR(CheckRing("activation times up", p.product_ring));
  const bool wide =
      ScaledFits(frac, b.raw_up, b.up, p.product_ring, p.mlp_norm, least);
  ASSIGN_OR_RETURN(p.up,
                   PlanScaled("the MLP's up", frac, b.raw_up, b.up,
                              wide ? p.product_ring : 0, p.mlp_norm, least));
  return absl::OkStatus();
}

absl::Status PlanMlpBlock(const DecoderPlan& plan, const LayerBounds& b,
                          DecoderLayerPlan& p) {
  const ModelConfig& config = plan.config;
  p.mlp_out_ring = ProductRing(b.mlp_out);
  // The domain of the activation's table, window included.
  constexpr int kWindowLog = 4;
  const int domain = kFrac + std::max(kWindowLog, b.gate) + 2;
  p.activation.bound = std::ldexp(1.0, std::max(0, b.gate));
  // Its result: just wide enough for the products behind it.
  p.activation.width =
      IsGated(config) ? kFrac + std::max(0, b.gate) + 2 : p.mlp_out_ring;
  RETURN_IF_ERROR(PrepareActivation(config.activation, kFrac, p.activation));
  p.gate_ring = kFrac + std::max(domain, kFrac + b.gate + 2);
  p.up_ring = IsGated(config) ? ProductRing(b.up) : 0;
  const int width = std::max(p.gate_ring, p.up_ring);
  ASSIGN_OR_RETURN(
      p.mlp_norm,
      PlanRms(config.hidden_size, plan.residual_frac, config.norm_eps,
              b.mlp_norm, plan.objective == Objective::kBytes ? width : 0));
  p.product_ring = 0;
  if (plan.objective == Objective::kRounds) {
    return PlanMlpForRounds(plan, b, domain, p);
  }
  if (!IsGated(config)) return absl::OkStatus();
  p.product_ring = std::max(kFrac + p.mlp_out_ring, ProductRing(b.product));
  return CheckRing("activation times up", p.product_ring);
}

// The residual stream's ring: what squares, projections and the values
// themselves need, instead of a whole word.
absl::Status NarrowResidual(DecoderPlan& plan) {
  int width = plan.residual_frac + plan.bounds.residual + 2;
  width =
      std::max({width, plan.final_norm.square_bits, EmbeddedWidth(plan) + 1});
  for (const DecoderLayerPlan& p : plan.layers) {
    width = std::max({width, p.attention_norm.square_bits,
                      p.mlp_norm.square_bits, p.q.raw_ring, p.k.raw_ring,
                      p.v.raw_ring, p.gate.raw_ring, p.up.raw_ring,
                      // Updates are narrower (see AddSquares).
                      p.attention_out_ring, p.mlp_out_ring});
  }
  RETURN_IF_ERROR(CheckRing("the residual stream", width));
  plan.residual_width = width;
  plan.final_norm.spec.width = plan.residual_width;
  for (DecoderLayerPlan& p : plan.layers) {
    p.attention_norm.spec.width = p.mlp_norm.spec.width = plan.residual_width;
  }
  return absl::OkStatus();
}

absl::Status InLayer(size_t index, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat("layer ", index, ": ", status.message()));
}

absl::Status CheckModel(const ModelConfig& config, const ModelBounds& bounds,
                        size_t context) {
  if (config.is_bert()) {
    return absl::UnimplementedError(
        absl::StrCat(ToString(config.architecture), " is no decoder"));
  }
  if (bounds.layers.size() != static_cast<size_t>(config.num_layers) ||
      context < 1 || context > static_cast<size_t>(config.max_positions)) {
    return absl::InvalidArgumentError(
        absl::StrCat("bounds of ", bounds.layers.size(), " layers, context ",
                     context, " for a model of ", config.num_layers,
                     " layers and context ", config.max_positions));
  }
  return absl::OkStatus();
}

// ---- Weights ----

MatrixSpec EmbeddingSpec(const DecoderPlan& plan, const ModelWeights* weights) {
  return TableSpec(weights ? &weights->embedding : nullptr,
                   plan.config.vocab_size, plan.config.hidden_size,
                   plan.residual_frac, HasLayerNorm(plan.config));
}
// No matrix where positions are rotations.
MatrixSpec PositionSpec(const DecoderPlan& plan, const ModelWeights* weights) {
  if (plan.config.uses_rope()) return {};
  return TableSpec(weights ? &weights->positions : nullptr,
                   plan.config.max_positions, plan.config.hidden_size,
                   plan.residual_frac, HasLayerNorm(plan.config));
}

DecoderTensors<MatrixSpec>::Layer LayerSpecs(const DecoderPlan& plan,
                                             size_t index,
                                             const LayerWeights* w) {
  const ModelConfig& config = plan.config;
  const DecoderLayerPlan& p = plan.layers[index];
  const size_t hidden = config.hidden_size, mlp = config.intermediate_size;
  const size_t q_size = config.num_heads * config.head_dim;
  const size_t kv_size = config.num_kv_heads * config.head_dim;
  const Folding in = {w ? &w->attention_norm : nullptr, 1, false};
  const Folding query = {in.norm, ScoreScale(config, index), false};
  const Folding mlp_in = {w ? &w->mlp_norm : nullptr, 1, false};
  const Folding residual = {nullptr, 1, HasLayerNorm(config)};
  DecoderTensors<MatrixSpec>::Layer out;
  // A norm's bias becomes one of the layer behind it.
  const bool shifted = HasLayerNorm(config);
  const bool qkv_bias = config.qkv_bias || shifted;
  const bool mlp_bias = config.mlp_bias || shifted;
  Set(LinearSpecsOf(w ? &w->q : nullptr, qkv_bias, hidden, q_size,
                    p.q.bias_frac, query),
      out.q, out.q_bias);
  Set(LinearSpecsOf(w ? &w->k : nullptr, qkv_bias, hidden, kv_size,
                    p.k.bias_frac, in),
      out.k, out.k_bias);
  Set(LinearSpecsOf(w ? &w->v : nullptr, qkv_bias, hidden, kv_size,
                    p.v.bias_frac, in),
      out.v, out.v_bias);
  Set(LinearSpecsOf(w ? &w->o : nullptr, config.attention_output_bias, q_size,
                    hidden, 2 * kFrac, residual),
      out.o, out.o_bias);
  // Where normalised rows are projected, products have 2 kFrac fraction bits.
  const bool normed = plan.objective == Objective::kBytes;
  Set(LinearSpecsOf(w ? &w->gate : nullptr, mlp_bias, hidden, mlp,
                    normed ? 2 * kFrac : p.gate.bias_frac, mlp_in),
      out.gate, out.gate_bias);
  if (IsGated(config)) {
    Set(LinearSpecsOf(w ? &w->up : nullptr, mlp_bias, hidden, mlp,
                      normed ? 2 * kFrac : p.up.bias_frac, mlp_in),
        out.up, out.up_bias);
  }
  Set(LinearSpecsOf(w ? &w->down : nullptr, config.mlp_bias, mlp, hidden,
                    2 * kFrac, residual),
      out.down, out.down_bias);
  return out;
}

// ---- The pass ----

// What is public about a pass: whose tokens the rows are.
struct Batch {
  struct Part {
    size_t sequence, begin, count;
    size_t before;  // positions of the sequence so far
  };
  std::vector<Part> parts;         // of sequences that have tokens
  std::vector<size_t> rows;        // 0, 1, ..., all of them
  std::vector<int64_t> positions;  // of each
  std::vector<size_t> wanted;      // rows whose logits are wanted
  std::vector<int64_t> wanted_positions;
};

Batch MakeBatch(std::span<const size_t> lengths, const DecoderCache& cache,
                LogitsOf logits) {
  Batch batch;
  for (size_t s = 0; s < lengths.size(); ++s) {
    if (lengths[s] == 0) continue;
    const size_t before = cache.sequences[s].positions;
    batch.parts.push_back({s, batch.rows.size(), lengths[s], before});
    for (size_t i = 0; i < lengths[s]; ++i) {
      batch.rows.push_back(batch.rows.size());
      batch.positions.push_back(static_cast<int64_t>(before + i));
    }
    const size_t end = batch.rows.size();
    for (size_t row = logits == LogitsOf::kLast ? end - 1 : end - lengths[s];
         row < end; ++row) {
      batch.wanted.push_back(row);
      batch.wanted_positions.push_back(batch.positions[row]);
    }
  }
  return batch;
}

// The program, layer by layer.
class Decoder {
 public:
  Decoder(Evaluator& ev, const DecoderPlan& plan,
          const DecoderMatrices& weights, const Batch& batch,
          DecoderCache& cache)
      : ev_(ev), plan_(plan), weights_(weights), batch_(batch), cache_(cache) {}

  Share Run(const Wire& input) {
    Wire update = Embed(input);
    Wire x =
        Constant(ev_, update.shape, plan_.residual_width, plan_.residual_frac,
                 std::vector<int64_t>(update.size(), 0));
    for (size_t i = 0; i < plan_.layers.size() && ev_.ok(); ++i) {
      const Evaluator::Scope scope(ev_, absl::StrCat("layers.", i));
      // In the last layer only the wanted rows ask anything, and go on.
      const bool last = i + 1 == plan_.layers.size();
      const DecoderLayerPlan& p = plan_.layers[i];
      Residual residual = Advance(ev_, x, update, p.attention_norm);
      update = AttentionBlock(i, residual, last);
      x = last ? SelectRows(ev_, residual.x, batch_.wanted) : residual.x;
      residual = Advance(ev_, x, update, p.mlp_norm);
      update = MlpBlock(i, residual);
      x = residual.x;
    }
    return Head(x, update);
  }

 private:
  // The embedded tokens as the first update: [rows, hidden].
  Wire Embed(const Wire& input) {
    if (input.shape.size() == 2) return input;
    Share rows = EmbeddingRows(ev_, input, weights_.embedding, plan_.embedding);
    if (weights_.positions.n != 0) {
      const std::vector<size_t> positions(batch_.positions.begin(),
                                          batch_.positions.end());
      rows = Add(ev_, rows,
                 FromStatic(ev_, weights_.positions, positions, rows.width));
    }
    return ev_.Open(rows);
  }

  Wire AttentionBlock(size_t index, const Residual& residual, bool last) {
    const Evaluator::Scope scope(ev_, "attention");
    const DecoderLayerPlan& p = plan_.layers[index];
    const DecoderMatrices::Layer& w = weights_.layers[index];
    const AttentionPlan& attention = p.attention;
    const RopeParams* rope = plan_.config.uses_rope() ? &plan_.rope : nullptr;
    const HeadShape& shape = attention.shape;
    const auto& queries = last ? batch_.wanted : batch_.rows;
    const auto& query_positions =
        last ? batch_.wanted_positions : batch_.positions;
    const std::array<ScaledProjection, 3> projections = {
        ScaledProjection{&p.q, &w.q, &w.q_bias, rope, shape.heads, queries,
                         query_positions},
        ScaledProjection{&p.k, &w.k, &w.k_bias, rope, shape.kv_heads,
                         batch_.rows, batch_.positions},
        ScaledProjection{&p.v, &w.v, &w.v_bias, nullptr, shape.kv_heads,
                         batch_.rows, batch_.positions}};
    std::vector<Wire> qkv =
        ProjectScaled(ev_, residual, p.attention_norm, projections);
    AppendKeys(index, qkv[1]);
    // Opened together with the scores.
    Wire values = qkv[2];
    if (values.width < attention.value_ring) {
      values = ev_.Open(
          ExtendRange(ev_, values, Range::kSigned, attention.value_ring));
    }
    const std::vector<AttentionSegment> segments = Segments(index, last);
    bool appended = false;
    const Wire mixed = Attend(
        ev_, attention, qkv[0], segments,
        [&](size_t s) -> const Wire& { return At(s, index).keys; },
        [&](size_t s) -> const Wire& {
          if (!std::exchange(appended, true)) AppendValues(index, values);
          return At(s, index).values;
        });
    DropBehindWindow(index);
    return Update(Project(ev_, mixed, w.o, w.o_bias, p.attention_out_ring));
  }

  Wire MlpBlock(size_t index, const Residual& residual) {
    const Evaluator::Scope scope(ev_, "mlp");
    const DecoderLayerPlan& p = plan_.layers[index];
    const DecoderMatrices::Layer& w = weights_.layers[index];
    const Wire h = plan_.objective == Objective::kRounds
                       ? HiddenInFewerRounds(p, w, residual)
                       : Hidden(p, w, residual);
    return Update(Project(ev_, h, w.down, w.down_bias, p.mlp_out_ring));
  }

  // activation(norm(x) Wgate^T) * (norm(x) Wup^T).
  Wire Hidden(const DecoderLayerPlan& p, const DecoderMatrices::Layer& w,
              const Residual& residual) {
    const Wire y = NormWithSquares(ev_, residual.x, residual.q, p.mlp_norm);
    Wire gate = Project(ev_, y, w.gate, w.gate_bias, p.gate_ring);
    Wire up;
    if (p.product_ring != 0) {
      up = Project(ev_, y, w.up, w.up_bias, p.up_ring);
    }
    gate = TruncReduce(ev_, gate, kFrac);
    Wire activated = Activate(ev_, plan_.config.activation, gate, p.activation);
    if (p.product_ring == 0) return activated;
    const Wire product = ev_.Open(MulExtendBoth(
        ev_, activated, Range::kSigned, TruncReduce(ev_, up, kFrac),
        Range::kSigned, p.product_ring));
    return TruncReduce(ev_, product, kFrac);
  }

  // The same: roots after the projections, the product in the table's round.
  Wire HiddenInFewerRounds(const DecoderLayerPlan& p,
                           const DecoderMatrices::Layer& w,
                           const Residual& residual) {
    const std::vector<size_t> rows = Indices(0, residual.x.shape[0]);
    std::vector<ScaledProjection> projections = {
        {&p.gate, &w.gate, &w.gate_bias, nullptr, 0, rows, {}}};
    if (p.product_ring != 0) {
      projections.push_back({&p.up, &w.up, &w.up_bias, nullptr, 0, rows, {}});
    }
    const std::vector<Wire> in =
        ProjectScaled(ev_, residual, p.mlp_norm, projections);
    if (p.product_ring == 0) {
      return Activate(ev_, plan_.config.activation, in[0], p.activation);
    }
    Wire up = in[1];
    if (up.width < p.product_ring) {
      // Opened together with the activation's table.
      up = ev_.Open(ExtendRange(ev_, up, Range::kSigned, p.product_ring));
    }
    const Wire product = ev_.Open(ActivateTimes(
        ev_, plan_.config.activation, in[0], up, p.activation, p.product_ring));
    return TruncReduce(ev_, product, product.frac - kFrac);
  }

  // Logits of the wanted rows; `x` and `update` hold only those.
  Share Head(const Wire& x, const Wire& update) {
    const Evaluator::Scope scope(ev_, "head");
    Share logits{
        {batch_.wanted.size(), static_cast<size_t>(plan_.config.vocab_size)},
        plan_.logit_ring,
        kLogitFrac};
    if (!ev_.ok()) return logits;
    const Residual residual = Advance(ev_, x, update, plan_.final_norm);
    const Wire y =
        NormWithSquares(ev_, residual.x, residual.q, plan_.final_norm);
    logits = MatMulStatic(ev_, y, weights_.head, plan_.logit_ring);
    if (weights_.head_bias.n == 0) return logits;
    return AddStatic(ev_, logits, weights_.head_bias);
  }

  // A product of 2 kFrac fraction bits as an update of the residual stream.
  Wire Update(const Wire& product) {
    return TruncReduce(ev_, product, product.frac - plan_.residual_frac);
  }

  DecoderCache::Layer& At(size_t sequence, size_t layer) {
    return cache_.sequences[sequence].layers[layer];
  }

  // Each sequence's rows behind its earlier ones. Shares of the masks are dealt
  // once, here, and not at every use.
  void Append(size_t layer, const Wire& rows,
              Wire DecoderCache::Layer::*member) {
    const Wire shared = ShareMask(ev_, rows);
    for (const Batch::Part& part : batch_.parts) {
      Wire own = shared;
      if (batch_.parts.size() > 1) {
        own = GatherRows(ev_, shared, Indices(part.begin, part.count));
      }
      Wire& to = At(part.sequence, layer).*member;
      if (to.shape.empty()) {
        to = own;
      } else {
        const std::array<Wire, 2> both = {to, own};
        to = Concat(ev_, std::span<const Wire>(both));
      }
    }
  }
  void AppendKeys(size_t layer, const Wire& keys) {
    Append(layer, keys, &DecoderCache::Layer::keys);
  }
  void AppendValues(size_t layer, const Wire& values) {
    Append(layer, values, &DecoderCache::Layer::values);
  }

  // Rows that no later query will see.
  void DropBehindWindow(size_t layer) {
    const std::optional<size_t> window = plan_.layers[layer].window;
    if (!window) return;
    for (const Batch::Part& part : batch_.parts) {
      DecoderCache::Layer& cached = At(part.sequence, layer);
      const size_t keys = cached.keys.shape[0];
      if (keys < *window) continue;
      const size_t drop = keys - (*window - 1);
      const std::vector<size_t> rest = Indices(drop, keys - drop);
      cached.keys = GatherRows(ev_, cached.keys, rest);
      cached.values = GatherRows(ev_, cached.values, rest);
      cached.dropped += drop;
    }
  }

  // The queries' rows: all, or the wanted ones.
  std::vector<AttentionSegment> Segments(size_t layer, bool wanted) {
    std::vector<AttentionSegment> segments;
    size_t row = 0;
    for (const Batch::Part& part : batch_.parts) {
      const size_t keys = At(part.sequence, layer).keys.shape[0];
      const size_t queries =
          wanted && batch_.wanted.size() < batch_.rows.size() ? 1 : part.count;
      AppendCausalSegments(part.sequence, row, queries, keys,
                           plan_.layers[layer].window, segments);
      row += queries;
    }
    return segments;
  }

  Evaluator& ev_;
  const DecoderPlan& plan_;
  const DecoderMatrices& weights_;
  const Batch& batch_;
  DecoderCache& cache_;
};

bool CheckInput(Evaluator& ev, const DecoderPlan& plan,
                const DecoderMatrices& weights, const Wire& input,
                std::span<const size_t> lengths, const DecoderCache& cache) {
  size_t total = 0, longest = 0;
  for (size_t s = 0; s < lengths.size(); ++s) {
    const size_t before =
        s < cache.sequences.size() ? cache.sequences[s].positions : 0;
    total += lengths[s];
    longest = std::max(longest, before + lengths[s]);
  }
  const bool ids = input.shape.size() == 1;
  const bool rows =
      input.shape.size() == 2 &&
      input.shape[1] == static_cast<size_t>(plan.config.hidden_size) &&
      input.width == EmbeddedWidth(plan) && input.frac == plan.residual_frac;
  if ((!ids && !rows) || total == 0 || input.shape[0] != total ||
      longest > plan.context ||
      (!cache.sequences.empty() && cache.sequences.size() != lengths.size()) ||
      weights.layers.size() != plan.layers.size()) {
    ev.Reject(
        "Decoder",
        absl::StrCat("input ", ToString(input.shape), " for ", lengths.size(),
                     " sequences that then hold up to ", longest,
                     " positions; the plan's context is ", plan.context));
  }
  return ev.ok();
}

}  // namespace

absl::StatusOr<DecoderPlan> PlanDecoder(const ModelConfig& config,
                                        const ModelBounds& bounds,
                                        size_t context, Objective objective) {
  RETURN_IF_ERROR(CheckModel(config, bounds, context));
  DecoderPlan plan;
  plan.config = config;
  plan.bounds = bounds;
  plan.objective = objective;
  plan.context = context;
  plan.residual_frac = ResidualFrac(config, bounds);
  plan.embedding.entry_bound = std::ldexp(
      1.0,
      std::max({bounds.embedding, bounds.embedded, 1 - plan.residual_frac}));
  plan.embedding.width = kResidualWidth;
  if (config.uses_rope()) {
    const RopeFrequencies rope =
        ComputeRopeFrequencies(config, static_cast<int64_t>(context));
    plan.rope.inverse_frequency.assign(rope.inv_freq.begin(),
                                       rope.inv_freq.end());
    plan.rope.scale = rope.attention_factor;
  }
  for (size_t i = 0; i < bounds.layers.size(); ++i) {
    DecoderLayerPlan& layer = plan.layers.emplace_back();
    RETURN_IF_ERROR(
        InLayer(i, PlanAttentionBlock(plan, bounds.layers[i], i, layer)));
    RETURN_IF_ERROR(InLayer(i, PlanMlpBlock(plan, bounds.layers[i], layer)));
  }
  plan.logit_ring = ProductRing(bounds.logit);
  ASSIGN_OR_RETURN(
      plan.final_norm,
      PlanRms(config.hidden_size, plan.residual_frac, config.norm_eps,
              bounds.final_norm, plan.logit_ring));
  RETURN_IF_ERROR(NarrowResidual(plan));
  return plan;
}

DecoderTensors<MatrixSpec> DecoderEmbeddingSpecs(const DecoderPlan& plan,
                                                 const ModelWeights* weights) {
  DecoderTensors<MatrixSpec> out;
  out.layers.resize(plan.layers.size());
  out.embedding = EmbeddingSpec(plan, weights);
  out.positions = PositionSpec(plan, weights);
  return out;
}

DecoderTensors<MatrixSpec> DecoderLayerSpecs(const DecoderPlan& plan,
                                             size_t index,
                                             const LayerWeights* weights) {
  DecoderTensors<MatrixSpec> out;
  out.layers.resize(plan.layers.size());
  out.layers[index] = LayerSpecs(plan, index, weights);
  return out;
}

DecoderTensors<MatrixSpec> DecoderHeadSpecs(const DecoderPlan& plan,
                                            const ModelWeights* weights) {
  const ModelConfig& config = plan.config;
  const size_t hidden = config.hidden_size, vocabulary = config.vocab_size;
  const std::vector<float>* head =
      weights ? &weights->head_or_embedding() : nullptr;
  const Folding folding = {weights ? &weights->final_norm : nullptr, 1, false};
  DecoderTensors<MatrixSpec> out;
  out.layers.resize(plan.layers.size());
  out.head = WeightSpec(head, hidden, vocabulary, folding);
  out.head_bias = BiasSpec(HasLayerNorm(config), head, nullptr, hidden,
                           vocabulary, kLogitFrac, folding);
  return out;
}

DecoderTensors<MatrixSpec> DecoderSpecs(const DecoderPlan& plan,
                                        const ModelWeights* weights) {
  DecoderTensors<MatrixSpec> out = DecoderHeadSpecs(plan, weights);
  out.embedding = EmbeddingSpec(plan, weights);
  out.positions = PositionSpec(plan, weights);
  for (size_t i = 0; i < plan.layers.size(); ++i) {
    out.layers[i] =
        LayerSpecs(plan, i, weights ? &weights->layers[i] : nullptr);
  }
  return out;
}

absl::StatusOr<DecoderShares> ShareDecoder(const DecoderPlan& plan,
                                           const ModelWeights& weights,
                                           WeightMode mode, const Seed& seed) {
  return ShareMatrices<DecoderTensors>(DecoderSpecs(plan, &weights), mode,
                                       seed);
}

int EmbeddedWidth(const DecoderPlan& plan) {
  return EntryWidth(plan.embedding.entry_bound, plan.residual_frac);
}

void EmbedToken(const DecoderPlan& plan, const ModelWeights& weights,
                int64_t token, size_t position, std::span<int64_t> row) {
  std::vector<double> values(row.size()), sum(row.size(), 0);
  auto add = [&](const MatrixSpec& table, size_t index) {
    if (table.outputs == 0) return;
    table.fill(index, values);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
  };
  add(EmbeddingSpec(plan, &weights), static_cast<size_t>(token));
  add(PositionSpec(plan, &weights), position);
  for (size_t i = 0; i < sum.size(); ++i) {
    row[i] = std::llround(std::ldexp(sum[i], plan.residual_frac));
  }
}

Share DecoderForward(Evaluator& ev, const DecoderPlan& plan,
                     const DecoderMatrices& weights, const Wire& input,
                     std::span<const size_t> lengths, DecoderCache& cache,
                     LogitsOf rows) {
  if (!CheckInput(ev, plan, weights, input, lengths, cache)) {
    size_t count = 0;
    for (size_t n : lengths) count += rows == LogitsOf::kAll ? n : n > 0;
    return Share{{count, static_cast<size_t>(plan.config.vocab_size)},
                 plan.logit_ring,
                 kLogitFrac};
  }
  if (cache.sequences.empty()) {
    cache.sequences.resize(lengths.size());
    for (DecoderCache::Sequence& s : cache.sequences) {
      s.layers.resize(plan.layers.size());
    }
  }
  const Batch batch = MakeBatch(lengths, cache, rows);
  Share logits = Decoder(ev, plan, weights, batch, cache).Run(input);
  for (size_t s = 0; s < lengths.size() && ev.ok(); ++s) {
    cache.sequences[s].positions += lengths[s];
  }
  return logits;
}

Share DecoderForward(Evaluator& ev, const DecoderPlan& plan,
                     const DecoderMatrices& weights, const Wire& input,
                     DecoderCache& cache, LogitsOf rows) {
  const std::array<size_t, 1> length = {input.shape.empty() ? 0
                                                            : input.shape[0]};
  return DecoderForward(ev, plan, weights, input, length, cache, rows);
}

}  // namespace tacit

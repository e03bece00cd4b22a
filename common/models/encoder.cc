#include "common/models/encoder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <numeric>
#include <utility>

#include "common/base/bits.h"
#include "common/base/status_macros.h"
#include "common/gates/linear.h"
#include "common/gates/matmul.h"
#include "common/gates/mul_extend.h"
#include "common/gates/one_hot.h"
#include "common/gates/trunc_reduce.h"
#include "common/ring/elementwise.h"

namespace tacit {
namespace {

// ---- Plan ----

// The residual stream's gain is 2^k / hidden times the norm's, k this: hidden x
// - sum(x) then is 2^k times what is wanted (see Centred).
int CentringBits(const ModelConfig& config) {
  return CeilLog2(static_cast<size_t>(config.hidden_size));
}

// Enough fraction bits that 2^-10 of the least root mean square is seen, as far
// as the ring of the squares allows. Behind the first norm rows are of unit
// size, and kFrac bits do.
int EmbeddingFrac(const ModelConfig& config, const RmsBounds& rms) {
  constexpr int kMost = 16, kPrecision = 10;
  const int room =
      (kResidualWidth - 2 - CentringBits(config) - 2 * rms.max) / 2;
  return std::max(kFrac, std::min({kPrecision - rms.min, kMost, room}));
}

// The ring of embedded tokens.
int EmbeddedWidth(const EncoderPlan& plan) {
  return EntryWidth(plan.embedding.entry_bound, plan.embedding_frac);
}

// Of x W^T, which no calibration sees in these models, where its product with
// the root plus a bias is below 2^log: for a bias that is below 2^log, too.
int RawLog(int log, const RmsBounds& rms) {
  return log + 1 + std::max(0, rms.max);
}

// A projection behind a norm, |result| < 2^log; see PlanScaled.
absl::StatusOr<ScaledPlan> PlanBehind(absl::string_view name,
                                      const EncoderNormPlan& norm, int log,
                                      int width, int more_frac = 0) {
  return PlanScaled(name, norm.norm.spec.frac, RawLog(log, norm.rms), log,
                    width, norm.norm, norm.rms.min, more_frac);
}
// At that width if it fits; else it is widened later, in a round that there is
// anyway.
absl::StatusOr<ScaledPlan> PlanWideBehind(absl::string_view name,
                                          const EncoderNormPlan& norm, int log,
                                          int width, int more_frac = 0) {
  const bool fits = ScaledFits(norm.norm.spec.frac, RawLog(log, norm.rms), log,
                               width, norm.norm, norm.rms.min, more_frac);
  return PlanBehind(name, norm, log, fits ? width : 0, more_frac);
}

absl::Status PlanNormOf(const ModelConfig& config, int frac,
                        const RmsBounds& rms, int normed,
                        EncoderNormPlan& plan) {
  // BERT's epsilon is nearly nothing, and every octave of the root's table
  // costs. This one is 2^-12 of the least mean square that calibration saw, or
  // less, and takes rows that are smaller still.
  constexpr int kBelow = 4;
  const double least = std::ldexp(1.0, 2 * (rms.min - kBelow));
  plan.rms = rms;
  plan.normed = normed;
  ASSIGN_OR_RETURN(plan.norm, PlanRms(config.hidden_size, frac,
                                      std::max(config.norm_eps, least), rms));
  // Of any width, for now: see PlanStreams.
  ASSIGN_OR_RETURN(plan.stream, PlanBehind("the residual stream", plan, normed,
                                           0, CentringBits(config)));
  return absl::OkStatus();
}

const EncoderNormPlan& NormBefore(const EncoderPlan& plan, size_t layer) {
  return layer == 0 ? plan.embedding_norm : plan.layers[layer - 1].mlp_norm;
}

absl::Status PlanAttentionBlock(const EncoderPlan& plan, size_t index,
                                EncoderLayerPlan& p) {
  const ModelConfig& config = plan.config;
  const LayerBounds& b = plan.bounds.layers[index];
  const EncoderNormPlan& norm = NormBefore(plan, index);
  p.attention_out_ring = ProductRing(b.attention_out);
  ASSIGN_OR_RETURN(p.attention,
                   PlanAttention(HeadsOf(config), plan.max_tokens, b.score, b.v,
                                 b.attention, p.attention_out_ring));
  // The scale is in the queries' weights.
  const int scale = CeilLog2(ScoreScale(config, index));
  const int score = p.attention.score_ring;
  ASSIGN_OR_RETURN(p.q, PlanBehind("queries", norm, b.q + scale, score));
  ASSIGN_OR_RETURN(p.k, PlanBehind("keys", norm, b.k, score));
  ASSIGN_OR_RETURN(p.v,
                   PlanWideBehind("values", norm, b.v, p.attention.value_ring));
  return PlanNormOf(config, kFrac, b.attention_norm, b.attention_normed,
                    p.attention_norm);
}

// The domain of an activation's table, window included.
int TableDomain(int log) {
  constexpr int kWindowLog = 4;
  return kFrac + std::max(kWindowLog, log) + 2;
}

absl::Status PlanMlpBlock(const EncoderPlan& plan, size_t index,
                          EncoderLayerPlan& p) {
  const LayerBounds& b = plan.bounds.layers[index];
  p.mlp_out_ring = ProductRing(b.mlp_out);
  p.activation.bound = std::ldexp(1.0, std::max(0, b.gate));
  p.activation.width = p.mlp_out_ring;
  RETURN_IF_ERROR(
      PrepareActivation(plan.config.activation, kFrac, p.activation));
  ASSIGN_OR_RETURN(p.gate,
                   PlanBehind("the MLP's input", p.attention_norm, b.gate,
                              std::max(TableDomain(b.gate), p.mlp_out_ring)));
  return PlanNormOf(plan.config, kFrac, b.mlp_norm, b.mlp_normed, p.mlp_norm);
}

absl::Status PlanHeads(EncoderPlan& plan) {
  const int log = plan.bounds.pooler;
  const EncoderNormPlan& norm = plan.layers.back().mlp_norm;
  plan.logit_ring = ProductRing(plan.bounds.logit);
  ASSIGN_OR_RETURN(plan.hidden,
                   PlanBehind("the last layer's rows", norm, norm.normed, 0));
  ASSIGN_OR_RETURN(plan.pooler,
                   PlanBehind("the pooler", norm, log, TableDomain(log)));
  plan.tanh.bound = std::ldexp(1.0, std::max(0, log));
  plan.tanh.width = plan.logit_ring;
  // Half of tanh's own step, a quarter of its error: few elements take it.
  plan.tanh.step_log = 6;
  return PrepareActivation(Activation::kTanh, kFrac, plan.tanh);
}

absl::Status InLayer(size_t index, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat("layer ", index, ": ", status.message()));
}

// The sum in front of a norm holds its squares and the update, and its products
// behind the norm.
void SetSumWidth(int update_width,
                 std::initializer_list<const ScaledPlan*> behind,
                 EncoderNormPlan& norm) {
  norm.sum_width =
      std::max({norm.norm.square_bits, update_width + 1, norm.stream.raw_ring});
  for (const ScaledPlan* plan : behind) {
    norm.sum_width = std::max(norm.sum_width, plan->raw_ring);
  }
}

// The residual stream, from norm to norm, as wide as the sums that it is part
// of.
absl::Status PlanStreams(EncoderPlan& plan) {
  EncoderNormPlan* before = &plan.embedding_norm;
  int update_width = EmbeddedWidth(plan);
  for (EncoderLayerPlan& p : plan.layers) {
    SetSumWidth(update_width, {&p.q, &p.k, &p.v}, *before);
    SetSumWidth(p.attention_out_ring - kFrac, {&p.gate}, p.attention_norm);
    update_width = p.mlp_out_ring - kFrac;
    before = &p.mlp_norm;
  }
  SetSumWidth(update_width, {&plan.hidden, &plan.pooler}, *before);
  const auto widen = [&](const EncoderNormPlan& next,
                         EncoderNormPlan& norm) -> absl::Status {
    ASSIGN_OR_RETURN(norm.stream,
                     PlanWideBehind("the residual stream", norm, norm.normed,
                                    next.sum_width, CentringBits(plan.config)));
    return absl::OkStatus();
  };
  before = &plan.embedding_norm;
  for (size_t i = 0; i < plan.layers.size(); ++i) {
    EncoderLayerPlan& p = plan.layers[i];
    RETURN_IF_ERROR(InLayer(i, widen(p.attention_norm, *before)));
    RETURN_IF_ERROR(InLayer(i, widen(p.mlp_norm, p.attention_norm)));
    before = &p.mlp_norm;
  }
  return absl::OkStatus();
}

absl::Status CheckModel(const ModelConfig& config, const ModelBounds& bounds,
                        size_t max_tokens) {
  if (!config.is_bert()) {
    return absl::UnimplementedError(
        absl::StrCat(ToString(config.architecture), " is no encoder"));
  }
  if (bounds.layers.empty() ||
      bounds.layers.size() != static_cast<size_t>(config.num_layers) ||
      max_tokens < 1 ||
      max_tokens > static_cast<size_t>(config.max_positions)) {
    return absl::InvalidArgumentError(
        absl::StrCat("bounds of ", bounds.layers.size(), " layers, ",
                     max_tokens, " tokens for a model of ", config.num_layers,
                     " layers and ", config.max_positions, " positions"));
  }
  return absl::OkStatus();
}

// ---- Weights ----

// A norm's gain and bias for the residual stream; the gain as Centred needs it.
LinearSpecs StreamSpecs(const EncoderPlan& plan, const ScaledPlan& stream,
                        const NormWeights* w) {
  const size_t hidden = plan.config.hidden_size;
  const int bits = CentringBits(plan.config);
  LinearSpecs specs = {
      TableSpec(nullptr, 1, hidden, kFrac, false),
      TableSpec(w ? &w->bias : nullptr, 1, hidden, stream.bias_frac + bits,
                /*centred=*/true)};
  if (w == nullptr) return specs;
  const double scale = std::ldexp(1.0, bits) / static_cast<double>(hidden);
  specs.weight.fill = [w, scale](size_t, std::span<double> out) {
    for (size_t i = 0; i < out.size(); ++i) out[i] = w->gain[i] * scale;
  };
  return specs;
}

EncoderTensors<MatrixSpec>::Layer LayerSpecs(const EncoderPlan& plan,
                                             size_t index,
                                             const NormWeights* before,
                                             const LayerWeights* w) {
  const ModelConfig& config = plan.config;
  const EncoderLayerPlan& p = plan.layers[index];
  const size_t hidden = config.hidden_size, mlp = config.intermediate_size;
  const NormWeights* middle = w ? &w->attention_norm : nullptr;
  const Folding in = {before, 1, false};
  const Folding query = {before, ScoreScale(config, index), false};
  const Folding mlp_in = {middle, 1, false};
  const Folding residual = {nullptr, 1, true};
  EncoderTensors<MatrixSpec>::Layer out;
  Set(LinearSpecsOf(w ? &w->q : nullptr, true, hidden, hidden, p.q.bias_frac,
                    query),
      out.q, out.q_bias);
  Set(LinearSpecsOf(w ? &w->k : nullptr, true, hidden, hidden, p.k.bias_frac,
                    in),
      out.k, out.k_bias);
  Set(LinearSpecsOf(w ? &w->v : nullptr, true, hidden, hidden, p.v.bias_frac,
                    in),
      out.v, out.v_bias);
  Set(LinearSpecsOf(w ? &w->o : nullptr, true, hidden, hidden, 2 * kFrac,
                    residual),
      out.o, out.o_bias);
  Set(LinearSpecsOf(w ? &w->gate : nullptr, true, hidden, mlp, p.gate.bias_frac,
                    mlp_in),
      out.gate, out.gate_bias);
  Set(LinearSpecsOf(w ? &w->down : nullptr, true, mlp, hidden, 2 * kFrac,
                    residual),
      out.down, out.down_bias);
  Set(StreamSpecs(plan, p.attention_norm.stream, middle), out.attention_gain,
      out.attention_shift);
  if (index + 1 < plan.layers.size()) {
    Set(StreamSpecs(plan, p.mlp_norm.stream, w ? &w->mlp_norm : nullptr),
        out.mlp_gain, out.mlp_shift);
  }
  return out;
}

void AddEmbeddingSpecs(const EncoderPlan& plan, const ModelWeights* weights,
                       EncoderTensors<MatrixSpec>& out) {
  const ModelConfig& config = plan.config;
  const size_t hidden = config.hidden_size;
  const auto table = [&](const std::vector<float>* values, size_t rows) {
    return TableSpec(values, rows, hidden, plan.embedding_frac,
                     /*centred=*/true);
  };
  out.embedding =
      table(weights ? &weights->embedding : nullptr, config.vocab_size);
  out.positions =
      table(weights ? &weights->positions : nullptr, config.max_positions);
  out.types =
      table(weights ? &weights->token_types : nullptr, config.type_vocab_size);
  Set(StreamSpecs(plan, plan.embedding_norm.stream,
                  weights ? &weights->embedding_norm : nullptr),
      out.embedding_gain, out.embedding_shift);
}

// `norm` is the last layer's second.
void AddHeadSpecs(const EncoderPlan& plan, const NormWeights* norm,
                  const ModelWeights* weights,
                  EncoderTensors<MatrixSpec>& out) {
  const size_t hidden = plan.config.hidden_size;
  const size_t labels = plan.config.labels.size();
  out.hidden_gain =
      TableSpec(norm ? &norm->gain : nullptr, 1, hidden, kFrac, false);
  out.hidden_shift = TableSpec(norm ? &norm->bias : nullptr, 1, hidden,
                               plan.hidden.bias_frac, false);
  if (weights == nullptr || !weights->pooler.weight.empty()) {
    Set(LinearSpecsOf(weights ? &weights->pooler : nullptr, true, hidden,
                      hidden, plan.pooler.bias_frac, {norm, 1, false}),
        out.pooler, out.pooler_bias);
  }
  if (labels == 0) return;
  Set(LinearSpecsOf(weights ? &weights->classifier : nullptr, true, hidden,
                    labels, kEncoderLogitFrac),
      out.classifier, out.classifier_bias);
}

// ---- The pass ----

// What is public about a pass: whose tokens the rows are.
struct Batch {
  std::vector<size_t> lengths;
  std::vector<size_t> rows;       // 0, 1, ..., all of them
  std::vector<size_t> positions;  // of each
  std::vector<size_t> first;      // the row of each text's first token
};

Batch MakeBatch(std::span<const size_t> lengths) {
  Batch batch;
  batch.lengths.assign(lengths.begin(), lengths.end());
  for (size_t length : lengths) {
    batch.first.push_back(batch.rows.size());
    for (size_t i = 0; i < length; ++i) {
      batch.rows.push_back(batch.rows.size());
      batch.positions.push_back(i);
    }
  }
  return batch;
}

// The program, layer by layer.
class Encoder {
 public:
  Encoder(Evaluator& ev, const EncoderPlan& plan,
          const EncoderMatrices& weights, const Batch& batch,
          EncoderOutput what)
      : ev_(ev), plan_(plan), weights_(weights), batch_(batch), what_(what) {}

  Share Run(const Wire& tokens, const Wire* types) {
    const Wire embedded = Embed(tokens, types);
    const Wire zero = Constant(
        ev_, embedded.shape, plan_.embedding_norm.sum_width,
        plan_.embedding_frac, std::vector<int64_t>(embedded.size(), 0));
    Residual sum = Advance(ev_, zero, embedded, plan_.embedding_norm.norm);
    for (size_t i = 0; i < plan_.layers.size() && ev_.ok(); ++i) {
      const Evaluator::Scope scope(ev_, absl::StrCat("layers.", i));
      sum = AttentionBlock(i, sum);
      sum = MlpBlock(i, sum);
    }
    return Head(sum);
  }

 private:
  // Tokens, positions and segments, added up over the ring that just holds
  // them: [rows, hidden].
  Wire Embed(const Wire& tokens, const Wire* types) {
    const int width = EmbeddedWidth(plan_);
    const size_t segments = weights_.types.k;
    const bool looks_up = types != nullptr && segments > 1;
    Wire one_hot;  // opened together with the tokens'
    if (looks_up) {
      one_hot = ev_.Open(
          OneHot(ev_, *types, TokenWidth(segments) - 1, segments, width));
    }
    Share rows =
        EmbeddingRows(ev_, tokens, weights_.embedding, plan_.embedding);
    rows = Add(ev_, rows,
               FromStatic(ev_, weights_.positions, batch_.positions, width));
    const std::vector<size_t> zeros(batch_.rows.size(), 0);
    rows = Add(ev_, rows,
               looks_up ? MatMulStatic(ev_, one_hot, weights_.types, width)
                        : FromStatic(ev_, weights_.types, zeros, width));
    return ev_.Open(rows);
  }

  static ScaledProjection Plain(const ScaledPlan& plan,
                                const StaticMatrix& weight,
                                const StaticMatrix& bias,
                                std::span<const size_t> rows) {
    return {.plan = &plan, .weight = &weight, .bias = &bias, .rows = rows};
  }
  // A norm's result itself; `centred`: less its rows' means, as the residual
  // stream goes on.
  static ScaledProjection Normed(const ScaledPlan& plan,
                                 const StaticMatrix& gain,
                                 const StaticMatrix& shift,
                                 std::span<const size_t> rows, bool centred) {
    return {.plan = &plan,
            .weight = &gain,
            .bias = &shift,
            .rows = rows,
            .elementwise = true,
            .centred = centred};
  }

  // Opened once more, together with whatever waits.
  Wire Widened(const Wire& x, int width) {
    if (x.width >= width) return x;
    return ev_.Open(ExtendRange(ev_, x, Range::kSigned, width));
  }

  // In the last layer only first tokens ask anything, and go on, unless all
  // rows are wanted.
  const std::vector<size_t>& QueryRows(size_t layer) const {
    const bool last = layer + 1 == plan_.layers.size();
    return last && what_ != EncoderOutput::kHidden ? batch_.first : batch_.rows;
  }

  Residual AttentionBlock(size_t index, const Residual& sum) {
    const Evaluator::Scope scope(ev_, "attention");
    const EncoderLayerPlan& p = plan_.layers[index];
    const EncoderMatrices::Layer& w = weights_.layers[index];
    const EncoderNormPlan& norm = NormBefore(plan_, index);
    const auto& queries = QueryRows(index);
    const bool first = index == 0;
    const StaticMatrix& gain =
        first ? weights_.embedding_gain : weights_.layers[index - 1].mlp_gain;
    const StaticMatrix& shift =
        first ? weights_.embedding_shift : weights_.layers[index - 1].mlp_shift;
    const std::array<ScaledProjection, 4> uses = {
        Plain(p.q, w.q, w.q_bias, queries),
        Plain(p.k, w.k, w.k_bias, batch_.rows),
        Plain(p.v, w.v, w.v_bias, batch_.rows),
        Normed(norm.stream, gain, shift, queries, /*centred=*/true)};
    const std::vector<Wire> in = ProjectScaled(ev_, sum, norm.norm, uses);
    // Opened together with the scores.
    const Wire values = Widened(in[2], p.attention.value_ring);
    const Wire x = Widened(in[3], p.attention_norm.sum_width);
    const Wire mixed = Mix(p.attention, in[0], in[1], values);
    const Wire out = Project(ev_, mixed, w.o, w.o_bias, p.attention_out_ring);
    return Advance(ev_, x, TruncReduce(ev_, out, kFrac), p.attention_norm.norm);
  }

  // Each text attends to all of its own tokens.
  Wire Mix(const AttentionPlan& plan, const Wire& queries, const Wire& keys,
           const Wire& values) {
    const std::vector<Wire> own_keys = Split(keys);
    std::vector<Wire> own_values;
    std::vector<AttentionSegment> segments;
    const bool all = queries.shape[0] == batch_.rows.size();
    for (size_t i = 0; i < batch_.lengths.size(); ++i) {
      const size_t begin = all ? batch_.first[i] : i;
      const size_t end = begin + (all ? batch_.lengths[i] : 1);
      segments.push_back({i, begin, end, 0, batch_.lengths[i], {}, {}});
    }
    return Attend(
        ev_, plan, queries, segments,
        [&](size_t i) -> const Wire& { return own_keys[i]; },
        [&](size_t i) -> const Wire& {
          // Not before the scores are opened, so that both share a round.
          if (own_values.empty()) own_values = Split(values);
          return own_values[i];
        });
  }

  // Rows of each text, with shares of their masks.
  std::vector<Wire> Split(const Wire& x) {
    const Wire shared = ShareMask(ev_, x);
    if (batch_.lengths.size() == 1) return {shared};
    std::vector<Wire> parts;
    for (size_t i = 0; i < batch_.lengths.size(); ++i) {
      const std::span<const size_t> rows =
          std::span(batch_.rows).subspan(batch_.first[i], batch_.lengths[i]);
      parts.push_back(GatherRows(ev_, shared, rows));
    }
    return parts;
  }

  Residual MlpBlock(size_t index, const Residual& sum) {
    const Evaluator::Scope scope(ev_, "mlp");
    const EncoderLayerPlan& p = plan_.layers[index];
    const EncoderMatrices::Layer& w = weights_.layers[index];
    const std::vector<size_t> rows = Indices(0, sum.x.shape[0]);
    const std::array<ScaledProjection, 2> uses = {
        Plain(p.gate, w.gate, w.gate_bias, rows),
        Normed(p.attention_norm.stream, w.attention_gain, w.attention_shift,
               rows, /*centred=*/true)};
    const std::vector<Wire> in =
        ProjectScaled(ev_, sum, p.attention_norm.norm, uses);
    // Opened together with the activation's table.
    const Wire x = Widened(in[1], p.mlp_norm.sum_width);
    const Wire h = Activate(ev_, plan_.config.activation, in[0], p.activation);
    const Wire out = Project(ev_, h, w.down, w.down_bias, p.mlp_out_ring);
    return Advance(ev_, x, TruncReduce(ev_, out, kFrac), p.mlp_norm.norm);
  }

  Share Head(const Residual& sum) {
    const Evaluator::Scope scope(ev_, "head");
    const NormParams& norm = plan_.layers.back().mlp_norm.norm;
    const std::vector<size_t> rows = Indices(0, sum.x.shape[0]);
    const bool hidden = what_ == EncoderOutput::kHidden;
    const std::array<ScaledProjection, 1> use = {
        hidden
            ? Normed(plan_.hidden, weights_.hidden_gain, weights_.hidden_shift,
                     rows, /*centred=*/false)
            : Plain(plan_.pooler, weights_.pooler, weights_.pooler_bias, rows)};
    const Wire y = ProjectScaled(ev_, sum, norm, use)[0];
    if (hidden) return ToShare(ev_, y);
    const Wire pooled = Activate(ev_, Activation::kTanh, y, plan_.tanh);
    if (what_ == EncoderOutput::kPooled) return ToShare(ev_, pooled);
    return AddStatic(
        ev_, MatMulStatic(ev_, pooled, weights_.classifier, plan_.logit_ring),
        weights_.classifier_bias);
  }

  Evaluator& ev_;
  const EncoderPlan& plan_;
  const EncoderMatrices& weights_;
  const Batch& batch_;
  const EncoderOutput what_;
};

// What EncoderForward returns, without contents.
Share OutputShape(const EncoderPlan& plan, std::span<const size_t> lengths,
                  EncoderOutput what) {
  const size_t hidden = plan.config.hidden_size;
  switch (what) {
    case EncoderOutput::kHidden:
      return {
          {std::accumulate(lengths.begin(), lengths.end(), size_t{0}), hidden},
          plan.hidden.width(),
          kFrac};
    case EncoderOutput::kPooled:
      return {{lengths.size(), hidden}, plan.tanh.width, kFrac};
    case EncoderOutput::kLogits:
      break;
  }
  return {{lengths.size(), plan.config.labels.size()},
          plan.logit_ring,
          kEncoderLogitFrac};
}

bool CheckInput(Evaluator& ev, const EncoderPlan& plan,
                const EncoderMatrices& weights, const Wire& tokens,
                const Wire* types, std::span<const size_t> lengths,
                EncoderOutput what) {
  constexpr absl::string_view kName = "Encoder";
  const size_t total =
      std::accumulate(lengths.begin(), lengths.end(), size_t{0});
  const auto fits = [total](const Wire& ids, int64_t vocabulary) {
    return ids.shape == Shape{total} && ids.frac == 0 &&
           ids.width == TokenWidth(static_cast<size_t>(vocabulary));
  };
  const auto [least, most] =
      std::minmax_element(lengths.begin(), lengths.end());
  if (lengths.empty() || *least == 0 || *most > plan.max_tokens) {
    ev.Reject(
        kName,
        absl::StrCat(lengths.size(), " texts of ", lengths.empty() ? 0 : *least,
                     " to ", lengths.empty() ? 0 : *most,
                     " tokens; the plan has 1 to ", plan.max_tokens));
  } else if (!fits(tokens, plan.config.vocab_size) ||
             (types != nullptr && !fits(*types, plan.config.type_vocab_size))) {
    ev.Reject(kName, absl::StrCat("tokens ", ToString(tokens.shape), " of ",
                                  tokens.width, " bits, or their segments, do ",
                                  "not fit ", total, " tokens in ",
                                  lengths.size(), " texts"));
  } else if (weights.layers.size() != plan.layers.size()) {
    ev.Reject(kName,
              absl::StrCat("weights of ", weights.layers.size(),
                           " layers for a plan of ", plan.layers.size()));
  } else if (what != EncoderOutput::kHidden && weights.pooler.n == 0) {
    ev.Reject(kName, "the model has no pooler: ask for its hidden rows");
  } else if (what == EncoderOutput::kLogits && weights.classifier.n == 0) {
    ev.Reject(kName, "the model has no classifier: ask for pooled rows");
  }
  return ev.ok();
}

}  // namespace

absl::StatusOr<EncoderPlan> PlanEncoder(const ModelConfig& config,
                                        const ModelBounds& bounds,
                                        size_t max_tokens) {
  RETURN_IF_ERROR(CheckModel(config, bounds, max_tokens));
  EncoderPlan plan;
  plan.config = config;
  plan.bounds = bounds;
  plan.max_tokens = max_tokens;
  plan.embedding_frac = EmbeddingFrac(config, bounds.embedding_norm);
  plan.embedding.entry_bound = std::ldexp(
      1.0,
      std::max({bounds.embedding, bounds.embedded, 1 - plan.embedding_frac}));
  RETURN_IF_ERROR(PlanNormOf(config, plan.embedding_frac, bounds.embedding_norm,
                             bounds.embedding_normed, plan.embedding_norm));
  for (size_t i = 0; i < bounds.layers.size(); ++i) {
    EncoderLayerPlan& layer = plan.layers.emplace_back();
    RETURN_IF_ERROR(InLayer(i, PlanAttentionBlock(plan, i, layer)));
    RETURN_IF_ERROR(InLayer(i, PlanMlpBlock(plan, i, layer)));
  }
  RETURN_IF_ERROR(PlanHeads(plan));
  RETURN_IF_ERROR(PlanStreams(plan));
  return plan;
}

EncoderTensors<MatrixSpec> EncoderSpecs(const EncoderPlan& plan,
                                        const ModelWeights* weights) {
  EncoderTensors<MatrixSpec> out;
  AddEmbeddingSpecs(plan, weights, out);
  const NormWeights* before = weights ? &weights->embedding_norm : nullptr;
  for (size_t i = 0; i < plan.layers.size(); ++i) {
    const LayerWeights* layer = weights ? &weights->layers[i] : nullptr;
    out.layers.push_back(LayerSpecs(plan, i, before, layer));
    before = layer ? &layer->mlp_norm : nullptr;
  }
  AddHeadSpecs(plan, before, weights, out);
  return out;
}

EncoderTensors<MatrixSpec> EncoderEmbeddingSpecs(const EncoderPlan& plan,
                                                 const ModelWeights* weights) {
  EncoderTensors<MatrixSpec> out;
  AddEmbeddingSpecs(plan, weights, out);
  return out;
}

EncoderTensors<MatrixSpec> EncoderLayerSpecs(const EncoderPlan& plan,
                                             size_t index,
                                             const NormWeights* before,
                                             const LayerWeights* weights) {
  EncoderTensors<MatrixSpec> out;
  out.layers.resize(plan.layers.size());
  out.layers[index] = LayerSpecs(plan, index, before, weights);
  return out;
}

EncoderTensors<MatrixSpec> EncoderHeadSpecs(const EncoderPlan& plan,
                                            const NormWeights* before,
                                            const ModelWeights* weights) {
  EncoderTensors<MatrixSpec> out;
  AddHeadSpecs(plan, before, weights, out);
  return out;
}

absl::StatusOr<EncoderShares> ShareEncoder(const EncoderPlan& plan,
                                           const ModelWeights& weights,
                                           WeightMode mode, const Seed& seed) {
  return ShareMatrices<EncoderTensors>(EncoderSpecs(plan, &weights), mode,
                                       seed);
}

Share EncoderForward(Evaluator& ev, const EncoderPlan& plan,
                     const EncoderMatrices& weights, const Wire& tokens,
                     const Wire* types, std::span<const size_t> lengths,
                     EncoderOutput what) {
  if (!CheckInput(ev, plan, weights, tokens, types, lengths, what)) {
    return OutputShape(plan, lengths, what);
  }
  const Batch batch = MakeBatch(lengths);
  return Encoder(ev, plan, weights, batch, what).Run(tokens, types);
}

}  // namespace tacit

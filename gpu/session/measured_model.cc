#include "gpu/session/measured_model.h"

#include <array>
#include <cmath>
#include <map>
#include <memory>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "common/base/buffer.h"
#include "common/base/status_macros.h"
#include "common/gates/matmul.h"
#include "common/models/bounds.h"
#include "common/models/decoder.h"
#include "common/models/encoder.h"
#include "common/models/float_model.h"
#include "common/models/shapes.h"
#include "common/models/share_weights.h"
#include "common/models/typical_weights.h"
#include "common/nn/embedding.h"
#include "common/prg/prg.h"
#include "common/prg/seed.h"

namespace tacit::gpu {
namespace {

constexpr char kLlamaTiny[] = "llama-tiny";

template <typename Plan, typename Shares>
struct Shared {
  Plan plan;
  Shares shares;
};
using SharedDecoder = Shared<DecoderPlan, DecoderShares>;
using SharedEncoder = Shared<EncoderPlan, EncoderShares>;

void Forward(Evaluator& ev, const SharedDecoder& model, const Wire& ids,
             DecoderCache& cache) {
  ev.Output(DecoderForward(ev, model.plan, Pick(ev, model.shares), ids, cache));
}
void Forward(Evaluator& ev, const SharedEncoder& model, const Wire& ids,
             DecoderCache&) {
  const std::array<size_t, 1> lengths = {ids.size()};
  ev.Output(EncoderForward(ev, model.plan, Pick(ev, model.shares), ids, nullptr,
                           lengths, EncoderOutput::kLogits));
}

template <typename T>
MeasuredModel ToModel(std::shared_ptr<const T> shared) {
  MeasuredModel model;
  model.config = shared->plan.config;
  shared->shares.dealer.ForEach([&](const std::string&, const StaticMatrix& m) {
    model.parameters += uint64_t{m.k} * m.n;
  });
  model.session = [shared](Evaluator& ev, const std::vector<size_t>& passes,
                           const std::function<void()>& ended) {
    const int width = TokenWidth(shared->plan.config.vocab_size);
    DecoderCache cache;
    for (size_t tokens : passes) {
      Forward(ev, *shared, ev.Input({tokens}, width, 0), cache);
      ended();
    }
  };
  return model;
}

// Weights in floats, bounds from a pass over the very tokens: values stay
// within the plan's bounds, and outputs mean something.
absl::StatusOr<MeasuredModel> CalibratedModel(
    const ModelConfig& config, const std::vector<int64_t>& tokens) {
  const ModelWeights weights = TypicalWeights(config, /*seed=*/2026);
  ModelRanges ranges;
  RETURN_IF_ERROR(CalibrateOn(weights, tokens, ranges));
  const ModelBounds bounds = BoundsOf(ranges);
  ASSIGN_OR_RETURN(const Seed seed, OsSeedSource().Next());
  if (config.is_bert()) {
    auto model = std::make_shared<SharedEncoder>();
    ASSIGN_OR_RETURN(model->plan, PlanEncoder(config, bounds, tokens.size()));
    ASSIGN_OR_RETURN(
        model->shares,
        ShareEncoder(model->plan, weights, WeightMode::kDealerHeld, seed));
    return ToModel<SharedEncoder>(std::move(model));
  }
  auto model = std::make_shared<SharedDecoder>();
  ASSIGN_OR_RETURN(model->plan, PlanDecoder(config, bounds, tokens.size()));
  ASSIGN_OR_RETURN(model->shares, ShareDecoder(model->plan, weights,
                                               WeightMode::kDealerHeld, seed));
  return ToModel<SharedDecoder>(std::move(model));
}

// Memory that belongs to another buffer, which stays while it is used. Unlike
// other `Memory` it is this host's, and its elements are within reach.
class Borrowed final : public Memory {
 public:
  explicit Borrowed(WordsRef owner) : owner_(std::move(owner)) {}
  void Free(void*, size_t) override {}  // the owner does

 private:
  const WordsRef owner_;
};

// The same words in a buffer of its own. Nobody writes to either.
WordsRef ViewOf(const WordsRef& words) {
  if (words == nullptr) return nullptr;
  return std::make_shared<const Words>(std::make_shared<Borrowed>(words),
                                       const_cast<uint64_t*>(words->data()),
                                       words->size());
}
StaticMatrix ViewOf(const StaticMatrix& matrix) {
  StaticMatrix view = matrix;
  view.value = ViewOf(matrix.value);
  view.part = ViewOf(matrix.part);
  return view;
}

// Entries that keep the size of what they multiply: uniform, with a deviation
// of 1 / sqrt(inputs).
Words RandomEntries(const MatrixSpec& spec, const Prg& stream) {
  const double bound = std::sqrt(3.0 / static_cast<double>(spec.inputs));
  const int64_t scale = std::llround(std::ldexp(bound, spec.frac));
  Words entries(spec.inputs * spec.outputs);
  stream.Fill(0, std::span<uint64_t>(entries));
  for (uint64_t& entry : entries) {
    const int64_t fraction = static_cast<int64_t>(entry) >> 32;  // of 2^31
    entry = static_cast<uint64_t>((fraction * scale) >> 31);
  }
  return entries;
}

absl::StatusOr<StaticMatrixShares> RandomMatrix(const MatrixSpec& spec,
                                                const std::string& name,
                                                const WeightSeeds& seeds) {
  // Dealer-held weights are shared by the first of the streams alone.
  ASSIGN_OR_RETURN(const Seed share, MatrixSeed(seeds.stream[0], name));
  ASSIGN_OR_RETURN(const Seed entries, MatrixSeed(seeds.stream[1], name));
  const Prg stream(share);
  return ShareStaticMatrix(RandomEntries(spec, Prg(entries)), spec.inputs,
                           spec.outputs, spec.frac, spec.layout,
                           WeightMode::kDealerHeld, stream, stream);
}

std::vector<StaticMatrix*> AllOf(DecoderMatrices& matrices) {
  std::vector<StaticMatrix*> all;
  matrices.ForEach(
      [&](const std::string&, StaticMatrix& m) { all.push_back(&m); });
  return all;
}

// One layer's weights, which all layers view.
absl::StatusOr<DecoderShares> ShareOneLayer(const DecoderPlan& plan,
                                            const Seed& seed) {
  ASSIGN_OR_RETURN(const WeightSeeds seeds, WeightSeeds::Derive(seed));
  const DecoderTensors<MatrixSpec> specs = DecoderSpecs(plan, nullptr);
  DecoderShares out;
  for (DecoderMatrices* role :
       {&out.dealer, &out.party[0], &out.party[1], &out.plain}) {
    role->Like(specs);
  }
  const std::vector<StaticMatrix*> dealer = AllOf(out.dealer),
                                   party0 = AllOf(out.party[0]),
                                   party1 = AllOf(out.party[1]),
                                   plain = AllOf(out.plain);
  std::map<std::string, StaticMatrixShares> made;
  absl::Status status;
  size_t index = 0;
  specs.ForEach([&](const std::string& name, const MatrixSpec& spec) {
    const size_t i = index++;
    if (!status.ok() || spec.outputs == 0) return;
    // "layers.3.q" is "q".
    const std::string kind = name.substr(name.rfind('.') + 1);
    auto it = made.find(kind);
    if (it == made.end()) {
      auto shares = RandomMatrix(spec, kind, seeds);
      if (!shares.ok()) {
        status = shares.status();
        return;
      }
      it = made.emplace(kind, *std::move(shares)).first;
    }
    *dealer[i] = ViewOf(it->second.dealer);
    *party0[i] = ViewOf(it->second.party[0]);
    *party1[i] = ViewOf(it->second.party[1]);
    *plain[i] = ViewOf(it->second.plain);
  });
  RETURN_IF_ERROR(status);
  return out;
}

// For models of which this host's memory does not hold the weights of every
// layer, of three roles.
absl::StatusOr<MeasuredModel> OneLayerModel(const ModelConfig& config,
                                            size_t context) {
  auto model = std::make_shared<SharedDecoder>();
  ASSIGN_OR_RETURN(model->plan,
                   PlanDecoder(config, TypicalBounds(config), context));
  ASSIGN_OR_RETURN(const Seed seed, OsSeedSource().Next());
  ASSIGN_OR_RETURN(model->shares, ShareOneLayer(model->plan, seed));
  return ToModel<SharedDecoder>(std::move(model));
}

}  // namespace

std::vector<std::string> MeasuredShapes() {
  std::vector<std::string> names = ShapeNames();
  names.emplace_back(kLlamaTiny);
  return names;
}

absl::StatusOr<ModelConfig> MeasuredConfig(const std::string& shape) {
  if (shape != kLlamaTiny) return ShapeConfig(shape);
  ASSIGN_OR_RETURN(ModelConfig config, ShapeConfig("llama-7b"));
  config.vocab_size = 300;
  config.hidden_size = 64;
  config.intermediate_size = 160;
  config.num_layers = 3;
  config.num_heads = config.num_kv_heads = 4;
  config.head_dim = 16;
  return config;
}

absl::StatusOr<MeasuredModel> MakeMeasuredModel(
    const ModelConfig& config, const std::vector<int64_t>& tokens) {
  return config.architecture == Architecture::kLlama
             ? OneLayerModel(config, tokens.size())
             : CalibratedModel(config, tokens);
}

}  // namespace tacit::gpu

#include "services/cli/plan.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "common/models/bounds.h"
#include "common/models/float_model.h"
#include "common/models/plan_cost.h"
#include "common/models/plan_file.h"
#include "common/models/shapes.h"
#include "nlohmann/json.hpp"
#include "services/cli/model.h"

namespace tacit {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kDefaultContext = 128;
constexpr char kSigmaShape[] = "llama-7b";

struct Planned {
  std::string name;
  size_t context = 0;
  bool decodes = true;  // else one pass is all
  std::string description;
  PlanDigest digest;
  PlanCost cost;
};

absl::StatusOr<size_t> ContextOf(const PlanOptions& options,
                                 const ModelConfig& config) {
  const size_t most = static_cast<size_t>(config.max_positions);
  if (options.context > most) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a context of ", options.context, "; the model holds ", most));
  }
  return options.context != 0 ? options.context
                              : std::min(kDefaultContext, most);
}

template <typename Plan>
absl::Status Describe(const Plan& plan, const PlanOptions& options,
                      Planned& out) {
  out.description = tacit::Describe(plan);
  ASSIGN_OR_RETURN(out.digest, DigestOf(plan));
  ASSIGN_OR_RETURN(out.cost, CostOf(plan, options.weights, options.rounding));
  return absl::OkStatus();
}

absl::StatusOr<Planned> PlanIt(const PlanOptions& options) {
  Planned out;
  ModelConfig config;
  ModelBounds bounds;
  size_t context = 0;
  if (!options.shape.empty()) {
    ASSIGN_OR_RETURN(config, ShapeConfig(options.shape));
    ASSIGN_OR_RETURN(context, ContextOf(options, config));
    bounds = TypicalBounds(config);
    out.name = options.shape;
  } else {
    ASSIGN_OR_RETURN(const LoadedModel model, LoadModel(options.model));
    config = model.config;
    ASSIGN_OR_RETURN(context, ContextOf(options, config));
    ASSIGN_OR_RETURN(bounds, BoundsFor(model.weights, "", context));
    out.name = model.folder;
  }
  out.context = context;
  out.decodes = !config.is_bert();
  if (out.decodes) {
    ASSIGN_OR_RETURN(const DecoderPlan plan,
                     PlanDecoder(config, bounds, context, options.objective));
    RETURN_IF_ERROR(Describe(plan, options, out));
  } else {
    ASSIGN_OR_RETURN(const EncoderPlan plan,
                     PlanEncoder(config, bounds, context));
    RETURN_IF_ERROR(Describe(plan, options, out));
  }
  if (!options.save.empty()) {
    RETURN_IF_ERROR(
        SavePlanFile({context, options.objective, bounds}, options.save));
  }
  return out;
}

Json CostJson(const Cost& cost) {
  return {{"rounds", cost.rounds},
          {"opened_bytes", cost.opened_bytes},
          {"material_bytes", cost.material_bytes},
          {"aes_calls",
           {{"dealer", cost.dealer_aes},
            {"party0", cost.party_aes[0]},
            {"party1", cost.party_aes[1]}}}};
}

Json PassJson(const PassCost& pass, bool parts) {
  Json json = CostJson(pass.total);
  if (!parts) return json;
  Json by_part = Json::array();
  for (const auto& [name, cost] : pass.parts) {
    Json part = {{"part", name}};
    part.update(CostJson(cost));
    by_part.push_back(std::move(part));
  }
  json["parts"] = std::move(by_part);
  return json;
}

Json MemoryJson(const RoleMemory& memory) {
  return {{"weights", memory.weights}, {"kv_cache", memory.kv_cache}};
}

std::string ReportJson(const Planned& p, const PlanOptions& options) {
  Json json = {
      {"model", p.name},
      {"digest", ToHex(p.digest)},
      {"context", p.context},
      {"per_token",
       p.decodes ? PassJson(p.cost.per_token, options.cost) : Json(nullptr)},
      {"prefill", PassJson(p.cost.prefill, options.cost)},
      {"memory",
       {{"dealer", MemoryJson(p.cost.dealer)},
        {"party", MemoryJson(p.cost.party)}}},
      {"plan", Json::parse(p.description)}};
  return json.dump(2);
}

std::string Row(absl::string_view name, const Cost& c) {
  return absl::StrFormat("%-22s %7d %11.3f %11.3f %11.3f %11.3f %9.2f\n",
                         std::string(name), c.rounds, c.opened_bytes[0] / 1e6,
                         c.opened_bytes[1] / 1e6, c.material_bytes[0] / 1e6,
                         c.material_bytes[1] / 1e6,
                         static_cast<double>(c.aes_calls()) / 1e6);
}

void AppendPass(std::string& out, absl::string_view name, const PassCost& pass,
                bool parts) {
  out += Row(name, pass.total);
  if (!parts) return;
  for (const auto& [part, cost] : pass.parts) {
    out += Row(absl::StrCat("  ", part), cost);
  }
}

// Gupta et al., SIGMA, PoPETs 2024(4), and its artifact: one pass over 128
// tokens of LLaMA-7B, key and traffic as published, openings as counted.
constexpr char kSigma[] =
    "\nSIGMA, one pass over 128 tokens of LLaMA-7B, without generation:\n"
    "  key 255 GB on disk; 12.1 GB opened by both parties; 3,648 openings\n";

std::string Reductions(const PlanCost& cost) {
  const double prefill = cost.prefill.total.material_bytes[1] / 1e9;
  return absl::StrFormat(
      "Tacit's prefill beside it: %.2f GB of material for party 1, streamed "
      "while it\nis used. Further reductions, and what each would need:\n"
      "  rounds: the coarse maximum once for several steps (3 a layer), or\n"
      "    several tokens a step by speculation\n"
      "  material of attention: 8 bits for scores' histograms, tournaments\n"
      "    instead (fewer bytes, more rounds)\n"
      "  material of the MLP: a step of 1/8 for SiLU (16 bytes less an "
      "element,\n    twice the error)\n"
      "  openings: fewer fraction bits for projections of the residual "
      "stream\n",
      prefill);
}

std::string ReportTable(const Planned& p, const PlanOptions& options) {
  std::string out = absl::StrFormat(
      "%s, context %d\ndigest %s\n\n"
      "%-22s %7s %11s %11s %11s %11s %9s\n%-22s %7s %11s %11s %11s %11s %9s\n",
      p.name, p.context, ToHex(p.digest), "", "rounds", "opened P0",
      "opened P1", "material P0", "material P1", "AES", "", "", "MB", "MB",
      "MB", "MB", "million");
  if (p.decodes) {
    AppendPass(out, "a token, at the end", p.cost.per_token, options.cost);
    AppendPass(out, absl::StrCat("prefill of ", p.context - 1, " tokens"),
               p.cost.prefill, options.cost);
  } else {
    AppendPass(out, absl::StrCat("a text of ", p.context, " tokens"),
               p.cost.prefill, options.cost);
  }
  absl::StrAppendFormat(
      &out,
      "\nmemory, MB: dealer %.1f weights + %.1f cache, each party %.1f weights "
      "+ %.1f cache\n",
      p.cost.dealer.weights / 1e6, p.cost.dealer.kv_cache / 1e6,
      p.cost.party.weights / 1e6, p.cost.party.kv_cache / 1e6);
  if (options.cost && options.shape == kSigmaShape) {
    absl::StrAppend(&out, kSigma, Reductions(p.cost));
  }
  return out;
}

}  // namespace

absl::StatusOr<std::string> PlanReport(const PlanOptions& options) {
  ASSIGN_OR_RETURN(const Planned planned, PlanIt(options));
  return options.json ? ReportJson(planned, options)
                      : ReportTable(planned, options);
}

}  // namespace tacit

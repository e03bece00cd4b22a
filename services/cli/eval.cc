#include "services/cli/eval.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <span>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/gates/two_party.h"
#include "common/models/classify.h"
#include "common/models/float_model.h"
#include "common/models/json_file.h"
#include "common/models/plan_file.h"
#include "common/nn/embedding.h"
#include "nlohmann/json.hpp"
#include "services/cli/model.h"

namespace tacit {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxTextBytes = size_t{1} << 30;

size_t ArgMax(std::span<const double> values) {
  return static_cast<size_t>(std::max_element(values.begin(), values.end()) -
                             values.begin());
}

std::vector<double> LogSoftmax(std::span<const double> logits) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (double v : logits) sum += std::exp(v - max);
  std::vector<double> out(logits.begin(), logits.end());
  for (double& v : out) v -= max + std::log(sum);
  return out;
}

double Divergence(std::span<const double> p, std::span<const double> q) {
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += std::exp(p[i]) * (p[i] - q[i]);
  return sum;
}

// Sums; Finish makes means of them.
class Meter {
 public:
  // A row of logits, what came next (or the label), and float's row.
  void Add(std::span<const double> logits, std::span<const double> reference,
           size_t next) {
    const std::vector<double> p = LogSoftmax(reference), q = LogSoftmax(logits);
    ++figures_.count;
    figures_.nll -= q[next];
    figures_.agreement += ArgMax(logits) == ArgMax(reference);
    figures_.divergence += Divergence(p, q);
    figures_.accuracy += ArgMax(logits) == next;
  }
  void AddSeconds(double seconds) { figures_.seconds += seconds; }
  EvalFigures Finish() const {
    EvalFigures out = figures_;
    const double n = std::max<double>(1, static_cast<double>(out.count));
    out.nll /= n;
    out.agreement /= n;
    out.divergence /= n;
    out.accuracy /= n;
    return out;
  }

 private:
  EvalFigures figures_;
};

std::vector<double> Row(const std::vector<float>& rows, size_t index,
                        size_t size) {
  return {rows.begin() + index * size, rows.begin() + (index + 1) * size};
}
std::vector<double> FixedRow(const std::vector<int64_t>& rows, size_t index,
                             size_t size) {
  std::vector<double> out(size);
  for (size_t i = 0; i < size; ++i) {
    out[i] =
        std::ldexp(static_cast<double>(rows[index * size + i]), -kLogitFrac);
  }
  return out;
}

// The text in stretches of `context` tokens, each after a BOS of its own where
// the tokenizer writes one.
absl::StatusOr<std::vector<std::vector<int64_t>>> Stretches(
    const Tokenizer& tokenizer, const std::string& text, size_t context) {
  constexpr size_t kPiece = size_t{4} << 20;  // of what the tokenizer takes
  EncodeOptions plain;
  plain.add_special = false;
  ASSIGN_OR_RETURN(const std::vector<int32_t> special, tokenizer.Encode(""));
  std::vector<int64_t> ids;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(begin + kPiece, text.size());
    while (end > begin && end < text.size() && text[end - 1] != '\n') --end;
    if (end == begin) end = text.size();
    ASSIGN_OR_RETURN(
        const std::vector<int32_t> piece,
        tokenizer.Encode(absl::string_view(text).substr(begin, end - begin),
                         plain));
    ids.insert(ids.end(), piece.begin(), piece.end());
    begin = end;
  }
  const size_t own = context - std::min(context - 1, special.size());
  std::vector<std::vector<int64_t>> out;
  for (size_t begin = 0; begin + 1 < ids.size(); begin += own) {
    std::vector<int64_t>& stretch =
        out.emplace_back(special.begin(), special.end());
    const size_t end = std::min(begin + own, ids.size());
    stretch.insert(stretch.end(), ids.begin() + begin, ids.begin() + end);
  }
  return out;
}

// A stretch in one pass, all positions' logits.
Program AllLogits(const PlannedDecoder& planned, const DecoderShares& shares,
                  size_t tokens) {
  return [&planned, &shares, tokens](Evaluator& ev) {
    const Wire ids =
        ev.Input({tokens}, TokenWidth(planned.plan.config.vocab_size), 0);
    DecoderCache cache;
    ev.Output(DecoderForward(ev, planned.plan, Pick(ev, shares), ids, cache,
                             LogitsOf::kAll));
  };
}

// The three ways to run a program, and what each makes of it.
class Evaluation {
 public:
  Evaluation(const EvalOptions& options, const LoadedModel& model,
             const PlanDigest& digest)
      : options_(options), model_(model), digest_(digest) {}

  // `reference` is what float gives: rows of `columns`, after `seconds`.
  // next[i] is what came after row i, or its label.
  absl::Status Add(const Program& program,
                   const std::vector<InputValue>& inputs,
                   const std::vector<float>& reference, double seconds,
                   size_t columns, std::span<const int64_t> next, bool secure) {
    reference_.AddSeconds(seconds);
    ASSIGN_OR_RETURN(const SessionSeeds seeds,
                     SessionSeeds::Generate(OsSeedSource()));
    TwoPartyOptions roles;
    roles.rounding = options_.rounding;
    roles.plan = digest_;
    roles.threads = options_.threads;
    absl::Time start = SteadyNow();
    ASSIGN_OR_RETURN(const auto plain, RunPlain(roles, seeds, program, inputs));
    plain_.AddSeconds(SecondsSince(start));
    std::vector<std::vector<int64_t>> secret;
    if (secure) {
      start = SteadyNow();
      ASSIGN_OR_RETURN(TwoPartyResult run,
                       RunTwoParty(roles, seeds, program, inputs));
      secure_.AddSeconds(SecondsSince(start));
      secret = std::move(run.outputs);
      equal_ = equal_ && secret == plain;
    }
    for (size_t i = 0; i < next.size(); ++i) {
      const std::vector<double> want = Row(reference, i, columns);
      const size_t right = static_cast<size_t>(next[i]);
      reference_.Add(want, want, right);
      plain_.Add(FixedRow(plain[0], i, columns), want, right);
      if (secure) secure_.Add(FixedRow(secret[0], i, columns), want, right);
    }
    return absl::OkStatus();
  }

  EvalResult Finish(bool classifies) const {
    EvalResult out;
    out.model = model_.folder;
    out.classifies = classifies;
    out.reference = reference_.Finish();
    out.plain = plain_.Finish();
    out.secure = secure_.Finish();
    out.secure_equals_plain = equal_;
    return out;
  }

 private:
  const EvalOptions& options_;
  const LoadedModel& model_;
  const PlanDigest digest_;
  Meter reference_, plain_, secure_;
  bool equal_ = true;
};

absl::StatusOr<EvalResult> EvalText(const EvalOptions& options,
                                    const LoadedModel& model) {
  ASSIGN_OR_RETURN(const std::string text,
                   ReadWholeFile(options.text, kMaxTextBytes));
  const size_t context = std::min(
      options.context, static_cast<size_t>(model.config.max_positions));
  ASSIGN_OR_RETURN(const auto stretches,
                   Stretches(*model.tokenizer, text, context));
  if (stretches.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.text, ": fewer than two tokens"));
  }
  ASSIGN_OR_RETURN(const PlannedDecoder planned,
                   PlanModel(model.weights, options.plan, context));
  ASSIGN_OR_RETURN(const Seed seed, OsSeedSource().Next());
  ASSIGN_OR_RETURN(
      const DecoderShares shares,
      ShareDecoder(planned.plan, model.weights, options.weights, seed));
  Evaluation evaluation(options, model, planned.digest);
  const size_t vocabulary = model.config.vocab_size;
  size_t done = 0;
  for (const std::vector<int64_t>& stretch : stretches) {
    const absl::Time start = SteadyNow();
    ASSIGN_OR_RETURN(const std::vector<float> reference,
                     FloatForward(model.weights, stretch));
    RETURN_IF_ERROR(evaluation.Add(AllLogits(planned, shares, stretch.size()),
                                   {{stretch, TokenWidth(vocabulary)}},
                                   reference, SecondsSince(start), vocabulary,
                                   std::span(stretch).subspan(1),
                                   options.limit == 0 || done < options.limit));
    done += stretch.size();
  }
  return evaluation.Finish(/*classifies=*/false);
}

// A labelled sentence.
struct Example {
  std::string text;
  int64_t label;
};

// Lines SENTENCE<TAB>LABEL, labels by number or name; a first line whose label
// is neither is a header.
absl::StatusOr<std::vector<Example>> ReadExamples(
    const std::string& path, const std::vector<std::string>& labels) {
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path, kMaxTextBytes));
  std::vector<Example> examples;
  size_t number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripSuffix(line, "\r");
    if (line.empty()) continue;
    const size_t tab = line.rfind('\t');
    const absl::string_view name =
        tab == absl::string_view::npos ? "" : line.substr(tab + 1);
    int64_t label =
        std::find(labels.begin(), labels.end(), name) - labels.begin();
    if (label == static_cast<int64_t>(labels.size()) &&
        (!absl::SimpleAtoi(name, &label) || label < 0 ||
         label >= static_cast<int64_t>(labels.size()))) {
      if (number == 1) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(path, ":", number, ": no label behind a tab; there are ",
                       labels.size()));
    }
    examples.push_back({std::string(line.substr(0, tab)), label});
  }
  if (examples.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": no line with a label"));
  }
  return examples;
}

absl::StatusOr<EvalResult> EvalClassifier(const EvalOptions& options,
                                          const LoadedModel& model) {
  ASSIGN_OR_RETURN(const std::vector<Example> examples,
                   ReadExamples(options.classify, model.config.labels));
  // Lines may be as long as the model, or the plan file, allows.
  const size_t most = options.plan.empty()
                          ? static_cast<size_t>(model.config.max_positions)
                          : 1;
  ASSIGN_OR_RETURN(const PlannedEncoder planned,
                   PlanClassifier(model.weights, options.plan, most));
  const EncoderPlan& plan = planned.plan;
  ASSIGN_OR_RETURN(const Seed seed, OsSeedSource().Next());
  ASSIGN_OR_RETURN(const EncoderShares shares,
                   ShareEncoder(plan, model.weights, options.weights, seed));
  Evaluation evaluation(options, model, planned.digest);
  size_t done = 0;
  for (const Example& example : examples) {
    ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                     model.tokenizer->Encode(example.text));
    const std::vector<int64_t> tokens(ids.begin(), ids.end());
    const TextBatch batch = {{tokens}, {}};
    RETURN_IF_ERROR(CheckTexts(plan, batch));
    const absl::Time start = SteadyNow();
    ASSIGN_OR_RETURN(const FloatEncoding reference,
                     FloatEncode(model.weights, tokens, {}));
    const ClassificationShape shape = ShapeOf(batch);
    const std::array<int64_t, 1> label = {example.label};
    RETURN_IF_ERROR(evaluation.Add(
        [&](Evaluator& ev) { Classify(ev, plan, Pick(ev, shares), shape); },
        {{tokens, TokenWidth(model.config.vocab_size)}}, reference.logits,
        SecondsSince(start), model.config.labels.size(), label,
        options.limit == 0 || done < options.limit));
    ++done;
  }
  return evaluation.Finish(/*classifies=*/true);
}

Json FiguresJson(const EvalFigures& f, bool classifies) {
  Json json = {{"count", f.count}, {"nll", f.nll}};
  if (classifies) {
    json["accuracy"] = f.accuracy;
  } else {
    json["perplexity"] = f.perplexity();
  }
  json["agreement"] = f.agreement;
  json["divergence"] = f.divergence;
  json["seconds"] = f.seconds;
  return json;
}

}  // namespace

double EvalFigures::perplexity() const { return std::exp(nll); }

absl::StatusOr<EvalResult> EvalModel(const EvalOptions& options) {
  if (options.text.empty() == options.classify.empty()) {
    return absl::InvalidArgumentError("name one file, --text or --classify");
  }
  ASSIGN_OR_RETURN(const LoadedModel model, LoadModel(options.model));
  if (model.config.is_bert() == options.classify.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(ToString(model.config.architecture), " takes ",
                     model.config.is_bert() ? "--classify" : "--text"));
  }
  return model.config.is_bert() ? EvalClassifier(options, model)
                                : EvalText(options, model);
}

std::string ToTable(const EvalResult& r) {
  std::string out = absl::StrFormat(
      "%s\n%-20s %9s %12s %12s %11s %9s\n", r.model, "", "count",
      r.classifies ? "accuracy" : "perplexity", "like float", "KL", "seconds");
  auto row = [&](const char* name, const EvalFigures& f) {
    if (f.count == 0) return;
    absl::StrAppendFormat(&out, "%-20s %9d %12.6f %12.6f %11.2e %9.2f\n", name,
                          f.count, r.classifies ? f.accuracy : f.perplexity(),
                          f.agreement, f.divergence, f.seconds);
  };
  row("float32", r.reference);
  row("plain fixed point", r.plain);
  row("private", r.secure);
  if (r.secure.count != 0) {
    absl::StrAppend(&out, "private equals plain bit for bit: ",
                    r.secure_equals_plain ? "yes" : "NO");
  }
  return out;
}

std::string ToJson(const EvalResult& r) {
  const Json json = {{"model", r.model},
                     {"float", FiguresJson(r.reference, r.classifies)},
                     {"plain", FiguresJson(r.plain, r.classifies)},
                     {"private", FiguresJson(r.secure, r.classifies)},
                     {"private_equals_plain", r.secure_equals_plain}};
  return json.dump(2);
}

}  // namespace tacit

// Measures whole models on one device: the dealer and both parties as threads
// of this process, with random weights.
//
// Exit status: 0; 1 if an output is wrong or a run failed; 2 if there is no
// usable device, in CUDA's words.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/gates/session.h"
#include "common/gates/two_party.h"
#include "common/models/config.h"
#include "common/models/typical_weights.h"
#include "common/nn/embedding.h"
#include "common/prg/seed.h"
#include "gpu/base/device.h"
#include "gpu/base/status.h"
#include "gpu/session/device.h"
#include "gpu/session/measured_model.h"
#include "nlohmann/json.hpp"

namespace tacit::gpu {
namespace {

constexpr uint64_t kSeed = 2026;  // of tokens

struct Options {
  std::string device = "cuda";
  std::vector<std::string> shapes = {"bert-tiny", "bert-base", "gpt2",
                                     "llama-7b"};
  std::string json;  // a file; empty: none
  size_t prefill = 128;
  std::optional<size_t> decode;  // of decoders; unset: see DecodeTokens
  int threads = 1;               // of each role, for what the host computes
};

// Tokens of each of a session's passes: a prompt, then one at a time.
using Passes = std::vector<size_t>;

Passes PassesOf(size_t prefill, size_t decode) {
  Passes passes(1 + decode, 1);
  passes[0] = prefill;
  return passes;
}

size_t DecodeTokens(const ModelConfig& config, const Options& options) {
  constexpr size_t kDefault = 32;
  if (config.is_bert()) return 0;
  const bool llama = config.architecture == Architecture::kLlama;
  return options.decode.value_or(llama ? kDefault : 0);
}

// ---- Runs ----

// Wall clocks in seconds. Party 0's for the passes: a prompt's, and those of
// all further tokens.
struct Phases {
  double dealer = 0, online = 0, prefill = 0, decode = 0;
};

struct Run {
  Phases phases;
  Cost counted;
  std::vector<std::vector<int64_t>> outputs;
};

enum class Verdict { kNotCompared, kRunsAgree, kEqualsPlain, kWrong };

absl::string_view ToString(Verdict verdict) {
  switch (verdict) {
    case Verdict::kNotCompared:
      return "not compared";
    case Verdict::kRunsAgree:
      return "both runs agree";
    case Verdict::kEqualsPlain:
      return "equal to plain";
    case Verdict::kWrong:
      return "WRONG";
  }
  return "";
}

// What is known of a model; as much as there is, if a run failed.
struct Report {
  std::string shape;
  size_t prefill = 0, decode = 0;
  uint64_t parameters = 0;
  double seconds_setup = 0, seconds_warm_up = 0;
  // With all material dealt before the parties start, if the host holds it; and
  // with all three roles at the same time.
  std::optional<Phases> beforehand, streamed;
  Cost counted;
  std::optional<uint64_t> device_bytes;
  Verdict verdict = Verdict::kNotCompared;
  absl::Status status;

  bool failed() const { return !status.ok() || verdict == Verdict::kWrong; }
};

// Where a time limit ends the program, these tell what it was at.
void Progress(const Report& report, absl::string_view what, double seconds) {
  std::fprintf(stderr, "gpu_end_to_end: %s: %s, %.2f s\n", report.shape.c_str(),
               std::string(what).c_str(), seconds);
}

std::vector<InputValue> InputsOf(const MeasuredModel& model,
                                 const std::vector<int64_t>& tokens,
                                 const Passes& passes) {
  const int width = TokenWidth(model.config.vocab_size);
  std::vector<InputValue> inputs;
  auto next = tokens.begin();
  for (size_t n : passes) {
    inputs.push_back({{next, next + n}, width});
    next += n;
  }
  return inputs;
}

// A decode step's token does not depend on the last step's logits, as a user's
// would: that costs the roles nothing, and runs can be compared.
class Runner {
 public:
  Runner(const MeasuredModel& model, const std::vector<int64_t>& tokens,
         Device* device, int threads)
      : model_(model), tokens_(tokens) {
    // Some blocks of a device, so that the dealer can run ahead.
    options_.channel.material_capacity = size_t{256} << 20;
    options_.threads = threads;
    options_.accelerator = SessionsOn(device);
  }

  absl::StatusOr<Run> Measure(const Passes& passes, const SessionSeeds& seeds,
                              bool beforehand) const {
    TwoPartyOptions options = options_;
    options.prefetch = beforehand;
    std::vector<absl::Time> times;  // party 0's
    ASSIGN_OR_RETURN(TwoPartyResult result,
                     RunTwoParty(
                         options, seeds,
                         [&](Evaluator& ev) {
                           const bool timed = ev.is_party() && ev.party() == 0;
                           const auto mark = [&] {
                             if (timed) times.push_back(SteadyNow());
                           };
                           mark();
                           model_.session(ev, passes, mark);
                         },
                         InputsOf(model_, tokens_, passes)));
    Run run;
    run.counted = result.counted;
    run.outputs = std::move(result.outputs);
    run.phases.dealer = result.seconds_deal;
    run.phases.online =
        std::max(result.seconds_online[0], result.seconds_online[1]);
    run.phases.prefill = absl::ToDoubleSeconds(times.at(1) - times.at(0));
    run.phases.decode = absl::ToDoubleSeconds(times.back() - times.at(1));
    return run;
  }

  // Without accelerator and channels, on all of this host's cores.
  absl::StatusOr<std::vector<std::vector<int64_t>>> Plain(
      const Passes& passes, const SessionSeeds& seeds) const {
    TwoPartyOptions options = options_;
    options.threads =
        std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    return RunPlain(options, seeds, ProgramOf(passes),
                    InputsOf(model_, tokens_, passes));
  }

  absl::StatusOr<Cost> Declared(const Passes& passes) const {
    return DeclaredCost(ProgramOf(passes));
  }

 private:
  Program ProgramOf(const Passes& passes) const {
    return [this, passes](Evaluator& ev) { model_.session(ev, passes, [] {}); };
  }

  const MeasuredModel& model_;
  const std::vector<int64_t>& tokens_;
  TwoPartyOptions options_;
};

// Brings the weights to the device, and loads and fills what fills at first
// use. A large model is not run in full for it.
Passes WarmUpPasses(const MeasuredModel& model, const Passes& passes) {
  constexpr uint64_t kLarge = 1'000'000'000;
  constexpr size_t kPrompt = 32;  // more than the kernels for few rows take
  const size_t prompt =
      model.parameters < kLarge ? passes[0] : std::min(passes[0], kPrompt);
  return PassesOf(prompt, std::min<size_t>(passes.size() - 1, 1));
}

// Whether all material may lie in this host's memory at once.
bool HostHolds(const Cost& cost) {
  constexpr uint64_t kShare = 4;  // of the memory there is
  const uint64_t memory = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                          static_cast<uint64_t>(sysconf(_SC_PAGE_SIZE));
  return cost.material_bytes[0] + cost.material_bytes[1] <= memory / kShare;
}

// Whether the plain evaluator takes seconds and not minutes.
bool PlainIsQuick(const MeasuredModel& model, const Passes& passes) {
  constexpr double kProducts = 1e11;
  const size_t tokens =
      std::accumulate(passes.begin(), passes.end(), size_t{0});
  return static_cast<double>(model.parameters) * static_cast<double>(tokens) <
         kProducts;
}

absl::Status MeasureBothWays(const MeasuredModel& model, const Runner& runner,
                             const Passes& passes, Report& report) {
  // The same seeds for all: outputs agree to the last bit.
  ASSIGN_OR_RETURN(const SessionSeeds seeds,
                   SessionSeeds::Generate(OsSeedSource()));
  std::vector<std::vector<std::vector<int64_t>>> outputs;
  ASSIGN_OR_RETURN(const Cost declared, runner.Declared(passes));
  if (HostHolds(declared)) {
    ASSIGN_OR_RETURN(Run run, runner.Measure(passes, seeds, true));
    report.beforehand = run.phases;
    outputs.push_back(std::move(run.outputs));
    Progress(report, "dealt", run.phases.dealer);
    Progress(report, "online", run.phases.online);
  }
  ASSIGN_OR_RETURN(Run run, runner.Measure(passes, seeds, false));
  report.streamed = run.phases;
  report.counted = run.counted;
  outputs.push_back(std::move(run.outputs));
  Progress(report, "streamed", run.phases.online);
  const bool plain = PlainIsQuick(model, passes);
  if (plain) {
    const absl::Time start = SteadyNow();
    ASSIGN_OR_RETURN(outputs.emplace_back(), runner.Plain(passes, seeds));
    Progress(report, "plain", SecondsSince(start));
  }
  if (outputs.size() > 1) {
    report.verdict = plain ? Verdict::kEqualsPlain : Verdict::kRunsAgree;
  }
  for (const auto& one : outputs) {
    if (one != outputs[0]) report.verdict = Verdict::kWrong;
  }
  return absl::OkStatus();
}

absl::Status MeasureModel(const Options& options, Device* device,
                          Report& report) {
  const absl::Time start = SteadyNow();
  ASSIGN_OR_RETURN(const ModelConfig config, MeasuredConfig(report.shape));
  report.prefill = options.prefill;
  report.decode = DecodeTokens(config, options);
  const Passes passes = PassesOf(report.prefill, report.decode);
  std::mt19937_64 rng(kSeed);
  const std::vector<int64_t> tokens =
      RandomTokens(report.prefill + report.decode, config.vocab_size, rng);
  ASSIGN_OR_RETURN(const MeasuredModel model,
                   MakeMeasuredModel(config, tokens));
  report.parameters = model.parameters;
  report.seconds_setup = SecondsSince(start);
  Progress(report, "weights made", report.seconds_setup);

  const Runner runner(model, tokens, device, options.threads);
  const absl::Time warm_up = SteadyNow();
  ASSIGN_OR_RETURN(const SessionSeeds seeds,
                   SessionSeeds::Generate(OsSeedSource()));
  RETURN_IF_ERROR(
      runner.Measure(WarmUpPasses(model, passes), seeds, false).status());
  report.seconds_warm_up = SecondsSince(warm_up);
  Progress(report, "warmed up", report.seconds_warm_up);

  RETURN_IF_ERROR(MeasureBothWays(model, runner, passes, report));
  if (device != nullptr) {
    // Freed memory is kept: what is not free is the most that was used, by all
    // models so far.
    ASSIGN_OR_RETURN(const DeviceInfo info,
                     ToStatusOr(QueryDevice(device->index())));
    report.device_bytes = info.memory_total - info.memory_free;
  }
  return absl::OkStatus();
}

// ---- Reports ----

double TokensPerSecond(const Report& report, const Phases& phases) {
  return static_cast<double>(report.decode) / phases.decode;
}

constexpr char kHeader[] =
    "model       tokens   material   dealer s online s prefill s tokens/s "
    "rounds opened MB  material MB P0 + P1 device GB outputs\n";

std::string Row(const Report& report, absl::string_view way,
                const Phases& phases) {
  std::string row =
      absl::StrFormat("%-11s %-8s %-10s %8.3f %8.3f %9.3f ", report.shape,
                      absl::StrCat(report.prefill, "+", report.decode), way,
                      phases.dealer, phases.online, phases.prefill);
  absl::StrAppend(
      &row, report.decode == 0
                ? absl::StrFormat("%8s ", "-")
                : absl::StrFormat("%8.2f ", TokensPerSecond(report, phases)));
  const Cost& c = report.counted;
  absl::StrAppendFormat(&row, "%6d %9.2f %10.1f + %9.1f ", c.rounds,
                        c.opened_bytes[0] / 1e6, c.material_bytes[0] / 1e6,
                        c.material_bytes[1] / 1e6);
  absl::StrAppend(&row,
                  report.device_bytes.has_value()
                      ? absl::StrFormat("%9.2f ", *report.device_bytes / 1e9)
                      : absl::StrFormat("%9s ", "-"),
                  ToString(report.verdict), "\n");
  return row;
}

std::string Rows(const Report& report) {
  if (!report.status.ok()) {
    return absl::StrCat(report.shape, " FAILED: ", report.status.ToString(),
                        "\n");
  }
  std::string rows;
  if (report.beforehand.has_value()) {
    rows = Row(report, "beforehand", *report.beforehand);
  }
  return rows + Row(report, "streamed", *report.streamed);
}

using Json = nlohmann::ordered_json;

void AddPhases(const Report& report, const std::string& prefix,
               const Phases& phases, Json& json) {
  json[prefix + "dealer_seconds"] = phases.dealer;
  json[prefix + "online_seconds"] = phases.online;
  json[prefix + "prefill_seconds"] = phases.prefill;
  if (report.decode == 0) return;
  json[prefix + "decode_seconds"] = phases.decode;
  json[prefix + "decode_tokens_per_second"] = TokensPerSecond(report, phases);
}

Json ToJson(const Report& report) {
  Json json = {{"shape", report.shape},
               {"parameters", report.parameters},
               {"prefill_tokens", report.prefill},
               {"decode_tokens", report.decode}};
  if (!report.status.ok()) {
    json["error"] = report.status.ToString();
    return json;
  }
  json["setup_seconds"] = report.seconds_setup;
  json["warm_up_seconds"] = report.seconds_warm_up;
  if (report.beforehand.has_value()) {
    AddPhases(report, "", *report.beforehand, json);
  }
  AddPhases(report, "streamed_", *report.streamed, json);
  const Cost& cost = report.counted;
  json["rounds"] = cost.rounds;
  json["opened_bytes_party0"] = cost.opened_bytes[0];
  json["opened_bytes_party1"] = cost.opened_bytes[1];
  json["material_bytes_party0"] = cost.material_bytes[0];
  json["material_bytes_party1"] = cost.material_bytes[1];
  if (report.device_bytes.has_value()) {
    json["device_memory_used_bytes"] = *report.device_bytes;
  }
  json["outputs"] = ToString(report.verdict);
  return json;
}

absl::Status WriteJson(const Options& options, const Device* device,
                       const std::vector<Report>& reports) {
  if (options.json.empty()) return absl::OkStatus();
  Json json = {{"device", device == nullptr ? "cpu" : device->name()},
               {"threads_per_role", options.threads}};
  if (device != nullptr) {
    json["device_memory_bytes"] = device->memory_bytes();
  }
  json["models"] = Json::array();
  for (const Report& report : reports) json["models"].push_back(ToJson(report));
  std::ofstream file(options.json);
  file << json.dump(2) << "\n";
  file.close();
  if (file.good()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot write ", options.json));
}

// ---- The program ----

int Measure(const Options& options) {
  const auto device = OpenDevice(options.device);
  if (!device.ok()) {
    std::fprintf(stderr, "gpu_end_to_end: no usable device: %s\n",
                 device.status().ToString().c_str());
    return 2;
  }
  std::printf("%s", kHeader);
  std::vector<Report> reports;
  bool failed = false;
  for (const std::string& shape : options.shapes) {
    Report& report = reports.emplace_back();
    report.shape = shape;
    report.status = MeasureModel(options, device->get(), report);
    failed |= report.failed();
    // Each at once: a time limit may end the next one.
    std::printf("%s", Rows(report).c_str());
    std::fflush(stdout);
    if (const absl::Status status = WriteJson(options, device->get(), reports);
        !status.ok()) {
      std::fprintf(stderr, "gpu_end_to_end: %s\n", status.ToString().c_str());
      return 1;
    }
    // A device that has failed this process fails all that follows.
    if (report.failed() && *device != nullptr &&
        !(*device)->CheckHealth().ok()) {
      break;
    }
  }
  return failed ? 1 : 0;
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app(
      "Measures whole models with random weights on one device: the dealer and "
      "both parties at once.");
  app.add_option("--device", options.device, "cpu, cuda or cuda:N")
      ->capture_default_str();
  app.add_option("--shapes", options.shapes, "Models, separated by commas")
      ->delimiter(',')
      ->check(CLI::IsMember(MeasuredShapes()))
      ->capture_default_str();
  app.add_option("--json", options.json, "Figures go to this file, too");
  app.add_option("--prefill", options.prefill, "Tokens of the prompt or text")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--decode", options.decode,
                 "Tokens behind it, for decoders (default: 32, GPT-2 none)")
      ->check(CLI::Range(0, 1 << 20));
  app.add_option("--threads", options.threads, "Threads of each role")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return Measure(options);
}

}  // namespace
}  // namespace tacit::gpu

int main(int argc, char** argv) { return tacit::gpu::Main(argc, argv); }

#include "services/cli/request.h"

#include <unistd.h>

#include <cstdio>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "services/cli/model.h"

namespace tacit {
namespace {

// What a run is at, on a terminal's side channel until the text comes.
class ProgressLine {
 public:
  explicit ProgressLine(bool shown) : shown_(shown && isatty(STDERR_FILENO)) {}

  void Show(const std::string& phase) {
    if (shown_) std::fprintf(stderr, "\r\033[K[%s]", phase.c_str());
  }
  void Clear() {
    if (std::exchange(shown_, false)) std::fputs("\r\033[K", stderr);
  }

 private:
  bool shown_;
};

std::string CostSummary(const Cost& cost) {
  return absl::StrFormat(
      "%d rounds, opened %.2f + %.2f MB, material %.1f + %.1f MB; "
      "dealer and parties on this machine",
      cost.rounds, cost.opened_bytes[0] / 1e6, cost.opened_bytes[1] / 1e6,
      cost.material_bytes[0] / 1e6, cost.material_bytes[1] / 1e6);
}

std::string Summary(const RunResult& result) {
  size_t prompt_tokens = 0;
  for (const TextSequence& s : result.sequences) {
    prompt_tokens += s.prompt_tokens;
  }
  const double seconds = result.seconds_prefill + result.seconds_decode;
  return absl::StrFormat(
      "[%d prompt tokens, %d tokens in %.2f s (%.1f tokens/s), first after "
      "%.2f s; %s]",
      prompt_tokens, result.tokens(), seconds,
      static_cast<double>(result.tokens()) / seconds, result.seconds_prefill,
      CostSummary(result.counted));
}

std::string Summary(const ClassifyRunResult& result) {
  size_t tokens = 0;
  for (const TextClass& text : result.texts) tokens += text.tokens;
  return absl::StrFormat("[%d tokens in %.2f s; %s]", tokens,
                         result.seconds_online, CostSummary(result.counted));
}

int Generate(const char* command, const TextRequest& request, bool json,
             const GenerateFn& run) {
  const bool streams = !json && request.prompts.size() == 1;
  ProgressLine progress(!json);
  bool begun = false;
  const auto show = [&](size_t, const std::string& piece) {
    if (!streams) return true;
    progress.Clear();
    if (!std::exchange(begun, true) && !request.chat) {
      std::fputs(request.prompts[0].c_str(), stdout);
    }
    std::fputs(piece.c_str(), stdout);
    std::fflush(stdout);
    return true;
  };
  const absl::StatusOr<RunResult> result = run(
      request, {show, [&](const std::string& phase) { progress.Show(phase); }});
  progress.Clear();
  if (!result.ok()) {
    if (begun) std::puts("");
    return Failed(command, result.status());
  }
  if (json) {
    std::puts(ToJson(*result).c_str());
    return 0;
  }
  for (size_t i = 0; !streams && i < request.prompts.size(); ++i) {
    std::printf("%s%s\n\n", request.chat ? "" : request.prompts[i].c_str(),
                result->sequences[i].text.c_str());
  }
  if (streams) std::puts("");
  std::fflush(stdout);
  // To the terminal's side channel: a pipe gets the text alone.
  std::fprintf(stderr, "%s\n", Summary(*result).c_str());
  return 0;
}

int Classify(const char* command, const ClassifyRequest& request, bool json,
             const ClassifyFn& run) {
  ProgressLine progress(!json);
  const absl::StatusOr<ClassifyRunResult> result =
      run(request, [&](const std::string& phase) { progress.Show(phase); });
  progress.Clear();
  if (!result.ok()) return Failed(command, result.status());
  if (json) {
    std::puts(ToJson(*result).c_str());
    return 0;
  }
  std::fputs(ToText(*result, request).c_str(), stdout);
  std::fflush(stdout);
  std::fprintf(stderr, "%s\n", Summary(*result).c_str());
  return 0;
}

}  // namespace

int Failed(const char* command, const absl::Status& status) {
  std::fprintf(stderr, "tacit %s: %s\n", command,
               std::string(status.message()).c_str());
  return absl::IsInvalidArgument(status) ? 2 : 1;
}

int RunRequest(const char* command, const std::string& folder,
               const RequestOptions& request, bool json,
               const GenerateFn& generate, const ClassifyFn& classify) {
  const absl::StatusOr<ModelKind> kind = ModelKindOf(folder);
  if (!kind.ok()) return Failed(command, kind.status());
  if (*kind == ModelKind::kClassifier) {
    const absl::StatusOr<ClassifyRequest> texts = ForClassifier(request);
    if (!texts.ok()) return Failed(command, texts.status());
    return Classify(command, *texts, json, classify);
  }
  const absl::StatusOr<TextRequest> text = ForDecoder(request);
  if (!text.ok()) return Failed(command, text.status());
  return Generate(command, *text, json, generate);
}

}  // namespace tacit

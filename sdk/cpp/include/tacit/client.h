// Private inference from a program: text in, text or labels out.
//
// This side of Tacit sees the prompt and the answer, nobody else does: run it
// on the user's own machine. Stable; needs nothing of Tacit but this header and
// the library.
#ifndef TACIT_CLIENT_H_
#define TACIT_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tacit {

enum class SampleAt {
  kUser,     // logits are opened to the user, who chooses
  kParties,  // the user learns the token only; takes more rounds
};

struct CompletionOptions {
  size_t max_tokens = 64;
  // The prompt is a user's message, put into the model's chat template.
  bool chat = false;
  SampleAt sample_at = SampleAt::kUser;
  double temperature = 0;         // 0: the likeliest token
  size_t top_k = 0;               // 0: all; at least 1 at the parties
  double top_p = 1;               // in (0, 1]
  double repetition_penalty = 1;  // at the user's side only
  uint64_t seed = 0;              // of the choice among tokens
  std::vector<std::string> stop;  // texts that end the answer
  // Roundings as a function of the inputs alone; see SECURITY.md. Slower.
  bool faithful_rounding = false;
  absl::Time deadline = absl::InfiniteFuture();  // of the whole request
};

// SECRET, as the prompt is.
struct Completion {
  std::string text;
  std::vector<int64_t> tokens;  // one that ended it included
  size_t prompt_tokens = 0;
  // What it took at the parties; each value of [2] is a party's.
  uint64_t rounds = 0;
  uint64_t opened_bytes[2] = {0, 0};
  uint64_t material_bytes[2] = {0, 0};
};

struct ClassificationOptions {
  bool faithful_rounding = false;                // as above
  absl::Time deadline = absl::InfiniteFuture();  // of the whole request
};

// A text to classify, or two that are classified together. SECRET.
struct ClassificationInput {
  std::string text;
  std::optional<std::string> text_pair;
};

struct LabelScore {
  std::string label;
  double logit = 0;
  // Softmax of all labels' logits: of a model whose labels do not exclude each
  // other, read the logits.
  double probability = 0;
};

// What a text is. SECRET, as the text is.
struct Classification {
  std::string label;               // the likeliest
  std::vector<LabelScore> scores;  // of all labels, in the model's order
  size_t tokens = 0;               // of the text, or of both
  // What the pass took at the parties, all of a batch's texts together.
  uint64_t rounds = 0;
  uint64_t opened_bytes[2] = {0, 0};
  uint64_t material_bytes[2] = {0, 0};
};

// Thread-safe; requests may run at the same time.
class Client {
 public:
  // Gets the answer as it is decoded, in pieces of valid UTF-8; false ends it
  // there. Called from a thread of the library.
  using PieceFn = std::function<bool(std::string_view piece)>;

  // Reads a gateway's configuration (YAML; docs/deployment.md), what was
  // provisioned for it and its certificate. Variables TACIT_... go before the
  // file's fields. Calls nobody.
  // Errors: INVALID_ARGUMENT naming file and line; NOT_FOUND,
  //   PERMISSION_DENIED for a file; DATA_LOSS for a damaged one.
  static absl::StatusOr<std::unique_ptr<Client>> Create(
      const std::string& config_file);
  ~Client();  // requests must have ended

  // Whether all roles are there and serve this client's model.
  // Errors: UNAVAILABLE, or FAILED_PRECONDITION for another model or version,
  //   naming the role; UNAUTHENTICATED, PERMISSION_DENIED for certificates.
  absl::Status Check(absl::Duration timeout = absl::Seconds(10));

  // Blocks until the answer is whole. A session that fails before its first
  // token is tried again on a fresh one, with fresh masks.
  // Errors: INVALID_ARGUMENT for an empty prompt, one that is no UTF-8 or that
  //   does not fit the model's context, or options out of range; NOT_FOUND
  //   without a chat template; FAILED_PRECONDITION if the model is a
  //   classifier; DEADLINE_EXCEEDED; RESOURCE_EXHAUSTED if a role has too many
  //   sessions; UNAVAILABLE if one is gone.
  absl::StatusOr<Completion> Infer(const std::string& prompt,
                                   const CompletionOptions& options = {},
                                   const PieceFn& on_piece = {});

  // Blocks until the scores are there. A session that fails is tried again on a
  // fresh one, with fresh masks. A batch is one pass: 1 to 64 texts, as many
  // results in their order.
  // Errors: INVALID_ARGUMENT for an empty text, one that is no UTF-8 or longer
  //   than the model takes; FAILED_PRECONDITION if the model is no classifier;
  //   RESOURCE_EXHAUSTED for too many texts, too; else as Infer.
  absl::StatusOr<Classification> Classify(
      const std::string& text,
      const std::optional<std::string>& text_pair = std::nullopt,
      const ClassificationOptions& options = {});
  absl::StatusOr<std::vector<Classification>> ClassifyBatch(
      const std::vector<ClassificationInput>& texts,
      const ClassificationOptions& options = {});

  // What the model was called when it was provisioned.
  const std::string& model() const;
  // A classifier's labels, in the order of scores; others have none.
  const std::vector<std::string>& labels() const;

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace tacit

#endif  // TACIT_CLIENT_H_

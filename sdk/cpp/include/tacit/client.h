// Private inference from a program: text in, text out.
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
  //   without a chat template; DEADLINE_EXCEEDED; RESOURCE_EXHAUSTED if a role
  //   has too many sessions; UNAVAILABLE if one is gone.
  absl::StatusOr<Completion> Infer(const std::string& prompt,
                                   const CompletionOptions& options = {},
                                   const PieceFn& on_piece = {});

  // What the model was called when it was provisioned.
  const std::string& model() const;

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace tacit

#endif  // TACIT_CLIENT_H_

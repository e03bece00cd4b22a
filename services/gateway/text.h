// Text in, text out: what stands between a user and token ids.
#ifndef TACIT_SERVICES_GATEWAY_TEXT_H_
#define TACIT_SERVICES_GATEWAY_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/gates/evaluator.h"
#include "common/models/classification.h"
#include "common/models/generation.h"
#include "common/models/tokenizer.h"

namespace tacit {

// What a user asks for.
struct TextRequest {
  std::vector<std::string> prompts;  // a batch
  // The prompts are a user's messages, put into the model's chat template.
  bool chat = false;
  size_t max_tokens = 64;
  SamplingOptions sampling;
  SamplingSide sampling_side = SamplingSide::kClient;
  EmbeddingSide embedding_side = EmbeddingSide::kSecure;
  std::vector<std::string> stop;  // texts that end the generation
  Rounding rounding = Rounding::kStochastic;
};

struct TextSequence {
  std::string text;  // the continuation
  size_t prompt_tokens = 0;
  GeneratedSequence generated;
};

// Text as it is decoded; pieces are valid UTF-8. False ends the sequence.
// Called from several threads, not at once.
using TextFn = std::function<bool(size_t sequence, const std::string& piece)>;

// Errors: INVALID_ARGUMENT for an empty prompt or one that is no UTF-8;
//   NOT_FOUND without a chat template.
absl::StatusOr<std::vector<std::vector<int64_t>>> EncodePrompts(
    const Tokenizer& tokenizer, const TextRequest& request);

// A text to classify, or two that belong together. SECRET.
struct ClassifyText {
  std::string text;
  std::optional<std::string> pair;
};

struct ClassifyRequest {
  std::vector<ClassifyText> texts;  // a batch
  Rounding rounding = Rounding::kStochastic;
};

// What one text is. SECRET.
struct TextClass {
  size_t label = 0;            // the likeliest
  std::vector<double> logits;  // [labels]
  // Their softmax: of a model whose labels do not exclude each other, read the
  // logits.
  std::vector<double> probabilities;
  size_t tokens = 0;
};
TextClass ClassOf(std::vector<double> logits, size_t tokens);

// Errors: INVALID_ARGUMENT for an empty text or one that is no UTF-8.
absl::StatusOr<TextBatch> EncodeTexts(const Tokenizer& tokenizer,
                                      const ClassifyRequest& request);

// Decodes the tokens of a batch as they come, and watches for texts that end a
// sequence. Used by one thread at a time.
class Transcripts {
 public:
  // All must outlive it.
  Transcripts(const Tokenizer& tokenizer, const TextRequest& request,
              const TextFn& on_text);

  // Whether the sequence goes on.
  bool Add(size_t sequence, int64_t token);
  // The texts, with what came last. Errors: the tokenizer's.
  absl::StatusOr<std::vector<std::string>> Finish();

 private:
  struct One {
    Tokenizer::Stream stream;
    std::string text;
    bool wanted = true;  // by on_text
  };
  bool Append(size_t sequence, absl::StatusOr<std::string> piece);

  const TextRequest& request_;
  const TextFn& on_text_;
  std::vector<One> sequences_;
  absl::Status status_;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_GATEWAY_TEXT_H_

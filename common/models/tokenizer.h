// A model's tokenizer and chat template.
#ifndef TACIT_COMMON_MODELS_TOKENIZER_H_
#define TACIT_COMMON_MODELS_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace tacit {

struct EncodeOptions {
  // Adds what the model wants around every text: BOS, [CLS] and [SEP], ...
  bool add_special = true;
  // Takes "<s>" in the text for the token of that name. Trusted text only:
  // by default text stays text, so that users cannot write control tokens.
  bool parse_special = false;
};

// Two texts as a model takes them together. As many segments as ids: 0 for the
// first text's, 1 for the second's.
struct EncodedPair {
  std::vector<int32_t> ids, segments;
};

struct ChatMessage {
  std::string role;  // "system", "user", "assistant": a name, [A-Za-z0-9_-]+
  std::string content;
};

struct ChatOptions {
  // Ends the prompt where the assistant's answer begins.
  bool add_generation_prompt = true;
  // More variables for the template, a JSON object such as {"tools": [...]}.
  std::string variables_json;
  // What the template's clock shows (some write the date into the prompt; UTC).
  absl::Time now = absl::Now();
};

// Text to token ids and back, as transformers does it. Copies share one
// vocabulary. Thread-safe.
//
// Errors: INVALID_ARGUMENT for text that is not UTF-8 (with the byte) or longer
// than 8 MiB, and for ids below 0. No message holds any of the text. Memory
// that held text is freed but not wiped.
class Tokenizer {
 public:
  class Stream;

  // Reads from a model's folder tokenizer.json, else vocab.json and merges.txt
  // (GPT-2, Qwen2), else vocab.txt (BERT), else tokenizer.model (SentencePiece
  // BPE or unigram); tokenizer_config.json and special_tokens_map.json; the
  // chat template from chat_template.jinja, chat_template.json or
  // tokenizer_config.json.
  // Errors: NOT_FOUND if there is no folder or none of these files;
  //   INVALID_ARGUMENT if a file is broken; UNIMPLEMENTED for a kind of
  //   tokenizer that is not supported. All name the file.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(
      absl::string_view folder);

  // One more than the largest id; a model's own may be larger.
  int32_t vocab_size() const;
  // The id of a token as the vocabulary spells it ("▁the", "</s>").
  std::optional<int32_t> IdOf(absl::string_view token) const;
  // NOT_FOUND if the vocabulary has no such id.
  absl::StatusOr<std::string> TokenOf(int32_t id) const;

  // Special tokens by the role that the model's files give them.
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  std::optional<int32_t> pad_id() const;

  absl::StatusOr<std::vector<int32_t>> Encode(
      absl::string_view text, const EncodeOptions& options = {}) const;

  // Sentence A and sentence B, with what the model wants around them ([CLS] A
  // [SEP] B [SEP]). What they spell stays text.
  absl::StatusOr<EncodedPair> EncodePair(absl::string_view first,
                                         absl::string_view second) const;

  // Bytes that are no valid UTF-8 become U+FFFD. Ids that the vocabulary lacks
  // decode to nothing, as they do in transformers.
  absl::StatusOr<std::string> Decode(std::span<const int32_t> ids,
                                     bool skip_special = true) const;

  // Decodes a stream of ids. The tokenizer may go before the stream does.
  Stream NewStream(bool skip_special = true) const;

  bool has_chat_template() const;
  // The prompt's ids. What messages spell stays text: only the template writes
  // control tokens (assistant messages may hold markers such as </think> that
  // are in the vocabulary, but not flagged as special).
  // Errors: NOT_FOUND without a template; INVALID_ARGUMENT for a role that is
  //   no name, no messages, or what the template itself refuses.
  absl::StatusOr<std::vector<int32_t>> EncodeChat(
      std::span<const ChatMessage> messages,
      const ChatOptions& options = {}) const;
  // The same prompt as text, to look at: never encode it, for in it a control
  // token that a user spelled is like the template's own.
  absl::StatusOr<std::string> RenderChat(std::span<const ChatMessage> messages,
                                         const ChatOptions& options = {}) const;

 private:
  struct Impl;
  explicit Tokenizer(std::shared_ptr<const Impl> impl)
      : impl_(std::move(impl)) {}

  std::optional<int32_t> RoleId(absl::string_view role) const;

  std::shared_ptr<const Impl> impl_;
};

// Turns ids into text as they come. Each piece is valid UTF-8: ids that end
// within a character are held back until the rest of it comes. All pieces
// together are `Decode` of all ids (only where a model writes bytes that are no
// UTF-8 may the number of U+FFFD differ). Used by one thread at a time.
class Tokenizer::Stream {
 public:
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;
  ~Stream();

  // The text that is known for sure now; often empty.
  absl::StatusOr<std::string> Next(int32_t id);
  // What was held back. The stream can then be used again.
  absl::StatusOr<std::string> Finish();

 private:
  friend class Tokenizer;
  struct State;
  explicit Stream(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_TOKENIZER_H_

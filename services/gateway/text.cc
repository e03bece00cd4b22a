#include "services/gateway/text.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "common/base/status_macros.h"

namespace tacit {

absl::StatusOr<std::vector<std::vector<int64_t>>> EncodePrompts(
    const Tokenizer& tokenizer, const TextRequest& request) {
  std::vector<std::vector<int64_t>> prompts;
  for (const std::string& prompt : request.prompts) {
    if (prompt.empty()) {
      return absl::InvalidArgumentError("the prompt is empty");
    }
    std::vector<int32_t> ids;
    if (request.chat) {
      const ChatMessage message = {"user", prompt};
      ASSIGN_OR_RETURN(ids, tokenizer.EncodeChat({&message, 1}));
    } else {
      ASSIGN_OR_RETURN(ids, tokenizer.Encode(prompt));
    }
    prompts.emplace_back(ids.begin(), ids.end());
  }
  return prompts;
}

Transcripts::Transcripts(const Tokenizer& tokenizer, const TextRequest& request,
                         const TextFn& on_text)
    : request_(request), on_text_(on_text) {
  for (size_t i = 0; i < request.prompts.size(); ++i) {
    sequences_.push_back({tokenizer.NewStream()});
  }
}

bool Transcripts::Add(size_t sequence, int64_t token) {
  return Append(sequence,
                sequences_[sequence].stream.Next(static_cast<int32_t>(token)));
}

bool Transcripts::Append(size_t sequence, absl::StatusOr<std::string> piece) {
  if (!piece.ok()) {
    status_.Update(piece.status());
    return false;
  }
  std::string& text = sequences_[sequence].text;
  text += *piece;
  bool& wanted = sequences_[sequence].wanted;
  if (wanted && !piece->empty() && on_text_) {
    wanted = on_text_(sequence, *piece);
  }
  return wanted && std::none_of(request_.stop.begin(), request_.stop.end(),
                                [&](const std::string& stop) {
                                  return !stop.empty() &&
                                         absl::StrContains(text, stop);
                                });
}

absl::StatusOr<std::vector<std::string>> Transcripts::Finish() {
  std::vector<std::string> texts;
  for (size_t i = 0; i < sequences_.size(); ++i) {
    Append(i, sequences_[i].stream.Finish());
    texts.push_back(sequences_[i].text);
  }
  RETURN_IF_ERROR(status_);
  return texts;
}

}  // namespace tacit

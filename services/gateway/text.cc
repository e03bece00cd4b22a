#include "services/gateway/text.h"

#include <algorithm>
#include <cmath>
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

TextClass ClassOf(std::vector<double> logits, size_t tokens) {
  TextClass out;
  const auto largest = std::max_element(logits.begin(), logits.end());
  out.label = static_cast<size_t>(largest - logits.begin());
  double sum = 0;
  for (double logit : logits) {
    sum += out.probabilities.emplace_back(std::exp(logit - *largest));
  }
  for (double& probability : out.probabilities) probability /= sum;
  out.logits = std::move(logits);
  out.tokens = tokens;
  return out;
}

absl::StatusOr<TextBatch> EncodeTexts(const Tokenizer& tokenizer,
                                      const ClassifyRequest& request) {
  TextBatch out;
  bool pairs = false;
  for (const ClassifyText& one : request.texts) {
    if (one.text.empty() || (one.pair.has_value() && one.pair->empty())) {
      return absl::InvalidArgumentError(
          one.text.empty() ? "a text is empty"
                           : "the second text of a pair is empty");
    }
    EncodedPair ids;
    if (one.pair.has_value()) {
      ASSIGN_OR_RETURN(ids, tokenizer.EncodePair(one.text, *one.pair));
    } else {
      ASSIGN_OR_RETURN(ids.ids, tokenizer.Encode(one.text));
      ids.segments.assign(ids.ids.size(), 0);
    }
    pairs = pairs || one.pair.has_value();
    out.tokens.emplace_back(ids.ids.begin(), ids.ids.end());
    out.segments.emplace_back(ids.segments.begin(), ids.segments.end());
  }
  if (!pairs) out.segments.clear();  // all of segment 0
  return out;
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

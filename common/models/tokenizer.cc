#include "common/models/tokenizer.h"

#include <limits>
#include <utility>

#include "absl/base/dynamic_annotations.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "tokenizer/tacit_tokenizer.h"

namespace tacit {
namespace {

// ThreadSanitizer sees the C library's functions that Rust code calls, but not
// Rust's locks: without this, it reports races that are none.
class RustCall {
 public:
  RustCall() { ABSL_ANNOTATE_IGNORE_READS_AND_WRITES_BEGIN(); }
  ~RustCall() { ABSL_ANNOTATE_IGNORE_READS_AND_WRITES_END(); }
  RustCall(const RustCall&) = delete;
  RustCall& operator=(const RustCall&) = delete;
};

TacitSlice Slice(absl::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string Take(TacitBytes bytes) {
  std::string text(reinterpret_cast<const char*>(bytes.data), bytes.size);
  tacit_bytes_free(bytes);
  return text;
}

std::vector<int32_t> Take(TacitIds ids) {
  std::vector<int32_t> out(ids.data, ids.data + ids.size);
  tacit_ids_free(ids);
  return out;
}

// Calls `function(args..., &out, &error)` of the C interface.
template <typename Out, typename Function, typename... Args>
absl::StatusOr<Out> Call(Function function, Args... args) {
  const RustCall rust;
  Out out{};
  TacitBytes error{};
  const int32_t code = function(args..., &out, &error);
  if (code == 0) return out;
  return absl::Status(static_cast<absl::StatusCode>(code), Take(error));
}

absl::Status CheckId(int32_t id) {
  if (id >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("token id ", id, " is below 0"));
}

std::optional<int32_t> ToId(int64_t id) {
  if (id < 0) return std::nullopt;
  return static_cast<int32_t>(id);
}

// Bytes that are no UTF-8 pass through, for the reader to find.
void AppendJsonString(absl::string_view text, std::string* out) {
  out->push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppend(out, "\\u00", absl::Hex(c, absl::kZeroPad2));
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
}

// An object's members; empty for "" and "{}".
absl::StatusOr<absl::string_view> Members(absl::string_view json) {
  constexpr absl::string_view kSpace = " \t\r\n";
  const size_t first = json.find_first_not_of(kSpace);
  if (first == json.npos) return absl::string_view();
  const size_t last = json.find_last_not_of(kSpace);
  if (json[first] != '{' || json[last] != '}' || first == last) {
    return absl::InvalidArgumentError("chat: the variables are not an object");
  }
  const absl::string_view inner = json.substr(first + 1, last - first - 1);
  const bool empty = inner.find_first_not_of(kSpace) == inner.npos;
  return empty ? absl::string_view() : inner;
}

absl::StatusOr<std::string> ChatJson(std::span<const ChatMessage> messages,
                                     const ChatOptions& options) {
  ASSIGN_OR_RETURN(const absl::string_view members,
                   Members(options.variables_json));
  std::string json = "{";
  if (!members.empty()) absl::StrAppend(&json, members, ",");
  absl::StrAppend(&json, "\"add_generation_prompt\":",
                  options.add_generation_prompt ? "true" : "false",
                  ",\"messages\":[");
  for (size_t i = 0; i < messages.size(); ++i) {
    absl::StrAppend(&json, i == 0 ? "" : ",", "{\"role\":");
    AppendJsonString(messages[i].role, &json);
    absl::StrAppend(&json, ",\"content\":");
    AppendJsonString(messages[i].content, &json);
    json.push_back('}');
  }
  absl::StrAppend(&json, "]}");
  return json;
}

}  // namespace

struct Tokenizer::Impl {
  explicit Impl(TacitTokenizer* tokenizer) : tokenizer(tokenizer) {}
  ~Impl() {
    const RustCall rust;
    tacit_tokenizer_free(tokenizer);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  TacitTokenizer* const tokenizer;
};

struct Tokenizer::Stream::State {
  explicit State(std::shared_ptr<const Impl> impl, bool skip_special)
      : impl(std::move(impl)), stream(tacit_decode_stream_new(skip_special)) {}
  ~State() {
    const RustCall rust;
    tacit_decode_stream_free(stream);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  const std::shared_ptr<const Impl> impl;
  TacitDecodeStream* const stream;
};

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(
    absl::string_view folder) {
  ASSIGN_OR_RETURN(TacitTokenizer* const tokenizer,
                   Call<TacitTokenizer*>(tacit_tokenizer_load, Slice(folder)));
  // The constructor is private: make_unique cannot call it.
  return std::unique_ptr<Tokenizer>(
      new Tokenizer(std::make_shared<const Impl>(tokenizer)));
}

int32_t Tokenizer::vocab_size() const {
  const RustCall rust;
  return static_cast<int32_t>(tacit_tokenizer_vocab_size(impl_->tokenizer));
}

std::optional<int32_t> Tokenizer::IdOf(absl::string_view token) const {
  const RustCall rust;
  return ToId(tacit_tokenizer_id_of(impl_->tokenizer, Slice(token)));
}

std::optional<int32_t> Tokenizer::RoleId(absl::string_view role) const {
  const RustCall rust;
  return ToId(tacit_tokenizer_role_id(impl_->tokenizer, Slice(role)));
}

absl::StatusOr<std::string> Tokenizer::TokenOf(int32_t id) const {
  RETURN_IF_ERROR(CheckId(id));
  ASSIGN_OR_RETURN(const TacitBytes token,
                   Call<TacitBytes>(tacit_tokenizer_token_of, impl_->tokenizer,
                                    static_cast<uint32_t>(id)));
  return Take(token);
}

std::optional<int32_t> Tokenizer::bos_id() const { return RoleId("bos_token"); }
std::optional<int32_t> Tokenizer::eos_id() const { return RoleId("eos_token"); }
std::optional<int32_t> Tokenizer::pad_id() const { return RoleId("pad_token"); }

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(
    absl::string_view text, const EncodeOptions& options) const {
  ASSIGN_OR_RETURN(
      const TacitIds ids,
      Call<TacitIds>(tacit_tokenizer_encode, impl_->tokenizer, Slice(text),
                     options.add_special, options.parse_special));
  return Take(ids);
}

absl::StatusOr<EncodedPair> Tokenizer::EncodePair(
    absl::string_view first, absl::string_view second) const {
  ASSIGN_OR_RETURN(
      const TacitPair pair,
      Call<TacitPair>(tacit_tokenizer_encode_pair, impl_->tokenizer,
                      Slice(first), Slice(second)));
  return EncodedPair{Take(pair.ids), Take(pair.segments)};
}

absl::StatusOr<std::string> Tokenizer::Decode(std::span<const int32_t> ids,
                                              bool skip_special) const {
  std::vector<uint32_t> copy;
  copy.reserve(ids.size());
  for (const int32_t id : ids) {
    RETURN_IF_ERROR(CheckId(id));
    copy.push_back(static_cast<uint32_t>(id));
  }
  ASSIGN_OR_RETURN(const TacitBytes text,
                   Call<TacitBytes>(tacit_tokenizer_decode, impl_->tokenizer,
                                    copy.data(), copy.size(), skip_special));
  return Take(text);
}

Tokenizer::Stream Tokenizer::NewStream(bool skip_special) const {
  return Stream(std::make_unique<Stream::State>(impl_, skip_special));
}

bool Tokenizer::has_chat_template() const {
  const RustCall rust;
  return tacit_tokenizer_has_chat_template(impl_->tokenizer);
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::EncodeChat(
    std::span<const ChatMessage> messages, const ChatOptions& options) const {
  ASSIGN_OR_RETURN(const std::string chat, ChatJson(messages, options));
  ASSIGN_OR_RETURN(
      const TacitIds ids,
      Call<TacitIds>(tacit_tokenizer_encode_chat, impl_->tokenizer, Slice(chat),
                     absl::ToUnixSeconds(options.now)));
  return Take(ids);
}

absl::StatusOr<std::string> Tokenizer::RenderChat(
    std::span<const ChatMessage> messages, const ChatOptions& options) const {
  ASSIGN_OR_RETURN(const std::string chat, ChatJson(messages, options));
  ASSIGN_OR_RETURN(
      const TacitBytes text,
      Call<TacitBytes>(tacit_tokenizer_render_chat, impl_->tokenizer,
                       Slice(chat), absl::ToUnixSeconds(options.now)));
  return Take(text);
}

Tokenizer::Stream::Stream(std::unique_ptr<State> state)
    : state_(std::move(state)) {}
Tokenizer::Stream::Stream(Stream&&) noexcept = default;
Tokenizer::Stream& Tokenizer::Stream::operator=(Stream&&) noexcept = default;
Tokenizer::Stream::~Stream() = default;

absl::StatusOr<std::string> Tokenizer::Stream::Next(int32_t id) {
  RETURN_IF_ERROR(CheckId(id));
  ASSIGN_OR_RETURN(
      const TacitBytes text,
      Call<TacitBytes>(tacit_decode_stream_step, state_->stream,
                       state_->impl->tokenizer, static_cast<uint32_t>(id)));
  return Take(text);
}

absl::StatusOr<std::string> Tokenizer::Stream::Finish() {
  ASSIGN_OR_RETURN(const TacitBytes text,
                   Call<TacitBytes>(tacit_decode_stream_finish, state_->stream,
                                    state_->impl->tokenizer));
  return Take(text);
}

}  // namespace tacit

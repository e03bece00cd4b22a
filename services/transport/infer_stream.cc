#include "services/transport/infer_stream.h"

#include <grpcpp/create_channel.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/ring/bitpack.h"
#include "services/transport/byte_buffer.h"

namespace tacit {
namespace {

constexpr char kMethod[] = "/tacit.v1.InferenceService/Infer";

// MaskedInput and OutputShare are alike but for their names.
static_assert(int{v1::MaskedInput::kPackedFieldNumber} ==
              int{v1::OutputShare::kPackedFieldNumber});

// `words` as field `body` of the enclosing message, packed in place.
grpc::ByteBuffer EncodeWords(int body, uint64_t index,
                             std::span<const uint64_t> words, int width) {
  const size_t packed = PackedBytes(words.size(), width);
  v1::OutputShare fields;
  fields.set_index(index);
  fields.set_width(static_cast<uint32_t>(width));
  fields.set_count(words.size());
  const size_t fields_bytes = fields.ByteSizeLong();
  uint8_t inner[kMaxBytesPrefix];
  const size_t inner_bytes =
      WriteBytesPrefix(v1::OutputShare::kPackedFieldNumber, packed, inner);
  uint8_t outer[kMaxBytesPrefix];
  const size_t outer_bytes =
      WriteBytesPrefix(body, fields_bytes + inner_bytes + packed, outer);

  Bytes message(outer_bytes + fields_bytes + inner_bytes + packed);
  uint8_t* out = std::copy_n(outer, outer_bytes, message.data());
  out = fields.SerializeWithCachedSizesToArray(out);
  out = std::copy_n(inner, inner_bytes, out);
  Pack(words, width, std::span(out, packed));
  return ToByteBuffer(std::move(message));
}

// The words of a MaskedInput or OutputShare if it is what is expected; `error`
// makes the status if not. Wipes the message's.
template <typename Body, typename Error>
absl::StatusOr<Words> DecodeWords(Body& body, uint64_t index, size_t n,
                                  int width, Error error) {
  if (body.index() != index) {
    return error(absl::StrCat("number ", body.index(), " where ", index,
                              " was expected"));
  }
  if (body.count() != n || body.width() != static_cast<uint32_t>(width) ||
      body.packed().size() != PackedBytes(n, width)) {
    return error(absl::StrCat(body.count(), " elements of ", body.width(),
                              " bits in ", body.packed().size(),
                              " bytes where ", n, " of ", width,
                              " were expected"));
  }
  Words words(n);
  Unpack(std::span(reinterpret_cast<const uint8_t*>(body.packed().data()),
                   body.packed().size()),
         width, words);
  SecureWipe(body.mutable_packed()->data(), body.packed().size());
  return words;
}

// Parses and wipes what was parsed.
absl::Status ConsumeMessage(const grpc::ByteBuffer& buffer,
                            google::protobuf::MessageLite& message) {
  const ByteBufferReader wiped(buffer);
  return ParseMessage(buffer, message);
}

template <size_t n>
std::array<uint8_t, n> ToArray(const std::string& bytes) {
  std::array<uint8_t, n> array;
  std::copy_n(bytes.begin(), n, array.begin());
  return array;
}

}  // namespace

// Guarded by mutex, except as noted.
struct InferSession::State : public RawStream::Handler,
                             public std::enable_shared_from_this<State> {
  explicit State(const TransportOptions& options) : options(options) {}

  void OnMessage(int, grpc::ByteBuffer& message) override;
  void OnWritten(int) override;
  void OnEnd(int, const absl::Status& status) override;
  // Begins the session, or says what is wrong with the start.
  absl::Status Begin(const grpc::ByteBuffer& message);
  // Waits until nobody but this thread runs the callback.
  void AwaitCallback(std::unique_lock<std::mutex>& lock) {
    changed.wait(lock, [this] {
      return calling == std::thread::id() ||
             calling == std::this_thread::get_id();
    });
  }
  template <typename Ready>
  bool Await(std::unique_lock<std::mutex>& lock, Ready ready) {
    return changed.wait_for(lock, absl::ToChronoNanoseconds(options.timeout),
                            ready);
  }

  const TransportOptions options;
  // Set before the stream reads, used by it alone.
  std::function<void(std::unique_ptr<InferSession>)> on_start;
  // Set before on_start is called.
  v1::InferStart start;

  std::mutex mutex;
  std::condition_variable changed;
  std::shared_ptr<RawStream> stream;
  std::unique_ptr<grpc::Alarm> start_alarm;
  bool started = false;
  grpc::ByteBuffer held;  // the next input
  bool holds = false;
  bool half_closed = false;
  bool writing = false;
  absl::Status status;  // CANCELLED: the gateway wants no more
  std::function<void()> cancelled;
  std::thread::id calling;  // who runs it, if anybody
  uint64_t inputs = 0;
  uint64_t outputs = 0;
};

absl::Status InferSession::State::Begin(const grpc::ByteBuffer& message) {
  v1::InferRequest request;
  if (!ConsumeMessage(message, request).ok() || !request.has_start()) {
    return absl::InvalidArgumentError("the first message must be a start");
  }
  start = std::move(*request.mutable_start());
  if (start.session_id().size() != SessionId().size() ||
      start.plan_digest().size() != PlanDigest().size() || !start.has_shape()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a start has a session id of ", SessionId().size(),
        " bytes, a plan digest of ", PlanDigest().size(), " and a shape"));
  }
  return absl::OkStatus();
}

void InferSession::State::OnMessage(int, grpc::ByteBuffer& message) {
  std::shared_ptr<RawStream> from;
  {
    std::lock_guard<std::mutex> lock(mutex);
    from = stream;
    if (started) {
      held.Swap(&message);
      holds = true;
      changed.notify_all();
      return;
    }
    started = true;
    start_alarm.reset();
  }
  if (absl::Status bad = Begin(message); !bad.ok()) return from->Close(bad);
  from->Read();
  std::exchange(on_start, nullptr)(
      std::unique_ptr<InferSession>(new InferSession(shared_from_this())));
}

void InferSession::State::OnWritten(int) {
  std::lock_guard<std::mutex> lock(mutex);
  writing = false;
  changed.notify_all();
}

void InferSession::State::OnEnd(int, const absl::Status& end) {
  std::function<void()> call;
  std::shared_ptr<RawStream> over;
  {
    std::lock_guard<std::mutex> lock(mutex);
    half_closed = true;
    if (!end.ok() && status.ok()) {
      status = absl::CancelledError("the gateway has cancelled or is gone");
      call = std::exchange(cancelled, nullptr);
      if (call != nullptr) calling = std::this_thread::get_id();
    }
    if (!end.ok() || !started) over = stream;
    changed.notify_all();
  }
  // Nobody owns a call that has not started, nor waits for one that is lost.
  if (over != nullptr) {
    over->Close(absl::InvalidArgumentError("the call ended without a start"));
  }
  if (call == nullptr) return;
  call();
  std::lock_guard<std::mutex> lock(mutex);
  calling = std::thread::id();
  changed.notify_all();
}

InferSession::~InferSession() {
  Finish(absl::InternalError("the party dropped the session"));
}

SessionId InferSession::session() const {
  return ToArray<SessionId().size()>(state_->start.session_id());
}

PlanDigest InferSession::plan() const {
  return ToArray<PlanDigest().size()>(state_->start.plan_digest());
}

const v1::SessionShape& InferSession::shape() const {
  return state_->start.shape();
}

absl::StatusOr<Words> InferSession::Receive(size_t n, int width) {
  State& s = *state_;
  grpc::ByteBuffer message;
  std::shared_ptr<RawStream> from;
  uint64_t index;
  {
    std::unique_lock<std::mutex> lock(s.mutex);
    if (!s.Await(lock,
                 [&] { return s.holds || s.half_closed || !s.status.ok(); })) {
      return absl::DeadlineExceededError(
          absl::StrCat("no input from the gateway within ",
                       absl::FormatDuration(s.options.timeout)));
    }
    RETURN_IF_ERROR(s.status);
    if (!s.holds) return absl::CancelledError("the gateway sends no more");
    message.Swap(&s.held);
    s.holds = false;
    from = s.stream;
    index = s.inputs++;
  }
  v1::InferRequest request;
  const absl::Status parsed = ConsumeMessage(message, request);
  if (!parsed.ok() || !request.has_input()) {
    return absl::InvalidArgumentError("the gateway sent no input");
  }
  from->Read();
  return DecodeWords(*request.mutable_input(), index, n, width,
                     [](absl::string_view what) {
                       return absl::InvalidArgumentError(
                           absl::StrCat("the gateway sent ", what));
                     });
}

absl::Status InferSession::Send(Words share, int width) {
  State& s = *state_;
  std::shared_ptr<RawStream> to;
  uint64_t index;
  {
    std::unique_lock<std::mutex> lock(s.mutex);
    if (!s.Await(lock, [&] { return !s.writing || !s.status.ok(); })) {
      return absl::DeadlineExceededError(
          absl::StrCat("the gateway has taken no output for ",
                       absl::FormatDuration(s.options.timeout)));
    }
    RETURN_IF_ERROR(s.status);
    s.writing = true;
    to = s.stream;
    index = s.outputs++;
  }
  to->Write(
      EncodeWords(v1::InferResponse::kOutputFieldNumber, index, share, width));
  return absl::OkStatus();
}

void InferSession::OnCancel(std::function<void()> cancelled) {
  {
    std::unique_lock<std::mutex> lock(state_->mutex);
    state_->AwaitCallback(lock);
    if (state_->status.ok()) {
      state_->cancelled = std::move(cancelled);
      return;
    }
  }
  if (cancelled != nullptr) cancelled();
}

void InferSession::Finish(const absl::Status& status) {
  std::shared_ptr<RawStream> over;
  {
    std::unique_lock<std::mutex> lock(state_->mutex);
    state_->AwaitCallback(lock);
    state_->cancelled = nullptr;
    over = state_->stream;
  }
  over->Close(status);
}

BidiReactor* AcceptInfer(
    grpc::CallbackServerContext* context, const TransportOptions& options,
    std::function<void(std::unique_ptr<InferSession>)> on_start) {
  auto state = std::make_shared<InferSession::State>(options);
  state->on_start = std::move(on_start);
  const auto [stream, reactor] =
      StartServerBidi(state, 0, options.linger, context);
  {
    std::lock_guard<std::mutex> lock(state->mutex);
    state->stream = stream;
    state->start_alarm = CallLater(
        options.accept_timeout, [weak = std::weak_ptr<RawStream>(stream)] {
          if (const auto late = weak.lock()) {
            late->Close(absl::DeadlineExceededError("the start did not come"));
          }
        });
  }
  stream->Read();
  return reactor;
}

// Guarded by mutex.
struct InferCall::State : public RawStream::Handler {
  explicit State(const TransportOptions& options) : options(options) {}

  void OnMessage(int, grpc::ByteBuffer& message) override;
  void OnWritten(int) override;
  void OnEnd(int, const absl::Status& status) override;
  // Sends what waits.
  void Write();
  void Cancel(const absl::Status& why);

  const TransportOptions options;
  std::mutex mutex;
  std::condition_variable changed;
  std::shared_ptr<RawStream> stream;
  std::deque<grpc::ByteBuffer> queue;
  bool writing = false;
  bool half_close = false;  // once the queue is empty
  bool half_closed = false;
  grpc::ByteBuffer held;  // the next output
  bool holds = false;
  bool ended = false;
  absl::Status status;  // with ended: why
  uint64_t inputs = 0;
  uint64_t outputs = 0;
};

void InferCall::State::Write() {
  std::shared_ptr<RawStream> to;
  grpc::ByteBuffer message;
  bool close;
  {
    std::lock_guard<std::mutex> lock(mutex);
    if (writing || half_closed || (queue.empty() && !half_close)) return;
    writing = true;
    to = stream;
    close = half_closed = queue.empty();
    if (!close) {
      message.Swap(&queue.front());
      queue.pop_front();
    }
  }
  if (close) return to->HalfClose();
  to->Write(std::move(message));
}

void InferCall::State::OnMessage(int, grpc::ByteBuffer& message) {
  std::lock_guard<std::mutex> lock(mutex);
  held.Swap(&message);
  holds = true;
  changed.notify_all();
}

void InferCall::State::OnWritten(int) {
  {
    std::lock_guard<std::mutex> lock(mutex);
    writing = false;
  }
  Write();
}

void InferCall::State::OnEnd(int, const absl::Status& end) {
  std::lock_guard<std::mutex> lock(mutex);
  if (!ended) status = end;
  ended = true;
  changed.notify_all();
}

void InferCall::State::Cancel(const absl::Status& why) {
  std::shared_ptr<RawStream> over;
  {
    std::lock_guard<std::mutex> lock(mutex);
    if (!ended) {
      status =
          why.ok() ? absl::CancelledError("the gateway has cancelled") : why;
    }
    ended = true;
    queue.clear();
    over = stream;
    changed.notify_all();
  }
  over->Cancel();
  over->Close(absl::OkStatus());
}

InferCall::~InferCall() {
  state_->Cancel(absl::CancelledError("the gateway has left"));
}

absl::Status InferCall::SendInput(std::span<const uint64_t> hat, int width) {
  {
    std::lock_guard<std::mutex> lock(state_->mutex);
    RETURN_IF_ERROR(state_->status);
    if (state_->ended) {
      return absl::UnavailableError("the party has ended the session");
    }
    state_->queue.push_back(EncodeWords(v1::InferRequest::kInputFieldNumber,
                                        state_->inputs++, hat, width));
  }
  state_->Write();
  return absl::OkStatus();
}

absl::StatusOr<Words> InferCall::ReceiveShare(size_t n, int width,
                                              absl::Duration timeout) {
  State& s = *state_;
  grpc::ByteBuffer message;
  std::shared_ptr<RawStream> from;
  uint64_t index;
  {
    std::unique_lock<std::mutex> lock(s.mutex);
    if (!s.changed.wait_for(lock, absl::ToChronoNanoseconds(timeout),
                            [&] { return s.holds || s.ended; })) {
      return absl::DeadlineExceededError(absl::StrCat(
          "no output from the party within ", absl::FormatDuration(timeout)));
    }
    if (!s.holds) {
      RETURN_IF_ERROR(s.status);
      return absl::DataLossError(
          absl::StrCat("the party ended after ", s.outputs, " outputs"));
    }
    message.Swap(&s.held);
    s.holds = false;
    from = s.stream;
    index = s.outputs++;
  }
  from->Read();
  v1::InferResponse response;
  RETURN_IF_ERROR(ConsumeMessage(message, response));
  return DecodeWords(
      *response.mutable_output(), index, n, width, [](absl::string_view what) {
        return absl::DataLossError(absl::StrCat("the party sent ", what));
      });
}

absl::Status InferCall::Finish(absl::Duration timeout) {
  State& s = *state_;
  {
    std::lock_guard<std::mutex> lock(s.mutex);
    s.half_close = true;
  }
  s.Write();
  std::unique_lock<std::mutex> lock(s.mutex);
  if (!s.changed.wait_for(lock, absl::ToChronoNanoseconds(timeout),
                          [&] { return s.holds || s.ended; })) {
    return absl::DeadlineExceededError(absl::StrCat(
        "the party does not finish within ", absl::FormatDuration(timeout)));
  }
  if (s.holds) return absl::DataLossError("the party sent further outputs");
  return s.status;
}

void InferCall::Cancel(const absl::Status& status) { state_->Cancel(status); }

InferDialer::InferDialer(
    const std::string& address,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    const TransportOptions& options)
    : options_(options),
      connection_(grpc::CreateCustomChannel(
          address, credentials,
          MakeChannelArguments(options, options.max_output_bytes))) {}

std::unique_ptr<InferCall> InferDialer::Start(const SessionId& session,
                                              const PlanDigest& plan,
                                              const v1::SessionShape& shape,
                                              const CallMetadata& metadata) {
  auto state = std::make_shared<InferCall::State>(options_);
  auto stream = StartClientStream(state, 0, options_.linger, connection_,
                                  kMethod, metadata);
  {
    std::lock_guard<std::mutex> lock(state->mutex);
    state->stream = stream;
  }
  stream->Read();
  v1::InferRequest request;
  v1::InferStart& start = *request.mutable_start();
  start.set_session_id(session.data(), session.size());
  start.set_plan_digest(plan.data(), plan.size());
  *start.mutable_shape() = shape;
  {
    std::lock_guard<std::mutex> lock(state->mutex);
    state->queue.push_back(SerializeMessage(request));
  }
  state->Write();
  return std::unique_ptr<InferCall>(new InferCall(std::move(state)));
}

}  // namespace tacit

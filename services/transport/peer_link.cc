#include "services/transport/peer_link.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "services/transport/status.h"

namespace tacit {

void PeerLink::Attach(int stripe, std::shared_ptr<RawStream> stream,
                      std::shared_ptr<EventQueue> queue) {
  absl::Status status;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stripes_[stripe].stream = stream;
    if (queue != nullptr) queue_ = std::move(queue);
    status = status_;
  }
  stream->Read();
  if (status.ok()) return;
  stream->Close(status, EncodeAbort(status));
  Retire();
}

bool PeerLink::attached(int stripe) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return stripes_[stripe].stream != nullptr;
}

bool PeerLink::complete() const {
  for (int s = 0; s < stripes(); ++s) {
    if (!attached(s)) return false;
  }
  return true;
}

absl::Status PeerLink::Exchange(std::span<const uint8_t> message,
                                std::span<uint8_t> reply) {
  absl::Status status;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    status = Begin(message, reply);
  }
  if (status.ok()) {
    for (int s = 0; s < stripes(); ++s) {
      Send(s);
      Receive(s);
    }
    std::unique_lock<std::mutex> lock(mutex_);
    status = Await(lock);
  }
  if (!status.ok()) {
    Abort(status);
    Retire();  // if somebody else has aborted meanwhile
  }
  return status;
}

absl::Status PeerLink::Begin(std::span<const uint8_t> message,
                             std::span<uint8_t> reply) {
  RETURN_IF_ERROR(status_);
  for (Stripe& stripe : stripes_) {
    RETURN_IF_ERROR(stripe.end);
    stripe.sent = stripe.received = 0;
  }
  active_ = true;
  ++traffic_.rounds;
  traffic_.sent_bytes += message.size();
  message_ = message;
  reply_ = reply;
  out_ = FramePlan(message.size(), frame_bytes_, stripes());
  in_ = FramePlan(reply.size(), frame_bytes_, stripes());
  to_send_ = out_.frames();
  to_receive_ = in_.frames();
  return absl::OkStatus();
}

absl::Status PeerLink::RoundError() const {
  RETURN_IF_ERROR(status_);
  for (int s = 0; s < stripes(); ++s) {
    const Stripe& stripe = stripes_[s];
    const bool needed =
        stripe.received < in_.frames_on(s) || stripe.sent < out_.frames_on(s);
    if (needed && !stripe.end.ok()) return stripe.end;
  }
  return absl::OkStatus();
}

absl::Status PeerLink::Await(std::unique_lock<std::mutex>& lock) {
  absl::Status status;
  const auto over = [&] {
    if (to_send_ == 0 && to_receive_ == 0) return true;
    // A frame that is being taken in may yet name a better reason.
    status = RoundError();
    return !status.ok();
  };
  while (!over()) {
    const uint64_t seen = progress_;
    Poll(lock, over);
    if (!over() && progress_ == seen) {
      status = absl::DeadlineExceededError(absl::StrCat(
          "no message from the peer within ", absl::FormatDuration(timeout_)));
      break;
    }
  }
  // From here on nobody begins to use the caller's buffers.
  active_ = false;
  changed_.wait(lock, [this] { return busy_ == 0; });
  ++sequence_;
  return status;
}

void PeerLink::Poll(std::unique_lock<std::mutex>& lock,
                    absl::FunctionRef<bool()> over) {
  const uint64_t seen = progress_;
  const std::shared_ptr<EventQueue> queue = queue_;
  const auto begin = std::chrono::steady_clock::now();
  poller_ = std::this_thread::get_id();
  while (!over() && progress_ == seen) {
    const absl::Duration left =
        timeout_ - absl::FromChrono(std::chrono::steady_clock::now() - begin);
    if (left <= absl::ZeroDuration()) break;
    lock.unlock();
    queue->Poll(left);
    lock.lock();
  }
  poller_ = std::thread::id();
}

void PeerLink::Changed() {
  changed_.notify_all();
  if (poller_ != std::thread::id() && poller_ != std::this_thread::get_id()) {
    queue_->Wake();
  }
}

void PeerLink::Send(int s) {
  std::shared_ptr<RawStream> stream;
  Frame frame;
  std::span<const uint8_t> payload;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    Stripe& stripe = stripes_[s];
    if (!active_ || stripe.writing || stripe.sent == out_.frames_on(s)) return;
    frame = out_.At(sequence_, s, stripe.sent);
    payload = message_.subspan(frame.offset, frame.payload_bytes);
    stripe.writing = true;
    // Now: the peer may take the frame in, answer and leave before Write
    // returns, and it has not left too early then.
    ++stripe.sent;
    stream = stripe.stream;
    ++busy_;
  }
  // The round counts a frame as sent once it is gRPC's: leaving the link in
  // order waits for that.
  stream->Write(EncodeFrame(frame, payload));
  std::lock_guard<std::mutex> lock(mutex_);
  --busy_;
  --to_send_;
  ++progress_;
  Changed();
}

absl::Status PeerLink::Take(const Frame& frame, const grpc::ByteBuffer& message,
                            std::span<uint8_t> reply) {
  ByteBufferReader reader(message);
  RETURN_IF_ERROR(ReadFrame(frame, reader));
  reader.Read(reply.subspan(frame.offset, frame.payload_bytes));
  return absl::OkStatus();
}

void PeerLink::Receive(int s) {
  std::shared_ptr<RawStream> stream;
  Frame frame;
  std::span<uint8_t> reply;
  grpc::ByteBuffer message;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    Stripe& stripe = stripes_[s];
    if (!active_ || !stripe.holds || stripe.received == in_.frames_on(s)) {
      return;
    }
    frame = in_.At(sequence_, s, stripe.received);
    reply = reply_;
    message.Swap(&stripe.held);
    stripe.holds = false;
    stream = stripe.stream;
    ++busy_;
  }
  const absl::Status status = Take(frame, message, reply);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    --busy_;
    Stripe& stripe = stripes_[s];
    if (status.ok()) {
      ++stripe.received;
      --to_receive_;
      ++progress_;
    } else {
      stripe.end = status;
    }
    Changed();
  }
  if (status.ok()) stream->Read();
}

void PeerLink::Abort(absl::Status status) {
  if (status.ok()) status = absl::CancelledError("the link was ended");
  std::vector<std::shared_ptr<RawStream>> streams;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!status_.ok()) return;
    status_ = status;
    for (const Stripe& stripe : stripes_) {
      if (stripe.stream != nullptr) streams.push_back(stripe.stream);
    }
    Changed();
  }
  for (const auto& stream : streams) {
    stream->Close(status, EncodeAbort(status));
  }
  Retire();
}

void PeerLink::Retire() {
  PolledStream first;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (status_.ok() || poller_ != std::thread::id()) return;
    first = {stripes_[0].stream, std::exchange(queue_, nullptr)};
  }
  if (first.queue == nullptr) return;
  if (const auto reaper = reaper_.lock()) reaper->Add(std::move(first));
}

void PeerLink::OnMessage(int stripe, grpc::ByteBuffer& message) {
  std::shared_ptr<RawStream> aborted;
  absl::Status end;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (IsFrame(message)) {
      stripes_[stripe].held.Swap(&message);
      stripes_[stripe].holds = true;
    } else {
      end = stripes_[stripe].end = ReadAbort(message);
      aborted = stripes_[stripe].stream;
      Changed();
    }
  }
  if (aborted != nullptr) return aborted->Close(end, EncodeAbort(end));
  Receive(stripe);
}

void PeerLink::OnWritten(int stripe) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stripes_[stripe].writing = false;
  }
  Send(stripe);
}

void PeerLink::OnEnd(int stripe, const absl::Status& status) {
  std::shared_ptr<RawStream> stream;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stream = stripes_[stripe].stream;
    absl::Status& end = stripes_[stripe].end;
    // At the accepting end a stream is cancelled only if the caller is lost:
    // an abort comes as a message.
    if (end.ok()) {
      end = status.ok() || absl::IsCancelled(status)
                ? absl::UnavailableError("the peer has left")
                : StatusOf("the other party", status);
    }
    Changed();
  }
  if (stream != nullptr) stream->Close(absl::OkStatus());
}

namespace {

class PeerChannel : public Channel {
 public:
  explicit PeerChannel(std::shared_ptr<PeerLink> link)
      : link_(std::move(link)) {}
  ~PeerChannel() override {
    link_->Abort(absl::UnavailableError("the peer has left"));
  }

  absl::Status Exchange(std::span<const uint8_t> message,
                        std::span<uint8_t> reply) override {
    return link_->Exchange(message, reply);
  }
  void Abort(const absl::Status& status) override { link_->Abort(status); }
  const Traffic& traffic() const override { return link_->traffic(); }

 private:
  const std::shared_ptr<PeerLink> link_;
};

}  // namespace

std::unique_ptr<Channel> MakePeerChannel(std::shared_ptr<PeerLink> link) {
  return std::make_unique<PeerChannel>(std::move(link));
}

}  // namespace tacit

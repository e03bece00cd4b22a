#include "services/transport/raw_stream.h"

#include <utility>

#include "services/transport/deadline.h"
#include "services/transport/tsan.h"

#if defined(__SANITIZE_THREAD__)
// ThreadSanitizer's view of gRPC: see tsan.h. Here, because whatever uses gRPC
// links this file.
extern "C" const char* __tsan_default_suppressions() {  // NOLINT
  return "called_from_lib:libgrpc.so\n"
         "called_from_lib:libgrpc++.so\n"
         "called_from_lib:libgpr.so\n"
         "called_from_lib:libupb.so\n"
         "called_from_lib:libssl.so\n"
         "called_from_lib:libcrypto.so\n"
         "called_from_lib:libabsl_cord.so\n"
         "called_from_lib:libabsl_cord_internal.so\n"
         "called_from_lib:libabsl_graphcycles_internal.so\n"
         "called_from_lib:libabsl_random_internal_pool_urbg.so\n"
         "called_from_lib:libabsl_status.so\n"
         "called_from_lib:libabsl_strings.so\n"
         "called_from_lib:libabsl_synchronization.so\n"
         "called_from_lib:libabsl_time.so\n"
         "called_from_lib:libabsl_time_zone.so\n"
         // gRPC's headers, and what they use.
         "race_top:grpc::\n"
         "race_top:std::function<void (bool)>\n"
         "race_top:std::_Function_base\n"
         "race_top:std::__atomic_base<long>\n"
         "race_top:std::_Rb_tree\n"
         "race_top:std::swap<std::_Any_data>\n"
         "race_top:std::swap<bool (*)(std::_Any_data\n"
         "race:_M_assign(std::__cxx11::basic_string\n"
         "race_top:operator delete\n"
         "race:grpc::Status::\n"
         "race:grpc::internal::CallOpClientRecvStatus\n"
         "race:tacit::FromGrpcStatus\n"
         "race:tacit::ToGrpcStatus\n"
         // Memory that gRPC has received into.
         "race:tacit::ByteBufferReader\n";
}
#endif

namespace tacit {

std::unique_ptr<grpc::Alarm> CallLater(absl::Duration delay,
                                       std::function<void()> call) {
  // Runs exactly once, expired or cancelled.
  auto* const later = new std::function<void()>(std::move(call));
  auto alarm = std::make_unique<grpc::Alarm>();
  TACIT_INTO_GRPC(later);
  alarm->Set(DeadlineIn(delay), [later](bool expired) {
    TACIT_OUT_OF_GRPC(later);
    if (expired) (*later)();
    delete later;
  });
  return alarm;
}

bool AwaitConnection(grpc::Channel& channel) {
  // Longer than a channel waits between attempts (TransportOptions), with what
  // gRPC adds to that at random; shorter than others wait for who waits here.
  constexpr absl::Duration kPatience = absl::Milliseconds(750);
  return channel.GetState(/*try_to_connect=*/true) == GRPC_CHANNEL_READY ||
         channel.WaitForConnected(DeadlineIn(kPatience));
}

void RawStream::Started() {
  self_ = shared_from_this();
  TACIT_INTO_GRPC(this);
}

void RawStream::Read() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closing_) return;
    reading_ = true;
    ++issuing_;
  }
  TACIT_INTO_GRPC(this);
  DoRead(&in_);
  Issued();
}

void RawStream::Write(grpc::ByteBuffer message) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closing_) return;
    out_.Swap(&message);
    writing_ = true;
    ++issuing_;
  }
  TACIT_INTO_GRPC(this);
  DoWrite(&out_);
  Issued();
}

void RawStream::HalfClose() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closing_) return;
    writing_ = true;
    ++issuing_;
  }
  TACIT_INTO_GRPC(this);
  DoWrite(nullptr);
  Issued();
}

void RawStream::Close(const absl::Status& status, grpc::ByteBuffer last) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closing_) return;
    closing_ = true;
    close_status_ = status;
    last_.Swap(&last);
    if (!done_) {
      linger_alarm_ = CallLater(linger_, [weak = weak_from_this()] {
        if (std::shared_ptr<RawStream> self = weak.lock()) self->Cancel();
      });
    }
    ++issuing_;
  }
  Issued();
}

void RawStream::Cancel() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (done_ || (closed_ && !is_client_)) return;
    ++issuing_;
  }
  DoCancel();
  Issued();
}

bool RawStream::done() {
  std::lock_guard<std::mutex> lock(mutex_);
  return done_;
}

bool RawStream::closed() {
  std::lock_guard<std::mutex> lock(mutex_);
  return closed_;
}

bool RawStream::TakeClose() {
  if (!closing_ || closed_ || writing_ || issuing_ != 0 || done_) return false;
  closed_ = true;
  return true;
}

void RawStream::Issued() {
  bool close;
  bool reading;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    --issuing_;
    close = TakeClose();
    reading = reading_;
  }
  TACIT_INTO_GRPC(this);
  if (close) DoClose(reading);
}

bool RawStream::HandleRead(bool ok) {
  TACIT_OUT_OF_GRPC(this);
  grpc::ByteBuffer message;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    reading_ = false;
    message.Swap(&in_);
    if (closed_) return ok;
    if (closing_) return false;
  }
  if (ok) {
    handler_->OnMessage(tag_, message);
  } else {
    HandleBroken();
  }
  TACIT_INTO_GRPC(this);
  return false;
}

void RawStream::HandleWrite(bool ok) {
  TACIT_OUT_OF_GRPC(this);
  grpc::ByteBuffer sent;
  bool close;
  bool closing;
  bool reading;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    sent.Swap(&out_);
    writing_ = false;
    close = TakeClose();
    closing = closing_;
    reading = reading_;
  }
  if (close) return DoClose(reading);
  if (closing) return;
  sent.Clear();
  if (ok) {
    handler_->OnWritten(tag_);
  } else if (is_client_) {
    HandleBroken();
  }  // else OnCancel tells
  TACIT_INTO_GRPC(this);
}

void RawStream::HandleEnd(const absl::Status& status) {
  TACIT_OUT_OF_GRPC(this);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    bool& told = status.ok() ? ended_ : failed_;
    if (told) return;
    told = true;
  }
  handler_->OnEnd(tag_, status);
  TACIT_INTO_GRPC(this);
}

void RawStream::HandleDone() {
  TACIT_OUT_OF_GRPC(this);
  const std::shared_ptr<RawStream> self = std::move(self_);
  std::unique_ptr<grpc::Alarm> alarm;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    done_ = true;
    alarm = std::move(linger_alarm_);
  }
  handler_.reset();
}

}  // namespace tacit

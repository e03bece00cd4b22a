#include "services/transport/material_stream.h"

#include <grpcpp/alarm.h>
#include <grpcpp/create_channel.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/buffer.h"
#include "common/base/status_macros.h"
#include "services/transport/byte_buffer.h"
#include "services/transport/event_queue.h"
#include "services/transport/status.h"
#include "tacit/v1/dealer.pb.h"

namespace tacit {
namespace {

constexpr char kMethod[] = "/tacit.v1.DealerService/StreamMaterial";
constexpr int kChunkField = v1::StreamMaterialResponse::kChunkFieldNumber;
constexpr size_t kLengthBytes = sizeof(uint64_t);  // before each record
// Of a chunk that is not full. Dealing runs ahead, so that parties see little
// of it.
constexpr std::chrono::milliseconds kLongestWait{1};
// How often a stream that is silent is looked at.
constexpr absl::Duration kPoll = absl::Milliseconds(100);

// Part of a buffer, which several parts may share.
struct Part {
  std::shared_ptr<const Bytes> bytes;
  size_t begin;
  size_t end;

  size_t size() const { return end - begin; }
};

grpc::ByteBuffer EncodeChunk(const Part& part) {
  std::array<uint8_t, kMaxBytesPrefix> prefix;
  const size_t n = WriteBytesPrefix(kChunkField, part.size(), prefix.data());
  const std::array<grpc::Slice, 2> slices = {
      grpc::Slice(prefix.data(), n),
      SharedSlice(part.bytes, part.begin, part.size())};
  return grpc::ByteBuffer(slices.data(), slices.size());
}

}  // namespace

// What is committed and not sent. Guarded by mutex, except as noted.
struct MaterialOutbox::State : public RawStream::Handler,
                               std::enable_shared_from_this<State> {
  explicit State(const TransportOptions& options) : options(options) {}

  // Blocks while too much waits.
  absl::Status Push(Part part);
  absl::Status Finish();
  void Abort(const absl::Status& status);
  // Sends the next chunk, or ends the stream, if it is time. A chunk that is
  // not full waits for more until it is due: a party pays for each chunk that
  // it receives, and most gates' records are small.
  void Send(bool due = false);

  void OnMessage(int, grpc::ByteBuffer&) override {}
  void OnWritten(int) override;
  void OnEnd(int, const absl::Status& status) override;

  const TransportOptions options;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Part> queue;
  size_t queued_bytes = 0;   // with those being written
  size_t written_bytes = 0;  // by the write under way
  bool writing = false;
  bool finished = false;  // by the sink
  absl::Status status;
  bool taken = false;
  std::shared_ptr<RawStream> stream;
  bool waiting = false;  // for `alarm`, until what is queued is due
  grpc::Alarm alarm;
};

absl::Status MaterialOutbox::State::Push(Part part) {
  {
    std::unique_lock<std::mutex> lock(mutex);
    const size_t size = part.size();
    const auto fits = [&] {
      return !status.ok() || queued_bytes == 0 ||
             queued_bytes + size <= options.material_capacity;
    };
    while (!fits()) {
      const size_t before = queued_bytes;
      changed.wait_for(lock, absl::ToChronoNanoseconds(options.timeout),
                       [&] { return fits() || queued_bytes < before; });
      if (!fits() && queued_bytes == before) {
        return absl::DeadlineExceededError(
            absl::StrCat("a party has taken no material for ",
                         absl::FormatDuration(options.timeout)));
      }
    }
    RETURN_IF_ERROR(status);
    queued_bytes += size;
    const bool joins = !queue.empty() && queue.back().bytes == part.bytes &&
                       queue.back().end == part.begin;
    if (joins) {
      queue.back().end = part.end;
    } else {
      queue.push_back(std::move(part));
    }
  }
  Send();
  return absl::OkStatus();
}

void MaterialOutbox::State::Send(bool due) {
  std::shared_ptr<RawStream> to;
  grpc::ByteBuffer chunk;
  bool close = false;
  absl::Status why;
  {
    std::lock_guard<std::mutex> lock(mutex);
    if (stream == nullptr || writing) return;
    to = stream;
    why = status;
    close = !status.ok() || (finished && queue.empty());
    if (!close) {
      if (queue.empty()) return;
      Part& front = queue.front();
      const bool full = queue.size() > 1 || finished ||
                        front.size() >= options.material_chunk_bytes;
      if (!full && !due) {
        if (!std::exchange(waiting, true)) {
          // The alarm keeps its function, which must not keep the alarm.
          alarm.Set(std::chrono::system_clock::now() + kLongestWait,
                    [weak = weak_from_this()](bool) {
                      const std::shared_ptr<State> self = weak.lock();
                      if (self == nullptr) return;
                      {
                        std::lock_guard<std::mutex> relock(self->mutex);
                        self->waiting = false;
                      }
                      self->Send(/*due=*/true);
                    });
        }
        return;
      }
      written_bytes = std::min(front.size(), options.material_chunk_bytes);
      chunk =
          EncodeChunk({front.bytes, front.begin, front.begin + written_bytes});
      front.begin += written_bytes;
      if (front.size() == 0) queue.pop_front();
      writing = true;
    }
  }
  if (close) return to->Close(why);
  to->Write(std::move(chunk));
}

absl::Status MaterialOutbox::State::Finish() {
  {
    std::lock_guard<std::mutex> lock(mutex);
    RETURN_IF_ERROR(status);
    finished = true;
  }
  Send();
  return absl::OkStatus();
}

void MaterialOutbox::State::Abort(const absl::Status& why) {
  std::deque<Part> wiped;
  {
    std::lock_guard<std::mutex> lock(mutex);
    if (status.ok()) {
      status = why.ok() ? absl::CancelledError("the stream was ended") : why;
    }
    wiped.swap(queue);
    queued_bytes = 0;
    changed.notify_all();
    // Close waits for the write under way; OnWritten will not be called.
    writing = false;
  }
  Send();
}

void MaterialOutbox::State::OnWritten(int) {
  {
    std::lock_guard<std::mutex> lock(mutex);
    writing = false;
    queued_bytes -= std::min(queued_bytes, written_bytes);
    changed.notify_all();
  }
  Send();
}

void MaterialOutbox::State::OnEnd(int, const absl::Status& end) {
  if (!end.ok()) Abort(absl::UnavailableError("the party has left"));
}

// Fills buffers of a chunk's size, or of a record's if that is larger.
class MaterialOutbox::Sink : public MaterialSink {
 public:
  explicit Sink(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ~Sink() override {
    if (!finished_) {
      Sink::Abort(absl::UnavailableError("the dealer has left"));
    }
  }

  absl::StatusOr<std::span<uint8_t>> Reserve(size_t bytes) override {
    if (bytes > state_->options.max_record_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("a record of ", bytes, " bytes where ",
                       state_->options.max_record_bytes, " are allowed"));
    }
    const size_t needed = kLengthBytes + bytes;
    if (buffer_ == nullptr || used_ + needed > buffer_->size()) {
      Seal();
      buffer_ = std::make_shared<Bytes>(
          std::max(state_->options.material_chunk_bytes, needed));
      sealed_ = used_ = 0;
    }
    uint8_t* const record = buffer_->data() + used_;
    const uint64_t length = bytes;
    std::memcpy(record, &length, kLengthBytes);
    used_ += needed;
    bytes_ += bytes;
    return std::span<uint8_t>(record + kLengthBytes, bytes);
  }

  absl::Status Commit() override {
    Seal();
    for (Part& part : parts_) RETURN_IF_ERROR(state_->Push(std::move(part)));
    parts_.clear();
    return absl::OkStatus();
  }

  absl::Status Finish() override {
    finished_ = true;
    return state_->Finish();
  }

  void Abort(const absl::Status& status) override { state_->Abort(status); }

  uint64_t bytes() const override { return bytes_; }

 private:
  // What is reserved goes with the next Commit.
  void Seal() {
    if (used_ > sealed_) parts_.push_back({buffer_, sealed_, used_});
    sealed_ = used_;
  }

  const std::shared_ptr<State> state_;
  std::shared_ptr<Bytes> buffer_;
  size_t used_ = 0;
  size_t sealed_ = 0;
  std::vector<Part> parts_;
  uint64_t bytes_ = 0;
  bool finished_ = false;
};

MaterialOutbox::MaterialOutbox(const TransportOptions& options)
    : state_(std::make_shared<State>(options)) {}

MaterialOutbox::~MaterialOutbox() {
  if (!taken()) Abort(absl::UnavailableError("the dealer dropped the session"));
}

std::unique_ptr<MaterialSink> MaterialOutbox::MakeSink() {
  return std::make_unique<Sink>(state_);
}

WriteReactor* MaterialOutbox::Handle(grpc::CallbackServerContext* context) {
  WriteReactor* reactor;
  {
    std::lock_guard<std::mutex> lock(state_->mutex);
    if (state_->taken) {
      return RefuseWrite(absl::AlreadyExistsError(
          "this party's material was asked for before: it is sent once"));
    }
    state_->taken = true;
    auto start = StartServerWriter(state_, 0, state_->options.linger, context);
    reactor = start.reactor;
    state_->stream = std::move(start.stream);
  }
  state_->Send();
  return reactor;
}

void MaterialOutbox::Abort(const absl::Status& status) {
  state_->Abort(status);
}

bool MaterialOutbox::taken() const {
  std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->taken;
}

absl::Status MaterialOutbox::status() const {
  std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->status;
}

size_t MaterialOutbox::buffered_bytes() const {
  std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->queued_bytes;
}

namespace {

// What has arrived at a party and is not used. Guarded by mutex.
struct Inbox : public RawStream::Handler {
  explicit Inbox(const TransportOptions& options) : options(options) {}

  void OnMessage(int, grpc::ByteBuffer& message) override;
  void OnWritten(int) override;
  void OnEnd(int, const absl::Status& status) override;

  // Waits until at least one byte is there, or none can come: then false.
  // DEADLINE_EXCEEDED if neither happens.
  absl::StatusOr<bool> Await(std::unique_lock<std::mutex>& lock);
  // Copies what the next record begins with, however it is cut into chunks.
  // Fewer bytes only at the end of the stream. Reads on if there is room.
  absl::StatusOr<size_t> Read(std::span<uint8_t> out);
  // The next `bytes` where they lie, or nullptr if they are not in one chunk.
  std::shared_ptr<const Bytes> Next(size_t bytes, size_t& offset);
  // Both sides end with `status`.
  void Abort(const absl::Status& why);

  const TransportOptions options;
  std::mutex mutex;
  std::condition_variable changed;
  std::shared_ptr<RawStream> stream;
  bool half_closed = false;
  std::deque<std::shared_ptr<const Bytes>> chunks;
  size_t used = 0;      // of the first chunk
  size_t buffered = 0;  // bytes in chunks that are not used
  bool reading = false;
  bool ended = false;
  absl::Status status;  // not OK: why it ended

 private:
  // Advances, wiping chunks that are used up. Requires mutex.
  void Use(size_t bytes);
  // Asks for the next chunk if there is room. Requires mutex to be held by
  // nobody.
  void ReadOn();
};

absl::StatusOr<Bytes> DecodeChunk(const grpc::ByteBuffer& message) {
  ByteBufferReader reader(message);
  RETURN_IF_ERROR(ReadBytesPrefix(kChunkField, reader));
  if (reader.remaining() == 0) {
    return absl::DataLossError("an empty chunk of material");
  }
  Bytes bytes(reader.remaining());
  reader.Read(bytes);
  return bytes;
}

void Inbox::OnMessage(int, grpc::ByteBuffer& message) {
  absl::StatusOr<Bytes> bytes = DecodeChunk(message);
  if (!bytes.ok()) return Abort(bytes.status());
  {
    std::lock_guard<std::mutex> lock(mutex);
    reading = false;
    if (!status.ok()) return;
    buffered += bytes->size();
    chunks.push_back(std::make_shared<const Bytes>(*std::move(bytes)));
    changed.notify_all();
  }
  ReadOn();
}

void Inbox::OnWritten(int) {
  std::shared_ptr<RawStream> asked;
  {
    std::lock_guard<std::mutex> lock(mutex);
    if (half_closed) return;
    half_closed = true;
    asked = stream;
  }
  asked->HalfClose();
}

void Inbox::OnEnd(int, const absl::Status& end) {
  std::shared_ptr<RawStream> over;
  {
    std::lock_guard<std::mutex> lock(mutex);
    ended = true;
    if (status.ok()) status = StatusOf("the dealer", end);
    over = stream;
    changed.notify_all();
  }
  over->Close(absl::OkStatus());
}

void Inbox::ReadOn() {
  std::shared_ptr<RawStream> from;
  {
    std::lock_guard<std::mutex> lock(mutex);
    if (reading || ended || buffered >= options.material_capacity) return;
    reading = true;
    from = stream;
  }
  from->Read();
}

absl::StatusOr<bool> Inbox::Await(std::unique_lock<std::mutex>& lock) {
  const auto ready = [this] { return buffered != 0 || ended; };
  if (!changed.wait_for(lock, absl::ToChronoNanoseconds(options.timeout),
                        ready)) {
    return absl::DeadlineExceededError(
        absl::StrCat("no material from the dealer within ",
                     absl::FormatDuration(options.timeout)));
  }
  // What the dealer sent before it failed is still good.
  if (buffered != 0) return true;
  RETURN_IF_ERROR(status);
  return false;
}

void Inbox::Use(size_t bytes) {
  used += bytes;
  buffered -= bytes;
  if (used == chunks.front()->size()) {
    chunks.pop_front();
    used = 0;
  }
}

absl::StatusOr<size_t> Inbox::Read(std::span<uint8_t> out) {
  size_t done = 0;
  while (done < out.size()) {
    {
      std::unique_lock<std::mutex> lock(mutex);
      ASSIGN_OR_RETURN(const bool more, Await(lock));
      if (!more) break;
      const Bytes& front = *chunks.front();
      const size_t n = std::min(front.size() - used, out.size() - done);
      std::memcpy(&out[done], front.data() + used, n);
      done += n;
      Use(n);
    }
    ReadOn();
  }
  return done;
}

std::shared_ptr<const Bytes> Inbox::Next(size_t bytes, size_t& offset) {
  std::shared_ptr<const Bytes> chunk;
  {
    std::lock_guard<std::mutex> lock(mutex);
    if (chunks.empty() || chunks.front()->size() - used < bytes) return nullptr;
    chunk = chunks.front();
    offset = used;
    Use(bytes);
  }
  ReadOn();
  return chunk;
}

void Inbox::Abort(const absl::Status& why) {
  std::deque<std::shared_ptr<const Bytes>> wiped;
  std::shared_ptr<RawStream> aborted;
  {
    std::lock_guard<std::mutex> lock(mutex);
    if (status.ok()) {
      status = why.ok() ? absl::CancelledError("the stream was ended") : why;
    }
    ended = true;
    wiped.swap(chunks);
    used = buffered = 0;
    aborted = stream;
    changed.notify_all();
  }
  // The dealer hears of it as a cancelled call: it has nothing left to say.
  aborted->Cancel();
  aborted->Close(absl::OkStatus());
}

class InboxSource : public MaterialSource {
 public:
  InboxSource(std::shared_ptr<Inbox> inbox, PolledStream stream)
      : inbox_(std::move(inbox)), poller_([stream = std::move(stream)] {
          while (!stream.stream->done()) stream.queue->Poll(kPoll);
        }) {}
  // Waits for the stream's end, which its linger bounds.
  ~InboxSource() override {
    InboxSource::Abort(absl::UnavailableError("the party has left"));
    poller_.join();
  }

  absl::StatusOr<std::span<const uint8_t>> Take(size_t bytes) override {
    ASSIGN_OR_RETURN(const uint64_t length, ReadLength(bytes));
    if (length != bytes) {
      return Fail(absl::DataLossError(absl::StrCat("material record of ",
                                                   length, " bytes where ",
                                                   bytes, " were expected")));
    }
    bytes_ += bytes;
    size_t offset = 0;
    if (std::shared_ptr<const Bytes> chunk = inbox_->Next(bytes, offset)) {
      const std::span<const uint8_t> record(chunk->data() + offset, bytes);
      if (taken_.empty() || taken_.back() != chunk) {
        taken_.push_back(std::move(chunk));
      }
      return record;
    }
    auto record = std::make_shared<Bytes>(bytes);
    ASSIGN_OR_RETURN(const size_t got, inbox_->Read(*record));
    if (got != bytes) return Fail(Truncated());
    taken_.push_back(record);
    return std::span<const uint8_t>(*record);
  }

  void Release() override { taken_.clear(); }

  absl::Status Finish() override {
    uint64_t length;
    ASSIGN_OR_RETURN(const size_t got, inbox_->Read(AsBytes(length)));
    if (got == 0) return absl::OkStatus();
    if (got != kLengthBytes) return Fail(Truncated());
    return Fail(absl::DataLossError(
        absl::StrCat("a record of ", length,
                     " bytes of material is left over: the dealer ran another "
                     "plan")));
  }

  void Abort(const absl::Status& status) override { inbox_->Abort(status); }
  uint64_t bytes() const override { return bytes_; }

 private:
  static std::span<uint8_t> AsBytes(uint64_t& value) {
    return {reinterpret_cast<uint8_t*>(&value), sizeof(value)};
  }
  static absl::Status Truncated() {
    return absl::DataLossError("the material stream ends inside a record");
  }

  // Keeps what is returned as the stream's status.
  absl::Status Fail(const absl::Status& status) {
    Abort(status);
    return status;
  }

  absl::StatusOr<uint64_t> ReadLength(size_t wanted) {
    uint64_t length;
    ASSIGN_OR_RETURN(const size_t got, inbox_->Read(AsBytes(length)));
    if (got == kLengthBytes) return length;
    if (got != 0) return Fail(Truncated());
    return Fail(absl::DataLossError(
        absl::StrCat("material ends with a record of 0 bytes where ", wanted,
                     " were expected")));
  }

  const std::shared_ptr<Inbox> inbox_;
  // Chunks and records that Take gave out.
  std::vector<std::shared_ptr<const Bytes>> taken_;
  uint64_t bytes_ = 0;
  // Receives and decrypts beside the session's thread. By the callback API two
  // of gRPC's threads would hand each piece of a chunk to each other.
  std::thread poller_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<MaterialDialer>> MaterialDialer::Create(
    const std::string& address,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    const TransportOptions& options) {
  RETURN_IF_ERROR(CheckTransportOptions(options));
  return std::unique_ptr<MaterialDialer>(new MaterialDialer(
      options, grpc::CreateCustomChannel(
                   address, credentials,
                   MakeChannelArguments(options, options.max_message_bytes))));
}

std::unique_ptr<MaterialSource> MaterialDialer::Open(
    const SessionId& session, int party, const CallMetadata& metadata) {
  (void)AwaitConnection(*connection_);
  auto inbox = std::make_shared<Inbox>(options_);
  PolledStream polled = StartPolledClientStream(inbox, 0, options_.linger,
                                                connection_, kMethod, metadata);
  const std::shared_ptr<RawStream> stream = polled.stream;
  {
    std::lock_guard<std::mutex> lock(inbox->mutex);
    inbox->stream = stream;
    inbox->reading = true;
  }
  v1::StreamMaterialRequest request;
  request.set_session_id(session.data(), session.size());
  request.set_party(static_cast<uint32_t>(party));
  stream->Write(SerializeMessage(request));
  stream->Read();
  return std::make_unique<InboxSource>(std::move(inbox), std::move(polled));
}

}  // namespace tacit

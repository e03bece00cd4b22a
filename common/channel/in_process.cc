#include "common/channel/in_process.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/buffer.h"
#include "common/base/status_macros.h"

namespace tacit {
namespace {

absl::Status SizeError(absl::string_view what, size_t got, size_t want) {
  return absl::DataLossError(
      absl::StrCat(what, " of ", got, " bytes where ", want, " were expected"));
}

// A mutex and what changes under it. Of the standard library, not Abseil:
// ThreadSanitizer sees through the former only.
struct Monitor {
  explicit Monitor(absl::Duration timeout) : timeout(timeout) {}

  // Waits until `ready()` holds; false if it takes longer than `timeout`.
  template <typename Ready>
  bool Await(std::unique_lock<std::mutex>& lock, Ready ready) {
    return changed.wait_for(lock, absl::ToChronoNanoseconds(timeout), ready);
  }

  const absl::Duration timeout;
  std::mutex mutex;
  std::condition_variable changed;
};

// A link's shared state: a queue per direction.
struct Link : Monitor {
  using Monitor::Monitor;

  std::deque<Bytes> queue[2];  // to end 0, to end 1
  absl::Status status;
};

class LinkEnd : public Channel {
 public:
  LinkEnd(std::shared_ptr<Link> link, int end)
      : link_(std::move(link)), end_(end) {}
  ~LinkEnd() override {
    LinkEnd::Abort(absl::UnavailableError("the peer has left"));
  }

  absl::Status Exchange(std::span<const uint8_t> message,
                        std::span<uint8_t> reply) override {
    Bytes copy = Bytes::Copy(message);
    Bytes received;
    {
      std::unique_lock<std::mutex> lock(link_->mutex);
      RETURN_IF_ERROR(link_->status);
      link_->queue[1 - end_].push_back(std::move(copy));
      link_->changed.notify_all();
      ++traffic_.rounds;
      traffic_.sent_bytes += message.size();
      if (!link_->Await(lock, [this] {
            return !link_->queue[end_].empty() || !link_->status.ok();
          })) {
        link_->status = absl::DeadlineExceededError(
            absl::StrCat("no message from the peer within ",
                         absl::FormatDuration(link_->timeout)));
        return link_->status;
      }
      // A message that was sent before the peer failed still counts.
      if (link_->queue[end_].empty()) return link_->status;
      received = std::move(link_->queue[end_].front());
      link_->queue[end_].pop_front();
    }
    if (received.size() != reply.size()) {
      absl::Status status = SizeError("message", received.size(), reply.size());
      Abort(status);
      return status;
    }
    std::copy(received.begin(), received.end(), reply.begin());
    return absl::OkStatus();
  }

  void Abort(const absl::Status& status) override {
    std::lock_guard<std::mutex> lock(link_->mutex);
    if (link_->status.ok()) link_->status = status;
    link_->changed.notify_all();
  }

  const Traffic& traffic() const override { return traffic_; }

 private:
  const std::shared_ptr<Link> link_;
  const int end_;
  Traffic traffic_;
};

struct Stream : Monitor {
  explicit Stream(const InProcessOptions& options)
      : Monitor(options.timeout), capacity(options.material_capacity) {}

  const size_t capacity;
  std::deque<Bytes> records;
  size_t queued_bytes = 0;
  bool finished = false;
  absl::Status status;

  void Abort(const absl::Status& why) {
    std::lock_guard<std::mutex> lock(mutex);
    if (status.ok()) status = why;
    records.clear();  // wiped: nobody will use them
    queued_bytes = 0;
    changed.notify_all();
  }
  // Whether a reader need not wait.
  bool Readable() const { return !records.empty() || finished || !status.ok(); }
};

class StreamSink : public MaterialSink {
 public:
  explicit StreamSink(std::shared_ptr<Stream> stream)
      : stream_(std::move(stream)) {}
  ~StreamSink() override {
    std::lock_guard<std::mutex> lock(stream_->mutex);
    if (!stream_->finished && stream_->status.ok()) {
      stream_->status = absl::UnavailableError("the dealer has left");
      stream_->changed.notify_all();
    }
  }

  absl::StatusOr<std::span<uint8_t>> Reserve(size_t bytes) override {
    reserved_.emplace_back(bytes);
    bytes_ += bytes;
    return std::span<uint8_t>(reserved_.back());
  }

  absl::Status Commit() override {
    for (Bytes& record : reserved_) RETURN_IF_ERROR(Push(std::move(record)));
    reserved_.clear();
    return absl::OkStatus();
  }

  absl::Status Finish() override {
    std::lock_guard<std::mutex> lock(stream_->mutex);
    RETURN_IF_ERROR(stream_->status);
    stream_->finished = true;
    stream_->changed.notify_all();
    return absl::OkStatus();
  }

  void Abort(const absl::Status& status) override {
    reserved_.clear();
    stream_->Abort(status);
  }

  uint64_t bytes() const override { return bytes_; }

 private:
  absl::Status Push(Bytes record) {
    const size_t size = record.size();
    std::unique_lock<std::mutex> lock(stream_->mutex);
    if (!stream_->Await(lock, [this, size] {
          return !stream_->status.ok() || stream_->queued_bytes == 0 ||
                 stream_->queued_bytes + size <= stream_->capacity;
        })) {
      return absl::DeadlineExceededError(
          absl::StrCat("a party has taken no material for ",
                       absl::FormatDuration(stream_->timeout)));
    }
    RETURN_IF_ERROR(stream_->status);
    stream_->queued_bytes += size;
    stream_->records.push_back(std::move(record));
    stream_->changed.notify_all();
    return absl::OkStatus();
  }

  const std::shared_ptr<Stream> stream_;
  std::vector<Bytes> reserved_;
  uint64_t bytes_ = 0;
};

class StreamSource : public MaterialSource {
 public:
  explicit StreamSource(std::shared_ptr<Stream> stream)
      : stream_(std::move(stream)) {}
  ~StreamSource() override {
    stream_->Abort(absl::UnavailableError("the party has left"));
  }

  absl::StatusOr<std::span<const uint8_t>> Take(size_t bytes) override {
    std::unique_lock<std::mutex> lock(stream_->mutex);
    if (!stream_->Await(lock, [this] { return stream_->Readable(); })) {
      return absl::DeadlineExceededError(
          absl::StrCat("no material from the dealer within ",
                       absl::FormatDuration(stream_->timeout)));
    }
    // What the dealer sent before it failed is still good.
    if (stream_->records.empty()) {
      RETURN_IF_ERROR(stream_->status);
      return SizeError("material that ends with a record", 0, bytes);
    }
    Bytes& record = stream_->records.front();
    if (record.size() != bytes) {
      return SizeError("material record", record.size(), bytes);
    }
    taken_.push_back(std::move(record));
    stream_->records.pop_front();
    stream_->queued_bytes -= bytes;
    stream_->changed.notify_all();
    bytes_ += bytes;
    return std::span<const uint8_t>(taken_.back());
  }

  void Release() override { taken_.clear(); }

  absl::Status Finish() override {
    std::unique_lock<std::mutex> lock(stream_->mutex);
    if (!stream_->Await(lock, [this] { return stream_->Readable(); })) {
      return absl::DeadlineExceededError("the dealer does not finish");
    }
    RETURN_IF_ERROR(stream_->status);
    if (stream_->records.empty()) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat(
        stream_->queued_bytes,
        " bytes of material are left over: the dealer ran another plan"));
  }

  void Abort(const absl::Status& status) override {
    taken_.clear();
    stream_->Abort(status);
  }

  uint64_t bytes() const override { return bytes_; }

 private:
  const std::shared_ptr<Stream> stream_;
  std::vector<Bytes> taken_;
  uint64_t bytes_ = 0;
};

}  // namespace

std::pair<std::unique_ptr<Channel>, std::unique_ptr<Channel>>
MakeInProcessChannel(const InProcessOptions& options) {
  auto link = std::make_shared<Link>(options.timeout);
  return {std::make_unique<LinkEnd>(link, 0),
          std::make_unique<LinkEnd>(link, 1)};
}

std::pair<std::unique_ptr<MaterialSink>, std::unique_ptr<MaterialSource>>
MakeInProcessMaterial(const InProcessOptions& options) {
  auto stream = std::make_shared<Stream>(options);
  return {std::make_unique<StreamSink>(stream),
          std::make_unique<StreamSource>(stream)};
}

}  // namespace tacit

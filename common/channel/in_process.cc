#include "common/channel/in_process.h"

#include <algorithm>
#include <deque>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/buffer.h"
#include "common/base/status_macros.h"

namespace tacit {
namespace {

absl::Status SizeError(absl::string_view what, size_t got, size_t want) {
  return absl::DataLossError(
      absl::StrCat(what, " of ", got, " bytes where ", want, " were expected"));
}

// A link's shared state: a queue per direction.
struct Link {
  explicit Link(absl::Duration timeout) : timeout(timeout) {}

  const absl::Duration timeout;
  absl::Mutex mutex;
  std::deque<Bytes> queue[2] ABSL_GUARDED_BY(mutex);  // to end 0, to end 1
  absl::Status status ABSL_GUARDED_BY(mutex);
};

class LinkEnd : public Channel {
 public:
  LinkEnd(std::shared_ptr<Link> link, int end)
      : link_(std::move(link)), end_(end) {}
  ~LinkEnd() override { Abort(absl::UnavailableError("the peer has left")); }

  absl::Status Exchange(std::span<const uint8_t> message,
                        std::span<uint8_t> reply) override {
    Bytes copy = Bytes::Copy(message);
    Bytes received;
    {
      absl::MutexLock lock(&link_->mutex);
      RETURN_IF_ERROR(link_->status);
      link_->queue[1 - end_].push_back(std::move(copy));
      ++traffic_.rounds;
      traffic_.sent_bytes += message.size();
      auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(link_->mutex) {
        return !link_->queue[end_].empty() || !link_->status.ok();
      };
      if (!link_->mutex.AwaitWithTimeout(absl::Condition(&ready),
                                         link_->timeout)) {
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
      const absl::Status status =
          SizeError("message", received.size(), reply.size());
      Abort(status);
      return status;
    }
    std::copy(received.begin(), received.end(), reply.begin());
    return absl::OkStatus();
  }

  void Abort(const absl::Status& status) override {
    absl::MutexLock lock(&link_->mutex);
    if (link_->status.ok()) link_->status = status;
  }

  const Traffic& traffic() const override { return traffic_; }

 private:
  const std::shared_ptr<Link> link_;
  const int end_;
  Traffic traffic_;
};

struct Stream {
  explicit Stream(const InProcessOptions& options) : options(options) {}

  const InProcessOptions options;
  absl::Mutex mutex;
  std::deque<Bytes> records ABSL_GUARDED_BY(mutex);
  size_t queued_bytes ABSL_GUARDED_BY(mutex) = 0;
  bool finished ABSL_GUARDED_BY(mutex) = false;
  absl::Status status ABSL_GUARDED_BY(mutex);

  void Abort(const absl::Status& why) {
    absl::MutexLock lock(&mutex);
    if (status.ok()) status = why;
    records.clear();  // wiped: nobody will use them
    queued_bytes = 0;
  }
};

class StreamSink : public MaterialSink {
 public:
  explicit StreamSink(std::shared_ptr<Stream> stream)
      : stream_(std::move(stream)) {}
  ~StreamSink() override {
    absl::MutexLock lock(&stream_->mutex);
    if (!stream_->finished && stream_->status.ok()) {
      stream_->status = absl::UnavailableError("the dealer has left");
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
    absl::MutexLock lock(&stream_->mutex);
    RETURN_IF_ERROR(stream_->status);
    stream_->finished = true;
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
    absl::MutexLock lock(&stream_->mutex);
    auto room = [this, size]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(stream_->mutex) {
      return !stream_->status.ok() || stream_->queued_bytes == 0 ||
             stream_->queued_bytes + size <= stream_->options.material_capacity;
    };
    if (!stream_->mutex.AwaitWithTimeout(absl::Condition(&room),
                                         stream_->options.timeout)) {
      return absl::DeadlineExceededError(
          absl::StrCat("a party has taken no material for ",
                       absl::FormatDuration(stream_->options.timeout)));
    }
    RETURN_IF_ERROR(stream_->status);
    stream_->queued_bytes += size;
    stream_->records.push_back(std::move(record));
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
    absl::MutexLock lock(&stream_->mutex);
    auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(stream_->mutex) {
      return !stream_->records.empty() || stream_->finished ||
             !stream_->status.ok();
    };
    if (!stream_->mutex.AwaitWithTimeout(absl::Condition(&ready),
                                         stream_->options.timeout)) {
      return absl::DeadlineExceededError(
          absl::StrCat("no material from the dealer within ",
                       absl::FormatDuration(stream_->options.timeout)));
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
    bytes_ += bytes;
    return std::span<const uint8_t>(taken_.back());
  }

  void Release() override { taken_.clear(); }

  absl::Status Finish() override {
    absl::MutexLock lock(&stream_->mutex);
    auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(stream_->mutex) {
      return !stream_->records.empty() || stream_->finished ||
             !stream_->status.ok();
    };
    if (!stream_->mutex.AwaitWithTimeout(absl::Condition(&ready),
                                         stream_->options.timeout)) {
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

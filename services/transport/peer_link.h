// Either end of a session's link: what peer_channel.h and its tests share.
#ifndef TACIT_SERVICES_TRANSPORT_PEER_LINK_H_
#define TACIT_SERVICES_TRANSPORT_PEER_LINK_H_

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/channel/channel.h"
#include "services/transport/event_queue.h"
#include "services/transport/frame.h"
#include "services/transport/raw_stream.h"

namespace tacit {

// The stripes of one session and the round under way. Thread-safe, except that
// rounds follow one another.
//
// Stripe 0, which carries every small message, is polled by the thread that
// exchanges; the others tell their events from gRPC's threads.
//
// A stripe always has a read under way or holds the frame that it brought, so
// at most one frame of each stripe is in memory before its size is checked.
// What ends a stripe counts once a round needs the stripe: what the peer sent
// before is still good.
class PeerLink : public RawStream::Handler {
 public:
  // `reaper` sees to the polled stripe once the link was aborted,
  // which must be before its owners let it go.
  PeerLink(int stripes, uint64_t frame_bytes, absl::Duration timeout,
           const std::shared_ptr<StreamReaper>& reaper)
      : frame_bytes_(frame_bytes),
        timeout_(timeout),
        reaper_(reaper),
        stripes_(stripes) {}

  // Gives the link its stream `stripe`, which it must not have, and reads.
  // Stripe 0 comes with its queue.
  void Attach(int stripe, std::shared_ptr<RawStream> stream,
              std::shared_ptr<EventQueue> queue = nullptr);
  bool attached(int stripe) const;
  bool complete() const;  // whether all stripes are attached
  int stripes() const { return static_cast<int>(stripes_.size()); }
  uint64_t frame_bytes() const { return frame_bytes_; }

  absl::Status Exchange(std::span<const uint8_t> message,
                        std::span<uint8_t> reply);
  void Abort(absl::Status status);
  // For the thread that exchanges.
  const Traffic& traffic() const { return traffic_; }

  void OnMessage(int stripe, grpc::ByteBuffer& message) override;
  void OnWritten(int stripe) override;
  void OnEnd(int stripe, const absl::Status& status) override;

 private:
  struct Stripe {
    std::shared_ptr<RawStream> stream;
    grpc::ByteBuffer held;  // a frame that no round has asked for yet
    bool holds = false;
    bool writing = false;
    uint64_t sent = 0;  // frames of this round, the last perhaps under way
    uint64_t received = 0;
    absl::Status end;  // not OK: nothing more comes
  };

  // Begins a round, or returns why there can be none. Requires mutex_.
  absl::Status Begin(std::span<const uint8_t> message,
                     std::span<uint8_t> reply);
  // Waits for the end of the round.
  absl::Status Await(std::unique_lock<std::mutex>& lock);
  // Handles events of stripe 0 until `over`, progress, or the timeout.
  void Poll(std::unique_lock<std::mutex>& lock, absl::FunctionRef<bool()> over);
  // Wakes whoever waits. Requires mutex_.
  void Changed();
  // Gives the polled stripe to the reaper if the link was aborted, unless
  // somebody polls it still.
  void Retire();
  // Why the round can't end well; OK if it can. Requires mutex_.
  absl::Status RoundError() const;
  // Sends the next frame of the round on a stripe, or takes in the one it
  // holds; nothing if there is none, or it is not the time.
  void Send(int stripe);
  void Receive(int stripe);
  absl::Status Take(const Frame& frame, const grpc::ByteBuffer& message,
                    std::span<uint8_t> reply);

  const uint64_t frame_bytes_;
  const absl::Duration timeout_;
  // The reaper's thread may be the last to let go of a link.
  const std::weak_ptr<StreamReaper> reaper_;
  Traffic traffic_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Below: guarded by mutex_.
  std::vector<Stripe> stripes_;
  absl::Status status_;
  uint64_t sequence_ = 0;  // of the round under way, or else the next
  bool active_ = false;    // from Begin to the end of Await
  std::span<const uint8_t> message_;
  std::span<uint8_t> reply_;
  FramePlan out_, in_;
  uint64_t to_send_ = 0;  // frames left
  uint64_t to_receive_ = 0;
  std::shared_ptr<EventQueue> queue_;  // of stripe 0
  std::thread::id poller_;             // who polls it, if anybody
  int busy_ = 0;                       // threads that use message_ or reply_
  uint64_t progress_ = 0;              // frames sent and taken in, ever
};

// The Channel of one end; leaving tells the peer.
std::unique_ptr<Channel> MakePeerChannel(std::shared_ptr<PeerLink> link);

}  // namespace tacit

#endif  // TACIT_SERVICES_TRANSPORT_PEER_LINK_H_

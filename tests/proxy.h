// A TCP proxy between two roles that does what bad networks and peers do.
#ifndef TACIT_TESTS_PROXY_H_
#define TACIT_TESTS_PROXY_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/strings/string_view.h"

namespace tacit {

// What is to happen to the next piece that comes, once. A piece is what one
// read gives, or where the proxy knows frames, a DATA frame of HTTP/2.
enum class Fault {
  kNone,
  kReset,     // both connections are reset
  kTruncate,  // half of it is passed on, then both connections end
  kGarbage,   // random bytes come before it
  kRepeat,    // it comes twice
  kReorder,   // it comes after the next
  kReplay,    // one from before comes once more, then it
};

enum class Toward { kServer = 0, kClient = 1 };

// Listens at a free port of loopback and connects whoever comes with `target`.
// Thread-safe; has a thread of its own.
class Proxy {
 public:
  struct Options {
    bool frames = false;  // pieces are frames of HTTP/2 without TLS
    // Sees all bytes that arrive, from the proxy's thread.
    std::function<void(int connection, Toward, absl::string_view)> tap;
  };
  explicit Proxy(Options options);
  ~Proxy();

  const std::string& address() const { return address_; }
  // Where connections from now on lead: "127.0.0.1:port".
  void SetTarget(const std::string& address);
  // Pieces of less than `min_bytes` are spared.
  void Inject(Toward toward, Fault fault, size_t min_bytes = 1);
  // Nothing goes either way while set; connections stay.
  void SetStalled(bool stalled);
  // Resets all connections.
  void Reset();
  // Whether the last fault has happened.
  bool injected() const;

 private:
  struct Pipe;
  struct Connection;

  void Run();
  void Accept();
  // False if the connection is over.
  bool Read(Connection& connection, int side);
  bool Write(Pipe& pipe);
  bool Pass(Connection& connection, int side, std::string piece);
  bool Spoil(Pipe& pipe, Fault fault, std::string piece, bool& reset);

  const Options options_;
  std::string address_;
  int listen_fd_ = -1;
  int wake_[2] = {-1, -1};
  std::map<int, std::unique_ptr<Connection>> connections_;  // the thread's
  int next_id_ = 0;

  mutable std::mutex mutex_;
  // Below: guarded by mutex_.
  int target_port_ = 0;
  Fault fault_ = Fault::kNone;
  Toward fault_toward_ = Toward::kServer;
  size_t fault_bytes_ = 1;
  bool stalled_ = false;
  bool reset_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

// Cuts a direction of a connection of HTTP/2 without TLS into frames.
class FrameCutter {
 public:
  explicit FrameCutter(Toward toward)
      : preface_(toward == Toward::kServer ? 24 : 0) {}
  void Add(absl::string_view bytes) { rest_ += std::string(bytes); }
  // The next whole frame, or the client's preface; empty if there is none yet.
  std::string Next();

 private:
  size_t preface_;
  std::string rest_;
};

// Of a frame.
bool IsData(absl::string_view frame);
uint32_t StreamOf(absl::string_view frame);
absl::string_view PayloadOf(absl::string_view frame);

// The messages of gRPC in a direction of a connection.
class MessageReader {
 public:
  using MessageFn =
      std::function<void(uint32_t stream, absl::string_view message)>;
  MessageReader(Toward toward, MessageFn on_message)
      : cutter_(toward), on_message_(std::move(on_message)) {}
  void Add(absl::string_view bytes);

 private:
  FrameCutter cutter_;
  const MessageFn on_message_;
  std::map<uint32_t, std::string> streams_;
};

}  // namespace tacit

#endif  // TACIT_TESTS_PROXY_H_

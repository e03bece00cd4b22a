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
#include "tests/http2.h"

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
  kReplay,    // the first of its stream comes once more, then it
};

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
  bool Spoil(Pipe& pipe, Fault fault, uint32_t stream, std::string piece,
             bool& reset);

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

}  // namespace tacit

#endif  // TACIT_TESTS_PROXY_H_

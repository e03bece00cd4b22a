// Hosts of this machine with networks of their own, and a bad wire between
// them.
#ifndef TACIT_TESTS_NETWORK_H_
#define TACIT_TESTS_NETWORK_H_

#include <memory>
#include <mutex>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tacit {

// Each host is a network namespace with one TUN device; a thread of this
// process passes packets from one to another, late or never, as told. That
// needs no netem of the kernel's, and the connections are its real TCP.
// Thread-safe.
class Network {
 public:
  // PERMISSION_DENIED or UNIMPLEMENTED, with the step, where it may or can not
  // be made.
  static absl::StatusOr<std::unique_ptr<Network>> Create(
      const std::vector<std::string>& hosts);
  ~Network();

  std::string address(const std::string& host) const;  // IPv4
  // For nsenter, as long as this process lives.
  std::string NamespacePath(const std::string& host) const;
  // Moves the calling thread there, and those that it starts afterwards.
  absl::Status Enter(const std::string& host) const;

  // Of all packets from now on.
  void SetDelay(absl::Duration one_way, double loss);
  // Nothing goes between the two, either way.
  void SetCut(const std::string& a, const std::string& b, bool cut);

 private:
  struct Host {
    std::string name;
    int tun = -1;
    int net = -1;  // its namespace
  };
  struct Packet {
    absl::Time due;
    size_t to;
    std::string bytes;
    bool operator>(const Packet& other) const { return due > other.due; }
  };

  Network() = default;
  absl::Status AddHost(const std::string& name);
  size_t IndexOf(const std::string& host) const;
  void Run();
  void Receive(size_t from);

  std::vector<Host> hosts_;
  // The thread's.
  std::priority_queue<Packet, std::vector<Packet>, std::greater<>> under_way_;
  std::mt19937_64 random_{7};

  std::mutex mutex_;
  absl::Duration delay_ = absl::ZeroDuration();  // guarded by mutex_
  double loss_ = 0;                              // guarded by mutex_
  std::set<std::pair<size_t, size_t>> cut_;      // guarded by mutex_
  bool stopping_ = false;                        // guarded by mutex_
  std::thread thread_;
};

}  // namespace tacit

#endif  // TACIT_TESTS_NETWORK_H_

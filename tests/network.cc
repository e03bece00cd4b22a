#include "tests/network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"

namespace tacit {
namespace {

constexpr char kSubnet[] = "10.77.0.";
constexpr char kDevice[] = "wire";
constexpr size_t kMaxPacket = 2048;
constexpr size_t kHostByte = 19;  // of an IPv4 header: the destination's last

absl::Status System(absl::string_view what) {
  const std::string text = absl::StrCat(what, ": ", std::strerror(errno));
  return errno == EPERM || errno == EACCES ? absl::PermissionDeniedError(text)
                                           : absl::UnimplementedError(text);
}

absl::Status Up(int socket, const char* device) {
  ifreq request = {};
  std::strncpy(request.ifr_name, device, IFNAMSIZ - 1);
  if (ioctl(socket, SIOCGIFFLAGS, &request) != 0) return System("SIOCGIFFLAGS");
  request.ifr_flags |= IFF_UP;
  if (ioctl(socket, SIOCSIFFLAGS, &request) != 0) return System("SIOCSIFFLAGS");
  return absl::OkStatus();
}

absl::Status SetAddress(int socket, unsigned long what,  // NOLINT: ioctl's type
                        const std::string& address) {
  ifreq request = {};
  std::strncpy(request.ifr_name, kDevice, IFNAMSIZ - 1);
  auto* const in = reinterpret_cast<sockaddr_in*>(&request.ifr_addr);
  in->sin_family = AF_INET;
  inet_pton(AF_INET, address.c_str(), &in->sin_addr);
  if (ioctl(socket, what, &request) != 0) return System("setting an address");
  return absl::OkStatus();
}

// In the calling thread's namespace; the TUN device's descriptor.
absl::StatusOr<int> MakeDevice(const std::string& address) {
  const int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (tun < 0) return System("/dev/net/tun");
  ifreq request = {};
  std::strncpy(request.ifr_name, kDevice, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (ioctl(tun, TUNSETIFF, &request) != 0) return System("TUNSETIFF");
  const int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  absl::Status status = SetAddress(control, SIOCSIFADDR, address);
  status.Update(SetAddress(control, SIOCSIFNETMASK, "255.255.255.0"));
  status.Update(Up(control, kDevice));
  status.Update(Up(control, "lo"));
  close(control);
  if (!status.ok()) return status;
  return tun;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Network>> Network::Create(
    const std::vector<std::string>& hosts) {
  std::unique_ptr<Network> network(new Network);
  for (const std::string& host : hosts) {
    RETURN_IF_ERROR(network->AddHost(host));
  }
  network->thread_ = std::thread([made = network.get()] { made->Run(); });
  return network;
}

Network::~Network() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
  for (const Host& host : hosts_) {
    if (host.tun >= 0) close(host.tun);
    if (host.net >= 0) close(host.net);
  }
}

// A thread of its own goes into the new namespace, which then lives on by its
// descriptor.
absl::Status Network::AddHost(const std::string& name) {
  hosts_.push_back({name});
  Host& host = hosts_.back();
  absl::Status status;
  std::thread([&] {
    if (unshare(CLONE_NEWNET) != 0) {
      status = System("a network namespace");
      return;
    }
    host.net = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    absl::StatusOr<int> tun = MakeDevice(address(name));
    status = tun.status();
    if (tun.ok()) host.tun = *tun;
  }).join();
  return status;
}

size_t Network::IndexOf(const std::string& host) const {
  return static_cast<size_t>(
      std::find_if(hosts_.begin(), hosts_.end(),
                   [&](const Host& one) { return one.name == host; }) -
      hosts_.begin());
}

std::string Network::address(const std::string& host) const {
  return absl::StrCat(kSubnet, IndexOf(host) + 1);
}

std::string Network::NamespacePath(const std::string& host) const {
  return absl::StrCat("/proc/", getpid(), "/fd/", hosts_[IndexOf(host)].net);
}

absl::Status Network::Enter(const std::string& host) const {
  if (setns(hosts_[IndexOf(host)].net, CLONE_NEWNET) == 0) {
    return absl::OkStatus();
  }
  return System("setns");
}

void Network::SetDelay(absl::Duration one_way, double loss) {
  std::lock_guard<std::mutex> lock(mutex_);
  delay_ = one_way;
  loss_ = loss;
}

void Network::SetCut(const std::string& a, const std::string& b, bool cut) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& pair :
       {std::pair(IndexOf(a), IndexOf(b)), std::pair(IndexOf(b), IndexOf(a))}) {
    if (cut) {
      cut_.insert(pair);
    } else {
      cut_.erase(pair);
    }
  }
}

void Network::Run() {
  constexpr absl::Duration kLook = absl::Milliseconds(100);  // for the end
  std::vector<pollfd> polled;
  for (const Host& host : hosts_) polled.push_back({host.tun, POLLIN, 0});
  while (true) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (stopping_) return;
    }
    absl::Duration wait = kLook;
    while (!under_way_.empty()) {
      const Packet& next = under_way_.top();
      wait = std::min(kLook, next.due - SteadyNow());
      if (wait > absl::ZeroDuration()) break;
      // Lost if the host's queue is full, as on any wire.
      (void)!write(hosts_[next.to].tun, next.bytes.data(), next.bytes.size());
      under_way_.pop();
      wait = kLook;
    }
    const timespec timeout = absl::ToTimespec(wait);
    ppoll(polled.data(), polled.size(), &timeout, nullptr);
    for (size_t i = 0; i < polled.size(); ++i) {
      if (polled[i].revents != 0) Receive(i);
    }
  }
}

void Network::Receive(size_t from) {
  char bytes[kMaxPacket];
  while (true) {
    const ssize_t n = read(hosts_[from].tun, bytes, sizeof(bytes));
    if (n <= static_cast<ssize_t>(kHostByte)) return;
    const size_t to = static_cast<uint8_t>(bytes[kHostByte]) - size_t{1};
    const bool is_ipv4 = bytes[0] >> 4 == 4;
    std::lock_guard<std::mutex> lock(mutex_);
    if (!is_ipv4 || to >= hosts_.size() || cut_.contains({from, to}) ||
        std::bernoulli_distribution(loss_)(random_)) {
      continue;
    }
    under_way_.push(
        {SteadyNow() + delay_, to, std::string(bytes, static_cast<size_t>(n))});
  }
}

}  // namespace tacit

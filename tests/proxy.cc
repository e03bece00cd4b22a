#include "tests/proxy.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <random>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace tacit {
namespace {

constexpr size_t kReadBytes = 64 << 10;
constexpr size_t kHeldBytes = 4 << 20;  // in a pipe before reading pauses

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

void CloseWithReset(int fd) {
  const linger now = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  close(fd);
}

void SetNonblocking(int fd) {
  fcntl(fd, F_SETFL, O_NONBLOCK);
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

}  // namespace

// From one side of a connection to the other.
struct Proxy::Pipe {
  explicit Pipe(Toward toward) : toward(toward), cutter(toward) {}

  const Toward toward;
  int to = -1;
  std::string out;
  bool ended = false;  // what `out` holds is the last
  bool shut = false;   // and the other side knows
  FrameCutter cutter;
  std::string held;  // for kReorder
  // For kReplay: the first of each stream of HTTP/2.
  std::map<uint32_t, std::string> earlier;
};

struct Proxy::Connection {
  int id = 0;
  int fd[2] = {-1, -1};  // client's, server's
  Pipe pipe[2] = {Pipe(Toward::kServer), Pipe(Toward::kClient)};
  bool reset = false;

  ~Connection() {
    for (int f : fd) {
      if (f < 0) continue;
      if (reset) {
        CloseWithReset(f);
      } else {
        close(f);
      }
    }
  }
  bool over() const { return pipe[0].shut && pipe[1].shut; }
};

Proxy::Proxy(Options options) : options_(std::move(options)) {
  listen_fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  if (bind(listen_fd_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listen_fd_, 128) != 0) {
    abort();
  }
  getsockname(listen_fd_, reinterpret_cast<sockaddr*>(&address), &size);
  address_ = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  if (pipe2(wake_, O_CLOEXEC | O_NONBLOCK) != 0) abort();
  thread_ = std::thread([this] { Run(); });
}

Proxy::~Proxy() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  (void)!write(wake_[1], "x", 1);
  thread_.join();
  connections_.clear();
  for (int fd : {listen_fd_, wake_[0], wake_[1]}) close(fd);
}

void Proxy::SetTarget(const std::string& address) {
  std::lock_guard<std::mutex> lock(mutex_);
  (void)absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &target_port_);
}

void Proxy::Inject(Toward toward, Fault fault, size_t min_bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  fault_toward_ = toward;
  fault_ = fault;
  fault_bytes_ = min_bytes;
}

bool Proxy::injected() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return fault_ == Fault::kNone;
}

void Proxy::SetStalled(bool stalled) {
  std::lock_guard<std::mutex> lock(mutex_);
  stalled_ = stalled;
  (void)!write(wake_[1], "x", 1);
}

void Proxy::Reset() {
  std::lock_guard<std::mutex> lock(mutex_);
  reset_ = true;
  (void)!write(wake_[1], "x", 1);
}

void Proxy::Run() {
  while (true) {
    bool stalled;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (stopping_) return;
      stalled = stalled_;
      if (reset_) {
        for (auto& [id, connection] : connections_) connection->reset = true;
        connections_.clear();
        reset_ = false;
      }
    }
    std::vector<pollfd> polled = {{listen_fd_, POLLIN, 0},
                                  {wake_[0], POLLIN, 0}};
    std::vector<std::pair<int, int>> owner(2);
    for (const auto& [id, connection] : connections_) {
      for (int side = 0; side < 2 && !stalled; ++side) {
        decltype(pollfd::events) events = 0;
        const Pipe& from = connection->pipe[side];
        if (!from.ended && from.out.size() < kHeldBytes) events |= POLLIN;
        const Pipe& to = connection->pipe[1 - side];
        if (!to.out.empty() || (to.ended && !to.shut)) events |= POLLOUT;
        if (events == 0) continue;
        polled.push_back({connection->fd[side], events, 0});
        owner.emplace_back(id, side);
      }
    }
    poll(polled.data(), polled.size(), -1);
    char drained[64];
    if (polled[1].revents != 0) (void)!read(wake_[0], drained, sizeof(drained));
    for (size_t i = 2; i < polled.size(); ++i) {
      const auto it = connections_.find(owner[i].first);
      if (polled[i].revents == 0 || it == connections_.end()) continue;
      Connection& connection = *it->second;
      const int side = owner[i].second;
      bool goes_on = true;
      if (polled[i].revents & POLLOUT) {
        goes_on = Write(connection.pipe[1 - side]);
      }
      if (goes_on && (polled[i].revents & ~POLLOUT)) {
        goes_on = Read(connection, side);
      }
      if (!goes_on || connection.over()) connections_.erase(it);
    }
    if (polled[0].revents != 0) Accept();
  }
}

void Proxy::Accept() {
  const int client = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) return;
  const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int port;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    port = target_port_;
  }
  const sockaddr_in address = Loopback(port);
  if (connect(server, reinterpret_cast<const sockaddr*>(&address),
              sizeof(address)) != 0) {
    CloseWithReset(client);
    close(server);
    return;
  }
  auto connection = std::make_unique<Connection>();
  connection->id = next_id_++;
  connection->fd[0] = client;
  connection->fd[1] = server;
  connection->pipe[0].to = server;
  connection->pipe[1].to = client;
  SetNonblocking(client);
  SetNonblocking(server);
  connections_[connection->id] = std::move(connection);
}

bool Proxy::Read(Connection& connection, int side) {
  Pipe& pipe = connection.pipe[side];
  std::string bytes(kReadBytes, 0);
  const ssize_t n = read(connection.fd[side], bytes.data(), bytes.size());
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (n < 0) {
    connection.reset = true;
    return false;
  }
  if (n == 0) {
    pipe.ended = true;
    return Write(pipe);
  }
  bytes.resize(static_cast<size_t>(n));
  if (options_.tap) options_.tap(connection.id, pipe.toward, bytes);
  if (!options_.frames) return Pass(connection, side, std::move(bytes));
  pipe.cutter.Add(bytes);
  while (true) {
    std::string frame = pipe.cutter.Next();
    if (frame.empty()) return true;
    if (!Pass(connection, side, std::move(frame))) return false;
  }
}

bool Proxy::Pass(Connection& connection, int side, std::string piece) {
  Pipe& pipe = connection.pipe[side];
  Fault fault = Fault::kNone;
  const bool counts = !options_.frames || IsData(piece);
  const uint32_t stream = options_.frames && counts ? StreamOf(piece) : 0;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (fault_toward_ == pipe.toward && counts &&
        piece.size() >= fault_bytes_ &&
        (fault_ != Fault::kReplay || pipe.earlier.contains(stream))) {
      fault = std::exchange(fault_, Fault::kNone);
    }
    if (counts) pipe.earlier.emplace(stream, piece);
  }
  if (pipe.ended) return true;
  const bool was_held = counts && !pipe.held.empty();
  if (!Spoil(pipe, fault, stream, std::move(piece), connection.reset)) {
    return false;
  }
  if (was_held) pipe.out += std::exchange(pipe.held, "");
  return Write(pipe);
}

bool Proxy::Spoil(Pipe& pipe, Fault fault, uint32_t stream, std::string piece,
                  bool& reset) {
  switch (fault) {
    case Fault::kNone:
      pipe.out += piece;
      return true;
    case Fault::kReset:
      reset = true;
      return false;
    case Fault::kTruncate:
      pipe.out += piece.substr(0, piece.size() / 2);
      pipe.ended = true;
      return true;
    case Fault::kGarbage: {
      std::mt19937_64 random(7);
      for (int i = 0; i < 64; ++i) pipe.out += static_cast<char>(random());
      pipe.out += piece;
      return true;
    }
    case Fault::kRepeat:
      pipe.out += piece;
      pipe.out += piece;
      return true;
    case Fault::kReorder:
      pipe.held = std::move(piece);
      return true;
    case Fault::kReplay:
      pipe.out += pipe.earlier.at(stream);
      pipe.out += piece;
      return true;
  }
  return false;
}

bool Proxy::Write(Pipe& pipe) {
  while (!pipe.out.empty()) {
    const ssize_t n =
        send(pipe.to, pipe.out.data(), pipe.out.size(), MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    pipe.out.erase(0, static_cast<size_t>(n));
  }
  if (pipe.ended && !pipe.shut) {
    shutdown(pipe.to, SHUT_WR);
    pipe.shut = true;
  }
  return true;
}

}  // namespace tacit

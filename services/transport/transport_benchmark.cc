// What the transport costs on loopback. The two ends live in two processes, as
// in a deployment, and share this machine's cores.
//
//   Exchange/<bytes>/tls:<0|1>/stripes:<n>  both parties send so many bytes at
//       once; bytes per second are those of one direction
//   Material/<bytes>/tls:<0|1>  records of so many bytes from dealer to party
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "services/transport/testing.h"

namespace tacit {
namespace {

constexpr size_t kExchange = 0;
constexpr size_t kMaterial = 1;

// What the parent asks of the child, over a pipe.
struct Order {
  size_t what;
  size_t tls;
  size_t bytes;
  SessionId session;
};

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::abort();
}

// One port in the child, of party 1 and the dealer.
struct Service {
  Service(const TransportOptions& options, const TestCredentials& credentials)
      : party(options),
        server(options, credentials, {&dealer}, &party.service) {}

  // Exchanges until the peer leaves.
  void Exchange(const Order& order) {
    auto channel = party.registry.Accept(order.session, absl::Seconds(10));
    Require(channel.status());
    Bytes message = Bytes::Zeroed(order.bytes);
    Bytes reply(order.bytes);
    while ((*channel)->Exchange(message, reply).ok()) {
    }
  }
  // Deals until the party leaves.
  void Deal(const Order& order) {
    auto outbox = dealer.Add(order.session, 0, {});
    auto sink = outbox->MakeSink();
    while (true) {
      auto record = sink->Reserve(order.bytes);
      Require(record.status());
      std::memset(record->data(), 1, record->size());
      if (!sink->Commit().ok()) return;
    }
  }

  TestPartyService party;
  TestDealerService dealer;
  TestServer server;
};

void Serve(const TestCertificate& certificate, int orders, int addresses) {
  Service plain({}, Insecure());
  Service tls({}, Tls(certificate));
  const std::string lines =
      absl::StrCat(plain.server.address(), "\n", tls.server.address(), "\n");
  if (write(addresses, lines.data(), lines.size()) < 0) std::abort();
  Order order;
  while (read(orders, &order, sizeof(order)) == sizeof(order)) {
    std::thread([&service = order.tls ? tls : plain, order] {
      order.what == kExchange ? service.Exchange(order) : service.Deal(order);
    }).detach();
  }
  _exit(0);
}

// The child, which must be forked before gRPC starts here.
class Child {
 public:
  explicit Child(const TestCertificate& certificate) {
    int orders[2], addresses[2];
    if (pipe(orders) != 0 || pipe(addresses) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      close(orders[1]);
      Serve(certificate, orders[0], addresses[1]);
    }
    orders_ = orders[1];
    for (std::string& address : this->addresses) {
      for (char c; read(addresses[0], &c, 1) == 1 && c != '\n';) address += c;
    }
  }
  ~Child() {
    close(orders_);
    waitpid(pid_, nullptr, 0);
  }
  SessionId Ask(size_t what, size_t tls, size_t bytes) {
    Order order{what, tls, bytes, {}};
    ++sessions_;
    std::memcpy(order.session.data(), &sessions_, sizeof(sessions_));
    if (write(orders_, &order, sizeof(order)) < 0) std::abort();
    return order.session;
  }

  std::string addresses[2];

 private:
  pid_t pid_;
  int orders_;
  uint64_t sessions_ = 0;
};

Child* child;
TestCertificate* certificate;

std::shared_ptr<grpc::ChannelCredentials> ClientCredentials(bool tls) {
  return (tls ? Tls(*certificate) : Insecure()).client;
}

void BM_Exchange(benchmark::State& state) {
  const size_t bytes = state.range(0);
  const bool tls = state.range(1) != 0;
  TransportOptions options;
  options.stripes = static_cast<int>(state.range(2));
  options.frame_bytes = static_cast<size_t>(state.range(3)) << 10;
  auto dialer = PeerDialer::Create(child->addresses[tls],
                                   ClientCredentials(tls), options);
  Require(dialer.status());
  auto channel = (*dialer)->Dial(child->Ask(kExchange, tls, bytes));
  Bytes message = Bytes::Zeroed(bytes);
  Bytes reply(bytes);
  for (int i = 0; i < 10; ++i) Require(channel->Exchange(message, reply));
  for (auto _ : state) {
    Require(channel->Exchange(message, reply));
    benchmark::DoNotOptimize(reply.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes));
}

void BM_Material(benchmark::State& state) {
  const size_t bytes = state.range(0);
  const bool tls = state.range(1) != 0;
  auto dialer =
      MaterialDialer::Create(child->addresses[tls], ClientCredentials(tls), {});
  Require(dialer.status());
  const SessionId session = child->Ask(kMaterial, tls, bytes);
  usleep(100'000);  // the dealer opens the session
  auto source = (*dialer)->Open(session, 0);
  for (auto _ : state) {
    auto record = source->Take(bytes);
    Require(record.status());
    benchmark::DoNotOptimize(record->data());
    source->Release();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes));
}

BENCHMARK(BM_Exchange)
    ->ArgNames({"", "tls", "stripes", "frame_kib"})
    ->ArgsProduct({{100}, {0, 1}, {2}, {256}})
    ->ArgsProduct({{16 << 20}, {0, 1}, {1, 2, 4}, {256, 1024}})
    ->MeasureProcessCPUTime()
    ->UseRealTime();
BENCHMARK(BM_Material)
    ->ArgNames({"", "tls"})
    ->ArgsProduct({{1 << 10, 64 << 10, 1 << 20}, {0, 1}})
    ->MeasureProcessCPUTime()
    ->UseRealTime();

}  // namespace
}  // namespace tacit

int main(int argc, char** argv) {
  tacit::PollOwnConnections();
  tacit::KeepFreedMemory();
  tacit::ForgoMutexChecks();
  tacit::TestCertificate certificate = tacit::MakeSelfSigned();
  tacit::certificate = &certificate;
  tacit::Child child(certificate);
  tacit::child = &child;
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

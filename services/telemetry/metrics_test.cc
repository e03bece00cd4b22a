#include "services/telemetry/metrics.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

using testing::HasSubstr;

TEST(MetricsTest, CountsWhatHappens) {
  Metrics metrics("party/0");
  metrics.AddTokens(TokenKind::kPrompt, 5);
  metrics.AddTokens(TokenKind::kGenerated, 2);
  metrics.AddTokens(TokenKind::kGenerated, 1);
  metrics.AddRounds(40);
  metrics.AddOpenedBytes(Direction::kSent, 1000);
  metrics.AddMaterialBytes(Direction::kReceived, 2000);
  metrics.SetProducts({.products = 40, .passes = 9, .late = 3});
  metrics.SetProducts({.products = 30, .passes = 8});  // comes late
  metrics.SetQueue(3);
  metrics.SetMaterialStock(2, 4096);
  metrics.SetMemory(77);
  metrics.SessionStarted();
  metrics.SessionStarted();
  metrics.SessionEnded(absl::UnavailableError("gone"));
  metrics.Rejected(RejectReason::kReplay);
  metrics.Observe(Phase::kPrefill, absl::Milliseconds(30));
  metrics.SetCertificateExpiry(absl::FromUnixSeconds(1234));
  metrics.CertificateReloaded(absl::InternalError("bad"));
  const std::string text = metrics.Render();
  for (const char* line : {
           "tacit_tokens_total{kind=\"prompt\"} 5\n",
           "tacit_tokens_total{kind=\"generated\"} 3\n",
           "tacit_rounds_total 40\n",
           "tacit_opened_bytes_total{direction=\"sent\"} 1000\n",
           "tacit_material_bytes_total{direction=\"received\"} 2000\n",
           "tacit_static_products_total 40\n",
           "tacit_weight_passes_total 9\n",
           "tacit_late_sessions_total 3\n",
           "tacit_queue_requests 3\n",
           "tacit_material_stock_sessions 2\n",
           "tacit_material_stock_bytes 4096\n",
           "tacit_memory_bytes 77\n",
           "tacit_sessions_active 1\n",
           "tacit_sessions_total{status=\"OK\"} 0\n",
           "tacit_sessions_total{status=\"UNAVAILABLE\"} 1\n",
           "tacit_rejected_total{reason=\"replay\"} 1\n",
           "tacit_rejected_total{reason=\"overload\"} 0\n",
           "tacit_phase_seconds_count{phase=\"prefill\"} 1\n",
           "tacit_phase_seconds_bucket{phase=\"prefill\",le=\"0.02\"} 0\n",
           "tacit_phase_seconds_bucket{phase=\"prefill\",le=\"0.05\"} 1\n",
           "tacit_phase_seconds_count{phase=\"opening\"} 0\n",
           "tacit_certificate_expiry_seconds 1234\n",
           "tacit_certificate_reloads_total{result=\"failed\"} 1\n",
           "tacit_build_info{",
           "role=\"party/0\"",
       }) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(MetricsTest, TimesAPhase) {
  Metrics metrics("dealer");
  { const PhaseTimer timer(metrics, Phase::kDeal); }
  EXPECT_THAT(metrics.Render(),
              HasSubstr("tacit_phase_seconds_count{phase=\"deal\"} 1\n"));
}

TEST(MetricsTest, CountsFromManyThreads) {
  Metrics metrics("dealer");
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&metrics] {
      for (int i = 0; i < 1000; ++i) {
        metrics.AddRounds(1);
        metrics.SessionStarted();
        metrics.SessionEnded(absl::OkStatus());
        metrics.Observe(Phase::kOpening, absl::Microseconds(100));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string text = metrics.Render();
  EXPECT_THAT(text, HasSubstr("tacit_rounds_total 8000\n"));
  EXPECT_THAT(text, HasSubstr("tacit_sessions_active 0\n"));
  EXPECT_THAT(text, HasSubstr("tacit_sessions_total{status=\"OK\"} 8000\n"));
}

std::string Get(int port, const std::string& path) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(
      ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  const std::string request =
      absl::StrCat("GET ", path, " HTTP/1.0\r\nHost: x\r\n\r\n");
  EXPECT_EQ(::write(fd, request.data(), request.size()), request.size());
  std::string reply;
  char buffer[4096];
  for (ssize_t n; (n = ::read(fd, buffer, sizeof(buffer))) > 0;) {
    reply.append(buffer, static_cast<size_t>(n));
  }
  ::close(fd);
  return reply;
}

TEST(MetricsServerTest, ServesThemOverHttp) {
  Metrics metrics("gateway");
  metrics.AddRounds(12);
  const auto server = MetricsServer::Start(metrics, "127.0.0.1:0");
  ASSERT_OK(server);
  ASSERT_GT((*server)->port(), 0);
  const std::string reply = Get((*server)->port(), "/metrics");
  EXPECT_THAT(reply, HasSubstr("200 OK"));
  EXPECT_THAT(reply, HasSubstr("tacit_rounds_total 12\n"));
  EXPECT_THAT(Get((*server)->port(), "/etc/passwd"), HasSubstr("404"));
}

TEST(MetricsServerTest, SaysWhyItCannotServe) {
  Metrics metrics("gateway");
  EXPECT_THAT(MetricsServer::Start(metrics, "nowhere"),
              StatusIs(absl::StatusCode::kInvalidArgument, "nowhere"));
  const auto first = MetricsServer::Start(metrics, "127.0.0.1:0");
  ASSERT_OK(first);
  const std::string taken = absl::StrCat("127.0.0.1:", (*first)->port());
  EXPECT_THAT(MetricsServer::Start(metrics, taken),
              StatusIs(absl::StatusCode::kUnavailable, taken));
}

}  // namespace
}  // namespace tacit

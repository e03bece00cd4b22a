#include "services/config/config.h"

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/device_name.h"
#include "common/base/status_macros.h"
#include "services/security/address.h"

namespace tacit {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kTiB = uint64_t{1} << 40;

void DescribeTls(ConfigSchema& schema, TlsConfig& tls) {
  schema.Path("tls.ca", &tls.ca, "Certificates of the CAs to trust, PEM");
  schema.Path("tls.cert", &tls.cert,
              "This role's certificate and its intermediates, PEM");
  schema.Path("tls.key", &tls.key, "Its private key, PEM, not encrypted");
  schema
      .Flag("tls.insecure", &tls.insecure,
            "No TLS, for development; all addresses must be on loopback")
      .short_flag = "--insecure";
  schema.Flag("tls.check_hostname", &tls.check_hostname,
              "Compare host names with servers' certificates, besides their "
              "identities");
  schema.Duration("tls.refresh", &tls.refresh, absl::Seconds(1),
                  absl::Hours(24), "How often the files are looked at again");
}

void DescribeCommonLimits(ConfigSchema& schema, LimitsConfig& limits) {
  schema.Integer("limits.max_sessions", &limits.max_sessions, 1, 100'000,
                 "Sessions at once");
  schema.Integer("limits.max_prompt_tokens", &limits.max_prompt_tokens, 1,
                 1 << 20, "Tokens of a prompt");
  schema.Integer("limits.max_tokens", &limits.max_tokens, 1, 1 << 20,
                 "Tokens that one request may generate");
  schema.Integer("limits.queue_length", &limits.queue_length, 0, 1'000'000,
                 "Requests that may wait for a session");
}

void DescribeMemory(ConfigSchema& schema, LimitsConfig& limits) {
  schema.Size("limits.memory", &limits.memory, 16 * kMiB, 64 * kTiB,
              "Memory of all sessions together; more are not admitted");
  schema.Size("limits.material_buffer", &limits.material_buffer, kMiB, kTiB,
              "Material that may wait in one stream");
}

void DescribeDeadlines(ConfigSchema& schema, DeadlinesConfig& deadlines) {
  schema.Duration("deadlines.connect", &deadlines.connect,
                  absl::Milliseconds(10), absl::Minutes(10),
                  "To connect to another role");
  schema.Duration("deadlines.step", &deadlines.step, absl::Milliseconds(10),
                  absl::Hours(1), "For the next message of a peer in a step");
  schema.Duration("deadlines.session_idle", &deadlines.session_idle,
                  absl::Milliseconds(10), absl::Hours(24),
                  "Until a session without progress is ended");
  schema.Duration("deadlines.drain", &deadlines.drain, absl::ZeroDuration(),
                  absl::Hours(1),
                  "For running sessions after SIGTERM, before the end");
}

void DescribeOperations(ConfigSchema& schema, ServiceConfig& config) {
  schema.Integer("threads", &config.threads, 0, 1024,
                 "Computing threads; 0: one a processor");
  schema.Address("metrics.listen", &config.metrics_listen, /*optional=*/true,
                 "Where to serve Prometheus metrics; empty: nowhere");
  schema.Choice("log.level", &config.log.level,
                {"debug", "info", "warning", "error"}, "Least level to log");
  schema.Choice("log.format", &config.log.format, {"json", "text"},
                "Form of the log");
}

void DescribeDevice(ConfigSchema& schema, std::string* device) {
  ConfigField& field = schema.Text(
      "device", device, "Where to compute: this host, or a CUDA device");
  field.type = "cpu, cuda or cuda:N";
  field.parse = [device](absl::string_view text) -> absl::Status {
    RETURN_IF_ERROR(ParseDevice(text).status());
    *device = std::string(text);
    return absl::OkStatus();
  };
}

void DescribeState(ConfigSchema& schema, std::string* state_dir,
                   std::string* ledger) {
  schema.Path("state_dir", state_dir,
              "Folder for what must survive a restart; never restore it from "
              "a backup");
  schema.Path("ledger", ledger,
              "File of the sessions used; empty: ledger in state_dir");
}

std::string LedgerPathOf(const std::string& ledger,
                         const std::string& state_dir) {
  if (!ledger.empty()) return ledger;
  return (std::filesystem::path(state_dir) / "ledger").string();
}

using Problems = std::vector<ConfigProblem>;

void Require(Problems& problems, const std::string& key,
             const std::string& value) {
  if (value.empty()) problems.push_back({key, "is missing"});
}

// An address to call: it needs a port to call at.
void RequireAddress(Problems& problems, const std::string& key,
                    const std::string& value) {
  Require(problems, key, value);
  const auto address = ParseAddress(value);
  if (address.ok() && address->port == 0) {
    problems.push_back({key, "port 0 cannot be called"});
  }
}

void CheckTls(Problems& problems, const TlsConfig& tls,
              const std::vector<std::pair<std::string, std::string>>& all) {
  if (!tls.insecure) {
    Require(problems, "tls.ca", tls.ca);
    Require(problems, "tls.cert", tls.cert);
    Require(problems, "tls.key", tls.key);
    return;
  }
  for (const auto& [key, address] : all) {
    if (!address.empty() && !IsLoopback(address)) {
      problems.push_back(
          {key, absl::StrCat(address,
                             " is not on loopback, and tls.insecure "
                             "is set")});
    }
  }
}

void CheckService(Problems& problems, const ServiceConfig& config) {
  Require(problems, "listen", config.listen);
  Require(problems, "model", config.model);
  if (config.limits.material_buffer > config.limits.memory) {
    problems.push_back(
        {"limits.material_buffer", "is larger than limits.memory"});
  }
}

}  // namespace

std::string DealerConfig::LedgerPath() const {
  return LedgerPathOf(ledger, state_dir);
}

std::string PartyConfig::LedgerPath() const {
  return LedgerPathOf(ledger, state_dir);
}

ConfigSchema Describe(DealerConfig& config) {
  ConfigSchema schema;
  schema.Address("listen", &config.listen, false, "Where to serve");
  schema.Path("model", &config.model, "Folder that tacit provision wrote");
  DescribeState(schema, &config.state_dir, &config.ledger);
  DescribeTls(schema, config.tls);
  DescribeCommonLimits(schema, config.limits);
  DescribeMemory(schema, config.limits);
  schema.Integer("limits.prefetch_sessions", &config.limits.prefetch_sessions,
                 0, 100'000, "Sessions to keep dealt ahead of use");
  DescribeDeadlines(schema, config.deadlines);
  DescribeDevice(schema, &config.device);
  DescribeOperations(schema, config);
  return schema;
}

ConfigSchema Describe(PartyConfig& config) {
  ConfigSchema schema;
  schema.Integer("id", &config.id, 0, 1, "Which party this is");
  schema.Address("listen", &config.listen, false, "Where to serve");
  schema.Address("peer.address", &config.peer_address, false,
                 "The other party");
  schema.Address("dealer.address", &config.dealer_address, false, "The dealer");
  schema.Path("model", &config.model, "Folder that tacit provision wrote");
  DescribeState(schema, &config.state_dir, &config.ledger);
  schema.Integer("stripes", &config.stripes, 1, 64,
                 "Connections to the other party");
  DescribeTls(schema, config.tls);
  DescribeCommonLimits(schema, config.limits);
  DescribeMemory(schema, config.limits);
  DescribeDeadlines(schema, config.deadlines);
  DescribeDevice(schema, &config.device);
  DescribeOperations(schema, config);
  return schema;
}

ConfigSchema Describe(GatewayConfig& config) {
  ConfigSchema schema;
  schema.Address("listen", &config.listen, false, "Where to serve");
  schema.Address("party0.address", &config.party0_address, false, "Party 0");
  schema.Address("party1.address", &config.party1_address, false, "Party 1");
  schema.Address("dealer.address", &config.dealer_address, false, "The dealer");
  schema.Path("model", &config.model, "Folder that tacit provision wrote");
  schema.Text("name", &config.name,
              "Of this gateway; a certificate's goes first");
  DescribeTls(schema, config.tls);
  DescribeCommonLimits(schema, config.limits);
  DescribeDeadlines(schema, config.deadlines);
  DescribeOperations(schema, config);
  return schema;
}

Problems Check(const DealerConfig& config) {
  Problems problems;
  CheckService(problems, config);
  Require(problems, "state_dir", config.state_dir);
  CheckTls(problems, config.tls, {{"listen", config.listen}});
  return problems;
}

Problems Check(const PartyConfig& config) {
  Problems problems;
  if (config.id < 0) problems.push_back({"id", "is missing"});
  CheckService(problems, config);
  RequireAddress(problems, "peer.address", config.peer_address);
  RequireAddress(problems, "dealer.address", config.dealer_address);
  Require(problems, "state_dir", config.state_dir);
  CheckTls(problems, config.tls,
           {{"listen", config.listen},
            {"peer.address", config.peer_address},
            {"dealer.address", config.dealer_address}});
  return problems;
}

Problems Check(const GatewayConfig& config) {
  Problems problems;
  CheckService(problems, config);
  RequireAddress(problems, "party0.address", config.party0_address);
  RequireAddress(problems, "party1.address", config.party1_address);
  RequireAddress(problems, "dealer.address", config.dealer_address);
  CheckTls(problems, config.tls,
           {{"listen", config.listen},
            {"party0.address", config.party0_address},
            {"party1.address", config.party1_address},
            {"dealer.address", config.dealer_address}});
  return problems;
}

}  // namespace tacit

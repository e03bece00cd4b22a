// Real handshakes between a gRPC server and clients, on loopback.
#include "services/security/tls.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <set>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/security/certs.h"
#include "services/security/files.h"
#include "services/security/testing.h"

namespace tacit {
namespace {

constexpr char kOpenSession[] = "/tacit.v1.DealerService/OpenSession";
constexpr char kStreamMaterial[] = "/tacit.v1.DealerService/StreamMaterial";
constexpr char kExchange[] = "/tacit.v1.PartyService/Exchange";
constexpr char kExchangeStripe[] = "/tacit.v1.PartyService/ExchangeStripe";
constexpr char kInfer[] = "/tacit.v1.InferenceService/Infer";
constexpr char kGetPlan[] = "/tacit.v1.PlanService/GetPlan";
constexpr char kHealth[] = "/grpc.health.v1.Health/Check";

// Answers any method with one empty message, and counts.
class CountingService final : public grpc::CallbackGenericService {
 public:
  explicit CountingService(const Authorizer* authorizer)
      : authorizer_(authorizer) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    ++calls;
    const auto party = authorizer_->PeerParty(*context);
    last_party = party.ok() ? *party : -1;
    class Reactor final : public grpc::ServerGenericBidiReactor {
     public:
      Reactor() { StartWriteAndFinish(&reply_, {}, grpc::Status::OK); }
      void OnDone() override { delete this; }

     private:
      grpc::ByteBuffer reply_{nullptr, 0};
    };
    return new Reactor;
  }

  std::atomic<int> calls{0};
  std::atomic<int> last_party{-2};

 private:
  const Authorizer* const authorizer_;
};

struct TestServer {
  explicit TestServer(std::shared_ptr<ServiceCredentials> with)
      : credentials(std::move(with)), service(&credentials->authorizer()) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", credentials->Server(), &port);
    builder.RegisterCallbackGenericService(&service);
    server = builder.BuildAndStart();
  }
  ~TestServer() {
    server->Shutdown(std::chrono::system_clock::now());
    server->Wait();
  }
  std::string Address(const std::string& host = "127.0.0.1") const {
    return absl::StrCat(host, ":", port);
  }

  std::shared_ptr<ServiceCredentials> credentials;
  CountingService service;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
};

std::shared_ptr<grpc::Channel> MakeChannel(
    const std::string& target,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    grpc::ChannelArguments arguments = {}) {
  // Else channels with like credentials share a connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(target, credentials, arguments);
}

grpc::Status Call(const std::shared_ptr<grpc::Channel>& channel,
                  const std::string& method) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::seconds(10));
  const grpc::ByteBuffer request(nullptr, 0);
  grpc::ByteBuffer reply;
  std::promise<grpc::Status> done;
  grpc::GenericStub(channel).UnaryCall(
      &context, method, {}, &request, &reply,
      [&done](grpc::Status status) { done.set_value(std::move(status)); });
  return done.get_future().get();
}

class TlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "ThreadSanitizer does not see the locks in packaged gRPC";
#endif
    CertsOptions options;
    options.out = dir_.File("certs");
    ASSERT_OK(MakeDevelopmentCerts(options));
  }

  CredentialPaths Paths(const std::string& folder) {
    const std::string base = dir_.File("certs/" + folder);
    return {base + "/ca.pem", base + "/cert.pem", base + "/key.pem"};
  }

  static std::string Folder(ServiceRole role) {
    const auto party = PartyOf(role);
    return party ? absl::StrCat("party", *party) : std::string(RoleName(role));
  }

  TlsOptions Options(ServiceRole role) {
    TlsOptions options;
    options.paths = Paths(Folder(role));
    options.role = role;
    options.refresh = absl::Seconds(1);
    return options;
  }

  std::shared_ptr<ServiceCredentials> Credentials(ServiceRole role) {
    auto credentials = ServiceCredentials::Tls(Options(role));
    EXPECT_OK(credentials);
    return credentials.ok() ? *credentials : nullptr;
  }

  grpc::Status CallAs(ServiceRole client, ServiceRole server,
                      const std::string& target, const std::string& method) {
    return Call(MakeChannel(target, Credentials(client)->Channel(server)),
                method);
  }

  // A certificate of our CA for `uri`, which is valid in the interval.
  CertificateAndKey IssueFromOurCa(const LeafRequest& request) {
    const auto ca = CertificateAuthority::Load(
        {*ReadSmallFile(dir_.File("certs/ca.pem"), 1 << 20),
         *ReadSmallFile(dir_.File("certs/ca-key.pem"), 1 << 20)});
    EXPECT_OK(ca);
    auto leaf = ca->Issue(request);
    EXPECT_OK(leaf);
    return *leaf;
  }

  LeafRequest ValidLeaf(const std::string& uri) {
    const absl::Time now = absl::Now();
    return {uri, {"127.0.0.1"}, now - absl::Hours(2), now + absl::Hours(2)};
  }

  // A client that presents this leaf, with no checks of its own but gRPC's.
  std::shared_ptr<grpc::Channel> RawClient(const std::string& target,
                                           const CertificateAndKey& leaf) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = *ReadSmallFile(dir_.File("certs/ca.pem"), 1 << 20);
    options.pem_private_key = leaf.key;
    options.pem_cert_chain = leaf.certificate;
    return MakeChannel(target, grpc::SslCredentials(options));
  }

  TestDir dir_;
};

TEST_F(TlsTest, LetsTheRightRoleCall) {
  TestServer dealer(Credentials(ServiceRole::kDealer));
  const grpc::Status status =
      CallAs(ServiceRole::kGateway, ServiceRole::kDealer, dealer.Address(),
             kOpenSession);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(dealer.service.calls, 1);
}

TEST_F(TlsTest, ChecksEveryMethodAgainstEveryRoleBeforeAnyHandler) {
  using enum ServiceRole;
  const std::vector<ServiceRole> roles = {kDealer, kParty0, kParty1, kGateway,
                                          kOperator};
  struct Row {
    ServiceRole server;
    std::string method;
    std::set<ServiceRole> callers;
  };
  const std::vector<Row> rows = {
      {kDealer, kOpenSession, {kGateway}},
      {kDealer, kStreamMaterial, {kParty0, kParty1}},
      {kDealer, kGetPlan, {kGateway, kDealer, kParty0, kParty1}},
      {kDealer, kHealth, {kDealer, kParty0, kParty1, kGateway, kOperator}},
      {kDealer, kExchange, {}},
      {kDealer, kInfer, {}},
      {kDealer, "/tacit.v1.DealerService/Other", {}},
      {kDealer, "/", {}},
      {kParty1, kExchange, {kParty0}},
      {kParty1, kExchangeStripe, {kParty0}},
      {kParty1, kInfer, {kGateway}},
      {kParty1, kOpenSession, {}},
      {kParty0, kExchange, {}},
      {kParty0, kInfer, {kGateway}},
  };
  std::map<ServiceRole, std::unique_ptr<TestServer>> servers;
  std::map<ServiceRole, std::shared_ptr<ServiceCredentials>> clients;
  for (const ServiceRole role : roles) clients[role] = Credentials(role);
  for (const ServiceRole role : {kDealer, kParty0, kParty1}) {
    servers[role] = std::make_unique<TestServer>(Credentials(role));
  }
  for (const Row& row : rows) {
    TestServer& server = *servers[row.server];
    for (const ServiceRole caller : roles) {
      const int before = server.service.calls;
      const grpc::Status status = Call(
          MakeChannel(server.Address(), clients[caller]->Channel(row.server)),
          row.method);
      const std::string what =
          absl::StrCat(RoleName(caller), " ", row.method, " of ",
                       RoleName(row.server), ": ", status.error_message());
      if (row.callers.count(caller) != 0) {
        EXPECT_TRUE(status.ok()) << what;
        EXPECT_EQ(server.service.calls, before + 1) << what;
        EXPECT_EQ(server.service.last_party, PartyOf(caller).value_or(-1));
      } else {
        EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED)
            << what;
        EXPECT_THAT(status.error_message(),
                    testing::HasSubstr(std::string(RoleName(caller))));
        EXPECT_THAT(status.error_message(), testing::HasSubstr(row.method));
        EXPECT_EQ(server.service.calls, before) << what;
      }
    }
  }
}

TEST_F(TlsTest, RefusesAClientWithoutACertificate) {
  TestServer dealer(Credentials(ServiceRole::kDealer));
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = *ReadSmallFile(dir_.File("certs/ca.pem"), 1 << 20);
  const grpc::Status status = Call(
      MakeChannel(dealer.Address(), grpc::SslCredentials(options)), kHealth);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(dealer.service.calls, 0);
}

TEST_F(TlsTest, RefusesPlaintext) {
  TestServer dealer(Credentials(ServiceRole::kDealer));
  const grpc::Status status =
      Call(MakeChannel(dealer.Address(), grpc::InsecureChannelCredentials()),
           kHealth);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(dealer.service.calls, 0);
}

TEST_F(TlsTest, RefusesAForeignCa) {
  TestServer dealer(Credentials(ServiceRole::kDealer));
  const absl::Time now = absl::Now();
  const auto other = CertificateAuthority::Create(
      "tacit.local", now - absl::Hours(1), now + absl::Hours(1));
  ASSERT_OK(other);
  const auto leaf = other->Issue(ValidLeaf("spiffe://tacit.local/gateway/x"));
  ASSERT_OK(leaf);
  EXPECT_EQ(Call(RawClient(dealer.Address(), *leaf), kHealth).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  // Self-signed: the root itself as the client's certificate.
  EXPECT_EQ(
      Call(RawClient(dealer.Address(), *other->Root()), kHealth).error_code(),
      grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(dealer.service.calls, 0);
}

TEST_F(TlsTest, RefusesExpiredAndNotYetValidClients) {
  TestServer dealer(Credentials(ServiceRole::kDealer));
  LeafRequest request = ValidLeaf("spiffe://tacit.local/gateway/x");
  EXPECT_TRUE(
      Call(RawClient(dealer.Address(), IssueFromOurCa(request)), kHealth).ok());
  EXPECT_EQ(dealer.service.calls, 1);
  request.not_after = absl::Now() - absl::Minutes(1);
  EXPECT_EQ(Call(RawClient(dealer.Address(), IssueFromOurCa(request)), kHealth)
                .error_code(),
            grpc::StatusCode::UNAVAILABLE);
  request.not_before = absl::Now() + absl::Minutes(1);
  request.not_after = absl::Now() + absl::Minutes(10);
  EXPECT_EQ(Call(RawClient(dealer.Address(), IssueFromOurCa(request)), kHealth)
                .error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(dealer.service.calls, 1);
}

TEST_F(TlsTest, RefusesClientsOfOurCaWithoutAnIdentityOfOurs) {
  TestServer dealer(Credentials(ServiceRole::kDealer));
  for (const char* uri :
       {"", "https://example.com/", "spiffe://tacit.local/admin",
        "spiffe://other.example/gateway/x", "spiffe://tacit.local/party/2"}) {
    const CertificateAndKey leaf = IssueFromOurCa(ValidLeaf(uri));
    EXPECT_EQ(Call(RawClient(dealer.Address(), leaf), kHealth).error_code(),
              grpc::StatusCode::UNAVAILABLE)
        << uri;
  }
  EXPECT_EQ(dealer.service.calls, 0);
}

TEST_F(TlsTest, ClientRefusesAServerOfAnotherRole) {
  TestServer party0(Credentials(ServiceRole::kParty0));
  const grpc::Status status = CallAs(
      ServiceRole::kGateway, ServiceRole::kParty1, party0.Address(), kHealth);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(),
              testing::HasSubstr("peer is party/0, not party/1"));
  EXPECT_EQ(party0.service.calls, 0);
}

TEST_F(TlsTest, ClientRefusesAServerUnderAnotherHostName) {
  LeafRequest request = ValidLeaf("spiffe://tacit.local/dealer");
  request.hosts = {"elsewhere.example"};
  const CertificateAndKey leaf = IssueFromOurCa(request);
  TlsOptions options = Options(ServiceRole::kDealer);
  options.paths.cert = dir_.File("cert.pem");
  options.paths.key = dir_.File("key.pem");
  ASSERT_OK(WriteFileAtomically(options.paths.cert, leaf.certificate, 0644));
  ASSERT_OK(WriteFileAtomically(options.paths.key, leaf.key, 0600));
  const auto credentials = ServiceCredentials::Tls(options);
  ASSERT_OK(credentials);
  TestServer dealer(*credentials);
  EXPECT_EQ(CallAs(ServiceRole::kGateway, ServiceRole::kDealer,
                   dealer.Address(), kHealth)
                .error_code(),
            grpc::StatusCode::UNAVAILABLE);
  TlsOptions lax = Options(ServiceRole::kGateway);
  lax.check_hostname = false;  // the identity is still checked
  const auto client = ServiceCredentials::Tls(lax);
  ASSERT_OK(client);
  const grpc::Status by_identity = Call(
      MakeChannel(dealer.Address(), (*client)->Channel(ServiceRole::kDealer)),
      kHealth);
  EXPECT_TRUE(by_identity.ok()) << by_identity.error_message();
  EXPECT_FALSE(Call(MakeChannel(dealer.Address(),
                                (*client)->Channel(ServiceRole::kParty0)),
                    kHealth)
                   .ok());
}

TEST_F(TlsTest, ClientRefusesAServerOfAnotherCa) {
  TestServer dealer(Credentials(ServiceRole::kDealer));
  CertsOptions options;
  options.out = dir_.File("other");
  ASSERT_OK(MakeDevelopmentCerts(options));
  TlsOptions other = Options(ServiceRole::kGateway);
  other.paths.ca = dir_.File("other/ca.pem");
  const auto client = ServiceCredentials::Tls(other);
  ASSERT_OK(client);
  EXPECT_EQ(Call(MakeChannel(dealer.Address(),
                             (*client)->Channel(ServiceRole::kDealer)),
                 kHealth)
                .error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

// A plain OpenSSL client with the gateway's certificate; true if it can shake
// hands and the server does not hang up.
bool Handshake(int port, const CredentialPaths& paths, int version) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_min_proto_version(context, version);
  SSL_CTX_set_max_proto_version(context, version);
  EXPECT_EQ(SSL_CTX_use_certificate_chain_file(context, paths.cert.c_str()), 1);
  EXPECT_EQ(
      SSL_CTX_use_PrivateKey_file(context, paths.key.c_str(), SSL_FILETYPE_PEM),
      1);
  static constexpr unsigned char kAlpn[] = {2, 'h', '2'};
  SSL_CTX_set_alpn_protos(context, kAlpn, sizeof(kAlpn));
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(
      ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  SSL* ssl = SSL_new(context);
  SSL_set_fd(ssl, fd);
  bool good = SSL_connect(ssl) == 1;
  char byte;
  good = good && SSL_read(ssl, &byte, 1) == 1;  // the server's settings
  SSL_free(ssl);
  SSL_CTX_free(context);
  ::close(fd);
  return good;
}

TEST_F(TlsTest, ServerSpeaksTls13AndNothingOlder) {
  TestServer dealer(Credentials(ServiceRole::kDealer));
  const CredentialPaths paths = Paths("gateway");
  EXPECT_TRUE(Handshake(dealer.port, paths, TLS1_3_VERSION));
  EXPECT_FALSE(Handshake(dealer.port, paths, TLS1_2_VERSION));
  EXPECT_FALSE(Handshake(dealer.port, paths, TLS1_1_VERSION));
}

// A server that speaks TLS 1.2 alone, with the dealer's certificate; whether
// the first client's handshake succeeds.
bool Tls12ServerAccepts(int listener, const CredentialPaths& paths) {
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
  EXPECT_EQ(SSL_CTX_use_certificate_chain_file(context, paths.cert.c_str()), 1);
  EXPECT_EQ(
      SSL_CTX_use_PrivateKey_file(context, paths.key.c_str(), SSL_FILETYPE_PEM),
      1);
  const int fd = ::accept(listener, nullptr, nullptr);
  SSL* ssl = SSL_new(context);
  SSL_set_fd(ssl, fd);
  const bool accepted = SSL_accept(ssl) == 1;
  SSL_free(ssl);
  SSL_CTX_free(context);
  ::close(fd);
  ::close(listener);
  return accepted;
}

TEST_F(TlsTest, ClientRefusesAServerThatOnlySpeaksTls12) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener, 1), 0);
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  const auto client = Credentials(ServiceRole::kGateway);
  auto accepted = std::async(std::launch::async, Tls12ServerAccepts, listener,
                             Paths("dealer"));
  EXPECT_EQ(
      Call(MakeChannel(absl::StrCat("127.0.0.1:", ntohs(address.sin_port)),
                       client->Channel(ServiceRole::kDealer)),
           kHealth)
          .error_code(),
      grpc::StatusCode::UNAVAILABLE);
  EXPECT_FALSE(accepted.get());
}

// Calls until `good`, which must come within twice the refresh interval, or a
// few times that on a loaded machine.
template <typename Predicate>
bool Eventually(Predicate good) {
  for (int i = 0; i < 100; ++i) {
    if (good()) return true;
    absl::SleepFor(absl::Milliseconds(100));
  }
  return false;
}

TEST_F(TlsTest, TakesUpRenewedCertificatesWithoutARestart) {
  std::atomic<int> reloads{0};
  TlsOptions options = Options(ServiceRole::kDealer);
  options.on_reload = [&reloads](const absl::Status& status) {
    EXPECT_OK(status);
    ++reloads;
  };
  const auto credentials = ServiceCredentials::Tls(options);
  ASSERT_OK(credentials);
  TestServer dealer(*credentials);
  const auto old_client = Credentials(ServiceRole::kGateway);
  const auto channel =
      MakeChannel(dealer.Address(), old_client->Channel(ServiceRole::kDealer));
  ASSERT_TRUE(Call(channel, kHealth).ok());
  const absl::Time old_expiry = (*credentials)->Expires();

  // A new CA as well: only clients of the new one get in afterwards.
  CertsOptions renew;
  renew.out = dir_.File("certs");
  renew.force = true;
  renew.days = 30;
  ASSERT_OK(MakeDevelopmentCerts(renew));
  const auto fresh = Credentials(ServiceRole::kGateway);
  EXPECT_TRUE(Eventually([&] {
    return Call(MakeChannel(dealer.Address(),
                            fresh->Channel(ServiceRole::kDealer)),
                kHealth)
        .ok();
  }));
  EXPECT_GE(reloads, 1);
  EXPECT_LT((*credentials)->Expires(), old_expiry);
  // The connection from before goes on.
  EXPECT_TRUE(Call(channel, kHealth).ok());
  // The old client's process has reloaded, too.
  EXPECT_TRUE(Eventually([&] {
    return Call(MakeChannel(dealer.Address(),
                            old_client->Channel(ServiceRole::kDealer)),
                kHealth)
        .ok();
  }));
}

TEST_F(TlsTest, KeepsTheOldPairWhenTheNewOneDoesNotMatchAndSaysSo) {
  std::mutex mutex;
  std::vector<std::string> alarms;
  TlsOptions options = Options(ServiceRole::kDealer);
  options.on_reload = [&](const absl::Status& status) {
    const std::lock_guard<std::mutex> lock(mutex);
    alarms.push_back(std::string(status.message()));
  };
  const auto credentials = ServiceCredentials::Tls(options);
  ASSERT_OK(credentials);
  TestServer dealer(*credentials);
  const std::string key = *ReadSmallFile(options.paths.key, 1 << 20);
  ASSERT_OK(WriteFileAtomically(
      options.paths.key, *ReadSmallFile(Paths("party0").key, 1 << 20), 0600));
  EXPECT_TRUE(Eventually([&] {
    const std::lock_guard<std::mutex> lock(mutex);
    return !alarms.empty();
  }));
  absl::SleepFor(absl::Seconds(2));
  EXPECT_TRUE(CallAs(ServiceRole::kGateway, ServiceRole::kDealer,
                     dealer.Address(), kHealth)
                  .ok());
  {
    const std::lock_guard<std::mutex> lock(mutex);
    EXPECT_THAT(alarms, testing::ElementsAre(testing::HasSubstr("together")));
  }
  // Another role's pair is none for this process either.
  ASSERT_OK(WriteFileAtomically(
      options.paths.cert, *ReadSmallFile(Paths("party0").cert, 1 << 20), 0644));
  EXPECT_TRUE(Eventually([&] {
    const std::lock_guard<std::mutex> lock(mutex);
    return alarms.size() == 2 && absl::StrContains(alarms[1], "party/0");
  }));
  EXPECT_TRUE(CallAs(ServiceRole::kGateway, ServiceRole::kDealer,
                     dealer.Address(), kHealth)
                  .ok());
}

TEST_F(TlsTest, NamesTheFileThatCannotBeUsed) {
  const auto with = [this](auto change) {
    TlsOptions options = Options(ServiceRole::kDealer);
    change(options);
    return ServiceCredentials::Tls(options).status();
  };
  EXPECT_THAT(with([](auto& o) { o.paths.ca = "nowhere/ca.pem"; }),
              StatusIs(absl::StatusCode::kNotFound, "nowhere/ca.pem"));
  EXPECT_THAT(with([](auto& o) { o.role = ServiceRole::kParty0; }),
              StatusIs(absl::StatusCode::kFailedPrecondition, "party/0"));
  EXPECT_THAT(with([](auto& o) { o.refresh = absl::ZeroDuration(); }),
              StatusIs(absl::StatusCode::kInvalidArgument, "refresh"));
  EXPECT_THAT(with([this](auto& o) { o.paths.key = Paths("party0").key; }),
              StatusIs(absl::StatusCode::kInvalidArgument, "together"));
}

TEST(InsecureTest, IsAllowedOnLoopbackOnly) {
  const Identity party = {"tacit.local", ServiceRole::kParty0, ""};
  EXPECT_THAT(
      ServiceCredentials::Insecure(party, {"127.0.0.1:1", "0.0.0.0:7000"}),
      StatusIs(absl::StatusCode::kFailedPrecondition, "0.0.0.0:7000"));
}

TEST(InsecureTest, TellsHandlersWhatThePeerClaims) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer does not see the locks in packaged gRPC";
#endif
  const auto server = ServiceCredentials::Insecure(
      {"tacit.local", ServiceRole::kDealer, ""}, {"127.0.0.1:0"});
  const auto client = ServiceCredentials::Insecure(
      {"tacit.local", ServiceRole::kParty1, ""}, {});
  ASSERT_OK(server);
  ASSERT_OK(client);
  TestServer dealer(*server);
  grpc::ChannelArguments arguments;
  (*client)->SetArguments(&arguments);
  EXPECT_TRUE(
      Call(MakeChannel(dealer.Address(),
                       (*client)->Channel(ServiceRole::kDealer), arguments),
           kStreamMaterial)
          .ok());
  EXPECT_EQ(dealer.service.last_party, 1);
  EXPECT_TRUE(Call(MakeChannel(dealer.Address(),
                               (*client)->Channel(ServiceRole::kDealer)),
                   kStreamMaterial)
                  .ok());
  EXPECT_EQ(dealer.service.last_party, -1);
}

}  // namespace
}  // namespace tacit

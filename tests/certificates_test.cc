// Wrong certificates between roles as processes: each ends in a clear status,
// no role goes down, and the next proper request works.
#include <grpcpp/create_channel.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/wait.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/security/files.h"
#include "services/security/x509.h"
#include "services/transport/status.h"
#include "tacit/v1/dealer.grpc.pb.h"
#include "tacit/v1/inference.grpc.pb.h"
#include "tacit/v1/party.grpc.pb.h"
#include "tests/proxied.h"
#include "tests/testing.h"

namespace tacit {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr absl::Duration kLimit = absl::Seconds(30);
const char* const kRoles[] = {"dealer", "party0", "party1", "gateway"};

std::string UriOf(const std::string& role) {
  if (role == "gateway") return "spiffe://tacit.local/gateway/local";
  if (role == "dealer") return "spiffe://tacit.local/dealer";
  return absl::StrCat("spiffe://tacit.local/party/", role.substr(5));
}

LeafRequest Leaf(const std::string& role, absl::Duration valid) {
  const absl::Time now = absl::Now();
  return {UriOf(role), {"127.0.0.1"}, now - absl::Hours(1), now + valid};
}

std::string Pem(const std::function<void(BIO*)>& write) {
  BIO* const bio = BIO_new(BIO_s_mem());
  write(bio);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);  // NOLINT: OpenSSL's type
  std::string text(data, static_cast<size_t>(size));
  BIO_free(bio);
  return text;
}

// The role's identity in a certificate that nobody but itself has signed.
CertificateAndKey SelfSigned(const std::string& role) {
  const KeyPtr key(EVP_EC_gen("P-256"));
  const X509Ptr cert(X509_new());
  X509_set_version(cert.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(cert.get()), 7);
  X509_gmtime_adj(X509_getm_notBefore(cert.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(cert.get()), 3600);
  X509_set_pubkey(cert.get(), key.get());
  const std::string names = absl::StrCat("URI:", UriOf(role), ",IP:127.0.0.1");
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(
      nullptr, nullptr, NID_subject_alt_name, names.c_str());
  X509_add_ext(cert.get(), extension, -1);
  X509_EXTENSION_free(extension);
  X509_sign(cert.get(), key.get(), EVP_sha256());
  return {Pem([&](BIO* bio) { PEM_write_bio_X509(bio, cert.get()); }),
          Pem([&](BIO* bio) {
            PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0,
                                     nullptr, nullptr);
          })};
}

class CertificatesTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ProxiedDeployment::Options options;
    options.up = DemoDeployment();
    options.flags["*"] = {"--tls-refresh", "1s", "--deadlines-connect", "3s"};
    auto started = ProxiedDeployment::Start(options);
    ASSERT_OK(started);
    deployment_ = started->release();
  }
  static void TearDownTestSuite() { delete deployment_; }

  void SetUp() override { ASSERT_NE(deployment_, nullptr); }
  // Whatever was wrong, the roles are the same processes and serve.
  void TearDown() override {
    EXPECT_OK(deployment_->roles().Check());
    EXPECT_OK(deployment_->TextSoon(2, kLimit));
  }

  static std::string File(const std::string& role, const std::string& name) {
    return absl::StrCat(deployment_->roles().folder(), "/certs/", role, "/",
                        name);
  }
  static std::string Read(const std::string& path) {
    const auto text = ReadSmallFile(path, 1 << 20);
    EXPECT_OK(text);
    return text.value_or("");
  }
  static CertificateAndKey OwnOf(const std::string& role) {
    return {Read(File(role, "cert.pem")), Read(File(role, "key.pem"))};
  }
  static CertificateAndKey Issue(const LeafRequest& request) {
    const std::string certs = deployment_->roles().folder() + "/certs/";
    const auto ca = CertificateAuthority::Load(
        {Read(certs + "ca.pem"), Read(certs + "ca-key.pem")});
    EXPECT_OK(ca);
    const auto leaf = ca->Issue(request);
    EXPECT_OK(leaf);
    return *leaf;
  }
  static CertificateAndKey OfAnotherCa(const std::string& role) {
    const absl::Time now = absl::Now();
    const auto ca = CertificateAuthority::Create(
        "tacit.local", now - absl::Hours(2), now + absl::Hours(2));
    EXPECT_OK(ca);
    const auto leaf = ca->Issue(Leaf(role, absl::Hours(1)));
    EXPECT_OK(leaf);
    return *leaf;
  }

  // Gives a role that runs another certificate, and waits until it is used.
  static void Install(const std::string& role, const CertificateAndKey& leaf) {
    ASSERT_OK(WriteFileAtomically(File(role, "key.pem"), leaf.key, 0600));
    ASSERT_OK(
        WriteFileAtomically(File(role, "cert.pem"), leaf.certificate, 0644));
    // Twice a second for the role, a second for gRPC, and some.
    absl::SleepFor(absl::Seconds(4));
  }
  // Connections that stand are not checked again: a new one is made on each
  // link of the role, and refused. First those that it makes itself; what the
  // gateway says last, since no request gets past it afterwards.
  static void ExpectRefusedOnEachLink(const std::string& role, bool reversed) {
    std::deque<std::string> links;
    for (const std::string link : kLinks) {
      if (!absl::StartsWith(link, role)) continue;
      reversed ? links.push_front(link) : links.push_back(link);
    }
    for (int i = std::size(kLinks) - 1; i >= 0; --i) {
      if (ServerOf(kLinks[i]) == role) links.push_back(kLinks[i]);
    }
    for (const std::string& link : links) {
      SCOPED_TRACE(link);
      deployment_->proxy(link).Reset();
      const auto text = deployment_->Text(2, kLimit);
      EXPECT_THAT(text.status(),
                  StatusIs(absl::StatusCode::kUnavailable,
                           "failed to connect to all addresses"));
      // Who is the other end.
      EXPECT_THAT(text.status().message(),
                  AnyOf(HasSubstr("the dealer: "), HasSubstr("party ")));
    }
  }

  static inline ProxiedDeployment* deployment_ = nullptr;
};

TEST_F(CertificatesTest, AnotherRoleAtTheAddressIsRefusedByName) {
  for (const std::string link : kLinks) {
    SCOPED_TRACE(link);
    const std::string server = ServerOf(link);
    const std::string other = server == "party1" ? "party0" : "party1";
    Proxy& proxy = deployment_->proxy(link);
    proxy.SetTarget(deployment_->roles().address(other));
    proxy.Reset();
    const auto text = deployment_->Text(2, kLimit);
    EXPECT_THAT(text.status(),
                StatusIs(absl::StatusCode::kUnavailable, "peer is party/"));
    proxy.SetTarget(deployment_->roles().address(server));
    proxy.Reset();
    EXPECT_OK(deployment_->TextSoon(2, kLimit));
  }
}

TEST_F(CertificatesTest, CertificatesThatOurCaDidNotSignAreRefused) {
  for (const std::string role : kRoles) {
    const CertificateAndKey own = OwnOf(role);
    for (const bool self_signed : {false, true}) {
      SCOPED_TRACE(absl::StrCat(role, self_signed ? " self-signed" : ""));
      Install(role, self_signed ? SelfSigned(role) : OfAnotherCa(role));
      ExpectRefusedOnEachLink(role, /*reversed=*/self_signed);
      Install(role, own);
      EXPECT_OK(deployment_->TextSoon(2, kLimit));
    }
  }
}

// Connections that stand go on; new ones are refused until it is renewed.
TEST_F(CertificatesTest, ACertificateThatExpiresIsRefusedUntilItIsRenewed) {
  for (const std::string role : kRoles) {
    SCOPED_TRACE(role);
    const CertificateAndKey own = OwnOf(role);
    Install(role, Issue(Leaf(role, absl::Seconds(8))));
    EXPECT_OK(deployment_->TextSoon(2, absl::Seconds(4)));
    absl::SleepFor(absl::Seconds(5));
    EXPECT_OK(deployment_->Text(2, kLimit));
    ExpectRefusedOnEachLink(role, /*reversed=*/false);
    Install(role, own);
    EXPECT_OK(deployment_->TextSoon(2, kLimit));
  }
}

// What a role says that is started with this certificate, and ends.
std::string RefusalOf(Deployment& roles, const std::string& role,
                      const std::string& cert, const std::string& key) {
  const std::string out = absl::StrCat(roles.folder(), "/refusal.log");
  const std::string command = absl::StrCat(
      TACIT_PROGRAM, " ", role.substr(0, 5) == "party" ? "party" : role,
      " --config ", roles.folder(), "/", role, ".yaml --listen 127.0.0.1:0",
      " --state-dir ", roles.folder(), "/state/refused --tls-cert ", cert,
      " --tls-key ", key, " > ", out, " 2>&1");
  const int status = std::system(command.c_str());
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) != 0) << status;
  return ReadSmallFile(out, 1 << 20).value_or("");
}

TEST_F(CertificatesTest, ARoleDoesNotStartWithACertificateThatIsNotItsOwn) {
  const std::string folder = deployment_->roles().folder();
  const auto write = [&](const CertificateAndKey& leaf) {
    EXPECT_OK(WriteFileAtomically(folder + "/c.pem", leaf.certificate, 0644));
    EXPECT_OK(WriteFileAtomically(folder + "/k.pem", leaf.key, 0600));
  };
  for (const std::string role : {"dealer", "party0", "party1"}) {
    SCOPED_TRACE(role);
    const auto refusal = [&] {
      return RefusalOf(deployment_->roles(), role, folder + "/c.pem",
                       folder + "/k.pem");
    };
    write(Issue(Leaf(role, -absl::Minutes(1))));
    EXPECT_THAT(refusal(), HasSubstr("expired"));
    const std::string other = role == "dealer" ? "party0" : "dealer";
    write(Issue(Leaf(other, absl::Hours(1))));
    EXPECT_THAT(refusal(), HasSubstr("the certificate is that of"));
    write({OwnOf(role).certificate, OwnOf(other).key});
    EXPECT_THAT(refusal(), HasSubstr("key"));
    std::remove((folder + "/c.pem").c_str());
    EXPECT_THAT(refusal(), HasSubstr(folder + "/c.pem"));
  }
}

// Any method will do: who may not come in does not get as far as its name.
absl::Status GetPlan(const std::string& address,
                     const std::shared_ptr<grpc::ChannelCredentials>& with) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  v1::PlanService::Stub stub(
      grpc::CreateCustomChannel(address, with, arguments));
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kLimit));
  v1::GetPlanResponse response;
  return FromGrpcStatus(stub.GetPlan(&context, {}, &response));
}

TEST_F(CertificatesTest, CallersWithoutAProperCertificateDoNotComeIn) {
  const auto with = [](const CertificateAndKey& leaf) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = Read(File("gateway", "ca.pem"));
    options.pem_private_key = leaf.key;
    options.pem_cert_chain = leaf.certificate;
    return grpc::SslCredentials(options);
  };
  for (const std::string server : {"dealer", "party0", "party1"}) {
    SCOPED_TRACE(server);
    const std::string address = deployment_->roles().address(server);
    EXPECT_OK(GetPlan(address, with(OwnOf("gateway"))));
    EXPECT_THAT(GetPlan(address, with(OwnOf("operator"))),
                StatusIs(absl::StatusCode::kPermissionDenied, "may not call"));
    for (const CertificateAndKey& leaf :
         {SelfSigned("gateway"), OfAnotherCa("gateway"),
          Issue(Leaf("gateway", -absl::Minutes(1))), CertificateAndKey{}}) {
      EXPECT_THAT(GetPlan(address, with(leaf)),
                  StatusIs(absl::StatusCode::kUnavailable, ""));
    }
    EXPECT_THAT(GetPlan(address, grpc::InsecureChannelCredentials()),
                StatusIs(absl::StatusCode::kUnavailable, ""));
  }
}

// Each method of each server, called by each role that may not.
TEST_F(CertificatesTest, AMethodIsNotForAnotherRole) {
  const auto denied = [](const std::string& server, const std::string& caller,
                         const auto& call) {
    TlsConfig tls = deployment_->roles().gateway().tls;
    tls.cert = File(caller, "cert.pem");
    tls.key = File(caller, "key.pem");
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = Read(tls.ca);
    options.pem_private_key = Read(tls.key);
    options.pem_cert_chain = Read(tls.cert);
    const auto channel = grpc::CreateChannel(
        deployment_->roles().address(server), grpc::SslCredentials(options));
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + kLimit));
    EXPECT_THAT(FromGrpcStatus(call(channel, context)),
                StatusIs(absl::StatusCode::kPermissionDenied, "may not call"))
        << caller << " at " << server;
  };
  const auto open = [](const auto& channel, grpc::ClientContext& context) {
    v1::OpenSessionResponse response;
    return v1::DealerService::Stub(channel).OpenSession(&context, {},
                                                        &response);
  };
  const auto stream = [](const auto& channel, grpc::ClientContext& context) {
    v1::DealerService::Stub stub(channel);
    return stub.StreamMaterial(&context, {})->Finish();
  };
  const auto exchange = [](const auto& channel, grpc::ClientContext& context) {
    v1::PartyService::Stub stub(channel);
    return stub.Exchange(&context)->Finish();
  };
  const auto infer = [](const auto& channel, grpc::ClientContext& context) {
    v1::InferenceService::Stub stub(channel);
    return stub.Infer(&context)->Finish();
  };
  for (const char* caller : {"party0", "party1", "dealer"}) {
    denied("dealer", caller, open);
    denied("party0", caller, infer);
    denied("party1", caller, infer);
  }
  for (const char* caller : {"gateway", "dealer"}) {
    denied("dealer", caller, stream);
    denied("party1", caller, exchange);
  }
  denied("party1", "party1", exchange);
  denied("party0", "party1", exchange);
}

}  // namespace
}  // namespace tacit

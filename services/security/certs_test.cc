#include "services/security/certs.h"

#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/security/files.h"
#include "services/security/testing.h"
#include "services/security/x509.h"

namespace tacit {
namespace {

namespace fs = std::filesystem;

std::string Read(const fs::path& path) {
  const auto contents = ReadSmallFile(path.string(), 1 << 20);
  EXPECT_OK(contents);
  return contents.ok() ? *contents : "";
}

mode_t Mode(const fs::path& path) {
  struct stat info = {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

X509Ptr Leaf(const fs::path& path) {
  auto chain = ParseCertificates(Read(path));
  EXPECT_OK(chain);
  return std::move((*chain)[0]);
}

CredentialPems Pems(const fs::path& folder) {
  return {Read(folder / "ca.pem"), Read(folder / "cert.pem"),
          Read(folder / "key.pem")};
}

class CertsTest : public ::testing::Test {
 protected:
  CertsOptions Options() {
    CertsOptions options;
    options.out = (dir_.path() / "certs").string();
    return options;
  }
  fs::path Out() { return dir_.path() / "certs"; }

  TestDir dir_;
};

TEST_F(CertsTest, GivesEveryRoleAnIdentityThatTheCaSigned) {
  ASSERT_OK(MakeDevelopmentCerts(Options()));
  const std::vector<std::pair<std::string, std::string>> roles = {
      {"dealer", "spiffe://tacit.local/dealer"},
      {"party0", "spiffe://tacit.local/party/0"},
      {"party1", "spiffe://tacit.local/party/1"},
      {"gateway", "spiffe://tacit.local/gateway/local"},
      {"operator", "spiffe://tacit.local/operator/local"}};
  const X509Ptr root = Leaf(Out() / "ca.pem");
  for (const auto& [folder, uri] : roles) {
    const auto info = CheckCredentials(Pems(Out() / folder));
    ASSERT_OK(info);
    EXPECT_EQ(info->identity.Uri(), uri);
    EXPECT_NEAR(absl::ToDoubleHours(info->expires - absl::Now()) / 24, 90, 0.1);
    const X509Ptr leaf = Leaf(Out() / folder / "cert.pem");
    EXPECT_EQ(X509_verify(leaf.get(), X509_get0_pubkey(root.get())), 1);
    EXPECT_EQ(X509_check_purpose(leaf.get(), X509_PURPOSE_SSL_SERVER, 0), 1);
    EXPECT_EQ(X509_check_purpose(leaf.get(), X509_PURPOSE_SSL_CLIENT, 0), 1);
    EXPECT_EQ(X509_check_ca(leaf.get()), 0);
    EXPECT_EQ(X509_check_host(leaf.get(), "localhost", 0, 0, nullptr), 1);
    EXPECT_EQ(X509_check_ip_asc(leaf.get(), "127.0.0.1", 0), 1);
    EXPECT_EQ(X509_check_ip_asc(leaf.get(), "::1", 0), 1);
    EXPECT_EQ(X509_check_host(leaf.get(), "example.com", 0, 0, nullptr), 0);
  }
}

TEST_F(CertsTest, AddsHostsAndHonoursDaysAndTrustDomain) {
  CertsOptions options = Options();
  options.hosts = {"dealer.example.com", "10.1.2.3", "fd00::7"};
  options.days = 3;
  options.trust_domain = "cell-1.example";
  options.gateway = "alice";
  ASSERT_OK(MakeDevelopmentCerts(options));
  const X509Ptr leaf = Leaf(Out() / "gateway" / "cert.pem");
  EXPECT_EQ(X509_check_host(leaf.get(), "dealer.example.com", 0, 0, nullptr),
            1);
  EXPECT_EQ(X509_check_ip_asc(leaf.get(), "10.1.2.3", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(leaf.get(), "fd00::7", 0), 1);
  EXPECT_EQ(X509_check_host(leaf.get(), "localhost", 0, 0, nullptr), 1);
  const auto info = CheckCredentials(Pems(Out() / "gateway"));
  ASSERT_OK(info);
  EXPECT_EQ(info->identity.Uri(), "spiffe://cell-1.example/gateway/alice");
  EXPECT_LT(info->expires, absl::Now() + absl::Hours(73));
}

TEST_F(CertsTest, KeepsKeysToTheOwnerAndTheCaKeyInOnePlace) {
  ASSERT_OK(MakeDevelopmentCerts(Options()));
  EXPECT_EQ(Mode(Out()), 0700);
  EXPECT_EQ(Mode(Out() / "ca-key.pem"), 0600);
  const std::string ca_key = Read(Out() / "ca-key.pem");
  std::set<std::string> keys = {ca_key};
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(Out())) {
    if (entry.is_directory()) {
      EXPECT_EQ(Mode(entry.path()), 0700) << entry.path();
      continue;
    }
    ++files;
    if (entry.path().filename() == "key.pem") {
      EXPECT_EQ(Mode(entry.path()), 0600) << entry.path();
      EXPECT_TRUE(keys.insert(Read(entry.path())).second) << "key used twice";
    }
  }
  EXPECT_EQ(files, 2 + 5 * 3);
}

TEST_F(CertsTest, DrawsSerialNumbersAtRandom) {
  ASSERT_OK(MakeDevelopmentCerts(Options()));
  std::set<std::string> serials;
  for (const char* role :
       {"dealer", "party0", "party1", "gateway", "operator"}) {
    const X509Ptr leaf = Leaf(Out() / role / "cert.pem");
    const ASN1_INTEGER* serial = X509_get0_serialNumber(leaf.get());
    EXPECT_GE(serial->length, 8);
    EXPECT_LE(serial->length, 20);
    serials.emplace(reinterpret_cast<const char*>(serial->data),
                    serial->length);
  }
  EXPECT_EQ(serials.size(), 5);
}

TEST_F(CertsTest, RefusesToOverwriteWithoutForceAndWritesNothing) {
  ASSERT_OK(MakeDevelopmentCerts(Options()));
  const std::string before = Read(Out() / "dealer" / "cert.pem");
  fs::remove(Out() / "ca.pem");
  EXPECT_THAT(MakeDevelopmentCerts(Options()),
              StatusIs(absl::StatusCode::kAlreadyExists, "--force"));
  EXPECT_FALSE(fs::exists(Out() / "ca.pem"));
  EXPECT_EQ(Read(Out() / "dealer" / "cert.pem"), before);
  CertsOptions force = Options();
  force.force = true;
  ASSERT_OK(MakeDevelopmentCerts(force));
  EXPECT_NE(Read(Out() / "dealer" / "cert.pem"), before);
}

TEST_F(CertsTest, RenewsUnderTheSameCa) {
  ASSERT_OK(MakeDevelopmentCerts(Options()));
  const std::string ca = Read(Out() / "ca.pem");
  const std::string before = Read(Out() / "party0" / "cert.pem");
  CertsOptions renew = Options();
  renew.renew = true;
  ASSERT_OK(MakeDevelopmentCerts(renew));
  EXPECT_EQ(Read(Out() / "ca.pem"), ca);
  EXPECT_NE(Read(Out() / "party0" / "cert.pem"), before);
  EXPECT_OK(CheckCredentials(Pems(Out() / "party0")));
}

TEST_F(CertsTest, RenewNeedsTheCa) {
  CertsOptions renew = Options();
  renew.renew = true;
  EXPECT_THAT(MakeDevelopmentCerts(renew),
              StatusIs(absl::StatusCode::kNotFound, "ca.pem"));
  EXPECT_FALSE(fs::exists(Out()));
}

TEST_F(CertsTest, RejectsBadOptions) {
  const auto with = [this](auto change) {
    CertsOptions options = Options();
    change(options);
    return MakeDevelopmentCerts(options);
  };
  constexpr auto kBad = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(with([](auto& o) { o.out = ""; }), StatusIs(kBad, "folder"));
  EXPECT_THAT(with([](auto& o) { o.days = 0; }), StatusIs(kBad, "0 days"));
  EXPECT_THAT(with([](auto& o) { o.days = 826; }), StatusIs(kBad, "826 days"));
  EXPECT_THAT(with([](auto& o) { o.hosts = {"a,URI:x"}; }),
              StatusIs(kBad, "neither a host name"));
  EXPECT_THAT(with([](auto& o) { o.hosts = {""}; }),
              StatusIs(kBad, "neither a host name"));
  EXPECT_THAT(with([](auto& o) { o.trust_domain = "Nope/"; }),
              StatusIs(kBad, "trust domain"));
  EXPECT_THAT(with([](auto& o) { o.gateway = ""; }), StatusIs(kBad, "name"));
  EXPECT_THAT(with([](auto& o) { o.force = o.renew = true; }),
              StatusIs(kBad, "renew"));
  EXPECT_FALSE(fs::exists(Out()));
}

TEST_F(CertsTest, SaysWhyAFolderCannotBeMade) {
  std::ofstream(dir_.path() / "certs") << "a file";
  EXPECT_FALSE(MakeDevelopmentCerts(Options()).ok());
}

TEST_F(CertsTest, CheckFindsPairsThatDoNotBelongTogether) {
  ASSERT_OK(MakeDevelopmentCerts(Options()));
  CredentialPems pems = Pems(Out() / "party0");
  pems.key = Read(Out() / "party1" / "key.pem");
  EXPECT_THAT(CheckCredentials(pems),
              StatusIs(absl::StatusCode::kInvalidArgument, "together"));
  pems = Pems(Out() / "party0");
  pems.certificate.resize(pems.certificate.size() / 2);
  EXPECT_FALSE(CheckCredentials(pems).ok());
  pems = Pems(Out() / "party0");
  pems.ca = "";
  EXPECT_THAT(CheckCredentials(pems),
              StatusIs(absl::StatusCode::kInvalidArgument, "CA"));
  pems = Pems(Out() / "party0");
  pems.key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
  EXPECT_THAT(CheckCredentials(pems),
              StatusIs(absl::StatusCode::kInvalidArgument, "private key"));
}

TEST_F(CertsTest, RefusesAKeyThatEveryoneMayRead) {
  ASSERT_OK(MakeDevelopmentCerts(Options()));
  const fs::path key = Out() / "dealer" / "key.pem";
  ASSERT_EQ(::chmod(key.c_str(), 0644), 0);
  EXPECT_THAT(ReadKeyFile(key.string()),
              StatusIs(absl::StatusCode::kPermissionDenied, "0644"));
  ASSERT_EQ(::chmod(key.c_str(), 0640), 0);  // by group: secrets in Kubernetes
  EXPECT_OK(ReadKeyFile(key.string()));
}

}  // namespace
}  // namespace tacit

#include "services/security/credential_watch.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/security/certs.h"
#include "services/security/files.h"
#include "services/security/testing.h"

namespace tacit {
namespace {

constexpr absl::Duration kRefresh = absl::Milliseconds(20);

class CredentialWatchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.out = dir_.File("certs");
    ASSERT_OK(MakeDevelopmentCerts(options_));
    options_.renew = true;
  }
  CredentialPaths Paths(const std::string& role) {
    const std::string base = options_.out + "/" + role;
    return {base + "/ca.pem", base + "/cert.pem", base + "/key.pem"};
  }
  absl::StatusOr<std::unique_ptr<CredentialWatch>> Start(
      const CredentialPaths& paths) {
    return CredentialWatch::Start(
        paths, kRefresh, [this](const absl::Status& status) {
          const std::lock_guard<std::mutex> lock(mutex_);
          reloads_.push_back(status);
        });
  }
  std::vector<absl::Status> WaitForReloads(size_t count) {
    for (int i = 0; i < 1000; ++i) {
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (reloads_.size() >= count) return reloads_;
      }
      absl::SleepFor(absl::Milliseconds(10));
    }
    ADD_FAILURE() << "no reload in 10 s";
    return {count, absl::UnknownError("none")};
  }
  static std::string Read(const std::string& path) {
    return *ReadSmallFile(path, 1 << 20);
  }

  TestDir dir_;
  CertsOptions options_;
  std::mutex mutex_;
  std::vector<absl::Status> reloads_;  // guarded by mutex_
};

TEST_F(CredentialWatchTest, OffersTheFilesUnderPathsOfItsOwn) {
  const auto watch = Start(Paths("party1"));
  ASSERT_OK(watch);
  EXPECT_EQ((*watch)->identity().Path(), "party/1");
  EXPECT_GT((*watch)->Expires(), absl::Now() + absl::Hours(24 * 89));
  const std::string pair = Read((*watch)->IdentityPath());
  EXPECT_OK(CheckCredentials({Read((*watch)->RootPath()), pair, pair}));
  EXPECT_EQ(Read((*watch)->RootPath()), Read(Paths("party1").ca));
}

TEST_F(CredentialWatchTest, ReadersNeverSeeHalfAnUpdate) {
  const auto watch = Start(Paths("dealer"));
  ASSERT_OK(watch);
  std::atomic<bool> stop{false};
  std::atomic<int> bad{0}, reads{0};
  std::thread reader([&] {
    while (!stop) {
      const std::string pair = Read((*watch)->IdentityPath());
      if (!CheckCredentials({Read((*watch)->RootPath()), pair, pair}).ok()) {
        ++bad;
      }
      ++reads;
    }
  });
  const auto modified = [&] {
    struct stat info = {};
    ::stat((*watch)->IdentityPath().c_str(), &info);
    return info.st_mtim.tv_sec;
  };
  for (size_t renewals = 1; renewals <= 10; ++renewals) {
    const auto before = modified();
    const std::string old = Read((*watch)->IdentityPath());
    ASSERT_OK(MakeDevelopmentCerts(options_));
    EXPECT_OK(WaitForReloads(renewals).back());
    EXPECT_NE(Read((*watch)->IdentityPath()), old);
    EXPECT_GT(modified(), before);
  }
  stop = true;
  reader.join();
  EXPECT_EQ(bad, 0);
  EXPECT_GT(reads, 0);
}

TEST_F(CredentialWatchTest, KeepsTheOldOnesAndSaysOnceWhatIsWrong) {
  const CredentialPaths paths = Paths("dealer");
  const auto watch = Start(paths);
  ASSERT_OK(watch);
  const std::string pair = Read((*watch)->IdentityPath());
  const std::string key = Read(paths.key);
  ASSERT_OK(WriteFileAtomically(paths.key, "nonsense", 0600));
  EXPECT_THAT(WaitForReloads(1).back(),
              StatusIs(absl::StatusCode::kInvalidArgument, "private key"));
  absl::SleepFor(5 * kRefresh);
  EXPECT_EQ(WaitForReloads(1).size(), 1);
  ASSERT_EQ(::unlink(paths.key.c_str()), 0);
  EXPECT_THAT(WaitForReloads(2).back(),
              StatusIs(absl::StatusCode::kNotFound, "key.pem"));
  EXPECT_EQ(Read((*watch)->IdentityPath()), pair);
  // Back to what it was: nothing to take up, and a new failure is news again.
  ASSERT_OK(WriteFileAtomically(paths.key, key, 0600));
  absl::SleepFor(5 * kRefresh);
  ASSERT_EQ(::unlink(paths.key.c_str()), 0);
  EXPECT_THAT(WaitForReloads(3).back(),
              StatusIs(absl::StatusCode::kNotFound, "key.pem"));
}

TEST_F(CredentialWatchTest, NeverQuotesAKey) {
  const CredentialPaths paths = Paths("dealer");
  const std::string key = Read(paths.key);
  ASSERT_OK(
      WriteFileAtomically(paths.key, key.substr(0, key.size() / 2), 0600));
  const absl::Status status = Start(paths).status();
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(std::string(status.message()).find(key.substr(30, 20)),
            std::string::npos);
}

}  // namespace
}  // namespace tacit

// Full disks under the ledgers: no session is dealt or used that is not on its
// ledger, and roles go on without a restart once there is room.
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status_matchers.h"
#include "gtest/gtest.h"
#include "services/cli/up.h"
#include "services/gateway/text_client.h"
#include "tests/testing.h"

namespace tacit {
namespace {

namespace fs = std::filesystem;

constexpr size_t kHeaderBytes = 64, kRecordBytes = 32;  // session_ledger.h

// Lets this process, and those that it starts, mount what nobody else sees.
// Before there are threads; false where that is not permitted.
bool OwnMounts() {
  return unshare(CLONE_NEWNS) == 0 &&
         mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

class LedgerFaultTest : public testing::TestWithParam<const char*> {
 protected:
  // With `folder`, which may hold mounts, or a temporary one.
  void Start(const std::string& folder) {
    UpOptions options = DemoDeployment();
    options.folder = folder;
    options.prefetch = 0;  // a session for a request
    auto deployment = Deployment::Start(options);
    ASSERT_OK(deployment);
    deployment_ = *std::move(deployment);
    GatewayConfig config = deployment_->gateway();
    auto client = TextClient::Create(config);
    ASSERT_OK(client);
    client_ = *std::move(client);
  }

  absl::StatusOr<std::string> Text() {
    auto text = TextOf(*client_, 1);
    answered_ += text.ok();
    return text;
  }

  std::string role() const { return GetParam(); }
  fs::path StateOf(const std::string& role) const {
    return fs::path(deployment_->folder()) / "state" / role;
  }

  // The ids on a role's ledger.
  std::set<std::string> Recorded(const std::string& role) const {
    std::ifstream in(StateOf(role) / "ledger", std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(in)), {});
    std::set<std::string> ids;
    for (size_t at = kHeaderBytes; at + kRecordBytes <= bytes.size();
         at += kRecordBytes) {
      ids.insert(bytes.substr(at, 16));
    }
    return ids;
  }
  // How often a role's log has an event.
  int Events(const std::string& role, const std::string& event) const {
    int count = 0;
    for (absl::string_view line :
         absl::StrSplit(deployment_->Log(role), '\n')) {
      count += absl::StrContains(line, absl::StrCat("\"", event, "\""));
    }
    return count;
  }

  // What must hold of every session that anybody has seen: the dealer has dealt
  // what is on its ledger and nothing else; a party has used what was dealt,
  // and at least what was answered, and that is on its own.
  void ExpectAllRecorded() const {
    const std::set<std::string> dealt = Recorded("dealer");
    EXPECT_EQ(dealt.size(), Events("dealer", "session_opened"));
    for (const char* party : {"party0", "party1"}) {
      const std::set<std::string> used = Recorded(party);
      EXPECT_TRUE(
          std::includes(dealt.begin(), dealt.end(), used.begin(), used.end()));
    }
  }

  // Requests fail while there is no room, each with a status that says so, and
  // succeed afterwards.
  template <typename Free>
  void ExpectFailuresUntil(Free free) {
    const std::set<std::string> before = Recorded(role());
    for (int i = 0; i < 3; ++i) {
      const auto text = Text();
      EXPECT_THAT(text.status(),
                  StatusIs(absl::StatusCode::kResourceExhausted, "/ledger"));
    }
    EXPECT_EQ(Recorded(role()), before);
    ExpectAllRecorded();
    ASSERT_OK(deployment_->Check());
    free();
    EXPECT_OK(Text());
    EXPECT_EQ(Recorded(role()).size(), before.size() + 1);
    ExpectAllRecorded();
    // The file is whole.
    kill(deployment_->pid(role()), SIGKILL);
    ASSERT_OK(deployment_->Restart(role()));
    EXPECT_OK(Text());
    EXPECT_EQ(Recorded(role()).size(), before.size() + 2);
  }

  std::unique_ptr<Deployment> deployment_;
  std::unique_ptr<TextClient> client_;
  size_t answered_ = 0;
};

TEST_P(LedgerFaultTest, AFullDiskStopsSessionsUntilThereIsRoom) {
  // A test's mounts go with the process: this one is not undone.
  static const bool own = OwnMounts();
  if (!own) GTEST_SKIP() << "no mounts of its own are permitted here";
  std::string folder = (fs::temp_directory_path() / "tacit-XXXXXX").string();
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const fs::path state = fs::path(folder) / "state" / role();
  fs::create_directories(state);
  if (mount("none", state.c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "no tmpfs may be mounted here: " << strerror(errno);
  }
  Start(folder);
  if (!HasFatalFailure()) {
    ASSERT_OK(Text());
    // All that is left, but for the page that the ledger has begun.
    const fs::path filler = state / "filler";
    std::ofstream out(filler);
    while (out.put('x').flush()) {
    }
    out.close();
    constexpr size_t kPage = 4096;
    const size_t room = (kPage - kHeaderBytes) / kRecordBytes;
    while (Recorded(role()).size() < room) ASSERT_OK(Text());
    ExpectFailuresUntil([&] { fs::remove(filler); });
  }
  deployment_.reset();
  umount2(state.c_str(), MNT_DETACH);
  fs::remove_all(folder);
}

TEST_P(LedgerFaultTest, AFileSizeLimitStopsSessionsUntilItIsRaised) {
  ASSERT_NO_FATAL_FAILURE(Start(""));
  ASSERT_OK(Text());
  const pid_t pid = deployment_->pid(role());
  rlimit limit;
  ASSERT_EQ(prlimit(pid, RLIMIT_FSIZE, nullptr, &limit), 0);
  const rlim_t before = limit.rlim_cur;
  // Half a record fits: what was written of it must go.
  limit.rlim_cur = fs::file_size(StateOf(role()) / "ledger") + kRecordBytes / 2;
  ASSERT_EQ(prlimit(pid, RLIMIT_FSIZE, &limit, nullptr), 0);
  ExpectFailuresUntil([&] {
    limit.rlim_cur = before;
    ASSERT_EQ(prlimit(pid, RLIMIT_FSIZE, &limit, nullptr), 0);
  });
}

INSTANTIATE_TEST_SUITE_P(Roles, LedgerFaultTest,
                         testing::Values("dealer", "party0", "party1"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace tacit

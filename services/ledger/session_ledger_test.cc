#include "services/ledger/session_ledger.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/security/files.h"
#include "services/security/testing.h"

namespace tacit {
namespace {

namespace fs = std::filesystem;

constexpr auto kUsed = absl::StatusCode::kAlreadyExists;
constexpr auto kDamaged = absl::StatusCode::kDataLoss;
constexpr size_t kHeader = 64, kRecord = 32;

SessionId Id(uint64_t n) {
  SessionId id = {};
  for (int i = 0; i < 8; ++i) id[15 - i] = static_cast<uint8_t>(n >> (8 * i));
  return id;
}

class SessionLedgerTest : public ::testing::Test {
 protected:
  LedgerOptions Options() {
    LedgerOptions options;
    options.owner = "party/0";
    options.warn = [this](absl::string_view message) {
      warnings_.emplace_back(message);
    };
    return options;
  }
  absl::StatusOr<std::unique_ptr<DurableSessionLedger>> Open() {
    return DurableSessionLedger::Open(path_, Options());
  }
  // Uses ids 0 to n - 1, one record each.
  void Fill(uint64_t n) {
    auto ledger = Open();
    ASSERT_OK(ledger);
    for (uint64_t i = 0; i < n; ++i) ASSERT_OK((*ledger)->Use(Id(i)));
  }
  std::string Contents() { return *ReadSmallFile(path_, size_t{1} << 30); }
  void Replace(const std::string& contents) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << contents;
  }

  TestDir dir_;
  std::string path_ = dir_.File("state/ledger");
  std::vector<std::string> warnings_;
};

TEST_F(SessionLedgerTest, UsesASessionOnceAcrossRestarts) {
  for (int start = 0; start < 3; ++start) {
    auto ledger = Open();
    ASSERT_OK(ledger);
    EXPECT_EQ((*ledger)->sessions(), start);
    for (int i = 0; i < start; ++i) {
      EXPECT_THAT((*ledger)->Use(Id(i)), StatusIs(kUsed, "00000000"));
    }
    EXPECT_OK((*ledger)->Use(Id(start)));
    EXPECT_THAT((*ledger)->Use(Id(start)), StatusIs(kUsed, "used before"));
    EXPECT_TRUE((*ledger)->Used(Id(start)));
    EXPECT_FALSE((*ledger)->Used(Id(start + 1)));
  }
  EXPECT_THAT(warnings_, testing::IsEmpty());
  EXPECT_EQ(fs::file_size(path_), kHeader + 3 * kRecord);
}

TEST_F(SessionLedgerTest, KeepsTagsOfASessionApart) {
  {
    auto ledger = Open();
    ASSERT_OK(ledger);
    EXPECT_OK((*ledger)->Use(Id(7), 0));
    EXPECT_THAT((*ledger)->Use(Id(7), 0), StatusIs(kUsed, ""));
    EXPECT_OK((*ledger)->Use(Id(8), 1));
  }
  auto ledger = Open();
  ASSERT_OK(ledger);
  EXPECT_THAT((*ledger)->Use(Id(7), 0), StatusIs(kUsed, ""));
  EXPECT_OK((*ledger)->Use(Id(7), 1));
  EXPECT_OK((*ledger)->Use(Id(8), 0));
  EXPECT_THAT((*ledger)->Use(Id(8), 1), StatusIs(kUsed, ""));
  EXPECT_EQ((*ledger)->sessions(), 2);
  EXPECT_THAT((*ledger)->Use(Id(9), -1),
              StatusIs(absl::StatusCode::kInvalidArgument, "tag"));
  EXPECT_THAT((*ledger)->Use(Id(9), 8),
              StatusIs(absl::StatusCode::kInvalidArgument, "tag"));
}

TEST_F(SessionLedgerTest, IsForItsOwnerAlone) {
  Fill(1);
  EXPECT_EQ(fs::status(path_).permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
  LedgerOptions other = Options();
  other.owner = "party/1";
  EXPECT_THAT(DurableSessionLedger::Open(path_, other),
              StatusIs(absl::StatusCode::kFailedPrecondition, "party/0's"));
}

TEST_F(SessionLedgerTest, IsOpenedOnceAtATime) {
  auto first = Open();
  ASSERT_OK(first);
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kFailedPrecondition,
                               "another process"));
  ASSERT_OK((*first)->Use(Id(1)));
  first->reset();
  EXPECT_OK(Open());
}

TEST_F(SessionLedgerTest, DiscardsATornRecordAtTheEndWithAWarning) {
  for (size_t kept = 1; kept < kRecord; ++kept) {
    fs::remove(path_);
    Fill(5);
    fs::resize_file(path_, kHeader + 4 * kRecord + kept);
    warnings_.clear();
    auto ledger = Open();
    ASSERT_OK(ledger) << kept;
    EXPECT_THAT(warnings_, testing::ElementsAre(testing::HasSubstr("crash")));
    EXPECT_EQ((*ledger)->sessions(), 4);
    EXPECT_OK((*ledger)->Use(Id(4)));
    ledger->reset();
    warnings_.clear();
    EXPECT_OK(Open());
    EXPECT_THAT(warnings_, testing::IsEmpty());
  }
}

TEST_F(SessionLedgerTest, DiscardsZerosThatAPowerFailureLeaves) {
  Fill(5);
  const std::string good = Contents();
  Replace(good + std::string(2 * kRecord + 5, '\0'));
  auto ledger = Open();
  ASSERT_OK(ledger);
  EXPECT_EQ(warnings_.size(), 1);
  EXPECT_EQ((*ledger)->sessions(), 5);
  ledger->reset();
  EXPECT_EQ(Contents(), good);
}

// What a power failure may leave of one batch: its second record alone. Such a
// batch says of no record of its own that it was durable.
TEST_F(SessionLedgerTest, KeepsWhatIsValidBehindAHoleInTheLastBatch) {
  Fill(3);
  std::string contents = Contents();
  const uint64_t seed =
      XXH3_64bits_withSeed(contents.data() + 16, 16, 0x5441434954);
  char record[kRecord] = {};
  const SessionId id = Id(100);
  std::memcpy(record, id.data(), id.size());
  record[16] = 3;
  record[20] = 1;
  const uint64_t sum = XXH3_64bits_withSeed(record, 24, seed + 4);
  std::memcpy(record + 24, &sum, sizeof(sum));
  contents.append(kRecord, '\0').append(record, kRecord);
  Replace(contents);
  for (int start = 0; start < 2; ++start) {
    auto ledger = Open();
    ASSERT_OK(ledger);
    EXPECT_EQ(warnings_.size(), 1);
    EXPECT_EQ((*ledger)->sessions(), 4);
    EXPECT_TRUE((*ledger)->Used(id));
  }
  EXPECT_EQ(fs::file_size(path_), kHeader + 4 * kRecord);
}

TEST_F(SessionLedgerTest, RefusesAHoleInWhatWasDurable) {
  Fill(4);
  std::string contents = Contents();
  contents.replace(kHeader + 2 * kRecord, kRecord, kRecord, '\0');
  Replace(contents);
  EXPECT_THAT(Open(), StatusIs(kDamaged, "record 2"));
}

TEST_F(SessionLedgerTest, RefusesAnyFlippedByte) {
  Fill(4);
  const std::string good = Contents();
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    Replace(bad);
    const auto opened = Open();
    EXPECT_FALSE(opened.ok()) << "byte " << at;
    EXPECT_EQ(Contents(), bad) << "changed a damaged file";
  }
  Replace(good);
  EXPECT_OK(Open());
}

TEST_F(SessionLedgerTest, RefusesMovedMissingAndForeignRecords) {
  Fill(4);
  const std::string good = Contents();
  const auto record = [&](int i) {
    return good.substr(kHeader + i * kRecord, kRecord);
  };
  const std::string header = good.substr(0, kHeader);
  Replace(header + record(1) + record(0) + record(2) + record(3));
  EXPECT_THAT(Open(), StatusIs(kDamaged, "record 0 (byte 64)"));
  Replace(header + record(1) + record(2) + record(3));
  EXPECT_THAT(Open(), StatusIs(kDamaged, "record 0"));
  Replace(header + std::string(kRecord, '\0') + record(1));
  EXPECT_THAT(Open(), StatusIs(kDamaged, "record 0"));
  fs::remove(path_);
  Fill(4);  // another file, the same sessions
  const std::string other = Contents();
  Replace(other.substr(0, kHeader) + good.substr(kHeader));
  EXPECT_THAT(Open(), StatusIs(kDamaged, "record 0"));
}

TEST_F(SessionLedgerTest, RefusesWhatIsNoLedger) {
  Fill(1);
  const std::string good = Contents();
  for (const size_t size : {0, 1, 63}) {
    Replace(good.substr(0, size));
    EXPECT_THAT(Open(), StatusIs(kDamaged, "bytes")) << size;
  }
  Replace(std::string(1000, 'x'));
  EXPECT_THAT(Open(), StatusIs(kDamaged, "no ledger"));
}

TEST_F(SessionLedgerTest, RejectsBadOptions) {
  constexpr auto kBad = absl::StatusCode::kInvalidArgument;
  LedgerOptions options = Options();
  options.owner = "";
  EXPECT_THAT(DurableSessionLedger::Open(path_, options),
              StatusIs(kBad, "owner"));
  options.owner = std::string(16, 'x');
  EXPECT_THAT(DurableSessionLedger::Open(path_, options),
              StatusIs(kBad, "owner"));
  options = Options();
  options.max_sessions = 0;
  EXPECT_THAT(DurableSessionLedger::Open(path_, options),
              StatusIs(kBad, "sessions"));
  EXPECT_THAT(DurableSessionLedger::Open("", Options()),
              StatusIs(kBad, "path"));
}

TEST_F(SessionLedgerTest, IsBounded) {
  LedgerOptions options = Options();
  options.max_sessions = 3;
  auto ledger = DurableSessionLedger::Open(path_, options);
  ASSERT_OK(ledger);
  for (int i = 0; i < 3; ++i) EXPECT_OK((*ledger)->Use(Id(i)));
  EXPECT_THAT((*ledger)->Use(Id(3)),
              StatusIs(absl::StatusCode::kResourceExhausted, "holds 3"));
  EXPECT_OK((*ledger)->Use(Id(2), 1));  // no further session
}

TEST_F(SessionLedgerTest, GivesEachSessionToOneOfManyThreads) {
  constexpr int kThreads = 8, kSessions = 500;
  std::atomic<int> won[kSessions] = {};
  {
    auto ledger = Open();
    ASSERT_OK(ledger);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kSessions; ++i) {
          // Each thread begins elsewhere, and all meet.
          const int s = (i + t * (kSessions / kThreads)) % kSessions;
          if ((*ledger)->Use(Id(s)).ok()) ++won[s];
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  for (const auto& count : won) EXPECT_EQ(count, 1);
  EXPECT_EQ(fs::file_size(path_), kHeader + kSessions * kRecord);
  auto ledger = Open();
  ASSERT_OK(ledger);
  EXPECT_EQ((*ledger)->sessions(), kSessions);
}

TEST_F(SessionLedgerTest, RetiresEpochsForGood) {
  const auto id = [](uint32_t epoch, uint64_t n) {
    return WithEpoch(Id(n), epoch);
  };
  EXPECT_EQ(EpochOf(id(0x01020304, 5)), 0x01020304);
  {
    auto ledger = Open();
    ASSERT_OK(ledger);
    for (uint32_t epoch = 1; epoch <= 3; ++epoch) {
      for (int i = 0; i < 10; ++i) ASSERT_OK((*ledger)->Use(id(epoch, i), 1));
    }
    ASSERT_OK((*ledger)->Retire(3));
    EXPECT_EQ((*ledger)->sessions(), 10);
    EXPECT_EQ(fs::file_size(path_), kHeader + 10 * kRecord);
    ASSERT_OK((*ledger)->Retire(2));  // does not bring anything back
    ASSERT_OK((*ledger)->Use(id(4, 0)));
  }
  auto ledger = Open();
  ASSERT_OK(ledger);
  EXPECT_THAT((*ledger)->Use(id(1, 3)), StatusIs(kUsed, "retired"));
  EXPECT_THAT((*ledger)->Use(id(2, 1000)), StatusIs(kUsed, "retired"));
  EXPECT_THAT((*ledger)->Use(id(3, 3), 1), StatusIs(kUsed, "used"));
  EXPECT_OK((*ledger)->Use(id(3, 3), 0));
  EXPECT_THAT((*ledger)->Use(id(4, 0)), StatusIs(kUsed, "used"));
  EXPECT_OK((*ledger)->Use(id(4, 1)));
  EXPECT_TRUE((*ledger)->Used(id(2, 77)));
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kFailedPrecondition, ""));
}

TEST_F(SessionLedgerTest, FindsRecordsMissingAfterARewrite) {
  {
    auto ledger = Open();
    ASSERT_OK(ledger);
    for (int i = 0; i < 3; ++i) ASSERT_OK((*ledger)->Use(WithEpoch(Id(i), 1)));
    ASSERT_OK((*ledger)->Retire(1));
  }
  fs::resize_file(path_, kHeader + 2 * kRecord);
  EXPECT_THAT(Open(), StatusIs(kDamaged, "missing"));
}

TEST_F(SessionLedgerTest, RetiresWhileThreadsUse) {
  auto ledger = Open();
  ASSERT_OK(ledger);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  std::vector<std::vector<SessionId>> used(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; !stop; ++i) {
        const SessionId id = WithEpoch(Id(i * 4 + t), 50);
        if ((*ledger)->Use(id).ok()) used[t].push_back(id);
      }
    });
  }
  for (uint32_t epoch = 1; epoch <= 20; ++epoch) {
    EXPECT_OK((*ledger)->Retire(epoch));
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  ledger->reset();
  auto again = Open();
  ASSERT_OK(again);
  for (const auto& ids : used) {
    for (const SessionId& id : ids) EXPECT_TRUE((*again)->Used(id));
  }
}

TEST_F(SessionLedgerTest, SurvivesKill9WithEverythingItAcknowledged) {
  uint64_t next = 0;
  for (int round = 0; round < 5; ++round) {
    int pipe_fds[2];
    ASSERT_EQ(::pipe(pipe_fds), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {  // says each id after Use returned
      auto ledger = Open();
      if (!ledger.ok()) ::_exit(1);
      for (uint64_t i = next;; ++i) {
        if (!(*ledger)->Use(Id(i)).ok()) ::_exit(2);
        if (::write(pipe_fds[1], &i, sizeof(i)) != sizeof(i)) ::_exit(3);
      }
    }
    ::close(pipe_fds[1]);
    uint64_t last = 0, said = 0;
    while (said < 50 && ::read(pipe_fds[0], &last, sizeof(last)) > 0) ++said;
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
    while (::read(pipe_fds[0], &last, sizeof(last)) > 0) {
    }
    ::close(pipe_fds[0]);
    auto ledger = Open();
    ASSERT_OK(ledger);
    for (uint64_t i = 0; i <= last; ++i) {
      ASSERT_THAT((*ledger)->Use(Id(i)), StatusIs(kUsed, "")) << i;
    }
    next = (*ledger)->sessions();
  }
}

// In a child process: a file size limit instead of a full disk.
TEST_F(SessionLedgerTest, FailsClosedWhenTheFileMayNotGrow) {
  Fill(2);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    auto ledger = Open();
    if (!ledger.ok()) ::_exit(1);
    // Room for one record and a half.
    rlimit limit = {kHeader + 3 * kRecord + kRecord / 2, RLIM_INFINITY};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(2);
    if (!(*ledger)->Use(Id(2)).ok()) ::_exit(3);
    if (!absl::IsResourceExhausted((*ledger)->Use(Id(3)))) ::_exit(4);
    if ((*ledger)->Used(Id(3))) ::_exit(5);
    // Room again: the next one works, and what failed was not used.
    limit.rlim_cur = RLIM_INFINITY;
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(6);
    if (!(*ledger)->Use(Id(4)).ok()) ::_exit(7);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  ASSERT_EQ(WEXITSTATUS(status), 0);
  auto ledger = Open();
  ASSERT_OK(ledger);
  EXPECT_THAT(warnings_, testing::IsEmpty());
  EXPECT_EQ((*ledger)->sessions(), 4);
  EXPECT_FALSE((*ledger)->Used(Id(3)));
}

TEST_F(SessionLedgerTest, FailsClosedOnAFullDisk) {
  const std::string disk = dir_.File("disk");
  fs::create_directory(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=16k") != 0) {
    GTEST_SKIP() << "may not mount a small file system here";
  }
  std::vector<uint64_t> acknowledged;
  {
    auto ledger = DurableSessionLedger::Open(disk + "/ledger", Options());
    ASSERT_OK(ledger);
    absl::Status status;
    for (uint64_t i = 0; i < 2000 && status.ok(); ++i) {
      status = (*ledger)->Use(Id(i));
      if (status.ok()) acknowledged.push_back(i);
    }
    EXPECT_THAT(status,
                StatusIs(absl::StatusCode::kResourceExhausted, "No space"));
    EXPECT_FALSE((*ledger)->Used(Id(acknowledged.size())));
    EXPECT_THAT((*ledger)->Use(Id(9999)),
                StatusIs(absl::StatusCode::kResourceExhausted, ""));
  }
  {
    auto ledger = DurableSessionLedger::Open(disk + "/ledger", Options());
    ASSERT_OK(ledger);
    EXPECT_EQ((*ledger)->sessions(), acknowledged.size());
    // Retiring needs room for a second file. It fails without a trace.
    EXPECT_THAT((*ledger)->Retire(0xffffffff),
                StatusIs(absl::StatusCode::kResourceExhausted, "No space"));
    EXPECT_FALSE(fs::exists(disk + "/ledger.new"));
    EXPECT_FALSE((*ledger)->Used(Id(9999)));
    EXPECT_TRUE((*ledger)->Used(Id(0)));
  }
  ::umount(disk.c_str());
}

// Resident memory of this process, bytes.
size_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  size_t all = 0, resident = 0;
  statm >> all >> resident;
  return resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

// Also holds the file's format: the records here are made by hand.
TEST_F(SessionLedgerTest, HoldsAMillionSessionsInLittleMemory) {
  constexpr uint64_t kSessions = 1'000'000;
  Fill(0);
  std::string contents = Contents();
  const uint64_t seed =
      XXH3_64bits_withSeed(contents.data() + 16, 16, 0x5441434954);
  for (uint64_t i = 0; i < kSessions; ++i) {
    char record[kRecord] = {};
    const SessionId id = Id(i * 0x9e3779b97f4a7c15);
    std::memcpy(record, id.data(), id.size());
    record[20] = 1;  // tag 0
    const uint64_t sum = XXH3_64bits_withSeed(record, 24, seed + i);
    std::memcpy(record + 24, &sum, sizeof(sum));
    contents.append(record, kRecord);
  }
  Replace(contents);
  contents = std::string();
  const size_t before = ResidentBytes();
  auto ledger = Open();
  ASSERT_OK(ledger);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(ResidentBytes(), before + (size_t{64} << 20));
#endif
  EXPECT_EQ((*ledger)->sessions(), kSessions);
  EXPECT_THAT((*ledger)->Use(Id(999'999 * 0x9e3779b97f4a7c15)),
              StatusIs(kUsed, ""));
  EXPECT_OK((*ledger)->Use(Id(1)));
}

}  // namespace
}  // namespace tacit

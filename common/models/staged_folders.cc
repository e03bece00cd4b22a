#include "common/models/staged_folders.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/models/files.h"

namespace tacit {
namespace {

namespace fs = std::filesystem;

constexpr char kStagingPrefix[] = ".provision-";
constexpr mode_t kOwnerOnly = 0700;

// Without following links, and whatever it is.
bool IsThere(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0;
}

absl::Status Rename(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
  return FileError(errno, to, "store");
}

}  // namespace

absl::StatusOr<std::unique_ptr<StagedFolders>> StagedFolders::Create(
    Options options) {
  std::unique_ptr<StagedFolders> folders(new StagedFolders(std::move(options)));
  RETURN_IF_ERROR(folders->MakeOut());
  RETURN_IF_ERROR(folders->Lock());
  for (const std::string& name : folders->options_.names) {
    RETURN_IF_ERROR(folders->CheckTarget(name));
  }
  RETURN_IF_ERROR(folders->MakeStaging());
  return folders;
}

StagedFolders::~StagedFolders() {
  std::error_code ignored;
  if (!staging_.empty() && !keep_) fs::remove_all(staging_, ignored);
  // Not if there is anything in it.
  if (made_out_ && !committed_) rmdir(options_.out.c_str());
  if (lock_ >= 0) close(lock_);
}

std::string StagedFolders::Path(absl::string_view name) const {
  return absl::StrCat(staging_, "/", name);
}
std::string StagedFolders::Target(const std::string& name) const {
  return absl::StrCat(options_.out, "/", name);
}
std::string StagedFolders::Old(const std::string& name) const {
  return absl::StrCat(staging_, "/old-", name);
}

absl::Status StagedFolders::MakeOut() {
  std::error_code error;
  const fs::path parent = fs::absolute(options_.out, error).parent_path();
  if (!error) fs::create_directories(parent, error);
  if (error) return FileError(error.value(), parent.string(), "create");
  made_out_ = mkdir(options_.out.c_str(), kOwnerOnly) == 0;
  if (made_out_ || errno == EEXIST) return absl::OkStatus();
  return FileError(errno, options_.out, "create");
}

absl::Status StagedFolders::Lock() {
  lock_ = open(options_.out.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ < 0) return FileError(errno, options_.out, "open");
  if (flock(lock_, LOCK_EX | LOCK_NB) == 0) {
    RemoveStale();  // those who left it are gone
    return absl::OkStatus();
  }
  // File systems without locks leave it to the caller.
  if (errno != EWOULDBLOCK) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      options_.out, ": another process is writing there; wait for its end"));
}

void StagedFolders::RemoveStale() const {
  std::error_code ignored;
  for (const fs::directory_entry& entry :
       fs::directory_iterator(options_.out, ignored)) {
    if (absl::StartsWith(entry.path().filename().string(), kStagingPrefix)) {
      fs::remove_all(entry.path(), ignored);
    }
  }
}

absl::Status StagedFolders::CheckTarget(const std::string& name) const {
  const std::string target = Target(name);
  if (!IsThere(target)) return absl::OkStatus();
  if (!options_.force) {
    return absl::AlreadyExistsError(absl::StrCat(
        target, " is there already; --force replaces all roles' folders"));
  }
  std::error_code error;
  if (!fs::is_directory(fs::symlink_status(target, error))) {
    return absl::FailedPreconditionError(
        absl::StrCat(target, " is no folder; remove it, or write elsewhere"));
  }
  fs::directory_iterator entries(target, error);
  if (error) return FileError(error.value(), target, "read");
  for (const fs::directory_entry& entry : entries) {
    const std::string file = entry.path().filename().string();
    if (entry.symlink_status(error).type() == fs::file_type::regular &&
        options_.known(file)) {
      continue;
    }
    return absl::FailedPreconditionError(absl::StrCat(
        target, " holds ", file,
        ", which was not written there by provisioning, and would be lost; "
        "move it, or write elsewhere"));
  }
  return absl::OkStatus();
}

absl::Status StagedFolders::MakeStaging() {
  std::string staging =
      absl::StrCat(options_.out, "/", kStagingPrefix, "XXXXXX");
  if (mkdtemp(staging.data()) == nullptr) {  // 0700
    return FileError(errno, options_.out, "create a folder in it");
  }
  staging_ = std::move(staging);
  for (const std::string& name : options_.names) {
    if (mkdir(Path(name).c_str(), kOwnerOnly) != 0) {
      return FileError(errno, Path(name), "create");
    }
  }
  return absl::OkStatus();
}

absl::Status StagedFolders::Swap(const std::string& name) {
  const bool replaces = IsThere(Target(name));
  if (replaces) RETURN_IF_ERROR(Rename(Target(name), Old(name)));
  absl::Status status = Rename(Path(name), Target(name));
  if (!status.ok() && replaces) keep_ |= !Rename(Old(name), Target(name)).ok();
  return status;
}

void StagedFolders::SwapBack(const std::string& name) {
  keep_ |= !Rename(Target(name), Path(name)).ok();
  if (IsThere(Old(name))) keep_ |= !Rename(Old(name), Target(name)).ok();
}

absl::Status StagedFolders::Commit() {
  for (const std::string& name : options_.names) {
    RETURN_IF_ERROR(SyncFolder(Path(name)));
  }
  for (size_t i = 0; i < options_.names.size(); ++i) {
    absl::Status status = Swap(options_.names[i]);
    if (status.ok()) continue;
    while (i-- > 0) SwapBack(options_.names[i]);
    return status;
  }
  committed_ = true;
  return SyncFolder(options_.out);
}

}  // namespace tacit

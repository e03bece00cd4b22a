#include "services/security/credential_watch.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/buffer.h"
#include "common/base/status_macros.h"
#include "services/security/files.h"

namespace tacit {
namespace {

constexpr size_t kMaxPemBytes = size_t{1} << 20;

absl::Status WithPath(const absl::Status& status, absl::string_view path) {
  return absl::Status(status.code(),
                      absl::StrCat(path, ": ", status.message()));
}

void Wipe(std::string* secret) { SecureWipe(secret->data(), secret->size()); }

absl::StatusOr<CredentialPems> ReadPems(const CredentialPaths& paths) {
  CredentialPems pems;
  ASSIGN_OR_RETURN(pems.ca, ReadSmallFile(paths.ca, kMaxPemBytes));
  ASSIGN_OR_RETURN(pems.certificate, ReadSmallFile(paths.cert, kMaxPemBytes));
  ASSIGN_OR_RETURN(pems.key, ReadKeyFile(paths.key));
  return pems;
}

// Replaces what `*fd` leads to by new anonymous memory with these contents, in
// one step. Readers compare modification times in seconds before and after
// reading, hence a different one for each version.
absl::Status Publish(absl::string_view contents, int version, int* fd) {
  const int fresh = ::memfd_create("tacit-credentials", MFD_CLOEXEC);
  if (fresh < 0) return ErrnoStatus(errno, "memfd_create");
  absl::Status status;
  for (absl::string_view rest = contents; status.ok() && !rest.empty();) {
    const ssize_t n = ::write(fresh, rest.data(), rest.size());
    if (n > 0) rest.remove_prefix(static_cast<size_t>(n));
    if (n < 0 && errno != EINTR) status = ErrnoStatus(errno, "memfd");
  }
  const timespec time = {1'000'000'000 + version, 0};
  const timespec times[2] = {time, time};
  if (status.ok() && ::futimens(fresh, times) != 0) {
    status = ErrnoStatus(errno, "memfd");
  }
  if (!status.ok() || *fd < 0) {
    if (status.ok()) *fd = fresh;
    if (!status.ok()) ::close(fresh);
    return status;
  }
  if (::dup3(fresh, *fd, O_CLOEXEC) < 0) status = ErrnoStatus(errno, "dup3");
  ::close(fresh);
  return status;
}

std::string PathOf(int fd) { return absl::StrCat("/proc/self/fd/", fd); }

}  // namespace

absl::StatusOr<std::unique_ptr<CredentialWatch>> CredentialWatch::Start(
    CredentialPaths paths, absl::Duration refresh, ReloadCallback on_reload) {
  std::unique_ptr<CredentialWatch> watch(
      new CredentialWatch(std::move(paths), refresh, std::move(on_reload)));
  RETURN_IF_ERROR(watch->Load(/*first=*/true));
  watch->thread_ = std::thread(&CredentialWatch::Run, watch.get());
  return watch;
}

CredentialWatch::~CredentialWatch() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  if (identity_fd_ >= 0) ::close(identity_fd_);
  if (root_fd_ >= 0) ::close(root_fd_);
  Wipe(&current_.key);
}

absl::Time CredentialWatch::Expires() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return expires_;
}

std::string CredentialWatch::IdentityPath() const {
  return PathOf(identity_fd_);
}

std::string CredentialWatch::RootPath() const { return PathOf(root_fd_); }

absl::Status CredentialWatch::Load(bool first) {
  ASSIGN_OR_RETURN(CredentialPems pems, ReadPems(paths_));
  if (!first && pems.ca == current_.ca && pems.key == current_.key &&
      pems.certificate == current_.certificate) {
    Wipe(&pems.key);
    return absl::OkStatus();
  }
  const absl::StatusOr<LeafInfo> info = CheckCredentials(pems);
  absl::Status status =
      info.ok() ? absl::OkStatus() : WithPath(info.status(), paths_.cert);
  if (status.ok() && !first && !(info->identity == identity_)) {
    status = absl::FailedPreconditionError(
        absl::StrCat(paths_.cert, ": the new certificate is ",
                     info->identity.Uri(), "'s, this process is ",
                     identity_.Uri(), "; restart it to change that"));
  }
  if (!status.ok()) {
    Wipe(&pems.key);
    return status;
  }
  if (first) identity_ = info->identity;
  RETURN_IF_ERROR(TakeUp(std::move(pems), *info));
  if (!first && on_reload_) on_reload_(absl::OkStatus());
  return absl::OkStatus();
}

absl::Status CredentialWatch::TakeUp(CredentialPems pems,
                                     const LeafInfo& info) {
  ++version_;
  std::string identity = absl::StrCat(pems.certificate, "\n", pems.key);
  absl::Status status = Publish(identity, version_, &identity_fd_);
  Wipe(&identity);
  if (status.ok()) status = Publish(pems.ca, version_, &root_fd_);
  if (!status.ok()) {
    Wipe(&pems.key);
    return status;
  }
  std::swap(current_, pems);
  Wipe(&pems.key);
  const std::lock_guard<std::mutex> lock(mutex_);
  expires_ = info.expires;
  return absl::OkStatus();
}

void CredentialWatch::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto interval = absl::ToChronoNanoseconds(refresh_);
  while (true) {
    wake_.wait_for(lock, interval, [this] { return stopping_; });
    if (stopping_) return;
    lock.unlock();
    Report(Load(/*first=*/false));
    lock.lock();
  }
}

// Files are replaced one after the other, so a failure counts when it is there
// twice in a row.
void CredentialWatch::Report(const absl::Status& status) {
  if (status != last_) {
    last_ = status;
    reported_ = status.ok();
    return;
  }
  if (reported_) return;
  reported_ = true;
  if (on_reload_) on_reload_(status);
}

}  // namespace tacit

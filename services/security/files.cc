#include "services/security/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"

namespace tacit {
namespace {

constexpr size_t kMaxKeyBytes = size_t{1} << 16;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

// `size` as the system gives it: secrets must not be left behind in a buffer
// that was grown.
absl::StatusOr<std::string> ReadAll(int fd, const std::string& path,
                                    uint64_t size, size_t max_bytes) {
  if (size > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", size, " bytes; at most ", max_bytes));
  }
  std::string contents(size, '\0');
  size_t have = 0;
  while (have < contents.size()) {
    const ssize_t n = ::read(fd, &contents[have], contents.size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, path);
    if (n == 0) break;  // became shorter meanwhile
    have += static_cast<size_t>(n);
  }
  contents.resize(have);
  return contents;
}

// Opens and checks that it is a plain file; a FIFO must not block us.
absl::StatusOr<int> OpenPlain(const std::string& path, struct stat* info) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return ErrnoStatus(errno, path);
  if (::fstat(fd, info) != 0 || !S_ISREG(info->st_mode)) {
    ::close(fd);
    return absl::InvalidArgumentError(absl::StrCat(path, ": no plain file"));
  }
  return fd;
}

absl::Status WriteAll(int fd, const std::string& path,
                      absl::string_view contents) {
  while (!contents.empty()) {
    const ssize_t n = ::write(fd, contents.data(), contents.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, path);
    contents.remove_prefix(static_cast<size_t>(n));
  }
  if (::fsync(fd) != 0) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

}  // namespace

absl::Status ErrnoStatus(int error, absl::string_view what) {
  const std::string message =
      absl::StrCat(what, ": ", std::generic_category().message(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    case EEXIST:
      return absl::AlreadyExistsError(message);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::ResourceExhaustedError(message);
    default:
      return absl::UnavailableError(message);
  }
}

absl::StatusOr<std::string> ReadSmallFile(const std::string& path,
                                          size_t max_bytes) {
  struct stat info;
  ASSIGN_OR_RETURN(const int fd, OpenPlain(path, &info));
  const Descriptor file(fd);
  return ReadAll(fd, path, static_cast<uint64_t>(info.st_size), max_bytes);
}

absl::StatusOr<std::string> ReadKeyFile(const std::string& path) {
  struct stat info;
  ASSIGN_OR_RETURN(const int fd, OpenPlain(path, &info));
  const Descriptor file(fd);
  if ((info.st_mode & 07) != 0) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "%s: a private key, but everyone may use it (mode %04o); chmod 600 it",
        path, info.st_mode & 07777));
  }
  return ReadAll(fd, path, static_cast<uint64_t>(info.st_size), kMaxKeyBytes);
}

absl::Status WriteFileAtomically(const std::string& path,
                                 absl::string_view contents, mode_t mode) {
  std::string temporary = path + ".XXXXXX";
  const int fd = ::mkostemp(temporary.data(), O_CLOEXEC);  // mode 0600
  if (fd < 0) return ErrnoStatus(errno, path);
  const Descriptor file(fd);
  absl::Status status = WriteAll(fd, path, contents);
  if (status.ok() && ::fchmod(fd, mode) != 0) status = ErrnoStatus(errno, path);
  if (status.ok() && ::rename(temporary.c_str(), path.c_str()) != 0) {
    status = ErrnoStatus(errno, path);
  }
  if (!status.ok()) ::unlink(temporary.c_str());
  return status;
}

}  // namespace tacit

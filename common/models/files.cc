#include "common/models/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace tacit {
namespace {

absl::StatusOr<int> CreateFile(const std::string& path) {
  const int fd = open(
      path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return FileError(errno, path, "create");
  return fd;
}

// A disk may turn out to be full as late as here.
absl::Status Sync(int fd, absl::string_view path) {
  if (fsync(fd) != 0) return FileError(errno, path, "store");
  return absl::OkStatus();
}

absl::StatusOr<int> OpenPlainFile(const std::string& path) {
  // O_NONBLOCK: opening a named pipe must not wait for a writer.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 && errno == ENOENT) {
    return absl::NotFoundError(absl::StrCat(path, ": no such file"));
  }
  if (fd < 0) return FileError(errno, path, "open");
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(fd);
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a file"));
  }
  return fd;
}

}  // namespace

absl::Status FileError(int error, absl::string_view path,
                       absl::string_view what) {
  const std::string message = absl::StrCat(
      path, ": cannot ", what, ": ", std::generic_category().message(error));
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::ResourceExhaustedError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    default:
      return absl::InternalError(message);
  }
}

absl::Status WriteAll(int fd, absl::string_view path,
                      std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t done = write(fd, bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return FileError(errno, path, "write");
    bytes = bytes.subspan(static_cast<size_t>(done));
  }
  return absl::OkStatus();
}

absl::Status WriteNewFile(const std::string& path,
                          std::span<const uint8_t> contents) {
  ASSIGN_OR_RETURN(const int fd, CreateFile(path));
  const absl::Cleanup close_fd = [fd] { close(fd); };
  RETURN_IF_ERROR(WriteAll(fd, path, contents));
  return Sync(fd, path);
}

absl::Status WriteNewFile(const std::string& path, absl::string_view contents) {
  return WriteNewFile(
      path, std::span(reinterpret_cast<const uint8_t*>(contents.data()),
                      contents.size()));
}

absl::StatusOr<uint64_t> CopyToNewFile(const std::string& from,
                                       const std::string& to) {
  ASSIGN_OR_RETURN(const int source, OpenPlainFile(from));
  const absl::Cleanup close_source = [source] { close(source); };
  ASSIGN_OR_RETURN(const int target, CreateFile(to));
  const absl::Cleanup close_target = [target] { close(target); };
  std::vector<uint8_t> block(size_t{1} << 16);
  uint64_t copied = 0;
  while (true) {
    const ssize_t got = read(source, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FileError(errno, from, "read");
    if (got == 0) break;
    RETURN_IF_ERROR(
        WriteAll(target, to, std::span(block).first(static_cast<size_t>(got))));
    copied += static_cast<uint64_t>(got);
  }
  RETURN_IF_ERROR(Sync(target, to));
  return copied;
}

absl::Status SyncFolder(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return FileError(errno, path, "open");
  const absl::Cleanup close_fd = [fd] { close(fd); };
  return Sync(fd, path);
}

}  // namespace tacit

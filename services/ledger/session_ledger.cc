#include "services/ledger/session_ledger.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "services/security/files.h"

namespace tacit {
namespace {

// Numbers in the file are little-endian, as on all machines Tacit runs on.
constexpr char kMagic[8] = {'T', 'A', 'C', 'I', 'T', 'L', 'D', 'G'};
constexpr uint32_t kVersion = 1;
constexpr size_t kFileId = 16;
constexpr size_t kOwner = 16;
constexpr uint64_t kHeaderSeed = 0x5441434954;  // any constant

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t floor;  // epochs below are retired
  uint8_t id[kFileId];
  char owner[kOwner];  // padded with zeros
  uint64_t records;    // written and durable when the header was
  uint64_t checksum;
};
static_assert(sizeof(Header) == 64);

// 512-byte sectors hold whole records, so that a torn sector tears none.
struct Record {
  SessionId session;
  uint32_t durable;  // records before this one's batch: all were on the disk
  uint8_t tags;
  uint8_t zero[3];
  uint64_t checksum;
};
static_assert(sizeof(Record) == 32);
static_assert(sizeof(Header) % sizeof(Record) == 0);

constexpr uint64_t kMaxRecords = uint64_t{1} << 32;
constexpr size_t kChunkRecords = size_t{1} << 15;

uint64_t Checksum(const Header& header) {
  return XXH3_64bits_withSeed(&header, offsetof(Header, checksum), kHeaderSeed);
}

uint64_t Checksum(const Record& record, uint64_t seed, uint64_t index) {
  return XXH3_64bits_withSeed(&record, offsetof(Record, checksum),
                              seed + index);
}

uint64_t SeedOf(const Header& header) {
  return XXH3_64bits_withSeed(header.id, kFileId, kHeaderSeed);
}

uint64_t OffsetOf(uint64_t record) {
  return sizeof(Header) + record * sizeof(Record);
}

std::string Hex(const SessionId& session) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(session.data()), 4));
}

absl::Status WriteAt(int fd, const void* data, size_t size, uint64_t offset,
                     const std::string& path) {
  const char* next = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::pwrite(fd, next, size, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, path);
    next += n;
    size -= static_cast<size_t>(n);
    offset += static_cast<uint64_t>(n);
  }
  return absl::OkStatus();
}

absl::Status ReadAt(int fd, void* data, size_t size, uint64_t offset,
                    const std::string& path) {
  char* next = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t n = ::pread(fd, next, size, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, path);
    if (n == 0) return absl::DataLossError(path + ": became shorter");
    next += n;
    size -= static_cast<size_t>(n);
    offset += static_cast<uint64_t>(n);
  }
  return absl::OkStatus();
}

absl::Status SyncFolder(const std::string& path) {
  const std::string folder =
      std::filesystem::absolute(path).parent_path().string();
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, folder);
  absl::Status status =
      ::fsync(fd) == 0 ? absl::OkStatus() : ErrnoStatus(errno, folder);
  ::close(fd);
  return status;
}

// Folders that are missing, for the owner alone.
absl::Status MakeParents(const std::string& path) {
  const std::filesystem::path folder =
      std::filesystem::absolute(path).parent_path();
  std::error_code error;
  if (std::filesystem::create_directories(folder, error)) {
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all,
                                 error);
  }
  if (error) return ErrnoStatus(error.value(), folder.string());
  return absl::OkStatus();
}

absl::StatusOr<Header> NewHeader(const std::string& owner, uint32_t floor,
                                 uint64_t records) {
  Header header = {};
  std::copy(std::begin(kMagic), std::end(kMagic), header.magic);
  header.version = kVersion;
  header.floor = floor;
  header.records = records;
  std::copy(owner.begin(), owner.end(), header.owner);
  if (::getrandom(header.id, kFileId, 0) != kFileId) {
    return ErrnoStatus(errno, "getrandom");
  }
  header.checksum = Checksum(header);
  return header;
}

}  // namespace

struct DurableSessionLedger::Scan {
  uint64_t durable = 0;          // records that must be there
  uint64_t count = 0;            // of valid records
  std::optional<uint64_t> hole;  // first record that was never written
  bool valid_after_hole = false;
};

uint32_t EpochOf(const SessionId& session) {
  return uint32_t{session[0]} << 24 | uint32_t{session[1]} << 16 |
         uint32_t{session[2]} << 8 | uint32_t{session[3]};
}

SessionId WithEpoch(SessionId session, uint32_t epoch) {
  for (int i = 0; i < 4; ++i) {
    session[i] = static_cast<uint8_t>(epoch >> (24 - 8 * i));
  }
  return session;
}

absl::StatusOr<std::unique_ptr<DurableSessionLedger>>
DurableSessionLedger::Open(const std::string& path, LedgerOptions options) {
  if (path.empty()) return absl::InvalidArgumentError("no ledger path given");
  if (options.owner.empty() || options.owner.size() >= kOwner) {
    return absl::InvalidArgumentError(
        absl::StrCat("ledger owner of ", options.owner.size(),
                     " characters; it must have 1 to ", kOwner - 1));
  }
  if (options.max_sessions == 0 || options.max_sessions >= kMaxRecords) {
    return absl::InvalidArgumentError(
        absl::StrCat("ledger for ", options.max_sessions,
                     " sessions; it must be between 1 and ", kMaxRecords - 1));
  }
  std::unique_ptr<DurableSessionLedger> ledger(
      new DurableSessionLedger(path, std::move(options)));
  RETURN_IF_ERROR(MakeParents(path));
  RETURN_IF_ERROR(ledger->Lock());
  RETURN_IF_ERROR(ledger->Load());
  return ledger;
}

DurableSessionLedger::~DurableSessionLedger() {
  if (fd_ >= 0) ::close(fd_);
  if (lock_fd_ >= 0) ::close(lock_fd_);  // releases the lock
}

// A file of its own, since the ledger's file is replaced when rewritten.
absl::Status DurableSessionLedger::Lock() {
  const std::string lock = path_ + ".lock";
  lock_fd_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_fd_ < 0) return ErrnoStatus(errno, lock);
  if (::flock(lock_fd_, LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
  if (errno != EWOULDBLOCK) return ErrnoStatus(errno, lock);
  return absl::FailedPreconditionError(
      absl::StrCat(path_,
                   ": another process uses this ledger; each party and "
                   "each dealer needs one of its own"));
}

absl::Status DurableSessionLedger::Load() {
  fd_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
  if (fd_ < 0 && errno == ENOENT) return Rewrite(0, {});
  if (fd_ < 0) return ErrnoStatus(errno, path_);
  struct stat info;
  if (::fstat(fd_, &info) != 0) return ErrnoStatus(errno, path_);
  const uint64_t file_bytes = static_cast<uint64_t>(info.st_size);
  Scan scan;
  RETURN_IF_ERROR(ReadHeader(file_bytes, &scan));
  RETURN_IF_ERROR(ReadRecords(file_bytes, &scan));
  return Repair(file_bytes, scan);
}

absl::Status DurableSessionLedger::ReadHeader(uint64_t file_bytes, Scan* scan) {
  Header header;
  if (file_bytes < sizeof(header)) {
    return absl::DataLossError(
        absl::StrCat(path_, ": ", file_bytes, " bytes; a ledger begins with ",
                     sizeof(header), ". It is damaged or no ledger"));
  }
  RETURN_IF_ERROR(ReadAt(fd_, &header, sizeof(header), 0, path_));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0) {
    return absl::DataLossError(path_ + ": is no ledger, or is damaged");
  }
  if (header.checksum != Checksum(header)) {
    return absl::DataLossError(path_ + ": the ledger's header is damaged");
  }
  if (header.version != kVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": ledger of version ", header.version,
                     "; this program knows ", kVersion));
  }
  const std::string owner(header.owner, ::strnlen(header.owner, kOwner));
  if (owner != options_.owner) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": this ledger is ", absl::CHexEscape(owner),
                     "'s, not ", options_.owner, "'s"));
  }
  floor_ = header.floor;
  seed_ = SeedOf(header);
  scan->durable = header.records;
  return absl::OkStatus();
}

absl::Status DurableSessionLedger::ReadRecords(uint64_t file_bytes,
                                               Scan* scan) {
  const uint64_t count = (file_bytes - sizeof(Header)) / sizeof(Record);
  if (count > kMaxRecords) {
    return absl::DataLossError(path_ + ": too large for a ledger");
  }
  used_.reserve(std::min<uint64_t>(count, options_.max_sessions));
  std::vector<uint8_t> chunk(std::min<uint64_t>(count, kChunkRecords) *
                             sizeof(Record));
  for (uint64_t first = 0; first < count; first += kChunkRecords) {
    const uint64_t n = std::min<uint64_t>(kChunkRecords, count - first);
    RETURN_IF_ERROR(
        ReadAt(fd_, chunk.data(), n * sizeof(Record), OffsetOf(first), path_));
    for (uint64_t i = 0; i < n; ++i) {
      RETURN_IF_ERROR(ReadRecord(&chunk[i * sizeof(Record)], first + i, scan));
    }
  }
  const uint64_t end = scan->hole.value_or(count);
  if (end < scan->durable) return Damaged(end, "missing");
  if (!scan->hole.has_value() && OffsetOf(count) != file_bytes) {
    scan->hole = count;  // part of a record follows
  }
  return absl::OkStatus();
}

absl::Status DurableSessionLedger::ReadRecord(const uint8_t* bytes,
                                              uint64_t index, Scan* scan) {
  Record record;
  std::memcpy(&record, bytes, sizeof(record));
  if (record.checksum == Checksum(record, seed_, index)) {
    ++scan->count;
    scan->durable = std::max<uint64_t>(scan->durable, record.durable);
    if (scan->hole.has_value()) scan->valid_after_hole = true;
    used_[record.session] |= record.tags;
    return absl::OkStatus();
  }
  if (std::any_of(bytes, bytes + sizeof(Record),
                  [](uint8_t byte) { return byte != 0; })) {
    return Damaged(index, "damaged");
  }
  if (!scan->hole.has_value()) scan->hole = index;
  return absl::OkStatus();
}

// Brings the file into the form that appending starts from.
absl::Status DurableSessionLedger::Repair(uint64_t file_bytes,
                                          const Scan& scan) {
  durable_ = scan.count;
  if (!scan.hole.has_value()) return absl::OkStatus();
  Warn(absl::StrCat(path_, ": discarded the unfinished end after record ",
                    *scan.hole, " (", file_bytes - OffsetOf(*scan.hole),
                    " bytes), as a crash leaves it; no session that was used "
                    "is affected"));
  if (scan.valid_after_hole) return Rewrite(floor_, Entries(floor_));
  if (::ftruncate(fd_, static_cast<off_t>(OffsetOf(durable_))) != 0 ||
      ::fsync(fd_) != 0) {
    return ErrnoStatus(errno, path_);
  }
  return absl::OkStatus();
}

absl::Status DurableSessionLedger::Damaged(uint64_t index,
                                           absl::string_view what) const {
  return absl::DataLossError(absl::StrCat(
      path_, ": record ", index, " (byte ", OffsetOf(index), ") is ", what,
      "; sessions that were used could be forgotten. Find out why. Before "
      "starting a new ledger, make sure that no material of an earlier session "
      "can arrive again: stop the dealer and both parties, drop what was not "
      "delivered, and only then move the file away"));
}

std::vector<DurableSessionLedger::Entry> DurableSessionLedger::Entries(
    uint32_t floor) const {
  std::vector<Entry> entries;
  entries.reserve(used_.size());
  for (const auto& [session, tags] : used_) {
    if (EpochOf(session) >= floor) entries.push_back({session, tags});
  }
  return entries;
}

absl::Status DurableSessionLedger::Rewrite(uint32_t floor,
                                           const std::vector<Entry>& entries) {
  ASSIGN_OR_RETURN(const Header header,
                   NewHeader(options_.owner, floor, entries.size()));
  const std::string fresh = path_ + ".new";
  const int fd =
      ::open(fresh.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus(errno, fresh);
  const uint64_t seed = SeedOf(header);
  std::vector<Record> records(entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    records[i] = {entries[i].session, 0, entries[i].tags, {}, 0};
    records[i].checksum = Checksum(records[i], seed, i);
  }
  absl::Status status = WriteAt(fd, &header, sizeof(header), 0, fresh);
  if (status.ok()) {
    status = WriteAt(fd, records.data(), records.size() * sizeof(Record),
                     sizeof(header), fresh);
  }
  if (status.ok() && ::fsync(fd) != 0) status = ErrnoStatus(errno, fresh);
  if (status.ok() && ::rename(fresh.c_str(), path_.c_str()) != 0) {
    status = ErrnoStatus(errno, path_);
  }
  if (!status.ok()) {
    ::close(fd);
    ::unlink(fresh.c_str());
    return status;
  }
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
  seed_ = seed;
  durable_ = records.size();
  return SyncFolder(path_);
}

absl::Status DurableSessionLedger::CheckUnused(const SessionId& session,
                                               uint8_t bit) const {
  RETURN_IF_ERROR(broken_);
  if (EpochOf(session) < floor_) {
    return absl::AlreadyExistsError(
        absl::StrCat("session ", Hex(session), "... is of epoch ",
                     EpochOf(session), ", which is retired"));
  }
  const auto it = used_.find(session);
  if (it == used_.end()) {
    if (used_.size() < options_.max_sessions) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        absl::StrCat(path_, ": the ledger holds ", used_.size(),
                     " sessions, as many as it may"));
  }
  if ((it->second & bit) == 0) return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat("session ", Hex(session), "... was used before"));
}

absl::Status DurableSessionLedger::Use(const SessionId& session, int tag) {
  if (tag < 0 || tag >= kTags) {
    return absl::InvalidArgumentError(
        absl::StrCat("tag ", tag, "; it must be between 0 and ", kTags - 1));
  }
  const uint8_t bit = static_cast<uint8_t>(1 << tag);
  std::unique_lock<std::mutex> lock(mutex_);
  RETURN_IF_ERROR(CheckUnused(session, bit));
  used_[session] |= bit;
  open_->entries.push_back({session, bit});
  const std::shared_ptr<Batch> mine = open_;
  while (!mine->done) {
    // If nobody is writing, ours is the open batch, and we write it.
    if (writing_) {
      done_.wait(lock);
    } else {
      WriteBatch(lock);
    }
  }
  return mine->status;
}

void DurableSessionLedger::WriteBatch(std::unique_lock<std::mutex>& lock) {
  const std::shared_ptr<Batch> batch =
      std::exchange(open_, std::make_shared<Batch>());
  absl::Status status = broken_;
  bool broken = false;
  writing_ = true;
  if (status.ok()) {
    lock.unlock();
    status = Append(batch->entries, &broken);
    lock.lock();
  }
  writing_ = false;
  if (broken) broken_ = status;
  if (!status.ok()) Forget(batch->entries);
  batch->status = status;
  batch->done = true;
  done_.notify_all();
}

absl::Status DurableSessionLedger::Append(const std::vector<Entry>& entries,
                                          bool* broken) {
  if (durable_ + entries.size() > kMaxRecords) {
    return absl::ResourceExhaustedError(path_ + ": the ledger is full");
  }
  std::vector<Record> records(entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    records[i] = {entries[i].session,
                  static_cast<uint32_t>(durable_),
                  entries[i].tags,
                  {},
                  0};
    records[i].checksum = Checksum(records[i], seed_, durable_ + i);
  }
  const uint64_t offset = OffsetOf(durable_);
  absl::Status status = WriteAt(fd_, records.data(),
                                records.size() * sizeof(Record), offset, path_);
  if (!status.ok()) {
    // A full disk may be emptied; what it took of the batch goes.
    *broken = !absl::IsResourceExhausted(status) ||
              ::ftruncate(fd_, static_cast<off_t>(offset)) != 0;
    return status;
  }
  // What a failed sync left on the disk, nobody knows.
  if (::fdatasync(fd_) != 0) {
    *broken = true;
    return absl::UnavailableError(absl::StrCat(
        ErrnoStatus(errno, path_).message(),
        "; the ledger cannot be trusted before a restart reads it again"));
  }
  durable_ += records.size();
  return absl::OkStatus();
}

void DurableSessionLedger::Forget(const std::vector<Entry>& entries) {
  for (const Entry& entry : entries) {
    const auto it = used_.find(entry.session);
    if (it == used_.end()) continue;  // retired meanwhile
    it->second &= static_cast<uint8_t>(~entry.tags);
    if (it->second == 0) used_.erase(it);
  }
}

bool DurableSessionLedger::Used(const SessionId& session, int tag) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (EpochOf(session) < floor_) return true;
  const auto it = used_.find(session);
  return it != used_.end() && tag >= 0 && tag < kTags &&
         ((it->second >> tag) & 1) != 0;
}

absl::Status DurableSessionLedger::Retire(uint32_t epoch) {
  std::unique_lock<std::mutex> lock(mutex_);
  done_.wait(lock, [this] { return !writing_; });
  RETURN_IF_ERROR(broken_);
  if (epoch <= floor_) return absl::OkStatus();
  // Under the lock: rare, and nothing may be appended meanwhile. Sessions of
  // the open batch may be written twice, which does no harm.
  const uint64_t before = seed_;
  if (absl::Status status = Rewrite(epoch, Entries(epoch)); !status.ok()) {
    // Replaced, but a crash could bring the old file back, and lose what is
    // appended to the new one.
    if (seed_ != before) broken_ = status;
    return status;
  }
  floor_ = epoch;
  for (auto it = used_.begin(); it != used_.end();) {
    const auto next = std::next(it);
    if (EpochOf(it->first) < epoch) used_.erase(it);
    it = next;
  }
  used_.rehash(0);  // gives memory back
  return absl::OkStatus();
}

size_t DurableSessionLedger::sessions() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return used_.size();
}

void DurableSessionLedger::Warn(absl::string_view message) const {
  if (options_.warn) options_.warn(message);
}

}  // namespace tacit

// A ledger of used sessions that survives the process and the machine.
#ifndef TACIT_SERVICES_LEDGER_SESSION_LEDGER_H_
#define TACIT_SERVICES_LEDGER_SESSION_LEDGER_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/gates/session.h"

namespace tacit {

struct LedgerOptions {
  // Who keeps it, "party/0": a file opened by someone else is refused. Up to 15
  // characters.
  std::string owner;
  // Sessions it may hold; the one after is refused. A session takes about 40
  // bytes of memory and, per tag, 32 of the file.
  size_t max_sessions = size_t{1} << 24;
  // Told of what is unusual but safe, such as a discarded torn record.
  std::function<void(absl::string_view)> warn;
};

// Remembers on disk which sessions were used: material is used once, ever.
// The dealer keeps (session, party) pairs by means of tags.
//
// Use returns OK only after its record is on the disk (fdatasync), so no crash
// makes it forget. Whatever fails, the answer is an error, and the caller must
// not use the session. Threads that wait at the same time share one fdatasync.
//
// File: a header of 64 bytes, then records of 32: session id, tag, how many
// records were durable when it was written, checksum over these and the
// record's position. After a crash the end may hold part of a record, or
// records that were never written (zeros); Use had not returned OK for those,
// and they are discarded with a warning. Anything else that does not check is
// DATA_LOSS and needs a person: what the damage hides may have been used.
//
// A copy of an older state, from a backup or a snapshot, cannot be recognised:
// never put one back (SECURITY.md).
//
// Growth: nothing is ever forgotten by itself. Whoever gives out session ids
// may put an epoch in front (WithEpoch) and count it up; Retire(e) then refuses
// all ids of epochs below e for good and drops their records.
//
// Thread-safe. One process at a time: the file is locked.
class DurableSessionLedger final : public SessionLedger {
 public:
  static constexpr int kTags = 8;

  // Opens `path`, or makes it and its folder (mode 0700). Errors:
  // FAILED_PRECONDITION if another process has it open or it is another
  // owner's; DATA_LOSS if it is damaged; INVALID_ARGUMENT for bad options;
  // NOT_FOUND, PERMISSION_DENIED, UNAVAILABLE, RESOURCE_EXHAUSTED from the
  // system.
  static absl::StatusOr<std::unique_ptr<DurableSessionLedger>> Open(
      const std::string& path, LedgerOptions options);
  ~DurableSessionLedger() override;

  // Marks the session as used, with tag 0. Errors: ALREADY_EXISTS if it was
  // used before, is being used, or is of a retired epoch; RESOURCE_EXHAUSTED if
  // the disk or the ledger is full, after which other calls may succeed;
  // UNAVAILABLE if the disk failed, and from then on always: restart to find
  // out what was written.
  absl::Status Use(const SessionId& session) override {
    return Use(session, 0);
  }
  // The same for one of several uses of a session, 0 <= tag < kTags.
  // INVALID_ARGUMENT for another tag.
  absl::Status Use(const SessionId& session, int tag);

  bool Used(const SessionId& session, int tag = 0) const;

  // Refuses all ids of epochs below `epoch` from now on, drops their records,
  // and rewrites the file. For ledgers whose ids carry epochs only. An epoch
  // below an earlier call's changes nothing. Errors as Open's; the ledger is as
  // before then.
  absl::Status Retire(uint32_t epoch);

  size_t sessions() const;

 private:
  struct Entry {
    SessionId session;
    uint8_t tags;  // bit set
  };
  // What one fdatasync makes durable.
  struct Batch {
    std::vector<Entry> entries;
    bool done = false;
    absl::Status status;
  };
  // What a scan of the records found besides sessions.
  struct Scan;

  DurableSessionLedger(std::string path, LedgerOptions options)
      : path_(std::move(path)), options_(std::move(options)) {}

  absl::Status Lock();
  absl::Status Load();
  absl::Status ReadHeader(uint64_t file_bytes, Scan* scan);
  absl::Status ReadRecords(uint64_t file_bytes, Scan* scan);
  absl::Status ReadRecord(const uint8_t* record, uint64_t index, Scan* scan);
  absl::Status Repair(uint64_t file_bytes, const Scan& scan);
  // Replaces the file by one with these contents, and `fd_` by that.
  absl::Status Rewrite(uint32_t floor, const std::vector<Entry>& entries);
  std::vector<Entry> Entries(uint32_t floor) const;

  absl::Status CheckUnused(const SessionId& session, uint8_t bit) const;
  void WriteBatch(std::unique_lock<std::mutex>& lock);
  absl::Status Append(const std::vector<Entry>& entries, bool* broken);
  void Forget(const std::vector<Entry>& entries);
  absl::Status Damaged(uint64_t index, absl::string_view what) const;
  void Warn(absl::string_view message) const;

  const std::string path_;
  const LedgerOptions options_;
  int lock_fd_ = -1;

  mutable std::mutex mutex_;
  std::condition_variable done_;
  bool writing_ = false;  // guarded by mutex_: a thread has what follows
  int fd_ = -1;
  uint64_t durable_ = 0;  // records on the disk
  uint64_t seed_ = 0;     // of the checksums, from the file's id

  // Guarded by mutex_.
  absl::flat_hash_map<SessionId, uint8_t> used_;  // and its tags, a bit set
  std::shared_ptr<Batch> open_ = std::make_shared<Batch>();
  absl::Status broken_;  // for good, if not OK
  uint32_t floor_ = 0;   // epochs below are retired
};

// The epoch in front of a session id, big-endian in its first four bytes; 96
// random bits remain.
uint32_t EpochOf(const SessionId& session);
SessionId WithEpoch(SessionId session, uint32_t epoch);

}  // namespace tacit

#endif  // TACIT_SERVICES_LEDGER_SESSION_LEDGER_H_

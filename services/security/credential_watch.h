// A process's certificate and key, checked and kept up to date.
#ifndef TACIT_SERVICES_SECURITY_CREDENTIAL_WATCH_H_
#define TACIT_SERVICES_SECURITY_CREDENTIAL_WATCH_H_

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/security/x509.h"

namespace tacit {

struct CredentialPaths {
  std::string ca;    // PEM, one or more roots
  std::string cert;  // PEM, leaf first
  std::string key;   // PEM, not encrypted
};

// Called from the watch's thread: OK when new files were taken up, else why
// they were not (the old ones stay in use), once for each reason. Must not
// block.
using ReloadCallback = std::function<void(const absl::Status&)>;

// Reads the three files every `refresh`, and offers what passed
// CheckCredentials under two paths that always hold a consistent set.
//
// gRPC 1.51 needs this: its own file watcher takes up a certificate and key
// that do not belong together, and a server's security connector is then left
// with a freed handshaker factory. So gRPC watches these paths, never the
// files.
//
// The paths lead to anonymous memory, so that no second copy of a key lies on a
// disk, and are good in this process only. Thread-safe.
class CredentialWatch {
 public:
  // INVALID_ARGUMENT, FAILED_PRECONDITION, NOT_FOUND, PERMISSION_DENIED with
  // the path if the files are not usable now.
  static absl::StatusOr<std::unique_ptr<CredentialWatch>> Start(
      CredentialPaths paths, absl::Duration refresh, ReloadCallback on_reload);
  ~CredentialWatch();

  const Identity& identity() const { return identity_; }
  // When the certificate in use expires.
  absl::Time Expires() const;

  // Leaf, intermediates and key in one PEM file, so that a reader never gets
  // one from before an update and the other from after; and the roots.
  std::string IdentityPath() const;
  std::string RootPath() const;

 private:
  CredentialWatch(CredentialPaths paths, absl::Duration refresh,
                  ReloadCallback on_reload)
      : paths_(std::move(paths)),
        refresh_(refresh),
        on_reload_(std::move(on_reload)) {}

  absl::Status Load(bool first);
  absl::Status TakeUp(CredentialPems pems, const LeafInfo& info);
  void Run();
  void Report(const absl::Status& status);

  const CredentialPaths paths_;
  const absl::Duration refresh_;
  const ReloadCallback on_reload_;
  Identity identity_;  // fixed by the first load

  // Used by Start, then by the thread alone.
  CredentialPems current_;
  absl::Status last_;     // of the last attempt
  bool reported_ = true;  // `last_` was reported, or need not be
  int identity_fd_ = -1;
  int root_fd_ = -1;
  int version_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  absl::Time expires_;     // guarded by mutex_
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_SECURITY_CREDENTIAL_WATCH_H_

// Folders that appear together, complete, or not at all.
#ifndef TACIT_COMMON_MODELS_STAGED_FOLDERS_H_
#define TACIT_COMMON_MODELS_STAGED_FOLDERS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tacit {

// Writers fill folders under a temporary name inside `out`; Commit gives them
// their own. Without Commit, nothing is left. A process that was killed leaves
// the temporary folder, which the next one in the same place removes. Folders
// are for their owner only.
class StagedFolders {
 public:
  struct Options {
    std::string out;  // made if need be
    std::vector<std::string> names;
    // Replaces folders of these names, if all that they hold are plain files
    // whose names are `known`.
    bool force = false;
    std::function<bool(absl::string_view file)> known;
  };
  // Errors: ALREADY_EXISTS for a folder that is there, without `force`;
  //   FAILED_PRECONDITION for one that holds something else, and while another
  //   process writes into `out`; those of FileError.
  static absl::StatusOr<std::unique_ptr<StagedFolders>> Create(Options options);
  StagedFolders(const StagedFolders&) = delete;
  StagedFolders& operator=(const StagedFolders&) = delete;
  ~StagedFolders();

  // Where to write what is to be in folder `name`.
  std::string Path(absl::string_view name) const;
  // Errors: FileError's; then everything is as before.
  absl::Status Commit();

 private:
  explicit StagedFolders(Options options) : options_(std::move(options)) {}
  absl::Status MakeOut();
  absl::Status Lock();
  absl::Status CheckTarget(const std::string& name) const;
  void RemoveStale() const;
  absl::Status MakeStaging();
  absl::Status Swap(const std::string& name);
  void SwapBack(const std::string& name);
  std::string Target(const std::string& name) const;
  std::string Old(const std::string& name) const;

  const Options options_;
  std::string staging_;
  bool made_out_ = false;
  bool committed_ = false;
  bool keep_ = false;  // the only copy of something is in there
  int lock_ = -1;
};

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_STAGED_FOLDERS_H_

// What a process of this machine holds.
#ifndef TACIT_TESTS_PROCESS_STATS_H_
#define TACIT_TESTS_PROCESS_STATS_H_

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tacit {

struct ProcessStats {
  int64_t resident_kib = 0;
  int64_t peak_kib = 0;  // the most that was ever resident
  int64_t threads = 0;
  int64_t files = 0;  // open
};

// Zeros if there is no such process.
inline ProcessStats StatsOf(pid_t pid) {
  ProcessStats stats;
  const std::string folder = absl::StrCat("/proc/", pid);
  std::ifstream in(folder + "/status");
  for (std::string line; std::getline(in, line);) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(": \t"), absl::SkipEmpty());
    if (words.size() < 2) continue;
    if (words[0] == "VmRSS") {
      (void)absl::SimpleAtoi(words[1], &stats.resident_kib);
    }
    if (words[0] == "VmHWM") {
      (void)absl::SimpleAtoi(words[1], &stats.peak_kib);
    }
    if (words[0] == "Threads") {
      (void)absl::SimpleAtoi(words[1], &stats.threads);
    }
  }
  std::error_code error;
  for (std::filesystem::directory_iterator file(folder + "/fd", error), end;
       !error && file != end; file.increment(error)) {
    ++stats.files;
  }
  return stats;
}

}  // namespace tacit

#endif  // TACIT_TESTS_PROCESS_STATS_H_

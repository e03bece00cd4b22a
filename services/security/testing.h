// For tests of services: a folder that goes with the test.
#ifndef TACIT_SERVICES_SECURITY_TESTING_H_
#define TACIT_SERVICES_SECURITY_TESTING_H_

#include <stdlib.h>

#include <filesystem>
#include <string>

namespace tacit {

class TestDir {
 public:
  TestDir() {
    std::string name =
        (std::filesystem::temp_directory_path() / "tacit_test.XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~TestDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestDir(const TestDir&) = delete;
  TestDir& operator=(const TestDir&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string File(const std::string& name) const {
    return (path_ / name).string();
  }

 private:
  std::filesystem::path path_;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_SECURITY_TESTING_H_

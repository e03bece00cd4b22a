#include <cstdlib>
#include <string>

#include "gpu/ring/cublaslt_abi.h"
#include "gtest/gtest.h"

namespace tacit::gpu::lt {
namespace {

// Sets TACIT_CUBLASLT for a test.
class Named {
 public:
  explicit Named(const char* file) { setenv("TACIT_CUBLASLT", file, 1); }
  ~Named() { unsetenv("TACIT_CUBLASLT"); }
};

TEST(CublasLtLoadTest, AMissingLibraryIsNamedWithWhatToDo) {
  const Named named("/nowhere/libcublasLt.so");
  const Result<Functions> functions = Load();
  ASSERT_FALSE(functions.ok());
  EXPECT_EQ(functions.error().code(), Code::kUnavailable);
  for (const char* words : {"/nowhere/libcublasLt.so", "install it"}) {
    EXPECT_NE(functions.error().message().find(words), std::string::npos)
        << functions.error().message();
  }
}

TEST(CublasLtLoadTest, AnotherLibraryIsRefusedByItsFunctions) {
  const Named named("libm.so.6");
  const Result<Functions> functions = Load();
  ASSERT_FALSE(functions.ok());
  EXPECT_EQ(functions.error().code(), Code::kUnavailable);
  EXPECT_NE(functions.error().message().find("cublasLtCreate"),
            std::string::npos)
      << functions.error().message();
}

}  // namespace
}  // namespace tacit::gpu::lt

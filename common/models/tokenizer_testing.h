// What the tests of tokenizers share.
#ifndef TACIT_COMMON_MODELS_TOKENIZER_TESTING_H_
#define TACIT_COMMON_MODELS_TOKENIZER_TESTING_H_

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/base/status_matchers.h"
#include "common/models/tokenizer.h"
#include "gtest/gtest.h"

namespace tacit {

namespace fs = std::filesystem;
using Ids = std::vector<int32_t>;

inline std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline void WriteFile(const fs::path& path, absl::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

inline std::unique_ptr<Tokenizer> MustLoad(const fs::path& folder) {
  auto tokenizer = Tokenizer::Load(folder.string());
  EXPECT_OK(tokenizer.status());
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

// A folder that goes with the test.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "tacit.XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path_); }

  const fs::path& path() const { return path_; }
  void Write(absl::string_view name, absl::string_view text) const {
    WriteFile(path_ / std::string(name), text);
  }

 private:
  fs::path path_;
};

inline Ids MustEncode(const Tokenizer& tokenizer, absl::string_view text,
                      const EncodeOptions& options = {}) {
  auto ids = tokenizer.Encode(text, options);
  EXPECT_OK(ids.status());
  return ids.value_or(Ids{});
}

inline const char* const kTokenizers[] = {
    "tokenizers/gpt2", "tokenizers/bert-base-uncased", "tokenizers/llama-32k",
    "stories260K"};

inline fs::path Data(absl::string_view name) {
  return fs::path(TACIT_TEST_DATA) / std::string(name);
}

// A tokenizer's folder; `older` hides tokenizer.json, so that it is made from
// the files that were there before it.
class RealTokenizerTest
    : public testing::TestWithParam<std::tuple<const char*, bool>> {
 protected:
  void SetUp() override {
    if (!fs::is_directory(Data(Name()))) {
      GTEST_SKIP() << "no " << Data(Name()) << "; set TACIT_TEST_DATA";
    }
    if (!std::get<1>(GetParam())) {
      tokenizer_ = MustLoad(Data(Name()));
    } else {
      for (const auto& file : fs::directory_iterator(Data(Name()))) {
        if (file.path().filename() == "tokenizer.json") continue;
        fs::create_symlink(fs::absolute(file.path()),
                           folder_.path() / file.path().filename());
      }
      tokenizer_ = MustLoad(folder_.path());
    }
    ASSERT_NE(tokenizer_, nullptr);
  }

  std::string Name() const { return std::get<0>(GetParam()); }
  const Tokenizer& tokenizer() const { return *tokenizer_; }

 private:
  Folder folder_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

// Names of RealTokenizerTest's instances.
inline std::string RealTokenizerName(
    const testing::TestParamInfo<std::tuple<const char*, bool>>& info) {
  std::string name = std::get<0>(info.param);
  name = name.substr(name.find('/') + 1);
  std::erase(name, '-');
  return name + (std::get<1>(info.param) ? "_older" : "_json");
}

// As tokenizer_golden.py has it, strings and hash.
class Knuth {
 public:
  uint32_t Below(uint32_t n) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 33) % n;
  }

 private:
  uint64_t state_ = 1;
};

inline void AppendUtf8(uint32_t c, std::string* out) {
  const auto tail = [c](int shift) {
    return static_cast<char>(0x80 | (c >> shift & 0x3f));
  };
  if (c < 0x80) {
    *out += static_cast<char>(c);
  } else if (c < 0x800) {
    *out += {static_cast<char>(0xc0 | c >> 6), tail(0)};
  } else if (c < 0x10000) {
    *out += {static_cast<char>(0xe0 | c >> 12), tail(6), tail(0)};
  } else {
    *out += {static_cast<char>(0xf0 | c >> 18), tail(12), tail(6), tail(0)};
  }
}

inline std::vector<std::string> RandomStrings() {
  constexpr uint32_t kRanges[][2] = {
      {0x20, 0x7f},     {0x20, 0x7f},       {0xa0, 0x250},    {0x370, 0x600},
      {0x900, 0x980},   {0x2000, 0x2070},   {0x4e00, 0x5000}, {0xac00, 0xad00},
      {0xff00, 0xff60}, {0x1f600, 0x1f650}, {0x09, 0x0e}};
  const char* const kSpelled[] = {
      "<s>",    "</s>",   "<unk>", "[CLS]", "[SEP]",   "<|endoftext|>",
      "<0x0A>", "\u2581", "  ",    "\r\n",  "e\u0301", "\u00ad"};
  Knuth rng;
  std::vector<std::string> strings(2000);
  for (std::string& text : strings) {
    for (uint32_t runs = rng.Below(40); runs > 0; --runs) {
      const auto& [low, high] = kRanges[rng.Below(std::size(kRanges))];
      for (uint32_t count = 1 + rng.Below(6); count > 0; --count) {
        AppendUtf8(low + rng.Below(high - low), &text);
      }
      if (rng.Below(8) == 0) text += kSpelled[rng.Below(std::size(kSpelled))];
    }
  }
  return strings;
}

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_TOKENIZER_TESTING_H_

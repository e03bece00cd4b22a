// Token ids of 12,000 strings against transformers'.
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/models/tokenizer.h"
#include "common/models/tokenizer_testing.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace tacit {
namespace {

using Json = nlohmann::json;

std::vector<std::string> Strings(const std::string& source, size_t lines) {
  if (source == "random") return RandomStrings();
  std::vector<std::string> all = absl::StrSplit(ReadFile(Data(source)), '\n');
  all.resize(std::min(all.size(), lines));
  return all;
}

class Fnv {
 public:
  void Add(absl::string_view bytes) {
    for (const char c : bytes) {
      value_ = (value_ ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
    }
  }
  void Add(const Ids& ids) {
    AddWord(static_cast<uint32_t>(ids.size()));
    for (const int32_t id : ids) AddWord(static_cast<uint32_t>(id));
  }
  std::string Hex() const {
    return absl::StrCat(absl::Hex(value_, absl::kZeroPad16));
  }

 private:
  void AddWord(uint32_t word) {
    Add(absl::string_view(reinterpret_cast<const char*>(&word), 4));
  }

  uint64_t value_ = 0xcbf29ce484222325u;
};

TEST_P(RealTokenizerTest, AgreesWithTransformersOn12000Strings) {
  const Json golden = Json::parse(
      ReadFile(fs::path(TACIT_MODELS_TESTDATA) / "tokenizer_golden.json"));
  int compared = 0;
  for (const Json& item : golden["digests"]) {
    if (item["tokenizer"] != Name()) continue;
    const std::string source = item["source"];
    if (source != "random" && !fs::exists(Data(source))) continue;
    Fnv parsed, plain, decoded;
    for (const std::string& text : Strings(source, golden["lines"])) {
      parsed.Add(MustEncode(tokenizer(), text, {.parse_special = true}));
      const Ids ids = MustEncode(tokenizer(), text);
      plain.Add(ids);
      decoded.Add(*tokenizer().Decode(ids));
    }
    EXPECT_EQ(parsed.Hex(), item["parsed"].get<std::string>()) << source;
    EXPECT_EQ(plain.Hex(), item["plain"].get<std::string>()) << source;
    EXPECT_EQ(decoded.Hex(), item["decoded"].get<std::string>())
        << source << "; testdata/tokenizer_golden.py --show finds the string";
    ++compared;
  }
  EXPECT_GT(compared, 0);
}

INSTANTIATE_TEST_SUITE_P(AllFormats, RealTokenizerTest,
                         testing::Combine(testing::ValuesIn(kTokenizers),
                                          testing::Bool()),
                         RealTokenizerName);

}  // namespace
}  // namespace tacit

// Reads testdata/dpf_vectors.txt; test code only.
#ifndef TACIT_COMMON_FSS_TEST_VECTORS_H_
#define TACIT_COMMON_FSS_TEST_VECTORS_H_

#include <string.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "common/prg/seed.h"
#include "gtest/gtest.h"

namespace tacit {

// One known answer: names and their values, as written by dpf_vectors.py.
class VectorRecord {
 public:
  void Add(const std::string& name, std::vector<std::string> values) {
    fields_[name] = std::move(values);
  }
  std::vector<uint64_t> Numbers(const std::string& name) const {
    std::vector<uint64_t> numbers;
    for (const std::string& v : fields_.at(name)) {
      numbers.push_back(std::stoull(v));
    }
    return numbers;
  }
  uint64_t Number(const std::string& name) const { return Numbers(name).at(0); }
  std::vector<uint8_t> Bits(const std::string& name) const {
    const std::vector<uint64_t> numbers = Numbers(name);
    return std::vector<uint8_t>(numbers.begin(), numbers.end());
  }
  std::vector<uint8_t> Bytes(const std::string& name) const {
    const std::string bytes = absl::HexStringToBytes(fields_.at(name).at(0));
    return std::vector<uint8_t>(bytes.begin(), bytes.end());
  }
  Seed SeedOf(const std::string& name) const {
    std::array<uint8_t, Seed::kBytes> bytes;
    const std::vector<uint8_t> from = Bytes(name);
    std::copy_n(from.begin(), bytes.size(), bytes.begin());
    return Seed(bytes);
  }

 private:
  std::map<std::string, std::vector<std::string>> fields_;
};

// Records of one kind, "dpf" or "onehot".
inline std::vector<VectorRecord> ReadVectors(const std::string& kind) {
  constexpr char kRegenerate[] =
      "; regenerate with common/fss/testdata/dpf_vectors.py";
  const std::string path = std::string(TACIT_FSS_TESTDATA) + "/dpf_vectors.txt";
  std::ifstream file(path);
  std::string line;
  std::vector<VectorRecord> records;
  if (!std::getline(file, line) || line != "tacit-fss-vectors-1") {
    ADD_FAILURE() << path << " lacks its magic line" << kRegenerate;
    return records;
  }
  std::string open;
  VectorRecord record;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string name, value;
    words >> name;
    std::vector<std::string> values;
    while (words >> value) values.push_back(value);
    if (name == "end") {
      if (open == kind) records.push_back(record);
      open.clear();
    } else if (values.empty()) {
      open = name;
      record = VectorRecord();
    } else {
      record.Add(name, std::move(values));
    }
  }
  EXPECT_TRUE(open.empty()) << path << " is cut off" << kRegenerate;
  EXPECT_FALSE(records.empty()) << path << " has no " << kind << kRegenerate;
  return records;
}

}  // namespace tacit

#endif  // TACIT_COMMON_FSS_TEST_VECTORS_H_

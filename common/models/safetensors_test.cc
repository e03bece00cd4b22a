#include "common/models/safetensors.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/status_matchers.h"
#include "common/models/json_file.h"
#include "gtest/gtest.h"

namespace tacit {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kNotFound = absl::StatusCode::kNotFound;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;

// Files in a folder that goes with the test.
class SafetensorsTest : public testing::Test {
 protected:
  SafetensorsTest() {
    std::string name = (fs::temp_directory_path() / "tacit.XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~SafetensorsTest() override { fs::remove_all(folder_); }

  std::string Path(absl::string_view name) const {
    return absl::StrCat(folder_, "/", name);
  }
  std::string Write(absl::string_view name, absl::string_view bytes) const {
    std::ofstream(Path(name), std::ios::binary) << bytes;
    return Path(name);
  }
  // A file of this header, after its length, and `data` zeros.
  std::string WriteRaw(absl::string_view header, size_t data) const {
    const uint64_t length = header.size();
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &length, 8);
    absl::StrAppend(&bytes, header, std::string(data, '\0'));
    return Write("raw.safetensors", bytes);
  }
  // The error of opening it.
  absl::Status OpenRaw(absl::string_view header, size_t data = 0) const {
    return Checkpoint::Open(WriteRaw(header, data)).status();
  }
  // One F32 tensor "w".
  std::string WriteFloats(absl::string_view name,
                          const std::vector<float>& values,
                          absl::string_view tensor = "w") const {
    EXPECT_OK(
        WriteSafetensors(Path(name), {{{std::string(tensor),
                                        "F32",
                                        {static_cast<int64_t>(values.size())},
                                        AsBytes(values)}}}));
    return Path(name);
  }
  absl::StatusOr<std::vector<float>> ReadHalf(
      absl::string_view dtype, const std::vector<uint16_t>& bits) const {
    const std::string path = Path("half.safetensors");
    const TensorShape shape = {static_cast<int64_t>(bits.size())};
    const TensorData tensor = {
        "w",
        std::string(dtype),
        shape,
        {reinterpret_cast<const uint8_t*>(bits.data()), bits.size() * 2}};
    EXPECT_OK(WriteSafetensors(path, {&tensor, 1}));
    auto checkpoint = Checkpoint::Open(path);
    EXPECT_OK(checkpoint.status());
    return checkpoint->ReadFloat("w", shape);
  }

  std::string folder_;
};

constexpr int64_t kTwo[] = {2};

TEST_F(SafetensorsTest, ReadsWhatItWrote) {
  const std::vector<float> a = {1, -2, 0.5f, 3, 4, 1e-40f};
  const std::vector<float> scalar = {7};
  const std::vector<uint8_t> bytes = {1, 2, 3};
  ASSERT_OK(WriteSafetensors(Path("x.safetensors"),
                             {{{"b.bytes", "U8", {3}, bytes},
                               {"a", "F32", {2, 3}, AsBytes(a)},
                               {"scalar", "F32", {}, AsBytes(scalar)},
                               {"empty", "F32", {0, 5}, {}}}},
                             {{"format", "pt"}, {"note", "é \"quoted\""}}));
  auto checkpoint = Checkpoint::Open(Path("x.safetensors"));
  ASSERT_OK(checkpoint.status());
  EXPECT_THAT(checkpoint->names(),
              ElementsAre("a", "b.bytes", "empty", "scalar"));
  EXPECT_TRUE(checkpoint->Has("a"));
  EXPECT_FALSE(checkpoint->Has("b"));
  EXPECT_THAT(
      checkpoint->metadata(),
      UnorderedElementsAre(Pair("format", "pt"), Pair("note", "é \"quoted\"")));
  const auto info = checkpoint->Info("a");
  ASSERT_OK(info);
  EXPECT_EQ(info->dtype, "F32");
  EXPECT_THAT(info->shape, ElementsAre(2, 3));
  EXPECT_EQ(info->bytes, 24);
  EXPECT_EQ(*checkpoint->ReadFloat("a", TensorShape{2, 3}), a);
  EXPECT_EQ(*checkpoint->ReadFloat("scalar", TensorShape{}), scalar);
  EXPECT_THAT(*checkpoint->ReadFloat("empty", TensorShape{0, 5}), IsEmpty());
  const auto raw = checkpoint->Bytes("b.bytes", "U8", TensorShape{3});
  ASSERT_OK(raw);
  EXPECT_EQ(std::vector<uint8_t>(raw->begin(), raw->end()), bytes);
  EXPECT_THAT(checkpoint->Bytes("b.bytes", "I64", TensorShape{3}),
              StatusIs(kInvalid, "\"b.bytes\" is U8, not I64"));
  // Again: the pages were given back after the first time.
  EXPECT_EQ(*checkpoint->ReadFloat("a", TensorShape{2, 3}), a);
}

TEST_F(SafetensorsTest, ReadsIntoTheCallersMemory) {
  const auto checkpoint =
      Checkpoint::Open(WriteFloats("x.safetensors", {5, 6}));
  float out[2];
  ASSERT_OK(checkpoint->ReadFloat("w", kTwo, out));
  EXPECT_THAT(out, ElementsAre(5, 6));
  EXPECT_THAT(checkpoint->ReadFloat("w", kTwo, std::span(out, 1)),
              StatusIs(kInvalid, "of 2 elements read into 1"));
}

TEST_F(SafetensorsTest, WritesForItsOwnerOnlyAndTheSameBytesEachTime) {
  const std::string first = WriteFloats("1.safetensors", {1, 2});
  const std::string second = WriteFloats("2.safetensors", {1, 2});
  struct stat info;
  ASSERT_EQ(stat(first.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600);
  EXPECT_EQ(*ReadWholeFile(first, 1000), *ReadWholeFile(second, 1000));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 2)
      << "a temporary file is left";
}

TEST_F(SafetensorsTest, RefusesToWriteWhatDoesNotFitTogether) {
  const std::vector<float> two = {1, 2};
  const auto write = [&](std::vector<TensorData> tensors) {
    return WriteSafetensors(Path("x.safetensors"), tensors);
  };
  EXPECT_THAT(write({{"w", "F32", {3}, AsBytes(two)}}),
              StatusIs(kInvalid, "\"w\", 8 bytes, as [3] of \"F32\""));
  EXPECT_THAT(write({{"w", "F33", {2}, AsBytes(two)}}), StatusIs(kInvalid, ""));
  EXPECT_THAT(write({{"w", "F32", {-2}, AsBytes(two)}}),
              StatusIs(kInvalid, ""));
  EXPECT_THAT(write({{"", "F32", {2}, AsBytes(two)}}), StatusIs(kInvalid, ""));
  EXPECT_THAT(write({{"__metadata__", "F32", {2}, AsBytes(two)}}),
              StatusIs(kInvalid, ""));
  EXPECT_THAT(write({{"\xff", "F32", {2}, AsBytes(two)}}),
              StatusIs(kInvalid, "not UTF-8"));
  EXPECT_THAT(
      write({{"w", "F32", {2}, AsBytes(two)}, {"w", "F32", {2}, AsBytes(two)}}),
      StatusIs(kInvalid, "\"w\" stands there twice"));
  EXPECT_THAT(WriteSafetensors(Path("no/such/folder"), {}),
              StatusIs(absl::StatusCode::kInternal, "cannot create"));
  EXPECT_FALSE(fs::exists(Path("x.safetensors")));
}

TEST_F(SafetensorsTest, WritesPieceByPieceInANarrowerDtypeThanExpected) {
  const std::string path = Path("x.safetensors");
  auto writer = SafetensorsWriter::Create(
      path, {{"b", "I64", {3}}, {"a", "I64", {0, 2}}, {"c", "I64", {1}}},
      {{"key", "0000"}});
  ASSERT_OK(writer);
  const std::vector<uint8_t> bytes = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  const std::span<const uint8_t> all(bytes);
  ASSERT_OK((*writer)->Begin("b", "I32"));
  ASSERT_OK((*writer)->Write(all.first(5)));
  ASSERT_OK((*writer)->Write(all.subspan(5)));
  ASSERT_OK((*writer)->Begin("a", "I64"));
  ASSERT_OK((*writer)->Begin("c", "I64"));
  ASSERT_OK((*writer)->Write(all.first(8)));
  ASSERT_OK((*writer)->SetMetadata("key", "1234"));
  EXPECT_FALSE(fs::exists(path));
  ASSERT_OK((*writer)->Finish());
  EXPECT_EQ(fs::file_size(path), (*writer)->bytes());
  const auto read = Checkpoint::Open(path);
  ASSERT_OK(read);
  EXPECT_THAT(read->names(), ElementsAre("a", "b", "c"));
  EXPECT_THAT(read->metadata(), ElementsAre(Pair("key", "1234")));
  const auto b = read->Bytes("b", "I32", TensorShape{3});
  ASSERT_OK(b);
  EXPECT_TRUE(std::equal(b->begin(), b->end(), bytes.begin(), bytes.end()));
  read->Release("b");
  EXPECT_EQ((*b)[11], 12) << "read again";
}

TEST_F(SafetensorsTest, PiecesMustFitTheSlots) {
  const std::vector<TensorSlot> slots = {{"a", "I32", {2}}, {"b", "I32", {1}}};
  const std::vector<uint8_t> bytes(9);
  auto made = SafetensorsWriter::Create(Path("x.safetensors"), slots);
  ASSERT_OK(made);
  SafetensorsWriter& writer = **made;
  EXPECT_THAT(writer.Begin("b", "I32"), StatusIs(kInvalid, "where \"a\" does"));
  EXPECT_THAT(writer.Begin("a", "I64"), StatusIs(kInvalid, "wider than I32"));
  EXPECT_THAT(writer.Begin("a", "I33"), StatusIs(kInvalid, ""));
  ASSERT_OK(writer.Begin("a", "I32"));
  EXPECT_THAT(writer.Write(bytes), StatusIs(kInvalid, "1 bytes more"));
  ASSERT_OK(writer.Write(std::span(bytes).first(7)));
  EXPECT_THAT(writer.Begin("b", "I32"), StatusIs(kInvalid, "lacks 1 bytes"));
  ASSERT_OK(writer.Write(std::span(bytes).first(1)));
  EXPECT_THAT(writer.Finish(), StatusIs(kInvalid, "1 of 2 tensors"));
  EXPECT_THAT(writer.SetMetadata("k", "v"), StatusIs(kInvalid, "no room"));
  made->reset();
  EXPECT_TRUE(fs::is_empty(folder_)) << "an unfinished file is left";
}

TEST_F(SafetensorsTest, ConvertsF16Exactly) {
  // All finite values, against the definition.
  std::vector<uint16_t> bits;
  for (uint32_t b = 0; b < 0x10000; ++b) {
    if ((b & 0x7c00) != 0x7c00) bits.push_back(static_cast<uint16_t>(b));
  }
  const auto values = ReadHalf("F16", bits);
  ASSERT_OK(values.status());
  for (size_t i = 0; i < bits.size(); ++i) {
    const int exponent = bits[i] >> 10 & 31, fraction = bits[i] & 1023;
    const double magnitude = exponent == 0
                                 ? std::ldexp(fraction, -24)
                                 : std::ldexp(1024 + fraction, exponent - 25);
    const double expected = bits[i] & 0x8000 ? -magnitude : magnitude;
    ASSERT_EQ((*values)[i], expected) << bits[i];
    ASSERT_EQ(std::signbit((*values)[i]), bits[i] >> 15) << bits[i];
  }
}

TEST_F(SafetensorsTest, ConvertsBf16Exactly) {
  std::vector<uint16_t> bits;
  for (uint32_t b = 0; b < 0x10000; ++b) {
    if ((b & 0x7f80) != 0x7f80) bits.push_back(static_cast<uint16_t>(b));
  }
  const auto values = ReadHalf("BF16", bits);
  ASSERT_OK(values.status());
  for (size_t i = 0; i < bits.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>((*values)[i]), uint32_t{bits[i]} << 16);
  }
}

TEST_F(SafetensorsTest, NanAndInfinityAreNamedWithTheirPlace) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    for (const size_t at :
         {size_t{0}, size_t{1}, size_t{4095}, size_t{4096}, size_t{9999}}) {
      std::vector<float> values(10000, 1);
      values[at] = bad;
      values.back() = bad;
      ASSERT_OK(WriteSafetensors(
          Path("x.safetensors"),
          {{{"layer.weight", "F32", {100, 100}, AsBytes(values)}}}));
      const auto checkpoint = Checkpoint::Open(Path("x.safetensors"));
      EXPECT_THAT(
          checkpoint->ReadFloat("layer.weight", TensorShape{100, 100}),
          StatusIs(kInvalid, absl::StrCat("\"layer.weight\" has a NaN or an "
                                          "infinity at [",
                                          at / 100, ", ", at % 100, "]")));
    }
  }
  for (const uint16_t bits : {0x7c00, 0xfc00, 0x7c01, 0xffff}) {
    EXPECT_THAT(ReadHalf("F16", {0, bits}), StatusIs(kInvalid, "at [1]"));
  }
  for (const uint16_t bits : {0x7f80, 0xff80, 0x7f81, 0xffff}) {
    EXPECT_THAT(ReadHalf("BF16", {0, bits}), StatusIs(kInvalid, "at [1]"));
  }
}

TEST_F(SafetensorsTest, OtherDtypesAreReadAsBytesOnly) {
  for (const absl::string_view dtype : {"I64", "F64", "U64", "C64"}) {
    const std::string path =
        WriteRaw(absl::StrCat(R"({"w": {"dtype": ")", dtype,
                              R"(", "shape": [2], "data_offsets": [0, 16]}})"),
                 16);
    const auto checkpoint = Checkpoint::Open(path);
    ASSERT_OK(checkpoint.status());
    EXPECT_THAT(
        checkpoint->ReadFloat("w", kTwo),
        StatusIs(kUnimplemented,
                 absl::StrCat("\"w\" is ", dtype,
                              "; weights of F32, F16 and BF16 are supported")));
    EXPECT_OK(checkpoint->Bytes("w", dtype, kTwo).status());
  }
  EXPECT_THAT(
      OpenRaw(R"({"w": {"dtype": "F7", "shape": [], "data_offsets": [0, 0]}})"),
      StatusIs(kInvalid, "\"w\": unknown dtype \"F7\""));
}

TEST_F(SafetensorsTest, SubByteDtypesFillWholeBytes) {
  EXPECT_OK(OpenRaw(
      R"({"w": {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}})", 2));
  EXPECT_THAT(
      OpenRaw(R"({"w": {"dtype": "F4", "shape": [3], "data_offsets": [0, 2]}})",
              2),
      StatusIs(kInvalid, "no whole number of bytes"));
}

TEST_F(SafetensorsTest, ReadsTensorsThatAreNotAligned) {
  // As files of the format's first version are.
  const std::string path = WriteRaw(
      R"({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},)"
      R"("w": {"dtype": "F32", "shape": [2], "data_offsets": [1, 9]}})",
      9);
  const auto checkpoint = Checkpoint::Open(path);
  ASSERT_OK(checkpoint.status());
  EXPECT_THAT(*checkpoint->ReadFloat("w", kTwo), ElementsAre(0, 0));
}

TEST_F(SafetensorsTest, AMissingTensorIsNamedWithNearOnes) {
  const auto checkpoint = Checkpoint::Open(WriteFloats(
      "x.safetensors", {1, 2}, "model.layers.0.self_attn.q_proj.weight"));
  EXPECT_THAT(
      checkpoint->ReadFloat("model.layers.0.self_attn.k_proj.weight", kTwo),
      StatusIs(kNotFound,
               "no tensor \"model.layers.0.self_attn.k_proj.weight\"; did you "
               "mean \"model.layers.0.self_attn.q_proj.weight\"?"));
  EXPECT_THAT(checkpoint->Info("layers.0.self_attn.q_proj.weight"),
              StatusIs(kNotFound, "did you mean \"model.layers.0"));
  const absl::Status far = checkpoint->Info("lm_head.weight").status();
  EXPECT_EQ(far.code(), kNotFound);
  EXPECT_THAT(std::string(far.message()), Not(HasSubstr("did you mean")));
}

TEST_F(SafetensorsTest, AWrongShapeIsGivenWithTheRightOne) {
  const auto checkpoint =
      Checkpoint::Open(WriteFloats("x.safetensors", {1, 2}));
  for (const TensorShape& shape :
       {TensorShape{}, TensorShape{3}, TensorShape{2, 1}, TensorShape{-2}}) {
    EXPECT_THAT(
        checkpoint->ReadFloat("w", shape),
        StatusIs(kInvalid, absl::StrCat("\"w\" has shape [2], the model's "
                                        "configuration asks for ",
                                        ToString(shape))));
  }
}

// --- Malformed files --------------------------------------------------------

TEST_F(SafetensorsTest, ShortFilesAreRejected) {
  for (size_t size = 0; size < 8; ++size) {
    EXPECT_THAT(
        Checkpoint::Open(Write("s.safetensors", std::string(size, '\1'))),
        StatusIs(kInvalid, absl::StrCat(size, " bytes are too few")));
  }
  EXPECT_THAT(OpenRaw(""), StatusIs(kInvalid, "does not begin with '{'"));
}

TEST_F(SafetensorsTest, HeaderLengthsAreBoundedBeforeTheyAreUsed) {
  for (const uint64_t length :
       {uint64_t{100'000'001}, uint64_t{1} << 31, uint64_t{1} << 63,
        std::numeric_limits<uint64_t>::max()}) {
    std::string bytes(16, ' ');
    std::memcpy(bytes.data(), &length, 8);
    EXPECT_THAT(Checkpoint::Open(Write("h.safetensors", bytes)),
                StatusIs(kInvalid, absl::StrCat("a header of ", length,
                                                " bytes, more than")));
  }
  const uint64_t length = 9;
  std::string bytes(16, ' ');
  std::memcpy(bytes.data(), &length, 8);
  EXPECT_THAT(Checkpoint::Open(Write("h.safetensors", bytes)),
              StatusIs(kInvalid, "9 bytes in a file of 16"));
}

int64_t ResidentPeakKib() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

// Headers as long as the format allows, of which no more is kept than the
// first error needs.
TEST_F(SafetensorsTest, HugeHeadersCostLittle) {
  constexpr uint64_t kSize = 99'999'990;
  const std::pair<std::string, char> kTexts[] = {
      {"{\"w\": {\"shape\": [", '1'},
      {"{\"w\": ", '['},
      {"{\"__metadata__\": {\"a\": \"", 'x'},
      {"{", '\n'},
      {"{", ' '},
  };
  for (const auto& [start, rest] : kTexts) {
    const std::string path = Path("huge.safetensors");
    {
      std::ofstream file(path, std::ios::binary);
      file.write(reinterpret_cast<const char*>(&kSize), 8);
      file << start;
      const std::string block(1 << 16, rest);
      for (uint64_t left = kSize - start.size(); left > 0;) {
        const uint64_t now = std::min<uint64_t>(left, block.size());
        file.write(block.data(), static_cast<std::streamsize>(now));
        left -= now;
      }
    }
    const int64_t before = ResidentPeakKib();
    EXPECT_THAT(Checkpoint::Open(path), StatusIs(kInvalid, path));
    // The mapped file counts too, 96 MiB, and copies of a token of 16 MiB.
    EXPECT_LT(ResidentPeakKib() - before, int64_t{164} << 10) << start;
  }
}

TEST_F(SafetensorsTest, TooManyTensorsAreRejected) {
  std::string header = "{";
  for (int i = 0; i < 200'001; ++i) {
    absl::StrAppend(&header, i == 0 ? "" : ",", "\"", i,
                    R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})");
  }
  EXPECT_THAT(OpenRaw(header + "}"),
              StatusIs(kInvalid, "is beyond 200000 tensors"));
}

TEST_F(SafetensorsTest, NoJsonIsRejected) {
  const std::string kHeaders[] = {
      "{",
      "{}}",
      "{,}",
      "{\"w\"}",
      "{\"w\": ",
      "{\"w\": nan}",
      "{'w': 1}",
      "{} x",
      "{\"\xff\": {}}",
      std::string("{\0}", 3),
      "{\"w\": \"\\ud800\"}",
  };
  for (const std::string& header : kHeaders) {
    EXPECT_THAT(OpenRaw(header), StatusIs(kInvalid, "no JSON")) << header;
  }
  EXPECT_THAT(OpenRaw("[]"), StatusIs(kInvalid, "begin with '{'"));
  EXPECT_THAT(OpenRaw(" {}"), StatusIs(kInvalid, "begin with '{'"));
  EXPECT_OK(OpenRaw("{}   "));  // padding
}

TEST_F(SafetensorsTest, OtherStructuresAreRejected) {
  const std::pair<std::string, std::string> kHeaders[] = {
      {R"({"w": 1})", "has a number"},
      {R"({"w": []})", "has a list"},
      {R"({"w": null})", "has null"},
      {R"({"w": true})", "has a truth value"},
      {R"({"w": {}})", "\"w\": no dtype"},
      {R"({"w": {"dtype": "F32"}})", "no shape"},
      {R"({"w": {"dtype": "F32", "shape": []}})", "no data_offsets"},
      {R"({"w": {"dtype": 5}})", "has a number"},
      {R"({"w": {"dtype": {"a": 1}}})", "has an object"},
      {R"({"w": {"dtype": "F32", "dtype": "F32"}})", "dtype twice"},
      {R"({"w": {"extra": 5}})", "unknown field \"extra\""},
      {R"({"w": {"shape": 5}})", "has a number"},
      {R"({"w": {"shape": [[1]]}})", "has a list"},
      {R"({"w": {"shape": ["1"]}})", "has a string"},
      {R"({"w": {"shape": [-1]}})", "has a negative number"},
      {R"({"w": {"shape": [1.5]}})", "no integer"},
      {R"({"w": {"shape": [1e3]}})", "no integer"},
      {R"({"w": {"shape": [9223372036854775808]}})", "beyond 63 bits"},
      {R"({"w": {"shape": [18446744073709551616]}})", "no integer"},
      {R"({"w": {"shape": [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}})",
       "more than 16 dimensions"},
      {R"({"w": {"data_offsets": [0]}})", "not two numbers"},
      {R"({"w": {"data_offsets": []}})", "not two numbers"},
      {R"({"w": {"data_offsets": [0, 1, 2]}})", "has a number"},
      {R"({"w": {"data_offsets": [-1, 0]}})", "has a negative number"},
      {R"({"__metadata__": []})", "has a list"},
      {R"({"__metadata__": {"a": 1}})", "has a number"},
      {R"({"__metadata__": {"a": {"b": "c"}}})", "has an object"},
      {R"({"__metadata__": {"a": "1", "a": "2"}})", "\"a\" twice"},
      {R"({"__metadata__": {}, "__metadata__": {}})", "twice"},
      {absl::StrCat("{\"", std::string(1025, 'n'), "\": {}}"), "1025 bytes"},
  };
  for (const auto& [header, error] : kHeaders) {
    EXPECT_THAT(OpenRaw(header), StatusIs(kInvalid, error)) << header;
  }
}

// The header of F32 tensors "a" and "b" of two elements, at these places.
std::string TwoTensors(absl::string_view a, absl::string_view b) {
  return absl::StrCat(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[)", a,
                      R"(]},"b":{"dtype":"F32","shape":[2],"data_offsets":[)",
                      b, "]}}");
}

TEST_F(SafetensorsTest, TensorsMustCoverTheDataOnce) {
  EXPECT_OK(OpenRaw(TwoTensors("0,8", "8,16"), 16));
  EXPECT_OK(OpenRaw(TwoTensors("8,16", "0,8"), 16));
  EXPECT_THAT(OpenRaw(TwoTensors("0,8", "0,8"), 8),
              StatusIs(kInvalid, "overlaps"));
  EXPECT_THAT(OpenRaw(TwoTensors("0,8", "4,12"), 12),
              StatusIs(kInvalid, "\"b\": begins at 4 and overlaps"));
  EXPECT_THAT(OpenRaw(TwoTensors("0,8", "12,20"), 20),
              StatusIs(kInvalid, "\"b\": begins at 12, after a gap from 8"));
  EXPECT_THAT(OpenRaw(TwoTensors("4,12", "12,20"), 20),
              StatusIs(kInvalid, "\"a\": begins at 4, after a gap from 0"));
  EXPECT_THAT(OpenRaw(TwoTensors("0,8", "8,16"), 20),
              StatusIs(kInvalid, "4 bytes behind the last tensor"));
  EXPECT_THAT(OpenRaw(TwoTensors("0,8", "16,8"), 16),
              StatusIs(kInvalid, "begins at 16, after its end 8"));
  EXPECT_THAT(OpenRaw("{}", 1), StatusIs(kInvalid, "1 bytes behind"));
}

TEST_F(SafetensorsTest, OffsetsOutsideTheFileAreRejected) {
  EXPECT_THAT(OpenRaw(TwoTensors("0,8", "8,16"), 15),
              StatusIs(kInvalid, "\"b\": ends at 16, outside the file's 15"));
  EXPECT_THAT(
      OpenRaw(TwoTensors("0,8", "18446744073709551608,18446744073709551615"),
              8),
      StatusIs(kInvalid, "outside the file's 8 bytes"));
}

TEST_F(SafetensorsTest, SizesMustFitShapes) {
  EXPECT_THAT(OpenRaw(TwoTensors("0,7", "7,16"), 16),
              StatusIs(kInvalid, "\"a\": has 7 bytes, but [2] of F32 needs 8"));
  const auto open = [this](absl::string_view shape) {
    return OpenRaw(absl::StrCat(R"({"w":{"dtype":"F32","shape":[)", shape,
                                R"(],"data_offsets":[0,0]}})"));
  };
  for (const absl::string_view shape :
       {"9223372036854775807", "4611686018427387904", "2147483648,2147483648",
        "4294967296,4294967296", "4294967296,4294967296,0",
        "0,4294967296,4294967296", "9223372036854775807,9223372036854775807"}) {
    EXPECT_THAT(open(shape), StatusIs(kInvalid, "overflows")) << shape;
  }
  EXPECT_OK(open("0,4294967296"));
}

TEST_F(SafetensorsTest, EveryTruncationIsRejected) {
  const std::string whole =
      *ReadWholeFile(WriteFloats("x.safetensors", {1, 2, 3, 4}), 1000);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THAT(
        Checkpoint::Open(Write("cut.safetensors", whole.substr(0, size))),
        StatusIs(kInvalid, ""))
        << size;
  }
}

TEST_F(SafetensorsTest, RandomDamageNeverCrashes) {
  const std::string whole =
      *ReadWholeFile(WriteFloats("x.safetensors", {1, 2, 3, 4}), 1000);
  std::mt19937 rng(7);
  for (int i = 0; i < 1000; ++i) {
    std::string bytes = whole;
    for (int flips = 1 + static_cast<int>(rng() % 4); flips > 0; --flips) {
      bytes[rng() % bytes.size()] = static_cast<char>(rng());
    }
    const auto checkpoint =
        Checkpoint::Open(Write("damaged.safetensors", bytes));
    if (!checkpoint.ok()) continue;
    for (const std::string& name : checkpoint->names()) {
      const auto info = checkpoint->Info(name);
      ASSERT_OK(info);
      checkpoint->ReadFloat(name, info->shape).IgnoreError();
    }
  }
}

TEST_F(SafetensorsTest, OnlyFilesAreOpened) {
  EXPECT_THAT(Checkpoint::Open(Path("none.safetensors")),
              StatusIs(kNotFound, "none.safetensors: cannot open"));
  EXPECT_THAT(Checkpoint::Open(folder_),
              StatusIs(kNotFound, "neither model.safetensors nor"));
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  EXPECT_THAT(Checkpoint::Open(Path("pipe")), StatusIs(kInvalid, "not a file"));
}

// --- Shards -----------------------------------------------------------------

class ShardsTest : public SafetensorsTest {
 protected:
  void SetUp() override {
    WriteFloats("model-1.safetensors", {1, 2}, "a");
    WriteFloats("model-2.safetensors", {3, 4}, "b");
  }
  absl::StatusOr<Checkpoint> OpenIndex(absl::string_view index) const {
    Write("model.safetensors.index.json", index);
    return Checkpoint::Open(folder_);
  }
};

constexpr absl::string_view kIndex =
    R"({"metadata": {"total_size": 16}, "weight_map":
        {"a": "model-1.safetensors", "b": "model-2.safetensors"}})";

TEST_F(ShardsTest, ReadsTensorsFromTheirShards) {
  const auto checkpoint = OpenIndex(kIndex);
  ASSERT_OK(checkpoint.status());
  EXPECT_THAT(checkpoint->names(), ElementsAre("a", "b"));
  EXPECT_THAT(*checkpoint->ReadFloat("a", kTwo), ElementsAre(1, 2));
  EXPECT_THAT(*checkpoint->ReadFloat("b", kTwo), ElementsAre(3, 4));
  EXPECT_OK(Checkpoint::Open(Path("model.safetensors.index.json")).status());
}

TEST_F(ShardsTest, TheSingleFileComesFirst) {
  WriteFloats("model.safetensors", {9, 9}, "only");
  EXPECT_THAT(OpenIndex("{ broken")->names(), ElementsAre("only"));
}

TEST_F(ShardsTest, ATruncatedOrMissingShardIsNamed) {
  fs::resize_file(Path("model-2.safetensors"),
                  fs::file_size(Path("model-2.safetensors")) - 1);
  EXPECT_THAT(OpenIndex(kIndex),
              StatusIs(kInvalid, "model-2.safetensors: tensor \"b\": ends"));
  fs::remove(Path("model-2.safetensors"));
  EXPECT_THAT(OpenIndex(kIndex),
              StatusIs(kNotFound, "model-2.safetensors: cannot open"));
}

TEST_F(ShardsTest, ATensorThatIsNotInItsShardIsNamed) {
  EXPECT_THAT(OpenIndex(R"({"weight_map": {"b": "model-1.safetensors"}})"),
              StatusIs(kInvalid, "model-1.safetensors: no tensor \"b\""));
}

TEST_F(ShardsTest, ShardsOutsideTheFolderAreRejected) {
  for (const absl::string_view shard :
       {"../model-1.safetensors", "/etc/passwd", "..", ".", "",
        "sub/model-1.safetensors", "..\\\\model-1.safetensors",
        "./model-1.safetensors", ".safetensors", "model-1.bin",
        "model-1.safetensors\\u0000.safetensors"}) {
    EXPECT_THAT(
        OpenIndex(absl::StrCat(R"({"weight_map": {"a": ")", shard, "\"}}")),
        StatusIs(kInvalid, "not the name of a .safetensors file"))
        << shard;
  }
}

TEST_F(ShardsTest, BrokenIndicesAreRejected) {
  const std::pair<std::string, std::string> kIndices[] = {
      {"", "parse error"},
      {"{", "parse error"},
      {"[]", "not a JSON object"},
      {"{}", "no weight_map"},
      {R"({"weight_map": []})", "no weight_map"},
      {R"({"weight_map": {}})", "empty one"},
      {R"({"weight_map": {"a": 1}})", "is in no file"},
      {R"({"weight_map": {"a": "model-1.safetensors",
                          "a": "model-2.safetensors"}})",
       "\"a\" stands there twice"},
      {std::string(100'000, '['), "100000 levels of nesting"},
      {absl::StrCat("{\"a\": ", std::string(50, '['), std::string(50, ']'),
                    "}"),
       "51 levels"},
  };
  for (const auto& [index, error] : kIndices) {
    EXPECT_THAT(OpenIndex(index), StatusIs(kInvalid, error))
        << index.substr(0, 60);
  }
}

// --- Real files -------------------------------------------------------------

TEST(RealCheckpointTest, ReadsStories260K) {
  const fs::path folder = fs::path(TACIT_TEST_DATA) / "stories260K";
  if (!fs::is_directory(folder)) {
    GTEST_SKIP() << "no " << folder << "; set TACIT_TEST_DATA";
  }
  const auto checkpoint = Checkpoint::Open(folder.string());
  ASSERT_OK(checkpoint.status());
  const auto embedding =
      checkpoint->ReadFloat("model.embed_tokens.weight", TensorShape{512, 64});
  ASSERT_OK(embedding.status());
  // The original format begins with seven integers and this matrix.
  std::ifstream file(folder / "stories260K.bin", std::ios::binary);
  std::vector<float> original(512 * 64);
  file.seekg(28);
  file.read(reinterpret_cast<char*>(original.data()),
            static_cast<std::streamsize>(original.size() * sizeof(float)));
  ASSERT_TRUE(file.good());
  EXPECT_EQ(*embedding, original);
  size_t parameters = 0;
  for (const std::string& name : checkpoint->names()) {
    parameters +=
        checkpoint->ReadFloat(name, checkpoint->Info(name)->shape)->size();
  }
  EXPECT_EQ(parameters, 260032);
}

}  // namespace
}  // namespace tacit

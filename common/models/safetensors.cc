#include "common/models/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/models/files.h"
#include "common/models/json_file.h"
#include "nlohmann/json.hpp"

namespace tacit {
namespace {

static_assert(std::endian::native == std::endian::little,
              "files are little-endian and read as they are");

constexpr uint64_t kLengthBytes = 8;
// The format's own limit.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
// Far above real files, and what a header may cost in memory.
constexpr size_t kMaxTensors = 200'000;
constexpr size_t kMaxRank = 16;
constexpr size_t kMaxNameBytes = 1024;
constexpr size_t kMaxNumberBytes = 64;
constexpr size_t kMaxTokenBytes = 16 << 20;
constexpr size_t kMaxIndexBytes = 64 << 20;
constexpr size_t kMaxShards = 4096;
constexpr absl::string_view kMetadata = "__metadata__";

// Bits of an element; 0 for a dtype that the format does not have.
int DtypeBits(absl::string_view dtype) {
  static constexpr std::pair<absl::string_view, int> kBits[] = {
      {"BOOL", 8},    {"U8", 8},      {"I8", 8},      {"F8_E5M2", 8},
      {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"U16", 16},    {"I16", 16},
      {"F16", 16},    {"BF16", 16},   {"U32", 32},    {"I32", 32},
      {"F32", 32},    {"U64", 64},    {"I64", 64},    {"F64", 64},
      {"C64", 64},    {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F4", 4},
  };
  for (const auto& [name, bits] : kBits) {
    if (name == dtype) return bits;
  }
  return 0;
}

// Bytes of a tensor; nullopt if they do not fit 63 bits or end within a byte.
std::optional<uint64_t> TensorBytes(int bits, std::span<const int64_t> shape) {
  // A dimension of 0 makes the product 0, but must not hide an overflow that
  // depends on where it stands.
  int64_t count = 1;
  bool empty = false;
  for (const int64_t dim : shape) {
    if (dim == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(count, dim, &count)) {
      return std::nullopt;
    }
  }
  if (__builtin_mul_overflow(count, int64_t{bits}, &count)) return std::nullopt;
  if (empty) return 0;
  if (count % 8 != 0) return std::nullopt;
  return static_cast<uint64_t>(count / 8);
}

// A file in memory, read-only.
class MappedFile {
 public:
  static absl::StatusOr<MappedFile> Open(const std::string& path) {
    const auto fail = [&path](absl::string_view what) {
      const int error = errno;
      const std::string message =
          absl::StrCat(path, ": cannot ", what, ": ", std::strerror(error));
      return error == ENOENT ? absl::NotFoundError(message)
                             : absl::InvalidArgumentError(message);
    };
    // O_NONBLOCK: opening a named pipe must not wait for a writer.
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return fail("open");
    const absl::Cleanup close_fd = [fd] { close(fd); };
    struct stat info;
    if (fstat(fd, &info) != 0) return fail("stat");
    if (!S_ISREG(info.st_mode)) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": not a file"));
    }
    MappedFile file;
    file.size_ = static_cast<size_t>(info.st_size);
    if (file.size_ == 0) return file;  // cannot be mapped, and is no error yet
    void* const data = mmap(nullptr, file.size_, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) return fail("map");
    file.data_ = static_cast<const uint8_t*>(data);
    return file;
  }

  MappedFile(MappedFile&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile() {
    if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), size_);
  }

  std::span<const uint8_t> bytes() const { return {data_, size_}; }

  // Gives the pages of `part` back; they are read again if needed.
  void Release(std::span<const uint8_t> part) const {
    static const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t begin =
        (static_cast<size_t>(part.data() - data_) + page - 1) / page * page;
    const size_t end =
        static_cast<size_t>(part.data() - data_ + part.size()) / page * page;
    if (begin < end) {
      madvise(const_cast<uint8_t*>(data_) + begin, end - begin, MADV_DONTNEED);
    }
  }

 private:
  MappedFile() = default;

  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

// A tensor's line in a header.
struct Entry {
  std::string dtype;
  TensorShape shape;
  uint64_t begin = 0, end = 0;  // in the data after the header
};

struct Header {
  std::map<std::string, Entry, std::less<>> tensors;
  std::map<std::string, std::string> metadata;
};

// Takes the header's JSON event by event: memory stays within that of the
// tensors it lists, however the text is made. Stops at the first error.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(Header* header) : header_(*header) {}

  const std::string& error() const { return error_; }

  bool start_object(size_t) override {
    switch (state_) {
      case State::kStart:
        state_ = State::kTop;
        return true;
      case State::kValue:
        state_ = name_ == kMetadata ? State::kMetadataKeys : State::kFields;
        return true;
      default:
        return Unexpected("an object");
    }
  }
  bool end_object() override {
    if (state_ == State::kTop) {
      state_ = State::kEnd;
      return true;
    }
    if (state_ == State::kFields) {
      if (!has_dtype_) return Fail("no dtype");
      if (!has_shape_) return Fail("no shape");
      if (!has_offsets_) return Fail("no data_offsets");
      has_dtype_ = has_shape_ = has_offsets_ = false;
      header_.tensors.emplace(std::move(name_), std::move(entry_));
      entry_ = Entry();
    }
    name_.clear();
    state_ = State::kTop;
    return true;
  }
  bool key(std::string& key) override {
    switch (state_) {
      case State::kTop:
        return StartTensor(key);
      case State::kMetadataKeys:
        metadata_key_ = key;
        state_ = State::kMetadataValue;
        if (header_.metadata.contains(key)) {
          return Fail(absl::StrCat(Quoted(key), " twice"));
        }
        return true;
      default:
        break;
    }
    if (key == "dtype") return Once(&has_dtype_, State::kDtype, key);
    if (key == "shape") return Once(&has_shape_, State::kShapeStart, key);
    if (key == "data_offsets") {
      return Once(&has_offsets_, State::kOffsetsStart, key);
    }
    return Fail(absl::StrCat("unknown field ", Quoted(key)));
  }
  bool start_array(size_t) override {
    if (state_ == State::kShapeStart) {
      state_ = State::kShape;
    } else if (state_ == State::kOffsetsStart) {
      state_ = State::kOffsets;
      offsets_ = 0;
    } else {
      return Unexpected("a list");
    }
    return true;
  }
  bool end_array() override {
    if (state_ == State::kOffsets && offsets_ != 2) {
      return Fail("data_offsets are not two numbers");
    }
    state_ = State::kFields;
    return true;
  }
  bool number_unsigned(uint64_t value) override {
    if (state_ == State::kShape) {
      if (value > INT64_MAX) return Fail("a dimension beyond 63 bits");
      if (entry_.shape.size() == kMaxRank) {
        return Fail(absl::StrCat("more than ", kMaxRank, " dimensions"));
      }
      entry_.shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (state_ == State::kOffsets && offsets_ < 2) {
      (offsets_++ == 0 ? entry_.begin : entry_.end) = value;
      return true;
    }
    return Unexpected("a number");
  }
  bool string(std::string& value) override {
    if (state_ == State::kDtype) {
      entry_.dtype = value;
      state_ = State::kFields;
      return true;
    }
    if (state_ == State::kMetadataValue) {
      header_.metadata.emplace(std::move(metadata_key_), value);
      state_ = State::kMetadataKeys;
      return true;
    }
    return Unexpected("a string");
  }
  bool null() override { return Unexpected("null"); }
  bool boolean(bool) override { return Unexpected("a truth value"); }
  bool number_integer(int64_t) override {
    return Unexpected("a negative number");
  }
  bool number_float(double, const std::string&) override {
    return Unexpected("a number that is no integer");
  }
  bool binary(nlohmann::json::binary_t&) override {
    return Unexpected("binary data");
  }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::json::exception&) override {
    error_ = absl::StrCat("the header is no JSON at byte ", position);
    return false;
  }

 private:
  enum class State {
    kStart,
    kTop,    // between tensors
    kValue,  // after a tensor's name
    kFields,
    kDtype,
    kShapeStart,
    kShape,
    kOffsetsStart,
    kOffsets,
    kMetadataKeys,
    kMetadataValue,
    kEnd,
  };

  bool StartTensor(const std::string& name) {
    name_ = name;
    if (name.size() > kMaxNameBytes) {
      return Fail(absl::StrCat("a name of ", name.size(), " bytes"));
    }
    const bool again =
        name == kMetadata ? has_metadata_ : header_.tensors.contains(name);
    if (again) return Fail("stands there twice");
    if (name == kMetadata) has_metadata_ = true;
    if (header_.tensors.size() == kMaxTensors) {
      return Fail(absl::StrCat("is beyond ", kMaxTensors, " tensors"));
    }
    state_ = State::kValue;
    return true;
  }
  bool Once(bool* seen, State next, absl::string_view field) {
    if (*seen) return Fail(absl::StrCat(field, " twice"));
    *seen = true;
    state_ = next;
    return true;
  }
  bool Unexpected(absl::string_view what) {
    return Fail(absl::StrCat("the header has ", what,
                             " where the format has something else"));
  }
  bool Fail(absl::string_view what) {
    error_ = name_.empty() ? std::string(what)
                           : absl::StrCat("tensor ", Quoted(name_), ": ", what);
    return false;
  }

  Header& header_;
  State state_ = State::kStart;
  std::string name_;
  Entry entry_;
  bool has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
  bool has_metadata_ = false;
  int offsets_ = 0;
  std::string metadata_key_;
  std::string error_;
};

// Each tensor has the bytes its shape asks for, and the tensors cover the data
// without gap or overlap.
absl::Status CheckLayout(const Header& header, uint64_t data_bytes) {
  std::vector<std::pair<absl::string_view, const Entry*>> order;
  order.reserve(header.tensors.size());
  for (const auto& [name, entry] : header.tensors) {
    const auto fail = [&name = name](const auto&... what) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", Quoted(name), ": ", what...));
    };
    const int bits = DtypeBits(entry.dtype);
    if (bits == 0) return fail("unknown dtype ", Quoted(entry.dtype));
    const std::optional<uint64_t> bytes = TensorBytes(bits, entry.shape);
    if (!bytes.has_value()) {
      return fail("the size of shape ", ToString(entry.shape), " of ",
                  entry.dtype, " overflows or is no whole number of bytes");
    }
    if (entry.begin > entry.end) {
      return fail("begins at ", entry.begin, ", after its end ", entry.end);
    }
    if (entry.end > data_bytes) {
      return fail("ends at ", entry.end, ", outside the file's ", data_bytes,
                  " bytes of data; is the file truncated?");
    }
    if (entry.end - entry.begin != *bytes) {
      return fail("has ", entry.end - entry.begin, " bytes, but ",
                  ToString(entry.shape), " of ", entry.dtype, " needs ",
                  *bytes);
    }
    order.emplace_back(name, &entry);
  }
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second->begin, a.second->end) <
           std::pair(b.second->begin, b.second->end);
  });
  uint64_t covered = 0;
  for (const auto& [name, entry] : order) {
    if (entry->begin < covered) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", Quoted(name), ": begins at ", entry->begin,
                       " and overlaps another, which ends at ", covered));
    }
    if (entry->begin > covered) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", Quoted(name), ": begins at ", entry->begin,
                       ", after a gap from ", covered));
    }
    covered = entry->end;
  }
  if (covered != data_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        data_bytes - covered, " bytes behind the last tensor belong to none"));
  }
  return absl::OkStatus();
}

// The parser holds a string, a number or white space whole, several times over,
// before the reader sees it: so their lengths are bounded by a scan.
absl::Status CheckTokenLengths(std::span<const uint8_t> text) {
  enum class Kind { kString, kSpace, kOther, kNone } kind = Kind::kNone;
  size_t length = 0;  // of the token so far
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = static_cast<char>(text[i]);
    if (kind == Kind::kString) {
      ++length;
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        kind = Kind::kNone;
      }
    } else {
      const Kind next = c == '"'                 ? Kind::kString
                        : absl::ascii_isspace(c) ? Kind::kSpace
                        : absl::ascii_ispunct(c) && c != '-' && c != '.'
                            ? Kind::kNone
                            : Kind::kOther;
      length = next == kind ? length + 1 : 0;
      kind = next;
    }
    if (length > (kind == Kind::kOther ? kMaxNumberBytes : kMaxTokenBytes)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the header has a token of more than ", length - 1,
                       " bytes at byte ", i));
    }
  }
  return absl::OkStatus();
}

// Parses and checks a whole file; `data` gets what is behind the header.
absl::Status ReadHeader(std::span<const uint8_t> file, Header* header,
                        std::span<const uint8_t>* data) {
  if (file.size() < kLengthBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.size(), " bytes are too few for a safetensors file"));
  }
  uint64_t length;
  std::memcpy(&length, file.data(), kLengthBytes);
  if (length > kMaxHeaderBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a header of ", length, " bytes, more than the format's ",
                     kMaxHeaderBytes, "; is this a safetensors file?"));
  }
  if (length > file.size() - kLengthBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a header of ", length, " bytes in a file of ",
                     file.size(), "; is the file truncated?"));
  }
  std::span<const uint8_t> text = file.subspan(kLengthBytes, length);
  if (text.empty() || text[0] != '{') {
    return absl::InvalidArgumentError("the header does not begin with '{'");
  }
  // Padding, of which there may be much where room was left for changes.
  while (text.back() == ' ') text = text.first(text.size() - 1);
  RETURN_IF_ERROR(CheckTokenLengths(text));
  HeaderReader reader(header);
  // The reader throws nothing, and the parser reports errors to it.
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &reader)) {
    return absl::InvalidArgumentError(reader.error());
  }
  *data = file.subspan(kLengthBytes + length);
  return CheckLayout(*header, data->size());
}

// One of the two names, near enough for a slip: by edits, or by a prefix such
// as "model." more or less.
size_t Distance(absl::string_view a, absl::string_view b) {
  if (absl::EndsWith(a, absl::StrCat(".", b)) ||
      absl::EndsWith(b, absl::StrCat(".", a))) {
    return 1;
  }
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({substituted, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

float FromF16(uint16_t half) {
  // Sign apart, the bits moved to their places are the value times 2^-112,
  // subnormal or not.
  const float magnitude =
      std::bit_cast<float>(uint32_t{half & 0x7fffu} << 13) * 0x1p112f;
  return half & 0x8000 ? -magnitude : magnitude;
}

float FromBf16(uint16_t top) {
  return std::bit_cast<float>(uint32_t{top} << 16);
}

template <typename T>
T Load(const uint8_t* from) {
  T value;  // tensors need not be aligned in the file
  std::memcpy(&value, from, sizeof(T));
  return value;
}

// Converts all elements; returns the number of the first NaN or infinity, or
// the count if there is none. `exponent` has the exponent's bits in a T.
template <typename T, typename Convert>
size_t ConvertAll(std::span<const uint8_t> from, T exponent, Convert convert,
                  std::span<float> to) {
  constexpr size_t kBlock = 4096;
  for (size_t begin = 0; begin < to.size(); begin += kBlock) {
    const size_t end = std::min(to.size(), begin + kBlock);
    bool finite = true;
    for (size_t i = begin; i < end; ++i) {
      const T bits = Load<T>(from.data() + i * sizeof(T));
      finite &= (bits & exponent) != exponent;
      to[i] = convert(bits);
    }
    if (finite) continue;
    for (size_t i = begin; i < end; ++i) {
      const T bits = Load<T>(from.data() + i * sizeof(T));
      if ((bits & exponent) == exponent) return i;
    }
  }
  return to.size();
}

// Flat number `flat` of a tensor as "[3, 17]".
std::string Place(size_t flat, std::span<const int64_t> shape) {
  TensorShape place(shape.size());
  for (size_t d = shape.size(); d-- > 0;) {
    place[d] = static_cast<int64_t>(flat % static_cast<size_t>(shape[d]));
    flat /= static_cast<size_t>(shape[d]);
  }
  return ToString(place);
}

absl::Status InFile(absl::string_view file, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(file, ": ", status.message()));
}

absl::string_view Folder(absl::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos ? "." : path.substr(0, slash + 1);
}

bool IsFolder(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool Exists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

// A shard is a file beside the index, not one anywhere.
bool IsPlainFileName(absl::string_view name) {
  return !name.empty() && name.size() <= 255 && name[0] != '.' &&
         name.find_first_of(absl::string_view("/\\\0", 3)) == name.npos &&
         absl::EndsWith(name, ".safetensors");
}

constexpr absl::string_view kIndexSuffix = ".safetensors.index.json";

}  // namespace

std::string ToString(std::span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

struct Checkpoint::Impl {
  struct File {
    std::string name;
    MappedFile map;
    std::span<const uint8_t> data;  // in `map`
  };
  struct Tensor {
    Entry entry;
    size_t file = 0;  // in `files`
  };

  std::string name;  // for messages
  std::vector<File> files;
  std::map<std::string, Tensor, std::less<>> tensors;
  std::map<std::string, std::string> metadata;

  // Maps a file and returns its header.
  absl::StatusOr<Header> Add(const std::string& path) {
    ASSIGN_OR_RETURN(MappedFile map, MappedFile::Open(path));
    Header header;
    std::span<const uint8_t> data;
    RETURN_IF_ERROR(InFile(path, ReadHeader(map.bytes(), &header, &data)));
    files.push_back({path, std::move(map), data});
    metadata.insert(header.metadata.begin(), header.metadata.end());
    return header;
  }

  absl::Status OpenFile(const std::string& path) {
    ASSIGN_OR_RETURN(Header header, Add(path));
    for (auto& [tensor, entry] : header.tensors) {
      tensors.emplace(tensor, Tensor{std::move(entry), 0});
    }
    return absl::OkStatus();
  }

  absl::Status OpenIndex(const std::string& path) {
    ASSIGN_OR_RETURN(const std::string text,
                     ReadWholeFile(path, kMaxIndexBytes));
    ASSIGN_OR_RETURN(const nlohmann::json index,
                     ParseJsonObject(path, text, /*max_depth=*/8));
    const auto map = index.find("weight_map");
    if (map == index.end() || !map->is_object() || map->empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": no weight_map, or an empty one"));
    }
    if (map->size() > kMaxTensors) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": more than ", kMaxTensors, " tensors"));
    }
    std::map<std::string, std::vector<std::string>> shards;
    for (const auto& [tensor, shard] : map->items()) {
      const std::string* const file = shard.get_ptr<const std::string*>();
      if (file == nullptr || !IsPlainFileName(*file)) {
        return absl::InvalidArgumentError(absl::StrCat(
            path, ": tensor ", Quoted(tensor), " is in ",
            file == nullptr ? "no file" : Quoted(*file),
            ", which is not the name of a .safetensors file in this folder"));
      }
      shards[*file].push_back(tensor);
    }
    if (shards.size() > kMaxShards) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": ", shards.size(), " shards"));
    }
    for (const auto& [shard, names] : shards) {
      RETURN_IF_ERROR(AddShard(absl::StrCat(Folder(path), "/", shard), names));
    }
    return absl::OkStatus();
  }

  absl::Status AddShard(const std::string& path,
                        const std::vector<std::string>& names) {
    ASSIGN_OR_RETURN(Header header, Add(path));
    for (const std::string& tensor : names) {
      const auto it = header.tensors.find(tensor);
      if (it == header.tensors.end()) {
        return absl::InvalidArgumentError(
            absl::StrCat(path, ": no tensor ", Quoted(tensor),
                         ", which the index says is there"));
      }
      tensors.emplace(tensor, Tensor{std::move(it->second), files.size() - 1});
    }
    return absl::OkStatus();
  }

  absl::StatusOr<const Tensor*> Find(absl::string_view tensor) const {
    const auto it = tensors.find(tensor);
    if (it != tensors.end()) return &it->second;
    return absl::NotFoundError(absl::StrCat(
        name, ": no tensor ", Quoted(tensor), Suggestions(tensor)));
  }

  // "; did you mean ...?" or nothing.
  std::string Suggestions(absl::string_view missing) const {
    constexpr size_t kMost = 3;
    constexpr size_t kMostCompared = 20'000;
    const size_t far = std::min<size_t>(missing.size() / 3 + 1, 12);
    std::vector<std::pair<size_t, absl::string_view>> near;
    size_t compared = 0;
    for (const auto& [other, tensor] : tensors) {
      if (++compared > kMostCompared || missing.size() > kMaxNameBytes) break;
      const size_t distance = Distance(missing, other);
      if (distance <= far) near.emplace_back(distance, other);
    }
    if (near.empty()) return "";
    std::sort(near.begin(), near.end());
    near.resize(std::min(near.size(), kMost));
    return absl::StrCat("; did you mean ",
                        absl::StrJoin(near, " or ",
                                      [](std::string* out, const auto& item) {
                                        absl::StrAppend(out,
                                                        Quoted(item.second));
                                      }),
                        "?");
  }

  absl::Status CheckShape(absl::string_view tensor, const Entry& entry,
                          std::span<const int64_t> shape) const {
    if (std::equal(shape.begin(), shape.end(), entry.shape.begin(),
                   entry.shape.end())) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": tensor ", Quoted(tensor), " has shape ", ToString(entry.shape),
        ", the model's configuration asks for ", ToString(shape)));
  }

  std::span<const uint8_t> Data(const Tensor& tensor) const {
    return files[tensor.file].data.subspan(
        tensor.entry.begin, tensor.entry.end - tensor.entry.begin);
  }
};

Checkpoint::Checkpoint(std::unique_ptr<const Impl> impl)
    : impl_(std::move(impl)) {}
Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;
Checkpoint& Checkpoint::operator=(Checkpoint&&) noexcept = default;
Checkpoint::~Checkpoint() = default;

absl::StatusOr<Checkpoint> Checkpoint::Open(const std::string& path) {
  std::string file = path;
  if (IsFolder(path)) {
    file = absl::StrCat(path, "/model.safetensors");
    const std::string index = absl::StrCat(path, "/model", kIndexSuffix);
    if (!Exists(file)) {
      if (!Exists(index)) {
        return absl::NotFoundError(absl::StrCat(
            path, ": neither model.safetensors nor model", kIndexSuffix));
      }
      file = index;
    }
  }
  auto impl = std::make_unique<Impl>();
  impl->name = path;
  RETURN_IF_ERROR(absl::EndsWith(file, kIndexSuffix) ? impl->OpenIndex(file)
                                                     : impl->OpenFile(file));
  return Checkpoint(std::move(impl));
}

std::vector<std::string> Checkpoint::names() const {
  std::vector<std::string> names;
  names.reserve(impl_->tensors.size());
  for (const auto& [name, tensor] : impl_->tensors) names.push_back(name);
  return names;
}

bool Checkpoint::Has(absl::string_view name) const {
  return impl_->tensors.find(name) != impl_->tensors.end();
}

absl::StatusOr<TensorInfo> Checkpoint::Info(absl::string_view name) const {
  ASSIGN_OR_RETURN(const Impl::Tensor* const tensor, impl_->Find(name));
  const Entry& entry = tensor->entry;
  return TensorInfo{entry.dtype, entry.shape, entry.end - entry.begin};
}

const std::map<std::string, std::string>& Checkpoint::metadata() const {
  return impl_->metadata;
}

absl::StatusOr<std::span<const uint8_t>> Checkpoint::Bytes(
    absl::string_view name, absl::string_view dtype,
    std::span<const int64_t> shape) const {
  ASSIGN_OR_RETURN(const Impl::Tensor* const tensor, impl_->Find(name));
  if (tensor->entry.dtype != dtype) {
    return absl::InvalidArgumentError(
        absl::StrCat(impl_->name, ": tensor ", Quoted(name), " is ",
                     tensor->entry.dtype, ", not ", dtype));
  }
  RETURN_IF_ERROR(impl_->CheckShape(name, tensor->entry, shape));
  return impl_->Data(*tensor);
}

absl::StatusOr<std::vector<float>> Checkpoint::ReadFloat(
    absl::string_view name, std::span<const int64_t> shape) const {
  // Before the allocation: the caller's shape may be wrong, the file's is not.
  ASSIGN_OR_RETURN(const Impl::Tensor* const tensor, impl_->Find(name));
  RETURN_IF_ERROR(impl_->CheckShape(name, tensor->entry, shape));
  size_t count = 1;
  for (const int64_t dim : tensor->entry.shape) count *= dim;
  std::vector<float> values(count);
  RETURN_IF_ERROR(ReadFloat(name, shape, std::span<float>(values)));
  return values;
}

absl::Status Checkpoint::ReadFloat(absl::string_view name,
                                   std::span<const int64_t> shape,
                                   std::span<float> out) const {
  ASSIGN_OR_RETURN(const Impl::Tensor* const tensor, impl_->Find(name));
  const Entry& entry = tensor->entry;
  RETURN_IF_ERROR(impl_->CheckShape(name, entry, shape));
  const std::span<const uint8_t> data = impl_->Data(*tensor);
  size_t bad;
  const auto check_size = [&](size_t element) {
    if (out.size() == data.size() / element) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        impl_->name, ": tensor ", Quoted(name), " of ", data.size() / element,
        " elements read into ", out.size()));
  };
  if (entry.dtype == "F32") {
    RETURN_IF_ERROR(check_size(sizeof(float)));
    bad = ConvertAll<uint32_t>(
        data, 0x7f800000,
        [](uint32_t bits) { return std::bit_cast<float>(bits); }, out);
  } else if (entry.dtype == "F16") {
    RETURN_IF_ERROR(check_size(sizeof(uint16_t)));
    bad = ConvertAll<uint16_t>(data, 0x7c00, FromF16, out);
  } else if (entry.dtype == "BF16") {
    RETURN_IF_ERROR(check_size(sizeof(uint16_t)));
    bad = ConvertAll<uint16_t>(data, 0x7f80, FromBf16, out);
  } else {
    return absl::UnimplementedError(absl::StrCat(
        impl_->name, ": tensor ", Quoted(name), " is ", entry.dtype,
        "; weights of F32, F16 and BF16 are supported"));
  }
  impl_->files[tensor->file].map.Release(data);
  if (bad == out.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(impl_->name, ": tensor ", Quoted(name),
                   " has a NaN or an infinity at ", Place(bad, entry.shape)));
}

void Checkpoint::Release(absl::string_view name) const {
  const absl::StatusOr<const Impl::Tensor*> tensor = impl_->Find(name);
  if (!tensor.ok()) return;
  impl_->files[(*tensor)->file].map.Release(impl_->Data(**tensor));
}

namespace {

std::optional<uint64_t> SlotBytes(const TensorSlot& slot) {
  const int bits = DtypeBits(slot.dtype);
  const bool negative = std::any_of(slot.shape.begin(), slot.shape.end(),
                                    [](int64_t dim) { return dim < 0; });
  if (bits == 0 || negative) return std::nullopt;
  return TensorBytes(bits, slot.shape);
}

absl::Status CheckSlot(const TensorSlot& slot) {
  if (SlotBytes(slot).has_value() && slot.shape.size() <= kMaxRank &&
      slot.name.size() <= kMaxNameBytes && !slot.name.empty() &&
      slot.name != kMetadata) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("cannot write tensor ", Quoted(slot.name), " as ",
                   ToString(slot.shape), " of ", Quoted(slot.dtype)));
}

absl::Status CheckSlots(std::span<const TensorSlot> slots) {
  std::vector<absl::string_view> names;
  for (const TensorSlot& slot : slots) {
    RETURN_IF_ERROR(CheckSlot(slot));
    names.emplace_back(slot.name);
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice == names.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("tensor ", Quoted(*twice), " stands there twice"));
}

absl::StatusOr<std::string> HeaderText(
    std::span<const TensorSlot> slots,
    const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header[std::string(kMetadata)] = metadata;
  uint64_t offset = 0;
  for (const TensorSlot& slot : slots) {
    const uint64_t end = offset + *SlotBytes(slot);
    header[slot.name] = {{"dtype", slot.dtype},
                         {"shape", slot.shape},
                         {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception&) {
    return absl::InvalidArgumentError("a name or metadata is not UTF-8");
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');  // aligns the data
  if (text.size() > kMaxHeaderBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a header of ", text.size(), " bytes"));
  }
  return text;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(std::string path,
                                     std::vector<TensorSlot> slots,
                                     Metadata metadata)
    : path_(std::move(path)),
      slots_(std::move(slots)),
      metadata_(std::move(metadata)) {}

SafetensorsWriter::~SafetensorsWriter() {
  if (fd_ >= 0) close(fd_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

absl::StatusOr<std::unique_ptr<SafetensorsWriter>> SafetensorsWriter::Create(
    const std::string& path, std::vector<TensorSlot> slots, Metadata metadata) {
  RETURN_IF_ERROR(CheckSlots(slots));
  std::unique_ptr<SafetensorsWriter> writer(
      new SafetensorsWriter(path, std::move(slots), std::move(metadata)));
  RETURN_IF_ERROR(writer->Open());
  return writer;
}

absl::Status SafetensorsWriter::Open() {
  ASSIGN_OR_RETURN(header_, HeaderText(slots_, metadata_));
  std::string temporary = absl::StrCat(path_, ".XXXXXX");
  fd_ = mkostemp(temporary.data(), O_CLOEXEC);  // 0600
  if (fd_ < 0) return FileError(errno, path_, "create a file beside it");
  temporary_ = std::move(temporary);
  return WriteHeader();
}

absl::Status SafetensorsWriter::WriteHeader() {
  if (lseek(fd_, 0, SEEK_SET) != 0) return FileError(errno, path_, "seek");
  const uint64_t length = header_.size();
  uint8_t prefix[kLengthBytes];
  std::memcpy(prefix, &length, kLengthBytes);
  RETURN_IF_ERROR(WriteAll(fd_, path_, prefix));
  written_ = std::max(written_, kLengthBytes + length);
  return WriteAll(fd_, path_,
                  {reinterpret_cast<const uint8_t*>(header_.data()), length});
}

absl::Status SafetensorsWriter::EndTensor() const {
  if (left_ == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(path_, ": tensor ", Quoted(slots_[begun_ - 1].name),
                   " lacks ", left_, " bytes"));
}

absl::Status SafetensorsWriter::Begin(absl::string_view name,
                                      absl::string_view dtype) {
  RETURN_IF_ERROR(EndTensor());
  if (begun_ == slots_.size() || slots_[begun_].name != name) {
    return absl::InvalidArgumentError(absl::StrCat(
        path_, ": tensor ", Quoted(name), " begins where ",
        begun_ == slots_.size() ? "none" : Quoted(slots_[begun_].name),
        " does"));
  }
  TensorSlot slot = slots_[begun_];
  slot.dtype = std::string(dtype);
  RETURN_IF_ERROR(CheckSlot(slot));
  if (DtypeBits(dtype) > DtypeBits(slots_[begun_].dtype)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path_, ": tensor ", Quoted(name), " as ", dtype,
                     ", wider than ", slots_[begun_].dtype));
  }
  left_ = *SlotBytes(slot);
  slots_[begun_++] = std::move(slot);
  return absl::OkStatus();
}

absl::Status SafetensorsWriter::Write(std::span<const uint8_t> bytes) {
  if (bytes.size() > left_) {
    return absl::InvalidArgumentError(
        absl::StrCat(path_, ": ", bytes.size() - left_,
                     " bytes more than the tensor's shape has"));
  }
  left_ -= bytes.size();
  written_ += bytes.size();
  return WriteAll(fd_, path_, bytes);
}

absl::Status SafetensorsWriter::SetMetadata(const std::string& key,
                                            const std::string& value) {
  const auto it = metadata_.find(key);
  if (it == metadata_.end() || it->second.size() != value.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("no room for metadata ", Quoted(key)));
  }
  it->second = value;
  return absl::OkStatus();
}

absl::Status SafetensorsWriter::Finish() {
  RETURN_IF_ERROR(EndTensor());
  if (begun_ != slots_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path_, ": ", begun_, " of ", slots_.size(), " tensors"));
  }
  ASSIGN_OR_RETURN(std::string header, HeaderText(slots_, metadata_));
  if (header != header_) {
    // Offsets have become smaller; names of dtypes may have become longer.
    if (header.size() > header_.size()) {
      return absl::InternalError(absl::StrCat(path_, ": the header has grown"));
    }
    header.resize(header_.size(), ' ');
    header_ = std::move(header);
    RETURN_IF_ERROR(WriteHeader());
  }
  if (fsync(fd_) != 0 || rename(temporary_.c_str(), path_.c_str()) != 0) {
    return FileError(errno, path_, "store");
  }
  temporary_.clear();
  return absl::OkStatus();
}

absl::Status WriteSafetensors(
    const std::string& path, std::span<const TensorData> tensors,
    const std::map<std::string, std::string>& metadata) {
  std::vector<const TensorData*> order;
  for (const TensorData& tensor : tensors) {
    const TensorSlot slot = {tensor.name, tensor.dtype, tensor.shape};
    if (!CheckSlot(slot).ok() || SlotBytes(slot) != tensor.data.size()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "cannot write tensor ", Quoted(tensor.name), ", ", tensor.data.size(),
          " bytes, as ", ToString(tensor.shape), " of ", Quoted(tensor.dtype)));
    }
    order.push_back(&tensor);
  }
  // Wide elements first: each tensor then begins at a multiple of its element.
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    const int a_bits = DtypeBits(a->dtype), b_bits = DtypeBits(b->dtype);
    return a_bits != b_bits ? a_bits > b_bits : a->name < b->name;
  });
  std::vector<TensorSlot> slots;
  for (const TensorData* const tensor : order) {
    slots.push_back({tensor->name, tensor->dtype, tensor->shape});
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<SafetensorsWriter> writer,
                   SafetensorsWriter::Create(path, std::move(slots), metadata));
  for (const TensorData* const tensor : order) {
    RETURN_IF_ERROR(writer->Begin(tensor->name, tensor->dtype));
    RETURN_IF_ERROR(writer->Write(tensor->data));
  }
  return writer->Finish();
}

}  // namespace tacit

// Reading and writing safetensors files.
//
// Format, https://github.com/huggingface/safetensors: eight bytes with the
// header's length, little-endian; the header, a JSON object that gives each
// tensor's dtype, shape and place; the tensors' bytes, little-endian,
// row-major, one after the other.
#ifndef TACIT_COMMON_MODELS_SAFETENSORS_H_
#define TACIT_COMMON_MODELS_SAFETENSORS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tacit {

using TensorShape = std::vector<int64_t>;

// "[2, 3]"; "[]" is a scalar.
std::string ToString(std::span<const int64_t> shape);

struct TensorInfo {
  std::string dtype;  // as the format spells it: "F32", "BF16", "I64", ...
  TensorShape shape;  // each >= 0
  uint64_t bytes = 0;
};

// The tensors of one file, or of the shards of an index. Files are mapped:
// opening reads headers only, and the files must not change while this exists
// (a mapped file that gets shorter ends the process with SIGBUS).
//
// Everything in the files is checked before use. Thread-safe.
class Checkpoint {
 public:
  // `path` is a .safetensors file, a .safetensors.index.json file, or a folder
  // with model.safetensors or else model.safetensors.index.json.
  // Errors: NOT_FOUND if a file is missing; INVALID_ARGUMENT if one is broken.
  //   Messages name the file and the tensor.
  static absl::StatusOr<Checkpoint> Open(const std::string& path);

  Checkpoint(Checkpoint&&) noexcept;
  Checkpoint& operator=(Checkpoint&&) noexcept;
  ~Checkpoint();

  // Sorted.
  std::vector<std::string> names() const;
  bool Has(absl::string_view name) const;
  // Errors: NOT_FOUND, with names that are near.
  absl::StatusOr<TensorInfo> Info(absl::string_view name) const;

  // The files' free-form strings (`__metadata__`).
  const std::map<std::string, std::string>& metadata() const;

  // The tensor in row-major order, whatever its dtype is of F32, F16 and BF16;
  // these conversions are exact.
  // Errors: NOT_FOUND for a missing tensor, with names that are near;
  //   INVALID_ARGUMENT for another shape (the message has both), and for a NaN
  //   or an infinity, with its place; UNIMPLEMENTED for another dtype.
  absl::StatusOr<std::vector<float>> ReadFloat(
      absl::string_view name, std::span<const int64_t> shape) const;
  absl::Status ReadFloat(absl::string_view name, std::span<const int64_t> shape,
                         std::span<float> out) const;

  // The tensor's bytes in the mapped file, not aligned; valid as long as this.
  // Errors: NOT_FOUND; INVALID_ARGUMENT for another dtype or shape.
  absl::StatusOr<std::span<const uint8_t>> Bytes(
      absl::string_view name, absl::string_view dtype,
      std::span<const int64_t> shape) const;

  // Gives the memory of a tensor's pages back; they are read again when needed.
  // ReadFloat does so by itself.
  void Release(absl::string_view name) const;

 private:
  struct Impl;
  explicit Checkpoint(std::unique_ptr<const Impl> impl);

  std::unique_ptr<const Impl> impl_;
};

// A tensor to be written; `data` is little-endian and row-major.
struct TensorData {
  std::string name;
  std::string dtype;
  TensorShape shape;
  std::span<const uint8_t> data;
};

inline std::span<const uint8_t> AsBytes(std::span<const float> values) {
  return {reinterpret_cast<const uint8_t*>(values.data()),
          values.size() * sizeof(float)};
}

// Writes one file, readable by its owner only: at `path` there is the old file
// or the new one, never a part. The bytes depend on the arguments only; tensors
// are put in order of alignment, then name.
// Errors: INVALID_ARGUMENT for a dtype, shape or size that do not fit together
//   and for a name twice; RESOURCE_EXHAUSTED if the disk is full,
//   PERMISSION_DENIED, or INTERNAL if the file system refuses otherwise.
absl::Status WriteSafetensors(
    const std::string& path, std::span<const TensorData> tensors,
    const std::map<std::string, std::string>& metadata = {});

// A tensor to come.
struct TensorSlot {
  std::string name;
  std::string dtype;  // the widest that it may turn out to have
  TensorShape shape;
};

// The same piece by piece: no more needs to be in memory than a piece. A file
// that was not finished leaves nothing behind.
class SafetensorsWriter {
 public:
  using Metadata = std::map<std::string, std::string>;

  // Errors: WriteSafetensors', here and below.
  static absl::StatusOr<std::unique_ptr<SafetensorsWriter>> Create(
      const std::string& path, std::vector<TensorSlot> slots,
      Metadata metadata = {});
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;
  ~SafetensorsWriter();

  // Begins the next tensor: in the order of the slots, none left out.
  absl::Status Begin(absl::string_view name, absl::string_view dtype);
  // The next bytes of its data.
  absl::Status Write(std::span<const uint8_t> bytes);
  // Replaces a value by one of the same length.
  absl::Status SetMetadata(const std::string& key, const std::string& value);
  // All tensors are complete: the file appears at its path.
  absl::Status Finish();

  uint64_t bytes() const { return written_; }  // so far, header included

 private:
  SafetensorsWriter(std::string path, std::vector<TensorSlot> slots,
                    Metadata metadata);
  absl::Status Open();
  absl::Status WriteHeader();
  absl::Status EndTensor() const;

  const std::string path_;
  std::string temporary_;
  int fd_ = -1;
  std::vector<TensorSlot> slots_;
  Metadata metadata_;
  std::string header_;  // as written
  size_t begun_ = 0;    // tensors
  uint64_t left_ = 0;   // bytes that the current one lacks
  uint64_t written_ = 0;
};

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_SAFETENSORS_H_

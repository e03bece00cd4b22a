#include "common/models/provision_format.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/buffer.h"
#include "common/base/status_macros.h"
#include "common/models/files.h"
#include "common/models/json_file.h"

namespace tacit {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kIdBytes = 16;

// The seed file's layout, in bytes.
constexpr char kSeedMagic[] = "tacsed01";
constexpr size_t kMagicBytes = sizeof(kSeedMagic) - 1;
constexpr size_t kIdAt = kMagicBytes;
constexpr size_t kRoleAt = kIdAt + kIdBytes, kModeAt = kRoleAt + 1;
constexpr size_t kSeedAt = 32, kHashAt = kSeedAt + Seed::kBytes;
constexpr size_t kHashBytes = 32;
constexpr size_t kSeedFileBytes = kHashAt + kHashBytes;
static_assert(kModeAt < kSeedAt);

absl::Status Sha256(std::span<const uint8_t> bytes,
                    std::span<uint8_t, kHashBytes> digest) {
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr,
                 EVP_sha256(), nullptr) == 1) {
    return absl::OkStatus();
  }
  return absl::InternalError("OpenSSL: SHA-256 failed");
}

absl::StatusOr<std::string> StringField(const nlohmann::json& json,
                                        const char* name) {
  const auto it = json.find(name);
  if (it == json.end() || !it->is_string()) {
    return absl::InvalidArgumentError(absl::StrCat("no string \"", name, "\""));
  }
  return it->get<std::string>();
}

absl::Status CheckHex(const char* name, absl::string_view text, size_t bytes) {
  if (text.size() == 2 * bytes &&
      std::all_of(text.begin(), text.end(), absl::ascii_isxdigit)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", name, "\" is ", Quoted(text), ", not ", bytes, " bytes in hex"));
}

template <typename Value>
absl::StatusOr<Value> OneOf(const char* name, absl::string_view text,
                            std::initializer_list<Value> values) {
  std::string known;
  for (Value value : values) {
    if (ToString(value) == text) return value;
    absl::StrAppend(&known, known.empty() ? "" : ", ", ToString(value));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", name, "\" is ", Quoted(text), ", none of ", known));
}

// What the record says before the seed.
void FillSeedHeader(const FolderInfo& info, std::span<uint8_t> record) {
  std::memcpy(record.data(), kSeedMagic, kMagicBytes);
  const std::string id = absl::HexStringToBytes(info.provision);
  std::memcpy(record.data() + kIdAt, id.data(), std::min(id.size(), kIdBytes));
  record[kRoleAt] = static_cast<uint8_t>(info.role);
  record[kModeAt] = static_cast<uint8_t>(info.weights);
}

// Into a buffer that is wiped.
absl::StatusOr<Bytes> ReadSecretFile(const std::string& path, size_t size) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 && errno == ENOENT) {
    return absl::NotFoundError(absl::StrCat(path, ": no such file"));
  }
  if (fd < 0) return FileError(errno, path, "open");
  const absl::Cleanup close_fd = [fd] { close(fd); };
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) ||
      static_cast<uint64_t>(info.st_size) != size) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": not a file of ", size, " bytes"));
  }
  if ((info.st_mode & S_IRWXO) != 0) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "%s: a secret, but everyone may use it (mode %04o); chmod 600 it", path,
        info.st_mode & 07777));
  }
  Bytes bytes(size);
  if (read(fd, bytes.data(), size) != static_cast<ssize_t>(size)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": cannot be read"));
  }
  return bytes;
}

}  // namespace

absl::string_view ToString(FolderRole role) {
  constexpr absl::string_view kNames[] = {"dealer", "party0", "party1",
                                          "gateway"};
  return kNames[static_cast<size_t>(role)];
}

absl::string_view ToString(WeightMode mode) {
  return mode == WeightMode::kBlind ? "blind" : "dealer-held";
}

bool IsTokenizerFile(absl::string_view name) {
  for (absl::string_view whole :
       {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
        "added_tokens.json", "tokenizer.model"}) {
    if (name == whole) return true;
  }
  for (absl::string_view beginning : {"vocab", "merges", "chat_template"}) {
    if (absl::StartsWith(name, beginning)) return true;
  }
  return false;
}

bool IsProvisionedFile(absl::string_view name) {
  for (const char* own : {kConfigName, kGenerationName, kPlanName, kWeightsName,
                          kSeedName, kEmbeddingName}) {
    if (name == own) return true;
  }
  return IsTokenizerFile(name);
}

bool HasWeights(FolderRole role, WeightMode mode) {
  if (mode == WeightMode::kDealerHeld) {
    return role == FolderRole::kDealer || role == FolderRole::kParty1;
  }
  return role == FolderRole::kParty0 || role == FolderRole::kParty1;
}

bool HasSeed(FolderRole role, WeightMode mode) {
  if (mode == WeightMode::kDealerHeld) return role == FolderRole::kParty0;
  return role != FolderRole::kGateway;
}

std::string ToJson(const FolderInfo& info) {
  Json json = {{"role", std::string(ToString(info.role))},
               {"model", info.model},
               {"weights", std::string(ToString(info.weights))},
               {"gateway_embedding", info.gateway_embedding},
               {"provision", info.provision},
               {"digest", info.digest}};
  json.update(Json::parse(ToJson(info.plan)));
  return json.dump(2) + "\n";
}

absl::Status CheckModelName(absl::string_view name) {
  constexpr size_t kLongest = 128;
  const bool printable =
      std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return absl::ascii_isgraph(c) && c != '"' && c != '\\' && c != '\'';
      });
  if (printable && !name.empty() && name.size() <= kLongest) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "a model's name is of 1 to ", kLongest,
      " printable ASCII characters without spaces, quotes and backslashes; ",
      Quoted(name), " is not: choose one with --name"));
}

absl::StatusOr<FolderInfo> ParseFolderInfo(absl::string_view text) {
  constexpr int kDepth = 5;
  FolderInfo info;
  ASSIGN_OR_RETURN(info.plan, ParsePlanFile(text));
  ASSIGN_OR_RETURN(const nlohmann::json json,
                   ParseJsonObject("plan", text, kDepth));
  ASSIGN_OR_RETURN(const std::string role, StringField(json, "role"));
  ASSIGN_OR_RETURN(info.role,
                   OneOf("role", role,
                         {FolderRole::kDealer, FolderRole::kParty0,
                          FolderRole::kParty1, FolderRole::kGateway}));
  ASSIGN_OR_RETURN(const std::string mode, StringField(json, "weights"));
  ASSIGN_OR_RETURN(
      info.weights,
      OneOf("weights", mode, {WeightMode::kDealerHeld, WeightMode::kBlind}));
  ASSIGN_OR_RETURN(info.model, StringField(json, "model"));
  RETURN_IF_ERROR(CheckModelName(info.model));
  ASSIGN_OR_RETURN(info.provision, StringField(json, "provision"));
  RETURN_IF_ERROR(CheckHex("provision", info.provision, kIdBytes));
  ASSIGN_OR_RETURN(info.digest, StringField(json, "digest"));
  RETURN_IF_ERROR(CheckHex("digest", info.digest, PlanDigest().size()));
  const auto embedding = json.find("gateway_embedding");
  if (embedding == json.end() || !embedding->is_boolean()) {
    return absl::InvalidArgumentError(
        "\"gateway_embedding\" is not true or false");
  }
  info.gateway_embedding = embedding->get<bool>();
  return info;
}

absl::Status CheckGatewayEmbedding(const ModelPlan& plan) {
  if (KindOf(plan) == ModelKind::kDecoder) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "a classifier's tokens are looked up between the parties: leave out "
      "--client-embedding");
}

absl::StatusOr<PlanDigest> SessionDigest(const FolderInfo& info,
                                         const PlanDigest& plan) {
  const std::string text = absl::StrCat("tacit provision 1 ", ToHex(plan), " ",
                                        absl::AsciiStrToLower(info.provision),
                                        " ", ToString(info.weights));
  PlanDigest digest;
  RETURN_IF_ERROR(Sha256(
      {reinterpret_cast<const uint8_t*>(text.data()), text.size()}, digest));
  return digest;
}

absl::Status WriteSeedFile(const std::string& path, const FolderInfo& info,
                           const Seed& seed) {
  Bytes record = Bytes::Zeroed(kSeedFileBytes);
  const std::span<uint8_t> all(record);
  FillSeedHeader(info, all);
  std::copy(seed.bytes().begin(), seed.bytes().end(), record.begin() + kSeedAt);
  RETURN_IF_ERROR(
      Sha256(all.first(kHashAt), all.subspan<kHashAt, kHashBytes>()));
  return WriteNewFile(path, all);
}

absl::StatusOr<Seed> ReadSeedFile(const std::string& path,
                                  const FolderInfo& info) {
  ASSIGN_OR_RETURN(const Bytes record, ReadSecretFile(path, kSeedFileBytes));
  const std::span<const uint8_t> all(record);
  std::array<uint8_t, kHashBytes> hash;
  RETURN_IF_ERROR(Sha256(all.first(kHashAt), hash));
  if (!std::equal(hash.begin(), hash.end(), record.begin() + kHashAt)) {
    return absl::DataLossError(
        absl::StrCat(path, ": damaged; copy it again, or provision again"));
  }
  std::array<uint8_t, kSeedAt> expected = {};
  FillSeedHeader(info, expected);
  if (!std::equal(expected.begin(), expected.end(), record.begin())) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": not written for ", ToString(info.role), ", ",
                     ToString(info.weights), ", in the same run as ", kPlanName,
                     " beside it: do not mix folders"));
  }
  std::array<uint8_t, Seed::kBytes> bytes;
  std::copy_n(record.begin() + kSeedAt, bytes.size(), bytes.begin());
  Seed seed(bytes);
  SecureWipe(bytes.data(), bytes.size());
  return seed;
}

std::map<std::string, std::string> WeightsMetadata(const FolderInfo& info) {
  return {{kRoleKey, std::string(ToString(info.role))},
          {kModeKey, std::string(ToString(info.weights))},
          {kProvisionKey, info.provision},
          {kChecksumKey, WeightsChecksum().Hex()}};
}

WeightsChecksum::WeightsChecksum() : state_(XXH3_createState()) {
  XXH3_128bits_reset(state_.get());
}
void WeightsChecksum::Add(std::span<const uint8_t> bytes) {
  XXH3_128bits_update(state_.get(), bytes.data(), bytes.size());
}
std::string WeightsChecksum::Hex() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_.get());
  return absl::StrFormat("%016x%016x", hash.high64, hash.low64);
}

}  // namespace tacit

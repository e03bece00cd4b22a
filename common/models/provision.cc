#include "common/models/provision.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/models/config.h"
#include "common/models/json_file.h"
#include "common/models/provision_format.h"
#include "common/models/safetensors.h"
#include "common/prg/prg.h"
#include "common/ring/ring.h"

namespace tacit {
namespace {

constexpr size_t kMaxPlanBytes = size_t{64} << 20;

std::string In(const std::string& folder, absl::string_view name) {
  return absl::StrCat(folder, "/", name);
}

absl::Status About(absl::string_view path, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(path, ": ", status.message()));
}

absl::Status CheckRole(const std::string& folder, const ProvisionedPlan& plan,
                       FolderRole wanted) {
  if (plan.info.role == wanted) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(folder, " was provisioned for ", ToString(plan.info.role),
                   ", not for ", ToString(wanted)));
}

TensorShape StoredShape(const MatrixSpec& spec) {
  return {static_cast<int64_t>(spec.rows()),
          static_cast<int64_t>(spec.columns())};
}

// The role's weights.safetensors.
class WeightsReader {
 public:
  static absl::StatusOr<WeightsReader> Open(const std::string& folder,
                                            const FolderInfo& info) {
    const std::string path = In(folder, kWeightsName);
    ASSIGN_OR_RETURN(Checkpoint file, Checkpoint::Open(path));
    WeightsReader reader(path, std::move(file),
                         info.role == FolderRole::kDealer);
    for (const auto& [key, wanted] : WeightsMetadata(info)) {
      const auto it = reader.file_.metadata().find(key);
      if (it == reader.file_.metadata().end()) {
        return absl::InvalidArgumentError(
            absl::StrCat(path, ": its metadata has no ", Quoted(key)));
      }
      if (key != kChecksumKey && it->second != wanted) {
        return absl::FailedPreconditionError(absl::StrCat(
            path, ": ", key, " is ", Quoted(it->second), ", while ", kPlanName,
            " beside it has ", Quoted(wanted), ": do not mix folders"));
      }
    }
    return reader;
  }

  absl::StatusOr<Words> Read(const std::string& name, const MatrixSpec& spec) {
    ASSIGN_OR_RETURN(const TensorInfo info, file_.Info(name));
    ++tensors_;
    const bool narrow = is_dealer_ && info.dtype == "I32";
    const char* const dtype = narrow ? "I32" : is_dealer_ ? "I64" : "U64";
    ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes,
                     file_.Bytes(name, dtype, StoredShape(spec)));
    checksum_.Add(bytes);
    // Not before the shapes agree: memory is that of the file, not of a claim.
    Words words(spec.inputs * spec.outputs);
    if (narrow) {
      for (size_t i = 0; i < words.size(); ++i) {
        int32_t value;  // not aligned in the file
        std::memcpy(&value, bytes.data() + i * sizeof(value), sizeof(value));
        words[i] = static_cast<uint64_t>(int64_t{value});
      }
    } else if (!bytes.empty()) {
      std::memcpy(words.data(), bytes.data(), bytes.size());
    }
    file_.Release(name);
    return words;
  }

  // After all tensors.
  absl::Status Finish() const {
    if (file_.names().size() != tensors_) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ": ", file_.names().size(), " tensors; the plan ",
                       "has ", tensors_));
    }
    if (file_.metadata().find(kChecksumKey)->second == checksum_.Hex()) {
      return absl::OkStatus();
    }
    return absl::DataLossError(
        absl::StrCat(path_, ": damaged; copy it again, or provision again"));
  }

 private:
  WeightsReader(std::string path, Checkpoint file, bool is_dealer)
      : path_(std::move(path)), file_(std::move(file)), is_dealer_(is_dealer) {}

  std::string path_;
  Checkpoint file_;
  bool is_dealer_;
  WeightsChecksum checksum_;
  size_t tensors_ = 0;
};

// What a role holds, matrix by matrix.
class RoleLoader {
 public:
  RoleLoader(const std::string& folder, const FolderInfo& info)
      : folder_(folder), info_(info) {}

  absl::Status Open() {
    if (HasSeed(info_.role, info_.weights)) {
      ASSIGN_OR_RETURN(const Seed seed,
                       ReadSeedFile(In(folder_, kSeedName), info_));
      if (info_.role == FolderRole::kDealer) {  // blind: of both streams
        ASSIGN_OR_RETURN(const WeightSeeds both, WeightSeeds::Derive(seed));
        streams_ = {both.stream[0], both.stream[1]};
      } else {
        streams_ = {seed};
      }
    }
    if (!HasWeights(info_.role, info_.weights)) return absl::OkStatus();
    ASSIGN_OR_RETURN(WeightsReader file, WeightsReader::Open(folder_, info_));
    file_.emplace(std::move(file));
    return absl::OkStatus();
  }

  absl::Status Load(const std::string& name, const MatrixSpec& spec,
                    StaticMatrix& out) {
    out = spec.ShapeOnly(info_.weights);
    if (info_.role == FolderRole::kDealer) {
      return LoadDealer(name, spec, out);
    }
    return LoadParty(name, spec, out);
  }

  absl::Status Finish() const {
    return file_.has_value() ? file_->Finish() : absl::OkStatus();
  }

 private:
  absl::Status LoadDealer(const std::string& name, const MatrixSpec& spec,
                          StaticMatrix& out) {
    Words value;
    if (file_.has_value()) {
      ASSIGN_OR_RETURN(value, file_->Read(name, spec));
    } else {  // r_W
      ASSIGN_OR_RETURN(value, Expand(streams_[0], name, spec));
      ASSIGN_OR_RETURN(const Seed seed, MatrixSeed(streams_[1], name));
      Prg(seed).AddTo(0, std::span<uint64_t>(value));
    }
    out.value = std::make_shared<Words>(std::move(value));
    return absl::OkStatus();
  }

  absl::Status LoadParty(const std::string& name, const MatrixSpec& spec,
                         StaticMatrix& out) {
    Words part;
    if (!file_.has_value()) {  // W_0
      ASSIGN_OR_RETURN(part, Expand(streams_[0], name, spec));
    } else if (info_.weights == WeightMode::kDealerHeld) {  // W_1
      ASSIGN_OR_RETURN(part, file_->Read(name, spec));
    } else {  // W_b = b W_hat - [r_W]_b
      ASSIGN_OR_RETURN(Words hat, file_->Read(name, spec));
      ASSIGN_OR_RETURN(const Seed seed, MatrixSeed(streams_[0], name));
      part = info_.role == FolderRole::kParty1 ? hat.Clone()
                                               : Words::Zeroed(hat.size());
      Prg(seed).SubtractFrom(0, std::span<uint64_t>(part));
      out.hat = std::make_shared<Words>(std::move(hat));
    }
    out.part = std::make_shared<Words>(std::move(part));
    return absl::OkStatus();
  }

  static absl::StatusOr<Words> Expand(const Seed& stream,
                                      const std::string& name,
                                      const MatrixSpec& spec) {
    ASSIGN_OR_RETURN(const Seed seed, MatrixSeed(stream, name));
    Words words(spec.inputs * spec.outputs);
    Prg(seed).Fill(0, std::span<uint64_t>(words));
    return words;
  }

  const std::string& folder_;
  const FolderInfo& info_;
  std::vector<Seed> streams_;
  std::optional<WeightsReader> file_;
};

// A seed's expansion is as large as the configuration says.
absl::Status CheckMemory(const ModelSpecs& specs, int buffers) {
  double bytes = 0;
  ForEachMatrix(specs, [&](const std::string&, const MatrixSpec& spec) {
    bytes += static_cast<double>(spec.inputs) *
             static_cast<double>(spec.outputs) * sizeof(uint64_t) * buffers;
  });
  const double memory = static_cast<double>(sysconf(_SC_PHYS_PAGES)) *
                        static_cast<double>(sysconf(_SC_PAGESIZE));
  if (bytes <= memory) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("the weights take ", bytes / 1e9, " GB; this machine has ",
                   memory / 1e9, " GB of memory"));
}

// Matrices without anything, as many as `specs` has.
template <template <typename> class Tensors>
ModelMatrices RoomFor(const Tensors<MatrixSpec>& specs) {
  Tensors<StaticMatrix> out;
  out.Like(specs);
  return out;
}

absl::StatusOr<ModelMatrices> LoadMatrices(const std::string& folder,
                                           const ProvisionedPlan& plan,
                                           FolderRole role) {
  RETURN_IF_ERROR(CheckRole(folder, plan, role));
  const FolderInfo& info = plan.info;
  const ModelSpecs specs = SpecsOf(plan.plan);
  const bool with_hat =
      info.weights == WeightMode::kBlind && role != FolderRole::kDealer;
  RETURN_IF_ERROR(CheckMemory(specs, with_hat ? 2 : 1));
  RoleLoader loader(folder, info);
  RETURN_IF_ERROR(loader.Open());
  ModelMatrices out =
      std::visit([](const auto& tensors) { return RoomFor(tensors); }, specs);
  std::vector<StaticMatrix*> to;
  ForEachMatrix(out,
                [&](const std::string&, StaticMatrix& m) { to.push_back(&m); });
  absl::Status status;
  size_t index = 0;
  ForEachMatrix(specs, [&](const std::string& name, const MatrixSpec& spec) {
    StaticMatrix& matrix = *to[index++];
    if (!status.ok() || spec.outputs == 0) return;
    status = loader.Load(name, spec, matrix);
  });
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(loader.Finish());
  return out;
}

absl::StatusOr<ModelWeights> LoadEmbedding(const std::string& folder,
                                           const ModelConfig& config) {
  ModelWeights out;
  out.config = config;
  ASSIGN_OR_RETURN(const Checkpoint file,
                   Checkpoint::Open(In(folder, kEmbeddingName)));
  const TensorShape tokens = {config.vocab_size, config.hidden_size};
  ASSIGN_OR_RETURN(out.embedding, file.ReadFloat("embedding", tokens));
  if (config.uses_rope()) return out;
  const TensorShape positions = {config.max_positions, config.hidden_size};
  ASSIGN_OR_RETURN(out.positions, file.ReadFloat("positions", positions));
  return out;
}

}  // namespace

absl::StatusOr<ProvisionedPlan> LoadProvisionedPlan(const std::string& folder) {
  const std::string path = In(folder, kPlanName);
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path, kMaxPlanBytes));
  absl::StatusOr<FolderInfo> info = ParseFolderInfo(text);
  RETURN_IF_ERROR(About(path, info.status()));
  ASSIGN_OR_RETURN(const ModelConfig config, LoadModelConfig(folder));
  absl::StatusOr<ModelPlan> plan = PlanOf(config, info->plan);
  RETURN_IF_ERROR(About(path, plan.status()));
  ProvisionedPlan out;
  out.info = *std::move(info);
  out.plan = *std::move(plan);
  ASSIGN_OR_RETURN(out.digest, DigestOf(out.plan));
  if (ToHex(out.digest) != out.info.digest) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": its digest is ", out.info.digest,
        ", but this program makes a plan of digest ", ToHex(out.digest),
        " from it: made by another version or mathematical library, or "
        "changed: provision again"));
  }
  ASSIGN_OR_RETURN(out.session_digest, SessionDigest(out.info, out.digest));
  return out;
}

absl::StatusOr<ModelMatrices> LoadDealerMatrices(const std::string& folder,
                                                 const ProvisionedPlan& plan) {
  return LoadMatrices(folder, plan, FolderRole::kDealer);
}

absl::StatusOr<ModelMatrices> LoadPartyMatrices(const std::string& folder,
                                                int party,
                                                const ProvisionedPlan& plan) {
  return LoadMatrices(folder, plan,
                      party == 0 ? FolderRole::kParty0 : FolderRole::kParty1);
}

absl::StatusOr<GatewayFolder> LoadGatewayFolder(const std::string& folder) {
  GatewayFolder out;
  ASSIGN_OR_RETURN(out.plan, LoadProvisionedPlan(folder));
  RETURN_IF_ERROR(CheckRole(folder, out.plan, FolderRole::kGateway));
  out.tokenizer = folder;
  if (!out.plan.info.gateway_embedding) return out;
  RETURN_IF_ERROR(
      About(In(folder, kPlanName), CheckGatewayEmbedding(out.plan.plan)));
  ASSIGN_OR_RETURN(out.embedding,
                   LoadEmbedding(folder, ConfigOf(out.plan.plan)));
  return out;
}

}  // namespace tacit

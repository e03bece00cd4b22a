#include "common/models/split_model.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "common/models/files.h"
#include "common/models/provision_format.h"
#include "common/models/safetensors.h"
#include "common/models/staged_folders.h"
#include "common/prg/prg.h"

namespace tacit {
namespace {

namespace fs = std::filesystem;

// Words that are masked and written at a time; even, as PRG blocks are of two.
constexpr size_t kBlockWords = size_t{1} << 17;

std::span<const uint8_t> AsBytes(std::span<const uint64_t> words) {
  return {reinterpret_cast<const uint8_t*>(words.data()),
          words.size() * sizeof(uint64_t)};
}

bool FitsInt32(std::span<const uint64_t> words) {
  using Limits = std::numeric_limits<int32_t>;
  return std::all_of(words.begin(), words.end(), [](uint64_t word) {
    const int64_t value = static_cast<int64_t>(word);
    return value >= Limits::min() && value <= Limits::max();
  });
}

// One role's weights.safetensors.
class WeightsWriter {
 public:
  static absl::StatusOr<WeightsWriter> Create(const std::string& path,
                                              const FolderInfo& info,
                                              const ModelSpecs& specs) {
    WeightsWriter out;
    out.dtype_ = info.role == FolderRole::kDealer ? "I64" : "U64";
    std::vector<TensorSlot> slots;
    ForEachMatrix(specs, [&](const std::string& name, const MatrixSpec& spec) {
      if (spec.outputs == 0) return;
      slots.push_back({name,
                       out.dtype_,
                       {static_cast<int64_t>(spec.rows()),
                        static_cast<int64_t>(spec.columns())}});
    });
    ASSIGN_OR_RETURN(out.file_,
                     SafetensorsWriter::Create(path, std::move(slots),
                                               WeightsMetadata(info)));
    return out;
  }

  // `narrow`: as I32.
  absl::Status Begin(const std::string& name, bool narrow) {
    narrow_ = narrow;
    return file_->Begin(name, narrow ? "I32" : dtype_);
  }
  absl::Status Write(std::span<const uint64_t> words) {
    if (!narrow_) return Write(AsBytes(words));
    Buffer<uint32_t> narrowed(words.size());
    for (size_t i = 0; i < words.size(); ++i) {
      narrowed[i] = static_cast<uint32_t>(words[i]);
    }
    return Write(std::span(reinterpret_cast<const uint8_t*>(narrowed.data()),
                           narrowed.size() * sizeof(uint32_t)));
  }
  absl::Status Finish() {
    RETURN_IF_ERROR(file_->SetMetadata(kChecksumKey, checksum_.Hex()));
    return file_->Finish();
  }

 private:
  absl::Status Write(std::span<const uint8_t> bytes) {
    checksum_.Add(bytes);
    return file_->Write(bytes);
  }

  std::string dtype_;
  bool narrow_ = false;
  WeightsChecksum checksum_;
  std::unique_ptr<SafetensorsWriter> file_;
};

// All roles' weights, matrix by matrix.
class WeightsSplitter {
 public:
  WeightsSplitter(WeightMode mode, WeightSeeds seeds)
      : mode_(mode), seeds_(std::move(seeds)) {}

  void Take(FolderRole role, WeightsWriter writer) {
    (role == FolderRole::kDealer ? dealer_ : parties_)
        .push_back(std::move(writer));
  }

  absl::Status Add(const ModelSpecs& specs) {
    absl::Status status;
    ForEachMatrix(specs, [&](const std::string& name, const MatrixSpec& spec) {
      if (status.ok() && spec.outputs != 0) status = AddMatrix(name, spec);
    });
    return status;
  }

  absl::Status Finish() {
    for (WeightsWriter& writer : dealer_) RETURN_IF_ERROR(writer.Finish());
    for (WeightsWriter& writer : parties_) RETURN_IF_ERROR(writer.Finish());
    return absl::OkStatus();
  }

 private:
  absl::Status AddMatrix(const std::string& name, const MatrixSpec& spec) {
    ASSIGN_OR_RETURN(Words values, EncodeMatrix(spec, name));
    ASSIGN_OR_RETURN(const Seed seed0, MatrixSeed(seeds_.stream[0], name));
    ASSIGN_OR_RETURN(const Seed seed1, MatrixSeed(seeds_.stream[1], name));
    const Prg stream0(seed0), stream1(seed1);
    for (WeightsWriter& writer : dealer_) {
      RETURN_IF_ERROR(writer.Begin(name, FitsInt32(values)));
    }
    for (WeightsWriter& writer : parties_) {
      RETURN_IF_ERROR(writer.Begin(name, false));
    }
    for (size_t begin = 0; begin < values.size(); begin += kBlockWords) {
      const std::span<uint64_t> block(
          values.data() + begin, std::min(kBlockWords, values.size() - begin));
      const uint64_t position = begin / 2;  // in blocks of the streams
      for (WeightsWriter& writer : dealer_) {
        RETURN_IF_ERROR(writer.Write(block));
      }
      if (mode_ == WeightMode::kDealerHeld) {  // W_1 = W - W_0
        stream0.SubtractFrom(position, block);
      } else {  // W_hat = W + r_W
        stream0.AddTo(position, block);
        stream1.AddTo(position, block);
      }
      for (WeightsWriter& writer : parties_) {
        RETURN_IF_ERROR(writer.Write(block));
      }
    }
    return absl::OkStatus();
  }

  const WeightMode mode_;
  const WeightSeeds seeds_;
  std::vector<WeightsWriter> dealer_;   // W
  std::vector<WeightsWriter> parties_;  // the same words for each
};

// A run of provisioning.
class Splitter {
 public:
  Splitter(const SplitOptions& options, SeedSource& source)
      : options_(options), source_(source) {}

  absl::StatusOr<SplitResult> Run() {
    RETURN_IF_ERROR(CheckModelName(options_.name));
    ASSIGN_OR_RETURN(const ModelConfig config, LoadModelConfig(options_.model));
    RETURN_IF_ERROR(MakePlan(config));
    RETURN_IF_ERROR(FindTokenizer());
    ASSIGN_OR_RETURN(const Checkpoint checkpoint,
                     Checkpoint::Open(options_.model));
    RETURN_IF_ERROR(Stage());
    for (FolderRole role : kFolderRoles) RETURN_IF_ERROR(WriteSmallFiles(role));
    RETURN_IF_ERROR(WriteWeights(checkpoint));
    SplitResult result;
    for (FolderRole role : kFolderRoles) {
      ASSIGN_OR_RETURN(result.bytes[role], SizeOf(role));
    }
    RETURN_IF_ERROR(folders_->Commit());
    result.plan = std::move(plan_);
    return result;
  }

 private:
  absl::Status FindTokenizer() {
    std::error_code error;
    for (const fs::directory_entry& entry :
         fs::directory_iterator(options_.model, error)) {
      const std::string name = entry.path().filename().string();
      if (IsTokenizerFile(name) && entry.is_regular_file(error)) {
        tokenizer_.push_back(name);
      }
    }
    std::sort(tokenizer_.begin(), tokenizer_.end());
    for (const char* vocabulary :
         {"tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model"}) {
      if (std::binary_search(tokenizer_.begin(), tokenizer_.end(),
                             vocabulary)) {
        return absl::OkStatus();
      }
    }
    return absl::NotFoundError(
        absl::StrCat(options_.model,
                     ": no tokenizer.json, vocab.json, vocab.txt or "
                     "tokenizer.model, one of which the gateway needs"));
  }

  absl::Status MakePlan(const ModelConfig& config) {
    const PlanFile& file = options_.plan;
    ASSIGN_OR_RETURN(plan_.plan, PlanOf(config, file));
    if (options_.gateway_embedding) {
      RETURN_IF_ERROR(CheckGatewayEmbedding(plan_.plan));
    }
    ASSIGN_OR_RETURN(plan_.digest, DigestOf(plan_.plan));
    ASSIGN_OR_RETURN(const Seed id, source_.Next());  // public from here on
    constexpr size_t kIdBytes = 16;
    FolderInfo& info = plan_.info;
    info.role = FolderRole::kDealer;
    info.model = options_.name;
    info.weights = options_.weights;
    info.gateway_embedding = options_.gateway_embedding;
    info.provision = absl::BytesToHexString(absl::string_view(
        reinterpret_cast<const char*>(id.bytes().data()), kIdBytes));
    info.digest = ToHex(plan_.digest);
    info.plan = file;
    ASSIGN_OR_RETURN(plan_.session_digest, SessionDigest(info, plan_.digest));
    specs_ = SpecsOf(plan_.plan);
    return absl::OkStatus();
  }

  absl::Status Stage() {
    StagedFolders::Options options;
    options.out = options_.out;
    for (FolderRole role : kFolderRoles) {
      options.names.emplace_back(ToString(role));
    }
    options.force = options_.force;
    options.known = IsProvisionedFile;
    ASSIGN_OR_RETURN(folders_, StagedFolders::Create(std::move(options)));
    return CheckSpace();
  }

  // Better now than after an hour.
  absl::Status CheckSpace() const {
    double elements = 0;
    ForEachMatrix(specs_, [&](const std::string&, const MatrixSpec& spec) {
      elements += static_cast<double>(spec.inputs * spec.outputs);
    });
    const bool held = options_.weights == WeightMode::kDealerHeld;
    const double bytes = elements * (held ? sizeof(int32_t) + sizeof(uint64_t)
                                          : 2 * sizeof(uint64_t));
    struct statvfs disk;
    if (statvfs(options_.out.c_str(), &disk) != 0) return absl::OkStatus();
    const double free =
        static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
    if (bytes <= free) return absl::OkStatus();
    return absl::ResourceExhaustedError(absl::StrFormat(
        "%s: the weights take at least %.1f GB, and %.1f GB are free",
        options_.out, bytes / 1e9, free / 1e9));
  }

  FolderInfo InfoFor(FolderRole role) const {
    FolderInfo info = plan_.info;
    info.role = role;
    return info;
  }
  std::string In(FolderRole role, absl::string_view file) const {
    return absl::StrCat(folders_->Path(ToString(role)), "/", file);
  }
  std::string InModel(absl::string_view file) const {
    return absl::StrCat(options_.model, "/", file);
  }

  absl::Status WriteSmallFiles(FolderRole role) {
    std::vector<std::string> copies = {kConfigName};
    std::error_code error;
    if (fs::exists(InModel(kGenerationName), error)) {
      copies.emplace_back(kGenerationName);
    }
    if (role == FolderRole::kGateway) {
      copies.insert(copies.end(), tokenizer_.begin(), tokenizer_.end());
    }
    for (const std::string& name : copies) {
      RETURN_IF_ERROR(CopyToNewFile(InModel(name), In(role, name)).status());
    }
    return WriteNewFile(In(role, kPlanName), ToJson(InfoFor(role)));
  }

  absl::Status WriteWeights(const Checkpoint& checkpoint) {
    ASSIGN_OR_RETURN(const Seed parent, source_.Next());
    ASSIGN_OR_RETURN(const WeightSeeds seeds, WeightSeeds::Derive(parent));
    WeightsSplitter splitter(options_.weights, seeds);
    for (FolderRole role : kFolderRoles) {
      if (HasSeed(role, options_.weights)) {
        const Seed& seed = role == FolderRole::kDealer   ? parent
                           : role == FolderRole::kParty0 ? seeds.stream[0]
                                                         : seeds.stream[1];
        RETURN_IF_ERROR(
            WriteSeedFile(In(role, kSeedName), InfoFor(role), seed));
      }
      if (!HasWeights(role, options_.weights)) continue;
      ASSIGN_OR_RETURN(
          WeightsWriter writer,
          WeightsWriter::Create(In(role, kWeightsName), InfoFor(role), specs_));
      splitter.Take(role, std::move(writer));
    }
    RETURN_IF_ERROR(AddPieces(checkpoint, splitter));
    return splitter.Finish();
  }

  // In the order of ForEachMatrix.
  absl::Status AddPieces(const Checkpoint& checkpoint,
                         WeightsSplitter& splitter) {
    return std::visit(
        [&](const auto& plan) { return AddPieces(plan, checkpoint, splitter); },
        plan_.plan);
  }

  absl::Status AddPieces(const DecoderPlan& plan, const Checkpoint& checkpoint,
                         WeightsSplitter& splitter) {
    const ModelConfig& config = plan.config;
    RETURN_IF_ERROR(Progress());
    {
      ASSIGN_OR_RETURN(const ModelWeights weights,
                       LoadEmbeddingWeights(config, checkpoint));
      RETURN_IF_ERROR(WriteEmbedding(weights));
      RETURN_IF_ERROR(splitter.Add(DecoderEmbeddingSpecs(plan, &weights)));
    }
    for (size_t i = 0; i < plan.layers.size(); ++i) {
      RETURN_IF_ERROR(Progress());
      ASSIGN_OR_RETURN(
          const LayerWeights weights,
          LoadLayerWeights(config, checkpoint, static_cast<int64_t>(i)));
      RETURN_IF_ERROR(splitter.Add(DecoderLayerSpecs(plan, i, &weights)));
    }
    RETURN_IF_ERROR(Progress());
    ASSIGN_OR_RETURN(ModelWeights weights, LoadHeadWeights(config, checkpoint));
    if (config.tied_head) {
      ASSIGN_OR_RETURN(ModelWeights tied,
                       LoadEmbeddingWeights(config, checkpoint));
      weights.embedding = std::move(tied.embedding);
    }
    return splitter.Add(DecoderHeadSpecs(plan, &weights));
  }

  absl::Status AddPieces(const EncoderPlan& plan, const Checkpoint& checkpoint,
                         WeightsSplitter& splitter) {
    const ModelConfig& config = plan.config;
    NormWeights before;  // in front of the next piece
    RETURN_IF_ERROR(Progress());
    {
      ASSIGN_OR_RETURN(ModelWeights weights,
                       LoadEmbeddingWeights(config, checkpoint));
      RETURN_IF_ERROR(splitter.Add(EncoderEmbeddingSpecs(plan, &weights)));
      before = std::move(weights.embedding_norm);
    }
    for (size_t i = 0; i < plan.layers.size(); ++i) {
      RETURN_IF_ERROR(Progress());
      ASSIGN_OR_RETURN(
          LayerWeights weights,
          LoadLayerWeights(config, checkpoint, static_cast<int64_t>(i)));
      RETURN_IF_ERROR(
          splitter.Add(EncoderLayerSpecs(plan, i, &before, &weights)));
      before = std::move(weights.mlp_norm);
    }
    RETURN_IF_ERROR(Progress());
    ASSIGN_OR_RETURN(const ModelWeights weights,
                     LoadHeadWeights(config, checkpoint));
    return splitter.Add(EncoderHeadSpecs(plan, &before, &weights));
  }

  absl::Status Progress() {
    const size_t pieces =
        static_cast<size_t>(ConfigOf(plan_.plan).num_layers) + 2;
    if (!options_.on_progress || options_.on_progress(done_++, pieces)) {
      return absl::OkStatus();
    }
    return absl::CancelledError("stopped; nothing was written");
  }

  absl::Status WriteEmbedding(const ModelWeights& weights) const {
    if (!options_.gateway_embedding) return absl::OkStatus();
    const ModelConfig& config = ConfigOf(plan_.plan);
    std::vector<TensorData> tensors = {{"embedding",
                                        "F32",
                                        {config.vocab_size, config.hidden_size},
                                        tacit::AsBytes(weights.embedding)}};
    if (!weights.positions.empty()) {
      tensors.push_back({"positions",
                         "F32",
                         {config.max_positions, config.hidden_size},
                         tacit::AsBytes(weights.positions)});
    }
    return WriteSafetensors(In(FolderRole::kGateway, kEmbeddingName), tensors);
  }

  absl::StatusOr<uint64_t> SizeOf(FolderRole role) const {
    const std::string folder = folders_->Path(ToString(role));
    std::error_code error;
    uint64_t bytes = 0;
    for (const fs::directory_entry& entry :
         fs::directory_iterator(folder, error)) {
      bytes += entry.file_size(error);
    }
    if (error) return FileError(error.value(), folder, "read");
    return bytes;
  }

  const SplitOptions& options_;
  SeedSource& source_;
  std::vector<std::string> tokenizer_;  // files
  ProvisionedPlan plan_;
  ModelSpecs specs_;  // shapes
  std::unique_ptr<StagedFolders> folders_;
  size_t done_ = 0;  // pieces
};

}  // namespace

absl::StatusOr<SplitResult> SplitModel(const SplitOptions& options,
                                       SeedSource& source) {
  return Splitter(options, source).Run();
}

}  // namespace tacit

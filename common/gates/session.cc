#include "common/gates/session.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/buffer.h"
#include "common/base/status_macros.h"

namespace tacit {
namespace {

constexpr char kMagic[8] = {'T', 'A', 'C', 'I', 'T', 'M', '0', '1'};

}  // namespace

absl::StatusOr<SessionSeeds> SessionSeeds::Generate(SeedSource& source) {
  ASSIGN_OR_RETURN(const Seed party0, source.Next());
  ASSIGN_OR_RETURN(const Seed party1, source.Next());
  ASSIGN_OR_RETURN(const Seed gateway, source.Next());
  return SessionSeeds{{party0, party1}, gateway};
}

absl::StatusOr<SessionId> GenerateSessionId(SeedSource& source) {
  ASSIGN_OR_RETURN(const Seed seed, source.Next());
  SessionId id;
  std::copy_n(seed.bytes().begin(), id.size(), id.begin());
  return id;
}

absl::StatusOr<StreamSeeds> StreamSeeds::Derive(const Seed& seed) {
  ASSIGN_OR_RETURN(const Seed mask, DeriveSeed(seed, "tacit/v1/mask"));
  ASSIGN_OR_RETURN(const Seed correlation,
                   DeriveSeed(seed, "tacit/v1/correlation"));
  ASSIGN_OR_RETURN(const Seed permutation,
                   DeriveSeed(seed, "tacit/v1/permutation"));
  return StreamSeeds{mask, correlation, permutation};
}

absl::StatusOr<Seed> InputStreamSeed(const Seed& gateway) {
  return DeriveSeed(gateway, "tacit/v1/input");
}

absl::StatusOr<std::unique_ptr<PartyStreams>> PartyStreams::Create(
    const Seed& seed) {
  ASSIGN_OR_RETURN(const StreamSeeds seeds, StreamSeeds::Derive(seed));
  return std::unique_ptr<PartyStreams>(new PartyStreams(seeds));
}

absl::StatusOr<std::unique_ptr<Prg>> GatewayStream(const Seed& gateway) {
  ASSIGN_OR_RETURN(const Seed input, InputStreamSeed(gateway));
  return std::make_unique<Prg>(input);
}

void FillMask(const BothStreams& streams, uint64_t position,
              std::span<uint64_t> mask) {
  streams[0]->mask.Fill(position, mask);
  streams[1]->mask.AddTo(position, mask);
}

void FillBitMask(const BothStreams& streams, uint64_t position,
                 std::span<uint8_t> mask) {
  Bytes other(mask.size());
  streams[0]->mask.FillBits(position, mask);
  streams[1]->mask.FillBits(position, other);
  for (size_t i = 0; i < mask.size(); ++i) mask[i] ^= other[i];
}

void SessionHeader::Write(std::span<uint8_t> record) const {
  std::fill(record.begin(), record.end(), 0);
  std::memcpy(record.data(), kMagic, sizeof(kMagic));
  record[8] = static_cast<uint8_t>(party);
  std::copy(session.begin(), session.end(), record.begin() + 16);
  std::copy(plan.begin(), plan.end(), record.begin() + 32);
  std::copy(seed.bytes().begin(), seed.bytes().end(), record.begin() + 64);
}

absl::StatusOr<SessionHeader> SessionHeader::Read(
    std::span<const uint8_t> record) {
  if (record.size() != kBytes ||
      std::memcmp(record.data(), kMagic, sizeof(kMagic)) != 0) {
    return absl::DataLossError(
        "material does not begin with a session header of this version");
  }
  std::array<uint8_t, Seed::kBytes> seed;
  std::copy_n(record.begin() + 64, seed.size(), seed.begin());
  SessionHeader header{record[8], {}, {}, Seed(seed)};
  explicit_bzero(seed.data(), seed.size());
  std::copy_n(record.begin() + 16, header.session.size(),
              header.session.begin());
  std::copy_n(record.begin() + 32, header.plan.size(), header.plan.begin());
  return header;
}

absl::Status MemorySessionLedger::Use(const SessionId& session) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (used_.insert(session).second) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat(
      "session ",
      absl::BytesToHexString(absl::string_view(
          reinterpret_cast<const char*>(session.data()), session.size())),
      " was used before; material is used once, ask the dealer for a new one"));
}

}  // namespace tacit

// What a session is made of: seeds, identity, and the header of its material.
#ifndef TACIT_COMMON_GATES_SESSION_H_
#define TACIT_COMMON_GATES_SESSION_H_

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/prg/prg.h"
#include "common/prg/seed.h"

namespace tacit {

using SessionId = std::array<uint8_t, 16>;
using PlanDigest = std::array<uint8_t, 32>;

// The seeds behind one session. Party b gets party[b], the gateway `gateway`,
// the dealer keeps all three.
struct SessionSeeds {
  Seed party[2];
  Seed gateway;

  static absl::StatusOr<SessionSeeds> Generate(SeedSource& source);
};

// A random id from `source`.
absl::StatusOr<SessionId> GenerateSessionId(SeedSource& source);

// Seeds of one party's streams, each under a label of its own. SECRET.
struct StreamSeeds {
  Seed mask, correlation, permutation;

  static absl::StatusOr<StreamSeeds> Derive(const Seed& seed);
};
// Of the stream that masks the gateway's inputs.
absl::StatusOr<Seed> InputStreamSeed(const Seed& gateway);

// One party's streams.
class PartyStreams {
 public:
  static absl::StatusOr<std::unique_ptr<PartyStreams>> Create(const Seed& seed);

  const Prg mask;         // its shares of the masks of openings
  const Prg correlation;  // its shares of correlated values, DPF roots
  const Prg permutation;  // its permutations

 private:
  explicit PartyStreams(const StreamSeeds& seeds)
      : mask(seeds.mask),
        correlation(seeds.correlation),
        permutation(seeds.permutation) {}
};
absl::StatusOr<std::unique_ptr<Prg>> GatewayStream(const Seed& gateway);

// The mask of an opening, whose shares the parties take from `position` of
// their streams: r_0 + r_1, and for bits r_0 xor r_1.
using BothStreams = std::unique_ptr<PartyStreams>[2];
void FillMask(const BothStreams& streams, uint64_t position,
              std::span<uint64_t> mask);
void FillBitMask(const BothStreams& streams, uint64_t position,
                 std::span<uint8_t> mask);

// First record of a material stream.
struct SessionHeader {
  static constexpr size_t kBytes = 96;

  int party;
  SessionId session;
  PlanDigest plan;
  Seed seed;  // this party's: SECRET

  void Write(std::span<uint8_t> record) const;
  // DATA_LOSS if the record is no header of this version.
  static absl::StatusOr<SessionHeader> Read(std::span<const uint8_t> record);
};

// Which sessions a party has begun: material is used once.
class SessionLedger {
 public:
  virtual ~SessionLedger() = default;
  // ALREADY_EXISTS if the session was used before. Thread-safe.
  virtual absl::Status Use(const SessionId& session) = 0;
};

// Forgets at the end of the process; a party service keeps its own on disk.
class MemorySessionLedger : public SessionLedger {
 public:
  absl::Status Use(const SessionId& session) override;

 private:
  std::mutex mutex_;
  std::set<SessionId> used_;  // guarded by mutex_
};

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_SESSION_H_

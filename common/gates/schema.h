// The order and size of what the dealer sends for a gate.
//
// Material has no names and no indices: the schema of a gate, computed by every
// role from public parameters alone, says what comes next. The declared cost
// of a gate follows from its schema.
#ifndef TACIT_COMMON_GATES_SCHEMA_H_
#define TACIT_COMMON_GATES_SCHEMA_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tacit {

// Cost of a gate or a program; sums of what its parts declare.
struct Cost {
  uint64_t rounds = 0;
  uint64_t opened_bytes[2] = {0, 0};    // sent by party b in openings
  uint64_t material_bytes[2] = {0, 0};  // sent by the dealer to party b
  // AES-128 block evaluations, PRG expansion and DPF trees together.
  uint64_t dealer_aes = 0;
  uint64_t party_aes[2] = {0, 0};

  uint64_t aes_calls() const {
    return dealer_aes + party_aes[0] + party_aes[1];
  }
  Cost& operator+=(const Cost& other);
  friend bool operator==(const Cost&, const Cost&) = default;
};

struct Field {
  enum class Kind {
    kShare,   // additive shares of `per_element` values over Z_{2^width}:
              // party 0 expands its half, party 1's is sent packed
    kBits,    // XOR shares of one bit, likewise
    kDpf,     // a DPF key at a secret point of [0, 2^width)
    kOneHot,  // an additive DPF key, domain 2^width, output over
              // Z_{2^lane_width}
  };
  Kind kind;
  int width;
  size_t per_element = 1;
  int lane_width = 0;
  // How a party evaluates the key: paths from root to leaf, and windows.
  int paths = 0;
  std::vector<size_t> windows = {};
};

Field ShareField(int width, size_t per_element = 1);
Field BitsField();
Field DpfField(int domain_bits, int paths, std::vector<size_t> windows = {});
Field OneHotField(int domain_bits, int lane_width);

// Fields of one element, and how elements are grouped into records.
class Schema {
 public:
  Schema(std::initializer_list<Field> fields) : fields_(fields) {}
  explicit Schema(std::vector<Field> fields) : fields_(std::move(fields)) {}

  const std::vector<Field>& fields() const { return fields_; }

  // Elements of a full record: up to 1,024, fewer where an element takes much
  // material, so that a record stays near a mebibyte.
  size_t block() const;
  // Bytes of one record of `count` elements for `party`. Exact.
  size_t RecordBytes(int party, size_t count) const;
  // Blocks of each party's correlation stream that a record takes; the same
  // for both, so that positions agree.
  uint64_t RecordPrgBlocks(size_t count) const;
  // Material and AES for n elements; no rounds, no openings.
  Cost MaterialCost(size_t n) const;

 private:
  std::vector<Field> fields_;
};

// Bytes of one field of a record for `party`, and blocks of its stream.
size_t FieldBytes(const Field& field, int party, size_t count);
uint64_t FieldPrgBlocks(const Field& field, size_t count);
// AES calls for `count` elements: dealing, and evaluating as party b,
// expansion of the party's own stream included.
uint64_t FieldDealAes(const Field& field, size_t count);
uint64_t FieldEvalAes(const Field& field, int party, size_t count);

}  // namespace tacit

#endif  // TACIT_COMMON_GATES_SCHEMA_H_

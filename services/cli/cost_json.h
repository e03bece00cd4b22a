// How commands print what a run cost.
#ifndef TACIT_SERVICES_CLI_COST_JSON_H_
#define TACIT_SERVICES_CLI_COST_JSON_H_

#include "common/gates/schema.h"
#include "nlohmann/json.hpp"

namespace tacit {

inline void AddCost(const Cost& cost, nlohmann::ordered_json& json) {
  json["rounds"] = cost.rounds;
  json["opened_bytes"] = cost.opened_bytes;
  json["material_bytes"] = cost.material_bytes;
  json["aes_calls"] = cost.aes_calls();
}

}  // namespace tacit

#endif  // TACIT_SERVICES_CLI_COST_JSON_H_

// Channels and material streams between threads of one process.
#ifndef TACIT_COMMON_CHANNEL_IN_PROCESS_H_
#define TACIT_COMMON_CHANNEL_IN_PROCESS_H_

#include <memory>
#include <utility>

#include "absl/time/time.h"
#include "common/channel/channel.h"

namespace tacit {

struct InProcessOptions {
  absl::Duration timeout = absl::Minutes(5);   // for one wait
  size_t material_capacity = size_t{4} << 20;  // bytes in flight per party
};

// Both ends of a link between the parties.
std::pair<std::unique_ptr<Channel>, std::unique_ptr<Channel>>
MakeInProcessChannel(const InProcessOptions& options = {});

// Both ends of one party's material stream. A record may exceed the capacity;
// it then travels alone.
std::pair<std::unique_ptr<MaterialSink>, std::unique_ptr<MaterialSource>>
MakeInProcessMaterial(const InProcessOptions& options = {});

}  // namespace tacit

#endif  // TACIT_COMMON_CHANNEL_IN_PROCESS_H_

// The request that tests with the roles as processes make.
#ifndef TACIT_TESTS_REQUESTS_H_
#define TACIT_TESTS_REQUESTS_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "services/gateway/text_client.h"

namespace tacit {

inline constexpr char kPrompt[] = "Once upon a time";

// A request for `tokens` tokens after kPrompt.
inline TextRequest DemoRequest(size_t tokens) {
  TextRequest request;
  request.prompts = {kPrompt};
  request.max_tokens = tokens;
  return request;
}

// Its text.
inline absl::StatusOr<std::string> TextOf(
    TextClient& client, size_t tokens,
    absl::Duration limit = absl::Minutes(1)) {
  ASSIGN_OR_RETURN(
      const TextResult result,
      client.Infer(DemoRequest(tokens), {}, {.deadline = absl::Now() + limit}));
  return result.sequences[0].text;
}

}  // namespace tacit

#endif  // TACIT_TESTS_REQUESTS_H_

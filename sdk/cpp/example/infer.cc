// Streams a private answer: infer GATEWAY.yaml MAX_TOKENS PROMPT
#include <tacit/client.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>

#include "absl/time/clock.h"

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: " << argv[0] << " GATEWAY.yaml MAX_TOKENS PROMPT\n";
    return 2;
  }
  const absl::StatusOr<std::unique_ptr<tacit::Client>> client =
      tacit::Client::Create(argv[1]);
  if (!client.ok()) {
    std::cerr << client.status() << "\n";
    return 1;
  }
  tacit::CompletionOptions options;
  options.max_tokens = std::strtoul(argv[2], nullptr, 10);
  options.deadline = absl::Now() + absl::Minutes(5);
  const std::string prompt = argv[3];
  std::cout << prompt;
  const absl::StatusOr<tacit::Completion> answer =
      (*client)->Infer(prompt, options, [](std::string_view piece) {
        std::cout << piece << std::flush;
        return true;  // go on
      });
  std::cout << "\n";
  if (!answer.ok()) {
    std::cerr << answer.status() << "\n";
    return 1;
  }
  std::cerr << answer->tokens.size() << " tokens in " << answer->rounds
            << " rounds\n";
  return 0;
}

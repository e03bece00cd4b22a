// The user's side of a session, whatever the program.
#ifndef TACIT_COMMON_MODELS_USER_SIDE_H_
#define TACIT_COMMON_MODELS_USER_SIDE_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/buffer.h"
#include "common/gates/party.h"
#include "common/prg/prg.h"

namespace tacit {

// Masks inputs, and adds the parties' shares of outputs: it alone sees either.
// A program goes step by step, inputs and then an output. Thread-safe: each
// party's link may be served by a thread of its own.
class UserSide {
 public:
  // An input or output as it is on the wire.
  struct Message {
    size_t count = 0;  // words
    int width = 0;     // bits of each
  };

  virtual ~UserSide() = default;

  // What the program asks for in step `step` in its order, and gives at the end
  // of each. All of it is public.
  virtual size_t steps() const = 0;
  virtual std::vector<Message> InputsOf(size_t step) const = 0;
  virtual Message output() const = 0;

  // The next masked input of a party, n words of `width` bits; waits until it
  // is there. Errors: CANCELLED once the user wants no more; what End was
  //   given; INTERNAL if the program asks for something else.
  absl::StatusOr<Words> Receive(int party, size_t n, int width);
  // A party's share of the next output. Errors: INTERNAL if sizes disagree.
  absl::Status Send(int party, Words share, int width);
  // Wakes whoever waits for an input that will not come.
  void End(const absl::Status& status);

  // Whether it ended because the user wanted no more, before the last step.
  bool stopped() const;
  // Seconds from creation to the first step's output, and to the last.
  double seconds_first() const;
  double seconds_last() const;

 protected:
  // `masks` is the gateway's stream of the session (GatewayStream).
  explicit UserSide(std::unique_ptr<Prg> masks)
      : masks_(std::move(masks)), start_(std::chrono::steady_clock::now()) {}

  // The rest is called with mutex_ held, or before the object is shared.

  // Gives the parties the next input: `values` plus masks that serve once.
  void PushInput(Words values, int width);
  // Takes what the shares of a step's output add up to, modulo 2^width. It may
  // give the mutex back for a while: until the next input both parties wait.
  virtual void TakeOutput(std::unique_lock<std::mutex>& lock, const Words& sum,
                          int width) = 0;
  // Ends the program before its last step.
  void Stop();
  // The step whose output is awaited, from 0.
  size_t step() const { return step_; }

  mutable std::mutex mutex_;

 private:
  struct Input {
    Words words;
    int width;
  };

  const std::unique_ptr<Prg> masks_;
  const std::chrono::steady_clock::time_point start_;
  std::condition_variable changed_;
  std::vector<Input> inputs_;
  uint64_t position_ = 0;  // of the stream
  size_t received_[2] = {0, 0};
  size_t step_ = 0;
  Words shares_[2];
  absl::Status end_;
  bool stopped_ = false;
  double seconds_first_ = 0, seconds_last_ = 0;
};

// A party's link to a user's side in the same process.
class UserLink final : public GatewayLink {
 public:
  // `user` must outlive it.
  UserLink(int party, UserSide& user) : party_(party), user_(user) {}
  absl::StatusOr<Words> Receive(size_t n, int width) override {
    return user_.Receive(party_, n, width);
  }
  absl::Status Send(Words share, int width) override {
    return user_.Send(party_, std::move(share), width);
  }

 private:
  const int party_;
  UserSide& user_;
};

}  // namespace tacit

#endif  // TACIT_COMMON_MODELS_USER_SIDE_H_

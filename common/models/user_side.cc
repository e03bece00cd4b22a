#include "common/models/user_side.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/ring/ring.h"

namespace tacit {

absl::StatusOr<Words> UserSide::Receive(int party, size_t n, int width) {
  std::unique_lock<std::mutex> lock(mutex_);
  const size_t index = received_[party]++;
  changed_.wait(lock, [&] { return index < inputs_.size() || !end_.ok(); });
  if (index >= inputs_.size()) return end_;
  const Input& input = inputs_[index];
  if (input.words.size() != n || input.width != width) {
    return absl::InternalError(
        absl::StrCat("the program asks for ", n, " words of ", width,
                     " bits, the next input", " has ", input.words.size(),
                     " of ", input.width));
  }
  return input.words.Clone();
}

absl::Status UserSide::Send(int party, Words share, int width) {
  std::unique_lock<std::mutex> lock(mutex_);
  const size_t expected = output().count;
  if (share.size() != expected || !shares_[party].empty() || step_ >= steps()) {
    return absl::InternalError(absl::StrCat(
        "party ", party, " sent an output of ", share.size(),
        " words where step ", step_, " of ", steps(), " has ", expected));
  }
  shares_[party] = std::move(share);
  if (shares_[1 - party].empty()) return absl::OkStatus();
  Words sum(expected);
  for (size_t i = 0; i < expected; ++i) {
    sum[i] = shares_[0][i] + shares_[1][i];
  }
  for (Words& words : shares_) words.Reset();
  seconds_last_ =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start_)
          .count();
  if (step_ == 0) seconds_first_ = seconds_last_;
  TakeOutput(lock, sum, width);
  ++step_;
  return absl::OkStatus();
}

void UserSide::End(const absl::Status& status) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (end_.ok()) end_ = status;
  changed_.notify_all();
}

bool UserSide::stopped() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return stopped_;
}
double UserSide::seconds_first() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return seconds_first_;
}
double UserSide::seconds_last() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return seconds_last_;
}

void UserSide::PushInput(Words values, int width) {
  Words hat(values.size());
  masks_->Fill(position_, std::span<uint64_t>(hat));
  position_ += PrgBlocks(hat.size());
  for (size_t i = 0; i < hat.size(); ++i) {
    hat[i] = Reduce(hat[i] + values[i], width);
  }
  inputs_.push_back({std::move(hat), width});
  changed_.notify_all();
}

void UserSide::Stop() {
  stopped_ = true;
  if (end_.ok()) end_ = absl::CancelledError("the gateway has stopped");
  changed_.notify_all();
}

}  // namespace tacit

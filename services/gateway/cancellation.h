// Ends a request from outside, whatever it waits for.
#ifndef TACIT_SERVICES_GATEWAY_CANCELLATION_H_
#define TACIT_SERVICES_GATEWAY_CANCELLATION_H_

#include <functional>
#include <mutex>
#include <utility>

namespace tacit {

// Connects who cancels and what is to be cancelled. Thread-safe.
class Cancellation {
 public:
  // Calls what OnCancel was given, or will be.
  void Cancel() {
    std::lock_guard<std::mutex> lock(mutex_);
    cancelled_ = true;
    if (call_) call_();
  }

  // `call` must not block, nor call back. Replaces the last one, nullptr by
  // none, and waits for it if it runs: what it refers to may go afterwards.
  void OnCancel(std::function<void()> call) {
    std::lock_guard<std::mutex> lock(mutex_);
    call_ = std::move(call);
    if (call_ && cancelled_) call_();
  }

  bool cancelled() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return cancelled_;
  }

 private:
  mutable std::mutex mutex_;
  std::function<void()> call_;
  bool cancelled_ = false;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_GATEWAY_CANCELLATION_H_

// The trace that a request belongs to, across roles (W3C Trace Context, level
// 1, https://www.w3.org/TR/trace-context/; what OpenTelemetry propagates).
//
// A gateway takes the trace of its caller or begins one, and says it to the
// dealer and the parties in metadata. Each role writes the trace id into its
// log lines about the request, so that lines of all of them can be joined; no
// role exports spans. Trace ids are public: SECURITY.md.
#ifndef TACIT_SERVICES_TRANSPORT_TRACE_H_
#define TACIT_SERVICES_TRANSPORT_TRACE_H_

#include <grpcpp/server_context.h>

#include <string>

#include "absl/strings/string_view.h"

namespace tacit {

// The key in a call's metadata.
inline constexpr char kTraceparentKey[] = "traceparent";

class TraceContext {
 public:
  // None: has no id.
  TraceContext() = default;
  // A new trace that is not sampled elsewhere. Ids are random, not secret.
  static TraceContext Begin();
  // "00-<32 hex digits>-<16 hex digits>-<2 hex digits>", in lower case. None if
  // it is anything else: what a peer sends is not worth an error.
  static TraceContext Parse(absl::string_view traceparent);
  // What the caller said.
  static TraceContext Of(const grpc::ServerContextBase& context);

  bool exists() const { return !id_.empty(); }
  // 32 hex digits, or empty.
  const std::string& id() const { return id_; }

  // The same trace, with a new id for this role's part: what the next role is
  // told. Requires exists().
  std::string Traceparent() const;

 private:
  std::string id_;
  std::string flags_;
};

}  // namespace tacit

#endif  // TACIT_SERVICES_TRANSPORT_TRACE_H_

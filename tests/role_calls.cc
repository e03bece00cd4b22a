#include "tests/role_calls.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_matchers.h"
#include "gtest/gtest.h"
#include "services/runtime/session_shape.h"
#include "services/transport/deadline.h"
#include "services/transport/status.h"
#include "tacit/v1/dealer.grpc.pb.h"
#include "tacit/v1/inference.grpc.pb.h"
#include "tacit/v1/plan.grpc.pb.h"

namespace tacit {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(30);

void SetLimit(grpc::ClientContext& context) {
  context.set_deadline(DeadlineIn(kLimit));
}

}  // namespace

std::shared_ptr<grpc::Channel> RoleCalls::ChannelAs(const std::string& caller,
                                                    ServiceRole role,
                                                    const std::string& server,
                                                    ServiceRole server_role) {
  return channels_.To(roles_, roles_.address(server), server_role, role,
                      caller);
}

std::string RoleCalls::Open() {
  const auto channel = ChannelAs("gateway", ServiceRole::kGateway, "dealer",
                                 ServiceRole::kDealer);
  v1::PlanService::Stub plans(channel);
  grpc::ClientContext asked;
  SetLimit(asked);
  v1::GetPlanResponse plan;
  EXPECT_OK(FromGrpcStatus(plans.GetPlan(&asked, {}, &plan)));
  digest_ = plan.plan().digest();
  SessionProgram program;
  program.shape = MakeShape({{1, 2, 3}}, 2, SamplingSide::kClient,
                            EmbeddingSide::kSecure, {});
  shape_ = ToProto(program);
  v1::OpenSessionRequest request;
  request.set_plan_digest(digest_);
  *request.mutable_shape() = shape_;
  grpc::ClientContext context;
  SetLimit(context);
  v1::OpenSessionResponse response;
  EXPECT_OK(FromGrpcStatus(v1::DealerService::Stub(channel).OpenSession(
      &context, request, &response)));
  return response.session_id();
}

absl::Status RoleCalls::Fetch(int party, const std::string& session,
                              int claimed) {
  const auto channel = ChannelAs(absl::StrCat("party", party), PartyRole(party),
                                 "dealer", ServiceRole::kDealer);
  v1::DealerService::Stub stub(channel);
  v1::StreamMaterialRequest request;
  request.set_session_id(session);
  request.set_party(static_cast<uint32_t>(claimed));
  grpc::ClientContext context;
  SetLimit(context);
  const auto reader = stub.StreamMaterial(&context, request);
  v1::StreamMaterialResponse response;
  const bool begun = reader->Read(&response);
  if (begun) context.TryCancel();
  const absl::Status status = FromGrpcStatus(reader->Finish());
  return begun ? absl::OkStatus() : status;
}

absl::Status RoleCalls::Infer(int party, const std::string& session) {
  const auto channel =
      ChannelAs("gateway", ServiceRole::kGateway, absl::StrCat("party", party),
                PartyRole(party));
  v1::InferenceService::Stub stub(channel);
  grpc::ClientContext context;
  SetLimit(context);
  const auto stream = stub.Infer(&context);
  v1::InferRequest request;
  request.mutable_start()->set_session_id(session);
  request.mutable_start()->set_plan_digest(digest_);
  *request.mutable_start()->mutable_shape() = shape_;
  stream->Write(request);
  v1::InferResponse response;
  while (stream->Read(&response)) {
  }
  return FromGrpcStatus(stream->Finish());
}

}  // namespace tacit

// A dealer that deals a session again which it has recorded: what a restart
// with an old ledger, or an attacker in the dealer's place, would do.
#ifndef TACIT_TESTS_REPLAY_DEALER_H_
#define TACIT_TESTS_REPLAY_DEALER_H_

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tacit/v1/dealer.grpc.pb.h"
#include "tests/recording.h"

namespace tacit {

class ReplayDealer final : public v1::DealerService::Service {
 public:
  // Of a session's messages: OpenSession's response, and each party's material.
  ReplayDealer(const std::string& opened, Recording::Stream material0,
               Recording::Stream material1)
      : material_{std::move(material0), std::move(material1)} {
    opened_.ParseFromString(opened);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    address_ = absl::StrCat("127.0.0.1:", port);
  }
  ~ReplayDealer() override { server_->Shutdown(); }

  const std::string& address() const { return address_; }

  grpc::Status OpenSession(grpc::ServerContext*, const v1::OpenSessionRequest*,
                           v1::OpenSessionResponse* response) override {
    *response = opened_;
    return grpc::Status::OK;
  }
  grpc::Status CloseSession(grpc::ServerContext*,
                            const v1::CloseSessionRequest*,
                            v1::CloseSessionResponse*) override {
    return grpc::Status::OK;
  }
  grpc::Status StreamMaterial(
      grpc::ServerContext*, const v1::StreamMaterialRequest* request,
      grpc::ServerWriter<v1::StreamMaterialResponse>* writer) override {
    for (const std::string& message : material_[request->party() == 1]) {
      v1::StreamMaterialResponse response;
      response.ParseFromString(message);
      if (!writer->Write(response)) break;
    }
    return grpc::Status::OK;
  }

 private:
  const Recording::Stream material_[2];
  v1::OpenSessionResponse opened_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace tacit

#endif  // TACIT_TESTS_REPLAY_DEALER_H_

// Bases of the services: generated classes whose streams carry raw messages,
// to be answered with a reactor from this library. All other methods are the
// ordinary synchronous ones.
#ifndef TACIT_SERVICES_TRANSPORT_SERVICE_BASES_H_
#define TACIT_SERVICES_TRANSPORT_SERVICE_BASES_H_

#include "tacit/v1/dealer.grpc.pb.h"
#include "tacit/v1/inference.grpc.pb.h"
#include "tacit/v1/party.grpc.pb.h"
#include "tacit/v1/plan.grpc.pb.h"

namespace tacit {

// Override: OpenSession; StreamMaterial(CallbackServerContext*, const
// ByteBuffer* request), see MaterialOutbox.
using DealerServiceBase =
    v1::DealerService::WithRawCallbackMethod_StreamMaterial<
        v1::DealerService::Service>;

// Exchange is asynchronous, see StreamAcceptor. Override:
// ExchangeStripe(CallbackServerContext*), see PeerRegistry.
using PartyServiceBase = v1::PartyService::WithRawMethod_Exchange<
    v1::PartyService::WithRawCallbackMethod_ExchangeStripe<
        v1::PartyService::Service>>;

// Override: Infer(CallbackServerContext*), see AcceptInfer.
using InferenceServiceBase = v1::InferenceService::WithRawCallbackMethod_Infer<
    v1::InferenceService::Service>;

using PlanServiceBase = v1::PlanService::Service;

}  // namespace tacit

#endif  // TACIT_SERVICES_TRANSPORT_SERVICE_BASES_H_

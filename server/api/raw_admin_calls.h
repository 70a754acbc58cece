#pragma once

#include "postrider/v1/admin_service.grpc.pb.h"

namespace postrider {

/// The contract's service with bytes for messages.
template <typename Base>
using RawConsentCalls = v1::AdminService::WithRawCallbackMethod_RecordConsent<
    v1::AdminService::WithRawCallbackMethod_GetConsent<
        v1::AdminService::WithRawCallbackMethod_ListSuppressions<
            v1::AdminService::WithRawCallbackMethod_MergeContacts<Base>>>>;
template <typename Base>
using RawSetupCalls = v1::AdminService::WithRawCallbackMethod_ApplySetup<
    v1::AdminService::WithRawCallbackMethod_GetSetup<Base>>;
using RawAdminService = v1::AdminService::WithRawCallbackMethod_GetGatewayState<
    v1::AdminService::WithRawCallbackMethod_WatchGatewayState<
        v1::AdminService::WithRawCallbackMethod_PauseDispatch<
            v1::AdminService::WithRawCallbackMethod_ResumeDispatch<
                v1::AdminService::WithRawCallbackMethod_OverrideBreaker<
                    v1::AdminService::WithRawCallbackMethod_ReplayMessage<
                        v1::AdminService::WithRawCallbackMethod_ListDeadLetters<
                            v1::AdminService::WithRawCallbackMethod_GroupDeadLetters<
                                v1::AdminService::WithRawCallbackMethod_GetDeadLetter<
                                    v1::AdminService::WithRawCallbackMethod_ReplayDeadLetters<
                                        v1::AdminService::WithRawCallbackMethod_DiscardDeadLetters<
                                            v1::AdminService::
                                                WithRawCallbackMethod_RecordInboundMessage<
                                                    RawConsentCalls<RawSetupCalls<
                                                        v1::AdminService::Service>>>>>>>>>>>>>>;

}  // namespace postrider

#pragma once

#include <vector>

#include "server/store/pg_session.h"

namespace postrider {

/// Every named statement of the store: the EXPLAIN test wants each to go by key.
std::vector<Query> AllQueries();

/// Those of each file.
std::vector<Query> MessageRowQueries();
std::vector<Query> AttemptRowQueries();
std::vector<Query> FenceQueries();
std::vector<Query> DoubtQueries();
std::vector<Query> WindowQueries();
std::vector<Query> QuietQueries();
std::vector<Query> AcceptQueries();
std::vector<Query> QuotaQueries();
std::vector<Query> MessageQueries();
std::vector<Query> LeaseQueries();
std::vector<Query> DispatchQueries();
std::vector<Query> OutcomeQueries();
std::vector<Query> InboxQueries();
std::vector<Query> InboxRowQueries();
std::vector<Query> InboundQueries();
std::vector<Query> ConversationQueries();
std::vector<Query> ContactQueries();
std::vector<Query> OptOutAnswerQueries();
std::vector<Query> SuppressionQueries();
std::vector<Query> DeadLetterQueries();
std::vector<Query> DeadSendQueries();
std::vector<Query> FactQueries();
std::vector<Query> AccountQueries();
std::vector<Query> ControlQueries();
std::vector<Query> QueueEndQueries();
std::vector<Query> OpenAttemptQueries();
std::vector<Query> RestoreQueries();
std::vector<Query> ControlReadQueries();
std::vector<Query> BreakerQueries();
std::vector<Query> EventQueries();
std::vector<Query> SeenCommitsQueries();
std::vector<Query> TenantQueries();
std::vector<Query> MaintenanceQueries();
std::vector<Query> RetentionQueries();
std::vector<Query> ForgetOldQueries();
std::vector<Query> ErasureQueries();
std::vector<Query> ConsentQueries();
std::vector<Query> ContentQueries();
std::vector<Query> AuditorQueries();
std::vector<Query> SetupQueries();
std::vector<Query> RefusalQueries();
std::vector<Query> VerdictQueries();
std::vector<Query> ChainBeginQueries();
std::vector<Query> ChainLinkQueries();
std::vector<Query> ChainSealQueries();
std::vector<Query> ChainVerifyQueries();

}  // namespace postrider

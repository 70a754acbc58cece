#pragma once

#include <span>

#include "server/store/pg_message_rows.h"
#include "server/store/pg_session.h"

namespace postrider {

/// After changes of messages: those that carriers rejected for their content are noted, to be
/// judged (content.h). Costs nothing for other changes.
void KeepContentRejections(PgTransaction& transaction, std::span<const MessageChange> changes);

}  // namespace postrider

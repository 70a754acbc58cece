#pragma once

namespace postrider {

/// One row, with a line for people, for each count of send_count that is not the number of
/// messages. Of messages that are kept; at any time.
inline constexpr const char* kWrongSendCounts = R"(
SELECT concat_ws(' ', day, campaign_id, 'state', state, 'failure', failure, provider_code, 'has', m.messages, 'and is counted as', c.messages)
FROM (SELECT tenant_id, (accepted_at AT TIME ZONE 'UTC')::date AS day, campaign_id, s.state,
        CASE WHEN s.state IN (4, 8, 9) THEN failure ELSE 0 END AS failure,
        CASE WHEN s.state IN (4, 8, 9) THEN provider_code ELSE '' END AS provider_code, count(*) AS messages
      FROM message, LATERAL (VALUES (0::smallint), (CASE WHEN final AND message.state > 3 THEN message.state END)) AS s(state)
      WHERE s.state IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6) m
FULL JOIN (SELECT tenant_id, day, campaign_id, state, failure, provider_code, sum(messages) AS messages FROM send_count
           GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(messages) <> 0) c
  USING (tenant_id, day, campaign_id, state, failure, provider_code)
WHERE m.messages IS DISTINCT FROM c.messages)";

}  // namespace postrider

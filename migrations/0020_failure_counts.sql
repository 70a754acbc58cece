-- Questions of auditors that read as little as they answer: counts of sends say why, and what is
-- rare among many rows has an index of its own.

SET LOCAL search_path = postrider;

-- Why sends failed ---------------------------------------------------------------------------

ALTER TABLE send_count
  ADD COLUMN failure smallint NOT NULL DEFAULT 0,
  ADD COLUMN provider_code text NOT NULL DEFAULT '',
  DROP CONSTRAINT send_count_pkey,
  ADD PRIMARY KEY (tenant_id, day, campaign_id, state, failure, provider_code, writer),
  ADD CONSTRAINT only_a_count_of_what_failed_says_why CHECK (state IN (4, 8, 9) OR (failure = 0 AND provider_code = ''));
COMMENT ON COLUMN send_count.failure IS 'Of those that are undetermined, failed or rejected (4, 8, 9) why, as in message; else 0.';
COMMENT ON COLUMN send_count.provider_code IS 'Of the same Genesys'' or the carrier''s code, as in message; else empty.';

DELETE FROM send_count WHERE state IN (4, 8, 9);
INSERT INTO send_count (tenant_id, day, campaign_id, state, failure, provider_code, writer, messages)
SELECT m.tenant_id, (m.accepted_at AT TIME ZONE 'UTC')::date, m.campaign_id, m.state, m.failure, m.provider_code, 0, count(*)
FROM message m WHERE m.final AND m.state IN (4, 8, 9) GROUP BY 1, 2, 3, 4, 5, 6;

CREATE INDEX send_count_of_failures ON send_count (tenant_id, campaign_id, day) WHERE state IN (4, 8, 9);

CREATE VIEW audit.failure_day WITH (security_barrier) AS
SELECT t.name AS tenant, c.day, c.campaign_id, audit.state_name(c.state) AS state, audit.failure_name(c.failure) AS failure,
  c.provider_code, sum(c.messages)::bigint AS messages
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN send_count c ON c.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user) AND c.state IN (4, 8, 9)
GROUP BY t.tenant_id, t.name, c.day, c.campaign_id, c.state, c.failure, c.provider_code HAVING sum(c.messages) <> 0;
COMMENT ON VIEW audit.failure_day IS 'Why messages did not get there, by tenant, campaign and the day that they were accepted, as they stand now. From counts that are kept: fast over any number of messages.';
COMMENT ON COLUMN audit.failure_day.tenant IS 'Whose.';
COMMENT ON COLUMN audit.failure_day.day IS 'The day that they were accepted, UTC.';
COMMENT ON COLUMN audit.failure_day.campaign_id IS 'As in audit.message; empty: of none.';
COMMENT ON COLUMN audit.failure_day.state IS 'FAILED, REJECTED or UNDETERMINED.';
COMMENT ON COLUMN audit.failure_day.failure IS 'Why, as in audit.message.';
COMMENT ON COLUMN audit.failure_day.provider_code IS 'Genesys'' or the carrier''s code, verbatim; empty when none.';
COMMENT ON COLUMN audit.failure_day.messages IS 'How many.';

-- What is rare -------------------------------------------------------------------------------

CREATE INDEX status_event_corrections ON status_event (tenant_id, message_id) WHERE correction;
CREATE INDEX attempt_left_before_opt_out ON attempt (tenant_id, message_id) WHERE left_before_opt_out;
CREATE INDEX attempt_throttled ON attempt (tenant_id, message_id) WHERE http_status = 429;
CREATE INDEX attempt_after_the_first ON attempt (tenant_id, message_id) WHERE attempt > 1;
CREATE INDEX message_that_answers_an_opt_out ON message (tenant_id, message_id) WHERE answers_opt_out;

-- By which templates a campaign was sent is read from its index alone. What is not changed after
-- a message is accepted costs its updates nothing.
DROP INDEX message_of_a_campaign;
CREATE INDEX message_of_a_campaign ON message (tenant_id, campaign_id, message_id) INCLUDE (template_name) WHERE campaign_id <> '';

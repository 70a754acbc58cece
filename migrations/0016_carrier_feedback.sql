-- What carriers refuse by its content: noted with the receipt, and judged by campaign and text. And
-- a setting: typographic signs may be replaced by those that GSM-7 has.

SET LOCAL search_path = postrider;

ALTER TABLE tenant ADD COLUMN plain_punctuation boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN tenant.plain_punctuation IS 'Typographic quotes, dashes and the like are replaced by those of GSM-7, where the whole text then fits into it.';

ALTER TABLE campaign ADD COLUMN verdict_epoch integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN campaign.verdict_epoch IS 'How often carriers have refused a text of it in numbers: verdicts on its texts hold for one epoch. No part of what a setup sets.';

CREATE TABLE content_cluster (
  tenant_id   uuid NOT NULL,
  cluster_id  uuid NOT NULL,
  campaign_id text NOT NULL,
  rejections  integer NOT NULL,
  answered    integer NOT NULL,
  paused      boolean NOT NULL,
  found_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, cluster_id),
  CONSTRAINT a_cluster_has_no_more_rejections_than_answers CHECK (rejections BETWEEN 1 AND answered),
  CONSTRAINT only_a_campaign_is_paused_for_its_texts CHECK (NOT paused OR campaign_id <> '')
);
COMMENT ON TABLE content_cluster IS 'One text that carriers refused in numbers: its campaign was paused, and what was known of its texts is void.';
COMMENT ON COLUMN content_cluster.tenant_id IS 'Whose.';
COMMENT ON COLUMN content_cluster.cluster_id IS 'UUIDv7; the action_id of the pause that it brought about.';
COMMENT ON COLUMN content_cluster.campaign_id IS 'Of which campaign; empty: of messages without one.';
COMMENT ON COLUMN content_cluster.rejections IS 'How many messages with that text carriers had refused ...';
COMMENT ON COLUMN content_cluster.answered IS '... of those that they had answered.';
COMMENT ON COLUMN content_cluster.paused IS 'False: there was nothing to pause, or an operator had paused it already.';
COMMENT ON COLUMN content_cluster.found_at IS 'When it was found. What was sent before counts no more.';
CREATE INDEX content_cluster_last_of_a_campaign ON content_cluster (tenant_id, campaign_id, found_at);

CREATE TABLE content_rejection (
  tenant_id     uuid NOT NULL,
  message_id    uuid NOT NULL,
  slot          smallint NOT NULL,
  campaign_id   text NOT NULL,
  failure       smallint NOT NULL CONSTRAINT a_rejection_is_the_carriers_or_for_content CHECK (failure IN (3, 7)),
  provider_code text NOT NULL,
  rejected_at   timestamptz NOT NULL DEFAULT now(),
  judged_at     timestamptz,
  cluster_id    uuid,
  PRIMARY KEY (tenant_id, message_id),
  CONSTRAINT a_rejection_joins_a_cluster_when_it_is_judged CHECK (cluster_id IS NULL OR judged_at IS NOT NULL)
);
COMMENT ON TABLE content_rejection IS 'Messages that carriers refused for what they say, as far as their codes tell. Written with the receipt, judged soon after.';
COMMENT ON COLUMN content_rejection.tenant_id IS 'Whose.';
COMMENT ON COLUMN content_rejection.message_id IS 'Which message.';
COMMENT ON COLUMN content_rejection.slot IS 'The tenant''s: its owner judges.';
COMMENT ON COLUMN content_rejection.campaign_id IS 'As in message.';
COMMENT ON COLUMN content_rejection.failure IS 'FailureReason: 3 CARRIER_REJECTED, 7 CONTENT.';
COMMENT ON COLUMN content_rejection.provider_code IS 'The carrier''s or the provider''s own code.';
COMMENT ON COLUMN content_rejection.rejected_at IS 'When it was learnt; of a message that was replayed, the last time.';
COMMENT ON COLUMN content_rejection.judged_at IS 'When its campaign was looked at with it; null: soon.';
COMMENT ON COLUMN content_rejection.cluster_id IS 'The cluster that it belongs to; null: none.';
CREATE INDEX content_rejection_to_judge ON content_rejection (slot, rejected_at) WHERE judged_at IS NULL;
CREATE INDEX content_rejection_last_of_a_campaign ON content_rejection (tenant_id, campaign_id, rejected_at);

CREATE VIEW audit.content_rejection WITH (security_barrier) AS
SELECT t.name AS tenant, r.campaign_id, r.message_id, audit.failure_name(r.failure) AS failure, r.provider_code, r.rejected_at, r.judged_at,
  r.cluster_id
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN content_rejection r ON r.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.content_rejection IS 'Messages that carriers refused for what they say.';
COMMENT ON COLUMN audit.content_rejection.tenant IS 'Whose.';
COMMENT ON COLUMN audit.content_rejection.campaign_id IS 'Of which campaign; empty: of none.';
COMMENT ON COLUMN audit.content_rejection.message_id IS 'Which message.';
COMMENT ON COLUMN audit.content_rejection.failure IS 'CARRIER_REJECTED or CONTENT.';
COMMENT ON COLUMN audit.content_rejection.provider_code IS 'The carrier''s or the provider''s own code.';
COMMENT ON COLUMN audit.content_rejection.rejected_at IS 'When it was learnt.';
COMMENT ON COLUMN audit.content_rejection.judged_at IS 'When its campaign was looked at with it.';
COMMENT ON COLUMN audit.content_rejection.cluster_id IS 'The cluster that it belongs to; null: none.';

CREATE VIEW audit.content_cluster WITH (security_barrier) AS
SELECT t.name AS tenant, c.campaign_id, c.found_at, c.rejections, c.answered, c.paused, c.cluster_id
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN content_cluster c ON c.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.content_cluster IS 'Texts that carriers refused in numbers, and what the gateway did.';
COMMENT ON COLUMN audit.content_cluster.tenant IS 'Whose.';
COMMENT ON COLUMN audit.content_cluster.campaign_id IS 'Of which campaign; empty: of messages without one.';
COMMENT ON COLUMN audit.content_cluster.found_at IS 'When.';
COMMENT ON COLUMN audit.content_cluster.rejections IS 'Messages with that text that carriers had refused ...';
COMMENT ON COLUMN audit.content_cluster.answered IS '... of those that they had answered.';
COMMENT ON COLUMN audit.content_cluster.paused IS 'Whether the campaign was paused for it; in operator_action, too, under the same id.';
COMMENT ON COLUMN audit.content_cluster.cluster_id IS 'Its id.';

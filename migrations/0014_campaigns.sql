-- What a tenant may send, in its own words: senders, campaigns, templates, destinations. And what
-- was refused by one of these rules.

SET LOCAL search_path = postrider;

ALTER TABLE tenant ADD COLUMN campaign_required boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN tenant.campaign_required IS 'A message must name a campaign.';

ALTER TABLE sender
  ADD COLUMN ten_dlc_campaign text NOT NULL DEFAULT '',
  ADD COLUMN active boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN sender.ten_dlc_campaign IS 'Its campaign at The Campaign Registry (10DLC); empty: none.';
COMMENT ON COLUMN sender.active IS 'False: nothing is accepted from it. It stays, since conversations are of it.';

CREATE TABLE campaign (
  tenant_id       uuid NOT NULL,
  campaign_id     text NOT NULL,
  class           smallint NOT NULL CONSTRAINT a_campaign_is_of_one_of_three_classes CHECK (class BETWEEN 1 AND 3),
  active          boolean NOT NULL,
  active_from     timestamptz,
  active_until    timestamptz,
  daily_cap       bigint CONSTRAINT a_cap_of_a_campaign_is_one_at_least CHECK (daily_cap >= 1),
  templates       text[] NOT NULL,
  forbidden_words text[] NOT NULL,
  links           smallint NOT NULL CONSTRAINT links_are_any_none_or_listed CHECK (links BETWEEN 1 AND 3),
  link_hosts      text[] NOT NULL,
  shorteners      boolean NOT NULL,
  opt_out_text    text NOT NULL,
  changed_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, campaign_id),
  CONSTRAINT a_campaign_ends_after_it_begins CHECK (active_until > active_from)
);
COMMENT ON TABLE campaign IS 'Campaigns that a tenant has registered. Once it has one, messages of others are refused.';
COMMENT ON COLUMN campaign.tenant_id IS 'Whose.';
COMMENT ON COLUMN campaign.campaign_id IS 'As messages name it.';
COMMENT ON COLUMN campaign.class IS '1 transactional, 2 marketing, 3 one-time code.';
COMMENT ON COLUMN campaign.active IS 'False: its messages are refused.';
COMMENT ON COLUMN campaign.active_from IS 'Its messages are refused before; null: from ever.';
COMMENT ON COLUMN campaign.active_until IS 'Its messages are refused from then on; null: for ever.';
COMMENT ON COLUMN campaign.daily_cap IS 'Messages that are accepted a day, UTC; null: no cap.';
COMMENT ON COLUMN campaign.templates IS 'Its texts are of one of these templates; empty: any text.';
COMMENT ON COLUMN campaign.forbidden_words IS 'No text of it has one of them, in any case.';
COMMENT ON COLUMN campaign.links IS '1 any, 2 none, 3 those to link_hosts.';
COMMENT ON COLUMN campaign.link_hosts IS 'Hosts that links may go to, and what is below them.';
COMMENT ON COLUMN campaign.shorteners IS 'Links by public shorteners may be in it.';
COMMENT ON COLUMN campaign.opt_out_text IS 'The first message of a conversation must have it; empty: none is asked for.';
COMMENT ON COLUMN campaign.changed_at IS 'When it was registered, or last changed.';

CREATE TABLE template (
  tenant_id  uuid NOT NULL,
  name       text NOT NULL,
  body       text NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, name)
);
COMMENT ON TABLE template IS 'Texts with places for values.';
COMMENT ON COLUMN template.tenant_id IS 'Whose.';
COMMENT ON COLUMN template.name IS 'As messages and campaigns name it.';
COMMENT ON COLUMN template.body IS 'The text; {name} is a place.';
COMMENT ON COLUMN template.changed_at IS 'When it was registered, or last changed.';

CREATE TABLE destination (
  tenant_id  uuid NOT NULL,
  prefix     text NOT NULL CONSTRAINT a_prefix_is_plus_and_digits CHECK (prefix ~ '^[+][1-9][0-9]{0,10}$'),
  daily_cap  bigint CONSTRAINT a_cap_of_a_destination_is_one_at_least CHECK (daily_cap >= 1),
  changed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, prefix)
);
COMMENT ON TABLE destination IS 'Where a tenant''s messages may go; a tenant without any: everywhere. Of several that fit a number the longest counts.';
COMMENT ON COLUMN destination.tenant_id IS 'Whose.';
COMMENT ON COLUMN destination.prefix IS 'Numbers that begin so.';
COMMENT ON COLUMN destination.daily_cap IS 'Messages that are accepted for them a day, UTC; null: no cap.';
COMMENT ON COLUMN destination.changed_at IS 'When it was registered, or last changed.';

ALTER TABLE quota_used RENAME COLUMN token_sha256 TO subject;
ALTER TABLE quota_used DROP CONSTRAINT quota_used_pkey, ADD PRIMARY KEY (tenant_id, day, subject);  -- its columns keep their names
COMMENT ON TABLE quota_used IS 'Messages accepted a day, of what has a quota or a cap: counted under the row''s lock, in the transaction that accepts.';
COMMENT ON COLUMN quota_used.subject IS 'The SHA-256 of the caller''s token; empty: all of the tenant''s; "campaign:" and an id, or "destination:" and a prefix.';

CREATE TABLE refusal (
  tenant_id   uuid NOT NULL,
  request_id  text NOT NULL,
  reason      text NOT NULL,
  times       bigint NOT NULL DEFAULT 1,
  refused_at  timestamptz NOT NULL DEFAULT now(),
  last_at     timestamptz NOT NULL DEFAULT now(),
  recipient   text NOT NULL,
  sender      text NOT NULL,
  campaign_id text NOT NULL,
  detail      text NOT NULL,
  PRIMARY KEY (tenant_id, request_id, reason)
);
COMMENT ON TABLE refusal IS 'Messages that were not accepted because of a rule. A request that comes again, and is refused again, is the same row.';
COMMENT ON COLUMN refusal.tenant_id IS 'Whose.';
COMMENT ON COLUMN refusal.request_id IS 'The caller''s idempotency key.';
COMMENT ON COLUMN refusal.reason IS 'As the caller was told: RECIPIENT_OPTED_OUT, CAMPAIGN_NOT_ACTIVE, CONTENT_NOT_APPROVED ...';
COMMENT ON COLUMN refusal.times IS 'How often.';
COMMENT ON COLUMN refusal.refused_at IS 'The first time.';
COMMENT ON COLUMN refusal.last_at IS 'The last time.';
COMMENT ON COLUMN refusal.recipient IS 'Whom it was for, masked: the number itself is not kept.';
COMMENT ON COLUMN refusal.sender IS 'As given.';
COMMENT ON COLUMN refusal.campaign_id IS 'As given; empty when not.';
COMMENT ON COLUMN refusal.detail IS 'Which rule, and where in the text; nothing of the text. Of the last time.';
CREATE INDEX refusal_by_time ON refusal (tenant_id, last_at);

CREATE VIEW audit.refusal WITH (security_barrier) AS
SELECT t.name AS tenant, r.refused_at, r.last_at, r.times, r.reason, r.detail, r.request_id, r.campaign_id, r.sender, r.recipient
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN refusal r ON r.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.refusal IS 'Messages that were not accepted because of a rule: what was not sent, and why.';
COMMENT ON COLUMN audit.refusal.tenant IS 'Whose.';
COMMENT ON COLUMN audit.refusal.refused_at IS 'The first time that this request was refused for this reason.';
COMMENT ON COLUMN audit.refusal.last_at IS 'The last time.';
COMMENT ON COLUMN audit.refusal.times IS 'How often.';
COMMENT ON COLUMN audit.refusal.reason IS 'As the caller was told.';
COMMENT ON COLUMN audit.refusal.detail IS 'Which rule, and where in the text.';
COMMENT ON COLUMN audit.refusal.request_id IS 'The caller''s idempotency key.';
COMMENT ON COLUMN audit.refusal.campaign_id IS 'As given; empty when not.';
COMMENT ON COLUMN audit.refusal.sender IS 'As given.';
COMMENT ON COLUMN audit.refusal.recipient IS 'Whom it was for, with the last two digits.';

CREATE VIEW audit.campaign WITH (security_barrier) AS
SELECT t.name AS tenant, c.campaign_id, (ARRAY['TRANSACTIONAL', 'MARKETING', 'ONE_TIME_CODE'])[c.class] AS class, c.active,
  c.active_from, c.active_until, c.daily_cap, c.templates, c.forbidden_words, (ARRAY['ANY', 'NONE', 'LISTED'])[c.links] AS links,
  c.link_hosts, c.shorteners, c.opt_out_text, c.changed_at
FROM auditor_tenant g JOIN tenant t ON t.tenant_id = g.tenant_id JOIN campaign c ON c.tenant_id = g.tenant_id
WHERE g.role_oid = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user);
COMMENT ON VIEW audit.campaign IS 'Registered campaigns, as they are now; what they were is in operator_action.';
COMMENT ON COLUMN audit.campaign.tenant IS 'Whose.';
COMMENT ON COLUMN audit.campaign.campaign_id IS 'As messages name it.';
COMMENT ON COLUMN audit.campaign.class IS 'What its messages are for.';
COMMENT ON COLUMN audit.campaign.active IS 'False: its messages are refused.';
COMMENT ON COLUMN audit.campaign.active_from IS 'Its messages are refused before; null: from ever.';
COMMENT ON COLUMN audit.campaign.active_until IS 'Its messages are refused from then on; null: for ever.';
COMMENT ON COLUMN audit.campaign.daily_cap IS 'Messages that are accepted a day, UTC; null: no cap.';
COMMENT ON COLUMN audit.campaign.templates IS 'Its texts are of one of these templates; empty: any text.';
COMMENT ON COLUMN audit.campaign.forbidden_words IS 'No text of it has one of them.';
COMMENT ON COLUMN audit.campaign.links IS 'Which links its texts may have.';
COMMENT ON COLUMN audit.campaign.link_hosts IS 'With LISTED: the hosts.';
COMMENT ON COLUMN audit.campaign.shorteners IS 'Links by public shorteners may be in it.';
COMMENT ON COLUMN audit.campaign.opt_out_text IS 'The first message of a conversation must have it.';
COMMENT ON COLUMN audit.campaign.changed_at IS 'When it was registered, or last changed.';

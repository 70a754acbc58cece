-- Verdicts on texts of campaigns that are not registered: void after a cluster of rejections, too.

SET LOCAL search_path = postrider;

ALTER TABLE tenant ADD COLUMN verdict_epoch integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN tenant.verdict_epoch IS 'How often carriers have refused a text of a campaign that is not registered in numbers: verdicts on texts of such campaigns hold for one epoch, as those of registered ones do for campaign.verdict_epoch.';

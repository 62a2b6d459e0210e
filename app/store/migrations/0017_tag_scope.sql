-- Tags are looked up within what a caller sees, so that how long a search takes says
-- nothing of the tags of others.

-- owner: app/gateway
ALTER TABLE gateway_tag ADD COLUMN principal TEXT NOT NULL DEFAULT ''; -- of the task
ALTER TABLE gateway_tag ADD COLUMN project   TEXT NOT NULL DEFAULT ''; -- of the task
UPDATE gateway_tag SET (principal, project) = (SELECT t.principal, t.project FROM gateway_task t WHERE t.id = gateway_tag.task);
CREATE INDEX gateway_tag_principal ON gateway_tag (principal, key, value, task);
CREATE INDEX gateway_tag_project ON gateway_tag (project, key, value, task);

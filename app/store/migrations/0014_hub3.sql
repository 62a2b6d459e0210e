-- owner: app/hub
-- The reference hub, third part: finding what is over its time, and what is open,
-- without reading every task.
CREATE INDEX hub_task_ended ON hub_task (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX hub_task_open ON hub_task (project) WHERE ended_at IS NULL;
CREATE INDEX hub_result_kept ON hub_result (stored_at) WHERE state = 'stored' AND deleted_at IS NULL;

-- The same request in another spelling is the same request.

-- owner: app/gateway
-- SHA-256, hex, of the request as its plugin understood it. '': it has no remote id, or an
-- older program took it; then only the very same bytes are the same request.
ALTER TABLE gateway_task ADD COLUMN form_sha256 TEXT NOT NULL DEFAULT '';
CREATE TRIGGER gateway_task_form BEFORE UPDATE OF form_sha256 ON gateway_task
BEGIN SELECT RAISE(ABORT, 'a task keeps what it was accepted as'); END;

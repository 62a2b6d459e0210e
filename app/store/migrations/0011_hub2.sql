-- The reference hub, second part: large tasks, results that end, tasks that nobody
-- waits for any more.

-- owner: app/hub
-- Bodies of orders too large to lie in their envelope, until no part needs them.
CREATE TABLE hub_body (
  sum  TEXT PRIMARY KEY,                   -- SHA-256, hex
  body BLOB NOT NULL
) STRICT;

ALTER TABLE hub_part ADD COLUMN body TEXT NOT NULL DEFAULT '';   -- sum of the order's body; '' it lies in the envelope
ALTER TABLE hub_part ADD COLUMN left_at INTEGER;                 -- a person no longer waits for this node
CREATE INDEX hub_part_body ON hub_part (body) WHERE body <> '';

-- A result that was deleted keeps its row with its hashes; its file goes after it.
ALTER TABLE hub_result ADD COLUMN deleted_at INTEGER;
ALTER TABLE hub_result ADD COLUMN deleted_by TEXT NOT NULL DEFAULT '';
ALTER TABLE hub_result ADD COLUMN erased INTEGER NOT NULL DEFAULT 0 CHECK (erased IN (0, 1)); -- the file is gone
CREATE INDEX hub_result_stored ON hub_result (task) WHERE state = 'stored' AND deleted_at IS NULL;
CREATE INDEX hub_result_deleted ON hub_result (task) WHERE deleted_at IS NOT NULL AND erased = 0;

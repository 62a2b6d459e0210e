-- The reference hub: nodes, projects that span them, tasks and what came back.
-- A data folder of an appliance has these tables too, empty.

-- owner: app/hub
CREATE TABLE hub_node (
  id        TEXT PRIMARY KEY,              -- of the first key that was pinned
  name      TEXT NOT NULL,
  peer      TEXT NOT NULL,                 -- JSON, trust.Peer: every pinned key
  confirmed_at INTEGER,                    -- the words were compared; NULL: not yet, and nothing is sent
  confirmed_by TEXT NOT NULL DEFAULT '',
  seen_at   INTEGER,                       -- a link began or ended, or the node answered
  facts     TEXT NOT NULL DEFAULT '{}',    -- JSON: what the node last said of itself
  catalogue TEXT NOT NULL DEFAULT '',      -- JSON, task.Catalogue; '' none yet
  catalogue_at INTEGER
) STRICT;

CREATE TABLE hub_code (
  id      TEXT PRIMARY KEY,
  code    TEXT NOT NULL,                   -- JSON, trust.Code
  expires INTEGER NOT NULL
) STRICT;

-- Sequences of envelopes; a number is never given twice.
CREATE TABLE hub_sequence (
  node TEXT PRIMARY KEY,
  last INTEGER NOT NULL CHECK (last > 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE hub_project (
  id         TEXT PRIMARY KEY,
  slug       TEXT NOT NULL UNIQUE,
  name       TEXT NOT NULL,
  state      TEXT NOT NULL CHECK (state IN ('open', 'closed')),
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL
) STRICT;

CREATE TABLE hub_member (
  project  TEXT NOT NULL REFERENCES hub_project (id),
  person   TEXT NOT NULL,
  role     TEXT NOT NULL CHECK (role IN ('researcher', 'lead')),
  added_at INTEGER NOT NULL,
  added_by TEXT NOT NULL,
  PRIMARY KEY (project, person)
) STRICT, WITHOUT ROWID;
CREATE INDEX hub_member_person ON hub_member (person);

CREATE TABLE hub_project_node (
  project  TEXT NOT NULL REFERENCES hub_project (id),
  node     TEXT NOT NULL REFERENCES hub_node (id),
  remote   TEXT NOT NULL,                  -- short name of the node's own project
  added_at INTEGER NOT NULL,
  added_by TEXT NOT NULL,
  PRIMARY KEY (project, node)
) STRICT, WITHOUT ROWID;

CREATE TABLE hub_token (
  id         TEXT PRIMARY KEY,
  hash       TEXT NOT NULL UNIQUE,         -- SHA-256 of the token, hex
  person     TEXT NOT NULL,
  project    TEXT NOT NULL REFERENCES hub_project (id),
  name       TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  used_at    INTEGER,
  revoked_at INTEGER
) STRICT;
CREATE INDEX hub_token_person ON hub_token (person);

CREATE TABLE hub_task (
  id         TEXT PRIMARY KEY,
  project    TEXT NOT NULL REFERENCES hub_project (id),
  person     TEXT NOT NULL,
  person_name TEXT NOT NULL,
  name       TEXT NOT NULL,
  state      TEXT NOT NULL,                -- of TES, of all parts together
  document   TEXT NOT NULL,                -- JSON, the task as it was sent here
  repeat     TEXT,                         -- Idempotency-Key of its sender; NULL: none
  created_at INTEGER NOT NULL,
  ended_at   INTEGER,
  cancel_at  INTEGER,                      -- somebody asked for the end
  cancel_by  TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX hub_task_project ON hub_task (project, id);
CREATE UNIQUE INDEX hub_task_repeat ON hub_task (project, person, repeat) WHERE repeat IS NOT NULL;
CREATE INDEX hub_task_state ON hub_task (project, state, id);

CREATE TABLE hub_tag (
  project TEXT NOT NULL,
  key     TEXT NOT NULL,
  value   TEXT NOT NULL,
  task    TEXT NOT NULL REFERENCES hub_task (id),
  PRIMARY KEY (project, key, value, task)
) STRICT, WITHOUT ROWID;
CREATE INDEX hub_tag_task ON hub_tag (task);

-- One task at one node.
CREATE TABLE hub_part (
  task     TEXT NOT NULL REFERENCES hub_task (id),
  node     TEXT NOT NULL REFERENCES hub_node (id),
  seq      INTEGER NOT NULL,               -- of the envelope
  state    TEXT NOT NULL CHECK (state IN ('waiting', 'offered', 'accepted', 'ended', 'refused', 'cancelled')),
  tes      TEXT NOT NULL,                  -- state of TES
  envelope TEXT NOT NULL,                  -- the signed order; sent again as these bytes and no others
  cancel   TEXT NOT NULL DEFAULT '',       -- the signed order to cancel
  cancelled INTEGER NOT NULL DEFAULT 0 CHECK (cancelled IN (0, 1)), -- the node took that order
  remote   TEXT NOT NULL DEFAULT '',       -- the node's id of the task
  code     TEXT NOT NULL DEFAULT '',       -- of a refusal
  text     TEXT NOT NULL DEFAULT '',
  correlation TEXT NOT NULL DEFAULT '',    -- by which the node's operator finds the refusal
  log      TEXT NOT NULL DEFAULT '',       -- JSON, what the node says of the task, cleaned
  trouble  TEXT NOT NULL DEFAULT '',       -- why the last question had no good answer; '' it had
  seen_at  INTEGER,                        -- last good answer
  changed_at INTEGER NOT NULL,
  PRIMARY KEY (task, node)
) STRICT, WITHOUT ROWID;
CREATE INDEX hub_part_open ON hub_part (node, seq) WHERE state IN ('waiting', 'offered', 'accepted');

-- Released results. Only what a node has released comes here, as one zip.
CREATE TABLE hub_result (
  task     TEXT NOT NULL,
  node     TEXT NOT NULL,
  release  TEXT NOT NULL,                  -- the node's id of the release
  state    TEXT NOT NULL CHECK (state IN ('wanted', 'stored', 'refused')),
  sha256   TEXT NOT NULL DEFAULT '',       -- of the zip
  size     INTEGER NOT NULL DEFAULT 0,
  files    TEXT NOT NULL DEFAULT '[]',     -- JSON: path, size, sha256 as the manifest in the zip says
  signer   TEXT NOT NULL DEFAULT '',       -- root of the node's audit log that the zip proves against
  tries    INTEGER NOT NULL DEFAULT 0,
  trouble  TEXT NOT NULL DEFAULT '',
  stored_at INTEGER,
  PRIMARY KEY (task, node),
  FOREIGN KEY (task, node) REFERENCES hub_part (task, node)
) STRICT, WITHOUT ROWID;
CREATE INDEX hub_result_wanted ON hub_result (node) WHERE state = 'wanted';

-- An order stays the same bytes. Only one that the node has answered, with "later",
-- is replaced by a new one.
CREATE TRIGGER hub_part_same BEFORE UPDATE OF task, node, seq, envelope ON hub_part
WHEN NEW.task <> OLD.task OR NEW.node <> OLD.node OR
  ((NEW.seq <> OLD.seq OR NEW.envelope <> OLD.envelope) AND NOT (OLD.state = 'offered' AND NEW.state = 'waiting'))
BEGIN SELECT RAISE(ABORT, 'a part keeps its order'); END;

CREATE TRIGGER hub_part_steps BEFORE UPDATE OF state ON hub_part
WHEN NEW.state <> OLD.state AND NOT (
  (OLD.state = 'waiting'  AND NEW.state IN ('offered', 'refused', 'cancelled')) OR
  (OLD.state = 'offered'  AND NEW.state IN ('waiting', 'accepted', 'refused', 'cancelled')) OR
  (OLD.state = 'accepted' AND NEW.state IN ('ended', 'refused')))
BEGIN SELECT RAISE(ABORT, 'a part cannot take this step'); END;

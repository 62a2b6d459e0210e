-- The door for machines: who may ask, what for, and what arrived and left.
-- The programs check all of this first; the triggers are the second lock.

-- owner: app/gateway
CREATE TABLE gateway_principal (
  id       TEXT PRIMARY KEY,
  slug     TEXT NOT NULL UNIQUE,
  name     TEXT NOT NULL,
  kind     TEXT NOT NULL CHECK (kind IN ('client', 'hub')),
  state    TEXT NOT NULL CHECK (state IN ('active', 'revoked')),
  reason   TEXT NOT NULL DEFAULT '',          -- of the revocation
  paused   INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
  approval TEXT NOT NULL CHECK (approval IN ('project', 'every')),
  airlock  TEXT NOT NULL CHECK (airlock IN ('submit', 'sponsor')),
  tasks_per_hour INTEGER NOT NULL CHECK (tasks_per_hour > 0),
  open_tasks     INTEGER NOT NULL CHECK (open_tasks > 0),
  cores          INTEGER NOT NULL CHECK (cores > 0),
  plugins   TEXT NOT NULL CHECK (json_type(plugins) = 'array'), -- JSON, names: the services that it reaches
  publishes INTEGER NOT NULL DEFAULT 0 CHECK (publishes IN (0, 1)),
  hub_key  TEXT NOT NULL DEFAULT '',
  hub_url  TEXT NOT NULL DEFAULT '',
  words    TEXT NOT NULL DEFAULT '',
  node     TEXT NOT NULL DEFAULT '',
  created_at        INTEGER NOT NULL,
  created_by        TEXT NOT NULL,            -- person
  created_by_handle TEXT NOT NULL,
  last_seen INTEGER NOT NULL DEFAULT 0        -- to about a minute; 0: never
) STRICT;
CREATE UNIQUE INDEX gateway_principal_key ON gateway_principal (hub_key) WHERE hub_key <> '' AND state = 'active';

-- A project that a principal may send work to, and the member who answers for it.
CREATE TABLE gateway_use (
  principal TEXT NOT NULL REFERENCES gateway_principal (id),
  project   TEXT NOT NULL REFERENCES project (id),
  sponsor   TEXT NOT NULL,
  datasets  TEXT NOT NULL,                    -- JSON, ids; ["*"]: all that the project is granted
  since     INTEGER NOT NULL,
  added_by        TEXT NOT NULL,              -- person, a lead
  added_by_handle TEXT NOT NULL,
  PRIMARY KEY (principal, project)
) STRICT, WITHOUT ROWID;
CREATE INDEX gateway_use_project ON gateway_use (project);

-- Bearer tokens, as hashes only: of a client, or of a person in one project.
CREATE TABLE gateway_token (
  id        TEXT PRIMARY KEY,
  hash      TEXT NOT NULL UNIQUE,             -- SHA-256, hex
  principal TEXT REFERENCES gateway_principal (id),
  person    TEXT,
  project   TEXT REFERENCES project (id),
  name      TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  last_used  INTEGER NOT NULL DEFAULT 0,      -- to about a minute; 0: never
  revoked_at INTEGER,
  CHECK ((principal IS NOT NULL AND person IS NULL AND project IS NULL) OR (principal IS NULL AND person IS NOT NULL AND project IS NOT NULL))
) STRICT;
CREATE INDEX gateway_token_principal ON gateway_token (principal) WHERE principal IS NOT NULL;
CREATE INDEX gateway_token_person ON gateway_token (person, id) WHERE person IS NOT NULL;

-- A job that came through the gateway. Kept slim: lists of 10,000 read only this.
CREATE TABLE gateway_task (
  id        TEXT PRIMARY KEY REFERENCES job (id),
  principal TEXT NOT NULL,                    -- id of a principal, 'person:<id>' or 'inside:<job>'
  kind      TEXT NOT NULL CHECK (kind IN ('client', 'hub', 'person', 'inside')),
  plugin    TEXT NOT NULL,
  project   TEXT NOT NULL REFERENCES project (id),
  name      TEXT NOT NULL,                    -- as the caller wrote it; may be empty
  state     TEXT NOT NULL,                    -- of the job, or 'broken' when it failed and no command is to blame
  tags      TEXT NOT NULL,                    -- JSON, object
  remote_id TEXT,
  request_sha256 TEXT NOT NULL,
  on_behalf TEXT NOT NULL,
  way_out   TEXT NOT NULL DEFAULT '' CHECK (way_out IN ('', 'sponsor', 'drafted', 'blocked', 'submitted')),
  way_note  TEXT NOT NULL DEFAULT '',         -- for the caller: how the way out stands
  created_at INTEGER NOT NULL,
  ended_at   INTEGER                          -- no more changes; NULL: open
) STRICT;
CREATE INDEX gateway_task_principal ON gateway_task (principal, id);
CREATE INDEX gateway_task_project ON gateway_task (project, id);
CREATE INDEX gateway_task_principal_state ON gateway_task (principal, state, id);
CREATE INDEX gateway_task_project_state ON gateway_task (project, state, id);
CREATE INDEX gateway_task_principal_name ON gateway_task (principal, name, id);
CREATE INDEX gateway_task_project_name ON gateway_task (project, name, id);
CREATE INDEX gateway_task_open ON gateway_task (principal, id) WHERE ended_at IS NULL;
CREATE INDEX gateway_task_waiting ON gateway_task (id) WHERE state = 'submitted';
CREATE INDEX gateway_task_held ON gateway_task (id) WHERE state = 'held';
CREATE UNIQUE INDEX gateway_task_remote ON gateway_task (principal, plugin, remote_id) WHERE remote_id IS NOT NULL;

CREATE TABLE gateway_document (
  task     TEXT PRIMARY KEY REFERENCES gateway_task (id),
  document BLOB NOT NULL,
  notes    TEXT NOT NULL                      -- JSON, []string
) STRICT;

CREATE TABLE gateway_tag (
  key   TEXT NOT NULL,
  value TEXT NOT NULL,
  task  TEXT NOT NULL REFERENCES gateway_task (id),
  PRIMARY KEY (key, value, task)
) STRICT, WITHOUT ROWID;
CREATE INDEX gateway_tag_any ON gateway_tag (key, task);

-- Exactly what arrived and what left. Never changed; only counts of reading, which
-- name no content, may go after 90 days.
CREATE TABLE gateway_ledger (
  seq       INTEGER PRIMARY KEY,
  at        INTEGER NOT NULL,
  principal TEXT NOT NULL,
  project   TEXT NOT NULL,                    -- '' when none was found
  direction TEXT NOT NULL CHECK (direction IN ('in', 'out')),
  what      TEXT NOT NULL,
  remote_id TEXT NOT NULL,
  task      TEXT NOT NULL,
  sha256    TEXT NOT NULL,
  bytes     INTEGER NOT NULL,
  count     INTEGER NOT NULL,
  outcome   TEXT NOT NULL CHECK (outcome IN ('accepted', 'refused', 'sent', 'answered')),
  code      TEXT NOT NULL,
  text      TEXT NOT NULL,
  correlation TEXT NOT NULL
) STRICT;
CREATE INDEX gateway_ledger_principal ON gateway_ledger (principal, seq);
CREATE INDEX gateway_ledger_read ON gateway_ledger (at) WHERE what = 'task.read';

CREATE TABLE gateway_source (
  id       TEXT PRIMARY KEY,
  prefix   TEXT NOT NULL,
  kind     TEXT NOT NULL CHECK (kind IN ('https', 's3', 'drs')),
  endpoint TEXT NOT NULL,
  plugin   TEXT NOT NULL,
  added_at INTEGER NOT NULL,
  added_by        TEXT NOT NULL,
  added_by_handle TEXT NOT NULL,
  UNIQUE (prefix, plugin)
) STRICT;

CREATE TABLE gateway_setting (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER gateway_principal_same BEFORE UPDATE OF id, slug, kind, created_at, created_by ON gateway_principal
WHEN NEW.id <> OLD.id OR NEW.slug <> OLD.slug OR NEW.kind <> OLD.kind OR NEW.created_at <> OLD.created_at OR NEW.created_by <> OLD.created_by
BEGIN SELECT RAISE(ABORT, 'a principal stays who it is'); END;
CREATE TRIGGER gateway_principal_revoked BEFORE UPDATE OF state ON gateway_principal
WHEN OLD.state = 'revoked' AND NEW.state <> 'revoked'
BEGIN SELECT RAISE(ABORT, 'a revoked principal stays revoked'); END;
CREATE TRIGGER gateway_principal_ends AFTER UPDATE OF state ON gateway_principal
WHEN NEW.state = 'revoked' AND OLD.state <> 'revoked'
BEGIN UPDATE gateway_token SET revoked_at = unixepoch() * 1000 WHERE principal = NEW.id AND revoked_at IS NULL; END;
CREATE TRIGGER gateway_principal_kept BEFORE DELETE ON gateway_principal
BEGIN SELECT RAISE(ABORT, 'principals are kept'); END;

-- One person makes the principal, another one, who leads the project, lets it in.
CREATE TRIGGER gateway_use_in BEFORE INSERT ON gateway_use
WHEN NOT EXISTS (SELECT 1 FROM project_member m WHERE m.project = NEW.project AND m.person = NEW.added_by AND m.role = 'lead')
  OR NOT EXISTS (SELECT 1 FROM project_member m WHERE m.project = NEW.project AND m.person = NEW.sponsor)
  OR NOT EXISTS (SELECT 1 FROM gateway_principal p WHERE p.id = NEW.principal AND p.state = 'active' AND p.created_by <> NEW.added_by)
BEGIN SELECT RAISE(ABORT, 'a lead of the project lets a principal of somebody else in, and a member answers for it'); END;
CREATE TRIGGER gateway_use_change BEFORE UPDATE ON gateway_use
WHEN NEW.principal <> OLD.principal OR NEW.project <> OLD.project
  OR NOT EXISTS (SELECT 1 FROM project_member m WHERE m.project = NEW.project AND m.person = NEW.added_by AND m.role = 'lead')
  OR NOT EXISTS (SELECT 1 FROM project_member m WHERE m.project = NEW.project AND m.person = NEW.sponsor)
BEGIN SELECT RAISE(ABORT, 'a lead of the project says who answers for a principal'); END;

CREATE TRIGGER gateway_token_in BEFORE INSERT ON gateway_token
WHEN length(NEW.hash) <> 64 OR NEW.revoked_at IS NOT NULL OR NEW.expires_at <= NEW.created_at
  OR (NEW.person IS NOT NULL AND (NEW.expires_at > NEW.created_at + 90 * 86400000
      OR NOT EXISTS (SELECT 1 FROM project_member m WHERE m.project = NEW.project AND m.person = NEW.person)))
  OR (NEW.principal IS NOT NULL AND NOT EXISTS (SELECT 1 FROM gateway_principal p WHERE p.id = NEW.principal AND p.state = 'active' AND p.kind = 'client'))
BEGIN SELECT RAISE(ABORT, 'a token is of an active client, or of a member for at most 90 days'); END;
CREATE TRIGGER gateway_token_same BEFORE UPDATE ON gateway_token
WHEN NEW.id <> OLD.id OR NEW.hash <> OLD.hash OR NEW.principal IS NOT OLD.principal OR NEW.person IS NOT OLD.person OR NEW.project IS NOT OLD.project
  OR NEW.created_at <> OLD.created_at OR NEW.expires_at <> OLD.expires_at OR (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS NOT OLD.revoked_at)
BEGIN SELECT RAISE(ABORT, 'a token only ends'); END;
CREATE TRIGGER gateway_token_kept BEFORE DELETE ON gateway_token
BEGIN SELECT RAISE(ABORT, 'tokens are kept as hashes'); END;

-- No task for a principal that may not send work to this project now.
CREATE TRIGGER gateway_task_in BEFORE INSERT ON gateway_task
WHEN NEW.kind IN ('client', 'hub') AND NOT EXISTS (
  SELECT 1 FROM gateway_principal p JOIN gateway_use u ON u.principal = p.id AND u.project = NEW.project
   WHERE p.id = NEW.principal AND p.kind = NEW.kind AND p.state = 'active' AND p.paused = 0
     AND EXISTS (SELECT 1 FROM json_each(p.plugins) e WHERE e.value = NEW.plugin))
BEGIN SELECT RAISE(ABORT, 'this principal may not send work to this project, or through this service, now'); END;
CREATE TRIGGER gateway_task_same BEFORE UPDATE OF id, principal, kind, plugin, project, name, tags, remote_id, request_sha256, on_behalf, created_at ON gateway_task
BEGIN SELECT RAISE(ABORT, 'a task keeps what it was accepted as'); END;
CREATE TRIGGER gateway_task_kept BEFORE DELETE ON gateway_task
BEGIN SELECT RAISE(ABORT, 'tasks are kept'); END;
CREATE TRIGGER gateway_document_fixed BEFORE UPDATE ON gateway_document
BEGIN SELECT RAISE(ABORT, 'a task keeps its document'); END;

CREATE TRIGGER gateway_ledger_fixed BEFORE UPDATE ON gateway_ledger
BEGIN SELECT RAISE(ABORT, 'the ledger cannot be changed'); END;
CREATE TRIGGER gateway_ledger_kept BEFORE DELETE ON gateway_ledger
WHEN OLD.what <> 'task.read' OR OLD.at > (unixepoch() - 90 * 86400) * 1000
BEGIN SELECT RAISE(ABORT, 'the ledger is kept'); END;

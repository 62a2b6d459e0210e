-- Work: jobs, the files they leave, and the openings through which people look at them.

-- owner: app/job
CREATE TABLE job (
  id         TEXT PRIMARY KEY,
  project    TEXT NOT NULL REFERENCES project (id),
  name       TEXT NOT NULL,
  purpose    TEXT NOT NULL,
  state      TEXT NOT NULL CHECK (state IN ('submitted', 'approved', 'refused', 'queued', 'preparing', 'running',
                                            'collecting', 'held', 'released', 'rejected', 'failed', 'cancelled')),
  reason     TEXT NOT NULL DEFAULT '',  -- why it stands where it stands, for people
  next       TEXT NOT NULL DEFAULT '',  -- what to do about it, for people
  submitter        TEXT NOT NULL,
  submitter_handle TEXT NOT NULL,
  submitter_name   TEXT NOT NULL,
  request_key  TEXT,                    -- idempotency key of the submission
  request_hash TEXT NOT NULL,           -- SHA-256 of the submission, to notice a reused key
  queries    TEXT NOT NULL,             -- JSON, []Query
  datasets   TEXT NOT NULL,             -- JSON, []Data
  outputs    TEXT NOT NULL,             -- JSON, []string: declared paths and globs
  limits     TEXT NOT NULL,             -- JSON, Limits
  refusals   TEXT NOT NULL DEFAULT '[]',-- JSON, []sandbox.Refusal of the last collection
  task       INTEGER NOT NULL DEFAULT 0,-- the task that runs, or ran last
  host_faults INTEGER NOT NULL DEFAULT 0,
  unlimited  INTEGER NOT NULL DEFAULT 0,
  cancel_actor  TEXT NOT NULL DEFAULT '',-- JSON, who asked for a stop while it ran; '' when nobody
  cancel_reason TEXT NOT NULL DEFAULT '',
  request    TEXT NOT NULL DEFAULT '',  -- the latest airlock request for its outputs
  cleaned    INTEGER NOT NULL DEFAULT 0,-- containers and scratch are gone
  created_at  INTEGER NOT NULL,
  queued_at   INTEGER,
  started_at  INTEGER,
  finished_at INTEGER,
  held_at     INTEGER
) STRICT;
CREATE UNIQUE INDEX job_request_key ON job (project, request_key) WHERE request_key IS NOT NULL;
CREATE INDEX job_project ON job (project, id);
CREATE INDEX job_state ON job (state, id);
CREATE INDEX job_uncleaned ON job (id) WHERE cleaned = 0;

-- One container each. attempt is written before the container is made: it is the intent.
CREATE TABLE job_task (
  job       TEXT NOT NULL REFERENCES job (id),
  n         INTEGER NOT NULL CHECK (n >= 0),
  image     TEXT NOT NULL,              -- digest
  image_id  TEXT NOT NULL,              -- what the engine runs
  image_ref TEXT NOT NULL,
  argv      TEXT NOT NULL,              -- JSON, []string
  env       TEXT NOT NULL,              -- JSON, []string
  workdir   TEXT NOT NULL,
  state     TEXT NOT NULL CHECK (state IN ('waiting', 'preparing', 'running', 'succeeded', 'failed', 'cancelled', 'skipped')),
  exit_code INTEGER,
  attempt   INTEGER NOT NULL DEFAULT 0,
  started_at  INTEGER,
  finished_at INTEGER,
  PRIMARY KEY (job, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE job_input (
  job     TEXT NOT NULL REFERENCES job (id),
  name    TEXT NOT NULL,
  sha256  TEXT NOT NULL,
  size    INTEGER NOT NULL,
  content BLOB NOT NULL,
  PRIMARY KEY (job, name)
) STRICT;

-- owner: app/output
CREATE TABLE output (
  id         TEXT PRIMARY KEY,
  job        TEXT NOT NULL REFERENCES job (id),
  project    TEXT NOT NULL REFERENCES project (id),
  path       TEXT NOT NULL,             -- relative to the output folder
  sha256     TEXT NOT NULL,
  size       INTEGER NOT NULL,
  kind       TEXT NOT NULL CHECK (kind IN ('table', 'text', 'image', 'other')),
  row_count  INTEGER NOT NULL DEFAULT 0,
  col_count  INTEGER NOT NULL DEFAULT 0,
  state      TEXT NOT NULL CHECK (state IN ('held', 'requested', 'released', 'erased')),
  created_at INTEGER NOT NULL,
  UNIQUE (job, path)
) STRICT;
CREATE INDEX output_project ON output (project);
CREATE INDEX output_sha256 ON output (sha256);

-- owner: app/workspace
-- Each opening of live bytes by a person, with how much went through it.
CREATE TABLE opening (
  id        TEXT PRIMARY KEY,
  person    TEXT NOT NULL,
  session   TEXT NOT NULL,
  kind      TEXT NOT NULL CHECK (kind IN ('job-log', 'output-preview')),
  thing     TEXT NOT NULL,
  project   TEXT NOT NULL REFERENCES project (id),
  bytes     INTEGER NOT NULL DEFAULT 0,
  opened_at INTEGER NOT NULL,
  used_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX opening_person ON opening (person, used_at);

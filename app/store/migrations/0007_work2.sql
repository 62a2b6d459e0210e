-- Work that comes through the gateway: inputs and outputs at paths of their own,
-- jobs that wait for an image or end without a release, and the projects' trees.

-- owner: app/job
-- The table is made again because its CHECK learns the state completed. It keeps its
-- name and its rows, so what refers to it refers to it still: the foreign keys are
-- deferred in every step of the schema and hold again before it commits.
CREATE TABLE job_before AS SELECT * FROM job;
DROP TABLE job;
CREATE TABLE job (
  id         TEXT PRIMARY KEY,
  project    TEXT NOT NULL REFERENCES project (id),
  name       TEXT NOT NULL,
  purpose    TEXT NOT NULL,
  state      TEXT NOT NULL CHECK (state IN ('submitted', 'approved', 'refused', 'queued', 'preparing', 'running',
                                            'collecting', 'held', 'released', 'rejected', 'completed', 'failed', 'cancelled')),
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
  held_at     INTEGER,
  via         TEXT NOT NULL DEFAULT '', -- by which door it came; '' web or command line
  on_behalf   TEXT NOT NULL DEFAULT '', -- who asked there, as they say
  places      TEXT NOT NULL DEFAULT '[]',-- JSON, []PlaceInfo
  wants       TEXT NOT NULL DEFAULT '[]',-- JSON, []WantInfo
  volumes     TEXT NOT NULL DEFAULT '[]',-- JSON, []string: folders that all tasks share; none: /work
  waits_image TEXT NOT NULL DEFAULT '', -- name or digest of the image that it waits for
  inside      INTEGER NOT NULL DEFAULT 0,-- its programs are offered the task service
  every_job   INTEGER NOT NULL DEFAULT 0 -- needs a decision whatever the project's mode is
) STRICT;
INSERT INTO job (id, project, name, purpose, state, reason, next, submitter, submitter_handle, submitter_name, request_key, request_hash,
  queries, datasets, outputs, limits, refusals, task, host_faults, unlimited, cancel_actor, cancel_reason, request, cleaned,
  created_at, queued_at, started_at, finished_at, held_at)
SELECT id, project, name, purpose, state, reason, next, submitter, submitter_handle, submitter_name, request_key, request_hash,
  queries, datasets, outputs, limits, refusals, task, host_faults, unlimited, cancel_actor, cancel_reason, request, cleaned,
  created_at, queued_at, started_at, finished_at, held_at FROM job_before ORDER BY id;
DROP TABLE job_before;
CREATE UNIQUE INDEX job_request_key ON job (project, request_key) WHERE request_key IS NOT NULL;
CREATE INDEX job_project ON job (project, id);
CREATE INDEX job_state ON job (state, id);
CREATE INDEX job_uncleaned ON job (id) WHERE cleaned = 0;
CREATE INDEX job_waits_image ON job (waits_image, id) WHERE waits_image <> '';

ALTER TABLE job_task ADD COLUMN stdin TEXT NOT NULL DEFAULT '';
ALTER TABLE job_task ADD COLUMN stdout TEXT NOT NULL DEFAULT '';
ALTER TABLE job_task ADD COLUMN stderr TEXT NOT NULL DEFAULT '';
ALTER TABLE job_task ADD COLUMN ignore_error INTEGER NOT NULL DEFAULT 0;
CREATE INDEX job_task_image ON job_task (image, job) WHERE attempt > 0;

-- What a job wrote into its project's tree, as it was then.
CREATE TABLE job_kept (
  job    TEXT NOT NULL REFERENCES job (id),
  path   TEXT NOT NULL,                 -- in the container
  tree   TEXT NOT NULL,                 -- in the project's tree
  target TEXT NOT NULL,                 -- where it was asked for
  sha256 TEXT NOT NULL,
  size   INTEGER NOT NULL,
  PRIMARY KEY (job, path, tree, target)
) STRICT, WITHOUT ROWID;

-- owner: app/tree
CREATE TABLE tree_file (
  project    TEXT NOT NULL REFERENCES project (id),
  path       TEXT NOT NULL,             -- relative, folders separated by '/'
  sha256     TEXT NOT NULL,
  size       INTEGER NOT NULL,
  job        TEXT NOT NULL DEFAULT '',  -- that wrote it
  created_at INTEGER NOT NULL,
  PRIMARY KEY (project, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX tree_file_sha256 ON tree_file (sha256);

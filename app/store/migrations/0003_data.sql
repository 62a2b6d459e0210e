-- What may be worked on: projects, datasets, images.

-- owner: app/project
CREATE TABLE project (
  id         TEXT PRIMARY KEY,
  slug       TEXT NOT NULL UNIQUE,
  name       TEXT NOT NULL,
  purpose    TEXT NOT NULL,
  state      TEXT NOT NULL CHECK (state IN ('open', 'closed')),
  ends_at    INTEGER,
  approval   TEXT NOT NULL CHECK (approval IN ('every', 'image', 'off')),
  threshold  INTEGER NOT NULL CHECK (threshold BETWEEN 1 AND 1000000),
  reviewers  INTEGER NOT NULL CHECK (reviewers BETWEEN 1 AND 2),
  waiver_reason TEXT NOT NULL DEFAULT '', -- why fewer than two reviewers
  waiver_until  INTEGER,                  -- after this moment two reviewers are needed again
  reason     TEXT NOT NULL DEFAULT '',    -- of the last change of state or policy
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL
) STRICT;

CREATE TABLE project_member (
  project   TEXT NOT NULL REFERENCES project (id),
  person    TEXT NOT NULL,
  role      TEXT NOT NULL CHECK (role IN ('researcher', 'lead')),
  added_at  INTEGER NOT NULL,
  added_by  TEXT NOT NULL,
  PRIMARY KEY (project, person)
) STRICT, WITHOUT ROWID;
CREATE INDEX project_member_person ON project_member (person);

CREATE TABLE project_dataset (
  project    TEXT NOT NULL REFERENCES project (id),
  dataset    TEXT NOT NULL,
  granted_at INTEGER NOT NULL,
  granted_by TEXT NOT NULL,
  PRIMARY KEY (project, dataset)
) STRICT, WITHOUT ROWID;
CREATE INDEX project_dataset_dataset ON project_dataset (dataset);

-- owner: app/dataset
CREATE TABLE dataset (
  id          TEXT PRIMARY KEY,
  slug        TEXT NOT NULL UNIQUE,
  name        TEXT NOT NULL,
  description TEXT NOT NULL,
  controller  TEXT NOT NULL,
  licence     TEXT NOT NULL,
  source      TEXT NOT NULL,
  state       TEXT NOT NULL CHECK (state IN ('active', 'retired')),
  latest      INTEGER NOT NULL DEFAULT 0,
  created_at  INTEGER NOT NULL,
  created_by  TEXT NOT NULL
) STRICT;

-- A version never changes, except that its presentation becomes ready.
CREATE TABLE dataset_version (
  dataset      TEXT NOT NULL REFERENCES dataset (id),
  n            INTEGER NOT NULL CHECK (n > 0),
  sha256       TEXT NOT NULL,   -- of the manifest
  files        TEXT NOT NULL,   -- JSON, []File
  tables       TEXT NOT NULL,   -- JSON, []Table: the profile
  row_count    INTEGER NOT NULL,
  bytes        INTEGER NOT NULL,
  presentation TEXT NOT NULL CHECK (presentation IN ('building', 'ready', 'failed')),
  note         TEXT NOT NULL,
  created_at   INTEGER NOT NULL,
  created_by   TEXT NOT NULL,
  created_by_name TEXT NOT NULL,
  PRIMARY KEY (dataset, n)
) STRICT, WITHOUT ROWID;

-- owner: app/image
CREATE TABLE image (
  digest      TEXT PRIMARY KEY, -- of the manifest, as the engine says
  id          TEXT NOT NULL,    -- of the configuration; what a container is made from
  ref         TEXT NOT NULL,
  source      TEXT NOT NULL CHECK (source IN ('builtin', 'import')),
  state       TEXT NOT NULL CHECK (state IN ('imported', 'approved', 'revoked')),
  present     INTEGER NOT NULL,  -- the engine holds it, as far as was seen last
  size        INTEGER NOT NULL,
  arch        TEXT NOT NULL,
  setuid      INTEGER NOT NULL DEFAULT 0, -- files with a setuid or setgid bit; inert inside, shown to the operator
  imported_at INTEGER NOT NULL,
  imported_by TEXT NOT NULL,
  approved_at INTEGER,
  approved_by TEXT NOT NULL DEFAULT '',
  reason      TEXT NOT NULL DEFAULT ''  -- of the last decision
) STRICT;
CREATE INDEX image_ref ON image (ref, imported_at);

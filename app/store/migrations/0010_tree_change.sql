-- owner: app/tree
-- The folder /project in containers: which files may be executed, and what has
-- changed since a program looked. change is the project's count when a row was written.
ALTER TABLE tree_file ADD COLUMN executable INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tree_file ADD COLUMN change INTEGER NOT NULL DEFAULT 0;
CREATE INDEX tree_file_change ON tree_file (project, change);
CREATE TABLE tree_change (
  project TEXT NOT NULL PRIMARY KEY REFERENCES project (id),
  n       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- owner: app/audit
-- The log of who did what: a Merkle tree (RFC 6962) whose leaves are canonical
-- JSON. Rows are only ever added; the triggers refuse everything else.
-- The columns for searching are computed from the leaf, so that they cannot
-- disagree with it.
CREATE TABLE audit_leaf (
	seq     INTEGER PRIMARY KEY CHECK (seq >= 0),
	leaf    TEXT NOT NULL,
	subject TEXT GENERATED ALWAYS AS (leaf ->> '$.subject') VIRTUAL,
	project TEXT GENERATED ALWAYS AS (leaf ->> '$.project') VIRTUAL,
	actor   TEXT GENERATED ALWAYS AS (leaf ->> '$.actor') VIRTUAL,
	verb    TEXT GENERATED ALWAYS AS (leaf ->> '$.verb') VIRTUAL
) STRICT;
CREATE INDEX audit_leaf_subject ON audit_leaf (subject, seq);
CREATE INDEX audit_leaf_project ON audit_leaf (project, seq) WHERE project IS NOT NULL;
CREATE INDEX audit_leaf_actor ON audit_leaf (actor, seq);
CREATE INDEX audit_leaf_verb ON audit_leaf (verb, seq);

-- Hashes of all complete subtrees, in the order of tlog.StoredHashIndex.
CREATE TABLE audit_hash (
	idx  INTEGER PRIMARY KEY CHECK (idx >= 0),
	hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- Signed tree heads, C2SP tlog-checkpoint notes.
CREATE TABLE audit_checkpoint (
	size INTEGER PRIMARY KEY CHECK (size >= 0),
	note TEXT NOT NULL
) STRICT;

CREATE TRIGGER audit_leaf_fixed BEFORE UPDATE ON audit_leaf
BEGIN SELECT RAISE(ABORT, 'audit events cannot be changed'); END;
CREATE TRIGGER audit_leaf_kept BEFORE DELETE ON audit_leaf
BEGIN SELECT RAISE(ABORT, 'audit events cannot be removed'); END;
CREATE TRIGGER audit_hash_fixed BEFORE UPDATE ON audit_hash
BEGIN SELECT RAISE(ABORT, 'audit hashes cannot be changed'); END;
CREATE TRIGGER audit_hash_kept BEFORE DELETE ON audit_hash
BEGIN SELECT RAISE(ABORT, 'audit hashes cannot be removed'); END;
CREATE TRIGGER audit_checkpoint_fixed BEFORE UPDATE ON audit_checkpoint
BEGIN SELECT RAISE(ABORT, 'audit checkpoints cannot be changed'); END;
CREATE TRIGGER audit_checkpoint_kept BEFORE DELETE ON audit_checkpoint
BEGIN SELECT RAISE(ABORT, 'audit checkpoints cannot be removed'); END;

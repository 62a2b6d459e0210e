-- The way out: airlock requests, their reviews, and the releases made from them.
-- The programs check all of this first; the triggers are the second lock, for
-- whoever writes SQL past them.

-- owner: app/airlock
CREATE TABLE airlock_request (
  id         TEXT PRIMARY KEY,
  project    TEXT NOT NULL REFERENCES project (id),
  job        TEXT NOT NULL REFERENCES job (id),
  job_name   TEXT NOT NULL,
  direction  TEXT NOT NULL CHECK (direction IN ('egress')),
  state      TEXT NOT NULL CHECK (state IN ('draft', 'submitted', 'in-review', 'returned', 'approved', 'rejected', 'released', 'withdrawn')),
  round      INTEGER NOT NULL DEFAULT 0 CHECK (round >= 0), -- the last one submitted; 0: none yet
  edits      INTEGER NOT NULL DEFAULT 0,                    -- grows with each change of texts or files
  title      TEXT NOT NULL,
  context    TEXT NOT NULL,
  population TEXT NOT NULL,
  controls   TEXT NOT NULL,
  exception  TEXT NOT NULL,
  findings   TEXT NOT NULL DEFAULT '[]',                    -- JSON, of the request as a whole
  requester        TEXT NOT NULL,
  requester_handle TEXT NOT NULL,
  requester_name   TEXT NOT NULL,
  producer   TEXT NOT NULL,                                 -- person who submitted the job
  created_at   INTEGER NOT NULL,
  submitted_at INTEGER,
  decided_at   INTEGER,
  approved_seq INTEGER,                                     -- audit event of the approval
  release_id TEXT NOT NULL DEFAULT '',
  turned_at    INTEGER NOT NULL                             -- since when it is somebody's turn
) STRICT;
CREATE INDEX airlock_request_project ON airlock_request (project, id);
CREATE INDEX airlock_request_state ON airlock_request (state, id);
CREATE INDEX airlock_request_job ON airlock_request (job);

-- Files of a round. Those of round + 1 are the draft of the next submission.
CREATE TABLE airlock_item (
  id        TEXT PRIMARY KEY,
  request   TEXT NOT NULL REFERENCES airlock_request (id),
  round     INTEGER NOT NULL CHECK (round > 0),
  output    TEXT NOT NULL REFERENCES output (id),
  path      TEXT NOT NULL,
  source_sha256 TEXT NOT NULL,  -- of the output
  sha256    TEXT NOT NULL,      -- of what is reviewed and released
  size      INTEGER NOT NULL,
  kind      TEXT NOT NULL CHECK (kind IN ('table', 'text', 'image', 'none')),
  row_count INTEGER NOT NULL,
  col_count INTEGER NOT NULL,
  findings  TEXT NOT NULL,      -- JSON, []check.Finding
  UNIQUE (request, round, path)
) STRICT;

-- What was submitted, once, for good. Its items are fixed from then on.
CREATE TABLE airlock_round (
  request   TEXT NOT NULL REFERENCES airlock_request (id),
  round     INTEGER NOT NULL CHECK (round > 0),
  needed    INTEGER NOT NULL CHECK (needed BETWEEN 1 AND 2),
  threshold INTEGER NOT NULL,
  manifest        TEXT NOT NULL, -- JSON: texts and items; its hash is what a vote binds
  manifest_sha256 TEXT NOT NULL,
  rules_version   TEXT NOT NULL,
  rules_sha256    TEXT NOT NULL,
  findings_sha256 TEXT NOT NULL,
  submitted_at    INTEGER NOT NULL,
  PRIMARY KEY (request, round)
) STRICT, WITHOUT ROWID;

CREATE TABLE airlock_seen (
  item   TEXT NOT NULL REFERENCES airlock_item (id),
  person TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  seen_at INTEGER NOT NULL,
  PRIMARY KEY (item, person)
) STRICT, WITHOUT ROWID;

CREATE TABLE airlock_review (
  id        TEXT PRIMARY KEY,
  request   TEXT NOT NULL,
  round     INTEGER NOT NULL,
  reviewer        TEXT NOT NULL,
  reviewer_handle TEXT NOT NULL,
  reviewer_name   TEXT NOT NULL,
  decision  TEXT NOT NULL CHECK (decision IN ('approve', 'reject', 'change')),
  comment   TEXT NOT NULL,
  manifest_sha256 TEXT NOT NULL,
  rules_sha256    TEXT NOT NULL,
  findings_sha256 TEXT NOT NULL,
  voted_at  INTEGER NOT NULL,
  UNIQUE (request, round, reviewer),
  FOREIGN KEY (request, round) REFERENCES airlock_round (request, round)
) STRICT;

CREATE TABLE airlock_comment (
  id        TEXT PRIMARY KEY,
  request   TEXT NOT NULL REFERENCES airlock_request (id),
  round     INTEGER NOT NULL,
  person        TEXT NOT NULL,
  person_handle TEXT NOT NULL,
  person_name   TEXT NOT NULL,
  private   INTEGER NOT NULL CHECK (private IN (0, 1)), -- 1: by a reviewer, shown when the round is decided
  item      TEXT NOT NULL DEFAULT '',
  text      TEXT NOT NULL,
  written_at INTEGER NOT NULL
) STRICT;
CREATE INDEX airlock_comment_request ON airlock_comment (request, id);

-- Bytes in the vault that a request needs: nobody may erase them.
CREATE TABLE airlock_pin (
  sha256  TEXT NOT NULL,
  request TEXT NOT NULL REFERENCES airlock_request (id),
  PRIMARY KEY (sha256, request)
) STRICT, WITHOUT ROWID;

-- owner: app/release
CREATE TABLE release (
  id       TEXT PRIMARY KEY,
  request  TEXT NOT NULL UNIQUE REFERENCES airlock_request (id),
  round    INTEGER NOT NULL,
  project  TEXT NOT NULL REFERENCES project (id),
  job      TEXT NOT NULL REFERENCES job (id),
  title    TEXT NOT NULL,
  manifest_sha256 TEXT NOT NULL, -- of the round that was approved
  sha256   TEXT NOT NULL,        -- of the zip
  size     INTEGER NOT NULL,
  files    TEXT NOT NULL,        -- JSON, []File
  made_at  INTEGER NOT NULL,
  made_by        TEXT NOT NULL,
  made_by_handle TEXT NOT NULL,
  made_by_name   TEXT NOT NULL
) STRICT;
CREATE INDEX release_project ON release (project, id);

CREATE TABLE release_opening (
  id        TEXT PRIMARY KEY,
  release   TEXT NOT NULL REFERENCES release (id),
  person    TEXT NOT NULL,
  opened_at INTEGER NOT NULL
) STRICT;
CREATE INDEX release_opening_release ON release_opening (release);

-- A request starts as a draft and keeps what it is about.
CREATE TRIGGER airlock_request_starts BEFORE INSERT ON airlock_request
WHEN NEW.state <> 'draft' OR NEW.round <> 0
BEGIN SELECT RAISE(ABORT, 'a request starts as a draft'); END;

CREATE TRIGGER airlock_request_same BEFORE UPDATE OF id, project, job, requester, producer, created_at ON airlock_request
WHEN NEW.id <> OLD.id OR NEW.project <> OLD.project OR NEW.job <> OLD.job OR NEW.requester <> OLD.requester OR NEW.producer <> OLD.producer OR NEW.created_at <> OLD.created_at
BEGIN SELECT RAISE(ABORT, 'a request keeps its project, job and requester'); END;

CREATE TRIGGER airlock_request_steps BEFORE UPDATE OF state ON airlock_request
WHEN NEW.state <> OLD.state AND NOT (
     OLD.state = 'draft'     AND NEW.state IN ('submitted', 'withdrawn')
  OR OLD.state = 'submitted' AND NEW.state IN ('in-review', 'returned', 'approved', 'rejected', 'withdrawn')
  OR OLD.state = 'in-review' AND NEW.state IN ('returned', 'approved', 'rejected', 'withdrawn')
  OR OLD.state = 'returned'  AND NEW.state IN ('submitted', 'withdrawn')
  OR OLD.state = 'approved'  AND NEW.state IN ('released', 'withdrawn'))
BEGIN SELECT RAISE(ABORT, 'a request does not go from one of these states to the other'); END;

CREATE TRIGGER airlock_request_round BEFORE UPDATE OF round ON airlock_request
WHEN NEW.round <> OLD.round AND NOT (NEW.round = OLD.round + 1 AND NEW.state = 'submitted' AND OLD.state IN ('draft', 'returned'))
BEGIN SELECT RAISE(ABORT, 'a round starts only when the request is submitted'); END;

CREATE TRIGGER airlock_request_submitted BEFORE UPDATE OF state ON airlock_request
WHEN NEW.state = 'submitted' AND OLD.state <> 'submitted'
 AND (NEW.round <> OLD.round + 1 OR NOT EXISTS (SELECT 1 FROM airlock_round r WHERE r.request = NEW.id AND r.round = NEW.round))
BEGIN SELECT RAISE(ABORT, 'a request is submitted with a round of its own'); END;

CREATE TRIGGER airlock_request_texts BEFORE UPDATE OF title, context, population, controls, exception ON airlock_request
WHEN OLD.state NOT IN ('draft', 'returned')
 AND (NEW.title <> OLD.title OR NEW.context <> OLD.context OR NEW.population <> OLD.population OR NEW.controls <> OLD.controls OR NEW.exception <> OLD.exception)
BEGIN SELECT RAISE(ABORT, 'the texts of a submitted request are fixed'); END;

-- Approved means: as many approving votes as the round needs, on its hashes, and no other vote.
CREATE TRIGGER airlock_request_approved BEFORE UPDATE OF state ON airlock_request
WHEN NEW.state = 'approved' AND OLD.state <> 'approved' AND (
  (SELECT count(DISTINCT v.reviewer) FROM airlock_review v JOIN airlock_round r ON r.request = v.request AND r.round = v.round
    WHERE v.request = NEW.id AND v.round = NEW.round AND v.decision = 'approve' AND v.reviewer <> NEW.requester AND v.reviewer <> NEW.producer
      AND v.manifest_sha256 = r.manifest_sha256 AND v.rules_sha256 = r.rules_sha256 AND v.findings_sha256 = r.findings_sha256)
  < coalesce((SELECT needed FROM airlock_round WHERE request = NEW.id AND round = NEW.round), 99)
  OR EXISTS (SELECT 1 FROM airlock_review v WHERE v.request = NEW.id AND v.round = NEW.round AND v.decision <> 'approve'))
BEGIN SELECT RAISE(ABORT, 'a request is approved by the votes of its reviewers'); END;

CREATE TRIGGER airlock_request_released BEFORE UPDATE OF state ON airlock_request
WHEN NEW.state = 'released' AND OLD.state <> 'released' AND NOT EXISTS (SELECT 1 FROM release l WHERE l.request = NEW.id AND l.round = NEW.round)
BEGIN SELECT RAISE(ABORT, 'a request is released by a release'); END;

CREATE TRIGGER airlock_request_kept BEFORE DELETE ON airlock_request
BEGIN SELECT RAISE(ABORT, 'requests are kept'); END;

CREATE TRIGGER airlock_item_in BEFORE INSERT ON airlock_item
WHEN EXISTS (SELECT 1 FROM airlock_round r WHERE r.request = NEW.request AND r.round = NEW.round)
BEGIN SELECT RAISE(ABORT, 'the files of a submitted round are fixed'); END;
CREATE TRIGGER airlock_item_fixed BEFORE UPDATE ON airlock_item
WHEN EXISTS (SELECT 1 FROM airlock_round r WHERE r.request = OLD.request AND r.round IN (OLD.round, NEW.round))
BEGIN SELECT RAISE(ABORT, 'the files of a submitted round are fixed'); END;
CREATE TRIGGER airlock_item_kept BEFORE DELETE ON airlock_item
WHEN EXISTS (SELECT 1 FROM airlock_round r WHERE r.request = OLD.request AND r.round = OLD.round)
BEGIN SELECT RAISE(ABORT, 'the files of a submitted round are fixed'); END;

CREATE TRIGGER airlock_round_in BEFORE INSERT ON airlock_round
WHEN NEW.needed < (SELECT p.reviewers FROM project p JOIN airlock_request q ON q.project = p.id WHERE q.id = NEW.request)
  OR NOT EXISTS (SELECT 1 FROM airlock_request q WHERE q.id = NEW.request AND q.round + 1 = NEW.round AND q.state IN ('draft', 'returned'))
  OR NOT EXISTS (SELECT 1 FROM airlock_item i WHERE i.request = NEW.request AND i.round = NEW.round)
  OR EXISTS (SELECT 1 FROM airlock_item i WHERE i.request = NEW.request AND i.round = NEW.round
      AND NOT EXISTS (SELECT 1 FROM airlock_pin p WHERE p.request = NEW.request AND p.sha256 = i.sha256))
BEGIN SELECT RAISE(ABORT, 'a round is the next one of a draft, with its files pinned and the reviewers that the project asks for'); END;
CREATE TRIGGER airlock_round_fixed BEFORE UPDATE ON airlock_round
BEGIN SELECT RAISE(ABORT, 'a submitted round is fixed'); END;
CREATE TRIGGER airlock_round_kept BEFORE DELETE ON airlock_round
BEGIN SELECT RAISE(ABORT, 'a submitted round is fixed'); END;

CREATE TRIGGER airlock_seen_fixed BEFORE UPDATE ON airlock_seen
BEGIN SELECT RAISE(ABORT, 'what was seen is kept'); END;
CREATE TRIGGER airlock_seen_kept BEFORE DELETE ON airlock_seen
BEGIN SELECT RAISE(ABORT, 'what was seen is kept'); END;
CREATE TRIGGER airlock_seen_in BEFORE INSERT ON airlock_seen
WHEN NEW.sha256 <> (SELECT sha256 FROM airlock_item WHERE id = NEW.item)
BEGIN SELECT RAISE(ABORT, 'other bytes were seen'); END;

-- Votes: on the current round of a request under review, by somebody who has
-- nothing to do with it, once, and never changed.
CREATE TRIGGER airlock_review_now BEFORE INSERT ON airlock_review
WHEN NOT EXISTS (SELECT 1 FROM airlock_request q JOIN airlock_round r ON r.request = q.id AND r.round = q.round
   WHERE q.id = NEW.request AND q.round = NEW.round AND q.state IN ('submitted', 'in-review')
     AND r.manifest_sha256 = NEW.manifest_sha256 AND r.rules_sha256 = NEW.rules_sha256 AND r.findings_sha256 = NEW.findings_sha256)
BEGIN SELECT RAISE(ABORT, 'a vote counts for the current round and its hashes only'); END;
CREATE TRIGGER airlock_review_apart BEFORE INSERT ON airlock_review
WHEN NEW.reviewer = '' OR EXISTS (SELECT 1 FROM airlock_request q WHERE q.id = NEW.request
   AND (NEW.reviewer IN (q.requester, q.producer) OR EXISTS (SELECT 1 FROM project_member m WHERE m.project = q.project AND m.person = NEW.reviewer)))
BEGIN SELECT RAISE(ABORT, 'nobody reviews their own request or project'); END;
CREATE TRIGGER airlock_review_enough BEFORE INSERT ON airlock_review
WHEN (SELECT count(*) FROM airlock_review v WHERE v.request = NEW.request AND v.round = NEW.round)
  >= (SELECT needed FROM airlock_round WHERE request = NEW.request AND round = NEW.round)
BEGIN SELECT RAISE(ABORT, 'the round has all its votes'); END;
CREATE TRIGGER airlock_review_seen BEFORE INSERT ON airlock_review
WHEN NEW.decision = 'approve' AND EXISTS (SELECT 1 FROM airlock_item i WHERE i.request = NEW.request AND i.round = NEW.round
   AND NOT EXISTS (SELECT 1 FROM airlock_seen s WHERE s.item = i.id AND s.person = NEW.reviewer AND s.sha256 = i.sha256))
BEGIN SELECT RAISE(ABORT, 'a reviewer looks at every file before approving'); END;
CREATE TRIGGER airlock_review_fixed BEFORE UPDATE ON airlock_review
BEGIN SELECT RAISE(ABORT, 'votes cannot be changed'); END;
CREATE TRIGGER airlock_review_kept BEFORE DELETE ON airlock_review
BEGIN SELECT RAISE(ABORT, 'votes cannot be removed'); END;

CREATE TRIGGER airlock_comment_fixed BEFORE UPDATE ON airlock_comment
BEGIN SELECT RAISE(ABORT, 'comments cannot be changed'); END;
CREATE TRIGGER airlock_comment_kept BEFORE DELETE ON airlock_comment
BEGIN SELECT RAISE(ABORT, 'comments cannot be removed'); END;

CREATE TRIGGER airlock_pin_kept BEFORE DELETE ON airlock_pin
WHEN EXISTS (SELECT 1 FROM airlock_request q WHERE q.id = OLD.request AND q.state NOT IN ('rejected', 'withdrawn'))
BEGIN SELECT RAISE(ABORT, 'the bytes of a request are pinned'); END;
CREATE TRIGGER airlock_pin_fixed BEFORE UPDATE ON airlock_pin
BEGIN SELECT RAISE(ABORT, 'the bytes of a request are pinned'); END;

-- A release: of an approved request, with enough approving votes on the very
-- manifest that is released.
CREATE TRIGGER release_approved BEFORE INSERT ON release
WHEN NOT EXISTS (SELECT 1 FROM airlock_request q JOIN airlock_round r ON r.request = q.id AND r.round = q.round
   WHERE q.id = NEW.request AND q.state = 'approved' AND q.round = NEW.round AND q.project = NEW.project AND q.job = NEW.job
     AND r.manifest_sha256 = NEW.manifest_sha256
     AND r.needed <= (SELECT count(DISTINCT v.reviewer) FROM airlock_review v
        WHERE v.request = q.id AND v.round = q.round AND v.decision = 'approve' AND v.reviewer NOT IN (q.requester, q.producer)
          AND v.manifest_sha256 = r.manifest_sha256 AND v.rules_sha256 = r.rules_sha256 AND v.findings_sha256 = r.findings_sha256)
     AND NOT EXISTS (SELECT 1 FROM airlock_review v WHERE v.request = q.id AND v.round = q.round AND v.decision <> 'approve'))
BEGIN SELECT RAISE(ABORT, 'only an approved request is released, as it was reviewed'); END;
CREATE TRIGGER release_fixed BEFORE UPDATE ON release
BEGIN SELECT RAISE(ABORT, 'a release cannot be changed'); END;
CREATE TRIGGER release_kept BEFORE DELETE ON release
BEGIN SELECT RAISE(ABORT, 'a release cannot be removed'); END;
CREATE TRIGGER release_opening_fixed BEFORE UPDATE ON release_opening
BEGIN SELECT RAISE(ABORT, 'openings cannot be changed'); END;
CREATE TRIGGER release_opening_kept BEFORE DELETE ON release_opening
BEGIN SELECT RAISE(ABORT, 'openings cannot be removed'); END;

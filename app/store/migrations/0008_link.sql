-- Plugins, and this appliance as a node: hubs, codes, envelopes.

-- owner: app/gateway/plug
CREATE TABLE plugin (
  name        TEXT PRIMARY KEY,
  path        TEXT NOT NULL DEFAULT '',    -- of the trusted file; empty: built in
  sha256      TEXT NOT NULL DEFAULT '',    -- of that file, hex
  enabled     INTEGER NOT NULL CHECK (enabled IN (0, 1)),
  settings    TEXT NOT NULL DEFAULT '{}',  -- JSON, key to value, without secrets
  secrets     BLOB NOT NULL DEFAULT x'',   -- sealed JSON, key to value; empty: none
  description TEXT NOT NULL DEFAULT '{}',  -- JSON, what the plugin last said of itself
  principal   TEXT NOT NULL DEFAULT '',    -- whom a poller acts for
  trusted_by  TEXT NOT NULL DEFAULT '',    -- person
  trusted_at  INTEGER,
  changed_at  INTEGER NOT NULL
) STRICT;

-- owner: app/gateway/link
CREATE TABLE link_peer (
  id         TEXT PRIMARY KEY,             -- id of the first key that was pinned
  peer       TEXT NOT NULL,                -- JSON: keys, name, address, revocation
  changed_at INTEGER NOT NULL
) STRICT;

-- What people here did with a hub.
CREATE TABLE link_hub (
  peer         TEXT PRIMARY KEY REFERENCES link_peer (id),
  principal    TEXT NOT NULL DEFAULT '',   -- empty: between two steps of an enrolment
  name         TEXT NOT NULL,
  node         TEXT NOT NULL,              -- name under which the hub knows this appliance
  words        TEXT NOT NULL,              -- both keys, as words to compare
  enrolled_by  TEXT NOT NULL,              -- person
  enrolled_at  INTEGER NOT NULL,
  confirmed_by TEXT NOT NULL DEFAULT '',
  confirmed_at INTEGER                     -- empty: nobody has compared the words, and the hub can do nothing
) STRICT;
CREATE UNIQUE INDEX link_hub_principal ON link_hub (principal) WHERE principal <> '';

CREATE TABLE link_code (
  id         TEXT PRIMARY KEY,             -- hash of the secret
  secret     BLOB NOT NULL,                -- sealed; empty once used
  url        TEXT NOT NULL,
  name       TEXT NOT NULL,
  made_at    INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  used_at    INTEGER,
  used_by    TEXT NOT NULL DEFAULT ''
) STRICT;

-- Envelopes that were claimed, until they can never be taken again.
CREATE TABLE link_envelope (
  hub        TEXT NOT NULL,                -- peer
  id         TEXT NOT NULL,
  seq        INTEGER NOT NULL CHECK (seq > 0),
  digest     BLOB NOT NULL CHECK (length(digest) = 32),
  kind       TEXT NOT NULL,
  claimed_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  done_at    INTEGER,                      -- empty: claimed, and not known to have ended
  code       TEXT NOT NULL DEFAULT '',     -- of a refusal
  text       TEXT NOT NULL DEFAULT '',
  result     BLOB NOT NULL DEFAULT x'',
  PRIMARY KEY (hub, id),
  UNIQUE (hub, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX link_envelope_expires ON link_envelope (expires_at);

CREATE TABLE link_mark (
  hub     TEXT PRIMARY KEY,                -- peer
  floor   INTEGER NOT NULL DEFAULT 0,      -- highest sequence that was swept
  highest INTEGER NOT NULL DEFAULT 0       -- highest sequence that was claimed
) STRICT;

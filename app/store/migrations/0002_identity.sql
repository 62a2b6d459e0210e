-- People, what proves that they are who they say, and their sessions.
-- Secrets are never readable here: passwords as argon2id, link and session tokens
-- as SHA-256, authenticator secrets sealed with a key outside the database.

-- owner: app/identity
CREATE TABLE person (
    id           TEXT    PRIMARY KEY,
    handle       TEXT    NOT NULL UNIQUE,             -- sign-in name, lower case
    name         TEXT    NOT NULL,
    email        TEXT    NOT NULL DEFAULT '',
    roles        TEXT    NOT NULL DEFAULT '[]',       -- JSON list of site roles
    disabled     INTEGER NOT NULL DEFAULT 0,
    password     TEXT    NOT NULL DEFAULT '',         -- PHC string; '' = none yet
    totp         BLOB,                                -- sealed secret; NULL = none yet
    totp_step    INTEGER NOT NULL DEFAULT 0,          -- newest 30-second step that was used
    totp_pending BLOB,                                -- sealed secret that waits for its first code
    created_at   INTEGER NOT NULL,
    last_seen    INTEGER
) STRICT;

-- owner: app/identity
CREATE TABLE signin_link (
    hash       TEXT    PRIMARY KEY,                   -- hex SHA-256 of the token
    person     TEXT    NOT NULL REFERENCES person (id),
    kind       TEXT    NOT NULL CHECK (kind IN ('enrol', 'demo')),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER
) STRICT;
CREATE INDEX signin_link_person ON signin_link (person);

-- owner: app/identity
CREATE TABLE session (
    id            TEXT    PRIMARY KEY,
    hash          TEXT    NOT NULL UNIQUE,            -- hex SHA-256 of the token, which changes
    person        TEXT    NOT NULL REFERENCES person (id),
    kind          TEXT    NOT NULL CHECK (kind IN ('password', 'enrol', 'demo')),
    need_password INTEGER NOT NULL DEFAULT 0,         -- must set one before anything else
    need_totp     INTEGER NOT NULL DEFAULT 0,
    address       TEXT    NOT NULL DEFAULT '',
    created_at    INTEGER NOT NULL,
    seen_at       INTEGER NOT NULL,
    proved_at     INTEGER NOT NULL,                   -- last proof that the person is present
    ends_at       INTEGER NOT NULL,                   -- absolute limit
    ended_at      INTEGER,
    ended_why     TEXT
) STRICT;
CREATE INDEX session_person ON session (person) WHERE ended_at IS NULL;

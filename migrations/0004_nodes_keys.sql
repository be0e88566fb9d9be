-- Nodes as an organisation runs them (approval, expiry, ephemeral), keys of every kind with what they may make,
-- registrations that wait for a person.

ALTER TABLE nodes ADD COLUMN authorized INTEGER NOT NULL DEFAULT 1 CHECK (authorized IN (0, 1));
ALTER TABLE nodes ADD COLUMN ephemeral INTEGER NOT NULL DEFAULT 0 CHECK (ephemeral IN (0, 1));
ALTER TABLE nodes ADD COLUMN key_expires INTEGER;                        -- NULL: does not expire (tagged, or switched off)
ALTER TABLE nodes ADD COLUMN key_expiry_disabled INTEGER NOT NULL DEFAULT 0 CHECK (key_expiry_disabled IN (0, 1));
ALTER TABLE nodes ADD COLUMN last_seen INTEGER;                          -- written once a minute and at the end of a stream
ALTER TABLE nodes ADD COLUMN registered_by INTEGER REFERENCES users(id) ON DELETE SET NULL;  -- bookkeeping, not identity

-- SQLite cannot widen a CHECK in place.
CREATE TABLE keys_new (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    tailnet_id    INTEGER NOT NULL REFERENCES tailnets(id),
    stable_id     TEXT NOT NULL UNIQUE,
    kind          TEXT NOT NULL CHECK (kind IN ('api', 'auth', 'relay', 'client')),
    hash          BLOB NOT NULL UNIQUE,
    user_id       INTEGER REFERENCES users(id) ON DELETE CASCADE,
    description   TEXT NOT NULL DEFAULT '',
    reusable      INTEGER NOT NULL DEFAULT 0 CHECK (reusable IN (0, 1)),
    ephemeral     INTEGER NOT NULL DEFAULT 0 CHECK (ephemeral IN (0, 1)),
    preauthorized INTEGER NOT NULL DEFAULT 0 CHECK (preauthorized IN (0, 1)),
    tags          TEXT NOT NULL DEFAULT '[]',                            -- JSON array
    scopes        TEXT NOT NULL DEFAULT '',                              -- of a client: as scopes_print writes them
    created       INTEGER NOT NULL,
    expires       INTEGER NOT NULL,
    last_used     INTEGER,
    last_remote   TEXT NOT NULL DEFAULT '',
    revoked       INTEGER
) STRICT;
INSERT INTO keys_new(id, tailnet_id, stable_id, kind, hash, user_id, description, reusable, created, expires, last_used, revoked)
    SELECT id, tailnet_id, stable_id, kind, hash, user_id, description, reusable, created, expires, last_used, revoked FROM keys;
DROP TABLE keys;
ALTER TABLE keys_new RENAME TO keys;

-- Access tokens of OAuth clients (RFC 6749 section 4.4): an hour, capped by client, scopes and tags.
CREATE TABLE oauth_tokens (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    key_id  INTEGER NOT NULL REFERENCES keys(id) ON DELETE CASCADE,
    hash    BLOB NOT NULL UNIQUE,
    scopes  TEXT NOT NULL,
    tags    TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;

-- `funnel up` without a key: the node waits, a person opens /a/<stable_id>.
CREATE TABLE registrations (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    tailnet_id    INTEGER NOT NULL REFERENCES tailnets(id),
    stable_id     TEXT NOT NULL UNIQUE,
    poll_hash     BLOB NOT NULL UNIQUE,                                  -- what the waiting daemon shows
    hostname      TEXT NOT NULL,
    os            TEXT NOT NULL,
    version       TEXT NOT NULL,
    transport_key TEXT NOT NULL,
    tags          TEXT NOT NULL DEFAULT '[]',                            -- asked for
    match_code    TEXT NOT NULL,
    remote        TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('pending', 'granted', 'denied', 'expired', 'taken')),
    node_id       INTEGER REFERENCES nodes(id) ON DELETE SET NULL,
    decided_by    TEXT,
    created       INTEGER NOT NULL,
    expires       INTEGER NOT NULL
) STRICT;

-- Requests with a reason and a wish, grants that end by themselves, the last probe of every public URL.

CREATE TABLE requests_new (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    stable_id   TEXT NOT NULL UNIQUE,
    node_id     INTEGER NOT NULL REFERENCES nodes(id) ON DELETE CASCADE,
    port        INTEGER NOT NULL,
    target      TEXT NOT NULL,
    match_code  TEXT NOT NULL,
    remote      TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('pending', 'granted', 'denied', 'cancelled', 'expired', 'failed', 'revoked')),
    wish_reason TEXT NOT NULL DEFAULT '',                                -- typed by the requester
    wish_until  INTEGER NOT NULL DEFAULT 0,                              -- seconds the requester asks for; 0: until revoked
    notified    INTEGER,
    created     INTEGER NOT NULL,
    expires     INTEGER NOT NULL,
    decided     INTEGER,
    decided_by  TEXT,
    reason      TEXT
) STRICT;
INSERT INTO requests_new(id, stable_id, node_id, port, target, match_code, remote, state, created, expires, decided, decided_by, reason)
    SELECT id, stable_id, node_id, port, target, match_code, remote, state, created, expires, decided, decided_by, reason FROM requests;
DROP TABLE requests;
ALTER TABLE requests_new RENAME TO requests;
CREATE UNIQUE INDEX requests_pending ON requests(node_id, port) WHERE state = 'pending';

-- What an approval gave. With an end, it is taken out of the policy again when it is reached.
CREATE TABLE grants (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    stable_id  TEXT NOT NULL UNIQUE,
    tailnet_id INTEGER NOT NULL REFERENCES tailnets(id),
    request_id INTEGER REFERENCES requests(id) ON DELETE SET NULL,
    node_id    INTEGER REFERENCES nodes(id) ON DELETE CASCADE,
    selector   TEXT NOT NULL,
    ports      TEXT NOT NULL DEFAULT '[]',                               -- JSON array; empty: the default list
    granted_by TEXT NOT NULL,
    created    INTEGER NOT NULL,
    expires    INTEGER,                                                  -- NULL: until revoked
    ended      INTEGER,
    why        TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX grants_due ON grants(expires) WHERE ended IS NULL AND expires IS NOT NULL;

-- The ladder as last seen, one row a step.
CREATE TABLE probes (
    funnel_id INTEGER NOT NULL REFERENCES funnels(id) ON DELETE CASCADE,
    step      TEXT NOT NULL CHECK (step IN ('permitted', 'https', 'dns', 'certificate', 'relay', 'backend', 'reachable')),
    state     TEXT NOT NULL CHECK (state IN ('ok', 'waiting', 'failed', 'unknown')),
    code      TEXT NOT NULL DEFAULT '',
    text      TEXT NOT NULL DEFAULT '',
    fix       TEXT NOT NULL DEFAULT '',
    at        INTEGER NOT NULL,
    PRIMARY KEY (funnel_id, step)
) STRICT, WITHOUT ROWID;

-- What an organisation looks up later (audit with old and new, one group per user action), what it is told
-- (webhooks), and what it may set.

ALTER TABLE audit ADD COLUMN event_group TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN origin TEXT NOT NULL DEFAULT '';            -- CONSOLE, API, NODE, CLI, CONTROL
ALTER TABLE audit ADD COLUMN actor_id TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN actor_type TEXT NOT NULL DEFAULT '';        -- USER, KEY, NODE, SYSTEM
ALTER TABLE audit ADD COLUMN target_id TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN target_type TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN property TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN old TEXT NOT NULL DEFAULT '';               -- JSON text, or the policy
ALTER TABLE audit ADD COLUMN new TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN error TEXT NOT NULL DEFAULT '';
CREATE INDEX audit_at ON audit(tailnet_id, at);

CREATE TABLE settings (
    tailnet_id INTEGER NOT NULL REFERENCES tailnets(id),
    name       TEXT NOT NULL,
    value      TEXT NOT NULL,                                            -- JSON text
    updated    INTEGER NOT NULL,
    PRIMARY KEY (tailnet_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE webhooks (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    tailnet_id INTEGER NOT NULL REFERENCES tailnets(id),
    stable_id  TEXT NOT NULL UNIQUE,
    url        TEXT NOT NULL,
    provider   TEXT NOT NULL DEFAULT '',
    events     TEXT NOT NULL,                                            -- JSON array
    sealed     BLOB NOT NULL,                                            -- the signing secret
    creator    TEXT NOT NULL,
    created    INTEGER NOT NULL,
    updated    INTEGER NOT NULL
) STRICT;

CREATE TABLE webhook_deliveries (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    stable_id  TEXT NOT NULL UNIQUE,
    webhook_id INTEGER NOT NULL REFERENCES webhooks(id) ON DELETE CASCADE,
    event      TEXT NOT NULL,
    body       TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('queued', 'delivered', 'failed')),
    tries      INTEGER NOT NULL DEFAULT 0,
    next_try   INTEGER NOT NULL,
    status     INTEGER NOT NULL DEFAULT 0,
    error      TEXT NOT NULL DEFAULT '',
    created    INTEGER NOT NULL,
    done       INTEGER
) STRICT;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries(next_try) WHERE state = 'queued';

-- Answers to POSTs that carried an Idempotency-Key, kept for a day.
CREATE TABLE idempotency (
    credential TEXT NOT NULL,
    key        TEXT NOT NULL,
    body       BLOB NOT NULL,                                            -- hash of method, path and body
    status     INTEGER NOT NULL,
    reply      TEXT NOT NULL,
    created    INTEGER NOT NULL,
    PRIMARY KEY (credential, key)
) STRICT, WITHOUT ROWID;

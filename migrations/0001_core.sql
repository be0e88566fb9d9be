-- The state of one control server. IDs are never reused (AUTOINCREMENT); URLs and channels use stable_id.
-- Times are seconds since 1970. Secrets are kept as SHA-256 with a pepper, or Argon2id for passwords.

CREATE TABLE tailnets (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    stable_id     TEXT NOT NULL UNIQUE,
    name          TEXT NOT NULL UNIQUE,             -- the label under the zone: pango-lin
    https_enabled INTEGER NOT NULL DEFAULT 0 CHECK (https_enabled IN (0, 1)),
    created       INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    tailnet_id INTEGER NOT NULL REFERENCES tailnets(id),
    stable_id  TEXT NOT NULL UNIQUE,
    login      TEXT NOT NULL COLLATE NOCASE,
    role       TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'network-admin', 'it-admin', 'billing-admin', 'auditor', 'member')),
    suspended  INTEGER NOT NULL DEFAULT 0 CHECK (suspended IN (0, 1)),
    created    INTEGER NOT NULL,
    UNIQUE (tailnet_id, login)
) STRICT;

CREATE TABLE credentials (
    user_id INTEGER PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE,
    hash    TEXT NOT NULL,                           -- Argon2id, encoded
    created INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id   INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    hash      BLOB NOT NULL UNIQUE,
    created   INTEGER NOT NULL,
    last_used INTEGER NOT NULL,
    remote    TEXT NOT NULL
) STRICT;

-- One-time links that let a person set a password. The code is asked for beside the link.
CREATE TABLE setup_links (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    hash    BLOB NOT NULL UNIQUE,
    code    BLOB NOT NULL,
    tries   INTEGER NOT NULL DEFAULT 0,
    expires INTEGER NOT NULL,
    used    INTEGER
) STRICT;

CREATE TABLE keys (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    tailnet_id  INTEGER NOT NULL REFERENCES tailnets(id),
    stable_id   TEXT NOT NULL UNIQUE,
    kind        TEXT NOT NULL CHECK (kind IN ('api', 'auth', 'relay')),
    hash        BLOB NOT NULL UNIQUE,
    user_id     INTEGER REFERENCES users(id) ON DELETE CASCADE,
    description TEXT NOT NULL DEFAULT '',
    reusable    INTEGER NOT NULL DEFAULT 0 CHECK (reusable IN (0, 1)),
    created     INTEGER NOT NULL,
    expires     INTEGER NOT NULL,
    last_used   INTEGER,
    revoked     INTEGER
) STRICT;

CREATE TABLE nodes (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    tailnet_id    INTEGER NOT NULL REFERENCES tailnets(id),
    stable_id     TEXT NOT NULL UNIQUE,
    user_id       INTEGER REFERENCES users(id),      -- NULL: tagged
    tags          TEXT NOT NULL DEFAULT '[]',        -- JSON array
    label         TEXT NOT NULL,
    hostname      TEXT NOT NULL,                     -- as the node sent it
    os            TEXT NOT NULL,
    version       TEXT NOT NULL,
    transport_key TEXT NOT NULL,                     -- hex SHA-256 of the SPKI
    ipv4          TEXT NOT NULL UNIQUE,
    ipv6          TEXT NOT NULL UNIQUE,
    remote        TEXT NOT NULL DEFAULT '',          -- address last seen at control
    created       INTEGER NOT NULL,
    UNIQUE (tailnet_id, label)
) STRICT;

CREATE TABLE node_keys (
    node_id INTEGER PRIMARY KEY REFERENCES nodes(id) ON DELETE CASCADE,
    hash    BLOB NOT NULL UNIQUE,
    created INTEGER NOT NULL
) STRICT;

CREATE TABLE relays (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    stable_id TEXT NOT NULL UNIQUE,
    name      TEXT NOT NULL UNIQUE,
    host      TEXT NOT NULL UNIQUE,
    addresses TEXT NOT NULL,                         -- JSON array
    port      INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
    ports     TEXT NOT NULL,                         -- JSON object: public port -> port listened on
    pins      TEXT NOT NULL,                         -- JSON array of hex SHA-256
    version   TEXT NOT NULL,
    hash      BLOB NOT NULL UNIQUE,                  -- of its token
    acked     INTEGER NOT NULL DEFAULT 0,            -- route version it has applied
    created   INTEGER NOT NULL
) STRICT;

CREATE TABLE relay_nodes (
    relay_id INTEGER NOT NULL REFERENCES relays(id) ON DELETE CASCADE,
    node_id  INTEGER NOT NULL REFERENCES nodes(id) ON DELETE CASCADE,
    since    INTEGER NOT NULL,
    PRIMARY KEY (relay_id, node_id)
) STRICT, WITHOUT ROWID;

-- Every version is kept, bytes as sent; one is current.
CREATE TABLE policies (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    tailnet_id INTEGER NOT NULL REFERENCES tailnets(id),
    text       BLOB NOT NULL,
    etag       TEXT NOT NULL,
    author     TEXT NOT NULL,
    message    TEXT NOT NULL,
    created    INTEGER NOT NULL,
    current    INTEGER NOT NULL CHECK (current IN (0, 1))
) STRICT;
CREATE UNIQUE INDEX policies_current ON policies(tailnet_id) WHERE current = 1;

CREATE TABLE funnels (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    stable_id  TEXT NOT NULL UNIQUE,
    node_id    INTEGER NOT NULL REFERENCES nodes(id) ON DELETE CASCADE,
    port       INTEGER NOT NULL CHECK (port IN (443, 8443, 10000)),
    kind       TEXT NOT NULL CHECK (kind IN ('http')),
    target     TEXT NOT NULL,
    source     TEXT NOT NULL CHECK (source IN ('foreground', 'background')),
    created    INTEGER NOT NULL,
    UNIQUE (node_id, port)
) STRICT;

CREATE TABLE requests (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    stable_id  TEXT NOT NULL UNIQUE,
    node_id    INTEGER NOT NULL REFERENCES nodes(id) ON DELETE CASCADE,
    port       INTEGER NOT NULL,
    target     TEXT NOT NULL,
    match_code TEXT NOT NULL,
    remote     TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('pending', 'granted', 'denied', 'cancelled', 'expired')),
    created    INTEGER NOT NULL,
    expires    INTEGER NOT NULL,
    decided    INTEGER,
    decided_by TEXT,
    reason     TEXT
) STRICT;
CREATE UNIQUE INDEX requests_pending ON requests(node_id, port) WHERE state = 'pending';

CREATE TABLE certificates (
    node_id    INTEGER PRIMARY KEY REFERENCES nodes(id) ON DELETE CASCADE,
    order_id   TEXT NOT NULL,
    csr        TEXT NOT NULL,
    spki       TEXT NOT NULL,                        -- of the CSR that runs or ran last
    state      TEXT NOT NULL CHECK (state IN ('queued', 'issuing', 'issued', 'failed')),
    error      TEXT NOT NULL DEFAULT '',
    retry_at   INTEGER NOT NULL DEFAULT 0,
    tries      INTEGER NOT NULL DEFAULT 0,
    chain      TEXT NOT NULL DEFAULT '',             -- the last good one stays while a new one is ordered
    chain_spki TEXT NOT NULL DEFAULT '',
    not_after  INTEGER NOT NULL DEFAULT 0,
    issuer     TEXT NOT NULL DEFAULT '',
    updated    INTEGER NOT NULL
) STRICT;

CREATE TABLE audit (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    tailnet_id INTEGER NOT NULL REFERENCES tailnets(id),
    at         INTEGER NOT NULL,
    actor      TEXT NOT NULL,
    action     TEXT NOT NULL,
    target     TEXT NOT NULL,
    detail     TEXT NOT NULL,
    remote     TEXT NOT NULL
) STRICT;

-- The change log: every stream is a cursor into it. node_id NULL: everybody.
CREATE TABLE changes (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    tailnet_id INTEGER NOT NULL REFERENCES tailnets(id),
    kind       TEXT NOT NULL CHECK (kind IN ('node', 'policy', 'funnel', 'certificate', 'relay', 'request', 'online')),
    node_id    INTEGER,
    at         INTEGER NOT NULL
) STRICT;

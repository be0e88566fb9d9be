-- People: how they sign in, what they were invited to, and what they asked for. Secrets are kept as a keyed hash,
-- passwords as Argon2id, TOTP secrets sealed with a key of this installation.

ALTER TABLE users ADD COLUMN display_name TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN approved INTEGER NOT NULL DEFAULT 1 CHECK (approved IN (0, 1));
ALTER TABLE users ADD COLUMN last_seen INTEGER;

-- A passkey (WebAuthn credential). The public key is the COSE key as the authenticator gave it.
CREATE TABLE passkeys (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    stable_id  TEXT NOT NULL UNIQUE,
    user_id    INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    credential BLOB NOT NULL UNIQUE,
    public_key BLOB NOT NULL,
    algorithm  INTEGER NOT NULL CHECK (algorithm IN (-7, -8, -257)),
    sign_count INTEGER NOT NULL,
    name       TEXT NOT NULL,
    created    INTEGER NOT NULL,
    last_used  INTEGER
) STRICT;
CREATE INDEX passkeys_user ON passkeys(user_id);

CREATE TABLE totp (
    user_id   INTEGER PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE,
    sealed    BLOB NOT NULL,
    confirmed INTEGER NOT NULL DEFAULT 0 CHECK (confirmed IN (0, 1)),
    last_step INTEGER NOT NULL DEFAULT 0,            -- a code is taken once
    created   INTEGER NOT NULL
) STRICT;

CREATE TABLE recovery_codes (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    hash    BLOB NOT NULL UNIQUE,
    used    INTEGER
) STRICT;
CREATE INDEX recovery_codes_user ON recovery_codes(user_id);

-- Issuer and subject are the identity; never an e-mail address.
CREATE TABLE oidc_identities (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id   INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    issuer    TEXT NOT NULL,
    subject   TEXT NOT NULL,
    created   INTEGER NOT NULL,
    last_used INTEGER,
    UNIQUE (issuer, subject)
) STRICT;

ALTER TABLE sessions ADD COLUMN stable_id TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN agent TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN verified INTEGER NOT NULL DEFAULT 0;  -- when the person proved presence last (step-up)
ALTER TABLE sessions ADD COLUMN method TEXT NOT NULL DEFAULT '';      -- password, passkey, oidc, setup, recovery

CREATE TABLE user_invites (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    stable_id  TEXT NOT NULL UNIQUE,
    tailnet_id INTEGER NOT NULL REFERENCES tailnets(id),
    login      TEXT NOT NULL COLLATE NOCASE,
    role       TEXT NOT NULL CHECK (role IN ('admin', 'network-admin', 'it-admin', 'billing-admin', 'auditor', 'member')),
    hash       BLOB NOT NULL UNIQUE,
    invited_by INTEGER REFERENCES users(id) ON DELETE SET NULL,
    created    INTEGER NOT NULL,
    expires    INTEGER NOT NULL,
    sent       INTEGER,
    accepted   INTEGER
) STRICT;

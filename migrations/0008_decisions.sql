-- Decisions: a request outlives its node, a grant knows whether it wrote the policy, a node may be barred from asking.

DROP TABLE grants;
CREATE TABLE requests_new (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    stable_id   TEXT NOT NULL UNIQUE,
    node_id     INTEGER REFERENCES nodes(id) ON DELETE SET NULL,
    label       TEXT NOT NULL DEFAULT '',                                -- of the node, when it asked
    requester   TEXT NOT NULL DEFAULT '',                                -- its owner then, or its tags
    port        INTEGER NOT NULL,
    target      TEXT NOT NULL,
    match_code  TEXT NOT NULL,
    wrong_codes INTEGER NOT NULL DEFAULT 0,
    remote      TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('pending', 'granted', 'denied', 'cancelled', 'expired', 'failed', 'revoked')),
    wish_reason TEXT NOT NULL DEFAULT '',                                -- typed by the requester
    wish_until  INTEGER NOT NULL DEFAULT 0,                              -- seconds the requester asks for; 0: until revoked
    notified    INTEGER,
    event_group TEXT NOT NULL DEFAULT '',                                -- audit: the question and its answer are one group
    created     INTEGER NOT NULL,
    expires     INTEGER NOT NULL,
    decided     INTEGER,
    decided_by  TEXT,
    reason      TEXT
) STRICT;
INSERT INTO requests_new(id, stable_id, node_id, label, requester, port, target, match_code, remote, state, wish_reason,
                         wish_until, notified, created, expires, decided, decided_by, reason)
    SELECT r.id, r.stable_id, r.node_id, n.label, coalesce((SELECT login FROM users WHERE id = n.user_id), ''), r.port, r.target,
           r.match_code, r.remote, r.state, r.wish_reason, r.wish_until, r.notified, r.created, r.expires, r.decided,
           r.decided_by, r.reason
    FROM requests r JOIN nodes n ON n.id = r.node_id;
DROP TABLE requests;
ALTER TABLE requests_new RENAME TO requests;
CREATE UNIQUE INDEX requests_pending ON requests(node_id, port) WHERE state = 'pending';
CREATE INDEX requests_node ON requests(node_id);

CREATE TABLE grants (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    stable_id  TEXT NOT NULL UNIQUE,
    tailnet_id INTEGER NOT NULL REFERENCES tailnets(id),
    request_id INTEGER REFERENCES requests(id) ON DELETE SET NULL,
    node_id    INTEGER REFERENCES nodes(id) ON DELETE SET NULL,
    selector   TEXT NOT NULL,
    ports      TEXT NOT NULL DEFAULT '',                                 -- "443,8443"; empty: the default list
    edited     INTEGER NOT NULL DEFAULT 0 CHECK (edited IN (0, 1)),      -- the entry in the policy is ours to take out
    granted_by TEXT NOT NULL,
    created    INTEGER NOT NULL,
    expires    INTEGER,                                                  -- NULL: until revoked
    overdue    INTEGER,                                                  -- it could not be taken out, and people were told so
    ended      INTEGER,
    why        TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX grants_due ON grants(expires) WHERE ended IS NULL AND expires IS NOT NULL;

-- When somebody answered "not me": the node's questions are not taken until a person allows them again.
ALTER TABLE nodes ADD COLUMN requests_barred INTEGER;

-- A request is about the node as it was shown. Whoever renames, hands over or deletes one cannot forget its requests.
CREATE TRIGGER requests_node_changed AFTER UPDATE OF label, user_id, tags ON nodes
WHEN OLD.label <> NEW.label OR OLD.user_id IS NOT NEW.user_id OR OLD.tags <> NEW.tags BEGIN
    INSERT INTO audit(tailnet_id, at, actor, action, target, detail, remote, event_group, origin, actor_type, target_id, target_type)
        SELECT NEW.tailnet_id, unixepoch(), 'control', 'FUNNEL.CANCEL', OLD.label,
               CASE WHEN OLD.label <> NEW.label THEN 'the device was renamed' ELSE 'the device has another owner' END,
               '', event_group, 'CONTROL', 'SYSTEM', NEW.stable_id, 'NODE'
        FROM requests WHERE node_id = NEW.id AND state = 'pending';
    INSERT INTO changes(tailnet_id, kind, node_id, at)
        SELECT NEW.tailnet_id, 'request', NEW.id, unixepoch() FROM requests WHERE node_id = NEW.id AND state = 'pending';
    UPDATE requests SET state = 'cancelled', decided = unixepoch(), decided_by = '',
        reason = CASE WHEN OLD.label <> NEW.label THEN 'the device was renamed' ELSE 'the device has another owner' END
        WHERE node_id = NEW.id AND state = 'pending';
END;
CREATE TRIGGER requests_node_gone BEFORE DELETE ON nodes BEGIN
    INSERT INTO audit(tailnet_id, at, actor, action, target, detail, remote, event_group, origin, actor_type, target_id, target_type)
        SELECT OLD.tailnet_id, unixepoch(), 'control', 'FUNNEL.CANCEL', OLD.label, 'the device was deleted', '', event_group,
               'CONTROL', 'SYSTEM', OLD.stable_id, 'NODE'
        FROM requests WHERE node_id = OLD.id AND state = 'pending';
    INSERT INTO changes(tailnet_id, kind, node_id, at)
        SELECT OLD.tailnet_id, 'request', OLD.id, unixepoch() FROM requests WHERE node_id = OLD.id AND state = 'pending';
    UPDATE requests SET state = 'cancelled', decided = unixepoch(), decided_by = '', reason = 'the device was deleted'
        WHERE node_id = OLD.id AND state = 'pending';
    -- What was given to this device alone ends with it.
    UPDATE grants SET expires = unixepoch(), why = 'the device was deleted'
        WHERE node_id = OLD.id AND selector IN (OLD.ipv4, OLD.ipv6) AND ended IS NULL;
END;

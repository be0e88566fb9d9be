-- The policy as a file that people share: where each version came from, how it may be edited, and a count that says
-- whether what it is evaluated on (users, devices, settings) has moved.

ALTER TABLE policies ADD COLUMN via TEXT NOT NULL DEFAULT '';          -- init, api, reset, rollback, approval
-- 0: the etag is the hash of the text as sent (version 0.1); 1: of the formatted text.
ALTER TABLE policies ADD COLUMN summed INTEGER NOT NULL DEFAULT 0 CHECK (summed IN (0, 1));
CREATE INDEX policies_unsummed ON policies(id) WHERE summed = 0;

ALTER TABLE tailnets ADD COLUMN facts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tailnets ADD COLUMN funnel_ports TEXT NOT NULL DEFAULT '443,8443,10000';
ALTER TABLE tailnets ADD COLUMN policy_locked INTEGER NOT NULL DEFAULT 0 CHECK (policy_locked IN (0, 1));
ALTER TABLE tailnets ADD COLUMN policy_link TEXT NOT NULL DEFAULT '';  -- where it is edited instead
ALTER TABLE tailnets ADD COLUMN policy_if_match INTEGER NOT NULL DEFAULT 0 CHECK (policy_if_match IN (0, 1));
ALTER TABLE tailnets ADD COLUMN policy_format INTEGER NOT NULL DEFAULT 0 CHECK (policy_format IN (0, 1));

-- Nobody who changes a fact can forget to count it.
CREATE TRIGGER facts_user_new AFTER INSERT ON users BEGIN
    UPDATE tailnets SET facts = facts + 1 WHERE id = NEW.tailnet_id;
END;
CREATE TRIGGER facts_user_gone AFTER DELETE ON users BEGIN
    UPDATE tailnets SET facts = facts + 1 WHERE id = OLD.tailnet_id;
END;
CREATE TRIGGER facts_user AFTER UPDATE OF login, role, suspended ON users BEGIN
    UPDATE tailnets SET facts = facts + 1 WHERE id = NEW.tailnet_id;
END;
CREATE TRIGGER facts_node_new AFTER INSERT ON nodes BEGIN
    UPDATE tailnets SET facts = facts + 1 WHERE id = NEW.tailnet_id;
END;
CREATE TRIGGER facts_node_gone AFTER DELETE ON nodes BEGIN
    UPDATE tailnets SET facts = facts + 1 WHERE id = OLD.tailnet_id;
END;
CREATE TRIGGER facts_node AFTER UPDATE OF user_id, tags, label, ipv4, ipv6 ON nodes BEGIN
    UPDATE tailnets SET facts = facts + 1 WHERE id = NEW.tailnet_id;
END;
CREATE TRIGGER facts_tailnet AFTER UPDATE OF https_enabled, funnel_ports ON tailnets BEGIN
    UPDATE tailnets SET facts = facts + 1 WHERE id = NEW.id;
END;

-- More kinds; SQLite cannot widen a CHECK in place. "policy": a new version is in force (nobody has to be told for
-- that alone); "capabilities": what a device (NULL: many) may do has changed; "user": roles, suspension, deletion.
CREATE TABLE changes_new (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    tailnet_id INTEGER NOT NULL REFERENCES tailnets(id),
    kind       TEXT NOT NULL CHECK (kind IN ('node', 'user', 'policy', 'capabilities', 'settings', 'funnel', 'certificate',
                                             'relay', 'request', 'online')),
    node_id    INTEGER,
    at         INTEGER NOT NULL
) STRICT;
INSERT INTO changes_new(seq, tailnet_id, kind, node_id, at) SELECT seq, tailnet_id, kind, node_id, at FROM changes;
-- A cursor may be past everything that is still there: numbers are never given twice.
DELETE FROM sqlite_sequence WHERE name = 'changes_new';
INSERT INTO sqlite_sequence(name, seq) SELECT 'changes_new', seq FROM sqlite_sequence WHERE name = 'changes';
DROP TABLE changes;
ALTER TABLE changes_new RENAME TO changes;

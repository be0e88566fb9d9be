-- Devices over their life: what people note about them, and who was told that a key ends.

-- 0: nobody; 1: a day before; 2: that it has ended.
ALTER TABLE nodes ADD COLUMN expiry_told INTEGER NOT NULL DEFAULT 0 CHECK (expiry_told IN (0, 1, 2));
CREATE INDEX nodes_expiring ON nodes(key_expires) WHERE key_expires IS NOT NULL AND key_expiry_disabled = 0 AND expiry_told < 2;
CREATE TRIGGER nodes_renewed AFTER UPDATE OF key_expires, key_expiry_disabled ON nodes
WHEN OLD.key_expires IS NOT NEW.key_expires OR OLD.key_expiry_disabled <> NEW.key_expiry_disabled BEGIN
    UPDATE nodes SET expiry_told = 0 WHERE id = NEW.id;
END;
CREATE INDEX nodes_ephemeral ON nodes(last_seen) WHERE ephemeral = 1;
CREATE INDEX relay_nodes_node ON relay_nodes(node_id);

-- Attributes that people or tools set ("custom:owner"), with an end where they have one.
CREATE TABLE node_attributes (
    node_id INTEGER NOT NULL REFERENCES nodes(id) ON DELETE CASCADE,
    name    TEXT NOT NULL,
    value   TEXT NOT NULL,                                               -- JSON: a string, a number or a boolean
    expires INTEGER,
    comment TEXT NOT NULL DEFAULT '',
    updated INTEGER NOT NULL,
    PRIMARY KEY (node_id, name)
) STRICT, WITHOUT ROWID;

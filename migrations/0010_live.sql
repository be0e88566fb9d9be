-- What people follow live: whose a change is, changes of what no node or relay hears of, and public URLs that were turned
-- off from here.

-- Of the node when the change was written: a stream that is resumed must still know them when the node has gone.
ALTER TABLE changes ADD COLUMN owner_id INTEGER;
ALTER TABLE changes ADD COLUMN node_ref TEXT NOT NULL DEFAULT '';
-- For browsers alone: readiness, ingress, … (server/events.c). The kind is "policy" then, which concerns nobody by itself.
ALTER TABLE changes ADD COLUMN topic TEXT NOT NULL DEFAULT '';
CREATE TRIGGER changes_owner AFTER INSERT ON changes WHEN NEW.node_id IS NOT NULL BEGIN
    UPDATE changes SET owner_id = (SELECT user_id FROM nodes WHERE id = NEW.node_id),
        node_ref = coalesce((SELECT stable_id FROM nodes WHERE id = NEW.node_id), '') WHERE seq = NEW.seq;
END;

-- A node that asks for such a port again before it has heard does not get it.
CREATE TABLE funnel_offs (
    node_id INTEGER NOT NULL REFERENCES nodes(id) ON DELETE CASCADE,
    port    INTEGER NOT NULL,
    by      TEXT NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (node_id, port)
) STRICT, WITHOUT ROWID;

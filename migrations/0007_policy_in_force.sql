-- Which version is in force stands beside the tailnet: a mark in the version's own row would write its whole text again
-- with every save.

ALTER TABLE tailnets ADD COLUMN policy_id INTEGER REFERENCES policies(id);
UPDATE tailnets SET policy_id = (SELECT p.id FROM policies p WHERE p.tailnet_id = tailnets.id AND p.current = 1);
DROP INDEX policies_current;
ALTER TABLE policies DROP COLUMN current;
CREATE INDEX policies_tailnet ON policies(tailnet_id, id);

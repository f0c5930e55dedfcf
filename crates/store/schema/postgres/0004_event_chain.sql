-- Each event carries the hash of itself and of all before it: `events verify` sees what was changed or removed.
ALTER TABLE event ADD COLUMN chain bytea NOT NULL DEFAULT '';

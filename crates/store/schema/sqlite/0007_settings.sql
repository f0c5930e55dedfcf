-- What is switched, and what is remembered, for the whole installation rather than in its configuration.
CREATE TABLE setting (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

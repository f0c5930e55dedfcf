-- The servers that work, or worked, with this database: which epoch each took, and until when it is not to be taken for
-- gone (seen + lease, ticks of the database's own clock). It says nothing of the directories: a move leaves it behind.
CREATE TABLE server (
  id TEXT PRIMARY KEY,
  epoch INTEGER NOT NULL, -- 0: it never took any
  seen INTEGER NOT NULL,
  lease INTEGER NOT NULL,
  facts TEXT NOT NULL     -- what it says of itself, as JSON
) STRICT, WITHOUT ROWID;

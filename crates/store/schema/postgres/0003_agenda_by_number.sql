-- What finds work that is done by one number, the place of an identity or the object of other work: whatever the server
-- believes of the size of this table, there is no other way to it (AGENDA_DELETE).
CREATE INDEX agenda_by_number ON agenda ((CASE pass WHEN 0 THEN b ELSE a END));

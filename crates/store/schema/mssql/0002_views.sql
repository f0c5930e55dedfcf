-- Views for people and their tools: docs/views.md. Each is a batch of its own. A uniqueidentifier has the first bytes of
-- its value in another order than its text: ids are put together as every command shows them.
CREATE VIEW onesync_views AS SELECT
  1 AS [version]
GO

CREATE VIEW onesync_people AS SELECT
  LOWER(SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 7, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 5, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 3, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 1, 2)
    + '-' + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 12, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 10, 2)
    + '-' + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 17, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 15, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 19, 18)) AS [id],
  m.display_name AS [display_name],
  m.principal_name AS [principal_name],
  CASE WHEN m.leaving_since IS NULL THEN 'active' ELSE 'leaving' END AS [state],
  DATEADD(second, CAST(m.leaving_since % 864000000000 / 10000000 AS int), DATEADD(day, CAST(m.leaving_since / 864000000000 AS int), CAST('1970-01-01' AS datetime2(0)))) AS [leaving_since],
  m.id AS [number]
FROM mv_object AS m JOIN attribute_name AS t ON t.id = m.object_type WHERE t.name = 'person'
GO

CREATE VIEW onesync_groups AS SELECT
  LOWER(SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 7, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 5, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 3, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 1, 2)
    + '-' + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 12, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 10, 2)
    + '-' + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 17, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 15, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 19, 18)) AS [id],
  m.display_name AS [display_name],
  (SELECT COUNT_BIG(*) FROM mv_link AS l JOIN attribute_name AS a ON a.id = l.attribute WHERE l.owner = m.id AND a.name = 'member') AS [members],
  CASE WHEN m.leaving_since IS NULL THEN 'active' ELSE 'leaving' END AS [state],
  DATEADD(second, CAST(m.leaving_since % 864000000000 / 10000000 AS int), DATEADD(day, CAST(m.leaving_since / 864000000000 AS int), CAST('1970-01-01' AS datetime2(0)))) AS [leaving_since],
  m.id AS [number]
FROM mv_object AS m JOIN attribute_name AS t ON t.id = m.object_type WHERE t.name = 'group'
GO

CREATE VIEW onesync_objects AS SELECT
  LOWER(SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 7, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 5, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 3, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 1, 2)
    + '-' + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 12, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 10, 2)
    + '-' + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 17, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 15, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 19, 18)) AS [id],
  t.name AS [type],
  m.display_name AS [display_name],
  m.principal_name AS [principal_name],
  CASE WHEN m.leaving_since IS NULL THEN 'active' ELSE 'leaving' END AS [state],
  DATEADD(second, CAST(m.leaving_since % 864000000000 / 10000000 AS int), DATEADD(day, CAST(m.leaving_since / 864000000000 AS int), CAST('1970-01-01' AS datetime2(0)))) AS [leaving_since],
  m.id AS [number]
FROM mv_object AS m JOIN attribute_name AS t ON t.id = m.object_type
GO

CREATE VIEW onesync_links AS SELECT
  LOWER(SUBSTRING(CAST(CAST(o.guid AS uniqueidentifier) AS char(36)), 7, 2) + SUBSTRING(CAST(CAST(o.guid AS uniqueidentifier) AS char(36)), 5, 2) + SUBSTRING(CAST(CAST(o.guid AS uniqueidentifier) AS char(36)), 3, 2) + SUBSTRING(CAST(CAST(o.guid AS uniqueidentifier) AS char(36)), 1, 2)
    + '-' + SUBSTRING(CAST(CAST(o.guid AS uniqueidentifier) AS char(36)), 12, 2) + SUBSTRING(CAST(CAST(o.guid AS uniqueidentifier) AS char(36)), 10, 2)
    + '-' + SUBSTRING(CAST(CAST(o.guid AS uniqueidentifier) AS char(36)), 17, 2) + SUBSTRING(CAST(CAST(o.guid AS uniqueidentifier) AS char(36)), 15, 2) + SUBSTRING(CAST(CAST(o.guid AS uniqueidentifier) AS char(36)), 19, 18)) AS [owner],
  o.display_name AS [owner_name],
  a.name AS [attribute],
  LOWER(SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 7, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 5, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 3, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 1, 2)
    + '-' + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 12, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 10, 2)
    + '-' + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 17, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 15, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 19, 18)) AS [target],
  m.display_name AS [target_name],
  l.owner AS [owner_number],
  l.target AS [target_number]
FROM mv_link AS l JOIN mv_object AS o ON o.id = l.owner JOIN mv_object AS m ON m.id = l.target
  JOIN attribute_name AS a ON a.id = l.attribute
GO

CREATE VIEW onesync_connected AS SELECT
  c.name AS [connector],
  o.id AS [object],
  o.name AS [name],
  t.name AS [type],
  LOWER(SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 7, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 5, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 3, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 1, 2)
    + '-' + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 12, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 10, 2)
    + '-' + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 17, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 15, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 19, 18)) AS [metaverse],
  j.mv AS [metaverse_number],
  r.name AS [joined_by],
  o.reason AS [reason],
  DATEADD(second, CAST(o.leaving % 864000000000 / 10000000 AS int), DATEADD(day, CAST(o.leaving / 864000000000 AS int), CAST('1970-01-01' AS datetime2(0)))) AS [leaving_since]
FROM cs_object AS o JOIN connector AS c ON c.id = o.connector JOIN attribute_name AS t ON t.id = o.object_type
  LEFT JOIN cs_joined AS j ON j.id = o.id LEFT JOIN mv_object AS m ON m.id = j.mv LEFT JOIN sync_rule AS r ON r.id = j.[rule]
  WHERE o.flags & 1 = 0
GO

CREATE VIEW onesync_runs AS SELECT
  r.id AS [run],
  c.name AS [connector],
  r.step AS [step],
  DATEADD(second, CAST(r.started % 864000000000 / 10000000 AS int), DATEADD(day, CAST(r.started / 864000000000 AS int), CAST('1970-01-01' AS datetime2(0)))) AS [started],
  DATEADD(second, CAST(r.ended % 864000000000 / 10000000 AS int), DATEADD(day, CAST(r.ended / 864000000000 AS int), CAST('1970-01-01' AS datetime2(0)))) AS [ended],
  r.result AS [result],
  r.counters AS [counters]
FROM run AS r LEFT JOIN connector AS c ON c.id = r.connector
GO

CREATE VIEW onesync_errors AS SELECT
  c.name AS [connector],
  e.cs AS [object],
  o.name AS [name],
  t.name AS [type],
  e.place AS [place],
  e.code AS [code],
  e.message AS [message],
  DATEADD(second, CAST(e.first_seen % 864000000000 / 10000000 AS int), DATEADD(day, CAST(e.first_seen / 864000000000 AS int), CAST('1970-01-01' AS datetime2(0)))) AS [first_seen],
  e.run AS [run],
  e.alarm AS [alarm]
FROM object_error AS e JOIN connector AS c ON c.id = e.connector LEFT JOIN cs_object AS o ON o.id = e.cs
  LEFT JOIN attribute_name AS t ON t.id = e.object_type
GO

CREATE VIEW onesync_pending AS SELECT
  c.name AS [connector],
  e.cs AS [object],
  o.name AS [name],
  t.name AS [type],
  CASE e.operation WHEN 0 THEN 'add' WHEN 1 THEN 'update' ELSE 'delete' END AS [operation],
  CASE e.state WHEN 0 THEN 'pending' WHEN 1 THEN 'sending' WHEN 2 THEN 'sent' ELSE 'refused' END AS [state],
  e.held AS [held],
  CAST(CASE WHEN e.kinds & 160 <> 0 THEN 0 ELSE 1 END AS bit) AS [writable],
  DATEADD(second, CAST(e.not_before % 864000000000 / 10000000 AS int), DATEADD(day, CAST(e.not_before / 864000000000 AS int), CAST('1970-01-01' AS datetime2(0)))) AS [not_before],
  e.attempts AS [attempts],
  e.error AS [error]
FROM export_object AS e JOIN connector AS c ON c.id = e.connector LEFT JOIN cs_object AS o ON o.id = e.cs
  LEFT JOIN attribute_name AS t ON t.id = e.object_type
GO

CREATE VIEW onesync_pending_links AS SELECT
  c.name AS [connector],
  e.owner AS [owner],
  o.name AS [owner_name],
  a.name AS [attribute],
  e.target AS [target],
  g.name AS [target_name],
  CASE WHEN e.adds = 1 THEN 'add' ELSE 'remove' END AS [operation],
  CASE e.state WHEN 0 THEN 'pending' WHEN 1 THEN 'sending' WHEN 2 THEN 'sent' ELSE 'refused' END AS [state],
  e.held AS [held],
  DATEADD(second, CAST(e.not_before % 864000000000 / 10000000 AS int), DATEADD(day, CAST(e.not_before / 864000000000 AS int), CAST('1970-01-01' AS datetime2(0)))) AS [not_before],
  e.attempts AS [attempts],
  e.error AS [error]
FROM export_link AS e JOIN connector AS c ON c.id = e.connector JOIN attribute_name AS a ON a.id = e.attribute
  LEFT JOIN cs_object AS o ON o.id = e.owner LEFT JOIN cs_object AS g ON g.id = e.target
GO

CREATE VIEW onesync_connectors AS SELECT
  c.name AS [connector],
  c.kind AS [kind],
  c.removed AS [removed],
  (SELECT COALESCE(SUM(n.[count]), 0) FROM cs_count AS n WHERE n.connector = c.id AND n.flags & 1 = 0) AS [objects],
  (SELECT COALESCE(SUM(n.[count]), 0) FROM cs_count AS n WHERE n.connector = c.id AND n.flags & 1 = 0 AND n.joined = 1) AS [joined],
  (SELECT COALESCE(SUM(f.[count]), 0) FROM error_count AS f WHERE f.connector = c.id) AS [errors]
FROM connector AS c
GO

CREATE VIEW onesync_history AS SELECT
  LOWER(SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 7, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 5, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 3, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 1, 2)
    + '-' + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 12, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 10, 2)
    + '-' + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 17, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 15, 2) + SUBSTRING(CAST(CAST(m.guid AS uniqueidentifier) AS char(36)), 19, 18)) AS [id],
  m.display_name AS [display_name],
  h.mv AS [number],
  DATEADD(second, CAST(h.[time] % 864000000000 / 10000000 AS int), DATEADD(day, CAST(h.[time] / 864000000000 AS int), CAST('1970-01-01' AS datetime2(0)))) AS [time],
  h.run AS [run],
  h.event AS [event],
  h.seq AS [change]
FROM history AS h LEFT JOIN mv_object AS m ON m.id = h.mv
GO

CREATE VIEW onesync_events AS SELECT
  DATEADD(second, CAST(e.[time] % 864000000000 / 10000000 AS int), DATEADD(day, CAST(e.[time] / 864000000000 AS int), CAST('1970-01-01' AS datetime2(0)))) AS [time],
  e.kind AS [kind],
  e.subject AS [subject],
  e.[text] AS [text],
  e.seq AS [event]
FROM event AS e

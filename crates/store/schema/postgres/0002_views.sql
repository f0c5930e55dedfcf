-- Views for people and their tools: docs/views.md. Names stand beside the image of an object, so that SQL can read them.
ALTER TABLE mv_object ADD COLUMN display_name text;
ALTER TABLE mv_object ADD COLUMN principal_name text;

CREATE VIEW onesync_views AS SELECT
  1 AS version;

CREATE VIEW onesync_people AS SELECT
  CAST(encode(m.guid, 'hex') AS uuid) AS id,
  m.display_name AS display_name,
  m.principal_name AS principal_name,
  CASE WHEN m.leaving_since IS NULL THEN 'active' ELSE 'leaving' END AS state,
  to_timestamp(m.leaving_since / 10000000.0) AS leaving_since,
  m.id AS number
FROM mv_object AS m JOIN attribute_name AS t ON t.id = m.object_type WHERE t.name = 'person';

CREATE VIEW onesync_groups AS SELECT
  CAST(encode(m.guid, 'hex') AS uuid) AS id,
  m.display_name AS display_name,
  (SELECT count(*) FROM mv_link AS l JOIN attribute_name AS a ON a.id = l.attribute WHERE l.owner = m.id AND a.name = 'member') AS members,
  CASE WHEN m.leaving_since IS NULL THEN 'active' ELSE 'leaving' END AS state,
  to_timestamp(m.leaving_since / 10000000.0) AS leaving_since,
  m.id AS number
FROM mv_object AS m JOIN attribute_name AS t ON t.id = m.object_type WHERE t.name = 'group';

CREATE VIEW onesync_objects AS SELECT
  CAST(encode(m.guid, 'hex') AS uuid) AS id,
  t.name AS type,
  m.display_name AS display_name,
  m.principal_name AS principal_name,
  CASE WHEN m.leaving_since IS NULL THEN 'active' ELSE 'leaving' END AS state,
  to_timestamp(m.leaving_since / 10000000.0) AS leaving_since,
  m.id AS number
FROM mv_object AS m JOIN attribute_name AS t ON t.id = m.object_type;

CREATE VIEW onesync_links AS SELECT
  CAST(encode(o.guid, 'hex') AS uuid) AS owner,
  o.display_name AS owner_name,
  a.name AS attribute,
  CAST(encode(m.guid, 'hex') AS uuid) AS target,
  m.display_name AS target_name,
  l.owner AS owner_number,
  l.target AS target_number
FROM mv_link AS l JOIN mv_object AS o ON o.id = l.owner JOIN mv_object AS m ON m.id = l.target
  JOIN attribute_name AS a ON a.id = l.attribute;

CREATE VIEW onesync_connected AS SELECT
  c.name AS connector,
  o.id AS object,
  o.name AS name,
  t.name AS type,
  CAST(encode(m.guid, 'hex') AS uuid) AS metaverse,
  j.mv AS metaverse_number,
  r.name AS joined_by,
  o.reason AS reason,
  to_timestamp(o.leaving / 10000000.0) AS leaving_since
FROM cs_object AS o JOIN connector AS c ON c.id = o.connector JOIN attribute_name AS t ON t.id = o.object_type
  LEFT JOIN cs_joined AS j ON j.id = o.id LEFT JOIN mv_object AS m ON m.id = j.mv LEFT JOIN sync_rule AS r ON r.id = j.rule
  WHERE o.flags & 1 = 0;

CREATE VIEW onesync_runs AS SELECT
  r.id AS run,
  c.name AS connector,
  r.step AS step,
  to_timestamp(r.started / 10000000.0) AS started,
  to_timestamp(r.ended / 10000000.0) AS ended,
  r.result AS result,
  r.counters AS counters
FROM run AS r LEFT JOIN connector AS c ON c.id = r.connector;

CREATE VIEW onesync_errors AS SELECT
  c.name AS connector,
  e.cs AS object,
  o.name AS name,
  t.name AS type,
  e.place AS place,
  e.code AS code,
  e.message AS message,
  to_timestamp(e.first_seen / 10000000.0) AS first_seen,
  e.run AS run,
  e.alarm AS alarm
FROM object_error AS e JOIN connector AS c ON c.id = e.connector LEFT JOIN cs_object AS o ON o.id = e.cs
  LEFT JOIN attribute_name AS t ON t.id = e.object_type;

CREATE VIEW onesync_pending AS SELECT
  c.name AS connector,
  e.cs AS object,
  o.name AS name,
  t.name AS type,
  CASE e.operation WHEN 0 THEN 'add' WHEN 1 THEN 'update' ELSE 'delete' END AS operation,
  CASE e.state WHEN 0 THEN 'pending' WHEN 1 THEN 'sending' WHEN 2 THEN 'sent' ELSE 'refused' END AS state,
  e.held AS held,
  NOT (e.kinds & 160 <> 0) AS writable,
  to_timestamp(e.not_before / 10000000.0) AS not_before,
  e.attempts AS attempts,
  e.error AS error
FROM export_object AS e JOIN connector AS c ON c.id = e.connector LEFT JOIN cs_object AS o ON o.id = e.cs
  LEFT JOIN attribute_name AS t ON t.id = e.object_type;

CREATE VIEW onesync_pending_links AS SELECT
  c.name AS connector,
  e.owner AS owner,
  o.name AS owner_name,
  a.name AS attribute,
  e.target AS target,
  g.name AS target_name,
  CASE WHEN e.adds THEN 'add' ELSE 'remove' END AS operation,
  CASE e.state WHEN 0 THEN 'pending' WHEN 1 THEN 'sending' WHEN 2 THEN 'sent' ELSE 'refused' END AS state,
  e.held AS held,
  to_timestamp(e.not_before / 10000000.0) AS not_before,
  e.attempts AS attempts,
  e.error AS error
FROM export_link AS e JOIN connector AS c ON c.id = e.connector JOIN attribute_name AS a ON a.id = e.attribute
  LEFT JOIN cs_object AS o ON o.id = e.owner LEFT JOIN cs_object AS g ON g.id = e.target;

CREATE VIEW onesync_connectors AS SELECT
  c.name AS connector,
  c.kind AS kind,
  c.removed AS removed,
  (SELECT coalesce(sum(n.count), 0) FROM cs_count AS n WHERE n.connector = c.id AND n.flags & 1 = 0) AS objects,
  (SELECT coalesce(sum(n.count), 0) FROM cs_count AS n WHERE n.connector = c.id AND n.flags & 1 = 0 AND n.joined) AS joined,
  (SELECT coalesce(sum(n.count), 0) FROM error_count AS n WHERE n.connector = c.id) AS errors
FROM connector AS c;

CREATE VIEW onesync_history AS SELECT
  CAST(encode(m.guid, 'hex') AS uuid) AS id,
  m.display_name AS display_name,
  h.mv AS number,
  to_timestamp(h.time / 10000000.0) AS time,
  h.run AS run,
  h.event AS event,
  h.seq AS change
FROM history AS h LEFT JOIN mv_object AS m ON m.id = h.mv;

CREATE VIEW onesync_events AS SELECT
  to_timestamp(e.time / 10000000.0) AS time,
  e.kind AS kind,
  e.subject AS subject,
  e.text AS text,
  e.seq AS event
FROM event AS e;

//! The statements of this dialect beside the rows: setting a connection, opening, transactions, what a database says of itself,
//! and what an administrator asks and does.

// --- connections and opening ---

/// Settings of every connection. Filtered indices want the first seven; an error ends the transaction; a lock does not
/// stand in the way for ever, and is waited for a few times (`relational::patience`); nothing is cut off.
macro_rules! session {
    () => {
        "SET ANSI_NULLS ON; SET ANSI_PADDING ON; SET ANSI_WARNINGS ON; SET ARITHABORT ON;
SET CONCAT_NULL_YIELDS_NULL ON; SET QUOTED_IDENTIFIER ON; SET NUMERIC_ROUNDABORT OFF; SET IMPLICIT_TRANSACTIONS OFF;
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 15000; SET TEXTSIZE 2147483647;\n"
    };
}
/// A character beyond the first 65,536: two to a server that counts them as they are sent, one to one that counts them as
/// they are read.
macro_rules! pair {
    () => {
        "SELECT CAST(LEN(N'\u{1f600}') AS bigint)"
    };
}
/// Sets a connection that writes, and asks how the server counts characters.
pub(super) const READ_COMMITTED: &str =
    concat!(session!(), "SET TRANSACTION ISOLATION LEVEL READ COMMITTED;\n", pair!());
/// The same for one that reads.
pub(super) const SNAPSHOT: &str = concat!(session!(), "SET TRANSACTION ISOLATION LEVEL SNAPSHOT;\n", pair!());
/// What the server and the database are.
pub(super) const SERVER: &str = "SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)),
  CAST(SERVERPROPERTY('EngineEdition') AS bigint), CAST(SERVERPROPERTY('Babelfish') AS bigint), DB_NAME(),
  CAST(d.compatibility_level AS bigint), CAST(d.snapshot_isolation_state AS bigint),
  CAST(d.delayed_durability AS bigint), CAST(d.is_read_only AS bigint) FROM sys.databases AS d WHERE d.name = DB_NAME()";
pub(super) const HAS_MIGRATIONS: &str =
    "SELECT CAST(CASE WHEN OBJECT_ID(N'onesync_migration', N'U') IS NULL THEN 0 ELSE 1 END AS bigint)";
/// One table or view of somebody else's; in one look with the question whether the schema is ours, because another
/// program may be making it.
pub(super) const OTHERS: &str = "SELECT MIN(o.name) FROM sys.objects AS o
  WHERE o.type IN ('U', 'V') AND o.is_ms_shipped = 0 AND o.schema_id = SCHEMA_ID()
  AND OBJECT_ID(N'onesync_migration', N'U') IS NULL";
pub(super) const MIGRATION_TABLE: &str = "IF OBJECT_ID(N'onesync_migration', N'U') IS NULL
  CREATE TABLE onesync_migration (version int NOT NULL PRIMARY KEY,
  name nvarchar(100) COLLATE Latin1_General_BIN2 NOT NULL, checksum binary(16) NOT NULL,
  applied datetime2 NOT NULL DEFAULT SYSUTCDATETIME())";
pub(super) const MIGRATIONS: &str =
    "SELECT version, name, checksum FROM onesync_migration WHERE version > 0 ORDER BY version";
pub(super) const MIGRATION_PUT: &str =
    "INSERT INTO onesync_migration (version, name, checksum) VALUES (@P1, @P2, @P3)";
/// Whoever migrates holds this until the transaction ends. The name of the lock has that of the database in it: on Babelfish
/// such a lock is one of the whole server.
pub(super) const BEGIN_MIGRATION: &str = "BEGIN TRANSACTION;
DECLARE @got int;
DECLARE @lock nvarchar(255) = N'onesync.schema ' + DB_NAME();
EXEC @got = sp_getapplock @Resource = @lock, @LockMode = N'Exclusive', @LockOwner = N'Transaction',
  @LockTimeout = 60000;
SELECT CAST(@got AS bigint)";

// --- transactions ---

/// Begins to read: the first read of a snapshot is what it begins with.
pub(super) const BEGIN_READ: &str = "BEGIN TRANSACTION; SELECT number, writer FROM write_mark";
/// Begins to write: writers wait for each other at the lock, which the transaction holds, and then see what the one
/// before committed.
pub(super) const BEGIN_WRITE: &str = "BEGIN TRANSACTION;
DECLARE @got int;
DECLARE @lock nvarchar(255) = N'onesync.writer ' + DB_NAME();
EXEC @got = sp_getapplock @Resource = @lock, @LockMode = N'Exclusive', @LockOwner = N'Transaction',
  @LockTimeout = 15000;
SELECT CAST(@got AS bigint);
SELECT number, writer FROM write_mark;
SELECT epoch FROM installation";
pub(super) const COMMIT: &str = "COMMIT TRANSACTION";
pub(super) const ROLL_BACK: &str = "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION";

// --- what the database says of itself ---

pub(super) const FACTS: &str = "SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)),
  COALESCE((SELECT SUM(CAST(f.size AS bigint)) * 8192 FROM sys.database_files AS f WHERE f.type = 0), 0),
  (SELECT MIN(h.[time]) FROM history AS h WHERE h.seq = (SELECT MIN(g.seq) FROM history AS g)),
  (SELECT MIN(r.started) FROM run AS r), CAST(SERVERPROPERTY('Babelfish') AS bigint)";
/// What its files have in reserve: they grow in steps.
pub(super) const RESERVE: &str =
    "SELECT SUM(CAST(f.size AS bigint) - CAST(FILEPROPERTY(f.name, 'SpaceUsed') AS bigint)) * 8192
  FROM sys.database_files AS f WHERE f.type = 0";
/// What tables and their indices take. By the catalogue and not by `sys.dm_db_partition_stats`, which demands a right that
/// an account with the least ones lacks.
pub(super) const SIZES: &str = "SELECT t.name,
  SUM(CASE WHEN p.index_id IN (0, 1) THEN a.used_pages ELSE 0 END) * 8192,
  SUM(CASE WHEN p.index_id IN (0, 1) THEN 0 ELSE a.used_pages END) * 8192
  FROM sys.tables AS t JOIN sys.partitions AS p ON p.object_id = t.object_id
  JOIN sys.allocation_units AS a ON a.container_id = CASE WHEN a.type = 2 THEN p.partition_id ELSE p.hobt_id END
  WHERE t.schema_id = SCHEMA_ID() GROUP BY t.name ORDER BY SUM(a.used_pages) DESC";
/// The same on Babelfish, which has no such views: PostgreSQL below it says it.
pub(super) const SIZES_BELOW: &str = "SELECT t.name, CAST(pg_catalog.pg_table_size(t.object_id) AS bigint),
  CAST(pg_catalog.pg_indexes_size(t.object_id) AS bigint) FROM sys.tables AS t
  WHERE t.schema_id = SCHEMA_ID() ORDER BY pg_catalog.pg_total_relation_size(t.object_id) DESC";
/// What rows of the history take: pages that deleted ones have left are not always given back at once. By the width of the
/// youngest, with the heads of rows and about what each has in the indices.
pub(super) const HISTORY_BYTES: &str = "SELECT COUNT_BIG(*) * (72 + COALESCE((SELECT
  AVG(CAST(DATALENGTH(n.changes) + COALESCE(DATALENGTH(n.event), 0) + 32 AS bigint))
  FROM (SELECT TOP (1000) h.changes, h.event FROM history AS h ORDER BY h.seq DESC) AS n), 0)) FROM history";
/// The share comes in millionths.
pub(super) const HISTORY_AT: &str =
    "SELECT TOP (1) h.[time] FROM history AS h WHERE h.seq >= (SELECT MIN(g.seq) +
  CAST((MAX(g.seq) - MIN(g.seq)) * (@P1 / 1000000.0) AS bigint) FROM history AS g) ORDER BY h.seq";
/// Statistics of the tables, where many rows have changed. Nobody is kept waiting by it, and only who owns the database may.
pub(super) const TIDY: &str = "IF USER_NAME() = N'dbo' OR IS_MEMBER(N'db_owner') = 1 EXEC sp_updatestats";

// --- what whoever sets up an installation asks ---

/// What the database is, and what the account may do in it.
pub(super) const LOOK: &str = "SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)),
  CAST(SERVERPROPERTY('Babelfish') AS bigint), CAST(d.collation_name AS nvarchar(128)),
  DATEDIFF_BIG(microsecond, '19700101', SYSUTCDATETIME()),
  CAST(CASE WHEN HAS_PERMS_BY_NAME(QUOTENAME(DB_NAME()), N'DATABASE', N'CREATE TABLE') = 1
    AND HAS_PERMS_BY_NAME(QUOTENAME(SCHEMA_NAME()), N'SCHEMA', N'ALTER') = 1 THEN 1 ELSE 0 END AS bigint),
  CAST(COALESCE(HAS_PERMS_BY_NAME(N'onesync_migration', N'OBJECT', N'ALTER'), 0) AS bigint),
  CAST(COALESCE(IS_SRVROLEMEMBER(N'sysadmin'), 0) AS bigint), CAST(d.is_read_committed_snapshot_on AS bigint)
  FROM sys.databases AS d WHERE d.name = DB_NAME()";
/// What there is for a login and a database, and what the administrator may do about it.
pub(super) const ADMIN_LOOK: &str =
    "SELECT CAST(CASE WHEN SUSER_ID(@P1) IS NULL THEN 0 ELSE 1 END AS bigint),
  CAST(CASE WHEN DB_ID(@P2) IS NULL THEN 0 ELSE 1 END AS bigint),
  CAST(CASE WHEN IS_SRVROLEMEMBER(N'sysadmin') = 1 OR IS_SRVROLEMEMBER(N'securityadmin') = 1
    OR HAS_PERMS_BY_NAME(NULL, NULL, N'ALTER ANY LOGIN') = 1 THEN 1 ELSE 0 END AS bigint),
  CAST(CASE WHEN IS_SRVROLEMEMBER(N'sysadmin') = 1 OR IS_SRVROLEMEMBER(N'dbcreator') = 1
    OR HAS_PERMS_BY_NAME(NULL, NULL, N'CREATE ANY DATABASE') = 1 THEN 1 ELSE 0 END AS bigint)";
/// The same inside of the database.
pub(super) const ADMIN_INSIDE: &str = "SELECT SCHEMA_NAME(),
  CAST(COALESCE(HAS_PERMS_BY_NAME(QUOTENAME(DB_NAME()), N'DATABASE', N'CONTROL'), 0) AS bigint),
  CAST(SERVERPROPERTY('Babelfish') AS bigint), CAST(d.snapshot_isolation_state AS bigint)
  FROM sys.databases AS d WHERE d.name = DB_NAME()";
/// The user that a login has in the database: its name, and whether it is still that login's.
pub(super) const USER_OF: &str = "SELECT TOP (1) u.name, u.default_schema_name,
  CAST(CASE WHEN u.sid = SUSER_SID(@P1) THEN 1 ELSE 0 END AS bigint) FROM sys.database_principals AS u
  WHERE u.name = @P1 OR u.sid = SUSER_SID(@P1) ORDER BY 3 DESC";

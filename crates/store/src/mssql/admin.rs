//! What an administrator of the server does once for an installation: login, database, user, and rights.
//!
//! The service reads and writes rows of the schema and can do nothing else; whoever owns the database makes and changes the
//! tables. Every statement is one that may be repeated.
//! Deliberately absent: who asks for it; roles of the database (a member of one may add others to it on some servers).

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use onesync_model::Time;

use super::connection::{Client, Connections};
use super::options::SqlServerOptions;
use super::query::last;
use super::value::{Asked, params};
use super::{SqlServerStore, open, sql_open};
use crate::error::StoreError;
use crate::look::{DatabaseAdmin, DatabaseContent, DatabaseLook, ServerLook};
use crate::relational::tables::TABLES;
use crate::relational::{Cells, Checked, values};

const DOING: &str = "looking at the database";
const PREPARING: &str = "preparing the database";
/// Our times are 100 ns since 1970, what is asked for is microseconds.
const TICKS_A_MICROSECOND: i64 = 10;
/// Rights that the service needs on every table.
const RIGHTS: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];

/// An administrator of a server, at work for one installation.
pub struct SqlServerAdmin {
    admin: SqlServerOptions,
    service: SqlServerOptions,
}

/// Looks at a database without writing anything; at one that is `ready`, or that is to be made so.
pub(super) fn look(options: &SqlServerOptions, ready: bool) -> Checked<DatabaseLook> {
    let connections = Connections::new(options)?;
    let client = connections.writer(DOING)?;
    let looked = look_over(&client, options, ready);
    connections.end_write(client);
    looked
}

fn look_over(client: &Client, options: &SqlServerOptions, ready: bool) -> Checked<DatabaseLook> {
    open::check_server(client, options, ready)?;
    let rows = last(client.run(sql_open::LOOK, DOING)?);
    let cells = one("sys.databases", &rows)?;
    let is_babelfish = is_babelfish(&cells, 1)?;
    let content = content(client, options)?;
    let missing = match content {
        DatabaseContent::Other { .. } | DatabaseContent::Empty => Vec::new(),
        _ => {
            let rows = last(client.run(&rights_missing(), DOING)?);
            rows.iter().map(|row| Cells { table: "sys.tables", row }.get(0)).collect::<Checked<_>>()?
        }
    };
    let microseconds: i64 = cells.get(3)?;
    Ok(DatabaseLook {
        product: if is_babelfish { "Babelfish for PostgreSQL, as SQL Server" } else { "SQL Server" },
        version: cells.get::<Option<String>>(0)?.unwrap_or_default(),
        collation: cells.get::<Option<String>>(2)?.unwrap_or_default(),
        now: Time::from_ticks(microseconds.saturating_mul(TICKS_A_MICROSECOND)),
        may_make_tables: cells.get(4)?,
        owns_tables: cells.get(5)?,
        is_administrator: cells.get(6)?,
        // Babelfish is PostgreSQL, where nobody who reads stands in the way.
        readers_block: !is_babelfish && cells.get::<Option<i64>>(7)? != Some(1),
        content,
        missing,
    })
}

fn content(client: &Client, options: &SqlServerOptions) -> Checked<DatabaseContent> {
    if !open::exists(client)? {
        return DatabaseContent::of_others(open::refuse_others(client, options));
    }
    DatabaseContent::of_ours(open::applied(client), || {
        let rows = last(client.run(super::sql::INSTALLATION, DOING)?);
        rows.first().map(|row| Cells { table: "installation", row }.get(0)).transpose()
    })
}

/// Rights on our tables that the account lacks: those that it may not even see included. Of the list of migrations it needs to
/// read only.
pub(super) fn rights_missing() -> String {
    let names = |names: &mut dyn Iterator<Item = &str>| {
        names.map(|name| format!("(N'{name}')")).collect::<Vec<_>>().join(", ")
    };
    let tables = names(&mut TABLES.iter().map(|table| table.name).chain(["write_mark", "onesync_migration"]));
    let rights = names(&mut RIGHTS.into_iter());
    format!(
        "SELECT r.name + N' on ' + t.name FROM (VALUES {tables}) AS t(name) CROSS JOIN (VALUES {rights}) AS r(name)
  WHERE COALESCE(HAS_PERMS_BY_NAME(t.name, N'OBJECT', r.name), 0) = 0
  AND (t.name <> N'onesync_migration' OR r.name = N'SELECT') ORDER BY t.name, r.name"
    )
}

/// What there is inside of the database.
struct Inside {
    schema: String,
    controls: bool,
    is_babelfish: bool,
    allows_snapshots: bool,
}

impl SqlServerAdmin {
    /// For an account that administers, and the database as the service will open it.
    ///
    /// # Errors
    /// When the two are on different servers.
    pub fn new(admin: &SqlServerOptions, service: &SqlServerOptions) -> Result<Self, StoreError> {
        if admin.server() != service.server() {
            let why = "the administrator's URL names another server than the database's".to_owned();
            return Err(StoreError::Settings { why });
        }
        Ok(Self { admin: admin.clone(), service: service.clone() })
    }

    /// The administrator in the database of the installation.
    fn inside(&self) -> SqlServerOptions {
        self.admin.clone().in_database(self.service.database())
    }

    /// Whether the service is let in, which tells of its login where the administrator may not see it.
    fn signs_in(&self) -> Checked<bool> {
        let connections = Connections::new(&self.service)?;
        match connections.reader(DOING) {
            Ok(client) => {
                connections.end_read(client);
                Ok(true)
            }
            Err(StoreError::SignIn { .. }) => Ok(false),
            // Only the database was closed to it.
            Err(StoreError::NoDatabase { .. } | StoreError::Rights { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

fn look_inside(client: &Client) -> Checked<Inside> {
    let rows = last(client.run(sql_open::ADMIN_INSIDE, DOING)?);
    let cells = one("sys.databases", &rows)?;
    Ok(Inside {
        schema: cells.get::<Option<String>>(0)?.unwrap_or_else(|| "dbo".to_owned()),
        controls: cells.get(1)?,
        is_babelfish: is_babelfish(&cells, 2)?,
        allows_snapshots: cells.get::<Option<i64>>(3)? == Some(1),
    })
}

impl DatabaseAdmin for SqlServerAdmin {
    fn look(&self) -> Result<ServerLook, StoreError> {
        let connections = Connections::new(&self.admin)?;
        let client = connections.writer(DOING)?;
        let (login, database) = (self.service.user(), self.service.database());
        let asked = Asked::Values(params(&values![login, database]));
        let found = client.ask(sql_open::ADMIN_LOOK, &asked, DOING);
        connections.end_write(client);
        let rows = last(found?);
        let cells = one("sys.server_principals", &rows)?;
        let (mut role, database, makes_logins, makes_databases): (bool, bool, bool, bool) =
            (cells.get(0)?, cells.get(1)?, cells.get(2)?, cells.get(3)?);
        if !role && !makes_logins {
            role = self.signs_in()?;
        }
        let controls = match database {
            true => {
                let connections = Connections::new(&self.inside())?;
                let client = connections.writer(DOING)?;
                let inside = look_inside(&client);
                connections.end_write(client);
                inside?.controls
            }
            false => true,
        };
        let (login, name) = (self.service.user(), self.service.database());
        let makes = match (role, database) {
            (true, true) => None,
            (false, false) => Some(format!("make the login `{login}` and the database `{name}`")),
            (false, true) => Some(format!("make the login `{login}`")),
            (true, false) => Some(format!("make the database `{name}`")),
        };
        let may = (role || makes_logins) && (database || makes_databases) && controls;
        Ok(ServerLook { role, database, may, makes })
    }

    fn content(&self) -> Result<DatabaseContent, StoreError> {
        Ok(look(&self.inside(), false)?.content)
    }

    fn make_database(&self, password: Option<&SecretString>) -> Result<(), StoreError> {
        let there = self.look()?;
        let connections = Connections::new(&self.admin)?;
        let client = connections.patient(PREPARING)?;
        if !there.role {
            let password = password.ok_or_else(|| StoreError::Settings {
                why: "a SQL login has a password: name the file that holds it".to_owned(),
            })?;
            // The server keeps passwords out of its logs and traces, and asks its policy whether it is good enough.
            client.run(&make_login(self.service.user(), password), PREPARING)?;
        }
        if !there.database {
            client.run(&make_database(self.service.database()), PREPARING)?;
            client.run(&let_read(self.service.database()), PREPARING)?;
        }
        Ok(())
    }

    fn make_tables(&self) -> Result<(), StoreError> {
        let inside = self.inside();
        let connections = Connections::new(&inside)?;
        let client = connections.patient(PREPARING)?;
        let there = look_inside(&client)?;
        if !there.is_babelfish && !there.allows_snapshots {
            client.run(open::ALLOW_SNAPSHOT, PREPARING)?;
        }
        drop(SqlServerStore::open(&inside)?);
        let login = self.service.user();
        let asked = Asked::Values(params(&values![login]));
        let rows = last(client.ask(sql_open::USER_OF, &asked, PREPARING)?);
        let user = rows.first().map(|row| Cells { table: "sys.database_principals", row });
        let user = match user {
            None => {
                // The login of whoever owns the database has no user of its own, and needs none.
                if look(&self.service, true).is_ok_and(|look| look.owns_tables) {
                    return Ok(());
                }
                client.run(&make_user(login, &there.schema), PREPARING)?;
                login.to_owned()
            }
            Some(cells) => {
                let (name, schema): (String, Option<String>) = (cells.get(0)?, cells.get(1)?);
                if name == "dbo" {
                    return Ok(());
                }
                // The user of an earlier login of this name: of a restored database, for example.
                if !there.is_babelfish && !cells.get::<bool>(2)? {
                    client.run(&take_user(&name, login), PREPARING)?;
                }
                if schema.is_some_and(|schema| schema != there.schema) {
                    client.run(&move_user(&name, &there.schema), PREPARING)?;
                }
                name
            }
        };
        for statement in rights(&user, &there.schema, there.is_babelfish) {
            client.run(&statement, PREPARING)?;
        }
        Ok(())
    }
}

// --- statements with names in them ---

/// The statement that makes a login. It holds the password.
pub(super) fn make_login(login: &str, password: &SecretString) -> Zeroizing<String> {
    let password = Zeroizing::new(password.expose_secret().replace('\'', "''"));
    Zeroizing::new(format!("CREATE LOGIN {} WITH PASSWORD = N'{}'", quoted(login), &*password))
}

pub(super) fn make_database(name: &str) -> String {
    format!("CREATE DATABASE {}", quoted(name))
}

/// Whoever reads a new database in the usual way does not make those wait who write. Babelfish has no such setting, and would
/// not even read it.
fn let_read(name: &str) -> String {
    let set = format!("ALTER DATABASE {} SET READ_COMMITTED_SNAPSHOT ON", quoted(name)).replace('\'', "''");
    format!("IF SERVERPROPERTY('Babelfish') IS NULL EXEC (N'{set}')")
}

fn make_user(login: &str, schema: &str) -> String {
    let (login, schema) = (quoted(login), quoted(schema));
    format!("CREATE USER {login} FOR LOGIN {login} WITH DEFAULT_SCHEMA = {schema}")
}

fn take_user(user: &str, login: &str) -> String {
    format!("ALTER USER {} WITH LOGIN = {}", quoted(user), quoted(login))
}

fn move_user(user: &str, schema: &str) -> String {
    format!("ALTER USER {} WITH DEFAULT_SCHEMA = {}", quoted(user), quoted(schema))
}

fn grant(user: &str, schema: &str) -> String {
    format!("GRANT {} ON SCHEMA::{} TO {}", RIGHTS.join(", "), quoted(schema), quoted(user))
}

/// What the service may: rows of all tables, those of later versions included; the list of migrations it only reads.
fn rights(user: &str, schema: &str, is_babelfish: bool) -> Vec<String> {
    let deny =
        format!("DENY INSERT, UPDATE, DELETE ON {}.onesync_migration TO {}", quoted(schema), quoted(user));
    let mut all = vec![grant(user, schema)];
    // Babelfish has no DENY.
    if !is_babelfish {
        all.push(deny);
    }
    all
}

/// The statements by which an administrator makes logins and database without this program. Ownership and not a role, which
/// not every server with this protocol has.
pub(super) fn statements(service: &SqlServerOptions) -> Vec<String> {
    let (login, name) = (service.user(), quoted(service.database()));
    let owner = quoted(&owner_of(login));
    vec![
        format!("CREATE LOGIN {owner} WITH PASSWORD = N'<password of the owner>'"),
        format!("CREATE LOGIN {} WITH PASSWORD = N'<password of the service>'", quoted(login)),
        make_database(service.database()),
        let_read(service.database()),
        format!("ALTER AUTHORIZATION ON DATABASE::{name} TO {owner}"),
    ]
}

/// What is to be run in the database itself.
pub(super) fn statements_inside(service: &SqlServerOptions) -> Vec<String> {
    vec![make_user(service.user(), "dbo"), grant(service.user(), "dbo")]
}

/// Every statement with names in it, for who judges them.
#[cfg(test)]
pub(super) fn all_statements() -> Vec<String> {
    let service = SqlServerOptions::parse("sqlserver://one]s'ync@db/AD%20Sync").unwrap();
    let password = SecretString::from("it's]--");
    let mut all = statements(&service);
    all.extend(statements_inside(&service));
    all.extend(rights("one]s'ync", "dbo", false));
    all.push(make_login("one]s'ync", &password).to_string());
    all.push(take_user("a", "b"));
    all.push(move_user("a", "dbo"));
    all
}

/// The login that owns the database of a service.
pub(super) fn owner_of(login: &str) -> String {
    format!("{login}_owner")
}

fn quoted(name: &str) -> String {
    format!("[{}]", name.replace(']', "]]"))
}

fn one<'r>(table: &'static str, rows: &'r [tiberius::Row]) -> Checked<Cells<'r>> {
    let row = rows.first();
    let row = row.ok_or(StoreError::Server { doing: DOING, message: "no answer".to_owned() })?;
    Ok(Cells { table, row })
}

fn is_babelfish(cells: &Cells<'_>, column: usize) -> Checked<bool> {
    Ok(cells.get::<Option<i64>>(column)? == Some(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_stay_in_their_places() {
        let said = make_login("a]b", &SecretString::from("x'; DROP--"));
        assert_eq!(said.as_str(), "CREATE LOGIN [a]]b] WITH PASSWORD = N'x''; DROP--'");
        let rights = rights("a]b", "dbo", false).join("; ");
        assert!(rights.contains("ON SCHEMA::[dbo] TO [a]]b]; DENY INSERT, UPDATE, DELETE"), "{rights}");
    }
}

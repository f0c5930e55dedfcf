//! What an administrator of the server does once for an installation: roles, database, tables, and rights.
//!
//! Two roles: the owner, which makes and changes the tables and need not be able to sign in, and that of the service, which
//! reads and writes rows and can do nothing else. Every statement is one that may be repeated.
//! Deliberately absent: who asks for it, and passwords in statements (what is sent is the verifier that the server would
//! make of it, so that no log of the server has it).

use deadpool_postgres::Object;
use onesync_model::Time;
use postgres_protocol::password::scram_sha_256;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::error::SqlState;

use super::connection::{Connections, run};
use super::failure::failed;
use super::options::PostgresOptions;
use super::query::{Param, ask};
use super::{PostgresStore, open, sql};
use crate::error::StoreError;
use crate::look::{DatabaseAdmin, DatabaseContent, DatabaseLook, ServerLook};
use crate::relational::wait::wait;
use crate::relational::{Cells, Value};

const DOING: &str = "looking at the database";
const PREPARING: &str = "preparing the database";

/// Our times are 100 ns since 1970, the server's microseconds.
const TICKS_A_MICROSECOND: i64 = 10;

/// What there is, and what the administrator may do.
struct There {
    role: bool,
    /// The owner of the database; `None` when there is no database.
    owner: Option<String>,
    may_make_roles: bool,
    may_make_databases: bool,
    may_be_owner: bool,
}

/// An administrator of a server, at work for one installation.
pub struct PostgresAdmin {
    admin: PostgresOptions,
    service: PostgresOptions,
}

/// Looks at a database without writing anything.
pub(super) fn look(options: &PostgresOptions) -> Result<DatabaseLook, StoreError> {
    let connections = Connections::new(options)?;
    let client = connections.reader(DOING)?;
    open::check_server(&client)?;
    let rows = wait(ask(&client, sql::LOOK, &[])).map_err(failed(DOING))?;
    let row = rows.first().ok_or(StoreError::Server { doing: DOING, message: "no answer".to_owned() })?;
    let cells = Cells { table: "pg_database", row };
    let microseconds: i64 = cells.get(2)?;
    let content = content(&client, options)?;
    let missing = match content {
        DatabaseContent::Other { .. } | DatabaseContent::Empty => Vec::new(),
        _ => missing(&client)?,
    };
    Ok(DatabaseLook {
        product: "PostgreSQL",
        version: cells.get(0)?,
        collation: cells.get(1)?,
        now: Time::from_ticks(microseconds.saturating_mul(TICKS_A_MICROSECOND)),
        may_make_tables: cells.get(3)?,
        owns_tables: cells.get(4)?,
        is_administrator: cells.get(5)?,
        readers_block: false,
        content,
        missing,
    })
}

fn content(client: &Object, options: &PostgresOptions) -> Result<DatabaseContent, StoreError> {
    if !open::exists(client)? {
        return DatabaseContent::of_others(open::refuse_others(client, options));
    }
    DatabaseContent::of_ours(open::applied(client), || {
        let rows = wait(ask(client, sql::INSTALLATION, &[])).map_err(failed(DOING))?;
        rows.first().map(|row| Cells { table: "installation", row }.get(0)).transpose()
    })
}

/// Rights on tables that the account lacks.
fn missing(client: &Object) -> Result<Vec<String>, StoreError> {
    let rows = wait(ask(client, sql::RIGHTS_MISSING, &[])).map_err(failed(DOING))?;
    rows.iter().map(|row| Cells { table: "pg_class", row }.get(0)).collect()
}

impl PostgresAdmin {
    /// For an account that administers, and the database as the service will open it.
    ///
    /// # Errors
    /// When the two are on different servers.
    pub fn new(admin: &PostgresOptions, service: &PostgresOptions) -> Result<Self, StoreError> {
        if admin.server() != service.server() {
            let why = "the administrator's URL names another server than the database's".to_owned();
            return Err(StoreError::Settings { why });
        }
        Ok(Self { admin: admin.clone(), service: service.clone() })
    }

    fn there(&self) -> Result<There, StoreError> {
        let connections = Connections::new(&self.admin)?;
        let client = connections.writer(DOING)?;
        let (role, database) = (self.service.user(), self.service.database());
        let rows =
            wait(ask(&client, sql::ADMIN_LOOK, &[text(role), text(database)])).map_err(failed(DOING))?;
        let row = rows.first().ok_or(StoreError::Server { doing: DOING, message: "no answer".to_owned() })?;
        let cells = Cells { table: "pg_roles", row };
        Ok(There {
            role: cells.get(0)?,
            owner: cells.get(1)?,
            may_make_roles: cells.get(2)?,
            may_make_databases: cells.get(3)?,
            may_be_owner: cells.get(4)?,
        })
    }
}

impl DatabaseAdmin for PostgresAdmin {
    fn look(&self) -> Result<ServerLook, StoreError> {
        let There { role, owner, may_make_roles, may_make_databases, may_be_owner } = self.there()?;
        let database = owner.is_some();
        let may_make = match database {
            true => may_be_owner,
            false => may_make_roles && may_make_databases,
        };
        let may = may_make && (role || may_make_roles);
        let (owner, service) = (self.service.owner(), self.service.user());
        let name = self.service.database();
        let makes = match (role, database) {
            (true, true) => None,
            (false, false) => {
                Some(format!("make the roles `{owner}` and `{service}` and the database `{name}`"))
            }
            (false, true) => Some(format!("make the role `{service}`")),
            (true, false) => Some(format!("make the role `{owner}` and the database `{name}`")),
        };
        Ok(ServerLook { role, database, may, makes })
    }

    fn content(&self) -> Result<DatabaseContent, StoreError> {
        Ok(self.admin.clone().in_database(self.service.database()).look()?.content)
    }

    fn make_database(&self, password: Option<&SecretString>) -> Result<(), StoreError> {
        let there = self.there()?;
        let connections = Connections::new(&self.admin)?;
        let client = connections.writer(PREPARING)?;
        let (role, database) = (self.service.user(), self.service.database());
        let owner = owner_of(role);
        if there.owner.is_none() {
            let rows = wait(ask(&client, sql::HAS_ROLE, &[text(&owner)])).map_err(failed(PREPARING))?;
            if rows.is_empty() {
                make(&client, &format!("CREATE ROLE {} NOLOGIN", quoted(&owner)))?;
            }
            run(&client, &format!("GRANT {} TO CURRENT_USER", quoted(&owner)), PREPARING)?;
        }
        if !there.role {
            let login = match password {
                Some(password) => {
                    let verifier = scram_sha_256(password.expose_secret().as_bytes());
                    format!("CREATE ROLE {} LOGIN PASSWORD '{verifier}'", quoted(role))
                }
                // A server that knows its users by other means: peer, certificate, Kerberos.
                None => format!("CREATE ROLE {} LOGIN", quoted(role)),
            };
            make(&client, &login)?;
        }
        if there.owner.is_none() {
            let database = format!(
                "CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0",
                quoted(database),
                quoted(&owner)
            );
            make(&client, &database)?;
        }
        Ok(())
    }

    fn make_tables(&self) -> Result<(), StoreError> {
        let owner = self.there()?.owner.ok_or_else(|| StoreError::NoDatabase {
            why: format!("there is no database `{}`", self.service.database()),
        })?;
        let (role, database) = (quoted(self.service.user()), quoted(self.service.database()));
        let as_owner = self.admin.clone().in_database(self.service.database()).in_role(&owner);
        drop(PostgresStore::open(&as_owner)?);
        let connections = Connections::new(&as_owner)?;
        let client = connections.writer(PREPARING)?;
        let rows = wait(ask(&client, sql::CURRENT_SCHEMA, &[])).map_err(failed(PREPARING))?;
        let schema: String = match rows.first() {
            Some(row) => Cells { table: "pg_namespace", row }.get(0)?,
            None => return Err(StoreError::Server { doing: PREPARING, message: "no schema".to_owned() }),
        };
        let (schema, owner) = (quoted(&schema), quoted(&owner));
        for statement in [
            format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC"),
            format!("GRANT CONNECT ON DATABASE {database} TO {role}"),
            format!("GRANT USAGE ON SCHEMA {schema} TO {role}"),
            format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"),
            format!("REVOKE INSERT, UPDATE, DELETE ON onesync_migration FROM {role}"),
            // Also on the tables of later versions.
            format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} \
                 GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role}"
            ),
        ] {
            run(&client, &statement, PREPARING)?;
        }
        Ok(())
    }
}

/// The statements by which an administrator makes roles and database without this program.
pub(super) fn statements(service: &PostgresOptions) -> Vec<String> {
    let (role, database) = (service.user(), service.database());
    let (owner, role, name) = (quoted(&owner_of(role)), quoted(role), quoted(database));
    vec![
        format!("CREATE ROLE {owner} LOGIN PASSWORD '<password of the owner>'"),
        format!("CREATE ROLE {role} LOGIN PASSWORD '<password of the service>'"),
        format!("CREATE DATABASE {name} OWNER {owner} ENCODING 'UTF8' TEMPLATE template0"),
        format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"),
        format!("GRANT CONNECT ON DATABASE {name} TO {owner}, {role}"),
    ]
}

/// What is to be run in the database itself.
pub(super) fn statements_inside(service: &PostgresOptions) -> Vec<String> {
    let owner = quoted(&owner_of(service.user()));
    vec![
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC".to_owned(), // the default from PostgreSQL 15 on
        format!("GRANT USAGE, CREATE ON SCHEMA public TO {owner}"),
    ]
}

/// The role that owns what the role of the service uses.
pub(super) fn owner_of(role: &str) -> String {
    format!("{role}_owner")
}

/// Makes what was not there when it was looked for. A `setup` that was killed meanwhile leaves its last statement to the
/// server, which ends it: what that made is as good.
fn make(client: &Object, statement: &str) -> Result<(), StoreError> {
    const MADE_MEANWHILE: [&SqlState; 3] =
        [&SqlState::DUPLICATE_DATABASE, &SqlState::DUPLICATE_OBJECT, &SqlState::UNIQUE_VIOLATION];
    match wait(client.batch_execute(statement)) {
        Err(error) if error.code().is_some_and(|code| MADE_MEANWHILE.contains(&code)) => Ok(()),
        made => made.map_err(failed(PREPARING)),
    }
}

fn text(text: &str) -> Param<'_> {
    Param::One(Value::from(text))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

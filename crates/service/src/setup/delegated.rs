//! The database on a server: what is there, what an administrator's account does about it, and what somebody else has to do
//! where none was given.

use onesync_store::{DatabaseContent, DatabaseLook, PostgresAdmin, PostgresOptions, StoreError};
use serde::Serialize;

use super::check::of_database;
use super::steps::Step;
use super::{Check, Plan, Setup};
use crate::database::{DatabaseServer, Opening, Options};
use crate::error::ServiceError;

/// What the administrator of the database server has to do first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Delegated {
    /// Why it is needed.
    pub why: String,
    /// Statements for the server, as its administrator.
    pub statements: Vec<String>,
    /// The database in which the further ones are to be run.
    pub database: String,
    /// Statements to be run in that database.
    pub inside: Vec<String>,
    /// How it goes on.
    pub then: String,
}

/// What a home is to begin with on a server.
pub(super) enum Begin {
    /// With a new installation.
    Install,
    /// With the installation that is there.
    Join(String),
    /// When somebody else has done something.
    Wait,
}

impl Setup {
    /// Looks at the database on the server, and plans what an administrator's account may do about it.
    pub(super) fn look_at_server(
        &self,
        server: &DatabaseServer,
        plan: &mut Plan,
    ) -> Result<Begin, ServiceError> {
        let options = server.options()?;
        plan.database.clone_from(&server.url);
        let admin = self.wanted.admin.as_ref().map(DatabaseServer::options).transpose()?;
        let content = match (&options, &admin) {
            (Options::Postgres(service), None) => self.look_as_service(service, plan)?,
            (Options::Postgres(service), Some(Options::Postgres(admin))) => {
                self.look_as_admin(admin, service, plan)?
            }
            (Options::SqlServer(_), None) => Some(sql_server(&options, plan)?),
            _ => {
                return Err(ServiceError::usage(
                    "an administrator's account makes databases on PostgreSQL only",
                    "on a SQL Server have its administrator make login and database, and leave `--database-admin` out",
                ));
            }
        };
        let Some(content) = content else { return Ok(Begin::Wait) };
        match content {
            DatabaseContent::Empty | DatabaseContent::Schema { .. } => Ok(Begin::Install),
            DatabaseContent::Installation { id, .. } if self.began(&id)? => Ok(Begin::Install),
            DatabaseContent::Installation { id, current: true } => Ok(Begin::Join(id)),
            DatabaseContent::Installation { id, current: false } => Err(ServiceError::usage(
                format!(
                    "the database holds installation {id}, with tables of an older version than this program"
                ),
                "upgrade the active server of that installation first: whoever joins changes nothing",
            )),
            DatabaseContent::Other { why } => {
                Err(StoreError::NotOurs { place: server.url.clone(), why }.into())
            }
            DatabaseContent::Unreadable => {
                let why = "the tables of OneSync are there, and the account may not read them".to_owned();
                Err(StoreError::Rights { doing: "looking at the database", why }.into())
            }
        }
    }

    /// Whether this home began to make that installation, and was cut short.
    fn began(&self, id: &str) -> Result<bool, ServiceError> {
        // However the database was named then: the installation tells.
        let unfinished = self.home.named_unfinished()?;
        Ok(self.home.key_set().exists()
            && unfinished.is_some_and(|named| !named.joined && named.installation == id))
    }

    fn look_as_service(
        &self,
        service: &PostgresOptions,
        plan: &mut Plan,
    ) -> Result<Option<DatabaseContent>, ServiceError> {
        let look = match service.look() {
            Ok(look) => look,
            Err(error @ (StoreError::NoDatabase { .. } | StoreError::SignIn { .. })) => {
                plan.waits_for = Some(delegated(service, error.to_string()));
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        plan.checks.extend(of_database(&look, self.clock.now(), false));
        let may_make = look.may_make_tables || look.is_administrator;
        let tables_missing = match look.content {
            DatabaseContent::Empty => !may_make,
            DatabaseContent::Schema { current } => !current && !look.owns_tables,
            _ => false,
        };
        if tables_missing {
            plan.waits_for = Some(Delegated {
                statements: Vec::new(),
                inside: Vec::new(),
                ..delegated(
                    service,
                    "the account of the service may not make the tables, as it should be".to_owned(),
                )
            });
            return Ok(None);
        }
        Ok(Some(look.content))
    }

    fn look_as_admin(
        &self,
        admin: &PostgresOptions,
        service: &PostgresOptions,
        plan: &mut Plan,
    ) -> Result<Option<DatabaseContent>, ServiceError> {
        let there = PostgresAdmin::new(admin, service)?.look()?;
        let no_database = there.owner.is_none();
        let may_not = (!there.role && !there.may_make_roles)
            || (no_database && !(there.may_make_roles && there.may_make_databases))
            || (!no_database && !there.may_be_owner);
        if may_not {
            let why = format!(
                "`{}` may make neither roles nor databases, and does not own the database: it cannot do it",
                admin.user()
            );
            plan.waits_for = Some(delegated(service, why));
            return Ok(None);
        }
        if !there.role || no_database {
            let (owner, role, database) = (service.owner(), service.user(), service.database());
            let text = match (there.role, no_database) {
                (false, true) => {
                    format!("make the roles `{owner}` and `{role}` and the database `{database}`")
                }
                (false, false) => format!("make the role `{role}`"),
                _ => format!("make the role `{owner}` and the database `{database}`"),
            };
            plan.add(Step::MakeDatabase, "database", text);
        }
        let content = match no_database {
            true => DatabaseContent::Empty,
            false => admin.clone().in_database(service.database()).look()?.content,
        };
        // Before rights are given it may not even be let in, or see no schema.
        let seen = match there.role && !no_database {
            true => match service.look() {
                Ok(look) => Some(look),
                Err(StoreError::Rights { .. } | StoreError::Unsuitable { .. }) => None,
                Err(error) => return Err(error.into()),
            },
            false => None,
        };
        let makes = match content {
            DatabaseContent::Empty | DatabaseContent::Schema { current: false } => true,
            DatabaseContent::Schema { .. } | DatabaseContent::Installation { current: true, .. } => {
                seen.as_ref().is_none_or(lacks_rights)
            }
            _ => false,
        };
        if makes {
            let text =
                format!("make the tables as their owner, and let `{}` read and write rows", service.user());
            plan.add(Step::MakeTables, "tables", text);
        }
        if let Some(look) = &seen {
            plan.checks.extend(of_database(look, self.clock.now(), makes));
        }
        plan.checks.push(Check::ok("database administrator", format!("signed in as `{}`", admin.user())));
        Ok(Some(content))
    }
}

/// What a SQL Server has. Its tables are made by the account of the service, which must be allowed to.
fn sql_server(options: &Options, plan: &mut Plan) -> Result<DatabaseContent, ServiceError> {
    let state = options.schema()?;
    plan.checks.push(Check::ok("database", "SQL Server answers; SQL logins only, no Kerberos"));
    let current = state.missing.is_empty();
    if state.found == 0 {
        return Ok(DatabaseContent::Empty);
    }
    if !current {
        return Ok(DatabaseContent::Installation { id: "of an earlier version".to_owned(), current });
    }
    let store = options.open(Opening::Working)?;
    let there = store.reader()?.installation()?;
    Ok(match there {
        Some(row) => DatabaseContent::Installation { id: row.id, current },
        None => DatabaseContent::Schema { current },
    })
}

fn lacks_rights(look: &DatabaseLook) -> bool {
    !look.missing.is_empty() || matches!(look.content, DatabaseContent::Unreadable | DatabaseContent::Empty)
}

fn delegated(service: &PostgresOptions, why: String) -> Delegated {
    let (statements, inside) = service.statements();
    let owner = format!("postgres://{}@HOST/{}", service.owner(), service.database());
    Delegated {
        why,
        statements,
        database: service.database().to_owned(),
        inside,
        then: format!(
            "run the same command again with `--database-admin '{owner}' --database-admin-password-file FILE`, by which the tables are made; the service itself runs as `{}`",
            service.user()
        ),
    }
}

//! The database on a server: what is there, what an administrator's account does about it, and what somebody else has to do
//! where none was given.

use onesync_store::{DatabaseContent, DatabaseLook, StoreError};
use serde::Serialize;

use super::check::{Whose, of_database};
use super::steps::Step;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Check, Plan, Setup};
use crate::database::{DatabaseServer, Named, Options};
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
        let content = match &admin {
            None => self.look_as_service(&options, server, plan)?,
            Some(admin) => self.look_as_admin(admin, &options, server, plan)?,
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
        service: &Options,
        server: &DatabaseServer,
        plan: &mut Plan,
    ) -> Result<Option<DatabaseContent>, ServiceError> {
        let look = match service.look() {
            Ok(look) => look,
            Err(error @ (StoreError::NoDatabase { .. } | StoreError::SignIn { .. })) => {
                plan.waits_for = Some(delegated(service, server, error.to_string()));
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        plan.checks.extend(of_database(&look, self.clock.now(), Whose::new(service)));
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
                    server,
                    "the account of the service may not make the tables, as it should be".to_owned(),
                )
            });
            return Ok(None);
        }
        Ok(Some(look.content))
    }

    fn look_as_admin(
        &self,
        admin: &Options,
        service: &Options,
        server: &DatabaseServer,
        plan: &mut Plan,
    ) -> Result<Option<DatabaseContent>, ServiceError> {
        let administered = service.administered_by(admin)?;
        let there = administered.look()?;
        if !there.may {
            let why = format!(
                "`{}` may make neither accounts nor databases, and does not own the database: it cannot do it",
                admin.user()
            );
            plan.waits_for = Some(delegated(service, server, why));
            return Ok(None);
        }
        if let Some(text) = there.makes {
            plan.add(Step::MakeDatabase, "database", text);
        }
        let content = match there.database {
            false => DatabaseContent::Empty,
            true => administered.content()?,
        };
        // Before rights are given it may not even be let in, or see no schema.
        let seen = match there.role && there.database {
            true => match service.look() {
                Ok(look) => Some(look),
                Err(
                    StoreError::Rights { .. } | StoreError::Unsuitable { .. } | StoreError::NoDatabase { .. },
                ) => None,
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
            let whose = Whose { rights_come: makes, ..Whose::new(service) };
            plan.checks.extend(of_database(look, self.clock.now(), whose));
        }
        plan.checks.push(Check::ok("database administrator", format!("signed in as `{}`", admin.user())));
        Ok(Some(content))
    }

    /// The password that the database of an installed home is said to have by now.
    pub(super) fn new_password(&self) -> Option<&SecretString> {
        let of_server = self.wanted.server.as_ref().and_then(|server| server.password.as_ref());
        self.wanted.database_password.as_ref().or(of_server)
    }

    /// Looks at the database that an installed home has on a server: its password, and the rights of its account, which an
    /// administrator may give.
    pub(super) fn look_at_own_server(&self, named: &Named, plan: &mut Plan) -> Result<(), ServiceError> {
        let folder = self.home.folder();
        let kept = named.password(folder)?;
        let same = |new: &&SecretString| {
            kept.as_ref().is_some_and(|kept| kept.expose_secret() == new.expose_secret())
        };
        let new = self.new_password().filter(|new| !same(new));
        let options = match new {
            Some(new) => {
                let server = DatabaseServer { url: named.url.clone(), password: Some(new.clone()) };
                server.options()?
            }
            None => named.options(folder)?,
        };
        let admin = self.wanted.admin.as_ref().map(DatabaseServer::options).transpose()?;
        if let Some(admin) = &admin {
            let administered = options.administered_by(admin)?;
            let there = administered.look()?;
            if !there.may {
                return Err(ServiceError::usage(
                    format!(
                        "`{}` neither administers the server nor owns the database: it can give no rights there",
                        admin.user()
                    ),
                    "name the account that owns the database, or one that may do everything",
                ));
            }
            // What holds nothing is to be put back: no tables are made in it.
            if !there.database {
                let why = format!("there is no database `{}`", options.database());
                return Err(StoreError::NoDatabase { why }.into());
            }
            if matches!(administered.content()?, DatabaseContent::Empty | DatabaseContent::Schema { .. }) {
                return Err(StoreError::NotInstalled.into());
            }
            plan.checks.push(Check::ok("database administrator", format!("signed in as `{}`", admin.user())));
            if let Some(text) = there.makes {
                plan.add(Step::MakeDatabase, "database", text);
            }
        }
        let seen = match options.look() {
            Ok(look) => Some(look),
            Err(StoreError::SignIn { why }) if new.is_some() => {
                return Err(ServiceError::usage(
                    format!("the database does not take the new password: {why}"),
                    "nothing was changed; name the file that holds the right one with `--database-password-file`",
                ));
            }
            Err(
                StoreError::Rights { .. }
                | StoreError::Unsuitable { .. }
                | StoreError::NoDatabase { .. }
                | StoreError::SignIn { .. },
            ) if admin.is_some() => None,
            Err(error) => return Err(error.into()),
        };
        let gives = admin.is_some() && seen.as_ref().is_none_or(lacks_rights);
        if gives {
            let text =
                format!("let `{}` read and write the rows of the tables, as their owner", options.user());
            plan.add(Step::MakeTables, "tables", text);
        }
        if let Some(look) = &seen {
            let whose = Whose { rights_come: gives, is_installed: true, ..Whose::new(&options) };
            plan.checks.extend(of_database(look, self.clock.now(), whose));
        }
        if let Some(new) = new {
            let text =
                "keep the new password of the database, which it has taken, in place of the one before";
            plan.add(Step::Password(new.clone()), "database-password", text);
        }
        Ok(())
    }
}

fn lacks_rights(look: &DatabaseLook) -> bool {
    !look.missing.is_empty() || matches!(look.content, DatabaseContent::Unreadable | DatabaseContent::Empty)
}

fn delegated(service: &Options, server: &DatabaseServer, why: String) -> Delegated {
    let (statements, inside) = service.statements();
    Delegated {
        why,
        statements,
        database: service.database().to_owned(),
        inside,
        then: format!(
            "run the same command again with `--database-admin '{}' --database-admin-password-file FILE`, by which the tables are made; the service itself runs as `{}`",
            of_owner(&server.url),
            service.user()
        ),
    }
}

/// The same URL with the account that owns the database in these statements.
fn of_owner(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    let (place, path) = rest.split_at(end);
    let (user, host) = place.rsplit_once('@').unwrap_or(("onesync", place));
    format!("{scheme}://{user}_owner@{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::of_owner;

    #[test]
    fn the_owner_has_the_name_of_the_service_with_a_word_after_it() {
        assert_eq!(of_owner("postgres://a%40b@h:1/c?x=y@z"), "postgres://a%40b_owner@h:1/c?x=y@z");
        assert_eq!(of_owner("sqlserver://one@h/c?instance=I"), "sqlserver://one_owner@h/c?instance=I");
    }
}

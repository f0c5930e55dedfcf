//! What an administrator makes for an installation, and that the service may then read and write rows and nothing else.

use onesync_store::conformance::{EPOCH, install};
use onesync_store::{
    DatabaseAdmin as _, DatabaseContent, DatabaseLook, SqlServerAdmin, SqlServerOptions, SqlServerStore,
    Store as _, StoreError,
};
use secrecy::SecretString;

use super::lab;
use crate::server;

const PASSWORD: &str = "Sync-'Least'-1";

/// Logins and a database of one name.
struct Place {
    name: String,
}

impl Place {
    fn new(name: &str) -> Self {
        let place = Self { name: format!("onesync_{}_{name}", std::process::id()) };
        place.remove();
        place
    }

    fn options(&self, login: &str, password: &str) -> SqlServerOptions {
        let url = lab::in_database(&lab::url(), &self.name);
        let (_, rest) = url.split_once('@').unwrap();
        let options = SqlServerOptions::parse(&format!("sqlserver://{login}@{rest}")).unwrap();
        options.password(&SecretString::from(password))
    }

    fn service(&self) -> SqlServerOptions {
        self.options(&self.name, PASSWORD)
    }

    fn admin(&self) -> SqlServerAdmin {
        let admin = SqlServerOptions::parse(&lab::url()).unwrap().password(&lab::password());
        SqlServerAdmin::new(&admin, &self.service()).unwrap()
    }

    /// As the service, or whoever has its name with something after it.
    fn run_as(&self, login: &str, text: &str) -> Result<(), String> {
        lab::run_as(login, &SecretString::from(PASSWORD), &self.name, text).map(drop)
    }

    fn remove(&self) {
        let name = &self.name;
        let _ = lab::run("master", &format!("ALTER DATABASE {name} SET SINGLE_USER WITH ROLLBACK IMMEDIATE"));
        for text in [
            format!("DROP DATABASE {name}"),
            format!("DROP LOGIN {name}"),
            format!("DROP LOGIN {name}_owner"),
        ] {
            let _ = lab::run("master", &text);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.remove();
    }
}

fn is_babelfish() -> bool {
    let rows = lab::run("master", "SELECT CAST(SERVERPROPERTY('Babelfish') AS bigint)").unwrap();
    rows[0].get::<i64, _>(0) == Some(1)
}

/// Reads and writes rows, and nothing else.
fn has_least_rights(look: &DatabaseLook) -> bool {
    !look.may_make_tables && !look.owns_tables && !look.is_administrator && look.missing.is_empty()
}

fn works(service: &SqlServerOptions) {
    let store = SqlServerStore::open(service).unwrap();
    install(&store);
    server::write(&store, 1..=99).unwrap(); // enough to be loaded
    server::write(&store, 50..=120).unwrap();
    store.trim(EPOCH, &server::never(), 9).unwrap();
    store.tidy().unwrap();
    assert_eq!(store.query("SELECT COUNT_BIG(*) FROM onesync_objects", 1).unwrap().rows.len(), 1);
    let sizes = store.table_sizes().unwrap();
    let objects = sizes.iter().find(|size| size.table == "cs_object").unwrap();
    assert!(objects.bytes > 0 && objects.indices > 0, "{objects:?}");
    assert!(store.facts().unwrap().bytes >= objects.bytes);
    assert_eq!((store.history_bytes().unwrap(), store.history_before(0.5).unwrap()), (0, None));
    assert_eq!(server::rows(&store), 120);
}

#[test]
fn an_administrator_makes_everything_and_the_service_may_read_and_write_rows_only() {
    let place = Place::new("admin");
    let (admin, service, name) = (place.admin(), place.service(), &place.name);
    let there = admin.look().unwrap();
    assert!(!there.role && !there.database && there.may, "{there:?}");
    assert!(there.makes.is_some_and(|makes| makes.contains("login") && makes.contains("database")));
    assert!(matches!(service.look(), Err(StoreError::SignIn { .. })));
    // Each is done twice, as after a kill.
    for _ in 0..2 {
        admin.make_database(Some(&SecretString::from(PASSWORD))).unwrap();
    }
    assert_eq!(admin.look().unwrap().makes, None);
    let closed = service.look().unwrap_err();
    assert!(matches!(closed, StoreError::NoDatabase { .. } | StoreError::Rights { .. }), "{closed}");
    assert_eq!(admin.content().unwrap(), DatabaseContent::Empty);
    for _ in 0..2 {
        admin.make_tables().unwrap();
    }
    let look = service.look().unwrap();
    assert!(has_least_rights(&look), "{look:?}");
    assert_eq!(look.content, DatabaseContent::Schema { current: true });
    works(&service);

    let mut forbidden: Vec<String> = [
        "CREATE TABLE other (x int)",
        "CREATE VIEW other AS SELECT 1 AS x",
        "CREATE PROCEDURE other AS SELECT 1 AS x",
        "DROP TABLE installation",
        "DROP VIEW onesync_objects",
        "ALTER TABLE cs_object ADD x int",
        "CREATE INDEX other ON cs_object (id)",
        "TRUNCATE TABLE event",
        "CREATE ROLE other",
        "CREATE LOGIN other WITH PASSWORD = 'Other-Login-1'",
        "CREATE DATABASE other_of_the_service",
    ]
    .map(str::to_owned)
    .into();
    forbidden.extend([
        format!("ALTER ROLE db_owner ADD MEMBER {name}"),
        format!("ALTER SERVER ROLE sysadmin ADD MEMBER {name}"),
        format!("DROP DATABASE {name}"),
    ]);
    if !is_babelfish() {
        forbidden.push("UPDATE onesync_migration SET version = 99 WHERE version = 1".to_owned());
        forbidden.push("DELETE FROM onesync_migration".to_owned());
    }
    for text in forbidden {
        let said = place.run_as(name, &text).unwrap_err().to_lowercase();
        let refused =
            ["permission", "must be owner", "not currently supported", "not supported", "currently in use"];
        assert!(refused.iter().any(|word| said.contains(word)), "{text}: {said}");
    }
    assert_eq!(server::rows(&SqlServerStore::open(&service).unwrap()), 120, "all is as it was");

    // Rights that were taken away are missed, and given back.
    let take = format!("REVOKE SELECT, INSERT, UPDATE, DELETE ON SCHEMA::dbo FROM {name}");
    lab::run(name, &take).unwrap();
    let look = service.look().unwrap();
    assert!(!look.missing.is_empty() || look.content == DatabaseContent::Empty, "{look:?}");
    admin.make_tables().unwrap();
    let look = service.look().unwrap();
    assert!(has_least_rights(&look), "{look:?}");
    assert!(matches!(look.content, DatabaseContent::Installation { current: true, .. }), "{look:?}");
}

/// Delegated: what is printed, with passwords in their places, and then the owner's login for the tables.
#[test]
fn the_statements_for_an_administrator_are_all_that_is_needed() {
    let place = Place::new("delegated");
    let (service, name) = (place.service(), &place.name);
    let (outside, inside) = service.statements();
    let password = PASSWORD.replace('\'', "''");
    for (database, statements) in [("master", outside), (name.as_str(), inside)] {
        for statement in statements {
            let statement = statement.replace("<password of the owner>", &password);
            let statement = statement.replace("<password of the service>", &password);
            lab::run(database, &statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }
    let looked = service.look();
    let looked = looked.map(|look| (look.content, look.may_make_tables));
    match looked {
        Ok(found) => assert_eq!(found, (DatabaseContent::Empty, false)),
        // Snapshots are allowed by the owner, with the tables.
        Err(error) => assert!(matches!(error, StoreError::Unsuitable { .. }), "{error}"),
    }
    let owner = SqlServerAdmin::new(&place.options(&format!("{name}_owner"), PASSWORD), &service).unwrap();
    let there = owner.look().unwrap();
    assert!(there.role && there.database && there.may && there.makes.is_none(), "{there:?}");
    owner.make_tables().unwrap();
    let look = service.look().unwrap();
    assert!(has_least_rights(&look), "{look:?}");
    works(&service);
    // The service itself is no administrator.
    let itself = SqlServerAdmin::new(&service, &service).unwrap().look().unwrap();
    assert!(itself.role && itself.database && !itself.may, "{itself:?}");
    let elsewhere = SqlServerOptions::parse("sqlserver://sa@elsewhere/master").unwrap();
    assert!(SqlServerAdmin::new(&elsewhere, &service).is_err());
    // Whoever owns the database works, too, and is told from one with least rights.
    let look = place.options(&format!("{name}_owner"), PASSWORD).look().unwrap();
    assert!(look.owns_tables && look.may_make_tables && !look.is_administrator, "{look:?}");
}

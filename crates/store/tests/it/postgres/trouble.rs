//! What a server, a database or an account that will not do is told.

use onesync_store::conformance::{EPOCH, install};
use onesync_store::{PostgresOptions, PostgresStore, Store, StoreError};

use super::lab::{Lab, open};
use crate::server;

fn refused(url: &str) -> StoreError {
    match open(url) {
        Ok(_) => panic!("{url} was opened"),
        Err(error) => error,
    }
}

#[test]
fn a_wrong_password_is_said_and_not_shown() {
    let lab = Lab::new("password");
    let url = lab.url("sslmode=disable");
    let wrong = secrecy::SecretString::from("not-the-password");
    let options = PostgresOptions::parse(&url).unwrap().password(&wrong);
    let error = match PostgresStore::open(&options) {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    };
    assert!(matches!(error, StoreError::SignIn { .. }), "{error}");
    let shown = format!("{error} {error:?} {options:?}");
    assert!(shown.contains("sync") && !shown.contains("not-the-password"), "{shown}");
}

#[test]
fn an_unreachable_server_is_named_at_once() {
    // Nobody listens on port 1.
    let error = refused("postgres://sync@127.0.0.1:1/one?sslmode=disable");
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
    assert!(error.is_transient());
}

#[test]
fn a_database_that_is_not_there_is_named() {
    let lab = Lab::new("missing");
    let error = refused(&lab.url("sslmode=disable").replace(&lab.name, "no_such_database"));
    assert!(matches!(error, StoreError::NoDatabase { .. }), "{error}");
    assert!(error.to_string().contains("no_such_database"), "{error}");
}

/// Looked at before it was dropped and made anew, opened after that: nothing is made for whoever expects an installation.
#[test]
fn an_empty_database_stays_empty_for_whoever_expects_an_installation() {
    let lab = Lab::new("emptied");
    let options = PostgresOptions::parse(&lab.url("sslmode=disable")).unwrap();
    let filled = options.clone().filled();
    assert!(matches!(PostgresStore::open(&filled), Err(StoreError::NotInstalled)));
    assert_eq!(PostgresStore::schema(&options).unwrap().found, 0);
    drop(PostgresStore::open(&options).unwrap());
    PostgresStore::open(&filled).unwrap();
}

/// The server's certificate is for `localhost`, by an authority of its own.
#[test]
fn certificates_are_trusted_as_the_mode_says() {
    let authority = std::env::var("PG_CA_FILE").unwrap();
    let lab = Lab::new("tls");
    let (by_address, ca) = (|p: &str| lab.url(p), format!("sslrootcert={authority}"));
    let address = by_address("").split('@').nth(1).unwrap().split(':').next().unwrap().to_owned();
    let by_name = |p: &str| by_address(p).replace(&address, "localhost") + &format!("&hostaddr={address}");
    for url in [
        by_address("sslmode=require"),
        by_address("sslmode=prefer"),
        by_address(&format!("sslmode=verify-ca&{ca}")),
        by_address(&format!("sslmode=require&{ca}")),
        by_name(&format!("sslmode=verify-full&{ca}")),
        by_name(&ca),
    ] {
        open(&url).unwrap_or_else(|error| panic!("{url}: {error}"));
        lab.run("DROP TABLE IF EXISTS public.onesync_migration").unwrap();
        lab.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public").unwrap();
    }
    for url in [
        by_address(&format!("sslmode=verify-full&{ca}")),
        by_name("sslmode=verify-full"),
        by_name("sslmode=verify-ca"),
        by_name(""),
    ] {
        let error = refused(&url);
        assert!(matches!(error, StoreError::Untrusted { .. }), "{url}: {error}");
    }
    let error = refused(&by_name("sslrootcert=/no/such/file"));
    assert!(error.to_string().contains("/no/such/file"), "{error}");
}

/// With `require` the connection is encrypted: the server says so.
#[test]
fn required_encryption_is_there() {
    let lab = Lab::new("encrypted");
    let store = open(&lab.url("sslmode=require&application_name=looked_for")).unwrap();
    let check = "DO $$ BEGIN IF NOT (SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE application_name = 'looked_for') THEN RAISE 'not encrypted'; END IF; END $$";
    lab.run(check).unwrap();
    drop(store);
}

#[test]
fn a_foreign_database_is_refused_and_left_as_it_was() {
    let lab = Lab::new("foreign");
    lab.run("CREATE TABLE song (title text)").unwrap();
    let error = refused(&lab.url("sslmode=disable"));
    assert!(matches!(error, StoreError::NotOurs { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("song") && text.contains(&lab.name) && !text.contains("sync:sync"), "{text}");
    lab.run("DO $$ BEGIN IF (SELECT count(*) FROM pg_tables WHERE schemaname = 'public') <> 1 THEN RAISE 'changed'; END IF; END $$")
        .unwrap();
}

#[test]
fn a_newer_or_changed_schema_is_refused() {
    let lab = Lab::new("newer");
    drop(lab.store("s"));
    lab.run("INSERT INTO s.onesync_migration VALUES (99, 'later', '')").unwrap();
    let error = lab.open("s").err().unwrap();
    assert!(matches!(error, StoreError::Newer { found: 99, known: 5 }), "{error}");
    lab.run(
        "DELETE FROM s.onesync_migration WHERE version = 99; UPDATE s.onesync_migration SET checksum = ''",
    )
    .unwrap();
    let error = lab.open("s").err().unwrap();
    assert!(matches!(error, StoreError::Migration { version: 1, .. }), "{error}");
}

#[test]
fn another_encoding_is_refused_with_the_remedy() {
    let lab = Lab::new("encoding");
    let name = format!("{}_latin", lab.name);
    lab.run(&format!("CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")).unwrap();
    let error = refused(&lab.url("sslmode=disable").replace(&lab.name, &name));
    lab.run(&format!("DROP DATABASE {name} WITH (FORCE)")).unwrap();
    assert!(error.to_string().contains("LATIN1") && error.to_string().contains("UTF8"), "{error}");
}

/// An account that may only use the tables runs the store; one that may not make them is told what it lacks.
#[test]
fn rights_that_are_missing_are_named_and_the_least_ones_suffice() {
    let lab = Lab::new("rights");
    let role = format!("{}_role", lab.name);
    lab.run(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'least'; REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    ))
    .unwrap();
    let url = lab.url("sslmode=disable").replace("sync:sync", &format!("{role}:least"));
    let error = refused(&url);
    let lacks = matches!(error, StoreError::Rights { .. });
    drop(open(&lab.url("sslmode=disable")).unwrap());
    lab.run(&format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"))
        .unwrap();
    let run = || -> Result<usize, StoreError> {
        let store = open(&url)?;
        install(&store);
        server::write(&store, [1])?;
        store.trim(EPOCH, &server::never(), 9)?;
        Ok(server::rows(&store))
    };
    let ran = run();
    lab.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
    assert!(lacks, "{error}");
    assert_eq!(ran.unwrap(), 1);
}

/// Two programs that open an empty database at once: one makes the schema, the other finds it.
#[test]
fn an_empty_database_is_made_once_by_many() {
    for _ in 0..4 {
        many_open(&Lab::new("many"));
    }
}

fn many_open(lab: &Lab) {
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| drop(open(&lab.url("sslmode=disable")).unwrap()));
        }
    });
    drop(open(&lab.url("sslmode=disable")).unwrap());
}

#[test]
fn damage_is_named_with_table_and_row() {
    let lab = Lab::new("damage");
    let store = lab.store("s");
    install(&store);
    server::write(&store, [1, 42]).unwrap();
    lab.run("UPDATE s.cs_object SET image = '\\xff00' WHERE id = 42").unwrap();
    let reader = store.reader().unwrap();
    let message = reader.cs_by_id(&[server::row(42).id]).unwrap_err().to_string();
    assert!(message.contains("row 42") && message.contains("`cs_object`"), "{message}");
}

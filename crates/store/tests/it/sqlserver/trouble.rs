//! What a server, a database or an account that will not do is told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use onesync_store::conformance::{EPOCH, install};
use onesync_store::{SqlServerOptions, SqlServerStore, Store, StoreError};
use secrecy::SecretString;

use super::lab::{self, Lab, open};
use crate::server;

fn refused(opened: Result<SqlServerStore, StoreError>) -> StoreError {
    match opened {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

#[test]
fn a_wrong_password_is_said_and_not_shown() {
    let lab = Lab::new("password");
    let wrong = SecretString::from("not-the-password");
    let options = SqlServerOptions::parse(&lab.url()).unwrap().password(&wrong);
    let error = refused(SqlServerStore::open(&options));
    assert!(matches!(error, StoreError::SignIn { .. }), "{error}");
    let shown = format!("{error} {error:?} {options:?}");
    assert!(!shown.contains("not-the-password"), "{shown}");
}

#[test]
fn an_unreachable_server_is_named_at_once() {
    // Nobody listens on port 1.
    let error = refused(open("sqlserver://sync@127.0.0.1:1/one?encrypt=disabled"));
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
    assert!(error.is_transient());
}

#[test]
fn an_instance_that_nobody_knows_is_named() {
    // Nobody answers there as a browser service.
    let error = refused(open("sqlserver://sync@127.0.0.1/one?instance=NOBODY&encrypt=disabled"));
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
}

#[test]
fn a_database_that_is_not_there_is_named() {
    let error = refused(open(&lab::in_database(&lab::url(), "no_such_database")));
    assert!(matches!(error, StoreError::NoDatabase { .. }), "{error}");
    assert!(error.to_string().contains("no_such_database"), "{error}");
}

/// Looked at before it was dropped and made anew, opened after that: nothing is made for whoever expects an installation.
#[test]
fn an_empty_database_stays_empty_for_whoever_expects_an_installation() {
    let lab = Lab::new("emptied");
    let options = SqlServerOptions::parse(&lab.url()).unwrap().password(&lab::password());
    let filled = options.clone().filled();
    assert!(matches!(refused(SqlServerStore::open(&filled)), StoreError::NotInstalled));
    assert_eq!(SqlServerStore::schema(&options).unwrap().found, 0);
    drop(SqlServerStore::open(&options).unwrap());
    SqlServerStore::open(&filled).unwrap();
}

/// A browser service beside the server, which says where an instance listens: left out where nobody may be one.
#[test]
fn a_named_instance_is_found_and_opened() {
    let lab = Lab::new("instance");
    let server = lab::address(&lab.url());
    let Some((host, port)) = server.rsplit_once(':').filter(|(host, _)| host.starts_with("127.")) else {
        eprintln!("SKIPPED: the server is on another machine, or its URL names no port");
        return;
    };
    let browser = std::net::UdpSocket::bind((host, 1434)).unwrap();
    let told = format!("ServerName;DB;InstanceName;OneSync;IsClustered;No;Version;13.0.5026.0;tcp;{port};;");
    let answer = [&[5], &(told.len() as u16).to_le_bytes()[..], told.as_bytes()].concat();
    let ended = AtomicBool::new(false);
    browser.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut asked = [0; 64];
            // Each connection asks anew: the port may be another one when the server has started again.
            while !ended.load(Ordering::Relaxed) {
                let Ok((length, from)) = browser.recv_from(&mut asked) else { continue };
                assert_eq!(&asked[..length], b"\x04ONESYNC\0");
                browser.send_to(&answer, from).unwrap();
            }
        });
        let url = lab.url().replacen(&format!(":{port}/"), "/", 1);
        let opened = open(&format!("{url}{}instance=ONESYNC", if url.contains('?') { "&" } else { "?" }));
        let installed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| install(&opened.unwrap())));
        ended.store(true, Ordering::Relaxed);
        installed.unwrap();
    });
}

#[test]
fn certificates_are_trusted_as_the_url_says() {
    let Some(authority) = lab::authority() else {
        eprintln!("SKIPPED: the URL of the server names no `ca_file`");
        return;
    };
    let lab = Lab::new("tls");
    let url = lab.url();
    let place = url.split('?').next().unwrap();
    for parameters in [format!("ca_file={}", authority.display()), "trust_server_certificate=true".to_owned()]
    {
        open(&format!("{place}?{parameters}")).unwrap_or_else(|error| panic!("{parameters}: {error}"));
    }
    let error = refused(open(place));
    assert!(matches!(error, StoreError::Untrusted { .. }), "{error}");
    let error = refused(open(&format!("{place}?ca_file=/no/such/file")));
    assert!(error.to_string().contains("/no/such/file"), "{error}");
}

#[test]
fn a_foreign_database_is_refused_and_left_as_it_was() {
    let lab = Lab::new("foreign");
    lab.run("CREATE TABLE song (title nvarchar(99))").unwrap();
    let error = refused(lab.open());
    assert!(matches!(error, StoreError::NotOurs { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("song") && text.contains(&lab.name), "{text}");
    assert_eq!(lab.number("SELECT CAST(COUNT(*) AS bigint) FROM sys.tables WHERE is_ms_shipped = 0"), 1);
}

#[test]
fn a_newer_or_changed_schema_is_refused() {
    let lab = Lab::new("newer");
    drop(lab.open().unwrap());
    lab.run("INSERT INTO onesync_migration (version, name, checksum) VALUES (99, 'later', 0x00)").unwrap();
    let error = refused(lab.open());
    assert!(matches!(error, StoreError::Newer { found: 99, known: 4 }), "{error}");
    lab.run("DELETE FROM onesync_migration WHERE version = 99; UPDATE onesync_migration SET checksum = 0x00")
        .unwrap();
    let error = refused(lab.open());
    assert!(matches!(error, StoreError::Migration { version: 1, .. }), "{error}");
}

/// An account that may only read and write runs the store; one that may not make the tables is told what it lacks.
#[test]
fn rights_that_are_missing_are_named_and_the_least_ones_suffice() {
    let lab = Lab::new("rights");
    let login = format!("{}_login", lab.name);
    let secret = SecretString::from("Least-Rights-1");
    lab::run("master", &format!("CREATE LOGIN {login} WITH PASSWORD = 'Least-Rights-1'")).unwrap();
    let ran = (|| -> Result<(StoreError, usize), String> {
        lab.run(&format!("CREATE USER {login} FOR LOGIN {login}"))?;
        let url = lab.url();
        let (_, rest) = url.split_once('@').unwrap();
        let options =
            SqlServerOptions::parse(&format!("sqlserver://{login}@{rest}")).unwrap().password(&secret);
        let lacks = refused(SqlServerStore::open(&options));
        drop(lab.open().unwrap());
        let role = |role: &str| lab.run(&format!("ALTER ROLE {role} ADD MEMBER {login}"));
        if role("db_datareader").and_then(|_| role("db_datawriter")).is_err() {
            // Babelfish 4 has no such roles: what they mean, table by table.
            for row in lab.run("SELECT name FROM sys.tables WHERE is_ms_shipped = 0")? {
                let table: &str = row.get(0).unwrap();
                lab.run(&format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {login}"))?;
            }
        }
        let run = || -> Result<usize, StoreError> {
            let store = SqlServerStore::open(&options)?;
            install(&store);
            server::write(&store, 1..=99)?;
            store.trim(EPOCH, &server::never(), 9)?;
            Ok(server::rows(&store))
        };
        Ok((lacks, run().map_err(|error| error.to_string())?))
    })();
    let _ = lab.run(&format!("DROP USER {login}"));
    let _ = lab::run("master", &format!("DROP LOGIN {login}"));
    let (lacks, rows) = ran.unwrap();
    assert!(matches!(lacks, StoreError::Rights { .. }), "{lacks}");
    assert_eq!(rows, 99);
}

/// Two programs that open an empty database at once: one makes the schema, the other finds it.
#[test]
fn an_empty_database_is_made_once_by_many() {
    let lab = Lab::new("many");
    for _ in 0..3 {
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| drop(lab.open().unwrap()));
            }
        });
        drop(lab.open().unwrap());
        lab.clear();
    }
}

#[test]
fn damage_is_named_with_table_and_row() {
    let lab = Lab::new("damage");
    let store = lab.open().unwrap();
    install(&store);
    server::write(&store, [1, 42]).unwrap();
    lab.run("UPDATE cs_object SET image = 0xff00 WHERE id = 42").unwrap();
    let reader = store.reader().unwrap();
    let message = reader.cs_by_id(&[server::row(42).id]).unwrap_err().to_string();
    assert!(message.contains("row 42") && message.contains("`cs_object`"), "{message}");
}

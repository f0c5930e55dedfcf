//! A database of its own for each test, on the server of `ONESYNC_TEST_SQLSERVER`.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use onesync_store::{SqlServerOptions, SqlServerStore, Store, StoreError};
use secrecy::SecretString;
use tiberius::{AuthMethod, Config, EncryptionLevel, Row};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_util::compat::TokioAsyncWriteCompatExt as _;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Of the server: `sqlserver://user@host:port/database?parameters`, and the file with the password.
pub(super) fn url() -> String {
    std::env::var("ONESYNC_TEST_SQLSERVER")
        .unwrap_or_else(|_| panic!("ONESYNC_TEST_SQLSERVER names no server"))
}

pub(super) fn password() -> SecretString {
    let file = std::env::var("ONESYNC_TEST_SQLSERVER_PASSWORD_FILE");
    let file = file.unwrap_or_else(|_| panic!("ONESYNC_TEST_SQLSERVER_PASSWORD_FILE names no file"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    SecretString::from(text.trim_end_matches('\n').to_owned())
}

pub(super) struct Lab {
    pub(super) name: String,
}

impl Lab {
    pub(super) fn new(name: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("onesync_{}_{number}_{name}", std::process::id());
        let make = format!("CREATE DATABASE {name}");
        // Babelfish refuses one of two that are made at once, with these words of PostgreSQL's.
        while let Err(error) = run("master", &make) {
            assert!(error.contains("tuple concurrently updated"), "{error}");
        }
        // A server that is not Microsoft's may not know it, nor need it.
        let _ = run("master", &format!("ALTER DATABASE {name} SET ALLOW_SNAPSHOT_ISOLATION ON"));
        Self { name }
    }

    /// The URL of the database, as the one of the server says.
    pub(super) fn url(&self) -> String {
        in_database(&url(), &self.name)
    }

    /// Runs statements beside the store.
    pub(super) fn run(&self, text: &str) -> Result<Vec<Row>, String> {
        run(&self.name, text)
    }

    /// The one number that a statement gives.
    pub(super) fn number(&self, text: &str) -> i64 {
        self.run(text).unwrap()[0].get(0).unwrap()
    }

    pub(super) fn open(&self) -> Result<SqlServerStore, StoreError> {
        open(&self.url())
    }

    /// Drops all views and tables.
    pub(super) fn clear(&self) {
        for (kind, list) in [("VIEW", "sys.views"), ("TABLE", "sys.tables")] {
            let rows = self.run(&format!("SELECT name FROM {list} WHERE is_ms_shipped = 0")).unwrap();
            let names: Vec<&str> = rows.iter().map(|row| row.get(0).unwrap()).collect();
            if !names.is_empty() {
                self.run(&format!("DROP {kind} {}", names.join(", "))).unwrap();
            }
        }
    }

    /// Stores one after the other, each in the emptied database: its schema stays, which takes a server long to make.
    pub(super) fn stores(&self) -> impl Fn() -> Box<dyn Store> {
        let tables = "SELECT name FROM sys.tables WHERE is_ms_shipped = 0 AND name <> 'onesync_migration'";
        let empty: OnceCell<String> = OnceCell::new();
        move || {
            match empty.get() {
                Some(text) => drop(self.run(text).unwrap()),
                None => {
                    drop(self.open().unwrap());
                    let tables = self.run(tables).unwrap();
                    let tables = tables.iter().map(|row| row.get::<&str, _>(0).unwrap());
                    let mut text: String = tables.map(|table| format!("DELETE FROM {table};")).collect();
                    text.push_str("INSERT INTO write_mark (one, number, writer) VALUES (1, 0, 0x00);");
                    text.push_str(
                        "INSERT INTO counter (one, next_cs, next_mv, next_container) VALUES (1, 1, 1, 1)",
                    );
                    empty.set(text).unwrap();
                }
            }
            Box::new(self.open().unwrap())
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ =
            run("master", &format!("ALTER DATABASE {} SET SINGLE_USER WITH ROLLBACK IMMEDIATE", self.name));
        // A server that was ended by its test may be busy with other things.
        let _ = run("master", &format!("DROP DATABASE {}", self.name));
    }
}

/// The URL with another database.
pub(super) fn in_database(url: &str, database: &str) -> String {
    let (place, parameters) = url.split_once('?').unwrap_or((url, ""));
    let (server, _) = place.rsplit_once('/').unwrap();
    format!("{server}/{database}?{parameters}")
}

/// The host and port of a URL.
pub(super) fn address(url: &str) -> String {
    let rest = url.split('@').nth(1).unwrap();
    rest.split('/').next().unwrap().to_owned()
}

pub(super) fn open(url: &str) -> Result<SqlServerStore, StoreError> {
    SqlServerStore::open(&SqlServerOptions::parse(url)?.password(&password()))
}

pub(super) fn run(database: &str, text: &str) -> Result<Vec<Row>, String> {
    let url = url();
    let user = url.strip_prefix("sqlserver://").unwrap().split('@').next().unwrap().to_owned();
    run_as(&user, &password(), database, text)
}

/// Runs statements as somebody; the rows of the last result.
pub(super) fn run_as(
    user: &str,
    password: &SecretString,
    database: &str,
    text: &str,
) -> Result<Vec<Row>, String> {
    use secrecy::ExposeSecret as _;
    let mut config = Config::new();
    config.authentication(AuthMethod::sql_server(user, password.expose_secret()));
    config.database(database);
    // As the tests of the store itself need it to be proven, these do not.
    if url().contains("encrypt=disabled") {
        config.encryption(EncryptionLevel::NotSupported);
    } else {
        config.trust_cert();
    }
    let work = async {
        let stream = TcpStream::connect(address(&url())).await.map_err(|error| error.to_string())?;
        let client = tiberius::Client::connect(config, stream.compat_write()).await;
        let mut client = client.map_err(|error| error.to_string())?;
        let results = async { client.simple_query(text).await?.into_results().await }.await;
        results.map(|mut results| results.pop().unwrap_or_default()).map_err(|error| format!("{error:?}"))
    };
    // On a thread of its own: the test may itself run in a runtime.
    std::thread::scope(|scope| scope.spawn(|| Runtime::new().unwrap().block_on(work)).join().unwrap())
}

/// The file of the authority that the URL of the server names.
pub(super) fn authority() -> Option<PathBuf> {
    let url = url();
    let named = url.split(['?', '&']).find_map(|part| part.strip_prefix("ca_file="))?;
    Some(PathBuf::from(named))
}

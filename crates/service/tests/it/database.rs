//! The databases that stories run on: the embedded one, or each one of its own on a server.
//!
//! `ONESYNC_TEST_STORE=postgres` brings all stories onto the server of `PG_URL`.

use std::sync::atomic::{AtomicU32, Ordering};

use onesync_service::DatabaseServer;
use secrecy::SecretString;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A database of its own on the server of `PG_URL`; it goes with this.
pub struct Database {
    admin: String,
    name: String,
}

impl Database {
    pub async fn new(name: &str) -> Self {
        let admin = std::env::var("PG_URL");
        let admin =
            admin.unwrap_or_else(|_| panic!("PG_URL names no PostgreSQL server: `./test` starts one"));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("onesync_{}_{number}_{name}", std::process::id());
        run(&admin, &format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")).await;
        Self { admin, name }
    }

    /// As it is given for a new installation: the password beside the URL.
    pub fn server(&self) -> DatabaseServer {
        let (user, rest) = self.admin.strip_prefix("postgres://").unwrap().split_once(':').unwrap();
        let (password, rest) = rest.split_once('@').unwrap();
        let host = rest.split_once('/').unwrap().0;
        DatabaseServer {
            url: format!("postgres://{user}@{host}/{}?sslmode=require", self.name),
            password: Some(SecretString::from(password.to_owned())),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        let work = run(&self.admin, &drop);
        // On a thread of its own: the test itself runs in a runtime.
        let ended = std::thread::scope(|scope| {
            scope.spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(work)).join()
        });
        assert!(ended.is_ok() || std::thread::panicking(), "the database of a test could not be removed");
    }
}

async fn run(admin: &str, text: &str) {
    let (client, connection) = tokio_postgres::connect(admin, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(text).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
}

/// The database of a story that has none of its own; `None` for the embedded one.
pub async fn of_story() -> Option<Database> {
    match std::env::var("ONESYNC_TEST_STORE").as_deref() {
        Ok("postgres") => Some(Database::new("story").await),
        Ok("embedded") | Err(_) => None,
        Ok(other) => panic!("ONESYNC_TEST_STORE is `{other}`: write embedded or postgres"),
    }
}

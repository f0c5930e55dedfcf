//! A database of its own for each test, on the server of `PG_URL`.

use std::sync::atomic::{AtomicU32, Ordering};

use onesync_store::{PostgresOptions, PostgresStore, StoreError};
use tokio::runtime::Runtime;

static NUMBER: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Lab {
    /// Of the server: user, password, host and port.
    server: String,
    pub(crate) name: String,
}

impl Lab {
    pub(crate) fn new(name: &str) -> Self {
        let url = std::env::var("PG_URL");
        let url = url.unwrap_or_else(|_| panic!("PG_URL names no PostgreSQL server: `./test` starts one"));
        Self::on(&url, name)
    }

    /// On another server than that of all tests.
    pub(crate) fn on(url: &str, name: &str) -> Self {
        let server = url.rsplit_once('/').unwrap().0.to_owned();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("onesync_{}_{number}_{name}", std::process::id());
        run(&server, "postgres", &format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0"))
            .unwrap();
        Self { server, name }
    }

    /// The URL of the database, with more parameters.
    pub(crate) fn url(&self, parameters: &str) -> String {
        format!("{}/{}?{parameters}", self.server, self.name)
    }

    /// Runs statements beside the store.
    pub(crate) fn run(&self, text: &str) -> Result<(), String> {
        run(&self.server, &self.name, text)
    }

    /// A store in a schema of its own.
    pub(crate) fn store(&self, schema: &str) -> PostgresStore {
        self.run(&format!("CREATE SCHEMA {schema}")).unwrap();
        self.open(schema).unwrap()
    }

    /// The store in a schema that is there.
    pub(crate) fn open(&self, schema: &str) -> Result<PostgresStore, StoreError> {
        open(&self.url(&format!("sslmode=disable&options=-csearch_path%3D{schema}")))
    }
}

impl Lab {
    /// The store in a schema that is there, its tables in a tablespace.
    pub(crate) fn open_in(&self, schema: &str, space: &str) -> Result<PostgresStore, StoreError> {
        let options = format!("-csearch_path={schema} -cdefault_tablespace={space}");
        let options = options.replace(' ', "%20").replace('=', "%3D");
        open(&self.url(&format!("sslmode=disable&options={options}")))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A server that was ended by its test takes its databases along.
        let _ = run(&self.server, "postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

pub(crate) fn open(url: &str) -> Result<PostgresStore, StoreError> {
    PostgresStore::open(&PostgresOptions::parse(url)?)
}

fn run(server: &str, database: &str, text: &str) -> Result<(), String> {
    let work = async {
        let (client, connection) =
            tokio_postgres::connect(&format!("{server}/{database}"), tokio_postgres::NoTls)
                .await
                .map_err(|error| error.to_string())?;
        let connection = tokio::spawn(connection);
        let done = client.batch_execute(text).await.map_err(|error| format!("{error:?}"));
        drop(client);
        let _ = connection.await;
        done
    };
    // On a thread of its own: the test may itself run in a runtime.
    std::thread::scope(|scope| scope.spawn(|| Runtime::new().unwrap().block_on(work)).join().unwrap())
}

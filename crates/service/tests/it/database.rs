//! The databases that stories run on: the embedded one, or each one of its own on a server.
//!
//! `ONESYNC_TEST_STORE=postgres` brings all stories onto the server of `PG_URL`, `sqlserver` onto that of
//! `ONESYNC_TEST_SQLSERVER`.

use std::sync::atomic::{AtomicU32, Ordering};

use onesync_service::DatabaseServer;
use secrecy::{ExposeSecret as _, SecretString};
use tiberius::{AuthMethod, Config, EncryptionLevel};
use tokio::net::TcpStream;
use tokio_util::compat::TokioAsyncWriteCompatExt as _;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A database of its own on a server; it goes with this.
pub struct Database {
    server: Server,
    name: String,
}

#[derive(Clone)]
enum Server {
    /// The URL of the administrator's database, with the password.
    Postgres(String),
    /// The URL up to the database, its parameters, the password beside it.
    SqlServer(String, String, SecretString),
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} names no server: `./test` starts PostgreSQL"))
}

impl Database {
    /// On PostgreSQL.
    pub async fn new(name: &str) -> Self {
        let database = Self::on(Server::Postgres(variable("PG_URL")), name);
        let name = &database.name;
        database
            .server
            .run(&format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0"))
            .await
            .unwrap();
        database
    }

    /// On SQL Server.
    pub async fn on_sql_server(name: &str) -> Self {
        let url = variable("ONESYNC_TEST_SQLSERVER");
        let (place, parameters) = url.split_once('?').unwrap_or((&url, ""));
        let password = std::fs::read_to_string(variable("ONESYNC_TEST_SQLSERVER_PASSWORD_FILE")).unwrap();
        let password = SecretString::from(password.trim_end_matches('\n').to_owned());
        let place = place.rsplit_once('/').unwrap().0.to_owned();
        let database = Self::on(Server::SqlServer(place, parameters.to_owned(), password), name);
        let name = &database.name;
        // Babelfish refuses one of two that are made at once, with these words of PostgreSQL's.
        while let Err(error) = database.server.run(&format!("CREATE DATABASE {name}")).await {
            assert!(error.contains("tuple concurrently updated"), "{error}");
        }
        // A server that is not Microsoft's may not know it, nor need it.
        let _ = database.server.run(&format!("ALTER DATABASE {name} SET ALLOW_SNAPSHOT_ISOLATION ON")).await;
        database
    }

    fn on(server: Server, name: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self { server, name: format!("onesync_{}_{number}_{name}", std::process::id()) }
    }

    /// Runs statements in it, on PostgreSQL.
    pub async fn execute(&self, text: &str) {
        let Server::Postgres(admin) = &self.server else { panic!("{} is not on PostgreSQL", self.name) };
        let (server, rest) = admin.rsplit_once('/').unwrap();
        let parameters = rest.split_once('?').map_or(String::new(), |(_, rest)| format!("?{rest}"));
        Server::Postgres(format!("{server}/{}{parameters}", self.name)).run(text).await.unwrap();
    }

    /// As it is given for a new installation: the password beside the URL.
    pub fn server(&self) -> DatabaseServer {
        match &self.server {
            Server::Postgres(admin) => {
                let (user, rest) = admin.strip_prefix("postgres://").unwrap().split_once(':').unwrap();
                let (password, rest) = rest.split_once('@').unwrap();
                let host = rest.split_once('/').unwrap().0;
                DatabaseServer {
                    url: format!("postgres://{user}@{host}/{}?sslmode=require", self.name),
                    password: Some(SecretString::from(password.to_owned())),
                }
            }
            Server::SqlServer(place, parameters, password) => DatabaseServer {
                url: format!("{place}/{}?{parameters}", self.name),
                password: Some(password.clone()),
            },
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        let work = async move {
            match server {
                Server::Postgres(_) => server.run(&format!("DROP DATABASE {name} WITH (FORCE)")).await,
                Server::SqlServer(..) => {
                    let single = format!("ALTER DATABASE {name} SET SINGLE_USER WITH ROLLBACK IMMEDIATE");
                    let _ = server.run(&single).await;
                    server.run(&format!("DROP DATABASE {name}")).await
                }
            }
        };
        // On a thread of its own: the test itself runs in a runtime.
        let ended = std::thread::scope(|scope| {
            scope.spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(work)).join()
        });
        let ended = matches!(ended, Ok(Ok(())));
        assert!(ended || std::thread::panicking(), "the database of a test could not be removed");
    }
}

impl Server {
    async fn run(&self, text: &str) -> Result<(), String> {
        match self {
            Self::Postgres(admin) => {
                let connected = tokio_postgres::connect(admin, tokio_postgres::NoTls).await;
                let (client, connection) = connected.map_err(|error| error.to_string())?;
                let connection = tokio::spawn(connection);
                let done = client.batch_execute(text).await.map_err(|error| error.to_string());
                drop(client);
                connection.await.unwrap().map_err(|error| error.to_string())?;
                done
            }
            Self::SqlServer(place, parameters, password) => {
                let (user, host) = place.strip_prefix("sqlserver://").unwrap().split_once('@').unwrap();
                let mut config = Config::new();
                config.authentication(AuthMethod::sql_server(user, password.expose_secret()));
                match parameters.contains("encrypt=disabled") {
                    true => config.encryption(EncryptionLevel::NotSupported),
                    false => config.trust_cert(),
                }
                let stream = TcpStream::connect(host).await.map_err(|error| error.to_string())?;
                let done = async {
                    let mut client = tiberius::Client::connect(config, stream.compat_write()).await?;
                    client.simple_query(text).await?.into_results().await?;
                    client.close().await
                };
                done.await.map_err(|error| error.to_string())
            }
        }
    }
}

/// The database of a story that has none of its own; `None` for the embedded one.
pub async fn of_story() -> Option<Database> {
    match std::env::var("ONESYNC_TEST_STORE").as_deref() {
        Ok("postgres") => Some(Database::new("story").await),
        Ok("sqlserver") => Some(Database::on_sql_server("story").await),
        Ok("embedded") | Err(_) => None,
        Ok(other) => panic!("ONESYNC_TEST_STORE is `{other}`: write embedded, postgres or sqlserver"),
    }
}

//! On a SQL Server: with an administrator's account, without one, killed at each step, on a database that has an installation,
//! on one that has something else or is of another version. `ONESYNC_TEST_SQLSERVER` names the server and an account that
//! makes logins and databases; without it these are left out by their name, aloud.

use onesync_graphsim::GraphSim;
use tiberius::{AuthMethod, Config, EncryptionLevel};
use tokio::net::TcpStream;
use tokio_util::compat::TokioAsyncWriteCompatExt as _;

use super::kill::at_each_step;
use super::{Database, Place, arguments, rows, shown};
use crate::kill::ldif::SOURCE;
use crate::program::{CLOUD_SECRET, Setup, cloud, directory, leave_staging, run};

/// Of the service's login. Its policy is the server's, not ours.
pub const PASSWORD: &str = "Open-Sesame-1";

/// Logins and a database of their own on a server.
pub struct Server {
    /// `sqlserver://user@host:port/database?parameters`.
    admin: String,
    password: String,
    name: String,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} names no SQL Server"))
}

impl Server {
    pub async fn new(name: &str) -> Self {
        let password = std::fs::read_to_string(variable("ONESYNC_TEST_SQLSERVER_PASSWORD_FILE")).unwrap();
        let server = Self {
            admin: variable("ONESYNC_TEST_SQLSERVER"),
            password: password.trim_end_matches('\n').to_owned(),
            name: format!("onesync_{}_{name}", std::process::id()),
        };
        server.remove().await;
        server
    }

    fn account(&self) -> &str {
        self.admin.strip_prefix("sqlserver://").unwrap().split_once('@').unwrap().0
    }

    fn host(&self) -> &str {
        self.admin.split_once('@').unwrap().1.split_once('/').unwrap().0
    }

    fn parameters(&self) -> &str {
        self.admin.split_once('?').map_or("", |(_, parameters)| parameters)
    }

    /// The database as the service opens it.
    pub fn url(&self) -> String {
        format!("sqlserver://{0}@{1}/{0}?{2}", self.name, self.host(), self.parameters())
    }

    /// Options of `setup`.
    pub fn database(&self, files: &Place) -> Database {
        Database::on_server(files, [&self.url(), PASSWORD], [&self.admin, &self.password])
    }

    /// Makes an empty database that belongs to the service.
    pub async fn make_empty(&self) {
        let name = &self.name;
        self.run("master", &format!("CREATE LOGIN [{name}] WITH PASSWORD = N'{PASSWORD}'")).await;
        self.run("master", &format!("CREATE DATABASE [{name}]")).await;
        self.run("master", &format!("ALTER AUTHORIZATION ON DATABASE::[{name}] TO [{name}]")).await;
    }

    /// Runs statements as a login, in a database of the server.
    async fn run_as(&self, login: &str, password: &str, database: &str, text: &str) -> Result<(), String> {
        let mut config = Config::new();
        config.authentication(AuthMethod::sql_server(login, password));
        config.database(database);
        match self.parameters().contains("encrypt=disabled") {
            true => config.encryption(EncryptionLevel::NotSupported),
            false => config.trust_cert(),
        }
        let stream = TcpStream::connect(self.host()).await.map_err(|error| error.to_string())?;
        let done = async {
            let mut client = tiberius::Client::connect(config, stream.compat_write()).await?;
            client.simple_query(text).await?.into_results().await?;
            client.close().await
        };
        done.await.map_err(|error| error.to_string())
    }

    async fn run(&self, database: &str, text: &str) {
        let done = self.run_as(self.account(), &self.password, database, text).await;
        done.unwrap_or_else(|error| panic!("{text}: {error}"));
    }

    /// Removes what tests made.
    pub async fn remove(&self) {
        let name = &self.name;
        for text in [
            format!("ALTER DATABASE {name} SET SINGLE_USER WITH ROLLBACK IMMEDIATE"),
            format!("DROP DATABASE {name}"),
            format!("DROP LOGIN {name}"),
            format!("DROP LOGIN {name}_owner"),
        ] {
            // They need not be there.
            let _ = self.run_as(self.account(), &self.password, "master", &text).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_makes_everything_and_the_service_may_read_and_write_rows_only() {
    let server = Server::new("rights").await;
    let sim = GraphSim::builder().seed(31).judged().await.unwrap();
    let setup = Setup::new("ldif", SOURCE, &cloud(&sim)).await;
    std::fs::write(setup.path().join("directory.ldif"), directory(60)).unwrap();
    let files = Place::new();
    let options = server.database(&files);
    let first = setup.run(&arguments(&options.both())).await.ends_with(0);
    assert!(first.out.contains("make the login") && first.out.contains("make the tables"), "{}", first.out);
    let made = shown(&first).unwrap();
    let log = std::fs::read_to_string(setup.home().join("setup.log")).unwrap();
    for text in [&log, &first.err] {
        assert!(![made.as_str(), PASSWORD, &server.password].iter().any(|hush| text.contains(hush)));
    }
    // The second time without the administrator: it is needed no more.
    for options in [options.both(), vec!["--yes"]] {
        let again = setup.run(&arguments(&options)).await.ends_with(0);
        assert!(again.out.contains("nothing to do"), "{}", again.out);
    }

    // The main job works with these rights ...
    setup.secret("graph", CLOUD_SECRET).await;
    setup.apply().await.ends_with(0);
    setup.run(&["cycle", "initial"]).await.ends_with(0);
    leave_staging(&setup.home()).await;
    setup.run(&["cycle"]).await.ends_with(0);
    assert!(!sim.changes(0).is_empty());
    setup.run(&["db", "maintain", "--now"]).await.ends_with(0);
    let status = setup.run(&["db", "status"]).await.ends_with(0);
    assert!(status.out.contains("cs_object"), "{}", status.out);
    // ... and what is no part of it does not.
    for forbidden in ["CREATE TABLE other (x int)", "DROP TABLE installation", "CREATE ROLE other"] {
        let said = server.run_as(&server.name, PASSWORD, &server.name, forbidden).await.unwrap_err();
        assert!(said.contains("permission") || said.contains("must be owner"), "{forbidden}: {said}");
    }
    let check = setup.run(&["setup", "check"]).await;
    assert!(check.out.contains("ok        database rights"), "{}", check.out);
    assert!(check.out.contains("SQL logins only"), "{}", check.out);
    server.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_administrator_the_statements_are_shown_and_it_goes_on_when_they_were_run() {
    let server = Server::new("delegated").await;
    let place = Place::new();
    let options = server.database(&place);
    let waits = place.setup(&options.service()).await.ends_with(4);
    assert!(!place.home().exists() && waits.out.contains("--database-admin 'sqlserver://"), "{}", waits.out);

    // The statements as they are printed, with passwords in their places.
    let (outside, inside) = waits.out.split_once("and in the database").unwrap();
    for (database, text) in [("master", outside), (server.name.as_str(), inside)] {
        for line in text.lines().filter(|line| line.ends_with(';')) {
            let line = line.replace("<password of the owner>", "Of-The-Owner-1");
            server.run(database, &line.replace("<password of the service>", PASSWORD)).await;
        }
    }
    let waits = place.setup(&options.service()).await;
    assert!(matches!(waits.code, Some(1 | 4)) && !place.home().exists(), "{}", waits.err);
    let owner = place.file("owner", "Of-The-Owner-1");
    let url = server.url();
    let owner_url = url.replacen(&format!("{}@", server.name), &format!("{}_owner@", server.name), 1);
    let as_owner = ["--database-admin", &owner_url, "--database-admin-password-file", &owner];
    let done = place.setup(&[&options.service()[..], &as_owner].concat()).await.ends_with(0);
    assert!(shown(&done).is_some());
    let again = place.setup(&options.service()).await.ends_with(0);
    assert!(again.out.contains("nothing to do"), "{}", again.out);
    let check = run(&place.home(), &["setup", "check"]).await;
    assert!(check.out.contains("ok        database rights"), "{}", check.out);
    server.remove().await;
}

/// What is there and no database for us is refused, in plain words, with and without an administrator.
#[tokio::test(flavor = "multi_thread")]
async fn anything_else_is_refused() {
    let server = Server::new("others").await;
    let place = Place::new();
    let options = server.database(&place);
    let name = &server.name;
    server.run("master", &format!("CREATE LOGIN {name} WITH PASSWORD = '{PASSWORD}'")).await;
    server.run("master", &format!("CREATE DATABASE {name}")).await;
    let _ = server
        .run_as(
            server.account(),
            &server.password,
            "master",
            &format!("ALTER DATABASE {name} SET ALLOW_SNAPSHOT_ISOLATION ON"),
        )
        .await;
    // It may be let in and make nothing, as it should be.
    server.run(name, &format!("CREATE USER {name} FOR LOGIN {name}")).await;
    let waits = place.setup(&options.service()).await.ends_with(4);
    assert!(waits.err.contains("may not make the tables, as it should be"), "{}", waits.err);
    // Somebody else's database.
    server.run(name, "CREATE TABLE payroll (x int)").await;
    server.run(name, &format!("GRANT SELECT ON payroll TO {name}")).await;
    for options in [options.service(), options.both()] {
        let refused = place.setup(&options).await.ends_with(1);
        assert!(refused.err.contains("payroll") && !place.home().exists(), "{}", refused.err);
    }
    server.run(name, "DROP TABLE payroll").await;
    place.setup(&options.both()).await.ends_with(0);
    std::fs::remove_dir_all(place.home()).unwrap();
    // One of a newer program, and a wrong password.
    let newer = "INSERT INTO onesync_migration (version, name, checksum) VALUES (99, 'later', 0x00)";
    server.run(name, newer).await;
    for options in [options.service(), options.both()] {
        let refused = place.setup(&options).await.ends_with(1);
        assert!(refused.err.contains("99") && !place.home().exists(), "{}", refused.err);
    }
    let wrong = place.file("wrong", "not-The-password-1");
    let url = server.url();
    let database = ["--database", &url, "--database-password-file", &wrong, "--yes"];
    let waits = place.setup(&database).await.ends_with(4);
    assert!(!waits.out.contains("not-The-password-1"), "{}", waits.out);
    server.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_with_an_installation_is_joined_and_stays_as_it_is() {
    let server = Server::new("join").await;
    let place = Place::new();
    let options = server.database(&place);
    place.setup(&options.both()).await.ends_with(0);
    let before = rows(&place.home()).await;
    // The old home is gone, with everything in it.
    std::fs::remove_dir_all(place.home()).unwrap();
    let joined = place.setup(&options.service()).await.ends_with(0);
    assert!(joined.out.contains("join installation") && shown(&joined).is_none(), "{}", joined.out);
    assert!(!place.home().join("keyset.toml").exists());
    let refused = run(&place.home(), &["cycle"]).await.ends_with(4);
    assert!(refused.err.contains("not active"), "{}", refused.err);
    assert_eq!(rows(&place.home()).await, before);
    server.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_step_it_goes_on() {
    let server = Server::new("steps").await;
    let files = Place::new();
    let options = server.database(&files);
    let mut options = options.both();
    options.pop(); // `--yes`, which is said there
    at_each_step(&options, Place::new, async |_| server.remove().await).await;
}

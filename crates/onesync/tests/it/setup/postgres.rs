//! On a PostgreSQL server: with an administrator's account, without one, on a database that has an installation, and on one
//! that has something else.

use onesync_graphsim::GraphSim;
use tokio_postgres::NoTls;

use super::{Database, Place, arguments, record, rows, shown};
use crate::kill::ldif::SOURCE;
use crate::program::{CLOUD_SECRET, Setup, cloud, directory, leave_staging, run};

/// Of the service's role.
pub const PASSWORD: &str = "open sesame";

/// Roles and a database of their own on the server of `PG_URL`.
pub struct Server {
    admin: String,
    /// Of the administrator.
    pub password: String,
    name: String,
}

impl Server {
    pub async fn new(name: &str) -> Self {
        let admin = std::env::var("PG_URL");
        let admin =
            admin.unwrap_or_else(|_| panic!("PG_URL names no PostgreSQL server: `./test` starts one"));
        let password = admin.split_once('@').unwrap().0.rsplit_once(':').unwrap().1.to_owned();
        let server = Self { admin, password, name: format!("onesync_{}_{name}", std::process::id()) };
        server.remove().await;
        server
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    fn host(&self) -> &str {
        self.admin.split_once('@').unwrap().1.split_once('/').unwrap().0
    }

    /// The database as the service opens it.
    pub fn url(&self) -> String {
        format!("postgres://{0}@{1}/{0}?sslmode=require", self.name, self.host())
    }

    /// The account that may do everything.
    pub fn admin_url(&self) -> String {
        let user = self.admin.strip_prefix("postgres://").unwrap().split_once(':').unwrap().0;
        format!("postgres://{user}@{}/postgres?sslmode=require", self.host())
    }

    /// Options of `setup`.
    pub fn database(&self, files: &Place) -> Database {
        Database::on_server(files, [&self.url(), PASSWORD], [&self.admin_url(), &self.password])
    }

    /// Makes an empty database that belongs to the service.
    pub async fn make_empty(&self) {
        let name = &self.name;
        self.run("postgres", &format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")).await;
        let database = format!("CREATE DATABASE {name} OWNER {name} ENCODING 'UTF8' TEMPLATE template0");
        self.run("postgres", &database).await;
    }

    /// Runs statements as an account, in a database of the server.
    pub async fn run_as(&self, user: &str, password: &str, database: &str, text: &str) -> Result<(), String> {
        let url = format!("postgres://{user}:{password}@{}/{database}", self.host());
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.map_err(|e| e.to_string())?;
        let connection = tokio::spawn(connection);
        let done = client.batch_execute(text).await;
        drop(client);
        connection.await.unwrap().unwrap();
        done.map_err(|error| error.as_db_error().map_or(error.to_string(), |said| said.message().to_owned()))
    }

    async fn run(&self, database: &str, text: &str) {
        let user = self.admin.strip_prefix("postgres://").unwrap().split_once(':').unwrap().0;
        self.run_as(user, &self.password, database, text).await.unwrap();
    }

    /// What counts and names every batch that is written into the database.
    pub async fn mark(&self) -> String {
        let url = self.admin.rsplit_once('/').unwrap().0;
        let (client, connection) =
            tokio_postgres::connect(&format!("{url}/{}", self.name), NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let row = client.query_one("SELECT write_mark::text FROM write_mark", &[]).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
        row.get(0)
    }

    /// All rows of the database as text; binary values in hexadecimal.
    pub async fn text(&self) -> String {
        let url = self.admin.rsplit_once('/').unwrap().0;
        let (client, connection) =
            tokio_postgres::connect(&format!("{url}/{}", self.name), NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let tables = "SELECT format('SELECT t::text FROM %I.%I t', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
        let mut text = String::new();
        for table in client.query(tables, &[]).await.unwrap() {
            for row in client.query(&table.get::<_, String>(0), &[]).await.unwrap() {
                text += &format!("{}\n", row.get::<_, String>(0));
            }
        }
        drop(client);
        connection.await.unwrap().unwrap();
        text
    }

    /// The files of the database, where they can be read from here, and the log of the server's writes since a time.
    pub async fn files(&self, since: std::time::SystemTime) -> Vec<std::path::PathBuf> {
        let url = self.admin.rsplit_once('/').unwrap().0;
        let (client, connection) =
            tokio_postgres::connect(&format!("{url}/{}", self.name), NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute("CHECKPOINT").await.unwrap();
        let place = "SELECT current_setting('data_directory'), oid::text FROM pg_database WHERE datname = current_database()";
        let row = client.query_one(place, &[]).await.unwrap();
        let (folder, database): (String, String) = (row.get(0), row.get(1));
        drop(client);
        connection.await.unwrap().unwrap();
        let mut files = Vec::new();
        for folder in [format!("{folder}/base/{database}"), format!("{folder}/pg_wal")] {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for entry in entries.flatten() {
                let fresh = entry
                    .metadata()
                    .is_ok_and(|found| found.is_file() && found.modified().is_ok_and(|when| when >= since));
                if fresh {
                    files.push(entry.path());
                }
            }
        }
        files
    }

    /// Keeps the database as it is, for [`Server::put_back`]; nobody may have it open.
    pub async fn keep_copy(&self) {
        let (name, owner) = (&self.name, format!("{}_owner", self.name));
        self.run("postgres", &format!("CREATE DATABASE {name}_kept TEMPLATE {name} OWNER {owner}")).await;
    }

    /// Puts the database back to what was kept, under whoever has it open.
    pub async fn put_back(&self) {
        let name = &self.name;
        self.run("postgres", &format!("DROP DATABASE {name} WITH (FORCE)")).await;
        self.run("postgres", &format!("ALTER DATABASE {name}_kept RENAME TO {name}")).await;
    }

    /// Removes what tests made.
    pub async fn remove(&self) {
        let name = &self.name;
        for database in [name.clone(), format!("{name}_kept")] {
            self.run("postgres", &format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)")).await;
        }
        for role in [name.clone(), format!("{name}_owner")] {
            self.run("postgres", &format!("DROP ROLE IF EXISTS {role}")).await;
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
    let (password, admin) = (files.file("db", "open sesame"), files.file("admin", &server.password));
    let (url, admin_url) = (server.url(), server.admin_url());
    let options = [
        "--database",
        &url,
        "--database-password-file",
        &password,
        "--database-admin",
        &admin_url,
        "--database-admin-password-file",
        &admin,
        "--yes",
    ];
    let first = setup.run(&arguments(&options)).await.ends_with(0);
    assert!(first.out.contains("make the roles") && first.out.contains("make the tables"), "{}", first.out);
    let made = shown(&first).unwrap();
    let log = std::fs::read_to_string(setup.home().join("setup.log")).unwrap();
    for text in [&log, &first.err] {
        assert!(![&made, "open sesame", &server.password].iter().any(|p| text.contains(*p) && p.len() > 4));
    }
    assert_eq!(
        record(&setup.home()).iter().filter(|(_, result)| result == "done").count() * 2,
        record(&setup.home()).len()
    );
    // The second time without the administrator: it is needed no more.
    for options in [&options[..], &["--yes"]] {
        let again = setup.run(&arguments(options)).await.ends_with(0);
        assert!(again.out.contains("nothing to do"), "{}", again.out);
    }

    // The main job works with these rights ...
    setup.secret("graph", CLOUD_SECRET).await;
    setup.apply().await.ends_with(0);
    setup.run(&["cycle", "initial"]).await.ends_with(0);
    leave_staging(&setup.home()).await;
    setup.run(&["cycle"]).await.ends_with(0);
    assert!(!sim.changes(0).is_empty());
    // ... and what is no part of it does not.
    let service = |text: &'static str| {
        let (name, server) = (server.name.clone(), &server);
        async move { server.run_as(&name, "open sesame", &name, text).await.unwrap_err() }
    };
    for forbidden in [
        "CREATE TABLE other (x integer)",
        "CREATE SCHEMA other",
        "CREATE TEMPORARY TABLE other (x integer)",
        "DROP TABLE installation",
        "ALTER TABLE cs_object ADD COLUMN x integer",
        "TRUNCATE event",
        "CREATE ROLE other",
        "CREATE DATABASE other",
        "UPDATE onesync_migration SET version = 99 WHERE version = 1",
        "SELECT * FROM pg_authid",
        "COPY event TO PROGRAM 'true'",
    ] {
        let said = service(forbidden).await;
        let refused = ["permission denied", "must be owner", "must be superuser"];
        assert!(refused.iter().any(|word| said.contains(word)), "{forbidden}: {said}");
    }
    let check = setup.run(&["setup", "check"]).await;
    assert!(check.out.contains("ok        database rights"), "{}", check.out);
    server.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_administrator_the_statements_are_shown_and_it_goes_on_when_they_were_run() {
    let server = Server::new("delegated").await;
    let place = Place::new();
    let (password, url) = (place.file("db", "of the service"), server.url());
    let options = ["--database", &url, "--database-password-file", &password, "--yes"];
    let waits = place.setup(&options).await.ends_with(4);
    assert!(!place.home().exists() && waits.out.contains("--database-admin 'postgres://"), "{}", waits.out);
    let told = place.setup(&[&options[..], &["--format", "json"]].concat()).await.ends_with(4).json();
    assert!(told["plan"]["waits_for"]["statements"].as_array().is_some_and(|list| list.len() == 5), "{told}");

    // The statements as they are printed, with passwords in their places.
    let statements = waits.out.lines().filter(|line| line.ends_with(';'));
    let (inside, outside): (Vec<&str>, Vec<&str>) = statements.partition(|line| line.contains("SCHEMA"));
    for (database, lines) in [("postgres", outside), (server.name.as_str(), inside)] {
        for line in lines {
            let line = line.replace("<password of the owner>", "of the owner");
            server.run(database, &line.replace("<password of the service>", "of the service")).await;
        }
    }
    let waits = place.setup(&options).await.ends_with(4);
    assert!(waits.err.contains("may not make the tables, as it should be"), "{}", waits.err);
    let owner = place.file("owner", "of the owner");
    let owner_url =
        server.url().replacen(&format!("{}@", server.name), &format!("{}_owner@", server.name), 1);
    let as_owner = ["--database-admin", &owner_url, "--database-admin-password-file", &owner];
    let done = place.setup(&[&options[..], &as_owner].concat()).await.ends_with(0);
    assert!(shown(&done).is_some());
    place.setup(&options).await.ends_with(0);
    let said =
        server.run_as(&server.name, "of the service", &server.name, "CREATE TABLE x (x integer)").await;
    assert!(said.unwrap_err().contains("permission denied"));
    server.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_killed_and_names_the_database_otherwise_goes_on_with_the_same_installation() {
    let server = Server::new("otherwise").await;
    let place = Place::new();
    let (password, admin) = (place.file("db", "of the service"), place.file("admin", &server.password));
    let (url, admin_url) = (server.url(), server.admin_url());
    let database = ["--database", &url, "--database-password-file", &password, "--yes"];
    let administrator = ["--database-admin", &admin_url, "--database-admin-password-file", &admin];
    place.setup(&[&database[..], &administrator].concat()).await.ends_with(0);
    // The installation is in the database, and the home does not name it yet.
    let file = place.home().join("database.toml");
    std::fs::rename(&file, place.home().join("database.toml.new")).unwrap();
    let url = url.replace("sslmode=require", "sslmode=prefer");
    let database = ["--database", &url, "--database-password-file", &password, "--yes"];
    let again = place.setup(&database).await.ends_with(0);
    assert!(again.out.contains("make the installation") && !again.out.contains("join"), "{}", again.out);
    let secret = place.file("secret", "s3cret");
    run(&place.home(), &["secret", "set", "graph", "--file", &secret]).await.ends_with(0);
    assert!(std::fs::read_to_string(&file).unwrap().contains(&url));
    server.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_with_an_installation_is_joined_and_stays_as_it_is() {
    let server = Server::new("join").await;
    let place = Place::new();
    let (password, admin) = (place.file("db", "of the service"), place.file("admin", &server.password));
    let (url, admin_url) = (server.url(), server.admin_url());
    let database = ["--database", &url, "--database-password-file", &password, "--yes"];
    let administrator = ["--database-admin", &admin_url, "--database-admin-password-file", &admin];
    place.setup(&[&database[..], &administrator].concat()).await.ends_with(0);
    let secret = place.file("secret", "s3cret");
    run(&place.home(), &["secret", "set", "graph", "--file", &secret]).await.ends_with(0);
    let before = (rows(&place.home()).await, server.mark().await);
    let account = shown(&place.setup(&database).await.ends_with(0));
    assert_eq!(account, None);
    // The old home is gone, with everything in it.
    std::fs::remove_dir_all(place.home()).unwrap();

    // What lived only there is asked for again.
    let without = place.setup(&["--database", &url, "--yes"]).await.ends_with(4);
    assert!(without.out.contains("password"), "{}", without.out);
    let joined = place.setup(&database).await.ends_with(0);
    assert!(joined.out.contains("join installation") && shown(&joined).is_none(), "{}", joined.out);
    assert!(joined.err.contains("onesync activate") && joined.err.contains("key set"), "{}", joined.err);
    assert!(!place.home().join("keyset.toml").exists());
    let again = place.setup(&database).await.ends_with(0);
    assert!(again.out.contains("nothing to do") && again.err.contains("is not active"), "{}", again.out);
    assert_eq!((rows(&place.home()).await, server.mark().await), before);

    let home = place.home();
    let status = run(&home, &["status"]).await.ends_with(4);
    assert!(status.out.contains("is not active"), "{}", status.out);
    let folder = place.path().join("configuration");
    let folder = folder.to_str().unwrap();
    run(&home, &["config", "init", folder, "--source", "ldif"]).await.ends_with(0);
    for command in [
        &["cycle"][..],
        &["config", "apply", folder],
        &["upgrade"],
        &["db", "move", "--to", "embedded"],
        &["scheduler", "on"],
        &["secret", "set", "graph", "--file", &secret],
        &["setup", "service-account", "--password-file", &secret],
    ] {
        let refused = run(&home, command).await.ends_with(4);
        assert!(
            refused.err.contains("not active") || refused.err.contains("missing"),
            "{command:?}: {}",
            refused.err
        );
    }
    assert_eq!((rows(&home).await, server.mark().await), before);
    server.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anything_else_is_refused() {
    let server = Server::new("others").await;
    let place = Place::new();
    let (name, owner) = (&server.name, format!("{}_owner", server.name));
    for text in [
        format!("CREATE ROLE {owner} LOGIN PASSWORD 'of the owner'"),
        format!("CREATE ROLE {name} LOGIN PASSWORD 'of the service'"),
        format!("CREATE DATABASE {name} OWNER {owner} ENCODING 'UTF8' TEMPLATE template0"),
    ] {
        server.run("postgres", &text).await;
    }
    server.run(name, "CREATE TABLE payroll (x integer)").await;
    let (password, url) = (place.file("db", "of the service"), server.url());
    let options = ["--database", &url, "--database-password-file", &password, "--yes"];
    let refused = place.setup(&options).await.ends_with(1);
    assert!(refused.err.contains("payroll") && !place.home().exists(), "{}", refused.err);
    let admin = place.file("admin", &server.password);
    let admin_url = server.admin_url();
    let as_admin = ["--database-admin", &admin_url, "--database-admin-password-file", &admin];
    let refused = place.setup(&[&options[..], &as_admin].concat()).await.ends_with(1);
    assert!(refused.err.contains("payroll"), "{}", refused.err);

    let wrong = place.file("wrong", "not the password");
    let refused = place
        .setup(&[&["--database", &url, "--database-password-file", &wrong, "--yes"], &as_admin[..]].concat())
        .await;
    assert!(refused.code != Some(0), "{}", refused.out);
    // An encoding that cannot hold names.
    server.run("postgres", &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    let latin = format!(
        "CREATE DATABASE {name} OWNER {owner} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    );
    server.run("postgres", &latin).await;
    let refused = place.setup(&options).await.ends_with(1);
    assert!(refused.err.contains("LATIN1") && refused.err.contains("UTF8"), "{}", refused.err);
    // A password in a URL.
    let with = url.replacen('@', ":hush@", 1);
    let refused = place.setup(&["--database", &with, "--yes"]).await.ends_with(2);
    assert!(
        refused.err.contains("--database-password-file") && !refused.err.contains("hush"),
        "{}",
        refused.err
    );
    server.remove().await;
}

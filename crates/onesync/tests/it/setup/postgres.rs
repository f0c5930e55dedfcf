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

    /// Runs statements as the administrator.
    pub async fn run(&self, database: &str, text: &str) {
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
    // The statements were run; the way on is another one by now.
    assert!(waits.err.contains("hint: run the same command again with `--database-admin"), "{}", waits.err);
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
    // What is the installation's is not said here; neither is another account, nor a wrong password of the database.
    let wrong = place.file("wrong", "not the password");
    let another = Place::new();
    let account = ["--service-account-name", "wrong"];
    for (home, options, part) in [
        (&place, &["--admin", "root", "--yes"][..], "roles of the installation"),
        (&place, &["--database-password-file", &wrong, "--yes"], "does not take the new password"),
        (&place, &[&account[..], &["--yes"]].concat(), "not `wrong`"),
        (&another, &[&database[..], &account].concat(), "not `wrong`"),
        (&another, &[&database[..], &["--admin", "root"]].concat(), "roles of the installation"),
    ] {
        let refused = home.setup(options).await.ends_with(2);
        assert!(refused.err.contains(part), "{options:?}: {}", refused.err);
    }
    assert!(!another.home().exists());
    let gone = run(&place.home(), &["uninstall", "--remove-data"]).await.ends_with(2);
    assert!(gone.out.contains("leave   the database") && !gone.out.contains("key set"), "{}", gone.out);

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
        &["db", "maintain", "--now"],
        &["secret", "set", "graph", "--file", &secret],
        &["setup", "service-account", "--password-file", &secret],
    ] {
        let refused = run(&home, command).await.ends_with(4);
        let told = refused.err.contains("hint: the active server is") || refused.err.contains("missing");
        assert!(told && !refused.err.contains("deleting"), "{command:?}: {}", refused.err);
        assert!(
            refused.err.contains("not active") || refused.err.contains("missing"),
            "{command:?}: {}",
            refused.err
        );
    }
    let keys = run(&home, &["secret", "set", "graph", "--file", &secret]).await;
    assert!(keys.err.contains("never exported. `onesync keys export FILE` on the active server"), "{keys:?}");
    assert_eq!((rows(&home).await, server.mark().await), before);
    server.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_an_administrator_has_to_do_takes_no_backup_before_that_is_clear() {
    let server = Server::new("older").await;
    let place = Place::new();
    place.setup(&server.database(&place).both()).await.ends_with(0);
    let home = place.home();
    let last = "DELETE FROM onesync_migration WHERE version = (SELECT max(version) FROM onesync_migration)";
    server.run(&server.name, last).await;
    let check = run(&home, &["upgrade", "check"]).await.ends_with(0).out;
    assert!(check.contains("will need `--database-admin URL"), "{check}");
    let refused = run(&home, &["upgrade"]).await.ends_with(4);
    assert!(refused.err.contains("may not change the tables"), "{refused:?}");
    assert!(refused.err.contains("`onesync upgrade --database-admin URL"), "{refused:?}");
    let (url, wrong) = (server.admin_url(), place.file("wrong", "another password"));
    let upgrade = ["upgrade", "--database-admin", &url, "--database-admin-password-file", &wrong];
    let refused = run(&home, &upgrade).await;
    assert!(refused.code != Some(0) && refused.err.contains("password"), "{refused:?}");
    assert!(!home.join("backups").exists(), "no backup was taken");

    // A restore that is refused for a right that is missing leaves no password behind.
    let other = Server::new("refused").await;
    let source = Place::new();
    source.setup(&["--yes"]).await.ends_with(0);
    let backup = source.path().join("one.backup");
    run(&source.home(), &["backup", backup.to_str().unwrap()]).await.ends_with(4); // no key was exported
    let name = &other.name;
    other.run("postgres", &format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")).await;
    other.run("postgres", &format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")).await;
    other.run(name, "REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    let (new, password, url) = (source.path().join("new"), source.file("db", PASSWORD), other.url());
    let line = ["restore", backup.to_str().unwrap(), "--to", &url, "--database-password-file", &password];
    let refused = run(&new, &line).await;
    assert!(refused.code != Some(0), "{refused:?}");
    let left: Vec<_> = std::fs::read_dir(&new).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("password")), "{left:?} {refused:?}");
    server.remove().await;
    other.remove().await;
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

/// A server with an installation, and what `setup` is told of it.
pub async fn installed(name: &str) -> (Server, Place, Database) {
    let (server, place) = (Server::new(name).await, Place::new());
    let options = server.database(&place);
    place.setup(&options.both()).await.ends_with(0);
    (server, place, options)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_lost_the_name_of_its_database_gets_it_back_and_no_other_one() {
    let (server, place, options) = installed("lost").await;
    let home = place.home();
    std::fs::remove_file(home.join("database.toml")).unwrap();
    let empty = Server::new("lost_empty").await;
    empty.make_empty().await;
    let other = empty.database(&place);
    for (options, part) in [(&["--yes"][..], "not here"), (&other.service(), "not its database: nothing")] {
        let refused = place.setup(options).await.ends_with(4);
        assert!(refused.err.contains("belongs to installation"), "{}", refused.err);
        assert!(refused.err.contains(part) && refused.err.contains("--database URL"), "{}", refused.err);
    }
    let status = run(&home, &["status"]).await.ends_with(4);
    assert!(status.err.contains("whose database is not here"), "{}", status.err);
    let back = place.setup(&options.service()).await.ends_with(0);
    assert!(back.out.contains("go on with installation") && shown(&back).is_none(), "{}", back.out);
    let secret = place.file("secret", "s3cret");
    run(&home, &["secret", "set", "graph", "--file", &secret]).await.ends_with(0);
    let again = place.setup(&["--yes"]).await.ends_with(0);
    assert!(again.out.contains("nothing to do") && !again.err.contains("not active"), "{}", again.err);
    empty.remove().await;
    server.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_missing_are_seen_and_given_by_an_administrator() {
    let (server, place, options) = installed("missing").await;
    let (home, name) = (place.home(), server.name());
    let administrator: Vec<&str> =
        options.administrator.iter().map(String::as_str).chain(["--yes"]).collect();
    server.run(name, &format!("REVOKE SELECT ON history FROM {name}")).await;
    let check = run(&home, &["setup", "check"]).await.ends_with(1);
    assert!(
        check.out.contains("FAILED    database rights") && check.out.contains("SELECT on history"),
        "{check:?}"
    );
    let held = place.setup(&["--yes"]).await.ends_with(4);
    assert!(held.err.contains("SELECT on history") && held.err.contains("--database-admin"), "{}", held.err);
    server.run("postgres", &format!("REVOKE CONNECT ON DATABASE {name} FROM {name}, PUBLIC")).await;
    for command in [&arguments(&["--yes"])[..], &["status"]] {
        let refused = run(&home, command).await.ends_with(1);
        assert!(refused.err.contains("onesync setup --database-admin URL"), "{}", refused.err);
        assert!(!refused.err.contains("make the account the owner"), "{}", refused.err);
    }
    let wrong = place.file("wrong", "not the password");
    let mut refused = administrator.clone();
    refused[3] = &wrong;
    assert_ne!(place.setup(&refused).await.code, Some(0));
    let given = place.setup(&administrator).await.ends_with(0);
    assert!(given.out.contains("1. let `") && given.out.contains("as their owner"), "{}", given.out);
    let check = run(&home, &["setup", "check"]).await;
    assert!(check.out.contains("ok        database rights"), "{}", check.out);
    assert!(place.setup(&administrator).await.ends_with(0).out.contains("nothing to do"));
    // What is seen only with them comes after them.
    server.run(name, &format!("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name}")).await;
    let given = place.setup(&administrator).await.ends_with(0);
    assert!(given.err.contains("next: the same command again"), "{}", given.err);
    assert!(place.setup(&administrator).await.ends_with(0).out.contains("nothing to do"));
    server.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_owns_the_tables_becomes_one_that_does_not_as_the_remedy_says() {
    let (server, place) = (Server::new("two").await, Place::new());
    let (home, name) = (place.home(), server.name());
    server.make_empty().await;
    let options = server.database(&place);
    place.setup(&options.service()).await.ends_with(0);
    let rights = async |result: &str| {
        let checks = run(&home, &["setup", "check", "--format", "json"]).await.json();
        let check = checks.as_array().unwrap().iter().find(|c| c["subject"] == "database rights").unwrap();
        assert_eq!(check["result"], result, "{check}");
        check["remedy"].as_str().unwrap_or_default().to_owned()
    };
    let remedy = rights("warning").await;
    let statements = remedy.split('`').nth(3).unwrap();
    assert!(statements.contains("REASSIGN OWNED BY"), "{remedy}");
    server.run(name, statements).await;
    rights("failed").await;
    place.setup(&options.both()).await.ends_with(0);
    rights("ok").await;
    let secret = place.file("secret", "s3cret");
    run(&home, &["secret", "set", "graph", "--file", &secret]).await.ends_with(0);
    server.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_changed_on_the_server_is_tried_and_kept() {
    let (server, place, options) = installed("password").await;
    let (home, name, url) = (place.home(), server.name(), server.url());
    let kept = || std::fs::read_to_string(home.join("database.password")).unwrap();
    let before = kept();
    server.run("postgres", &format!("ALTER ROLE {name} PASSWORD 'another one'")).await;
    let check = run(&home, &["setup", "check"]).await.ends_with(1);
    assert!(check.out.contains("--database-password-file"), "{}", check.out);
    for command in [&arguments(&["--yes"])[..], &["status"]] {
        let refused = run(&home, command).await.ends_with(1);
        assert!(refused.err.contains("onesync setup --database-password-file FILE"), "{}", refused.err);
    }
    let (new, wrong) = (place.file("new", "another one\n"), place.file("wrong", "a third one"));
    for named in [&[][..], &["--database", &url]] {
        let file = ["--database-password-file", &wrong, "--yes"];
        let refused = place.setup(&[named, &file].concat()).await.ends_with(2);
        assert!(refused.err.contains("does not take the new password"), "{}", refused.err);
        assert_eq!(kept(), before);
    }
    let file = ["--database-password-file", new.as_str(), "--yes"];
    let planned = place.setup(&file[..2]).await.ends_with(2);
    assert!(planned.out.contains("1. keep the new password of the database"), "{}", planned.out);
    assert_eq!(kept(), before);
    let done = place.setup(&file).await.ends_with(0);
    assert!(done.err.contains("systemctl restart onesync"), "{}", done.err);
    assert!(!done.out.contains("another one") && !done.err.contains("another one"), "{done:?}");
    let again = place.setup(&file).await.ends_with(0);
    assert!(again.out.contains("nothing to do"), "{}", again.out);
    // Together with rights, and the database by its name.
    server.run("postgres", &format!("ALTER ROLE {name} PASSWORD 'of the service'")).await;
    server.run(name, &format!("REVOKE INSERT ON event FROM {name}")).await;
    let new = place.file("new", "of the service");
    let mut all = options.both();
    all[3] = &new;
    place.setup(&all).await.ends_with(0);
    let done = place.setup(&all).await.ends_with(0);
    assert!(done.out.contains("nothing to do"), "{}", done.out);
    server.remove().await;
}

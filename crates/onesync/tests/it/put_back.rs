//! An administrator puts a PostgreSQL database back to an earlier time, under the active server and under one that stands by.

use onesync_graphsim::GraphSim;

use crate::kill::ldif::SOURCE;
use crate::program::{
    CLOUD_SECRET, Setup, cloud, directory, leave_staging, onesync, run, serves, signal, until,
};
use crate::setup::postgres::{Server, installed};
use crate::setup::{Database, Place, arguments};
use crate::standby::{doing, second, view};

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_put_back_is_neither_written_nor_taken_over() {
    let server = Server::new("putback").await;
    let sim = GraphSim::builder().seed(43).judged().await.unwrap();
    let setup = Setup::new("ldif", SOURCE, &cloud(&sim)).await;
    let ldif = setup.path().join("directory.ldif");
    std::fs::write(&ldif, directory(60)).unwrap();
    let files = Place::new();
    let database =
        Database::on_server(&files, [&server.url(), "open sesame"], [&server.admin_url(), &server.password]);
    setup.run(&arguments(&database.both())).await.ends_with(0);
    setup.secret("graph", CLOUD_SECRET).await;
    setup.apply().await.ends_with(0);
    setup.run(&["cycle", "initial"]).await.ends_with(0);
    leave_staging(&setup.home()).await;
    setup.run(&["cycle"]).await.ends_with(0);
    server.keep_copy().await;

    // What is written then is lost.
    let change = |to: &str| {
        let text = std::fs::read_to_string(&ldif).unwrap();
        let (from, _) =
            text.split_once("\ndepartment: ").map(|(_, rest)| rest.split_once('\n').unwrap()).unwrap();
        std::fs::write(
            &ldif,
            text.replacen(&format!("\ndepartment: {from}"), &format!("\ndepartment: {to}"), 1),
        )
        .unwrap();
    };
    change("First");
    let mark = sim.log_mark();
    setup.run(&["cycle"]).await.ends_with(0);
    assert!(!sim.changes(mark).is_empty());
    let two = second(&setup, "two", &database).await;
    run(&two, &["standby", "automatic"]).await.ends_with(0);
    let standby = onesync(&two, &["serve"]).spawn().unwrap();
    until("it stands by", async || doing(&two).await.contains("stands by (automatic): the active")).await;
    server.put_back().await;

    change("Second");
    let mark = sim.log_mark();
    let refused = setup.run(&["cycle"]).await.ends_with(4);
    assert!(
        refused.err.contains("was brought back from before") && refused.err.contains("onesync activate"),
        "{refused:?}"
    );
    let status = setup.run(&["status"]).await.ends_with(4);
    assert!(status.out.contains("was brought back from before"), "{status:?}");
    let backup = setup.path().join("behind.backup").display().to_string();
    let backup = setup.run(&["backup", &backup]).await;
    assert!(backup.err.contains("not active") && !backup.err.contains("another one works"), "{backup:?}");
    assert_eq!(sim.writes(mark).len(), 0);
    until("it takes nothing over", async || {
        doing(&two).await.contains("and does not take over: the database")
    })
    .await;
    until("it says so to all", async || {
        let view = view(&setup.home()).await;
        view["servers"].to_string().contains("\"unfit\":\"the database was brought back")
    })
    .await;
    let refused = run(&two, &["standby", "take", "--yes"]).await.ends_with(4);
    assert!(refused.err.contains("It is not taken over"), "{refused:?}");

    // As `activate` does it.
    let home = onesync_service::Home::new(setup.home());
    let clock = std::sync::Arc::new(onesync_service::SystemClock);
    let service = onesync_service::Service::open(home, clock, 1).await.unwrap();
    assert_eq!(service.take_over(None).unwrap(), 2);
    drop(service);
    setup.run(&["cycle", "initial"]).await.ends_with(0);
    assert!(!sim.changes(mark).is_empty());
    until("it stands by again", async || doing(&two).await.contains("stands by (automatic): the active"))
        .await;
    signal(&standby, "-TERM").await;
    standby.wait_with_output().await.unwrap();
    server.remove().await;
}

/// Dropped and made anew, as before a `pg_restore`, under commands and a daemon whose account may make tables there.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_taken_away_stays_empty_until_it_is_put_back() {
    let (server, place, options) = installed("taken").await;
    let (home, name) = (place.home(), server.name());
    server.keep_copy().await;
    let mut daemon = onesync(&home, &["serve"]).spawn().unwrap();
    serves(&mut daemon, &home).await;
    until("it works", async || doing(&home).await.contains("idle")).await;
    let (setup, all) = (arguments(&["--yes"]), arguments(&options.both()));
    let commands = [&setup[..], &all, &["status"], &["cycle"], &["upgrade"], &["upgrade", "check"]];
    for statement in [
        format!("DROP DATABASE {name} WITH (FORCE)"),
        format!("CREATE DATABASE {name} OWNER {name} ENCODING 'UTF8' TEMPLATE template0"),
    ] {
        server.run("postgres", &statement).await;
        for command in commands {
            let refused = run(&home, command).await.ends_with(4);
            for part in
                ["whose database is not here", "nothing was made", "`pg_restore`", "`onesync restore FILE"]
            {
                assert!(refused.err.contains(part), "{command:?} after {statement}: {}", refused.err);
            }
        }
    }
    let waits = |line: &str| line.contains("waits: ") && line.contains("it holds no installation");
    until("it says so, too", async || run(&home, &["status"]).await.err.lines().any(waits)).await;
    let none = "DO $$ BEGIN IF EXISTS (SELECT FROM pg_tables WHERE schemaname = 'public') THEN RAISE 'tables'; END IF; END $$";
    server.run(name, none).await;
    server.put_back().await;
    run(&home, &["status"]).await.ends_with(0);
    until("it goes on", async || doing(&home).await.contains("idle")).await;
    signal(&daemon, "-TERM").await;
    daemon.wait_with_output().await.unwrap();
    server.remove().await;
}

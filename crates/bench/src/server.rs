//! A database on a server: the same work, the limit of its COPY, and a move into it.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use onesync_service::{DatabaseServer, SystemClock, move_database};
use onesync_store::{PostgresOptions, PostgresStore, Store as _, copy_limit};

use crate::lab::Lab;
use crate::measure::Watch;
use crate::phases::Measured;

/// The schemas for the limit and for the move.
pub const LIMIT: &str = "onesync_limit";
pub const MOVED: &str = "onesync_moved";
/// What an import writes, and what a first sync adds.
pub const IMPORT: [&str; 5] = ["cs_object", "cs_join", "cs_link", "container", "agenda"];
pub const SYNC: [&str; 7] =
    ["mv_object", "mv_join", "cs_joined", "mv_link", "history", "export_object", "export_link"];

/// The URL without its password, and the password.
pub fn server(url: &str) -> Result<DatabaseServer> {
    let (scheme, rest) = url.split_once("://").context("the database is no URL")?;
    let (user, place) = rest.split_once('@').context("the URL of the database names no user")?;
    let (user, password) =
        user.split_once(':').map_or((user, None), |(user, password)| (user, Some(password)));
    Ok(DatabaseServer::new(&format!("{scheme}://{user}@{place}"), password))
}

/// The same database, in a schema of its own.
pub fn in_schema(url: &str, schema: &str) -> String {
    let joined = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joined}options=-csearch_path%3D{schema}")
}

/// Makes the schemas; the database must be empty.
pub fn schemas(url: &str) -> Result<()> {
    let text = format!("CREATE SCHEMA {LIMIT}; CREATE SCHEMA {MOVED}");
    let work = async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
        let connection = tokio::spawn(connection);
        client.batch_execute(&text).await?;
        drop(client);
        connection.await??;
        anyhow::Ok(())
    };
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(work))
        .context("the database for the benchmark cannot be used: is it there, and empty?")
}

/// COPY of the rows of some tables into an empty database, and nothing else.
pub fn limit(lab: &Lab, tables: &[&str]) -> Result<Measured> {
    let url = std::fs::read_to_string(lab.file("database"))?;
    let (from, to) = (lab.store()?, PostgresStore::open(&PostgresOptions::parse(&url)?)?);
    let watch = Watch::start();
    let (rows, time) = copy_limit(&mut *from.bulk()?, &mut *to.bulk()?, tables)?;
    Ok(Measured { seconds: time.as_secs_f64(), cpu_seconds: watch.read().1, rows, ..Measured::default() })
}

/// Everything into a database on a server, read back and compared.
pub fn move_there(lab: &Lab) -> Result<Measured> {
    let to = server(&std::fs::read_to_string(lab.file("database"))?)?;
    let (watch, began) = (Watch::start(), Instant::now());
    let report = move_database(&lab.home(), &SystemClock, &to, &|_| (), &|| None)?;
    ensure!(report.changed == 0, "somebody else wrote");
    eprint!("copied in {:.1} s, compared in {:.1} s; in all ", report.copying_seconds, report.fenced_seconds);
    Ok(Measured {
        count: report.rows,
        seconds: began.elapsed().as_secs_f64(),
        cpu_seconds: watch.read().1,
        rows: report.rows,
        ..Measured::default()
    })
}

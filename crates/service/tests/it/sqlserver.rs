//! The main job on SQL Server: the same story as on the embedded database, and the same rows after each step. Left out by
//! its name, aloud, where `ONESYNC_TEST_SQLSERVER` names no server.

use std::sync::Arc;

use onesync_model::Time;
use onesync_service::{DatabaseServer, Home, ManualClock, Service, ServiceError};

use crate::database::Database;
use crate::postgres::the_same_story;

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_ends_in_the_same_rows_as_on_the_embedded_database() {
    let database = Database::on_sql_server("story").await;
    the_same_story(database.server()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_names_its_database_and_keeps_the_password_to_itself() {
    let database = Database::on_sql_server("home").await;
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path().join("home"));
    let clock = Arc::new(ManualClock::new(Time::from_seconds(1_800_000_000)));
    let shown = DatabaseServer { url: database.server().url.replacen('@', ":hush@", 1), ..database.server() };
    let refused = home.create_on(Some(&shown), &*clock).unwrap_err();
    assert!(
        matches!(refused, ServiceError::Usage { .. }) && !refused.to_string().contains("hush"),
        "{refused}"
    );
    assert!(!home.exists());
    home.create_on(Some(&database.server()), &*clock).unwrap();
    assert!(home.exists() && !home.database().exists());
    drop(Service::open(home.clone(), clock.clone(), 1).await.unwrap());
    // Another installation cannot be made in it.
    let other = Home::new(folder.path().join("other"));
    let refused = other.create_on(Some(&database.server()), &*clock).unwrap_err();
    assert!(refused.to_string().contains("already holds installation"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backup_goes_there_and_back_row_for_row() {
    crate::backup::it_goes_to_a_sql_server_and_back().await;
}

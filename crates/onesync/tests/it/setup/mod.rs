//! `setup`: in each of its forms, twice in a row, killed in the middle, on an empty database, on one with an installation,
//! on anything else.

mod embedded;
mod kill;
mod machine;
pub mod postgres;
pub mod sqlserver;
mod wizard;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use onesync_service::{Home, Service, SystemClock};
use serde_json::Value;

use crate::program::{Ended, run};

/// A folder with a home to be.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    /// A file with a text, for instance a password.
    pub fn file(&self, name: &str, text: &str) -> String {
        let file = self.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// `setup` with more options.
    pub async fn setup(&self, options: &[&str]) -> Ended {
        run(&self.home(), &arguments(options)).await
    }
}

/// What `setup` is told of a database.
#[derive(Default)]
pub struct Database {
    service: Vec<String>,
    administrator: Vec<String>,
}

impl Database {
    /// One on a server: where it is, the password of the service, and the administrator's.
    pub fn on_server(files: &Place, service: [&str; 2], admin: [&str; 2]) -> Self {
        let options = |name: &str, [url, password]: [&str; 2]| {
            let file = files.file(&name.replace("--", ""), password);
            vec![name.to_owned(), url.to_owned(), format!("{name}-password-file"), file]
        };
        Self { service: options("--database", service), administrator: options("--database-admin", admin) }
    }

    /// Options of a server that joins it.
    pub fn service(&self) -> Vec<&str> {
        self.service.iter().map(String::as_str).chain(["--yes"]).collect()
    }

    /// Options of whoever makes it.
    pub fn both(&self) -> Vec<&str> {
        self.service.iter().chain(&self.administrator).map(String::as_str).chain(["--yes"]).collect()
    }
}

/// `setup` as this user may run it: root names a user that is there, so that none is made.
pub fn arguments<'a>(options: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["setup"];
    if onesync_service::account::is_root() {
        arguments.extend(["--run-as", "nobody", "--no-systemd"]);
    }
    arguments.extend(options);
    arguments
}

/// The lines of the record: step and result.
pub fn record(home: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(home.join("setup.log")).unwrap();
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["step"].as_str().unwrap().to_owned(), line["result"].as_str().unwrap().to_owned())
    };
    text.lines().map(line).collect()
}

/// All rows of the database of a home.
pub async fn rows(home: &Path) -> String {
    service(home).await.dump().unwrap()
}

pub async fn service(home: &Path) -> Service {
    Service::open(Home::new(home), Arc::new(SystemClock), 1).await.unwrap()
}

/// The password that `setup` has shown.
pub fn shown(ended: &Ended) -> Option<String> {
    let line = ended.out.lines().find_map(|line| line.strip_prefix("password"))?;
    Some(line.trim().to_owned())
}

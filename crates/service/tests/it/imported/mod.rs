//! Imported configurations of Azure AD Connect at work: their rules over a directory, with the simulated tenant.

mod scripts;
mod shipped;
mod story;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use onesync_graphsim::judged::Judged;
use onesync_graphsim::{DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_TENANT_ID, GraphSim};
use onesync_service::{
    Clock as _, Configuration, CycleKind, Home, ManualClock, PendingView, Service, SystemClock,
    import_aadconnect,
};
use serde_json::Value as Json;

use crate::database::{Database, of_story};
use crate::world::{base64, sid};

/// The files of a configuration.
pub type Files = BTreeMap<String, String>;

/// What an export becomes, with the simulator as its tenant; `source` changes the files of its forests.
pub async fn imported(
    export: &Path,
    names: &[&str],
    tenant: &str,
    source: impl Fn(&mut toml::Table),
) -> Files {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let imported = import_aadconnect(export, &names).await.unwrap();
    assert_eq!(imported.check.errors, 0, "{:#?}", imported.check.messages);
    let mut files = Files::new();
    for (path, text) in imported.files {
        if path.starts_with("connectors/") {
            let mut table: toml::Table = text.parse().unwrap();
            if table["kind"].as_str() == Some("graph") {
                table.insert("name".to_owned(), "entra".into());
                cloud_settings(&mut table, tenant);
                files.insert("connectors/entra.toml".to_owned(), table.to_string());
            } else {
                source(&mut table);
                files.insert(path, table.to_string());
            }
        } else if path.starts_with("rules/") {
            // The tenant's connector is called as in the shipped configuration.
            files.insert(path, text.replace("\"contoso.onmicrosoft.com - AAD\"", "\"entra\""));
        } else if !path.contains('/') && path.ends_with(".toml") {
            files.insert(path, text);
        }
    }
    files
}

/// The tenant of a `graph` connector becomes the simulator.
pub fn cloud_settings(table: &mut toml::Table, tenant: &str) {
    let settings = table["settings"].as_table_mut().unwrap();
    for (key, value) in [
        ("tenant", DEFAULT_TENANT_ID),
        ("client_id", DEFAULT_CLIENT_ID),
        ("secret", "graph"),
        ("graph_url", tenant),
        ("login_url", tenant),
    ] {
        settings.insert(key.to_owned(), value.into());
    }
}

/// A forest becomes an LDIF file of the home's parent.
pub fn from_file(table: &mut toml::Table, file: &str) {
    table.insert("kind".to_owned(), "ldif".into());
    let settings: toml::Table = [("path".to_owned(), format!("../{file}").into())].into_iter().collect();
    table.insert("settings".to_owned(), toml::Value::Table(settings));
}

/// The directory, the service with a configuration, the cloud.
pub struct House {
    pub service: Service,
    pub clock: Arc<ManualClock>,
    pub sim: Judged,
    folder: tempfile::TempDir,
    /// After the service, which is to let go of it first.
    _database: Option<Database>,
}

impl House {
    /// An export over one directory.
    pub async fn new(export: &Path, directory: &str) -> Self {
        let change = |table: &mut toml::Table| from_file(table, "directory.ldif");
        Self::of_export(export, &[], change, &[("directory.ldif", directory)]).await
    }

    /// An export whose connectors are named so, with its forests changed, over directories as files.
    pub async fn of_export(
        export: &Path,
        names: &[&str],
        change: impl Fn(&mut toml::Table),
        directories: &[(&str, &str)],
    ) -> Self {
        let sim = GraphSim::builder().seed(7).judged().await.unwrap();
        let files = imported(export, names, &sim.base_url(), change).await;
        Self::with(sim, files, directories).await
    }

    /// Any configuration over directories as files.
    pub async fn with(sim: Judged, files: Files, directories: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in directories {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let home = Home::new(folder.path().join("home"));
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let database = of_story().await;
        let server = database.as_ref().map(Database::server);
        home.create_on(server.as_ref(), &*clock).unwrap();
        let service = Service::open(home, clock.clone(), 2).await.unwrap();
        service.set_secret("graph", DEFAULT_CLIENT_SECRET.as_bytes()).unwrap();
        let files = files.into_iter().map(|(path, text)| (path, text.into_bytes())).collect();
        service.apply(Configuration::parse(files).unwrap(), "test").await.unwrap();
        Self { service, clock, sim, folder, _database: database }
    }

    /// Writes a directory anew.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    pub async fn cycle(&self, kind: CycleKind) {
        self.clock.advance_seconds(1_800);
        let report = self.service.cycle(kind, &|_| ()).await.unwrap();
        assert!(report.failures.is_empty(), "{report:#?}");
    }

    /// What is owed to the cloud: objects by type and name.
    pub fn pending(&self) -> BTreeMap<(String, String), PendingView> {
        pending(&self.service)
    }

    pub fn links(&self) -> BTreeSet<(String, String)> {
        links(&self.service)
    }

    pub fn activate(&self) {
        let runtime = self.service.runtime().unwrap();
        let cloud = runtime.connector("entra").unwrap();
        let plan = self.service.staging_plan(&runtime, cloud).unwrap();
        self.service.staging_off(&runtime, cloud, &plan.hash).unwrap();
    }

    /// After the initial cycle: the plan is released, exported and confirmed; nothing is left but what nobody can write.
    pub async fn go_live(&self) {
        self.activate();
        self.cycle(CycleKind::Delta).await;
        self.cycle(CycleKind::Delta).await;
        let left: Vec<_> =
            self.pending().into_iter().filter(|(_, row)| row.state != "cannot be written").collect();
        assert_eq!(left.len(), 0, "{left:?}");
        let errors = self.service.errors(None, 100).unwrap();
        assert_eq!(errors.len(), 0, "{errors:#?}");
    }

    /// Live objects of a set in the cloud.
    pub fn cloud(&self, set: &str) -> Vec<Json> {
        self.sim.dump()[set].as_array().cloned().unwrap_or_default()
    }
}

/// What is owed to the cloud: objects by type and name.
pub fn pending(service: &Service) -> BTreeMap<(String, String), PendingView> {
    let runtime = service.runtime().unwrap();
    let rows = service.pending(&runtime, runtime.connector("entra").unwrap(), 10_000).unwrap();
    let objects = rows.into_iter().filter(|row| !row.operation.contains("link"));
    objects.map(|row| ((row.object_type.clone(), row.object.clone()), row)).collect()
}

/// Links owed to the cloud: object, and attribute with the other's name.
pub fn links(service: &Service) -> BTreeSet<(String, String)> {
    let runtime = service.runtime().unwrap();
    let rows = service.pending(&runtime, runtime.connector("entra").unwrap(), 10_000).unwrap();
    let links = rows.into_iter().filter(|row| row.operation == "add link");
    links.map(|row| (row.object, row.change)).collect()
}

/// Everything that a row shows: what is owed, and what is computed and cannot be written.
pub fn shown(row: &PendingView) -> BTreeMap<String, String> {
    let owed = row.change.split("; ").filter_map(|part| part.split_once(" = "));
    let owed = owed.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let computed = row.not_writable.iter().map(|(name, value)| (name.clone(), as_text(value)));
    owed.chain(computed).collect()
}

/// A value as the text that `pending` has for it.
fn as_text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Bool(value) => if *value { "True" } else { "False" }.to_owned(),
        Json::Array(list) => list.iter().map(as_text).collect::<Vec<_>>().join(", "),
        Json::Object(map) => map.get("$bin").map_or_else(|| value.to_string(), as_text),
        other => other.to_string(),
    }
}

/// One entry of the forest; `lines` are what is special about it.
pub fn entry(class: &str, number: u32, name: &str, lines: &str) -> String {
    let mut out = format!(
        "dn: CN={name},OU=CORP,DC=contoso,DC=com\nobjectClass: {class}\nobjectGUID: guid-{number:011}\ncn: {name}\n"
    );
    if class != "contact" {
        writeln!(out, "objectSid:: {}", sid(number)).unwrap();
    }
    format!("{out}{lines}\n")
}

pub fn user(number: u32, account: &str, control: u32, lines: &str) -> String {
    let lines = format!("sAMAccountName: {account}\nuserAccountControl: {control}\n{lines}");
    entry("user", number, account, &lines)
}

pub fn anchor(number: u32) -> String {
    base64(format!("guid-{number:011}").as_bytes())
}

pub fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02X}").unwrap();
        out
    })
}

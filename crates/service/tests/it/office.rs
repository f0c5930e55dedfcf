//! The configuration that `docs/connectors.md` shows, run as it stands there: people of an HR file become entries of a
//! phone book, another file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use onesync_service::{
    Clock as _, Configuration, CycleKind, CycleReport, Home, ManualClock, Service, SystemClock,
};

use crate::database::{Database, of_story};

const PAGE: &str = include_str!("../../../../docs/connectors.md");

/// A line of the HR file.
pub fn employee(number: u32, name: &str, more: &str) -> String {
    format!(
        "{{\"anchor\": \"{number}\", \"type\": \"employee\", \"attributes\": {{\"employeeID\": \"{number}\", \"displayName\": \"{name}\"{more}}}}}\n"
    )
}

/// The two files, and the service between them.
pub struct Office {
    pub service: Service,
    clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
    /// After the service, which is to let go of it first.
    _database: Option<Database>,
}

impl Office {
    /// With the configuration of the page, and nothing imported.
    pub async fn new(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("home"));
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let database = of_story().await;
        let server = database.as_ref().map(Database::server);
        home.create_on(server.as_ref(), &*clock).unwrap();
        let service = Service::open(home, clock.clone(), 1).await.unwrap();
        let office = Self { service, clock, folder, _database: database };
        office.write(lines);
        office.service.apply(Configuration::parse(files()).unwrap(), "test").await.unwrap();
        office
    }

    /// The same, with the phone book written.
    pub async fn live(lines: &str) -> Self {
        let office = Self::new(lines).await;
        office.cycle(CycleKind::Initial).await;
        office.activate();
        office.cycle(CycleKind::Delta).await;
        office
    }

    pub fn activate(&self) {
        let runtime = self.service.runtime().unwrap();
        let phone = runtime.connector("phone").unwrap();
        let plan = self.service.staging_plan(&runtime, phone).unwrap();
        self.service.staging_off(&runtime, phone, &plan.hash).unwrap();
    }

    pub async fn cycle(&self, kind: CycleKind) -> CycleReport {
        self.clock.advance_seconds(1_800);
        self.service.cycle(kind, &|_| ()).await.unwrap()
    }

    /// The installation opened again, as the next command does it.
    pub async fn reopen(&mut self) {
        self.service = Service::open(self.service.home().clone(), self.clock.clone(), 1).await.unwrap();
    }

    pub fn hr(&self) -> PathBuf {
        self.folder.path().join("home/hr.jsonl")
    }

    pub fn write(&self, lines: &str) {
        std::fs::write(self.hr(), lines).unwrap();
    }

    /// The phone book, a line an entry.
    pub fn phone(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("home/phone.jsonl")).unwrap_or_default()
    }

    /// What `search cs` finds: ids and names.
    pub fn found(&self, connector: &str, text: &str) -> Vec<(String, String)> {
        let runtime = self.service.runtime().unwrap();
        let found =
            self.service.search_cs(&runtime, runtime.connector(connector).unwrap(), text, 20).unwrap();
        found.into_iter().map(|view| (view.id, view.name)).collect()
    }
}

/// The files of the page.
pub fn files() -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut parts = PAGE.split("```toml\n");
    let mut before = parts.next().unwrap();
    for part in parts {
        let (text, after) = part.split_once("```").unwrap();
        let path = before.trim_end().lines().last().unwrap().trim_matches('`');
        out.insert(path.to_owned(), text.as_bytes().to_vec());
        before = after;
    }
    out
}

/// The lines that the page shows first.
pub fn lines() -> String {
    PAGE.split("```jsonl\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_of_the_page_runs() {
    let office = Office::new(&lines()).await;
    let check = office.service.check(Configuration::parse(files()).unwrap()).await.unwrap();
    assert_eq!((check.errors, check.warnings), (0, 0), "{:#?}", check.messages);
    assert_eq!(office.cycle(CycleKind::Initial).await.errors, 0);
    let runtime = office.service.runtime().unwrap();
    let plan = office.service.staging_plan(&runtime, runtime.connector("phone").unwrap()).unwrap();
    let create = plan.groups.iter().find(|group| group.what == "create").unwrap();
    assert_eq!(create.count, 2);
    assert!(create.samples[0].starts_with("Anna Meier"), "{:?}", create.samples);
    office.activate();
    office.cycle(CycleKind::Delta).await;
    let phone = office.phone();
    let written: Vec<serde_json::Value> =
        phone.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(written.len(), 2, "{phone}");
    let bo = written.iter().find(|line| line["anchor"] == "1002").unwrap();
    assert_eq!(bo["attributes"]["displayName"], "Bo Berg");
    assert_eq!(bo["links"]["manager"], serde_json::json!(["1001"]), "{phone}");
    assert_eq!(office.cycle(CycleKind::Delta).await.exported.update, 0, "the second cycle is quiet");
}

/// A file of JSON lines with Active Directory's names goes through the shipped rules.
#[tokio::test(flavor = "multi_thread")]
async fn json_lines_fit_the_shipped_rules() {
    let office = Office::new("").await;
    let line = PAGE.split("```jsonl\n").nth(2).unwrap().split("```").next().unwrap();
    std::fs::write(office.folder.path().join("home/directory.jsonl"), line).unwrap();
    let files = onesync_service::template("single-forest", "jsonl").unwrap();
    let files = files.into_iter().filter(|(path, _)| !path.contains("entra"));
    let configuration =
        Configuration::parse(files.map(|(path, text)| (path, text.into_bytes())).collect()).unwrap();
    let check = office.service.check(configuration.clone()).await.unwrap();
    assert_eq!(check.errors, 0, "{:#?}", check.messages);
    office.service.apply(configuration, "test").await.unwrap();
    office.cycle(CycleKind::Initial).await;
    let runtime = office.service.runtime().unwrap();
    let anna = office.service.show(&runtime, "anna@contoso.com").unwrap();
    assert_eq!(anna.attributes["displayName"].value, "Anna Meier");
    assert_eq!(anna.attributes["sourceAnchor"].value, "AQIDBAUGBwgJCgsMDQ4PEA==");
    assert_eq!(anna.attributes["accountEnabled"].value, true);
}

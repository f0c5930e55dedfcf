//! A small world: people in an LDIF file, the shipped rules, graphsim.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use onesync_graphsim::{DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_TENANT_ID, GraphSim};
use onesync_service::{
    Clock as _, Configuration, CycleKind, CycleReport, Home, ManualClock, Service, SystemClock, template,
};

/// One person of the directory.
#[derive(Clone, Debug)]
pub struct Person {
    pub number: u32,
    pub name: String,
    pub department: String,
    pub sid: u32,
    pub enabled: bool,
}

/// The directory, the service, the cloud.
pub struct World {
    pub people: Vec<Person>,
    /// Groups: name, numbers of members.
    pub groups: Vec<(String, Vec<u32>)>,
    pub service: Service,
    pub clock: Arc<ManualClock>,
    pub sim: GraphSim,
    folder: tempfile::TempDir,
}

pub fn person(number: u32, name: &str) -> Person {
    Person { number, name: name.to_owned(), department: "Sales".to_owned(), sid: number, enabled: true }
}

impl World {
    /// A world with these people and one group of all; the cloud is active.
    pub async fn new(people: Vec<Person>) -> Self {
        let mut world = Self::staging(people).await;
        world.write();
        world.go_live().await;
        world
    }

    /// The same, with the cloud still in staging and nothing imported.
    pub async fn staging(people: Vec<Person>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sim = GraphSim::builder().seed(7).start().await.unwrap();
        let mut files = template("single-forest", "ldif").unwrap();
        files.insert(
            "connectors/source.toml".into(),
            "name = \"directory\"\nkind = \"ldif\"\nrank = 1\n[settings]\npath = \"../directory.ldif\"\n"
                .into(),
        );
        files.insert(
            "connectors/entra.toml".into(),
            format!(
                "name = \"entra\"\nkind = \"graph\"\nrank = 100\n[settings]\ntenant = \"{DEFAULT_TENANT_ID}\"\nclient_id = \"{DEFAULT_CLIENT_ID}\"\nsecret = \"graph\"\ngraph_url = \"{0}\"\nlogin_url = \"{0}\"\n",
                sim.base_url()
            ),
        );
        let groups = vec![("Everyone".to_owned(), people.iter().map(|p| p.number).collect())];
        std::fs::write(folder.path().join("directory.ldif"), ldif(&people, &groups)).unwrap();
        let home = Home::new(folder.path().join("home"));
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        home.create(&*clock).unwrap();
        let service = Service::open(home, clock.clone(), 2).await.unwrap();
        service.set_secret("graph", DEFAULT_CLIENT_SECRET.as_bytes()).unwrap();
        let files = files.into_iter().map(|(path, text)| (path, text.into_bytes())).collect();
        service.apply(Configuration::parse(files).unwrap(), "test").await.unwrap();
        Self { people, groups, service, clock, sim, folder }
    }

    pub async fn go_live(&mut self) {
        self.cycle(CycleKind::Initial).await;
        let runtime = self.service.runtime().unwrap();
        let cloud = runtime.connector("entra").unwrap();
        let plan = self.service.staging_plan(&runtime, cloud).unwrap();
        self.service.staging_off(&runtime, cloud, &plan.hash).unwrap();
        self.cycle(CycleKind::Delta).await;
    }

    /// The installation opened again, as the next command does it.
    pub async fn reopen(&self) -> Service {
        Service::open(self.service.home().clone(), self.clock.clone(), 2).await.unwrap()
    }

    pub fn ldif(&self) -> PathBuf {
        self.folder.path().join("directory.ldif")
    }

    /// Writes the directory.
    pub fn write(&self) {
        std::fs::write(self.ldif(), ldif(&self.people, &self.groups)).unwrap();
    }

    /// Half an hour passes, then a cycle runs.
    pub async fn cycle(&self, kind: CycleKind) -> CycleReport {
        self.clock.advance_seconds(1_800);
        self.service.cycle(kind, &|_| ()).await.unwrap()
    }

    /// Writes the directory, runs a delta cycle, gives what was written to the cloud.
    pub async fn step(&self) -> (CycleReport, Vec<String>) {
        self.write();
        let mark = self.sim.log_mark();
        let report = self.cycle(CycleKind::Delta).await;
        let writes = self.sim.writes(mark).iter().map(|w| format!("{} {}", w.method, w.path)).collect();
        (report, writes)
    }

    /// How many users the cloud has.
    pub async fn cloud_users(&self) -> usize {
        let runtime = self.service.runtime().unwrap();
        let cloud = runtime.connector("entra").unwrap();
        self.service
            .search_cs(&runtime, cloud, "", 10_000)
            .unwrap()
            .iter()
            .filter(|o| o.object_type == "user" && !o.state.contains("gone"))
            .count()
    }

    /// The standing errors: code and message.
    pub fn errors(&self) -> Vec<(String, String)> {
        self.service
            .errors(None, 1_000)
            .unwrap()
            .into_iter()
            .map(|(_, row)| (row.code, row.message))
            .collect()
    }
}

/// The directory as a file.
fn ldif(people: &[Person], groups: &[(String, Vec<u32>)]) -> String {
    let mut out = String::from("version: 1\n\n");
    let dn = |p: &Person| format!("CN={},OU=People,DC=contoso,DC=com", p.name);
    for p in people {
        let number = p.number;
        let control = if p.enabled { 512 } else { 514 };
        write!(
            out,
            "dn: {}\nobjectClass: user\nobjectGUID: guid-{number:011}\nobjectSid:: {}\n",
            dn(p),
            sid(p.sid)
        )
        .unwrap();
        write!(out, "cn: {0}\ndisplayName: {0}\nsAMAccountName: u{number}\nuserPrincipalName: u{number}@contoso.com\n", p.name).unwrap();
        write!(
            out,
            "mail: u{number}@contoso.com\ndepartment: {}\nuserAccountControl: {control}\n\n",
            p.department
        )
        .unwrap();
    }
    for (index, (name, members)) in groups.iter().enumerate() {
        let sid = sid(900_000 + index as u32);
        write!(out, "dn: CN={name},OU=Groups,DC=contoso,DC=com\nobjectClass: group\nobjectGUID: group-{index:010}\nobjectSid:: {sid}\n").unwrap();
        write!(out, "cn: {name}\ndisplayName: {name}\nsAMAccountName: g{index}\ngroupType: -2147483646\n")
            .unwrap();
        for member in people.iter().filter(|p| members.contains(&p.number)) {
            writeln!(out, "member: {}", dn(member)).unwrap();
        }
        out.push('\n');
    }
    out
}

/// A SID S-1-5-21-1-2-3-RID as base64.
fn sid(rid: u32) -> String {
    let mut bytes = vec![1, 5, 0, 0, 0, 0, 0, 5];
    for part in [21, 1, 2, 3, rid] {
        bytes.extend_from_slice(&part.to_le_bytes());
    }
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .map(|chunk| {
            let n = chunk.iter().fold(0u32, |n, &b| n << 8 | u32::from(b)) << (8 * (3 - chunk.len()));
            (0..4)
                .map(
                    |i| {
                        if i <= chunk.len() { DIGITS[(n >> (18 - 6 * i)) as usize & 63] as char } else { '=' }
                    },
                )
                .collect::<String>()
        })
        .collect()
}

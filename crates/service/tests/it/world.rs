//! A small world: people in an LDIF file, the shipped rules, graphsim.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use onesync_graphsim::judged::Judged;
use onesync_graphsim::{
    DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_TENANT_ID, GraphSim, SeedData, TenantConfig,
};
use onesync_model::Time;
use onesync_service::{
    Clock as _, Configuration, ConnectorStatus, CycleKind, CycleReport, DatabaseServer, Home, ManualClock,
    Service, StagingPlan, SystemClock, template,
};

use crate::database::{Database, of_story};

/// One person of the directory.
#[derive(Clone, Debug)]
pub struct Person {
    pub number: u32,
    pub name: String,
    pub department: String,
    pub sid: u32,
    pub enabled: bool,
    /// The suffix of the sign-in name.
    pub suffix: &'static str,
}

/// The directory, the service, the cloud.
pub struct World {
    pub people: Vec<Person>,
    /// Groups: name, numbers of members.
    pub groups: Vec<(String, Vec<u32>)>,
    pub service: Service,
    pub clock: Arc<ManualClock>,
    pub sim: Judged,
    setup: Setup,
    folder: tempfile::TempDir,
    /// After the service, which is to let go of it first.
    _database: Option<Database>,
}

/// What is special about a world.
#[derive(Default)]
pub struct Setup {
    /// Lines of `onesync.toml`.
    pub main: String,
    /// Lines of the cloud connector's file before its settings.
    pub top: String,
    /// Lines of its settings.
    pub settings: String,
    /// Tables of its file.
    tables: String,
    /// What the cloud holds already.
    pub seed: SeedData,
    /// The tenant, where it is not the usual one.
    pub tenant: Option<TenantConfig>,
    /// Rules that replace shipped ones or come beside them, by path.
    pub rules: BTreeMap<String, String>,
    /// Further files beside the directory.
    pub files: BTreeMap<String, String>,
    /// Further attributes of people in the directory: number, lines of LDIF.
    pub lines: BTreeMap<u32, String>,
    /// The database, where it is not the embedded one.
    pub database: Option<DatabaseServer>,
    /// Whether it is the embedded one, whatever database the stories are brought onto.
    pub embedded: bool,
    /// When it is, where that is not now.
    pub now: Option<Time>,
}

impl Setup {
    /// Adds a second forest in `other.ldif` and the join rule of a topology.
    pub fn second_forest(&mut self, topology: &str, text: &str) {
        self.rules.insert(
            "connectors/other.toml".into(),
            "name = \"other\"\nkind = \"ldif\"\nrank = 2\n[settings]\npath = \"../other.ldif\"\n".into(),
        );
        let join = template(topology, "ldif").unwrap();
        let path = "rules/in-from-ad-user-join.toml";
        self.rules.insert(path.into(), join[path].clone());
        self.files.insert("other.ldif".into(), format!("version: 1\n\n{text}"));
    }

    /// Adds a rule from the directory's users to people, before all others.
    pub fn inbound(&mut self, rest: &str) {
        let rule = format!(
            "name = \"Extra\"\ndirection = \"inbound\"\nconnector = \"directory\"\nobject = \"user\"\n\
             metaverse = \"person\"\nlink = \"join\"\nprecedence = 10\n{rest}"
        );
        self.rules.insert("rules/extra.toml".into(), rule);
    }

    /// Adds tables to the cloud connector's file.
    pub fn cloud(&mut self, tables: &str) {
        self.tables.push_str(tables);
    }
}

pub fn person(number: u32, name: &str) -> Person {
    Person {
        number,
        name: name.to_owned(),
        department: "Sales".to_owned(),
        sid: number,
        enabled: true,
        suffix: "contoso.com",
    }
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
        Self::staging_with(people, |_| ()).await
    }

    /// The same with the embedded database, for what that one does.
    pub async fn embedded(people: Vec<Person>) -> Self {
        Self::staging_with(people, |setup| setup.embedded = true).await
    }

    /// The same, with something special.
    pub async fn staging_with(people: Vec<Person>, special: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::default();
        special(&mut setup);
        let folder = tempfile::tempdir().unwrap();
        let mut sim = GraphSim::builder().seed(7);
        if let Some(tenant) = setup.tenant.clone() {
            sim = sim.tenant(tenant);
        }
        let sim = sim.judged().await.unwrap();
        for (name, text) in &setup.files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        sim.seed(std::mem::take(&mut setup.seed)).unwrap();
        let groups = vec![("Everyone".to_owned(), people.iter().map(|p| p.number).collect())];
        let home = Home::new(folder.path().join("home"));
        let clock = Arc::new(ManualClock::new(setup.now.unwrap_or_else(|| SystemClock.now())));
        let database = if setup.embedded || setup.database.is_some() { None } else { of_story().await };
        let server = setup.database.clone().or_else(|| database.as_ref().map(Database::server));
        home.create_on(server.as_ref(), &*clock).unwrap();
        let service = Service::open(home, clock.clone(), 2).await.unwrap();
        service.set_secret("graph", DEFAULT_CLIENT_SECRET.as_bytes()).unwrap();
        let world = Self { people, groups, service, clock, sim, setup, folder, _database: database };
        world.write();
        let configuration = world.configuration(&world.setup.tables);
        world.service.apply(configuration, "test").await.unwrap();
        world
    }

    /// The configuration with these tables in the cloud connector's file.
    pub fn configuration(&self, tables: &str) -> Configuration {
        self.configuration_with(&self.setup.main, tables)
    }

    /// The configuration with these lines in `onesync.toml`, and these tables in the cloud connector's file.
    pub fn configuration_with(&self, main: &str, tables: &str) -> Configuration {
        let mut files = template("single-forest", "ldif").unwrap();
        files.insert("onesync.toml".into(), format!("name = \"test\"\n{main}"));
        files.insert(
            "connectors/source.toml".into(),
            "name = \"directory\"\nkind = \"ldif\"\nrank = 1\n[settings]\npath = \"../directory.ldif\"\n"
                .into(),
        );
        files.insert(
            "connectors/entra.toml".into(),
            format!(
                "name = \"entra\"\nkind = \"graph\"\nrank = 100\n{2}[settings]\ntenant = \"{DEFAULT_TENANT_ID}\"\nclient_id = \"{DEFAULT_CLIENT_ID}\"\nsecret = \"graph\"\ngraph_url = \"{0}\"\nlogin_url = \"{0}\"\n{3}{1}",
                self.sim.base_url(), tables, self.setup.top, self.setup.settings
            ),
        );
        files.extend(self.setup.rules.clone());
        Configuration::parse(files.into_iter().map(|(path, text)| (path, text.into_bytes())).collect())
            .unwrap()
    }

    /// Applies the configuration in force with one text replaced in a file of it.
    pub async fn reconfigure(&self, path: &str, from: &str, to: &str) {
        self.service.apply(self.changed(path, from, to), "test").await.unwrap();
    }

    /// The configuration in force with one text replaced in a file of it.
    pub fn changed(&self, path: &str, from: &str, to: &str) -> Configuration {
        let mut files = self.service.config_files(None).unwrap();
        let file = files.get_mut(path).unwrap();
        let text = String::from_utf8(file.clone()).unwrap();
        assert!(text.contains(from), "{path} has no `{from}`");
        *file = text.replace(from, to).into_bytes();
        Configuration::parse(files).unwrap()
    }

    /// The person with a number.
    pub fn person(&mut self, number: u32) -> &mut Person {
        self.people.iter_mut().find(|person| person.number == number).unwrap()
    }

    /// The plan of first contact.
    pub fn plan(&self) -> StagingPlan {
        let runtime = self.service.runtime().unwrap();
        self.service.staging_plan(&runtime, runtime.connector("entra").unwrap()).unwrap()
    }

    /// Leaves staging with the plan as it is.
    pub fn activate(&self) {
        let runtime = self.service.runtime().unwrap();
        self.service.staging_off(&runtime, runtime.connector("entra").unwrap(), &self.plan().hash).unwrap();
    }

    /// Takes a person out of the scope of the shipped rules, as an administrator of the directory can.
    pub fn leave_scope(&mut self, number: u32) {
        self.setup.lines.insert(number, "adminDescription: User_NoSync\n".into());
    }

    /// Another installation with the same configuration: same directory, same tenant.
    pub async fn rival(&self) -> Service {
        let home = Home::new(self.folder.path().join("rival"));
        home.create(&*self.clock).unwrap();
        let service = Service::open(home, self.clock.clone(), 1).await.unwrap();
        service.set_secret("graph", DEFAULT_CLIENT_SECRET.as_bytes()).unwrap();
        service.apply(self.configuration(&self.setup.tables), "test").await.unwrap();
        service
    }

    /// The state of the cloud connector.
    pub fn cloud_status(&self) -> ConnectorStatus {
        self.service.status().unwrap().connectors.into_iter().find(|c| c.name == "entra").unwrap()
    }

    /// What the cloud holds, by its own word.
    pub fn cloud_dump(&self, set: &str) -> Vec<serde_json::Value> {
        self.sim.dump()[set].as_array().unwrap().clone()
    }

    /// The sign-in names of all accounts in the cloud.
    pub fn cloud_accounts(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .cloud_dump("users")
            .iter()
            .map(|user| user["userPrincipalName"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    /// One account of the cloud.
    pub fn cloud_user(&self, name: &str) -> serde_json::Value {
        let users = self.cloud_dump("users");
        users.into_iter().find(|user| user["userPrincipalName"] == name).unwrap_or_default()
    }

    /// The sign-in names of the members of a group of the cloud.
    pub fn cloud_members(&self, group: &str) -> Vec<String> {
        let groups = self.cloud_dump("groups");
        let group = groups.iter().find(|g| g["displayName"] == group).unwrap();
        let users = self.cloud_dump("users");
        let name = |id: &serde_json::Value| {
            let user = users.iter().find(|user| user["id"] == *id);
            user.map_or_else(|| id.to_string(), |user| user["userPrincipalName"].as_str().unwrap().to_owned())
        };
        let mut names: Vec<String> = group["members"].as_array().into_iter().flatten().map(name).collect();
        names.sort();
        names
    }

    pub async fn go_live(&mut self) {
        self.cycle(CycleKind::Initial).await;
        self.activate();
        self.cycle(CycleKind::Delta).await;
    }

    /// The installation opened again, as the next command does it.
    pub async fn reopen(&self) -> Service {
        Service::open(self.service.home().clone(), self.clock.clone(), 2).await.unwrap()
    }

    /// As if no directory ever told what it can hold: then one that does not answer makes the configuration unusable.
    pub fn forget_answers(&self) {
        let (store, _) = self.service.home().open().unwrap();
        let epoch = store.reader().unwrap().installation().unwrap().unwrap().epoch;
        let connectors = store.reader().unwrap().connectors().unwrap();
        let states = connectors.iter().map(|row| (row.id, "last-schema".to_owned(), None)).collect();
        store.apply(epoch, &onesync_engine::Changes { states, ..Default::default() }).unwrap();
    }

    /// A place beside the home, where relative paths of the configuration lead to the same files.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn ldif(&self) -> PathBuf {
        self.folder.path().join("directory.ldif")
    }

    /// Writes the directory.
    pub fn write(&self) {
        std::fs::write(self.ldif(), ldif(&self.people, &self.groups, &self.setup.lines)).unwrap();
    }

    /// Writes the second forest.
    pub fn write_other(&self, text: &str) {
        std::fs::write(self.folder.path().join("other.ldif"), format!("version: 1\n\n{text}")).unwrap();
    }

    /// Further lines of a person in the directory; none takes them away.
    pub fn lines(&mut self, number: u32, lines: &str) {
        self.setup.lines.insert(number, lines.to_owned());
    }

    /// An account of the cloud by its person's number, in one attribute.
    pub fn in_cloud(&self, number: u32, attribute: &str) -> serde_json::Value {
        self.cloud_user(&format!("u{number}@contoso.com"))[attribute].clone()
    }

    /// The state of an object of a connector space, found by a text.
    pub fn state_of(&self, connector: &str, text: &str) -> String {
        let runtime = self.service.runtime().unwrap();
        let found =
            self.service.search_cs(&runtime, runtime.connector(connector).unwrap(), text, 10).unwrap();
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        found[0].state.clone()
    }

    /// One attribute of the metaverse object that has a value.
    pub fn in_metaverse(&self, object: &str, attribute: &str) -> serde_json::Value {
        let runtime = self.service.runtime().unwrap();
        let view = self.service.show(&runtime, object).unwrap();
        view.attributes.get(attribute).map(|view| view.value.clone()).unwrap_or_default()
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
        let writes = self.sim.changes(mark).iter().map(|w| format!("{} {}", w.method, w.path)).collect();
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
fn ldif(people: &[Person], groups: &[(String, Vec<u32>)], lines: &BTreeMap<u32, String>) -> String {
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
        write!(
            out,
            "cn: {0}\ndisplayName: {0}\nsAMAccountName: u{number}\nuserPrincipalName: u{number}@{1}\n",
            p.name, p.suffix
        )
        .unwrap();
        let department = match p.department.as_str() {
            "" => String::new(),
            text => format!("department: {text}\n"),
        };
        write!(
            out,
            "mail: u{number}@contoso.com\n{department}userAccountControl: {control}\n{}\n",
            lines.get(&number).map_or("", String::as_str)
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
pub fn sid(rid: u32) -> String {
    let mut bytes = vec![1, 5, 0, 0, 0, 0, 0, 5];
    for part in [21, 1, 2, 3, rid] {
        bytes.extend_from_slice(&part.to_le_bytes());
    }
    base64(&bytes)
}

pub fn base64(bytes: &[u8]) -> String {
    let binary = onesync_model::Value::Binary(bytes.into());
    onesync_model::value_to_json(binary.as_ref())["$bin"].as_str().unwrap().to_owned()
}

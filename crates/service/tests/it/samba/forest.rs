//! A corner of a real Active Directory, an installation that reads it, and a cloud that it writes.

use std::sync::Arc;

use onesync_graphsim::judged::Judged;
use onesync_graphsim::{DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_TENANT_ID, GraphSim, TenantConfig};
use onesync_ldap::control::TREE_DELETE;
use onesync_ldap::message::ModifyDnRequest;
use onesync_ldap::{
    Change, ChangeKind, Client, ConnectOptions, Control, Entry, Filter, Scope, SearchItem, SearchRequest,
};
use onesync_service::{
    Clock as _, Configuration, CycleKind, CycleReport, Home, ManualClock, Service, SystemClock, template,
};
use onesync_testkit::ldap_proxy::{Behaviour, LdapProxy};

use crate::database::{Database, of_story};

/// Accounts without a password that sign in all the same: the only enabled ones that need none.
pub const ENABLED: &str = "544";
/// The same, disabled.
pub const DISABLED: &str = "546";

/// A proxy to the domain controller.
pub async fn proxy(behaviour: Behaviour) -> LdapProxy {
    LdapProxy::start(format!("{}:389", variable("AD_IP")), behaviour).await.unwrap()
}

/// The domain, the installation and the cloud.
pub struct Forest {
    pub client: Client,
    pub ou: String,
    pub service: Service,
    pub clock: Arc<ManualClock>,
    pub sim: Judged,
    folder: tempfile::TempDir,
    /// After the service, which is to let go of it first.
    _database: Option<Database>,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run ./test"))
}

/// Says aloud that a test is left out, and fails where nothing may be left out.
fn has_peer(test: &str) -> bool {
    if std::env::var_os("AD_LDAP_URL").is_some() {
        return true;
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "no Samba AD (AD_LDAP_URL): CI does not go on without it"
    );
    eprintln!("SKIPPED: {test}: no Samba AD (AD_LDAP_URL is not set; ./test starts one)");
    false
}

impl Forest {
    /// Makes an OU of the test with these containers below it, and an installation that reads `include` (relative
    /// names, or whole ones). `None`, said aloud, where there is no domain controller.
    pub async fn open(test: &str, containers: &[&str], include: &[&str]) -> Option<Self> {
        let forest = Self::bare(test, containers, TenantConfig::default()).await?;
        let include = forest.selected(include);
        forest.service.apply(forest.configuration(&include), "test").await.unwrap();
        Some(forest)
    }

    /// The same without a configuration, and with a tenant of one's own.
    pub async fn bare(test: &str, containers: &[&str], tenant: TenantConfig) -> Option<Self> {
        if !has_peer(test) {
            return None;
        }
        let mut options = ConnectOptions::new(&variable("AD_LDAP_URL")).unwrap();
        options.allow_plaintext_password = true;
        let mut client = Client::connect(&options).await.unwrap();
        client.simple_bind(&variable("AD_BIND_DN"), variable("AD_BIND_PASSWORD").as_bytes()).await.unwrap();
        let base = variable("AD_BASE_DN");
        let ou = format!("OU={test}-{},{base}", std::process::id());
        let sim = GraphSim::builder().seed(7).tenant(tenant).judged().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("home"));
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let database = of_story().await;
        let server = database.as_ref().map(Database::server);
        home.create_on(server.as_ref(), &*clock).unwrap();
        let service = Service::open(home, clock.clone(), 2).await.unwrap();
        service.set_secret("graph", DEFAULT_CLIENT_SECRET.as_bytes()).unwrap();
        service.set_secret("ad", variable("AD_BIND_PASSWORD").as_bytes()).unwrap();
        let mut forest = Self { client, ou, service, clock, sim, folder, _database: database };
        let own = forest.ou.clone();
        let below: Vec<String> = containers.iter().map(|name| forest.dn(name)).collect();
        for container in std::iter::once(own).chain(below) {
            forest.add(&container, "organizationalUnit", &[]).await;
        }
        Some(forest)
    }

    /// The whole names of selected containers.
    pub fn selected(&self, include: &[&str]) -> Vec<String> {
        let base = variable("AD_BASE_DN");
        include
            .iter()
            .map(|name| if name.ends_with(&base) { (*name).to_owned() } else { self.dn(name) })
            .collect()
    }

    /// How the domain controller is reached: settings of an `ad` connector.
    pub fn access() -> [(&'static str, String); 4] {
        [
            ("url", variable("AD_LDAPS_URL")),
            ("ca_file", variable("AD_CA_FILE")),
            ("bind", variable("AD_BIND_UPN")),
            ("base", variable("AD_BASE_DN")),
        ]
    }

    /// The shipped configuration of a single forest, with these containers selected.
    pub fn configuration(&self, include: &[String]) -> Configuration {
        let address =
            format!("url = \"{}\"\nca_file = \"{}\"", variable("AD_LDAPS_URL"), variable("AD_CA_FILE"));
        self.configuration_at(&address, include)
    }

    /// The same, with the domain controller behind a proxy.
    pub fn configuration_through(&self, proxy: &LdapProxy, include: &[String]) -> Configuration {
        let address = format!("url = \"{}\"\nallow_plaintext_password = true", proxy.url());
        self.configuration_at(&address, include)
    }

    /// The same, where DirSync is never asked.
    pub fn configuration_without_dirsync(&self, include: &[String]) -> Configuration {
        let address = format!(
            "url = \"{}\"\nca_file = \"{}\"\nwithout_dirsync = true",
            variable("AD_LDAPS_URL"),
            variable("AD_CA_FILE")
        );
        self.configuration_at(&address, include)
    }

    fn configuration_at(&self, address: &str, include: &[String]) -> Configuration {
        let settings = format!(
            "{address}\nbind = \"{}\"\npassword = \"ad\"\ninclude = {include:?}\n",
            variable("AD_BIND_UPN")
        );
        let mut files = template("single-forest", "ad").unwrap();
        files.insert(
            "connectors/source.toml".into(),
            format!("name = \"contoso.test\"\nkind = \"ad\"\nrank = 1\n[settings]\n{settings}"),
        );
        files.insert(
            "connectors/entra.toml".into(),
            format!(
                "name = \"entra\"\nkind = \"graph\"\nrank = 100\n[settings]\ntenant = \"{DEFAULT_TENANT_ID}\"\n\
                 client_id = \"{DEFAULT_CLIENT_ID}\"\nsecret = \"graph\"\ngraph_url = \"{0}\"\nlogin_url = \"{0}\"\n",
                self.sim.base_url()
            ),
        );
        let files = files.into_iter().map(|(path, text)| (path, text.into_bytes())).collect();
        Configuration::parse(files).unwrap()
    }

    /// Removes the OU. Not called when a test fails: then it is looked at.
    pub async fn close(mut self) {
        let control = Control { oid: TREE_DELETE.to_owned(), critical: true, value: None };
        self.client.delete(&self.ou, vec![control]).await.unwrap();
        drop(self.folder);
    }

    pub fn dn(&self, rdns: &str) -> String {
        format!("{rdns},{}", self.ou)
    }

    pub async fn add(&mut self, dn: &str, class: &str, attributes: &[(&str, &[&str])]) {
        let bytes: Vec<(&str, Vec<&[u8]>)> = attributes
            .iter()
            .map(|(name, values)| (*name, values.iter().map(|value| value.as_bytes()).collect()))
            .collect();
        self.add_bytes(dn, class, &bytes).await;
    }

    /// Adds an entry with values of any kind.
    pub async fn add_bytes(&mut self, dn: &str, class: &str, attributes: &[(&str, Vec<&[u8]>)]) {
        let class = [class.as_bytes()];
        let all = attributes.iter().map(|(name, values)| (*name, values.as_slice()));
        let all = [("objectClass", &class[..])].into_iter().chain(all);
        self.client
            .add(Entry::build(dn, all), Vec::new())
            .await
            .unwrap_or_else(|error| panic!("{dn}: {error}"));
    }

    /// Adds a person whose login is `login` and the process, so that no other run has it.
    pub async fn person(&mut self, container: &str, login: &str) -> String {
        let dn = self.dn(&format!("CN=Person {login},{container}"));
        let own = format!("{login}x{:x}", std::process::id());
        let address = format!("{own}@contoso.com");
        let name = format!("Person {login}");
        let attributes: [(&str, &[&str]); 6] = [
            ("sAMAccountName", &[&own]),
            ("userPrincipalName", &[&address]),
            ("mail", &[&address]),
            ("displayName", &[&name]),
            ("department", &["Sales"]),
            ("userAccountControl", &[ENABLED]),
        ];
        self.add(&dn, "user", &attributes).await;
        dn
    }

    /// Adds a global security group.
    pub async fn group(&mut self, container: &str, name: &str, members: &[String]) -> String {
        let dn = self.dn(&format!("CN={name},{container}"));
        let own = format!("{name}x{:x}", std::process::id());
        self.add(&dn, "group", &[("sAMAccountName", &[&own]), ("displayName", &[name])]).await;
        for some in members.chunks(500) {
            let some: Vec<&str> = some.iter().map(String::as_str).collect();
            self.change(&dn, ChangeKind::Add, "member", &some).await;
        }
        dn
    }

    pub async fn change(&mut self, dn: &str, kind: ChangeKind, attribute: &str, values: &[&str]) {
        let change = Change {
            kind,
            attribute: attribute.to_owned(),
            values: values.iter().map(|value| value.as_bytes().to_vec().into()).collect(),
        };
        self.client
            .modify(dn, vec![change], Vec::new())
            .await
            .unwrap_or_else(|error| panic!("{dn}: {error}"));
    }

    pub async fn rename(&mut self, dn: &str, rdn: &str, parent: Option<&str>) {
        let request = ModifyDnRequest {
            dn: dn.to_owned(),
            new_rdn: rdn.to_owned(),
            delete_old_rdn: true,
            new_superior: parent.map(str::to_owned),
        };
        self.client.modify_dn(request, Vec::new()).await.unwrap_or_else(|error| panic!("{dn}: {error}"));
    }

    /// Brings a deleted object back under its old name.
    pub async fn restore(&mut self, guid: &[u8], dn: &str) {
        let digits: String = guid.iter().map(|byte| format!("{byte:02x}")).collect();
        let deleted = Control::flag(onesync_ldap::control::SHOW_DELETED);
        let request =
            SearchRequest::entry(format!("<GUID={digits}>")).attributes(["cn"]).control(deleted.clone());
        let tombstone = self.client.search_one(request).await.unwrap().unwrap().dn().to_owned();
        let change = |kind, attribute: &str, value: Option<&str>| Change {
            kind,
            attribute: attribute.to_owned(),
            values: value.into_iter().map(|value| value.as_bytes().to_vec().into()).collect(),
        };
        let changes = vec![
            change(ChangeKind::Delete, "isDeleted", None),
            change(ChangeKind::Replace, "distinguishedName", Some(dn)),
        ];
        self.client.modify(&tombstone, changes, vec![deleted]).await.unwrap();
    }

    pub async fn guid(&mut self, dn: &str) -> Vec<u8> {
        self.value(dn, "objectGUID").await.unwrap()
    }

    /// The first value of an attribute of an entry.
    pub async fn value(&mut self, dn: &str, attribute: &str) -> Option<Vec<u8>> {
        let request = SearchRequest::entry(dn).attributes([attribute]);
        let entry = self.client.search_one(request).await.unwrap().unwrap();
        entry.first(attribute).map(|value| value.to_vec())
    }

    /// The names of the objects that match below a container.
    pub async fn names(&mut self, base: &str, filter: &str) -> Vec<String> {
        let request =
            SearchRequest::new(base, Scope::Subtree, filter.parse::<Filter>().unwrap()).attributes(["cn"]);
        let mut search = self.client.search_paged(request, 1_000).await.unwrap();
        let mut names = Vec::new();
        while let Some(item) = search.next().await.unwrap() {
            if let SearchItem::Entry(entry) = item {
                names.push(entry.dn().to_owned());
            }
        }
        names
    }

    /// Half an hour passes, then a cycle runs.
    pub async fn cycle(&self, kind: CycleKind) -> CycleReport {
        self.clock.advance_seconds(1_800);
        self.service.cycle(kind, &|_| ()).await.unwrap()
    }

    /// The initial cycle in staging, the release of its plan, and the cycle that exports it.
    pub async fn go_live(&self) -> CycleReport {
        self.cycle(CycleKind::Initial).await;
        let runtime = self.service.runtime().unwrap();
        let cloud = runtime.connector("entra").unwrap();
        let plan = self.service.staging_plan(&runtime, cloud).unwrap();
        self.service.staging_off(&runtime, cloud, &plan.hash).unwrap();
        self.cycle(CycleKind::Delta).await
    }

    /// A delta cycle; gives what was written to the cloud, with ids left out: `PATCH users`.
    pub async fn written(&self) -> (CycleReport, Vec<String>) {
        let mark = self.sim.log_mark();
        let report = self.cycle(CycleKind::Delta).await;
        let short = |path: &str| {
            let mut parts = path.trim_start_matches("/v1.0/").split('/');
            let set = parts.next().unwrap_or_default().to_owned();
            let rest: Vec<&str> = parts.skip(1).filter(|part| !part.contains('-')).collect();
            if rest.is_empty() { set } else { format!("{set} {}", rest.join(" ")) }
        };
        let mut writes: Vec<String> =
            self.sim.changes(mark).iter().map(|w| format!("{} {}", w.method, short(&w.path))).collect();
        writes.sort();
        (report, writes)
    }

    /// Live objects of a set in the cloud.
    pub fn cloud(&self, set: &str) -> Vec<serde_json::Value> {
        self.sim.dump()[set].as_array().cloned().unwrap_or_default()
    }

    /// The standing errors.
    pub fn standing_errors(&self) -> Vec<String> {
        let errors = self.service.errors(None, 1_000).unwrap();
        errors.into_iter().map(|(_, row)| format!("{}: {}", row.code, row.message)).collect()
    }
}

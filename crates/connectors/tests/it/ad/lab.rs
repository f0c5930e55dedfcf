//! A corner of a real domain: an OU of its own for each test, changes to it, and an image of what imports said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use onesync_connectors::ad::{AdConnector, AdSettings};
use onesync_connectors::{
    Anchor, Connector, ConnectorError, EntryChange, ImportEnd, ImportMode, ImportPage, ImportRequest,
    KnownContainers, LinkMode, LinkTarget, SelectedAttribute, SelectedType, Selection, Watermark,
};
use onesync_ldap::control::TREE_DELETE;
use onesync_ldap::message::ModifyDnRequest;
use onesync_ldap::{Change, ChangeKind, Client, ConnectOptions, Control, Entry, SearchRequest};
use onesync_model::{AttributeType, Names};
use secrecy::SecretString;
use tokio::sync::mpsc;

/// The attributes that tests select, and who has them.
const ATTRIBUTES: [(&str, AttributeType, &[&str]); 12] = [
    ("cn", AttributeType::String, &["user", "group", "contact"]),
    ("description", AttributeType::String, &["user", "group", "contact"]),
    ("givenName", AttributeType::String, &["user", "contact"]),
    ("proxyAddresses", AttributeType::String, &["user", "group", "contact"]),
    ("sAMAccountName", AttributeType::String, &["user", "group"]),
    ("userAccountControl", AttributeType::Integer, &["user"]),
    ("groupType", AttributeType::Integer, &["group"]),
    ("whenCreated", AttributeType::Time, &["user", "group", "contact"]),
    ("thumbnailPhoto", AttributeType::Binary, &["user"]),
    ("manager", AttributeType::Reference, &["user", "contact"]),
    ("member", AttributeType::Reference, &["group"]),
    ("assistant", AttributeType::Reference, &["user"]),
];

/// A domain controller, and an OU of one test in its domain.
pub struct Lab {
    pub client: Client,
    pub base: String,
    pub ou: String,
    pub names: Names,
    pub selection: Selection,
    image: BTreeMap<Anchor, Object>,
    containers: BTreeMap<Anchor, String>,
    watermark: Option<Watermark>,
}

/// The containers that imports told.
#[derive(Debug)]
struct Told(BTreeMap<Anchor, String>);

impl KnownContainers for Told {
    fn names(&self, anchors: &[Anchor]) -> Result<Vec<Option<String>>, ConnectorError> {
        Ok(anchors.iter().map(|anchor| self.0.get(anchor).cloned()).collect())
    }
}

/// An object as imports told it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    pub dn: String,
    pub kind: String,
    pub values: BTreeMap<String, Vec<String>>,
    pub links: BTreeMap<String, BTreeSet<LinkTarget>>,
}

pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run ./test"))
}

/// Says aloud that a test is left out, and fails where nothing may be left out.
pub fn has_peer(test: &str) -> bool {
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

impl Lab {
    /// Makes the OU. `None`, said aloud, where there is no domain controller.
    pub async fn open(test: &str) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if !has_peer(test) {
            return None;
        }
        let client = administrator().await;
        let base = variable("AD_BASE_DN");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let ou = format!("OU={test}-{}-{number},{base}", std::process::id());
        let mut names = Names::new();
        let types = ["user", "group", "contact"].map(|kind| SelectedType {
            id: names.intern_type(kind),
            name: kind.to_owned(),
            attributes: ATTRIBUTES
                .iter()
                .filter(|(_, _, holders)| holders.contains(&kind))
                .map(|(name, kind, _)| SelectedAttribute {
                    id: names.intern(name),
                    name: (*name).to_owned(),
                    kind: *kind,
                    multi: true,
                })
                .collect(),
        });
        let selection = Selection { types: types.into() };
        let mut lab = Self {
            client,
            base,
            ou,
            names,
            selection,
            image: BTreeMap::new(),
            containers: BTreeMap::new(),
            watermark: None,
        };
        let ou = lab.ou.clone();
        lab.add(&ou, "organizationalUnit", &[]).await;
        Some(lab)
    }

    /// Removes the OU. Not called when a test fails: then it is looked at.
    pub async fn close(mut self) {
        let control = Control { oid: TREE_DELETE.to_owned(), critical: true, value: None };
        self.client.delete(&self.ou, vec![control]).await.unwrap();
    }

    pub fn dn(&self, rdns: &str) -> String {
        format!("{rdns},{}", self.ou)
    }

    /// Settings that read the OU.
    pub fn settings(&self) -> AdSettings {
        settings(&format!("include = [\"{}\"]", self.ou))
    }

    pub async fn add(&mut self, dn: &str, class: &str, attributes: &[(&str, &[&str])]) {
        let class = [class];
        let all = [("objectClass", &class[..])].into_iter().chain(attributes.iter().copied());
        self.client
            .add(Entry::build(dn, all), Vec::new())
            .await
            .unwrap_or_else(|error| panic!("{dn}: {error}"));
    }

    /// Adds a user with a login name that no other test has.
    pub async fn user(&mut self, rdns: &str, attributes: &[(&str, &[&str])]) -> String {
        let dn = self.dn(rdns);
        let login = self.login(rdns);
        let login = [login.as_str()];
        let all: Vec<_> =
            [("sAMAccountName", &login[..])].into_iter().chain(attributes.iter().copied()).collect();
        self.add(&dn, "user", &all).await;
        dn
    }

    pub async fn group(&mut self, rdns: &str, members: &[&str]) -> String {
        let dn = self.dn(rdns);
        let login = self.login(rdns);
        let login = [login.as_str()];
        let mut all = vec![("sAMAccountName", &login[..])];
        if !members.is_empty() {
            all.push(("member", members));
        }
        self.add(&dn, "group", &all).await;
        dn
    }

    /// A login name of at most 20 characters.
    pub fn login(&self, rdns: &str) -> String {
        let own = rdns.split(',').next().unwrap().trim_start_matches("CN=");
        let short: String = own.chars().filter(char::is_ascii_alphanumeric).collect();
        format!("{short}{:x}", onesync_model::hash64(self.ou.as_bytes()) as u32)
    }

    pub async fn modify(&mut self, dn: &str, changes: &[(ChangeKind, &str, &[&str])]) {
        let changes = changes
            .iter()
            .map(|(kind, attribute, values)| Change {
                kind: *kind,
                attribute: (*attribute).to_owned(),
                values: values.iter().map(|value| bytes::Bytes::copy_from_slice(value.as_bytes())).collect(),
            })
            .collect();
        self.client.modify(dn, changes, Vec::new()).await.unwrap_or_else(|error| panic!("{dn}: {error}"));
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

    pub async fn guid(&mut self, dn: &str) -> Anchor {
        let request = SearchRequest::entry(dn).attributes(["objectGUID"]);
        let entry = self.client.search_one(request).await.unwrap().unwrap();
        Anchor(entry.first("objectGUID").unwrap().as_ref().into())
    }

    /// A full import that must be proven; what it tells becomes the image.
    pub async fn full(&mut self, connector: &AdConnector) -> ImportEnd {
        let (pages, end) = self.import(connector, ImportMode::Full { resume: None }).await;
        let end = end.unwrap();
        assert_eq!(end.proof, onesync_connectors::Proof::Complete);
        self.believe(pages, &end);
        end
    }

    /// Takes the pages of a full import as the image.
    pub fn believe(&mut self, pages: Vec<ImportPage>, end: &ImportEnd) {
        self.image.clear();
        self.take(pages);
        self.watermark.clone_from(&end.watermark);
    }

    /// A delta import; gives what it changed in the image, as text.
    pub async fn delta(&mut self, connector: &AdConnector) -> (Vec<String>, ImportEnd) {
        let since = self.watermark.clone().unwrap();
        let (pages, end) = self.import(connector, ImportMode::Delta { since }).await;
        let end = end.unwrap();
        let said = self.take(pages);
        self.watermark.clone_from(&end.watermark);
        (said, end)
    }

    /// Checks that the image of all deltas is what a full import tells now.
    pub async fn delta_equals_full(&mut self, connector: &AdConnector) {
        let by_delta = self.image.clone();
        self.full(connector).await;
        assert_eq!(by_delta, self.image);
    }

    pub async fn import(
        &self,
        connector: &AdConnector,
        mode: ImportMode,
    ) -> (Vec<ImportPage>, Result<ImportEnd, ConnectorError>) {
        let request = ImportRequest {
            mode,
            selection: self.selection.clone(),
            known: self.watermark.clone(),
            containers: Some(Arc::new(Told(self.containers.clone()))),
            page_size: 100,
        };
        let (sender, mut receiver) = mpsc::channel(1);
        let receive = async {
            let mut pages = Vec::new();
            while let Some(page) = receiver.recv().await {
                pages.push(page);
            }
            pages
        };
        let (end, pages) = tokio::join!(connector.import(request, sender), receive);
        (pages, end)
    }

    /// Forgets the last watermark, as an installation does that never made an import.
    pub fn forget(&mut self) {
        self.watermark = None;
    }

    pub fn watermark(&self) -> Watermark {
        self.watermark.clone().unwrap()
    }

    /// The image by the first part of the names.
    pub fn objects(&self) -> BTreeMap<String, &Object> {
        self.image.values().map(|object| (first_rdn(&object.dn), object)).collect()
    }

    /// The names behind the links of an object.
    pub fn linked(&self, name: &str, attribute: &str) -> Vec<String> {
        let objects = self.objects();
        let links = objects[name].links.get(attribute).cloned().unwrap_or_default();
        let mut names: Vec<_> = links.iter().map(|target| self.target(target)).collect();
        names.sort();
        names
    }

    fn target(&self, target: &LinkTarget) -> String {
        match target {
            LinkTarget::Anchor(anchor) => {
                self.image.get(anchor).map_or_else(|| anchor.to_string(), |o| first_rdn(&o.dn))
            }
            LinkTarget::Dn(dn) => format!("by name: {dn}"),
        }
    }

    /// What lies below a container that is known moves along.
    fn container(&mut self, entry: onesync_connectors::Entry) -> String {
        let now = entry.dn.unwrap();
        if let Some(was) = self.containers.get(&entry.anchor).cloned() {
            let named =
                self.image.values_mut().map(|object| &mut object.dn).chain(self.containers.values_mut());
            for name in named {
                if let Some(own) = name.strip_suffix(&format!(",{was}")) {
                    *name = format!("{own},{now}");
                }
            }
        }
        let said = format!("container {}", first_rdn(&now));
        self.containers.insert(entry.anchor, now);
        said
    }

    /// Applies pages to the image as the engine would, and says what they say. Deletions of objects that are not in
    /// the image are nothing: other tests delete theirs.
    fn take(&mut self, pages: Vec<ImportPage>) -> Vec<String> {
        let mut said = Vec::new();
        for entry in pages.into_iter().flat_map(|page| {
            assert!(page.errors.is_empty(), "{:?}", page.errors);
            page.entries
        }) {
            if entry.change == EntryChange::Container {
                said.push(self.container(entry));
                continue;
            }
            let known = self.image.get(&entry.anchor).cloned();
            let mut object = match (entry.change, known.clone()) {
                (EntryChange::Delete, None) => {
                    self.containers.remove(&entry.anchor);
                    continue;
                }
                (EntryChange::Delete, Some(object)) => {
                    said.push(format!("delete {}", first_rdn(&object.dn)));
                    self.image.remove(&entry.anchor);
                    continue;
                }
                (EntryChange::Full, Some(old)) => Object { links: old.links, ..Object::default() },
                (EntryChange::Full, None) => Object::default(),
                (_, Some(object)) => object,
                (_, None) => panic!("a change of an unknown object: {entry:?}"),
            };
            let mut words = Vec::new();
            if let Some(dn) = &entry.dn {
                object.dn.clone_from(dn);
            }
            if let Some(kind) = entry.object_type {
                object.kind = self.names.type_name(kind).to_owned();
            }
            for (id, values) in entry.values.iter() {
                let name = self.names.name(id).to_owned();
                let texts: Vec<String> = values.as_slice().iter().map(ToString::to_string).collect();
                words.push(format!("{name}={}", texts.join("|")));
                object.values.insert(name, texts);
            }
            for &id in &entry.cleared {
                words.push(format!("-{}", self.names.name(id)));
                object.values.remove(self.names.name(id));
            }
            assert!(entry.unknown.is_empty(), "{entry:?}");
            for chunk in &entry.links {
                let name = self.names.name(chunk.attribute).to_owned();
                let links = object.links.entry(name.clone()).or_default();
                let mut targets: Vec<_> = chunk.targets.iter().map(|target| self.target(target)).collect();
                targets.sort();
                words.push(format!("{name}{:?}{targets:?}", Mode(chunk.mode)));
                match chunk.mode {
                    LinkMode::Replace { first, .. } => {
                        if first {
                            links.clear();
                        }
                        links.extend(chunk.targets.iter().cloned());
                    }
                    LinkMode::Add => links.extend(chunk.targets.iter().cloned()),
                    LinkMode::Remove => links.retain(|target| !chunk.targets.contains(target)),
                    LinkMode::Unknown => panic!("unknown links of {}", object.dn),
                }
            }
            let verb = match (entry.change, known.is_some()) {
                (EntryChange::Full, false) => "add",
                (EntryChange::Full, true) => "whole",
                _ => "merge",
            };
            let details = if entry.change == EntryChange::Full {
                String::new()
            } else {
                format!(" {}", words.join(" "))
            };
            said.push(format!("{verb} {}{details}", first_rdn(&object.dn)));
            self.image.insert(entry.anchor, object);
        }
        said.sort();
        said
    }
}

struct Mode(LinkMode);

impl std::fmt::Debug for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            LinkMode::Replace { .. } => ":=",
            LinkMode::Add => "+",
            LinkMode::Remove => "-",
            LinkMode::Unknown => "?",
        })
    }
}

fn first_rdn(dn: &str) -> String {
    dn.split(',').next().unwrap_or_default().to_owned()
}

pub async fn administrator() -> Client {
    let mut options = ConnectOptions::new(&variable("AD_LDAP_URL")).unwrap();
    options.allow_plaintext_password = true;
    let mut client = Client::connect(&options).await.unwrap();
    client.simple_bind(&variable("AD_BIND_DN"), variable("AD_BIND_PASSWORD").as_bytes()).await.unwrap();
    client
}

/// Settings for the lab's domain controller over LDAPS; `more` is TOML.
pub fn settings(more: &str) -> AdSettings {
    let text = format!(
        "url = \"{}\"\nca_file = \"{}\"\nbind = \"{}\"\npassword = \"ad\"\n{more}",
        variable("AD_LDAPS_URL"),
        variable("AD_CA_FILE"),
        variable("AD_BIND_UPN"),
    );
    toml::from_str(&text).unwrap()
}

pub fn connector(settings: AdSettings) -> AdConnector {
    connector_with(settings, &variable("AD_BIND_PASSWORD"))
}

pub fn connector_with(settings: AdSettings, password: &str) -> AdConnector {
    AdConnector::new(settings, &secrets(password)).unwrap()
}

pub fn secrets(password: &str) -> BTreeMap<String, SecretString> {
    BTreeMap::from([("ad".to_owned(), SecretString::from(password.to_owned()))])
}

/// Settings that go through a proxy, unencrypted.
pub fn through(proxy: &onesync_testkit::ldap_proxy::LdapProxy, settings: AdSettings) -> AdSettings {
    AdSettings { url: proxy.url(), allow_plaintext_password: true, ..settings }
}

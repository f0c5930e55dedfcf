//! Two forests and a cloud in memory, joined by the real service over the store in memory.

use std::sync::Arc;

use onesync_connectors::memory::MemoryDirectory;
use onesync_connectors::{
    Connector, DiscoveredAttribute, DiscoveredSchema, DiscoveredType, Selection, TypeRoles,
};
use onesync_model::{AttributeType, Time};
use onesync_service::{
    Configuration, ConnectorFile, CycleKind, CycleReport, Home, ManualClock, Parts, Service, Sizes, Step,
};
use onesync_store::{InstallationRow, MemoryStore, Store};

use super::stage::Stage;

/// When every test begins.
pub const BEGIN: i64 = 1_700_000_000;

/// The directories: forest `a` names link targets by DN, forest `b` by anchor, the cloud is written to.
#[derive(Clone)]
pub struct Directories {
    pub a: MemoryDirectory,
    pub b: MemoryDirectory,
    pub cloud: MemoryDirectory,
}

impl Directories {
    pub fn new() -> Self {
        let (a, b, cloud) = (MemoryDirectory::new(), MemoryDirectory::new(), MemoryDirectory::new());
        for (forest, by_name) in [(&a, true), (&b, false)] {
            forest.set_capabilities(|c| {
                (c.export, c.hierarchical, c.links_by_name) = (false, true, by_name);
            });
            for number in 0..4 {
                let dn = format!("OU=o{number},DC={}", if by_name { 'a' } else { 'b' });
                forest.put_container(&format!("ou-{number}"), &dn);
            }
            forest.declare(
                schema(&[
                    ("user", "guid uid mail displayName department title hidden tel manager"),
                    ("group", "guid cn description hidden member managedBy"),
                    ("contact", "guid mail displayName department manager"),
                ]),
                Vec::new(),
            );
        }
        let role = |name: &str, account: bool| TypeRoles {
            object_type: name.to_owned(),
            create_key: Some("key".to_owned()),
            name: Some("name".to_owned()),
            enabled: account.then(|| "enabled".to_owned()),
            account,
            not_created_if: Vec::new(),
        };
        cloud.declare(
            schema(&[
                ("account", "key name department title tel code place note enabled manager"),
                ("team", "key name members member owner"),
            ]),
            vec![role("account", true), role("team", false)],
        );
        Self { a, b, cloud }
    }

    pub fn all(&self) -> [(&'static str, &MemoryDirectory); 3] {
        [("a", &self.a), ("b", &self.b), ("cloud", &self.cloud)]
    }
}

fn schema(types: &[(&str, &str)]) -> DiscoveredSchema {
    let mut out = DiscoveredSchema::default();
    for (name, attributes) in types {
        let attributes: Vec<String> = attributes.split(' ').map(str::to_owned).collect();
        for name in &attributes {
            let kind = match name.as_str() {
                "manager" | "member" | "managedBy" | "owner" => AttributeType::Reference,
                "enabled" => AttributeType::Boolean,
                "members" => AttributeType::Integer,
                _ => AttributeType::String,
            };
            if !out.attributes.iter().any(|a| a.name == *name) {
                out.attributes.push(DiscoveredAttribute {
                    name: name.clone(),
                    kind,
                    multi: matches!(name.as_str(), "tel" | "member"),
                    case_exact: true,
                    read_only: false,
                    length_max: None,
                });
            }
        }
        out.types.push(DiscoveredType {
            name: (*name).to_owned(),
            attributes,
            required: vec!["key".to_owned()],
            writable: true,
            read_only: Vec::new(),
            never_empty: Vec::new(),
        });
    }
    out
}

/// One installation.
pub struct House {
    pub directories: Directories,
    pub clock: Arc<ManualClock>,
    pub stage: Arc<Stage>,
    pub service: Service,
    /// Only the lock of who works lies there.
    home: tempfile::TempDir,
    sizes: Sizes,
    threads: usize,
}

/// How an installation works, where results must not depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Ways {
    pub sizes: Sizes,
    pub threads: usize,
    /// Entries of full imports come in another order.
    pub shuffle: u64,
}

impl Default for Ways {
    fn default() -> Self {
        Self { sizes: Sizes { page: 7, batch: 5, links: 6 }, threads: 2, shuffle: 0 }
    }
}

impl House {
    pub async fn new(directories: Directories, ways: Ways) -> Self {
        let store = MemoryStore::new();
        let begin = Time::from_seconds(BEGIN);
        store
            .install(&InstallationRow { id: "house".to_owned(), epoch: 1, staging: false, created: begin })
            .unwrap();
        let clock = Arc::new(ManualClock::new(begin));
        let stage = Arc::new(Stage::new(Arc::new(store), ways.shuffle));
        let home = tempfile::tempdir().unwrap();
        let service = assemble(home.path(), &directories, &stage, &clock, ways).await;
        service.apply(configuration(), "test").await.unwrap();
        let house =
            Self { directories, clock, stage, service, home, sizes: ways.sizes, threads: ways.threads };
        for step in [Step::FullImport, Step::DeltaSync] {
            house.service.run_step("cloud", step, &|_| ()).await.unwrap();
        }
        let runtime = house.service.runtime().unwrap();
        let cloud = runtime.connector("cloud").unwrap();
        let plan = house.service.staging_plan(&runtime, cloud).unwrap();
        house.service.staging_off(&runtime, cloud, &plan.hash).unwrap();
        house
    }

    /// The process dies and is started again.
    pub async fn restart(&mut self) {
        let ways = Ways { sizes: self.sizes, threads: self.threads, shuffle: self.stage.shuffle };
        self.service = assemble(self.home.path(), &self.directories, &self.stage, &self.clock, ways).await;
    }

    pub async fn cycle(&self, kind: CycleKind) -> CycleReport {
        self.service.cycle(kind, &|_| ()).await.unwrap()
    }

    /// Cycles until one changes nothing; gives the picture. More than `rounds` are an error of convergence.
    pub async fn settle(&self, kind: CycleKind, rounds: usize) -> String {
        let mut before = self.picture();
        for _ in 0..=rounds {
            self.cycle(kind).await;
            let now = self.picture();
            if now == before {
                assert_eq!(self.service.verify().unwrap(), Vec::<String>::new());
                return now;
            }
            before = now;
        }
        self.cycle(kind).await;
        assert_eq!(before, self.picture(), "still changing after {rounds} cycles");
        before
    }

    /// One cycle step by step; a step that fails, or dies, is repeated until it is done.
    pub async fn stubborn_cycle(&mut self) {
        for name in ["a", "b", "cloud"] {
            self.stubborn(name, Step::DeltaImport).await;
        }
        for name in ["a", "b", "cloud"] {
            self.stubborn(name, Step::DeltaSync).await;
        }
        for _ in 0..3 {
            self.stubborn("cloud", Step::Export).await;
            self.stubborn("cloud", Step::DeltaImport).await;
            self.stubborn("cloud", Step::DeltaSync).await;
        }
    }

    async fn stubborn(&mut self, name: &str, step: Step) {
        for _ in 0..6 {
            let done = self.service.run_step(name, step, &|_| ()).await;
            let died = self.stage.revive();
            if died {
                self.restart().await;
            } else if done.is_ok() {
                return;
            }
        }
        panic!("{step:?} of {name} fails for ever");
    }

    /// Everything that is known, without row numbers and annotations.
    pub fn picture(&self) -> String {
        super::picture::draw(&self.service, &*self.stage.store)
    }

    /// The objects of the cloud.
    pub fn cloud(&self) -> String {
        self.directories.cloud.objects().iter().map(|object| format!("{object:?}\n")).collect()
    }
}

async fn assemble(
    home: &std::path::Path,
    directories: &Directories,
    stage: &Arc<Stage>,
    clock: &Arc<ManualClock>,
    ways: Ways,
) -> Service {
    let (there, actors) = (directories.clone(), Arc::clone(stage));
    let kinds = move |file: &ConnectorFile, selection: &Selection| -> Option<Arc<dyn Connector>> {
        let (_, directory) = there.all().into_iter().find(|(name, _)| *name == file.name)?;
        Some(Arc::new(actors.play(directory.connector(selection.clone()))))
    };
    let parts = Parts {
        store: Arc::clone(stage) as Arc<dyn Store>,
        keys: onesync_service::Keys::None("no secrets here".to_owned()),
        clock: clock.clone(),
        paths_from: home.to_owned(),
        threads: ways.threads,
        sizes: ways.sizes,
        kinds: Some(Box::new(kinds)),
    };
    Service::assemble(Home::new(home), parts).await.unwrap()
}

pub(super) fn configuration() -> Configuration {
    let mut files: Vec<(String, String)> = vec![
        ("onesync.toml".to_owned(), "name = \"random\"\n".to_owned()),
        ("metaverse.toml".to_owned(), include_str!("rules/metaverse.toml").to_owned()),
    ];
    for (rank, name) in ["a", "b"].into_iter().enumerate() {
        files.push((
            format!("connectors/{name}.toml"),
            format!(
                "name = \"{name}\"\nkind = \"memory\"\nrank = {}\nsuspect_percent = 100\nsuspect_at_least = 1000\n",
                rank + 1
            ),
        ));
    }
    files.push(("connectors/cloud.toml".to_owned(), include_str!("rules/cloud.toml").to_owned()));
    for (index, rule) in include_str!("rules/rules.txt").split("\n====\n").enumerate() {
        files.push((format!("rules/{index:02}.toml"), rule.to_owned()));
    }
    Configuration::parse(files.into_iter().map(|(path, text)| (path, text.into_bytes())).collect()).unwrap()
}

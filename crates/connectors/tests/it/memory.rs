//! The directory in memory: the suite, and each fault.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use onesync_connectors::conformance::{self, DirectoryDriver, Shape, TestObject};
use onesync_connectors::memory::{Fault, MemoryDirectory, MemoryObject};
use onesync_connectors::{
    Anchor, Connector, ErrorClass, ExportBatch, ExportItem, ExportOutcome, ImportMode, LinkMode, LinkTarget,
    Operation, Pass, Proof,
};
use onesync_model::{Value, Values};

use crate::words::{Words, full, import};

struct Driver {
    directory: MemoryDirectory,
    words: Words,
    held: Mutex<BTreeMap<String, TestObject>>,
}

impl Driver {
    fn container(&self) -> String {
        let known = self.directory.containers().into_iter().next();
        known.map_or_else(|| "OU=nobody".to_owned(), |(_, name)| name)
    }
}

fn target(name: &str) -> LinkTarget {
    LinkTarget::Anchor(Anchor::text(name))
}

#[async_trait]
impl DirectoryDriver for Driver {
    fn shape(&self) -> Shape {
        self.words.shape()
    }

    async fn hold(&self, objects: &[TestObject]) {
        let mut held = self.held.lock().unwrap();
        let wanted: BTreeMap<_, _> =
            objects.iter().map(|object| (object.name.clone(), object.clone())).collect();
        for present in self.directory.objects() {
            if !wanted.contains_key(&present.anchor.to_string()) {
                self.directory.remove(&present.anchor);
            }
        }
        for object in objects {
            let anchor = Anchor::text(&object.name);
            if self.directory.object(&anchor).is_none() {
                let kind = if object.is_group { "group" } else { "user" };
                let mut new = MemoryObject::new(
                    kind,
                    &object.name,
                    &format!("CN={},{}", object.name, self.container()),
                )
                .with("displayName", object.text.as_str());
                for member in &object.members {
                    new = new.linked("member", target(member));
                }
                self.directory.put(new);
                continue;
            }
            self.directory.set(&anchor, "DISPLAYNAME", Some(Values::one(Value::string(&object.text))));
            let before = held.get(&object.name).map(|before| before.members.clone()).unwrap_or_default();
            for member in &object.members {
                self.directory.link(&anchor, "member", target(member));
            }
            for member in before.iter().filter(|member| !object.members.contains(member)) {
                self.directory.unlink(&anchor, "member", &target(member));
            }
        }
        *held = wanted;
    }

    async fn rename_container(&self) -> bool {
        self.directory.rename_container(&Anchor::text("ou"), "OU=renamed")
    }

    async fn lose_next_answer(&self) -> bool {
        self.directory.inject(Fault::UnknownAfterCommit);
        true
    }
}

#[tokio::test]
async fn it_passes_the_suite() {
    let words = Words::new();
    let directory = MemoryDirectory::new();
    directory.set_capabilities(|capabilities| capabilities.hierarchical = true);
    directory.put_container("ou", "OU=first");
    let connector = directory.connector(words.selection.clone());
    // The schema is what the objects have: an empty group shows no member attribute.
    let driver = Driver { directory, words, held: Mutex::default() };
    let report = conformance::check(&connector, &driver).await;
    assert!(report.failed.is_empty() && report.skipped.is_empty(), "{report}");
}

#[tokio::test]
async fn the_suite_notices_a_connector_that_forgets_links() {
    let words = Words::new();
    let directory = MemoryDirectory::new();
    let connector = directory.connector(words.selection.clone());
    directory.inject(Fault::LinksUnknown("member".to_owned()));
    let driver = Driver { directory, words, held: Mutex::default() };
    let report = conformance::check(&connector, &driver).await;
    assert_eq!(report.failed.len(), 1, "{report}");
}

fn batch(items: Vec<ExportItem>) -> ExportBatch {
    ExportBatch { items, pass: Pass::unchecked(1), seed: [0; 32] }
}

fn add(words: &Words, key: &str) -> ExportItem {
    ExportItem {
        operation: Operation::Add,
        object_type: words.selection.types[0].id,
        anchor: None,
        create_key: Some(key.to_owned()),
        values: vec![(words.id("displayName"), Some(Values::one(key.into())))],
        links: Vec::new(),
    }
}

fn filled() -> MemoryDirectory {
    let directory = MemoryDirectory::new();
    for n in 0..10 {
        let name = format!("u{n}");
        directory
            .put(MemoryObject::new("user", &name, &format!("CN={name}")).with("displayName", name.as_str()));
    }
    directory
}

#[tokio::test]
async fn imports_fail_as_told_and_only_once() {
    let words = Words::new();
    let directory = filled();
    let connector = directory.connector(words.selection.clone());
    let mode = ImportMode::Full { resume: None };

    directory.inject(Fault::ImportFails { after_pages: 2, class: ErrorClass::Transient });
    let (pages, end) = import(&connector, &words, mode.clone(), 3).await;
    assert_eq!((pages.len(), end.unwrap_err().class), (2, ErrorClass::Transient));

    directory.inject(Fault::CutShort { after_pages: 1 });
    let (pages, end) = import(&connector, &words, mode.clone(), 3).await;
    assert_eq!(pages.len(), 1);
    assert!(matches!(end.unwrap().proof, Proof::Incomplete(_)));

    directory.inject(Fault::Incomplete("rights are missing".to_owned()));
    assert_eq!(full(&connector, &words).await.1.proof, Proof::Incomplete("rights are missing".to_owned()));
    let end = full(&connector, &words).await.1;
    assert_eq!(end.proof, Proof::Complete);

    directory.inject(Fault::WatermarkLost);
    let delta = ImportMode::Delta { since: end.watermark.unwrap() };
    assert_eq!(
        import(&connector, &words, delta.clone(), 3).await.1.unwrap_err().class,
        ErrorClass::Watermark
    );
    assert!(import(&connector, &words, delta, 3).await.1.is_ok());
}

#[tokio::test]
async fn a_delta_tells_the_net_effect() {
    let words = Words::new();
    let directory = filled();
    directory.put(MemoryObject::new("group", "g", "CN=g").linked("member", target("u1")));
    let connector = directory.connector(words.selection.clone());
    let since = full(&connector, &words).await.1.watermark.unwrap();
    let group = Anchor::text("g");
    directory.link(&group, "member", target("u2"));
    directory.link(&group, "member", target("u3"));
    directory.unlink(&group, "member", &target("u3"));
    directory.rename(&Anchor::text("u4"), "CN=renamed");
    directory.set(&Anchor::text("u5"), "displayName", None);
    directory.remove(&Anchor::text("u6"));
    directory.put(MemoryObject::new("printer", "p", "CN=not selected"));
    let (pages, _) = import(&connector, &words, ImportMode::Delta { since }, 100).await;
    let entries: Vec<_> = pages.into_iter().flat_map(|page| page.entries).collect();
    let links: Vec<_> = entries[0].links.iter().map(|chunk| (chunk.mode, chunk.targets.clone())).collect();
    assert_eq!(links, [(LinkMode::Add, vec![target("u2")]), (LinkMode::Remove, vec![target("u3")])]);
    assert_eq!(entries[1].dn.as_deref(), Some("CN=renamed"));
    assert_eq!(entries[2].cleared, [words.id("displayName")]);
    assert_eq!(entries.len(), 4);
}

#[tokio::test]
async fn exports_fail_as_told() {
    let words = Words::new();
    let directory = MemoryDirectory::new();
    let connector = directory.connector(words.selection.clone());
    let wait = Some(Duration::from_secs(7));

    directory.inject(Fault::Throttle(wait));
    let error = connector.export(batch(vec![add(&words, "a")])).await.unwrap_err();
    assert_eq!((error.class, directory.len()), (ErrorClass::Throttled(wait), 0));

    directory.inject(Fault::UnknownBeforeCommit);
    directory.inject(Fault::UnknownAfterCommit);
    directory.inject(Fault::RefuseItem);
    let items = ["a", "b", "c", "d"].map(|key| add(&words, key)).into();
    let results = connector.export(batch(items)).await.unwrap();
    assert!(matches!(results[0].outcome, ExportOutcome::Unknown(_)));
    assert!(matches!(results[1].outcome, ExportOutcome::Unknown(_)));
    assert!(matches!(results[2].outcome, ExportOutcome::Failed(_)));
    assert!(matches!(results[3].outcome, ExportOutcome::Done { anchor: Some(_) }));
    assert_eq!(directory.len(), 2, "b and d");
    assert_eq!(directory.take_exports().len(), 4);

    directory.inject(Fault::RefuseAttribute("displayName".to_owned()));
    let results = connector.export(batch(vec![add(&words, "e")])).await.unwrap();
    assert_eq!(results[0].refused[0].attribute, words.id("displayName"));
    assert_eq!(directory.len(), 3);
    directory.clear_faults();
}

#[tokio::test]
async fn an_object_that_is_created_again_is_another_one() {
    let words = Words::new();
    let directory = MemoryDirectory::new();
    let connector = directory.connector(words.selection.clone());
    let mut anchors = Vec::new();
    for _ in 0..2 {
        let results = connector.export(batch(vec![add(&words, "a")])).await.unwrap();
        let ExportOutcome::Done { anchor: Some(anchor) } = &results[0].outcome else { panic!("{results:?}") };
        anchors.push(anchor.clone());
        directory.remove(anchor);
    }
    assert_ne!(anchors[0], anchors[1]);
}

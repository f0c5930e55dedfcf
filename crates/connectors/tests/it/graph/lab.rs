//! A simulator, a connector to it, and what an importer would make of the pages.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use onesync_connectors::graph::{GraphConnector, GraphSettings, RetryPolicy};
use onesync_connectors::{
    Anchor, Connector, ConnectorError, EntryChange, EntryFlags, ExportBatch, ExportItem, ExportOutcome,
    ExportResult, ImportEnd, ImportMode, ImportPage, ImportRequest, LinkExport, LinkMode, LinkTarget,
    Operation, Pass, SelectedAttribute, SelectedType, Selection, Watermark,
};
use onesync_graphsim::judged::Judged;
use onesync_graphsim::{
    Behaviours, Builder, DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_TENANT_ID, GraphSim, SeedData,
    TenantConfig,
};
use onesync_model::{Names, Value, Values};
use secrecy::SecretString;
use serde_json::{Map, Value as Json, json};
use tokio::sync::mpsc;

pub const EPOCH: u64 = 7;

pub fn settings(sim: &GraphSim) -> GraphSettings {
    let mut settings = GraphSettings::new(DEFAULT_TENANT_ID, DEFAULT_CLIENT_ID, "graph");
    settings.graph_url = sim.base_url();
    settings.login_url = sim.base_url();
    settings
}

pub fn secrets() -> BTreeMap<String, SecretString> {
    BTreeMap::from([("graph".to_owned(), SecretString::from(DEFAULT_CLIENT_SECRET))])
}

pub fn quick() -> RetryPolicy {
    RetryPolicy { base: Duration::from_millis(5), ..RetryPolicy::default() }
}

pub struct Lab {
    pub sim: Judged,
    pub graph: GraphConnector,
    pub names: Names,
}

impl Lab {
    pub async fn new() -> Lab {
        Lab::with(GraphSim::builder(), |_| {}).await
    }

    pub async fn set(change: impl FnOnce(&mut GraphSettings)) -> Lab {
        Lab::with(GraphSim::builder(), change).await
    }

    pub async fn behaving(change: impl FnOnce(&mut Behaviours)) -> Lab {
        let lab = Lab::new().await;
        lab.sim.change_behaviours(change);
        lab
    }

    pub async fn tenant(change: impl FnOnce(&mut TenantConfig)) -> Lab {
        let mut tenant = TenantConfig::default();
        change(&mut tenant);
        Lab::with(GraphSim::builder().tenant(tenant), |_| {}).await
    }

    pub async fn with(builder: Builder, change: impl FnOnce(&mut GraphSettings)) -> Lab {
        let sim = builder.judged().await.expect("starts");
        let mut settings = settings(&sim);
        change(&mut settings);
        let mut names = Names::new();
        let graph = GraphConnector::new(settings, &secrets(), &mut names).expect("a connector");
        Lab { sim, graph: graph.with_retry(quick()), names }
    }

    pub fn reconnect(&mut self, change: impl FnOnce(&mut GraphSettings)) {
        let mut settings = settings(&self.sim);
        change(&mut settings);
        let graph = GraphConnector::new(settings, &secrets(), &mut self.names).expect("a connector");
        self.graph = graph.with_retry(quick());
    }

    /// Seeds objects; the ids come back as text.
    pub fn seed(&self, users: Json, groups: Json) -> Vec<String> {
        let rows = |json: Json| -> Vec<Map<String, Json>> {
            json.as_array().into_iter().flatten().filter_map(|r| r.as_object().cloned()).collect()
        };
        let data = SeedData { users: rows(users), groups: rows(groups), ..SeedData::default() };
        self.sim.seed(data).expect("seeds").into_iter().map(|id| id.to_string()).collect()
    }

    /// Everything there is to select.
    pub async fn selection(&self) -> Selection {
        let schema = self.graph.schema().await.expect("a schema");
        let attribute = |name: &String| {
            let found = schema.attributes.iter().find(|a| a.name == *name).expect("described");
            SelectedAttribute {
                id: self.names.find(name).expect("interned"),
                name: name.clone(),
                kind: found.kind,
                multi: found.multi,
            }
        };
        let types = schema.types.iter().map(|t| SelectedType {
            id: self.names.find_type(&t.name).expect("interned"),
            name: t.name.clone(),
            attributes: t.attributes.iter().map(attribute).collect(),
        });
        Selection { types: types.collect() }
    }

    pub async fn pages(
        &self,
        mode: ImportMode,
        page_size: usize,
    ) -> (Vec<ImportPage>, Result<ImportEnd, ConnectorError>) {
        let request = ImportRequest {
            mode,
            selection: self.selection().await,
            known: None,
            containers: None,
            page_size,
        };
        let (sender, mut receiver) = mpsc::channel(4);
        let collect = async {
            let mut pages = Vec::new();
            while let Some(page) = receiver.recv().await {
                pages.push(page);
            }
            pages
        };
        let (end, pages) = tokio::join!(self.graph.import(request, sender), collect);
        (pages, end)
    }

    /// A full import into an empty space.
    pub async fn full(&self) -> (Space, ImportEnd) {
        let mut space = Space::default();
        let (pages, end) = self.pages(ImportMode::Full { resume: None }, 100).await;
        space.take(&self.names, pages);
        (space, end.expect("ends"))
    }

    /// A delta import into a space; says what came.
    pub async fn delta(&self, space: &mut Space, end: &ImportEnd) -> ImportEnd {
        let since = end.watermark.clone().expect("a watermark");
        let (pages, end) = self.pages(ImportMode::Delta { since }, 100).await;
        space.take(&self.names, pages);
        end.expect("ends")
    }

    pub fn add(&self, kind: &str, key: &str, values: Json) -> ExportItem {
        ExportItem {
            operation: Operation::Add,
            object_type: self.names.find_type(kind).expect("a type"),
            anchor: None,
            create_key: Some(key.to_owned()),
            values: self.values(values),
            links: Vec::new(),
        }
    }

    pub fn user(&self, name: &str) -> ExportItem {
        let key = format!("key-{name}==");
        self.add(
            "user",
            &key,
            json!({"accountEnabled": true, "displayName": name, "onPremisesImmutableId": key,
                "userPrincipalName": format!("{name}@contoso.com")}),
        )
    }

    pub fn group(&self, name: &str) -> ExportItem {
        self.add(
            "group",
            &format!("g+{name}/="),
            json!({"displayName": name, "uniqueName": format!("g+{name}/=")}),
        )
    }

    pub fn update(&self, kind: &str, id: &str, values: Json) -> ExportItem {
        ExportItem {
            operation: Operation::Update,
            anchor: Some(Anchor::text(id)),
            create_key: None,
            ..self.add(kind, "", values)
        }
    }

    pub fn delete(&self, kind: &str, id: &str) -> ExportItem {
        ExportItem { operation: Operation::Delete, ..self.update(kind, id, json!({})) }
    }

    pub fn link(&self, kind: &str, id: &str, attribute: &str, add: &[&str], remove: &[&str]) -> ExportItem {
        let mut item = self.update(kind, id, json!({}));
        item.links = vec![self.links(attribute, add, remove)];
        item
    }

    pub fn links(&self, attribute: &str, add: &[&str], remove: &[&str]) -> LinkExport {
        let anchors = |ids: &[&str]| ids.iter().map(|id| Anchor::text(id)).collect();
        LinkExport {
            attribute: self.names.find(attribute).expect("interned"),
            add: anchors(add),
            remove: anchors(remove),
        }
    }

    fn values(&self, json: Json) -> Vec<(onesync_model::AttrId, Option<Values>)> {
        let map = json.as_object().expect("an object");
        map.iter()
            .map(|(name, json)| {
                let values = onesync_model::values_from_json(json).expect("values");
                (self.names.find(name).unwrap_or_else(|| panic!("{name} is unknown")), values)
            })
            .collect()
    }

    pub async fn export(&self, items: Vec<ExportItem>) -> Vec<ExportResult> {
        self.try_export(items).await.expect("exports")
    }

    pub async fn try_export(&self, items: Vec<ExportItem>) -> Result<Vec<ExportResult>, ConnectorError> {
        let count = items.len();
        let results =
            self.graph.export(ExportBatch { items, pass: Pass::unchecked(EPOCH), seed: [3; 32] }).await?;
        assert_eq!(results.len(), count);
        Ok(results)
    }

    /// Creates and gives the id.
    pub async fn create(&self, item: ExportItem) -> String {
        let results = self.export(vec![item]).await;
        created(&results[0])
    }

    /// An object of the tenant as it is.
    pub fn object(&self, set: &str, id: &str) -> Json {
        let dump = self.sim.dump();
        let found = dump[set].as_array().into_iter().flatten().find(|o| o["id"] == id);
        found.cloned().unwrap_or(Json::Null)
    }

    pub fn name(&self, attribute: onesync_model::AttrId) -> &str {
        self.names.name(attribute)
    }

    /// Writes with an effect, as `METHOD path`.
    pub fn writes(&self, after: u64) -> Vec<String> {
        self.sim.changes(after).iter().map(|e| format!("{} {}", e.method, e.path)).collect()
    }

    /// Judges all traffic and stops.
    pub async fn finish(self) {
        self.sim.shutdown().await.expect("stops");
    }
}

pub fn created(result: &ExportResult) -> String {
    match &result.outcome {
        ExportOutcome::Done { anchor: Some(anchor) } => anchor.to_string(),
        other => panic!("not created: {other:?}"),
    }
}

#[track_caller]
pub fn done(result: &ExportResult) {
    assert!(matches!(result.outcome, ExportOutcome::Done { .. }), "{:?}", result.outcome);
    assert!(result.refused.is_empty(), "{:?}", result.refused);
}

#[track_caller]
pub fn failed(result: &ExportResult) -> ConnectorError {
    match &result.outcome {
        ExportOutcome::Failed(error) => error.clone(),
        other => panic!("not failed: {other:?}"),
    }
}

/// An object as an importer would hold it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    pub kind: String,
    pub dn: String,
    pub values: BTreeMap<String, Values>,
    pub links: BTreeMap<String, BTreeSet<String>>,
    pub flags: EntryFlags,
}

impl Object {
    pub fn text(&self, attribute: &str) -> Option<String> {
        self.values.get(attribute).map(|v| v.first().to_string())
    }

    pub fn linked(&self, attribute: &str) -> Vec<&str> {
        self.links.get(attribute).into_iter().flatten().map(String::as_str).collect()
    }
}

/// A connector space in small.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Space {
    pub objects: BTreeMap<String, Object>,
    /// Entries of the last import, as `change anchor`.
    pub told: Vec<String>,
    /// Parts of link values that were begun and not ended.
    open: BTreeMap<(String, String), BTreeSet<String>>,
}

impl Space {
    pub fn take(&mut self, names: &Names, pages: Vec<ImportPage>) {
        self.told.clear();
        let mut full = BTreeSet::new();
        for entry in pages.into_iter().flat_map(|p| p.entries) {
            let id = entry.anchor.to_string();
            self.told.push(format!("{:?} {id}", entry.change));
            if entry.change == EntryChange::Delete {
                self.objects.remove(&id);
                continue;
            }
            if entry.change == EntryChange::Full {
                assert!(full.insert(id.clone()), "{id} came whole twice");
                let links = self.objects.get(&id).map(|o| o.links.clone()).unwrap_or_default();
                self.objects.insert(id.clone(), Object { links, ..Object::default() });
            }
            let object = self.objects.entry(id.clone()).or_default();
            if let Some(kind) = entry.object_type {
                object.kind = names.type_name(kind).to_owned();
            }
            if let Some(dn) = entry.dn {
                object.dn = dn;
            }
            if entry.change != EntryChange::MoreLinks {
                object.flags = entry.flags;
            }
            for (attribute, values) in entry.values {
                object.values.insert(names.name(attribute).to_owned(), values);
            }
            for attribute in entry.cleared {
                object.values.remove(names.name(attribute));
            }
            for chunk in entry.links {
                let name = names.name(chunk.attribute).to_owned();
                let targets = chunk.targets.iter().map(|t| match t {
                    LinkTarget::Anchor(anchor) => anchor.to_string(),
                    LinkTarget::Dn(dn) => panic!("a link by name: {dn}"),
                });
                let held = object.links.entry(name.clone()).or_default();
                let key = (id.clone(), name);
                match chunk.mode {
                    LinkMode::Add => held.extend(targets),
                    LinkMode::Remove => {
                        for target in targets {
                            held.remove(&target);
                        }
                    }
                    LinkMode::Unknown => panic!("unknown links"),
                    LinkMode::Replace { first, last } => {
                        if first {
                            self.open.insert(key.clone(), BTreeSet::new());
                        }
                        let part = self.open.get_mut(&key).expect("a part without beginning");
                        part.extend(targets);
                        if last {
                            *held = self.open.remove(&key).unwrap_or_default();
                        }
                    }
                }
            }
        }
        for object in self.objects.values_mut() {
            object.links.retain(|_, targets| !targets.is_empty());
        }
        assert!(self.open.is_empty(), "link values without end: {:?}", self.open.keys());
    }

    pub fn named(&self, dn: &str) -> &Object {
        self.objects.values().find(|o| o.dn == dn).unwrap_or_else(|| panic!("no {dn}"))
    }

    pub fn kinds(&self) -> BTreeMap<&str, usize> {
        self.objects.values().fold(BTreeMap::new(), |mut counts, o| {
            *counts.entry(o.kind.as_str()).or_default() += 1;
            counts
        })
    }
}

pub fn text(text: &str) -> Values {
    Values::one(Value::string(text))
}

pub fn resume(page: &ImportPage) -> Watermark {
    page.resume.clone().expect("a point to go on from")
}

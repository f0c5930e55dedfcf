//! The suite of the contract.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use onesync_connectors::ExportItem;
use onesync_connectors::conformance::{self, DirectoryDriver, Shape, TestObject};
use onesync_graphsim::{FaultAction, FaultPhase, FaultRule};
use onesync_model::{AttrId, Values};
use serde_json::{Value as Json, json};

use super::lab::{Lab, done};

/// Fills the tenant through a connector of its own.
struct Driver {
    lab: Lab,
    shape: Shape,
    /// Keys of deleted users stay taken: each creation has a new one.
    count: AtomicU64,
}

struct Present {
    id: String,
    text: String,
    members: BTreeSet<String>,
}

impl Driver {
    fn present(&self, set: &str, name_of: impl Fn(&Json) -> String) -> BTreeMap<String, Present> {
        let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
        let dump = self.lab.sim.dump();
        let rows = dump[set].as_array().cloned().unwrap_or_default();
        rows.iter()
            .map(|o| {
                let members = o["members"].as_array().into_iter().flatten().map(text).collect();
                (name_of(o), Present { id: text(&o["id"]), text: text(&o["displayName"]), members })
            })
            .filter(|(name, _)| !name.starts_with("onesync-marker"))
            .collect()
    }

    fn users(&self) -> BTreeMap<String, Present> {
        self.present("users", |o| {
            let upn = o["userPrincipalName"].as_str().unwrap_or_default();
            upn.split('@').next().unwrap_or_default().to_owned()
        })
    }

    fn groups(&self) -> BTreeMap<String, Present> {
        self.present("groups", |o| o["mailNickname"].as_str().unwrap_or_default().to_owned())
    }

    fn all(&self) -> BTreeMap<String, (bool, Present)> {
        let users = self.users().into_iter().map(|(name, o)| (name, (false, o)));
        users.chain(self.groups().into_iter().map(|(name, o)| (name, (true, o)))).collect()
    }

    fn new_item(&self, object: &TestObject, key: &str) -> ExportItem {
        let values = if object.is_group {
            json!({"displayName": object.text, "uniqueName": key, "mailNickname": object.name})
        } else {
            json!({"accountEnabled": true, "displayName": object.text, "onPremisesImmutableId": key,
                "userPrincipalName": format!("{}@contoso.com", object.name)})
        };
        self.lab.add(kind(object.is_group), key, values)
    }

    async fn write(&self, items: Vec<ExportItem>) {
        self.lab.export(items).await.iter().for_each(done);
    }
}

fn kind(is_group: bool) -> &'static str {
    if is_group { "group" } else { "user" }
}

#[async_trait]
impl DirectoryDriver for Driver {
    fn shape(&self) -> Shape {
        self.shape.clone()
    }

    async fn hold(&self, objects: &[TestObject]) {
        let wanted: BTreeMap<&str, &TestObject> = objects.iter().map(|o| (o.name.as_str(), o)).collect();
        let mut items = Vec::new();
        let present = self.all();
        for (name, (is_group, object)) in &present {
            match wanted.get(name.as_str()) {
                None => items.push(self.lab.delete(kind(*is_group), &object.id)),
                Some(o) if o.text != object.text => {
                    items.push(self.lab.update(kind(*is_group), &object.id, json!({"displayName": o.text})));
                }
                Some(_) => {}
            }
        }
        for object in objects.iter().filter(|o| !present.contains_key(&o.name)) {
            let number = self.count.fetch_add(1, Ordering::Relaxed);
            items.push(self.new_item(object, &format!("held-{number}")));
        }
        self.write(items).await;
        let present = self.all();
        let mut links = Vec::new();
        for object in objects.iter().filter(|o| o.is_group) {
            let (_, group) = &present[&object.name];
            let wanted: BTreeSet<String> = object.members.iter().map(|m| present[m].1.id.clone()).collect();
            let difference = |a: &BTreeSet<String>, b: &BTreeSet<String>| -> Vec<String> {
                a.difference(b).cloned().collect()
            };
            let (add, remove) = (difference(&wanted, &group.members), difference(&group.members, &wanted));
            if !add.is_empty() || !remove.is_empty() {
                let add: Vec<&str> = add.iter().map(String::as_str).collect();
                let remove: Vec<&str> = remove.iter().map(String::as_str).collect();
                links.push(self.lab.link("group", &group.id, "members", &add, &remove));
            }
        }
        self.write(links).await;
    }

    fn create_key(&self, name: &str) -> String {
        format!("key+{name}/=")
    }

    fn create_values(&self, object: &TestObject) -> Vec<(AttrId, Option<Values>)> {
        self.new_item(object, &self.create_key(&object.name)).values
    }

    async fn lose_next_answer(&self) -> bool {
        self.lab.sim.fault(FaultRule {
            method: Some("POST".into()),
            path: Some("/v1.0/users".into()),
            phase: FaultPhase::After,
            action: FaultAction::Reset,
            ..FaultRule::default()
        });
        true
    }
}

#[tokio::test]
async fn it_passes_the_suite() {
    for parts in [false, true] {
        let lab = Lab::behaving(|b| {
            if parts {
                b.delta_page = 3;
                b.delta_members_page = 5;
            }
        })
        .await;
        let mut selection = lab.selection().await;
        selection.types.retain(|t| matches!(t.name.as_str(), "user" | "group"));
        for selected in &mut selection.types {
            selected.attributes.retain(|a| a.name != "owners");
        }
        let shape = Shape {
            selection,
            person: "user".to_owned(),
            group: "group".to_owned(),
            text: "displayName".to_owned(),
            member: "members".to_owned(),
        };
        let mut names = lab.names.clone();
        let settings = super::lab::settings(&lab.sim);
        let graph =
            onesync_connectors::graph::GraphConnector::new(settings, &super::lab::secrets(), &mut names)
                .unwrap()
                .with_retry(super::lab::quick());
        let driver = Driver { lab, shape, count: AtomicU64::new(0) };
        let report = conformance::check(&graph, &driver).await;
        assert!(report.failed.is_empty() && report.skipped.is_empty(), "{report}");
        driver.lab.finish().await;
    }
}

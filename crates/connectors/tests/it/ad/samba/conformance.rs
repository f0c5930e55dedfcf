//! The suite of the contract.

use std::collections::BTreeMap;

use async_trait::async_trait;
use onesync_connectors::conformance::{self, DirectoryDriver, Shape, TestObject};
use onesync_ldap::ChangeKind::{Add, Delete, Replace};
use tokio::sync::Mutex;

use super::super::lab::{Lab, connector};

/// Fills the OU of a test.
struct Driver {
    shape: Shape,
    state: Mutex<State>,
}

struct State {
    lab: Lab,
    held: BTreeMap<String, TestObject>,
}

impl State {
    fn dn(&self, name: &str) -> String {
        self.lab.dn(&format!("CN={name}"))
    }

    async fn hold(&mut self, objects: &[TestObject]) {
        let wanted: BTreeMap<&str, &TestObject> = objects.iter().map(|o| (o.name.as_str(), o)).collect();
        let gone: Vec<String> =
            self.held.keys().filter(|name| !wanted.contains_key(name.as_str())).cloned().collect();
        for name in gone {
            let dn = self.dn(&name);
            self.lab.client.delete(&dn, Vec::new()).await.unwrap();
            self.held.remove(&name);
            // the directory takes what is gone out of all groups by itself
            for other in self.held.values_mut() {
                other.members.retain(|member| *member != name);
            }
        }
        for object in objects {
            let rdn = format!("CN={}", object.name);
            let old = match self.held.get(&object.name) {
                Some(old) => old.clone(),
                None if object.is_group => {
                    self.lab.group(&rdn, &[]).await;
                    TestObject { text: String::new(), members: Vec::new(), ..object.clone() }
                }
                None => {
                    self.lab.user(&rdn, &[]).await;
                    TestObject { text: String::new(), members: Vec::new(), ..object.clone() }
                }
            };
            if old.text != object.text {
                let dn = self.dn(&object.name);
                self.lab.modify(&dn, &[(Replace, "description", &[&object.text])]).await;
            }
            self.held.insert(object.name.clone(), TestObject { members: old.members, ..object.clone() });
        }
        for object in objects.iter().filter(|object| object.is_group) {
            let (dn, old) = (self.dn(&object.name), self.held[&object.name].members.clone());
            for (kind, from, without) in [(Add, &object.members, &old), (Delete, &old, &object.members)] {
                let names: Vec<String> =
                    from.iter().filter(|name| !without.contains(name)).map(|name| self.dn(name)).collect();
                if !names.is_empty() {
                    let values: Vec<&str> = names.iter().map(String::as_str).collect();
                    self.lab.modify(&dn, &[(kind, "member", &values)]).await;
                }
            }
            self.held.insert(object.name.clone(), object.clone());
        }
    }
}

#[async_trait]
impl DirectoryDriver for Driver {
    fn shape(&self) -> Shape {
        self.shape.clone()
    }

    async fn hold(&self, objects: &[TestObject]) {
        self.state.lock().await.hold(objects).await;
    }
}

#[tokio::test]
async fn active_directory_passes_the_suite() {
    let Some(lab) = Lab::open("conformance").await else { return };
    let reader = connector(lab.settings());
    let shape = Shape {
        selection: lab.selection.clone(),
        person: "user".to_owned(),
        group: "group".to_owned(),
        text: "description".to_owned(),
        member: "member".to_owned(),
    };
    let driver = Driver { shape, state: Mutex::new(State { lab, held: BTreeMap::new() }) };
    let report = conformance::check(&reader, &driver).await;
    assert!(report.failed.is_empty(), "{report}");
    let tried: Vec<_> = ["full import", "delta import", "useless watermark", "dropped receiver"].into();
    assert!(tried.iter().all(|part| report.passed.contains(part)), "{report}");
    driver.state.into_inner().lab.close().await;
}

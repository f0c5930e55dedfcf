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
    container: &'static str,
}

impl State {
    fn dn(&self, name: &str) -> String {
        self.lab.dn(&self.rdns(name))
    }

    /// All objects lie in one container, which is renamed.
    fn rdns(&self, name: &str) -> String {
        format!("CN={name},{}", self.container)
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
            let rdn = self.rdns(&object.name);
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

    async fn rename_container(&self) -> bool {
        let mut state = self.state.lock().await;
        let before = state.lab.dn(state.container);
        state.container = "OU=renamed";
        state.lab.rename(&before, "OU=renamed", None).await;
        true
    }
}

#[tokio::test]
async fn active_directory_passes_the_suite() {
    let Some(mut lab) = Lab::open("conformance").await else { return };
    lab.add(&lab.dn("OU=first"), "organizationalUnit", &[]).await;
    let reader = connector(lab.settings());
    let shape = Shape {
        selection: lab.selection.clone(),
        person: "user".to_owned(),
        group: "group".to_owned(),
        text: "description".to_owned(),
        member: "member".to_owned(),
    };
    let driver =
        Driver { shape, state: Mutex::new(State { lab, held: BTreeMap::new(), container: "OU=first" }) };
    let report = conformance::check(&reader, &driver).await;
    assert!(report.failed.is_empty(), "{report}");
    let tried: Vec<_> =
        ["full import", "delta import", "renamed container", "useless watermark", "dropped receiver"].into();
    assert!(tried.iter().all(|part| report.passed.contains(part)), "{report}");
    driver.state.into_inner().lab.close().await;
}

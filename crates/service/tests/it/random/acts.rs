//! What happens in directories: small acts with small numbers, so that they collide often and shrink well.

use onesync_connectors::memory::{MemoryDirectory, MemoryObject};
use onesync_connectors::{Anchor, LinkTarget};
use onesync_model::{Value, Values};
use proptest::prelude::*;

use super::house::Directories;

const VALUES: [&str; 4] = ["v0", "v1", "v2", "v3"];
const TEXTS: [&str; 6] = ["displayName", "department", "title", "hidden", "tel", "description"];

/// One thing that happens. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
pub enum Act {
    /// An object appears: forest, type, anchor, join value, second join value, container.
    Add { b: bool, sort: u8, number: u8, uid: u8, mail: u8, container: u8 },
    /// An object goes.
    Remove { b: bool, at: u8 },
    /// A text changes, or goes.
    Text { b: bool, at: u8, name: u8, value: Option<u8> },
    /// A join value changes, or goes.
    Key { b: bool, at: u8, second: bool, value: Option<u8> },
    /// A link is added.
    Link { b: bool, at: u8, name: u8, to: u8 },
    /// A link is removed.
    Unlink { b: bool, at: u8, nth: u8 },
    /// A link is added whose target nobody knows.
    Dangle { b: bool, at: u8, name: u8, to: u8 },
    /// An object is renamed or moved.
    Rename { b: bool, at: u8, name: u8, container: u8 },
    /// A container is renamed or moved with everything below it, or, without a name, goes if it is empty.
    Container { b: bool, at: u8, name: Option<u8>, into: u8 },
    /// A container appears.
    Open { b: bool, number: u8, name: u8 },
    /// An object becomes one of another type.
    Retype { b: bool, at: u8, sort: u8 },
    /// Somebody changes an object of the cloud.
    Drift { at: u8, name: u8, value: Option<u8> },
    /// Somebody makes an object in the cloud that one of the forests may want.
    Make { b: bool, number: u8, team: bool },
    /// Somebody deletes an object of the cloud.
    Delete { at: u8 },
    /// Somebody takes a link out of the cloud, or puts one in.
    CloudLink { at: u8, to: u8, add: bool },
}

impl Act {
    /// Whether it happens in the cloud: what it does then depends on how far exports have come.
    pub fn in_cloud(&self) -> bool {
        matches!(self, Self::Drift { .. } | Self::Make { .. } | Self::Delete { .. } | Self::CloudLink { .. })
    }
}

pub fn act() -> impl Strategy<Value = Act> {
    let value = || prop::option::weighted(0.8, 0u8..4);
    prop_oneof![
        6 => (any::<bool>(), 0u8..6, 0u8..24, 0u8..8, 0u8..8, 0u8..4).prop_map(
            |(b, sort, number, uid, mail, container)| Act::Add { b, sort, number, uid, mail, container }
        ),
        2 => (any::<bool>(), any::<u8>()).prop_map(|(b, at)| Act::Remove { b, at }),
        4 => (any::<bool>(), any::<u8>(), 0u8..6, value())
            .prop_map(|(b, at, name, value)| Act::Text { b, at, name, value }),
        3 => (any::<bool>(), any::<u8>(), any::<bool>(), prop::option::weighted(0.8, 0u8..8))
            .prop_map(|(b, at, second, value)| Act::Key { b, at, second, value }),
        6 => (any::<bool>(), any::<u8>(), 0u8..3, any::<u8>())
            .prop_map(|(b, at, name, to)| Act::Link { b, at, name, to }),
        2 => (any::<bool>(), any::<u8>(), any::<u8>()).prop_map(|(b, at, nth)| Act::Unlink { b, at, nth }),
        1 => (any::<bool>(), any::<u8>(), 0u8..3, 0u8..24)
            .prop_map(|(b, at, name, to)| Act::Dangle { b, at, name, to }),
        2 => (any::<bool>(), any::<u8>(), 0u8..8, 0u8..4)
            .prop_map(|(b, at, name, container)| Act::Rename { b, at, name, container }),
        2 => (any::<bool>(), any::<u8>(), prop::option::weighted(0.9, 0u8..5), 0u8..12)
            .prop_map(|(b, at, name, into)| Act::Container { b, at, name, into }),
        1 => (any::<bool>(), 0u8..6, 0u8..5).prop_map(|(b, number, name)| Act::Open { b, number, name }),
        1 => (any::<bool>(), any::<u8>(), 0u8..3).prop_map(|(b, at, sort)| Act::Retype { b, at, sort }),
        1 => (any::<u8>(), 0u8..3, value()).prop_map(|(at, name, value)| Act::Drift { at, name, value }),
        1 => any::<u8>().prop_map(|at| Act::Delete { at }),
        1 => (any::<bool>(), 0u8..24, any::<bool>()).prop_map(|(b, number, team)| Act::Make { b, number, team }),
        1 => (any::<u8>(), any::<u8>(), any::<bool>()).prop_map(|(at, to, add)| Act::CloudLink { at, to, add }),
    ]
}

/// First what is there, then what happens, round by round.
#[derive(Clone, Debug)]
pub struct Play {
    pub first: Vec<Act>,
    pub rounds: Vec<Vec<Act>>,
}

pub fn play(objects: usize, rounds: usize) -> impl Strategy<Value = Play> {
    (
        prop::collection::vec(act(), 0..objects),
        prop::collection::vec(prop::collection::vec(act(), 1..6), 0..=rounds),
    )
        .prop_map(|(first, rounds)| Play { first, rounds })
}

pub fn perform(directories: &Directories, acts: &[Act]) {
    for act in acts {
        perform_one(directories, act);
    }
}

fn perform_one(d: &Directories, act: &Act) {
    let forest = |b: bool| if b { &d.b } else { &d.a };
    match *act {
        Act::Add { b, sort, number, uid, mail, container } => {
            add(forest(b), b, sort, number, uid, mail, container)
        }
        Act::Remove { b, at } => {
            if let Some(object) = pick(forest(b), at) {
                drop_links_to(forest(b), b, &object);
                forest(b).remove(&object.anchor);
            }
        }
        Act::Text { b, at, name, value } => {
            if let Some(object) = pick(forest(b), at) {
                let name = TEXTS[usize::from(name) % TEXTS.len()];
                forest(b).set(&object.anchor, name, value.map(text));
            }
        }
        Act::Key { b, at, second, value } => {
            if let Some(object) = pick(forest(b), at) {
                let (name, first) = match (object.object_type.as_str(), second) {
                    ("group", _) => ("cn", 'g'),
                    ("contact", _) | (_, true) => ("mail", 'm'),
                    _ => ("uid", 'u'),
                };
                let value = value.map(|n| Values::one(Value::string(format!("{first}{n}"))));
                forest(b).set(&object.anchor, name, value);
            }
        }
        Act::Link { b, at, name, to } => {
            if let (Some(object), Some(to)) = (pick(forest(b), at), pick(forest(b), to)) {
                add_link(forest(b), &object, name, target(b, &to));
            }
        }
        Act::Dangle { b, at, name, to } => {
            if let Some(object) = pick(forest(b), at) {
                let to = if b {
                    LinkTarget::Anchor(Anchor::text(&format!("b-{to}")))
                } else {
                    LinkTarget::Dn(format!("CN=n{to}-a-{to},OU=o{},DC=a", to % 4))
                };
                add_link(forest(b), &object, name, to);
            }
        }
        Act::Unlink { b, at, nth } => {
            if let Some(object) = pick(forest(b), at) {
                let links: Vec<(String, LinkTarget)> = object
                    .links
                    .iter()
                    .flat_map(|(name, targets)| targets.iter().map(|target| (name.clone(), target.clone())))
                    .collect();
                if let Some((name, target)) = links.get(usize::from(nth) % links.len().max(1)) {
                    forest(b).unlink(&object.anchor, name, target);
                }
            }
        }
        Act::Rename { b, at, name, container } => {
            if let Some(object) = pick(forest(b), at) {
                let dn =
                    format!("CN=n{name}-{},OU=o{container},DC={}", object.anchor, if b { 'b' } else { 'a' });
                rename(forest(b), b, &object, &dn);
            }
        }
        Act::Container { b, at, name, into } => change_container(forest(b), b, at, name, into),
        Act::Open { b, number, name } => {
            let (anchor, dn) =
                (format!("ou-{number}"), format!("OU=o{name},DC={}", if b { 'b' } else { 'a' }));
            let taken = |(known, name): &(Anchor, String)| *known == Anchor::text(&anchor) || *name == dn;
            if !forest(b).containers().iter().any(taken) {
                forest(b).put_container(&anchor, &dn);
            }
        }
        Act::Retype { b, at, sort } => {
            if let Some(mut object) = pick(forest(b), at) {
                object.object_type = ["user", "group", "contact"][usize::from(sort)].to_owned();
                forest(b).put(object);
            }
        }
        Act::Drift { at, name, value } => {
            if let Some(object) = pick(&d.cloud, at) {
                let name = ["note", "department", "name"][usize::from(name)];
                d.cloud.set(&object.anchor, name, value.map(text));
            }
        }
        Act::Make { b, number, team } => {
            let key = format!("{}-{number}", if b { 'b' } else { 'a' });
            let (kind, anchor) = (if team { "team" } else { "account" }, format!("made-{team}-{key}"));
            if !d.cloud.objects().iter().any(|o| o.get("key") == Some(&Values::one(Value::string(&key)))) {
                let made = MemoryObject::new(kind, &anchor, &key).with("key", key.as_str());
                d.cloud.put(MemoryObject { create_key: Some(key), ..made });
            }
        }
        Act::Delete { at } => {
            if let Some(object) = pick(&d.cloud, at) {
                drop_links_to(&d.cloud, true, &object);
                d.cloud.remove(&object.anchor);
            }
        }
        Act::CloudLink { at, to, add } => {
            if let (Some(object), Some(to)) = (pick(&d.cloud, at), pick(&d.cloud, to)) {
                let name = if object.object_type == "team" { "member" } else { "manager" };
                let to = LinkTarget::Anchor(to.anchor);
                if add {
                    d.cloud.link(&object.anchor, name, to);
                } else {
                    d.cloud.unlink(&object.anchor, name, &to);
                }
            }
        }
    }
}

fn pick(directory: &MemoryDirectory, at: u8) -> Option<MemoryObject> {
    let objects = directory.objects();
    objects.get(usize::from(at) % objects.len().max(1)).cloned()
}

fn text(n: u8) -> Values {
    Values::one(Value::string(VALUES[usize::from(n) % VALUES.len()]))
}

fn add(forest: &MemoryDirectory, b: bool, sort: u8, number: u8, uid: u8, mail: u8, container: u8) {
    let letter = if b { 'b' } else { 'a' };
    let anchor = format!("{letter}-{number}");
    if forest.object(&Anchor::text(&anchor)).is_some() {
        return;
    }
    let kind = ["user", "user", "user", "group", "group", "contact"][usize::from(sort) % 6];
    let dn = format!("CN=n{number}-{anchor},OU=o{container},DC={letter}");
    let mut object = MemoryObject::new(kind, &anchor, &dn).with("guid", anchor.as_str());
    object = match kind {
        "group" => object.with("cn", format!("g{uid}").as_str()),
        _ => {
            object.with("mail", format!("m{mail}").as_str()).with("displayName", VALUES[usize::from(uid) % 4])
        }
    };
    if kind == "user" {
        object =
            object.with("uid", format!("u{uid}").as_str()).with("department", VALUES[usize::from(mail) % 4]);
    }
    forest.put(object);
}

fn target(b: bool, object: &MemoryObject) -> LinkTarget {
    if b { LinkTarget::Anchor(object.anchor.clone()) } else { LinkTarget::Dn(object.dn.clone()) }
}

fn add_link(forest: &MemoryDirectory, object: &MemoryObject, name: u8, to: LinkTarget) {
    let name = match (object.object_type.as_str(), name) {
        ("group", 0 | 1) => "member",
        ("group", _) => "managedBy",
        _ => "manager",
    };
    if name != "member" {
        for known in object.targets(name) {
            forest.unlink(&object.anchor, name, &known);
        }
    }
    forest.link(&object.anchor, name, to);
}

/// Objects are put into containers by name, whether or not these are there: then they are known only by the names.
fn change_container(forest: &MemoryDirectory, b: bool, at: u8, name: Option<u8>, into: u8) {
    let all = forest.containers();
    let Some((anchor, dn)) = all.get(usize::from(at) % all.len().max(1)) else { return };
    let lies_in = |dn: &str, outer: &str| dn.ends_with(&format!(",{outer}"));
    let Some(name) = name else {
        let used = forest.objects().iter().any(|object| lies_in(&object.dn, dn));
        if !used && !all.iter().any(|(_, other)| lies_in(other, dn)) {
            forest.remove_container(anchor);
        }
        return;
    };
    let parent = match all.get(usize::from(into)) {
        Some((other, parent)) if other != anchor && !lies_in(parent, dn) => parent.clone(),
        _ => format!("DC={}", if b { 'b' } else { 'a' }),
    };
    forest.rename_container(anchor, &format!("OU=o{name},{parent}"));
}

/// A directory keeps no links to what is gone.
fn drop_links_to(directory: &MemoryDirectory, by_anchor: bool, gone: &MemoryObject) {
    let to = target(by_anchor, gone);
    for object in directory.objects() {
        for name in ["manager", "member", "managedBy", "owner"] {
            directory.unlink(&object.anchor, name, &to);
        }
    }
}

/// A directory that names links by DN gives them the new one.
fn rename(forest: &MemoryDirectory, b: bool, object: &MemoryObject, dn: &str) {
    let old = target(b, object);
    forest.rename(&object.anchor, dn);
    if b {
        return;
    }
    for referrer in forest.objects() {
        for name in ["manager", "member", "managedBy"] {
            if forest.unlink(&referrer.anchor, name, &old) {
                forest.link(&referrer.anchor, name, LinkTarget::Dn(dn.to_owned()));
            }
        }
    }
}

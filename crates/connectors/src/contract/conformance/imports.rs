//! What an import promises.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::observed::{Observed, collect, collect_knowing, observe, observed};
use super::{DirectoryDriver, Report, TestObject};
use crate::{
    Anchor, Connector, ConnectorError, EntryChange, ErrorClass, ImportMode, ImportRequest, KnownContainers,
    LinkMode, Watermark,
};

const FULL: ImportMode = ImportMode::Full { resume: None };

/// Large enough for everything at once.
const LARGE_PAGE: usize = 1_000;

/// Members of the group that does not fit in a small page.
const MANY: usize = 60;

fn some_objects() -> Vec<TestObject> {
    let mut objects: Vec<_> = ["a", "b", "c", "d", "e", "f", "g"].map(TestObject::person).into();
    objects.push(TestObject::group("empty", &[]));
    objects.push(TestObject::group("team", &["a", "b", "c", "empty"]));
    objects
}

fn large_group() -> Vec<TestObject> {
    let names: Vec<_> = (0..MANY).map(|n| format!("person{n:02}")).collect();
    let mut objects: Vec<_> = names.iter().map(|name| TestObject::person(name)).collect();
    objects.push(TestObject::group("everyone", &names.iter().map(String::as_str).collect::<Vec<_>>()));
    objects.push(TestObject::person("last"));
    objects
}

/// Full imports; leaves the directory filled.
pub async fn check_full(connector: &dyn Connector, driver: &dyn DirectoryDriver, report: &mut Report) {
    report.note("large groups in small pages", large(connector, driver).await);
    report.note("full import", full(connector, driver).await);
    report.note("small pages", small_pages(connector, driver).await);
    report.note("the same twice", twice(connector, driver).await);
    report.note("resume", resume(connector, driver).await);
    report.note("dropped receiver", dropped_receiver(connector, driver).await);
}

async fn large(connector: &dyn Connector, driver: &dyn DirectoryDriver) -> Result<(), String> {
    let objects = large_group();
    driver.hold(&objects).await;
    let seen = observe(connector, &driver.shape(), FULL, 4).await?;
    seen.expect(&objects)?;
    if seen.pages.len() < MANY / 4 {
        return Err(format!("{} objects came in {} pages of 4", objects.len(), seen.pages.len()));
    }
    Ok(())
}

async fn full(connector: &dyn Connector, driver: &dyn DirectoryDriver) -> Result<(), String> {
    let objects = some_objects();
    driver.hold(&objects).await;
    let seen = observe(connector, &driver.shape(), FULL, LARGE_PAGE).await?;
    if !seen.containers.is_empty() && !tells_containers(connector) {
        return Err("containers are told where names in links would not move along".to_owned());
    }
    seen.expect(&objects)
}

/// Whether a connector may tell of containers by entries of their own.
fn tells_containers(connector: &dyn Connector) -> bool {
    let capabilities = connector.capabilities();
    capabilities.hierarchical && !capabilities.links_by_name
}

async fn small_pages(connector: &dyn Connector, driver: &dyn DirectoryDriver) -> Result<(), String> {
    observe(connector, &driver.shape(), FULL, 1).await?;
    observe(connector, &driver.shape(), FULL, 2).await?.expect(&some_objects())
}

async fn twice(connector: &dyn Connector, driver: &dyn DirectoryDriver) -> Result<(), String> {
    let first = observe(connector, &driver.shape(), FULL, LARGE_PAGE).await?;
    let second = observe(connector, &driver.shape(), FULL, LARGE_PAGE).await?;
    if first.seen == second.seen { Ok(()) } else { Err("two imports of one directory differ".to_owned()) }
}

/// From every place that is given, the import goes on so that nothing is missing.
async fn resume(connector: &dyn Connector, driver: &dyn DirectoryDriver) -> Result<(), String> {
    let shape = driver.shape();
    let whole = observe(connector, &shape, FULL, 2).await?;
    for (index, page) in whole.pages.iter().enumerate() {
        let Some(watermark) = page.resume.clone() else { continue };
        let mode = ImportMode::Full { resume: Some(watermark) };
        let (rest, end) = collect(connector, &shape, mode, 2).await;
        let end = end.map_err(|error| format!("going on after page {index} failed: {error}"))?;
        let mut pages = whole.pages[..=index].to_vec();
        pages.extend(rest);
        let together = observed(&shape, &FULL, 2, pages, end)?;
        if together.seen != whole.seen {
            return Err(format!("an import that went on after page {index} saw something else"));
        }
        if together.end.proof != whole.end.proof {
            return Err(format!("an import that went on after page {index} is {:?}", together.end.proof));
        }
    }
    Ok(())
}

/// A connector stops when nobody listens, and then proves nothing.
async fn dropped_receiver(connector: &dyn Connector, driver: &dyn DirectoryDriver) -> Result<(), String> {
    let selection = driver.shape().selection;
    let request = ImportRequest { mode: FULL, selection, known: None, containers: None, page_size: 1 };
    let (sender, mut receiver) = mpsc::channel(1);
    let receive = async {
        let first = receiver.recv().await;
        drop(receiver);
        first
    };
    let (end, first) = tokio::join!(connector.import(request, sender), receive);
    match end {
        _ if first.is_none() => Err("no page came".to_owned()),
        Err(error) if error.class == ErrorClass::Stopped => Ok(()),
        Err(error) => Err(format!("the import ended with {error:?}")),
        Ok(end) => Err(format!("the import claims to have ended: {:?}", end.proof)),
    }
}

/// Bytes that no connector ever wrote.
pub async fn useless_watermark(
    connector: &dyn Connector,
    driver: &dyn DirectoryDriver,
) -> Result<(), String> {
    let since = Watermark(b"\xff no watermark".to_vec());
    match collect(connector, &driver.shape(), ImportMode::Delta { since }, LARGE_PAGE).await {
        (_, Err(error)) if error.class == ErrorClass::Watermark => Ok(()),
        (_, other) => Err(format!("a useless watermark gives {other:?}")),
    }
}

/// Delta imports.
pub async fn check_delta(connector: &dyn Connector, driver: &dyn DirectoryDriver, report: &mut Report) {
    report.note("delta import", delta(connector, driver).await);
    if !tells_containers(connector) {
        return;
    }
    match renamed_container(connector, driver).await {
        Ok(false) => report.skip("renamed container", "the driver has no container to rename"),
        result => report.note("renamed container", result.map(|_| ())),
    }
}

/// The containers of one import.
#[derive(Debug)]
struct Known(BTreeMap<Anchor, String>);

impl KnownContainers for Known {
    fn names(&self, anchors: &[Anchor]) -> Result<Vec<Option<String>>, ConnectorError> {
        Ok(anchors.iter().map(|anchor| self.0.get(anchor).cloned()).collect())
    }
}

/// After a delta that tells of a renamed container, all objects have the names that a full import gives them.
async fn renamed_container(connector: &dyn Connector, driver: &dyn DirectoryDriver) -> Result<bool, String> {
    let shape = driver.shape();
    driver.hold(&some_objects()).await;
    let full = observe(connector, &shape, FULL, LARGE_PAGE).await?;
    if !driver.rename_container().await {
        return Ok(false);
    }
    let mut names: BTreeMap<Anchor, String> = BTreeMap::new();
    names.extend(full.seen.iter().filter_map(|(anchor, seen)| Some((anchor.clone(), seen.dn.clone()?))));
    let known = Known(full.containers.clone());
    let mode = ImportMode::Delta { since: full.watermark()? };
    let (pages, end) =
        collect_knowing(connector, &shape, mode.clone(), LARGE_PAGE, Some(Arc::new(known))).await;
    let end = end.map_err(|error| format!("the import failed: {error}"))?;
    let delta = observed(&shape, &mode, LARGE_PAGE, pages, end)?;
    for (anchor, now) in &delta.containers {
        let Some(was) = full.containers.get(anchor) else { continue };
        for name in names.values_mut() {
            if let Some(own) = name.strip_suffix(was.as_str()).filter(|own| own.ends_with(',')) {
                *name = format!("{own}{now}");
            }
        }
    }
    for (anchor, seen) in &delta.seen {
        names.extend(seen.dn.clone().map(|dn| (anchor.clone(), dn)));
    }
    let again = observe(connector, &shape, FULL, LARGE_PAGE).await?;
    for (anchor, seen) in &again.seen {
        if names.get(anchor) != seen.dn.as_ref() {
            return Err(format!("{:?} is `{:?}` after the delta", seen.dn, names.get(anchor)));
        }
    }
    let moved = full.seen.values().zip(again.seen.values()).all(|(before, after)| before.dn != after.dn);
    if moved { Ok(true) } else { Err("the driver has renamed nothing".to_owned()) }
}

async fn delta(connector: &dyn Connector, driver: &dyn DirectoryDriver) -> Result<(), String> {
    let shape = driver.shape();
    let mut objects = some_objects();
    driver.hold(&objects).await;
    let full = observe(connector, &shape, FULL, LARGE_PAGE).await?;
    let anchor = |name: &str| full.anchor_of(&format!("text of {name}"));
    let mut watermark = full.watermark()?;
    let mut next = async |objects: &[TestObject]| -> Result<Observed, String> {
        driver.hold(objects).await;
        let mode = ImportMode::Delta { since: watermark.clone() };
        let seen = observe(connector, &shape, mode, LARGE_PAGE).await?;
        watermark = seen.watermark()?;
        Ok(seen)
    };
    quiet(&next(&objects).await?, "nothing changed")?;

    objects[0].text = "another text".to_owned();
    let seen = next(&objects).await?;
    let changed = seen.seen.get(&anchor("a")?).ok_or("a changed object is not told")?;
    if seen.seen.len() != 1 || changed.text.as_deref() != Some("another text") {
        return Err(format!("one changed text gives {:?}", seen.seen));
    }
    quiet(&next(&objects).await?, "a change was told")?;

    objects[8].members = ["b", "c", "empty", "d"].map(str::to_owned).into();
    let seen = next(&objects).await?;
    let team = seen.seen.get(&anchor("team")?).ok_or("a group with other members is not told")?;
    if connector.capabilities().link_deltas {
        let added = team.targets(|mode| mode == LinkMode::Add).len();
        let removed = team.targets(|mode| mode == LinkMode::Remove).len();
        if (added, removed) != (1, 1) {
            return Err(format!("one member added and one removed gives {:?}", team.members));
        }
    } else if team.targets(|mode| matches!(mode, LinkMode::Replace { .. })).len() != 4 {
        return Err(format!("a group with four members has {:?}", team.members));
    }
    quiet(&next(&objects).await?, "the members were told")?;

    let gone = objects.remove(6);
    objects.push(TestObject::person("new"));
    let seen = next(&objects).await?;
    let deleted = seen.seen.get(&anchor(&gone.name)?).map(|seen| seen.change);
    if deleted != Some(EntryChange::Delete) {
        return Err(format!("a deleted object is told as {deleted:?}"));
    }
    seen.anchor_of("text of new")?;
    quiet(&next(&objects).await?, "everything was told")?;
    observe(connector, &shape, FULL, LARGE_PAGE).await?.expect(&objects)
}

fn quiet(seen: &Observed, when: &str) -> Result<(), String> {
    if seen.seen.is_empty() { Ok(()) } else { Err(format!("after {when}, a delta tells {:?}", seen.seen)) }
}

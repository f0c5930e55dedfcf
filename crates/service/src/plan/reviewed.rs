//! A plan that a person has looked at, and the configuration that is applied by it.
//!
//! The plan is made again under the lock. What is as it was reviewed goes through; a change that is another one by now,
//! or new, is held at its target; where something would be taken from a person that nobody has reviewed, nothing is
//! applied at all. Which changes have moved is on the disk and marked in the database before the configuration is in
//! force: a process that is killed in between does not let them out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use onesync_engine::{ChangeState, Changes, ExportLinkRow, ExportRow};
use onesync_model::{CsId, Hash128, TypeId};
use onesync_store::{
    ExportFilter, ExportLinkFilter, ExportLinkKey, HeldPlanRow, HeldState, ServiceChanges, export_hash,
    export_link_hash,
};
use serde::{Deserialize, Serialize};

use super::compare::{export_item, owner_item};
use super::{ConfigPlan, PlanItem};
use crate::config::Configuration;
use crate::error::ServiceError;
use crate::events;
use crate::find::objects;
use crate::home::restrict_file;
use crate::runs::{Progress, Step};
use crate::runtime::{ConnectorHandle, Runtime, Service};

/// The folder of plans below the home.
pub(crate) const FOLDER: &str = "plans";
/// Plans that are kept.
const KEPT: usize = 10;
/// The state of a connector that says what must be held before anything is exported: the plan, then what the items that
/// have moved are about, 16 bytes each.
const MOVED: &str = "plan-moved";
/// A plan that was never finished may be looked at for so long.
const LEFTOVERS: Duration = Duration::from_secs(24 * 60 * 60);
/// Items that a message names.
const NAMED: usize = 10;
/// Rows read at once.
const PAGE: usize = 1_000;

/// The first line of a plan's file.
#[derive(Serialize, Deserialize)]
struct Head {
    /// The hash of the configuration's files.
    configuration: String,
}

/// A plan's file while it is written.
pub(super) struct List {
    path: PathBuf,
    file: BufWriter<File>,
}

impl List {
    fn create(path: PathBuf) -> Result<Self, ServiceError> {
        let file = File::create(&path).and_then(|file| restrict_file(&path).map(|()| file));
        Ok(Self { file: BufWriter::new(file.map_err(at(&path))?), path })
    }

    pub(super) fn write<T: Serialize>(&mut self, line: &T) -> Result<(), ServiceError> {
        let written = serde_json::to_writer(&mut self.file, line).map_err(std::io::Error::from);
        written.and_then(|()| self.file.write_all(b"\n")).map_err(at(&self.path))
    }

    /// On the disk, under its final name.
    fn keep(self, place: &Path) -> Result<(), ServiceError> {
        let file = self.file.into_inner().map_err(|error| at(&self.path)(error.into_error()))?;
        file.sync_all().map_err(at(&self.path))?;
        std::fs::rename(&self.path, place).map_err(at(place))
    }
}

/// An item that is not what was reviewed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Moved {
    /// As it was reviewed; `None` when it is new.
    pub reviewed: Option<PlanItem>,
    /// As it is now.
    pub now: PlanItem,
}

/// What applying a reviewed plan did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Applied {
    /// The version that is in force now.
    pub version: u32,
    /// Items that went through as they were reviewed.
    pub as_reviewed: u64,
    /// Items that were reviewed and are not needed any more.
    pub not_needed: u64,
    /// Items that are others by now, or new; those that are sent to a target are held.
    pub moved: u64,
    /// Some of them, in both versions.
    pub samples: Vec<Moved>,
    /// The file with all of them.
    pub list: Option<PathBuf>,
    /// How many changes are held, by connector.
    pub held: BTreeMap<String, u64>,
    /// The plan as it was made again.
    pub plan: ConfigPlan,
    /// What the items that are sent and have moved are about, by connector.
    #[serde(skip)]
    moved_about: BTreeMap<String, Vec<Hash128>>,
}

impl Service {
    pub(super) fn begin_list(&self, copy: &Self) -> Result<List, ServiceError> {
        List::create(copy.home().folder().join("items.jsonl"))
    }

    /// Puts a plan among those that can be applied; only the newest are kept.
    pub(super) fn keep_list(
        &self,
        list: List,
        hash: Hash128,
        configuration: Hash128,
    ) -> Result<PathBuf, ServiceError> {
        let folder = self.home().folder().join(FOLDER);
        std::fs::create_dir_all(&folder).map_err(at(&folder))?;
        let mut head = List::create(folder.join(format!("{hash}.head")))?;
        head.write(&Head { configuration: configuration.to_string() })?;
        let place = folder.join(format!("{hash}.jsonl"));
        list.keep(&place)?;
        head.keep(&folder.join(format!("{hash}.json")))?;
        self.forget_old_plans(&folder)?;
        Ok(place)
    }

    fn forget_old_plans(&self, folder: &Path) -> Result<(), ServiceError> {
        let mut plans = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(at(folder))? {
            let path = entry.map_err(at(folder))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let changed = path.metadata().and_then(|data| data.modified()).map_err(at(&path))?;
                plans.push((changed, path));
            }
        }
        plans.sort();
        let old = plans.len().saturating_sub(KEPT);
        for (_, path) in plans.into_iter().take(old) {
            for extension in ["json", "jsonl", "moved.jsonl"] {
                remove(&path.with_extension(extension));
            }
        }
        Ok(())
    }

    /// Applies a configuration by a plan that was reviewed, named by its hash, and synchronises. Nothing is exported.
    ///
    /// # Errors
    /// [`crate::Status::Held`] when the plan is another configuration's, or something would be deleted, disabled or
    /// disconnected that was not reviewed: then nothing is changed. Else as [`Service::apply`].
    pub async fn apply_reviewed(
        &self,
        configuration: Configuration,
        plan: &str,
        who: &str,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Applied, ServiceError> {
        let _lock = self.begin_work("config apply")?;
        self.finish_reviewed(progress).await?;
        let reviewed = Reviewed::read(&self.home().folder().join(FOLDER), plan, &configuration)?;
        let now = self.config_plan(configuration.clone()).await?;
        let mut applied = self.compare_with(&reviewed, &now)?;
        applied.plan = now;
        let moved = std::mem::take(&mut applied.moved_about);
        let mark = |runtime: &Runtime| {
            let states = runtime.connectors.iter().filter_map(|connector| {
                let moved = moved.get(connector.name())?;
                let about = moved.iter().flat_map(|about| about.0);
                let mark = reviewed.plan.0.into_iter().chain(about).collect();
                Some((connector.id, MOVED.to_owned(), Some(mark)))
            });
            Changes { states: states.collect(), ..Changes::default() }
        };
        (applied.version, _) = self.apply_locked(configuration, who, &mark).await?;
        applied.held = self.sync_and_hold(progress).await?;
        Ok(applied)
    }

    /// Ends an application of a plan that was cut short after its configuration was in force: what has moved was
    /// found by comparing with the state before, which is gone.
    async fn finish_reviewed(&self, progress: &(dyn Fn(Progress) + Sync)) -> Result<(), ServiceError> {
        let Ok(runtime) = self.runtime() else { return Ok(()) };
        let open = {
            let reader = self.store().reader()?;
            let marks = runtime.connectors.iter().map(|connector| reader.state(connector.id, MOVED));
            marks.collect::<Result<Vec<_>, _>>()?.into_iter().any(|mark| mark.is_some())
        };
        if open {
            self.sync_and_hold(progress).await?;
        }
        Ok(())
    }

    async fn sync_and_hold(
        &self,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<BTreeMap<String, u64>, ServiceError> {
        let names: Vec<String> = self.runtime()?.connectors.iter().map(|c| c.name().to_owned()).collect();
        for name in &names {
            self.one_step(name, Step::FullSync, progress).await?;
        }
        let runtime = self.runtime()?;
        let mut all = BTreeMap::new();
        for connector in &runtime.connectors {
            let held = self.hold_moved(&runtime, connector)?;
            if held > 0 {
                all.insert(connector.name().to_owned(), held);
            }
        }
        Ok(all)
    }

    /// Finds what is not as it was reviewed, and writes it to a file.
    fn compare_with(&self, reviewed: &Reviewed, now: &ConfigPlan) -> Result<Applied, ServiceError> {
        let mut applied = Applied::default();
        let Some(path) = &now.list else {
            return Err(ServiceError::held(
                now.messages.join("\n"),
                "nothing can be compared with what was reviewed; apply without `--plan`, or mend that first",
            ));
        };
        if now.hash == reviewed.plan.to_string() {
            applied.as_reviewed = now.items;
            return Ok(applied);
        }
        let mut found = BTreeSet::new();
        let mut unreviewed = Vec::new();
        let mut harm = 0;
        each_line(path, |_, item: PlanItem| {
            let about = item.about();
            let known = reviewed.items.get(&about);
            if known.is_some_and(|(hash, _)| *hash == item.hash()) {
                applied.as_reviewed += 1;
                return Ok(());
            }
            if item.effect.takes_away() {
                harm += 1;
                if unreviewed.len() < NAMED {
                    unreviewed.push(item.to_string());
                }
            }
            if item.effect.is_sent() {
                applied.moved_about.entry(item.connector).or_default().push(about);
            }
            found.insert(about);
            Ok(())
        })?;
        if harm > 0 {
            let more = harm - unreviewed.len();
            let rest = if more > 0 { format!("\n  and {more} more") } else { String::new() };
            return Err(ServiceError::held(
                format!(
                    "nothing was applied: since the plan was reviewed the configuration would do more harm:\n  {}{rest}",
                    unreviewed.join("\n  ")
                ),
                format!("run `onesync config plan FOLDER` again; now it is plan {}", now.hash),
            ));
        }
        applied.moved = found.len() as u64;
        let again = found.iter().filter(|about| reviewed.items.contains_key(about)).count() as u64;
        applied.not_needed = (reviewed.items.len() as u64).saturating_sub(applied.as_reviewed + again);
        if found.is_empty() {
            return Ok(applied);
        }
        // Both versions: the reviewed one from its place in its file.
        let mut file = File::open(&reviewed.path).map_err(at(&reviewed.path))?;
        let place = moved_path(&self.home().folder().join(FOLDER), reviewed.plan);
        let mut list = List::create(place.with_extension("new"))?;
        each_line(path, |_, item: PlanItem| {
            let about = item.about();
            if !found.contains(&about) {
                return Ok(());
            }
            let before = match reviewed.items.get(&about) {
                Some((_, offset)) => Some(line_at(&mut file, &reviewed.path, *offset)?),
                None => None,
            };
            let both = Moved { reviewed: before, now: item };
            list.write(&both)?;
            if applied.samples.len() < NAMED {
                applied.samples.push(both);
            }
            Ok(())
        })?;
        list.keep(&place)?;
        applied.list = Some(place);
        Ok(applied)
    }

    /// Holds the changes of a connector that have moved since the plan was reviewed, once. Gives how many.
    pub(crate) fn hold_moved(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
    ) -> Result<u64, ServiceError> {
        let reader = self.store().reader()?;
        let Some(mark) = reader.state(connector.id, MOVED)? else { return Ok(0) };
        let mut hashes = mark.chunks_exact(16).filter_map(Hash128::from_slice);
        let plan = hashes.next().unwrap_or_default();
        let moved: BTreeSet<Hash128> = hashes.collect();
        let mut items: BTreeMap<TypeId, Vec<Hash128>> = BTreeMap::new();
        let mut after = CsId(i64::MIN);
        loop {
            let page = reader.exports_page(connector.id, ExportFilter::default(), after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.cs;
            let waits = |row: &ExportRow| {
                row.state == ChangeState::Pending && row.kinds & ExportRow::KINDS_NOT_SENT == 0
            };
            let mut changes = Changes::default();
            let rows: Vec<ExportRow> = page.into_iter().filter(waits).collect();
            let known = objects(&*reader, rows.iter().map(|row| row.cs))?;
            for row in rows {
                let item =
                    known.get(&row.cs).map(|cs| export_item(cs, &runtime.names, connector.name(), &row));
                if item.is_some_and(|item| moved.contains(&item.about())) {
                    items.entry(row.object_type).or_default().push(export_hash(&row));
                    changes.exports.push(ExportRow { held: true, ..row });
                }
            }
            self.hold_rows(&changes)?;
        }
        let mut after: Option<ExportLinkKey> = None;
        loop {
            let page = reader.export_links_page(connector.id, ExportLinkFilter::default(), after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some((last.owner, last.attribute, last.target));
            let mut changes = Changes::default();
            let known = objects(&*reader, page.iter().map(|row| row.owner))?;
            for row in page.into_iter().filter(|row| row.state == ChangeState::Pending) {
                let Some(owner) = known.get(&row.owner) else { continue };
                let item = owner_item(owner, &runtime.names, connector.name(), row.attribute);
                if moved.contains(&item.about()) {
                    items.entry(owner.object_type).or_default().push(export_link_hash(&row));
                    changes.export_links.push(ExportLinkRow { held: true, ..row });
                }
            }
            self.hold_rows(&changes)?;
        }
        let place = moved_path(&self.home().folder().join(FOLDER), plan);
        let mut changes = Changes::default();
        drop(reader);
        changes.states.push((connector.id, MOVED.to_owned(), None));
        let count = items.values().map(|items| items.len() as u64).sum();
        let mut service = ServiceChanges::default();
        for (object_type, items) in items {
            let hash = items.iter().fold(Hash128::default(), |sum, &item| sum.plus(item));
            let reason =
                format!("not as they were reviewed in plan {plan}; both versions: {}", place.display());
            let text = format!("{}: {reason}", connector.name());
            service.events.push(self.audit(&events::HELD, &hash.to_string(), &text));
            service.held.push(HeldPlanRow {
                hash,
                connector: connector.id,
                object_type,
                reason,
                items,
                state: HeldState::Held,
                created: self.now(),
                who: None,
                decided: None,
            });
        }
        self.write(&changes, &service)?;
        Ok(count)
    }

    /// The mark stays until all are held: a process that is killed in between does it again.
    fn hold_rows(&self, changes: &Changes) -> Result<(), ServiceError> {
        if *changes != Changes::default() {
            self.store().apply(self.epoch(), changes)?;
        }
        Ok(())
    }
}

/// A plan as it was reviewed.
struct Reviewed {
    plan: Hash128,
    path: PathBuf,
    /// By what an item is about: its hash, and its place in the file.
    items: BTreeMap<Hash128, (Hash128, u64)>,
}

impl Reviewed {
    fn read(folder: &Path, plan: &str, configuration: &Configuration) -> Result<Self, ServiceError> {
        let unknown = || {
            ServiceError::usage(
                format!("there is no plan `{plan}`"),
                format!(
                    "`onesync config plan FOLDER` makes one and shows its hash; the last {KEPT} are kept"
                ),
            )
        };
        let hash = Hash128::parse(plan).ok_or_else(unknown)?;
        let path = folder.join(format!("{hash}.jsonl"));
        let head_path = folder.join(format!("{hash}.json"));
        if !head_path.exists() {
            return Err(unknown());
        }
        // Plans that are made now, also for comparing, must not push it out.
        File::options()
            .append(true)
            .open(&head_path)
            .and_then(|f| f.set_modified(SystemTime::now()))
            .map_err(at(&head_path))?;
        let mut head = None;
        each_line(&head_path, |_, line: Head| {
            head = Some(line);
            Ok(())
        })?;
        if head.is_none_or(|head| head.configuration != configuration.hash().to_string()) {
            return Err(ServiceError::held(
                format!("plan {hash} was made for another configuration than the one in this folder"),
                "the files have changed since: run `onesync config plan FOLDER` again and look at it",
            ));
        }
        let mut items = BTreeMap::new();
        each_line(&path, |offset, item: PlanItem| {
            items.insert(item.about(), (item.hash(), offset));
            Ok(())
        })?;
        Ok(Self { plan: hash, path, items })
    }
}

fn moved_path(folder: &Path, plan: Hash128) -> PathBuf {
    folder.join(format!("{plan}.moved.jsonl"))
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> ServiceError + use<> {
    let place = path.display().to_string();
    move |source| ServiceError::File { place, source }
}

/// The lines of a file, each with its place.
fn each_line<T: serde::de::DeserializeOwned>(
    path: &Path,
    mut each: impl FnMut(u64, T) -> Result<(), ServiceError>,
) -> Result<(), ServiceError> {
    let mut file = BufReader::new(File::open(path).map_err(at(path))?);
    let (mut line, mut offset) = (String::new(), 0);
    loop {
        line.clear();
        let length = file.read_line(&mut line).map_err(at(path))? as u64;
        if length == 0 {
            return Ok(());
        }
        each(offset, serde_json::from_str(&line).map_err(|error| at(path)(error.into()))?)?;
        offset += length;
    }
}

fn line_at(file: &mut File, path: &Path, offset: u64) -> Result<PlanItem, ServiceError> {
    let mut line = String::new();
    file.seek(SeekFrom::Start(offset))
        .and_then(|_| BufReader::new(&mut *file).read_line(&mut line))
        .map_err(at(path))?;
    serde_json::from_str(&line).map_err(|error| at(path)(error.into()))
}

fn remove(path: &Path) {
    if path.exists()
        && let Err(error) = std::fs::remove_file(path)
    {
        tracing::warn!(path = %path.display(), %error, "an old plan could not be removed");
    }
}

/// Removes what computations have left that were killed: copies of the installation, plans that were never finished.
pub(crate) fn forget_leftovers(home: &Path) {
    crate::scratch::remove_left(home);
    let old = |path: &Path| {
        let changed = path.metadata().and_then(|data| data.modified());
        changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > LEFTOVERS))
    };
    let plans = std::fs::read_dir(home.join(FOLDER)).into_iter().flatten().flatten();
    for path in plans.map(|entry| entry.path()) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let plan = name.split('.').next().unwrap_or_default();
        if !path.with_file_name(format!("{plan}.json")).exists() && old(&path) {
            remove(&path);
        }
    }
}

//! `staging diff`: what this server computes beside what the active one holds and owes; which files it takes, and what
//! makes a comparison worth less.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use onesync_model::{Hash128, Time};
use serde::Serialize;

use super::FirstContact;
use super::compare::compare;
use super::file::{ConnectorHead, Head, Reader};
use super::settings::SettingDifference;
use super::side::{Deletion, Taken};
use crate::copy::CopyOf;
use crate::error::{ServiceError, Status};
use crate::runtime::Service;

/// A file that is older is warned of: another cycle has run there since.
const FILE_AGE_SECONDS: i64 = 86_400;
/// Clocks of two machines are so much apart at most.
const CLOCKS_SECONDS: i64 = 300;
/// The same for imports of one server that are so much older than those of the other.
const IMPORT_GAP_SECONDS: i64 = 2 * 3_600;

/// What a staging server would do otherwise than the active one.
#[derive(Clone, Debug, Serialize)]
pub struct StagingDiff {
    /// The installation it is compared with.
    pub installation: String,
    /// Its epoch.
    pub epoch: u64,
    /// The machine of its server.
    pub host: String,
    /// Of when its plan is.
    pub taken: String,
    /// When it was compared.
    pub compared: String,
    /// What makes the comparison worth less.
    pub warnings: Vec<String>,
    /// What both are set to differently.
    pub settings: Vec<SettingDifference>,
    /// Targets.
    pub connectors: Vec<ConnectorDiff>,
    /// Why the result is not remembered here, where it is not.
    pub not_kept: Option<String>,
}

/// The same for one target.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectorDiff {
    /// The connector.
    pub connector: String,
    /// When the last complete import ended here.
    pub imported_here: Option<String>,
    /// And there.
    pub imported_there: Option<String>,
    /// What would be taken away here, and is not there.
    pub unexplained: TakenAway,
    /// Deletions of here that are pending there, too.
    pub explained: u64,
    /// Everything else, by sort.
    pub groups: Vec<FirstContact>,
    /// The hashes of what is explained.
    #[serde(skip)]
    pub(super) known: Vec<Hash128>,
}

/// What would be taken away from people.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TakenAway {
    /// How much.
    pub count: u64,
    /// The same in words, by sort.
    pub words: String,
    /// The hash of exactly these: `staging off --accept` takes it. Empty where there is nothing.
    pub hash: String,
    /// Some of them.
    pub samples: Vec<String>,
}

/// The same while it is counted.
#[derive(Default)]
pub(super) struct Counted {
    limit: usize,
    by_sort: BTreeMap<Taken, u64>,
    sum: Hash128,
    samples: Vec<String>,
}

impl Counted {
    pub(super) fn naming(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    pub(super) fn take(&mut self, deletion: Deletion) {
        *self.by_sort.entry(deletion.taken).or_default() += 1;
        self.sum = self.sum.plus(deletion.hash);
        if self.samples.len() < self.limit {
            self.samples.push(deletion.text);
        }
    }

    pub(super) fn done(self) -> TakenAway {
        let count = self.by_sort.values().sum();
        let words: Vec<String> = Taken::ALL
            .into_iter()
            .filter_map(|taken| Some(taken.words(*self.by_sort.get(&taken)?)))
            .collect();
        let hash = if count > 0 { self.sum.to_string() } else { String::new() };
        TakenAway { count, words: words.join(", "), hash, samples: self.samples }
    }
}

impl StagingDiff {
    /// Nothing is different, something is, or something would be taken away that is not explained.
    #[must_use]
    pub fn status(&self) -> Status {
        if self.connectors.iter().any(|c| c.unexplained.count > 0) {
            Status::Held
        } else if self.settings.is_empty() && self.connectors.iter().all(|c| c.groups.is_empty()) {
            Status::Done
        } else {
            Status::ObjectErrors
        }
    }
}

impl Service {
    /// Compares what this server holds and would write with what the active one has written into a file; `limit` objects
    /// of each sort are named. The result is remembered in this database.
    ///
    /// # Errors
    /// When the file is damaged, of this installation, of other targets, or of a later program.
    pub fn staging_diff(&self, file: &Path, limit: usize) -> Result<StagingDiff, ServiceError> {
        let mut file = Reader::open(file)?;
        let (runtime, now) = (self.runtime()?, self.now());
        let (diff, worthless) = {
            let reader = self.store().reader()?;
            let here = self.plan_head(&*reader, &runtime)?;
            comparable(&here, &file.head, CopyOf::of(&*reader)?.is_some())?;
            let mut settings = here.settings.differences(&file.head.settings);
            if here.program != file.head.program {
                settings.push(SettingDifference {
                    section: "program".to_owned(),
                    what: "version".to_owned(),
                    here: Some(here.program.clone()),
                    there: Some(file.head.program.clone()),
                });
            }
            let connectors = compare(&*reader, &runtime, &here, &mut file, now, limit)?;
            let there = &file.head;
            let diff = StagingDiff {
                installation: there.installation.clone(),
                epoch: there.epoch,
                host: there.host.clone(),
                taken: there.taken.clone(),
                compared: here.taken.clone(),
                warnings: warnings(&here, there, now),
                settings,
                connectors,
                not_kept: None,
            };
            (diff, worthless(&here, there, now))
        };
        let not_kept = match (self.must_be_active(), worthless) {
            (Err(why), _) => Some(why.to_string()),
            (Ok(()), Some(why)) => Some(format!("the result is not remembered, since {why}")),
            (Ok(()), None) => self.keep_diff(&runtime, &diff)?,
        };
        Ok(StagingDiff { not_kept, ..diff })
    }
}

/// Whether something of this time is young enough to explain what would be taken away.
pub(super) fn is_fresh(time: &str, now: Time) -> bool {
    let ages = -CLOCKS_SECONDS..=FILE_AGE_SECONDS;
    time.parse::<Time>().is_ok_and(|time| ages.contains(&(now.seconds() - time.seconds())))
}

/// Why a comparison explains nothing.
fn worthless(here: &Head, there: &Head, now: Time) -> Option<String> {
    if here.not_computed.is_some() {
        return Some(
            "this server has not computed its plan: run `onesync cycle`, and compare again".to_owned(),
        );
    }
    if there.not_computed.is_some() {
        return Some(
            "the other server had not computed its plan: run `onesync cycle` there, and write another file"
                .to_owned(),
        );
    }
    if there.standing != "active" {
        return Some("the other server is not the active one of its database".to_owned());
    }
    (!is_fresh(&there.taken, now))
        .then(|| format!("the plan is of {} and not of the last 24 hours: write another file", there.taken))
}

/// An error when two servers cannot be compared. A copy has the id of what it is a copy of.
fn comparable(here: &Head, there: &Head, copy: bool) -> Result<(), ServiceError> {
    if here.installation == there.installation && !copy {
        return Err(ServiceError::usage(
            format!(
                "the file is of this very installation, {}: there is nothing to compare",
                here.installation
            ),
            "a server that stands by on the same database has the same plan. A staging server is an installation of its own, \
             with a database of its own",
        ));
    }
    let written = |head: &'_ Head| -> BTreeMap<String, ConnectorHead> {
        let written = head.connectors.iter().filter(|c| c.writes);
        written.map(|c| (c.name.to_lowercase(), c.clone())).collect()
    };
    let (ours, theirs) = (written(here), written(there));
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let same_names =
        "both servers name a target alike; rename the connector on one of them, or configure it on both";
    for name in names {
        let (ours, theirs) = match (ours.get(name), theirs.get(name)) {
            (Some(ours), Some(theirs)) => (ours, theirs),
            (ours, _) => {
                let place = if ours.is_some() { "this server" } else { "the other one" };
                return Err(ServiceError::usage(
                    format!("only {place} writes to a connector `{name}`: they cannot be compared"),
                    same_names,
                ));
            }
        };
        if ours.kind != theirs.kind {
            return Err(ServiceError::usage(
                format!("`{name}` is of kind `{}` here and `{}` there", ours.kind, theirs.kind),
                same_names,
            ));
        }
        if let (Some(a), Some(b)) = (&ours.target, &theirs.target)
            && a != b
        {
            return Err(ServiceError::usage(
                format!("`{name}` is another target: {a} here, {b} there"),
                "compare servers of one target; `onesync connector show NAME` has its settings",
            ));
        }
    }
    Ok(())
}

/// What makes a comparison worth less.
fn warnings(here: &Head, there: &Head, now: Time) -> Vec<String> {
    let mut out = Vec::new();
    for (head, place) in [(here, "this server"), (there, "the other server")] {
        let stale = |why: &String| format!("what is pending is not what {place} will do: {why}");
        out.extend(head.not_computed.as_ref().map(stale));
    }
    let time = |text: &str| text.parse::<Time>().ok().map(Time::seconds);
    match time(&there.taken).map(|taken| now.seconds() - taken) {
        Some(age) if age > FILE_AGE_SECONDS => {
            out.push(format!("the plan of the other server is {} old, of {}", words(age), there.taken));
        }
        Some(age) if age < -CLOCKS_SECONDS => out.push(format!(
            "the plan of the other server is of {}, which is still to come: is one of both clocks wrong?",
            there.taken
        )),
        Some(_) => {}
        None => out.push("the file does not say when it was written".to_owned()),
    }
    if there.standing != "active" {
        out.push(format!(
            "the other server is not the active one of its database: it is `{}`",
            there.standing
        ));
    }
    for ours in &here.connectors {
        let name = &ours.name;
        let Some(theirs) = there.connectors.iter().find(|c| c.name.eq_ignore_ascii_case(name)) else {
            continue;
        };
        if theirs.mode == "staging" {
            out.push(format!("`{name}` is in staging there, too: nobody of both writes it"));
        }
        let unknown = [ours, theirs].iter().any(|c| c.writes && c.target.is_none());
        if unknown && ours.kind == "graph" {
            out.push(format!(
                "which tenant `{name}` is was not read on both servers yet: that they are one is not proven"
            ));
        }
        let never = |place: &str| {
            format!("`{name}` was never read completely {place}, or its last import was not complete")
        };
        let (a, b) = match (&ours.imported, &theirs.imported) {
            (Some(a), Some(b)) => (a, b),
            (here, there) => {
                out.extend(here.is_none().then(|| never("here")));
                out.extend(there.is_none().then(|| never("there")));
                continue;
            }
        };
        let gap = time(a).zip(time(b)).map_or(0, |(a, b)| a - b);
        if gap.abs() > IMPORT_GAP_SECONDS {
            let older = if gap < 0 { "here" } else { "there" };
            out.push(format!(
                "`{name}` was read {} earlier {older}: what changed in between looks like a difference",
                words(gap.abs())
            ));
        }
    }
    out
}

fn words(seconds: i64) -> String {
    match seconds {
        86_400.. => format!("{} days", seconds / 86_400),
        _ => format!("{} hours", seconds / 3_600),
    }
}

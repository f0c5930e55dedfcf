//! Health in one look.

use std::collections::{BTreeMap, BTreeSet};

use onesync_engine::{ChangeState, CsFlags, ExportRow};
use onesync_store::HeldState;
use serde::Serialize;

use crate::backup::BackupView;
use crate::copy::CopyOf;
use crate::error::ServiceError;
use crate::import::UNPROVEN;
use crate::protect::WindowUse;
use crate::runtime::{ConnectorHandle, Runtime, Service};
use crate::scheduler::SchedulerView;
use crate::staging::{Compared, MODE_REFUSED};
use crate::standing::{ServerView, StandbyMode};
use crate::unplaced::Unplaced;
use crate::unreadable::source_place;

/// What is said of a key set that opens.
const PRESENT: &str = "present";

/// The state of the service.
#[derive(Clone, Debug, Serialize)]
pub struct StatusReport {
    /// The installation's id.
    pub installation: String,
    /// The epoch of the database.
    pub epoch: u64,
    /// Where this server stands: `active`, `joined`, `replaced`, `behind`.
    pub standing: &'static str,
    /// The servers of this database.
    pub servers: Vec<ServerView>,
    /// The version of the configuration; 0 when none is applied.
    pub configuration: u32,
    /// What needs a person at once.
    pub alarms: Vec<String>,
    /// Of what the database is a copy, while it is one.
    pub copy_of: Option<CopyOf>,
    /// Connectors whose full import is owed before anything is exported.
    pub imports_owed: Vec<String>,
    /// Backups.
    pub backups: BackupView,
    /// The last comparison of this staging server with the active one.
    pub compared: Option<Compared>,
    /// What should be done some day; nothing is wrong yet.
    pub reminders: Vec<String>,
    /// Whether the key set is there, else why not.
    pub key_set: String,
    /// The definition of the source anchor, and what it rests on.
    pub source_anchor: Option<String>,
    /// Connectors.
    pub connectors: Vec<ConnectorStatus>,
    /// Metaverse objects by type.
    pub metaverse: Vec<MetaverseCount>,
    /// Whether cycles run by themselves, and how the daemon is.
    pub scheduler: SchedulerView,
    /// Work that is due.
    pub agenda_due: u64,
    /// Work that waits for its time.
    pub agenda_later: u64,
}

/// Metaverse objects of one type.
#[derive(Clone, Debug, Serialize)]
pub struct MetaverseCount {
    /// The object type.
    pub object_type: String,
    /// Objects that stay.
    pub active: u64,
    /// Objects that leave.
    pub leaving: u64,
}

/// Objects of one type that cannot be written through a connector.
#[derive(Clone, Debug, Serialize)]
pub struct UnwritableCount {
    /// The object type.
    pub object_type: String,
    /// How many.
    pub count: u64,
}

/// The protections of object types that share them.
#[derive(Clone, Debug, Serialize)]
pub struct LimitLine {
    /// The object types.
    pub object_types: Vec<String>,
    /// In one run and in 24 hours.
    pub day: String,
    /// In 7 days.
    pub week: String,
}

/// The state of one connector.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectorStatus {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// `reads only`, `staging`, `active`, or [`MODE_REFUSED`].
    pub mode: String,
    /// Whether every import reads everything.
    pub full_imports_only: bool,
    /// The last import that ended well.
    pub last_import: Option<String>,
    /// Objects, and how many of them are joined.
    pub objects: u64,
    /// See `objects`.
    pub joined: u64,
    /// Objects that another system masters.
    pub mastered_elsewhere: u64,
    /// Objects outside the pilot: computed, never written.
    pub outside_pilot: u64,
    /// Names that are held because of a suffix that the directory does not take: suffix, how many.
    pub held_suffixes: Vec<(String, u64)>,
    /// What was used of each limit.
    pub windows: Vec<WindowUse>,
    /// Changes to be sent.
    pub pending: u64,
    /// Changes sent and not yet seen.
    pub unconfirmed: u64,
    /// Changes refused.
    pub refused: u64,
    /// Changes held by protections.
    pub held: u64,
    /// Attributes that are not exported because of an error on too many objects, and why.
    pub stopped: Vec<String>,
    /// Objects that cannot be written through this connector, by type.
    pub cannot_be_written: Vec<UnwritableCount>,
    /// Standing errors.
    pub errors: u64,
    /// Records, lines and values of the source that could not be read; part of `errors`.
    pub unreadable: u64,
    /// Objects that are not in the metaverse for want of a value to join by.
    pub unplaced: Vec<Unplaced>,
    /// Why the directory could not be reached, where it could not: what is shown is what was read before.
    pub unreachable: Option<String>,
    /// The protections of what can be written.
    pub limits: Vec<LimitLine>,
}

impl Service {
    /// Health in one look.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn status(&self) -> Result<StatusReport, ServiceError> {
        let reader = self.store().reader()?;
        let (cs, exports, links, errors) = (
            reader.cs_counts()?,
            reader.export_counts()?,
            reader.export_link_counts()?,
            reader.error_counts()?,
        );
        let agenda = reader.agenda_counts(self.now())?;
        let mut alarmed: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for error in errors.iter().filter(|e| e.alarm && source_place(&e.place).is_none()) {
            *alarmed.entry((&error.place, &error.code)).or_default() += error.count;
        }
        let mut alarms: Vec<String> = alarmed
            .into_iter()
            .map(|((place, code), count)| format!("{count} objects: {place} ({code})"))
            .collect();
        if let Err(error) = self.must_be_active() {
            alarms.push(said(&error));
        }
        let runtime = match self.runtime() {
            Ok(runtime) => Some(runtime),
            Err(error @ ServiceError::Config { .. }) => {
                alarms.push(said(&error));
                None
            }
            Err(_) => None,
        };
        let plans = reader.held_plans(None)?;
        let unplaced = match &runtime {
            Some(runtime) => self.unplaced(&*reader, runtime)?,
            None => Vec::new(),
        };
        let mut connectors = Vec::new();
        for connector in runtime.iter().flat_map(|runtime| &runtime.connectors) {
            let runtime = self.runtime()?;
            let sum = |wanted: &dyn Fn(&onesync_store::ExportCount) -> bool| -> u64 {
                exports
                    .iter()
                    .filter(|c| {
                        c.connector == connector.id && c.kinds & ExportRow::KINDS_NOT_SENT == 0 && wanted(c)
                    })
                    .map(|c| c.count)
                    .sum()
            };
            let sum_links = |wanted: &dyn Fn(&onesync_store::ExportLinkCount) -> bool| -> u64 {
                links.iter().filter(|c| c.connector == connector.id && wanted(c)).map(|c| c.count).sum()
            };
            let objects = |wanted: &dyn Fn(&onesync_store::CsCount) -> bool| -> u64 {
                cs.iter()
                    .filter(|c| {
                        c.connector == connector.id && !CsFlags(c.flags).has(CsFlags::GONE) && wanted(c)
                    })
                    .map(|c| c.count)
                    .sum()
            };
            let mut unwritable: BTreeMap<String, u64> = BTreeMap::new();
            for count in exports
                .iter()
                .filter(|c| c.connector == connector.id && c.kinds & ExportRow::KIND_UNWRITABLE != 0)
            {
                *unwritable.entry(runtime.names.type_name(count.object_type).to_owned()).or_default() +=
                    count.count;
            }
            let stops = self.stops(&*reader, &runtime, connector)?;
            let standing = stops.0.iter().filter(|stop| stop.decided != HeldState::Released);
            let stopped: Vec<String> = standing
                .map(|stop| format!("{}: {}", runtime.names.type_name(stop.object_type), stop.reason))
                .collect();
            if connector.capabilities.export {
                alarms.extend(stops.words(&runtime, connector));
            }
            let held = sum(&|c| c.held) + sum_links(&|c| c.held);
            // What was rejected waits for nobody.
            let decided = plans.iter().filter(|plan| {
                plan.connector == connector.id
                    && plan.state == HeldState::Rejected
                    && stops.by_hash(plan.hash).is_none()
            });
            let rejected: u64 = decided.map(|plan| plan.items.len() as u64).sum();
            let waiting = held.saturating_sub(rejected);
            if waiting > 0 {
                alarms.push(format!(
                    "{waiting} changes for `{}` are held: `onesync held list`",
                    connector.name()
                ));
            }
            if let Err(error) = self.secrets_ready(connector) {
                alarms.push(error.to_string());
            }
            let last = reader.runs(Some(connector.id), None, 50)?;
            let last_import = crate::insight::last_import(&last);
            // Whoever leaves stays in the cloud as long as that is so.
            if let Some(why) = reader.state(connector.id, UNPROVEN)? {
                alarms.push(format!(
                    "the last import of `{}` was not complete, and as long as that is so nothing is deleted: {}",
                    connector.name(),
                    String::from_utf8_lossy(&why)
                ));
            }
            let mode = self.mode(connector)?;
            if mode == MODE_REFUSED {
                alarms.extend(self.refusal(connector)?);
            }
            let failing = last.first().filter(|run| run.result.as_deref() == Some("failed"));
            if let Some(run) = failing {
                let told: serde_json::Value = serde_json::from_str(&run.counters).unwrap_or_default();
                alarms.push(format!(
                    "the last step of `{}`, {} at {}, failed: {}",
                    connector.name(),
                    run.step,
                    run.started,
                    told["error"].as_str().unwrap_or("see `onesync history`")
                ));
            }
            alarms.extend(
                self.end_warnings(connector)?
                    .into_iter()
                    .map(|text| format!("`{}`: {text}", connector.name())),
            );
            let unreadable: u64 = errors
                .iter()
                .filter(|e| e.connector == connector.id && source_place(&e.place).is_some())
                .map(|e| e.count)
                .sum();
            if unreadable > 0 {
                alarms.push(format!(
                    "{unreadable} records or values of `{0}` cannot be read, and what they are about stays as it is: `onesync errors {0}` says where",
                    connector.name()
                ));
            }
            if let Some(away) = &connector.unreachable {
                alarms.push(format!(
                    "`{}` cannot be reached: {}; what it can hold is taken from {}",
                    connector.name(),
                    away.error,
                    away.schema_of
                ));
            }
            let outside = objects(&|c| CsFlags(c.flags).has(CsFlags::OUTSIDE));
            let in_pilot = objects(&|c| c.joined) - outside;
            if connector.file.pilot.is_some() && outside > 0 && in_pilot == 0 {
                alarms.push(format!(
                    "nobody is in the pilot of `{}`: is its group or are its people named rightly?",
                    connector.name()
                ));
            }
            let mut suffixes: BTreeMap<String, u64> = BTreeMap::new();
            for error in errors.iter().filter(|e| e.connector == connector.id) {
                if let Some(suffix) = error.place.strip_prefix("suffix:") {
                    *suffixes.entry(suffix.to_owned()).or_default() += error.count;
                }
            }
            connectors.push(ConnectorStatus {
                name: connector.name().to_owned(),
                kind: connector.file.kind.clone(),
                mode: mode.to_owned(),
                full_imports_only: !connector.capabilities.delta_import,
                last_import,
                objects: objects(&|_| true),
                joined: objects(&|c| c.joined),
                outside_pilot: outside,
                held_suffixes: suffixes.into_iter().collect(),
                windows: self.windows(&*reader, &runtime, connector)?,
                mastered_elsewhere: objects(&|c| CsFlags(c.flags).has(CsFlags::MASTERED_ELSEWHERE)),
                pending: sum(&|c| c.state <= ChangeState::Sending && !c.held)
                    + sum_links(&|c| c.state <= ChangeState::Sending && !c.held),
                unconfirmed: sum(&|c| c.state == ChangeState::Sent)
                    + sum_links(&|c| c.state == ChangeState::Sent),
                refused: sum(&|c| c.state == ChangeState::Refused)
                    + sum_links(&|c| c.state == ChangeState::Refused),
                held,
                stopped,
                cannot_be_written: unwritable
                    .into_iter()
                    .map(|(object_type, count)| UnwritableCount { object_type, count })
                    .collect(),
                errors: errors.iter().filter(|e| e.connector == connector.id).map(|e| e.count).sum(),
                unreadable,
                unplaced: unplaced.iter().filter(|u| u.connector == connector.name()).cloned().collect(),
                unreachable: connector.unreachable.as_ref().map(|away| away.error.to_string()),
                limits: limits(&runtime, connector),
            });
        }
        let mut metaverse: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        if let Some(runtime) = &runtime {
            for count in reader.mv_counts()? {
                let entry =
                    metaverse.entry(runtime.names.type_name(count.object_type).to_owned()).or_default();
                if count.leaving { entry.1 += count.count } else { entry.0 += count.count }
            }
        }
        let copy_of = CopyOf::of(&*reader)?;
        let imports_owed =
            runtime.as_ref().map(|runtime| self.imports_owed(runtime)).transpose()?.unwrap_or_default();
        let mode = self.stands_by()?;
        let key_remedy = self.key_remedy()?;
        let lacks = if key_remedy.is_some() { self.lacks_keys()? } else { None };
        if let Some(lacks) = lacks.as_ref().filter(|_| mode != StandbyMode::Off) {
            let (mode, lacks) = (mode.as_str(), said(lacks));
            alarms.push(format!("this server stands by ({mode}), and does not take over: {lacks}"));
        }
        let (key_set, closed) = match self.vault() {
            // It has none, as it should be: the active server has it.
            Err(error) if self.home().is_joined()? => {
                // Whoever stands by has said it already, with what helps there.
                if mode == StandbyMode::Off {
                    alarms.push(error.to_string());
                }
                ("with the active server".to_owned(), Vec::new())
            }
            Ok(vault) => (PRESENT.to_owned(), crate::secrets::open_all(&*reader, Some(&vault))?.closed),
            Err(error) if copy_of.is_some() => {
                alarms.push(error.to_string());
                (error.to_string(), crate::secrets::open_all(&*reader, None)?.closed)
            }
            Err(error) if let Some(lacks) = &lacks => {
                if mode == StandbyMode::Off {
                    alarms.push(format!("the key set is missing or cannot be used: {}", said(lacks)));
                }
                (error.to_string(), crate::secrets::open_all(&*reader, None)?.closed)
            }
            Err(error) => {
                alarms.push(format!(
                    "the key set is missing or cannot be used: {error}. Put `{}` back from its copy (owned by the service's account, mode 600), or move away what is there and activate this server with an exported key file; without both the secrets are lost: `onesync keys abandon` gives them up and makes a new key set, then set every secret again",
                    self.home().key_set().display()
                ));
                (error.to_string(), crate::secrets::open_all(&*reader, None)?.closed)
            }
        };
        alarms.extend(self.room_warnings()?);
        for (name, why) in self.refused_secrets()? {
            alarms.push(format!("the new secret `{name}` is refused, the one before is in use: {why}"));
        }
        if let Some(copy) = &copy_of {
            alarms.push(format!("{}: `onesync activate KEYFILE ACCOUNT PASSWORD`", copy.words()));
        } else if !imports_owed.is_empty() {
            alarms.push(format!(
                "nothing is exported before full imports of `{}` have ended: the next cycle begins with them",
                imports_owed.join("`, `")
            ));
        }
        alarms.extend(self.backup_alarms()?);
        if !closed.is_empty() && (copy_of.is_none() || self.vault().is_ok()) {
            let remedy = key_remedy.unwrap_or_else(|| {
                "with the key set of another time they have to be set again by `onesync secret set`, or given up by `onesync keys abandon`"
                    .to_owned()
            });
            alarms.push(format!("secrets that cannot be opened: {}; {remedy}", closed.join(", ")));
        }
        let servers = self.servers()?;
        if self.must_be_active().is_ok() {
            alarms.extend(self.is_idle(self.epoch())?.map(|idle| said(&idle)));
            for (server, why) in servers.iter().filter_map(|server| Some((server, server.is_unfit()?))) {
                alarms.push(format!(
                    "{} stands by, and would not take over: {why} (`onesync status` there says what helps)",
                    server.words()
                ));
            }
        }
        let mut said = BTreeSet::new();
        alarms.retain(|alarm| said.insert(alarm.clone()));
        Ok(StatusReport {
            installation: self.installation_id().to_owned(),
            epoch: reader.installation()?.map_or(0, |row| row.epoch),
            standing: self.standing().word(),
            servers,
            configuration: self.version_applied(),
            alarms,
            copy_of,
            imports_owed,
            backups: self.backups()?,
            compared: self.staging_compared()?,
            // A key set that does not open cannot be exported.
            reminders: if key_set == PRESENT { crate::keys::reminders(&*reader)? } else { Vec::new() },
            key_set,
            source_anchor: runtime.as_ref().map(|runtime| self.anchor_words(runtime)).transpose()?,
            connectors,
            metaverse: metaverse
                .into_iter()
                .map(|(object_type, (active, leaving))| MetaverseCount { object_type, active, leaving })
                .collect(),
            scheduler: self.scheduler()?,
            agenda_due: agenda.iter().map(|a| a.due).sum(),
            agenda_later: agenda.iter().map(|a| a.later).sum(),
        })
    }
}

/// An error with what helps.
fn said(error: &ServiceError) -> String {
    match error.hint() {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}

fn limits(runtime: &Runtime, connector: &ConnectorHandle) -> Vec<LimitLine> {
    let mut lines: Vec<LimitLine> = Vec::new();
    for id in &connector.write_order {
        let Some(limits) = connector.limits.get(id) else { continue };
        let (name, day, week) =
            (runtime.names.type_name(*id).to_owned(), limit(limits.day), limit(limits.week));
        match lines.iter_mut().find(|line| line.day == day && line.week == week) {
            Some(line) => line.object_types.push(name),
            None => lines.push(LimitLine { object_types: vec![name], day, week }),
        }
    }
    lines
}

fn limit(limit: onesync_engine::Limit) -> String {
    format!("{} or {} percent, whichever is smaller, at least {}", limit.count, limit.percent, limit.at_least)
}

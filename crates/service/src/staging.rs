//! Staging: a connector that can export begins in it. Leaving it needs the shown plan, by its hash; and what that would take
//! away from people is compared with the active server (`diff`), or accepted by its own hash (`switch`).

mod compare;
mod diff;
mod export;
mod file;
mod ready;
mod settings;
mod side;
mod switch;

use std::collections::BTreeMap;

use onesync_engine::{Changes, CsFlags, CsRow, ExportRow};
use onesync_model::{ConnectorId, CsId, Hash128, Operation, Values, ValuesRef, values_to_json};
use onesync_store::{EventRow, ExportFilter, ServiceChanges, StoreReader};
use serde::Serialize;

pub use diff::{ConnectorDiff, StagingDiff, TakenAway};
pub use export::PlanExported;
pub use settings::SettingDifference;
pub(crate) use switch::void;
pub use switch::{Compared, ComparedConnector};

use crate::error::ServiceError;
use crate::events;
use crate::find::objects;
use crate::runs::Step;
use crate::runtime::{ConnectorHandle, Runtime, Service};

/// Present when exports to a connector are on.
pub(crate) const ACTIVE: &str = "export-active";
/// The mode of a connector whose target refuses this server: its marker is another one's.
pub const MODE_REFUSED: &str = "refused";
/// Rows read at once.
const PAGE: usize = 1_000;
/// Runs that are looked at for an import.
const RUNS: usize = 1_000;
/// Objects of each group that a plan names unless more are asked for.
const SAMPLES: usize = 10;

/// What leaving staging would do: first contact with a directory.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StagingPlan {
    /// The connector.
    pub connector: String,
    /// The hash of all that is pending: `staging off` takes it.
    pub hash: String,
    /// Objects by what would happen to them.
    pub groups: Vec<FirstContact>,
    /// What adoption does to existing objects, by attribute.
    pub adopted: Vec<Adopted>,
    /// What taking over from another system would change on the objects it masters, by attribute. Nothing of it is sent.
    pub mastered: Vec<Adopted>,
    /// What was read or set and is not in it yet.
    pub not_computed: Option<String>,
    /// The last comparison with the active server.
    pub compared: Option<Compared>,
}

/// How adopted objects change in one attribute, or would.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Adopted {
    /// The object type.
    pub object_type: String,
    /// The attribute.
    pub attribute: String,
    /// Objects on which it has another value.
    pub overwritten: u64,
    /// Objects on which it would be emptied.
    pub emptied: u64,
    /// Objects on which it is empty and would be set.
    pub set: u64,
}

/// One group of a [`StagingPlan`].
#[derive(Clone, Debug, Default, Serialize)]
pub struct FirstContact {
    /// `adopt`, `create`, `update`, `delete`, `conflict`, `only there, untouched`, `outside the pilot, untouched`, ...
    pub what: String,
    /// The object type.
    pub object_type: String,
    /// How many.
    pub count: u64,
    /// Some of them, with what would change.
    pub samples: Vec<String>,
}

impl Service {
    /// Whether exports to a connector are off.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn is_staging(&self, connector: &ConnectorHandle) -> Result<bool, ServiceError> {
        let reader = self.store().reader()?;
        let whole = reader.installation()?.is_some_and(|installation| installation.staging);
        Ok(whole || reader.state(connector.id, ACTIVE)?.is_none())
    }

    /// `reads only`, `staging`, `active`, or [`MODE_REFUSED`].
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn mode(&self, connector: &ConnectorHandle) -> Result<&'static str, ServiceError> {
        Ok(match (connector.capabilities.export, self.is_staging(connector)?) {
            (false, _) => "reads only",
            (true, true) => "staging",
            (true, false) if self.refusal(connector)?.is_some() => MODE_REFUSED,
            (true, false) => "active",
        })
    }

    /// Turns exports to a connector off.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn staging_on(&self, connector: &ConnectorHandle) -> Result<(), ServiceError> {
        can_be_written(connector)?;
        let event = self.audit(&events::STAGING_ON, connector.name(), "");
        self.set_active(connector.id, None, vec![event])
    }

    /// Turns exports to a connector on. Needs the hash of the plan as it is now.
    ///
    /// # Errors
    /// [`crate::Status::Held`] when the plan is another one by now, nothing was read from the directory yet, something was
    /// read or set that is not in the plan yet, or the plan takes something away from people that the active server does
    /// not.
    pub fn staging_off(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        plan: &str,
    ) -> Result<(), ServiceError> {
        self.staging_off_accepting(runtime, connector, plan, None)
    }

    /// The same, where a person has accepted what would be taken away, by its hash.
    ///
    /// # Errors
    /// As [`Service::staging_off`].
    pub fn staging_off_accepting(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        plan: &str,
        accepted: Option<&str>,
    ) -> Result<(), ServiceError> {
        let name = connector.name();
        can_be_written(connector)?;
        self.must_not_be_a_copy()?;
        if !self.was_imported(connector)? {
            return Err(ServiceError::held(
                format!("`{name}` was never read: what is there already is not in the plan"),
                "run `onesync cycle initial`, then look at the plan again",
            ));
        }
        let _lock = self.begin_work("staging off")?; // the plan stays what it is while it is compared
        self.must_be_computed(runtime, name)?;
        let now = self.plan_hash(connector)?;
        if Hash128::parse(plan) != Some(now) {
            let message = if plan.is_empty() {
                format!(
                    "leaving staging needs the hash of the plan of `{name}`, which shows that it was read"
                )
            } else {
                format!(
                    "the plan of `{name}` does not have the hash `{plan}`: it has changed since it was shown, or the hash is mistyped"
                )
            };
            let hint = format!(
                "look at it with `onesync staging plan {name}`, then name the hash it shows with `--plan`"
            );
            return Err(ServiceError::held(message, hint));
        }
        let accepted = self.must_be_accepted(runtime, connector, plan, accepted)?;
        let event = self.audit(&events::STAGING_OFF, name, "");
        self.set_active(connector.id, Some(vec![1]), accepted.into_iter().chain([event]).collect())
    }

    /// Whether a full import of this directory ever ended well.
    fn was_imported(&self, connector: &ConnectorHandle) -> Result<bool, ServiceError> {
        let reader = self.store().reader()?;
        Ok(reader.state(connector.id, crate::import::WATERMARK)?.is_some()
            || reader.runs(Some(connector.id), None, RUNS)?.iter().any(|run| {
                run.step == Step::FullImport.as_str()
                    && matches!(run.result.as_deref(), Some("success" | "completed-with-errors"))
            }))
    }

    fn set_active(
        &self,
        connector: ConnectorId,
        value: Option<Vec<u8>>,
        events: Vec<EventRow>,
    ) -> Result<(), ServiceError> {
        let states = vec![(connector, ACTIVE.to_owned(), value), void(connector)];
        let service = ServiceChanges { events, ..ServiceChanges::default() };
        self.write(&Changes { states, ..Changes::default() }, &service)
    }

    /// The hash of everything that would be sent to a connector.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn plan_hash(&self, connector: &ConnectorHandle) -> Result<Hash128, ServiceError> {
        let reader = self.store().reader()?;
        let sent = |kinds: u8| kinds & ExportRow::KIND_OUTSIDE == 0;
        let objects = reader.export_counts()?.into_iter().filter(|c| c.connector == connector.id);
        let objects = objects.filter(|c| sent(c.kinds)).map(|c| c.hashes);
        let links = reader.export_link_counts()?.into_iter().filter(|c| c.connector == connector.id);
        Ok(objects.chain(links.map(|c| c.hashes)).fold(Hash128::default(), Hash128::plus))
    }

    /// What leaving staging would do, with some objects of each group by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn staging_plan(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
    ) -> Result<StagingPlan, ServiceError> {
        self.staging_plan_with(runtime, connector, SAMPLES)
    }

    /// The same with so many objects of each group by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn staging_plan_with(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        samples: usize,
    ) -> Result<StagingPlan, ServiceError> {
        can_be_written(connector)?;
        let reader = self.store().reader()?;
        let mut groups = Groups { samples, groups: BTreeMap::new() };
        let (mut adopted, mut mastered) = (Differences::new(), Differences::new());
        let mut after = CsId(i64::MIN);
        loop {
            let page = reader.exports_page(connector.id, ExportFilter::default(), after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.cs;
            let known = objects(&*reader, page.iter().map(|row| row.cs))?;
            for row in &page {
                let object_type = runtime.names.type_name(row.object_type).to_owned();
                let cs = known.get(&row.cs);
                let name = cs.map(|cs| crate::look::label(runtime, cs, Some(row))).unwrap_or_default();
                if row.kinds & ExportRow::KIND_OUTSIDE != 0 {
                    let elsewhere = |cs: &&CsRow| {
                        cs.flags.has(CsFlags::MASTERED_ELSEWHERE) && !cs.flags.has(CsFlags::OUTSIDE)
                    };
                    if let Some(cs) = cs.filter(elsewhere) {
                        let text = adoption(runtime, cs, row, &object_type, &mut mastered);
                        let what = "mastered elsewhere, with other values than ours";
                        groups.add(8, what, object_type, Some(format!("{name}: {text}")), 1);
                    }
                    continue;
                }
                let (order, what) = match row.operation {
                    _ if row.kinds & ExportRow::KIND_UNWRITABLE != 0 => (7, "cannot be written"),
                    Operation::Add => (2, "create"),
                    Operation::Update if row.kinds & ExportRow::KIND_ADOPT != 0 => (1, "adopt"),
                    Operation::Update => (3, "update"),
                    Operation::Delete => (4, "delete"),
                };
                let text = match cs.filter(|_| what == "adopt") {
                    Some(cs) => adoption(runtime, cs, row, &object_type, &mut adopted),
                    None => crate::look::describe_export(runtime, row),
                };
                groups.add(order, what, object_type, Some(format!("{name}: {text}")), 1);
            }
        }
        for count in reader.export_link_counts()?.into_iter().filter(|c| c.connector == connector.id) {
            let what = if count.add { "link values to add" } else { "link values to remove" };
            groups.add(5, what, runtime.names.name(count.attribute).to_owned(), None, count.count);
        }
        for count in reader.cs_counts()?.into_iter().filter(|c| c.connector == connector.id) {
            let object_type = runtime.names.type_name(count.object_type).to_owned();
            let flags = CsFlags(count.flags);
            if flags.has(CsFlags::OUTSIDE) {
                groups.add(10, "outside the pilot, untouched", object_type, None, count.count);
            } else if flags.has(CsFlags::MASTERED_ELSEWHERE) {
                groups.add(8, "mastered elsewhere, untouched", object_type, None, count.count);
            } else if !count.joined && !flags.has(CsFlags::GONE) {
                groups.add(9, "only there, untouched", object_type, None, count.count);
            }
        }
        self.in_the_way(&*reader, connector, &mut groups)?;
        let not_computed = self.not_computed(&*reader, runtime)?;
        drop(reader);
        Ok(StagingPlan {
            connector: connector.name().to_owned(),
            hash: self.plan_hash(connector)?.to_string(),
            groups: groups.groups.into_values().collect(),
            adopted: adopted.into_values().collect(),
            mastered: mastered.into_values().collect(),
            not_computed,
            compared: self.staging_compared()?,
        })
    }

    /// What does not happen at first contact, because something stands in the way: conflicts and held names.
    fn in_the_way(
        &self,
        reader: &dyn StoreReader,
        connector: &ConnectorHandle,
        groups: &mut Groups,
    ) -> Result<(), ServiceError> {
        let place = format!("join:{}", connector.name());
        let counts = reader.error_counts()?;
        if !counts.iter().any(|c| c.place == place || c.place.starts_with("suffix:")) {
            return Ok(());
        }
        let mut after: Option<(CsId, String)> = None;
        loop {
            let from = after.as_ref().map(|(cs, place)| (*cs, place.as_str()));
            let page = reader.errors_page(None, from, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some((last.cs, last.place.clone()));
            for error in page {
                if error.place == place {
                    groups.add(6, "conflict", String::new(), Some(error.message), 1);
                } else if let Some(suffix) =
                    error.place.strip_prefix("suffix:").filter(|_| error.connector == connector.id)
                {
                    let what = format!("held, suffix `{suffix}`");
                    groups.add(6, &what, String::new(), Some(error.message), 1);
                }
            }
        }
    }
}

/// Groups in the making.
struct Groups {
    samples: usize,
    groups: BTreeMap<(u8, String, String), FirstContact>,
}

impl Groups {
    fn add(&mut self, order: u8, what: &str, object_type: String, sample: Option<String>, count: u64) {
        let group = self.groups.entry((order, what.to_owned(), object_type.clone())).or_insert_with(|| {
            FirstContact { what: what.to_owned(), object_type, ..FirstContact::default() }
        });
        group.count += count;
        if let Some(sample) = sample.filter(|_| group.samples.len() < self.samples) {
            group.samples.push(sample);
        }
    }
}

/// How objects change, by object type and attribute.
type Differences = BTreeMap<(String, String), Adopted>;

/// Every attribute that an adoption changes, as it is and as it would be; counted by attribute.
fn adoption(
    runtime: &Runtime,
    cs: &CsRow,
    export: &ExportRow,
    object_type: &str,
    adopted: &mut Differences,
) -> String {
    let mut parts = Vec::new();
    for change in &export.changes {
        let attribute = runtime.names.name(change.attribute).to_owned();
        let before = cs.image.as_ref().get(change.attribute).and_then(ValuesRef::to_values);
        let entry = adopted.entry((object_type.to_owned(), attribute.clone())).or_insert_with(|| Adopted {
            object_type: object_type.to_owned(),
            attribute: attribute.clone(),
            ..Adopted::default()
        });
        match (&before, &change.values) {
            (None, _) => entry.set += 1,
            (Some(_), Some(_)) => entry.overwritten += 1,
            (Some(_), None) => entry.emptied += 1,
        }
        let shown = |values: &Option<Values>| {
            values.as_ref().map_or_else(|| "nothing".to_owned(), |values| values_to_json(values).to_string())
        };
        parts.push(format!("{attribute}: {} -> {}", shown(&before), shown(&change.values)));
    }
    parts.join("; ")
}

fn can_be_written(connector: &ConnectorHandle) -> Result<(), ServiceError> {
    if connector.capabilities.export {
        return Ok(());
    }
    Err(ServiceError::usage(
        format!("`{}` is only read: nothing is exported to it, staging or not", connector.name()),
        "`onesync staging status` shows which connectors can be written",
    ))
}

//! Objects that a rule would bring into the metaverse, and that have no value in anything it joins by: as with AADSync,
//! they are not provisioned, and here people are told so.

use std::collections::BTreeMap;

use onesync_engine::{CsFlags, CsRow};
use onesync_model::{ConnectorId, TypeId};
use onesync_rules::{Direction, LinkType};
use onesync_store::StoreReader;
use serde::Serialize;

use crate::error::ServiceError;
use crate::runtime::{Runtime, Service};

/// How such an object's state is called; `search cs` finds them by it.
pub(crate) const NO_JOIN_VALUE: &str = "no join value";

/// Objects of one type that are not in the metaverse for want of a value to join by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unplaced {
    /// The connector.
    pub connector: String,
    /// The object type.
    pub object_type: String,
    /// How many.
    pub count: u64,
    /// Which rules, and what they join by.
    pub reason: String,
}

impl Service {
    /// Counts them, by connector and type.
    pub(crate) fn unplaced(
        &self,
        reader: &dyn StoreReader,
        runtime: &Runtime,
    ) -> Result<Vec<Unplaced>, ServiceError> {
        let mut counts: BTreeMap<(ConnectorId, TypeId), u64> = BTreeMap::new();
        for count in reader.cs_counts()? {
            let flags = CsFlags(count.flags);
            if !count.joined && flags.has(CsFlags::NO_JOIN_VALUE) && !flags.has(CsFlags::GONE) {
                *counts.entry((count.connector, count.object_type)).or_default() += count.count;
            }
        }
        let known = counts.into_iter().filter_map(|((connector, object_type), count)| {
            Some(Unplaced {
                connector: runtime.connector_by_id(connector)?.name().to_owned(),
                object_type: runtime.names.type_name(object_type).to_owned(),
                count,
                reason: reason(runtime, connector, object_type),
            })
        });
        Ok(known.collect())
    }
}

/// Why an object is not in the metaverse, where that is the reason.
pub(crate) fn why(runtime: &Runtime, row: &CsRow) -> Option<String> {
    (row.join.is_none() && row.flags.has(CsFlags::NO_JOIN_VALUE))
        .then(|| reason(runtime, row.connector, row.object_type))
}

fn reason(runtime: &Runtime, connector: ConnectorId, object_type: TypeId) -> String {
    let rules = runtime.rules.rules().iter().filter(|rule| {
        rule.direction == Direction::Inbound
            && rule.link == LinkType::Provision
            && (rule.connector, rule.object) == (connector, object_type)
            && !rule.join.is_empty()
    });
    let parts = rules.map(|rule| {
        let mut names: Vec<&str> = Vec::new();
        for condition in rule.join.iter().flat_map(|group| &group.conditions) {
            let name = runtime.names.name(condition.connector);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        format!("rule `{}` creates only what has a value to join by ({})", rule.name, names.join(", "))
    });
    let parts: Vec<String> = parts.collect();
    format!("no join value: {}", parts.join("; "))
}

//! The source anchor's definition: taken from the tenant where it is asked for, and fixed once anything was exported.
//!
//! Two definitions are known, as `%SourceAnchor%` in rules. Which one made the tenant's immutable ids is found out by
//! comparing both candidates of every source object with them, before the first synchronisation.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use onesync_engine::{Changes, CsFlags};
use onesync_model::{AttrId, ConnectorId, CsId, TypeId, Value, ValuesRef, hash64, value_to_json};
use onesync_rules::{Direction, Rule};
use onesync_store::{ServiceChanges, StoreReader};
use serde::{Deserialize, Serialize};

use crate::config::{Configuration, ConnectorFile, SourceAnchor};
use crate::error::ServiceError;
use crate::events;
use crate::import::WATERMARK;
use crate::runtime::{ConnectorHandle, Runtime, Service};

/// The parameter of rules that holds the definition.
pub(crate) const ANCHOR_PARAMETER: &str = "SourceAnchor";
/// Present at a connector once something was sent to it.
pub(crate) const EXPORTED: &str = "exported";
/// The installation's state that holds what was found out.
const FOUND: &str = "source-anchor";
/// The installation's state that holds the definition under which objects were exported.
const RECORDED: &str = "source-anchor/definitions";
/// The metaverse attribute that holds source anchors.
const ANCHOR: &str = "sourceAnchor";
/// The candidates.
const CANDIDATES: [(&str, SourceAnchor); 2] =
    [("mS-DS-ConsistencyGuid", SourceAnchor::ConsistencyGuid), ("objectGUID", SourceAnchor::ObjectGuid)];
/// Rows read at once.
const PAGE: usize = 1_000;

/// How the candidates compare with the tenant's immutable ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorHits {
    /// Immutable ids of accounts in the tenant.
    pub immutable_ids: u64,
    /// How many of them are a source object's `mS-DS-ConsistencyGuid`.
    pub consistency_guid: u64,
    /// How many of them are a source object's `objectGUID`.
    pub object_guid: u64,
}

impl std::fmt::Display for AnchorHits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "of {} immutable ids in the tenant, {} are a source object's mS-DS-ConsistencyGuid, {} its objectGUID",
            self.immutable_ids, self.consistency_guid, self.object_guid
        )
    }
}

impl AnchorHits {
    /// The definition that made the ids; `None` when there are ids and neither did.
    fn definition(&self) -> Option<SourceAnchor> {
        if self.immutable_ids > 0 && self.consistency_guid == 0 && self.object_guid == 0 {
            return None;
        }
        Some(if self.object_guid > self.consistency_guid {
            SourceAnchor::ObjectGuid
        } else {
            SourceAnchor::ConsistencyGuid
        })
    }
}

impl Service {
    /// The definition in force, and what was found out about it.
    pub(crate) fn source_anchor(
        &self,
        configured: SourceAnchor,
    ) -> Result<(SourceAnchor, Option<AnchorHits>), ServiceError> {
        if configured != SourceAnchor::Tenant {
            return Ok((configured, None));
        }
        let state = self.store().reader()?.state(ConnectorId(0), FOUND)?;
        let hits: Option<AnchorHits> = state.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let definition = hits.as_ref().and_then(AnchorHits::definition).unwrap_or_default();
        Ok((definition, hits))
    }

    /// The definition in force, in words.
    pub(crate) fn anchor_words(&self, runtime: &Runtime) -> Result<String, ServiceError> {
        let configured = runtime.configuration.main.source_anchor;
        let (definition, hits) = self.source_anchor(configured)?;
        Ok(match hits {
            Some(hits) => format!("{} (the tenant's: {hits})", definition.as_str()),
            None if configured == SourceAnchor::Tenant => "not found out yet".to_owned(),
            None => definition.as_str().to_owned(),
        })
    }

    /// Compares both candidates with the tenant's immutable ids.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn anchor_hits(&self, runtime: &Runtime) -> Result<AnchorHits, ServiceError> {
        let reader = self.store().reader()?;
        let mut ids: HashSet<u64> = HashSet::new();
        for connector in runtime.connectors.iter().filter(|c| c.capabilities.export) {
            let policy = runtime.policies.of(connector.id);
            each_row(&*reader, connector.id, |object_type, values| {
                let rules = policy.object_type(object_type);
                let key = rules.create_key.filter(|_| rules.disable.is_some());
                ids.extend(key.and_then(&values).map(|id| hash64(id.as_bytes())));
            })?;
        }
        let mut hits = AnchorHits { immutable_ids: ids.len() as u64, ..AnchorHits::default() };
        if ids.is_empty() {
            return Ok(hits);
        }
        let [by_consistency, by_object] = CANDIDATES.map(|(name, _)| runtime.names.find(name));
        for connector in runtime.connectors.iter().filter(|c| !c.capabilities.export) {
            each_row(&*reader, connector.id, |_, values| {
                let of = |attribute: Option<AttrId>| attribute.and_then(&values);
                let hit = |id: Option<_>| u64::from(id.is_some_and(|id| ids.contains(&id)));
                let [consistency, object] =
                    [of(by_consistency), of(by_object)].map(|id| id.map(|id| hash64(id.as_bytes())));
                // As the definitions say: the first is the second where it has no value.
                hits.consistency_guid += hit(consistency.or(object));
                hits.object_guid += hit(object);
            })?;
        }
        Ok(hits)
    }

    /// How the definition that is configured compares with the tenant's ids, as long as nothing was exported.
    pub(crate) fn anchor_compared(&self, runtime: &Runtime) -> Result<Option<String>, ServiceError> {
        for connector in &runtime.connectors {
            if self.store().reader()?.state(connector.id, EXPORTED)?.is_some() {
                return Ok(None);
            }
        }
        let hits = self.anchor_hits(runtime)?;
        let configured = runtime.configuration.main.source_anchor;
        let (ours, others) = match configured {
            SourceAnchor::ObjectGuid => (hits.object_guid, hits.consistency_guid),
            _ => (hits.consistency_guid, hits.object_guid),
        };
        Ok(match hits.immutable_ids {
            0 => None,
            _ if ours > 0 && ours >= others => Some(format!("source anchor: {hits}")),
            _ => Some(format!(
                "warning: the source anchor is `{}`, but {hits}: accounts that are there would not be found. `source_anchor = \"tenant\"` in onesync.toml takes the definition that made these ids",
                configured.as_str()
            )),
        })
    }

    /// Finds the definition out where the configuration asks for the tenant's and it is not known yet.
    /// Says whether the configuration must be compiled again.
    ///
    /// # Errors
    /// When the tenant was not imported yet, or its ids were made in another way.
    pub(crate) fn find_source_anchor(&self, runtime: &Runtime) -> Result<bool, ServiceError> {
        if runtime.configuration.main.source_anchor != SourceAnchor::Tenant
            || self.store().reader()?.state(ConnectorId(0), FOUND)?.is_some()
        {
            return Ok(false);
        }
        for connector in runtime.connectors.iter().filter(|c| c.capabilities.export) {
            if self.store().reader()?.state(connector.id, WATERMARK)?.is_none() {
                return Err(ServiceError::held(
                    format!(
                        "the source anchor is to be the tenant's, and `{}` was not imported yet: nothing is synchronised",
                        connector.name()
                    ),
                    format!(
                        "run `onesync run {} full-import` first, or write `source_anchor = \"consistency-guid\"` in onesync.toml",
                        connector.name()
                    ),
                ));
            }
        }
        let hits = self.anchor_hits(runtime)?;
        let Some(definition) = hits.definition() else {
            return Err(ServiceError::held(
                format!("the source anchor is to be the tenant's, and it cannot be found out: {hits}"),
                "its ids were made of another attribute: import the forest they come from, or decide by `source_anchor` in onesync.toml and a rule for `sourceAnchor`",
            ));
        };
        let text = format!("{}: {hits}", definition.as_str());
        let bytes = serde_json::to_vec(&hits).map_err(|error| ServiceError::Internal(error.to_string()))?;
        let states = vec![(ConnectorId(0), FOUND.to_owned(), Some(bytes))];
        let event = self.audit(&events::SOURCE_ANCHOR, definition.as_str(), &text);
        self.write(
            &Changes { states, ..Changes::default() },
            &ServiceChanges { events: vec![event], ..ServiceChanges::default() },
        )?;
        Ok(definition != SourceAnchor::default())
    }

    /// Refuses a configuration that defines the source anchor in another way than the one under which objects were
    /// exported: every account would be matched anew. Gives what is to be remembered of the next one.
    pub(crate) fn refuse_other_anchor(&self, next: &Runtime) -> Result<Changes, ServiceError> {
        let reader = self.store().reader()?;
        let mut exported = BTreeSet::new();
        // Also by connectors that are not configured now: what they wrote is still there.
        for connector in reader.connectors()? {
            if reader.state(connector.id, EXPORTED)?.is_some() {
                exported.insert(connector.name);
            }
        }
        let Some(first) = exported.first() else { return Ok(Changes::default()) };
        let recorded = match (self.recorded_anchor(&*reader)?, self.runtime()) {
            (Some(recorded), _) => recorded,
            (None, Ok(runtime)) => self.anchor_of(&runtime)?.written_by(&exported),
            (None, Err(error)) => return self.refuse_unless_as_stored(&next.configuration, first, &error),
        };
        let after = self.anchor_of(next)?;
        let places = recorded.changed(&after);
        if !places.is_empty() {
            return Err(ServiceError::config(
                format!(
                    "the definition of the source anchor changes ({}), and objects were exported to `{first}` under another one: their ties to the sources would be lost",
                    places.join(", ")
                ),
                "leave the definition as it is; an account that moves between forests keeps its source anchor without a change. Nothing was changed",
            ));
        }
        let state = recorded.with(after.written_by(&exported)).state()?;
        Ok(Changes { states: vec![state], ..Changes::default() })
    }

    /// Objects were exported before definitions were remembered, and the configuration in force, which says how, cannot
    /// be used: another one may come in its place that defines nothing else.
    fn refuse_unless_as_stored(
        &self,
        next: &Configuration,
        exported: &str,
        error: &ServiceError,
    ) -> Result<Changes, ServiceError> {
        let stored = Configuration::parse(self.config_files(None)?);
        let same = |stored: Configuration| {
            let own = |of: &Configuration| -> BTreeMap<String, Option<String>> {
                let named = |c: &ConnectorFile| (c.name.clone(), c.parameters.get(ANCHOR_PARAMETER).cloned());
                of.connectors.iter().map(named).collect()
            };
            stored.rules == next.rules
                && stored.main.source_anchor == next.main.source_anchor
                && own(&stored) == own(next)
        };
        if stored.is_ok_and(same) {
            return Ok(Changes::default());
        }
        Err(ServiceError::config(
            format!(
                "objects were exported to `{exported}` under the configuration in force, and whether another one defines the source anchor as it does cannot be told: {error}"
            ),
            "mend what keeps it from being used, in the world or in the files of its connectors, with rules and `source_anchor` as they are; change these afterwards. Nothing was changed",
        ))
    }

    /// What is to be remembered when something is exported to a connector for the first time.
    pub(crate) fn first_anchor(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
    ) -> Result<Option<State>, ServiceError> {
        let reader = self.store().reader()?;
        let recorded = self.recorded_anchor(&*reader)?;
        if recorded.is_some() && reader.state(connector.id, EXPORTED)?.is_some() {
            return Ok(None);
        }
        let new = self.anchor_of(runtime)?.written_by(&BTreeSet::from([connector.name().to_owned()]));
        Ok(Some(recorded.unwrap_or_default().with(new).state()?))
    }

    fn recorded_anchor(&self, reader: &dyn StoreReader) -> Result<Option<AnchorRecord>, ServiceError> {
        let Some(bytes) = reader.state(ConnectorId(0), RECORDED)? else { return Ok(None) };
        let damaged = |error| ServiceError::Internal(format!("the recorded source anchor: {error}"));
        Ok(Some(serde_json::from_slice(&bytes).map_err(damaged)?))
    }

    /// What defines the source anchor under a configuration: for each object type of each target the flows to what
    /// identifies objects there, and the flows to the metaverse attributes that these read; the parameters; and the
    /// flows to `sourceAnchor` itself.
    fn anchor_of(&self, runtime: &Runtime) -> Result<AnchorRecord, ServiceError> {
        let configuration = &runtime.configuration;
        let mut record = AnchorRecord::default();
        let anywhere = record.targets.entry(String::new()).or_default();
        let definition = self.source_anchor(configuration.main.source_anchor)?.0;
        let nowhere = (String::new(), String::new());
        anywhere.insert("`source_anchor`".to_owned(), (nowhere, definition.as_str().to_owned()));
        for connector in &configuration.connectors {
            let of = (connector.name.clone(), String::new());
            let place = format!("parameter `{ANCHOR_PARAMETER}` of `{}`", connector.name);
            let own = connector.parameters.get(ANCHOR_PARAMETER).cloned().unwrap_or_default();
            record.present.insert(of.clone());
            anywhere.insert(place, (of, own));
        }
        let tables: Vec<Option<toml::Table>> =
            configuration.rules.iter().map(|file| file.text.parse().ok()).collect();
        let define = |definitions: &mut Definitions, rule: &Rule, target: AttrId| {
            let Some(of) = source_of(runtime, rule) else { return };
            let name = runtime.names.name(target);
            let table = tables.get(rule.file).and_then(Option::as_ref);
            let flows = table.and_then(|table| table.get("flow")).and_then(toml::Value::as_table);
            let flow = flows.into_iter().flatten().find(|(target, _)| target.eq_ignore_ascii_case(name));
            let text = flow.map(|(_, flow)| flow.to_string().replace("\\n", " ")).unwrap_or_default();
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let place = format!("rule `{}`, `{name}` of {} of `{}`", rule.name, of.1, of.0);
            definitions.insert(place, (of, text));
        };
        let rules = || runtime.rules.rules().iter();
        let inbound = |definitions: &mut Definitions, inputs: &[(AttrId, Option<TypeId>)]| {
            for rule in rules().filter(|rule| rule.direction == Direction::Inbound) {
                for flow in &rule.flows {
                    let fits = |&(input, of): &(AttrId, Option<TypeId>)| {
                        input == flow.target
                            && (of.is_none() || rule.metaverse.is_none() || of == rule.metaverse)
                    };
                    if inputs.iter().any(fits) {
                        define(definitions, rule, flow.target);
                    }
                }
            }
        };
        if let Some(anchor) = runtime.names.find(ANCHOR) {
            inbound(anywhere, &[(anchor, None)]);
        }
        record.present.extend(rules().filter_map(|rule| source_of(runtime, rule)));
        let writing = |rule: &&Rule| {
            rule.direction == Direction::Outbound
                && runtime.connector_by_id(rule.connector).is_some_and(|c| c.capabilities.export)
        };
        for rule in rules().filter(writing) {
            let Some(of) = source_of(runtime, rule) else { continue };
            let key = runtime.policies.of(rule.connector).object_type(rule.object).create_key;
            for flow in rule.flows.iter().filter(|flow| Some(flow.target) == key) {
                let definitions = record.targets.entry(format!("{}/{}", of.0, of.1)).or_default();
                define(definitions, rule, flow.target);
                let inputs: Vec<_> = flow.attributes().map(|input| (input, rule.metaverse)).collect();
                inbound(definitions, &inputs);
            }
        }
        Ok(record)
    }
}

/// The connector of a rule and its object type there.
fn source_of(runtime: &Runtime, rule: &Rule) -> Option<Source> {
    let connector = runtime.connector_by_id(rule.connector)?;
    Some((connector.name().to_owned(), runtime.names.type_name(rule.object).to_ascii_lowercase()))
}

/// A small named state of a connector.
type State = (ConnectorId, String, Option<Vec<u8>>);

/// A connector and an object type of it.
type Source = (String, String);

/// Place to what it is of, and its text.
type Definitions = BTreeMap<String, (Source, String)>;

/// What defines the source anchor, as it was when something was exported first, and what came to it since.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct AnchorRecord {
    /// By target and object type (`entra/user`); under the empty name what counts everywhere.
    targets: BTreeMap<String, Definitions>,
    /// What is there now.
    #[serde(skip)]
    present: BTreeSet<Source>,
}

impl AnchorRecord {
    fn state(&self) -> Result<State, ServiceError> {
        let bytes = serde_json::to_vec(self).map_err(|error| ServiceError::Internal(error.to_string()))?;
        Ok((ConnectorId(0), RECORDED.to_owned(), Some(bytes)))
    }

    /// What matters to connectors that were written to.
    fn written_by(mut self, connectors: &BTreeSet<String>) -> Self {
        self.targets.retain(|target, _| {
            target.is_empty() || target.rsplit_once('/').is_some_and(|(name, _)| connectors.contains(name))
        });
        self
    }

    /// With what came to it; what is left out for a while is still known when it comes back.
    fn with(mut self, next: Self) -> Self {
        for (target, definitions) in next.targets {
            self.targets.entry(target).or_default().extend(definitions);
        }
        self
    }

    /// Where a definition is another one. What belongs to a target or source that is not there, or was not there,
    /// defines nothing for those that are.
    fn changed(&self, next: &Self) -> Vec<String> {
        let mut changed = BTreeSet::new();
        for (target, known) in &self.targets {
            let Some(now) = next.targets.get(target) else { continue };
            changed.extend(known.iter().filter_map(|(place, definition)| {
                let same = match now.get(place) {
                    Some(now) => now == definition,
                    None => !next.present.contains(&definition.0),
                };
                (!same).then_some(place)
            }));
            let sources: BTreeSet<&Source> = known.values().map(|(of, _)| of).collect();
            let new =
                now.iter().filter(|(place, (of, _))| !known.contains_key(*place) && sources.contains(of));
            changed.extend(new.map(|(place, _)| place));
        }
        changed.into_iter().cloned().collect()
    }
}

/// Visits the objects of a connector with their types and a way to their values as an immutable id would write them.
fn each_row(
    reader: &dyn StoreReader,
    connector: ConnectorId,
    mut visit: impl FnMut(onesync_model::TypeId, &dyn Fn(AttrId) -> Option<String>),
) -> Result<(), ServiceError> {
    let mut after = CsId(i64::MIN);
    loop {
        let page = reader.cs_page(connector, after, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        for row in page.iter().filter(|row| !row.flags.has(CsFlags::GONE) && row.anchor.is_some()) {
            visit(row.object_type, &|attribute| {
                let values = row.image.as_ref().get(attribute).and_then(ValuesRef::to_values)?;
                match values.first() {
                    binary @ Value::Binary(_) => {
                        Some(value_to_json(binary.as_ref()).get("$bin")?.as_str()?.to_owned())
                    }
                    other => Some(other.to_string()),
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_with_more_hits_is_taken_and_none_where_neither_hits() {
        let hits = |immutable_ids, consistency_guid, object_guid| AnchorHits {
            immutable_ids,
            consistency_guid,
            object_guid,
        };
        assert_eq!(hits(0, 0, 0).definition(), Some(SourceAnchor::ConsistencyGuid));
        assert_eq!(hits(9, 0, 5).definition(), Some(SourceAnchor::ObjectGuid));
        assert_eq!(hits(9, 5, 5).definition(), Some(SourceAnchor::ConsistencyGuid));
        assert_eq!(hits(9, 0, 0).definition(), None);
    }
}

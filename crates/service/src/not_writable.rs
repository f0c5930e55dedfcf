//! What rules compute for a target and nobody can write there: shown beside pending changes, never sent.
//!
//! It is the outbound pass itself that tells it, over the state as it is; what else it decides is thrown away.

use std::collections::BTreeMap;

use onesync_engine::{Context, CsRow, Fate, Note, Trace};
use onesync_model::{CsId, MvId, values_to_json};
use onesync_store::StoreReader;
use serde_json::Value as Json;

use crate::error::ServiceError;
use crate::runtime::{Runtime, Service};

impl Service {
    /// The values, by object and attribute.
    pub(crate) fn not_writable(
        &self,
        runtime: &Runtime,
        reader: &dyn StoreReader,
        rows: &BTreeMap<CsId, CsRow>,
    ) -> Result<BTreeMap<CsId, BTreeMap<String, Json>>, ServiceError> {
        let owners: Vec<MvId> = rows.values().filter_map(|row| row.join.map(|join| join.mv)).collect();
        let mut out: BTreeMap<CsId, BTreeMap<String, Json>> = BTreeMap::new();
        if owners.is_empty() {
            return Ok(out);
        }
        let trace = Trace::default();
        let ctx = Context { trace: Some(&trace), ..self.context(runtime, onesync_model::RunId(0)) };
        let _thrown_away = onesync_engine::outbound(&ctx, reader, &owners)?;
        for note in trace.into_notes() {
            if let Note::Planned { of, attribute, values: Some(values), fate: Fate::ReadOnly } = note
                && rows.contains_key(&of)
            {
                let name = runtime.names.name(attribute).to_owned();
                out.entry(of).or_default().insert(name, values_to_json(&values));
            }
        }
        Ok(out)
    }
}

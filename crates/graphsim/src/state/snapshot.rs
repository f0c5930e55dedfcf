//! The directory as rows, for `--state FILE` and for snapshot and restore over the control plane.
//!
//! Rows keep indices and sequence numbers, so that delta tokens stay valid over a restart.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{Ix, Life, Links, Object, Prop, State};
use crate::schema::Kind;

/// All rows of a directory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct StateRows {
    seq: u64,
    objects: Vec<ObjectRow>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ObjectRow {
    id: Uuid,
    kind: Kind,
    life: Life,
    born: u64,
    changed: u64,
    born_ms: i64,
    changed_ms: i64,
    props: Vec<(String, Value, u64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    members: Option<Vec<(u64, Ix, bool)>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owners: Option<Vec<(u64, Ix, bool)>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manager: Option<Ix>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manager_was: Option<Ix>,
    #[serde(default)]
    manager_seq: u64,
}

impl State {
    /// Writes the directory as rows.
    pub(crate) fn to_rows(&self) -> StateRows {
        let row = |o: &Object| ObjectRow {
            id: o.id,
            kind: o.kind,
            life: o.life,
            born: o.born,
            changed: o.changed,
            born_ms: o.born_ms,
            changed_ms: o.changed_ms,
            props: o.props.iter().map(|p| (p.name.to_string(), p.value.clone(), p.seq)).collect(),
            members: o.members.as_ref().map(|l| l.rows()),
            owners: o.owners.as_ref().map(|l| l.rows()),
            manager: o.manager,
            manager_was: o.manager_was,
            manager_seq: o.manager_seq,
        };
        StateRows { seq: self.seq, objects: self.objects.iter().map(row).collect() }
    }

    /// Builds a directory and its indices from rows.
    pub(crate) fn from_rows(rows: StateRows) -> State {
        let mut state = State { seq: rows.seq, ..State::default() };
        for (ix, row) in (0..).zip(rows.objects) {
            state.by_id.insert(row.id, ix);
            if let Some(changes) = state.changes.get_mut(row.kind.at()) {
                changes.insert(row.changed, ix);
            }
            let set = match row.life {
                Life::Live => state.live.get_mut(row.kind.at()),
                Life::Soft(_) => state.soft.get_mut(row.kind.at()),
                Life::Gone => None,
            };
            if let Some(set) = set {
                set.insert(ix);
            }
            for (_, member, _) in row.members.iter().flatten().filter(|(_, _, live)| *live) {
                state.member_of.entry(*member).or_default().insert(ix);
            }
            if let Some(manager) = row.manager {
                state.reports.entry(manager).or_default().insert(ix);
            }
            state.objects.push(Object {
                id: row.id,
                kind: row.kind,
                life: row.life,
                born: row.born,
                changed: row.changed,
                born_ms: row.born_ms,
                changed_ms: row.changed_ms,
                props: Vec::<Prop>::with_capacity(row.props.len()),
                past: Vec::new(),
                members: row.members.as_deref().map(|r| Box::new(Links::from_rows(r))),
                owners: row.owners.as_deref().map(|r| Box::new(Links::from_rows(r))),
                manager: row.manager,
                manager_was: row.manager_was,
                manager_seq: row.manager_seq,
                blind_reads: 0,
            });
            for (name, value, seq) in row.props {
                state.put(ix, &name, value, seq);
            }
        }
        state
    }
}

//! What an administrator decides about connectors beyond rules: given to the engine with every call.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use onesync_model::{AttrId, ConnectorId, Obstacle, TypeId, Value};
use onesync_rules::JoinGroup;

use crate::pilot::Pilot;

/// The decisions for all connectors.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    connectors: BTreeMap<ConnectorId, ConnectorPolicy>,
    none: ConnectorPolicy,
}

/// The decisions for one connector.
#[derive(Clone, Debug, Default)]
pub struct ConnectorPolicy {
    /// Its name, for messages.
    pub name: String,
    /// Whether it can write at all; where not, exports are computed, shown and counted.
    pub writable: bool,
    /// Seconds within which a change that was sent may not be visible yet.
    pub settle_seconds: u32,
    /// Whether an object that is told twice in one import is the same one, and not two with one anchor.
    pub repeats: bool,
    /// Whether link values are named by distinguished names (else by anchors).
    pub links_by_name: bool,
    /// Whether objects have distinguished names in a hierarchy of containers.
    pub hierarchical: bool,
    /// Decisions by object type.
    pub types: BTreeMap<TypeId, TypePolicy>,
    /// Attributes nobody can write: computed by rules, never exported. Ascending.
    pub read_only: Vec<AttrId>,
    /// Attributes whose values differ when only their case differs; for all others case does not matter when a
    /// confirmed value is compared with the one that was sent. Ascending.
    pub case_exact: Vec<AttrId>,
    /// Link attributes. Ascending.
    pub link_attributes: Vec<AttrId>,
    /// Those of them that hold one value: a new one takes the place of the old.
    pub single_links: Vec<AttrId>,
    /// Those of them that hold members of groups, where a scope asks who is a member.
    pub membership: Vec<AttrId>,
    /// What becomes of the join of an object that leaves the scope of all rules while it still exists.
    pub stay_joined_out_of_scope: bool,
    /// Attributes by which people search; indexed like join attributes.
    pub search: Vec<AttrId>,
    /// Who may be written there; `None` lets everybody be.
    pub pilot: Option<Pilot>,
}

/// The decisions for one object type of one connector.
#[derive(Clone, Debug, Default)]
pub struct TypePolicy {
    /// Whether objects of this type can be written; where not, they are listed as such and never sent.
    pub unwritable: bool,
    /// Attributes nobody can write on objects of this type, though on others they may.
    pub read_only: Vec<AttrId>,
    /// Attributes nobody can empty: where rules give no value, what is there stays.
    pub never_empty: Vec<AttrId>,
    /// Values with which an object of this type cannot be created: it is listed as such and never sent.
    pub not_created_if: Vec<(AttrId, Obstacle)>,
    /// The attribute whose value identifies an object before it has an anchor.
    pub create_key: Option<AttrId>,
    /// Attributes without which an object cannot be created.
    pub required: Vec<AttrId>,
    /// The attribute whose value is shown as the name of an object that is to be created.
    pub name: Option<AttrId>,
    /// What happens to an object whose metaverse object leaves.
    pub deprovision: Deprovision,
    /// How an account is disabled: attribute and value.
    pub disable: Option<(AttrId, Value)>,
    /// Attributes other than the create key by which an existing object may be found, in this order.
    pub by_name: Vec<NameMatch>,
}

impl TypePolicy {
    /// Whether an existing object may be joined by these conditions: by the source anchor always, by anything else
    /// only where that is switched on, and not while it is unknown who is protected.
    pub(crate) fn may_join(&self, group: &JoinGroup, anchor_only: bool) -> bool {
        if self.by_name.is_empty() || group.conditions.iter().any(|c| Some(c.connector) == self.create_key) {
            return true;
        }
        let adopts = |attribute| self.by_name.iter().any(|by| by.connector == attribute && by.adopt);
        !anchor_only && group.conditions.iter().any(|c| adopts(c.connector))
    }
}

/// Finding an existing object by a name instead of its source anchor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NameMatch {
    /// The attribute there; indexed like a join attribute.
    pub connector: AttrId,
    /// The metaverse attribute it is compared with.
    pub metaverse: AttrId,
    /// Whether an object is adopted by it. Where not, one that has the same name stands in the way of a new one.
    pub adopt: bool,
}

/// What happens to an object at the target when its metaverse object leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Deprovision {
    /// Nothing is written; the link is given up.
    #[default]
    Disconnect,
    /// It is disabled at once and stays so.
    Disable,
    /// It is disabled at once (where it can be) and deleted after so many seconds.
    DisableThenDelete {
        /// The grace time in seconds.
        after_seconds: i64,
    },
    /// It is deleted after so many seconds, 0 meaning at once.
    Delete {
        /// The grace time in seconds.
        after_seconds: i64,
    },
}

impl Policies {
    /// Takes the decisions.
    #[must_use]
    pub fn new(connectors: BTreeMap<ConnectorId, ConnectorPolicy>) -> Self {
        Self { connectors, none: ConnectorPolicy::default() }
    }

    /// The pilots there are.
    pub(crate) fn pilots(&self) -> impl Iterator<Item = &Pilot> {
        self.connectors.values().filter_map(|policy| policy.pilot.as_ref())
    }

    /// The decisions for a connector; those of an unknown one forbid everything.
    #[must_use]
    pub fn of(&self, connector: ConnectorId) -> &ConnectorPolicy {
        self.connectors.get(&connector).unwrap_or(&self.none)
    }
}

impl ConnectorPolicy {
    /// Whether an attribute holds links.
    pub(crate) fn is_link(&self, attribute: AttrId) -> bool {
        self.link_attributes.binary_search(&attribute).is_ok()
    }

    /// Whether values of an attribute differ when only their case differs.
    pub(crate) fn is_case_exact(&self, attribute: AttrId) -> bool {
        self.case_exact.binary_search(&attribute).is_ok()
    }

    /// Whether a rule's value for an attribute is only computed: nobody can write it there. Of a directory,
    /// or an object type, where nothing can be written, everything is shown: none of it is sent.
    pub(crate) fn computes_only(&self, rules: &TypePolicy, attribute: AttrId) -> bool {
        self.writable
            && !rules.unwritable
            && Some(attribute) != rules.create_key
            && (self.read_only.binary_search(&attribute).is_ok() || rules.read_only.contains(&attribute))
    }

    /// The decisions for an object type.
    #[must_use]
    pub fn object_type(&self, object_type: TypeId) -> &TypePolicy {
        static NONE: LazyLock<TypePolicy> = LazyLock::new(TypePolicy::default);
        self.types.get(&object_type).unwrap_or(&NONE)
    }
}

//! The rows: what is known, and what is owed.

use onesync_model::{
    Anchor, AttrId, ConnectorId, ContainerId, CsId, Hash128, Image, MvGuid, MvId, Operation, RuleId, RunId,
    Time, TypeId, Values, hash64, hash128, normalise_rdn,
};

/// One connector-space object: our image of one object of a connected directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CsRow {
    /// Its row number.
    pub id: CsId,
    /// Its connector.
    pub connector: ConnectorId,
    /// Its object type.
    pub object_type: TypeId,
    /// Its immutable identity; `None` until the directory has created it.
    pub anchor: Option<Anchor>,
    /// The container it lies in; `None` in a directory without hierarchy, and for the topmost objects.
    pub container: Option<ContainerId>,
    /// Its RDN; without a hierarchy the name to show.
    pub name: String,
    /// What the directory last told us; without link values.
    pub image: Image,
    /// Counts and sums of its link values, by attribute, ascending.
    pub links: Vec<LinkSum>,
    /// What is special about it.
    pub flags: CsFlags,
    /// Why the flags are set, for people.
    pub reason: Option<String>,
    /// Its metaverse object, when it is a connector.
    pub join: Option<Join>,
    /// A target object whose source leaves: since when. A retained fact: grace times count from here.
    pub leaving: Option<Time>,
}

impl CsRow {
    /// The key of an anchor: how links and imports find the row.
    #[must_use]
    pub fn anchor_key(connector: ConnectorId, anchor: &Anchor) -> Hash128 {
        hash128(&[b"a", &connector.0.to_le_bytes(), &anchor.0])
    }

    /// The key of a name inside its container: how links by DN find the row. A renamed container changes no key.
    #[must_use]
    pub fn name_key(connector: ConnectorId, container: Option<ContainerId>, normalised_rdn: &str) -> Hash128 {
        let container = container.map_or(0, |id| id.0);
        hash128(&[b"n", &connector.0.to_le_bytes(), &container.to_le_bytes(), normalised_rdn.as_bytes()])
    }

    /// This row's anchor key.
    #[must_use]
    pub fn key(&self) -> Option<Hash128> {
        self.anchor.as_ref().map(|anchor| Self::anchor_key(self.connector, anchor))
    }

    /// The count of an attribute's link values.
    #[must_use]
    pub fn link_count(&self, attribute: AttrId) -> u64 {
        self.links.iter().find(|sum| sum.attribute == attribute).map_or(0, |sum| sum.count)
    }
}

/// Count and order-independent sum of the link values of one attribute of one object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkSum {
    /// The attribute.
    pub attribute: AttrId,
    /// How many values there are, resolved or not.
    pub count: u64,
    /// The sum of their keys ([`Hash128::plus`]).
    pub sum: Hash128,
}

/// What is special about a connector-space object: a set of bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct CsFlags(pub u16);

impl CsFlags {
    /// The directory has deleted it; the row stays while its metaverse object is leaving.
    pub const GONE: Self = Self(1);
    /// Its anchor was seen twice in one import: it stays exactly as it is until an import shows it once.
    pub const CONFLICT: Self = Self(2);
    /// Never matched, disabled or deleted (role holder, guest, break-glass account, configured).
    pub const PROTECTED: Self = Self(4);
    /// Another system masters it: joined and compared, never written.
    pub const MASTERED_ELSEWHERE: Self = Self(8);
    /// Provisioned by us and not seen in the directory yet.
    pub const PROVISIONED: Self = Self(16);
    /// It wants to join and may not: a rival holds the place, or wants it too.
    pub const REFUSED: Self = Self(32);
    /// It is outside the pilot of its connector: computed, never written.
    pub const OUTSIDE: Self = Self(64);
    /// A rule would create its metaverse object, and it has no value in anything that rule joins by.
    pub const NO_JOIN_VALUE: Self = Self(128);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With the bits of `other` set or cleared.
    #[must_use]
    pub const fn with(self, other: Self, set: bool) -> Self {
        if set { Self(self.0 | other.0) } else { Self(self.0 & !other.0) }
    }
}

/// The link of a connector-space object to its metaverse object: decided once, a retained fact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Join {
    /// The metaverse object.
    pub mv: MvId,
    /// The rule that made it.
    pub rule: RuleId,
    /// The run that made it (an annotation).
    pub run: RunId,
    /// Whether we own the object at the target: it was created or adopted by us, and may be changed and deleted. What
    /// another system masters is nobody's to adopt.
    pub owned: bool,
}

/// One metaverse object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MvRow {
    /// Its row number.
    pub id: MvId,
    /// Its lasting identity.
    pub guid: MvGuid,
    /// Its object type.
    pub object_type: TypeId,
    /// Its values, without links.
    pub values: Image,
    /// Who gave each value, ascending by attribute; several for merged attributes.
    pub causes: Vec<Cause>,
    /// Who gives the links of each link attribute, ascending by attribute.
    pub picks: Vec<LinkPick>,
    /// Whether it is staying.
    pub state: MvState,
}

/// Who gave a metaverse value: an annotation, but for `retained`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cause {
    /// The metaverse attribute.
    pub attribute: AttrId,
    /// The rule.
    pub rule: RuleId,
    /// The source object.
    pub source: CsId,
    /// The run.
    pub run: RunId,
    /// Whether the value is kept although no rule gives it now.
    pub retained: Retained,
}

/// Why a value stays that no rule would give again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Retained {
    /// It does not: it is computed anew each time.
    #[default]
    No,
    /// It was applied once.
    Once,
    /// The only flows said IgnoreThisFlow, or the flow failed: the value stays.
    Kept,
}

/// Who gives the links of one link attribute of a metaverse object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LinkPick {
    /// The metaverse attribute.
    pub attribute: AttrId,
    /// The source object.
    pub source: CsId,
    /// The source object's attribute.
    pub source_attribute: AttrId,
    /// The rule.
    pub rule: RuleId,
}

/// Whether a metaverse object is staying.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MvState {
    /// It has a join that keeps it.
    Active,
    /// It lost its last keeping join at this time; it keeps values and joins until its deprovisioning is confirmed.
    Leaving {
        /// When it began to leave.
        since: Time,
        /// Whether the source object is gone (else it left the scope).
        deleted: bool,
    },
}

/// One container of a hierarchical directory: known from its own entry, or only from the names of others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContainerRow {
    /// Its row number.
    pub id: ContainerId,
    /// Its connector.
    pub connector: ConnectorId,
    /// The container it lies in.
    pub parent: Option<ContainerId>,
    /// Its RDN as written. Empty: this row and its parent are one container, which was met under two names; what lies
    /// in either lies in both.
    pub rdn: String,
    /// Its immutable identity, once its own entry was told.
    pub anchor: Option<Anchor>,
    /// Another container has its name, and its own new one was not told yet: it is found by no name.
    pub hidden: bool,
}

impl ContainerRow {
    /// The name by which it is found in its parent.
    #[must_use]
    pub fn key(&self) -> String {
        match (self.hidden, self.rdn.as_str()) {
            (true, _) => "?".to_owned(), // no RDN is written so
            (false, "") => String::new(),
            (false, rdn) => normalise_rdn(rdn),
        }
    }
}

/// What we owe a connected directory for one object, and what was sent and not yet seen there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExportRow {
    /// The object at the target.
    pub cs: CsId,
    /// Its connector.
    pub connector: ConnectorId,
    /// Its object type.
    pub object_type: TypeId,
    /// What to do.
    pub operation: Operation,
    /// Where the operation itself (add, delete) stands; for updates the least advanced of the changes.
    pub state: ChangeState,
    /// Attributes to set or remove, ascending by attribute.
    pub changes: Vec<AttributeChange>,
    /// The create key of an add.
    pub create_key: Option<String>,
    /// Not to be sent before this time.
    pub not_before: Time,
    /// How often the item was refused or not confirmed.
    pub attempts: u32,
    /// When it was last sent.
    pub sent: Option<Time>,
    /// Why it was refused, for people.
    pub error: Option<String>,
    /// What kind of change it is, for protections: bits of [`ExportRow::KIND_DELETE`] and its fellows.
    pub kinds: u8,
    /// Whether a protection holds it back: then a release by this row's hash frees it.
    pub held: bool,
}

impl ExportRow {
    /// It deletes the object, because its source object was deleted.
    pub const KIND_DELETE: u8 = 1;
    /// It disables an account.
    pub const KIND_DISABLE: u8 = 2;
    /// It empties an attribute.
    pub const KIND_EMPTY: u8 = 4;
    /// Its cause is that the object left the scope (else: deletion at the source).
    pub const KIND_LEFT_SCOPE: u8 = 8;
    /// It adopts an existing object: first contact.
    pub const KIND_ADOPT: u8 = 16;
    /// It can never be written through this connector: computed, shown, counted.
    pub const KIND_UNWRITABLE: u8 = 32;
    /// It disables or deletes because the person leaves.
    pub const KIND_LEAVER: u8 = 64;
    /// Its object is outside the pilot or mastered elsewhere: computed, shown, counted, never sent.
    pub const KIND_OUTSIDE: u8 = 128;
    /// What is never sent.
    pub const KINDS_NOT_SENT: u8 = Self::KIND_UNWRITABLE | Self::KIND_OUTSIDE;
}

/// One attribute of an export.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttributeChange {
    /// The target attribute.
    pub attribute: AttrId,
    /// The values to set; `None` removes the attribute.
    pub values: Option<Values>,
    /// Where it stands.
    pub state: ChangeState,
    /// How often it was sent without being seen afterwards.
    pub attempts: u8,
    /// The rule it comes from.
    pub rule: RuleId,
    /// Why it was refused, for people.
    pub error: Option<String>,
}

/// Where a change stands on its way to the target.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum ChangeState {
    /// To be sent.
    Pending,
    /// Being sent; after a crash: unknown whether it was.
    Sending,
    /// Sent; waits to be seen by an import.
    Sent,
    /// Refused by the target, or sent three times and never seen: isolated until its source changes.
    Refused,
}

/// One link value that we owe a connected directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExportLinkRow {
    /// The connector.
    pub connector: ConnectorId,
    /// The object whose attribute it is.
    pub owner: CsId,
    /// The target attribute.
    pub attribute: AttrId,
    /// The object it points to, in the same connector space.
    pub target: CsId,
    /// Whether the value is to be added (else removed).
    pub add: bool,
    /// Where it stands.
    pub state: ChangeState,
    /// How often it was sent without being seen afterwards, or refused.
    pub attempts: u8,
    /// Not to be sent before this time.
    pub not_before: Time,
    /// Whether a protection holds it back.
    pub held: bool,
    /// Why it was refused, for people.
    pub error: Option<String>,
}

/// Something that must be looked at again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Work {
    /// Scope, join and provisioning of a connector-space object.
    Identity(Turn),
    /// The values of a metaverse object.
    Values(MvId),
    /// What a metaverse object means for every target.
    Outbound(MvId),
    /// Everything that points at a connector-space object: it was joined, unjoined or got its anchor.
    Target(CsId),
    /// Everything that points at a metaverse object: it lost a joined object.
    MvTarget(MvId),
    /// All link values of one attribute of a connector-space object.
    CsLinks(CsId, AttrId),
    /// One link value (by its key) of one attribute of a connector-space object was added or removed.
    CsLink(CsId, AttrId, Hash128),
    /// All links of one attribute of a metaverse object.
    MvLinks(MvId, AttrId),
    /// Everything below a container: it was renamed or moved.
    Below(Below),
    /// The members of a group that a scope asks for: it goes, came back, or was renamed or moved.
    Members(Members),
}

/// How far the way through the members of a group has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Members {
    /// The group.
    pub group: CsId,
    /// The link attribute.
    pub attribute: AttrId,
    /// The last link that is done.
    pub after: Option<Hash128>,
}

/// How far the way through what lies below a container has come: first containers, which get work of their own, then
/// objects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Below {
    /// The container.
    pub container: ContainerId,
    /// The last container in it that is done.
    pub after: ContainerId,
    /// The last object in it that is done.
    pub after_object: CsId,
}

impl Below {
    /// The beginning of the way.
    #[must_use]
    pub fn all(container: ContainerId) -> Self {
        Self { container, after: ContainerId(0), after_object: CsId(0) }
    }
}

/// When a connector-space object has its turn: first those that are joined, since they may give up places or join
/// values, then those that want a place; each in the order object type, anchor, whatever the order in which the
/// directory showed the objects. (The anchor's hash stands for the anchor: it has one length.)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Turn {
    /// Whether it is joined to nothing.
    pub newcomer: bool,
    /// Its type.
    pub object_type: TypeId,
    /// Its anchor's hash.
    pub place: i64,
    /// Its row number.
    pub cs: CsId,
}

impl Turn {
    /// The turn of an object as it is now. One that was noted before its type or anchor changed is another, and does
    /// no harm: the object is looked at once more.
    #[must_use]
    pub fn of(row: &CsRow) -> Self {
        let anchor = row.anchor.as_ref().map(|anchor| &*anchor.0);
        Self::new(row.join.is_none(), row.object_type, anchor, row.id)
    }

    /// The turn of an object of this type and anchor.
    #[must_use]
    pub fn new(newcomer: bool, object_type: TypeId, anchor: Option<&[u8]>, cs: CsId) -> Self {
        Self { newcomer, object_type, place: hash64(anchor.unwrap_or_default()).cast_signed(), cs }
    }
}

impl Work {
    /// The number of passes. Passes are done in the order of their numbers, but for the last two: what lies below
    /// renamed containers, and then the members of changed groups, are put on the agenda of the others, and so come
    /// before them.
    pub const PASSES: u8 = 10;

    /// The pass that does it.
    #[must_use]
    pub fn pass(&self) -> u8 {
        match self {
            Self::Identity(_) => 0,
            Self::Values(_) => 1,
            Self::Outbound(_) => 2,
            Self::Target(_) => 3,
            Self::MvTarget(_) => 4,
            Self::CsLinks(..) => 5,
            Self::MvLinks(..) => 6,
            Self::CsLink(..) => 7,
            Self::Below(_) => 8,
            Self::Members(_) => 9,
        }
    }
}

/// One row of the agenda.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AgendaRow {
    /// The connector of the object, for work of the identity pass; 0 otherwise.
    pub connector: ConnectorId,
    /// What to look at.
    pub work: Work,
    /// Not to be done before this time.
    pub not_before: Time,
}

/// An error of one object that stands until it is healed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErrorRow {
    /// The connector-space object.
    pub cs: CsId,
    /// Its connector.
    pub connector: ConnectorId,
    /// Its object type.
    pub object_type: TypeId,
    /// What the error is about: `import`, `scope`, `join`, `flow:NAME` (inbound), `outbound:NAME`, `export`,
    /// `export:NAME`; unique per object.
    pub place: String,
    /// A stable code.
    pub code: String,
    /// What fails, the same for all objects that fail alike: the rule and the part of its expression. 0 where place and
    /// code say it all.
    pub cause: i64,
    /// What happened, and what to do.
    pub message: String,
    /// When it was first seen.
    pub first_seen: Time,
    /// The run that saw it last.
    pub run: RunId,
    /// Whether it needs attention at once (`accountEnabled` could not be computed or written).
    pub alarm: bool,
}

/// A change of one attribute: attribute, old values, new values, the rule that gave the new ones.
pub type ValueChange = (AttrId, Option<Values>, Option<Values>, Option<RuleId>);

/// A change of a metaverse object that was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryRow {
    /// The metaverse object.
    pub mv: MvId,
    /// The run.
    pub run: RunId,
    /// When.
    pub time: Time,
    /// What happened to the object itself: `created`, `joined NAME`, `left NAME`, `leaving`, `resumed`, `deleted`.
    pub event: Option<String>,
    /// Attributes with old and new values and the rule that gave the new one.
    pub changes: Vec<ValueChange>,
}

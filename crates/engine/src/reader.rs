//! How the engine reads: keyed reads only, many keys at a time, never a free query.
//!
//! A reader shows one consistent state for its whole life (a snapshot), so that what the engine decides in a batch
//! rests on one state. Rows come back ordered as said, so that the same inputs give the same plan.

use onesync_model::{Anchor, AttrId, ConnectorId, ContainerId, CsId, Hash128, MvId, Time};
use thiserror::Error;

use crate::changes::Counters;
use crate::state::{AgendaRow, ContainerRow, CsRow, ErrorRow, ExportLinkRow, ExportRow, MvRow};

/// A read that failed: the database is out of reach, or holds what this program did not write.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct ReadError(pub String);

/// A connector-space object as links need it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JoinedIn {
    /// The metaverse object.
    pub mv: MvId,
    /// The connector-space object.
    pub cs: CsId,
    /// Its anchor key; `None` until the directory has created it.
    pub key: Option<Hash128>,
    /// Its name key, where its directory names link targets by name.
    pub name_key: Option<Hash128>,
}

/// Keyed reads of one consistent state.
pub trait Reader {
    /// The next free row numbers.
    fn counters(&self) -> Result<Counters, ReadError>;

    /// Connector-space objects by row number, ascending; missing ones are left out.
    fn cs_by_id(&self, ids: &[CsId]) -> Result<Vec<CsRow>, ReadError>;
    /// Connector-space objects by anchor key, ascending by row number.
    fn cs_by_key(&self, keys: &[Hash128]) -> Result<Vec<CsRow>, ReadError>;
    /// Connector-space objects by name key, ascending by row number.
    fn cs_by_name(&self, keys: &[Hash128]) -> Result<Vec<CsRow>, ReadError>;
    /// Connector-space objects joined to metaverse objects, ascending by row number.
    fn cs_of_mv(&self, mvs: &[MvId]) -> Result<Vec<CsRow>, ReadError>;
    /// Which connector-space objects are joined to metaverse objects, without reading them, in no order.
    fn joined_to(&self, mvs: &[MvId]) -> Result<Vec<(MvId, CsId)>, ReadError> {
        let rows = self.cs_of_mv(mvs)?;
        Ok(rows.into_iter().filter_map(|row| Some((row.join?.mv, row.id))).collect())
    }
    /// The objects of one connector joined to metaverse objects, without their images: for links. Ascending by
    /// metaverse object, then row number.
    fn joined_in(&self, connector: ConnectorId, mvs: &[MvId]) -> Result<Vec<JoinedIn>, ReadError>;
    /// The metaverse objects of connector-space objects, without reading images; unjoined ones are left out.
    /// Ascending by connector-space object.
    fn joins_of(&self, ids: &[CsId]) -> Result<Vec<(CsId, MvId)>, ReadError>;
    /// Connector-space objects that have a join key (ascending by key, then row number).
    fn cs_by_join(&self, keys: &[i64]) -> Result<Vec<(i64, CsId)>, ReadError>;
    /// A page of all objects of a connector with row numbers above `after`.
    fn cs_page(&self, connector: ConnectorId, after: CsId, limit: usize) -> Result<Vec<CsRow>, ReadError>;
    /// Resolves link keys (anchor keys and name keys alike) to objects and their metaverse objects.
    fn link_targets(&self, keys: &[Hash128]) -> Result<Vec<(Hash128, CsId, Option<MvId>)>, ReadError>;
    /// The name key under which an object is indexed.
    fn name_key(&self, ids: &[CsId]) -> Result<Vec<(CsId, Hash128)>, ReadError>;

    /// Metaverse objects by row number, ascending.
    fn mv_by_id(&self, ids: &[MvId]) -> Result<Vec<MvRow>, ReadError>;
    /// Metaverse objects that have a join key (ascending by key, then row number).
    fn mv_by_join(&self, keys: &[i64]) -> Result<Vec<(i64, MvId)>, ReadError>;
    /// A page of metaverse objects with row numbers above `after`.
    fn mv_page(&self, after: MvId, limit: usize) -> Result<Vec<MvRow>, ReadError>;

    /// A page of the link keys of one attribute of one object, ascending, above `after`.
    fn links(
        &self,
        owner: CsId,
        attribute: AttrId,
        after: Option<Hash128>,
        limit: usize,
    ) -> Result<Vec<Hash128>, ReadError>;
    /// The link keys of some attributes of objects, the first `limit` of each, ascending within each; none is asked
    /// twice.
    fn links_of(
        &self,
        of: &[(CsId, AttrId)],
        limit: usize,
    ) -> Result<Vec<(CsId, AttrId, Hash128)>, ReadError> {
        let mut out = Vec::new();
        for &(owner, attribute) in of {
            let page = self.links(owner, attribute, None, limit)?;
            out.extend(page.into_iter().map(|key| (owner, attribute, key)));
        }
        Ok(out)
    }
    /// Which of these link rows exist, in the order asked.
    fn has_links(&self, rows: &[(CsId, AttrId, Hash128)]) -> Result<Vec<bool>, ReadError>;
    /// A page of the link rows that point at a key, ascending by owner and attribute, above `after`.
    fn referrers(
        &self,
        key: Hash128,
        after: Option<(CsId, AttrId)>,
        limit: usize,
    ) -> Result<Vec<(CsId, AttrId)>, ReadError>;

    /// A page of the links of one attribute of a metaverse object, ascending, above `after`.
    fn mv_links(
        &self,
        owner: MvId,
        attribute: AttrId,
        after: MvId,
        limit: usize,
    ) -> Result<Vec<MvId>, ReadError>;
    /// The links of some attributes of metaverse objects, the first `limit` of each, ascending within each; none is asked
    /// twice.
    fn mv_links_of(
        &self,
        of: &[(MvId, AttrId)],
        limit: usize,
    ) -> Result<Vec<(MvId, AttrId, MvId)>, ReadError> {
        let mut out = Vec::new();
        for &(owner, attribute) in of {
            let page = self.mv_links(owner, attribute, MvId(i64::MIN), limit)?;
            out.extend(page.into_iter().map(|target| (owner, attribute, target)));
        }
        Ok(out)
    }
    /// How many links one attribute of a metaverse object has.
    fn mv_link_count(&self, owner: MvId, attribute: AttrId) -> Result<u64, ReadError>;
    /// Which of these metaverse links exist, in the order asked.
    fn has_mv_links(&self, rows: &[(MvId, AttrId, MvId)]) -> Result<Vec<bool>, ReadError>;
    /// A page of the metaverse links that point at an object, ascending by owner and attribute, above `after`.
    fn mv_referrers(
        &self,
        target: MvId,
        after: Option<(MvId, AttrId)>,
        limit: usize,
    ) -> Result<Vec<(MvId, AttrId)>, ReadError>;

    /// Pending exports by object, ascending.
    fn exports(&self, ids: &[CsId]) -> Result<Vec<ExportRow>, ReadError>;
    /// A page of the link exports of an object's attribute, ascending by target, above `after`.
    fn export_links(
        &self,
        owner: CsId,
        attribute: AttrId,
        after: CsId,
        limit: usize,
    ) -> Result<Vec<ExportLinkRow>, ReadError>;
    /// The link exports of some attributes of objects, the first `limit` of each, ascending within each; none is asked
    /// twice.
    fn export_links_of(&self, of: &[(CsId, AttrId)], limit: usize) -> Result<Vec<ExportLinkRow>, ReadError> {
        let mut out = Vec::new();
        for &(owner, attribute) in of {
            out.append(&mut self.export_links(owner, attribute, CsId(i64::MIN), limit)?);
        }
        Ok(out)
    }
    /// A page of the link exports that take a link to an object away, ascending by owner and attribute, above `after`.
    fn export_removals_to(
        &self,
        target: CsId,
        after: Option<(CsId, AttrId)>,
        limit: usize,
    ) -> Result<Vec<(CsId, AttrId)>, ReadError>;
    /// Link exports by owner, attribute and target; missing ones are left out.
    fn export_links_by_key(&self, rows: &[(CsId, AttrId, CsId)]) -> Result<Vec<ExportLinkRow>, ReadError>;

    /// Containers by row number, ascending.
    fn containers(&self, ids: &[ContainerId]) -> Result<Vec<ContainerRow>, ReadError>;
    /// The container that is found by this name ([`ContainerRow::key`]) inside a parent.
    fn container(
        &self,
        connector: ConnectorId,
        parent: Option<ContainerId>,
        normalised_rdn: &str,
    ) -> Result<Option<ContainerRow>, ReadError>;
    /// A page of the objects that lie directly in a container, ascending, above `after`.
    fn cs_in_container(
        &self,
        container: ContainerId,
        after: CsId,
        limit: usize,
    ) -> Result<Vec<CsId>, ReadError>;
    /// A page of the containers that lie directly in a container, ascending, above `after`.
    fn containers_in(
        &self,
        container: ContainerId,
        after: ContainerId,
        limit: usize,
    ) -> Result<Vec<ContainerRow>, ReadError>;
    /// Containers of a connector by anchor, ascending by row number.
    fn containers_by_anchor(
        &self,
        connector: ConnectorId,
        anchors: &[&Anchor],
    ) -> Result<Vec<ContainerRow>, ReadError>;

    /// A page of the agenda of one pass ([`crate::Work::pass`]) that is due at `now`, in the order of the work, above
    /// `after`; for the identity pass only of `connector` where one is given.
    fn agenda(
        &self,
        pass: u8,
        connector: Option<ConnectorId>,
        now: Time,
        after: Option<AgendaRow>,
        limit: usize,
    ) -> Result<Vec<AgendaRow>, ReadError>;

    /// The standing errors of objects, ascending by object and place.
    fn errors_of(&self, ids: &[CsId]) -> Result<Vec<ErrorRow>, ReadError>;

    /// A small named state of the service.
    fn state(&self, connector: ConnectorId, name: &str) -> Result<Option<Vec<u8>>, ReadError>;
}

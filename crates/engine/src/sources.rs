//! Rows as others see them: the join keys they have, and what expressions can ask of them.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use onesync_expr::Source;
use onesync_model::{AttrId, ImageIndex, ValuesRef, domain_fqdn, domain_part, join_key};

use crate::batch::Context;
use crate::link_names::LinkNames;
use crate::memberships::Group;
use crate::state::{CsRow, MvRow};

/// The join keys of a connector-space object: of join and search attributes, and of the create key of an object that
/// is not there yet.
pub(crate) fn cs_keys(ctx: &Context<'_>, row: &CsRow) -> BTreeSet<i64> {
    let policy = ctx.policies.of(row.connector);
    let mut keys = BTreeSet::new();
    let create_key = policy.types.get(&row.object_type).and_then(|t| t.create_key);
    let attributes =
        ctx.rules.join_attributes_cs(row.connector).iter().chain(&policy.search).chain(&create_key);
    for &attribute in attributes {
        for value in row.image.as_ref().get(attribute).into_iter().flat_map(ValuesRef::iter) {
            keys.insert(join_key(attribute, value));
        }
    }
    keys
}

/// The join keys of a metaverse object.
pub(crate) fn mv_keys(ctx: &Context<'_>, row: &MvRow) -> BTreeSet<i64> {
    let mut keys = BTreeSet::new();
    for &attribute in ctx.rules.join_attributes_mv() {
        for value in row.values.as_ref().get(attribute).into_iter().flat_map(ValuesRef::iter) {
            keys.insert(join_key(attribute, value));
        }
    }
    keys
}

/// A connector-space object as expressions see it.
pub(crate) struct CsSource<'a> {
    row: &'a CsRow,
    dn: &'a str,
    parameters: &'a BTreeMap<String, String>,
    values: ImageIndex<'a>,
    /// The DNS name of the domain it lies in, once a rule asked for it.
    domain: OnceCell<String>,
    /// The groups that it is a member of, as far as scopes ask.
    groups: &'a [Arc<Group>],
    /// The names of its links, as far as flows ask.
    links: Option<&'a LinkNames>,
}

impl<'a> CsSource<'a> {
    pub(crate) fn new(row: &'a CsRow, dn: &'a str, parameters: &'a BTreeMap<String, String>) -> Self {
        let values = row.image.as_ref().index();
        Self { row, dn, parameters, values, domain: OnceCell::new(), groups: &[], links: None }
    }

    /// The same, a member of these groups.
    pub(crate) fn in_groups(self, groups: &'a [Arc<Group>]) -> Self {
        Self { groups, ..self }
    }

    /// The same with these names of its links.
    pub(crate) fn naming(self, links: Option<&'a LinkNames>) -> Self {
        Self { links, ..self }
    }

    /// What the configuration leaves empty about the domain is read off the object's name: right for every domain of
    /// a forest.
    fn derived(&self, name: &str) -> Option<&str> {
        match name {
            "Domain.FQDN" => Some(self.domain.get_or_init(|| domain_fqdn(self.dn))),
            "Domain.LDAP" => Some(domain_part(self.dn)),
            _ => None,
        }
    }
}

impl Source for CsSource<'_> {
    fn values(&self, attribute: AttrId) -> Option<ValuesRef<'_>> {
        self.values.get(attribute)
    }

    fn imported(&self, attribute: AttrId) -> Option<ValuesRef<'_>> {
        self.values(attribute)
    }

    fn dn(&self) -> Option<&str> {
        Some(self.dn)
    }

    fn link_count(&self, attribute: AttrId) -> u64 {
        self.row.link_count(attribute)
    }

    fn link_names(&self, attribute: AttrId) -> Result<Option<ValuesRef<'_>>, u64> {
        self.links.map_or(Ok(None), |links| links.of(attribute))
    }

    fn is_member_of(&self, group: &str) -> bool {
        Group::any(self.groups, group)
    }

    fn groups(&self) -> Vec<&str> {
        self.groups.iter().map(|group| group.name.as_str()).collect()
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        let set = self.parameters.get(name).map(String::as_str)?;
        if set.is_empty() { self.derived(name).or(Some(set)) } else { Some(set) }
    }
}

/// A metaverse object as outbound expressions see it.
pub(crate) struct MvSource<'a> {
    row: &'a MvRow,
    target: Option<&'a CsRow>,
    link_counts: &'a BTreeMap<AttrId, u64>,
    parameters: &'a BTreeMap<String, String>,
    values: &'a ImageIndex<'a>,
}

impl<'a> MvSource<'a> {
    /// `values` are those of the row: one index serves all targets.
    pub(crate) fn new(
        row: &'a MvRow,
        values: &'a ImageIndex<'a>,
        target: Option<&'a CsRow>,
        link_counts: &'a BTreeMap<AttrId, u64>,
        parameters: &'a BTreeMap<String, String>,
    ) -> Self {
        Self { row, target, link_counts, parameters, values }
    }

    pub(crate) fn object(&self) -> &'a MvRow {
        self.row
    }
}

impl Source for MvSource<'_> {
    fn values(&self, attribute: AttrId) -> Option<ValuesRef<'_>> {
        self.values.get(attribute)
    }

    fn imported(&self, attribute: AttrId) -> Option<ValuesRef<'_>> {
        self.target.and_then(|target| target.image.as_ref().get(attribute))
    }

    fn dn(&self) -> Option<&str> {
        None
    }

    fn link_count(&self, attribute: AttrId) -> u64 {
        self.link_counts.get(&attribute).copied().unwrap_or(0)
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }
}

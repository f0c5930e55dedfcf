//! Names: containers, and the keys by which links by name find their target.

use onesync_model::{ContainerId, Dn, Hash128, LinkTarget};

use super::Page;
use crate::reader::ReadError;
use crate::state::CsRow;

/// Container names remembered between pages: enough for every organisational unit of a large directory.
const CONTAINERS_REMEMBERED_MAX: usize = 100_000;

impl Page<'_, '_, '_> {
    /// Container, name inside it, and name key where links are by name.
    pub(super) fn place(
        &mut self,
        dn: &str,
    ) -> Result<(Option<ContainerId>, String, Option<Hash128>), ReadError> {
        let policy = self.ctx.policies.of(self.stager.connector);
        if !policy.hierarchical {
            let key = policy
                .links_by_name
                .then(|| CsRow::name_key(self.stager.connector, None, &onesync_model::fold_case(dn)));
            return Ok((None, dn.to_owned(), key));
        }
        // Most names lie in a container of which others were seen before.
        let known = Dn::split_first(dn)
            .and_then(|(own, parents)| self.stager.parents.get(parents).map(|&container| (own, container)));
        if let Some((own, container)) = known {
            let key = policy
                .links_by_name
                .then(|| CsRow::name_key(self.stager.connector, Some(container), &own.normalised()));
            return Ok((Some(container), own.as_str().to_owned(), key));
        }
        let Ok(parsed) = Dn::parse(dn) else { return Ok((None, dn.to_owned(), None)) };
        let Some((own, parents)) = parsed.rdns().split_first() else {
            return Ok((None, String::new(), None));
        };
        let mut container = None;
        for rdn in parents.iter().rev() {
            container = Some(self.container(container, rdn.as_str(), &rdn.normalised())?);
        }
        if let (Some(container), Some((_, parents))) = (container, Dn::split_first(dn)) {
            if self.stager.parents.len() >= CONTAINERS_REMEMBERED_MAX {
                self.stager.parents.clear();
            }
            self.stager.parents.insert(parents.to_owned(), container);
        }
        let key = policy
            .links_by_name
            .then(|| CsRow::name_key(self.stager.connector, container, &own.normalised()));
        Ok((container, own.as_str().to_owned(), key))
    }

    /// The container of this name in a parent; made where there is none.
    pub(super) fn container(
        &mut self,
        parent: Option<ContainerId>,
        rdn: &str,
        normalised: &str,
    ) -> Result<ContainerId, ReadError> {
        let name = (parent, normalised.to_owned());
        if let Some(&id) = self.stager.containers.get(&name) {
            return Ok(id);
        }
        if self.stager.containers.len() >= CONTAINERS_REMEMBERED_MAX {
            self.stager.containers.clear();
        }
        let id = match self.find(&name)? {
            Some(row) => row.id,
            None => self.new_container(parent, rdn).id,
        };
        self.stager.containers.insert(name, id);
        Ok(id)
    }

    pub(super) fn link_key(&mut self, target: &LinkTarget) -> Result<Hash128, ReadError> {
        Ok(match target {
            LinkTarget::Anchor(anchor) => CsRow::anchor_key(self.stager.connector, anchor),
            LinkTarget::Dn(dn) => match self.place(dn)? {
                (_, _, Some(key)) => key,
                (container, name, None) => {
                    CsRow::name_key(self.stager.connector, container, &onesync_model::fold_case(&name))
                }
            },
        })
    }
}

//! What stands beside the image of a metaverse object, so that views in SQL can name it.

use onesync_model::{AttrId, Image, ValueRef};

use super::{Cells, Checked};

/// The attributes: those of the columns `display_name` and `principal_name`.
pub(crate) const NAMES: [&str; 2] = ["displayName", "userPrincipalName"];

/// The ids of the attributes, as far as they are known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Labels([Option<AttrId>; 2]);

impl Labels {
    /// Notes one id: columns id, name.
    pub(crate) fn note(&mut self, cells: &Cells<'_>) -> Checked<()> {
        let (id, name): (u32, String) = (cells.get(0)?, cells.get(1)?);
        for (slot, _) in self.0.iter_mut().zip(NAMES).filter(|(_, known)| *known == name) {
            *slot = Some(AttrId(id));
        }
        Ok(())
    }

    /// The texts of an object.
    pub(crate) fn of<'i>(&self, image: &'i Image) -> [Option<&'i str>; 2] {
        self.0.map(|id| match image.as_ref().get(id?)?.first()? {
            ValueRef::String(text) => Some(text),
            _ => None,
        })
    }
}

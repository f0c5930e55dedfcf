//! Where each attribute of an image is: for an object of which many are asked.

use crate::{AttrId, ValuesRef};

/// The attributes of an image, found by a hash of their ids.
#[derive(Clone, Debug, Default)]
pub struct ImageIndex<'a> {
    all: Vec<(AttrId, ValuesRef<'a>)>,
    /// Places in `all`, counted from 1, at the hash of the id or behind it: a power of two of which at least half are
    /// free (0), so that each search ends.
    slots: Vec<u32>,
}

impl<'a> ImageIndex<'a> {
    pub(crate) fn new(all: Vec<(AttrId, ValuesRef<'a>)>) -> Self {
        let mut index = Self { slots: vec![0; (all.len() * 2).next_power_of_two()], all: Vec::new() };
        for (place, (attribute, _)) in (1..).zip(&all) {
            let mut at = index.start(*attribute);
            while let Some(slot) = index.slots.get_mut(at) {
                if *slot == 0 {
                    *slot = place;
                    break;
                }
                at = index.behind(at);
            }
        }
        index.all = all;
        index
    }

    /// The values of one attribute.
    #[must_use]
    #[inline]
    pub fn get(&self, attribute: AttrId) -> Option<ValuesRef<'a>> {
        let mut at = self.start(attribute);
        loop {
            let place = self.slots.get(at).copied()?.checked_sub(1)?;
            match self.all.get(place as usize)? {
                (known, values) if *known == attribute => return Some(*values),
                _ => at = self.behind(at),
            }
        }
    }

    /// All attributes in the order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (AttrId, ValuesRef<'a>)> + '_ {
        self.all.iter().copied()
    }

    fn start(&self, attribute: AttrId) -> usize {
        // The upper bits of a product with the golden ratio differ for ids in a row.
        (attribute.0.wrapping_mul(0x9e37_79b1) >> 16) as usize & self.slots.len().wrapping_sub(1)
    }

    fn behind(&self, at: usize) -> usize {
        (at + 1) & self.slots.len().wrapping_sub(1)
    }
}

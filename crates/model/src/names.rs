//! Interned names of attributes and object types.
//!
//! One append-only table for a whole installation: ids are stored in images, so a name keeps its id for ever.
//! Names compare without regard to ASCII case (RFC 4512 2.5); the first spelling seen is the one shown.

use std::collections::HashMap;

use crate::{AttrId, TypeId};

/// The table of interned names.
#[derive(Clone, Debug, Default)]
pub struct Names {
    spelled: Vec<String>,
    by_lower: HashMap<String, u32>,
}

impl Names {
    /// Makes an empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The id of a name, given now if it is new.
    pub fn intern(&mut self, name: &str) -> AttrId {
        let lower = name.to_ascii_lowercase();
        if let Some(&id) = self.by_lower.get(&lower) {
            return AttrId(id);
        }
        // More than 4 billion names cannot be held in memory before this could wrap.
        let id = u32::try_from(self.spelled.len()).unwrap_or(u32::MAX);
        self.spelled.push(name.to_owned());
        self.by_lower.insert(lower, id);
        AttrId(id)
    }

    /// The id of an object type's name, given now if it is new.
    pub fn intern_type(&mut self, name: &str) -> TypeId {
        TypeId(self.intern(name).0)
    }

    /// The id of a known name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<AttrId> {
        match self.by_lower.get(name) {
            Some(&id) => Some(AttrId(id)),
            None => self.by_lower.get(&name.to_ascii_lowercase()).map(|&id| AttrId(id)),
        }
    }

    /// The id of a known object type.
    #[must_use]
    pub fn find_type(&self, name: &str) -> Option<TypeId> {
        self.find(name).map(|id| TypeId(id.0))
    }

    /// The spelling of a name; `?` for an id that was never given.
    #[must_use]
    pub fn name(&self, id: AttrId) -> &str {
        self.spelled.get(id.0 as usize).map_or("?", String::as_str)
    }

    /// The spelling of an object type; `?` for an id that was never given.
    #[must_use]
    pub fn type_name(&self, id: TypeId) -> &str {
        self.name(AttrId(id.0))
    }

    /// How many names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spelled.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spelled.is_empty()
    }

    /// All names in the order of their ids, from `start` on.
    pub fn iter_from(&self, start: usize) -> impl Iterator<Item = (AttrId, &str)> {
        self.spelled.iter().enumerate().skip(start).map(|(id, name)| (AttrId(id as u32), name.as_str()))
    }
}

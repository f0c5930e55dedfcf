//! What a connected directory, or the metaverse, can hold.

use std::collections::BTreeMap;

use crate::{AttrId, TypeId, Value, Values};

/// The type of an attribute's values.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum AttributeType {
    /// Unicode text.
    String,
    /// A 64-bit integer.
    Integer,
    /// True or false.
    Boolean,
    /// Bytes.
    Binary,
    /// A point in time.
    Time,
    /// A link to another object of the same connector (or of the metaverse): kept as link rows, not in images.
    Reference,
}

impl AttributeType {
    /// The word used in configuration files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Binary => "binary",
            Self::Time => "time",
            Self::Reference => "reference",
        }
    }

    /// Reads the word used in configuration files.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "string" => Self::String,
            "integer" => Self::Integer,
            "boolean" => Self::Boolean,
            "binary" => Self::Binary,
            "time" => Self::Time,
            "reference" => Self::Reference,
            _ => return None,
        })
    }
}

/// One attribute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttributeDef {
    /// Its interned name.
    pub id: AttrId,
    /// Its name as the directory spells it.
    pub name: String,
    /// The type of its values.
    pub kind: AttributeType,
    /// Whether it may hold more than one value.
    pub multi: bool,
    /// Whether values that differ in case only are different values.
    pub case_exact: bool,
    /// Whether the directory lets nobody write it.
    pub read_only: bool,
    /// The most characters (or bytes) one value may have, where the directory says so.
    pub length_max: Option<usize>,
}

/// One object type.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ObjectTypeDef {
    /// Its name as the directory spells it.
    pub name: String,
    /// Attributes that objects of this type may have.
    pub attributes: Vec<AttrId>,
    /// Attributes without which an object of this type cannot be created.
    pub required: Vec<AttrId>,
    /// Whether objects of this type can be created, changed and deleted at all.
    pub writable: bool,
    /// Attributes that nobody can write on objects of this type, though on others they may.
    pub read_only: Vec<AttrId>,
    /// Attributes that nobody can empty on an object that has a value.
    pub never_empty: Vec<AttrId>,
}

/// A value that stands in the way of creating an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Obstacle {
    /// A text that contains this one.
    Contains(String),
    /// A text that begins with this one.
    StartsWith(String),
    /// Anything but this value, also none.
    OtherThan(Value),
}

impl Obstacle {
    /// Whether it stands in the way, given an attribute's values.
    #[must_use]
    pub fn stands(&self, values: Option<&Values>) -> bool {
        let any = |test: &dyn Fn(&str) -> bool| {
            values.is_some_and(|v| v.as_slice().iter().any(|value| value.as_str().is_some_and(test)))
        };
        match self {
            Self::Contains(part) => any(&|text| text.contains(part.as_str())),
            Self::StartsWith(start) => any(&|text| text.starts_with(start.as_str())),
            Self::OtherThan(wanted) => values.is_none_or(|v| v.as_slice() != std::slice::from_ref(wanted)),
        }
    }
}

/// The schema of one connected directory or of the metaverse.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Schema {
    /// Object types by interned name.
    pub types: BTreeMap<TypeId, ObjectTypeDef>,
    /// Attributes by interned name; one definition for all types.
    pub attributes: BTreeMap<AttrId, AttributeDef>,
}

impl Schema {
    /// The definition of an attribute.
    #[must_use]
    pub fn attribute(&self, id: AttrId) -> Option<&AttributeDef> {
        self.attributes.get(&id)
    }

    /// Whether an attribute is kept as links.
    #[must_use]
    pub fn is_link(&self, id: AttrId) -> bool {
        self.attribute(id).is_some_and(|def| def.kind == AttributeType::Reference)
    }

    /// Whether nobody can write an attribute of an object type.
    #[must_use]
    pub fn is_read_only(&self, object_type: TypeId, id: AttrId) -> bool {
        self.attribute(id).is_some_and(|def| def.read_only)
            || self.types.get(&object_type).is_some_and(|def| def.read_only.contains(&id))
    }

    /// Whether an object type may have an attribute.
    #[must_use]
    pub fn allows(&self, object_type: TypeId, attribute: AttrId) -> bool {
        self.types.get(&object_type).is_some_and(|def| def.attributes.contains(&attribute))
    }
}

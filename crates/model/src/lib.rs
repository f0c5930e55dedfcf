//! The words every other crate speaks: values, attribute images, distinguished names, ids, schemas.
//!
//! Pure data. Deliberately absent: I/O, clock, randomness, async, SQL, LDAP, HTTP; rules and decisions.

mod change;
mod cow;
mod dn;
mod domains;
mod group_name;
mod hash;
mod ids;
mod image;
mod index;
mod json;
mod names;
mod schema;
mod time;
mod value;

pub use change::{Anchor, Entry, EntryChange, EntryFlags, LinkChunk, LinkMode, LinkTarget, Operation};
pub use cow::{CowIter, ValuesCow};
pub use dn::{Dn, DnError, Rdn, domain_fqdn, domain_part, normalise_rdn};
pub use domains::{NameDomains, NameVerdict};
pub use group_name::{anchor_names, group_name, group_own_name};
pub use hash::{Hash128, hash64, hash128};
pub use ids::{AttrId, ConnectorId, ContainerId, CsId, MvGuid, MvId, RuleId, RunId, TypeId};
pub use image::{Bag, Image, ImageBuilder, ImageError, ImageRef, ValueIter, ValuesRef};
pub use index::ImageIndex;
pub use json::{
    JsonError, bag_from_json, list_from_json, value_from_json, value_to_json, values_from_json,
    values_to_json,
};
pub use names::Names;
pub use schema::{AttributeDef, AttributeType, ObjectTypeDef, Obstacle, Schema};
pub use time::Time;
pub use value::{Value, ValueRef, Values, fold_case, join_key};

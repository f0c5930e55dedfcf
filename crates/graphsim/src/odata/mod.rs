//! The OData conventions of Graph: paths, `$select`, `$filter`, paging.

mod filter;
mod list;
mod path;
mod project;

pub(crate) use filter::Filter;
pub(crate) use list::{Source, count, expanded, list};
pub(crate) use path::{Query, Seg, segments};
pub(crate) use project::{Select, context, entity, project, reference, shown};

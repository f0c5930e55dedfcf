//! Connectors: what OneSync asks of a connected directory, and the directories it can speak to.
//!
//! [`contract`] has the trait and its written contract; each kind of connector is a module of its own. Connectors
//! know neither each other nor the store: they are given a selection of attributes with their ids, and give entries.
//! Deliberately absent: rules, decisions, scheduling, retries across steps.

pub mod ad;
pub mod ad_schema;
pub mod certificate;
pub mod contract;
mod files;
pub mod graph;
pub mod jsonl;
pub mod kinds;
pub mod ldif;
pub mod memory;
pub mod pages;
mod word;

pub use contract::*;
pub use word::AttributeWord;

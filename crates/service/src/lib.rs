//! The service: the only place where traits meet implementations. It reads configurations, opens the home, runs steps
//! and cycles, keeps protections, and answers what people ask.
//!
//! Deliberately absent: decisions about identities (the engine), SQL (the store), protocols (the connectors),
//! arguments and tables for people (the command line).

mod clock;
mod config;
mod cycle;
mod error;
mod export;
mod held;
mod home;
mod import;
mod kinds;
mod look;
mod runs;
mod runtime;
mod secrets;
mod staging;
mod status;
mod sync;

pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{ConnectorFile, ConfigCheck, Configuration, MainFile, TypeFile, read_folder};
pub use cycle::{Cycle, CycleKind, CycleReport, Round};
pub use error::{ServiceError, Status};
pub use export::{ExportCounters, HeldGroup};
pub use held::HeldItem;
pub use home::Home;
pub use import::ImportReport;
pub use look::{ObjectView, PendingView, ValueView};
pub use runs::{Progress, RunReport, Step, StepCounters};
pub use runtime::{ConnectorHandle, Runtime, Service};
pub use staging::{FirstContact, StagingPlan};
pub use status::{ConnectorStatus, StatusReport};

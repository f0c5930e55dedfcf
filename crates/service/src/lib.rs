//! The service: the only place where traits meet implementations. It reads configurations, opens the home, runs steps
//! and cycles, keeps protections, and answers what people ask.
//!
//! Deliberately absent: decisions about identities (the engine), SQL (the store), protocols (the connectors),
//! arguments and tables for people (the command line).

mod aadconnect;
pub mod account;
pub mod activate;
mod anchor;
pub mod backup;
mod clock;
mod compile;
mod config;
mod connector_view;
mod copy;
mod cycle;
mod daemon;
mod database;
mod discover;
mod doubts;
mod error;
mod evaluate;
mod evaluate_batch;
pub mod events;
mod export;
mod facts;
mod find;
mod flushed;
mod gone;
mod held;
mod home;
mod import;
mod insight;
mod keep;
pub mod keys;
mod kinds;
mod lease;
pub mod look;
mod marker;
mod mistakes;
mod moving;
mod narrowed;
mod not_writable;
mod parts;
mod permit;
mod plan;
pub mod process;
mod profile;
mod protect;
mod recover;
mod reports;
mod rule_test;
mod runs;
mod runtime;
mod schedule;
mod scheduler;
mod scope;
mod scratch;
mod secrets;
pub mod setup;
mod space;
mod staging;
mod standby;
mod standing;
mod status;
mod stops;
mod sync;
mod unplaced;
mod unreadable;
pub mod upgrade;
mod upkeep;
mod verified;
mod verify;
mod witness;
mod work;

pub use aadconnect::{AadConnectImport, import_aadconnect};
pub use anchor::AnchorHits;
pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{ConfigCheck, Configuration, ConnectorFile, MainFile, TypeFile, read_folder};
pub use connector_view::{ConnectorView, TypeView};
pub use copy::CopyOf;
pub use cycle::{CycleKind, CycleReport, StepFailure};
pub use daemon::{Daemon, Heart, StepUnderWay, Told};
pub use database::DatabaseServer;
pub use discover::Unreachable;
pub use error::{ServiceError, Status};
pub use evaluate::{Evaluation, EvaluationResult, eval, eval_kind, eval_time, json_object};
pub use evaluate_batch::{BatchReport, eval_batch};
pub use export::{ExportCounters, HeldGroup};
pub use held::HeldItem;
pub use home::Home;
pub use import::ImportReport;
pub use insight::{
    AttributeThere, AttributeView, CandidateView, ClauseView, Explanation, JoinedObject, MetaverseView,
    ObjectLine, PendingChange, PendingLink, PendingValue, PlaceStep, PlaceView, Preview, PreviewSource,
    PreviewTarget, Reason, RuleView, Supposed, TargetState, ValueChanged, ValueOrigin, ValueReason,
};
pub use keep::{DatabaseFile, count_words, size as size_words};
pub use kinds::MakeConnector;
pub use look::{ObjectView, PendingView, ValueView};
pub use moving::{MoveReport, MovedTable, Moving, move_database};
pub use onesync_model::Time;
pub use onesync_store::{Answer, Cell};
pub use parts::{Keys, Parts, Sizes};
pub use plan::{
    Applied, AttributeCount, ConfigPlan, CountChange, Difference, Effect, EffectCount, ErrorChange,
    FileChange, Moved, PlanItem,
};
pub use protect::WindowUse;
pub use reports::template;
pub use rule_test::{RuleCoverage, RuleTestFailure, RuleTestNotRun, RuleTestReport};
pub use runs::{Progress, RunReport, Step, StepCounters};
pub use runtime::{ConnectorHandle, Runtime, Service};
pub use scheduler::{LastCycle, SchedulerView};
pub use space::Space;
pub use staging::{
    Adopted, Compared, ComparedConnector, ConnectorDiff, FirstContact, MODE_REFUSED, PlanExported,
    SettingDifference, StagingDiff, StagingPlan, TakenAway,
};
pub use standing::{ServerFacts, ServerView, StandbyMode, Standing};
pub use status::{ConnectorStatus, LimitLine, MetaverseCount, StatusReport, UnwritableCount};
pub use unplaced::Unplaced;
pub use upkeep::{DatabaseStatus, Maintained, TableLine};
pub use work::Stopper;

//! Runs: one execution of one step of one connector, with an id, counters and errors; and progress on the way.

use onesync_model::{RunId, Time};
use onesync_store::{RunRow, ServiceChanges};
use serde::{Deserialize, Serialize};

use crate::error::{ServiceError, Status};
use crate::runtime::{ConnectorHandle, Service};

/// A step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Reads everything.
    FullImport,
    /// Reads what changed.
    DeltaImport,
    /// Looks at every object again.
    FullSync,
    /// Works off what is on the agenda.
    DeltaSync,
    /// Writes what is owed.
    Export,
}

impl Step {
    /// All steps.
    pub const ALL: [Self; 5] =
        [Self::FullImport, Self::DeltaImport, Self::FullSync, Self::DeltaSync, Self::Export];

    /// The word used on the command line and in run history.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FullImport => "full-import",
            Self::DeltaImport => "delta-import",
            Self::FullSync => "full-sync",
            Self::DeltaSync => "delta-sync",
            Self::Export => "export",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == text)
    }
}

/// What is told while a step runs.
#[derive(Clone, Debug)]
pub enum Progress {
    /// A step begins.
    Begin {
        /// The connector.
        connector: String,
        /// The step.
        step: Step,
    },
    /// So many objects are done, of so many where that is known.
    At {
        /// Done so far.
        done: u64,
        /// To be done in all.
        of: Option<u64>,
    },
    /// A step has ended.
    End {
        /// Its report.
        report: Box<RunReport>,
    },
}

/// The numbers of one step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepCounters {
    /// New, by imports staged, by exports created.
    pub add: u64,
    /// Changed.
    pub update: u64,
    /// Deleted.
    pub delete: u64,
    /// Seen as it was (imports).
    pub unchanged: u64,
    /// Sent before, seen now (imports).
    pub confirmed: u64,
    /// Looked at (syncs).
    pub processed: u64,
    /// Link values written (exports).
    pub links: u64,
    /// Held back by protections (exports).
    pub held: u64,
    /// Errors of single objects.
    pub errors: u64,
}

/// How a step ended.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// The run.
    #[serde(serialize_with = "run_id")]
    pub id: RunId,
    /// The connector's name.
    pub connector: String,
    /// The step.
    pub step: Step,
    /// How it ended, in a word.
    pub result: String,
    /// The numbers.
    pub counters: StepCounters,
    /// What a person should know.
    pub remarks: Vec<String>,
    /// How long it took.
    pub seconds: f64,
    /// The exit status.
    #[serde(skip)]
    pub status: Status,
}

fn run_id<S: serde::Serializer>(id: &RunId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(id.0)
}

/// A run that has begun and not ended.
pub(crate) struct OpenRun {
    pub(crate) id: RunId,
    row: RunRow,
    began: std::time::Instant,
    /// What a person should know besides what the step says.
    remarks: Vec<String>,
}

impl Service {
    pub(crate) fn begin_run(&self, connector: &ConnectorHandle, step: Step) -> Result<OpenRun, ServiceError> {
        self.database_must_know_us()?;
        let id = self.store().reader()?.next_run()?;
        let row = RunRow {
            id,
            connector: connector.id,
            step: step.as_str().to_owned(),
            started: self.now(),
            ended: None,
            result: None,
            counters: "{}".to_owned(),
        };
        self.record(&ServiceChanges { runs: vec![row.clone()], ..ServiceChanges::default() })?;
        let mut run = OpenRun { id, row, began: std::time::Instant::now(), remarks: Vec::new() };
        self.end_load(&mut run); // a first load that was cut short
        Ok(run)
    }

    /// Builds the indices that a first load left out. Without them everything is right, but some searches are slow:
    /// the run goes on.
    pub(crate) fn end_load(&self, run: &mut OpenRun) {
        if let Err(error) = self.store().end_load(self.epoch()) {
            let remark = format!("searches for referrers are slow until the next run: {error}");
            tracing::warn!("{remark}");
            run.remarks.push(remark);
        }
    }

    pub(crate) fn end_run(
        &self,
        run: OpenRun,
        connector: &ConnectorHandle,
        step: Step,
        counters: StepCounters,
        mut remarks: Vec<String>,
        outcome: (&str, Status),
    ) -> Result<RunReport, ServiceError> {
        remarks.extend(run.remarks);
        let ended: Time = self.now();
        let json = serde_json::json!({"counters": counters, "remarks": remarks}).to_string();
        let row =
            RunRow { ended: Some(ended), result: Some(outcome.0.to_owned()), counters: json, ..run.row };
        self.record(&ServiceChanges { runs_ended: vec![row], ..ServiceChanges::default() })?;
        Ok(RunReport {
            id: run.id,
            connector: connector.name().to_owned(),
            step,
            result: outcome.0.to_owned(),
            counters,
            remarks,
            seconds: run.began.elapsed().as_secs_f64(),
            status: outcome.1,
        })
    }

    /// Ends a run that failed: the error is kept in its row and passed on.
    pub(crate) fn fail_run<T>(&self, run: OpenRun, error: ServiceError) -> Result<T, ServiceError> {
        let json = serde_json::json!({"error": error.to_string(), "hint": error.hint()}).to_string();
        let result = if matches!(error, ServiceError::Stopped { .. }) { "stopped" } else { "failed" };
        let row =
            RunRow { ended: Some(self.now()), result: Some(result.to_owned()), counters: json, ..run.row };
        // The step's own error matters more than one in writing it down.
        if let Err(second) =
            self.record(&ServiceChanges { runs_ended: vec![row], ..ServiceChanges::default() })
        {
            tracing::error!(%second, "the failed run could not be recorded");
        }
        Err(error)
    }
}

//! Where the service's own events come from.

use onesync_engine::Changes;
use onesync_model::ConnectorId;
use onesync_store::{ConfigFiles, EventRow, ServiceChanges, StoreError};

use super::{
    CONFIG_APPLIED, CONNECTORS_CHANGED, DATABASE_TROUBLE, EXPORT_ERROR, Event, IMPORT_SUSPECT, KEYS_MISSING,
    NO_ROOM, RULES_CHANGED, RUN_FAILED, RUN_HELD, RUN_NOT_STARTED, RUN_WITH_ERRORS, SERVICE_REPLACED,
    SERVICE_STARTED, announce, row, tell,
};
use crate::error::{ServiceError, Status};
use crate::runs::{RunReport, Step};
use crate::runtime::{ConnectorHandle, Service};
use crate::standing::StandbyMode;

/// Files, and sorts of errors, that are named.
const NAMED: usize = 20;

impl Service {
    /// An event, to be written with what it is about.
    pub(crate) fn audit(&self, event: &Event, subject: &str, text: &str) -> EventRow {
        row(self.now(), event, subject, text)
    }

    /// Writes what was decided and what is recorded, in one transaction, and tells the loggers of its events.
    pub(crate) fn write(&self, changes: &Changes, service: &ServiceChanges) -> Result<(), ServiceError> {
        self.store().write(self.epoch(), changes, service)?;
        if self.is_told() {
            announce(&**self.store(), &service.events);
        }
        Ok(())
    }

    /// Whether the system's loggers hear of it: what a scratch place goes through is no news.
    fn is_told(&self) -> bool {
        self.paths_from() == self.home().folder()
    }

    /// Tells the loggers alone.
    fn tell_alone(&self, row: &EventRow) {
        if self.is_told() {
            tell(row);
        }
    }

    pub(crate) fn record(&self, changes: &ServiceChanges) -> Result<(), ServiceError> {
        self.write(&Changes::default(), changes)
    }

    /// Notes something that happened. Where the database does not take it, the loggers have it alone: it stops nothing.
    pub(crate) fn note_event(&self, event: &Event, subject: &str, text: &str) {
        let row = self.audit(event, subject, text);
        let events = vec![row.clone()];
        if let Err(error) = self.record(&ServiceChanges { events, ..ServiceChanges::default() }) {
            tracing::debug!("an event is not in the database: {error}");
            self.tell_alone(&row);
        }
    }

    /// Notes that the service has started, and whether it has its keys; gives what is wrong with them.
    pub(crate) fn note_begun(&self) -> Result<(), ServiceError> {
        self.note_daemon(&SERVICE_STARTED, "");
        // Whoever stands by looks at them all the time, and says it then.
        if self.stands_by()? != StandbyMode::Off {
            return Ok(());
        }
        self.vault().map(|_| ()).inspect_err(|error| {
            self.note_event(&KEYS_MISSING, self.installation_id(), &error.to_string());
        })
    }

    /// Notes what becomes of the service.
    pub(crate) fn note_daemon(&self, event: &Event, text: &str) {
        let process = format!("process {}", std::process::id());
        let text = if text.is_empty() { process } else { format!("{process}: {text}") };
        self.note_event(event, env!("CARGO_PKG_VERSION"), &text);
    }

    /// Notes how a step of a connector ended, where that is worth it.
    pub(crate) fn note_step(
        &self,
        connector: &ConnectorHandle,
        step: Step,
        ended: &Result<RunReport, ServiceError>,
    ) {
        let name = connector.name();
        match ended {
            Ok(report) if report.counters.errors > 0 => {
                let event = if step == Step::Export { &EXPORT_ERROR } else { &RUN_WITH_ERRORS };
                let sorts = self.sorts_of_errors(connector.id).unwrap_or_default();
                let (run, errors) = (report.id.0, report.counters.errors);
                self.note_event(
                    event,
                    name,
                    &format!("run {run}, {}: {errors} errors{sorts}", step.as_str()),
                );
            }
            Ok(_) => {}
            Err(error) => self.note_error(error, name, &format!("{}: ", step.as_str())),
        }
    }

    /// Notes an error; `connector` names where it was met.
    pub(crate) fn note_error(&self, error: &ServiceError, connector: &str, doing: &str) {
        let text = format!("{doing}{error}");
        match error {
            ServiceError::Stopped { .. } => {}
            ServiceError::Store(StoreError::Full { .. }) | ServiceError::NoRoom { .. } => {
                self.note_event(&NO_ROOM, self.installation_id(), &text);
            }
            ServiceError::Store(StoreError::Fenced { .. }) => {
                self.tell_alone(&self.audit(&SERVICE_REPLACED, self.installation_id(), &text));
            }
            // What fails cannot be written to.
            ServiceError::Store(_) | ServiceError::Read(_) => {
                self.tell_alone(&self.audit(&DATABASE_TROUBLE, self.installation_id(), &text));
            }
            ServiceError::Suspect { .. } => self.note_event(&IMPORT_SUSPECT, connector, &text),
            ServiceError::Connector { .. } => self.note_event(&RUN_NOT_STARTED, connector, &text),
            error if error.status() == Status::Held && self.vault().is_err() => {
                self.note_event(&KEYS_MISSING, connector, &text);
            }
            error if error.status() == Status::Held => self.note_event(&RUN_HELD, connector, &text),
            _ => self.note_event(&RUN_FAILED, connector, &text),
        }
    }

    /// Standing errors of a connector by their codes, the most frequent first.
    fn sorts_of_errors(&self, connector: ConnectorId) -> Result<String, ServiceError> {
        let mut sorts: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
        for count in self.store().reader()?.error_counts()?.into_iter().filter(|c| c.connector == connector) {
            *sorts.entry(count.code).or_default() += count.count;
        }
        let mut sorts: Vec<(u64, String)> = sorts.into_iter().map(|(code, count)| (count, code)).collect();
        sorts.sort_by(|a, b| b.cmp(a));
        let named: Vec<String> =
            sorts.iter().take(NAMED).map(|(count, code)| format!("{code} ({count})")).collect();
        Ok(if named.is_empty() { String::new() } else { format!("; standing now: {}", named.join(", ")) })
    }

    /// The events of a configuration that is applied: what it is, and which connectors and rules are others than before.
    pub(crate) fn applied_events(
        &self,
        version: u32,
        before: &ConfigFiles,
        now: &ConfigFiles,
        who: &str,
    ) -> Vec<EventRow> {
        let version = version.to_string();
        let mut events = vec![self.audit(&CONFIG_APPLIED, &version, &format!("by {who}"))];
        for (part, event) in [("connectors/", &CONNECTORS_CHANGED), ("rules/", &RULES_CHANGED)] {
            let mut changed: Vec<String> = Vec::new();
            for (path, text) in now.iter().filter(|(path, _)| path.starts_with(part)) {
                match before.get(path) {
                    None => changed.push(format!("new: {path}")),
                    Some(old) if old != text => changed.push(format!("changed: {path}")),
                    Some(_) => {}
                }
            }
            let gone = before.keys().filter(|path| path.starts_with(part) && !now.contains_key(*path));
            changed.extend(gone.map(|path| format!("removed: {path}")));
            if !changed.is_empty() {
                let more = changed.len().saturating_sub(NAMED);
                changed.truncate(NAMED);
                let more = if more > 0 { format!(", and {more} more") } else { String::new() };
                events.push(self.audit(event, &version, &format!("{}{more}", changed.join(", "))));
            }
        }
        events
    }
}

//! What the demonstration tells at the end.

use std::path::Path;

use onesync_service::{CycleReport, StepCounters};
use serde::Serialize;
use serde_json::Value as Json;

use crate::output::say;

/// Written requests that are shown one by one.
const WRITES_SHOWN: usize = 40;

/// The report of the demonstration.
#[derive(Debug, Default, Serialize)]
pub struct DemoReport {
    /// The cycles in their order.
    pub cycles: Vec<NamedCycle>,
    /// What the protections hold.
    pub held: Vec<HeldLine>,
    /// Why some values are as they are.
    pub explained: Vec<Explained>,
    #[serde(skip)]
    pub people: usize,
    #[serde(skip)]
    pub groups: usize,
    #[serde(skip)]
    pub contacts: usize,
    #[serde(skip)]
    pub plan: Vec<(String, u64)>,
    #[serde(skip)]
    pub quiet_writes: usize,
    #[serde(skip)]
    pub day: Vec<String>,
    #[serde(skip)]
    pub writes: Vec<String>,
}

/// One cycle.
#[derive(Debug, Serialize)]
pub struct NamedCycle {
    name: String,
    seconds: f64,
    imported: Imported,
    confirmed: u64,
    exported: Exported,
    errors: u64,
}

#[derive(Debug, Serialize)]
struct Imported {
    add: u64,
    update: u64,
    delete: u64,
    unchanged: u64,
}

#[derive(Debug, Serialize)]
struct Exported {
    add: u64,
    /// Objects changed and link values written.
    update: u64,
    delete: u64,
    #[serde(skip)]
    links: u64,
}

/// One held plan. `deletes` counts the people and groups that would go: to be deleted, or disabled first because they
/// were deleted at the source; neither links nor other changes.
#[derive(Debug, Serialize)]
pub struct HeldLine {
    connector: String,
    object_type: String,
    reason: String,
    deletes: u64,
}

/// One explained value.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// The object's name.
    pub object: String,
    /// The attribute.
    pub attribute: String,
    /// Its value.
    pub value: Json,
    /// The rule that gave it.
    pub rule: String,
    /// The object it came from.
    pub source: String,
}

impl NamedCycle {
    /// The numbers of a cycle under a name.
    pub fn new(name: &str, report: &CycleReport) -> Self {
        let StepCounters { add, update, delete, unchanged, .. } = report.imported;
        let e = &report.exported;
        Self {
            name: name.to_owned(),
            seconds: (report.seconds * 1_000.0).round() / 1_000.0,
            imported: Imported { add, update, delete, unchanged },
            confirmed: report.confirmed,
            exported: Exported { add: e.add, update: e.update + e.links, delete: e.delete, links: e.links },
            errors: report.errors,
        }
    }
}

impl DemoReport {
    /// Takes a held plan.
    pub fn hold(&mut self, plan: &Json, deletes: u64) {
        let text = |key: &str| plan[key].as_str().unwrap_or_default().to_owned();
        self.held.push(HeldLine {
            connector: text("connector"),
            object_type: text("type"),
            reason: text("reason"),
            deletes,
        });
    }

    /// For people.
    pub fn print(&self, place: &Path, once: bool) {
        say!("\n== OneSync: what happened ==");
        say!(
            "A directory of {} people, {} groups and {} contacts, and an empty cloud.\n",
            self.people,
            self.groups,
            self.contacts
        );
        say!("+ created or new, ~ changed, - deleted, = unchanged; links are members and managers\n");
        let head = ["cycle", "seconds", "imported", "exported", "confirmed", "errors"];
        let rows = self.cycles.iter().map(|c| {
            vec![
                c.name.clone(),
                format!("{:.1}", c.seconds),
                format!(
                    "+{} ~{} -{} ={}",
                    c.imported.add, c.imported.update, c.imported.delete, c.imported.unchanged
                ),
                format!(
                    "+{} ~{} -{} links {}",
                    c.exported.add,
                    c.exported.update - c.exported.links,
                    c.exported.delete,
                    c.exported.links
                ),
                c.confirmed.to_string(),
                c.errors.to_string(),
            ]
        });
        say!("{}", crate::output::table(&head, rows));
        say!("\nThe plan that was shown before the first write:");
        for (what, count) in &self.plan {
            say!("  {count:>7}  {what}");
        }
        match self.quiet_writes {
            0 => say!("\nThe quiet cycle wrote nothing."),
            some => say!("\nThe quiet cycle wrote {some} times, and should not have."),
        }
        say!("\nThe day's changes, and everything that they wrote:");
        for line in &self.day {
            say!("  {line}");
        }
        for write in self.writes.iter().take(WRITES_SHOWN) {
            say!("    -> {write}");
        }
        if self.writes.len() > WRITES_SHOWN {
            say!("    -> and {} more", self.writes.len() - WRITES_SHOWN);
        }
        say!("\nA fifth of the people vanished at once. Held back, until somebody releases it by its hash:");
        for held in &self.held {
            say!("  {} ({}): {}", held.connector, held.object_type, held.reason);
        }
        say!("\nWhy is it so?");
        for e in &self.explained {
            say!(
                "  {}: {} = {}\n      by rule `{}` from {}",
                e.object,
                e.attribute,
                e.value,
                e.rule,
                e.source
            );
        }
        let tense = if once { "lay" } else { "lies" };
        say!("\n(everything {tense} in {}, and is gone when this ends)", place.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(value: &Json) -> Vec<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    /// Programs read this document: its keys are a promise.
    #[test]
    fn the_document_has_exactly_the_promised_keys() {
        let mut report = DemoReport::default();
        let mut cycle = CycleReport::default();
        (cycle.exported.update, cycle.exported.links) = (2, 3);
        report.cycles.push(NamedCycle::new("initial", &cycle));
        // Of nine changes seven delete: links and the like are not counted.
        let plan = serde_json::json!({"connector": "entra", "type": "user", "reason": "many", "changes": 9});
        report.hold(&plan, 7);
        let document = serde_json::to_value(&report).unwrap();
        assert_eq!(keys(&document), ["cycles", "explained", "held"]);
        let cycle = &document["cycles"][0];
        assert_eq!(keys(cycle), ["confirmed", "errors", "exported", "imported", "name", "seconds"]);
        assert_eq!(keys(&cycle["imported"]), ["add", "delete", "unchanged", "update"]);
        assert_eq!(cycle["exported"], serde_json::json!({"add": 0, "update": 5, "delete": 0}));
        let held = serde_json::json!([{"connector": "entra", "object_type": "user", "reason": "many", "deletes": 7}]);
        assert_eq!(document["held"], held);
    }
}

//! `status`: health in one look.

use onesync_service::{ConnectorStatus, MODE_REFUSED, Service, Status, StatusReport};

use crate::output::{Output, say, short_time, short_times};

/// `status`.
pub fn status(service: &Service, out: &Output) -> anyhow::Result<Status> {
    let report = service.status()?;
    if out.is_json() {
        out.json(&report)?;
    } else {
        print(&report);
    }
    Ok(match (report.key_set.as_str(), report.alarms.is_empty()) {
        _ if report.standing != "active" => Status::Held,
        _ if report.connectors.iter().any(|connector| connector.mode == MODE_REFUSED) => Status::Held,
        ("present", true) => Status::Done,
        ("present", false) => Status::ObjectErrors,
        _ => Status::Held,
    })
}

fn print(report: &StatusReport) {
    let configuration = match report.configuration {
        0 => "none".to_owned(),
        version => version.to_string(),
    };
    say!(
        "installation {} (epoch {}), configuration {configuration}, key set {}",
        report.installation,
        report.epoch,
        if report.key_set == "present" { "present" } else { "MISSING" }
    );
    let counts: Vec<String> = report
        .metaverse
        .iter()
        .map(|count| match count.leaving {
            0 => format!("{} {}", count.active, count.object_type),
            leaving => format!("{} {} ({leaving} leaving)", count.active, count.object_type),
        })
        .collect();
    say!("metaverse: {}", if counts.is_empty() { "empty".to_owned() } else { counts.join(", ") });
    if let Some(anchor) = &report.source_anchor {
        say!("source anchor: {anchor}");
    }
    super::scheduler::print(&report.scheduler);
    if let Some(last) = &report.backups.last {
        say!("last backup: {} ({})", short_time(&last.when), last.file);
    }
    if let Some(proven) = &report.backups.rehearsed {
        let (when, file) = (short_time(&proven.when), &proven.file);
        match proven.not_proven() {
            None => say!("last proven restore: {when} ({file})"),
            Some(but) => say!("last rehearsed restore: {when} ({file}): restored and opened; {but}"),
        }
    }
    if let Some(compared) = &report.compared {
        say!("staging: {}", compared.words());
    }
    say!("agenda: {} due, {} later", report.agenda_due, report.agenda_later);
    for connector in &report.connectors {
        print_connector(connector);
    }
    for reminder in &report.reminders {
        say!("\nREMINDER: {reminder}");
    }
    for alarm in &report.alarms {
        say!("\nALARM: {}", short_times(alarm));
    }
}

fn print_connector(c: &ConnectorStatus) {
    let last = c.last_import.as_deref().map_or_else(|| "never".to_owned(), short_time);
    say!("\n{} ({}, {}), last import {last}", c.name, c.kind, c.mode);
    say!("  {} objects, {} joined, {} errors", c.objects, c.joined, c.errors);
    if c.full_imports_only {
        say!("  no delta imports: every import reads everything, and deletions are found by that only");
    }
    if c.mode != "reads only" {
        say!(
            "  {} pending, {} sent and not yet seen, {} refused, {} held",
            c.pending,
            c.unconfirmed,
            c.refused,
            c.held
        );
    }
    if c.unreachable.is_some() {
        say!("  cannot be reached: what is shown is what was read before");
    }
    if c.unreadable > 0 {
        say!("  {} records or values of the source cannot be read", c.unreadable);
    }
    for unplaced in &c.unplaced {
        say!("  {} {} are not in the metaverse: {}", unplaced.count, unplaced.object_type, unplaced.reason);
    }
    for why in &c.stopped {
        say!("  stopped: {why}");
    }
    if c.mastered_elsewhere > 0 {
        say!("  {} mastered elsewhere: compared, never written", c.mastered_elsewhere);
    }
    for count in &c.cannot_be_written {
        say!("  {} {} cannot be written through this connector", count.count, count.object_type);
    }
    if c.outside_pilot > 0 {
        say!("  {} outside the pilot: computed, never written", c.outside_pilot);
    }
    for (suffix, count) in &c.held_suffixes {
        say!("  {count} names are held: `{suffix}` is no verified domain there");
    }
    for line in &c.limits {
        say!("  limits for {}", line.object_types.join(", "));
        say!("    {} in a run and in 24 hours", line.day);
        say!("    {} in 7 days", line.week);
    }
    for used in &c.windows {
        say!(
            "    {} {}: {} pending; {} of {} in 24 hours, {} of {} in 7 days",
            used.object_type,
            used.what,
            used.pending,
            used.day,
            used.day_allowed,
            used.week,
            used.week_allowed
        );
    }
}

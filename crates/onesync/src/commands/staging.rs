//! `staging` and `held`: what may be exported, and what protections hold back.

use std::path::PathBuf;

use clap::Subcommand;
use onesync_service::look::HeldDecision;
use onesync_service::{Compared, Service, StagingDiff, Status, account, size_words};
use serde_json::json;

use crate::args::HeldCommand;
use crate::output::{Output, say, short_time};

/// Whether exports are on.
#[derive(Debug, Subcommand)]
pub enum StagingCommand {
    /// Turn exports to a connector off
    On {
        /// Connector
        connector: String,
    },
    /// Turn exports to a connector on; needs the hash of the plan
    Off {
        /// Connector
        connector: String,
        /// Hash that `staging plan` shows
        #[arg(long, value_name = "HASH")]
        plan: Option<String>,
        /// Hash of what would be taken away from people, that `staging diff` or the refusal shows
        #[arg(long, value_name = "HASH")]
        accept: Option<String>,
    },
    /// What leaving staging would do
    Plan {
        /// Connector
        connector: String,
        /// Most objects of each group that are named
        #[arg(long, default_value_t = 10)]
        limit: usize,
    },
    /// Which connectors are in staging, and the last comparison with the active server
    Status,
    /// Write what this server holds and would write into a new file, for a staging server to compare with
    ExportPlan {
        /// A file that is not there yet
        file: PathBuf,
    },
    /// Compare this staging server with the active one, by the file that `staging export-plan` wrote there
    Diff {
        /// The file
        file: PathBuf,
        /// Most objects of each sort that are named
        #[arg(long, default_value_t = 10)]
        limit: usize,
    },
}

/// `staging`.
pub fn staging(service: &Service, command: StagingCommand, out: &Output) -> anyhow::Result<Status> {
    let runtime = service.runtime()?;
    match command {
        StagingCommand::On { connector } => {
            let handle = runtime.connector(&connector)?;
            service.staging_on(handle)?;
            eprintln!("`{}` is in staging: nothing is exported to it", handle.name());
        }
        StagingCommand::Off { connector, plan, accept } => {
            let handle = runtime.connector(&connector)?;
            let plan = plan.as_deref().unwrap_or_default();
            print_settings(service.staging_compared()?.as_ref());
            service.staging_off_accepting(&runtime, handle, plan, accept.as_deref())?;
            eprintln!("`{}` is active: the next cycle exports to it", handle.name());
        }
        StagingCommand::Plan { connector, limit } => {
            let plan = service.staging_plan_with(&runtime, runtime.connector(&connector)?, limit)?;
            if let Some(why) = &plan.not_computed {
                eprintln!("warning: this is not what would be done: {why}; `onesync cycle` computes it");
            }
            print_settings(plan.compared.as_ref());
            if out.is_json() {
                out.json(&plan)?;
                return Ok(Status::Done);
            }
            if plan.groups.is_empty() {
                say!("nothing is pending for `{}`", plan.connector);
            }
            for group in &plan.groups {
                say!("{:>8}  {} {}", group.count, group.what, group.object_type);
                for sample in &group.samples {
                    say!("            {sample}");
                }
                let more = group.count - (group.samples.len() as u64).min(group.count);
                if more > 0 && !group.samples.is_empty() {
                    say!("            and {more} more: `onesync pending {}`", plan.connector);
                }
            }
            for (word, changes) in [("adopted", &plan.adopted), ("mastered elsewhere:", &plan.mastered)] {
                for change in changes {
                    say!(
                        "{:>8}  {word} {} get another {}, {} lose it, {} get it",
                        change.overwritten,
                        change.object_type,
                        change.attribute,
                        change.emptied,
                        change.set
                    );
                }
            }
            say!("plan {}", plan.hash);
        }
        StagingCommand::Status => {
            let (mut rows, compared) = (Vec::new(), service.staging_compared()?);
            for c in &runtime.connectors {
                let of = compared.as_ref().filter(|_| c.capabilities.export);
                rows.push(json!({"connector": c.name(), "mode": service.mode(c)?, "compared": of}));
            }
            out.rows(&rows, &["connector", "mode"])?;
            if let Some(compared) = compared.filter(|_| !out.is_json()) {
                say!("{}", compared.words());
            }
        }
        StagingCommand::ExportPlan { file } => {
            let done = tokio::task::block_in_place(|| service.export_plan(&file))?;
            if let Some(why) = &done.not_computed {
                eprintln!("warning: it explains nothing: {why}; run `onesync cycle`, and write another one");
            }
            if out.is_json() {
                out.json(&done)?;
            } else {
                let (file, size) = (done.file.display(), size_words(done.bytes));
                say!("{file}: {} objects, {} changes that are owed ({size})", done.objects, done.changes);
            }
        }
        StagingCommand::Diff { file, limit } => {
            let diff = tokio::task::block_in_place(|| service.staging_diff(&file, limit))?;
            for warning in diff.warnings.iter().chain(&diff.not_kept) {
                eprintln!("warning: {warning}");
            }
            if out.is_json() {
                out.json(&diff)?;
            } else {
                print_diff(&diff);
            }
            return Ok(diff.status());
        }
    }
    Ok(Status::Done)
}

/// What is set otherwise than on the active server comes into force with a switch-over.
fn print_settings(compared: Option<&Compared>) {
    if let Some(compared) = compared.filter(|compared| compared.settings > 0) {
        eprintln!("warning: {} settings are others than on {}:", compared.settings, compared.with());
        compared.setting_samples.iter().for_each(|line| eprintln!("  {line}"));
    }
}

/// What takes something away from people comes first.
fn print_diff(diff: &StagingDiff) {
    say!(
        "compared with installation {} (epoch {}) at {}, as it was at {}",
        diff.installation,
        diff.epoch,
        diff.host,
        short_time(&diff.taken)
    );
    for c in &diff.connectors {
        let when = |time: &Option<String>| time.as_deref().map_or_else(|| "never".to_owned(), short_time);
        let (here, there) = (when(&c.imported_here), when(&c.imported_there));
        say!("\n{}: read completely at {here} here, at {there} there", c.connector);
        let taken = &c.unexplained;
        match taken.count {
            0 => say!("  nothing would be taken away from people that is not there, too"),
            _ => say!("  UNEXPLAINED, pending here only: {}", taken.words),
        }
        for sample in &taken.samples {
            say!("            {sample}");
        }
        more(taken.count, taken.samples.len());
        if taken.count > 0 {
            say!("  hash {}: `onesync staging off {} --accept` takes it", taken.hash, c.connector);
        }
        if c.explained > 0 {
            say!("  {} deletions, disablings and removals are pending there, too", c.explained);
        }
        for group in &c.groups {
            say!("{:>8}  {} {}", group.count, group.what, group.object_type);
            for sample in &group.samples {
                say!("            {sample}");
            }
            if !group.samples.is_empty() {
                more(group.count, group.samples.len());
            }
        }
    }
    say!("\n{} settings differ", diff.settings.len());
    for difference in &diff.settings {
        say!("  {difference}");
    }
}

fn more(count: u64, named: usize) {
    let rest = count.saturating_sub(named as u64);
    if rest > 0 {
        say!("            and {rest} more");
    }
}

/// After a cycle: which connectors wait in staging with something to write.
pub fn remind(service: &Service) -> anyhow::Result<()> {
    let runtime = service.runtime()?;
    for c in &runtime.connectors {
        if c.capabilities.export && service.is_staging(c)? && service.plan_hash(c)? != Default::default() {
            eprintln!(
                "`{0}` is in staging, nothing is exported to it: `onesync staging plan {0}` shows what would be",
                c.name()
            );
        }
    }
    Ok(())
}

/// `held`.
pub fn held(service: &Service, command: HeldCommand, out: &Output) -> anyhow::Result<Status> {
    let runtime = service.runtime()?;
    match command {
        HeldCommand::List { all } => {
            let rows = service.held_list(&runtime, all)?;
            out.rows(&rows, &["hash", "connector", "type", "changes", "state", "created", "who", "reason"])?;
            return Ok(if rows.iter().any(|row| row["state"] == "held") {
                Status::Held
            } else {
                Status::Done
            });
        }
        HeldCommand::Show { hash } => {
            let items = service.held_show(&runtime, &hash)?;
            out.list(&items, &["hash", "object", "change", "cause"], |item| {
                let cause = if item.left_scope { "left the scope" } else { "source" };
                vec![item.hash.clone(), item.object.clone(), item.change.clone(), cause.to_owned()]
            })?;
        }
        HeldCommand::Release { hash } => {
            let count = service.held_decide(&hash, HeldDecision::Release, &account::who())?;
            eprintln!("{count} changes are released: the next export writes them");
        }
        HeldCommand::Reject { hash } => {
            let count = service.held_decide(&hash, HeldDecision::Reject, &account::who())?;
            eprintln!("{count} changes are rejected: they stay held for ever");
        }
    }
    Ok(Status::Done)
}

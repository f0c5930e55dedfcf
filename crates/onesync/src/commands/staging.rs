//! `staging` and `held`: what may be exported, and what protections hold back.

use onesync_service::look::HeldDecision;
use onesync_service::{Service, Status, account};
use serde_json::json;

use crate::args::{HeldCommand, StagingCommand};
use crate::output::{Output, say};

/// `staging`.
pub fn staging(service: &Service, command: StagingCommand, out: &Output) -> anyhow::Result<Status> {
    let runtime = service.runtime()?;
    match command {
        StagingCommand::On { connector } => {
            let handle = runtime.connector(&connector)?;
            service.staging_on(handle)?;
            eprintln!("`{}` is in staging: nothing is exported to it", handle.name());
        }
        StagingCommand::Off { connector, plan } => {
            let handle = runtime.connector(&connector)?;
            service.staging_off(&runtime, handle, plan.as_deref().unwrap_or_default())?;
            eprintln!("`{}` is active: the next cycle exports to it", handle.name());
        }
        StagingCommand::Plan { connector, limit } => {
            let plan = service.staging_plan_with(&runtime, runtime.connector(&connector)?, limit)?;
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
            let mut rows = Vec::new();
            for c in &runtime.connectors {
                rows.push(json!({"connector": c.name(), "mode": service.mode(c)?}));
            }
            out.rows(&rows, &["connector", "mode"])?;
        }
    }
    Ok(Status::Done)
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

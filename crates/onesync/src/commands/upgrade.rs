//! `upgrade`: a newer program on an older installation.

use std::path::Path;
use std::sync::Arc;

use onesync_service::upgrade::{Backup, RuleUpdate, UpgradeCheck, UpgradeOptions, Upgraded};
use onesync_service::{Clock as _, ConfigPlan, Home, Service, Status, SystemClock, upgrade as work};

use super::config;
use super::database::{named, server};
use crate::args::{BackArgs, UpgradeArgs, UpgradeCommand};
use crate::output::{Output, say};

/// `upgrade`.
pub async fn upgrade(home: Home, args: UpgradeArgs, out: &Output) -> anyhow::Result<Status> {
    match &args.command {
        None => run(home, &args, out).await,
        Some(UpgradeCommand::Check) => {
            let check = work::check(&home, Arc::new(SystemClock), crate::threads()).await?;
            if out.is_json() {
                out.json(&check)?;
            } else {
                print_check(&check);
            }
            Ok(Status::Done)
        }
        Some(UpgradeCommand::Back(args)) => back(&home, args, out),
        Some(UpgradeCommand::Rules { folder }) => rules(home, folder, out).await,
    }
}

async fn run(home: Home, args: &UpgradeArgs, out: &Output) -> anyhow::Result<Status> {
    let password = args.database_admin_password_file.as_deref();
    let admin = args
        .database_admin
        .as_deref()
        .map(|url| named(url, password, "--database-admin-password-file"))
        .transpose()?;
    let tell = |what: &str| eprintln!("{what}");
    let options = UpgradeOptions {
        own_backup: args.own_backup,
        admin: admin.as_ref(),
        threads: crate::threads(),
        tell: &tell,
    };
    let done = work::upgrade(&home, Arc::new(SystemClock), &options).await?;
    let status = if done.staged.is_empty() { Status::Done } else { Status::Held };
    if out.is_json() {
        out.json(&done)?;
        return Ok(status);
    }
    let Upgraded { from, to, backup, plan, no_plan, staged, rules } = &done;
    match from == to {
        true => say!("the database has schema {to}, which is this program's"),
        false => say!("the database has schema {to} now; it had {from}"),
    }
    if let Some(backup) = backup {
        let bytes: u64 = backup.parts.iter().map(|part| part.bytes).sum();
        say!("backup, read through: {} ({bytes} bytes)", backup.folder.display());
    }
    print_plan(plan.as_ref(), no_plan.as_deref());
    print_rules(rules);
    for connector in staged {
        say!(
            "{connector}: exports are off; look at `onesync staging plan {connector}`, then run `onesync staging off {connector} --plan HASH`"
        );
    }
    Ok(status)
}

fn print_check(check: &UpgradeCheck) {
    let UpgradeCheck {
        program,
        database,
        schema,
        needed,
        migrations,
        seconds,
        rules,
        plan,
        no_plan,
        needs_admin,
    } = check;
    say!("program {program}, database {database}");
    match migrations.is_empty() {
        true => say!("schema {schema}: nothing to change"),
        false => say!("schema {schema} -> {needed}: {}", migrations.join(", ")),
    }
    if let Some(seconds) = seconds {
        say!("  took {seconds:.1} s on a copy");
    }
    print_plan(plan.as_ref(), no_plan.as_deref());
    print_rules(rules);
    if !migrations.is_empty() {
        if let Some(why) = needs_admin {
            say!(
                "{why}: `onesync upgrade` will need `--database-admin URL --database-admin-password-file FILE`"
            );
        }
        say!("`onesync upgrade` takes a backup first; nothing was changed yet");
    }
}

fn print_plan(plan: Option<&ConfigPlan>, why_not: Option<&str>) {
    match (plan, why_not) {
        (Some(plan), _) if plan.items == 0 => {
            say!(
                "a full sync with this program changes nothing: no full sync is needed, no export comes of it"
            );
        }
        (Some(plan), _) => {
            say!("a full sync with this program is needed, and changes this:");
            for line in plan.to_string().lines() {
                say!("  {line}");
            }
        }
        (None, Some(why)) => say!("what a full sync with this program changes is not known: {why}"),
        (None, None) => {}
    }
}

fn print_rules(rules: &[RuleUpdate]) {
    if rules.is_empty() {
        say!("shipped rules: none has changed");
        return;
    }
    for RuleUpdate { path, from, to, state } in rules {
        say!("{path}: {from} -> {to} ({state})");
    }
    say!(
        "`onesync upgrade rules FOLDER` writes the configuration with these changes; nothing is overwritten"
    );
}

/// `upgrade back`.
fn back(home: &Home, args: &BackArgs, out: &Output) -> anyhow::Result<Status> {
    let server = server(&args.database)?;
    let (backup, kept) = Backup::put_back(home, &args.folder, server.as_ref(), SystemClock.now())?;
    if out.is_json() {
        out.json(&serde_json::json!({"backup": backup, "kept": kept}))?;
    } else {
        say!("the database is the one of {} again, with schema {}", backup.taken, backup.schema);
        say!("the one before is kept: {kept}");
        say!(
            "exports are off in it: it does not know what was exported since; run a cycle, then look at the plan"
        );
    }
    Ok(Status::Done)
}

/// `upgrade rules`.
async fn rules(home: Home, folder: &Path, out: &Output) -> anyhow::Result<Status> {
    config::must_be_new(folder)?;
    let service = Service::open(home, Arc::new(SystemClock), 1).await?;
    let updated = service.updated_rules()?;
    config::write(folder, updated.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())))?;
    if out.is_json() {
        out.json(&updated.updates)?;
    } else {
        for RuleUpdate { path, from, to, state } in &updated.updates {
            say!("{path}: {from} -> {to} ({state})");
        }
    }
    let folder = folder.display();
    eprintln!(
        "{} files written to {folder}, {} of them changed; `onesync config plan {folder}` shows what they would do",
        updated.files.len(),
        updated.updates.len()
    );
    Ok(Status::Done)
}

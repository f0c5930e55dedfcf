//! `config`: configuration as code.

use std::path::Path;

use anyhow::Context as _;
use onesync_service::{Configuration, Moved, Service, ServiceError, Status, account, read_folder};
use serde_json::json;

use crate::args::{ApplyArgs, ImportAadconnectArgs, InitArgs};
use crate::output::{Output, say};

fn load(folder: &Path) -> anyhow::Result<Configuration> {
    Ok(Configuration::parse(read_folder(folder)?)?)
}

/// `config init`.
pub fn init(options: &InitArgs) -> anyhow::Result<Status> {
    let files = onesync_service::template(&options.topology, &options.source)?;
    let folder = options.folder.display();
    must_be_new(&options.folder)?;
    write(&options.folder, files.iter().map(|(path, text)| (path.as_str(), text.as_bytes())))?;
    eprintln!(
        "{} files written to {folder}; edit {folder}/connectors/*.toml, then run `onesync config check {folder}`",
        files.len()
    );
    Ok(Status::Done)
}

pub(super) fn must_be_new(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() && !folder.is_dir() {
        return Err(usage(format!("{} is a file", folder.display()), "name a new folder"));
    }
    if folder.is_dir() && std::fs::read_dir(folder)?.next().is_some() {
        return Err(usage(format!("{} is not empty", folder.display()), "name a new folder"));
    }
    Ok(())
}

/// `config import-aadconnect`.
pub async fn import_aadconnect(options: &ImportAadconnectArgs, out: &Output) -> anyhow::Result<Status> {
    must_be_new(&options.into)?;
    let imported = onesync_service::import_aadconnect(&options.export, &options.connectors).await?;
    write(&options.into, imported.files.iter().map(|(path, text)| (path.as_str(), text.as_bytes())))?;
    if out.is_json() {
        out.json(&imported.report)?;
    } else {
        say!("{}", imported.report.to_text().trim_end());
    }
    let folder = options.into.display();
    eprintln!(
        "{} files written to {folder}, this report too; edit {folder}/connectors/*.toml, then run `onesync config check {folder}`",
        imported.files.len()
    );
    for message in imported.check.messages.iter().filter(|message| message.starts_with("error")) {
        eprintln!("{}\n", message.trim_end());
    }
    Ok(if imported.check.errors > 0 { Status::Failed } else { Status::Done })
}

/// `config check`.
pub async fn check(service: &Service, folder: &Path, out: &Output) -> anyhow::Result<Status> {
    let check = service.check(Configuration::parse_all(read_folder(folder)?)).await?;
    if out.is_json() {
        out.json(&json!({
            "connectors": check.connectors, "rules": check.rules, "examples": check.examples,
            "errors": check.errors, "warnings": check.warnings, "messages": check.messages,
        }))?;
    } else {
        for message in &check.messages {
            eprintln!("{}\n", message.trim_end());
        }
        let (errors, warnings) = (several(check.errors, "error"), several(check.warnings, "warning"));
        say!("{} connectors, {} rules: {errors}, {warnings}", check.connectors, check.rules);
        match check.examples {
            0 => say!("no rule has examples yet (docs/reference.md, examples of rules)"),
            some => say!(
                "{} beside the rules: `onesync rule test {}` runs them",
                several(some, "example"),
                folder.display()
            ),
        }
    }
    Ok(if check.errors > 0 { Status::Failed } else { Status::Done })
}

/// `config plan`.
pub async fn plan(service: &Service, folder: &Path, out: &Output) -> anyhow::Result<Status> {
    let plan = service.config_plan(load(folder)?).await?;
    if out.is_json() {
        out.json(&plan)?;
    } else {
        warnings(&plan.messages);
        say!("{plan}");
    }
    Ok(Status::Done)
}

/// `config apply`.
pub async fn apply(service: &Service, options: &ApplyArgs, out: &Output) -> anyhow::Result<Status> {
    let configuration = load(&options.folder)?;
    if let Some(plan) = &options.plan {
        return apply_reviewed(service, configuration, plan, out).await;
    }
    let files = service.changed_files(&configuration)?;
    // The same plan as `config plan` gives; not for the first configuration, which has nothing to compare with.
    let compare = !options.no_plan && !files.is_empty() && !service.config_history()?.is_empty();
    let plan = if compare { Some(service.config_plan(configuration.clone()).await?) } else { None };
    let (version, check) = service.apply(configuration, &account::who()).await?;
    if out.is_json() {
        out.json(&json!({"version": version, "files": files, "plan": plan, "messages": check.messages}))?;
        return Ok(Status::Done);
    }
    warnings(plan.as_ref().map_or(&check.messages, |plan| &plan.messages));
    match &plan {
        Some(plan) => say!("{}", plan.to_string().trim_end()),
        None => {
            for file in &files {
                say!("{:<8} {}", file.change, file.path);
            }
        }
    }
    let unchanged = if files.is_empty() { ", as before" } else { "" };
    eprintln!("configuration {version} is in force{unchanged}");
    Ok(Status::Done)
}

/// `config apply --plan`.
async fn apply_reviewed(
    service: &Service,
    configuration: Configuration,
    plan: &str,
    out: &Output,
) -> anyhow::Result<Status> {
    let progress = |progress| out.progress(progress);
    let applied = service.apply_reviewed(configuration, plan, &account::who(), &progress).await?;
    let status = if applied.held.is_empty() { Status::Done } else { Status::Held };
    if out.is_json() {
        out.json(&applied)?;
        return Ok(status);
    }
    say!("{} changes are as they were reviewed", applied.as_reviewed);
    if applied.not_needed > 0 {
        say!("{} changes of the plan are not needed any more", applied.not_needed);
    }
    for Moved { reviewed, now } in &applied.samples {
        match reviewed {
            Some(reviewed) => say!("moved: {now}\n  reviewed: {reviewed}"),
            None => say!("new: {now}"),
        }
    }
    if let Some(list) = &applied.list {
        say!("all {} that have moved or are new, in both versions: {}", applied.moved, list.display());
    }
    for (connector, held) in &applied.held {
        say!("{connector}: {held} changes are held; `onesync held list` shows them");
    }
    eprintln!("configuration {} is in force and synchronised; nothing is exported yet", applied.version);
    Ok(status)
}

/// Notes belong to `config check`: here they would hide what changes.
fn warnings(messages: &[String]) {
    for message in messages.iter().filter(|message| !message.starts_with("note")) {
        eprintln!("{}\n", message.trim_end());
    }
}

/// `config export`.
pub fn export(service: &Service, folder: &Path, version: Option<u32>) -> anyhow::Result<Status> {
    let files = service.config_files(version)?;
    if folder.exists() {
        return Err(usage(format!("{} exists already", folder.display()), "name a new folder"));
    }
    write(folder, files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())))?;
    eprintln!("{} files written to {}", files.len(), folder.display());
    Ok(Status::Done)
}

/// `config history`.
pub fn history(service: &Service, out: &Output) -> anyhow::Result<Status> {
    let rows: Vec<_> = service
        .config_history()?
        .into_iter()
        .map(|row| json!({"version": row.version, "created": row.created.to_string(), "who": row.who, "hash": row.hash.to_string()}))
        .collect();
    out.rows(&rows, &["version", "created", "who", "hash"])?;
    Ok(Status::Done)
}

pub(super) fn write<'a>(
    folder: &Path,
    files: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> anyhow::Result<()> {
    for (path, bytes) in files {
        let place = folder.join(path);
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("{}", parent.display()))?;
        }
        std::fs::write(&place, bytes).with_context(|| format!("{}", place.display()))?;
    }
    Ok(())
}

fn several(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn usage(message: String, hint: &str) -> anyhow::Error {
    ServiceError::Usage { message, hint: Some(hint.to_owned()) }.into()
}

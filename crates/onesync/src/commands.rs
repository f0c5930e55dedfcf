//! The commands other than `demo`.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use onesync_service::look::HeldDecision;
use onesync_service::{Configuration, CycleKind, CycleReport, Service, Status, Step, read_folder};
use serde_json::json;
use zeroize::Zeroizing;

use crate::args::{
    ApplyArgs, Command, ConfigCommand, ConnectorCommand, EvalArgs, HeldCommand, InitArgs, SearchCommand,
    SecretCommand, StagingCommand,
};
use crate::output::Output;

/// A secret longer than this is not a secret but a mistake.
const SECRET_MAX: u64 = 64 << 10;

/// Runs a command on an open installation.
pub async fn run(service: Service, command: Command, out: &Output) -> anyhow::Result<Status> {
    match command {
        Command::Demo(_)
        | Command::Eval(_)
        | Command::Config(ConfigCommand::Init(_) | ConfigCommand::Apply(_)) => {
            bail!("this command needs no installation")
        }
        Command::Config(ConfigCommand::Check { folder }) => config_check(&service, &folder).await,
        Command::Config(ConfigCommand::Plan { folder }) => config_plan(&service, &folder, out).await,
        Command::Config(ConfigCommand::Export { folder, version }) => {
            config_export(&service, &folder, version)
        }
        Command::Config(ConfigCommand::History) => config_history(&service, out),
        Command::Secret(command) => secret(&service, &command, out),
        Command::Connector(command) => connector(&service, command, out).await,
        Command::Run { connector, step } => {
            let report = service.run_step(&connector, step, &|progress| out.progress(progress)).await?;
            if out.is_json() {
                out.json(&report)?;
            }
            Ok(report.status)
        }
        Command::Cycle { kind } => {
            let report = service.cycle(kind.into(), &|progress| out.progress(progress)).await?;
            cycle_report(&report, out)
        }
        Command::Staging(command) => staging(&service, command, out),
        Command::Held(command) => held(&service, command, out),
        Command::Search(command) => search(&service, command, out),
        Command::Show { object } => {
            let runtime = service.runtime()?;
            let view = service.show(&runtime, &object)?;
            if out.is_json() {
                out.json(&view)?;
                return Ok(Status::Done);
            }
            println!("{} {} {} [{}]\n{}", view.object_type, view.id, view.name, view.state, view.connector);
            for (name, value) in &view.attributes {
                let by = match (&value.rule, &value.source) {
                    (Some(rule), Some(source)) => format!("   <- {rule}, {source}"),
                    _ => String::new(),
                };
                println!("  {name:<32} {}{by}", value.value);
            }
            for (name, (count, some)) in &view.links {
                println!(
                    "  {name:<32} {count} links{}{}",
                    if some.is_empty() { "" } else { ": " },
                    some.join(", ")
                );
            }
            for join in &view.joined {
                println!("  joined: {join}");
            }
            Ok(Status::Done)
        }
        Command::Pending { connector, limit } => {
            let runtime = service.runtime()?;
            let rows = service.pending(&runtime, runtime.connector(&connector)?, limit)?;
            out.list(&rows, &["object", "type", "operation", "state", "change"], |row| {
                vec![
                    row.object.clone(),
                    row.object_type.clone(),
                    row.operation.clone(),
                    row.state.clone(),
                    row.error.clone().unwrap_or_else(|| row.change.clone()),
                ]
            })?;
            Ok(Status::Done)
        }
        Command::Errors { connector, limit } => {
            let runtime = service.runtime()?;
            let connector = connector.map(|name| runtime.connector(&name).cloned()).transpose()?;
            let rows: Vec<_> = service
                .errors(connector.as_ref(), limit)?
                .into_iter()
                .map(|(name, row)| json!({"object": name, "place": row.place, "code": row.code, "message": row.message, "since": row.first_seen.to_string(), "alarm": row.alarm}))
                .collect();
            out.list(&rows, &["object", "place", "code", "message", "since"], |row| {
                ["object", "place", "code", "message", "since"].iter().map(|key| text(&row[*key])).collect()
            })?;
            Ok(if rows.is_empty() { Status::Done } else { Status::ObjectErrors })
        }
        Command::History { object, limit } => history(&service, object, limit, out),
        Command::Status => status(&service, out),
    }
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Shows how a cycle ended; gives the exit status.
pub fn cycle_report(report: &CycleReport, out: &Output) -> anyhow::Result<Status> {
    if out.is_json() {
        out.json(report)?;
    } else {
        for (connector, step, message, hint) in &report.failures {
            eprintln!("failed: {connector}, {step}: {message}");
            if let Some(hint) = hint {
                eprintln!("hint: {hint}");
            }
        }
        let (i, e) = (&report.imported, &report.exported);
        println!(
            "imported {} added, {} updated, {} deleted, {} unchanged; exported {} created, {} updated, {} deleted, {} links; {} confirmed, {} held, {} errors ({:.1} s)",
            i.add,
            i.update,
            i.delete,
            i.unchanged,
            e.add,
            e.update,
            e.delete,
            e.links,
            report.confirmed,
            e.held,
            report.errors,
            report.seconds
        );
    }
    let errors = if report.errors > 0 { Status::ObjectErrors } else { Status::Done };
    Ok(report.status.unwrap_or(Status::Done).max(errors))
}

async fn load(folder: &Path) -> anyhow::Result<Configuration> {
    Ok(Configuration::parse(read_folder(folder)?)?)
}

/// `config check`.
pub async fn config_check(service: &Service, folder: &Path) -> anyhow::Result<Status> {
    let check = service.check(load(folder).await?).await?;
    for message in &check.messages {
        eprintln!("{message}\n");
    }
    println!(
        "{} connectors, {} rules: {} errors, {} warnings",
        check.connectors, check.rules, check.errors, check.warnings
    );
    Ok(if check.errors > 0 { Status::Failed } else { Status::Done })
}

/// `config apply`.
pub async fn config_apply(service: &Service, options: &ApplyArgs) -> anyhow::Result<Status> {
    let who = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    let (version, check) = service.apply(load(&options.folder).await?, &who).await?;
    for message in &check.messages {
        eprintln!("{message}\n");
    }
    println!("configuration {version} is in force");
    Ok(Status::Done)
}

async fn config_plan(service: &Service, folder: &Path, out: &Output) -> anyhow::Result<Status> {
    let plan = service.config_plan(load(folder).await?).await?;
    if out.is_json() {
        out.json(&plan)?;
    } else {
        println!("{plan}");
    }
    Ok(Status::Done)
}

fn config_export(service: &Service, folder: &Path, version: Option<u32>) -> anyhow::Result<Status> {
    let files = service.config_files(version)?;
    if folder.exists() {
        bail!("{} exists already: name a folder that does not", folder.display());
    }
    for (path, bytes) in &files {
        let place = folder.join(path);
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("{}", parent.display()))?;
        }
        std::fs::write(&place, bytes).with_context(|| format!("{}", place.display()))?;
    }
    println!("{} files written to {}", files.len(), folder.display());
    Ok(Status::Done)
}

fn config_history(service: &Service, out: &Output) -> anyhow::Result<Status> {
    let rows: Vec<_> = service
        .config_history()?
        .into_iter()
        .map(|row| json!({"version": row.version, "created": row.created.to_string(), "who": row.who, "hash": row.hash.to_string()}))
        .collect();
    out.list(&rows, &["version", "created", "who", "hash"], |row| {
        ["version", "created", "who", "hash"].iter().map(|key| text(&row[*key])).collect()
    })?;
    Ok(Status::Done)
}

/// `config init`.
pub fn config_init(options: &InitArgs) -> anyhow::Result<Status> {
    let files = onesync_service::template(&options.topology, &options.source)?;
    if options.folder.is_dir() && std::fs::read_dir(&options.folder)?.next().is_some() {
        bail!("{} is not empty: name a new folder", options.folder.display());
    }
    for (path, text) in &files {
        let place = options.folder.join(path);
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("{}", parent.display()))?;
        }
        std::fs::write(&place, text).with_context(|| format!("{}", place.display()))?;
    }
    println!(
        "{} files written to {}; edit `connectors/`, then run `onesync config check {}`",
        files.len(),
        options.folder.display(),
        options.folder.display()
    );
    Ok(Status::Done)
}

/// `secret`.
pub fn secret(service: &Service, command: &SecretCommand, out: &Output) -> anyhow::Result<Status> {
    match command {
        SecretCommand::Set { name, file } => {
            let value = read_secret(file.as_deref())?;
            if value.is_empty() {
                bail!("the secret is empty: nothing was changed");
            }
            service.set_secret(name, &value)?;
            eprintln!("secret `{name}` is set");
        }
        SecretCommand::Remove { name } => {
            service.remove_secret(name)?;
            eprintln!("secret `{name}` is removed");
        }
        SecretCommand::List => {
            let rows: Vec<_> = service
                .secrets()?
                .into_iter()
                .map(|(name, changed, previous)| json!({"name": name, "changed": changed.to_string(), "previous kept": previous}))
                .collect();
            out.list(&rows, &["name", "changed", "previous kept"], |row| {
                ["name", "changed", "previous kept"].iter().map(|key| text(&row[*key])).collect()
            })?;
        }
    }
    Ok(Status::Done)
}

fn read_secret(file: Option<&Path>) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    match file {
        Some(path) if path != Path::new("-") => {
            std::fs::File::open(path)
                .with_context(|| format!("{}", path.display()))?
                .take(SECRET_MAX)
                .read_to_end(&mut bytes)?;
        }
        None if std::io::stdin().is_terminal() => {
            let typed = inquire::Password::new("secret:").without_confirmation().prompt()?;
            bytes.extend_from_slice(Zeroizing::new(typed).as_bytes());
        }
        _ => {
            std::io::stdin().take(SECRET_MAX).read_to_end(&mut bytes)?;
        }
    }
    // A newline at the end belongs to the file, not to the secret; a PEM file keeps its lines.
    while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        bytes.pop();
    }
    Ok(bytes)
}

async fn connector(service: &Service, command: ConnectorCommand, out: &Output) -> anyhow::Result<Status> {
    let runtime = service.runtime()?;
    match command {
        ConnectorCommand::List => {
            let rows: Vec<_> = runtime.connectors.iter().map(|c| json!({"name": c.name(), "kind": c.file.kind, "rank": c.file.rank, "writes": c.capabilities.export})).collect();
            out.list(&rows, &["name", "kind", "rank", "writes"], |row| {
                ["name", "kind", "rank", "writes"].iter().map(|key| text(&row[*key])).collect()
            })?;
            Ok(Status::Done)
        }
        ConnectorCommand::Show { connector } => {
            let c = runtime.connector(&connector)?;
            let types: Vec<_> = c.selection.types.iter().map(|t| json!({"type": t.name, "attributes": t.attributes.iter().map(|a| &a.name).collect::<Vec<_>>()})).collect();
            out.json(&json!({"name": c.name(), "kind": c.file.kind, "rank": c.file.rank, "writes": c.capabilities.export, "delta import": c.capabilities.delta_import, "reads": types}))?;
            Ok(Status::Done)
        }
        ConnectorCommand::Schema { connector } => {
            let c = runtime.connector(&connector)?;
            let rows: Vec<_> = c
                .schema
                .attributes
                .values()
                .map(|a| json!({"attribute": a.name, "type": a.kind.as_str(), "multi": a.multi, "read only": a.read_only, "length": a.length_max}))
                .collect();
            out.list(&rows, &["attribute", "type", "multi", "read only", "length"], |row| {
                ["attribute", "type", "multi", "read only", "length"]
                    .iter()
                    .map(|key| text(&row[*key]))
                    .collect()
            })?;
            Ok(Status::Done)
        }
        ConnectorCommand::Test { connector } => {
            let rows = service.test_connector(&connector).await?;
            let failed = rows.iter().any(|row| row["result"] == "failed");
            out.list(&rows, &["result", "subject", "message"], |row| {
                ["result", "subject", "message"].iter().map(|key| text(&row[*key])).collect()
            })?;
            Ok(if failed { Status::Failed } else { Status::Done })
        }
    }
}

fn staging(service: &Service, command: StagingCommand, out: &Output) -> anyhow::Result<Status> {
    let runtime = service.runtime()?;
    match command {
        StagingCommand::On { connector } => {
            service.staging_on(runtime.connector(&connector)?)?;
            eprintln!("`{connector}` is in staging: nothing is exported to it");
        }
        StagingCommand::Off { connector, plan } => {
            let handle = runtime.connector(&connector)?;
            service.staging_off(&runtime, handle, plan.as_deref().unwrap_or("(none)"))?;
            eprintln!("`{connector}` is active: the next cycle exports to it");
        }
        StagingCommand::Plan { connector } => {
            let plan = service.staging_plan(&runtime, runtime.connector(&connector)?)?;
            if out.is_json() {
                out.json(&plan)?;
            } else {
                for group in &plan.groups {
                    println!("{:>8}  {} {}", group.count, group.what, group.object_type);
                    for sample in &group.samples {
                        println!("            {sample}");
                    }
                }
                println!("plan {}", plan.hash);
            }
        }
        StagingCommand::Status => {
            let mut rows = Vec::new();
            for c in &runtime.connectors {
                let mode = match (c.capabilities.export, service.is_staging(c)?) {
                    (false, _) => "reads only",
                    (true, true) => "staging",
                    (true, false) => "active",
                };
                rows.push(json!({"connector": c.name(), "mode": mode}));
            }
            out.list(&rows, &["connector", "mode"], |row| {
                ["connector", "mode"].iter().map(|key| text(&row[*key])).collect()
            })?;
        }
    }
    Ok(Status::Done)
}

fn held(service: &Service, command: HeldCommand, out: &Output) -> anyhow::Result<Status> {
    let runtime = service.runtime()?;
    let who = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    match command {
        HeldCommand::List { all } => {
            let rows = service.held_list(&runtime, all)?;
            out.list(&rows, &["hash", "connector", "type", "changes", "state", "reason"], |row| {
                ["hash", "connector", "type", "changes", "state", "reason"]
                    .iter()
                    .map(|key| text(&row[*key]))
                    .collect()
            })?;
            Ok(if rows.iter().any(|row| row["state"] == "held") { Status::Held } else { Status::Done })
        }
        HeldCommand::Show { hash } => {
            let items = service.held_show(&runtime, &hash)?;
            out.list(&items, &["hash", "object", "change", "cause"], |item| {
                let cause = if item.left_scope { "left the scope" } else { "source" };
                vec![item.hash.clone(), item.object.clone(), item.change.clone(), cause.to_owned()]
            })?;
            Ok(Status::Done)
        }
        HeldCommand::Release { hash } => {
            let count = service.held_decide(&hash, HeldDecision::Release, &who)?;
            eprintln!("{count} changes are released: the next export writes them");
            Ok(Status::Done)
        }
        HeldCommand::Reject { hash } => {
            let count = service.held_decide(&hash, HeldDecision::Reject, &who)?;
            eprintln!("{count} changes are rejected: they stay held for ever");
            Ok(Status::Done)
        }
    }
}

fn search(service: &Service, command: SearchCommand, out: &Output) -> anyhow::Result<Status> {
    let runtime = service.runtime()?;
    let rows = match command {
        SearchCommand::Cs { connector, text, limit } => {
            service.search_cs(&runtime, runtime.connector(&connector)?, &text, limit)?
        }
        SearchCommand::Mv { text, limit } => service.search_mv(&runtime, &text, limit)?,
    };
    out.list(&rows, &["id", "type", "name", "state"], |row| {
        vec![row.id.clone(), row.object_type.clone(), row.name.clone(), row.state.clone()]
    })?;
    Ok(Status::Done)
}

fn history(service: &Service, object: Option<String>, limit: usize, out: &Output) -> anyhow::Result<Status> {
    let rows = match object {
        None => service.run_list(limit)?,
        Some(object) => service.history_list(&service.runtime()?.clone(), &object, limit)?,
    };
    out.list(&rows, &["time", "run", "what", "detail"], |row| {
        ["time", "run", "what", "detail"].iter().map(|key| text(&row[*key])).collect()
    })?;
    Ok(Status::Done)
}

fn status(service: &Service, out: &Output) -> anyhow::Result<Status> {
    let report = service.status()?;
    if out.is_json() {
        out.json(&report)?;
    } else {
        println!(
            "installation {} (epoch {}), configuration {}, key set {}",
            report.installation, report.epoch, report.configuration, report.key_set
        );
        for (name, active, leaving) in &report.metaverse {
            println!(
                "metaverse: {active} {name}{}",
                if *leaving > 0 { format!(", {leaving} leaving") } else { String::new() }
            );
        }
        println!("agenda: {} due, {} later", report.agenda_due, report.agenda_later);
        for c in &report.connectors {
            println!(
                "\n{} ({}, {}), last import {}",
                c.name,
                c.kind,
                c.mode,
                c.last_import.as_deref().unwrap_or("never")
            );
            println!(
                "  {} objects, {} joined, {} errors; {} pending, {} unconfirmed, {} refused, {} held",
                c.objects, c.joined, c.errors, c.pending, c.unconfirmed, c.refused, c.held
            );
            if c.mastered_elsewhere > 0 {
                println!("  {} mastered elsewhere: compared, never written", c.mastered_elsewhere);
            }
            for (name, count) in &c.cannot_be_written {
                println!("  {count} {name} cannot be written through this connector");
            }
            for (name, day, week) in &c.limits {
                println!("  limits for {name}: {day} in a run and 24 hours; {week} in 7 days");
            }
        }
        for alarm in &report.alarms {
            println!("\nALARM: {alarm}");
        }
    }
    Ok(if report.alarms.is_empty() { Status::Done } else { Status::ObjectErrors })
}

/// `eval`.
pub fn eval(options: &EvalArgs, out: &Output) -> anyhow::Result<Status> {
    let _ = out;
    let attributes = match options.attributes.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).with_context(|| file.to_owned())?,
        None if options.attributes == "-" => std::io::read_to_string(std::io::stdin())?,
        None => options.attributes.clone(),
    };
    let now = match &options.now {
        Some(text) => text.clone(),
        None => jiff::Timestamp::now().to_string(),
    };
    let result =
        onesync_service::eval(&options.expression, &attributes, &options.parameters, &now, &options.kind)?;
    println!("{result}");
    Ok(if result.get("$error").is_some() { Status::ObjectErrors } else { Status::Done })
}

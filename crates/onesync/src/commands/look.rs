//! Looking: `search`, `show`, `pending`, `errors`, `history`, `eval`.

use anyhow::Context as _;
use onesync_service::{Evaluation, Service, Status, StepCounters};
use serde_json::{Value as Json, json};

use crate::args::{EvalArgs, SearchCommand};
use crate::output::{Output, counted, say, short_time, text};

/// `search`.
pub fn search(service: &Service, command: SearchCommand, out: &Output) -> anyhow::Result<Status> {
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

/// `show`.
pub fn show(service: &Service, object: &str, out: &Output) -> anyhow::Result<Status> {
    let view = service.show(&*service.runtime()?, object)?;
    if out.is_json() {
        out.json(&view)?;
        return Ok(Status::Done);
    }
    let at = if view.connector.is_empty() { String::new() } else { format!(" at {}", view.connector) };
    say!("{} {} {}{at} [{}]\n", view.object_type, view.id, view.name, view.state);
    for (name, value) in &view.attributes {
        let by = match (&value.rule, &value.source) {
            (Some(rule), Some(source)) => format!("   <- {rule}, {source}"),
            _ => String::new(),
        };
        say!("  {name:<32} {}{by}", value.value);
    }
    for (name, (count, some)) in &view.links {
        let shown = if some.is_empty() { String::new() } else { format!(": {}", some.join(", ")) };
        say!("  {name:<32} {count} links{shown}");
    }
    for join in &view.joined {
        say!("  joined: {join}");
    }
    if let Some(why) = &view.why {
        say!("  not in the metaverse: {why}");
    }
    Ok(Status::Done)
}

/// `pending`.
pub fn pending(service: &Service, connector: &str, limit: usize, out: &Output) -> anyhow::Result<Status> {
    let runtime = service.runtime()?;
    let rows = service.pending(&runtime, runtime.connector(connector)?, limit)?;
    out.list(&rows, &["object", "type", "operation", "state", "change"], |row| {
        let change = match (&row.waits, &row.error) {
            (Some(why), _) => format!("{}; {why}", row.change),
            (None, error) => error.clone().unwrap_or_else(|| row.change.clone()),
        };
        let names: Vec<&str> = row.not_writable.keys().map(String::as_str).collect();
        let change = match names.as_slice() {
            [] => change,
            names => format!("{change}; not writable: {}", names.join(", ")),
        };
        vec![row.object.clone(), row.object_type.clone(), row.operation.clone(), row.state.clone(), change]
    })?;
    if rows.len() >= limit {
        eprintln!("there may be more: `--limit` shows them");
    }
    Ok(Status::Done)
}

/// `errors`.
pub fn errors(
    service: &Service,
    connector: Option<&str>,
    limit: usize,
    out: &Output,
) -> anyhow::Result<Status> {
    let runtime = service.runtime()?;
    let connector = connector.map(|name| runtime.connector(name).cloned()).transpose()?;
    let rows: Vec<_> = service
        .errors(connector.as_ref(), limit)?
        .into_iter()
        .map(|(name, row)| {
            json!({
                "object": name, "id": (row.cs.0 >= 0).then(|| format!("cs:{}", row.cs)), "place": row.place, "code": row.code,
                "message": row.message, "since": row.first_seen.to_string(), "alarm": row.alarm,
            })
        })
        .collect();
    out.rows(&rows, &["object", "id", "place", "code", "message", "since"])?;
    Ok(if rows.is_empty() { Status::Done } else { Status::ObjectErrors })
}

/// `history`.
pub fn history(
    service: &Service,
    object: Option<&str>,
    limit: usize,
    out: &Output,
) -> anyhow::Result<Status> {
    let Some(object) = object else {
        out.list(
            &service.run_list(limit)?,
            &["run", "started", "connector", "step", "result", "what"],
            |row| {
                let mut cells: Vec<String> = ["run", "started", "connector", "step", "result"]
                    .iter()
                    .map(|key| text(&row[*key]))
                    .collect();
                cells.push(what_a_run_did(row));
                cells
            },
        )?;
        return Ok(Status::Done);
    };
    let rows = service.history_list(&*service.runtime()?, object, limit)?;
    if out.is_json() {
        out.json(&rows)?;
        return Ok(Status::Done);
    }
    for row in &rows {
        let event = row["event"].as_str().unwrap_or("changed");
        say!("{}  run {}  {event}", short_time(row["time"].as_str().unwrap_or_default()), row["run"]);
        for change in row["changes"].as_array().into_iter().flatten() {
            let shown = |key: &str| match &change[key] {
                Json::Null => "nothing".to_owned(),
                value => value.to_string(),
            };
            let by = change["rule"].as_str().map(|rule| format!("   <- {rule}")).unwrap_or_default();
            say!("    {}: {} -> {}{by}", text(&change["attribute"]), shown("old"), shown("new"));
        }
    }
    if rows.is_empty() {
        eprintln!("nothing");
    }
    Ok(Status::Done)
}

fn what_a_run_did(row: &Json) -> String {
    if let Some(error) = row["error"].as_str() {
        return error.to_owned();
    }
    let counters: StepCounters = serde_json::from_value(row["counters"].clone()).unwrap_or_default();
    let mut parts = counted(&counters);
    parts.extend(row["remarks"].as_array().into_iter().flatten().map(text));
    parts.join(", ")
}

/// What an option says: text, `@FILE`, or `-` for standard input.
pub(super) fn given(option: &str) -> anyhow::Result<String> {
    match option.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).with_context(|| file.to_owned()),
        None if option == "-" => Ok(std::io::read_to_string(std::io::stdin())?),
        None => Ok(option.to_owned()),
    }
}

/// `eval`.
pub fn eval(options: &EvalArgs) -> anyhow::Result<Status> {
    let now = match &options.now {
        Some(text) => text.clone(),
        None => jiff::Timestamp::now().to_string(),
    };
    let request = Evaluation {
        expression: options.expression.clone().unwrap_or_default(),
        attributes: onesync_service::json_object(&given(&options.attributes)?, "attributes")?,
        parameters: onesync_service::json_object(&given(&options.parameters)?, "parameters")?,
        now: onesync_service::eval_time(&now)?,
        kind: onesync_service::eval_kind(&options.kind)?,
        canonical: options.canonical,
    };
    if let Some(file) = &options.batch {
        return eval_batch(file, &request);
    }
    let result = onesync_service::eval(&request)?;
    say!("{}", result.value);
    if let Some(report) = result.report {
        eprintln!("{report}");
    }
    if let Some(until) = result.valid_until {
        eprintln!("this depends on the clock, and holds until {until}");
    }
    Ok(match result.value.get("$error") {
        _ if result.refused => Status::Usage,
        Some(_) => Status::ObjectErrors,
        None => Status::Done,
    })
}

/// `eval --batch`: every line has its result, so that an error in one is no failure of the command.
fn eval_batch(file: &str, defaults: &Evaluation) -> anyhow::Result<Status> {
    let mut write = |result: &serde_json::Value| {
        say!("{result}");
        Ok(())
    };
    let report = if file == "-" {
        onesync_service::eval_batch(&mut std::io::stdin().lock(), defaults, &mut write)
    } else {
        let opened = std::fs::File::open(file).with_context(|| file.to_owned())?;
        onesync_service::eval_batch(&mut std::io::BufReader::new(opened), defaults, &mut write)
    }
    .with_context(|| file.to_owned())?;
    Ok(match report.no_requests {
        0 => Status::Done,
        count => {
            eprintln!("{count} of {} lines are no requests: their results say why", report.results);
            Status::ObjectErrors
        }
    })
}

//! `connector`: connected directories.

use onesync_service::{ConnectorView, Service, Status};
use serde_json::json;

use crate::args::ConnectorCommand;
use crate::output::{Output, say};

/// `connector`.
pub async fn connector(service: &Service, command: ConnectorCommand, out: &Output) -> anyhow::Result<Status> {
    let runtime = service.runtime()?;
    match command {
        ConnectorCommand::List => {
            let mut rows = Vec::new();
            for c in &runtime.connectors {
                rows.push(json!({
                    "name": c.name(), "kind": c.file.kind, "rank": c.file.rank, "mode": service.mode(c)?,
                }));
            }
            out.rows(&rows, &["name", "kind", "rank", "mode"])?;
        }
        ConnectorCommand::Show { connector } => {
            let view = service.connector_view(&runtime, &connector)?;
            if out.is_json() {
                out.json(&view)?;
            } else {
                print(&view);
            }
        }
        ConnectorCommand::Schema { connector } => {
            let schema = &runtime.connector(&connector)?.schema;
            let mut rows = Vec::new();
            for (id, a) in &schema.attributes {
                let types: Vec<&str> = schema
                    .types
                    .iter()
                    .filter(|(type_id, _)| schema.allows(**type_id, *id))
                    .map(|(_, def)| def.name.as_str())
                    .collect();
                rows.push(json!({
                    "attribute": a.name, "type": a.kind.as_str(), "several": a.multi, "read_only": a.read_only,
                    "length": a.length_max, "of": types,
                }));
            }
            rows.sort_by_key(|row| row["attribute"].as_str().unwrap_or_default().to_lowercase());
            out.rows(&rows, &["attribute", "type", "several", "read_only", "length", "of"])?;
        }
        ConnectorCommand::Test { connector } => {
            let rows = service.test_connector(&connector).await?;
            out.rows(&rows, &["result", "subject", "message"])?;
            let failed = rows.iter().any(|row| row["result"] == "failed");
            return Ok(if failed { Status::Failed } else { Status::Done });
        }
    }
    Ok(Status::Done)
}

fn print(view: &ConnectorView) {
    say!("{} ({}, rank {}, {})", view.name, view.kind, view.rank, view.mode);
    say!("  delta import: {}", if view.delta_import { "yes" } else { "no, every import reads everything" });
    say!(
        "  a full import is suspect when {} percent or more are missing, and at least {}",
        view.suspect_percent,
        view.suspect_at_least
    );
    say!(
        "  an object that leaves the scope: its join is {}",
        match view.out_of_scope {
            "stay" => "kept, nothing flows",
            _ => "given up",
        }
    );
    for (name, steps) in &view.profiles {
        let steps: Vec<&str> = steps.iter().map(|step| step.as_str()).collect();
        say!("  run profile {name}: {}", steps.join(", "));
    }
    for (name, value) in &view.parameters {
        say!("  parameter {name} = {value:?}");
    }
    say!("\nsettings");
    for line in view.settings.to_string().lines() {
        say!("  {line}");
    }
    for kind in &view.types {
        let written = if kind.writable { "read and written" } else { "read" };
        say!("\n{} ({written}), {} attributes", kind.name, kind.attributes.len());
        if let Some(deprovision) = &kind.deprovision {
            say!("  who leaves is {deprovision}");
        }
        say!("  {}", kind.attributes.join(", "));
    }
}

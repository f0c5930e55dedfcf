//! Lists and small jobs for the command line, as data.

use std::collections::BTreeMap;

use onesync_connectors::{Finding, Severity};
use onesync_model::Hash128;
use onesync_rules::{Topology, stock_rules};
use onesync_store::{ConfigFiles, ConfigVersionRow, EventRow, HeldState};
use serde_json::{Value as Json, json};

use crate::error::ServiceError;
use crate::held::HeldItem;
use crate::look::HeldDecision;
use crate::runtime::{ConnectorHandle, Runtime, Service};

/// The files of a new configuration with the shipped rules.
///
/// # Errors
/// When topology or kind of source are not known.
pub fn template(topology: &str, source: &str) -> Result<BTreeMap<String, String>, ServiceError> {
    let topology = Topology::parse(topology).ok_or_else(|| {
        ServiceError::usage(
            format!("`{topology}` is no topology"),
            "write single-forest, multi-forest-mail or account-resource",
        )
    })?;
    let source_file = match source {
        "ad" => include_str!("../templates/source-ad.toml"),
        "ldif" => include_str!("../templates/source-ldif.toml"),
        "jsonl" => include_str!("../templates/source-jsonl.toml"),
        other => {
            return Err(ServiceError::usage(
                format!("`{other}` is no kind of source"),
                "write ad, ldif or jsonl",
            ));
        }
    };
    let mut files = BTreeMap::from([
        ("onesync.toml".to_owned(), include_str!("../templates/onesync.toml").to_owned()),
        ("connectors/entra.toml".to_owned(), include_str!("../templates/entra.toml").to_owned()),
    ]);
    let forests = forests(topology).iter().enumerate();
    files.extend(forests.map(|(index, (name, about))| {
        (format!("connectors/{name}.toml"), format!("{about}{}", forest(source_file, index)))
    }));
    files.extend(stock_rules(topology, source).into_iter().map(|file| {
        let path = if file.path.starts_with("rules/") { file.path } else { format!("rules/{}", file.path) };
        (path, file.text)
    }));
    Ok(files)
}

/// The forests that a topology begins with: their files, and what is said of each.
fn forests(topology: Topology) -> &'static [(&'static str, &'static str)] {
    match topology {
        Topology::SingleForest => &[("source", "")],
        Topology::MultiForestMail => &[
            ("source", "# Accounts with one mail address, here and in the other forest, are one person.\n"),
            (
                "source-2",
                "# The other forest; further ones are files like this one with a rank of their own.\n",
            ),
        ],
        Topology::AccountResource => &[
            (
                "accounts",
                "# The forest with the accounts people sign in with: sign-in name, source anchor, SID and whether somebody is enabled.\n",
            ),
            (
                "resources",
                "# The forest with the mailboxes: a linked one is joined to its account by msExchMasterAccountSid, and gives what the address\n\
                 # list shows and Exchange keeps. Select CN=ForeignSecurityPrincipals, too: members of groups from the other forest are there.\n",
            ),
        ],
    }
}

/// The file of a forest: the template, and for the second one with names of its own.
fn forest(template: &str, index: usize) -> String {
    if index == 0 {
        return template.to_owned();
    }
    let other = [
        ("contoso", "fabrikam"),
        ("\"ad-password\"", "\"ad-password-2\""),
        ("secret set ad-password", "secret set ad-password-2"),
        ("rank = 1", "rank = 2"),
        ("\"directory", "\"directory-2"),
    ];
    other.iter().fold(template.to_owned(), |text, (from, to)| text.replace(from, to))
}

impl Service {
    /// The files of a version of the configuration; the one in force when none is named.
    ///
    /// # Errors
    /// When there is no such version.
    pub fn config_files(&self, version: Option<u32>) -> Result<ConfigFiles, ServiceError> {
        let reader = self.store().reader()?;
        let latest = reader.config_versions()?.last().map(|row| row.version);
        let version = version.or(latest).ok_or_else(|| {
            ServiceError::usage("no configuration is applied", "run `onesync config apply FOLDER`")
        })?;
        reader.config_files(version)?.ok_or_else(|| {
            ServiceError::usage(
                format!("there is no version {version}"),
                "`onesync config history` lists the versions",
            )
        })
    }

    /// All versions of the configuration.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn config_history(&self) -> Result<Vec<ConfigVersionRow>, ServiceError> {
        Ok(self.store().reader()?.config_versions()?)
    }

    /// What was done by people and protections, the latest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn events(&self, limit: usize) -> Result<Vec<EventRow>, ServiceError> {
        let events = self.store().reader()?.events(None, limit)?;
        Ok(events.into_iter().map(|stored| stored.event).collect())
    }

    /// Looks at a connected directory.
    ///
    /// # Errors
    /// When it cannot be reached at all.
    pub async fn test_connector(&self, name: &str) -> Result<Vec<Json>, ServiceError> {
        let runtime = self.runtime()?;
        let findings = self.findings(runtime.connector(name)?).await?;
        let word = |severity| match severity {
            Severity::Ok => "ok",
            Severity::Warning => "warning",
            Severity::Failed => "failed",
        };
        Ok(findings
            .into_iter()
            .map(|f| json!({"result": word(f.severity), "subject": f.subject, "message": f.message}))
            .collect())
    }

    /// What a connector finds when it looks at its directory.
    pub(crate) async fn findings(&self, connector: &ConnectorHandle) -> Result<Vec<Finding>, ServiceError> {
        self.secrets_ready(connector)?;
        let report = connector.connector.test().await;
        report.map(|report| report.findings).map_err(|error| ServiceError::connector(connector.name(), error))
    }

    /// Held plans for people.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn held_list(&self, runtime: &Runtime, all: bool) -> Result<Vec<Json>, ServiceError> {
        let state = |state| match state {
            HeldState::Held => "held",
            HeldState::Released => "released",
            HeldState::Rejected => "rejected",
        };
        Ok(self
            .held_plans(all)?
            .into_iter()
            .map(|plan| {
                json!({
                    "hash": plan.hash.to_string(),
                    "connector": runtime.connector_by_id(plan.connector).map(|c| c.name().to_owned()),
                    "type": runtime.names.type_name(plan.object_type),
                    "changes": plan.items.len(),
                    "state": state(plan.state),
                    "reason": plan.reason,
                    "created": plan.created.to_string(),
                    "who": plan.who,
                })
            })
            .collect())
    }

    /// The changes of a held plan.
    ///
    /// # Errors
    /// When nothing with this hash is held.
    pub fn held_show(&self, runtime: &Runtime, hash: &str) -> Result<Vec<HeldItem>, ServiceError> {
        let wanted = Hash128::parse(hash);
        let plan = match wanted {
            Some(wanted) => self.store().reader()?.held_plan(wanted)?,
            None => None,
        };
        let plan = plan.ok_or_else(|| {
            ServiceError::usage(
                format!("no plan has the hash `{hash}`"),
                "`onesync held list` shows the plans",
            )
        })?;
        self.held_items(runtime, &plan)
    }

    /// Releases or rejects a plan or one change.
    ///
    /// # Errors
    /// When nothing with this hash is held.
    pub fn held_decide(&self, hash: &str, decision: HeldDecision, who: &str) -> Result<u64, ServiceError> {
        let state = match decision {
            HeldDecision::Release => HeldState::Released,
            HeldDecision::Reject => HeldState::Rejected,
        };
        self.decide_held(hash, state, who)
    }

    /// The runs, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn run_list(&self, limit: usize) -> Result<Vec<Json>, ServiceError> {
        let runtime = self.runtime().ok();
        // First who works, then the runs: one that ends in between has ended.
        let open = if crate::work::is_worked_on(self.home().folder()) {
            "running"
        } else {
            crate::work::INTERRUPTED
        };
        let rows = self.store().reader()?.runs(None, None, limit)?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let connector = runtime
                    .as_ref()
                    .and_then(|r| r.connector_by_id(row.connector))
                    .map(|c| c.name().to_owned())
                    .unwrap_or_default();
                let told: Json = serde_json::from_str(&row.counters).unwrap_or_default();
                json!({
                    "run": row.id.0,
                    "started": row.started.to_string(),
                    "ended": row.ended.map(|time| time.to_string()),
                    "connector": connector,
                    "step": row.step,
                    "result": row.result.as_deref().unwrap_or(open),
                    "counters": told["counters"],
                    "remarks": told["remarks"],
                    "error": told["error"],
                    "hint": told["hint"],
                })
            })
            .collect())
    }

    /// The history of one object, newest first.
    ///
    /// # Errors
    /// When there is no such object.
    pub fn history_list(
        &self,
        runtime: &Runtime,
        object: &str,
        limit: usize,
    ) -> Result<Vec<Json>, ServiceError> {
        let shown =
            |values: &Option<onesync_model::Values>| values.as_ref().map(onesync_model::values_to_json);
        Ok(self
            .history(runtime, object, limit)?
            .into_iter()
            .map(|row| {
                let changes: Vec<Json> = row
                    .changes
                    .iter()
                    .map(|(attribute, old, new, rule)| {
                        json!({
                            "attribute": runtime.names.name(*attribute),
                            "old": shown(old),
                            "new": shown(new),
                            "rule": rule.and_then(|id| runtime.rules.rule(id)).map(|rule| &rule.name),
                        })
                    })
                    .collect();
                json!({
                    "time": row.time.to_string(),
                    "run": row.run.0,
                    "event": row.event,
                    "changes": changes,
                })
            })
            .collect())
    }
}

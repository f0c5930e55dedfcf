//! Why something is not where it might be expected: every hindrance between an object and a target, in words.

use onesync_engine::{ChangeState, CsFlags, CsRow, ErrorRow, ExportRow, MvRow, MvState, holds_link};
use onesync_store::{HeldState, StoreReader, export_hash};
use serde::Serialize;

use super::clause::ClauseView;
use super::view::{PlaceView, RuleView, Words};
use crate::error::ServiceError;
use crate::runtime::{ConnectorHandle, Service};
use crate::stops::Stops;

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// A stable word, see docs/explain.md.
    pub code: &'static str,
    /// What stands in the way.
    pub text: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Reason {
    pub(crate) fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A target as reasons look at it.
pub(crate) struct Target<'t> {
    pub(crate) connector: &'t ConnectorHandle,
    pub(crate) mv: &'t MvRow,
    pub(crate) row: Option<&'t CsRow>,
    pub(crate) export: Option<&'t ExportRow>,
    pub(crate) rules: &'t [RuleView],
    pub(crate) place: &'t PlaceView,
    pub(crate) errors: &'t [ErrorRow],
}

impl Service {
    /// Everything that keeps an object, or changes of it, from a target.
    pub(crate) fn hindrances(
        &self,
        reader: &dyn StoreReader,
        words: &Words<'_>,
        target: &Target<'_>,
        stops: &Stops,
    ) -> Result<Vec<Reason>, ServiceError> {
        let mut out = Vec::new();
        let name = target.connector.name();
        let join_error = target.errors.iter().find(|error| error.place == format!("join:{name}"));
        if let MvState::Leaving { since, deleted } = target.mv.state {
            let why =
                if deleted { "its source object was deleted" } else { "its source object left the scope" };
            out.push(Reason::new("leaving", format!("it leaves since {since}: {why}")));
        }
        match target.row {
            None => absent(words, target, join_error, &mut out),
            Some(row) => about_row(name, row, &mut out),
        }
        if target.row.is_none() && join_error.is_none() && out.is_empty() {
            let text =
                if target.place.text.is_empty() { "no rule makes it there" } else { &target.place.text };
            out.push(Reason::new("not-created", text));
        }
        if let Some(export) = target.export {
            self.about_export(reader, words, (target, export), stops, &mut out)?;
        }
        let waits =
            target.export.is_some() || target.row.is_none_or(|row| row.flags.has(CsFlags::PROVISIONED));
        if !target.connector.capabilities.export {
            let text = format!("`{name}` only reads: what rules compute for it is shown and never written");
            out.push(Reason::new("reads-only", text));
        } else if waits
            && out.iter().all(|reason| reason.code != "out-of-scope")
            && self.is_staging(target.connector)?
        {
            out.push(Reason::new("staging", format!("`{name}` is in staging: nothing is exported")).hint(
                format!("`onesync staging plan {name}` shows what would be written, `staging off {name} --plan HASH` lets it"),
            ));
        }
        let told = |error: &&ErrorRow| {
            error.connector == target.connector.id
                || matches!(error.place.as_str(), "scope" | "object" | "import")
                || error.place.starts_with("flow:")
        };
        for error in target.errors.iter().filter(told) {
            let text = format!("{} ({}): {}", error.place, error.code, error.message);
            out.push(Reason::new("error", text).hint("the error goes by itself when its cause is corrected"));
        }
        Ok(out)
    }

    fn about_export(
        &self,
        reader: &dyn StoreReader,
        words: &Words<'_>,
        (target, export): (&Target<'_>, &ExportRow),
        stops: &Stops,
        out: &mut Vec<Reason>,
    ) -> Result<(), ServiceError> {
        let name = target.connector.name();
        if export.kinds & ExportRow::KIND_UNWRITABLE != 0 && target.connector.capabilities.export {
            let object_type = words.runtime.names.type_name(export.object_type);
            out.push(Reason::new(
                "cannot-be-written",
                format!("objects of type `{object_type}` cannot be written through `{name}` by anybody: they are computed, shown and counted"),
            ));
        }
        let hash = export_hash(export);
        let plan = reader
            .held_plans(None)?
            .into_iter()
            .find(|plan| plan.connector == target.connector.id && plan.items.contains(&hash));
        match plan {
            Some(plan) if plan.state == HeldState::Rejected => {
                let who = plan.who.as_deref().unwrap_or("somebody");
                out.push(
                    Reason::new("rejected", format!("the change was rejected by {who}: {}", plan.reason))
                        .hint(format!("`onesync held release {hash}` lets this one change go")),
                );
            }
            Some(plan) if plan.state == HeldState::Held && export.held => out.push(
                Reason::new("held", format!("a protection holds it: {} (plan {})", plan.reason, plan.hash)).hint(
                    format!("`onesync held show {0}` lists the plan, `held release {0}` lets it go, `held release {hash}` only this change", plan.hash),
                ),
            ),
            _ if export.held => out.push(
                Reason::new("held", "a protection holds it").hint("`onesync held list` shows the plans"),
            ),
            _ => {}
        }
        if let Some(error) = &export.error {
            out.push(Reason::new(
                "refused",
                format!("`{name}` refused it ({} times): {error}", export.attempts),
            ));
        }
        for change in export.changes.iter().filter(|change| change.state == ChangeState::Refused) {
            let error = change.error.as_deref().unwrap_or("it was sent and never seen there");
            let attribute = words.attribute(change.attribute);
            out.push(Reason::new("refused", format!("`{attribute}`: {error}")));
        }
        if export.not_before > self.now() {
            out.push(Reason::new("waits", format!("it is tried again not before {}", export.not_before)));
        }
        let mut said = std::collections::BTreeSet::new();
        for change in export.changes.iter().filter(|change| change.state == ChangeState::Pending) {
            if let Some(why) = stops.why(export.object_type, change.attribute)
                && stops.stopped().holds(export.object_type, export.kinds, change.attribute)
                && said.insert(why.to_owned())
            {
                out.push(
                    Reason::new("stopped", why).hint(
                        "`onesync held list` shows the stop; it ends when fewer objects have the error",
                    ),
                );
            }
        }
        if export.state == ChangeState::Sent {
            out.push(Reason::new(
                "unconfirmed",
                format!("it was sent to `{name}`, and no import has shown it yet"),
            ));
        }
        Ok(())
    }
}

/// Why there is no object at the target.
fn absent(words: &Words<'_>, target: &Target<'_>, join_error: Option<&ErrorRow>, out: &mut Vec<Reason>) {
    let name = target.connector.name();
    if target.rules.is_empty() {
        let object_type = words.runtime.names.type_name(target.mv.object_type);
        out.push(Reason::new(
            "no-rule",
            format!("no outbound rule to `{name}` is for metaverse objects of type `{object_type}`"),
        ));
        return;
    }
    let mut linking = target.rules.iter().filter(|view| makes_link(words, view)).peekable();
    if linking.peek().is_none() {
        out.push(Reason::new("no-rule", format!("no outbound rule to `{name}` joins or provisions")));
        return;
    }
    let mut scoped = false;
    let mut outside = Vec::new();
    for view in linking {
        match view.in_scope {
            Some(true) => scoped = true,
            Some(false) => outside.push(Reason::new("out-of-scope", out_of_scope(view))),
            None => out.push(Reason::new("scope-failed", out_of_scope(view))),
        }
    }
    if !scoped {
        out.append(&mut outside);
    }
    if let Some(error) = join_error {
        out.push(Reason::new("conflict", error.message.clone()));
    }
}

fn makes_link(words: &Words<'_>, view: &RuleView) -> bool {
    words.runtime.rules.rules().iter().any(|rule| rule.name == view.rule && holds_link(rule))
}

/// In words why an object is not in the scope of a rule.
pub(crate) fn out_of_scope(view: &RuleView) -> String {
    let fails = |group: &Vec<ClauseView>| {
        group.iter().find(|clause| clause.holds != Some(true)).map(ClauseView::words)
    };
    let clauses: Vec<String> = view.groups.iter().filter_map(fails).collect();
    let word = if view.in_scope.is_none() { "the scope cannot be told" } else { "out of scope" };
    format!("{word} of rule `{}` (precedence {}): {}", view.rule, view.precedence, clauses.join("; and "))
}

fn pilot(name: &str) -> Reason {
    Reason::new("pilot", format!("it is outside the pilot of `{name}`: computed and shown, never written"))
        .hint(format!("`[pilot]` in the file of connector `{name}` names who is in it"))
}

/// What is special about an object at a target.
fn about_row(name: &str, row: &CsRow, out: &mut Vec<Reason>) {
    let why = row.reason.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
    for (flag, code, text) in [
        (
            CsFlags::MASTERED_ELSEWHERE,
            "mastered-elsewhere",
            "another system masters it there: joined and compared, never written",
        ),
        (CsFlags::PROTECTED, "protected", "it is protected there: never matched, disabled or deleted"),
        (
            CsFlags::CONFLICT,
            "conflict",
            "its anchor came twice in one import: it stays as it is until an import shows it once",
        ),
        (CsFlags::GONE, "gone", "it was deleted there"),
    ] {
        if row.flags.has(flag) {
            out.push(Reason::new(code, format!("{text}{why}")));
        }
    }
    if row.flags.has(CsFlags::OUTSIDE) {
        out.push(pilot(name));
    }
    if row.leaving.is_some() && row.join.is_some() {
        out.push(Reason::new(
            "deprovisioning",
            "it is on its way out there: no outbound rule in scope holds it",
        ));
    }
}

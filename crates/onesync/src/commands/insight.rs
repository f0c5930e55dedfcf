//! Seeing before doing: `preview` and `explain` as text that a person follows from top to bottom.

use onesync_service::{
    AttributeView, CandidateView, Explanation, PendingChange, PendingLink, PlaceView, Preview, PreviewTarget,
    RuleView, Service, Status, Supposed, TargetState, ValueOrigin, ValueReason,
};
use serde_json::Value as Json;

use crate::output::{Output, say, short_time};

/// Characters of a value that a line shows.
const SHOWN_CHARS: usize = 120;

/// `preview`.
pub fn preview(
    service: &Service,
    connector: &str,
    object: &str,
    supposed: Option<&Supposed>,
    out: &Output,
) -> anyhow::Result<Status> {
    let runtime = service.runtime()?;
    let preview = service.preview(&runtime, runtime.connector(connector)?, object, supposed)?;
    if out.is_json() {
        out.json(&preview)?;
    } else {
        show_preview(&preview);
    }
    Ok(Status::Done)
}

/// Attributes that are supposed, as given on the command line.
pub fn supposed(given: &str, object_type: Option<String>) -> anyhow::Result<Supposed> {
    let attributes = onesync_service::json_object(&super::look::given(given)?, "attributes")?;
    Ok(Supposed { attributes, object_type })
}

/// `explain`.
pub fn explain(
    service: &Service,
    object: &str,
    attribute: Option<&str>,
    out: &Output,
) -> anyhow::Result<Status> {
    let explanation = service.explain(&*service.runtime()?, object, attribute)?;
    if out.is_json() {
        out.json(&explanation)?;
    } else {
        show_explanation(&explanation);
    }
    Ok(Status::Done)
}

fn show_preview(preview: &Preview) {
    let object = &preview.object;
    say!("{} {} at {} ({}) [{}]", object.object_type, object.name, object.connector, object.id, object.state);
    say!("What a sync would decide about it now; nothing is written.");
    show_age(&preview.imported);
    for source in &preview.sources {
        let object = &source.object;
        say!("\nInbound: {}: {} ({})", object.connector, object.name, object.id);
        show_rules(&source.rules, &object.state);
        show_place(&source.place, "  metaverse: ");
    }
    for mv in &preview.metaverse {
        say!("\nMetaverse: {} {} ({}): {}", mv.object.object_type, mv.object.name, mv.object.id, mv.change);
        show_attributes(&mv.attributes);
    }
    for target in &preview.targets {
        say!("\nOutbound: {}", target.connector);
        show_target(target);
    }
    if !preview.errors.is_empty() {
        say!("\nErrors that would stand:");
        preview.errors.iter().for_each(|error| say!("  {error}"));
    }
    if !preview.also.is_empty() {
        say!("\nBesides:");
        preview.also.iter().for_each(|text| say!("  {text}"));
    }
}

fn show_age(imported: &std::collections::BTreeMap<String, Option<String>>) {
    let ages: Vec<String> = imported
        .iter()
        .map(|(name, time)| format!("{name} {}", time.as_deref().map_or("never".to_owned(), short_time)))
        .collect();
    say!("It rests on the last imports: {}.", ages.join(", "));
}

fn show_rules(rules: &[RuleView], state: &str) {
    if rules.is_empty() {
        // Who is deleted, or not there yet, is in no scope.
        let gone = ["gone", "to be created"].iter().any(|word| state.contains(word));
        say!("  {}", if gone { "no rule is asked about it" } else { "no rule is for objects of this type" });
    }
    for rule in rules {
        let word = match rule.in_scope {
            Some(true) => "in scope    ",
            Some(false) => "out of scope",
            None => "cannot tell ",
        };
        say!("  {word}  {:>4}  {} ({})", rule.precedence, rule.rule, rule.link);
        if rule.in_scope == Some(true) {
            // The group that holds, where not all objects are in scope.
            let holds =
                rule.groups.iter().find(|group| group.iter().all(|clause| clause.holds == Some(true)));
            for clause in holds.into_iter().flatten() {
                say!("                        {}", shorten(&clause.words()));
            }
        } else {
            for clause in rule.groups.iter().filter_map(|group| group.iter().find(|c| c.holds != Some(true)))
            {
                say!("                      ! {}", shorten(&clause.words()));
            }
        }
    }
}

fn show_place(place: &PlaceView, head: &str) {
    for step in &place.steps {
        let rule = step.rule.as_deref().map(|rule| format!("rule `{rule}`")).unwrap_or_default();
        let group = step.group.map(|group| format!(", join group {group}")).unwrap_or_default();
        let by = if step.conditions.is_empty() {
            String::new()
        } else {
            format!(" ({})", step.conditions.join(" and "))
        };
        let colon = if rule.is_empty() { "" } else { ": " };
        say!("  looks for its place: {rule}{group}{by}{colon}{}", step.text);
    }
    let text = if place.text.is_empty() {
        place.result.clone()
    } else {
        format!("{}: {}", place.result, place.text)
    };
    say!("{head}{text}");
}

/// Attributes with a value or a failure one by one, the others by name.
fn show_attributes(attributes: &[AttributeView]) {
    let mut empty = Vec::new();
    for view in attributes {
        let silent = view.candidates.iter().all(|one| one.result == "nothing");
        if view.before.is_null() && view.after.is_null() && silent {
            empty.push(view.attribute.as_str());
            continue;
        }
        let change = match (view.planned, view.before == view.after) {
            (Some("read-only"), _) => {
                format!("{}   (nobody can write it: it is not sent)", shown(&view.after))
            }
            (Some("never emptied"), _) => {
                format!("{}   (stays: nobody can empty it there)", shown(&view.after))
            }
            (Some("link by link"), _) => format!("{}   (compared link by link, below)", shown(&view.after)),
            (_, true) => shown(&view.after),
            (_, false) => format!("{} -> {}", shown(&view.before), shown(&view.after)),
        };
        let kept = if view.kept { "   (stays as it is)" } else { "" };
        let mark = if view.before == view.after { ' ' } else { '*' };
        say!(" {mark}{:<28} {change}{kept}", view.attribute);
        show_candidates(&view.candidates, "      ");
    }
    if !empty.is_empty() {
        say!("  no value, every flow gives NULL: {}", empty.join(", "));
    }
}

fn show_candidates(candidates: &[CandidateView], indent: &str) {
    for one in candidates {
        let source = one.source.as_deref().map(|source| format!(", {source}")).unwrap_or_default();
        let by = format!("{} {}{source}", one.precedence, one.rule);
        let (gives, flow) = (shown(&one.gives), shorten(&one.flow));
        match one.result {
            "wins" => say!("{indent}<- {by}: {flow}"),
            "merged" => say!("{indent}<- {by}: {flow} gives {gives}"),
            "nothing" => say!("{indent}NULL: {by}: {flow}"),
            "lost" => say!("{indent}lost: {by}, would give {gives}; {}", one.reason),
            word => say!("{indent}{word}: {by}: {flow} gives {gives}; {}", one.reason),
        }
    }
}

fn show_target(target: &PreviewTarget) {
    show_rules(&target.rules, "");
    show_place(&target.place, "  object there: ");
    if let Some(object) = &target.object {
        say!("  {} {} ({}) [{}]", object.object_type, object.name, object.id, object.state);
    }
    show_attributes(&target.attributes);
    match &target.pending {
        Some(pending) => show_pending(pending, "  "),
        None if target.object.is_some() => say!("  owed: nothing"),
        None => {}
    }
    for link in &target.links {
        show_link(link);
    }
    show_reasons(target, "  ");
}

fn show_link(link: &PendingLink) {
    let why = link.why.as_deref().map(|why| format!("   ! {why}")).unwrap_or_default();
    let PendingLink { operation, attribute, object, target, state, .. } = link;
    say!("    {operation} {attribute} of {object}: {target} [{state}]{why}");
}

fn show_pending(pending: &PendingChange, indent: &str) {
    let counts = if pending.counts_as.is_empty() {
        String::new()
    } else {
        format!("; counts as {}", pending.counts_as.join(", "))
    };
    say!("{indent}owed: {} [{}{counts}]", pending.operation, pending.state);
    for value in &pending.values {
        let by = value.rule.as_deref().map(|rule| format!("   <- {rule}")).unwrap_or_default();
        let error = value.error.as_deref().map(|error| format!("   ! {error}")).unwrap_or_default();
        say!("{indent}  {}: {} -> {}{by}{error}", value.attribute, shown(&value.before), shown(&value.after));
    }
}

fn show_reasons(target: &PreviewTarget, indent: &str) {
    if target.why_not.is_empty() {
        return;
    }
    say!("{indent}what stands in the way:");
    for reason in &target.why_not {
        say!("{indent}  {}: {}", reason.code, reason.text);
        if let Some(hint) = &reason.hint {
            say!("{indent}    hint: {hint}");
        }
    }
}

fn show_explanation(explained: &Explanation) {
    if let Some(object) = &explained.object {
        say!(
            "{} {} at {} ({}) [{}]",
            object.object_type,
            object.name,
            object.connector,
            object.id,
            object.state
        );
    }
    match &explained.metaverse {
        Some(mv) => say!("metaverse: {} {} ({}) [{}]", mv.object_type, mv.name, mv.id, mv.state),
        None => say!("It has no metaverse object. Why:"),
    }
    for reason in &explained.why_not {
        say!("  {}: {}", reason.code, reason.text);
        if let Some(hint) = &reason.hint {
            say!("    hint: {hint}");
        }
    }
    show_age(&explained.imported);
    if !explained.joined.is_empty() && explained.attribute.is_none() {
        say!("\nJoined:");
        for joined in &explained.joined {
            let object = &joined.object;
            let ours = if joined.ours { ", ours" } else { "" };
            say!("  {}: {} ({}) [{}{ours}]", object.connector, object.name, object.id, object.state);
            say!("      <- {}", origin(&joined.by));
        }
    }
    if !explained.there.is_empty() {
        say!("\nAt the directories:");
        for there in &explained.there {
            let note = there.note.as_deref().map(|note| format!("   ({note})")).unwrap_or_default();
            say!("  {}: {}{note}", there.object, shown(&there.value));
        }
    }
    if let (Some(name), true) =
        (&explained.attribute, explained.attributes.is_empty() && explained.metaverse.is_some())
    {
        say!("\nMetaverse: `{name}` has no value there, and no rule in scope has a flow to it");
    } else if explained.metaverse.is_some() {
        say!("\nMetaverse:");
    }
    show_values(explained);
    for target in &explained.targets {
        show_state(target, explained.attribute.is_some());
    }
    if !explained.next.is_empty() {
        say!("\nThe next sync of it changes (`onesync preview` shows how):");
        explained.next.iter().for_each(|text| say!("  {text}"));
    }
}

fn show_values(explained: &Explanation) {
    let asked = explained.attribute.is_some();
    let mut empty = Vec::new();
    for view in &explained.attributes {
        if view.value.is_null() && !asked && view.candidates.iter().all(|one| one.result == "nothing") {
            empty.push(view.attribute.as_str());
            continue;
        }
        show_value(view, asked);
    }
    if !empty.is_empty() {
        say!("  no value, every flow gives NULL: {}", empty.join(", "));
    }
}

fn show_value(view: &ValueReason, asked: bool) {
    match &view.why_not {
        Some(why) => say!("  {:<28} none: {why}", view.attribute),
        None => say!("  {:<28} {}", view.attribute, shown(&view.value)),
    }
    for from in &view.from {
        say!("      <- {}", origin(from));
    }
    if let Some(retained) = view.retained {
        say!("      {retained}");
    }
    if !asked {
        return;
    }
    if !view.candidates.is_empty() {
        say!("    as it is decided, the first that gives a value wins:");
    }
    for one in &view.candidates {
        let source = one.source.as_deref().map(|source| format!(", {source}")).unwrap_or_default();
        say!("      {}  {} {}{source}", one.result, one.precedence, one.rule);
        say!("          {}", one.flow);
        let reads: Vec<String> =
            one.reads.iter().map(|(name, value)| format!("[{name}] = {}", shown(value))).collect();
        if !reads.is_empty() {
            say!("          reads {}", reads.join(", "));
        }
        say!("          gives {}: {}", shown(&one.gives), one.reason);
    }
    if !view.changes.is_empty() {
        say!("    how it came to be, the newest first:");
    }
    for change in &view.changes {
        let by = change.rule.as_deref().map(|rule| format!("   <- {rule}")).unwrap_or_default();
        say!(
            "      {}  run {}: {} -> {}{by}",
            short_time(&change.time),
            change.run,
            shown(&change.old),
            shown(&change.new)
        );
    }
}

fn show_state(state: &TargetState, asked: bool) {
    let target = &state.target;
    let name =
        target.object.as_ref().map(|object| format!(": {} ({})", object.name, object.id)).unwrap_or_default();
    say!("\nAt {}{name}: {}", target.connector, state.state);
    if asked {
        show_attributes(&target.attributes);
    }
    if let Some(pending) = &target.pending {
        show_pending(pending, "  ");
    }
    for link in &target.links {
        show_link(link);
    }
    show_reasons(target, "  ");
}

/// Where a value comes from, in a line.
fn origin(from: &ValueOrigin) -> String {
    let source = from.source.as_deref().map(|source| format!(", {source}")).unwrap_or_default();
    let when = match (&from.time, &from.step) {
        (Some(time), Some(step)) => format!("; run {} ({step}, {})", from.run, short_time(time)),
        _ if from.run > 0 => format!("; run {}", from.run),
        _ => String::new(),
    };
    let version = from.configuration.map(|version| format!(", configuration {version}")).unwrap_or_default();
    let changed = if from.rule_changed { " (the rule was changed or removed since)" } else { "" };
    format!("{}{source}{when}{version}{changed}", from.rule)
}

fn shown(value: &Json) -> String {
    match value {
        Json::Null => "nothing".to_owned(),
        value => shorten(&value.to_string()),
    }
}

/// A text in one line, cut where it is long.
fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= SHOWN_CHARS {
        return line;
    }
    let mut out: String = line.chars().take(SHOWN_CHARS).collect();
    out.push_str("...");
    out
}

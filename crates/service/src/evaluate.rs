//! Evaluating one expression over attributes given as JSON.

use std::collections::BTreeMap;

use onesync_expr::{Context, Env, EvalError, Kind, Outcome, Source};
use onesync_model::{AttrId, Image, Names, Time, ValuesRef, bag_from_json, values_to_json};
use serde_json::{Value as Json, json};

use crate::error::ServiceError;

struct Given {
    image: Image,
    dn: Option<String>,
    parameters: BTreeMap<String, String>,
}

impl Source for Given {
    fn values(&self, attribute: AttrId) -> Option<ValuesRef<'_>> {
        self.image.as_ref().get(attribute)
    }

    fn imported(&self, attribute: AttrId) -> Option<ValuesRef<'_>> {
        self.values(attribute)
    }

    fn dn(&self) -> Option<&str> {
        self.dn.as_deref()
    }

    fn link_count(&self, attribute: AttrId) -> u64 {
        self.values(attribute).map_or(0, |values| values.count() as u64)
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }
}

/// Evaluates an expression; the result is JSON, a failure is `{"$error": message}`.
///
/// # Errors
/// When the expression does not compile, or the attributes, parameters or time cannot be read.
pub fn eval(
    expression: &str,
    attributes: &str,
    parameters: &str,
    now: &str,
    kind: &str,
) -> Result<Json, ServiceError> {
    let object = |text: &str, what: &str| -> Result<serde_json::Map<String, Json>, ServiceError> {
        serde_json::from_str(text).map_err(|error| {
            ServiceError::usage(
                format!("{what} are no JSON object: {error}"),
                "write e.g. '{\"sn\": \"Meier\"}'",
            )
        })
    };
    let mut names = Names::new();
    let attributes = object(attributes, "attributes")?;
    let dn = attributes.get("dn").and_then(Json::as_str).map(str::to_owned);
    let bag = bag_from_json(&attributes, |name| names.intern(name))
        .map_err(|error| ServiceError::usage(error.to_string(), "see docs/reference.md, values in JSON"))?;
    let parameters = object(parameters, "parameters")?
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())))
        .collect();
    let now: Time = now.parse().map_err(|_| {
        ServiceError::usage(format!("`{now}` is no time"), "write RFC 3339, e.g. 2026-01-31T00:00:00Z")
    })?;
    let kind = match kind {
        "inbound" => Kind::Inbound,
        "outbound" => Kind::Outbound,
        other => {
            return Err(ServiceError::usage(format!("`{other}` is no kind"), "write inbound or outbound"));
        }
    };
    let mut context = Context { names: &mut names, schema: None, kind };
    let program = onesync_expr::compile(expression, &mut context).map_err(|found| {
        let lines: Vec<String> = found
            .iter()
            .map(|d| {
                let column = expression.get(..d.start).map_or(0, |before| before.chars().count());
                let width = expression.get(d.start..d.end).map_or(1, |part| part.chars().count().max(1));
                let hint = d.hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
                format!("{}\n  {expression}\n  {}{}{hint}", d.message, " ".repeat(column), "^".repeat(width))
            })
            .collect();
        ServiceError::Usage { message: lines.join("\n"), hint: None }
    })?;
    let source = Given { image: Image::from_bag(&bag), dn, parameters };
    Ok(match program.eval(&source, &Env { now, seed: 0 }) {
        Ok(evaluated) => match evaluated.outcome {
            Outcome::Values(values) => values_to_json(&values),
            Outcome::Null => Json::Null,
            Outcome::AuthoritativeNull => json!({"$literal": "AuthoritativeNull"}),
            Outcome::IgnoreThisFlow => json!({"$literal": "IgnoreThisFlow"}),
            Outcome::Link(attribute) => source
                .values(attribute)
                .and_then(ValuesRef::to_values)
                .as_ref()
                .map_or(Json::Null, values_to_json),
        },
        Err(EvalError::Raised(message)) => json!({"$error": message}),
        Err(error) => json!({"$error": error.to_string()}),
    })
}

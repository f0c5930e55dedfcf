//! One comparison of a scope as people see it.

use onesync_engine::Reader;
use onesync_rules::ClauseTrace;
use serde::Serialize;
use serde_json::Value as Json;

use super::find::find_group;
use super::view::{json_of, links};
use crate::error::ServiceError;
use crate::runtime::ConnectorHandle;

/// Groups of an object that are named where it is in none that is asked for.
const GROUPS_NAMED_MAX: usize = 3;

/// One comparison of a scope.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClauseView {
    /// The attribute.
    pub attribute: String,
    /// The operator.
    pub operator: String,
    /// What the value is compared with.
    pub with: Vec<String>,
    /// The object's value; the groups that it is a direct member of, where groups are asked for.
    pub value: Json,
    /// Whether it holds; nothing where it could not be told.
    pub holds: Option<bool>,
    /// Why it could not be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is to know of a group that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl ClauseView {
    pub(crate) fn new(
        reader: &dyn Reader,
        connector: Option<&ConnectorHandle>,
        clause: &ClauseTrace,
    ) -> Result<Self, ServiceError> {
        let mut note = None;
        if let Some(connector) = connector.filter(|_| clause.operator.is_membership()) {
            for name in &clause.with {
                if find_group(reader, connector, name)?.is_none() {
                    note = Some(format!("`{}` has no such group", connector.name()));
                }
            }
        }
        Ok(Self {
            attribute: clause.attribute.clone(),
            operator: clause.operator.as_str().to_owned(),
            with: clause.with.clone(),
            value: match clause.links {
                Some(count) => links(count),
                None => json_of(clause.values.as_ref()),
            },
            holds: clause.holds.as_ref().ok().copied(),
            error: clause.holds.as_ref().err().cloned(),
            note,
        })
    }

    /// The comparison and the object's value in words.
    #[must_use]
    pub fn words(&self) -> String {
        let with = if self.with.is_empty() { String::new() } else { format!(" {}", self.with.join(", ")) };
        let error = self.error.as_ref().map(|error| format!("; {error}")).unwrap_or_default();
        if self.operator.ends_with("MEMBEROF") {
            return format!("{}{with}: {}{error}", self.operator, self.membership());
        }
        let value = match &self.value {
            Json::Null => "it has none".to_owned(),
            value => format!("it has {value}"),
        };
        format!("{} {}{with}: {value}{error}", self.attribute, self.operator)
    }

    fn membership(&self) -> String {
        if self.holds.is_none() {
            return "it cannot be told".to_owned();
        }
        if self.holds == Some(self.operator == "ISMEMBEROF") {
            return "it is a direct member".to_owned();
        }
        if let Some(note) = &self.note {
            return format!("it is no member: {note}");
        }
        let groups: Vec<&str> = match &self.value {
            Json::Array(groups) => groups.iter().filter_map(Json::as_str).collect(),
            Json::String(group) => vec![group],
            _ => Vec::new(),
        };
        let named = groups.iter().take(GROUPS_NAMED_MAX).map(|group| format!("`{group}`"));
        let mut named: Vec<String> = named.collect();
        if groups.len() > GROUPS_NAMED_MAX {
            named.push(format!("and {} more", groups.len() - GROUPS_NAMED_MAX));
        }
        match named.is_empty() {
            true => "it is no direct member: it is in no group".to_owned(),
            false => format!("it is no direct member: it is in {}", named.join(", ")),
        }
    }
}

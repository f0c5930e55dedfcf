//! The error catalogue: codes, statuses and message texts as the service words them.
//!
//! Texts come from public pages and public captures; what clients match by text must not be changed.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::clock::iso;
use crate::schema::Kind;

/// One entry of `details[]`.
#[derive(Clone, Debug)]
pub(crate) struct Detail {
    pub(crate) code: &'static str,
    pub(crate) message: Option<String>,
    pub(crate) target: Option<String>,
}

/// A refusal in the service's envelope.
#[derive(Clone, Debug)]
pub(crate) struct GraphError {
    pub(crate) status: u16,
    pub(crate) code: Cow<'static, str>,
    pub(crate) message: String,
    pub(crate) details: Vec<Detail>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl GraphError {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> GraphError {
        GraphError {
            status,
            code: Cow::Borrowed(code),
            message: message.into(),
            details: Vec::new(),
            headers: Vec::new(),
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> GraphError {
        self.headers.push((name, value.into()));
        self
    }

    fn detail(mut self, code: &'static str, target: Option<String>) -> GraphError {
        let message = Some(self.message.clone());
        self.details.push(Detail { code, message, target });
        self
    }

    pub(crate) fn bad(message: impl Into<String>) -> GraphError {
        GraphError::new(400, "Request_BadRequest", message)
    }

    pub(crate) fn not_found(what: &str) -> GraphError {
        GraphError::new(
            404,
            "Request_ResourceNotFound",
            format!(
                "Resource '{what}' does not exist or one of its queried reference-property objects are not present."
            ),
        )
    }

    pub(crate) fn no_segment(segment: &str) -> GraphError {
        GraphError::new(400, "BadRequest", format!("Resource not found for the segment '{segment}'."))
    }

    pub(crate) fn not_allowed() -> GraphError {
        GraphError::new(
            405,
            "Request_BadRequest",
            "Specified HTTP method is not allowed for the request target.",
        )
    }

    pub(crate) fn taken(property: &str, holder: &str) -> GraphError {
        GraphError::bad(format!("Another object with the same value for property {property} already exists."))
            .detail("ObjectConflict", Some(property.to_owned()))
            .detail("ConflictingObjects", Some(holder.to_owned()))
    }

    pub(crate) fn conflicting() -> GraphError {
        GraphError::bad(
            "A conflicting object with one or more of the specified property values is present in the directory.",
        )
    }

    pub(crate) fn invalid_value(property: &str, kind: Kind) -> GraphError {
        GraphError::bad(format!(
            "Invalid value specified for property '{property}' of resource '{}'.",
            kind.resource()
        ))
        .detail("InvalidValue", Some(property.to_owned()))
    }

    pub(crate) fn required(property: &str, kind: Kind) -> GraphError {
        GraphError::bad(format!(
            "A value is required for property '{property}' of resource '{}'.",
            kind.resource()
        ))
        .detail("PropertyRequired", Some(property.to_owned()))
    }

    pub(crate) fn invalid_values() -> GraphError {
        GraphError::bad("One or more properties contains invalid values.")
    }

    pub(crate) fn read_only(property: &str) -> GraphError {
        GraphError::bad(format!("Property '{property}' is read-only and cannot be set."))
    }

    pub(crate) fn synced() -> GraphError {
        GraphError::bad(
            "Unable to update the specified properties for on-premises mastered Directory Sync objects or objects currently undergoing migration.",
        )
    }

    pub(crate) fn external() -> GraphError {
        GraphError::bad(
            "Unable to update the specified properties for objects that have originated within an external service.",
        )
    }

    pub(crate) fn password_policy() -> GraphError {
        GraphError::bad(
            "The specified password does not comply with password complexity requirements. Please provide a different password.",
        )
        .detail("PasswordPolicyError", Some("passwordProfile".to_owned()))
    }

    pub(crate) fn denied() -> GraphError {
        GraphError::new(
            403,
            "Authorization_RequestDenied",
            "Insufficient privileges to complete the operation.",
        )
    }

    pub(crate) fn unsupported_query(message: &str) -> GraphError {
        GraphError::new(400, "Request_UnsupportedQuery", message)
    }

    pub(crate) fn unauthorized(message: &str) -> GraphError {
        GraphError::new(401, "InvalidAuthenticationToken", message).header(
            "WWW-Authenticate",
            "Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", error=\"invalid_token\"",
        )
    }

    pub(crate) fn body(&self, ids: &RequestIds<'_>) -> Value {
        let mut error = Map::new();
        error.insert("code".into(), Value::from(self.code.as_ref()));
        error.insert("message".into(), Value::from(self.message.as_str()));
        if !self.details.is_empty() {
            let details = self.details.iter().map(|d| {
                let mut one = Map::new();
                one.insert("code".into(), Value::from(d.code));
                if let Some(message) = &d.message {
                    one.insert("message".into(), Value::from(message.as_str()));
                }
                one.insert("target".into(), d.target.clone().map_or(Value::Null, Value::from));
                Value::Object(one)
            });
            error.insert("details".into(), details.collect());
        }
        let mut inner = ids.inner();
        if self.code == "TooManyRequests" {
            inner["code"] = json!("429");
            inner["status"] = json!("429");
            inner["message"] = json!("Please retry after");
        }
        error.insert("innerError".into(), inner);
        json!({ "error": error })
    }
}

/// What every error answer repeats about its request.
pub(crate) struct RequestIds<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) client_request_id: Option<&'a str>,
    pub(crate) now_ms: i64,
}

impl RequestIds<'_> {
    fn inner(&self) -> Value {
        let date = iso(self.now_ms);
        json!({
            "date": date.trim_end_matches('Z'),
            "request-id": self.request_id,
            "client-request-id": self.client_request_id.unwrap_or(self.request_id),
        })
    }
}

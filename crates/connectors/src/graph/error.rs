//! What the service and the network say when something goes wrong, as connector errors with place and remedy.
//!
//! The service's codes decide; message texts are looked at only where Microsoft Graph says one code for many things.

use std::error::Error as _;
use std::time::Duration;

use serde_json::Value as Json;

use crate::{ConnectorError, ErrorClass};

/// Characters of a foreign text that are shown: an error page can be long.
const TEXT_SHOWN_MAX: usize = 300;

/// An answer of the service that is not a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
    /// Code and target of each detail.
    pub(super) details: Vec<(String, Option<String>)>,
    pub(super) retry_after: Option<Duration>,
    pub(super) request_id: Option<String>,
}

impl ApiError {
    /// Reads an error body; whatever is no Graph error (a gateway's HTML page) becomes one all the same.
    pub(super) fn read(status: u16, body: &Json, retry_after: Option<Duration>) -> Self {
        let error = body.get("error").unwrap_or(&Json::Null);
        let text = |json: &Json| match json {
            Json::String(s) => s.clone(),
            Json::Object(map) => map.get("value").and_then(Json::as_str).unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        let inner = error.get("innerError").or_else(|| error.get("innererror")).unwrap_or(&Json::Null);
        let code = match error.get("code").and_then(Json::as_str) {
            Some(code) if !code.is_empty() => code.to_owned(),
            _ => inner
                .get("code")
                .and_then(Json::as_str)
                .map_or_else(|| format!("HTTP-{status}"), str::to_owned),
        };
        let details = error.get("details").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        let part = |d: &Json, key: &str| d.get(key).and_then(Json::as_str).map(str::to_owned);
        Self {
            status,
            code,
            message: shown(&text(error.get("message").unwrap_or(&Json::Null))),
            details: details
                .iter()
                .map(|d| (part(d, "code").unwrap_or_default(), part(d, "target")))
                .collect(),
            retry_after,
            request_id: inner.get("request-id").and_then(Json::as_str).map(str::to_owned),
        }
    }

    /// An answer that is no JSON.
    pub(super) fn foreign(status: u16, text: &str, retry_after: Option<Duration>) -> Self {
        Self {
            status,
            code: format!("HTTP-{status}"),
            message: format!("the answer is no JSON: {}", shown(&without_tags(text))),
            details: Vec::new(),
            retry_after,
            request_id: None,
        }
    }

    pub(super) fn says(&self, words: &str) -> bool {
        self.message.contains(words)
    }

    pub(super) fn is_concurrency(&self) -> bool {
        self.code == "Directory_ConcurrencyViolation"
    }

    /// The object named in the request is not there (or not yet).
    pub(super) fn is_not_found(&self) -> bool {
        self.status == 404
    }

    pub(super) fn is_watermark(&self) -> bool {
        self.status == 410
            || self.code.eq_ignore_ascii_case("syncStateNotFound")
            || self.code.starts_with("resync")
            || self.code == "Directory_ExpiredPageToken"
    }

    /// Another object has the value of a property that must be unique.
    pub(super) fn is_conflict(&self) -> bool {
        self.details.iter().any(|(code, _)| code == "ObjectConflict")
            || self.says("Another object with the same value")
            || self.says("conflicting object")
            || self.code == "Request_MultipleObjectsWithSameKeyValue"
            || (self.status == 409 && !self.is_concurrency())
    }

    /// The property that was refused, where the service names it.
    pub(super) fn property(&self) -> Option<String> {
        let named = self
            .details
            .iter()
            .filter(|(code, _)| code != "ConflictingObjects")
            .find_map(|(_, target)| target.clone());
        named.or_else(|| {
            for (before, after) in
                [("value for property ", " already exists"), ("for property '", "'"), ("Property '", "'")]
            {
                if let Some((_, rest)) = self.message.split_once(before)
                    && let Some((name, _)) = rest.split_once(after)
                    && !name.contains(' ')
                {
                    return Some(name.to_owned());
                }
            }
            None
        })
    }

    pub(super) fn class(&self) -> ErrorClass {
        match self.status {
            429 => ErrorClass::Throttled(self.retry_after),
            _ if self.is_watermark() => ErrorClass::Watermark,
            409 if self.is_concurrency() => ErrorClass::Transient,
            408 | 424 | 500 | 502 | 503 | 504 | 509 => match self.retry_after {
                Some(wait) => ErrorClass::Throttled(Some(wait)),
                None => ErrorClass::Transient,
            },
            401 | 402 | 403 | 407 => ErrorClass::Configuration,
            _ => ErrorClass::Object,
        }
    }

    /// As the error that leaves the connector. `place` is the request or object it is about.
    pub(super) fn at(&self, place: impl Into<String>) -> ConnectorError {
        let mut message = if self.message.is_empty() {
            format!("the service answered with HTTP status {}", self.status)
        } else {
            self.message.clone()
        };
        if self.is_conflict()
            && let Some(property) = self.property()
        {
            message =
                format!("another object of the tenant has this value of `{property}` already ({message})");
        }
        if let Some(id) = &self.request_id {
            message = format!("{message} [request-id {id}]");
        }
        let error = ConnectorError::new(self.class(), self.code.clone(), place, message);
        match self.hint() {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self.status {
            _ if self.is_watermark() => "run a full import: change tokens live seven days",
            401 => "check client id and secret or certificate of the connector",
            403 if self.code == "Directory_QuotaExceeded" => {
                "the tenant or object is at its limit: raise the quota or delete objects for good"
            }
            403 => {
                "grant the application the missing permission (`connector test` lists them); an administrator's \
                 account can be changed only by an application that holds as high a role"
            }
            407 => "check user name and password of the proxy",
            429 => "the service limits requests: the next run goes on",
            _ if self.is_conflict() => {
                "find the object that has the value and join it, or change one of the two"
            }
            _ if self.says("on-premises mastered") => "the object is mastered by another synchronisation",
            500..=599 => "the service has trouble: the next run tries again",
            _ => return None,
        })
    }
}

/// A transport error as a connector error: what failed, where, what to do.
pub(super) fn transport(error: &reqwest::Error, place: &str) -> ConnectorError {
    let mut chain = Vec::new();
    let mut source = error.source();
    let mut tls: Option<rustls::Error> = None;
    let mut refused = false;
    while let Some(cause) = source {
        tls = tls.or_else(|| within(cause).cloned());
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            refused |= io.kind() == std::io::ErrorKind::ConnectionRefused;
        }
        chain.push(cause.to_string());
        source = cause.source();
    }
    let said = shown(&chain.last().cloned().unwrap_or_else(|| error.to_string()));
    let proxy = chain.iter().any(|c| c.contains("tunnel") || c.contains("proxy"));
    let (class, code, message, hint) = if let Some(tls) = tls {
        tls_text(&tls)
    } else if error.is_dns() {
        let text = format!("the host name cannot be resolved: {said}");
        (
            ErrorClass::Transient,
            "GRAPH-DNS",
            text,
            "check the URL in the connector's settings, and name resolution",
        )
    } else if proxy {
        let text = format!("the proxy does not let the connection through: {said}");
        (ErrorClass::Configuration, "GRAPH-PROXY", text, "check address, user name and password of the proxy")
    } else if refused {
        let text = "the connection was refused: nothing listens there".to_owned();
        (
            ErrorClass::Transient,
            "GRAPH-REFUSED",
            text,
            "check the URL, the firewall, and whether a proxy is needed",
        )
    } else if error.is_timeout() {
        let text = "no answer in time".to_owned();
        (ErrorClass::Transient, "GRAPH-TIMEOUT", text, "check the network; the next run tries again")
    } else {
        let text = format!("the connection broke: {said}");
        (ErrorClass::Transient, "GRAPH-CONNECTION", text, "check the network; the next run tries again")
    };
    ConnectorError::new(class, code, place, message).hint(hint)
}

/// The TLS error inside an error: an I/O error hides what it wraps from `source`.
fn within<'e>(mut error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    loop {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        error = error.downcast_ref::<std::io::Error>()?.get_ref()?;
    }
}

fn tls_text(error: &rustls::Error) -> (ErrorClass, &'static str, String, &'static str) {
    use rustls::CertificateError as C;
    let (text, hint) = match error {
        rustls::Error::InvalidCertificate(C::UnknownIssuer) => (
            "the server's certificate is from an authority that is not trusted here".to_owned(),
            "if a TLS-inspecting proxy is in between, name its authority's certificate as `ca_file`",
        ),
        rustls::Error::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => (
            "the server's certificate has expired".to_owned(),
            "check this machine's clock, then renew the server's certificate",
        ),
        rustls::Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            ("the server's certificate is for another name".to_owned(), "check the host name in the URL")
        }
        other => (format!("TLS failed: {other}"), "check the URL, and `ca_file` where a proxy inspects TLS"),
    };
    (ErrorClass::Configuration, "GRAPH-TLS", text, hint)
}

fn shown(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match one_line.char_indices().nth(TEXT_SHOWN_MAX) {
        Some((end, _)) => format!("{}...", one_line.get(..end).unwrap_or_default()),
        None => one_line,
    }
}

/// The text of an HTML page, roughly.
fn without_tags(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in text.chars().take(20 * TEXT_SHOWN_MAX) {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                out.push(' ');
            }
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_conflict_names_the_property() {
        let body = json!({"error": {"code": "Request_BadRequest",
            "message": "Another object with the same value for property userPrincipalName already exists.",
            "details": [{"code": "ConflictingObjects", "target": null},
                        {"code": "ObjectConflict", "target": "userPrincipalName"}],
            "innerError": {"request-id": "r1"}}});
        let error = ApiError::read(400, &body, None);
        assert!(error.is_conflict());
        assert_eq!(error.property().as_deref(), Some("userPrincipalName"));
        let shown = error.at("user x");
        assert_eq!(shown.class, ErrorClass::Object);
        assert!(shown.message.contains("`userPrincipalName`") && shown.message.contains("r1"), "{shown}");
    }

    #[test]
    fn properties_are_found_in_the_text_where_there_are_no_details() {
        for (message, property) in [
            (
                "Another object with the same value for property proxyAddresses already exists.",
                "proxyAddresses",
            ),
            ("Invalid value specified for property 'mailNickname' of resource 'User'.", "mailNickname"),
            ("Property 'mail' is read-only and cannot be set.", "mail"),
        ] {
            let error = ApiError::read(
                400,
                &json!({"error": {"code": "Request_BadRequest", "message": message}}),
                None,
            );
            assert_eq!(error.property().as_deref(), Some(property));
        }
        let error = ApiError::read(400, &json!({"error": {"message": {"lang": "en", "value": "no"}}}), None);
        assert_eq!((error.property(), error.message.as_str(), error.code.as_str()), (None, "no", "HTTP-400"));
    }

    #[test]
    fn a_gateways_page_is_an_error_like_any_other() {
        let page = format!("<html><h1>Bad   gateway</h1>{}</html>", "x".repeat(10_000));
        let error = ApiError::foreign(502, &page, None);
        assert_eq!(error.class(), ErrorClass::Transient);
        assert!(error.message.contains("Bad gateway") && error.message.len() < 400);
    }

    #[test]
    fn classes_follow_status_and_code() {
        let of = |status, code: &str| ApiError::read(status, &json!({"error": {"code": code}}), None).class();
        assert_eq!(of(410, "x"), ErrorClass::Watermark);
        assert_eq!(of(400, "syncStateNotFound"), ErrorClass::Watermark);
        assert_eq!(of(409, "Directory_ConcurrencyViolation"), ErrorClass::Transient);
        assert_eq!(of(409, "Request_Conflict"), ErrorClass::Object);
        assert_eq!(of(403, "Authorization_RequestDenied"), ErrorClass::Configuration);
        assert_eq!(of(429, ""), ErrorClass::Throttled(None));
    }
}

//! Requests and answers as the handlers see them: the same for a plain request and for an item of a batch.

use serde_json::Value;

use crate::odata::{Query, Seg};

/// A request to `/v1.0`, read but not yet judged.
#[derive(Debug)]
pub(crate) struct Req {
    pub(crate) method: String,
    /// `http://host:port`, for links in answers.
    pub(crate) base: String,
    /// Path below the version, raw, without a leading slash.
    pub(crate) path: String,
    pub(crate) raw_query: String,
    pub(crate) segs: Vec<Seg>,
    pub(crate) query: Query,
    /// Header names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Value>,
    /// Permissions of the caller.
    pub(crate) caller: Caller,
}

/// Who calls: the application behind the access token.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    pub(crate) roles: Vec<String>,
    pub(crate) directory_roles: Vec<String>,
}

impl Req {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// True when a `Prefer` header holds this preference.
    pub(crate) fn prefers(&self, what: &str) -> bool {
        let wanted = |v: &str| v.split([',', ';']).any(|p| p.trim().eq_ignore_ascii_case(what));
        self.headers.iter().any(|(n, v)| n == "prefer" && wanted(v))
    }

    /// A preference with a value, such as `odata.maxpagesize=50`.
    pub(crate) fn preference(&self, name: &str) -> Option<&str> {
        let value = self.header("prefer")?;
        value.split([',', ';']).find_map(|p| p.trim().strip_prefix(name)?.strip_prefix('='))
    }

    /// True for `ConsistencyLevel: eventual`.
    pub(crate) fn eventual(&self) -> bool {
        self.header("consistencylevel").is_some_and(|v| v.eq_ignore_ascii_case("eventual"))
    }
}

/// The body of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    None,
    Json(Value),
    Text(String),
    Html(String),
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Resp {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body,
}

impl Resp {
    pub(crate) fn ok(value: Value) -> Resp {
        Resp { status: 200, headers: Vec::new(), body: Body::Json(value) }
    }

    pub(crate) fn created(value: Value) -> Resp {
        Resp { status: 201, headers: Vec::new(), body: Body::Json(value) }
    }

    pub(crate) fn none() -> Resp {
        Resp { status: 204, headers: Vec::new(), body: Body::None }
    }

    pub(crate) fn text(text: String) -> Resp {
        Resp { status: 200, headers: Vec::new(), body: Body::Text(text) }
    }
}

//! One request from the door to the log: faults, sign-in, throttling, the handler, the headers.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::error::{GraphError, RequestIds};
use crate::faults::{FaultAction, FaultPhase, Strike};
use crate::log::LogEntry;
use crate::message::{Body, Caller, Req, Resp};
use crate::odata::{Query, segments};
use crate::schema::Kind;
use crate::world::World;
use crate::{auth, batch, delta, handlers, throttle};

/// The media type of every JSON answer.
pub(crate) const JSON_TYPE: &str =
    "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8";

/// A request as it came in, or as it stood in a batch.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    pub(crate) method: String,
    /// Raw path, with the leading slash.
    pub(crate) path: String,
    pub(crate) query: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: IncomingBody,
    pub(crate) base: String,
    /// Of a batch item: its id, and who signed in outside.
    pub(crate) item: Option<(String, Caller)>,
}

/// The body of a request.
#[derive(Debug, Default)]
pub(crate) enum IncomingBody {
    #[default]
    None,
    Json(Value),
    Form(String),
    Broken,
}

impl Incoming {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// What happens on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Normal,
    Reset,
    Truncate,
    CutJson,
    SlowBody(u64),
    Delay(u64),
    Hold,
}

/// An answer and how it travels.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) resp: Resp,
    pub(crate) wire: Wire,
}

/// Answers a request and writes it to the log.
pub(crate) fn run(world: &mut World, mut incoming: Incoming) -> Outcome {
    let request_id = world.request_ids.uuid().to_string();
    let full = if incoming.query.is_empty() {
        incoming.path.clone()
    } else {
        format!("{}?{}", incoming.path, incoming.query)
    };
    let strike = if world.faults.is_empty() {
        None
    } else {
        let body = || match &incoming.body {
            IncomingBody::Json(value) => value.to_string(),
            IncomingBody::Form(text) => text.clone(),
            IncomingBody::None | IncomingBody::Broken => String::new(),
        };
        world.faults.strike(&incoming.method, &full, &body)
    };
    let mut entry = LogEntry {
        at_ms: world.now_ms(),
        method: incoming.method.clone(),
        path: incoming.path.clone(),
        query: incoming.query.clone(),
        client_request_id: incoming.header("client-request-id").map(str::to_owned),
        request_id,
        batch_item: incoming.item.as_ref().map(|(id, _)| id.clone()),
        fault: strike.as_ref().map(|s| format!("{:?} {:?}", s.phase, s.action)),
        ..LogEntry::default()
    };
    if world.log.keep_bodies {
        entry.request_body = match &incoming.body {
            IncomingBody::Json(value) => Some(value.clone()),
            _ => None,
        };
    }
    let base = incoming.base.clone();
    let before = strike.as_ref().filter(|s| s.phase == FaultPhase::Before);
    let mut wire = Wire::Normal;
    let spared = before.is_none_or(|s| !is_terminal(&s.action));
    let (mut resp, mut unit) =
        if spared { execute(world, &mut incoming, &entry.request_id, &mut wire) } else { (Resp::none(), 1) };
    entry.done = spared && resp.status < 400 && wire != Wire::Reset;
    if let Some(strike) = &strike {
        apply(world, strike, &incoming, &entry, &base, &mut resp, &mut wire);
        unit = 1;
    }
    decorate(world, &mut resp, &entry, &base, unit);
    entry.status = if wire == Wire::Reset { 0 } else { resp.status };
    if world.log.keep_bodies {
        entry.response_body = match &resp.body {
            Body::Json(value) => Some(value.clone()),
            Body::Text(text) | Body::Html(text) => Some(Value::String(text.clone())),
            Body::None => None,
        };
    }
    world.log.push(entry);
    Outcome { resp, wire }
}

/// True when the request is not carried out.
fn is_terminal(action: &FaultAction) -> bool {
    matches!(
        action,
        FaultAction::Status { .. } | FaultAction::Html { .. } | FaultAction::Reset | FaultAction::ExpireDelta
    )
}

/// Carries a request out. Returns the answer and its resource units.
fn execute(world: &mut World, incoming: &mut Incoming, request_id: &str, wire: &mut Wire) -> (Resp, u32) {
    let path = incoming.path.clone();
    if !path.starts_with("/v1.0") {
        return (sign_in(world, incoming, &path, request_id), 1);
    }
    let (req, refusal) = match read(world, incoming, &path) {
        Ok(req) => (req, None),
        Err(refusal) => (None, Some(refusal)),
    };
    let client = incoming.header("client-request-id").map(str::to_owned);
    let unit = req.as_ref().map_or(1, throttle::cost);
    let result = match (req, refusal) {
        (Some(req), _) => answer(world, incoming, &req, wire),
        (None, refusal) => Err(refusal.unwrap_or_else(|| GraphError::no_segment(&path))),
    };
    let resp = match result {
        Ok(resp) => resp,
        Err(refusal) => refused(world, refusal, request_id, client.as_deref()),
    };
    (resp, unit)
}

/// Reads a request; who calls is checked first, as the service does.
fn read(world: &World, incoming: &mut Incoming, path: &str) -> Result<Option<Req>, GraphError> {
    let caller = match &incoming.item {
        Some((_, caller)) => caller.clone(),
        None => auth::caller(world, incoming.header("authorization"))?,
    };
    let body = match std::mem::take(&mut incoming.body) {
        IncomingBody::Json(value) => Some(value),
        IncomingBody::None | IncomingBody::Form(_) => None,
        IncomingBody::Broken => {
            return Err(GraphError::new(
                400,
                "BadRequest",
                "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.",
            ));
        }
    };
    let below = path.trim_start_matches("/v1.0").trim_matches('/');
    let Some(segs) = segments(below) else { return Ok(None) };
    Ok(Some(Req {
        method: incoming.method.clone(),
        base: incoming.base.clone(),
        path: below.to_owned(),
        raw_query: incoming.query.clone(),
        segs,
        query: Query::parse(&incoming.query),
        headers: incoming.headers.clone(),
        body,
        caller,
    }))
}

fn answer(world: &mut World, incoming: &Incoming, req: &Req, wire: &mut Wire) -> Result<Resp, GraphError> {
    if req.segs.first().is_some_and(|s| s.name == "$batch") {
        if incoming.item.is_some() {
            return Err(GraphError::new(400, "BadRequest", "A batch request cannot hold another batch."));
        }
        return batch::run(world, req, wire);
    }
    let now = world.now_ms();
    let scale = world.behaviours.throttle_scale;
    let full = world.throttle.check(req, now, scale)?;
    world.choose_replica(req.method == "GET");
    let mut resp = handlers::dispatch(world, req)?;
    if let Some(full) = full {
        resp.headers.push(("x-ms-throttle-limit-percentage", format!("{full:.2}")));
    }
    Ok(resp)
}

/// Everything that is not Graph: sign-in, and paths that do not exist.
fn sign_in(world: &mut World, incoming: &Incoming, path: &str, request_id: &str) -> Resp {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (incoming.method.as_str(), parts.as_slice()) {
        ("GET", [tenant, "v2.0", ".well-known", "openid-configuration"]) => {
            auth::discovery(world, &incoming.base, tenant)
        }
        ("POST", [tenant, "oauth2", "v2.0", "token"]) => {
            let form = match &incoming.body {
                IncomingBody::Form(form) => form.as_str(),
                _ => "",
            };
            auth::token(world, &incoming.base, tenant, form)
        }
        (_, [version, ..]) => {
            let refusal = GraphError::new(404, "BadRequest", format!("Invalid version: {version}"));
            refused(world, refusal, request_id, None)
        }
        _ => refused(world, GraphError::no_segment(path), request_id, None),
    }
}

pub(crate) fn refused(world: &World, refusal: GraphError, request_id: &str, client: Option<&str>) -> Resp {
    let ids = RequestIds { request_id, client_request_id: client, now_ms: world.now_ms() };
    let body = Body::Json(refusal.body(&ids));
    Resp { status: refusal.status, body, headers: refusal.headers }
}

fn apply(
    world: &mut World,
    strike: &Strike,
    incoming: &Incoming,
    entry: &LogEntry,
    base: &str,
    resp: &mut Resp,
    wire: &mut Wire,
) {
    let client = entry.client_request_id.as_deref();
    match &strike.action {
        FaultAction::Status { status, code, message, retry_after, sticky } => {
            let (usual, text) = usual(*status);
            let mut refusal =
                GraphError::new(*status, usual, message.clone().unwrap_or_else(|| text.to_owned()));
            if let Some(code) = code {
                refusal.code = code.clone().into();
            }
            if let Some(after) = retry_after {
                refusal = refusal.header("Retry-After", after.clone());
                if *sticky {
                    let seconds = after.parse::<f64>().unwrap_or(0.0);
                    let workload =
                        entry.path.trim_start_matches("/v1.0/").split(['/', '(']).next().unwrap_or_default();
                    world.throttle.hold(workload, entry.at_ms + (seconds * 1000.0).ceil() as i64);
                }
            }
            *resp = refused(world, refusal, &entry.request_id, client);
        }
        FaultAction::Html { status } => {
            let page = format!(
                "<html><head><title>{status}</title></head><body><center><h1>{status} Service Temporarily Unavailable</h1></center></body></html>"
            );
            *resp = Resp { status: *status, headers: Vec::new(), body: Body::Html(page) };
        }
        FaultAction::Reset => *wire = Wire::Reset,
        FaultAction::Truncate => *wire = Wire::Truncate,
        FaultAction::CutJson => *wire = Wire::CutJson,
        FaultAction::SlowBody { delay_ms } => *wire = Wire::SlowBody(*delay_ms),
        FaultAction::Delay { ms } => *wire = Wire::Delay(*ms),
        FaultAction::Hold => *wire = Wire::Hold,
        FaultAction::DuplicatePage => {
            if let Body::Json(value) = &mut resp.body
                && value.get("@odata.nextLink").is_some()
            {
                let query =
                    if incoming.query.is_empty() { String::new() } else { format!("?{}", incoming.query) };
                value["@odata.nextLink"] = json!(format!("{base}{}{query}", incoming.path));
            }
        }
        FaultAction::ExpireDelta => {
            let set = entry.path.trim_start_matches("/v1.0/").split('/').next().unwrap_or_default();
            let kind = Kind::from_set(set).unwrap_or(Kind::User);
            *resp = refused(world, delta::expired_token(world, base, kind), &entry.request_id, client);
        }
    }
}

/// The usual code and text of a status.
fn usual(status: u16) -> (&'static str, &'static str) {
    match status {
        400 => ("Request_BadRequest", "Invalid request."),
        401 => ("InvalidAuthenticationToken", "Lifetime validation failed, the token is expired."),
        403 => ("Authorization_RequestDenied", "Insufficient privileges to complete the operation."),
        404 => (
            "Request_ResourceNotFound",
            "Resource does not exist or one of its queried reference-property objects are not present.",
        ),
        409 => (
            "Directory_ConcurrencyViolation",
            "Error due to concurrent requests being made to the tenant. Please wait briefly and retry.",
        ),
        410 => (
            "syncStateNotFound",
            "The sync state generation is not found. The delta token is expired and data must be synchronized again.",
        ),
        424 => ("FailedDependency", "A dependent request failed."),
        429 => ("TooManyRequests", "Please retry again later."),
        500 => ("Service_InternalServerError", "Encountered an internal server error."),
        502 => ("BadGateway", "Bad gateway."),
        503 => ("ServiceUnavailable", "Service is temporarily unavailable. Please wait and retry again."),
        504 => ("GatewayTimeout", "Gateway timeout."),
        507 => ("InsufficientStorage", "Insufficient storage."),
        _ => ("UnknownError", "An unknown error has occurred."),
    }
}

/// Headers every answer carries.
fn decorate(world: &World, resp: &mut Resp, entry: &LogEntry, base: &str, unit: u32) {
    let mut add = |name: &'static str, value: String| resp.headers.push((name, value));
    add("request-id", entry.request_id.clone());
    add("client-request-id", entry.client_request_id.clone().unwrap_or_else(|| entry.request_id.clone()));
    if let Ok(now) = Timestamp::from_millisecond(world.now_ms()) {
        add("Date", now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    }
    add("Cache-Control", "no-cache".to_owned());
    add(
        "x-ms-ags-diagnostic",
        r#"{"ServerInfo":{"DataCenter":"Simulator","Slice":"E","Ring":"0","ScaleUnit":"000","RoleInstance":"graphsim"}}"#.to_owned(),
    );
    if entry.path.starts_with("/v1.0") {
        add("x-ms-resource-unit", unit.to_string());
        if resp.status < 400 && matches!(resp.body, Body::Json(_)) {
            add("OData-Version", "4.0".to_owned());
        }
        if let (201, Body::Json(value)) = (resp.status, &resp.body)
            && let Some(id) = value.get("id").and_then(Value::as_str)
        {
            resp.headers.push(("Location", format!("{base}/v1.0/directoryObjects/{id}")));
        }
    }
    let media = match &resp.body {
        Body::None => return,
        Body::Json(_) if entry.path.starts_with("/v1.0") => {
            if resp.status < 400 {
                JSON_TYPE
            } else {
                "application/json"
            }
        }
        Body::Json(_) => "application/json; charset=utf-8",
        Body::Text(_) => "text/plain",
        Body::Html(_) => "text/html",
    };
    resp.headers.push(("Content-Type", media.to_owned()));
}

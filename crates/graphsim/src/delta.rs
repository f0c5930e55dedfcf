//! Delta queries over users, groups and contacts.
//!
//! A token is stateless: where the round began, where it stands, what it selects. A page reads the change order
//! after its position, so it costs its own length. An object that changes during a round moves behind the position
//! and comes (again) later in the same round; that is allowed, and nothing is lost.

use std::collections::HashSet;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::config::ExpiredDelta;
use crate::error::GraphError;
use crate::message::{Req, Resp};
use crate::odata::{Filter, Select, context, project};
use crate::schema::Kind;
use crate::state::{Ix, LinkAttr, Object};
use crate::world::World;

/// Delta tokens of directory objects live seven days.
const TOKEN_LIFE_MS: i64 = 7 * 24 * 3600 * 1000;
/// Objects looked at for one page: with a narrow `$select` most are passed over, and the page may be empty.
const SCAN_MAX: usize = 5000;
/// Ids a delta `$filter` may name.
const FILTER_IDS_MAX: usize = 50;
/// Bytes of the mark that ties a token to this server.
const MAC_LEN: usize = 16;

/// Where a delta round stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Token {
    kind: Kind,
    /// Changes up to here are known to the client; 0 is a full round.
    since: u64,
    /// Newest change when the round began.
    start: u64,
    /// Changes up to here have been handed out in this round.
    pos: u64,
    /// A group whose members are not all handed out, with the position among its member events.
    group: Option<(Ix, u64)>,
    issued: i64,
    /// True in a nextLink, false in a deltaLink.
    next: bool,
    select: Option<Vec<String>>,
    ids: Option<Vec<String>>,
}

/// Answers a delta request.
pub(crate) fn delta(world: &mut World, req: &Req, kind: Kind) -> Result<Resp, GraphError> {
    for name in ["$expand", "$orderby", "$top", "$search", "$skip"] {
        if req.query.get(name).is_some() {
            return Err(GraphError::unsupported_query(&format!(
                "'{name}' is not supported by the service for delta query."
            )));
        }
    }
    let mut token = match (req.query.get("$skiptoken"), req.query.get("$deltatoken")) {
        (Some(text), _) => read(world, req, text, kind, true)?,
        (None, Some(text)) if !text.eq_ignore_ascii_case("latest") && !text.is_empty() => {
            let mut token = read(world, req, text, kind, false)?;
            // A deltaLink may be given another $select; it holds from then on.
            if req.query.get("$select").is_some() {
                token.select = Select::parse(req.query.get("$select"), Some(kind))?.names;
            }
            let replay = world.behaviours.delta_replay;
            token.pos = replayed(world, kind, token.since, replay);
            token.start = world.state.seq;
            token
        }
        (None, latest) => {
            let seq = world.state.seq;
            let latest = latest.is_some_and(|t| t.eq_ignore_ascii_case("latest"));
            Token {
                kind,
                since: if latest { seq } else { 0 },
                start: seq,
                pos: if latest { seq } else { 0 },
                group: None,
                issued: 0,
                next: false,
                select: Select::parse(req.query.get("$select"), Some(kind))?.names,
                ids: filter_ids(req)?,
            }
        }
    };
    let page = Page::fill(world, req, &mut token);
    let select = Select { names: token.select.clone() };
    let mut out = Map::new();
    out.insert("@odata.context".into(), context(&req.base, kind.set(), &select, false));
    out.insert("value".into(), Value::Array(page.items));
    token.issued = world.now_ms();
    let (name, option) = if page.more {
        token.next = true;
        ("@odata.nextLink", "$skiptoken")
    } else {
        // Everything up to the end has been handed out in its last state.
        token.next = false;
        token.since = token.pos;
        token.group = None;
        ("@odata.deltaLink", "$deltatoken")
    };
    let link = format!("{}/v1.0/{}/delta?{option}={}", req.base, kind.set(), write(world, &token));
    out.insert(name.into(), Value::String(link));
    Ok(Resp::ok(Value::Object(out)))
}

/// Moves back over the last objects the client has had already.
fn replayed(world: &World, kind: Kind, since: u64, replay: usize) -> u64 {
    if replay == 0 {
        return since;
    }
    let known: Vec<u64> =
        world.state.changes_after(kind, 0).map(|(s, _)| s).take_while(|s| *s <= since).collect();
    known.len().checked_sub(replay + 1).and_then(|at| known.get(at)).copied().unwrap_or(0)
}

/// `id eq 'x' or id eq 'y'` is the only filter a delta takes.
fn filter_ids(req: &Req) -> Result<Option<Vec<String>>, GraphError> {
    let Some(text) = req.query.get("$filter") else { return Ok(None) };
    let filter = Filter::parse(text)?;
    let unsupported = || GraphError::unsupported_query("Unsupported Query.");
    let hint = filter.index_hint().ok_or_else(unsupported)?;
    if hint.len() > FILTER_IDS_MAX || hint.iter().any(|(name, _)| *name != "id") {
        return Err(unsupported());
    }
    Ok(Some(hint.into_iter().map(|(_, id)| id.to_ascii_lowercase()).collect()))
}

struct Page {
    items: Vec<Value>,
    more: bool,
}

impl Page {
    fn fill(world: &World, req: &Req, token: &mut Token) -> Page {
        let state = &world.state;
        let newest = world.now_ms() - world.behaviours.delta_lag_ms;
        let lagging = world.behaviours.delta_lag_ms > 0;
        let asked = req.preference("odata.maxpagesize").and_then(|v| v.parse::<usize>().ok());
        let size = asked.unwrap_or(world.behaviours.delta_page).clamp(1, world.behaviours.delta_page.max(1));
        let view = View::new(world, req, token);
        let mut room = Room { objects: size, members: world.behaviours.delta_members_page.max(1) };
        let mut items = Vec::new();
        if let Some((ix, after)) = token.group.take()
            && let Some(item) = view.object(ix, Some(after), &mut room, &mut token.group)
        {
            items.push(item);
        }
        if token.group.is_some() {
            return Page { items, more: true };
        }
        let mut more = false;
        for (scanned, (seq, ix)) in state.changes_after(token.kind, token.pos).enumerate() {
            if lagging && state.get(ix).is_some_and(|o| o.changed_ms > newest) {
                break;
            }
            if items.len() >= room.objects || room.members == 0 || scanned >= SCAN_MAX {
                more = true;
                break;
            }
            if let Some(item) = view.object(ix, None, &mut room, &mut token.group) {
                items.push(item);
            }
            token.pos = seq;
            if token.group.is_some() {
                more = true;
                break;
            }
        }
        Page { items, more }
    }
}

struct Room {
    objects: usize,
    members: usize,
}

/// How one round sees objects.
struct View<'w> {
    world: &'w World,
    select: Select,
    since: u64,
    /// In a full round only what went away during the round is told as removed.
    gone_since: u64,
    minimal: bool,
    members: bool,
    owners: bool,
    manager: bool,
    ids: Option<HashSet<String>>,
}

impl<'w> View<'w> {
    fn new(world: &'w World, req: &Req, token: &Token) -> View<'w> {
        let select = Select { names: token.select.clone() };
        let group = token.kind == Kind::Group;
        View {
            world,
            since: token.since,
            gone_since: if token.since == 0 { token.start } else { token.since },
            minimal: req.prefers("return=minimal"),
            members: group && (select.names.is_none() || select.names_it("members")),
            owners: group && select.names_it("owners"),
            manager: token.kind == Kind::User && select.names_it("manager"),
            ids: token.ids.clone().map(|ids| ids.into_iter().collect()),
            select,
        }
    }

    /// The item of one object, if this round must tell of it. `resume` continues a group's members.
    fn object(
        &self,
        ix: Ix,
        resume: Option<u64>,
        room: &mut Room,
        rest: &mut Option<(Ix, u64)>,
    ) -> Option<Value> {
        let object = self.world.state.get(ix)?;
        let id = object.id.to_string();
        if self.ids.as_ref().is_some_and(|ids| !ids.contains(&id)) {
            return None;
        }
        if !object.is_live() {
            let reason = if matches!(object.life, crate::state::Life::Gone) { "deleted" } else { "changed" };
            return (object.changed > self.gone_since)
                .then(|| json!({"id": id, "@removed": {"reason": reason}}));
        }
        let fresh = object.born > self.since;
        if !fresh && resume.is_none() && !self.tracks(object) {
            return None;
        }
        let mut out = self.values(object, fresh, resume.is_some());
        out.insert("id".into(), Value::String(id));
        if self.members {
            self.links(object, ix, LinkAttr::Members, resume.unwrap_or(0), fresh, room, rest, &mut out);
        }
        if self.owners && resume.is_none() {
            // Owners are at most a hundred: never split.
            let mut all = Room { objects: 0, members: usize::MAX };
            self.links(object, ix, LinkAttr::Owners, 0, fresh, &mut all, &mut None, &mut out);
        }
        if self.manager && object.manager_seq > if fresh { 0 } else { self.since } {
            if let Some(manager) = object.manager.and_then(|m| self.world.state.get(m)) {
                out.insert("manager@delta".into(), json!([target(manager, true)]));
            } else if let Some(was) =
                object.manager_was.and_then(|m| self.world.state.get(m)).filter(|_| !fresh)
            {
                out.insert("manager@delta".into(), json!([target(was, false)]));
            }
        }
        Some(Value::Object(out))
    }

    /// True when something this round tracks has changed.
    fn tracks(&self, object: &Object) -> bool {
        let links = |on: bool, which| on && object.links(which).is_some_and(|l| l.last() > self.since);
        let props = || match &self.select.names {
            None => object.props.iter().any(|p| p.seq > self.since),
            Some(names) => names.iter().any(|n| object.prop(n).is_some_and(|p| p.seq > self.since)),
        };
        links(self.members, LinkAttr::Members)
            || links(self.owners, LinkAttr::Owners)
            || (self.manager && object.manager_seq > self.since)
            || props()
            // A replay tells of what the client has had.
            || object.changed <= self.since
    }

    /// Values that were ever set; with `return=minimal` only those that changed.
    fn values(&self, object: &Object, fresh: bool, resumed: bool) -> Map<String, Value> {
        let mut out = Map::new();
        if resumed && self.minimal {
            return out;
        }
        for (name, value) in project(object, &self.select) {
            let Some(prop) = object.prop(&name) else { continue };
            if fresh || !self.minimal || prop.seq > self.since {
                out.insert(name, value);
            }
        }
        out
    }

    #[allow(clippy::too_many_arguments, reason = "one call site per link attribute, all of them vary")]
    fn links(
        &self,
        object: &Object,
        ix: Ix,
        which: LinkAttr,
        after: u64,
        fresh: bool,
        room: &mut Room,
        rest: &mut Option<(Ix, u64)>,
        out: &mut Map<String, Value>,
    ) {
        let Some(links) = object.links(which) else { return };
        let live_after = if fresh { 0 } else { self.since };
        let gone_after = if fresh { self.gone_since } else { self.since };
        let mut items = Vec::new();
        let mut pos = after;
        let mut events = links.events(after, live_after, gone_after).peekable();
        while let Some((seq, to, added)) = events.peek().copied() {
            if room.members == 0 {
                *rest = Some((ix, pos));
                break;
            }
            events.next();
            pos = seq;
            let Some(to) = self.world.state.get(to) else { continue };
            // A member in deleted items stays a member, but shows nowhere.
            if added && !to.is_live() {
                continue;
            }
            items.push(target(to, added));
            room.members -= 1;
        }
        if !items.is_empty() {
            out.insert(format!("{}@delta", which.name()), Value::Array(items));
        }
    }
}

fn target(object: &Object, present: bool) -> Value {
    let mut out = json!({"@odata.type": format!("#{}", object.kind.odata()), "id": object.id.to_string()});
    if !present {
        out["@removed"] = json!({"reason": "deleted"});
    }
    out
}

fn write(world: &World, token: &Token) -> String {
    let bytes = serde_json::to_vec(token).unwrap_or_default();
    let tag = hmac::sign(world.keys.tokens(), &bytes);
    let mut all: Vec<u8> = tag.as_ref().iter().take(MAC_LEN).copied().collect();
    all.extend(bytes);
    URL_SAFE_NO_PAD.encode(all)
}

fn read(world: &World, req: &Req, text: &str, kind: Kind, next: bool) -> Result<Token, GraphError> {
    let malformed = || GraphError::bad("Badly formed token.");
    let all = URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed())?;
    let (mac, bytes) = all.split_at_checked(MAC_LEN).ok_or_else(malformed)?;
    if !hmac::sign(world.keys.tokens(), bytes).as_ref().starts_with(mac) {
        return Err(malformed());
    }
    let token: Token = serde_json::from_slice(bytes).map_err(|_| malformed())?;
    if token.kind != kind || token.next != next {
        return Err(malformed());
    }
    let expired = world.now_ms() - token.issued > TOKEN_LIFE_MS || token.issued < world.delta_valid_from_ms;
    if expired || token.since > world.state.seq {
        return Err(expired_token(world, &req.base, kind));
    }
    Ok(token)
}

/// The answer to an expired delta token.
pub(crate) fn expired_token(world: &World, base: &str, kind: Kind) -> GraphError {
    let message = "The sync state generation is not found. The delta token is expired and data must be synchronized again.";
    match world.behaviours.expired_delta {
        ExpiredDelta::BadRequest => GraphError::new(400, "syncStateNotFound", message),
        ExpiredDelta::Gone => GraphError::new(410, "syncStateNotFound", message)
            .header("Location", format!("{base}/v1.0/{}/delta?$deltatoken=", kind.set())),
    }
}

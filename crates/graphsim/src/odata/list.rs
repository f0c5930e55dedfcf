//! Lists: `$filter`, `$search`, `$orderby`, `$top`, `$count`, `$expand`, paging by `$skiptoken`.
//!
//! A page without ordering costs its own length; ordering and searching scan, as their use is rare.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::filter::Filter;
use super::path::encode;
use super::project::{Select, context, reference, shown};
use crate::error::GraphError;
use crate::message::{Req, Resp};
use crate::schema::{Kind, find, is_indexed};
use crate::state::{Ix, LinkAttr, State};
use crate::world::World;

/// Page size without `$top`.
const PAGE: usize = 100;
/// Largest `$top`, as the service says.
const TOP_MAX: usize = 999;
/// Items of an expanded relationship, as the service cuts them.
const EXPAND_MAX: usize = 20;

/// Where the items of a list come from.
pub(crate) enum Source {
    /// Live objects of a kind.
    Kind(Kind),
    /// Deleted items of a kind.
    Soft(Kind),
    /// Targets of a link attribute, perhaps of one kind only.
    Links(Ix, LinkAttr, Option<Kind>),
    /// A computed set.
    Fixed(Vec<Ix>),
}

impl Source {
    /// Items after a position, each with its own position.
    fn after<'s>(&'s self, state: &'s State, pos: u64) -> Box<dyn Iterator<Item = (u64, Ix)> + 's> {
        let from = |pos: u64| pos.checked_sub(1).and_then(|p| Ix::try_from(p).ok());
        let at = |ix: Ix| (u64::from(ix) + 1, ix);
        let live = move |ix: Ix| state.get(ix).is_some_and(|o| o.is_live());
        match self {
            Source::Kind(kind) => Box::new(state.live_after(*kind, from(pos)).map(at)),
            Source::Soft(kind) => Box::new(state.soft_after(*kind, from(pos)).map(at)),
            Source::Links(ix, which, cast) => {
                let links = state.get(*ix).and_then(|o| o.links(*which));
                let wanted = move |ix: Ix| cast.is_none_or(|k| state.get(ix).is_some_and(|o| o.kind == k));
                Box::new(
                    links
                        .into_iter()
                        .flat_map(move |l| l.after(pos))
                        .filter(move |(_, ix)| live(*ix) && wanted(*ix)),
                )
            }
            Source::Fixed(items) => {
                let skip = usize::try_from(pos).unwrap_or(usize::MAX);
                let numbered = items.iter().enumerate().map(|(n, ix)| (n as u64 + 1, *ix));
                Box::new(numbered.skip(skip))
            }
        }
    }
}

/// The options of a list request, checked.
struct Options {
    filter: Option<Filter>,
    search: Option<Vec<(String, String)>>,
    order: Option<(String, bool)>,
    top: usize,
    count: bool,
    select: Select,
    expand: Option<(String, Select)>,
    pos: u64,
}

impl Options {
    fn read(req: &Req, kind: Option<Kind>) -> Result<Options, GraphError> {
        let eventual = req.eventual();
        let count = req.query.get("$count").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let search = match req.query.get("$search") {
            Some(_) if !eventual => {
                return Err(GraphError::unsupported_query(
                    "Request with $search query parameter only works through MSGraph with a special request header: 'ConsistencyLevel: eventual'",
                ));
            }
            Some(text) => Some(search_terms(text)?),
            None => None,
        };
        let advanced = eventual && (count || search.is_some());
        if req.query.get("$skip").is_some() {
            return Err(GraphError::unsupported_query("'$skip' is not supported by the service."));
        }
        let filter = req.query.get("$filter").map(Filter::parse).transpose()?;
        if let (Some(filter), Some(kind)) = (&filter, kind) {
            filter.check(kind, advanced)?;
        }
        let order = req.query.get("$orderby").map(|text| {
            let mut words = text.split(',').next().unwrap_or(text).split_whitespace();
            let name = words.next().unwrap_or_default().to_owned();
            (name, words.next().is_some_and(|w| w.eq_ignore_ascii_case("desc")))
        });
        if order.is_some() && filter.is_some() && !advanced {
            return Err(GraphError::unsupported_query("Sorting not supported for current query."));
        }
        if let (Some((name, _)), Some(kind)) = (&order, kind)
            && find(kind, name).is_none()
        {
            return Err(GraphError::new(
                400,
                "BadRequest",
                format!("Could not find a property named '{name}' on type '{}'.", kind.odata()),
            ));
        }
        let top = match req.query.get("$top") {
            None => PAGE,
            Some(text) => match text.parse::<usize>() {
                Ok(n) if (1..=TOP_MAX).contains(&n) => n,
                _ => {
                    return Err(GraphError::unsupported_query(&format!(
                        "Invalid page size specified: '{text}'. Must be between 1 and {TOP_MAX} inclusive."
                    )));
                }
            },
        };
        let pos = match req.query.get("$skiptoken") {
            None => 0,
            Some(token) => read_skip(token).ok_or_else(|| {
                GraphError::new(400, "Directory_ExpiredPageToken", "The specified page token value has expired and can no longer be included in your request.")
            })?,
        };
        Ok(Options {
            filter,
            search,
            order,
            top,
            count: count && eventual,
            select: Select::parse(req.query.get("$select"), kind)?,
            expand: expand(req, kind)?,
            pos,
        })
    }

    fn accepts(&self, state: &State, ix: Ix) -> bool {
        let Some(object) = state.get(ix) else { return false };
        let id = Value::String(object.id.to_string());
        let read = |name: &str| if name == "id" { Some(&id) } else { object.value(name) };
        if self.filter.as_ref().is_some_and(|f| !f.matches(&read)) {
            return false;
        }
        self.search.as_ref().is_none_or(|terms| {
            terms.iter().any(|(name, start)| {
                let words = object.text(name).unwrap_or_default().to_lowercase();
                words.split_whitespace().any(|w| w.starts_with(start)) || words.starts_with(start)
            })
        })
    }
}

/// `"displayName:wa" OR "displayName:to"`; AND is read as OR is: the simulator's data is small.
fn search_terms(text: &str) -> Result<Vec<(String, String)>, GraphError> {
    let wrong = || {
        GraphError::new(
            400,
            "BadRequest",
            "Syntax error: character ':' is not valid at position 0 in the $search clause.",
        )
    };
    let quoted = text.split('"').skip(1).step_by(2);
    let terms: Option<Vec<_>> =
        quoted.map(|t| t.split_once(':').map(|(n, v)| (n.to_owned(), v.to_lowercase()))).collect();
    terms.filter(|t| !t.is_empty()).ok_or_else(wrong)
}

fn expand(req: &Req, kind: Option<Kind>) -> Result<Option<(String, Select)>, GraphError> {
    let Some(text) = req.query.get("$expand") else { return Ok(None) };
    let (name, options) = text.split_once('(').unwrap_or((text, ""));
    let allowed = match kind {
        Some(Kind::User) => &["manager", "memberOf"][..],
        Some(Kind::Group) => &["members", "owners"][..],
        _ => &[][..],
    };
    if !allowed.contains(&name) {
        return Err(GraphError::unsupported_query("Unsupported expand."));
    }
    let select = options.trim_end_matches(')').split(';').find_map(|o| o.trim().strip_prefix("$select="));
    Ok(Some((name.to_owned(), Select::parse(select, None)?)))
}

/// Answers a list; `kind` none is a list of mixed directory objects.
pub(crate) fn list(
    world: &World,
    req: &Req,
    source: &Source,
    kind: Option<Kind>,
) -> Result<Resp, GraphError> {
    let options = Options::read(req, kind)?;
    let state = &world.state;
    let newest = world.now_ms() - world.behaviours.list_lag_ms;
    let lagging = world.behaviours.list_lag_ms > 0;
    let seen = |ix: Ix| !lagging || state.get(ix).is_some_and(|o| o.born_ms <= newest);
    let fixed;
    let source = match (source, options.filter.as_ref()) {
        (Source::Kind(kind), Some(filter)) => match candidates(state, *kind, filter) {
            Some(items) => {
                fixed = Source::Fixed(items);
                &fixed
            }
            None => source,
        },
        _ => source,
    };
    let matching =
        |pos: u64| source.after(state, pos).filter(|(_, ix)| seen(*ix) && options.accepts(state, *ix));
    let mut page: Vec<(u64, Ix)> = match &options.order {
        None => matching(options.pos).take(options.top + 1).collect(),
        Some((name, descending)) => {
            ordered(state, matching(0).map(|(_, ix)| ix).collect(), name, *descending)
                .into_iter()
                .skip(usize::try_from(options.pos).unwrap_or(usize::MAX))
                .take(options.top + 1)
                .collect()
        }
    };
    let more = page.len() > options.top;
    page.truncate(options.top);
    let mut out = Map::new();
    out.insert(
        "@odata.context".into(),
        context(&req.base, kind.map_or("directoryObjects", Kind::set), &options.select, false),
    );
    if options.count && options.pos == 0 {
        out.insert("@odata.count".into(), Value::from(matching(0).count()));
    }
    if let Some((last, _)) = page.last().filter(|_| more) {
        out.insert("@odata.nextLink".into(), Value::String(next_link(req, *last)));
    }
    let items = page.into_iter().map(|(_, ix)| {
        let mut item = match kind {
            Some(_) => Value::Object(shown(state, ix, &options.select)),
            None => reference(state, ix, &options.select),
        };
        if let Some((name, select)) = &options.expand {
            item[name] = expanded(state, ix, name, select);
        }
        item
    });
    out.insert("value".into(), items.collect());
    Ok(Resp::ok(Value::Object(out)))
}

/// Answers a `$count` segment.
pub(crate) fn count(
    world: &World,
    req: &Req,
    source: &Source,
    kind: Option<Kind>,
) -> Result<Resp, GraphError> {
    if !req.eventual() {
        return Err(GraphError::bad("$count is not currently supported."));
    }
    let filter = req.query.get("$filter").map(Filter::parse).transpose()?;
    if let (Some(filter), Some(kind)) = (&filter, kind) {
        filter.check(kind, true)?;
    }
    let accepts = |ix: Ix| {
        filter.as_ref().is_none_or(|f| {
            let id = world.state.get(ix).map(|o| Value::String(o.id.to_string()));
            f.matches(&|name| {
                if name == "id" { id.as_ref() } else { world.state.get(ix).and_then(|o| o.value(name)) }
            })
        })
    };
    let number = source.after(&world.state, 0).filter(|(_, ix)| accepts(*ix)).count();
    Ok(Resp::text(number.to_string()))
}

/// The `$expand` of a single object.
pub(crate) fn expanded(state: &State, ix: Ix, name: &str, select: &Select) -> Value {
    let live = |ix: &Ix| state.get(*ix).is_some_and(|o| o.is_live());
    let Some(object) = state.get(ix) else { return Value::Null };
    let many = |items: &mut dyn Iterator<Item = Ix>| {
        items.filter(live).take(EXPAND_MAX).map(|ix| reference(state, ix, select)).collect::<Value>()
    };
    match name {
        "manager" => object.manager.filter(live).map_or(Value::Null, |m| reference(state, m, select)),
        "members" => many(&mut object.members.iter().flat_map(|l| l.all())),
        "owners" => many(&mut object.owners.iter().flat_map(|l| l.all())),
        _ => many(&mut state.parents(ix)),
    }
}

fn candidates(state: &State, kind: Kind, filter: &Filter) -> Option<Vec<Ix>> {
    let hint = filter.index_hint()?;
    let mut items = Vec::new();
    for (name, value) in hint {
        if name == "id" {
            items.extend(uuid::Uuid::parse_str(value).ok().and_then(|id| state.by_id(id)));
        } else if is_indexed(name) {
            items.extend(state.holders(name, value));
        } else {
            return None;
        }
    }
    items.retain(|ix| state.get(*ix).is_some_and(|o| o.kind == kind && o.is_live()));
    items.sort_unstable();
    items.dedup();
    Some(items)
}

fn ordered(state: &State, mut items: Vec<Ix>, name: &str, descending: bool) -> Vec<(u64, Ix)> {
    let key = |ix: &Ix| state.get(*ix).and_then(|o| o.text(name)).unwrap_or_default().to_lowercase();
    items.sort_by_cached_key(|ix| (key(ix), *ix));
    if descending {
        items.reverse();
    }
    (1..).zip(items).collect()
}

fn next_link(req: &Req, pos: u64) -> String {
    let kept = req.raw_query.split('&').filter(|p| {
        let name = p.split('=').next().unwrap_or(p).to_ascii_lowercase();
        !p.is_empty() && !matches!(name.as_str(), "$skiptoken" | "%24skiptoken" | "skiptoken")
    });
    let mut query: Vec<String> = kept.map(str::to_owned).collect();
    query.push(format!("$skiptoken={}", encode(&write_skip(pos))));
    format!("{}/v1.0/{}?{}", req.base, req.path, query.join("&"))
}

/// A token is long and says nothing, as the real ones.
fn write_skip(pos: u64) -> String {
    URL_SAFE_NO_PAD.encode(format!("DSPt\u{1}page-of-directory-objects\u{1}{pos:020}"))
}

fn read_skip(token: &str) -> Option<u64> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    text.strip_prefix("DSPt\u{1}page-of-directory-objects\u{1}")?.parse().ok()
}

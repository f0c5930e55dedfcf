//! The control plane under `/_sim/`: never below `/v1.0`, no sign-in, loopback only by the listener's address.
//!
//! | request | does |
//! | --- | --- |
//! | `POST seed` | fills the tenant from [`SeedData`]; answers the new ids |
//! | `GET dump` | the tenant, readable |
//! | `GET snapshot`, `POST restore` | the whole simulator |
//! | `GET`, `PUT tenant` and `behaviours` | settings |
//! | `GET`, `POST`, `DELETE faults`, `PUT faults/random` | faults; rules come with how often they have matched; deleting them lets answers go that are held |
//! | `POST clock/advance` `{"seconds": n}` | moves the clock |
//! | `POST delta/expire` | makes all delta tokens expired ones |
//! | `GET statistics`, `GET log?after=n`, `PUT log/bodies` `true`, `DELETE log` | what has come |

use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::{Behaviours, TenantConfig};
use crate::faults::{FaultRule, RandomFaults};
use crate::odata::Query;
use crate::schema::Kind;
use crate::seed::{self, SeedData};
use crate::world::{Snapshot, World};

/// Whether another service synchronises an object.
const SYNCED: &str = "onPremisesSyncEnabled";

/// Prefix of the control plane.
pub(crate) const PREFIX: &str = "/_sim/";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Advance {
    seconds: f64,
}

/// Answers a control request: status and JSON.
pub(crate) fn handle(world: &mut World, method: &str, path: &str, query: &str, body: &[u8]) -> (u16, Value) {
    match route(world, method, path.trim_start_matches(PREFIX), &Query::parse(query), body) {
        Ok(Some(value)) => (200, value),
        Ok(None) => (404, json!({"error": format!("no control `{method} {path}`")})),
        Err(error) => (400, json!({ "error": error })),
    }
}

fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|e| format!("control: body cannot be read: {e}"))
}

fn show(value: impl serde::Serialize) -> Result<Option<Value>, String> {
    serde_json::to_value(value).map(Some).map_err(|e| e.to_string())
}

fn route(
    world: &mut World,
    method: &str,
    name: &str,
    query: &Query,
    body: &[u8],
) -> Result<Option<Value>, String> {
    let done = || Ok(Some(json!({"ok": true})));
    match (method, name) {
        ("POST", "seed") => show(seed::seed(world, read::<SeedData>(body)?)?),
        ("GET", "dump") => Ok(Some(seed::dump(world))),
        ("GET", "snapshot") => show(world.snapshot()),
        ("POST", "restore") => {
            world.restore(read::<Snapshot>(body)?)?;
            done()
        }
        ("GET", "tenant") => show(&world.tenant),
        ("PUT", "tenant") => {
            world.tenant = read::<TenantConfig>(body)?;
            world.plant_applications();
            done()
        }
        ("GET", "behaviours") => show(&world.behaviours),
        ("PUT", "behaviours") => {
            world.behaviours = read::<Behaviours>(body)?;
            done()
        }
        ("GET", "faults") => show(world.faults.rules()),
        ("POST", "faults") => {
            world.faults.add(read::<FaultRule>(body)?);
            done()
        }
        ("PUT", "faults/random") => {
            world.faults.set_random(Some(read::<RandomFaults>(body)?));
            done()
        }
        ("DELETE", "faults") => {
            world.faults.clear();
            done()
        }
        ("POST", "clock/advance") => {
            let seconds = read::<Advance>(body)?.seconds;
            advance(world, (seconds * 1000.0) as i64);
            show(json!({"now": crate::clock::iso(world.now_ms())}))
        }
        ("POST", "delta/expire") => {
            expire_deltas(world);
            done()
        }
        ("GET", "statistics") => show(json!({
            "requests": world.log.counters(),
            "faultsStruck": world.faults.struck,
            "objects": crate::schema::Kind::ALL.map(|k| (k, world.state.live_count(k))),
        })),
        ("GET", "log") => {
            let after = query.get("after").and_then(|a| a.parse().ok()).unwrap_or(0);
            show(world.log.after(after).collect::<Vec<_>>())
        }
        ("PUT", "log/bodies") => {
            world.log.keep_bodies = read::<bool>(body)?;
            done()
        }
        ("DELETE", "log") => {
            world.log.clear();
            done()
        }
        _ => Ok(None),
    }
}

/// Moves the clock, and lets go what is due.
pub(crate) fn advance(world: &mut World, ms: i64) {
    world.clock.advance(ms);
    world.purge_deleted();
}

/// Nothing is synchronised by another service any more; each object that was is changed by that.
pub(crate) fn end_directory_sync(world: &mut World) {
    let now = world.now_ms();
    for kind in [Kind::User, Kind::Group, Kind::OrgContact] {
        let all: Vec<_> = world.state.live_after(kind, None).collect();
        for ix in all {
            if world.state.get(ix).and_then(|object| object.flag(SYNCED)) == Some(true) {
                world.state.set(ix, vec![(SYNCED, Value::Bool(false))], now);
            }
        }
    }
}

/// Makes every delta token issued so far an expired one.
pub(crate) fn expire_deltas(world: &mut World) {
    world.delta_valid_from_ms = world.now_ms() + 1;
    // Tokens issued within this millisecond must not live on: time moves past it.
    world.clock.advance(1);
}

//! Everything behind the one lock: the directory, the tenant, the clock, behaviours, faults, log.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::auth::Keys;
use crate::clock::{ClockMode, Rng, SimClock};
use crate::config::{AppConfig, Behaviours, TenantConfig};
use crate::error::GraphError;
use crate::faults::Faults;
use crate::log::Log;
use crate::odata::Seg;
use crate::schema::Kind;
use crate::state::{Ix, Life, State, StateRows};
use crate::throttle::Throttle;

/// A directory-extension definition of an application.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExtensionProperty {
    pub(crate) id: Uuid,
    /// Object id of the application.
    pub(crate) application: Uuid,
    pub(crate) name: String,
    pub(crate) data_type: String,
    pub(crate) multi_valued: bool,
    pub(crate) target_objects: Vec<String>,
}

/// Streams of the seeded generator, so that one use does not disturb another.
const STREAM_IDS: u64 = 1;
const STREAM_REQUESTS: u64 = 2;
const STREAM_ORDER: u64 = 3;
const STREAM_REPLICAS: u64 = 4;

/// The simulated service.
pub(crate) struct World {
    pub(crate) tenant: TenantConfig,
    pub(crate) state: State,
    pub(crate) extensions: Vec<ExtensionProperty>,
    pub(crate) clock: SimClock,
    pub(crate) behaviours: Behaviours,
    pub(crate) faults: Faults,
    pub(crate) throttle: Throttle,
    pub(crate) log: Log,
    pub(crate) keys: Keys,
    pub(crate) ids: Rng,
    pub(crate) request_ids: Rng,
    pub(crate) order: Rng,
    replicas: Rng,
    /// Deltas issued before this millisecond count as expired.
    pub(crate) delta_valid_from_ms: i64,
}

/// A whole simulator as data: `--state FILE`, snapshot and restore.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Snapshot {
    version: u32,
    tenant: TenantConfig,
    behaviours: Behaviours,
    advanced_ms: i64,
    extensions: Vec<ExtensionProperty>,
    ids: Rng,
    state: StateRows,
}

/// Version of the snapshot's form.
const SNAPSHOT_VERSION: u32 = 1;

impl World {
    pub(crate) fn new(tenant: TenantConfig, behaviours: Behaviours, seed: u64, clock: ClockMode) -> World {
        let mut world = World {
            state: State::default(),
            extensions: Vec::new(),
            clock: SimClock::new(clock),
            behaviours,
            faults: Faults::default(),
            throttle: Throttle::default(),
            log: Log::default(),
            keys: Keys::new(seed),
            ids: Rng::new(seed, STREAM_IDS),
            request_ids: Rng::new(seed, STREAM_REQUESTS),
            order: Rng::new(seed, STREAM_ORDER),
            replicas: Rng::new(seed, STREAM_REPLICAS),
            delta_valid_from_ms: i64::MIN,
            tenant,
        };
        world.plant_applications();
        world
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Chooses the replica that answers a request: what is written is shown as it is, a read may be behind.
    pub(crate) fn choose_replica(&mut self, is_read: bool) {
        let lag_ms = self.behaviours.read_lag_ms;
        self.state.keeps_ms = lag_ms;
        let behind = match u64::try_from(lag_ms) {
            Ok(most @ 1..) if is_read => i64::try_from(self.replicas.below(most + 1)).unwrap_or(0),
            _ => 0,
        };
        self.state.as_of_ms = self.now_ms().saturating_sub(behind);
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            version: SNAPSHOT_VERSION,
            tenant: self.tenant.clone(),
            behaviours: self.behaviours.clone(),
            advanced_ms: self.clock.advanced_ms(),
            extensions: self.extensions.clone(),
            ids: self.ids.clone(),
            state: self.state.to_rows(),
        }
    }

    pub(crate) fn restore(&mut self, snapshot: Snapshot) -> Result<(), String> {
        if snapshot.version != SNAPSHOT_VERSION {
            return Err(format!(
                "snapshot has version {}, this simulator reads {SNAPSHOT_VERSION}; start without it",
                snapshot.version
            ));
        }
        self.tenant = snapshot.tenant;
        self.behaviours = snapshot.behaviours;
        self.clock.set_advanced(snapshot.advanced_ms);
        self.extensions = snapshot.extensions;
        self.ids = snapshot.ids;
        self.state = State::from_rows(snapshot.state);
        self.plant_applications();
        Ok(())
    }

    /// Gives every registered application its two objects; those that exist are kept.
    pub(crate) fn plant_applications(&mut self) {
        let now = self.now_ms();
        let apps: Vec<AppConfig> = self.tenant.applications.clone();
        for app in apps {
            for kind in [Kind::Application, Kind::ServicePrincipal] {
                if let Some(ix) = self.state.holder(kind, "appId", &app.client_id) {
                    if kind == Kind::Application {
                        self.state.set(ix, vec![("passwordCredentials", shown_secrets(&app))], now);
                    }
                    continue;
                }
                let ix = self.state.create(kind, self.ids.uuid(), now);
                let mut values = vec![
                    ("appId", Value::from(app.client_id.as_str())),
                    ("displayName", Value::from(app.display_name.as_str())),
                ];
                if kind == Kind::Application {
                    values.push(("passwordCredentials", shown_secrets(&app)));
                } else {
                    values.push(("accountEnabled", Value::Bool(true)));
                    values.push(("servicePrincipalType", Value::from("Application")));
                    values.push(("appDisplayName", Value::from(app.display_name.as_str())));
                }
                self.state.init(ix, values);
            }
        }
    }

    /// Finds the live object a path segment pair names, by id or by the kind's other keys.
    pub(crate) fn find(&self, kind: Kind, key: &str, property: &str) -> Option<Ix> {
        let live = |ix: &Ix| self.state.get(*ix).is_some_and(|o| o.kind == kind && o.is_live());
        if !property.is_empty() && property != "id" {
            return self.state.holder(kind, property, key);
        }
        if let Ok(id) = Uuid::parse_str(key) {
            return self.state.by_id(id).filter(live);
        }
        if kind == Kind::User { self.state.holder(kind, "userPrincipalName", key) } else { None }
    }

    /// Finds an object for a request; a new object may still be invisible (eventual consistency).
    pub(crate) fn resolve(&mut self, kind: Kind, key: &str, property: &str) -> Result<Ix, GraphError> {
        let ix = self.find(kind, key, property).ok_or_else(|| GraphError::not_found(key))?;
        self.see(ix, key)
    }

    /// Counts a read of a new object by id.
    pub(crate) fn see(&mut self, ix: Ix, key: &str) -> Result<Ix, GraphError> {
        if let Some(object) = self.state.get_mut(ix)
            && object.blind_reads > 0
        {
            object.blind_reads -= 1;
            return Err(GraphError::not_found(key));
        }
        Ok(ix)
    }

    /// Any live object by id, of whatever kind.
    pub(crate) fn resolve_any(&mut self, key: &str) -> Result<Ix, GraphError> {
        let by_id = Uuid::parse_str(key).ok().and_then(|id| self.state.by_id(id));
        let ix = by_id.or_else(|| self.find(Kind::User, key, ""));
        let live = ix.filter(|ix| self.state.get(*ix).is_some_and(|o| o.is_live()));
        self.see(live.ok_or_else(|| GraphError::not_found(key))?, key)
    }

    /// The object an `@odata.id` names: the last segment of a URL, or a key in parentheses.
    pub(crate) fn resolve_url(&mut self, url: &str) -> Result<Ix, GraphError> {
        let path = url.split("://").nth(1).map_or(url, |rest| rest.split_once('/').map_or("", |(_, p)| p));
        let segs = crate::odata::segments(path).unwrap_or_default();
        let last: Option<&Seg> = segs.last();
        match last {
            Some(Seg { name, key: Some((property, value)) }) => {
                let kind = Kind::from_set(name);
                match kind {
                    Some(kind) => self.resolve(kind, value, property),
                    None => self.resolve_any(value),
                }
            }
            Some(seg) => self.resolve_any(&seg.name),
            None => Err(GraphError::bad("Invalid URL was specified in payload.")),
        }
    }

    pub(crate) fn soft(&self, id: &str) -> Result<Ix, GraphError> {
        let ix = Uuid::parse_str(id).ok().and_then(|id| self.state.by_id(id));
        ix.filter(|ix| self.state.get(*ix).is_some_and(|o| matches!(o.life, Life::Soft(_))))
            .ok_or_else(|| GraphError::not_found(id))
    }

    pub(crate) fn app(&self, client_id: &str) -> Option<&AppConfig> {
        self.tenant.applications.iter().find(|a| a.client_id.eq_ignore_ascii_case(client_id))
    }

    /// Soft-deleted objects leave for ever after 30 days.
    pub(crate) fn purge_deleted(&mut self) {
        let now = self.now_ms();
        for kind in Kind::ALL {
            let due: Vec<Ix> = self
                .state
                .soft_after(kind, None)
                .filter(|ix| {
                    let since = self.state.get(*ix).map(|o| o.life);
                    matches!(since, Some(Life::Soft(at)) if now - at > SOFT_DELETED_MS)
                })
                .collect();
            for ix in due {
                self.state.delete_hard(ix, now);
            }
        }
    }
}

/// Deleted items are kept for 30 days.
const SOFT_DELETED_MS: i64 = 30 * 24 * 3600 * 1000;

/// Client secrets as an application shows them: never more than the first characters.
fn shown_secrets(app: &AppConfig) -> Value {
    let shown = |secret: &crate::config::SecretConfig| {
        let hint: String = secret.value.chars().take(3).collect();
        serde_json::json!({"hint": hint, "endDateTime": secret.expires_ms.map(crate::clock::iso)})
    };
    app.secrets.iter().map(shown).collect()
}

//! A running simulator and its handles, for tests and the demo in the same process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::SimError;
use crate::clock::ClockMode;
use crate::config::{Behaviours, TenantConfig};
use crate::control;
use crate::faults::{FaultRule, RandomFaults};
use crate::log::{Counter, LogEntry};
use crate::seed::{self, SeedData};
use crate::server::{Shared, serve};
use crate::tls::{self, TlsConfig};
use crate::world::World;

/// Settings of a simulator before its start.
#[derive(Clone, Debug)]
pub struct Builder {
    tenant: TenantConfig,
    behaviours: Behaviours,
    seed: u64,
    clock: ClockMode,
    listen: SocketAddr,
    tls: Option<TlsConfig>,
    state_file: Option<PathBuf>,
    keep_bodies: bool,
}

/// Seed of ids unless one is given.
const DEFAULT_SEED: u64 = 1;

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            tenant: TenantConfig::default(),
            behaviours: Behaviours::default(),
            seed: DEFAULT_SEED,
            clock: ClockMode::Real,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
            state_file: None,
            keep_bodies: false,
        }
    }
}

impl Builder {
    /// Sets the tenant.
    #[must_use]
    pub fn tenant(mut self, tenant: TenantConfig) -> Builder {
        self.tenant = tenant;
        self
    }

    /// Sets the behaviours.
    #[must_use]
    pub fn behaviours(mut self, behaviours: Behaviours) -> Builder {
        self.behaviours = behaviours;
        self
    }

    /// Sets the seed of ids, tokens and orders.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Builder {
        self.seed = seed;
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn clock(mut self, clock: ClockMode) -> Builder {
        self.clock = clock;
        self
    }

    /// Sets the address to listen on; by default a free port of 127.0.0.1.
    #[must_use]
    pub fn listen(mut self, listen: SocketAddr) -> Builder {
        self.listen = listen;
        self
    }

    /// Serves https instead of http.
    #[must_use]
    pub fn tls(mut self, tls: TlsConfig) -> Builder {
        self.tls = Some(tls);
        self
    }

    /// Loads the state from this file at start, if it is there, and writes it at shutdown.
    #[must_use]
    pub fn state_file(mut self, file: impl Into<PathBuf>) -> Builder {
        self.state_file = Some(file.into());
        self
    }

    /// Keeps bodies in the request log, so that they can be validated.
    #[must_use]
    pub fn keep_bodies(mut self, keep: bool) -> Builder {
        self.keep_bodies = keep;
        self
    }

    /// Starts the simulator on the current tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be bound, the certificate is broken or the state file cannot be read.
    pub async fn start(self) -> Result<GraphSim, SimError> {
        let (acceptor, ca_pem) = match &self.tls {
            Some(config) => {
                let (acceptor, ca) = tls::acceptor(config)?;
                (Some(acceptor), ca)
            }
            None => (None, None),
        };
        let mut world = World::new(self.tenant, self.behaviours, self.seed, self.clock);
        world.log.keep_bodies = self.keep_bodies;
        if let Some(file) = self.state_file.as_deref().filter(|f| f.exists()) {
            load(&mut world, file)?;
        }
        let listener = TcpListener::bind(self.listen)
            .await
            .map_err(|source| SimError::Bind { address: self.listen, source })?;
        let address =
            listener.local_addr().map_err(|source| SimError::Bind { address: self.listen, source })?;
        let shared = Arc::new(Shared::new(world, acceptor.is_some()));
        let (stop, stopped) = watch::channel(false);
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let task = tokio::spawn(serve(listener, acceptor, Arc::clone(&shared), stopped));
        Ok(GraphSim { shared, stop, task, address, scheme, ca_pem, state_file: self.state_file })
    }
}

fn load(world: &mut World, file: &Path) -> Result<(), SimError> {
    let unreadable = |reason: String| SimError::State { file: file.to_owned(), reason };
    let bytes = std::fs::read(file).map_err(|e| unreadable(e.to_string()))?;
    let snapshot = serde_json::from_slice(&bytes).map_err(|e| unreadable(e.to_string()))?;
    world.restore(snapshot).map_err(unreadable)
}

/// A running simulator. Dropping it stops it without writing the state file.
pub struct GraphSim {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    address: SocketAddr,
    scheme: &'static str,
    ca_pem: Option<String>,
    state_file: Option<PathBuf>,
}

impl GraphSim {
    /// Begins the settings of a simulator.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The root without a version: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// The root of Graph: `http://127.0.0.1:PORT/v1.0`.
    #[must_use]
    pub fn graph_url(&self) -> String {
        format!("{}/v1.0", self.base_url())
    }

    /// The token endpoint of the tenant.
    #[must_use]
    pub fn token_url(&self) -> String {
        let tenant = self.shared.world().tenant.id.clone();
        format!("{}/{tenant}/oauth2/v2.0/token", self.base_url())
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// PEM of the authority that signed the generated certificate.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Fills the tenant; returns the ids of the new objects in the order of users, groups, contacts, devices, roles.
    ///
    /// # Errors
    /// When an object cannot be understood; objects before it stay.
    pub fn seed(&self, data: SeedData) -> Result<Vec<Uuid>, SimError> {
        seed::seed(&mut self.shared.world(), data).map_err(SimError::Seed)
    }

    /// The tenant as readable JSON: `users`, `groups` with `members`, `deletedUsers` and so on.
    #[must_use]
    pub fn dump(&self) -> Value {
        seed::dump(&self.shared.world())
    }

    /// The whole simulator as JSON, for [`GraphSim::restore`].
    ///
    /// # Errors
    /// Never for a state that was made here.
    pub fn snapshot(&self) -> Result<Value, SimError> {
        serde_json::to_value(self.shared.world().snapshot()).map_err(|e| SimError::Seed(e.to_string()))
    }

    /// Puts back what [`GraphSim::snapshot`] gave.
    ///
    /// # Errors
    /// When the JSON is not a snapshot.
    pub fn restore(&self, snapshot: Value) -> Result<(), SimError> {
        let snapshot = serde_json::from_value(snapshot).map_err(|e| SimError::Seed(e.to_string()))?;
        self.shared.world().restore(snapshot).map_err(SimError::Seed)
    }

    /// Adds a fault rule.
    pub fn fault(&self, rule: FaultRule) {
        self.shared.world().faults.add(rule);
    }

    /// Switches random faults on, or off with none.
    pub fn random_faults(&self, random: Option<RandomFaults>) {
        self.shared.world().faults.set_random(random);
    }

    /// Removes all faults, and lets the answers go that they hold.
    pub fn clear_faults(&self) {
        self.shared.world().faults.clear();
    }

    /// How many requests a fault has struck.
    #[must_use]
    pub fn faults_struck(&self) -> u64 {
        self.shared.world().faults.struck
    }

    /// Changes the behaviours.
    pub fn change_behaviours(&self, change: impl FnOnce(&mut Behaviours)) {
        change(&mut self.shared.world().behaviours);
    }

    /// Changes the tenant's settings; new applications get their objects.
    pub fn change_tenant(&self, change: impl FnOnce(&mut TenantConfig)) {
        let mut world = self.shared.world();
        change(&mut world.tenant);
        world.plant_applications();
    }

    /// Ends the synchronisation by another service, as an administrator does it: the tenant has none any more, and what
    /// was synchronised is mastered in the cloud.
    pub fn end_directory_sync(&self) {
        let mut world = self.shared.world();
        world.tenant.on_premises_sync_enabled = Some(false);
        control::end_directory_sync(&mut world);
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: std::time::Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        control::advance(&mut self.shared.world(), ms);
    }

    /// The simulator's time in milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.shared.world().now_ms()
    }

    /// Makes every delta token issued so far an expired one.
    pub fn expire_deltas(&self) {
        control::expire_deltas(&mut self.shared.world());
    }

    /// The requests so far, those with a number above `after`.
    #[must_use]
    pub fn log(&self, after: u64) -> Vec<LogEntry> {
        self.shared.world().log.after(after).cloned().collect()
    }

    /// The writes so far that had an effect, batch items one by one.
    #[must_use]
    pub fn writes(&self, after: u64) -> Vec<LogEntry> {
        let read_only = |e: &LogEntry| {
            e.method == "GET"
                || e.path.ends_with("/$batch")
                || e.path.ends_with("/token")
                || ["getByIds", "checkMemberGroups", "getMemberGroups"].iter().any(|n| e.path.ends_with(n))
        };
        self.log(after).into_iter().filter(|e| e.done && !read_only(e)).collect()
    }

    /// The same without those by which OneSync keeps its marker, of which there are some with each export: what is written
    /// of people and groups. Where bodies are kept: nothing else tells them apart.
    #[must_use]
    pub fn changes(&self, after: u64) -> Vec<LogEntry> {
        let marks = |e: &LogEntry| {
            let nickname = e.request_body.as_ref().and_then(|body| body["mailNickname"].as_str());
            nickname.is_some_and(|nickname| nickname.starts_with("onesync-marker"))
        };
        self.writes(after).into_iter().filter(|e| !marks(e)).collect()
    }

    /// Number of the newest log entry.
    #[must_use]
    pub fn log_mark(&self) -> u64 {
        self.shared.world().log.mark()
    }

    /// Keeps bodies in the log from now on, or no longer.
    pub fn keep_bodies(&self, keep: bool) {
        self.shared.world().log.keep_bodies = keep;
    }

    /// Forgets the log and the statistics.
    pub fn clear_log(&self) {
        self.shared.world().log.clear();
    }

    /// Requests by shape, such as `PATCH /v1.0/users/{id}`.
    #[must_use]
    pub fn statistics(&self) -> BTreeMap<String, Counter> {
        self.shared.world().log.counters().clone()
    }

    /// Stops, and writes the state file if there is one.
    ///
    /// # Errors
    /// When the state file cannot be written.
    pub async fn shutdown(mut self) -> Result<(), SimError> {
        self.stop().await
    }

    pub(crate) async fn stop(&mut self) -> Result<(), SimError> {
        let _ = self.stop.send(true);
        let _ = (&mut self.task).await;
        let Some(file) = self.state_file.clone() else { return Ok(()) };
        let failed = |reason: String| SimError::State { file: file.clone(), reason };
        let text = serde_json::to_vec(&self.shared.world().snapshot()).map_err(|e| failed(e.to_string()))?;
        // Written beside and renamed: a kill in the middle leaves the old state.
        let beside = file.with_extension("new");
        std::fs::write(&beside, text).map_err(|e| failed(e.to_string()))?;
        std::fs::rename(&beside, &file).map_err(|e| failed(e.to_string()))
    }
}

impl Drop for GraphSim {
    fn drop(&mut self) {
        self.task.abort();
    }
}

//! The service and its runtime: an open home, and a compiled configuration with its connectors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use onesync_connectors::{Capabilities, Connector, DiscoveredSchema, Selection};
use onesync_engine::{Changes, Context, Limits, Policies};
use onesync_model::{AttrId, ConnectorId, Names, RunId, Schema, Time, TypeId};
use onesync_rules::RuleSet;
use onesync_store::{ConfigFiles, ConfigVersionRow, ServiceChanges, Store};
use onesync_vault::{Vault, VaultError};

use crate::clock::Clock;
use crate::compile::{Compiled, Known, compile};
use crate::config::{ConfigCheck, Configuration, ConnectorFile};
use crate::database::Named;
use crate::discover::{Reach, Unreachable, last_answer};
use crate::error::ServiceError;
use crate::kinds::{MakeConnector, Workshop};
use crate::parts::{Keys, Parts, Sizes};
use crate::standing::Standing;
use crate::{Home, doubts, secrets};

/// An open installation.
pub struct Service {
    home: Home,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    keys: Keys,
    standing: Standing,
    installation: String,
    /// The database as the home named it when this was opened.
    named: Option<Named>,
    runtime: RwLock<Current>,
    threads: usize,
    stop: tokio::sync::watch::Sender<Option<String>>,
    /// Where relative paths in configurations begin: the home, also for a copy of it.
    paths_from: PathBuf,
    sizes: Sizes,
    kinds: Option<Box<MakeConnector>>,
}

/// The configuration in force.
#[derive(Clone)]
enum Current {
    /// None is applied.
    None,
    /// It is compiled.
    Ready(Arc<Runtime>),
    /// It cannot be used as things are: what is wrong, what to do. Secrets can be set, another one can be applied.
    Unusable { version: u32, message: String, hint: Option<String> },
}

/// A compiled configuration with its connectors.
pub struct Runtime {
    /// The version of the configuration; 0 for one that is not applied.
    pub version: u32,
    /// The configuration.
    pub configuration: Configuration,
    /// Interned names.
    pub names: Names,
    /// The compiled rules.
    pub rules: RuleSet,
    /// The decisions beyond rules.
    pub policies: Policies,
    /// The metaverse schema.
    pub metaverse: Schema,
    /// Attributes of the metaverse by which people search.
    pub search: Vec<AttrId>,
    /// The connectors by rank.
    pub connectors: Vec<ConnectorHandle>,
}

/// One connector of a runtime.
#[derive(Clone)]
pub struct ConnectorHandle {
    /// Its id.
    pub id: ConnectorId,
    /// Its file.
    pub file: ConnectorFile,
    /// The connector.
    pub connector: Arc<dyn Connector>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// What its directory can hold.
    pub schema: Schema,
    /// The same as it described itself.
    pub discovered: Arc<DiscoveredSchema>,
    /// That it did not answer, and what it said last is taken instead.
    pub unreachable: Option<Unreachable>,
    /// What is read.
    pub selection: Selection,
    /// Writable object types in the order in which they are written.
    pub write_order: Vec<TypeId>,
    /// Limits of the protections.
    pub limits: BTreeMap<TypeId, Limits>,
}

impl ConnectorHandle {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.file.name
    }
}

impl Runtime {
    /// A connector by name.
    ///
    /// # Errors
    /// When there is none of that name; the message names those there are.
    pub fn connector(&self, name: &str) -> Result<&ConnectorHandle, ServiceError> {
        self.connectors.iter().find(|c| c.file.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            let known: Vec<&str> = self.connectors.iter().map(ConnectorHandle::name).collect();
            ServiceError::usage(
                format!("there is no connector `{name}`"),
                format!("connectors are: {}", known.join(", ")),
            )
        })
    }

    /// A connector by id.
    #[must_use]
    pub fn connector_by_id(&self, id: ConnectorId) -> Option<&ConnectorHandle> {
        self.connectors.iter().find(|c| c.id == id)
    }
}

impl Service {
    /// Opens an installation and compiles its configuration, when one is applied.
    ///
    /// # Errors
    /// When there is none, or the database cannot be opened.
    pub async fn open(home: Home, clock: Arc<dyn Clock>, threads: usize) -> Result<Self, ServiceError> {
        let paths_from = home.folder().to_owned();
        Self::open_from(home, paths_from, clock, threads).await
    }

    /// Opens an installation that stands for another one: relative paths begin in that one's folder.
    ///
    /// # Errors
    /// When there is none, or the database cannot be opened.
    pub async fn open_from(
        home: Home,
        paths_from: PathBuf,
        clock: Arc<dyn Clock>,
        threads: usize,
    ) -> Result<Self, ServiceError> {
        let (named, store) = home.open_named()?;
        let standing = match paths_from == home.folder() {
            true => home.standing(&*store)?,
            false => Standing::Active { server: String::new(), epoch: store.lease()?.epoch },
        };
        let keys = Keys::OfHome;
        let parts = Parts { store, keys, clock, paths_from, threads, sizes: Sizes::default(), kinds: None };
        Self::assemble_named(home, named, standing, parts).await
    }

    /// Puts a service together and compiles its configuration, when one is applied.
    ///
    /// # Errors
    /// When the database holds no installation, or its configuration cannot be compiled.
    pub async fn assemble(home: Home, parts: Parts) -> Result<Self, ServiceError> {
        let (named, standing) = (home.names()?, home.standing(&*parts.store)?);
        Self::assemble_named(home, named, standing, parts).await
    }

    async fn assemble_named(
        home: Home,
        named: Option<Named>,
        standing: Standing,
        parts: Parts,
    ) -> Result<Self, ServiceError> {
        let Parts { store, keys, clock, paths_from, threads, sizes, kinds } = parts;
        let installation = store.reader()?.installation()?.ok_or(onesync_store::StoreError::NotInstalled)?;
        let standing = home.during_move(&*store, standing)?;
        let service = Self {
            clock,
            keys,
            standing,
            installation: installation.id,
            named,
            runtime: RwLock::new(Current::None),
            threads: threads.max(1),
            stop: tokio::sync::watch::Sender::new(None),
            paths_from,
            sizes,
            kinds,
            home,
            store,
        };
        let latest = service.store.reader()?.config_versions()?.last().cloned();
        if let Some(version) = latest {
            let files = service.store.reader()?.config_files(version.version)?.unwrap_or_default();
            match service.usable(files, version.version).await {
                Ok(runtime) => service.install(runtime),
                Err(error @ (ServiceError::Store(_) | ServiceError::Read(_))) => return Err(error),
                Err(error) => service.set_current(Current::Unusable {
                    version: version.version,
                    message: error.to_string(),
                    hint: error.hint().map(str::to_owned),
                }),
            }
        }
        Ok(service)
    }

    /// Compiles a configuration that was applied before. One with errors (another program accepted it) is not used at
    /// all: half the rules would look like people who leave.
    async fn usable(&self, files: ConfigFiles, version: u32) -> Result<Runtime, ServiceError> {
        let compiled = self.compile(Configuration::parse(files)?, version, Reach::LastAnswer).await?;
        if let Some(error) = compiled.check.error() {
            return Err(error);
        }
        Ok(compiled.runtime)
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(crate) fn stop_asked(&self) -> &tokio::sync::watch::Sender<Option<String>> {
        &self.stop
    }

    pub(crate) fn sizes(&self) -> Sizes {
        self.sizes
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.standing.epoch()
    }

    /// Where this server stands: whether it may write, and else who may.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    pub(crate) fn workshop(&self) -> Workshop<'_> {
        Workshop { folder: &self.paths_from, more: self.kinds.as_deref() }
    }

    pub(crate) fn paths_from(&self) -> &Path {
        &self.paths_from
    }

    pub(crate) fn installation_id(&self) -> &str {
        &self.installation
    }

    pub(crate) fn named(&self) -> Option<&Named> {
        self.named.as_ref()
    }

    /// The home.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Opens the key set. It is wiped from memory when it is dropped: nobody keeps it for longer than it is used.
    pub(crate) fn vault(&self) -> Result<Vault, ServiceError> {
        let error = match &self.keys {
            Keys::OfHome => match Vault::open(&self.home.key_set()) {
                Ok(vault) => return Ok(vault),
                Err(error @ VaultError::Missing { .. }) => self.keys_missing(&error),
                Err(error) => error.to_string(),
            },
            Keys::None(why) => why.clone(),
        };
        Err(ServiceError::held(
            error,
            "secrets cannot be read or set until the key set is back; `status` names them",
        ))
    }

    /// What is said without a key set: which one it needs, as far as the database can be asked.
    pub(crate) fn keys_missing(&self, error: &VaultError) -> String {
        let told = self.store.reader().map_err(ServiceError::from);
        let told = told.and_then(|reader| {
            let beside = !matches!(self.standing(), Standing::Active { .. });
            crate::activate::keys_missing(&*reader, error, beside)
        });
        told.unwrap_or_else(|_| error.to_string())
    }

    /// The compiled configuration.
    ///
    /// # Errors
    /// When none is applied, or it cannot be used as things are.
    pub fn runtime(&self) -> Result<Arc<Runtime>, ServiceError> {
        match self.current() {
            Current::Ready(runtime) => Ok(runtime),
            Current::None => {
                Err(ServiceError::usage("no configuration is applied", "run `onesync config apply FOLDER`"))
            }
            Current::Unusable { version, message, hint } => Err(ServiceError::Config {
                message: format!("configuration {version} cannot be used: {message}"),
                hint,
            }),
        }
    }

    /// The version that is applied, whether it can be used or not; 0 when there is none.
    pub(crate) fn version_applied(&self) -> u32 {
        match self.current() {
            Current::None => 0,
            Current::Ready(runtime) => runtime.version,
            Current::Unusable { version, .. } => version,
        }
    }

    fn current(&self) -> Current {
        self.runtime.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Whether a configuration is applied, usable or not. Without one there is no connector.
    pub(crate) fn is_configured(&self) -> bool {
        !matches!(self.current(), Current::None)
    }

    fn set_current(&self, current: Current) {
        *self.runtime.write().unwrap_or_else(std::sync::PoisonError::into_inner) = current;
    }

    fn install(&self, runtime: Runtime) {
        self.set_current(Current::Ready(Arc::new(runtime)));
    }

    /// What the engine's decisions rest on.
    pub(crate) fn context<'a>(&self, runtime: &'a Runtime, run: RunId) -> Context<'a> {
        Context {
            rules: &runtime.rules,
            policies: &runtime.policies,
            names: &runtime.names,
            now: self.now(),
            run,
            threads: self.threads,
            trace: None,
        }
    }

    /// Looks at a configuration without applying it.
    ///
    /// # Errors
    /// When its form is wrong or a connector cannot be made.
    pub async fn check(&self, configuration: Configuration) -> Result<ConfigCheck, ServiceError> {
        Ok(self.compile(configuration, 0, Reach::Now).await?.check)
    }

    /// Applies a configuration: checks it, stores it as a new version, and puts on the agenda what it changes.
    /// Gives the version and what was found; nothing is stored when there are errors.
    ///
    /// # Errors
    /// When it has errors.
    pub async fn apply(
        &self,
        configuration: Configuration,
        who: &str,
    ) -> Result<(u32, ConfigCheck), ServiceError> {
        // A cycle that began under other rules must not take the mark below for its own.
        let _lock = self.begin_work("config apply")?;
        self.apply_locked(configuration, who, &|_| Changes::default()).await
    }

    /// [`Service::apply`] under a lock that is held already; `more` is written in the same transaction.
    pub(crate) async fn apply_locked(
        &self,
        configuration: Configuration,
        who: &str,
        more: &(dyn Fn(&Runtime) -> Changes + Sync),
    ) -> Result<(u32, ConfigCheck), ServiceError> {
        let latest = self.store.reader()?.config_versions()?.last().cloned();
        let ready = matches!(self.current(), Current::Ready(_));
        if let Some(latest) = latest.as_ref().filter(|latest| ready && latest.hash == configuration.hash()) {
            let states = more(&*self.runtime()?).states;
            if !states.is_empty() {
                self.store.apply(self.epoch(), &Changes { states, ..Changes::default() })?;
            }
            return Ok((latest.version, ConfigCheck::default()));
        }
        let version = latest.as_ref().map_or(1, |latest| latest.version + 1);
        let compiled = self.compile(configuration, version, Reach::Now).await?;
        if let Some(error) = compiled.check.error() {
            return Err(error);
        }
        let runtime = compiled.runtime;
        let mut anchor = self.refuse_other_anchor(&runtime)?;
        anchor.states.extend(self.answers_to_keep(&runtime)?.states);
        let row = ConfigVersionRow {
            version,
            created: self.now(),
            who: who.to_owned(),
            hash: runtime.configuration.hash(),
        };
        let before = match &latest {
            Some(latest) => self.store.reader()?.config_files(latest.version)?.unwrap_or_default(),
            None => ConfigFiles::default(),
        };
        let changes = ServiceChanges {
            names: compiled.new_names,
            rules: compiled.new_rules,
            connectors: compiled.new_connectors,
            configs: vec![(row, runtime.configuration.files.clone())],
            events: self.applied_events(version, &before, &runtime.configuration.files, who),
            ..ServiceChanges::default()
        };
        // First the mark: killed in between, a full sync too many does no harm, one too few would.
        if latest.is_some() {
            self.mark_full_sync(&runtime)?;
        }
        let states = more(&runtime).states;
        let anchor = Changes { states: anchor.states.iter().cloned().chain(states).collect(), ..anchor };
        self.write(&anchor, &changes)?;
        let check = compiled.check;
        self.install(runtime);
        Ok((version, check))
    }

    /// Compiles the applied configuration again, e.g. after a secret was set.
    ///
    /// # Errors
    /// When it does not compile any more.
    pub async fn reload(&self) -> Result<(), ServiceError> {
        let (version, configuration) = {
            let runtime = self.runtime()?;
            (runtime.version, runtime.configuration.clone())
        };
        let compiled = self.compile(configuration, version, Reach::LastAnswer).await?;
        // Half the rules would look like people who leave.
        if let Some(error) = compiled.check.error() {
            return Err(error);
        }
        self.install(compiled.runtime);
        Ok(())
    }

    /// After a change of rules everything is looked at again: the next sync of each connector is a full one. What was
    /// compared with another server was of the old ones.
    pub(crate) fn mark_full_sync(&self, runtime: &Runtime) -> Result<(), ServiceError> {
        let states = runtime
            .connectors
            .iter()
            .flat_map(|c| {
                [(c.id, crate::sync::FULL_SYNC_NEEDED.to_owned(), Some(vec![1])), crate::staging::void(c.id)]
            })
            .collect();
        let changes = Changes { states, ..Changes::default() };
        Ok(self.store.apply(self.epoch(), &changes)?)
    }

    pub(crate) async fn compile(
        &self,
        configuration: Configuration,
        version: u32,
        reach: Reach,
    ) -> Result<Compiled, ServiceError> {
        let source_anchor = self.source_anchor(configuration.main.source_anchor)?.0;
        let known = {
            let reader = self.store.reader()?;
            let secrets = secrets::open_all(&*reader, self.vault().ok().as_ref())?;
            let connectors = reader.connectors()?;
            let mut schemas = BTreeMap::new();
            for row in &connectors {
                schemas.extend(last_answer(&*reader, row.id)?.map(|last| (row.id, last)));
            }
            Known {
                names: reader.names()?,
                connectors,
                schemas,
                rules: reader.rules()?,
                secrets: secrets.in_force(),
                closed: secrets.closed,
                source_anchor,
            }
        };
        let mut compiled = compile(configuration, version, known, self.workshop(), reach).await?;
        if reach == Reach::Now {
            doubts::of_groups(&*self.store.reader()?, &compiled.runtime, &mut compiled.check)?;
        }
        Ok(compiled)
    }
}

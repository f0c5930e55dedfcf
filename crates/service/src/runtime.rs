//! The service and its runtime: an open home, and a compiled configuration with its connectors.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, RwLock};

use onesync_connectors::{
    Capabilities, Connector, DiscoveredSchema, SelectedAttribute, SelectedType, Selection, TypeRoles,
};
use onesync_engine::{ConnectorPolicy, Context, Deprovision, Limits, Policies, TypePolicy};
use onesync_model::{
    AttrId, AttributeDef, AttributeType, ConnectorId, Hash128, Names, ObjectTypeDef, RuleId, RunId, Schema,
    Time, TypeId, Value,
};
use onesync_rules::{ConnectorInfo, Direction, FlowSource, RuleSet, Severity, render};
use onesync_store::{ConfigVersionRow, ConnectorRow, EventRow, RuleRow, ServiceChanges, Store};
use onesync_vault::Vault;

use crate::clock::Clock;
use crate::config::{ConfigCheck, Configuration, ConnectorFile, GRACE_SECONDS, OutOfScope};
use crate::error::ServiceError;
use crate::{Home, kinds, secrets};

/// An open installation.
pub struct Service {
    home: Home,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    vault: Result<Vault, String>,
    epoch: u64,
    installation: String,
    runtime: RwLock<Option<Arc<Runtime>>>,
    threads: usize,
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

/// What compiling gave besides the runtime: rows to write when the configuration is applied.
pub(crate) struct Compiled {
    pub(crate) runtime: Runtime,
    pub(crate) check: ConfigCheck,
    pub(crate) new_rules: Vec<RuleRow>,
    pub(crate) new_connectors: Vec<ConnectorRow>,
    pub(crate) new_names: Vec<(AttrId, String)>,
}

impl Service {
    /// Opens an installation and compiles its configuration, when one is applied.
    ///
    /// # Errors
    /// When there is none, or the database cannot be opened.
    pub async fn open(home: Home, clock: Arc<dyn Clock>, threads: usize) -> Result<Self, ServiceError> {
        let (store, vault) = home.open()?;
        let installation = store.reader()?.installation()?.ok_or(onesync_store::StoreError::NotInstalled)?;
        let service = Self {
            home,
            store,
            clock,
            vault: vault.map_err(|error| error.to_string()),
            epoch: installation.epoch,
            installation: installation.id,
            runtime: RwLock::new(None),
            threads: threads.max(1),
        };
        let latest = service.store.reader()?.config_versions()?.last().cloned();
        if let Some(version) = latest {
            let files = service.store.reader()?.config_files(version.version)?.unwrap_or_default();
            let configuration = Configuration::parse(files)?;
            let compiled = service.compile(configuration, version.version).await?;
            service.install(compiled.runtime);
        }
        Ok(service)
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn installation_id(&self) -> &str {
        &self.installation
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

    pub(crate) fn vault(&self) -> Result<&Vault, ServiceError> {
        self.vault.as_ref().map_err(|message| {
            ServiceError::held(
                message.clone(),
                "secrets cannot be read or set until the key set is back; `status` names them",
            )
        })
    }

    pub(crate) fn record(&self, changes: &ServiceChanges) -> Result<(), ServiceError> {
        Ok(self.store.record(self.epoch, changes)?)
    }

    pub(crate) fn audit(&self, kind: &str, subject: &str, text: &str) -> EventRow {
        let who = std::env::var("SUDO_USER")
            .or_else(|_| std::env::var("USER"))
            .unwrap_or_else(|_| "service".to_owned());
        let text = serde_json::json!({"who": who, "text": text}).to_string();
        EventRow { time: self.now(), kind: kind.to_owned(), subject: subject.to_owned(), text }
    }

    /// The compiled configuration.
    ///
    /// # Errors
    /// When none is applied.
    pub fn runtime(&self) -> Result<Arc<Runtime>, ServiceError> {
        let runtime = self.runtime.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        runtime.ok_or_else(|| {
            ServiceError::usage("no configuration is applied", "run `onesync config apply FOLDER`")
        })
    }

    fn install(&self, runtime: Runtime) {
        *self.runtime.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Arc::new(runtime));
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
        }
    }

    /// Looks at a configuration without applying it.
    ///
    /// # Errors
    /// When its form is wrong or a connector cannot be made.
    pub async fn check(&self, configuration: Configuration) -> Result<ConfigCheck, ServiceError> {
        Ok(self.compile(configuration, 0).await?.check)
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
        let latest = self.store.reader()?.config_versions()?.last().cloned();
        if let Some(latest) = latest.as_ref().filter(|latest| latest.hash == configuration.hash()) {
            return Ok((latest.version, ConfigCheck::default()));
        }
        let version = latest.as_ref().map_or(1, |latest| latest.version + 1);
        let compiled = self.compile(configuration, version).await?;
        if compiled.check.errors > 0 {
            return Err(ServiceError::config(
                compiled.check.messages.join("\n"),
                "correct the files; nothing was changed",
            ));
        }
        let runtime = compiled.runtime;
        let row = ConfigVersionRow {
            version,
            created: self.now(),
            who: who.to_owned(),
            hash: runtime.configuration.hash(),
        };
        let mut changes = ServiceChanges {
            names: compiled.new_names,
            rules: compiled.new_rules,
            connectors: compiled.new_connectors,
            configs: vec![(row, runtime.configuration.files.clone())],
            events: vec![self.audit("config-applied", &version.to_string(), "")],
            ..ServiceChanges::default()
        };
        changes.events.dedup_by(|a, b| a == b);
        self.record(&changes)?;
        let check = compiled.check;
        if latest.is_some() {
            self.mark_full_sync(&runtime)?;
        }
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
        let compiled = self.compile(configuration, version).await?;
        self.install(compiled.runtime);
        Ok(())
    }

    /// After a change of rules everything is looked at again: the next sync of each connector is a full one.
    fn mark_full_sync(&self, runtime: &Runtime) -> Result<(), ServiceError> {
        let states = runtime
            .connectors
            .iter()
            .map(|c| (c.id, crate::sync::FULL_SYNC_NEEDED.to_owned(), Some(vec![1])))
            .collect();
        let changes = onesync_engine::Changes { states, ..onesync_engine::Changes::default() };
        Ok(self.store.apply(self.epoch, &changes)?)
    }

    pub(crate) async fn compile(
        &self,
        configuration: Configuration,
        version: u32,
    ) -> Result<Compiled, ServiceError> {
        let known = {
            let reader = self.store.reader()?;
            let secrets = secrets::open_all(&*reader, self.vault.as_ref().ok())?.0;
            Known {
                names: reader.names()?,
                connectors: reader.connectors()?,
                rules: reader.rules()?,
                secrets,
            }
        };
        compile(configuration, version, known, self.home.folder()).await
    }
}

/// What the database knows already.
pub(crate) struct Known {
    pub(crate) names: Vec<(AttrId, String)>,
    pub(crate) connectors: Vec<ConnectorRow>,
    pub(crate) rules: Vec<RuleRow>,
    pub(crate) secrets: BTreeMap<String, secrecy::SecretString>,
}

async fn compile(
    configuration: Configuration,
    version: u32,
    known: Known,
    folder: &Path,
) -> Result<Compiled, ServiceError> {
    let mut names = Names::new();
    for (_, name) in &known.names {
        names.intern(name);
    }
    let mut parts = Vec::new();
    let mut new_connectors = Vec::new();
    let mut next_connector = known.connectors.iter().map(|row| row.id.0).max().unwrap_or(0) + 1;
    for file in &configuration.connectors {
        let connector = kinds::make(file, folder, &known.secrets, &mut names)?;
        let discovered =
            connector.schema().await.map_err(|error| ServiceError::connector(&file.name, error))?;
        let schema = intern_schema(&discovered, &mut names);
        let id = match known.connectors.iter().find(|row| row.name == file.name && row.kind == file.kind) {
            Some(row) => row.id,
            None => {
                let id = ConnectorId(next_connector);
                next_connector += 1;
                new_connectors.push(ConnectorRow {
                    id,
                    name: file.name.clone(),
                    kind: file.kind.clone(),
                    removed: false,
                });
                id
            }
        };
        parts.push((id, file.clone(), connector, schema));
    }
    let metaverse_text = configuration.metaverse.as_deref().unwrap_or(onesync_rules::METAVERSE);
    let metaverse = onesync_rules::read_metaverse(metaverse_text, &mut names).map_err(|found| {
        let messages: Vec<String> =
            found.iter().map(|d| format!("metaverse.toml:{}:{}: {}", d.line, d.column, d.message)).collect();
        ServiceError::config(messages.join("\n"), "correct metaverse.toml; nothing was changed")
    })?;
    let infos: Vec<ConnectorInfo> = parts
        .iter()
        .map(|(id, file, _, schema)| ConnectorInfo {
            id: *id,
            name: file.name.clone(),
            kind: file.kind.clone(),
            rank: file.rank,
            schema: schema.clone(),
            parameters: file.parameters.clone(),
        })
        .collect();
    let mut new_rules: Vec<RuleRow> = Vec::new();
    let mut next_rule = known.rules.iter().map(|row| row.id.0).max().unwrap_or(0) + 1;
    let compiled =
        onesync_rules::compile(&configuration.rules, &infos, &metaverse, &mut names, &mut |name, hash| {
            let hash = Hash128(*hash);
            if let Some(row) =
                known.rules.iter().chain(&new_rules).find(|row| row.name == name && row.hash == hash)
            {
                return row.id;
            }
            let id = RuleId(next_rule);
            next_rule += 1;
            new_rules.push(RuleRow { id, connector: ConnectorId(0), name: name.to_owned(), hash });
            id
        });
    let mut check =
        ConfigCheck { connectors: parts.len(), rules: configuration.rules.len(), ..ConfigCheck::default() };
    for finding in &compiled.diagnostics {
        match finding.severity {
            Severity::Error => check.errors += 1,
            Severity::Warning => check.warnings += 1,
            Severity::Note => {}
        }
        check.messages.push(render(finding, &configuration.rules));
    }
    let rules = compiled.rules.unwrap_or_default();
    let mut search: Vec<AttrId> =
        configuration.main.search.iter().filter_map(|name| names.find(name)).collect();
    search.extend(onesync_rules::read_metaverse_index(metaverse_text, &mut names).unwrap_or_default());
    search.sort_unstable();
    search.dedup();
    let mut connectors = Vec::new();
    let mut policies = BTreeMap::new();
    for (id, file, connector, schema) in parts {
        let (handle, policy) = assemble(id, file, connector, schema, &rules, &mut names, &mut check, folder)?;
        policies.insert(id, policy);
        connectors.push(handle);
    }
    let new_names = names.iter_from(known.names.len()).map(|(id, name)| (id, name.to_owned())).collect();
    let policies = Policies::new(policies);
    let runtime = Runtime { version, configuration, names, rules, policies, metaverse, search, connectors };
    Ok(Compiled { runtime, check, new_rules, new_connectors, new_names })
}

fn intern_schema(discovered: &DiscoveredSchema, names: &mut Names) -> Schema {
    let mut schema = Schema::default();
    for attribute in &discovered.attributes {
        let id = names.intern(&attribute.name);
        let def = AttributeDef {
            id,
            name: attribute.name.clone(),
            kind: attribute.kind,
            multi: attribute.multi,
            case_exact: attribute.case_exact,
            read_only: attribute.read_only,
            length_max: attribute.length_max,
        };
        schema.attributes.insert(id, def);
    }
    for kind in &discovered.types {
        let mut ids = |list: &[String]| list.iter().map(|name| names.intern(name)).collect();
        let def = ObjectTypeDef {
            name: kind.name.clone(),
            attributes: ids(&kind.attributes),
            required: ids(&kind.required),
            writable: kind.writable,
        };
        schema.types.insert(names.intern_type(&kind.name), def);
    }
    schema
}

#[allow(clippy::too_many_arguments)]
fn assemble(
    id: ConnectorId,
    file: ConnectorFile,
    connector: Arc<dyn Connector>,
    schema: Schema,
    rules: &RuleSet,
    names: &mut Names,
    check: &mut ConfigCheck,
    folder: &Path,
) -> Result<(ConnectorHandle, ConnectorPolicy), ServiceError> {
    let capabilities = connector.capabilities();
    let roles = connector.type_roles();
    let mut wrong = |message: String| {
        check.errors += 1;
        check.messages.push(format!("error: connector `{}`: {message}", file.name));
    };
    let search: Vec<AttrId> = file.search.iter().filter_map(|name| names.find(name)).collect();
    let mut types = BTreeMap::new();
    let mut limits = BTreeMap::new();
    for name in file.types.keys() {
        if !schema.types.values().any(|def| def.name.eq_ignore_ascii_case(name)) {
            let known: Vec<&str> = schema.types.values().map(|def| def.name.as_str()).collect();
            wrong(format!("it has no object type `{name}`; it has {}", known.join(", ")));
        }
    }
    for (&type_id, def) in &schema.types {
        let role = roles
            .iter()
            .find(|role| role.object_type.eq_ignore_ascii_case(&def.name))
            .cloned()
            .unwrap_or_default();
        let written = file
            .types
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&def.name))
            .map(|(_, t)| t.clone())
            .unwrap_or_default();
        let default = if role.account {
            Deprovision::DisableThenDelete { after_seconds: GRACE_SECONDS }
        } else {
            Deprovision::Disconnect
        };
        let deprovision = written.deprovision(default).unwrap_or_else(|message| {
            wrong(format!("type `{}`: {message}", def.name));
            default
        });
        limits.insert(type_id, written.limits());
        types.insert(type_id, type_policy(&role, def, deprovision, names));
    }
    let of_kind = |wanted: fn(&AttributeDef) -> bool| {
        schema.attributes.values().filter(|def| wanted(def)).map(|def| def.id).collect()
    };
    let policy = ConnectorPolicy {
        name: file.name.clone(),
        writable: capabilities.export,
        settle_seconds: capabilities.settle_seconds,
        links_by_name: capabilities.links_by_name,
        hierarchical: capabilities.hierarchical,
        types,
        read_only: of_kind(|def| def.read_only),
        case_exact: of_kind(|def| def.case_exact),
        link_attributes: of_kind(|def| def.kind == AttributeType::Reference),
        stay_joined_out_of_scope: file.out_of_scope == OutOfScope::Stay,
        search,
    };
    let selection = select(id, &file, &schema, rules, &roles, names);
    let connector = kinds::with_selection(&file, folder, &selection)?.unwrap_or(connector);
    // Users before groups: members need their users.
    let mut write_order: Vec<(bool, TypeId)> = schema
        .types
        .iter()
        .filter(|(_, def)| def.writable)
        .map(|(&type_id, def)| {
            (
                !roles.iter().any(|role| role.account && role.object_type.eq_ignore_ascii_case(&def.name)),
                type_id,
            )
        })
        .collect();
    write_order.sort();
    let write_order = write_order.into_iter().map(|(_, type_id)| type_id).collect();
    Ok((
        ConnectorHandle { id, file, connector, capabilities, schema, selection, write_order, limits },
        policy,
    ))
}

fn type_policy(
    role: &TypeRoles,
    def: &ObjectTypeDef,
    deprovision: Deprovision,
    names: &mut Names,
) -> TypePolicy {
    let mut id = |name: &Option<String>| name.as_ref().map(|name| names.intern(name));
    TypePolicy {
        unwritable: !def.writable,
        create_key: id(&role.create_key),
        required: def.required.clone(),
        name: id(&role.name),
        deprovision,
        disable: id(&role.enabled).map(|attribute| (attribute, Value::Boolean(false))),
    }
}

/// What is read: what rules use, what exports are compared with, and what was asked for.
fn select(
    id: ConnectorId,
    file: &ConnectorFile,
    schema: &Schema,
    rules: &RuleSet,
    roles: &[TypeRoles],
    names: &mut Names,
) -> Selection {
    let mut wanted: BTreeMap<TypeId, std::collections::BTreeSet<AttrId>> = BTreeMap::new();
    for rule in rules.rules().iter().filter(|rule| rule.connector == id) {
        let attributes = wanted.entry(rule.object).or_default();
        attributes.extend(rule.join.iter().flat_map(|group| &group.conditions).map(|c| c.connector));
        match rule.direction {
            Direction::Inbound => {
                attributes.extend(rule.scope.attributes().iter().chain(rule.scope.links()));
                for flow in &rule.flows {
                    attributes.extend(flow.attributes());
                    if let FlowSource::Link(link) = &flow.source {
                        attributes.insert(link.source);
                    }
                }
            }
            Direction::Outbound => attributes.extend(rule.flows.iter().map(|flow| flow.target)),
        }
    }
    let extra: Vec<AttrId> =
        file.attributes.iter().chain(&file.search).map(|name| names.intern(name)).collect();
    let types = wanted
        .into_iter()
        .filter_map(|(type_id, mut attributes)| {
            let def = schema.types.get(&type_id)?;
            let role = roles.iter().find(|role| role.object_type.eq_ignore_ascii_case(&def.name));
            attributes.extend(&extra);
            attributes.extend(
                role.into_iter()
                    .flat_map(|r| [&r.create_key, &r.name, &r.enabled])
                    .flatten()
                    .filter_map(|n| names.find(n)),
            );
            let attributes = attributes
                .into_iter()
                .filter_map(|attribute| schema.attribute(attribute))
                .filter(|def| schema.allows(type_id, def.id))
                .map(|def| SelectedAttribute {
                    id: def.id,
                    name: def.name.clone(),
                    kind: def.kind,
                    multi: def.multi,
                })
                .collect();
            Some(SelectedType { id: type_id, name: def.name.clone(), attributes })
        })
        .collect();
    Selection { types }
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

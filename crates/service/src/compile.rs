//! Compiling a configuration: files and what the database knows become a runtime; nothing is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use onesync_connectors::{DiscoveredSchema, SelectedAttribute, SelectedType, Selection, TypeRoles};
use onesync_engine::{ConnectorPolicy, Deprovision, Policies, TypePolicy};
use onesync_model::{
    AttrId, AttributeDef, AttributeType, ConnectorId, Hash128, Names, ObjectTypeDef, RuleId, Schema, TypeId,
    Value,
};
use onesync_rules::{ConnectorInfo, Direction, FlowSource, RuleSet, Severity, render};
use onesync_store::{ConnectorRow, RuleRow};

use crate::anchor::ANCHOR_PARAMETER;
use crate::config::{ConfigCheck, Configuration, ConnectorFile, GRACE_SECONDS, OutOfScope, SourceAnchor};
use crate::discover::{Discovered, LastAnswer, Reach, discover};
use crate::error::ServiceError;
use crate::kinds::Workshop;
use crate::runtime::{ConnectorHandle, Runtime};
use crate::{doubts, kinds, mistakes, profile, scope, secrets};

/// What compiling gave besides the runtime: rows to write when the configuration is applied.
pub(crate) struct Compiled {
    pub(crate) runtime: Runtime,
    pub(crate) check: ConfigCheck,
    pub(crate) new_rules: Vec<RuleRow>,
    pub(crate) new_connectors: Vec<ConnectorRow>,
    pub(crate) new_names: Vec<(AttrId, String)>,
}

/// What the database knows already.
pub(crate) struct Known {
    pub(crate) names: Vec<(AttrId, String)>,
    pub(crate) connectors: Vec<ConnectorRow>,
    pub(crate) rules: Vec<RuleRow>,
    pub(crate) secrets: BTreeMap<String, secrecy::SecretString>,
    /// Secrets that are stored and cannot be opened.
    pub(crate) closed: Vec<String>,
    /// The definition of the source anchor in force.
    pub(crate) source_anchor: SourceAnchor,
    /// What the directories said last.
    pub(crate) schemas: BTreeMap<ConnectorId, LastAnswer>,
}

/// The parameters of a connector: its own, and the definition of the source anchor.
fn parameters(file: &ConnectorFile, anchor: SourceAnchor) -> BTreeMap<String, String> {
    let mut parameters = file.parameters.clone();
    parameters.entry(ANCHOR_PARAMETER.to_owned()).or_insert_with(|| anchor.as_str().to_owned());
    parameters
}

pub(crate) async fn compile(
    configuration: Configuration,
    version: u32,
    known: Known,
    workshop: Workshop<'_>,
    reach: Reach,
) -> Result<Compiled, ServiceError> {
    let mut names = Names::new();
    for (_, name) in &known.names {
        names.intern(name);
    }
    let mut check = ConfigCheck {
        rules: configuration.rules.len(),
        ..ConfigCheck::with_mistakes(&configuration.mistakes)
    };
    let (mut directories, mut infos, mut new_connectors) = (Vec::new(), Vec::new(), Vec::new());
    let mut next_connector = known.connectors.iter().map(|row| row.id.0).max().unwrap_or(0) + 1;
    for (position, file) in configuration.connectors.iter().enumerate() {
        // Two with one name or rank were told: what follows from it is not told again.
        let before = configuration.connectors.get(..position).unwrap_or_default();
        if before.iter().any(|other| other.name.eq_ignore_ascii_case(&file.name)) {
            continue;
        }
        let rank = match before.iter().any(|other| other.rank == file.rank) {
            true => u32::MAX / 2 + u32::try_from(position).unwrap_or_default(),
            false => file.rank,
        };
        let row = known.connectors.iter().find(|row| row.name == file.name && row.kind == file.kind);
        let found = discover(row.map(|row| row.id), file, workshop, &known, &mut names, reach).await;
        let id = row.map_or(ConnectorId(next_connector), |row| row.id);
        if row.is_none() {
            next_connector += 1;
            new_connectors.push(ConnectorRow {
                id,
                name: file.name.clone(),
                kind: file.kind.clone(),
                removed: false,
            });
        }
        let mut info = ConnectorInfo {
            id,
            name: file.name.clone(),
            kind: file.kind.clone(),
            rank,
            schema: Schema::default(),
            parameters: parameters(file, known.source_anchor),
        };
        match found {
            Ok(found) => {
                if let Some(away) = found.unreachable.as_ref().filter(|_| reach == Reach::Now) {
                    check.warning(format!(
                        "connector `{}` cannot be reached: {}; it is checked against its schema of {}",
                        file.name, away.error, away.schema_of
                    ));
                }
                if reach == Reach::Now && found.unreachable.is_none() {
                    doubts::of_connector(file, found.connector.doubts().await, &mut check);
                }
                info.schema = intern_schema(&found.schema, &mut names);
                directories.push(Directory { id, file: file.clone(), found, schema: info.schema.clone() });
            }
            // Its rules are checked as far as that is possible without knowing what it can hold.
            Err(error) => check.error_of(&error),
        }
        infos.push(info);
    }
    // Connectors whose files cannot be read: rules that name them are not wrong because of that.
    for (rank, (name, kind)) in (0..).zip(&configuration.unread) {
        infos.push(ConnectorInfo {
            id: ConnectorId(next_connector + rank),
            name: name.clone(),
            kind: kind.clone(),
            rank: u32::MAX - rank,
            schema: Schema::default(),
            parameters: BTreeMap::new(),
        });
    }
    let mut metaverse_text = configuration.metaverse.as_deref().unwrap_or(onesync_rules::METAVERSE);
    let mut rule_files = configuration.rules.as_slice();
    let metaverse = match onesync_rules::read_metaverse(metaverse_text, &mut names) {
        Ok(metaverse) => metaverse,
        Err(found) => {
            for d in found {
                let place = format!("metaverse.toml:{}:{}", d.line, d.column);
                let hint = d.hint.unwrap_or_else(|| "correct metaverse.toml".to_owned());
                check.error_of(&ServiceError::config(format!("{place}: {}", d.message), hint));
            }
            check.messages.push("note: the rules are checked when metaverse.toml can be read".to_owned());
            (metaverse_text, rule_files) = (onesync_rules::METAVERSE, &[]);
            onesync_rules::read_metaverse(metaverse_text, &mut names).unwrap_or_default()
        }
    };
    let mut new_rules: Vec<RuleRow> = Vec::new();
    let mut next_rule = known.rules.iter().map(|row| row.id.0).max().unwrap_or(0) + 1;
    let compiled = onesync_rules::compile(rule_files, &infos, &metaverse, &mut names, &mut |name, hash| {
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
    check.connectors = configuration.connectors.len() + configuration.unread.len();
    for finding in &compiled.diagnostics {
        match finding.severity {
            Severity::Error => check.errors += 1,
            Severity::Warning => check.warnings += 1,
            Severity::Note => {}
        }
        check.messages.push(render(finding, &configuration.rules));
    }
    check.findings.clone_from(&compiled.diagnostics);
    let unread = |path: &str| {
        let mut found = compiled.diagnostics.iter();
        found.any(|found| found.severity == Severity::Error && found.file == path)
    };
    for file in configuration.rules.iter().filter(|file| !unread(&file.path)) {
        match crate::rule_test::examples_of(file) {
            Ok(examples) => check.examples += examples,
            // No sync looks at them: the rule is as good as without.
            Err(error) => check.warning(error.to_string()),
        }
    }
    about_files(&configuration, &known, &metaverse, &names, &mut check);
    let rules = compiled.rules.unwrap_or_default();
    let mut search: Vec<AttrId> =
        configuration.main.search.iter().filter_map(|name| names.find(name)).collect();
    search.extend(onesync_rules::read_metaverse_index(metaverse_text, &mut names).unwrap_or_default());
    search.sort_unstable();
    search.dedup();
    let mut connectors = Vec::new();
    let mut policies = BTreeMap::new();
    for directory in directories {
        let id = directory.id;
        let (handle, mut policy) = assemble(directory, &rules, &mut names, &mut check, workshop)?;
        scope::contact(&handle, &mut policy, &metaverse, &names, &mut check);
        for message in profile::cannot_export(&handle) {
            check.errors += 1;
            check.messages.push(format!("error: {message}"));
        }
        policies.insert(id, policy);
        connectors.push(handle);
    }
    let new_names = names.iter_from(known.names.len()).map(|(id, name)| (id, name.to_owned())).collect();
    let policies = Policies::new(policies);
    let runtime = Runtime { version, configuration, names, rules, policies, metaverse, search, connectors };
    Ok(Compiled { runtime, check, new_rules, new_connectors, new_names })
}

/// What is worth knowing beside the rules: secrets that are not there yet, names that mean nothing, nothing to do.
fn about_files(
    configuration: &Configuration,
    known: &Known,
    metaverse: &Schema,
    names: &Names,
    check: &mut ConfigCheck,
) {
    for file in &configuration.connectors {
        // Settings that cannot be read were told where the connector was made.
        for name in kinds::secret_names(file).unwrap_or_default() {
            if let Err(message) = secrets::check_name(&name) {
                let place = file.place_of(&["settings"]);
                check.errors += 1;
                check.messages.push(format!("error: {place}: {message}"));
                continue;
            }
            if !known.secrets.contains_key(&name) && !known.closed.contains(&name) {
                check.warning(format!(
                    "{}: the secret `{name}` is not stored yet: run `onesync secret set {name}`",
                    file.place_of(&["settings"])
                ));
            }
        }
    }
    let main = configuration.files.get("onesync.toml").map(|bytes| String::from_utf8_lossy(bytes));
    let decided = main.is_some_and(|text| text.lines().any(|line| line.starts_with("source_anchor")));
    if !decided && configuration.connectors.iter().any(|file| file.kind == "graph") {
        check.messages.push(
            "note: onesync.toml leaves `source_anchor` at \"consistency-guid\": right for a new tenant. For one whose accounts have immutable ids already, \"tenant\" takes the definition that made them; `config plan` shows the hits once the tenant was imported"
                .to_owned(),
        );
    }
    if configuration.connectors.is_empty() && configuration.unread.is_empty() {
        check.warning("connectors/ has no file: nothing is read, nothing is written".to_owned());
    }
    if configuration.rules.is_empty() {
        check.warning("rules/ has no file: nothing is joined, nothing flows".to_owned());
    }
    let text = configuration.files.get("onesync.toml").map(|bytes| String::from_utf8_lossy(bytes));
    for name in &configuration.main.search {
        if !names.find(name).is_some_and(|id| metaverse.attributes.contains_key(&id)) {
            let place = mistakes::place_of("onesync.toml", text.as_deref().unwrap_or_default(), &["search"]);
            check.warning(format!(
                "{place}: the metaverse has no attribute `{name}`{}",
                meant(name, metaverse)
            ));
        }
    }
}

pub(crate) fn meant(name: &str, schema: &Schema) -> String {
    let known = schema.attributes.values().map(|def| def.name.as_str());
    onesync_rules::nearest(name, known).map(|near| format!(": did you mean `{near}`?")).unwrap_or_default()
}

pub(crate) fn intern_schema(discovered: &DiscoveredSchema, names: &mut Names) -> Schema {
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
            read_only: ids(&kind.read_only),
            never_empty: ids(&kind.never_empty),
        };
        schema.types.insert(names.intern_type(&kind.name), def);
    }
    schema
}

/// A connected directory, and what is known of what it can hold.
struct Directory {
    id: ConnectorId,
    file: ConnectorFile,
    found: Discovered,
    schema: Schema,
}

fn assemble(
    directory: Directory,
    rules: &RuleSet,
    names: &mut Names,
    check: &mut ConfigCheck,
    workshop: Workshop<'_>,
) -> Result<(ConnectorHandle, ConnectorPolicy), ServiceError> {
    let Directory { id, file, found, schema } = directory;
    let Discovered { connector, schema: discovered, unreachable } = found;
    let capabilities = connector.capabilities();
    let roles = connector.type_roles();
    doubts::in_file(&file, &schema, &roles, names, check);
    doubts::in_types(&file, rules, names, check);
    let mut wrong = |keys: &[&str], message: String| {
        check.errors += 1;
        check.messages.push(format!("error: {}: {message}", file.place_of(keys)));
    };
    // A file of lines may get attributes that no line has yet; where the directory names them, others are mistakes.
    if file.kind != "jsonl" {
        for (key, list) in [("attributes", &file.attributes), ("search", &file.search)] {
            for name in list {
                if !names.find(name).is_some_and(|id| schema.attributes.contains_key(&id)) {
                    wrong(&[key], format!("there is no attribute `{name}`{}", meant(name, &schema)));
                }
            }
        }
    }
    let search: Vec<AttrId> = file.search.iter().filter_map(|name| names.find(name)).collect();
    let mut types = BTreeMap::new();
    let mut limits = BTreeMap::new();
    for name in file.types.keys() {
        if !schema.types.values().any(|def| def.name.eq_ignore_ascii_case(name)) {
            let known: Vec<&str> = schema.types.values().map(|def| def.name.as_str()).collect();
            wrong(
                &["types", name],
                format!("there is no object type `{name}`: there are {}", known.join(", ")),
            );
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
            let key = if message.contains("duration") { "grace" } else { "deprovision" };
            wrong(&["types", &def.name, key], message);
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
        repeats: capabilities.repeats,
        links_by_name: capabilities.links_by_name,
        hierarchical: capabilities.hierarchical,
        types,
        read_only: of_kind(|def| def.read_only),
        case_exact: of_kind(|def| def.case_exact),
        link_attributes: of_kind(|def| def.kind == AttributeType::Reference),
        single_links: of_kind(|def| def.kind == AttributeType::Reference && !def.multi),
        membership: match rules.groups_asked(id) {
            Some(_) => onesync_rules::membership(&schema),
            None => Vec::new(),
        },
        stay_joined_out_of_scope: file.out_of_scope == OutOfScope::Stay,
        search,
        pilot: None,
    };
    let selection = select(id, &file, &schema, rules, &roles, names);
    let connector = kinds::with_selection(&file, workshop, &selection)?.unwrap_or(connector);
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
        ConnectorHandle {
            id,
            file,
            connector,
            capabilities,
            schema,
            discovered: Arc::new(discovered),
            unreachable,
            selection,
            write_order,
            limits,
        },
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
    let (create_key, name, enabled) = (id(&role.create_key), id(&role.name), id(&role.enabled));
    TypePolicy {
        unwritable: !def.writable,
        read_only: def.read_only.clone(),
        never_empty: def.never_empty.clone(),
        not_created_if: role
            .not_created_if
            .iter()
            .map(|(name, obstacle)| (names.intern(name), obstacle.clone()))
            .collect(),
        create_key,
        required: def.required.clone(),
        name,
        deprovision,
        disable: enabled.map(|attribute| (attribute, Value::Boolean(false))),
        by_name: Vec::new(),
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
    // Who is a member is read of every type that has members.
    if rules.groups_asked(id).is_some() {
        for member in onesync_rules::membership(schema) {
            for (&type_id, _) in schema.types.iter().filter(|(_, def)| def.attributes.contains(&member)) {
                wanted.entry(type_id).or_default().insert(member);
            }
        }
    }
    let extra: Vec<AttrId> = file
        .attributes
        .iter()
        .chain(&file.search)
        .chain(&file.adopt_by)
        .map(|name| names.intern(name))
        .collect();
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

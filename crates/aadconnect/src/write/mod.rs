//! From an export to the files of a configuration, and the report.

mod connector;
mod features;
mod metaverse;
mod names;
mod rule;
mod toml;

use std::collections::{BTreeMap, BTreeSet};

use onesync_model::AttributeType;

use self::connector::Needs;
pub use self::metaverse::TypeOf;
use self::names::{connector_attributes, named_parameters, slug, type_word};
use crate::{Connector, ConnectorKind, Export, FlowSource, Metaverse, Report, Rule, Topic};

/// What one of our connectors can hold.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// Its object types, by lower-case name.
    pub types: BTreeMap<String, DirectoryType>,
    /// Attributes by lower-case name.
    pub attributes: BTreeMap<String, DirectoryAttribute>,
    /// Attributes that are known and never read: back links and the like, by lower-case name.
    pub never_read: BTreeSet<String>,
}

/// One object type of a [`Directory`].
#[derive(Clone, Debug, Default)]
pub struct DirectoryType {
    /// Whether its objects can be written.
    pub writable: bool,
    /// Attributes that nobody can write on its objects, by lower-case name.
    pub read_only: BTreeSet<String>,
}

/// One attribute of a [`Directory`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirectoryAttribute {
    /// The type of its values.
    pub kind: AttributeType,
    /// Whether it may hold several.
    pub multi: bool,
}

impl Directory {
    /// One attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<DirectoryAttribute> {
        self.attributes.get(&name.to_lowercase()).copied()
    }

    fn has_type(&self, name: &str) -> bool {
        self.types.contains_key(&name.to_lowercase())
    }
}

/// A part of a rule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// All of it: head, scope, join.
    Rule,
    /// One flow, by its index.
    Flow(usize),
}

/// A part of a rule that cannot be carried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dropped {
    /// The rule, as an index into the export.
    pub rule: usize,
    /// The part.
    pub part: Part,
    /// Why.
    pub reason: String,
}

/// Which lines of a written file are which part of a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The file.
    pub path: String,
    /// First and last line.
    pub lines: std::ops::RangeInclusive<usize>,
    /// The rule.
    pub rule: usize,
    /// The part.
    pub part: Part,
}

/// A written configuration.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// The files by path.
    pub files: BTreeMap<String, String>,
    /// What became of the export.
    pub report: Report,
    /// Where the parts of rules are.
    pub places: Vec<Place>,
}

/// What the files rest on beside the export.
pub struct Ground<'a> {
    /// What our connector to Active Directory can hold.
    pub active_directory: &'a Directory,
    /// What our cloud connector can hold, under the original's names.
    pub cloud: &'a Directory,
    /// The shipped metaverse.
    pub metaverse: &'a Metaverse,
    /// The type of an expression's values.
    pub type_of: TypeOf<'a>,
    /// Parts that were tried and cannot be carried.
    pub dropped: &'a [Dropped],
}

/// Writes the files.
#[must_use]
pub fn write(export: &Export, ground: &Ground<'_>) -> Written {
    let mut writer =
        Writer { export, ground, out: Written::default(), names: BTreeMap::new(), optional: BTreeMap::new() };
    for remark in &export.remarks {
        writer.out.report.add(Topic::Note, "the export", remark.clone());
    }
    let parameters = named_parameters(export);
    writer.connectors(&parameters);
    features::report(export, &parameters, &mut writer.out.report);
    writer.metaverse();
    writer.rules();
    writer.main();
    let report = &mut writer.out.report;
    report.connectors = writer.out.files.keys().filter(|path| path.starts_with("connectors/")).count();
    writer.out
}

struct Writer<'a> {
    export: &'a Export,
    ground: &'a Ground<'a>,
    out: Written,
    /// Our connectors by the id of the one they are made of.
    names: BTreeMap<String, Vec<String>>,
    /// Attributes that a connector cannot give, by its id.
    optional: BTreeMap<String, Vec<String>>,
}

impl<'a> Writer<'a> {
    fn connectors(&mut self, parameters: &BTreeSet<String>) {
        let mut rank = 1;
        for connector in &self.export.connectors {
            let (directory, more, extensions) = match connector.kind {
                ConnectorKind::ActiveDirectory => {
                    let more = self.unknown_in_forest(connector);
                    (self.ground.active_directory, more, Vec::new())
                }
                ConnectorKind::Cloud => {
                    let (more, extensions) = self.unknown_in_cloud(connector);
                    (self.ground.cloud, more, extensions)
                }
                ConnectorKind::Other(_) => {
                    connector::other(connector, &mut self.out.report);
                    continue;
                }
            };
            let object_types = self.object_types(connector, directory);
            let attributes = self.selected(connector, directory, &more);
            let needs =
                Needs { parameters, more: &more, object_types: &object_types, attributes: &attributes };
            let report = &mut self.out.report;
            let made = if connector.kind == ConnectorKind::Cloud {
                vec![connector::cloud(connector, 100, self.export, &needs, &extensions, report)]
            } else {
                connector::active_directory(connector, &mut rank, self.export, &needs, report)
            };
            for made in made {
                self.names.entry(connector.id.clone()).or_default().push(made.name.clone());
                let path = self.free_path("connectors", &slug(&made.name));
                self.out.files.insert(path, made.text);
            }
        }
    }

    /// Attributes that rules of a forest read or write and our schema does not have, with their types.
    fn unknown_in_forest(&mut self, connector: &Connector) -> BTreeMap<String, String> {
        let mut more = BTreeMap::new();
        let known = self.ground.active_directory;
        for rule in self.rules_of(connector) {
            for name in connector_attributes(rule) {
                let lower = name.to_lowercase();
                if known.attributes.contains_key(&lower) || more.contains_key(&name) || lower == "dn" {
                    continue;
                }
                if known.never_read.contains(&lower) {
                    let list = self.optional.entry(connector.id.clone()).or_default();
                    if !list.contains(&name) {
                        self.out.report.add(
                            Topic::NotCarried,
                            format!("attribute {name} of {}", connector.name),
                            "a directory tells no changes of it (a back link, or computed when read): for the rules it is always absent",
                        );
                        list.push(name);
                    }
                    continue;
                }
                let word = match connector.schema.get(&lower) {
                    Some(attribute) => type_word(attribute.kind, attribute.multi),
                    None => {
                        self.out.report.add(
                            Topic::ToDo,
                            format!("attribute {name} of {}", connector.name),
                            "its type is not known here and taken as text with several values: look at [settings.schema]",
                        );
                        type_word(AttributeType::String, true)
                    }
                };
                more.insert(name, word);
            }
        }
        more
    }

    /// Attributes that rules of the tenant name and our schema does not have: computed with their types, and directory
    /// extensions, which can be written.
    fn unknown_in_cloud(&mut self, connector: &Connector) -> (BTreeMap<String, String>, Vec<String>) {
        let (mut more, mut extensions) = (BTreeMap::new(), BTreeSet::new());
        let known = self.ground.cloud;
        let mut unreadable = BTreeSet::new();
        for rule in self.rules_of(connector) {
            for name in connector_attributes(rule) {
                let lower = name.to_lowercase();
                if known.attributes.contains_key(&lower) || more.contains_key(&name) {
                    continue;
                }
                if lower.starts_with("extension_") {
                    extensions.insert(name);
                    continue;
                }
                if rule.inbound {
                    unreadable.insert(name.clone());
                }
                let typed = connector.schema.get(&lower).map(|a| type_word(a.kind, a.multi));
                let word = typed.unwrap_or_else(|| type_word(AttributeType::String, true));
                more.insert(name, word);
            }
        }
        if !extensions.is_empty() {
            let list = extensions.iter().cloned().collect::<Vec<_>>().join(", ");
            self.out.report.add(
                Topic::ToDo,
                &connector.name,
                format!("directory extensions are written as text; the app registration must be allowed to: {list}"),
            );
        }
        for name in unreadable {
            self.out.report.add(
                Topic::NotCarried,
                format!("attribute {name} of {}", connector.name),
                "Graph does not tell it: for the rules it is always absent",
            );
        }
        self.report_not_writable(connector, &more);
        (more, extensions.into_iter().collect())
    }

    fn report_not_writable(&mut self, connector: &Connector, more: &BTreeMap<String, String>) {
        let mut by_type: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for rule in self.rules_of(connector).into_iter().filter(|rule| !rule.inbound && !rule.disabled) {
            let Some(known) = self.ground.cloud.types.get(&rule.object.to_lowercase()) else { continue };
            let list = by_type.entry(rule.object.clone()).or_default();
            for flow in &rule.flows {
                let read_only =
                    known.read_only.contains(&flow.target.to_lowercase()) || more.contains_key(&flow.target);
                if known.writable && read_only {
                    list.insert(flow.target.clone());
                }
            }
        }
        for (object_type, attributes) in by_type {
            let writable =
                self.ground.cloud.types.get(&object_type.to_lowercase()).is_some_and(|t| t.writable);
            let text = if !writable {
                "all objects of this type".to_owned()
            } else if attributes.is_empty() {
                continue;
            } else {
                attributes.into_iter().collect::<Vec<_>>().join(", ")
            };
            self.out.report.add(Topic::NotWritable, format!("{}, {object_type}", connector.name), text);
            if object_type == "group" {
                self.out.report.add(
                    Topic::NotWritable,
                    format!("{}, {object_type}", connector.name),
                    "groups with mail, and distribution groups, as a whole",
                );
            }
        }
        self.report_links(connector);
        let of_contacts = |rule: &&Rule| rule.object.eq_ignore_ascii_case("contact") && !rule.disabled;
        if self.rules_of(connector).iter().any(|rule| of_contacts(rule) && !rule.inbound) {
            self.out.report.add(
                Topic::Note,
                format!("{}, contact", connector.name),
                "contacts of the tenant are not joined: Graph tells no source anchor of a contact. One that the old synchronisation made and its original are two objects here, and nothing is written to either",
            );
        }
    }

    /// Links that rules flow and Graph has nowhere: there is nothing to compare them with.
    fn report_links(&mut self, connector: &Connector) {
        let known = self.ground.cloud;
        let is_link =
            |name: &str| known.attributes.get(name).is_some_and(|a| a.kind == AttributeType::Reference);
        // What nobody can write on one type may be written on another, as a manager.
        let mut links: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for rule in self.rules_of(connector).into_iter().filter(|rule| !rule.inbound && !rule.disabled) {
            let object_type = rule.object.to_lowercase();
            let Some(of_type) = known.types.get(&object_type) else { continue };
            let targets = rule.flows.iter().map(|flow| &flow.target).filter(|target| {
                let lower = target.to_lowercase();
                is_link(&lower) && of_type.read_only.contains(&lower)
            });
            links.entry(object_type).or_default().extend(targets.cloned());
        }
        for (object_type, links) in links.into_iter().filter(|(_, links)| !links.is_empty()) {
            let list = links.into_iter().collect::<Vec<_>>().join(", ");
            let text = format!(
                "links that nobody can write: not shown by `pending`, which compares links one by one, and these are nowhere: {list}"
            );
            self.out.report.add(Topic::NotWritable, format!("{}, {object_type}", connector.name), text);
        }
    }

    /// The object types that are selected and known here.
    fn object_types(&mut self, connector: &Connector, directory: &Directory) -> Vec<String> {
        const CONTAINERS: [&str; 4] = ["container", "domaindns", "organizationalunit", "builtindomain"];
        let mut out = Vec::new();
        for name in connector.domains.iter().filter(|d| d.selected).flat_map(|d| &d.object_types) {
            let lower = name.to_lowercase();
            if CONTAINERS.contains(&lower.as_str()) || out.contains(name) {
                continue; // containers are always read: they tell where objects are
            }
            if directory.has_type(name) {
                out.push(name.clone());
            } else {
                self.out.report.add(
                    Topic::NotCarried,
                    format!("object type {name} of {}", connector.name),
                    "this connector does not know it",
                );
            }
        }
        out
    }

    /// Attributes that are selected beside those that rules name.
    fn selected(
        &mut self,
        connector: &Connector,
        directory: &Directory,
        more: &BTreeMap<String, String>,
    ) -> Vec<String> {
        if connector.kind != ConnectorKind::ActiveDirectory || connector.attributes.is_empty() {
            return Vec::new();
        }
        let read: BTreeSet<String> = self
            .rules_of(connector)
            .into_iter()
            .flat_map(connector_attributes)
            .map(|name| name.to_lowercase())
            .collect();
        let chosen: BTreeSet<String> = connector.attributes.iter().map(|name| name.to_lowercase()).collect();
        let not_chosen: Vec<&String> =
            read.iter().filter(|name| !chosen.contains(*name) && *name != "dn").collect();
        if !not_chosen.is_empty() {
            let list = not_chosen.into_iter().cloned().collect::<Vec<_>>().join(", ");
            self.out.report.add(
                Topic::Changed,
                &connector.name,
                format!("attributes that rules name and that were not selected are read here: {list}"),
            );
        }
        let mut out = Vec::new();
        for name in connector.attributes.iter().filter(|name| !read.contains(&name.to_lowercase())) {
            if directory.attributes.contains_key(&name.to_lowercase()) || more.contains_key(name) {
                out.push(name.clone());
            } else {
                self.out.report.add(
                    Topic::NotCarried,
                    format!("attribute {name} of {}", connector.name),
                    "it is selected, no rule names it, and this connector does not know it: it is not read",
                );
            }
        }
        out
    }

    fn rules_of(&self, connector: &Connector) -> Vec<&'a Rule> {
        self.export.rules.iter().filter(|rule| rule.connector == connector.id).collect()
    }

    fn metaverse(&mut self) {
        let export = self.export;
        let ground = self.ground;
        let directories = |rule: &Rule| -> Option<Directory> {
            let connector = export.connectors.iter().find(|c| c.id == rule.connector)?;
            Some(match connector.kind {
                ConnectorKind::ActiveDirectory => ground.active_directory.clone(),
                ConnectorKind::Cloud => ground.cloud.clone(),
                ConnectorKind::Other(_) => return None,
            })
        };
        let schema =
            metaverse::schema(export, ground.metaverse, &directories, ground.type_of, &mut self.out.report);
        let shipped = ground.metaverse.attributes.iter().filter(|(_, a)| a.indexed);
        let indexed = shipped.map(|(lower, _)| lower.clone()).collect();
        self.out.files.insert("metaverse.toml".to_owned(), metaverse::file(&schema, &indexed));
    }

    fn rules(&mut self) {
        let mut names: BTreeSet<(String, String)> = BTreeSet::new();
        for (index, rule) in self.export.rules.iter().enumerate() {
            let dropped: Vec<Dropped> =
                self.ground.dropped.iter().filter(|d| d.rule == index).cloned().collect();
            let whole = dropped.iter().find(|d| d.part == Part::Rule).map(|d| d.reason.clone());
            let connectors = self.names.get(&rule.connector).cloned().unwrap_or_default();
            let connector = self.export.connectors.iter().find(|c| c.id == rule.connector);
            let off = if rule.disabled { None } else { self.off(rule, connector) };
            let not_carried =
                whole.or_else(|| connectors.is_empty().then(|| "its connector is not carried".to_owned()));
            let mut name = rule.name.clone();
            let mut number = 2;
            while !names.insert((rule.connector.clone(), name.to_lowercase())) {
                name = format!("{} ({number})", rule.name);
                number += 1;
            }
            if name != rule.name {
                let text = format!("another rule of its connector has this name: it is `{name}` here");
                self.out.report.add(Topic::Changed, format!("rule {}", rule.name), text);
            }
            if let Some(after) = &rule.soft_delete {
                self.out.report.add(
                    Topic::NotCarried,
                    format!("rule {name}"),
                    format!("its soft delete interval of {after}: what leaves is held by `grace` at the target instead"),
                );
            }
            if rule.password_sync {
                self.out.report.add(
                    Topic::Note,
                    format!("rule {name}"),
                    "its mark for password synchronisation is kept; password hashes are not synchronised",
                );
            }
            let optional = self.optional.get(&rule.connector).map(Vec::as_slice).unwrap_or_default();
            let used: Vec<String> = connector_attributes(rule)
                .into_iter()
                .filter(|name| optional.iter().any(|o| o.eq_ignore_ascii_case(name)))
                .collect();
            let form = rule::Form {
                connectors: &connectors,
                name: &name,
                optional: &used,
                off: off.as_deref(),
                dropped: &dropped,
            };
            let file = rule::write(rule, &form);
            let folder = if not_carried.is_some() { "not-carried" } else { "rules" };
            let path = self.free_path(folder, &format!("{:03}-{}", rule.precedence, slug(&name)));
            let report = &mut self.out.report;
            if let Some(reason) = not_carried.as_ref().or(off.as_ref()) {
                report.add(Topic::NotCarried, format!("rule {name}"), format!("{reason} ({path})"));
            }
            for dropped in &dropped {
                if let Part::Flow(flow) = dropped.part {
                    let target = rule.flows.get(flow).map(|f| f.target.as_str()).unwrap_or_default();
                    report.add(
                        Topic::NotCarried,
                        format!("rule {name}, flow to {target}"),
                        dropped.reason.clone(),
                    );
                }
            }
            if not_carried.is_none() {
                report.rules += 1;
                report.flows += file.flows;
                self.out.places.extend(file.parts.into_iter().map(|(lines, part)| Place {
                    path: path.clone(),
                    lines,
                    rule: index,
                    part,
                }));
            }
            self.out.files.insert(path, file.text);
        }
    }

    /// Why a rule does nothing here.
    fn off(&self, rule: &Rule, connector: Option<&Connector>) -> Option<String> {
        let connector = connector?;
        let directory = match connector.kind {
            ConnectorKind::ActiveDirectory => self.ground.active_directory,
            ConnectorKind::Cloud => self.ground.cloud,
            ConnectorKind::Other(_) => return None,
        };
        if !directory.has_type(&rule.object) {
            return Some(format!("this connector does not know the object type `{}`", rule.object));
        }
        let mut chosen =
            connector.domains.iter().filter(|d| d.selected).flat_map(|d| &d.object_types).peekable();
        if chosen.peek().is_some() && !chosen.any(|name| name.eq_ignore_ascii_case(&rule.object)) {
            return Some(format!("the object type `{}` is not selected in its connector", rule.object));
        }
        None
    }

    fn main(&mut self) {
        let anchor = self.export.parameters.get("Microsoft.SynchronizationOption.AnchorAttribute");
        let consistency = match anchor.map(|name| name.to_lowercase()) {
            Some(name) if name == "objectguid" => false,
            Some(name) if name == "ms-ds-consistencyguid" => true,
            Some(name) if !name.is_empty() => {
                self.out.report.add(
                    Topic::Note,
                    "source anchor",
                    format!("it is made of `{name}`, by the rules: they decide, not `source_anchor`"),
                );
                true
            }
            _ => self.export.rules.iter().flat_map(|rule| &rule.flows).any(|flow| {
                matches!(&flow.source, FlowSource::Expression(text)
                    if flow.target.eq_ignore_ascii_case("sourceAnchor")
                        && text.to_lowercase().contains("[ms-ds-consistencyguid]"))
            }),
        };
        let word = if consistency { "consistency-guid" } else { "object-guid" };
        let text = format!(
            "# Imported from Azure AD Connect; what could not be carried is in import-report.txt.\nname = \"Imported from Azure AD Connect\"\n\n\
             # Rules that were imported compute the source anchor themselves; `%SourceAnchor%` in rules of yours is this.\nsource_anchor = \"{word}\"\n\n\
             # Attributes of the metaverse by which `onesync search mv` finds objects at once.\nsearch = [{}]\n",
            self.search().join(", ")
        );
        self.out.files.insert("onesync.toml".to_owned(), text);
    }

    fn search(&self) -> Vec<String> {
        let schema = self.export.metaverse.as_ref().unwrap_or(self.ground.metaverse);
        ["displayName", "userPrincipalName", "mail", "accountName"]
            .into_iter()
            .filter(|name| schema.attributes.contains_key(&name.to_lowercase()))
            .map(toml::text)
            .collect()
    }

    fn free_path(&self, folder: &str, name: &str) -> String {
        let mut path = format!("{folder}/{name}.toml");
        let mut number = 2;
        while self.out.files.contains_key(&path) {
            path = format!("{folder}/{name}-{number}.toml");
            number += 1;
        }
        path
    }
}

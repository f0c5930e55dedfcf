//! From rule files, connectors and schemas to a [`RuleSet`]: names are looked up, rules for a kind of connector or
//! for several object types become one rule each, and whatever is wrong is said with its place.

use std::borrow::Cow;

use onesync_model::{AttrId, AttributeDef, AttributeType, Dn, Names, RuleId, Schema, TypeId, hash128};

use crate::diagnostic::{Place, Sink};
use crate::flows::FlowCompiler;
use crate::reader::{At, ClauseText, ConditionText, RuleText, read_rule};
use crate::scope::{Clause, Operand, Scope, next_parameter};
use crate::suggest::did_you_mean;
use crate::{
    ConnectorInfo, Diagnostic, Direction, JoinCondition, JoinGroup, LinkType, Rule, RuleFile, RuleSet, check,
};

/// Rule files a configuration may have. Azure AD Connect ships 62; a forest more adds about 20.
pub const RULE_FILES_MAX: usize = 5_000;

/// Parameters that every connector has, empty where the configuration gives no value: so that the shipped rules run
/// over sources without domains, and may ask for a default country that nobody set.
const PARAMETERS_EMPTY: [&str; 8] = [
    "Domain.FQDN",
    "Domain.LDAP",
    "Domain.Netbios",
    "Forest.FQDN",
    "Forest.LDAP",
    "Forest.Netbios",
    "SourceAnchor",
    "UsageLocation.Default",
];

/// The result of [`compile`].
#[derive(Debug)]
pub struct Compiled {
    /// The rules; `None` when there are errors.
    pub rules: Option<RuleSet>,
    /// All findings, by file and place.
    pub diagnostics: Vec<Diagnostic>,
}

/// Compiles rule files for the connectors at hand.
///
/// `rule_ids` gives the id of a rule's version: it is asked once per compiled rule, with the connector's and the
/// rule's name (and the object type, where the rule lists several) and a hash of the rule's text, and must give the
/// same id for the same two.
pub fn compile(
    files: &[RuleFile],
    connectors: &[ConnectorInfo],
    metaverse: &Schema,
    names: &mut Names,
    rule_ids: &mut dyn FnMut(&str, &[u8; 16]) -> RuleId,
) -> Compiled {
    let mut sink = Sink::new(files);
    if files.len() > RULE_FILES_MAX {
        sink.error(
            &Place { file: 0, span: 0..0 },
            format!("{} rule files, more than the {RULE_FILES_MAX} allowed", files.len()),
        );
        return Compiled { rules: None, diagnostics: sink.finish() };
    }
    let texts: Vec<RuleText> = (0..files.len())
        .filter_map(|file| read_rule(file, &mut sink))
        .filter(|text| !text.disabled)
        .collect();
    let connectors: Vec<ConnectorInfo> = connectors.iter().map(with_own_parameters).collect();
    let dn = names.intern("dn");
    let mut compiler = Compiler { connectors: &connectors, metaverse, names, sink: &mut sink, rule_ids, dn };
    let mut rules = Vec::new();
    for text in &texts {
        compiler.rule(text, &mut rules);
    }
    check::across_rules(&rules, &texts, &connectors, compiler.names, compiler.sink);
    let set = (!sink.has_errors())
        .then(|| RuleSet::new(rules.into_iter().map(|(rule, _)| rule).collect(), &connectors));
    Compiled { rules: set, diagnostics: sink.finish() }
}

fn with_own_parameters(connector: &ConnectorInfo) -> ConnectorInfo {
    let mut connector = connector.clone();
    let own = [("Connector.ID", connector.id.to_string()), ("Connector.Name", connector.name.clone())];
    let defaults = PARAMETERS_EMPTY.iter().map(|&name| (name, String::new()));
    for (name, value) in own.into_iter().chain(defaults) {
        connector.parameters.entry(name.to_owned()).or_insert(value);
    }
    connector
}

/// Whether objects of a rule's type may have an attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Known {
    /// They may.
    Here,
    /// Objects of other types may.
    Elsewhere,
    /// No object may.
    Nowhere,
}

/// One side of a rule: what it may name there.
pub(crate) struct Side<'a> {
    /// `None` while a connector's schema is not known.
    pub schema: Option<&'a Schema>,
    /// `None` for any type (`*`).
    pub object: Option<TypeId>,
    /// For messages: `connector contoso.com` or `the metaverse`.
    pub place_name: String,
    /// Attributes that may be missing.
    pub optional: &'a [At<String>],
    /// Whether `dn` stands for the distinguished name.
    pub has_dn: bool,
}

impl Side<'_> {
    /// Whether nobody can write an attribute here.
    pub fn is_read_only(&self, id: AttrId) -> bool {
        let Some(schema) = self.schema else { return false };
        match self.object {
            Some(object) => schema.is_read_only(object, id),
            None => schema.attribute(id).is_some_and(|def| def.read_only),
        }
    }

    /// What is known about an attribute here.
    pub fn knows(&self, id: AttrId, name: &str) -> Known {
        let Some(schema) = self.schema else { return Known::Here };
        let here = match self.object {
            Some(object) => schema.allows(object, id),
            None => schema.attributes.contains_key(&id),
        };
        if here || self.is_optional(name) || (self.has_dn && name.eq_ignore_ascii_case("dn")) {
            Known::Here
        } else if schema.attributes.contains_key(&id) {
            Known::Elsewhere
        } else {
            Known::Nowhere
        }
    }

    /// The schema to check an expression with. An attribute it names that this directory lacks may be of any type:
    /// then nothing is checked, unless links are in play, which must be known as such.
    pub fn schema_for(&self, expr: &str, names: &mut Names, like: &Schema) -> Option<Cow<'_, Schema>> {
        let schema = self.schema?;
        if self.optional.is_empty() {
            return Some(Cow::Borrowed(schema));
        }
        let named: Vec<(&str, AttrId)> =
            named_attributes(expr).into_iter().map(|name| (name, names.intern(name))).collect();
        if named.iter().all(|(_, id)| schema.attributes.contains_key(id)) {
            return Some(Cow::Borrowed(schema));
        }
        if !named.iter().any(|&(_, id)| schema.is_link(id) || like.is_link(id)) {
            return None;
        }
        let mut schema = schema.clone();
        for (name, id) in named.into_iter().filter(|(name, _)| self.is_optional(name)) {
            // What the metaverse calls by the same name is taken to be of the same type.
            let def = like.attribute(id).cloned().unwrap_or_else(|| AttributeDef {
                id,
                name: name.to_owned(),
                kind: AttributeType::String,
                multi: false,
                case_exact: false,
                read_only: false,
                length_max: None,
            });
            schema.attributes.entry(id).or_insert(def);
        }
        Some(Cow::Owned(schema))
    }

    fn is_optional(&self, name: &str) -> bool {
        self.optional.iter().any(|pattern| match pattern.value.strip_suffix('*') {
            Some(start) => name.get(..start.len()).is_some_and(|n| n.eq_ignore_ascii_case(start)),
            None => pattern.value.eq_ignore_ascii_case(name),
        })
    }

    /// The names that could have been meant.
    pub fn known_names(&self) -> Vec<&str> {
        let Some(schema) = self.schema else { return Vec::new() };
        schema
            .attributes
            .values()
            .filter(|def| self.object.is_none_or(|object| schema.allows(object, def.id)))
            .map(|def| def.name.as_str())
            .collect()
    }
}

pub(crate) struct Compiler<'a, 'f> {
    connectors: &'a [ConnectorInfo],
    pub metaverse: &'a Schema,
    pub names: &'a mut Names,
    pub sink: &'a mut Sink<'f>,
    rule_ids: &'a mut dyn FnMut(&str, &[u8; 16]) -> RuleId,
    dn: AttrId,
}

impl<'a> Compiler<'a, '_> {
    /// Compiles one file for each connector and object type it is for; each with the index of its text's file.
    fn rule(&mut self, text: &RuleText, out: &mut Vec<(Rule, usize)>) {
        let connectors: Vec<_> = text.connectors.iter().flat_map(|name| self.connectors_of(name)).collect();
        let Some(metaverse) = self.metaverse_type(text) else { return };
        let several = connectors.len() > 1
            || text.objects.len() > 1
            || text.connectors.iter().any(|c| c.value.starts_with("kind:"));
        for connector in connectors {
            for object in &text.objects {
                let id = self.names.intern_type(&object.value);
                let schema = &connector.schema;
                if !schema.types.is_empty() && !schema.types.contains_key(&id) {
                    self.unknown_object(object, connector, several);
                    continue;
                }
                out.extend(self.rule_for(text, connector, object, metaverse).map(|rule| (rule, text.file)));
            }
        }
    }

    fn connectors_of(&mut self, name: &At<String>) -> Vec<&'a ConnectorInfo> {
        if let Some(kind) = name.value.strip_prefix("kind:") {
            let found: Vec<_> = self.connectors.iter().filter(|c| c.kind == kind.trim()).collect();
            if found.is_empty() {
                let hint = did_you_mean(kind, self.connectors.iter().map(|c| c.kind.as_str()));
                self.sink
                    .warning(&name.place, format!("no connector of kind `{kind}`: the rule is for nothing"))
                    .hint_if(hint);
            }
            return found;
        }
        let found: Vec<_> = self.connectors.iter().filter(|c| c.name == name.value).collect();
        if found.is_empty() {
            let known = || self.connectors.iter().map(|c| c.name.as_str());
            let hint = did_you_mean(&name.value, known())
                .unwrap_or_else(|| format!("configured are {}", known().collect::<Vec<_>>().join(", ")));
            self.sink.error(&name.place, format!("unknown connector `{}`", name.value)).hint(hint);
        }
        found
    }

    /// The metaverse type: the inner `None` is `*`.
    #[expect(clippy::option_option, reason = "unknown and any are different")]
    fn metaverse_type(&mut self, text: &RuleText) -> Option<Option<TypeId>> {
        let At { value, place } = &text.metaverse;
        if value == "*" {
            let problem = match (text.direction, text.link.value) {
                (Direction::Outbound, _) => Some("an outbound rule names its metaverse type"),
                (_, LinkType::Provision) => Some("a rule that provisions names its metaverse type"),
                _ if !text.flows.is_empty() => {
                    Some("a rule for any metaverse type only joins, without flows")
                }
                _ => None,
            };
            if let Some(problem) = problem {
                self.sink.error(place, problem).hint("write the type instead of `*`, one rule for each");
                return None;
            }
            return Some(None);
        }
        let id = self.names.find_type(value).filter(|id| self.metaverse.types.contains_key(id));
        if id.is_none() {
            let hint = did_you_mean(value, self.metaverse.types.values().map(|t| t.name.as_str()));
            self.sink.error(place, format!("unknown metaverse object type `{value}`")).hint_if(hint);
        }
        id.map(Some)
    }

    fn unknown_object(&mut self, object: &At<String>, connector: &ConnectorInfo, several: bool) {
        let message = format!("connector `{}` has no object type `{}`", connector.name, object.value);
        if several {
            // A rule for a kind of directory meets directories that lack a type; the rest of it still counts.
            self.sink.note(&object.place, format!("{message}: the rule does nothing there"));
            return;
        }
        let hint = did_you_mean(&object.value, connector.schema.types.values().map(|t| t.name.as_str()));
        self.sink.error(&object.place, message).hint_if(hint);
    }

    fn rule_for(
        &mut self,
        text: &RuleText,
        connector: &'a ConnectorInfo,
        object: &At<String>,
        metaverse: Option<TypeId>,
    ) -> Option<Rule> {
        let object_id = self.names.intern_type(&object.value);
        let cs = Side {
            schema: (!connector.schema.types.is_empty()).then_some(&connector.schema),
            object: Some(object_id),
            place_name: format!("`{}` of connector `{}`", object.value, connector.name),
            optional: &text.optional,
            has_dn: true,
        };
        let mv = Side {
            schema: Some(self.metaverse),
            object: metaverse,
            place_name: format!("`{}` of the metaverse", text.metaverse.value),
            optional: &[],
            has_dn: false,
        };
        let (source, target) = match text.direction {
            Direction::Inbound => (&cs, &mv),
            Direction::Outbound => (&mv, &cs),
        };
        let scope = self.scope(&text.scope, source, connector);
        let join = all(text.join.iter().map(|group| self.join_group(group, &cs, &mv)));
        let flows = FlowCompiler { compiler: self, source, target, connector, rule: text }.flows();
        let key = if text.objects.len() > 1 {
            format!("{}/{}/{}", connector.name, text.name.value, object.value)
        } else {
            format!("{}/{}", connector.name, text.name.value)
        };
        let hash = hash128(&[self.sink.text(text.file).as_bytes()]);
        Some(Rule {
            id: (self.rule_ids)(&key, &hash.0),
            order: 0,
            name: text.name.value.clone(),
            description: text.description.clone(),
            tag: text.tag.clone(),
            file: text.file,
            direction: text.direction,
            connector: connector.id,
            object: object_id,
            metaverse,
            link: text.link.value,
            precedence: text.precedence.value,
            scope: scope?,
            join: join?,
            flows,
            password_sync: text.password_sync,
        })
    }

    fn scope(
        &mut self,
        groups: &[Vec<ClauseText>],
        side: &Side<'_>,
        connector: &ConnectorInfo,
    ) -> Option<Scope> {
        let groups =
            groups.iter().map(|group| all(group.iter().map(|text| self.clause(text, side, connector))));
        all(groups).map(Scope::new)
    }

    fn clause(&mut self, text: &ClauseText, side: &Side<'_>, connector: &ConnectorInfo) -> Option<Clause> {
        let operand = match text.operator.is_membership() {
            true => self.groups(text, side, connector)?,
            false => self.operand(text, side)?,
        };
        for value in &text.values {
            self.parameters_of(&value.value, &value.place, connector);
            let is_mask =
                crate::comparand::parse_integer(&value.value).is_some() || value.value.contains('%');
            if text.operator.is_bitwise() && !is_mask {
                self.sink
                    .error(&value.place, format!("`{}` is no mask of bits", value.value))
                    .hint("write a whole number, e.g. 2 for a disabled account");
                return None;
            }
        }
        let values = text.values.iter().map(|value| value.value.clone()).collect();
        Some(Clause::new(operand, text.attribute.value.clone(), text.operator, values))
    }

    /// What a clause looks at.
    fn operand(&mut self, text: &ClauseText, side: &Side<'_>) -> Option<Operand> {
        let id = self.attribute(&text.attribute, side)?;
        Some(if side.has_dn && id == self.dn {
            Operand::Dn
        } else if side.schema.is_some_and(|schema| schema.is_link(id)) {
            if !text.operator.is_presence() {
                self.sink
                    .error(
                        &text.place,
                        format!(
                            "`{}` holds links: a scope can ask only whether there are any",
                            text.attribute.value
                        ),
                    )
                    .hint("use ISNULL or ISNOTNULL, or flow what you need into an attribute of its own");
                return None;
            }
            Operand::Link(id)
        } else {
            Operand::Attribute(id)
        })
    }

    /// A clause that asks who is a member of a group: inbound, where members are known, by a name that can be one.
    fn groups(&mut self, text: &ClauseText, side: &Side<'_>, connector: &ConnectorInfo) -> Option<Operand> {
        let operator = text.operator.as_str();
        if !side.has_dn {
            self.sink
                .error(&text.place, format!("`{operator}` asks for groups of a directory, and an outbound scope looks at the metaverse"))
                .hint("flow a constant into a metaverse attribute by an inbound rule with this scope, and ask for that here");
            return None;
        }
        let schema = side.schema.filter(|schema| !schema.types.is_empty());
        if schema.is_some_and(|schema| crate::membership(schema).is_empty()) {
            self.sink
                .error(&text.place, format!("`{operator}` asks for members of groups, and {} has no attribute `member`, `members` or `uniqueMember` that holds links", side.place_name))
                .hint("select the objects by another attribute");
            return None;
        }
        for value in &text.values {
            if let Err(why) = self.is_name_of_group(&value.value, connector) {
                self.sink.error(&value.place, format!("`{}` names no group: {why}", value.value)).hint(
                    "write its distinguished name, e.g. CN=Staff,OU=Groups,DC=contoso,DC=com, or its anchor (objectGUID, id)",
                );
                return None;
            }
        }
        Some(Operand::Groups)
    }

    /// Whether text can be a name of a group, as far as its parameters are set.
    fn is_name_of_group(&self, text: &str, connector: &ConnectorInfo) -> Result<(), String> {
        let parameter = |name: &str| match connector.parameters.get(name)?.as_str() {
            "" => Some("DC=x"),
            set => Some(set),
        };
        let Ok(text) = crate::scope::substitute_with(text, parameter) else { return Ok(()) };
        match Dn::parse(&text) {
            Ok(dn) if dn.is_root() => Err("it is empty".to_owned()),
            Ok(_) => Ok(()),
            Err(error) if text.contains('=') => Err(error.to_string()),
            // The anchors of these are GUIDs.
            Err(_) if matches!(connector.kind.as_str(), "ad" | "graph") && !is_guid(&text) => {
                Err("it is neither a distinguished name nor a GUID".to_owned())
            }
            Err(_) => Ok(()),
        }
    }

    /// Warns of each `%Name%` in a scope value that is not set.
    fn parameters_of(&mut self, text: &str, place: &Place, connector: &ConnectorInfo) {
        let mut rest = text;
        while let Some((_, name, after)) = next_parameter(rest) {
            rest = after;
            self.parameter(name, place, connector);
        }
    }

    /// Warns of a `%Name%` that is not set.
    pub fn parameter(&mut self, name: &str, place: &Place, connector: &ConnectorInfo) {
        if connector.parameters.contains_key(name) {
            return;
        }
        let hint = did_you_mean(name, connector.parameters.keys().map(String::as_str))
            .unwrap_or_else(|| format!("add `{name}` to the parameters of connector `{}`", connector.name));
        let message = format!("parameter `%{name}%` is not set for connector `{}`", connector.name);
        self.sink.warning(place, message).hint(hint);
    }

    fn join_group(&mut self, group: &[ConditionText], cs: &Side<'_>, mv: &Side<'_>) -> Option<JoinGroup> {
        let conditions = all(group.iter().map(|condition| self.join_condition(condition, cs, mv)))?;
        Some(JoinGroup { conditions })
    }

    fn join_condition(
        &mut self,
        text: &ConditionText,
        cs: &Side<'_>,
        mv: &Side<'_>,
    ) -> Option<JoinCondition> {
        let (connector, metaverse) =
            (self.attribute(&text.connector, cs), self.attribute(&text.metaverse, mv));
        let (connector, metaverse) = (connector?, metaverse?);
        if connector == self.dn {
            self.sink
                .error(&text.connector.place, "objects cannot be joined by their distinguished name")
                .hint("join on an attribute that does not change, e.g. objectGUID or employeeID");
            return None;
        }
        for (id, name, side) in [(connector, &text.connector, cs), (metaverse, &text.metaverse, mv)] {
            if side.schema.is_some_and(|schema| schema.is_link(id)) {
                self.sink
                    .error(&name.place, format!("`{}` holds links and cannot be joined on", name.value))
                    .hint("join on an attribute with values");
                return None;
            }
        }
        Some(JoinCondition { connector, metaverse, case_sensitive: text.case_sensitive })
    }

    /// Looks up an attribute that is read on one side. That objects of the type lack it is a warning where it is the
    /// directory who says so: directories add classes to single objects.
    pub fn attribute(&mut self, name: &At<String>, side: &Side<'_>) -> Option<AttrId> {
        let id = self.names.intern(&name.value);
        match side.knows(id, &name.value) {
            Known::Here => {}
            Known::Elsewhere if side.has_dn => self.of_another_type(&name.value, &name.place, side),
            Known::Elsewhere | Known::Nowhere => {
                self.unknown_attribute(&name.value, &name.place, side);
                return None;
            }
        }
        Some(id)
    }

    /// Looks up an attribute that is written on one side.
    pub fn target(&mut self, name: &At<String>, side: &Side<'_>) -> Option<AttrId> {
        let id = self.names.intern(&name.value);
        // Where objects can be found by a name, a rule may give one: it is computed, and nobody writes it.
        let is_dn =
            id == self.dn && side.has_dn && side.schema.is_some_and(|s| s.attributes.contains_key(&id));
        if side.knows(id, &name.value) == Known::Here && (id != self.dn || is_dn) {
            return Some(id);
        }
        self.unknown_attribute(&name.value, &name.place, side);
        None
    }

    pub fn of_another_type(&mut self, name: &str, place: &Place, side: &Side<'_>) {
        self.sink
            .warning(place, format!("{} has no attribute `{name}`: it is always absent", side.place_name))
            .hint("remove it, or list it under `optional`");
    }

    pub fn unknown_attribute(&mut self, name: &str, place: &Place, side: &Side<'_>) {
        let elsewhere = side.schema.is_some_and(|schema| {
            self.names.find(name).is_some_and(|id| schema.attributes.contains_key(&id))
        });
        let hint = if elsewhere {
            format!("`{name}` exists, but not for objects of this type")
        } else if let Some(hint) = did_you_mean(name, side.known_names()) {
            hint
        } else if side.has_dn {
            "`onesync connector schema NAME` lists what there is; list it under `optional` if directories may lack it"
                .to_owned()
        } else {
            "add it to metaverse.toml".to_owned()
        };
        self.sink.error(place, format!("unknown attribute `{name}` for {}", side.place_name)).hint(hint);
    }
}

/// Whether text has the digits of a GUID, with or without hyphens and braces.
fn is_guid(text: &str) -> bool {
    let digits = text.trim().trim_matches(['{', '}']).chars().filter(|c| *c != '-');
    digits.clone().count() == 32 && digits.clone().all(|c| c.is_ascii_hexdigit())
}

/// Takes all items before it gives up, so that each says what is wrong with it.
fn all<T>(items: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let items: Vec<Option<T>> = items.collect();
    items.into_iter().collect()
}

/// The attributes that an expression names: `[name]`, `ImportedValue("name")`, `ValueCount("name")`.
fn named_attributes(expr: &str) -> Vec<&str> {
    let between = |open: &'static str, close: char| {
        expr.split(open).skip(1).filter_map(move |rest| rest.split_once(close).map(|(name, _)| name))
    };
    between("[", ']').chain(between("ImportedValue(\"", '"')).chain(between("ValueCount(\"", '"')).collect()
}

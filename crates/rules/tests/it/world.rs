//! A small world to compile rules for: an Active Directory, a second one, a tenant.

use std::collections::BTreeMap;

use onesync_expr::{Env, Source};
use onesync_model::{
    AttrId, AttributeDef, AttributeType, Bag, ConnectorId, Image, Names, ObjectTypeDef, RuleId, Schema, Time,
    TypeId, ValuesRef,
};
use onesync_rules::{Compiled, ConnectorInfo, METAVERSE, RuleFile, compile, read_metaverse};

pub const CONTOSO: ConnectorId = ConnectorId(1);
pub const FABRIKAM: ConnectorId = ConnectorId(2);
pub const ENTRA: ConnectorId = ConnectorId(3);

pub struct World {
    pub names: Names,
    pub connectors: Vec<ConnectorInfo>,
    pub metaverse: Schema,
}

impl World {
    pub fn new() -> Self {
        let mut names = Names::new();
        let metaverse = read_metaverse(METAVERSE, &mut names).unwrap();
        let ad = schema(include_str!("ad.schema"), &mut names);
        let graph = schema(include_str!("graph.schema"), &mut names);
        let connector =
            |id, name: &str, kind: &str, rank, schema: &Schema, parameters: &[(&str, &str)]| ConnectorInfo {
                id,
                name: name.into(),
                kind: kind.into(),
                rank,
                schema: schema.clone(),
                parameters: parameters.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect(),
            };
        let domain = [
            ("Domain.FQDN", "contoso.com"),
            ("Domain.Netbios", "CONTOSO"),
            ("Forest.FQDN", "contoso.com"),
            ("Forest.Netbios", "CONTOSO"),
        ];
        let connectors = vec![
            connector(CONTOSO, "contoso.com", "ad", 1, &ad, &domain),
            connector(FABRIKAM, "fabrikam.com", "ad", 2, &ad, &[]),
            connector(ENTRA, "entra", "graph", 3, &graph, &[("UsageLocation.Default", "DE")]),
        ];
        Self { names, connectors, metaverse }
    }

    /// Only these connectors.
    pub fn with(mut self, ids: &[ConnectorId]) -> Self {
        self.connectors.retain(|connector| ids.contains(&connector.id));
        self
    }

    /// Compiles; rule ids count up from 1.
    pub fn compile(&mut self, files: &[RuleFile]) -> Compiled {
        let mut ids = BTreeMap::new();
        compile(files, &self.connectors, &self.metaverse, &mut self.names, &mut |key, hash| {
            let next = RuleId(u32::try_from(ids.len() + 1).unwrap());
            *ids.entry((key.to_owned(), *hash)).or_insert(next)
        })
    }

    pub fn attribute(&self, name: &str) -> AttrId {
        self.names.find(name).unwrap_or_else(|| panic!("{name} is not known"))
    }

    pub fn object_type(&self, name: &str) -> TypeId {
        self.names.find_type(name).unwrap_or_else(|| panic!("{name} is not known"))
    }
}

/// Reads `types | kind | single or multi | names` lines.
fn schema(text: &str, names: &mut Names) -> Schema {
    let mut schema = Schema::default();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let [types, kind, multi, attributes] =
            line.split('|').map(str::trim).collect::<Vec<_>>().try_into().unwrap();
        for attribute in attributes.split(' ') {
            let name = attribute.trim_start_matches('!');
            let id = names.intern(name);
            schema.attributes.insert(
                id,
                AttributeDef {
                    id,
                    name: name.into(),
                    kind: AttributeType::parse(kind).unwrap(),
                    multi: multi == "multi",
                    case_exact: false,
                    read_only: attribute.starts_with('!'),
                    length_max: None,
                },
            );
            for object_type in types.split(' ') {
                let def = schema.types.entry(names.intern_type(object_type)).or_insert_with(|| {
                    ObjectTypeDef { name: object_type.into(), writable: true, ..ObjectTypeDef::default() }
                });
                def.attributes.push(id);
            }
        }
    }
    schema
}

/// One object as rules see it.
#[derive(Default)]
pub struct Object {
    pub image: Option<Image>,
    pub dn: Option<String>,
    pub links: BTreeMap<AttrId, u64>,
    pub parameters: BTreeMap<String, String>,
}

impl Object {
    pub fn set_image(&mut self, bag: &Bag) {
        self.image = Some(Image::from_bag(bag));
    }
}

impl Source for Object {
    fn values(&self, attribute: AttrId) -> Option<ValuesRef<'_>> {
        self.image.as_ref()?.as_ref().get(attribute)
    }

    fn imported(&self, attribute: AttrId) -> Option<ValuesRef<'_>> {
        self.values(attribute)
    }

    fn dn(&self) -> Option<&str> {
        self.dn.as_deref()
    }

    fn link_count(&self, attribute: AttrId) -> u64 {
        self.links.get(&attribute).copied().unwrap_or(0)
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }
}

pub fn env() -> Env {
    Env { now: "2026-11-23T10:00:00Z".parse::<Time>().unwrap(), seed: 1 }
}

//! The stock rules over objects written by hand: `stories/*.json` has an object of a directory, and every attribute
//! it must have in the metaverse and in the cloud: no more, no less.

use std::collections::BTreeMap;
use std::path::Path;

use onesync_expr::Outcome;
use onesync_model::{AttrId, Bag, bag_from_json, values_to_json};
use onesync_rules::{Flow, LinkType, MergeType, Rule, RuleSet, Severity, Topology, render, stock_rules};
use serde_json::{Map, Value as Json, json};

use crate::world::{CONTOSO, ENTRA, Object, World, env};

/// What flows to one object: attribute names with values; links as `{"$link": source}`.
type Flowed = BTreeMap<String, Json>;

#[test]
fn stock_rules_give_exactly_the_expected_attributes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/stories");
    let mut count = 0;
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let story: Json = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        tell(&story, &path.display().to_string());
        count += 1;
    }
    assert!(count >= 8, "stories are missing: {count}");
}

fn tell(story: &Json, path: &str) {
    let mut world = World::new().with(&[CONTOSO, ENTRA]);
    let files = stock_rules(Topology::SingleForest, "ad");
    let rules = world.compile(&files).rules.unwrap();
    let object_type = story["type"].as_str().unwrap();
    let source = object(&mut world, &rules, story);
    let inbound: Vec<&Rule> = rules
        .inbound(CONTOSO, world.object_type(object_type))
        .filter(|rule| rule.scope.holds(&source).unwrap())
        .collect();
    let provisions = inbound.iter().find(|rule| rule.link == LinkType::Provision);
    let Some(mv_type) = provisions.and_then(|rule| rule.metaverse) else {
        assert_eq!(story.get("metaverse"), None, "{path}: out of scope, but a metaverse object is expected");
        return;
    };
    let (flowed, image, links) = flow(&world, &inbound, &source);
    assert_eq!(json!(flowed), story["metaverse"], "{path}: metaverse\n{}", pretty(&flowed));

    let mut person = Object { parameters: rules.parameters(ENTRA).clone(), ..Object::default() };
    person.set_image(&image);
    person.links = links.into_iter().map(|link| (link, 1)).collect();
    let mut outbound: Vec<&Rule> =
        rules.outbound_for(ENTRA, mv_type).filter(|rule| rule.scope.holds(&person).unwrap()).collect();
    let provisioned = outbound.iter().find(|rule| rule.link == LinkType::Provision).map(|rule| rule.object);
    let Some(cloud_type) = provisioned else {
        assert_eq!(story.get("cloud"), None, "{path}: not provisioned, but expected in the cloud");
        return;
    };
    outbound.retain(|rule| rule.object == cloud_type);
    let (mut flowed, ..) = flow(&world, &outbound, &person);
    flowed.insert("$type".into(), world.names.type_name(cloud_type).into());
    assert_eq!(json!(flowed), story["cloud"], "{path}: cloud\n{}", pretty(&flowed));
}

fn object(world: &mut World, rules: &RuleSet, story: &Json) -> Object {
    let mut attributes: Map<String, Json> = story["attributes"].as_object().unwrap().clone();
    let dn = attributes.remove("dn").map(|dn| dn.as_str().unwrap().to_owned());
    let mut source = Object { dn, parameters: rules.parameters(CONTOSO).clone(), ..Object::default() };
    source.set_image(&bag_from_json(&attributes, |name| world.names.intern(name)).unwrap());
    for (name, count) in story.get("links").and_then(Json::as_object).into_iter().flatten() {
        source.links.insert(world.attribute(name), count.as_u64().unwrap());
    }
    source
}

/// Resolves the flows of rules in scope, the first value winning, as precedence asks.
fn flow(world: &World, rules: &[&Rule], source: &Object) -> (Flowed, Bag, Vec<AttrId>) {
    let mut by_target: BTreeMap<AttrId, Vec<&Flow>> = BTreeMap::new();
    for flow in rules.iter().flat_map(|rule| &rule.flows) {
        assert_eq!(flow.merge, MergeType::Update, "no stock rule merges");
        by_target.entry(flow.target).or_default().push(flow);
    }
    let (mut flowed, mut bag, mut links) = (Flowed::new(), Bag::new(), Vec::new());
    for (target, flows) in by_target {
        let name = world.names.name(target).to_owned();
        for flow in flows {
            match flow.evaluate(source, &env()).unwrap_or_else(|e| panic!("{name}: {e}")).outcome {
                Outcome::Values(values) => {
                    flowed.insert(name, values_to_json(&values));
                    bag.set(target, Some(values));
                    break;
                }
                Outcome::Link(link) => {
                    if source.links.contains_key(&link) {
                        flowed.insert(name, json!({ "$link": world.names.name(link) }));
                        links.push(target);
                    }
                    break;
                }
                Outcome::Null | Outcome::IgnoreThisFlow => {}
                Outcome::AuthoritativeNull => break,
            }
        }
    }
    (flowed, bag, links)
}

fn pretty(flowed: &Flowed) -> String {
    serde_json::to_string_pretty(flowed).unwrap()
}

#[test]
fn stock_rules_compile_without_warnings_for_every_topology_and_kind_of_source() {
    for topology in [Topology::SingleForest, Topology::MultiForestMail, Topology::AccountResource] {
        for kind in ["ad", "ldif", "jsonl"] {
            let mut world = World::new();
            for connector in &mut world.connectors {
                if connector.kind == "ad" {
                    connector.kind = kind.into();
                }
            }
            let files = stock_rules(topology, kind);
            let compiled = world.compile(&files);
            for found in &compiled.diagnostics {
                assert_eq!(found.severity, Severity::Note, "{topology:?} {kind}\n{}", render(found, &files));
                assert!(found.message.contains("read-only"), "{}", render(found, &files));
            }
            let rules = compiled.rules.unwrap();
            assert!(rules.rules().len() > 40);
        }
    }
}

#[test]
fn the_source_anchor_is_applied_once_and_joins_exactly() {
    let mut world = World::new();
    let rules = world.compile(&stock_rules(Topology::SingleForest, "ad")).rules.unwrap();
    let anchor = world.attribute("sourceAnchor");
    let (user, group) = (world.object_type("user"), world.object_type("group"));
    for object_type in [user, group] {
        let flows: Vec<_> =
            rules.inbound(CONTOSO, object_type).filter_map(|rule| rule.flow(anchor)).collect();
        assert!(!flows.is_empty() && flows.iter().all(|flow| flow.once));
    }
    let joins: Vec<_> = rules.inbound(ENTRA, user).flat_map(|rule| &rule.join).collect();
    assert!(
        joins.iter().flat_map(|group| &group.conditions).all(|c| c.metaverse == anchor && c.case_sensitive)
    );
    assert!(rules.join_attributes_mv().contains(&anchor));
    assert!(rules.join_attributes_cs(CONTOSO).contains(&world.attribute("objectSid")));
}

#[test]
fn stock_rules_run_over_a_file_that_has_few_attributes() {
    let mut world = World::new().with(&[CONTOSO, ENTRA]);
    world.connectors[0].kind = "jsonl".into();
    let user = world.object_type("user");
    let few = ["objectGUID", "objectSid", "sAMAccountName", "displayName"].map(|name| world.attribute(name));
    let schema = &mut world.connectors[0].schema;
    schema.types.retain(|id, _| *id == user);
    schema.types.get_mut(&user).unwrap().attributes.retain(|id| few.contains(id));
    schema.attributes.retain(|id, _| few.contains(id));
    let files = stock_rules(Topology::SingleForest, "jsonl");
    let compiled = world.compile(&files);
    for found in &compiled.diagnostics {
        assert_eq!(found.severity, Severity::Note, "{}", render(found, &files));
    }
    let rules = compiled.rules.unwrap();
    let story = json!({ "attributes": { "displayName": "Anna", "sAMAccountName": "anna", "objectGUID": { "$bin": "AAE=" } } });
    let source = object(&mut world, &rules, &story);
    let inbound: Vec<&Rule> =
        rules.inbound(CONTOSO, user).filter(|rule| rule.scope.holds(&source).unwrap()).collect();
    let (flowed, ..) = flow(&world, &inbound, &source);
    assert_eq!(flowed["sourceAnchor"], json!("AAE="));
    assert_eq!(flowed["accountEnabled"], json!(false), "without userAccountControl nobody is enabled");
}

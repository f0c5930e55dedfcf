//! The rule set as the engine uses it: order, lookups, ids, parameters.

use onesync_model::RuleId;
use onesync_rules::{Direction, RuleFile, compile};

use crate::world::{CONTOSO, ENTRA, FABRIKAM, World};

fn rule(name: &str, rest: &str) -> RuleFile {
    RuleFile { path: format!("{name}.toml"), text: format!("name = \"{name}\"\n{rest}") }
}

fn inbound(name: &str, connector: &str, precedence: u32, flow: &str) -> RuleFile {
    rule(
        name,
        &format!(
            "direction = \"inbound\"\nconnector = \"{connector}\"\nobject = \"user\"\nmetaverse = \"person\"\n\
             link = \"provision\"\nprecedence = {precedence}\n[[join]]\n\
             conditions = [{{ connector = \"mail\", metaverse = \"mail\" }}]\n[flow]\nmail = \"[mail]\"\n{flow}"
        ),
    )
}

#[test]
fn rules_win_by_precedence_then_by_the_rank_of_their_connector() {
    let mut world = World::new();
    // The file order and the order of connectors say the reverse.
    world.connectors.reverse();
    let files = [inbound("late", "kind:ad", 200, ""), inbound("early", "kind:ad", 100, "")];
    let rules = world.compile(&files).rules.unwrap();
    let order: Vec<_> = rules.rules().iter().map(|r| (r.name.as_str(), r.connector)).collect();
    assert_eq!(order, [("early", CONTOSO), ("early", FABRIKAM), ("late", CONTOSO), ("late", FABRIKAM)]);
    assert!(rules.rules().iter().enumerate().all(|(index, r)| r.order as usize == index));
    let user = world.object_type("user");
    let names: Vec<_> = rules.inbound(FABRIKAM, user).map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["early", "late"]);
    assert_eq!(rules.inbound(ENTRA, user).len(), 0);
    assert_eq!(rules.connector_order(), [CONTOSO, FABRIKAM, ENTRA]);
    let first = &rules.rules()[0];
    assert_eq!(rules.rule(first.id).map(|r| r.order), Some(0));
    assert!(rules.rule(RuleId(999)).is_none());
}

#[test]
fn flows_come_by_target_and_then_by_who_wins() {
    let mut world = World::new();
    let flow = "givenName = \"[givenName]\"\n";
    let files = [inbound("late", "kind:ad", 200, flow), inbound("early", "kind:ad", 100, "sn = \"[sn]\"\n")];
    let rules = world.compile(&files).rules.unwrap();
    let user = world.object_type("user");
    let of = |wanted: &[&str]| {
        let in_scope: Vec<_> =
            rules.inbound(CONTOSO, user).filter(|rule| wanted.contains(&rule.name.as_str())).collect();
        let mut flows = Vec::new();
        let order = rules.inbound_flows(CONTOSO, user);
        order.each_of(&in_scope, |rule, flow| flows.push((flow.target, rule.name.clone())));
        flows
    };
    let [mail, given, sn] = ["mail", "givenName", "sn"].map(|name| world.attribute(name));
    let mut expected = vec![
        (mail, "early".to_owned()),
        (mail, "late".to_owned()),
        (given, "late".to_owned()),
        (sn, "early".to_owned()),
    ];
    expected.sort_by_key(|(target, _)| *target);
    assert_eq!(of(&["early", "late"]), expected);
    expected.retain(|(_, rule)| rule == "late");
    assert_eq!(of(&["late"]), expected);
    assert_eq!(of(&[]), []);
    let ranks: Vec<_> = rules.rules().iter().flat_map(|rule| &rule.flows).map(|flow| flow.rank).collect();
    assert!((0..ranks.len() as u32).all(|rank| ranks.contains(&rank)));
    let all: Vec<_> = rules.rules().iter().collect();
    let mut none = true;
    rules.outbound_flows(ENTRA, world.object_type("person")).each_of(&all, |_, _| none = false);
    assert!(none, "no rule goes there");
}

#[test]
fn outbound_rules_are_found_by_metaverse_type_and_connector() {
    let mut world = World::new();
    let out = |name: &str, connector: &str, precedence: u32| {
        rule(
            name,
            &format!(
                "direction = \"outbound\"\nconnector = \"{connector}\"\nobject = \"user\"\nmetaverse = \"person\"\n\
                 link = \"provision\"\nprecedence = {precedence}\n[flow]\nmail = \"[mail]\"\n"
            ),
        )
    };
    let files = [out("cloud", "entra", 10), out("back", "kind:ad", 20), inbound("in", "contoso.com", 1, "")];
    let rules = world.compile(&files).rules.unwrap();
    let person = world.object_type("person");
    let found: Vec<_> = rules.outbound(person).map(|(connector, rules)| (connector, rules.len())).collect();
    assert_eq!(found, [(CONTOSO, 1), (FABRIKAM, 1), (ENTRA, 1)]);
    assert_eq!(rules.outbound_for(ENTRA, person).next().map(|r| r.name.as_str()), Some("cloud"));
    assert_eq!(rules.outbound(world.object_type("group")).count(), 0);
    assert_eq!(rules.rules().iter().filter(|r| r.direction == Direction::Outbound).count(), 3);
}

#[test]
fn a_rule_keeps_its_id_until_its_text_changes() {
    let mut asked = Vec::new();
    for flow in ["", "", "givenName = \"[givenName]\"\n"] {
        let mut world = World::new();
        let files = [inbound("a", "kind:ad", 1, flow)];
        let compiled =
            compile(&files, &world.connectors, &world.metaverse, &mut world.names, &mut |key, hash| {
                asked.push((key.to_owned(), *hash));
                RuleId(u32::try_from(asked.len()).unwrap())
            });
        assert!(compiled.rules.is_some());
    }
    assert_eq!(asked.len(), 6);
    assert_eq!(asked[0].0, "contoso.com/a");
    assert_eq!(asked[1].0, "fabrikam.com/a");
    assert_eq!((&asked[0], &asked[1]), (&asked[2], &asked[3]));
    assert_ne!(asked[0].1, asked[4].1);
}

#[test]
fn every_connector_has_its_parameters() {
    let mut world = World::new();
    let rules = world.compile(&[]).rules.unwrap();
    assert_eq!(rules.parameters(CONTOSO)["Connector.ID"], "1");
    assert_eq!(rules.parameters(CONTOSO)["Domain.FQDN"], "contoso.com");
    assert_eq!(rules.parameters(FABRIKAM)["Domain.FQDN"], "");
    assert_eq!(rules.parameters(ENTRA)["UsageLocation.Default"], "DE");
}

#[test]
fn a_disabled_rule_is_not_there_and_an_unknown_schema_is_not_checked() {
    let mut world = World::new();
    let mut disabled = inbound("a", "no such connector", 1, "");
    disabled.text = format!("disabled = true\n{}", disabled.text);
    assert_eq!(world.compile(&[disabled]).rules.map(|rules| rules.rules().len()), Some(0));
    world.connectors[0].schema = onesync_model::Schema::default();
    let unseen = inbound("b", "contoso.com", 1, "employeeID = \"[personnelNumber]\"\n");
    let compiled = world.compile(&[unseen]);
    assert_eq!(compiled.diagnostics, []);
}

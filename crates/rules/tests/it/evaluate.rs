//! One flow over one object: what it gives, for how long, and how it fails.

use onesync_expr::{EvalError, Evaluated, Outcome};
use onesync_model::{AttrId, Bag, Time, Value, Values};
use onesync_rules::{FlowSource, MergeType, RuleFile, RuleSet};

use crate::world::{CONTOSO, Object, World, env};

fn rules(world: &mut World, object: &str, metaverse: &str, rest: &str) -> RuleSet {
    let text = format!(
        "name = \"a\"\ndirection = \"inbound\"\nconnector = \"contoso.com\"\nobject = \"{object}\"\n\
         metaverse = \"{metaverse}\"\nlink = \"provision\"\nprecedence = 1\n{rest}"
    );
    let compiled = world.compile(&[RuleFile { path: "a.toml".into(), text }]);
    compiled.rules.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics))
}

fn person(world: &World, attributes: &[(&str, Value)]) -> Object {
    let mut bag = Bag::new();
    for (name, value) in attributes {
        bag.set(world.attribute(name), Some(Values::one(value.clone())));
    }
    let mut object = Object::default();
    object.set_image(&bag);
    object
}

fn evaluate(world: &World, rules: &RuleSet, target: &str, object: &Object) -> Result<Evaluated, EvalError> {
    let target: AttrId = world.attribute(target);
    rules.rules()[0].flow(target).unwrap().evaluate(object, &env()).map_err(|failure| failure.error)
}

fn value(result: Result<Evaluated, EvalError>) -> Option<Value> {
    match result.unwrap().outcome {
        Outcome::Values(values) => Some(values.first().clone()),
        Outcome::Null => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn direct_constant_and_computed_values_get_the_type_of_their_target() {
    let mut world = World::new();
    let rules = rules(
        &mut world,
        "user",
        "person",
        "[flow]\ncn = \"[cn]\"\ninfo = \"[countryCode]\"\ncountryCode = \"[employeeID]\"\n\
         accountEnabled = { constant = \"TRUE\" }\ndisplayName = 'Left([displayName], 3)'\n\
         sourceObjectType = '\"User\"'\n",
    );
    let anna =
        person(&world, &[("cn", "Anna".into()), ("countryCode", 276.into()), ("employeeID", "17".into())]);
    let get = |target| value(evaluate(&world, &rules, target, &anna));
    assert_eq!(get("cn"), Some("Anna".into()));
    assert_eq!(get("info"), Some("276".into()));
    assert_eq!(get("countryCode"), Some(17.into()));
    assert_eq!(get("accountEnabled"), Some(true.into()));
    assert_eq!(get("displayName"), None, "Left gives an empty text for an absent attribute: no value");
    assert_eq!(get("sourceObjectType"), Some("User".into()));
    let wrong = person(&world, &[("employeeID", "x17".into())]);
    let error = evaluate(&world, &rules, "countryCode", &wrong).unwrap_err();
    assert!(
        matches!(&error, EvalError::Failed { message, .. } if message.contains("`x17` is string")),
        "{error:?}"
    );
}

#[test]
fn an_error_on_purpose_is_told_from_a_failure() {
    let mut world = World::new();
    let rules = rules(
        &mut world,
        "user",
        "person",
        "[flow]\ncn = 'IIF(IsPresent([cn]), [cn], Error(\"no name\"))'\nsn = 'Item([otherMobile], 5)'\n",
    );
    let nobody = person(&world, &[("otherMobile", "1".into())]);
    assert_eq!(evaluate(&world, &rules, "cn", &nobody), Err(EvalError::Raised("no name".into())));
    assert!(matches!(evaluate(&world, &rules, "sn", &nobody), Err(EvalError::Failed { .. })));
    assert!(rules.rules()[0].flow(world.attribute("cn")).unwrap().can_raise_error());
    assert!(!rules.rules()[0].flow(world.attribute("sn")).unwrap().can_raise_error());
}

#[test]
fn links_flow_whole_guarded_or_counted() {
    let mut world = World::new();
    let rules = rules(
        &mut world,
        "group",
        "group",
        "[flow]\nmember = \"IIF(IsPresent([mail]), [member], NULL)\"\nmanagedBy = \"[managedBy]\"\n\
         memberCount = 'ValueCount(\"member\")'\n",
    );
    let (member, managed_by) = (world.attribute("member"), world.attribute("managedBy"));
    let mut sales = person(&world, &[("mail", "sales@contoso.com".into())]);
    sales.links.insert(member, 40);
    let nobody = person(&world, &[]);
    let outcome = |target, object| evaluate(&world, &rules, target, object).unwrap().outcome;
    assert_eq!(outcome("member", &sales), Outcome::Link(member));
    assert_eq!(outcome("member", &nobody), Outcome::Null);
    assert_eq!(outcome("managedBy", &sales), Outcome::Link(managed_by));
    assert_eq!(outcome("memberCount", &sales), Outcome::Values(Values::one(40.into())));
    let rule = &rules.rules()[0];
    assert!(matches!(&rule.flow(member).unwrap().source, FlowSource::Link(link) if link.guard.is_some()));
    let read: Vec<_> = rule.flow(member).unwrap().attributes().collect();
    assert!(read.contains(&member) && read.contains(&world.attribute("mail")));
}

#[test]
fn values_of_the_clock_are_valid_until_they_flip_and_are_rechecked() {
    let mut world = World::new();
    let flows = "[flow]\naccountEnabled = 'IIF(Now() > CDate(\"2027-03-01\"), False, True)'\n\
                 employeeHireDate = { expr = \"Now()\", once = true }\n\
                 department = 'IIF(FormatDateTime(Now(), \"HH\") = \"00\", \"night\", \"day\")'\n\
                 manager = 'IIF(FormatDateTime(Now(), \"HH\") = \"00\", NULL, [manager])'\n";
    let always = rules(&mut world, "user", "person", flows);
    let anna = person(&world, &[]);
    let of = |rules, target| evaluate(&world, rules, target, &anna).unwrap().valid_until;
    let until = |rules| of(rules, "accountEnabled");
    let flip: Time = "2027-03-01T00:00:00Z".parse().unwrap();
    assert!(
        until(&always).is_some_and(|at| at >= flip && at <= flip.plus_seconds(1)),
        "{:?}",
        until(&always)
    );
    let hired = always.rules()[0].flow(world.attribute("employeeHireDate")).unwrap();
    assert!(hired.once && hired.uses_clock());
    let mut world_again = World::new();
    let often = rules(&mut world_again, "user", "person", &format!("recheck = \"12h\"\n{flows}"));
    assert_eq!(until(&often), until(&always), "a comparison has its own end");
    for target in ["department", "manager"] {
        let midnight = of(&always, target).unwrap();
        assert_eq!(midnight.seconds() % 86_400, 0);
        assert_eq!(of(&often, target), Some(env().now.plus_seconds(12 * 3_600)), "{target}");
    }
}

#[test]
fn scope_join_and_merge_are_as_written() {
    let mut world = World::new();
    let rules = rules(
        &mut world,
        "user",
        "person",
        "password_sync = true\ndescription = \"why\"\ntag = \"Test.A\"\n\
         [[scope]]\nclauses = [{ attribute = \"cn\", operator = \"EQUAL\", value = \"a\" }, \
         { attribute = \"dn\", operator = \"ENDSWITH\", value = \"OU=x\" }]\n\
         [[scope]]\nclauses = [{ attribute = \"cn\", operator = \"ISIN\", values = [\"b\", \"c\"] }, \
         { attribute = \"manager\", operator = \"ISNULL\" }]\n\
         [[scope]]\nclauses = [{ attribute = \"cn\", operator = \"ISIN\", value = \"d; e\" }]\n\
         [[join]]\nconditions = [{ connector = \"mail\", metaverse = \"mail\", case_sensitive = true }]\n\
         [flow]\nproxyAddresses = { expr = \"[proxyAddresses]\", merge = \"MergeCaseInsensitive\" }\n",
    );
    let rule = &rules.rules()[0];
    let mut object = person(&world, &[("cn", "A".into())]);
    assert_eq!(rule.scope.holds(&object), Ok(false), "no DN");
    object.dn = Some("CN=A,ou=X".into());
    assert_eq!(rule.scope.holds(&object), Ok(true));
    let mut object = person(&world, &[("cn", "C".into())]);
    assert_eq!(rule.scope.holds(&object), Ok(true));
    object.links.insert(world.attribute("manager"), 1);
    assert_eq!(rule.scope.holds(&object), Ok(false));
    assert_eq!(rule.scope.holds(&person(&world, &[("cn", "e".into())])), Ok(true));
    assert_eq!(rule.scope.attributes(), [world.attribute("cn")]);
    assert_eq!(rule.scope.links(), [world.attribute("manager")]);
    assert!(rule.uses_dn() && rule.password_sync);
    assert_eq!((rule.description.as_deref(), rule.tag.as_deref()), (Some("why"), Some("Test.A")));
    assert!(rule.join[0].conditions[0].case_sensitive);
    assert_eq!(rule.flows[0].merge, MergeType::MergeCaseInsensitive);
    assert_eq!(rules.join_attributes_cs(CONTOSO), [world.attribute("mail")]);
}

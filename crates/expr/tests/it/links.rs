//! Link attributes: direct, guarded, counted; single links by name.

use onesync_expr::{Context, Diagnostic, EvalError, Kind, LINKS_MAX, LinkForm, Outcome, Program, compile};
use onesync_model::{AttrId, AttributeType, Names, Schema};
use serde_json::json;

use crate::support::{Object, env, schema};

struct World {
    names: Names,
    schema: Schema,
}

impl World {
    fn new() -> Self {
        let mut names = Names::new();
        let schema = schema(
            &mut names,
            &[
                ("member", AttributeType::Reference, true),
                ("manager", AttributeType::Reference, false),
                ("memberCount", AttributeType::Integer, false),
                ("cn", AttributeType::String, false),
            ],
        );
        Self { names, schema }
    }

    fn compile(&mut self, text: &str) -> Result<Program, Vec<Diagnostic>> {
        compile(
            text,
            &mut Context { names: &mut self.names, schema: Some(&self.schema), kind: Kind::Inbound },
        )
    }
}

#[test]
fn forms_are_told_apart() {
    let mut world = World::new();
    let member = world.names.find("member").unwrap();
    let manager = world.names.find("manager").unwrap();
    for (text, form) in [
        ("[member]", LinkForm::Direct(member)),
        ("([manager])", LinkForm::Direct(manager)),
        ("IIF([memberCount]>50000,Error(\"too many\"),[member])", LinkForm::Guarded(member)),
        ("IIF(ValueCount(\"member\")>50000,AuthoritativeNull,[member])", LinkForm::Guarded(member)),
        ("Switch([cn]=\"a\",[member],[cn]=\"b\",IgnoreThisFlow)", LinkForm::Guarded(member)),
        ("IIF(IsPresent([manager]),[member],NULL)", LinkForm::Guarded(member)),
        ("With($n,[cn],IIF($n=\"a\",[member],NULL))", LinkForm::Guarded(member)),
        ("ValueCount(\"member\")", LinkForm::Aggregate),
        ("IIF(IsNullOrEmpty([manager]),\"none\",[cn])", LinkForm::Aggregate),
        ("Count([member]) + [memberCount]", LinkForm::Aggregate),
        ("[cn]", LinkForm::None),
    ] {
        let program = world.compile(text).unwrap_or_else(|found| panic!("{text}: {found:?}"));
        assert_eq!(program.link_form(), form, "{text}");
        assert!(!program.attributes().contains(&member), "{text}");
    }
    assert_eq!(world.compile("[member]").unwrap().direct(), Some(member));
    let counted = world.compile("IIF(IsPresent([manager]),[member],NULL)").unwrap();
    assert_eq!(counted.links(), [manager]);
}

/// The link attributes whose names it looks at, and the one it chooses from.
type Looks<'a> = (&'a str, &'a [&'a str], Option<&'a str>);

#[test]
fn single_links_are_looked_at_by_name() {
    let mut world = World::new();
    let looks: &[Looks<'_>] = &[
        ("Item([member],1)", &["member"], Some("member")),
        ("[member] & \"x\"", &["member"], None),
        ("IIF([manager]=\"CN=a\",1,2)", &["manager"], None),
        ("IIF([cn]=\"a\",[member],[cn])", &["member"], None),
        ("IIF([cn]=\"a\",[member],\"x\")", &["member"], None),
        ("IIF([cn]=\"a\",[member],[manager])", &["member", "manager"], None),
        ("Where($i,[member],InStr($i,\"x\")>0)", &["member"], Some("member")),
        (
            "IIF([cn]=\"a\",Where($i,[member],InStr($i,\"x\")>0),AuthoritativeNull)",
            &["member"],
            Some("member"),
        ),
        ("IIF([cn]=\"a\",Where($i,[member],InStr($i,\"x\")>0),[member])", &["member"], Some("member")),
        ("IIF(InStr([member],\"x\")>0,[member],NULL)", &["member"], Some("member")),
        ("IIF(IsPresent([member]),UCase([manager]),NULL)", &["manager"], None),
        ("RemoveDuplicates([member])", &["member"], Some("member")),
        ("ImportedValue(\"member\")", &["member"], Some("member")),
        ("Count(Where($i,[member],InStr($i,\"x\")>0))", &["member"], None),
        ("IIF([manager]=\"CN=a\",[member],NULL)", &["manager"], None),
    ];
    for (text, names, chooses) in looks {
        let program = world.compile(text).unwrap_or_else(|found| panic!("{text}: {found:?}"));
        let name = |id: &AttrId| world.names.name(*id);
        assert_eq!(program.link_names().iter().map(name).collect::<Vec<_>>(), *names, "{text}");
        assert_eq!(program.chooses().as_ref().map(name), *chooses, "{text}");
    }
    let guarded = world.compile("IIF([manager]=\"CN=a\",[member],NULL)").unwrap();
    assert_eq!(guarded.link_form(), LinkForm::Guarded(world.names.find("member").unwrap()));
}

#[test]
fn names_are_a_list_in_canonical_order() {
    let mut world = World::new();
    let member = world.names.find("member").unwrap();
    let refs = |names: &[&str]| json!(names.iter().map(|name| json!({"$ref": name})).collect::<Vec<_>>());
    let image = json!({"cn": "g", "member": refs(&["CN=b,OU=x", "CN=a,OU=x", "CN=c,OU=y"]), "manager": refs(&["CN=Lee,OU=y"])});
    let mut object = Object::new(&image, &mut world.names);
    object.links.insert(member, 4); // the fourth is not known
    object.links.insert(world.names.find("manager").unwrap(), 1);
    for (text, expected) in [
        ("[member]", json!("its links")),
        ("Where($i,[member],InStr($i,\",OU=x\")>0)", refs(&["CN=a,OU=x", "CN=b,OU=x"])),
        ("IIF(InStr([member],\",OU=y\")>0,[member],NULL)", refs(&["CN=c,OU=y"])[0].clone()),
        ("Item([member],1)", refs(&["CN=a,OU=x"])[0].clone()),
        ("Count([member])", json!(4)),
        ("Count(RemoveDuplicates([member]))", json!(3)),
        ("Contains([member],\"CN=c,OU=y\")", json!(3)),
        ("Mid([manager],4,3)", json!("Lee")),
        ("Join(Select($i,[member],Mid($i,4,1)),\";\")", json!("a;b;c")),
        ("IIF([manager]=CRef(\"cn=lee, ou=y\"),1,2)", json!(1)),
        ("IIF(IsPresent([manager]),\"led by \" & [manager],\"free\")", json!("led by CN=Lee,OU=y")),
        ("CStr([manager])", json!("CN=Lee,OU=y")),
    ] {
        let program = world.compile(text).unwrap_or_else(|found| panic!("{text}: {found:?}"));
        let gave = match program.eval(&object, &env()).unwrap_or_else(|e| panic!("{text}: {e:?}")).outcome {
            Outcome::Values(values) => onesync_model::values_to_json(&values),
            Outcome::Link(_) => json!("its links"),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(gave, expected, "{text}");
    }
}

#[test]
fn an_object_with_too_many_links_fails_where_they_are_looked_at() {
    let mut world = World::new();
    let mut object = Object::default();
    object.links.insert(world.names.find("member").unwrap(), LINKS_MAX + 1);
    let program = world.compile("IIF([cn]=\"a\",\"\",ItemOrNull([member],1))").unwrap();
    let error = program.eval(&object, &env()).unwrap_err().error;
    let EvalError::Failed { message, start, end } = error else { panic!("{error:?}") };
    assert!(message.contains("10001") && message.contains("scope"), "{message}");
    assert_eq!(&program.text()[start..end], "[member]");
    object.links.clear();
    assert_eq!(program.eval(&object, &env()).unwrap().outcome, Outcome::Null);
}

#[test]
fn links_of_the_metaverse_have_no_names() {
    let mut world = World::new();
    for text in [
        "Item([member],1)",
        "IIF([cn]=\"a\",[member],[cn])",
        "IIF([cn]=\"a\",[member],[manager])",
        "Where($i,[member],InStr($i,\"x\")>0)",
        "UCase([manager])",
    ] {
        let schema = world.schema.clone();
        let mut context = Context { names: &mut world.names, schema: Some(&schema), kind: Kind::Outbound };
        let found = compile(text, &mut context).unwrap_err();
        let refused = found.iter().find(|d| d.message.contains("outbound rule")).expect(text);
        assert!(refused.hint.as_ref().unwrap().contains("inbound"), "{text}");
    }
}

#[test]
fn links_are_counted_not_read() {
    let mut world = World::new();
    let (member, manager) = (world.names.find("member").unwrap(), world.names.find("manager").unwrap());
    let mut object = Object::new(&json!({"memberCount": 50_001}), &mut world.names);
    object.links.insert(member, 500_000);
    for (text, expected) in [
        ("[member]", Ok(Outcome::Link(member))),
        ("IIF([memberCount]>50000,Error(\"too many\"),[member])", Err(EvalError::Raised("too many".into()))),
        ("IIF([memberCount]>50000,[member],NULL)", Ok(Outcome::Link(member))),
        ("IIF([memberCount]>50000,IgnoreThisFlow,[member])", Ok(Outcome::IgnoreThisFlow)),
        ("ValueCount(\"member\")", Ok(Outcome::Values(onesync_model::Value::Integer(500_000).into()))),
        ("IsPresent([manager])", Ok(Outcome::Values(onesync_model::Value::Boolean(false).into()))),
        ("IsNull([manager])", Ok(Outcome::Values(onesync_model::Value::Boolean(true).into()))),
    ] {
        let program = world.compile(text).unwrap();
        assert_eq!(program.eval(&object, &env()).map(|e| e.outcome).map_err(|e| e.error), expected, "{text}");
    }
    assert_eq!(object.links.get(&manager), None);
}

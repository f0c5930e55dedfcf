//! Link attributes: direct, guarded, counted; single links are refused.

use onesync_expr::{Context, Diagnostic, EvalError, Kind, LinkForm, Outcome, Program, compile};
use onesync_model::{AttributeType, Names, Schema};
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

#[test]
fn looking_at_single_links_is_not_supported_yet() {
    let mut world = World::new();
    for text in [
        "Item([member],1)",
        "[member] & \"x\"",
        "IIF([manager]=\"CN=a\",1,2)",
        "IIF([cn]=\"a\",[member],[cn])",
        "IIF([cn]=\"a\",[member],\"x\")",
        "IIF([cn]=\"a\",[member],[manager])",
        "Where($i,[member],True)",
        "IsEmpty([member])",
        "ImportedValue(\"member\")",
    ] {
        let found = world.compile(text).unwrap_err();
        let message = &found.iter().find(|d| d.message.contains("not supported yet")).expect(text).hint;
        assert!(message.as_ref().unwrap().contains("flow"), "{text}");
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

//! Wrong expressions: the place, the cause, the remedy.

use onesync_expr::{Context, Diagnostic, Kind, Severity, Types, compile};
use onesync_model::{AttributeType, Names};

use crate::support::schema;

fn compiled(text: &str, kind: Kind) -> Result<onesync_expr::Program, Vec<Diagnostic>> {
    let mut names = Names::new();
    let schema = schema(
        &mut names,
        &[
            ("displayName", AttributeType::String, false),
            ("proxyAddresses", AttributeType::String, true),
            ("userAccountControl", AttributeType::Integer, false),
            ("objectGUID", AttributeType::Binary, false),
            ("whenCreated", AttributeType::Time, false),
            ("hidden", AttributeType::Boolean, false),
        ],
    );
    compile(text, &mut Context { names: &mut names, schema: Some(&schema), kind })
}

#[test]
fn each_fault_has_place_cause_and_remedy() {
    // Expression, the text at the place, part of the message, part of the hint.
    for (text, place, message, hint) in [
        ("Trim([displayname])", "[displayname]", "spelled `displayName`", "case-sensitive"),
        ("[displayNam]", "[displayNam]", "no attribute `displayNam`", "`displayName`"),
        ("trim([displayName])", "trim", "no function `trim`", "`Trim`"),
        ("IF(True,1,2)", "IF", "no function `IF`", "`IIF`"),
        ("UpperCase([displayName])", "UpperCase", "no function", "`UCase`"),
        ("Left([displayName])", "Left", "takes 2 arguments, not 1", "num count"),
        ("Mid(\"a\",1,2,3)", "Mid", "takes 2 to 3 arguments, not 4", "Mid("),
        ("Switch(True,1,False)", "Switch", "even number", "test1"),
        ("Left(\"x\",[displayName])", "[displayName]", "must be number, but this is text", "CNum"),
        ("Left([userAccountControl],1)", "[userAccountControl]", "must be text, but this is number", "CStr"),
        ("Trim([whenCreated])", "[whenCreated]", "but this is time", "FormatDateTime"),
        ("\"a\" & [whenCreated]", "[whenCreated]", "but this is time", "FormatDateTime"),
        ("[objectGUID] & \"x\"", "\"x\"", "text and binary", "ConvertToBase64"),
        ("[displayName] + \"x\"", "[displayName]", "`+` adds numbers", "`&`"),
        ("[displayName] = 5", "[displayName] = 5", "text cannot be compared with number", "CNum"),
        ("IsPresent([displayName]) = \"True\"", "IsPresent([displayName]) = \"True\"", "boolean", "CStr"),
        ("[hidden] < True", "[hidden]", "no order", "="),
        ("IIF([displayName],1,2)", "[displayName]", "a condition must be boolean", "IsPresent"),
        ("IIF(InStr([displayName],\"a\"),1,2)", "InStr([displayName],\"a\")", "must be boolean", "CBool"),
        ("[userAccountControl] && True", "[userAccountControl]", "must be boolean", "CBool"),
        ("Trim(IgnoreThisFlow)", "IgnoreThisFlow", "only be the result", "IIF"),
        ("NULL & AuthoritativeNull", "AuthoritativeNull", "only be the result", "IIF"),
        ("true", "true", "not known", "`True`"),
        ("Nothing", "Nothing", "not known", "NULL"),
        ("displayName", "displayName", "not known", "`[displayName]`"),
        ("Now", "Now", "not known", "`Now(...)`"),
        (
            "Contains([proxyAddresses],\"x\",caseinsensitive)",
            "caseinsensitive",
            "must be one of",
            "`CaseInsensitive`",
        ),
        (
            "ValueCount([displayName])",
            "[displayName]",
            "name of an attribute as a text",
            "ValueCount(\"displayName\")",
        ),
        ("ImportedValue(\"mail\")", "\"mail\"", "no attribute `mail`", ""),
        ("Select([proxyAddresses],[proxyAddresses],1)", "[proxyAddresses]", "must be a variable", "$item"),
        ("$item", "$item", "not bound", "Select"),
        ("With($a,1,$b)", "$b", "not bound", "`$a`"),
        ("FormatDateTime(\"2020-01-01\",\"yyyy\")", "\"2020-01-01\"", "must be time", "CDate"),
        ("NumFromDate([userAccountControl])", "[userAccountControl]", "must be time", "DateFromNum"),
    ] {
        let found = compiled(text, Kind::Inbound).expect_err(text);
        let d = found.first().unwrap();
        assert_eq!(&text[d.start..d.end], place, "{text}: {found:?}");
        assert!(d.message.contains(message), "{text}: {}", d.message);
        assert!(d.hint.as_deref().unwrap_or_default().contains(hint), "{text}: {:?}", d.hint);
        assert_eq!(d.severity, Severity::Error, "{text}");
    }
}

#[test]
fn all_faults_are_found_in_the_order_of_their_places() {
    let found = compiled("Left([x],Trum([y])) & [displayName] + 1", Kind::Inbound).unwrap_err();
    let starts: Vec<_> = found.iter().map(|d| d.start).collect();
    assert_eq!(starts, [5, 9, 22], "{found:?}");
    let found = compiled("Left([x])", Kind::Inbound).unwrap_err();
    assert_eq!(found.len(), 2, "arguments of a wrong call are checked too: {found:?}");
}

#[test]
fn comparing_with_null_is_a_warning() {
    let program = compiled("[displayName] = NULL", Kind::Inbound).unwrap();
    let [warning] = program.warnings() else { panic!("{:?}", program.warnings()) };
    assert_eq!(warning.severity, Severity::Warning);
    assert!(warning.message.contains("always False") && warning.hint.as_ref().unwrap().contains("IsNull"));
}

#[test]
fn guarded_conversions_compile() {
    for text in [
        "IIF(IsString([objectGUID]),CStr([objectGUID]),ConvertToBase64([objectGUID]))",
        "IIF(IsNull([displayName]),NULL,Left(Trim([displayName]),448))",
        "Item([proxyAddresses],1) = [displayName]",
        "CBool([hidden]) || [hidden] = True",
        "Left([dn],3) = \"CN=\"",
    ] {
        let program = compiled(text, Kind::Inbound).unwrap_or_else(|found| panic!("{text}: {found:?}"));
        assert_eq!(program.warnings(), [], "{text}");
    }
    assert!(compiled("[dn]", Kind::Outbound).is_err(), "metaverse objects have no DN");
    // The target's schema is not at hand.
    assert!(compiled("ImportedValue(\"mail\")", Kind::Outbound).is_ok());
}

#[test]
fn types_of_results_are_known() {
    for (text, types) in [
        ("Trim([displayName])", Types::TEXT),
        ("IIF([hidden],1,NULL)", Types::NUMBER),
        ("IIF([hidden],1,\"x\")", Types::NUMBER.or(Types::TEXT)),
        ("Item([proxyAddresses],1)", Types::TEXT),
        ("[objectGUID] & CBin(1,1)", Types::BINARY),
        ("Error(\"x\")", Types::NONE),
        ("[hidden] = True", Types::BOOLEAN),
        ("Now()", Types::TIME),
        ("Where($i,[proxyAddresses],True)", Types::TEXT),
        ("Mid([displayName],2)", Types::TEXT),
    ] {
        assert_eq!(compiled(text, Kind::Inbound).unwrap().types(), types, "{text}");
    }
}

#[test]
fn wrong_names_are_not_interned() {
    let mut names = Names::new();
    let schema = schema(&mut names, &[("cn", AttributeType::String, false)]);
    let before = names.len();
    let context = &mut Context { names: &mut names, schema: Some(&schema), kind: Kind::Inbound };
    assert!(compile("[nonsense]", context).is_err());
    assert_eq!(names.len(), before);
}

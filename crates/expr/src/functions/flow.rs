//! Program flow: the functions the evaluator itself knows, because they are lazy or bind variables.

use super::{Body, Form, FunctionDef, example, example_with, many, param};
use crate::types::Types;

const THEME: &str = "Program flow";

pub(super) const FUNCTIONS: &[FunctionDef] = &[
    FunctionDef {
        name: "IIF",
        theme: THEME,
        params: &[param("condition", Types::BOOLEAN), param("then", Types::ANY), param("else", Types::ANY)],
        result: Types::ANY,
        doc: "Gives `then` when the condition is True, else `else`; only the chosen one is evaluated. A condition over several values is decided for each of them, and a value for which the choice is NULL is dropped.",
        decision: "Both values may be of any type. The condition must be True, False or NULL; NULL counts as False.",
        examples: &[
            example_with(
                r#"{"employeeType": "Intern", "alias": "joe"}"#,
                r#"IIF([employeeType]="Intern","t-" & [alias],[alias])"#,
                r#""t-joe""#,
            ),
            example_with(
                r#"{"proxyAddresses": ["SMTP:a@x.com", "SIP:a@x.com"]}"#,
                r#"IIF(InStr([proxyAddresses],"SIP:")=1,NULL,[proxyAddresses])"#,
                r#"["SMTP:a@x.com"]"#,
            ),
        ],
        body: Body::Form(Form::If),
    },
    FunctionDef {
        name: "Switch",
        theme: THEME,
        params: &[param("test1", Types::BOOLEAN), param("value1", Types::ANY)],
        result: Types::ANY,
        doc: "Gives the value that follows the first test that is True; NULL when none is. Tests behind it and the other values are not evaluated.",
        decision: "Tests behind the one that is True are not evaluated either, other than the page says: only so can a later test rely on an earlier one, as the published example with `Error` needs. An odd number of arguments is found when the expression is read.",
        examples: &[
            example_with(
                r#"{"city": "Rome"}"#,
                r#"Switch([city] = "London", "English", [city] = "Rome", "Italian", True, Error("Unknown city"))"#,
                r#""Italian""#,
            ),
            example(r#"Switch(False, "a")"#, "null"),
        ],
        body: Body::Form(Form::Switch),
    },
    FunctionDef {
        name: "Error",
        theme: THEME,
        params: &[param("message", Types::STRING)],
        result: Types::NONE,
        doc: "Stops the synchronisation of this object with a message, until its cause is gone.",
        decision: "The message may be computed; a number becomes its digits.",
        examples: &[example(
            r#"IIF(1 = 2, "never", Error("AccountName is required"))"#,
            r#"{"$error": "AccountName is required"}"#,
        )],
        body: Body::Form(Form::Raise),
    },
    FunctionDef {
        name: "With",
        theme: THEME,
        params: &[param("variable", Types::ANY), param("value", Types::ANY), param("result", Types::ANY)],
        result: Types::ANY,
        doc: "Binds a value to a variable, and gives the result of an expression that may use it any number of times.",
        decision: "The value is evaluated once.",
        examples: &[example_with(
            r#"{"mail": "joe@contoso.com"}"#,
            r#"With($user, Word([mail],1,"@"), $user & "." & $user)"#,
            r#""joe.joe""#,
        )],
        body: Body::Form(Form::With),
    },
    FunctionDef {
        name: "Select",
        theme: THEME,
        params: &[param("variable", Types::ANY), many("values", Types::ANY), param("function", Types::ANY)],
        result: Types::ANY,
        doc: "Evaluates the function for each value, bound to the variable, and gives the results.",
        decision: "A function that gives a list for one value gives all results in one list; NULL results are dropped.",
        examples: &[example_with(
            r#"{"otherPhone": ["425-555-0100", "425-555-0101"]}"#,
            r#"Select($item,[otherPhone],Replace($item,"-",""))"#,
            r#"["4255550100", "4255550101"]"#,
        )],
        body: Body::Form(Form::Select),
    },
    FunctionDef {
        name: "Where",
        theme: THEME,
        params: &[
            param("variable", Types::ANY),
            many("values", Types::ANY),
            param("condition", Types::BOOLEAN),
        ],
        result: Types::ANY,
        doc: "Gives the values, each bound to the variable in turn, for which the condition is True.",
        decision: "NULL as condition drops the value.",
        examples: &[example_with(
            r#"{"otherPhone": ["425-555-0100", "911"]}"#,
            r#"Where($item,[otherPhone],Len($item) > 3)"#,
            r#"["425-555-0100"]"#,
        )],
        body: Body::Form(Form::Where),
    },
    FunctionDef {
        name: "ImportedValue",
        theme: THEME,
        params: &[param("attribute name", Types::TEXT)],
        result: Types::ANY,
        doc: "Gives the values of an attribute that an import has confirmed. Inbound flows read only confirmed values, so there it is the attribute itself; outbound it is the attribute of the target object as last imported.",
        decision: "Inbound the attribute itself; outbound the target's last imported image.",
        examples: &[example_with(
            r#"{"sourceAnchor": "AAA="}"#,
            r#"ImportedValue("sourceAnchor")"#,
            r#""AAA=""#,
        )],
        body: Body::Form(Form::Imported),
    },
    FunctionDef {
        name: "ValueCount",
        theme: THEME,
        params: &[param("attribute name", Types::TEXT)],
        result: Types::NUMBER,
        doc: "Gives the number of values of an attribute. For links, e.g. `member`, all are counted, whether their target is known or not.",
        decision: "Counts all values of the image; 0 when there is none.",
        examples: &[example_with(r#"{"otherPhone": ["1", "2"]}"#, r#"ValueCount("otherPhone")"#, "2")],
        body: Body::Form(Form::ValueCount),
    },
];

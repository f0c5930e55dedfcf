//! What we decided of the language itself where the original's documentation leaves it open or contradicts the
//! shipped rules: the part of `docs/expressions.md` that is about no single function. The functions' own decisions
//! are in their table.

use crate::functions::{Example, example, example_with};

/// Decisions about one side of the language.
#[derive(Clone, Copy, Debug)]
pub struct Chapter {
    /// Its title.
    pub title: &'static str,
    /// What there is, in a few sentences.
    pub text: &'static str,
    /// The decisions.
    pub decisions: &'static [Decision],
}

/// One decision.
#[derive(Clone, Copy, Debug)]
pub struct Decision {
    /// What was open.
    pub point: &'static str,
    /// What we decided.
    pub decision: &'static str,
    /// Why.
    pub reason: &'static str,
    /// Expressions that show it, executed as tests.
    pub examples: &'static [Example],
}

/// The chapters in the order of the documentation.
pub fn language() -> &'static [Chapter] {
    &LANGUAGE
}

const fn decided(
    point: &'static str,
    decision: &'static str,
    reason: &'static str,
    examples: &'static [Example],
) -> Decision {
    Decision { point, decision, reason, examples }
}

const THREE: &str = r#"{"p": ["SIP:a@x", "SMTP:a@x", "smtp:b@y"], "o": ["1", "2", "3"]}"#;

static LANGUAGE: [Chapter; 5] = [
    Chapter { title: "Grammar", text: GRAMMAR_TEXT, decisions: GRAMMAR },
    Chapter { title: "Values", text: VALUES_TEXT, decisions: VALUES },
    Chapter { title: "Several values", text: LISTS_TEXT, decisions: LISTS },
    Chapter { title: "Time", text: TIME_TEXT, decisions: TIME },
    Chapter { title: "Limits", text: LIMITS_TEXT, decisions: LIMITS },
];

const GRAMMAR_TEXT: &str = "\
An expression is one line or several: attributes `[name]` of the source side, parameters `%Name%`, texts in straight \
double quotes, numbers (`12`, `1.5`, `&HFF`), `True`, `False`, `NULL`, `AuthoritativeNull`, `IgnoreThisFlow`, `CRLF`, \
calls `Name(...)`, loop variables `$item`, the operators `|| && = <> < <= > >= & + - *`, and parentheses. `[dn]` is \
the distinguished name of a connector-space object.";

const GRAMMAR: &[Decision] = &[
    decided(
        "priority of operators",
        "`||` < `&&` < comparison < `&` < `+ - *`, each from left to right",
        "the page says \"all the same\", which would invert the shipped `cloudFiltered`; this order satisfies both the page's examples and every shipped rule",
        &[
            example("5+3*2", "16"),
            example("2*(5+3)", "16"),
            example("10 - 2 - 3", "5"),
            example_with(
                r#"{"a": "y"}"#,
                r#"IsPresent([b]) || IsPresent([a]) = False || [a] = "x" & "y""#,
                "false",
            ),
        ],
    ),
    decided(
        "`&&`, `||`, IIF, Switch",
        "evaluate only what they need, from left to right",
        "the shipped `mailEnabled` fails otherwise for groups without an SMTP address",
        &[
            example(r#"False && CBool(Error("no"))"#, "false"),
            example(r#"True || CBool(Error("no"))"#, "true"),
            example(r#"Switch(False, Error("no"), True, 2, CBool(Error("no")), 3)"#, "2"),
        ],
    ),
    decided(
        "quotes in text",
        "`\"\"` inside a text is one quote; `\\\\` is one backslash; any other backslash is itself, also before the closing quote",
        "`\"\\\\0ACNF:\"` is shipped; `\"\\\"` and `\"CONTOSO\\\"` are what people write",
        &[
            example(r#""say ""hi""""#, r#""say \"hi\"""#),
            example(r#"Len("\\0ACNF:")"#, "7"),
            example(r#""CONTOSO\" & "joe""#, r#""CONTOSO\\joe""#),
        ],
    ),
    decided(
        "`\\r`, `\\n`, `\\t`",
        "resolved in literals that are arguments of Replace; elsewhere two characters; `CRLF` is a line break everywhere",
        "the page describes them at Replace only",
        &[
            example(r#"Len("\r")"#, "2"),
            example("Len(CRLF)", "2"),
            example(r#"Replace("a b"," ","\t")"#, r#""a\tb""#),
        ],
    ),
    decided(
        "wildcards",
        "none: `=`, Contains, InStr and Replace take every character as itself",
        "no page names any",
        &[example(r#""abc" = "a*""#, "false"), example(r#"InStr("a*c","*")"#, "2")],
    ),
    decided(
        "minus sign",
        "also before parentheses and attributes: `-[a]` is `0-[a]`",
        "harmless",
        &[example_with(r#"{"a": 5}"#, "-[a] + 1", "-4"), example("-(2+3)", "-5")],
    ),
    decided(
        "`&H`",
        "up to 16 digits; 16 digits may give a negative number; `&H80000000` is positive",
        "integers have 64 bits",
        &[example("&HFF", "255"), example("&H80000000", "2147483648"), example("&HFFFFFFFFFFFFFFFF", "-1")],
    ),
    decided(
        "decimals",
        "exact, nine places; a result with a fraction cannot be flowed: use CStr",
        "attributes hold whole numbers",
        &[example("1.5 * 2", "3"), example("CStr(0.1 + 0.2)", r#""0.3""#), example("0.5 < 1", "true")],
    ),
    decided(
        "names",
        "case-sensitive, of functions, attributes, parameters, literals",
        "as documented; the message proposes the right spelling",
        &[example(r#"trim(" a ")"#, r#"{"$error": true}"#), example("true", r#"{"$error": true}"#)],
    ),
    decided(
        "functions of the ancestor (MIM 2016) and `IF(`",
        "are unknown in rules; the message names the function that is meant. `eval` translates the ancestor's names and says so",
        "a rule that was tried in the original's editor has none of them; published examples do",
        &[example(r#"UpperCase("a")"#, r#"{"$error": "there is no function `UpperCase`"}"#)],
    ),
];

const VALUES_TEXT: &str = "\
Text, 64-bit integers, booleans, binary, times in UTC, references (a DN). Types are strict: the message says which \
function converts. NULL is the absence of a value, an empty text is a value.";

const VALUES: &[Decision] = &[
    decided(
        "comparison of text",
        "case matters (`=`, `<>`, `<`, InStr, Replace, Contains, RemoveDuplicates); vbTextCompare and CaseInsensitive where the function has them; by code point",
        "the published examples write `LCase(...)` where case must not matter; RemoveDuplicates loses nothing this way",
        &[
            example(r#""a" = "A""#, "false"),
            example(r#""B" < "a""#, "true"),
            example(r#"InStr("aA","A")"#, "2"),
        ],
    ),
    decided(
        "comparison of references",
        "as DNs: case, spaces and ways of escaping do not matter",
        "one object has one DN",
        &[example(r#"CRef("CN=A, DC=x") = CRef("cn=a,dc=X")"#, "true")],
    ),
    decided(
        "comparison of different types",
        "an error",
        "strong typing, as documented; `\"5\" = 5` is hardly ever meant",
        &[
            example_with(r#"{"n": 5}"#, r#"[n] = "5""#, r#"{"$error": true}"#),
            example(r#"CNum("5") = 5"#, "true"),
        ],
    ),
    decided(
        "NULL in comparisons",
        "`=`, `<`, `<=`, `>`, `>=` are False; `<>` is the opposite of `=`, so True; a literal NULL is a warning",
        "shipped rules compare absent attributes; `[x] <> \"a\"` is meant for objects without `x` too",
        &[example(r#"[x] = "a""#, "false"), example(r#"[x] <> "a""#, "true"), example("[x] <= 1", "false")],
    ),
    decided(
        "NULL in conditions",
        "False",
        "shipped: `CBool(NULL)`",
        &[example("IIF([x],1,2)", "2"), example("[x] && True", "false"), example("CBool(NULL)", "false")],
    ),
    decided(
        "NULL and `&`",
        "nothing is added; NULL when all parts are NULL",
        "`\"x500:\" & [x]`",
        &[example(r#""x500:" & [x]"#, r#""x500:""#), example("[x] & [y]", "null")],
    ),
    decided(
        "NULL in arithmetic, BitAnd, BitOr, conversions, Trim, LTrim, RTrim, LCase, UCase, PCase, Replace, ReplaceChars",
        "NULL",
        "`Trim([c])` of an absent attribute must not create an empty one",
        &[
            example("[x] + 1", "null"),
            example("Trim([x])", "null"),
            example("BitAnd([x],2)", "null"),
            example("CStr([x])", "null"),
        ],
    ),
    decided(
        "NULL in Left, Right, Mid, Word, PadLeft, PadRight",
        "empty text",
        "documented",
        &[
            example("Left([x],3)", r#""""#),
            example(r#"Word([x],1," ")"#, r#""""#),
            example("Mid([x],1,2)", r#""""#),
        ],
    ),
    decided(
        "NULL in Len, InStr, InStrRev, Contains, Count, ValueCount",
        "0",
        "\"not found\", \"none\"",
        &[example("Len([x])", "0"), example(r#"InStr([x],"a")"#, "0"), example("Count([x])", "0")],
    ),
    decided(
        "types in `&`",
        "numbers and booleans become text as by CStr; binary joins binary; times and a mix of text and binary are errors",
        "lenient where nothing can be misread",
        &[
            example(r#""n=" & 5 & True"#, r#""n=5True""#),
            example("CBin(1,1) & CBin(2,1)", r#"{"$bin": "AQI="}"#),
            example(r#""a" & CBin(1,1)"#, r#"{"$error": true}"#),
        ],
    ),
    decided(
        "conditions",
        "must be True, False or NULL; a number needs CBool or a comparison",
        "strong typing, as documented",
        &[
            example(r#"IIF(InStr("ab","b"),1,2)"#, r#"{"$error": true}"#),
            example(r#"IIF(CBool(InStr("ab","b")),1,2)"#, "1"),
        ],
    ),
    decided(
        "integers that grow too large",
        "an error, not another number",
        "a wrapped FILETIME would be a wrong date",
        &[
            example("9223372036854775807 + 1", r#"{"$error": true}"#),
            example("9223372036854775806 + 1", "9223372036854775807"),
        ],
    ),
    decided(
        "positions and lengths",
        "count characters (code points), bytes of binary",
        "build 2.1.1.0 repaired functions that cut characters in half",
        &[example("Len(\"\u{1f600}a\")", "2"), example("Mid(CBin(258,2),2,1)", r#"{"$bin": "AQ=="}"#)],
    ),
    decided(
        "AuthoritativeNull, IgnoreThisFlow",
        "only as a result or in a branch; as an argument of a function they are an error when read, and where a branch brings them there they become the result",
        "they speak of the flow, not of a value",
        &[
            example("IIF(IsNull([x]),IgnoreThisFlow,[x])", r#"{"$literal": "IgnoreThisFlow"}"#),
            example("Trim(IIF(IsNull([x]),AuthoritativeNull,[x]))", r#"{"$literal": "AuthoritativeNull"}"#),
            example("Trim(IgnoreThisFlow)", r#"{"$error": true}"#),
        ],
    ),
    decided(
        "a parameter without value",
        "fails the flow",
        "silently empty names would be exported",
        &[example("%No.Such%", r#"{"$error": true}"#)],
    ),
    decided(
        "an error",
        "of `Error()` withholds every change of the object; any other one isolates the attribute: it keeps what it has",
        "as the original for the first; the second does not let one bad value stop a person's other changes",
        &[
            example(r#"Error("stop")"#, r#"{"$error": "stop"}"#),
            example(r#"CNum("x")"#, r#"{"$error": "CNum: `x` is not a number"}"#),
        ],
    ),
];

const LISTS_TEXT: &str = "\
An attribute with several values is a list. Functions whose signature says `mv-` take the whole list, all others and \
the operators are applied to each value. A list of one value is that value wherever one is needed.";

const LISTS: &[Decision] = &[
    decided(
        "order of several values",
        "canonical in a sync: by the folded text, then by the text. `eval` takes them in the order given, and gives results in the order in which they were made, repeated ones too; `--canonical` takes and gives them as a sync does",
        "no source promises an order; the canonical one never changes by itself. Published examples have an order of their own",
        &[example_with(r#"{"p": ["b", "a"]}"#, r#"Join([p],",")"#, r#""b,a""#)],
    ),
    decided(
        "functions and operators of single values",
        "are applied to each value; NULL results are dropped at the end",
        "documented",
        &[
            example_with(THREE, r#"Word([p],1,":") & "!""#, r#"["SIP!", "SMTP!", "smtp!"]"#),
            example_with(r#"{"p": ["a"]}"#, "UCase([p])", r#"["A"]"#),
        ],
    ),
    decided(
        "two lists in one operation",
        "only lists of the same origin (the same attribute, variable, or the same text of a function call) are combined value by value; others fail; a list of one value goes with any",
        "equal lengths by chance must not pair strangers",
        &[
            example_with(THREE, r#"LCase([p]) = [p]"#, "[false, false, true]"),
            example_with(THREE, "[p] & [o]", r#"{"$error": true}"#),
            example_with(r#"{"p": ["a", "b"], "o": ["1"]}"#, "[p] & [o]", r#"["a1", "b1"]"#),
        ],
    ),
    decided(
        "a condition over several values",
        "is decided for each; in the branch, the list's origin stands for this value; Count, Item, Contains, Join, IsPresent and the like still see all values",
        "documented for IIF; `IIF(IsNumeric([x]),CNum([x]),NULL)` must not fail for the others",
        &[
            example_with(THREE, r#"IIF(InStr([p],"SIP:")=1,NULL,[p])"#, r#"["SMTP:a@x", "smtp:b@y"]"#),
            example_with(r#"{"k": ["12", "x"]}"#, "IIF(IsNumeric([k]),CNum([k])+1,NULL)", "[13]"),
            example_with(THREE, r#"IIF(InStr([p],"SMTP:")=1,Count([p]),NULL)"#, "[3]"),
        ],
    ),
    decided(
        "AuthoritativeNull in a branch for one value",
        "drops the value; the result when no value remains. IgnoreThisFlow for one value ignores the flow",
        "the cautious reading",
        &[
            example_with(
                THREE,
                r#"IIF(InStr([p],"SIP:")=1,AuthoritativeNull,[p])"#,
                r#"["SMTP:a@x", "smtp:b@y"]"#,
            ),
            example_with(
                THREE,
                r#"IIF(InStr([p],"SIP:")=1,IgnoreThisFlow,[p])"#,
                r#"{"$literal": "IgnoreThisFlow"}"#,
            ),
        ],
    ),
    decided(
        "a function of one value that gives a list (Split)",
        "gives the lists of all values in one",
        "the same as Select does",
        &[example_with(r#"{"p": ["a,b", "c"]}"#, r#"Split([p],",")"#, r#"["a", "b", "c"]"#)],
    ),
    decided(
        "several values where one is needed",
        "an error: an index, a delimiter, a limit, the message of Error",
        "taking any one of them would be a guess",
        &[example_with(THREE, "Item([p],[o])", r#"{"$error": true}"#)],
    ),
    decided(
        "links (`member`)",
        "flow as they are, guarded by IIF or Switch, or are counted (ValueCount, Count, IsPresent, IsNullOrEmpty) without being read. Anything else looks at single links, in inbound rules: `[member]` is then the list of the DNs of its targets in this connector space, in canonical order; links whose targets are not known there have no name and are left out. An object with more than 10,000 links in the attribute fails in what the flow writes. Links that are chosen, e.g. by Where, flow to link attributes",
        "500,000 members are never loaded for an expression, and what nobody has read has no name",
        &[
            example_with(
                r#"{"member": [{"$ref": "CN=a,OU=x"}, {"$ref": "CN=b,OU=y"}]}"#,
                r#"Where($item,[member],InStr($item,",OU=x")>0)"#,
                r#"[{"$ref": "CN=a,OU=x"}]"#,
            ),
            example_with(
                r#"{"manager": {"$ref": "CN=Lee,OU=Bosses,DC=x"}}"#,
                r#"IIF(InStr([manager],"OU=Bosses")>0,Mid([manager],4,3),NULL)"#,
                r#""Lee""#,
            ),
        ],
    ),
];

const TIME_TEXT: &str = "\
`Now()` is the start of the run. An evaluation gives the result and the instant until which it holds while nothing \
but the clock moves; the service looks at the object again then. This holds for results that are errors, too.";

const TIME: &[Decision] = &[
    decided(
        "until when a comparison holds",
        "exactly until it flips, where one side is the clock, shifted by DateAdd, NumFromDate, DateFromNum, `+` or `-` with anything that does not read the clock, and the other side does not read it; shifts by months are exact within the day",
        "an account that expires at noon is disabled at noon",
        &[
            example(r#"CDate("2001-01-01") < DateAdd("d",-30,Now())"#, "true"),
            example_with(
                r#"{"accountExpires": 9223372036854775807}"#,
                "DateFromNum([accountExpires]) < Now()",
                "false",
            ),
        ],
    ),
    decided(
        "any other use of the clock",
        "holds until midnight UTC, or for as long as the rule's `recheck` says",
        "it cannot be known when it changes",
        &[example(r#"IIF(FormatDateTime(Now(),"MM")="13",1,2)"#, "2")],
    ),
    decided(
        "a flow whose value is the clock",
        "is refused unless it is applied once; a variable bound to Now() counts where it is used",
        "it would be exported in every run",
        &[example(r#"With($now,Now(),IIF($now > CDate("2001-01-01"),"later","before"))"#, r#""later""#)],
    ),
    decided(
        "random functions",
        "are drawn from object, attribute, rule and place in the expression; in a loop every value has its own",
        "a second run must change nothing",
        &[example("Guid() = Guid()", "false"), example("RandomNum(1,9) < 10", "true")],
    ),
];

const LIMITS_TEXT: &str = "\
A rule cannot hang the service or exhaust its memory: reading and evaluating stop at a limit, and say which.";

const LIMITS: &[Decision] = &[
    decided(
        "when an expression is read",
        "256 KiB of text, 10,000 parts, 128 levels; chains of one operator `&`, `&&` or `||` are flat",
        "the largest shipped expression has 95 parts; 128 levels fit the stack of any thread",
        &[],
    ),
    decided(
        "when it is evaluated",
        "4,000,000 steps and 16 MiB of values that are kept. A step is a part that is evaluated, a value that is gone through, or 16 bytes that are read",
        "a fraction of a second",
        &[example(r#"Len(PadLeft("a",999999999,"b"))"#, r#"{"$error": true}"#)],
    ),
];

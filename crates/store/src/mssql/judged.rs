//! Every statement of this dialect, read by somebody else: `tests/tsql/judge.py` parses each one as T-SQL with `sqlglot`,
//! applies the migrations to a model of the schema, and holds the statements against it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{admin, bulk, open, sql, sql_open, sql_write};
use crate::relational::tables::TABLES;
use crate::relational::{reads, sets, writes};

/// The statements that read and write, as the other stores name them.
mod all {
    pub(super) use super::sql::*;
    pub(super) use super::sql_open::*;
    pub(super) use super::sql_write::*;
}

fn statements() -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    macro_rules! add {
        ($($name:ident)*) => { $(out.push((stringify!($name).to_owned(), all::$name.to_owned()));)* };
    }
    reads!(add);
    writes!(add);
    sets!(add);
    add! {
        READ_COMMITTED SNAPSHOT SERVER HAS_MIGRATIONS OTHERS MIGRATION_TABLE MIGRATIONS MIGRATION_PUT
        FACTS RESERVE SIZES SIZES_BELOW HISTORY_BYTES HISTORY_AT TIDY LOOK ADMIN_LOOK ADMIN_INSIDE USER_OF
        BEGIN_MIGRATION BEGIN_READ BEGIN_WRITE COMMIT ROLL_BACK
    }
    out.push(("rights missing".to_owned(), admin::rights_missing()));
    out.extend(
        admin::all_statements().into_iter().map(|text| (format!("for an administrator: {text}"), text)),
    );
    out.push(("ALLOW_SNAPSHOT".to_owned(), open::ALLOW_SNAPSHOT.to_owned()));
    for table in TABLES {
        out.push((format!("page of {}", table.name), bulk::page(table, false, 10)));
        out.push((format!("next page of {}", table.name), bulk::page(table, true, 10)));
        out.push((format!("add to {}", table.name), bulk::insert(table)));
        out.push((format!("remove from {}", table.name), bulk::delete(table)));
    }
    out
}

/// A text as JSON has it.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A list as JSON of pairs of texts.
fn json(pairs: &[(String, String)]) -> String {
    let mut out = "[".to_owned();
    for (number, (name, text)) in pairs.iter().enumerate() {
        out.push_str(if number == 0 { "[" } else { ",[" });
        quote(name, &mut out);
        out.push(',');
        quote(text, &mut out);
        out.push(']');
    }
    out.push(']');
    out
}

/// Python with `sqlglot`; `None`, and said aloud, where there is none.
fn judge() -> Option<Command> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", here.join("../../target/python"));
    let mut look = Command::new("python3");
    look.env("PYTHONPATH", here.join("../../target/python"))
        .args(["-c", "import sqlglot"])
        .stderr(Stdio::null());
    if !look.status().is_ok_and(|status| status.success()) {
        eprintln!(
            "SKIPPED: no Python with sqlglot: the statements for SQL Server are not judged; `./test` installs it"
        );
        return None;
    }
    python.arg(here.join("tests/tsql/judge.py"));
    Some(python)
}

/// What the judge says of migrations and statements.
fn verdict(judge: &mut Command, migrations: &[(String, String)], statements: &[(String, String)]) -> String {
    let mut child = judge.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let input = format!("{{\"migrations\":{},\"statements\":{}}}", json(migrations), json(statements));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the judge itself failed");
    String::from_utf8(output.stdout).unwrap()
}

fn migrations() -> Vec<(String, String)> {
    let batches = |(name, text): (&str, &str)| {
        open::batches(text).into_iter().map(|batch| (name.to_owned(), batch)).collect::<Vec<_>>()
    };
    open::MIGRATIONS.into_iter().flat_map(batches).collect()
}

#[test]
fn every_statement_is_t_sql_and_fits_the_schema() {
    let Some(mut judge) = judge() else { return };
    let statements = statements();
    assert!(statements.len() > 150, "some are forgotten: {}", statements.len());
    assert_eq!(verdict(&mut judge, &migrations(), &statements), "");
}

/// The judge is no rubber stamp.
#[test]
fn what_is_wrong_is_found() {
    let Some(mut judge) = judge() else { return };
    let statements = [
        ("SELEC 1", "no T-SQL"),
        ("SELECT id FROM cs_objects", "cs_objects"),
        ("SELECT o.colour FROM cs_object AS o", "colour"),
        ("SELECT colour FROM cs_object", "colour"),
        ("UPDATE t SET colour = 1 FROM cs_object AS t", "colour"),
        ("DELETE t FROM cs_object AS t WHERE t.colour = 1", "colour"),
        ("INSERT INTO setting (name, colour) SELECT @P1, @P2", "colour"),
        ("INSERT INTO setting (name, value) SELECT @P1", "2 columns of `setting` and 1 values"),
        ("SELECT STRING_AGG(name, ',') FROM setting", "STRING_AGG"),
        ("SELECT TRIM(name) FROM setting", "TRIM"),
        ("SELECT name FROM setting LIMIT 1", "LIMIT"),
        ("SELECT name FROM setting WHERE name IS DISTINCT FROM @P1", "DISTINCT FROM"),
        ("SELECT value FROM setting WHERE name = @P2", "@P1"),
        ("SELECT k.n FROM OPENJSON(@P1) WITH (n int '$[0]', id bigint '$[2]') AS k", "$[1]"),
        ("SELECT k.colour FROM OPENJSON(@P1) WITH (n int '$[0]') AS k", "colour"),
        ("MERGE setting AS t USING secret AS s ON t.name = s.name WHEN MATCHED THEN DELETE", "MERGE"),
    ];
    let changes = [
        ("CREATE TABLE t1 (a varbinary(20) NOT NULL PRIMARY KEY)", "varbinary"),
        ("CREATE TABLE t2 (a nvarchar(451) COLLATE Latin1_General_BIN2 NOT NULL PRIMARY KEY)", "900"),
        ("CREATE TABLE t3 (a nvarchar(10) NOT NULL)", "collation"),
        ("CREATE TABLE t4 (a json NULL)", "json"),
        ("CREATE INDEX i ON setting (colour)", "colour"),
        ("CREATE INDEX i ON setting (value)", "max"),
        ("CREATE TABLE setting (a int NOT NULL)", "there already"),
    ];
    let named = |(text, _): (&str, &str)| (format!("<{text}>"), text.to_owned());
    let more: Vec<_> = migrations().into_iter().chain(changes.into_iter().map(named)).collect();
    let asked: Vec<_> = statements.into_iter().map(named).collect();
    let found = verdict(&mut judge, &more, &asked);
    for (text, word) in statements.into_iter().chain(changes) {
        let complaint = found.lines().filter_map(|line| line.split_once(&format!("<{text}>: ")));
        let complaints: Vec<&str> = complaint.map(|(_, what)| what).collect();
        assert!(complaints.iter().any(|what| what.contains(word)), "{text}: {complaints:?}");
    }
}

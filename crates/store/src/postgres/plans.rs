//! Tests: how PostgreSQL answers the statements that must go from keys to rows while it believes that their tables are
//! empty, as it does of those that are emptied again and again.

use deadpool_postgres::Object;
use tokio_postgres::types::ToSql;

use super::connection::{Connections, run};
use super::options::PostgresOptions;
use super::query::Param;
use super::{PostgresStore, sql, sql_write};
use crate::relational::Value;
use crate::relational::wait::wait;

/// Statement, and the types of what it takes: a number (`i`) or bytes (`b`) for each key.
const KEYED: &[(&str, &str)] = &[
    (sql::CS_BY_ID, "i"),
    (sql::CS_OF_MV, "i"),
    (sql::CS_JOINED_IN, "ii"),
    (sql::CS_TARGET_BY_KEY, "b"),
    (sql::LINKS_OF, "iii"),
    (sql::LINK_HAS, "iib"),
    (sql::MV_LINKS_OF, "iii"),
    (sql::MV_LINK_HAS, "iii"),
    (sql::EXPORT_LINKS_OF, "iii"),
    (sql::EXPORT_LINK_BY_KEY, "iii"),
    (sql_write::AGENDA_DELETE, "iiib"),
    (sql_write::AGENDA_DELETE_IDENTITY, "iib"),
];

#[test]
fn keyed_statements_go_by_their_keys() {
    let url = std::env::var("PG_URL");
    let url = url.unwrap_or_else(|_| panic!("PG_URL names no PostgreSQL server: `./test` starts one"));
    let schema = format!("onesync_plans_{}", std::process::id());
    let options = |parameters: &str| PostgresOptions::parse(&format!("{url}?sslmode=disable{parameters}"));
    let beside = Connections::new(&options("").unwrap()).unwrap();
    let client = beside.writer("beginning").unwrap();
    run(&client, &format!("CREATE SCHEMA {schema}"), "beginning").unwrap();
    let options = options(&format!("&options=-csearch_path%3D{schema}")).unwrap();
    let wrong = {
        let store = PostgresStore::open(&options).unwrap();
        let reader = store.0.connections.reader("explaining").unwrap();
        KEYED.iter().filter_map(|(statement, types)| slow(&reader, statement, types)).collect::<Vec<_>>()
    };
    run(&client, &format!("DROP SCHEMA {schema} CASCADE"), "ending").unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The plan of a statement, where it goes through a table.
fn slow(client: &Object, statement: &str, types: &str) -> Option<String> {
    let param = |kind: char| match kind {
        'i' => Param::Many(vec![Value::Integer(1)]),
        _ => Param::Many(vec![Value::Blob(b"x")]),
    };
    let params: Vec<Param<'_>> = types.chars().map(param).collect();
    let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param as _).collect();
    let rows = wait(client.query(&format!("EXPLAIN {statement}"), &params)).unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let lines = |what: &[&str]| plan.iter().filter(|line| what.iter().any(|w| line.contains(w))).count();
    let scans = lines(&["Seq Scan", "Index Scan", "Index Only Scan"]);
    (scans == 0 || scans != lines(&["Index Cond"])).then(|| format!("{statement}\n{}", plan.join("\n")))
}

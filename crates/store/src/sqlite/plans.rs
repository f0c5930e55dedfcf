//! Tests: how SQLite answers the statements that must stay quick however large the database is.

use rusqlite::Connection;

use super::sql;

/// Statement, and what its plan must say; besides, nothing may be sorted or scanned.
const PLANS: &[(&str, &str)] = &[
    (sql::CS_BY_ID, "USING INTEGER PRIMARY KEY"),
    (sql::CS_BY_KEY, "cs_by_anchor"),
    (sql::CS_BY_NAME, "cs_by_name"),
    (sql::CS_OF_MV, "COVERING INDEX cs_joined_by_mv"),
    (sql::CS_JOINED_TO, "COVERING INDEX cs_joined_by_mv"),
    (sql::CS_PAGE, "cs_by_connector"),
    (sql::CS_HEADS, "cs_by_connector"),
    (sql::CS_LIVE, "COVERING INDEX cs_by_connector"),
    (sql::CS_IN_CONTAINER, "cs_by_container"),
    (sql::CS_JOINED_IN, "COVERING INDEX cs_joined_by_mv"),
    (sql::CS_JOINED_IN, "COVERING INDEX cs_by_connector (connector=? AND id=?)"),
    (sql::CS_TARGET_BY_KEY, "COVERING INDEX cs_by_anchor"),
    (sql::CS_TARGET_BY_NAME, "COVERING INDEX cs_by_name"),
    (sql::CS_BY_JOIN, "USING PRIMARY KEY"),
    (sql::LINKS, "USING PRIMARY KEY"),
    (sql::LINKS_OF, "USING PRIMARY KEY"),
    (sql::LINK_REFERRERS, "COVERING INDEX cs_link_back"),
    (sql::LINK_DELETE_OF, "USING PRIMARY KEY"),
    (sql::CONTAINER_BY_NAME, "container_by_name"),
    (sql::CONTAINERS_IN, "container_by_parent (parent=? AND rowid>?)"),
    (sql::CONTAINER_BY_ANCHOR, "container_by_anchor"),
    (sql::MV_BY_GUID, "mv_by_guid"),
    (sql::MV_PAGE, "USING INTEGER PRIMARY KEY"),
    (sql::MV_LINKS, "USING PRIMARY KEY"),
    (sql::MV_LINKS_OF, "USING PRIMARY KEY"),
    (sql::MV_LINK_COUNT, "(owner=? AND attribute=?)"),
    (sql::MV_LINK_REFERRERS, "COVERING INDEX mv_link_back"),
    (sql::HISTORY, "history_by_mv"),
    (sql::EXPORT_PAGE, "export_list"),
    (sql::EXPORT_DUE, "export_due (connector=? AND operation=? AND object_type=? AND cs>?)"),
    (sql::EXPORT_SENDING, "export_under_way (connector=? AND state=?)"),
    (sql::EXPORT_LINKS, "USING PRIMARY KEY"),
    (sql::EXPORT_LINKS_OF, "USING PRIMARY KEY"),
    (sql::EXPORT_REMOVALS_TO, "COVERING INDEX export_link_removals (target=? AND (owner,attribute)>(?,?))"),
    (sql::EXPORT_LINK_OF, "USING PRIMARY KEY"),
    (sql::EXPORT_LINK_PAGE, "USING PRIMARY KEY"),
    (sql::EXPORT_LINK_DUE, "USING PRIMARY KEY ((owner,attribute,target)>(?,?,?))"),
    (sql::EXPORT_LINK_OWNERS, "USING PRIMARY KEY ((owner,attribute)>(?,?))"),
    (sql::EXPORT_LINK_SENDING, "export_link_under_way (connector=? AND state=?)"),
    (sql::AGENDA_CONNECTOR, "(pass=? AND connector>?)"),
    (sql::AGENDA_EARLIEST, "(pass=? AND connector=?)"),
    (sql::AGENDA_FEW, "agenda_by_time (pass=? AND connector=? AND not_before<?)"),
    (sql::AGENDA_BY_WORK, "USING PRIMARY KEY (pass=? AND connector=? AND (a,b,c)>(?,?,?))"),
    (sql::AGENDA_DELETE, "USING PRIMARY KEY"),
    (sql::ERROR_PAGE, "USING PRIMARY KEY"),
    (sql::ERROR_PAGE_OF, "object_error_by_connector"),
    (sql::RUN_PAGE_OF, "run_by_connector"),
    (sql::CS_LAST, "SEARCH"),
];

#[test]
fn keyed_reads_use_their_index() {
    let connection = Connection::open_in_memory().unwrap();
    super::open::MIGRATIONS.iter().for_each(|(_, text)| connection.execute_batch(text).unwrap());
    let mut wrong = Vec::new();
    for (statement, wanted) in PLANS {
        let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
        let steps = explain.raw_query().mapped(|row| row.get::<_, String>(3)).collect::<Result<Vec<_>, _>>();
        let plan = steps.unwrap().join("; ");
        // A subquery that is itself keyed may be gone through.
        let scans = plan.replace("SCAN (subquery", "");
        let slow = plan.contains("TEMP B-TREE") || scans.contains("SCAN");
        if slow || !plan.contains(wanted) {
            wrong.push(format!("{statement}\n  wanted {wanted}\n  is     {plan}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

//! First loads: while a table of links is empty, its index of referrers is taken away, and built at the end in one pass.
//! An account that may not change the schema loads with it.

use deadpool_postgres::Object;

use super::connection::run;
use super::failure::failed;
use super::query::ask;
use super::sql;
use crate::error::StoreError;
use crate::relational::wait::wait;
use crate::relational::{Cells, Checked};

/// Tables of links: whether one has rows or will get none, how its index is taken away and built.
const INDICES: [(&str, &str, &str); 2] = [
    (sql::CS_LINK_ANY, sql::CS_LINK_BACK_DROP, sql::CS_LINK_BACK),
    (sql::MV_LINK_ANY, sql::MV_LINK_BACK_DROP, sql::MV_LINK_BACK),
];

/// Where it cannot be, the indices stay as they are: slower, not wrong.
fn where_allowed(done: Checked<()>) -> Checked<()> {
    match done {
        // Neither without the right to do so, nor while somebody reads.
        Err(StoreError::Rights { .. } | StoreError::Busy { .. }) => Ok(()),
        done => done,
    }
}

/// Takes the indices away, whatever the tables hold.
pub(super) fn drop_all(client: &Object, doing: &'static str) -> Checked<()> {
    INDICES.iter().try_for_each(|(_, drop, _)| where_allowed(run(client, drop, doing)))
}

/// Whether a table is about to be filled for the first time.
pub(super) fn wanted(client: &Object, doing: &'static str) -> Checked<bool> {
    INDICES.iter().try_fold(false, |wanted, (any, ..)| Ok(wanted || is_empty(client, any, doing)?))
}

fn is_empty(client: &Object, any: &'static str, doing: &'static str) -> Checked<bool> {
    let rows = wait(ask(client, any, &[])).map_err(failed(doing))?;
    let filled = rows.first().map(|row| Cells { table: "pg_class", row }.get::<bool>(0)).transpose()?;
    Ok(filled == Some(false))
}

/// Takes the indices of such tables away.
pub(super) fn begin(client: &Object, doing: &'static str) -> Checked<()> {
    for (any, drop, _) in INDICES {
        if is_empty(client, any, doing)? {
            where_allowed(run(client, drop, doing))?;
        }
    }
    Ok(())
}

/// Whether no index is missing.
pub(super) fn complete(client: &Object) -> Checked<bool> {
    let doing = "looking for the indices of links";
    let rows = wait(ask(client, sql::LINK_BACKS, &[])).map_err(failed(doing))?;
    let there = rows.first().map(|row| Cells { table: "pg_class", row }.count(0)).transpose()?;
    Ok(there == Some(INDICES.len() as u64))
}

/// Builds the indices that are missing.
pub(super) fn end(client: &Object) -> Checked<()> {
    if complete(client)? {
        return Ok(());
    }
    for (.., create) in INDICES {
        run(client, create, "building the indices of links")?;
    }
    Ok(())
}

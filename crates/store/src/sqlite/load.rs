//! First loads: the indices of referrers have random keys, so that each transaction of a load would change nearly all
//! their pages. While a table of links is empty its index is taken away, and built at the end, sorted, in one pass.

use rusqlite::Connection;

use super::{failed, sql};
use crate::error::StoreError;

/// Tables of links: whether one has rows, how its index is taken away and built.
const INDICES: [(&str, &str, &str); 2] = [
    (sql::CS_LINK_ANY, sql::CS_LINK_BACK_DROP, sql::CS_LINK_BACK),
    (sql::MV_LINK_ANY, sql::MV_LINK_BACK_DROP, sql::MV_LINK_BACK),
];

/// Takes the indices of empty tables away.
pub(super) fn begin(connection: &Connection) -> Result<(), StoreError> {
    let doing = failed("preparing for a first load");
    for (any, drop, _) in INDICES {
        let filled: bool = connection.query_row(any, [], |row| row.get(0)).map_err(&doing)?;
        if !filled {
            connection.execute_batch(drop).map_err(&doing)?;
        }
    }
    Ok(())
}

/// Whether no index is missing.
pub(super) fn complete(connection: &Connection) -> Result<bool, StoreError> {
    let doing = failed("looking for the indices of links");
    let there: i64 = connection.query_row(sql::LINK_BACKS, [], |row| row.get(0)).map_err(doing)?;
    Ok(there == INDICES.len() as i64)
}

/// Builds the indices that are missing.
pub(super) fn end(connection: &Connection) -> Result<(), StoreError> {
    for (.., create) in INDICES {
        connection.execute_batch(create).map_err(failed("building the indices of links"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use onesync_engine::Changes;
    use onesync_model::{AttrId, CsId, Hash128, Time};

    use crate::rows::InstallationRow;
    use crate::sqlite::SqliteStore;
    use crate::store::Store;

    fn indices(store: &SqliteStore) -> i64 {
        super::super::lock(&store.writer).query_row(super::sql::LINK_BACKS, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn an_index_is_missing_only_while_its_table_is_loaded_for_the_first_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.db");
        let store = SqliteStore::open(&path).unwrap();
        let row = InstallationRow { id: "i".to_owned(), epoch: 1, staging: true, created: Time::default() };
        store.install(&row).unwrap();
        store.begin_load(1).unwrap();
        assert_eq!(indices(&store), 0);
        let (owner, attribute, key) = (CsId(1), AttrId(2), Hash128([3; 16]));
        let changes = Changes { links_added: vec![(owner, attribute, key)], ..Changes::default() };
        store.apply(1, &changes).unwrap();
        // Right without the index, too.
        assert_eq!(store.reader().unwrap().referrers(key, None, 9).unwrap(), [(owner, attribute)]);
        // The program ends here, and another one goes on.
        drop(store);
        let store = SqliteStore::open(&path).unwrap();
        assert_eq!(indices(&store), 0);
        store.end_load(1).unwrap();
        assert_eq!(indices(&store), 2);
        assert_eq!(store.reader().unwrap().referrers(key, None, 9).unwrap(), [(owner, attribute)]);
        // There are links now: theirs stays, the other one is still of use to a first load.
        store.begin_load(1).unwrap();
        assert_eq!(indices(&store), 1);
        store.end_load(1).unwrap();
        assert_eq!(indices(&store), 2);
    }
}

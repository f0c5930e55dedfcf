//! A backup of everything, and back into an empty database.

use onesync_store::conformance::{EPOCH, install};
use onesync_store::{PostgresOptions, PostgresStore, ServiceChanges, Store as _};

use super::lab::Lab;
use crate::server::write;

fn options(lab: &Lab, schema: &str) -> PostgresOptions {
    PostgresOptions::parse(&lab.url(&format!("sslmode=disable&options=-csearch_path%3D{schema}"))).unwrap()
}

fn dump(store: &PostgresStore) -> String {
    store.reader().unwrap().dump(true).unwrap()
}

#[test]
fn a_backup_that_is_put_back_holds_the_same_rows_but_what_is_forgotten() {
    let (lab, folder) = (Lab::new("backup"), tempfile::tempdir().unwrap());
    let store = lab.store("one");
    install(&store);
    write(&store, [1]).unwrap();
    store
        .record(
            EPOCH,
            &ServiceChanges { settings: vec![("a".to_owned(), "b".to_owned())], ..ServiceChanges::default() },
        )
        .unwrap();
    let state = PostgresStore::schema(&options(&lab, "one")).unwrap();
    assert!(!state.is_older() && state.missing.is_empty(), "{state:?}");
    let tables = PostgresStore::backup(&options(&lab, "one"), folder.path()).unwrap();
    assert!(tables.iter().any(|table| table.table == "cs_object" && table.rows == 1), "{tables:?}");

    // Into a place that holds something: refused, and nothing changed.
    let before = dump(&store);
    let refused =
        PostgresStore::restore(&options(&lab, "one"), folder.path(), state.found, &tables, "none", 0);
    assert!(refused.unwrap_err().to_string().contains("goes into an empty database"));
    assert_eq!(dump(&store), before);

    // One that misses rows: nothing is left of it.
    lab.run("CREATE SCHEMA two").unwrap();
    let mut wrong = tables.clone();
    wrong.iter_mut().for_each(|table| table.rows += u64::from(table.table == "cs_object"));
    let two = options(&lab, "two");
    let refused = PostgresStore::restore(&two, folder.path(), state.found, &wrong, "none", 0).unwrap_err();
    assert!(refused.to_string().contains("table `cs_object` has 1 rows, 2 were written"), "{refused}");
    PostgresStore::restore(&two, folder.path(), state.found, &tables, "none", 0).unwrap();
    assert_eq!(dump(&lab.open("two").unwrap()), before);
    // It goes on from there.
    write(&lab.open("two").unwrap(), [2]).unwrap();
    // Put back under a higher epoch, whoever knows the database from before has none in it.
    lab.run("CREATE SCHEMA three").unwrap();
    let three = options(&lab, "three");
    PostgresStore::restore(&three, folder.path(), state.found, &tables, "none", EPOCH + 5).unwrap();
    assert_eq!(lab.open("three").unwrap().lease().unwrap().epoch, EPOCH + 5);
}

//! A disk that is full in the middle of a batch: the batch is not written, what was stays, and it goes on when there is
//! room again. Needs the right to mount a small disk of memory; skipped aloud without.

use std::path::Path;
use std::process::{Command, Stdio};

use onesync_engine::Changes;
use onesync_model::ConnectorId;
use onesync_store::conformance::{EPOCH, install};
use onesync_store::{MemoryStore, SqliteStore, Store, StoreError};

use crate::postgres::lab::Lab;

struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn new(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: a small disk may not be mounted here");
            return None;
        }
        Some(Self { folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes so much away that little is left.
    fn crowd(&self, bytes: usize) {
        std::fs::write(self.path().join("crowd"), vec![1; bytes]).unwrap();
    }

    fn clear(&self) {
        std::fs::remove_file(self.path().join("crowd")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.folder.path()).status();
    }
}

fn batch(number: u8) -> Changes {
    // Bytes that no database makes smaller.
    let mut state = u32::from(number) + 1;
    let bytes = (0..100_000).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let states = vec![(ConnectorId(1), format!("s{number}"), Some(bytes.collect()))];
    Changes { states, ..Changes::default() }
}

fn state(store: &dyn Store, number: u8) -> Option<Vec<u8>> {
    store.reader().unwrap().state(ConnectorId(1), &format!("s{number}")).unwrap()
}

/// Writes until the disk is full, makes room, and goes on.
fn survives(store: &dyn Store, room: impl Fn()) {
    let memory = MemoryStore::new();
    install(&memory);
    let mut number = 0;
    let error = loop {
        match store.apply(EPOCH, &batch(number)) {
            Ok(()) => memory.apply(EPOCH, &batch(number)).unwrap(),
            Err(error) => break error,
        }
        number += 1;
        assert!(number < 200, "the disk is never full");
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(error.to_string().contains("no space is left"), "{error}");
    assert!(number > 3, "{number}");
    // What was acknowledged is there, what was not is not; reading goes on.
    assert_eq!((state(store, number), state(store, number - 1)), (None, state(&memory, number - 1)));
    assert!(store.apply(EPOCH, &batch(number)).is_err());
    room();
    for number in number..number + 10 {
        store.apply(EPOCH, &batch(number)).unwrap();
        memory.apply(EPOCH, &batch(number)).unwrap();
    }
    for number in 0..number + 10 {
        assert_eq!(state(store, number), state(&memory, number), "{number}");
    }
}

#[test]
fn a_full_disk_is_survived_by_the_embedded_database() {
    let Some(disk) = Disk::new("24m") else { return };
    let store = SqliteStore::open(&disk.path().join("one.db")).unwrap();
    install(&store);
    disk.crowd(20_000_000);
    survives(&store, || disk.clear());
    drop(store);
    SqliteStore::open(&disk.path().join("one.db")).unwrap();
}

#[test]
fn a_full_disk_is_survived_by_postgres() {
    let Some(disk) = Disk::new("64m") else { return };
    let place = disk.path().join("space");
    std::fs::create_dir(&place).unwrap();
    let owned = Command::new("chown").arg("postgres").arg(&place).status().unwrap();
    let opened = Command::new("chmod").arg("755").arg(disk.path()).status().unwrap();
    assert!(owned.success() && opened.success());
    let lab = Lab::new("full");
    let space = format!("{}_space", lab.name);
    lab.run(&format!("CREATE TABLESPACE {space} LOCATION '{}'", place.display())).unwrap();
    lab.run("CREATE SCHEMA s").unwrap();
    let store = lab.open_in("s", &space).unwrap();
    install(&store);
    disk.crowd(60_000_000);
    survives(&store, || disk.clear());
    drop(store);
    lab.run("DROP SCHEMA IF EXISTS s CASCADE").unwrap();
    lab.run(&format!("DROP TABLESPACE IF EXISTS {space}")).unwrap();
}

//! `restore rehearse`: a backup is proven with its key file and the real directories, in a scratch place.

use std::path::Path;

use onesync_service::backup::{Rehearsal, RehearsedKeys, rehearse};
use onesync_service::{ServiceError, Status};
use onesync_vault::{AccountName, KeyFile, KeySet, Seal, Unlock, Verifier};
use secrecy::{ExposeSecret as _, SecretString};

use super::{backup, files, people, rows};
use crate::world::{World, person};

/// The key set of a world as a key file.
fn key_file(world: &World, password: &SecretString) -> (Vec<u8>, Unlock) {
    let name = AccountName::parse("sync").unwrap();
    let file = KeyFile {
        installation: world.service.status().unwrap().installation,
        account: name.to_string(),
        verifier: Verifier::make(password.expose_secret().as_bytes()).unwrap(),
        exported: "now".into(),
        keys: KeySet::open(&world.service.home().key_set()).unwrap(),
    };
    let sealed = file.seal(&Seal::Password(password)).unwrap().bytes;
    (sealed, Unlock::Account { name, password: password.clone() })
}

async fn rehearsed(world: &World, file: &Path, keys: &RehearsedKeys<'_>) -> Result<Rehearsal, ServiceError> {
    rehearse(world.service.home(), world.clock.clone(), 2, file, keys, &|_| Ok(())).await
}

/// A restore is rehearsed with the real directories, leaves nothing behind, and says what it found.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rehearsal_proves_a_restore_or_says_what_is_wrong() {
    let mut world = people(12).await;
    world.go_live().await;
    let file = world.beside("one.backup");
    backup(&world.service, &file);
    let (sealed, unlock) = key_file(&world, &SecretString::from("correct horse battery"));
    let keys = RehearsedKeys::File(&sealed, &unlock);
    // What is exported after the backup is seen, and not owed.
    world.person(3).department = "Warehouse".into();
    world.people.push(person(13, "Hired Later"));
    world.step().await;
    let there = files(world.service.home().folder());
    let (mark, before) = (world.sim.log_mark(), rows(&world.service));
    let proven = rehearsed(&world, &file, &keys).await.unwrap();
    assert!(proven.proven && proven.owed.is_empty() && proven.away.is_empty(), "{proven:?}");
    assert!(proven.read >= 26 && proven.not_noted.is_none(), "{proven:?}");
    assert_eq!((world.sim.changes(mark).len(), rows(&world.service)), (0, before));
    assert_eq!(files(world.service.home().folder()), there, "nothing is left behind");
    let noted = world.service.backups().unwrap().rehearsed.unwrap();
    assert_eq!(noted.file, file.display().to_string());

    // What nobody has exported yet is what a restored server would write.
    world.person(6).department = "Elsewhere".into();
    world.write();
    let found = rehearsed(&world, &file, &keys).await.unwrap();
    assert!(!found.proven, "{found:?}");
    let [owed] = &found.owed[..] else { panic!("{found:?}") };
    assert_eq!(
        (owed.connector.as_str(), owed.create, owed.update, owed.delete),
        ("entra", 0, 1, 0),
        "{owed:?}"
    );
    assert!(owed.samples.iter().any(|sample| sample.contains("Elsewhere")), "{owed:?}");
    assert_eq!(world.service.backups().unwrap().rehearsed.unwrap(), noted, "only what is proven is");

    // Without keys, with others, or with a damaged file it fails.
    let none = rehearsed(&world, &file, &RehearsedKeys::None).await.unwrap_err();
    assert!(none.to_string().contains("do not open"), "{none}");
    let wrong = Unlock::Account {
        name: AccountName::parse("sync").unwrap(),
        password: SecretString::from("wrong horse battery"),
    };
    let wrong = rehearsed(&world, &file, &RehearsedKeys::File(&sealed, &wrong)).await.unwrap_err();
    assert_eq!(wrong.status(), Status::Held, "{wrong}");
    assert_eq!(files(world.service.home().folder()), there, "nothing is left behind");

    // A directory that is away is taken as it was, and that is said: nothing is proven of it.
    world.step().await;
    let file = world.beside("two.backup");
    backup(&world.service, &file);
    std::fs::rename(world.ldif(), world.beside("away.ldif")).unwrap();
    let away = rehearsed(&world, &file, &keys).await.unwrap();
    assert!(away.away.len() == 1 && away.away[0].contains("`directory`"), "{away:?}");
    assert!(!away.proven && away.owed.is_empty() && away.unread == ["directory"], "{away:?}");
    let noted = world.service.backups().unwrap().rehearsed.unwrap();
    assert_eq!((&noted.file, &noted.away), (&file.display().to_string(), &away.unread));
    let words = noted.not_proven().unwrap();
    assert!(words.contains("not proven that nothing would be written: `directory` was not read"), "{words}");
    let keys = world.service.keys().unwrap().rehearsed.unwrap();
    assert!(keys.contains("`directory` was not read"), "{keys}");
}

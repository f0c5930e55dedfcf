//! An activation that is killed at any of its steps.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use onesync_vault::Unlock;
use secrecy::SecretString;

use super::*;
use crate::keys::tests::{ACCOUNT, House, PASSWORD};

/// The events *service activated and running*, by their epochs.
fn told(house: &House) -> Vec<u64> {
    let events = house.service.events(100).unwrap().into_iter().filter(|e| e.kind == "service-activated");
    let digits = |text: &str| -> String {
        text.split("epoch ").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect()
    };
    let mut epochs: Vec<u64> = events.map(|event| digits(&event.text).parse().unwrap()).collect();
    epochs.sort_unstable();
    epochs
}

#[test]
fn killed_at_any_step_it_takes_one_epoch_and_is_told_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let house = runtime.block_on(House::new(1));
    let file = house.path("keys.age");
    house.export_as(&file, None, PASSWORD).unwrap();
    let name = AccountName::parse(ACCOUNT).unwrap();
    let unlock = Unlock::Account { name: name.clone(), password: SecretString::from(PASSWORD) };
    let request = Request { file, unlock, account: Some((name, None)), kek: None };
    let begin = |again: bool, dies_at: usize| {
        let steps = Cell::new(0);
        let tell = |_: &str| {
            assert!(steps.get() != dies_at, "killed");
            steps.set(steps.get() + 1);
        };
        let all = || {
            runtime.block_on(async {
                let (home, clock) = (house.service.home().clone(), house.clock.clone());
                let activation = Activation::look(home, clock, 1, &request).await.unwrap();
                let activation = if again { activation.again() } else { activation };
                activation.carry_out(&tell).await.unwrap()
            })
        };
        catch_unwind(AssertUnwindSafe(all)).ok()
    };
    let folder = house.service.home().folder();
    let (note, mut epoch, mut kills) = (folder.join("activation.unfinished"), 1, 0);
    // The active server, anew; and a home that knows nothing yet of the database that it was joined to.
    for again in [true, false] {
        for dies_at in 0.. {
            if !again {
                std::fs::remove_file(folder.join("server.toml")).unwrap();
            }
            epoch += 1;
            let done = begin(again, dies_at);
            let ended = done.is_some();
            let done = done.unwrap_or_else(|| {
                kills += 1;
                assert!(note.exists(), "nothing works here before it is run again");
                begin(again, usize::MAX).unwrap()
            });
            assert_eq!(done.epoch, epoch, "killed at {dies_at}: no other epoch is taken");
            assert!(!note.exists());
            let expected: Vec<u64> = (2..=epoch).collect();
            assert_eq!(told(&house), expected, "killed at {dies_at}");
            if ended {
                break;
            }
        }
    }
    assert_eq!(kills, 4, "after the epoch, and after what was known is forgotten");
}

#[test]
fn a_key_set_of_an_earlier_version_is_not_under_the_source_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path());
    under_this_kek(&home, Some(&Kek::default())).unwrap();
    crate::flushed::write_flushed(&home.key_set(), "version = 1\n").unwrap();
    under_this_kek(&home, None).unwrap();
    let refused = under_this_kek(&home, Some(&Kek::default())).unwrap_err();
    assert!(refused.to_string().contains("of an earlier version"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_to_before_a_failover_it_takes_an_epoch_that_nobody_has_seen() {
    use onesync_store::{ServerRow, ServiceChanges, SqliteStore, Store as _};

    let house = House::new(1).await;
    let file = house.path("keys.age");
    house.export_as(&file, None, PASSWORD).unwrap();
    let (home, before) = (house.service.home().clone(), house.path("before"));
    SqliteStore::copy_as_it_is(&home.database(), &before).unwrap();
    let open = async || Service::open(home.clone(), house.clock.clone(), 1).await.unwrap();
    // Another server takes over and gets on; this one stands by for it.
    let other = ServerRow { id: "other".to_owned(), facts: "{}".to_owned(), ..ServerRow::default() };
    let store = SqliteStore::open(&home.database()).unwrap();
    assert_eq!(store.take_over(1, &other, None).unwrap(), 2);
    let tip = ("tip".to_owned(), r#"{"number":60,"id":"x","when":"then"}"#.to_owned());
    let step = ServiceChanges { settings: vec![tip], ..ServiceChanges::default() };
    store.write(2, &onesync_engine::Changes::default(), &step).unwrap();
    drop(store);
    let server = home.folder().join("server.toml");
    let ours = std::fs::read_to_string(&server).unwrap();
    std::fs::write(&server, ours.replace("standby = \"off\"", "standby = \"manual\"")).unwrap();
    assert!(matches!(open().await.watch().unwrap(), crate::standby::Watch::Wait { .. }));
    let witness = home.folder().join("witness.toml");
    let theirs = std::fs::read_to_string(&witness).unwrap();
    assert!(theirs.contains("epoch = 2") && theirs.contains("holder = \"other\""), "{theirs}");

    SqliteStore::replace(&home.database(), &before).unwrap();
    assert!(matches!(open().await.standing(), Standing::Behind { .. }));
    let name = AccountName::parse(ACCOUNT).unwrap();
    let unlock = Unlock::Account { name: name.clone(), password: SecretString::from(PASSWORD) };
    let request = Request { file, unlock, account: Some((name, None)), kek: None };
    let activation = Activation::look(home.clone(), house.clock.clone(), 1, &request).await.unwrap();
    let done = activation.carry_out(&|_| ()).await.unwrap();
    assert_eq!(done.epoch, 3, "2 was another one's");
    assert!(matches!(open().await.standing(), Standing::Active { epoch: 3, .. }));

    // Had it been the same epoch, the other one would be replaced, and not behind, for it lacks nothing by which to go on.
    let activated = std::fs::read_to_string(&server).unwrap();
    let id = activated.lines().find(|line| line.starts_with("server = ")).unwrap();
    std::fs::write(&server, activated.replace(id, "server = \"other\"")).unwrap();
    std::fs::write(&witness, theirs.replace("epoch = 2", "epoch = 3")).unwrap();
    let other = open().await;
    let replaced = matches!(other.standing(), Standing::Replaced { epoch: 3, theirs: 3, .. });
    assert!(replaced, "{:?}", other.standing());
    assert_eq!(other.look_back(&other.store().lease().unwrap()).unwrap(), None, "it stands by for that one");
}

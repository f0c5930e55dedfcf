//! An activation that is killed at any of its steps.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use onesync_vault::Unlock;
use secrecy::SecretString;

use super::*;
use crate::keys::tests::{ACCOUNT, House, PASSWORD};

/// The events *service activated and running*, by their epochs.
fn told(house: &House) -> Vec<String> {
    let events = house.service.events(100).unwrap().into_iter().filter(|e| e.kind == "service-activated");
    let epoch =
        |text: &str| text.split("epoch ").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
    let mut epochs: Vec<String> = events.map(|event| epoch(&event.text)).collect();
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
    let begin = |dies_at: usize| {
        let steps = Cell::new(0);
        let tell = |_: &str| {
            assert!(steps.get() != dies_at, "killed");
            steps.set(steps.get() + 1);
        };
        let all = || {
            runtime.block_on(async {
                let (home, clock) = (house.service.home().clone(), house.clock.clone());
                let activation = Activation::look(home, clock, 1, &request).await.unwrap();
                activation.again().carry_out(&tell).await.unwrap()
            })
        };
        catch_unwind(AssertUnwindSafe(all)).ok()
    };
    let note = house.service.home().folder().join("activation.unfinished");
    let mut kills = 0;
    for dies_at in 0.. {
        let wanted = 2 + dies_at as u64;
        if let Some(done) = begin(dies_at) {
            assert_eq!(done.epoch, wanted);
            break;
        }
        kills += 1;
        assert!(note.exists(), "nothing works here before it is run again");
        let done = begin(usize::MAX).unwrap();
        assert_eq!(done.epoch, wanted, "killed at {dies_at}: no other epoch is taken");
        assert!(!note.exists());
        let expected: Vec<String> = (2..=wanted).map(|epoch| epoch.to_string()).collect();
        assert_eq!(told(&house), expected, "killed at {dies_at}");
    }
    assert_eq!(kills, 2, "after the epoch, and after what was known is forgotten");
}

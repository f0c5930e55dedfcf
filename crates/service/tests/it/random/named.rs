//! What rules see of single links: the names of their targets, whatever becomes of these.

use onesync_connectors::memory::MemoryObject;
use onesync_connectors::{Anchor, LinkTarget};
use onesync_service::CycleKind;

use super::house::{Directories, House, Ways};
use super::{HALF_HOUR, ROUNDS, assert_same};

fn person(number: usize, container: &str) -> MemoryObject {
    let own = format!("b-{number}");
    MemoryObject::new("user", &own, &format!("CN={own},{container},DC=b"))
        .with("guid", own.as_str())
        .with("uid", own.as_str())
}

fn to(number: usize) -> LinkTarget {
    LinkTarget::Anchor(Anchor::text(&format!("b-{number}")))
}

/// The text that a rule makes of a manager's name, after a delta and after a full cycle.
async fn boss(house: &House) -> Option<String> {
    house.clock.advance_seconds(HALF_HOUR);
    let delta = house.settle(CycleKind::Delta, ROUNDS).await;
    house.cycle(CycleKind::Initial).await;
    assert_same(&delta, &house.picture(), "a full cycle finds another name");
    let text = delta.split("boss=Some(Values([\"").nth(1)?;
    Some(text.split('"').next().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_named_as_long_as_it_is_there() {
    let directories = Directories::new();
    let b = directories.b.clone();
    // This directory keeps the link when its target goes.
    b.put(person(1, "OU=o0").linked("manager", to(2)));
    let house = House::new(directories, Ways::default()).await;
    assert_eq!(boss(&house).await, None, "nobody has seen it");
    b.put(person(2, "OU=o0"));
    assert_eq!(boss(&house).await.as_deref(), Some("CN=b-2,OU=o0,DC=b"));
    b.rename(&Anchor::text("b-2"), "CN=b-2,OU=o1,DC=b");
    assert_eq!(boss(&house).await.as_deref(), Some("near CN=b-2,OU=o1,DC=b"));
    assert!(b.rename_container(&Anchor::text("ou-1"), "OU=in,OU=o3,DC=b"));
    assert_eq!(boss(&house).await.as_deref(), Some("CN=b-2,OU=in,OU=o3,DC=b"));
    b.remove(&Anchor::text("b-2"));
    assert_eq!(boss(&house).await, None, "it is gone");
    b.put(person(2, "OU=o2"));
    assert_eq!(boss(&house).await.as_deref(), Some("CN=b-2,OU=o2,DC=b"), "it is back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_with_too_many_links_fails_in_what_looks_at_them_and_nowhere_else() {
    const MANY: usize = 10_001;
    let directories = Directories::new();
    let (a, b) = (directories.a.clone(), directories.b.clone());
    let name = |number: usize| LinkTarget::Dn(format!("CN=n{number},OU=o0,DC=a"));
    let group = (0..MANY).map(name).fold(
        MemoryObject::new("group", "a-7", "CN=a-7,OU=o0,DC=a").with("guid", "a-7").with("cn", "g"),
        |group, to| group.linked("member", to),
    );
    a.put(group);
    // A member, of whose group in this forest only some members flow.
    b.put(person(1, "OU=o0"));
    b.put(person(2, "OU=o2"));
    let of_b = (1..MANY + 8)
        .map(to)
        .fold(MemoryObject::new("group", "b-0", "CN=b-0,OU=o0,DC=b").with("cn", "g"), |group, to| {
            group.linked("member", to)
        });
    b.put(of_b.with("description", "of b"));
    let house = House::new(directories, Ways::default()).await;
    let seen = house.settle(CycleKind::Initial, ROUNDS).await;
    let errors: Vec<&str> = seen.lines().filter(|line| line.starts_with("error")).collect();
    let about = |errors: &[&str], place: &str| errors.iter().filter(|line| line.contains(place)).count();
    // Of `people` the first contributor fails, and nobody else is asked; `member` is merged of all.
    assert_eq!(
        (about(&errors, "a:a-7 flow:people"), about(&errors, "b:b-0 flow:member"), errors.len()),
        (1, 1, 2),
        "{errors:?}"
    );
    assert!(errors[0].contains("`member` has 10001 links") && errors[0].contains("10000"), "{errors:?}");
    let group = seen.lines().find(|line| line.starts_with("mv") && line.contains("of b")).unwrap();
    assert!(group.contains("memberCount=") && group.contains("member:[]"), "nothing flows: {group}");

    for number in MANY - 1..MANY + 7 {
        b.unlink(&Anchor::text("b-0"), "member", &to(number));
    }
    a.unlink(&Anchor::text("a-7"), "member", &name(0));
    house.clock.advance_seconds(HALF_HOUR);
    let seen = house.settle(CycleKind::Delta, ROUNDS).await;
    assert_eq!(seen.lines().filter(|line| line.starts_with("error")).count(), 0);
    let group = seen.lines().find(|line| line.starts_with("mv") && line.contains("of b")).unwrap();
    assert_eq!(group.split("member:[").nth(1).unwrap().matches('"').count(), 2, "one of two: {group}");
}

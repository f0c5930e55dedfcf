//! A container is renamed and moved, told by its own entry: what lies in it moves along, and is looked at again in
//! pages.

use onesync_connectors::memory::MemoryObject;
use onesync_connectors::{Anchor, LinkTarget};
use onesync_engine::{AgendaRow, Below, Work};
use onesync_model::Time;
use onesync_service::{CycleKind, Step};

use super::house::{Directories, House, Ways};
use super::{HALF_HOUR, ROUNDS};

/// People in the container: several pages of the house.
const PEOPLE: usize = 12;

/// People of forest `b`, half of them in a container within the container; somebody outside has one as manager.
async fn settled() -> House {
    let directories = Directories::new();
    let b = &directories.b;
    b.put_container("ou-in", "OU=in,OU=o0,DC=b");
    let anchor = |number: usize| LinkTarget::Anchor(Anchor::text(&format!("b-{number}")));
    for number in 0..=PEOPLE {
        let container = match number {
            PEOPLE => "OU=o2",
            _ if number % 2 == 0 => "OU=o0",
            _ => "OU=in,OU=o0",
        };
        let own = format!("b-{number}");
        let person = MemoryObject::new("user", &own, &format!("CN={own},{container},DC=b"))
            .with("guid", own.as_str())
            .with("uid", own.as_str())
            .with("displayName", "somebody");
        b.put(if number == PEOPLE { person.linked("manager", anchor(3)) } else { person });
    }
    let house = House::new(directories, Ways::default()).await;
    house.settle(CycleKind::Initial, ROUNDS).await;
    let _ = house.directories.cloud.take_exports();
    house
}

fn places(house: &House, end: &str) -> usize {
    let accounts = house.directories.cloud.objects();
    accounts.iter().filter(|o| o.get("place").is_some_and(|p| p.first().to_string().ends_with(end))).count()
}

/// What was asked of the cloud, as text.
fn exported(house: &House) -> Vec<String> {
    let all = house.directories.cloud.take_exports();
    all.iter().map(|(item, _)| format!("{:?} {} links", item.operation, item.links.len())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_container_takes_along_what_lies_in_it() {
    let house = settled().await;
    let rename = |anchor: &str, dn: &str| {
        assert!(house.directories.b.rename_container(&Anchor::text(anchor), dn));
        house.clock.advance_seconds(HALF_HOUR);
    };
    rename("ou-0", "OU=new,OU=o2,DC=b");
    let report = house.cycle(CycleKind::Delta).await;
    let imported = &report.imported;
    assert_eq!(
        (imported.add, imported.update, imported.delete, imported.unchanged),
        (0, 0, 0, 0),
        "{report:?}"
    );
    assert_eq!(exported(&house), vec!["Update 0 links"; PEOPLE], "the places, and no link");
    assert_eq!((places(&house, "OU=new,OU=o2,DC=b"), places(&house, "OU=in,OU=new,OU=o2,DC=b")), (12, 6));

    // A rule's scope asks for a container that is called `o1`.
    rename("ou-1", "OU=o7,DC=b");
    rename("ou-0", "OU=o1,DC=b");
    house.cycle(CycleKind::Delta).await;
    assert_eq!(house.picture().matches("special").count(), PEOPLE);
    rename("ou-0", "OU=o0,DC=b");
    house.cycle(CycleKind::Delta).await;
    assert_eq!(house.picture().matches("special").count(), 0);

    let _ = exported(&house);
    for kind in [CycleKind::Delta, CycleKind::Initial] {
        house.clock.advance_seconds(HALF_HOUR);
        let report = house.cycle(kind).await;
        let imported = &report.imported;
        assert_eq!(
            (imported.add, imported.update, imported.delete),
            (0, 0, 0),
            "{kind:?} finds every row in place"
        );
        assert_eq!(exported(&house), Vec::<String>::new(), "{kind:?}");
    }
    assert_eq!(house.service.verify().unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_met_by_name_moves_along_too() {
    let house = settled().await;
    let b = &house.directories.b;
    let rename = async |anchor: &str, dn: &str| {
        assert!(b.rename_container(&Anchor::text(anchor), dn));
        house.clock.advance_seconds(HALF_HOUR);
        house.cycle(CycleKind::Delta).await;
    };
    // They lie where `ou-0` and `ou-in` are going to lie, under names that only they have told.
    for (own, container) in [("b-90", "OU=in,OU=late"), ("b-91", "OU=late"), ("b-92", "OU=own,OU=late")] {
        let dn = format!("CN={own},{container},DC=b");
        b.put(MemoryObject::new("user", own, &dn).with("guid", own).with("uid", own));
    }
    house.cycle(CycleKind::Delta).await;
    rename("ou-0", "OU=late,DC=b").await;
    rename("ou-in", "OU=inner,OU=late,DC=b").await;
    assert_eq!(places(&house, "OU=inner,OU=late,DC=b"), 7);
    rename("ou-0", "OU=new,DC=b").await;
    assert_eq!((places(&house, "OU=inner,OU=new,DC=b"), places(&house, "OU=own,OU=new,DC=b")), (7, 1));
    assert_eq!(places(&house, "OU=new,DC=b"), PEOPLE + 3);
    let picture = house.picture();
    house.clock.advance_seconds(HALF_HOUR);
    let report = house.cycle(CycleKind::Initial).await;
    assert_eq!(report.imported.update, 0, "a row that is another name of its container is in its place");
    assert_eq!(house.picture(), picture);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_dies_between_the_pages_below_a_container_goes_on_there() {
    let mut ends = Vec::new();
    let mut begun = 0;
    for dies_after in [None, Some(1), Some(2), Some(3), Some(4), Some(5)] {
        let mut house = settled().await;
        house.directories.b.rename_container(&Anchor::text("ou-0"), "OU=new,DC=b");
        house.clock.advance_seconds(HALF_HOUR);
        house.service.run_step("b", Step::DeltaImport, &|_| ()).await.unwrap();
        if let Some(transactions) = dies_after {
            // the first transaction is the beginning of the run
            house.stage.die_after(transactions);
            house.service.run_step("b", Step::DeltaSync, &|_| ()).await.unwrap_err();
            let reader = house.stage.store.reader().unwrap();
            let far = Time::from_ticks(i64::MAX);
            let rows = reader.agenda(Work::PASSES - 2, None, far, None, 100).unwrap();
            let half_way = |row: &AgendaRow| matches!(row.work, Work::Below(Below { after_object, .. }) if after_object.0 > 0);
            begun += usize::from(rows.iter().any(half_way));
            drop(reader);
            house.stage.revive();
            house.restart().await;
        }
        house.settle(CycleKind::Delta, ROUNDS).await;
        ends.push((house.picture(), house.cloud()));
        assert_eq!((places(&house, "OU=new,DC=b"), house.service.verify().unwrap()), (PEOPLE, Vec::new()));
    }
    assert!(begun > 0, "none died in the middle");
    assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "the end depends on where it died");
}

//! Backups: taken beside a cycle, restored into any kind of database, cut off at any place; and what a copy may do.

mod rehearsal;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use onesync_engine::{ChangeState, Changes};
use onesync_service::backup::{BackupReport, RestoreReport, Restoring, restore, verify};
use onesync_service::{CycleKind, DatabaseServer, Home, Service, ServiceError, Status, Step};
use onesync_store::ServiceChanges;

use crate::database::Database;
use crate::world::{World, person};

fn embedded() -> DatabaseServer {
    DatabaseServer::new("embedded", None)
}

fn backup(service: &Service, place: &Path) -> BackupReport {
    tokio::task::block_in_place(|| service.backup(place, None, &|_, _| Ok(()))).unwrap()
}

fn put(
    world: &World,
    file: &Path,
    name: &str,
    to: &DatabaseServer,
) -> Result<(Home, RestoreReport), ServiceError> {
    let home = Home::new(world.beside(name));
    let done = tokio::task::block_in_place(|| restore(&home, &*world.clock, file, to, &|_| Ok(())))?;
    Ok((home, done))
}

/// Opens a home that was restored; with the key set of the one that was backed up, where that is wanted.
async fn open(world: &World, home: &Home, with_keys: bool) -> Service {
    if with_keys {
        onesync_vault::KeySet::copy(&world.service.home().key_set(), &home.key_set()).unwrap();
    }
    Service::open(home.clone(), world.clock.clone(), 2).await.unwrap()
}

/// All rows, but those that a restore and a backup write themselves.
fn rows(service: &Service) -> Vec<String> {
    let own = |line: &&str| {
        ["installation", "event", "setting", "state"].iter().any(|table| line.starts_with(table))
    };
    service.dump().unwrap().lines().filter(|line| !own(line)).map(str::to_owned).collect()
}

/// What `activate` does to a copy, as far as it is about this.
fn no_copy_any_more(service: &Service) {
    let (store, _) = service.home().open().unwrap();
    let epoch = store.reader().unwrap().installation().unwrap().unwrap().epoch;
    let settings = vec![("copy-of".to_owned(), String::new())];
    let changes = ServiceChanges { staging: Some(false), settings, ..ServiceChanges::default() };
    store.record(epoch, &changes).unwrap();
}

async fn people(count: u32) -> World {
    World::embedded((1..=count).map(|n| person(n, &format!("Person {n}"))).collect()).await
}

/// From the embedded database to a server and back: the same rows, whatever a cycle did meanwhile.
async fn goes_everywhere(database: Database) {
    let mut world = people(40).await;
    world.go_live().await;
    // One while nothing happens: row for row.
    let quiet = world.beside("quiet.backup");
    let report = backup(&world.service, &quiet);
    assert!(report.rows > 500 && report.not_noted.is_none(), "{report:?}");
    let read = verify(world.service.home(), &quiet, &[], &|_, _| Ok(())).unwrap();
    assert_eq!((read.rows, read.bytes), (report.rows, std::fs::metadata(&quiet).unwrap().len()));
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&quiet).unwrap().permissions().mode() & 0o777, 0o600);
    let before = rows(&world.service);
    let (on_server, done) = put(&world, &quiet, "server", &database.server()).unwrap();
    assert_eq!((done.rows, done.upgraded), (report.rows, None));
    let on_server = open(&world, &on_server, false).await;
    assert_eq!(rows(&on_server), before);
    let second = world.beside("second.backup");
    backup(&on_server, &second);
    let (back, _) = put(&world, &second, "back", &embedded()).unwrap();
    let back = open(&world, &back, true).await;
    assert_eq!(rows(&back), before);
    assert_eq!(back.verify().unwrap(), Vec::<String>::new());

    // One while a cycle writes: one state all the same.
    for n in 1..=40 {
        world.person(n).department = format!("Department {n}");
    }
    world.people.push(person(41, "Newcomer"));
    world.write();
    let (other, busy) = (world.reopen().await, world.beside("busy.backup"));
    let place = busy.clone();
    let taker = tokio::task::spawn_blocking(move || other.backup(&place, None, &|_, _| Ok(())).unwrap());
    world.cycle(CycleKind::Delta).await;
    taker.await.unwrap();
    let (home, _) = put(&world, &busy, "busy", &embedded()).unwrap();
    let copy = open(&world, &home, true).await;
    assert_eq!(copy.verify().unwrap(), Vec::<String>::new(), "one state");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backup_goes_into_every_kind_of_database_row_for_row() {
    goes_everywhere(Database::new("backup").await).await;
}

/// The same on SQL Server; see `sqlserver.rs` for how it is named.
pub async fn it_goes_to_a_sql_server_and_back() {
    goes_everywhere(Database::on_sql_server("backup").await).await;
}

fn text(text: &str) -> Vec<u8> {
    [&[2][..], &(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn bytes(bytes: &[u8]) -> Vec<u8> {
    [&[3][..], &(bytes.len() as u64).to_le_bytes(), bytes].concat()
}

fn number(number: i64) -> Vec<u8> {
    [&[1][..], &number.to_le_bytes()].concat()
}

/// A backup of a program whose people had no names beside their images, written by hand as its form says.
fn of_older_program(place: &Path, newer: u32) {
    let digest = |bytes: &[u8]| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let person = |id: i64| {
        let empty = onesync_model::Image::empty();
        let rest = [bytes(&[]), bytes(&[]), bytes(empty.as_bytes())].concat();
        [number(id), bytes(&[id as u8; 16]), number(1), vec![0, 0], rest].concat()
    };
    let tables = [
        (
            "installation",
            "one, id, epoch, staging, created",
            1,
            vec![[number(1), text("0123456789abcdef"), number(3), number(0), number(0)].concat()],
        ),
        ("counter", "one, next_cs, next_mv, next_container", 1, vec![[1, 1, 3, 1].map(number).concat()]),
        (
            "mv_object",
            "id, guid, object_type, leaving_since, leaving_deleted, causes, picks, image",
            1,
            vec![person(1), person(2)],
        ),
        (
            "service_state",
            "connector, name, value",
            2,
            vec![[number(1), text("watermark"), bytes(b"old")].concat()],
        ),
        (
            "connector",
            "id, name, kind, removed",
            1,
            vec![[number(1), text("directory"), text("ldif"), number(0)].concat()],
        ),
        ("setting", "name, value", 1, vec![[text("scheduler"), text("off")].concat()]),
    ];
    let mut file = b"OneSync backup 1\n".to_vec();
    let mut parts = Vec::new();
    for (name, columns, keys, rows) in tables {
        let begin = file.len();
        let raw = rows.concat();
        let packed = zstd::bulk::compress(&raw, 1).unwrap();
        file.extend((rows.len() as u64).to_le_bytes());
        file.extend((raw.len() as u32).to_le_bytes());
        file.extend((packed.len() as u32).to_le_bytes());
        file.extend(packed);
        let sum = rows.iter().fold(onesync_model::Hash128::default(), |sum, row| {
            sum.plus(onesync_model::hash128(&[row.as_slice()]))
        });
        let part = &file[begin..];
        parts.push(serde_json::json!({
            "name": name, "columns": columns.split(", ").collect::<Vec<_>>(), "keys": keys, "rows": rows.len(),
            "content": sum.to_string(),
            "part": {"at": begin, "bytes": part.len(), "sha256": hex(digest(part).as_ref())},
        }));
    }
    let manifest = serde_json::json!({
        "form": 1, "program": "0.0.1", "schema": {"embedded": 7, "postgres": 1 + newer, "sqlserver": 1},
        "database": "embedded", "installation": "0123456789abcdef", "epoch": 3, "taken": "2026-01-01T00:00:00Z",
        "tables": parts, "keys": {"sealed_by": [], "exported": null, "included": null},
    });
    let (at, text) = (file.len() as u64, manifest.to_string());
    file.extend(text.as_bytes());
    file.extend(at.to_le_bytes());
    file.extend((text.len() as u64).to_le_bytes());
    file.extend(digest(text.as_bytes()).as_ref());
    file.extend(b"OneSync end   1\n");
    std::fs::write(place, file).unwrap();
}

/// A backup of an older program is restored as it was, and brought up to date; one of a newer program is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_an_older_program_is_brought_up_to_date() {
    let (database, cut) = (Database::new("older_backup").await, Database::new("older_cut").await);
    let world = people(1).await;
    let file = world.beside("older.backup");
    of_older_program(&file, 1_000);
    let refused = put(&world, &file, "newer", &embedded()).unwrap_err();
    assert!(refused.to_string().contains("schema version 1001 (postgres)"), "{refused}");
    of_older_program(&file, 0);
    let half = Home::new(world.beside("half"));
    for stop in [Restoring::Comparing("setting".into(), 1), Restoring::Marking] {
        let heard = |what: Restoring| match what == stop {
            true => Err(ServiceError::Stopped { why: "asked to".into() }),
            false => Ok(()),
        };
        let ended = restore(&half, &*world.clock, &file, &cut.server(), &heard).unwrap_err();
        assert!(ended.to_string().contains("asked to"), "{ended}");
    }
    for (name, to) in [("one", embedded()), ("two", database.server()), ("half", cut.server())] {
        let (home, report) = put(&world, &file, name, &to).unwrap();
        let (from, now) = report.upgraded.unwrap();
        assert!(from < now, "{report:?}");
        let (store, _) = home.open().unwrap();
        let answer = store.query("SELECT count(*) FROM mv_object WHERE display_name IS NULL", 1).unwrap();
        assert_eq!(format!("{:?}", answer.rows[0][0]), "Integer(2)", "{name}");
        let reader = store.reader().unwrap();
        assert_eq!(reader.setting("scheduler").unwrap().as_deref(), Some("off"));
        let state = |name: &str| reader.state(onesync_model::ConnectorId(1), name).unwrap();
        assert_eq!((state("watermark"), state("known-watermark")), (None, Some(b"old".to_vec())));
        assert!(state("verify-first").is_some() && state("full-sync-needed").is_some());
        let installation = reader.installation().unwrap().unwrap();
        assert_eq!((installation.epoch, installation.staging), (3, true));
    }
    // Tables of this program are no place for older ones.
    let ours = Database::new("older_ours").await;
    let server = ours.server();
    let options = onesync_store::PostgresOptions::parse(&server.url).unwrap();
    onesync_store::PostgresStore::open(&options.password(&server.password.unwrap())).unwrap();
    let refused = put(&world, &file, "three", &ours.server()).unwrap_err();
    assert!(refused.to_string().contains("the backup is of an older one"), "{refused}");
}

/// The story: a backup, work after it, the server is lost, the copy takes its place and exports nothing again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_copy_reads_everything_before_it_writes_and_exports_nothing_again() {
    let mut world = people(8).await;
    world.go_live().await;
    // What is being sent when the backup is taken: an account that is created, and a change.
    world.people.push(person(9, "Just Sent"));
    world.person(2).department = "Purchasing".into();
    world.write();
    for (connector, step) in [("directory", Step::DeltaImport), ("directory", Step::DeltaSync)] {
        world.service.run_step(connector, step, &|_| ()).await.unwrap();
    }
    let (store, _) = world.service.home().open().unwrap();
    let cloud = world.service.runtime().unwrap().connector("entra").unwrap().id;
    let epoch = store.reader().unwrap().installation().unwrap().unwrap().epoch;
    let due = {
        let all = onesync_store::ExportFilter::default();
        store.reader().unwrap().exports_page(cloud, all, onesync_model::CsId(i64::MIN), 100).unwrap()
    };
    assert_eq!(due.len(), 2);
    let mut sending = due.clone();
    for row in &mut sending {
        row.state = ChangeState::Sending;
        row.changes.iter_mut().for_each(|change| change.state = ChangeState::Sending);
    }
    store.apply(epoch, &Changes { exports: sending, ..Changes::default() }).unwrap();
    let file = world.beside("one.backup");
    backup(&world.service, &file);
    store.apply(epoch, &Changes { exports: due, ..Changes::default() }).unwrap();
    drop(store);

    // The server goes on: it sends these, and more that the backup does not know.
    world.step().await;
    world.person(3).department = "Warehouse".into();
    world.people.push(person(10, "Hired Later"));
    let (report, _) = world.step().await;
    assert_eq!((report.exported.add, report.exported.update), (1, 1));

    // Without the key set it says what it is, and what to do.
    let (home, _) = put(&world, &file, "second", &embedded()).unwrap();
    let service = open(&world, &home, false).await;
    let status = service.status().unwrap();
    let said = status.alarms.join("\n");
    assert!(said.contains("is a copy") && said.contains("onesync activate"), "{said}");
    assert_eq!(status.copy_of.as_ref().map(|copy| copy.installation.clone()), Some(status.installation));
    let refused = service.set_secret("graph", b"x").unwrap_err();
    assert_eq!(refused.status(), Status::Held);
    assert!(refused.to_string().contains("onesync activate"), "{refused:?}");
    drop(service);

    // With it, a copy reads and plans; it writes nothing, nor can it be told to.
    let mut service = open(&world, &home, true).await;
    let runtime = service.runtime().unwrap();
    let cloud = runtime.connector("entra").unwrap();
    assert_eq!(service.imports_owed(&runtime).unwrap(), ["directory", "entra"]);
    for refused in [
        service.staging_off(&runtime, cloud, "").unwrap_err(),
        service.run_step("entra", Step::Export, &|_| ()).await.unwrap_err(),
    ] {
        assert_eq!(refused.status(), Status::Held, "{refused}");
        assert!(refused.hint().unwrap().contains("onesync activate"), "{refused}");
    }

    // Activated, each connector owes a full import before the first export.
    no_copy_any_more(&service);
    service = open(&world, &home, false).await;
    let runtime = service.runtime().unwrap();
    service.take_marker(runtime.connector("entra").unwrap()).await.unwrap();
    let mark = world.sim.log_mark();
    let refuses = async |service: &Service, names: &str| {
        let refused = service.run_step("entra", Step::Export, &|_| ()).await.unwrap_err();
        assert_eq!(refused.status(), Status::Held);
        assert!(refused.to_string().contains(&format!("a full import of `{names}` has ended")), "{refused}");
    };
    refuses(&service, "directory`, `entra").await;
    service.run_step("entra", Step::FullImport, &|_| ()).await.unwrap();
    refuses(&service, "directory").await;
    assert!(
        service.status().unwrap().alarms.iter().any(|alarm| alarm.contains("full imports of `directory`"))
    );
    world.clock.advance_seconds(1_800);
    let report = service.cycle(CycleKind::Delta, &|_| ()).await.unwrap();
    assert_eq!(report.owed, ["directory"]);
    let imports: Vec<_> = report.steps.iter().take(2).map(|run| run.step).collect();
    assert_eq!(imports, [Step::FullImport, Step::FullImport]);
    let writes: Vec<_> = world.sim.changes(mark).iter().map(|w| format!("{} {}", w.method, w.path)).collect();
    assert_eq!(writes, Vec::<String>::new(), "nothing that was exported is exported again");
    assert_eq!(service.imports_owed(&service.runtime().unwrap()).unwrap(), Vec::<String>::new());
    assert_eq!(service.verify().unwrap(), Vec::<String>::new());

    // And it works as the one before did.
    world.service = service;
    world.person(3).department = "Office".into();
    let (report, writes) = world.step().await;
    assert_eq!((report.exported.update, writes.len(), report.owed.len()), (1, 1, 0), "{writes:?}");
    assert_eq!(world.cloud_accounts().len(), 10, "each once");
}

/// An import that is not complete leaves what is owed owed.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_fails_or_shows_too_little_is_still_owed() {
    let mut world = people(30).await;
    world.go_live().await;
    let file = world.beside("one.backup");
    backup(&world.service, &file);
    let (home, _) = put(&world, &file, "second", &embedded()).unwrap();
    let service = open(&world, &home, true).await;
    no_copy_any_more(&service);
    let everybody = std::mem::take(&mut world.people);
    world.write();
    let owed = |service: &Service| service.imports_owed(&service.runtime().unwrap()).unwrap();
    let suspect = service.run_step("directory", Step::FullImport, &|_| ()).await.unwrap_err();
    assert!(suspect.to_string().contains("suspect"), "{suspect}");
    assert_eq!(owed(&service), ["directory", "entra"]);
    world.people = everybody;
    world.write();
    service.run_step("directory", Step::DeltaImport, &|_| ()).await.unwrap();
    assert_eq!(owed(&service), ["entra"], "without a watermark it was a full one");
}

/// Killed at any place, and asked to end there: the same command goes on, and the home never opens before it is whole.
async fn cut_off(world: &World, file: &Path, to: &dyn Fn(usize) -> DatabaseServer) {
    let wanted = rows(&world.service);
    let steps = AtomicUsize::new(0);
    let home = Home::new(world.beside(&format!("count-{}", to(0).url.len())));
    let count = |_: Restoring| {
        steps.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    restore(&home, &*world.clock, file, &to(0), &count).unwrap();
    let steps = steps.into_inner();
    assert!(steps > 60, "{steps}");
    let last = steps - 1;
    let mut place = 0;
    for (round, kill) in (1..).zip([true, false, true, false, true, true]) {
        place = if round == 6 { last } else { (place + 1 + steps / 5).min(last - 1) };
        let home = Home::new(world.beside(&format!("{round}-{}", to(0).url.len())));
        let seen = AtomicUsize::new(0);
        let heard = |_: Restoring| {
            if seen.fetch_add(1, Ordering::Relaxed) != place {
                return Ok(());
            }
            if kill {
                panic!("killed")
            }
            Err(ServiceError::Stopped { why: "asked to".into() })
        };
        let server = to(round);
        let ended = catch_unwind(AssertUnwindSafe(|| restore(&home, &*world.clock, file, &server, &heard)));
        if let Ok(ended) = ended {
            assert!(ended.unwrap_err().to_string().contains("asked to"));
        }
        let refused = home.open().err().unwrap();
        assert!(refused.to_string().contains("holds no installation"), "{place}: {refused}");
        let again = restore(&home, &*world.clock, file, &server, &|_| Ok(())).unwrap();
        assert!(again.rows > 0);
        let service = Service::open(home.clone(), world.clock.clone(), 1).await.unwrap();
        assert_eq!(rows(&service), wanted, "place {place}");
        assert!(service.copy_of().unwrap().is_some());
        let refused = restore(&home, &*world.clock, file, &server, &|_| Ok(())).unwrap_err();
        assert!(refused.to_string().contains("holds an installation already"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_was_cut_off_goes_on() {
    let mut world = people(5).await;
    world.go_live().await;
    let file = world.beside("one.backup");
    backup(&world.service, &file);
    cut_off(&world, &file, &|_| embedded()).await;
    let mut databases = Vec::new();
    for n in 0..7 {
        databases.push(Database::new(&format!("restore{n}")).await);
    }
    cut_off(&world, &file, &|n| databases[n].server()).await;
}

/// What is there is never written over, and what cannot be restored changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_over() {
    let (database, taken) = (Database::new("empty").await, Database::new("taken").await);
    let world = people(2).await;
    let file = world.beside("one.backup");
    backup(&world.service, &file);
    let again =
        tokio::task::block_in_place(|| world.service.backup(&file, None, &|_, _| Ok(()))).unwrap_err();
    assert!(again.to_string().contains("is there already"), "{again}");
    Home::new(world.beside("other")).create_on(Some(&taken.server()), &*world.clock).unwrap();
    let refused = put(&world, &file, "new", &taken.server()).unwrap_err();
    assert!(refused.to_string().contains("holds installation"), "{refused}");
    assert!(refused.hint().unwrap().contains("empty database"));
    let refused = put(&world, &file, "home", &embedded()).unwrap_err();
    assert!(refused.to_string().contains("holds an installation already"), "{refused}");
    // A restore of another backup that was cut off in this database is another one's.
    let other = world.beside("other.backup");
    world.clock.advance_seconds(5);
    backup(&world.service, &other);
    let stop = |what: Restoring| match what {
        Restoring::Comparing(..) => Err(ServiceError::Stopped { why: "asked to".into() }),
        _ => Ok(()),
    };
    let half = Home::new(world.beside("half"));
    restore(&half, &*world.clock, &file, &database.server(), &stop).unwrap_err();
    let refused = put(&world, &other, "third", &database.server()).unwrap_err();
    assert!(refused.to_string().contains("a restore of another backup"), "{refused}");
    let refused = half.create(&*world.clock).unwrap_err();
    assert!(refused.to_string().contains("was not finished"), "{refused}");

    // Damaged in its middle: found before anything is written.
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&other, &bytes).unwrap();
    let refused = put(&world, &other, "fourth", &embedded()).unwrap_err();
    assert_eq!(refused.status(), Status::Failed, "{refused}");
    assert!(!world.beside("fourth").exists());
    let refused = verify(world.service.home(), &other, &[], &|_, _| Ok(())).unwrap_err();
    assert!(refused.to_string().contains("not what was written"), "{refused}");
    std::fs::write(&other, &bytes[..middle]).unwrap();
    let refused = verify(world.service.home(), &other, &[], &|_, _| Ok(())).unwrap_err();
    assert!(refused.to_string().contains("never finished, or was cut"), "{refused}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_come_by_themselves_and_so_many_are_kept() {
    let mut world = people(3).await;
    world.go_live().await;
    let folder = world.beside("backups");
    std::fs::create_dir(&folder).unwrap();
    let service = &world.service;
    assert!(!service.backup_is_due().unwrap());
    for (every, keep) in [("5m", 2), ("1d", 0), ("often", 2), ("400d", 2)] {
        let refused = service.set_backup_schedule(Some((&folder, every, keep)), &[]).unwrap_err();
        assert_eq!(refused.status(), Status::Usage, "{refused}");
    }
    service.set_backup_schedule(Some((&folder, "1d", 2)), &[]).unwrap();
    // Others' files are nobody's business, whatever their names.
    let id = &service.status().unwrap().installation[..8];
    let alien = folder.join(format!("onesync-{id}-19990101T000000Z.backup"));
    std::fs::write(&alien, "mine").unwrap();
    // Half a backup of one that was killed goes with the next one.
    let half = folder.join(format!("onesync-{id}-20000101T000000Z.backup.part"));
    std::fs::write(&half, "OneSync backup 1\nhalf").unwrap();
    let take = || tokio::task::block_in_place(|| service.scheduled_backup());
    for day in 0..4 {
        assert!(service.backup_is_due().unwrap(), "day {day}");
        let report = take().unwrap().unwrap();
        assert!(report.file.starts_with(&folder));
        assert!(!service.backup_is_due().unwrap());
        assert_eq!(files(&folder).len(), (day + 2).min(3), "{:?}", files(&folder));
        assert!(files(&folder).contains(&report.file));
        world.clock.advance_seconds(86_400);
    }
    let status = service.database_status().unwrap();
    assert_eq!(status.backup, service.backups().unwrap().last.map(|last| last.when));
    // A clock that was put back waits for no old time.
    assert!(service.backup_is_due().unwrap());

    // One that fails is an alarm until one succeeds; the older ones are kept.
    let away = world.beside("away");
    std::fs::rename(&folder, &away).unwrap();
    take().unwrap_err();
    let alarm = |service: &Service| service.status().unwrap().alarms.join("\n");
    assert!(alarm(service).contains("failed, and the last one is of"), "{}", alarm(service));
    // It is tried again, and not at once; but when the schedule is set anew.
    assert!(!service.backup_is_due().unwrap() && service.backups().unwrap().next.is_some());
    world.clock.advance_seconds(600);
    assert!(service.backup_is_due().unwrap());
    take().unwrap_err();
    assert!(!service.backup_is_due().unwrap());
    std::fs::rename(&away, &folder).unwrap();
    world.clock.advance_seconds(1);
    service.set_backup_schedule(Some((&folder, "1d", 2)), &[]).unwrap();
    assert!(service.backup_is_due().unwrap() && !alarm(service).contains("failed"), "{}", alarm(service));
    assert_eq!(files(&folder).len(), 3);
    take().unwrap().unwrap();
    assert!(!alarm(service).contains("failed"), "{}", alarm(service));
    // One that does not come is one, too.
    world.clock.advance_seconds(3 * 86_400);
    assert!(alarm(service).contains("a backup is due since"), "{}", alarm(service));
    service.set_backup_schedule(None, &[]).unwrap();
    assert!(!service.backup_is_due().unwrap() && take().unwrap().is_none());
    assert!(!alarm(service).contains("backup is due"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_whose_keys_are_only_on_this_server_is_not_restorable() {
    let world = people(2).await;
    let file = world.beside("one.backup");
    let report = backup(&world.service, &file);
    let why = report.not_restorable.unwrap();
    assert!(why.contains("not restorable") && why.contains("onesync keys export"), "{why}");
    let read = verify(&Home::new(world.beside("nowhere")), &file, &[], &|_, _| Ok(())).unwrap();
    let [key] = &read.manifest.keys.sealed_by[..] else { panic!("{:?}", read.manifest.keys) };
    assert!(read.not_restorable.is_some());
    let known =
        verify(&Home::new(world.beside("nowhere")), &file, &[std::slice::from_ref(key)], &|_, _| Ok(()))
            .unwrap();
    assert_eq!(known.not_restorable, None, "a key file that is shown");
    let other = ["0".repeat(16)];
    let known = verify(&Home::new(world.beside("nowhere")), &file, &[&other], &|_, _| Ok(())).unwrap();
    assert!(known.not_restorable.unwrap().contains("does not hold all"));
}

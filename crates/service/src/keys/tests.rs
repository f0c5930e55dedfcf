//! Keys as the service handles them: exported, rotated, lost.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use onesync_vault::{Unlock, VaultError};
use secrecy::{ExposeSecret as _, SecretString};

use super::*;
use crate::{Clock as _, Home, ManualClock, Service, Status, SystemClock};

pub(crate) const PASSWORD: &str = "correct horse battery";
const DAY: i64 = 24 * 3600;
pub(crate) const ACCOUNT: &str = "CONTOSO\\svc-sync";

pub(crate) struct House {
    pub(crate) service: Service,
    pub(crate) clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
}

impl House {
    /// An installation with a service account and this many secrets.
    pub(crate) async fn new(secrets: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let home = Home::new(folder.path().join("home"));
        home.create(&*clock).unwrap();
        let service = Service::open(home, clock.clone(), 1).await.unwrap();
        let house = Self { service, clock, folder };
        house.account(ACCOUNT, PASSWORD);
        for number in 0..secrets {
            house.service.set_secret(&format!("s{number:03}"), format!("value {number}").as_bytes()).unwrap();
        }
        house
    }

    fn account(&self, name: &str, password: &str) {
        let password = SecretString::from(password);
        let (vault, now) = (self.service.vault().unwrap(), self.clock.now());
        let (_, changes) = ServiceAccount::make(name, Some(&password), "onesync", &vault, now).unwrap();
        self.service.record(&changes).unwrap();
    }

    /// The same, opened anew, as after the end of the process.
    async fn again(self) -> Self {
        let Self { service, clock, folder } = self;
        let home = service.home().clone();
        drop(service);
        Self { service: Service::open(home, clock.clone(), 1).await.unwrap(), clock, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn export_as(
        &self,
        file: &Path,
        account: Option<&str>,
        password: &str,
    ) -> Result<Exported, ServiceError> {
        let password = SecretString::from(password);
        let seal = onesync_vault::Seal::Password(&password);
        self.service
            .export_keys(&ExportRequest { file, account, password: &password, seal: &seal }, &|_| Ok(()))
    }

    fn values(&self) -> BTreeMap<String, String> {
        let reader = self.service.store().reader().unwrap();
        let open = crate::secrets::open_all(&*reader, self.service.vault().ok().as_ref()).unwrap();
        assert!(open.closed.is_empty(), "{:?}", open.closed);
        open.in_force().into_iter().map(|(name, value)| (name, value.expose_secret().to_owned())).collect()
    }

    fn open(&self, file: &Path, account: &str, password: &str) -> Result<KeyFile, VaultError> {
        let name = onesync_vault::AccountName::parse(account).unwrap();
        KeyFile::open(
            &export::read(file).unwrap(),
            &Unlock::Account { name, password: password.to_owned().into() },
        )
    }
}

#[tokio::test]
async fn an_export_opens_everything_and_is_remembered_without_a_secret() {
    use std::os::unix::fs::PermissionsExt as _;
    let house = House::new(3).await;
    assert!(house.service.status().unwrap().reminders[0].contains("never exported"));
    let file = house.path("keys.age");
    // Whoever is another one exports nothing, and leaves no file.
    for (account, password, said) in [
        (Some("CONTOSO\\other"), PASSWORD, "not `CONTOSO\\other`"),
        (None, "another password", "not the password"),
    ] {
        let refused = house.export_as(&file, account, password).unwrap_err();
        assert_eq!(refused.status(), Status::Usage);
        assert!(refused.to_string().contains(said) && !file.exists(), "{refused}");
    }
    let exported = house.export_as(&file, Some("contoso\\SVC-sync"), PASSWORD).unwrap();
    assert!(exported.note.verified && exported.closed.is_empty());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = std::fs::read(&file).unwrap();
    let refused = house.export_as(&file, None, PASSWORD).unwrap_err();
    assert!(refused.to_string().contains("exists already"), "{refused}");
    assert_eq!(std::fs::read(&file).unwrap(), bytes);

    let report = house.service.keys().unwrap();
    assert_eq!(report.status(), Status::Done);
    let line = &report.exports[0];
    assert!(
        line.opens_all
            && !line.older_password
            && line.note.fingerprint == report.fingerprint.clone().unwrap()
    );
    assert!(house.service.status().unwrap().reminders.is_empty());
    let key_file = house.open(&file, ACCOUNT, PASSWORD).unwrap();
    let reader = house.service.store().reader().unwrap();
    let fit = fits(&*reader, &key_file).unwrap();
    assert_eq!((fit.belongs, fit.account, fit.opened), (Belongs::Here, Some(true), 3));
    assert!(fit.is_complete());
    assert_eq!(exports_with(&*reader, &needed(&*reader).unwrap()).unwrap().len(), 1);
    // What is remembered says nothing of the keys.
    let noted = reader.setting(EXPORTS).unwrap().unwrap();
    let text = std::fs::read_to_string(house.service.home().key_set()).unwrap();
    assert!(!noted.contains(PASSWORD) && !text.contains(PASSWORD));
    let event = house.service.events(10).unwrap().into_iter().find(|e| e.kind == "keys-exported").unwrap();
    assert!(event.subject.contains("keys.age"), "{event:?}");
}

#[tokio::test]
async fn the_key_file_of_another_database_or_from_before_a_rotation_does_not_fit() {
    let (one, other) = (House::new(2).await, House::new(1).await);
    let (first, foreign) = (one.path("first"), other.path("foreign"));
    one.export_as(&first, None, PASSWORD).unwrap();
    other.export_as(&foreign, None, PASSWORD).unwrap();
    let fit = |file: &Path| {
        let reader = one.service.store().reader().unwrap();
        fits(&*reader, &one.open(file, ACCOUNT, PASSWORD).unwrap()).unwrap()
    };
    let foreign = fit(&foreign);
    assert_eq!((foreign.belongs, foreign.opened, foreign.closed.len()), (Belongs::Elsewhere, 0, 2));
    // A copy knows where it came from.
    let copy = serde_json::json!({
        "installation": other.service.installation_id(), "epoch": 1, "taken": "then", "restored": "later",
    });
    one.service
        .record(&onesync_store::ServiceChanges {
            settings: vec![("copy-of".to_owned(), copy.to_string())],
            ..onesync_store::ServiceChanges::default()
        })
        .unwrap();
    assert_eq!(fit(&other.path("foreign")).belongs, Belongs::Source);

    assert!(fit(&first).is_complete());
    one.service.rotate_keys(&mut |_| Ok(())).unwrap();
    let older = fit(&first);
    assert_eq!((older.belongs, older.opened, older.closed.len()), (Belongs::Here, 0, 2));
    assert!(!one.service.keys().unwrap().exports[0].opens_all);
    assert!(one.service.status().unwrap().reminders[0].contains("no exported key file opens all"));
    let newer = one.path("newer");
    one.export_as(&newer, None, PASSWORD).unwrap();
    assert!(fit(&newer).is_complete(), "it has the retired key too");
}

#[tokio::test]
async fn a_key_file_keeps_the_password_it_was_exported_under() {
    let house = House::new(1).await;
    let file = house.path("keys.age");
    house.export_as(&file, None, PASSWORD).unwrap();
    house.account("CONTOSO\\svc-new", "quite another password");
    let report = house.service.keys().unwrap();
    assert!(report.exports[0].older_password && report.exports[0].opens_all);
    assert!(
        report.remarks.iter().any(|r| r.contains("keys.age") && r.contains("CONTOSO\\svc-sync")),
        "{report:?}"
    );
    let file = house.open(&file, ACCOUNT, PASSWORD).unwrap();
    let reader = house.service.store().reader().unwrap();
    assert_eq!(fits(&*reader, &file).unwrap().account, Some(false));
}

#[tokio::test]
async fn a_rotation_may_be_cut_anywhere() {
    let mut house = House::new(50).await;
    let before = house.values();
    let first = house.service.keys().unwrap().keys[0].id.clone();
    for cut in 0.. {
        let mut steps = 0;
        let ended = house.service.rotate_keys(&mut |_| {
            steps += 1;
            if steps > cut { Err(ServiceError::Internal("cut".to_owned())) } else { Ok(()) }
        });
        house = house.again().await;
        assert_eq!(house.values(), before, "cut at {cut}");
        let report = house.service.keys().unwrap();
        assert_eq!(report.status(), Status::Done);
        if let Ok(rotated) = ended {
            assert!(cut > 2 && rotated.closed.is_empty());
            let lines: Vec<_> = report.keys.iter().map(|key| (key.state, key.values)).collect();
            assert_eq!(lines, [("retired", 0), ("current", 50)], "no key more than one was made");
            assert!(report.keys[0].id == first && rotated.key == report.keys[1].id);
            break;
        }
        let unfinished = report.remarks.iter().any(|remark| remark.contains("a rotation was cut short"));
        assert_eq!(unfinished, cut > 0, "cut at {cut}: {report:?}");
    }
    // The next one is a new one.
    let rotated = house.service.rotate_keys(&mut |_| Ok(())).unwrap();
    assert!(!rotated.went_on && rotated.sealed == 50);
    assert_eq!(house.values(), before);
}

#[tokio::test]
async fn what_is_set_during_a_rotation_counts() {
    let house = House::new(45).await;
    let mut set = false;
    house
        .service
        .rotate_keys(&mut |step| {
            // Rows that were read before, and whose turn comes now.
            if matches!(step, Rotation::Sealed(20)) {
                house.service.set_secret("s030", b"new").unwrap();
                house.service.remove_secret("s031").unwrap();
                set = true;
            }
            Ok(())
        })
        .unwrap();
    assert!(set);
    let values = house.values();
    // The one before stays in use until the new one has worked, and both open.
    assert!(!values.contains_key("s031") && values.len() == 44, "{values:?}");
    assert_eq!(values["s030"], "new");
    let report = house.service.keys().unwrap();
    assert_eq!(report.keys[0].values, 0, "{report:?}");
}

#[tokio::test]
async fn retired_keys_are_kept_as_long_as_a_backup_may_need_them() {
    let house = House::new(2).await;
    house.service.rotate_keys(&mut |_| Ok(())).unwrap();
    let Forgotten { forgotten, kept } = house.service.forget_retired_keys().unwrap();
    assert!(forgotten.is_empty() && kept[0].1.contains("backups"), "{kept:?}");
    house.service.set_key_retention(30).unwrap();
    house.clock.advance_seconds(31 * 24 * 3600);
    // A value that an older key sealed keeps that key, however old it is.
    house
        .service
        .rotate_keys(&mut |step| match step {
            Rotation::NewKey(_) => Err(ServiceError::Internal("cut".to_owned())),
            _ => Ok(()),
        })
        .unwrap_err();
    let Forgotten { forgotten, kept } = house.service.forget_retired_keys().unwrap();
    assert_eq!((forgotten.len(), kept.len()), (0, 2), "{kept:?}");
    assert!(kept.iter().any(|(_, why)| why.contains("no exported key file")), "{kept:?}");
    house.export_as(&house.path("keys.age"), None, PASSWORD).unwrap();
    let Forgotten { forgotten, kept } = house.service.forget_retired_keys().unwrap();
    assert_eq!((forgotten.len(), kept.len()), (1, 1), "{kept:?}");
    assert!(kept[0].1.contains("database"));
    house.service.rotate_keys(&mut |_| Ok(())).unwrap();
    assert_eq!(house.values().len(), 2);
}

#[tokio::test]
async fn the_key_set_is_sealed_under_a_key_from_elsewhere() {
    let house = House::new(1).await;
    let elsewhere = house.path("elsewhere");
    let kek = parse_kek(&format!("file:{}", elsewhere.display())).unwrap();
    house.service.seal_key_set(Some(&kek)).unwrap();
    std::fs::remove_file(house.service.home().folder().join(onesync_vault::KEK_FILE)).unwrap();
    assert_eq!(house.values().len(), 1);
    assert!(house.service.keys().unwrap().kek.unwrap().contains("elsewhere"));
    house.service.rotate_keys(&mut |_| Ok(())).unwrap();
    assert!(house.service.keys().unwrap().kek.unwrap().contains("elsewhere"), "a rotation keeps it");
    std::fs::rename(&elsewhere, house.path("away")).unwrap();
    let report = house.service.keys().unwrap();
    assert_eq!(report.status(), Status::Held);
    assert!(report.problem.unwrap().contains("elsewhere is missing"));
    let token = parse_kek("pkcs11:/usr/lib/m.so?token=t&key=k&pin=credential:pin").unwrap();
    assert_eq!(token.to_string(), "key k on token t");
    assert!(
        parse_kek("pkcs11:/usr/lib/m.so?token=t&key=k").is_err()
            && parse_kek("pkcs11:m.so?token=t&key=k&pin=p").is_err()
    );
    assert!(
        parse_kek("usb").is_err() && parse_kek("credential:../x").is_err() && parse_kek("file:").is_err()
    );
}

#[tokio::test]
async fn lost_keys_are_given_up_and_nothing_else() {
    let house = House::new(3).await;
    assert_eq!(
        house.service.abandon_keys(LostForGood::default()).unwrap_err().status(),
        Status::Usage,
        "nothing is lost"
    );
    // That it cannot be read for a reason that is mended is no loss.
    let open = std::os::unix::fs::PermissionsExt::from_mode;
    std::fs::set_permissions(house.service.home().key_set(), open(0o640)).unwrap();
    assert!(
        house.service.abandon_keys(LostForGood::default()).unwrap_err().to_string().contains("chmod 600")
    );
    std::fs::set_permissions(house.service.home().key_set(), open(0o600)).unwrap();
    assert_eq!(house.values().len(), 3);
    // A key set of another time, with one value that it can open.
    let keys = house.service.home().key_set();
    std::fs::rename(&keys, house.path("away")).unwrap();
    Vault::create(&keys, &onesync_vault::Kek::default(), "2026-01-01T00:00:00Z").unwrap();
    house.service.set_secret("s001", b"entered again").unwrap();
    house.service.set_secret("s009", b"new").unwrap();
    let lost = house.service.lost_with_keys().unwrap();
    let names: Vec<_> = lost.iter().map(|lost| lost.name.as_str()).collect();
    assert_eq!(names, ["s000", "s002"]);
    assert!(lost[0].remedy.contains("secret set s000"));
    assert_eq!(house.service.abandon_keys(LostForGood::default()).unwrap(), lost);
    let values = house.values();
    assert_eq!(values.keys().collect::<Vec<_>>(), ["s001", "s009"]);
    let event = house.service.events(10).unwrap().into_iter().find(|e| e.kind == "keys-abandoned").unwrap();
    assert!(event.text.contains("s000"), "{event:?}");

    // Without any key set, or with one whose key-encryption key is gone or something else.
    for case in 0..3 {
        let kek = keys.with_file_name(onesync_vault::KEK_FILE);
        match case {
            0 => std::fs::remove_file(&keys).unwrap(),
            1 => std::fs::remove_file(&kek).unwrap(),
            _ => std::fs::write(&kek, "nonsense").unwrap(),
        }
        if case > 0 {
            let refused = house.service.abandon_keys(LostForGood::default()).unwrap_err();
            assert!(refused.hint().unwrap().contains("--kek-is-lost"), "{refused}");
        }
        let lost = house.service.abandon_keys(LostForGood { kek: true, files: false }).unwrap();
        assert_eq!(lost.len(), if case == 0 { 2 } else { 1 }, "{case}: {lost:?}");
        assert!(house.values().is_empty());
        house.service.set_secret("graph", b"entered again").unwrap();
    }
    assert_eq!(house.values()["graph"], "entered again");
}

#[tokio::test]
async fn scheduled_backups_have_keys_for_those_only_who_were_named() {
    // Of the test vectors of the format.
    const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
    const IDENTITY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    let house = House::new(2).await;
    let (folder, recipients) = (house.path("backups"), [RECIPIENT.to_owned()]);
    std::fs::create_dir(&folder).unwrap();
    let set = |recipients: &[String]| house.service.set_backup_schedule(Some((&folder, "1d", 3)), recipients);
    let wrong = set(&["age1nonsense".to_owned()]).unwrap_err();
    assert!(wrong.status() == Status::Usage && wrong.to_string().contains("no recipient"), "{wrong}");
    set(&recipients).unwrap();
    let taken = house.service.scheduled_backup().unwrap().unwrap();
    assert_eq!(taken.not_restorable, None, "{taken:?}");
    let inside = crate::backup::key_file_in(&taken.file).unwrap();
    let opened = KeyFile::open(&inside, &Unlock::Identity(IDENTITY.into())).unwrap();
    assert!(fits(&*house.service.store().reader().unwrap(), &opened).unwrap().is_complete());
    let verified = crate::backup::verify(house.service.home(), &taken.file, &[], &|_, _| Ok(())).unwrap();
    assert_eq!(verified.manifest.keys.included.unwrap().recipients, recipients);
    let event = house.service.events(10).unwrap().into_iter().find(|e| e.kind == "keys-exported").unwrap();
    assert!(event.text.contains(RECIPIENT), "{event:?}");

    // A rotation takes what vouches for them along, and the key before is inside, too.
    house.service.rotate_keys(&mut |_| Ok(())).unwrap();
    house.clock.advance_seconds(86_400);
    let taken = house.service.scheduled_backup().unwrap().unwrap();
    let inside = crate::backup::key_file_in(&taken.file).unwrap();
    let opened = KeyFile::open(&inside, &Unlock::Identity(IDENTITY.into())).unwrap();
    assert_eq!(opened.keys.notes().len(), 2);

    // Whoever writes into the database puts nobody else in their place.
    let setting = house.service.store().reader().unwrap().setting("backup-schedule").unwrap().unwrap();
    let other = "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg";
    let changes = onesync_store::ServiceChanges {
        settings: vec![("backup-schedule".to_owned(), setting.replace(RECIPIENT, other))],
        ..onesync_store::ServiceChanges::default()
    };
    house.service.record(&changes).unwrap();
    let change = crate::backup::ScheduleChange { keep: Some(9), ..Default::default() };
    let refused = house.service.change_backup_schedule(&change).unwrap_err();
    assert!(
        refused.status() == Status::Held && refused.hint().unwrap().contains("--without-keys"),
        "{refused}"
    );
    house.clock.advance_seconds(86_400);
    let refused = house.service.scheduled_backup().unwrap_err();
    assert_eq!(refused.status(), Status::Held);
    assert!(refused.to_string().contains("changed by other means"), "{refused}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2, "nothing was written");
    assert!(house.service.status().unwrap().alarms.iter().any(|alarm| alarm.contains("by other means")));
    // Set anew, it goes on.
    set(&recipients).unwrap();
    assert!(house.service.scheduled_backup().unwrap().is_some());
    // Nor does whoever kept what was vouched for before: who was left out stays out.
    let kept = |house: &House| {
        let reader = house.service.store().reader().unwrap();
        (
            reader.setting("backup-schedule").unwrap().unwrap(),
            reader.secret(crate::backup::RECIPIENTS).unwrap().unwrap(),
        )
    };
    let (setting, sealed) = kept(&house);
    set(&[other.to_owned()]).unwrap();
    let replayed = onesync_store::ServiceChanges {
        settings: vec![("backup-schedule".to_owned(), setting)],
        secrets: vec![sealed],
        ..onesync_store::ServiceChanges::default()
    };
    house.service.record(&replayed).unwrap();
    house.clock.advance_seconds(86_400);
    let refused = house.service.scheduled_backup().unwrap_err();
    assert!(refused.to_string().contains("changed by other means"), "{refused}");
    // Without any, what vouched for them is gone.
    set(&recipients).unwrap();
    set(&[]).unwrap();
    assert!(house.service.secrets().unwrap().iter().all(|(name, ..)| name != crate::backup::RECIPIENTS));
    house.clock.advance_seconds(86_400);
    let without = house.service.scheduled_backup().unwrap().unwrap();
    assert!(without.not_restorable.unwrap().contains("never exported"));
}

/// A key that a rotation retired long ago, and every export holds.
async fn with_a_retired_key() -> (House, String) {
    let house = House::new(1).await;
    let first = house.service.keys().unwrap().keys[0].id.clone();
    house.service.set_key_retention(10).unwrap();
    (house, first)
}

impl House {
    fn rotated_long_ago(&self) {
        self.service.rotate_keys(&mut |_| Ok(())).unwrap();
        self.export_as(&self.path(&format!("{}.age", self.clock.now().ticks())), None, PASSWORD).unwrap();
        self.clock.advance_seconds(5000 * DAY);
    }

    fn backed_up(&self, place: &Path) -> PathBuf {
        self.clock.advance_seconds(1);
        self.service.backup(place, None, &|_, _| Ok(())).unwrap().file
    }

    /// Why the only retired key is kept.
    fn kept(&self, first: &str) -> String {
        let Forgotten { forgotten, kept } = self.service.forget_retired_keys().unwrap();
        assert_eq!(forgotten, [""; 0]);
        let [(id, why)] = &kept[..] else { panic!("{kept:?}") };
        assert_eq!(id, first);
        why.clone()
    }

    /// All devices have another number than they had, as after a start of the machine.
    fn other_devices(&self) {
        let reader = self.service.store().reader().unwrap();
        let folders =
            reader.settings().unwrap().into_iter().filter(|(name, _)| name.starts_with("backup-folder/"));
        let other =
            |text: String| text.replace(&format!("{}/", self.service.standing().server()), "another/");
        let settings = folders.map(|(name, text)| (name, other(text))).collect();
        drop(reader);
        let changes = onesync_store::ServiceChanges { settings, ..onesync_store::ServiceChanges::default() };
        self.service.record(&changes).unwrap();
    }
}

#[tokio::test]
async fn a_key_is_kept_as_long_as_there_is_a_backup_that_needs_it() {
    let (house, first) = with_a_retired_key().await;
    let folder = house.path("backups");
    std::fs::create_dir(&folder).unwrap();
    house.service.set_backup_schedule(Some((&folder, "100d", 9)), &[]).unwrap();
    let scheduled = house.service.scheduled_backup().unwrap().unwrap().file;
    // By hand: with a name of its own in the folder of the schedule, and elsewhere by a relative path through a link.
    let own = house.backed_up(&folder.join("monday"));
    let (real, link) = (house.path("real"), house.path("link"));
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let up = "../".repeat(std::env::current_dir().unwrap().components().count() - 1);
    let relative = format!("{up}{}", link.join("tuesday").strip_prefix("/").unwrap().display());
    house.backed_up(Path::new(&relative));
    let tuesday = real.canonicalize().unwrap().join("tuesday");
    let event = house.service.events(10).unwrap().into_iter().find(|e| e.kind == "backed-up").unwrap();
    assert_eq!(event.subject, tuesday.display().to_string());
    house.rotated_long_ago();
    let says = house.kept(&first);
    assert!(says.contains("3 in all") && says.contains(scheduled.to_str().unwrap()), "{says}");
    let report = house.service.keys().unwrap();
    assert_eq!(report.keys[0].backups, [&scheduled, &own, &tuesday].map(|file| file.display().to_string()));
    assert!(report.keys[1].backups.is_empty());

    // Whatever becomes of the schedule.
    house.service.set_backup_schedule(Some((&real, "1d", 9)), &[]).unwrap();
    house.service.set_backup_schedule(None, &[]).unwrap();
    assert!(house.kept(&first).contains("3 in all"));
    for file in [&scheduled, &tuesday] {
        std::fs::remove_file(file).unwrap();
    }
    assert!(house.kept(&first).contains("1 in all: ") && house.kept(&first).contains("monday"));
    // What was not finished, cut off, or is none needs no key.
    std::fs::rename(&own, folder.join("monday.part")).unwrap();
    let bytes = std::fs::read(folder.join("monday.part")).unwrap();
    std::fs::write(folder.join("cut"), &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(folder.join("text"), "OneSync").unwrap();
    std::fs::create_dir(folder.join("inner")).unwrap();
    assert_eq!(house.service.forget_retired_keys().unwrap().forgotten, std::slice::from_ref(&first));
    // What is dropped all the same is said.
    std::fs::rename(folder.join("monday.part"), &own).unwrap();
    let remarks = house.service.keys().unwrap().remarks.join("\n");
    assert!(remarks.contains("1 backups need keys that this key set does not have any more"), "{remarks}");
}

#[tokio::test]
async fn all_keys_are_kept_where_it_is_not_known_which_backups_there_are() {
    let (house, first) = with_a_retired_key().await;
    let (folder, away) = (house.path("backups"), house.path("away"));
    std::fs::create_dir(&folder).unwrap();
    house.service.set_backup_schedule(Some((&folder, "1d", 9)), &[]).unwrap();
    house.rotated_long_ago();
    let taken = house.service.scheduled_backup().unwrap().unwrap().file;
    // The folder is not there.
    std::fs::rename(&folder, &away).unwrap();
    let says = house.kept(&first);
    assert!(says.contains("not seen") && says.contains(folder.to_str().unwrap()), "{says}");
    let remarks = house.service.keys().unwrap().remarks.join("\n");
    assert!(remarks.contains(folder.to_str().unwrap()) && remarks.contains("--gone FOLDER"), "{remarks}");
    std::fs::rename(&away, &folder).unwrap();
    // A file is of a later form; a link leads to a disk that is out.
    let later = folder.join("later");
    std::fs::write(&later, "OneSync backup 9\nand more").unwrap();
    let says = house.kept(&first);
    assert!(says.contains("later") && says.contains("form 9"), "{says}");
    std::fs::remove_file(&later).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", &later).unwrap();
    assert!(house.kept(&first).contains("later"));
    std::fs::remove_file(&later).unwrap();
    // Devices are numbered anew, and the last backup lies where it lay: it is the same folder, as the next one notes.
    house.other_devices();
    assert!(!house.service.keys().unwrap().remarks.iter().any(|remark| remark.contains("not seen")));
    let second = house.backed_up(&folder);
    std::fs::remove_file(&second).unwrap();
    assert!(!house.service.keys().unwrap().remarks.iter().any(|remark| remark.contains("not seen")));
    // The disk is out: nothing lies in its mount point, and what is taken into that meanwhile says nothing of the others.
    house.other_devices();
    std::fs::remove_file(&taken).unwrap();
    assert!(house.kept(&first).contains("another device"));
    house.clock.advance_seconds(86_400);
    house.service.scheduled_backup().unwrap().unwrap();
    house.service.set_backup_schedule(Some((&folder, "2d", 9)), &[]).unwrap();
    assert!(house.kept(&first).contains("another device"));
    // Until somebody says so; of one that is there, what lies in it counts from now on.
    let refused = house.service.backups_are_gone(&away).unwrap_err();
    assert_eq!(refused.status(), Status::Usage);
    house.service.backups_are_gone(&folder).unwrap();
    house.backed_up(&house.path("by-hand"));
    assert_eq!(house.service.forget_retired_keys().unwrap().forgotten, [first]);
    house.rotated_long_ago();
    let Forgotten { forgotten, kept } = house.service.forget_retired_keys().unwrap();
    assert!(forgotten.is_empty() && kept[0].1.contains("by-hand"), "{kept:?}");
    std::fs::remove_dir_all(&folder).unwrap();
    house.service.backups_are_gone(&folder).unwrap();
    std::fs::remove_file(house.path("by-hand")).unwrap();
    assert_eq!(house.service.forget_retired_keys().unwrap().forgotten.len(), 1);
}

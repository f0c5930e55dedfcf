//! The story of rights: OneSync on the host of a domain controller, where several people try to export the keys.
//!
//! The users of the system are made for it and go with it; the service account is one of the domain, where a Samba is at hand.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use onesync_graphsim::GraphSim;
use onesync_ldap::control::TREE_DELETE;
use onesync_ldap::{Client, Control, Entry};

use crate::backup::RECIPIENT;
use crate::keys::{run_as, user};
use crate::kill::ldif::SOURCE;
use crate::kill::samba::bound;
use crate::program::{CLOUD_SECRET, Setup, cloud, directory, run};

const PASSWORD: &str = "a long password of the service account";

/// Users of the system that go with this.
struct Users(Vec<String>);

impl Users {
    fn make(names: &[&str]) -> Option<Self> {
        let mut made = Self(Vec::new());
        for name in names {
            let name = format!("os{}{name}", std::process::id());
            let line = ["--system", "--no-create-home", "--shell", "/usr/sbin/nologin", &name];
            let Ok(done) = Command::new("useradd").args(line).output() else {
                eprintln!("SKIPPED: rights: there is no useradd here, which makes the users of this story");
                return None;
            };
            assert!(done.status.success(), "{done:?}");
            made.0.push(name);
        }
        Some(made)
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        for name in &self.0 {
            let done = Command::new("userdel").arg(name).output();
            assert!(done.is_ok_and(|done| done.status.success()) || std::thread::panicking(), "{name} stays");
        }
    }
}

/// An account of the domain in an OU of our own.
struct Domain {
    client: Client,
    ou: String,
    account: String,
}

impl Domain {
    /// `None`, said aloud, where there is no domain controller: the directory is a file then.
    async fn open() -> Option<Self> {
        let (mut client, ou) = bound("rights").await?;
        let variable = |name: &str| std::env::var(name).unwrap();
        client
            .add(Entry::build(&ou, [("objectClass", vec!["organizationalUnit"])]), Vec::new())
            .await
            .unwrap();
        let login = format!("svc-sync-{}", std::process::id() % 100_000);
        let upn = format!("{login}@contoso.com");
        let person = [
            ("objectClass", vec!["user"]),
            ("sAMAccountName", vec![login.as_str()]),
            ("userPrincipalName", vec![upn.as_str()]),
            ("displayName", vec![login.as_str()]),
        ];
        client.add(Entry::build(&format!("CN={login},{ou}"), person), Vec::new()).await.unwrap();
        let account = format!("{}\\{login}", variable("AD_DOMAIN"));
        Some(Self { client, ou, account })
    }

    fn source(&self) -> String {
        let variable = |name: &str| std::env::var(name).unwrap();
        format!(
            "name = \"directory\"\nkind = \"ad\"\nrank = 1\n[settings]\nurl = \"{}\"\nca_file = \"{}\"\nbind = \"{}\"\npassword = \"ad\"\ninclude = [\"{}\"]\n",
            variable("AD_LDAPS_URL"),
            variable("AD_CA_FILE"),
            variable("AD_BIND_DN"),
            self.ou
        )
    }

    async fn close(mut self) {
        let control = Control { oid: TREE_DELETE.to_owned(), critical: true, value: None };
        self.client.delete(&self.ou, vec![control]).await.unwrap();
    }
}

fn open_to_all(place: &Path, mode: u32) {
    std::fs::set_permissions(place, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_domain_controller_each_is_told_the_right_the_account_and_the_command_that_works() {
    if !onesync_service::account::is_root() {
        eprintln!("SKIPPED: rights: only root can act as several users");
        return;
    }
    let Some(users) = Users::make(&["run", "op", "any"]) else { return };
    let [runs, operator, ordinary] = &users.0[..] else { panic!("{:?}", users.0) };
    let domain = Domain::open().await;
    let sim = GraphSim::builder().seed(81).judged().await.unwrap();
    let setup = match &domain {
        Some(domain) => Setup::new("ad", &domain.source(), &cloud(&sim)).await,
        None => Setup::new("ldif", SOURCE, &cloud(&sim)).await,
    };
    std::fs::write(setup.path().join("directory.ldif"), directory(30)).unwrap();
    open_to_all(setup.path(), 0o755);
    let password = setup.path().join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    open_to_all(&password, 0o644);
    let (home, password) = (setup.home(), password.to_str().unwrap());
    let account = domain.as_ref().map_or("CONTOSO\\svc-sync", |domain| domain.account.as_str());
    let line = ["setup", "--yes", "--no-systemd", "--run-as", runs, "--operator", operator];
    let own = ["--service-account-name", account, "--service-account-password-file", password];
    run(&home, &[&line[..], &own].concat()).await.ends_with(0);
    setup.secret("graph", CLOUD_SECRET).await;
    if domain.is_some() {
        setup.secret("ad", &std::env::var("AD_BIND_PASSWORD").unwrap()).await;
    }
    setup.apply().await.ends_with(0);
    let service = user(runs);
    let cycle = run_as(service, &home, &["cycle"]).await;
    assert!(matches!(cycle.code, Some(0 | 4)), "the service works as its account: {cycle:?}");

    let folder = |name: &str, owner: (u32, u32)| {
        let folder = setup.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::chown(&folder, Some(owner.0), Some(owner.1)).unwrap();
        folder
    };
    // Where each may write: their own folder. The account of the service may write into all of them.
    let own_folder = folder("of-the-service", service);
    let schedule = |place: &Path| {
        ["backup", "schedule", place.to_str().unwrap(), "--include-keys", "--recipient", RECIPIENT]
            .map(str::to_owned)
    };
    for (name, role) in [(ordinary, "an ordinary user"), (operator, "an operator")] {
        let who = user(name);
        let place = folder(name, who);
        for command in ["keys export", "backup --include-keys"] {
            let file = place.join("file").display().to_string();
            let line: Vec<&str> =
                command.split(' ').chain([file.as_str(), "--password-file", password]).collect();
            let refused = run_as(who, &home, &line).await.ends_with(4);
            for part in [
                format!("the right to read the files of {} is missing", home.display()),
                format!("belong to `{runs}`, the account that runs the service"),
                format!("you are `{name}`"),
                "A role of OneSync does not give it".to_owned(),
                format!("sudo -u {runs} onesync --home {} {command}", home.display()),
                format!("as root: `sudo onesync --home {} {command}", home.display()),
            ] {
                assert!(refused.err.contains(&part), "{role}, {command}: {part}: {}", refused.err);
            }
            assert!(!Path::new(&file).exists() && !refused.err.contains(PASSWORD));
        }
        let schedule = schedule(&place);
        let refused = run_as(who, &home, &schedule.each_ref().map(String::as_str)).await.ends_with(4);
        let works =
            format!("sudo -u {runs} onesync --home {} backup schedule DIR --include-keys", home.display());
        assert!(refused.err.contains(&works), "{role}: {}", refused.err);
        // The command that was named works, by whoever may run it (here: this test, in place of sudo), with a place to write.
        let file = own_folder.join(format!("for-{name}.age"));
        let refused = run_as(who, &home, &["keys", "export", file.to_str().unwrap()]).await.ends_with(4);
        let told = refused.err.split('`').find(|part| part.starts_with("sudo -u ")).unwrap().to_owned();
        let words: Vec<&str> = told.split(' ').collect();
        let ["sudo", "-u", named, "onesync", "--home", at, command @ ..] = &words[..] else {
            panic!("{told}")
        };
        assert!(named == runs && Path::new(at) == home, "{told}");
        let line = [command, &["--password-file", password]].concat();
        run_as(user(named), Path::new(at), &line).await.ends_with(0);
        assert_eq!(std::fs::metadata(&file).unwrap().uid(), service.0);
    }
    // The account of the service and root: by the name of the account, in whatever letters.
    let file = own_folder.join("own.age");
    let other = account.to_uppercase();
    let line = ["keys", "export", file.to_str().unwrap(), "--account", &other, "--password-file", password];
    run_as(service, &home, &line).await.ends_with(0);
    let file = setup.path().join("by-root.age");
    let line = ["keys", "export", file.to_str().unwrap(), "--password-file", password];
    let refused = run_as(service, &home, &line).await.ends_with(4);
    assert!(refused.err.contains(&format!("`{runs}` has no right to write in")), "{}", refused.err);
    run(&home, &line).await.ends_with(0);
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let schedule = schedule(&own_folder);
    let schedule = schedule.each_ref().map(String::as_str);
    run(&home, &schedule).await.ends_with(0);
    run_as(service, &home, &schedule).await.ends_with(0);
    let status = run_as(service, &home, &["keys", "status"]).await.ends_with(0);
    assert!(status.out.contains("it opens all"), "{}", status.out);
    for entry in std::fs::read_dir(&home).unwrap().map(Result::unwrap) {
        assert_eq!(entry.metadata().unwrap().uid(), service.0, "{}", entry.path().display());
    }
    if let Some(domain) = domain {
        domain.close().await;
    }
}

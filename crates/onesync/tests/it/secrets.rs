//! One round with everything: set up, export, back up, rotate, replace, lose; then a search for every secret, everywhere.

use std::io::Read as _;
use std::os::unix::net::UnixDatagram;
use std::time::SystemTime;

use onesync_graphsim::GraphSim;
use secrecy::SecretString;

use crate::kill::ldif::{SOURCE, small};
use crate::program::{CLOUD_SECRET, Setup, cloud, idles, onesync};
use crate::search::Needles;
use crate::setup::postgres::Server;
use crate::setup::{Place, arguments};

const ACCOUNT: &str = "CONTOSO\\svc-searched";
const PASSWORD: &str = "sesame of the service account 4711";
const NEW_PASSWORD: &str = "sesame of the same account, later";
const DATABASE_PASSWORD: &str = "sesame of the database 0815";
const SPARE: &str = "sesame that no connector uses 1234";
const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

/// The data keys in a key file.
fn keys_in(file: &str, password: &str) -> Vec<Vec<u8>> {
    use base64::Engine as _;
    let bytes = std::fs::read(file).unwrap();
    let mut by = age::scrypt::Identity::new(SecretString::from(password.to_owned()));
    by.set_max_work_factor(20); // else as much as this machine, while it is busy, does in some seconds
    let opened = age::Decryptor::new(&bytes[..]).unwrap();
    let mut text = String::new();
    opened.decrypt(std::iter::once(&by as &dyn age::Identity)).unwrap().read_to_string(&mut text).unwrap();
    let key = |line: &str| {
        let text = line.strip_prefix("key = \"")?.strip_suffix('"')?.to_owned();
        Some(base64::engine::general_purpose::STANDARD.decode(text).unwrap())
    };
    text.lines().filter_map(key).collect()
}

/// Runs commands with all that they can be made to say, and keeps it.
struct Round {
    journal: UnixDatagram,
    place: std::path::PathBuf,
    said: Vec<(String, Vec<u8>)>,
}

impl Round {
    async fn run(&mut self, home: &std::path::Path, line: &[&str]) -> (Option<i32>, String) {
        let mut command = onesync(home, line);
        let output =
            command.env("ONESYNC_LOG", "trace").env("ONESYNC_JOURNAL", &self.place).output().await.unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        self.said.push((format!("stdout of {line:?}"), output.stdout));
        self.said.push((format!("stderr of {line:?}"), output.stderr));
        self.drain();
        (output.status.code(), told)
    }

    /// The same, where it has to succeed.
    async fn done(&mut self, home: &std::path::Path, line: &[&str]) {
        let (code, told) = self.run(home, line).await;
        assert_eq!(code, Some(0), "{line:?}: {told}");
    }

    fn drain(&mut self) {
        let mut bytes = vec![0; 256 << 10];
        while let Ok(length) = self.journal.recv(&mut bytes) {
            self.said.push(("journal".to_owned(), bytes[..length].to_vec()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_of_everything_after_a_whole_round_finds_no_secret() {
    let (since, server) = (SystemTime::now(), Server::new("search").await);
    let sim = GraphSim::builder().seed(71).judged().await.unwrap();
    let setup = Setup::new("ldif", SOURCE, &cloud(&sim)).await;
    let source = small(&sim).await;
    std::fs::copy(source.path().join("directory.ldif"), setup.path().join("directory.ldif")).unwrap();
    // What people type is elsewhere.
    let typed = Place::new();
    let (password, new) = (typed.file("password", PASSWORD), typed.file("new", NEW_PASSWORD));
    let (database, admin) = (typed.file("db", DATABASE_PASSWORD), typed.file("admin", &server.password));
    let (graph, spare) = (typed.file("graph", CLOUD_SECRET), typed.file("spare", SPARE));
    let place = setup.path().join("journal");
    let journal = UnixDatagram::bind(&place).unwrap();
    journal.set_nonblocking(true).unwrap();
    let mut round = Round { journal, place, said: Vec::new() };
    let (home, second) = (setup.home(), setup.path().join("second"));
    let at = |name: &str| setup.path().join(name).display().to_string();

    // Set up, and work.
    let (url, admin_url) = (server.url(), server.admin_url());
    let line = arguments(&[
        "--yes",
        "--database",
        &url,
        "--database-password-file",
        &database,
        "--database-admin",
        &admin_url,
        "--database-admin-password-file",
        &admin,
        "--service-account-name",
        ACCOUNT,
        "--service-account-password-file",
        &password,
    ]);
    let line: Vec<&str> = line.into_iter().map(|part| if part == "nobody" { "root" } else { part }).collect();
    round.done(&home, &line).await;
    round.done(&home, &["secret", "set", "graph", "--file", &graph]).await;
    round.done(&home, &["secret", "set", "spare", "--file", &spare]).await;
    round.done(&home, &["config", "apply", setup.configuration().to_str().unwrap()]).await;
    round.run(&home, &["cycle"]).await;
    crate::program::leave_staging(&home).await;
    round.done(&home, &["cycle"]).await;
    // Export, back up, rotate, another password.
    let (first, last) = (at("first.age"), at("last.age"));
    round.done(&home, &["keys", "export", &first, "--password-file", &password]).await;
    round.done(&home, &["backup", &at("plain.backup")]).await;
    let inside = at("inside.backup");
    round.done(&home, &["backup", &inside, "--include-keys", "--password-file", &password]).await;
    round.done(&home, &["backup", &at("sealed.backup"), "--include-keys", "--recipient", RECIPIENT]).await;
    round.done(&home, &["keys", "rotate"]).await;
    let change = ["setup", "service-account", "--password-file", &password, "--new-password-file", &new];
    round.done(&home, &change).await;
    round.done(&home, &["keys", "export", &last, "--password-file", &new]).await;
    // Who types the wrong thing says nothing by it either.
    let wrong = ["keys", "export", &at("none.age"), "--password-file", &password];
    assert_eq!(round.run(&home, &wrong).await.0, Some(2));
    for line in [&["keys", "status"][..], &["status"], &["events"], &["secret", "list"], &["db", "status"]] {
        round.done(&home, line).await;
    }
    let keys = keys_in(&last, NEW_PASSWORD);
    assert_eq!(keys.len(), 2, "the one of the first export, too");
    assert_eq!(keys_in(&first, PASSWORD)[..], keys[..1]);
    let kek = std::fs::read_to_string(home.join("kek")).unwrap();
    let kek = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.decode(kek.trim()).unwrap()
    };
    let hidden = Needles::default()
        .with("password", PASSWORD.as_bytes())
        .with("new password", NEW_PASSWORD.as_bytes())
        .with("first key", &keys[0])
        .with("second key", &keys[1])
        .with("key-encryption key", &kek);
    let all = hidden
        .clone()
        .with("secret of the connector", CLOUD_SECRET.as_bytes())
        .with("spare secret", SPARE.as_bytes())
        .with("password of the database", DATABASE_PASSWORD.as_bytes());

    // The daemon, between cycles.
    let log = setup.path().join("log");
    let mut daemon = onesync(&home, &["serve"])
        .env("ONESYNC_LOG", "trace")
        .env("ONESYNC_JOURNAL", &round.place)
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let process = daemon.id().unwrap();
    idles(&mut daemon, &home).await;
    if onesync_service::account::is_root() {
        for what in ["cmdline", "environ"] {
            let text = std::fs::read(format!("/proc/{process}/{what}")).unwrap();
            assert_eq!(all.found(&text), [""; 0], "{what}");
        }
        // What it works with, as docs/keys.md says, and nothing else; and that the search finds what is there.
        let allowed = ["password of the database", "secret of the connector"];
        let (found, seen) = all.stays_in_memory(process, &allowed).await;
        assert!(seen > 1 << 20, "{seen}");
        assert!(found.iter().all(|name| allowed.contains(&name.as_str())), "{found:?}");
        assert!(!found.is_empty(), "it signs in with them");
        println!("in {seen} bytes of memory: {found:?}");
    } else {
        eprintln!("SKIPPED: only root can look into the memory of a process that is closed to others");
    }
    daemon.kill().await.unwrap();
    daemon.wait().await.unwrap();

    // The server is lost, another one takes its place, with the password on its command line; the old one gives its keys up.
    let (code, told) = round.run(&second, &["restore", &inside]).await;
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = round.run(&second, &["activate", &inside, ACCOUNT, PASSWORD, "--yes"]).await;
    assert_eq!(code, Some(0), "{told}");
    round.done(&second, &["cycle"]).await;
    std::fs::remove_file(home.join("keyset.toml")).unwrap();
    assert_eq!(round.run(&home, &["keys", "status"]).await.0, Some(4));
    round.done(&home, &["keys", "abandon", "--key-files-are-lost", "--yes"]).await;

    // Everything that was written and said.
    assert!(round.said.iter().any(|(what, _)| what == "journal"));
    for (what, text) in &round.said {
        // The command line of the activation is the test's, and not what it says.
        assert_eq!(all.found(text), [""; 0], "{what}");
    }
    let own = |(file, name): &(std::path::PathBuf, String)| {
        let name_of = file.file_name().unwrap().to_string_lossy().into_owned();
        match name.as_str() {
            "key-encryption key" => *file == home.join("kek"),
            "password of the database" => file.starts_with(&home) && name_of.starts_with("database"),
            _ => false,
        }
    };
    let found = all.found_below(setup.path());
    assert_eq!(found.iter().filter(|found| own(found)).count(), 2, "each lies where it is kept: {found:?}");
    assert_eq!(found.iter().find(|found| !own(found)), None);
    assert_eq!(all.found(server.text().await.as_bytes()), [""; 0]);
    let files = server.files(since).await;
    if files.is_empty() {
        eprintln!("SKIPPED: the files of the database cannot be read from here");
    }
    for file in files {
        // The server removes some of them at any time.
        let Ok(bytes) = std::fs::read(&file) else { continue };
        let found = all.found(&bytes);
        assert_eq!(found, [""; 0], "{}", file.display());
    }

    // One that is planted is found.
    let planted = home.join("planted");
    std::fs::write(&planted, NEW_PASSWORD.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>())
        .unwrap();
    assert!(all.found_below(setup.path()).contains(&(planted, "new password".to_owned())));
    server.remove().await;
}

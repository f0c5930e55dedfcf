//! The wizard, on a terminal.

use onesync_graphsim::{DEFAULT_CLIENT_ID, DEFAULT_TENANT_ID, GraphSim};

use super::{Place, service};
use crate::program::{CLOUD_SECRET, directory, run};
use crate::terminal::Terminal;

const DOWN: &str = "\u{1b}[B";

/// The questions after those on the database.
async fn other_questions(terminal: &mut Terminal) {
    terminal.answer("How many people", "").await;
    terminal.answer("Which service account?", "").await;
    if onesync_service::account::is_root() {
        terminal.answer("Which system user", "nobody").await;
    }
    terminal.answer("Who administers?", "").await;
    terminal.answer("Who runs cycles", "group:root").await;
    terminal.answer("Who looks?", "").await;
    terminal.answer("Who sets passwords", "").await;
    terminal.answer("Proxy on the way", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_nothing_to_a_connector_that_exports() {
    let sim = GraphSim::builder().seed(41).judged().await.unwrap();
    let place = Place::new();
    std::fs::write(place.path().join("directory.ldif"), directory(40)).unwrap();
    let home = place.home();

    let mut terminal = Terminal::run(&home, "setup --no-systemd");
    terminal.answer("Where is the database to lie?", "").await;
    other_questions(&mut terminal).await;
    terminal.expect("1. make the installation, with a new key set").await;
    assert!(!home.exists(), "nothing is done before it is agreed to");
    terminal.answer("Do this?", "y").await;
    terminal.expect("password         ").await;
    terminal.answer("Connect directories now?", "y").await;

    let folder = place.path().join("configuration");
    terminal.answer("Folder for the configuration", folder.to_str().unwrap()).await;
    terminal.answer("Where do people come from?", DOWN).await;
    terminal.answer("How are people matched?", "").await;
    terminal.answer("Name of the connector:", "people").await;
    terminal.answer("File:", place.path().join("directory.ldif").to_str().unwrap()).await;
    terminal.answer("Tenant:", DEFAULT_TENANT_ID).await;
    terminal.answer("Application (client) id:", DEFAULT_CLIENT_ID).await;
    terminal.answer("Its client secret:", CLOUD_SECRET).await;
    terminal.answer("Which cloud?", DOWN).await;
    terminal.answer("Address of Graph:", &sim.base_url()).await;
    terminal.answer("Address of the sign-in:", &sim.base_url()).await;
    terminal.answer("Name of the connector:", "").await;
    terminal.answer("What ties cloud accounts", "").await;
    terminal.answer("Apply this configuration?", "y").await;
    terminal.expect("directory `entra`, permissions granted").await;
    terminal.answer("Run the first cycle?", "y").await;
    terminal.expect("How does `entra` go on?").await;
    assert!(sim.changes(0).is_empty(), "nothing is exported before the plan was seen");
    terminal.enter(DOWN).await;
    let screen = terminal.ends_with(0).await;
    assert!(!screen.contains(CLOUD_SECRET), "{screen}");

    let made: Vec<_> =
        std::fs::read_dir(folder.join("connectors")).unwrap().map(|e| e.unwrap().path()).collect();
    for file in made {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(!text.contains(CLOUD_SECRET) && text.contains("# "), "{text}");
    }
    assert_eq!(service(&home).await.roles().unwrap()["operators"], ["group:root"]);
    run(&home, &["cycle"]).await.ends_with(0);
    assert!(!sim.changes(0).is_empty());
    if onesync_service::account::is_root() {
        use std::os::unix::fs::MetadataExt as _;
        let owner = std::fs::metadata(&home).unwrap().uid();
        for entry in std::fs::read_dir(&home).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().uid(), owner, "{:?}", entry.path());
        }
    }

    // With an installation there, there is nothing to ask.
    let terminal = Terminal::run(&home, "setup --no-systemd");
    assert!(terminal.ends_with(0).await.contains("nothing to do"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_no_has_nothing() {
    let place = Place::new();
    let mut terminal = Terminal::run(&place.home(), "setup --no-systemd");
    terminal.answer("Where is the database to lie?", "").await;
    other_questions(&mut terminal).await;
    terminal.answer("Do this?", "n").await;
    let screen = terminal.ends_with(2).await;
    assert!(screen.contains("nothing was done") && !screen.contains("error:"), "{screen}");
    assert!(!place.home().exists());
}

/// A wrong answer, what is said of it, and the right one in its place.
async fn answered_again(terminal: &mut Terminal, question: &str, wrong: &str, said: &str, right: &str) {
    terminal.answer(question, wrong).await;
    terminal.expect(said).await;
    terminal.enter(&("\u{7f}".repeat(wrong.len()) + right)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_answer_is_asked_for_again_and_no_other_one_is_lost() {
    let place = Place::new();
    let home = place.home();
    let mut terminal = Terminal::run(&home, "setup --no-systemd");
    terminal.answer("Where is the database to lie?", "").await;
    answered_again(&mut terminal, "How many people", "abc", "write it in digits", "2,000").await;
    terminal.answer("Which service account?", DOWN).await;
    terminal.answer("Its name:", "svc").await;
    let long = "long enough for it";
    answered_again(&mut terminal, "Its password", "short", "too short", long).await;
    terminal.answer("Confirmation:", long).await;
    if onesync_service::account::is_root() {
        answered_again(&mut terminal, "Which system user", "onesinc", "knows no `onesinc`", "nobody").await;
    }
    answered_again(&mut terminal, "Who administers?", "root, n-o-b-o", "knows no `n-o-b-o`", "root").await;
    for question in ["Who runs cycles", "Who looks?", "Who sets passwords"] {
        terminal.answer(question, "").await;
    }
    answered_again(&mut terminal, "Proxy on the way", "proxy", "is no URL", "http://p:3128").await;
    terminal.answer("Do this?", "y").await;
    terminal.answer("Connect directories now?", "y").await;

    let (file, folder) = (place.file("file", "x"), place.path().join("configuration"));
    let folder = folder.to_str().unwrap();
    answered_again(&mut terminal, "Folder for the configuration", &file, "is a file", folder).await;
    terminal.answer("Where do people come from?", DOWN).await;
    terminal.answer("How are people matched?", "").await;
    terminal.answer("Name of the connector:", "people").await;
    answered_again(&mut terminal, "File:", "none", "there is no file", &file).await;
    answered_again(&mut terminal, "Tenant:", "contoso", "write a domain", "contoso.com").await;
    terminal.answer("Application (client) id:", DEFAULT_CLIENT_ID).await;
    terminal.answer("Its client secret:", CLOUD_SECRET).await;
    terminal.answer("Which cloud?", "").await;
    terminal.answer("Name of the connector:", "").await;
    terminal.answer("What ties cloud accounts", "").await;
    // The file is no LDIF, and the answer no: what was typed is kept nowhere.
    terminal.answer("Apply this configuration?", "n").await;
    let screen = terminal.ends_with(0).await;
    assert!(screen.contains("no secret was kept"), "{screen}");
    assert!(service(&home).await.secrets().unwrap().is_empty());
    assert_eq!(service(&home).await.proxy().unwrap().as_deref(), Some("http://p:3128"));
}

mod postgres {
    use super::super::postgres::Server;
    use super::{DOWN, Place, Terminal, other_questions, run};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_database_on_a_server_with_passwords_that_are_typed() {
        let server = Server::new("wizard").await;
        let place = Place::new();
        let mut terminal = Terminal::run(&place.home(), "setup --no-systemd");
        terminal.answer("Where is the database to lie?", DOWN).await;
        let (name, url) = (server.name(), server.url());
        let host = url.split_once('@').unwrap().1.split_once('/').unwrap().0;
        terminal.answer("Host of the server:", host).await;
        terminal.answer("Database:", name).await;
        terminal.answer("Account of the service:", name).await;
        terminal.answer("How is the connection to be protected?", DOWN).await;
        terminal.answer("Password of the account of the service", "open sesame 1").await;
        terminal.answer("How are roles, database and tables made?", "").await;
        let admin = server.admin_url();
        let admin = admin.strip_prefix("postgres://").unwrap().split_once('@').unwrap().0;
        terminal.answer("Account of the administrator", admin).await;
        terminal.answer("Database that it signs in to:", "").await;
        terminal.answer("Its password", &server.password).await;
        other_questions(&mut terminal).await;
        terminal.expect("make the tables as their owner").await;
        terminal.answer("Do this?", "y").await;
        terminal.answer("Connect directories now?", "n").await;
        let screen = terminal.ends_with(0).await;
        assert!(!screen.contains("open sesame"), "{screen}");
        let check = run(&place.home(), &["setup", "check"]).await;
        assert!(check.out.contains("reads and writes rows, and nothing else"), "{}", check.out);

        // A second one joins: what is the installation's is not asked.
        let second = Place::new();
        let mut terminal =
            Terminal::run(&second.home(), &format!("setup --no-systemd --database '{}'", server.url()));
        terminal.answer("Password of the account of the service", "open sesame 1").await;
        terminal.expect("this home joins it").await;
        if onesync_service::account::is_root() {
            terminal.answer("Which system user", "nobody").await;
        }
        terminal.expect("join installation").await;
        terminal.answer("Do this?", "y").await;
        let screen = terminal.ends_with(0).await;
        assert!(screen.contains("is not active") && !screen.contains("Who administers?"), "{screen}");
        server.remove().await;
    }
}

mod samba {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_domain_is_asked_until_it_answers_and_its_containers_are_there_to_choose_from() {
        if std::env::var_os("AD_LDAPS_URL").is_none() {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "no Samba AD: CI does not go on without it"
            );
            eprintln!("SKIPPED: no Samba AD (AD_LDAPS_URL is not set; ./test starts one)");
            return;
        }
        let variable = |name: &str| std::env::var(name).unwrap();
        let sim = GraphSim::builder().seed(42).judged().await.unwrap();
        let place = Place::new();
        place.setup(&["--yes"]).await.ends_with(0);
        let folder = place.path().join("configuration");
        let mut terminal = Terminal::run(&place.home(), &format!("setup connectors {}", folder.display()));
        terminal.answer("Where do people come from?", "").await;
        terminal.answer("How are people matched?", "").await;
        for password in ["not the password", &variable("AD_BIND_PASSWORD")] {
            terminal.answer("Domain controller:", &variable("AD_LDAPS_URL")).await;
            terminal.answer("File with the certificate authority?", &variable("AD_CA_FILE")).await;
            terminal.answer("Account that reads:", &variable("AD_BIND_UPN")).await;
            terminal.answer("Its password:", password).await;
            if password.starts_with("not") {
                terminal.expect("error: ").await;
                terminal.answer("Answer again?", "y").await;
            }
        }
        let domain = variable("AD_REALM").to_lowercase();
        terminal.expect(&format!("`{domain}` answers")).await;
        // What is typed narrows the list, space chooses.
        terminal.answer("Which containers are to be read?", "CN=Users ").await;
        terminal.answer("Name of the connector:", "").await;
        terminal.answer("Read another domain or forest?", "n").await;
        terminal.answer("Tenant:", DEFAULT_TENANT_ID).await;
        terminal.answer("Application (client) id:", DEFAULT_CLIENT_ID).await;
        terminal.answer("Its client secret:", CLOUD_SECRET).await;
        terminal.answer("Which cloud?", DOWN).await;
        terminal.answer("Address of Graph:", &sim.base_url()).await;
        terminal.answer("Address of the sign-in:", &sim.base_url()).await;
        terminal.answer("Name of the connector:", "").await;
        terminal.answer("What ties cloud accounts", "").await;
        terminal.answer("Apply this configuration?", "y").await;
        terminal.expect(&format!("directory `{domain}`, delta import")).await;
        terminal.answer("Run the first cycle?", "n").await;
        let screen = terminal.ends_with(0).await;
        assert!(!screen.contains(&variable("AD_BIND_PASSWORD")), "{screen}");
        let text = std::fs::read_to_string(folder.join("connectors/source.toml")).unwrap();
        let include = format!("include = [\"CN=Users,{}\"]", variable("AD_BASE_DN"));
        assert!(text.contains(&include) && text.contains(&format!("name = \"{domain}\"")), "{text}");
        run(&place.home(), &["run", &domain, "full-import"]).await.ends_with(0);
    }
}

//! What a person can do wrong: one message with place and remedy, and the documented exit status.

use onesync_graphsim::{FaultAction, FaultRule, GraphSim, TlsConfig};

use crate::program::{CLOUD_SECRET, Ended, Setup, cloud, cloud_at, onesync, run, signal, until};

const SOURCE: &str =
    "name = \"directory\"\nkind = \"ldif\"\nrank = 1\n[settings]\npath = \"../directory.ldif\"\n";
const LDIF: &str = "dn: DC=contoso,DC=com\nobjectClass: domain\ndc: contoso\n\n\
    dn: CN=Ada,DC=contoso,DC=com\nobjectClass: user\nobjectGUID: guid-00000000001\nobjectSid:: AQUAAAAAAAUVAAAAAQAAAAIAAAADAAAABAAAAA==\ncn: Ada\n\
    displayName: Ada\nmail: ada@contoso.com\nsAMAccountName: ada\nuserPrincipalName: ada@contoso.com\nuserAccountControl: 512\n\n";

/// An installation that could work, before its first apply.
async fn prepared(cloud: &str) -> Setup {
    let setup = Setup::new("ldif", SOURCE, cloud).await;
    std::fs::write(setup.path().join("directory.ldif"), LDIF).unwrap();
    setup.secret("graph", CLOUD_SECRET).await;
    setup
}

async fn applied(cloud: &str) -> Setup {
    let setup = prepared(cloud).await;
    setup.apply().await.ends_with(0);
    setup
}

/// One message with all of this, and it is said once.
fn says(ended: &Ended, parts: &[&str]) {
    for part in parts {
        assert!(ended.err.contains(part), "`{part}` is missing in:\n{}", ended.err);
    }
    for text in ended.err.lines().filter_map(|line| line.strip_prefix("error: ")) {
        let twice = (0..text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| {
            let (before, after) = text.split_at(at);
            after.strip_prefix(": ").is_some_and(|after| after.len() > 10 && before.ends_with(after))
        });
        assert!(!twice, "said twice: {text}");
    }
}

/// The folder of the home is made by what is to be applied: a path beside it is found all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_path_beside_a_home_that_is_not_there_yet_is_found() {
    let setup = Setup::new("ldif", SOURCE, &cloud_at("https://graph.invalid")).await;
    std::fs::remove_file(setup.configuration().join("connectors/entra.toml")).unwrap();
    std::fs::write(setup.path().join("directory.ldif"), LDIF).unwrap();
    let check = setup.run(&["config", "check", setup.configuration().to_str().unwrap()]).await;
    assert!(!check.err.contains("cannot be opened"), "{check:?}");
    assert!(!setup.home().exists());
    setup.apply().await.ends_with(0);
    setup.run(&["run", "directory", "full-import"]).await.ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn typos_in_a_configuration_name_file_and_line() {
    let sim = GraphSim::builder().judged().await.unwrap();
    let setup = prepared(&cloud(&sim)).await;
    let folder = setup.configuration();
    let check = ["config", "check", folder.to_str().unwrap()];

    setup.write("connectors/source.toml", &SOURCE.replace("rank", "rnak"));
    says(
        &setup.run(&check).await.ends_with(1),
        &["connectors/source.toml:3:1: unknown key `rnak`", "hint: "],
    );
    setup.write("connectors/source.toml", &SOURCE.replace("path =", "pfad ="));
    says(&setup.run(&check).await.ends_with(1), &["connectors/source.toml:5:1:", "`pfad`", "path", "hint: "]);
    setup.write("connectors/source.toml", &SOURCE.replace("\"ldif\"", "\"ldfi\""));
    says(&setup.run(&check).await.ends_with(1), &["connectors/source.toml:2:1:", "`ldfi`", "ldif", "hint: "]);
    setup.write("connectors/source.toml", &SOURCE.replace("rank = 1", "rank = "));
    says(&setup.run(&check).await.ends_with(1), &["connectors/source.toml:3:", "hint: "]);
    setup.write("connectors/source.toml", SOURCE);

    let rule = std::fs::read_dir(folder.join("rules")).unwrap().next().unwrap().unwrap().file_name();
    let rule = format!("rules/{}", rule.to_str().unwrap());
    let text = std::fs::read_to_string(folder.join(&rule)).unwrap();
    let line = text.lines().position(|line| line.starts_with("[flow]")).unwrap() + 2;
    setup.write(&rule, &text.replacen("[flow]\n", "[flow]\nmiddleNme = \"Trimm([cn])\"\n", 1));
    let ended = setup.run(&check).await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains(&format!("{rule}:{line}:")), "place: {}", ended.err);
    setup.write(&rule, &text);
    setup.run(&check).await.ends_with(0);

    let nowhere = setup.path().join("nowhere");
    says(
        &setup.run(&["config", "check", nowhere.to_str().unwrap()]).await.ends_with(1),
        &["nowhere", "hint: "],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_words_on_the_command_line_are_wrong_usage() {
    let sim = GraphSim::builder().judged().await.unwrap();
    let setup = prepared(&cloud(&sim)).await;
    says(&setup.run(&["cycle"]).await.ends_with(2), &["no configuration is applied", "config apply"]);
    setup.apply().await.ends_with(0);
    says(&setup.run(&["nonsense"]).await.ends_with(2), &["nonsense"]);
    says(&setup.run(&["run", "nobody", "export"]).await.ends_with(2), &["nobody", "directory, entra"]);
    says(&setup.run(&["run", "directory", "sideways"]).await.ends_with(2), &["sideways", "full-import"]);
    says(&setup.run(&["cycle", "sideways"]).await.ends_with(2), &["sideways", "initial"]);
    says(&setup.run(&["run", "directory", "export"]).await.ends_with(2), &["only reads", "hint: "]);
    let elsewhere = setup.path().join("elsewhere");
    let ended = crate::program::run(&elsewhere, &["status"]).await.ends_with(2);
    says(&ended, &["elsewhere", "config apply"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn staging_and_a_plan_that_changed_hold_back() {
    let sim = GraphSim::builder().judged().await.unwrap();
    let setup = applied(&cloud(&sim)).await;
    setup.run(&["cycle", "initial"]).await.ends_with(0);
    says(
        &setup.run(&["run", "entra", "export"]).await.ends_with(4),
        &["`entra` is in staging", "staging off"],
    );
    let ended = setup.run(&["staging", "off", "entra", "--plan", "abc"]).await.ends_with(4);
    says(&ended, &["the plan of `entra`", "`abc`", "staging plan entra"]);
    assert_eq!(sim.changes(0).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_are_missing_or_wrong() {
    let sim = GraphSim::builder().judged().await.unwrap();
    let setup = Setup::new("ldif", SOURCE, &cloud(&sim)).await;
    std::fs::write(setup.path().join("directory.ldif"), LDIF).unwrap();
    setup.secret("another", "secret").await;
    says(
        &setup.apply().await.ends_with(0),
        &["connectors/entra.toml:", "secret `graph`", "secret set graph"],
    );
    says(
        &setup.run(&["cycle"]).await.ends_with(1),
        &["error: entra, ", "secret `graph`", "secret set graph"],
    );

    setup.secret("graph", "wrong").await;
    let ended = setup.run(&["cycle"]).await.ends_with(1);
    says(&ended, &["error: entra, ", "the client secret is wrong", "hint: ", "secret set graph"]);
    let tested = setup.run(&["connector", "test", "entra"]).await.ends_with(1);
    assert!(tested.out.contains("the client secret is wrong"), "{}", tested.out);

    // A secret that was removed can be set again, and meanwhile the rest can be looked at.
    setup.run(&["secret", "remove", "graph"]).await.ends_with(0);
    says(&setup.run(&["cycle"]).await.ends_with(1), &["secret `graph`", "secret set graph"]);
    let status = setup.run(&["status"]).await.ends_with(3);
    assert!(status.out.contains("secret `graph`"), "{}", status.out);
    setup.secret("graph", CLOUD_SECRET).await;
    setup.run(&["cycle", "initial"]).await.ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_set_that_is_missing_or_open_to_others_holds_back() {
    use std::os::unix::fs::PermissionsExt as _;
    let sim = GraphSim::builder().judged().await.unwrap();
    let setup = applied(&cloud(&sim)).await;
    let (keys, away) = (setup.home().join("keyset.toml"), setup.path().join("away"));
    std::fs::rename(&keys, &away).unwrap();
    says(&setup.run(&["cycle"]).await.ends_with(4), &["keyset.toml", "hint: "]);
    let file = setup.path().join("secret");
    let set = ["secret", "set", "graph", "--file", file.to_str().unwrap()];
    says(&setup.run(&set).await.ends_with(4), &["keyset.toml", "hint: "]);
    let status = setup.run(&["status"]).await.ends_with(4);
    assert!(status.out.contains("secrets that cannot be opened: graph"), "{}", status.out);
    assert!(status.out.contains("ALARM: the key set is missing") && status.out.contains("from its copy"));
    assert!(!keys.exists(), "no new key set is made beside sealed secrets");

    std::fs::rename(&away, &keys).unwrap();
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o644)).unwrap();
    says(&setup.run(&["cycle"]).await.ends_with(4), &["keyset.toml", "644"]);
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o600)).unwrap();
    setup.run(&["cycle", "initial"]).await.ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_nobody_reaches() {
    // Bound and not listened at, so that nobody else gets it.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let setup = applied(&cloud_at(&format!("http://127.0.0.1:{port}"))).await;
    let ended = setup.run(&["cycle"]).await.ends_with(1);
    says(&ended, &["error: entra, ", &format!("127.0.0.1:{port}"), "refused", "hint: "]);
    let tested = setup.run(&["connector", "test", "entra"]).await.ends_with(1);
    assert!(tested.out.contains("refused"), "{}", tested.out);
    // What does not depend on it goes on.
    assert!(ended.err.contains("directory") && ended.err.contains("delta-sync"), "{}", ended.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_trusted() {
    let sim = GraphSim::builder().tls(TlsConfig::Generate).judged().await.unwrap();
    let setup = applied(&cloud(&sim)).await;
    let ended = setup.run(&["cycle"]).await.ends_with(1);
    says(&ended, &[&sim.base_url(), "authority that is not trusted", "hint: ", "ca_file"]);
    let file = setup.path().join("ca.pem");
    std::fs::write(&file, sim.ca_pem().unwrap()).unwrap();
    setup.write("connectors/entra.toml", &format!("{}ca_file = {file:?}\n", cloud(&sim)));
    setup.apply().await.ends_with(0);
    setup.run(&["cycle", "initial"]).await.ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_is_missing() {
    let sim = GraphSim::builder().judged().await.unwrap();
    sim.change_tenant(|tenant| {
        tenant.applications[0]
            .roles
            .retain(|role| !role.starts_with("Group") && !role.starts_with("Directory"));
    });
    let setup = applied(&cloud(&sim)).await;
    let tested = setup.run(&["connector", "test", "entra"]).await.ends_with(1);
    assert!(tested.out.contains("Group.Read"), "{}", tested.out);
    let ended = setup.run(&["cycle", "initial"]).await.ends_with(1);
    says(&ended, &["error: entra, ", "Insufficient privileges", "hint: grant"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_missing_or_broken() {
    let sim = GraphSim::builder().judged().await.unwrap();
    let setup = applied(&cloud(&sim)).await;
    setup.run(&["cycle", "initial"]).await.ends_with(0);
    let file = setup.path().join("directory.ldif");
    std::fs::write(&file, LDIF.replace("cn: Ada", "cn Ada")).unwrap();
    let ended = setup.run(&["cycle"]).await;
    assert!(matches!(ended.code, Some(1 | 3)), "{ended:?}");
    assert!(ended.err.contains("directory.ldif"), "{}", ended.err);
    std::fs::remove_file(&file).unwrap();
    let ended = setup.run(&["cycle"]).await.ends_with(1);
    says(&ended, &["directory.ldif", "hint: "]);
    std::fs::write(&file, LDIF).unwrap();
    setup.run(&["cycle"]).await.ends_with(0);
    // Nothing was deleted for it.
    let people = setup.run(&["search", "mv", "--format", "json"]).await.ends_with(0).json();
    assert_eq!(people.as_array().unwrap().len(), 1, "{people}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_refused_ends_with_object_errors() {
    let sim = GraphSim::builder().judged().await.unwrap();
    let setup = applied(&cloud(&sim)).await;
    setup.run(&["cycle", "initial"]).await.ends_with(0);
    crate::program::leave_staging(&setup.home()).await;
    sim.fault(FaultRule {
        method: Some("POST".to_owned()),
        path: Some("/v1.0/users".to_owned()),
        action: FaultAction::Status {
            status: 400,
            code: Some("Request_BadRequest".to_owned()),
            message: Some("The name is not to our taste.".to_owned()),
            retry_after: None,
            sticky: false,
        },
        times: 0,
        ..FaultRule::default()
    });
    setup.run(&["cycle"]).await.ends_with(3);
    let errors = setup.run(&["errors"]).await.ends_with(3);
    assert!(errors.out.contains("not to our taste"), "{}", errors.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_mistakes_of_all_files_are_told_at_once() {
    let sim = GraphSim::builder().judged().await.unwrap();
    let setup = prepared(&cloud(&sim).replace("rank = 100", "rank = 100\ncolour = 1")).await;
    let folder = setup.configuration();
    let check = ["config", "check", folder.to_str().unwrap()];
    std::fs::remove_file(setup.path().join("directory.ldif")).unwrap();
    setup.write(
        "connectors/second.toml",
        &SOURCE.replace("directory\"", "other\"").replace("rank = 1", "rank = 2").replace("path", "pfad"),
    );
    setup.write("onesync.toml", "nmae = \"x\"\n");
    let rule = std::fs::read_to_string(folder.join("rules/in-from-ad-user-common.toml")).unwrap();
    setup.write("rules/in-from-ad-user-common.toml", &rule.replace("[displayName]", "[displayName"));
    let ended = setup.run(&check).await.ends_with(1);
    says(
        &ended,
        &[
            "connectors/entra.toml:4:1: unknown key `colour`",
            "directory.ldif: cannot be opened",
            "connectors/second.toml:5:1: unknown key `pfad`",
            "onesync.toml:1:1: unknown key `nmae`",
            "rules/in-from-ad-user-common.toml:",
        ],
    );
    assert!(!ended.err.contains("unknown connector"), "no mistake follows from another: {}", ended.err);
    assert!(ended.out.contains("5 errors"), "{}", ended.out);

    std::fs::remove_file(folder.join("connectors/second.toml")).unwrap();
    setup.write("connectors/entra.toml", &cloud(&sim).replace("rank = 100", "rank = 1"));
    let ended = setup.run(&check).await.ends_with(1);
    assert_eq!(
        ended.err.matches("is the rank of").count() + ended.err.matches("one rank").count(),
        1,
        "{}",
        ended.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hardly_meant_is_doubted_with_its_place() {
    let sim = GraphSim::builder().judged().await.unwrap();
    let pilot = "rank = 100\nadopt_by = [\"shoeSize\"]\n[pilot]\npeople = []\n";
    let cloud = cloud(&sim).replace("rank = 100\n", pilot);
    let limits = "[types.user.limits]\nerrors = { count = 0, percent = 0, at_least = 0 }\n";
    let setup = prepared(&format!("{cloud}{limits}")).await;
    let folder = setup.configuration();
    let check = ["config", "check", folder.to_str().unwrap()];
    setup.write(
        "connectors/source.toml",
        &format!("{SOURCE}anchor = \"objectGIUD\"\nbase = \"DC=fabrikam,DC=com\"\n[settings.types]\nposixAccount = \"usr\"\n"),
    );
    setup.write(
        "connectors/phone.toml",
        "name = \"phone\"\nkind = \"jsonl\"\nrank = 3\n[settings]\npath = \"phone.jsonl\"\nwrite = true\n[settings.types.user]\nattributes = { id = \"string\", on = \"boolean\" }\ncreate_key = \"idd\"\n",
    );
    setup.write(
        "rules/out-to-phone.toml",
        "name = \"Out to phone\"\ndirection = \"outbound\"\nconnector = \"phone\"\nobject = \"user\"\nmetaverse = \"person\"\nlink = \"provision\"\nprecedence = 7\n[flow]\nid = \"[accountName]\"\non = \"[department]\"\n",
    );
    let ended = setup.run(&check).await.ends_with(1);
    says(
        &ended,
        &[
            "connectors/entra.toml:4:1: `adopt_by` cannot name `shoeSize`",
            "connectors/entra.toml:5:2: `pilot` names either",
            "all three numbers are 0: the first object with an error stops its attribute",
            "connectors/source.toml:6:1: none of the first 2 entries has `objectGIUD`",
            "connectors/source.toml:7:1: none of the first 2 entries lies at or below `DC=fabrikam,DC=com`",
            "connectors/source.toml:9:1: no rule reads or writes the object type `usr`: did you mean `user`?",
            "connectors/phone.toml:9:1: `idd` is no attribute of `user`: did you mean `id`?",
            "this is text, and `on` holds boolean",
            "CBool",
        ],
    );
    setup.write("connectors/source.toml", &format!("{SOURCE}base = \"nowhere\"\n"));
    says(
        &setup.run(&check).await.ends_with(1),
        &["connectors/source.toml:6:1:", "OU=People,DC=contoso,DC=com"],
    );
    let named = setup.run(&["secret", "set", " graph", "--file", "/dev/null"]).await;
    assert_ne!(named.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_to_end_counts_from_the_start() {
    let sim = GraphSim::builder().judged().await.unwrap();
    let setup = applied(&cloud(&sim)).await;
    // A source that does not answer: the process waits for it as soon as it begins.
    let source = setup.path().join("directory.ldif");
    std::fs::remove_file(&source).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&source).status().unwrap().success());
    let mut child = onesync(&setup.home(), &["cycle"]).spawn().unwrap();
    let pid = child.id().unwrap();
    let caught = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim().to_owned();
        u64::from_str_radix(&mask, 16).unwrap() & (1 << 14) != 0
    };
    until("it hears signals", async || {
        assert_eq!(child.try_wait().unwrap(), None, "it ended before the signal");
        caught()
    })
    .await;
    signal(&child, "-TERM").await;
    let output = child.wait_with_output().await.unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("asked to end (SIGTERM)"), "{err}");
}

/// Standard error may be full or closed: what is done goes on. A file of an authority that is not there is a mistake, and no bug.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_ends_by_what_cannot_be_told_or_read() {
    let sim = GraphSim::builder().judged().await.unwrap();
    let setup = prepared(&cloud(&sim)).await;
    let full = || std::process::Stdio::from(std::fs::File::create("/dev/full").unwrap());
    let configuration = setup.configuration();
    let apply = ["config", "apply", configuration.to_str().unwrap()];
    for line in [&apply[..], &["cycle", "initial"]] {
        let ended = onesync(&setup.home(), line).stderr(full()).output().await.unwrap();
        assert_eq!(ended.status.code(), Some(0), "{line:?}");
    }
    let password = setup.path().join("password");
    std::fs::write(&password, "open sesame").unwrap();
    let folder = setup.path().to_str().unwrap();
    for (parameters, word) in [
        ("postgres://u@127.0.0.1:1/db?sslmode=verify-full&sslrootcert=/nope", "/nope"),
        (&format!("postgres://u@127.0.0.1:1/db?sslmode=verify-full&sslrootcert={folder}"), "directory"),
        ("sqlserver://u@127.0.0.1:1/db?ca_file=/nope", "/nope"),
    ] {
        let home = setup.path().join("elsewhere");
        let database = ["--database", parameters, "--database-password-file", password.to_str().unwrap()];
        let line = crate::setup::arguments(&[&database[..], &["--yes"]].concat());
        let refused = run(&home, &line).await;
        let said = refused.out.clone() + &refused.err;
        assert!(matches!(refused.code, Some(2 | 4)) && said.contains(word), "{refused:?}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

/// What is wrong with the place of a database says nothing about what is in it.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_damaged_database_is_to_be_restored() {
    let sim = GraphSim::builder().judged().await.unwrap();
    let setup = prepared(&cloud(&sim)).await;
    setup.apply().await.ends_with(0);
    let (file, kept) = (setup.home().join("onesync.db"), setup.path().join("kept"));
    std::fs::rename(&file, &kept).unwrap();
    std::fs::create_dir(&file).unwrap();
    let place = setup.run(&["status"]).await.ends_with(1);
    assert!(place.err.contains("cannot be used") && place.err.contains("`df`"), "{place:?}");
    assert!(!place.err.contains("restore the database"), "{place:?}");
    std::fs::remove_dir(&file).unwrap();
    let mut bytes = std::fs::read(&kept).unwrap();
    bytes[100..9_000].fill(0x5a);
    std::fs::write(&file, bytes).unwrap();
    let damaged = setup.run(&["status"]).await.ends_with(1);
    assert!(damaged.err.contains("damaged") && damaged.err.contains("restore the database"), "{damaged:?}");
    // One table only, which is read later.
    let page = {
        let database = rusqlite::Connection::open(&kept).unwrap();
        let root = "SELECT rootpage FROM sqlite_master WHERE name = 'setting'";
        usize::try_from(database.query_row(root, [], |row| row.get::<_, i64>(0)).unwrap()).unwrap()
    };
    let mut bytes = std::fs::read(&kept).unwrap();
    bytes[(page - 1) * 8192..page * 8192].fill(0);
    std::fs::write(&file, bytes).unwrap();
    let damaged = setup.run(&["status"]).await.ends_with(1);
    assert!(
        damaged.err.contains("malformed") && damaged.err.contains("`onesync restore FILE`"),
        "{damaged:?}"
    );
}

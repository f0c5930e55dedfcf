//! Two processes of the program on one database: the active one is stopped in the middle of its export, the one that stands
//! by takes over, and the old one goes on. And an old machine with a copy of its home from before.

use std::ops::RangeInclusive;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use onesync_graphsim::{FaultAction, FaultRule, GraphSim};

use serde_json::Value;
use tokio::process::Command;

use crate::kill::ldif::SOURCE;
use crate::program::{
    CLOUD_SECRET, Ended, LONG, Setup, cloud, cloud_at, directory, leave_staging, onesync, run, serves,
    signal, until,
};
use crate::setup::postgres::{PASSWORD, Server};
use crate::setup::{Database, Place, arguments};

/// Half a minute by design (`service::standby` holds to that); a busy machine may need longer.
const SOON: Duration = Duration::from_secs(120);
/// Export workers of the connector (docs/standby.md).
const WORKERS: usize = 4;

pub async fn view(home: &Path) -> Value {
    let shown = run(home, &["standby", "status", "--format", "json"]).await;
    shown.ends_with(0).json()
}

pub async fn doing(home: &Path) -> String {
    let view = run(home, &["scheduler", "status", "--format", "json"]).await.ends_with(0).json();
    view["daemon"]["doing"].as_str().unwrap_or_default().to_owned()
}

fn begin(view: &Value) -> String {
    view["last"]["began"].as_str().unwrap_or_default().to_owned()
}

async fn begin_of_last(home: &Path) -> String {
    begin(&run(home, &["scheduler", "status", "--format", "json"]).await.ends_with(0).json())
}

/// The requests of these epochs that write, by their ids: numbers in the log.
fn requests(sim: &GraphSim, epochs: RangeInclusive<u64>) -> Vec<u64> {
    let epoch = |id: &str| u64::from_str_radix(id.split_once('-')?.0, 16).ok();
    let log = sim.log(0).into_iter();
    let of_epochs = log.filter(|entry| {
        entry.batch_item.is_none()
            && entry.method != "GET"
            && entry.client_request_id.as_deref().and_then(epoch).is_some_and(|is| epochs.contains(&is))
    });
    of_epochs.map(|entry| entry.number).collect()
}

/// The server that holds the epoch, as another one sees it.
async fn holder(home: &Path) -> Option<Value> {
    view(home).await["servers"].as_array().unwrap().iter().find(|s| s["active"] == true).cloned()
}

fn users(sim: &GraphSim) -> usize {
    sim.dump()["users"].as_array().unwrap().len()
}

/// A second server that joins the database, with the key set of the first.
pub async fn second(setup: &Setup, name: &str, database: &Database) -> PathBuf {
    let home = setup.path().join(name);
    let joined: Ended = run(&home, &arguments(&database.service())).await.ends_with(0);
    assert!(joined.out.contains("join installation"), "{}", joined.out);
    for file in ["keyset.toml", "kek"] {
        std::fs::copy(setup.home().join(file), home.join(file)).unwrap();
    }
    home
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_that_stands_by_takes_over_and_the_old_one_writes_nothing_more() {
    let (server, files) = (Server::new("standby").await, Place::new());
    takes_over(&server.database(&files)).await;
    server.remove().await;
}

mod sqlserver {
    use super::{Place, takes_over};
    use crate::setup::sqlserver::Server;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_one_that_stands_by_takes_over_and_the_old_one_writes_nothing_more() {
        let (server, files) = (Server::new("standby").await, Place::new());
        takes_over(&server.database(&files)).await;
        server.remove().await;
    }
}

/// Of three servers on a database the active one is stopped in the middle of its export, and goes on.
async fn takes_over(database: &Database) {
    let sim = GraphSim::builder().seed(41).judged().await.unwrap();
    let setup = Setup::new("ldif", SOURCE, &cloud(&sim)).await;
    let ldif = setup.path().join("directory.ldif");
    std::fs::write(&ldif, directory(160)).unwrap();
    let files = Place::new();
    let password = files.file("account", "a long password of the service account");
    let account = ["--service-account-name", "svc", "--service-account-password-file", &password];
    setup.run(&arguments(&[&database.both()[..], &account].concat())).await.ends_with(0);
    let keys = files.path().join("keys.age").to_str().unwrap().to_owned();
    setup.run(&["keys", "export", &keys, "--password-file", &password]).await.ends_with(0);
    setup.secret("graph", CLOUD_SECRET).await;
    setup.write("onesync.toml", "name = \"test\"\n[schedule]\nevery = \"2s\"\n");
    setup.apply().await.ends_with(0);
    setup.run(&["cycle", "initial"]).await.ends_with(0);
    let (one, two, three) = (setup.home(), second(&setup, "two", database).await, setup.path().join("three"));
    run(&three, &arguments(&database.service())).await.ends_with(0);
    let without = run(&three, &["standby", "automatic"]).await.ends_with(4);
    assert!(without.err.contains("has no key set") && without.err.contains("--stand-by"), "{without:?}");
    let bring = ["activate", &keys, "svc", "--password-file", &password, "--stand-by"];
    run(&three, &bring).await.ends_with(0);
    setup.run(&bring).await.ends_with(2);
    for home in [&one, &two, &three] {
        run(home, &["standby", "automatic"]).await.ends_with(0);
    }

    // No batch is answered: the export does not end, with all workers under way.
    sim.fault(FaultRule {
        method: Some("POST".to_owned()),
        path: Some("$batch".to_owned()),
        times: 0,
        action: FaultAction::Hold,
        ..FaultRule::default()
    });
    let old = onesync(&one, &["serve"]).spawn().unwrap();
    until("the old one serves", async || !doing(&one).await.is_empty()).await;
    let standbys = [onesync(&two, &["serve"]).spawn().unwrap(), onesync(&three, &["serve"]).spawn().unwrap()];
    for home in [&two, &three] {
        until("it stands by", async || doing(home).await.contains("stands by (automatic)")).await;
    }
    // Not before all of them are there: everything is exported now. A cycle may be at work just then.
    until("it leaves staging", async || {
        let plan = run(&one, &["staging", "plan", "entra", "--format", "json"]).await.ends_with(0).json();
        let off = ["staging", "off", "entra", "--plan", plan["hash"].as_str().unwrap()];
        run(&one, &off).await.code == Some(0)
    })
    .await;
    until("the old one exports", async || sim.faults_struck() >= 2).await;
    let held = usize::try_from(sim.faults_struck()).unwrap();
    signal(&old, "-STOP").await;
    let gone = Instant::now();
    // On a busy machine the third may take over from the second: that is no other story.
    let newer = |server: &Value| server["epoch"].as_u64() >= Some(2);
    until("one takes over", async || holder(&two).await.as_ref().is_some_and(newer)).await;
    let took = gone.elapsed();
    let by_old = users(&sim);
    sim.clear_faults();
    eprintln!("measured: taken over {:.1} s after the active server was stopped", took.as_secs_f64());
    assert!(took < SOON, "{took:?}");
    // The old one goes on as soon as the new one has written, and again when all is done.
    until("the new one writes", async || requests(&sim, 2..=u64::MAX).len() >= 2).await;
    signal(&old, "-CONT").await;
    until("the old one sees it", async || {
        let told = run(&one, &["status"]).await;
        told.code == Some(4) && told.out.contains("was replaced")
    })
    .await;
    until("the old one stands by", async || doing(&one).await.contains("stands by (automatic)")).await;
    let since = begin_of_last(&two).await;
    until("the new one has ended a later cycle", async || {
        let view = run(&two, &["scheduler", "status", "--format", "json"]).await.ends_with(0).json();
        let ended = view["last"]["result"].as_str().unwrap_or_default();
        begin(&view) > since && (ended == "done" || ended == "object errors")
    })
    .await;
    assert!(users(&sim) > by_old, "the old one had written everybody: {by_old}");
    let first = requests(&sim, 2..=u64::MAX)[0];
    let late: Vec<u64> = requests(&sim, 1..=1).into_iter().filter(|number| *number > first).collect();
    eprintln!(
        "measured: {} requests of the old epoch after the first of the new one, {held} of {WORKERS} workers were waiting",
        late.len()
    );
    // A worker that was waiting for an answer asks before its next request; the others may have asked already.
    assert!(late.len() <= WORKERS.saturating_sub(held), "{late:?}");
    let servers = view(&one).await["servers"].as_array().unwrap().len();
    assert_eq!(servers, 3);
    // By hand it does nothing either.
    let refused = run(&one, &["cycle"]).await.ends_with(4);
    assert!(refused.err.contains("was replaced"), "{}", refused.err);
    // A clean stop is no failover.
    let [two_, three_] = standbys;
    for (home, child) in [(two.clone(), two_), (three.clone(), three_), (one.clone(), old)] {
        signal(&child, "-TERM").await;
        let ended = tokio::time::timeout(LONG, child.wait_with_output()).await.unwrap().unwrap();
        assert_eq!(
            ended.status.code(),
            Some(0),
            "{}: {}",
            home.display(),
            String::from_utf8_lossy(&ended.stderr)
        );
    }
    let epoch = holder(&two).await.filter(newer).unwrap()["epoch"].as_u64().unwrap();
    // It was stopped: whoever takes its place is not asked.
    assert!(run(&one, &["standby", "status"]).await.ends_with(0).out.contains("its daemon was stopped"));
    run(&one, &["standby", "take"]).await.ends_with(0);
    assert_eq!(holder(&one).await.unwrap()["epoch"], epoch + 1);
}

/// A machine that was off, with its own database: nothing in that says that it was replaced, the marker does.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_machine_with_a_database_of_its_own_is_refused_at_its_first_export() {
    let sim = GraphSim::builder().seed(42).judged().await.unwrap();
    let setup = Setup::new("ldif", SOURCE, &cloud(&sim)).await;
    let ldif = setup.path().join("directory.ldif");
    std::fs::write(&ldif, directory(60)).unwrap();
    setup.secret("graph", CLOUD_SECRET).await;
    setup.apply().await.ends_with(0);
    setup.run(&["cycle", "initial"]).await.ends_with(0);
    leave_staging(&setup.home()).await;
    let old = setup.path().join("old");
    let copied = Command::new("cp").arg("-a").arg(setup.home()).arg(&old).status().await.unwrap();
    assert!(copied.success());
    // The new machine has taken the next epoch by other means, and works.
    let home = onesync_service::Home::new(setup.home());
    let clock = std::sync::Arc::new(onesync_service::SystemClock);
    let service = onesync_service::Service::open(home, clock, 1).await.unwrap();
    assert_eq!(service.take_over(None).unwrap(), 2);
    drop(service);
    setup.run(&["cycle"]).await.ends_with(0);
    // The old one, too, sees that something is to be written.
    setup.change_departments("New");
    let mark = sim.log_mark();
    let refused = run(&old, &["cycle"]).await.ends_with(4);
    assert!(
        (refused.out + &refused.err).contains("belongs to installation"),
        "its first export is refused by the marker"
    );
    assert_eq!(sim.writes(mark).len(), 0);
    let status = run(&old, &["status"]).await.ends_with(4);
    assert!(status.out.contains("entra (graph, refused)"), "{}", status.out);
    assert!(status.out.contains("ALARM: `entra` belongs to installation"), "{}", status.out);
    let told = run(&old, &["events", "--number", "7079"]).await.ends_with(0);
    run(&old, &["cycle"]).await.ends_with(4);
    assert_eq!(run(&old, &["events", "--number", "7079"]).await.ends_with(0).out, told.out, "once");
}

/// What a journal was sent of an event.
fn told(journal: &UnixDatagram, number: u16) -> Vec<String> {
    let (mut bytes, mut told) = (vec![0; 1 << 16], Vec::new());
    while let Ok(length) = journal.recv(&mut bytes) {
        told.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
    }
    told.retain(|text| text.contains(&format!("ONESYNC_EVENT={number}\n")));
    told
}

/// After a rotation on the active server the one that stands by lacks the new key, and does not take over before it has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_without_the_keys_takes_nothing_over_and_says_so_to_all() {
    let (server, files) = (Server::new("rotated").await, Place::new());
    let database = server.database(&files);
    let setup = Setup::new("ldif", SOURCE, &cloud_at("http://127.0.0.1:1")).await;
    let password = files.file("account", "a long password of the service account");
    let account = ["--service-account-name", "svc", "--service-account-password-file", &password];
    setup.run(&arguments(&[&database.both()[..], &account].concat())).await.ends_with(0);
    setup.secret("graph", CLOUD_SECRET).await;
    setup.run(&["scheduler", "off"]).await.ends_with(0);
    let file = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let (before, since) = (file("before.age"), file("since.age"));
    setup.run(&["keys", "export", &before, "--password-file", &password]).await.ends_with(0);
    let bring = |keys: &str, more: &[&str]| {
        let line = ["activate", keys, "svc", "--password-file", &password];
        line.iter().chain(more).map(ToString::to_string).collect::<Vec<_>>()
    };
    let activate = async |home: &Path, keys: &str, more: &[&str]| {
        run(home, &bring(keys, more).iter().map(String::as_str).collect::<Vec<_>>()).await
    };
    let (one, two) = (setup.home(), second(&setup, "two", &database).await);
    // Without its key-encryption key a server is no standby.
    let three = second(&setup, "three", &database).await;
    let aside = |name: &str| std::fs::rename(three.join(name), files.path().join(name)).unwrap();
    let back = |name: &str| std::fs::rename(files.path().join(name), three.join(name)).unwrap();
    aside("kek");
    let closed = run(&three, &["standby", "automatic"]).await.ends_with(4);
    assert!(
        closed.err.contains("does not take over as things are: its key set cannot be opened"),
        "{closed:?}"
    );
    let shown = run(&three, &["standby", "status"]).await.ends_with(0).out;
    assert!(shown.contains("automatic, does not take over: its key set cannot be opened"), "{shown}");
    let keys = run(&three, &["keys", "status"]).await.ends_with(4).out;
    assert!(keys.contains("ALARM: its key set cannot be opened") && keys.contains("--stand-by"), "{keys}");
    back("kek");
    for home in [&one, &two, &three] {
        run(home, &["standby", "automatic"]).await.ends_with(0);
    }

    let mut active = onesync(&one, &["serve"]).spawn().unwrap();
    serves(&mut active, &one).await;
    let journal = UnixDatagram::bind(files.path().join("journal")).unwrap();
    journal.set_nonblocking(true).unwrap();
    let standby =
        onesync(&two, &["serve"]).env("ONESYNC_JOURNAL", files.path().join("journal")).spawn().unwrap();
    until("it stands by", async || doing(&two).await.contains("stands by (automatic): the active")).await;
    let rotated = setup.run(&["keys", "rotate"]).await.ends_with(0);
    let words = ["stands by, and does not take over before it has the new key", "ACCOUNT --stand-by` there"];
    assert!(words.iter().all(|words| rotated.err.contains(words)), "{rotated:?}");
    setup.run(&["keys", "export", &since, "--password-file", &password]).await.ends_with(0);
    until("it sees that it lacks the key", async || {
        doing(&two).await.contains("and does not take over: its key set lacks key")
    })
    .await;
    // Said by all, with what helps there.
    until("the active one says it", async || {
        setup.run(&["status"]).await.out.contains("stands by, and would not take over: its key set lacks key")
    })
    .await;
    let unfit = view(&one).await["servers"][1]["facts"]["unfit"].clone();
    assert!(unfit.as_str().unwrap().contains("lacks key"), "{unfit}");
    for line in [&["status"][..], &["keys", "status"]] {
        let said = run(&two, line).await.ends_with(4).out;
        let (right, wrong) = ("ACCOUNT --stand-by` here", ["`onesync secret set`", "`onesync keys abandon`"]);
        assert!(said.contains(right) && !wrong.iter().any(|words| said.contains(words)), "{said}");
    }

    active.kill().await.unwrap();
    let last_seen = async || view(&two).await["servers"][0]["seconds_ago"].as_u64();
    until("it would have taken over", async || last_seen().await >= Some(25)).await;
    assert_eq!(holder(&two).await.unwrap()["epoch"], 1);
    let refused = run(&two, &["standby", "take"]).await.ends_with(4);
    assert!(refused.err.contains("lacks key") && refused.err.contains("--without-keys"), "{refused:?}");
    assert_eq!(told(&journal, 6028).len(), 1);
    // A key set of something else stays; one from before the rotation is replaced.
    let foreign = Place::new();
    foreign.setup(&["--yes"]).await.ends_with(0);
    for name in ["keyset.toml", "kek"] {
        aside(name);
        std::fs::copy(foreign.home().join(name), three.join(name)).unwrap();
    }
    let refused = activate(&three, &since, &["--stand-by"]).await.ends_with(4);
    assert!(refused.err.contains("has keys that are not in this file"), "{refused:?}");
    ["keyset.toml", "kek"].iter().for_each(|name| back(name));
    activate(&two, &before, &["--stand-by"]).await.ends_with(4);
    activate(&two, &since, &["--stand-by"]).await.ends_with(0);
    let newer = |server: &Value| server["epoch"] == 2;
    until("it takes over", async || holder(&two).await.as_ref().is_some_and(newer)).await;

    // Nobody has asked for cycles here; whoever wants none says so.
    let idle = "took over by itself, and the scheduler is off: nobody runs cycles";
    until("it says that it is idle", async || run(&two, &["status"]).await.out.contains(idle)).await;
    run(&two, &["scheduler", "off"]).await.ends_with(0);
    assert!(!run(&two, &["status"]).await.out.contains(idle));
    // Whoever takes the place without a daemon has it for two minutes.
    let takes_back =
        "stands by automatically: it takes this place in 2 minutes unless `onesync serve` runs here";
    let done = activate(&one, &since, &["--yes"]).await.ends_with(0);
    assert_eq!(done.err.matches(takes_back).count(), 2, "before and after: {done:?}");
    until("the old one stands by", async || doing(&two).await.contains("stands by (automatic)")).await;
    // Where no key is left, a person may go on without.
    run(&three, &["standby", "take", "--yes"]).await.ends_with(4);
    let taken = run(&three, &["standby", "take", "--yes", "--without-keys"]).await.ends_with(0);
    assert!(taken.err.contains(takes_back), "{taken:?}");
    run(&three, &["keys", "abandon", "--key-files-are-lost", "--yes"]).await.ends_with(0);
    signal(&standby, "-TERM").await;
    let ended = Ended::of(standby.wait_with_output().await.unwrap());
    assert_eq!(ended.err.matches("does not take over: its key set").count(), 1, "once: {ended:?}");
    assert!(ended.err.contains(idle), "{ended:?}");
    server.remove().await;
}

/// The active server moves the installation twice: out of the home, and on. Whoever has not moved it is told, and follows.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_lost_the_name_or_has_only_joined_follows_a_move() {
    let (one, two) = (Server::new("move_one").await, Server::new("move_two").await);
    let (place, other) = (Place::new(), Place::new());
    let (first, second) = (one.database(&place), two.database(&place));
    one.make_empty().await;
    place.setup(&["--yes"]).await.ends_with(0);
    let file = place.file("password", PASSWORD);
    let go = async |to: &Server| {
        run(&place.home(), &["db", "move", "--to", &to.url(), "--password-file", &file]).await.ends_with(0)
    };
    go(&one).await;
    std::fs::remove_file(place.home().join("database.toml")).unwrap();
    let refused = place.setup(&["--yes"]).await.ends_with(4);
    assert!(refused.err.contains("onesync setup --database URL"), "{}", refused.err);
    let followed = place.setup(&first.service()).await.ends_with(0);
    assert!(followed.out.contains("go on with installation"), "{}", followed.out);
    run(&place.home(), &["status"]).await.ends_with(0);

    other.setup(&first.service()).await.ends_with(0);
    two.make_empty().await;
    // Where nothing was moved there is nothing to follow.
    let refused = other.setup(&second.service()).await.ends_with(2);
    assert!(refused.err.contains("which has another database"), "{}", refused.err);
    go(&two).await;
    let told = run(&other.home(), &["status"]).await.ends_with(4);
    assert!(told.err.contains("was moved to") && told.err.contains("onesync setup --database"), "{told:?}");
    other.setup(&second.service()).await.ends_with(0);
    let joined = run(&other.home(), &["status"]).await.ends_with(4);
    assert!(joined.out.contains("is not active"), "{joined:?}");
    let password = |name| other.home().join(name).exists();
    assert!(
        password("database.password.2") && !password("database.password"),
        "the other one is needed by nothing"
    );
    one.remove().await;
    two.remove().await;
}

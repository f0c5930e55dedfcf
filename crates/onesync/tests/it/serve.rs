//! The daemon: cycles come by themselves, the command line works beside it, and it ends when it is told.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use onesync_graphsim::{FaultAction, FaultPhase, FaultRule, GraphSim};
use serde_json::Value;
use tokio::process::Child;

use crate::kill::ldif::small;
use crate::program::{self, CLOUD_SECRET, LONG, Setup, leave_staging, onesync, run, signal};

/// Whoever is asked to end and waits for a directory that never answers takes longer.
const SOON: Duration = Duration::from_secs(120);

fn schedule(setup: &Setup, lines: &str) {
    setup.write("onesync.toml", &format!("name = \"test\"\n[schedule]\n{lines}\n"));
}

fn serve(home: &Path) -> Child {
    onesync(home, &["serve"]).spawn().unwrap()
}

/// How it ended: status and what it said.
async fn ended(child: Child) -> (Option<i32>, String) {
    let output = tokio::time::timeout(LONG, child.wait_with_output()).await.unwrap().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

async fn status(home: &Path) -> Value {
    run(home, &["scheduler", "status", "--format", "json"]).await.ends_with(0).json()
}

/// Looks until what is wanted is there. What the daemon itself says is wanted here, too: on a busy machine it may not answer
/// in time.
async fn until(home: &Path, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut view = Value::Null;
    program::until(what, async || {
        view = status(home).await;
        wanted(&view)
    })
    .await;
    view
}

fn begin_of_last(view: &Value) -> String {
    view["last"]["began"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn cycles_come_by_themselves_and_carry_over_what_changed() {
    let sim = GraphSim::builder().seed(21).judged().await.unwrap();
    let setup = small(&sim).await;
    let home = setup.home();
    setup.run(&["cycle"]).await.ends_with(0);
    leave_staging(&home).await;
    schedule(&setup, "every = \"1s\"");
    setup.apply().await.ends_with(0);
    let first = begin_of_last(&status(&home).await);
    assert!(!first.is_empty(), "a cycle by hand is a cycle, too");

    let daemon = serve(&home);
    let served = until(&home, "a cycle by itself", |view| {
        view["last"]["result"] == "done"
            && begin_of_last(view) > first
            && view["daemon"]["process"] == daemon.id().unwrap()
    })
    .await;
    assert_eq!(served["schedule"], "every 1s");

    // A change of the source is in the cloud without a hand.
    setup.change_departments("New");
    let mark = sim.log_mark();
    program::until("it is written", async || !sim.changes(mark).is_empty()).await;

    // Switched off, nothing begins any more, and whoever waits comes back when nothing runs.
    run(&home, &["scheduler", "off", "--wait"]).await.ends_with(0);
    let off = status(&home).await;
    assert_eq!(
        (&off["on"], &off["working"], &off["next"]),
        (&Value::Bool(false), &Value::Bool(false), &Value::Null)
    );
    let last = begin_of_last(&off);
    until(&home, "it knows that it is off", |view| view["daemon"]["doing"] == "idle, the scheduler is off")
        .await;
    assert_eq!(begin_of_last(&status(&home).await), last);
    // By hand it works beside the daemon.
    run(&home, &["cycle"]).await.ends_with(0);
    run(&home, &["scheduler", "on"]).await.ends_with(0);
    let by_hand = begin_of_last(&status(&home).await);
    until(&home, "on again", |view| begin_of_last(view) > by_hand).await;

    // A second one is refused; the first ends when it is told.
    let second = run(&home, &["serve"]).await.ends_with(4);
    assert!(second.err.contains("(serve)"), "{}", second.err);
    program::until("it is told", async || {
        let told = run(&home, &["status"]).await.out;
        assert!(told.contains("scheduler: on, every 1s"), "{told}");
        told.contains("service: process")
    })
    .await;
    signal(&daemon, "-TERM").await;
    let (code, said) = ended(daemon).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!home.join("serve.sock").exists());
    let told = run(&home, &["status"]).await;
    assert!(told.out.contains("service: not running"), "{}", told.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_end_in_the_middle_it_ends_soon_and_goes_on_after_a_restart() {
    let sim = GraphSim::builder().seed(22).judged().await.unwrap();
    let setup = small(&sim).await;
    let home = setup.home();
    schedule(&setup, "every = \"1h\"");
    setup.apply().await.ends_with(0);
    // An import that waits for a directory which does not answer.
    sim.fault(FaultRule {
        method: Some("GET".to_owned()),
        path: Some("/v1.0/users".to_owned()),
        phase: FaultPhase::After,
        times: 0,
        action: FaultAction::Hold,
        ..FaultRule::default()
    });
    let struck = sim.faults_struck();
    let mut daemon = serve(&home);
    program::until("it imports", async || {
        assert_eq!(daemon.try_wait().unwrap(), None, "it ended");
        sim.faults_struck() > struck
    })
    .await;
    let view = until(&home, "it says so", |view| !view["daemon"].is_null()).await;
    assert_eq!(view["daemon"]["doing"], "cycle", "{view}");
    assert_eq!(view["daemon"]["step"]["connector"], "entra", "{view}");
    assert_eq!(view["working"], true);
    let asked = Instant::now();
    signal(&daemon, "-TERM").await;
    let (code, said) = ended(daemon).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(asked.elapsed() < SOON, "it waited for the directory");
    assert_eq!(status(&home).await["last"]["result"], "stopped");

    // The next begin is an hour away, but what was cut off goes on at once; the same after a kill.
    sim.clear_faults();
    let daemon = serve(&home);
    let view = until(&home, "it goes on", |view| view["last"]["result"] == "done").await;
    assert!(view["next"].as_str().unwrap() > begin_of_last(&view).as_str(), "{view}");
    signal(&daemon, "-KILL").await;
    ended(daemon).await;
    assert!(home.join("serve.sock").exists(), "nobody cleared up");
    let daemon = serve(&home);
    until(&home, "a socket that was left is taken over", |view| {
        view["daemon"]["doing"].as_str().is_some_and(|doing| doing.starts_with("idle, next cycle at"))
    })
    .await;
    signal(&daemon, "-INT").await;
    assert_eq!(ended(daemon).await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_set_meanwhile_counts_from_the_next_cycle_on() {
    let sim = GraphSim::builder().seed(23).judged().await.unwrap();
    let setup = small(&sim).await;
    let home = setup.home();
    for arguments in [&["secret", "remove", "graph"][..], &["scheduler", "off"]] {
        setup.run(arguments).await.ends_with(0);
    }
    let daemon = serve(&home);
    until(&home, "it waits", |view| view["daemon"]["doing"] == "idle, the scheduler is off").await;
    setup.secret("graph", CLOUD_SECRET).await;
    setup.run(&["scheduler", "on"]).await.ends_with(0);
    let view = until(&home, "the first cycle", |view| view["last"]["result"].is_string()).await;
    assert_eq!(view["last"]["result"], "done", "{view}");
    signal(&daemon, "-TERM").await;
    assert_eq!(ended(daemon).await.0, Some(0));
}

/// A service manager's socket, and a daemon beside it that has no configuration yet.
async fn managed(place: &Path) -> (UnixDatagram, Child) {
    let (home, path, file) = (place.join("home"), place.join("notify"), place.join("secret"));
    let socket = UnixDatagram::bind(&path).unwrap();
    std::fs::write(&file, "x").unwrap();
    run(&home, &["secret", "set", "graph", "--file", file.to_str().unwrap()]).await.ends_with(0);
    fill(&path);
    let mut command = onesync(&home, &["serve"]);
    let daemon = command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "100000").spawn().unwrap();
    (socket, daemon)
}

/// Sends so much to a socket that whoever sends more waits until it is read.
fn fill(path: &Path) {
    // From many senders: each has a limit of its own.
    let full = (0..10_000).find_map(|_| {
        let others = UnixDatagram::unbound().unwrap();
        others.set_nonblocking(true).unwrap();
        others.send_to(b"STATUS=of another service\n", path).err()
    });
    assert_eq!(full.map(|error| error.kind()), Some(std::io::ErrorKind::WouldBlock));
}

/// Reads a manager's socket until all of this was heard.
async fn hears(socket: &UnixDatagram, wanted: &[&'static str]) {
    let (socket, wanted) = (socket.try_clone().unwrap(), wanted.to_vec());
    socket.set_read_timeout(Some(LONG)).unwrap();
    let heard = tokio::task::spawn_blocking(move || {
        let (mut heard, mut buffer) = (String::new(), [0; 4096]);
        while !wanted.iter().all(|word| heard.contains(word)) {
            let length = socket.recv(&mut buffer).unwrap();
            heard.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        }
    });
    heard.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_hears_what_it_waits_for() {
    let place = tempfile::tempdir().unwrap();
    let (socket, daemon) = managed(place.path()).await;
    // What was said while it did not read is not lost.
    let idle = "STATUS=idle, no configuration that can be used is applied\n";
    hears(&socket, &["READY=1\n", idle]).await;
    hears(&socket, &["WATCHDOG=1\n"]).await;
    // It goes on reading: what it hears last is that the daemon ends.
    let (last, ()) = tokio::join!(
        async {
            signal(&daemon, "-TERM").await;
            ended(daemon).await
        },
        hears(&socket, &["STOPPING=1\n"])
    );
    assert_eq!(last.0, Some(0), "{}", last.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_manager_that_does_not_read_keeps_nobody_from_working_or_ending() {
    let place = tempfile::tempdir().unwrap();
    let (_socket, mut daemon) = managed(place.path()).await;
    program::idles(&mut daemon, &place.path().join("home")).await;
    signal(&daemon, "-TERM").await;
    let (code, said) = ended(daemon).await;
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_does_not_answer_is_named_and_is_none_that_is_not_there() {
    let place = tempfile::tempdir().unwrap();
    let (_socket, mut daemon) = managed(place.path()).await;
    let home = place.path().join("home");
    // It has opened its database.
    program::idles(&mut daemon, &home).await;
    signal(&daemon, "-STOP").await;
    let silent = format!("process {} (serve), since ", daemon.id().unwrap());
    assert!(status(&home).await["silent"].as_str().unwrap().starts_with(&silent));
    let told = run(&home, &["status"]).await.out;
    assert!(told.contains(&silent) && told.contains(", runs and does not answer"), "{told}");
    signal(&daemon, "-CONT").await;
    until(&home, "it answers", |view| view["silent"].is_null() && !view["daemon"].is_null()).await;
    daemon.kill().await.unwrap();
    let view = status(&home).await;
    assert!(view["silent"].is_null() && view["daemon"].is_null(), "{view}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_goes_on_when_nobody_takes_what_it_writes() {
    let sim = GraphSim::builder().seed(25).judged().await.unwrap();
    let setup = small(&sim).await;
    let home = setup.home();
    schedule(&setup, "every = \"1s\"");
    setup.apply().await.ends_with(0);
    let mut closed = serve(&home);
    drop(closed.stdout.take());
    let cycles = async |number: usize| {
        for _ in 0..number {
            let before = begin_of_last(&status(&home).await);
            until(&home, "one more cycle", |view| {
                begin_of_last(view) != before && view["last"]["result"].is_string()
            })
            .await;
        }
    };
    cycles(2).await;
    signal(&closed, "-TERM").await;
    assert_eq!(ended(closed).await.0, Some(0));
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let full = onesync(&home, &["serve"]).stdout(full).spawn().unwrap();
    cycles(2).await;
    signal(&full, "-TERM").await;
    let (code, said) = ended(full).await;
    assert_eq!(code, Some(0), "{said}");
}

//! Killing a process at an instant that a seed chose.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use onesync_graphsim::{FaultAction, FaultPhase, FaultRule, GraphSim};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use crate::program::{Ended, LONG, onesync};

/// How often it is looked whether the instant has come.
const LOOK: Duration = Duration::from_millis(1);

/// A generator of numbers from a seed: SplitMix64.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 when there is none.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// What an undisturbed run of a command took: instants are drawn from it.
#[derive(Clone, Debug, Default)]
pub struct Measure {
    pub took: Duration,
    /// Methods of the requests, in order; writes apart.
    pub requests: usize,
    pub writes: Vec<String>,
    /// Changes seen of the database's log.
    pub transactions: usize,
    /// Steps that ended: what was said of each, and when.
    pub steps: Vec<(String, Duration)>,
}

impl Measure {
    /// An instant within the longest step of a kind.
    pub fn within(&self, kind: &str, dice: &mut Dice) -> Option<When> {
        let begins = std::iter::once(Duration::ZERO).chain(self.steps.iter().map(|(_, ended)| *ended));
        let steps = begins.zip(&self.steps).enumerate().filter(|(_, (_, (said, _)))| said.contains(kind));
        let took = steps.map(|(number, (began, (_, ended)))| (ended.saturating_sub(began), number));
        let (took, before) = took.max()?;
        let after = took.mul_f64(dice.below(1_000) as f64 / 1_000.0);
        Some(if before == 0 { When::Time(after) } else { When::Step(before, after) })
    }
}

/// When a process is killed.
#[derive(Clone, Debug)]
pub enum When {
    /// So long after the start.
    Time(Duration),
    /// The cloud has taken the nth request of this method and has not answered.
    Request(Option<String>, usize),
    /// The database's log has changed so often.
    Transaction(usize),
    /// So long after the end of the nth step.
    Step(usize, Duration),
}

impl When {
    /// Draws an instant; `kind` is turned by the caller, so that few seeds meet all kinds.
    pub fn draw(dice: &mut Dice, kind: usize, of: &Measure) -> Self {
        let part = |dice: &mut Dice| of.took.mul_f64(dice.below(1_000) as f64 / 1_000.0);
        match kind % 5 {
            0 if !of.writes.is_empty() => {
                let at = dice.below(of.writes.len());
                let method = of.writes[at].clone();
                let nth = of.writes[..=at].iter().filter(|m| **m == method).count();
                Self::Request(Some(method), nth)
            }
            1 => Self::Step(1 + dice.below(of.steps.len()), part(dice) / (of.steps.len().max(1) as u32)),
            2 => Self::Request(Some("GET".to_owned()), 1 + dice.below(of.requests - of.writes.len())),
            3 => Self::Transaction(1 + dice.below(of.transactions)),
            _ => Self::Time(part(dice)),
        }
    }
}

/// Counts changes of a file that is appended to.
struct Watched<'a> {
    path: &'a Path,
    last: Option<(u64, SystemTime)>,
    changes: usize,
}

impl Watched<'_> {
    fn look(&mut self) -> usize {
        let now = std::fs::metadata(self.path).ok().map(|m| (m.len(), m.modified().unwrap()));
        if now.is_some() && now != self.last {
            self.last = now;
            self.changes += 1;
        }
        self.changes
    }
}

/// Runs a command; with an instant, kills it then. `None`: it was killed.
pub async fn run(
    sim: &GraphSim,
    home: &Path,
    arguments: &[&str],
    when: Option<&When>,
) -> (Option<Ended>, Measure) {
    let log = home.join("onesync.db-wal");
    let mut log = Watched { path: &log, last: None, changes: 0 };
    log.look();
    log.changes = 0;
    let struck = sim.faults_struck();
    if let Some(When::Request(method, nth)) = when {
        sim.fault(FaultRule {
            method: method.clone(),
            path: Some("/v1.0/".to_owned()),
            nth: *nth as u64,
            phase: FaultPhase::After,
            action: FaultAction::Hold,
            ..FaultRule::default()
        });
    }
    let mark = sim.log_mark();
    let began = Instant::now();
    let mut child = onesync(home, arguments).spawn().unwrap();
    let steps = Arc::new(Mutex::new(Vec::new()));
    let talk = tokio::spawn(note_steps(child.stderr.take().unwrap(), began, Arc::clone(&steps)));
    let mut stdout = child.stdout.take().unwrap();
    let data = tokio::spawn(async move {
        let mut out = String::new();
        stdout.read_to_string(&mut out).await.unwrap();
        out
    });
    let mut step_ended: Option<Instant> = None;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        assert!(began.elapsed() < LONG, "{arguments:?} hangs");
        let due = match when {
            None => {
                log.look();
                false
            }
            Some(When::Time(after)) => began.elapsed() >= *after,
            Some(When::Request(..)) => sim.faults_struck() > struck,
            Some(When::Transaction(nth)) => log.look() >= *nth,
            Some(When::Step(nth, after)) => {
                if step_ended.is_none() && steps.lock().unwrap().len() >= *nth {
                    step_ended = Some(Instant::now());
                }
                step_ended.is_some_and(|ended| ended.elapsed() >= *after)
            }
        };
        if due {
            child.start_kill().unwrap();
            // It may have ended by itself at the same moment: then it was not killed.
            let status = child.wait().await.unwrap();
            break Some(status).filter(|status| status.code().is_some());
        }
        tokio::time::sleep(LOOK).await;
    };
    sim.clear_faults();
    let (out, err) = (data.await.unwrap(), talk.await.unwrap());
    let measure = Measure {
        took: began.elapsed(),
        requests: sim.log(mark).iter().filter(|e| e.path.starts_with("/v1.0/")).count(),
        writes: sim.changes(mark).into_iter().map(|entry| entry.method).collect(),
        transactions: log.changes,
        steps: std::mem::take(&mut steps.lock().unwrap()),
    };
    (status.map(|status| Ended { code: status.code(), out, err }), measure)
}

/// Reads what the process says; each step that ends is a line.
async fn note_steps(
    stderr: tokio::process::ChildStderr,
    began: Instant,
    steps: Arc<Mutex<Vec<(String, Duration)>>>,
) -> String {
    let mut lines = BufReader::new(stderr).lines();
    let mut all = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.starts_with("  ") && !line.starts_with("    ") {
            steps.lock().unwrap().push((line.clone(), began.elapsed()));
        }
        all.push_str(&line);
        all.push('\n');
    }
    all
}

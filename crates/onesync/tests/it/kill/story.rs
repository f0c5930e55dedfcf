//! A story that is run undisturbed once, and then once for each seed with kills, from copies of one home.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use onesync_graphsim::GraphSim;
use serde_json::Value;

use super::cloud::{Contents, assert_created_once, contents};
use super::disturb::{self, Dice, Measure, When};
use crate::program::{cloud, leave_staging, run};

/// Cycles after which everything must be quiet.
const QUIET_AFTER: usize = 4;
/// Kills in one run at most.
const KILLS_MAX: usize = 4;

/// What happens, command by command.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// A cycle of everything.
    Initial,
    /// The plan is released.
    LeaveStaging,
    /// A cycle of what changed.
    Delta,
}

impl Act {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Initial => &["cycle", "initial"],
            Self::Delta | Self::LeaveStaging => &["cycle"],
        }
    }
}

/// Where kills fell, by the step that was under way.
pub type Phases = BTreeMap<String, usize>;

/// A story from a state that is the same each time.
pub struct Story<'a> {
    pub sim: &'a GraphSim,
    pub acts: &'a [Act],
    base: PathBuf,
    place: PathBuf,
    snapshot: Value,
    measures: Vec<Measure>,
    end: End,
}

/// How a story ended.
#[derive(Clone, Debug)]
struct End {
    cloud: Contents,
    shown: Contents,
}

impl<'a> Story<'a> {
    /// Runs the story undisturbed on a copy of `base`, which is left as it is.
    pub async fn tell(sim: &'a GraphSim, base: &Path, place: &Path, acts: &'a [Act]) -> Self {
        std::fs::create_dir_all(place).unwrap();
        let snapshot = sim.snapshot().unwrap();
        let mut story = Self {
            sim,
            acts,
            base: base.to_owned(),
            place: place.to_owned(),
            snapshot,
            measures: Vec::new(),
            end: End { cloud: Contents::new(), shown: Contents::new() },
        };
        let home = story.fresh("undisturbed");
        for act in acts {
            if let Act::LeaveStaging = act {
                leave_staging(&home).await;
                story.measures.push(Measure::default());
                continue;
            }
            let (ended, measure) = disturb::run(sim, &home, act.arguments(), None).await;
            ended.unwrap().ends_with(0);
            story.measures.push(measure);
        }
        story.end = story.finish(&home).await;
        story
    }

    /// The home at the undisturbed end.
    pub fn told(&self) -> PathBuf {
        self.place.join("undisturbed")
    }

    /// A copy of the base, and the cloud as it was then.
    fn fresh(&self, name: &str) -> PathBuf {
        let home = self.place.join(name);
        std::fs::create_dir_all(&home).unwrap();
        for entry in std::fs::read_dir(&self.base).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), home.join(entry.file_name())).unwrap();
        }
        self.sim.restore(self.snapshot.clone()).unwrap();
        self.sim.clear_log();
        home
    }

    /// Runs the story with the odd seeds, and then with more, aimed at what no kill fell into: where kills fall depends on the
    /// machine.
    pub async fn disturb_until_all_hit(&self, usual: u64, phases: &mut Phases) {
        let usual = seeds(usual);
        let more = usual.end..usual.end + MORE;
        for seed in usual.filter(|seed| seed % 2 == 1) {
            self.disturb(seed, None, phases).await;
        }
        for seed in more {
            let Some(missed) = missed(phases) else { break };
            self.disturb(seed, Some(missed), phases).await;
        }
    }

    /// Runs the story with kills, aimed at a kind of step where one is named, compares, and adds where they fell.
    pub async fn disturb(&self, seed: u64, aim: Option<&str>, phases: &mut Phases) {
        let mut dice = Dice(seed);
        let home = self.fresh(&format!("seed-{seed}"));
        let mark = self.sim.log_mark();
        let (mut kind, mut kills) = (seed as usize, Vec::new());
        let wanted = 1 + dice.below(KILLS_MAX);
        // Each command gets its share, so that a kill waits for the export too.
        let commands = self.acts.iter().filter(|act| !matches!(act, Act::LeaveStaging)).count();
        let mut allowed = 0;
        for (act, measure) in self.acts.iter().zip(&self.measures) {
            if let Act::LeaveStaging = act {
                leave_staging(&home).await;
                continue;
            }
            allowed += wanted.div_ceil(commands);
            loop {
                let aimed = aim.and_then(|aim| measure.within(aim, &mut dice));
                let draw = || aimed.unwrap_or_else(|| When::draw(&mut dice, kind, measure));
                let when = (kills.len() < allowed).then(draw);
                kind += 1;
                let (ended, _) = disturb::run(self.sim, &home, act.arguments(), when.as_ref()).await;
                match ended {
                    None => kills.extend(when),
                    Some(ended) => {
                        assert_eq!(ended.code, Some(0), "seed {seed}, {kills:?}: {}", ended.err);
                        break;
                    }
                }
            }
        }
        let end = self.finish(&home).await;
        self.compare(seed, &kills, &end);
        assert_created_once(self.sim, mark);
        self.count(&home, kills.len(), phases).await;
        std::fs::remove_dir_all(&home).unwrap();
    }

    /// Cycles until nothing is written any more; then a look at everything again must find nothing either.
    async fn finish(&self, home: &Path) -> End {
        let mut quiet = false;
        for _ in 0..QUIET_AFTER {
            let mark = self.sim.log_mark();
            run(home, &["cycle"]).await.ends_with(0);
            quiet = self.sim.changes(mark).is_empty();
            if quiet {
                break;
            }
        }
        assert!(quiet, "{QUIET_AFTER} cycles, and the last one still wrote");
        let end = End { cloud: contents(self.sim), shown: shown(home).await };
        let mark = self.sim.log_mark();
        let again = run(home, &["cycle", "initial"]).await.ends_with(0);
        let writes: Vec<String> =
            self.sim.changes(mark).iter().map(|write| format!("{} {}", write.method, write.path)).collect();
        assert_eq!(writes, Vec::<String>::new(), "a full cycle finds what was lost: {}", again.err);
        end
    }

    fn compare(&self, seed: u64, kills: &[When], end: &End) {
        for (undisturbed, disturbed) in [(&self.end.cloud, &end.cloud), (&self.end.shown, &end.shown)] {
            let found = differences(undisturbed, disturbed);
            assert!(found.is_empty(), "seed {seed}, {kills:?}: {found:#?}");
        }
    }

    /// Runs that a kill ended are named so by the next process; the other kills fell between runs.
    async fn count(&self, home: &Path, kills: usize, phases: &mut Phases) {
        let runs = run(home, &["history", "--limit", "1000", "--format", "json"]).await.ends_with(0).json();
        let mut within = 0;
        for run in runs.as_array().unwrap() {
            let text = run.to_string();
            if !text.contains("interrupted") {
                continue;
            }
            within += 1;
            let step = ["import", "sync", "export"].into_iter().find(|step| text.contains(step));
            *phases.entry(step.unwrap_or("?").to_owned()).or_default() += 1;
        }
        assert!(within <= kills, "{within} interrupted runs of {kills} kills: {runs}");
        *phases.entry("between".to_owned()).or_default() += kills - within;
    }
}

/// What people see of the state: without ids that depend on the cloud's, and without times.
async fn shown(home: &Path) -> Contents {
    let commands: [&[&str]; 6] = [
        &["status"],
        &["errors", "--limit", "10000"],
        &["pending", "entra", "--limit", "10000"],
        &["search", "cs", "directory", "--limit", "10000"],
        &["search", "cs", "entra", "--limit", "10000"],
        &["search", "mv", "--limit", "10000"],
    ];
    let mut shown = Contents::new();
    for command in commands {
        let arguments: Vec<&str> = command.iter().chain(&["--format", "json"]).copied().collect();
        let mut value = run(home, &arguments).await.json();
        strip(&mut value);
        let rows = match value {
            Value::Array(rows) => rows,
            one => vec![one],
        };
        for row in rows {
            let key = format!("{}: {} {}", command.join(" "), row["object_type"], row["name"]);
            // Who shares a name is told apart by the rest.
            let key = if shown.contains_key(&key) { row.to_string() } else { key };
            shown.insert(key, row);
        }
    }
    shown
}

/// Where two contents differ, with both values.
fn differences(was: &Contents, is: &Contents) -> Vec<String> {
    let mut out = Vec::new();
    for key in was.keys().chain(is.keys().filter(|key| !was.contains_key(*key))) {
        let (was, is) = (was.get(key).unwrap_or(&Value::Null), is.get(key).unwrap_or(&Value::Null));
        differing(key, was, is, &mut out);
    }
    out
}

fn differing(place: &str, was: &Value, is: &Value, out: &mut Vec<String>) {
    match (was, is) {
        (was, is) if was == is => {}
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                differing(&format!("{place} / {key}"), &was[key], &is[key], out);
            }
        }
        _ => out.push(format!("{place}: {was} became {is}")),
    }
}

/// What kills are to fall into.
const PHASES: [&str; 3] = ["import", "sync", "export"];
/// Seeds beyond the usual ones at most.
const MORE: u64 = 16;
/// What differs between two runs that did the same: ids and what is made from them, runs, times; and what was used of
/// limits, where what was perhaps sent before a kill counts as sent.
const VOLATILE: [&str; 10] =
    ["id", "run", "cloudAnchor", "last_import", "since", "windows", "began", "ended", "next", "servers"];

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !VOLATILE.contains(&key.as_str()));
            map.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::String(text) => {
            if let Some((_, why)) = text.strip_prefix("leaving since ").and_then(|rest| rest.split_once(' '))
            {
                *text = format!("leaving {why}");
            }
        }
        _ => {}
    }
}

/// The cloud's connector file, with room in its limits: what was perhaps sent when a process was killed counts as sent,
/// and once more when it is sent again. Changes that a protection holds therefore are no changes that a kill lost.
pub fn cloud_with_room(sim: &GraphSim) -> String {
    let room = "{ count = 1000, percent = 100, at_least = 1000 }";
    let types = ["user", "group"].map(|name| format!("[types.{name}.limits]\nday = {room}\nweek = {room}\n"));
    cloud(sim) + &types.concat()
}

/// The seeds to run: so many unless the environment says otherwise.
pub fn seeds(usual: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let first = number("ONESYNC_KILL_FIRST").unwrap_or(0);
    first..first + number("ONESYNC_KILL_SEEDS").unwrap_or(usual)
}

/// What no kill fell into yet.
fn missed(phases: &Phases) -> Option<&'static str> {
    PHASES.into_iter().find(|phase| phases.get(*phase).is_none_or(|count| *count == 0))
}

/// A test that never hits a phase shows nothing about it.
pub fn assert_all_hit(test: &str, phases: &Phases) {
    println!("{test}: kills {phases:?}");
    assert_eq!(missed(phases), None, "no kill fell into one of {PHASES:?}: {phases:?}");
}

//! What was measured, against the goals: as a table for people and as JSON.

use std::collections::BTreeMap;

use comfy_table::{Table, presets::UTF8_HORIZONTAL_ONLY};
use serde::{Deserialize, Serialize};

use crate::measure::Machine;
use crate::phases::Measured;
use crate::rules::{self, RulesMeasured};

/// A whole run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The day.
    pub date: String,
    /// The machine.
    pub machine: Machine,
    /// People in the directory; all are members of one group.
    pub people: usize,
    /// Groups in the directory.
    pub groups: usize,
    /// Contacts in the directory.
    pub contacts: usize,
    /// What the rules cost for one object.
    pub rules: Option<RulesMeasured>,
    /// What each phase measured.
    pub phases: BTreeMap<String, Measured>,
    /// The goals.
    pub goals: Vec<Goal>,
}

/// One goal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Goal {
    /// Of what.
    pub what: String,
    /// What is wanted.
    pub goal: f64,
    /// Whether less is better.
    pub at_most: bool,
    /// What was measured.
    pub measured: f64,
    /// Whether that is good enough.
    pub met: bool,
}

/// The phases in their order, and how they are called in the table.
const NAMES: [(&str, &str); 26] = [
    ("import", "LDIF import"),
    ("limit-import", "  raw insert of the same rows"),
    ("import-cloud", "import of the empty cloud"),
    ("first-sync", "first full sync, history on"),
    ("limit-first-sync", "  raw insert of the same rows"),
    ("full-sync-pending", "full sync, unchanged, all pending"),
    ("search", "search by sign-in name"),
    ("export", "export, confirm, sync, until quiet"),
    ("full-sync", "full sync, unchanged, all confirmed"),
    ("idle", "idle delta cycle"),
    ("member", "one member more in the large group"),
    ("server-import", "LDIF import, PostgreSQL"),
    ("server-limit-import", "  COPY of the same rows"),
    ("server-import-cloud", "import of the empty cloud, PostgreSQL"),
    ("server-first-sync", "first full sync, PostgreSQL"),
    ("server-limit-sync", "  COPY of the same rows"),
    ("server-full-sync-pending", "full sync, unchanged, all pending, PostgreSQL"),
    ("server-search", "search by sign-in name, PostgreSQL"),
    ("server-export", "export, until quiet, PostgreSQL"),
    ("server-full-sync", "full sync, unchanged, all confirmed, PostgreSQL"),
    ("server-idle", "idle delta cycle, PostgreSQL"),
    ("move", "everything moved from embedded to PostgreSQL"),
    ("ad-import", "Active Directory import (Samba, LDAP)"),
    ("ad-ldapsearch", "  ldapsearch of the same"),
    ("idle-ad", "idle delta cycle with Active Directory"),
    ("import-small", "LDIF import of a tenth"),
];

impl Report {
    /// Compares with the goals what was measured.
    pub fn judge(&mut self) {
        let of = |name: &str| self.phases.get(name).copied().filter(|m| m.seconds > 0.0);
        let mut goals = Vec::new();
        let mut goal = |what: &str, goal: f64, at_most: bool, measured: Option<f64>| {
            let Some(measured) = measured else { return };
            let met = if at_most { measured <= goal } else { measured >= goal };
            goals.push(Goal { what: what.to_owned(), goal, at_most, measured, met });
        };
        let rate = |name: &str| of(name).map(|m| m.count as f64 / m.seconds);
        let ratio = |limit: &str, ours: &str| Some(of(limit)?.seconds / of(ours)?.seconds);
        let rules = self.rules.as_ref().map(|rules| rules.microseconds);
        goal("rules for one full user, microseconds", rules::GOAL, true, rules);
        goal("LDIF import, objects/s", 40_000.0, false, rate("import"));
        goal("LDIF import, share of raw insert", 0.5, false, ratio("limit-import", "import"));
        goal("first full sync, objects/s", 8_000.0, false, rate("first-sync"));
        goal("first full sync, share of raw insert", 0.5, false, ratio("limit-first-sync", "first-sync"));
        goal("full sync of unchanged objects, objects/s", 20_000.0, false, rate("full-sync"));
        goal("idle delta cycle, ms of processor time", 50.0, true, of("idle").map(|m| m.cpu_seconds * 1e3));
        goal(
            "idle delta cycle with AD, ms of processor time",
            50.0,
            true,
            of("idle-ad").map(|m| m.cpu_seconds * 1e3),
        );
        goal(
            "one member, ms from import to pending export",
            20.0,
            true,
            of("member").map(|m| m.seconds * 1e3),
        );
        goal("one member, link values written", 1.0, true, of("member").map(|m| m.links as f64));
        for (name, what) in [
            ("import", "LDIF import"),
            ("first-sync", "first full sync"),
            ("full-sync-pending", "full sync, unchanged"),
            ("full-sync", "full sync, all confirmed"),
            ("idle", "idle delta cycle"),
            ("search", "search"),
        ] {
            let share = ratio(name, &format!("server-{name}"));
            goal(&format!("PostgreSQL, share of embedded: {what}"), 0.4, false, share);
        }
        goal(
            "PostgreSQL, LDIF import, share of COPY",
            0.5,
            false,
            ratio("server-limit-import", "server-import"),
        );
        goal(
            "PostgreSQL, first full sync, share of COPY",
            0.5,
            false,
            ratio("server-limit-sync", "server-first-sync"),
        );
        let ours = [
            "import",
            "import-cloud",
            "first-sync",
            "full-sync-pending",
            "export",
            "full-sync",
            "idle",
            "member",
            "ad-import",
        ];
        let peak = ours.iter().filter_map(|name| of(name)).map(|m| m.peak_mb).reduce(f64::max);
        goal("peak memory of any step, MB", 300.0, true, peak);
        goal("AD import, share of raw ldapsearch", 0.8, false, ratio("ad-ldapsearch", "ad-import"));
        self.goals = goals;
    }

    /// The table.
    pub fn table(&self) -> String {
        let m = &self.machine;
        let mut out = format!(
            "{}: {} cores of {}, {} MB, Linux {}, load {:.1}\n{} people (one group of all, ten more links each), {} groups, {} contacts\n\n",
            self.date,
            m.cores,
            m.processor,
            m.memory_mb,
            m.kernel,
            m.load,
            self.people,
            self.groups,
            self.contacts
        );
        out.extend(self.rules.iter().map(|rules| rules.text() + "\n"));
        let mut table = Table::new();
        table.load_style(UTF8_HORIZONTAL_ONLY);
        table.set_header(["phase", "objects", "seconds", "objects/s", "cpu s", "peak MB", "links", "rows"]);
        for (name, title) in NAMES {
            let Some(m) = self.phases.get(name) else { continue };
            let rate = if m.count > 1 { format!("{:.0}", m.count as f64 / m.seconds) } else { String::new() };
            let some = |n: u64| if n > 0 { n.to_string() } else { String::new() };
            table.add_row([
                title.to_owned(),
                some(m.count),
                format!("{:.3}", m.seconds),
                rate,
                format!("{:.3}", m.cpu_seconds),
                format!("{:.0}", m.peak_mb),
                some(m.links),
                some(m.rows),
            ]);
        }
        out.push_str(&format!("{table}\n\n"));
        let mut table = Table::new();
        table.load_style(UTF8_HORIZONTAL_ONLY);
        table.set_header(["goal", "wanted", "measured", ""]);
        for goal in &self.goals {
            let wanted = if goal.at_most { "at most" } else { "at least" };
            let digits = if goal.goal < 1.0 { 2 } else { usize::from(goal.goal < 1_000.0) };
            table.add_row([
                goal.what.clone(),
                format!("{wanted} {}", goal.goal),
                format!("{:.digits$}", goal.measured),
                if goal.met { "met".to_owned() } else { "MISSED".to_owned() },
            ]);
        }
        out.push_str(&table.to_string());
        out
    }
}

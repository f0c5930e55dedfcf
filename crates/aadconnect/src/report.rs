//! What became of an export: what was carried, what cannot be, what is left to do.

use std::fmt::Write as _;

use serde::Serialize;

/// What a line of the report is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// It is not carried.
    NotCarried,
    /// It is carried in another way.
    Changed,
    /// Somebody has to do it.
    ToDo,
    /// It is computed and shown, and nobody can write it.
    NotWritable,
    /// Worth knowing.
    Note,
}

impl Topic {
    const ALL: [(Self, &'static str); 5] = [
        (Self::NotCarried, "Not carried over"),
        (Self::Changed, "Carried over in another way"),
        (Self::ToDo, "To do before the first cycle"),
        (Self::NotWritable, "Computed and shown, never sent: Graph lets nobody write it"),
        (Self::Note, "Worth knowing"),
    ];
}

/// One line of the report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Item {
    /// What it is about.
    pub topic: Topic,
    /// What: a rule, a connector, a parameter.
    pub subject: String,
    /// Why, or what to do.
    pub text: String,
}

/// What became of an export.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Report {
    /// Connectors that were written.
    pub connectors: usize,
    /// Rules that were written, disabled ones too.
    pub rules: usize,
    /// Flows that were written.
    pub flows: usize,
    /// Secrets to be set, by the name under which settings know them.
    pub secrets: Vec<String>,
    /// The lines.
    pub items: Vec<Item>,
}

impl Report {
    pub(crate) fn add(&mut self, topic: Topic, subject: impl Into<String>, text: impl Into<String>) {
        let item = Item { topic, subject: subject.into(), text: text.into() };
        if !self.items.contains(&item) {
            self.items.push(item);
        }
    }

    /// The lines about one topic.
    pub fn about(&self, topic: Topic) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| item.topic == topic)
    }

    /// The report as a person reads it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = format!(
            "Imported from Azure AD Connect: {} connectors, {} rules, {} flows\n",
            self.connectors, self.rules, self.flows
        );
        if !self.secrets.is_empty() {
            out.push_str("\nSecrets to set (exports have none)\n");
            for name in &self.secrets {
                _ = writeln!(out, "  onesync secret set {name}");
            }
        }
        for (topic, title) in Topic::ALL {
            let mut items = self.about(topic).peekable();
            if items.peek().is_none() {
                continue;
            }
            _ = writeln!(out, "\n{title}");
            for item in items {
                _ = writeln!(out, "  {}: {}", item.subject, item.text);
            }
        }
        out
    }
}

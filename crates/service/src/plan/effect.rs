//! What a changed configuration does to one object: the items of a plan, their numbers and their hash.
//!
//! An item names its object by what outlasts a computation (anchor, create key, identity in the metaverse), never by a
//! row number: the same effect has the same hash when the plan is made again.

use std::collections::BTreeMap;
use std::fmt;

use onesync_model::{Hash128, hash128};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Objects of each sort that are named.
const SAMPLES: usize = 3;

/// What becomes of an object. In the order in which a person wants to know.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// It would be deleted at a target.
    Delete,
    /// Its account would be disabled.
    Disable,
    /// It would lose its join.
    Disconnect,
    /// The metaverse object loses its last source, or is gone at once.
    Leave,
    /// It would be created at a target.
    Create,
    /// An existing object of a target would be taken over.
    Adopt,
    /// It would be written at a target.
    Update,
    /// Its link values at a target would change.
    Links,
    /// It would join a metaverse object that is there.
    Join,
    /// It would become a new metaverse object.
    Project,
    /// The metaverse object was leaving and stays.
    Stay,
    /// Values of the metaverse object would change.
    Values,
    /// What is pending for it would be dropped.
    Withdraw,
    /// It would be outside of the pilot, or of what a target lets anybody write: computed and never sent.
    NotSent,
    /// It would get an error.
    Error,
    /// An error of it would be gone.
    Mended,
}

impl Effect {
    /// Whether it takes something away from a person: such an effect is never applied unreviewed.
    #[must_use]
    pub const fn takes_away(self) -> bool {
        matches!(self, Self::Delete | Self::Disable | Self::Disconnect | Self::Leave)
    }

    /// Whether it is a change that is sent to a target.
    #[must_use]
    pub const fn is_sent(self) -> bool {
        matches!(self, Self::Delete | Self::Disable | Self::Create | Self::Adopt | Self::Update | Self::Links)
    }

    /// In words: `12 user objects would be deleted`.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Delete => "would be deleted",
            Self::Disable => "would be disabled",
            Self::Disconnect => "would be disconnected",
            Self::Leave => "would leave the metaverse",
            Self::Create => "would be created",
            Self::Adopt => "would be adopted",
            Self::Update => "would be updated",
            Self::Links => "would get or lose link values",
            Self::Join => "would be joined",
            Self::Project => "would be new in the metaverse",
            Self::Stay => "would stay, and is leaving now",
            Self::Values => "would have other values",
            Self::Withdraw => "would need no change that is pending now",
            Self::NotSent => "would be computed and never sent",
            Self::Error => "would have an error",
            Self::Mended => "would have an error no more",
        }
    }
}

/// A value before and after; `null` where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Now.
    pub before: Json,
    /// With the new configuration.
    pub after: Json,
}

/// One effect on one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanItem {
    /// What becomes of it.
    pub effect: Effect,
    /// The connector; empty for a metaverse object.
    pub connector: String,
    /// The object type.
    pub object_type: String,
    /// Its lasting identity.
    pub key: String,
    /// Its name.
    pub object: String,
    /// The attributes that change.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub changes: BTreeMap<String, Difference>,
    /// More that a person should know: the metaverse object, the message of an error.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl PlanItem {
    /// What it is about, whatever its effect: two versions of one item have one key.
    #[must_use]
    pub fn about(&self) -> Hash128 {
        let sort: &[u8] = match self.effect {
            Effect::Links => b"links",
            effect if effect.is_sent() || matches!(effect, Effect::Withdraw | Effect::NotSent) => b"export",
            Effect::Join | Effect::Project => b"join",
            Effect::Disconnect => b"disconnect",
            Effect::Leave | Effect::Stay => b"state",
            Effect::Error | Effect::Mended => b"error",
            _ => b"values",
        };
        // Of errors and links an object may have several.
        let part = if matches!(sort, b"links" | b"error") { self.part() } else { "" };
        let parts = [self.connector.as_str(), &self.object_type, &self.key, part].map(str::as_bytes);
        hash128(&[sort, parts[0], parts[1], parts[2], parts[3]])
    }

    fn part(&self) -> &str {
        self.changes.keys().next().map_or("", String::as_str)
    }

    /// The hash of what it does. What the object is called does not count; nor does more than the object and its
    /// attributes where something is taken away, so that a review of that stays good.
    #[must_use]
    pub fn hash(&self) -> Hash128 {
        let difference = |(name, difference): (&String, &Difference)| {
            format!("{name}\n{}\n{}\n", difference.before, difference.after)
        };
        let changes: String = self.changes.iter().map(difference).collect();
        hash128(&[
            &self.about().0,
            self.effect.words().as_bytes(),
            changes.as_bytes(),
            if self.effect.takes_away() { b"" } else { self.note.as_bytes() },
        ])
    }
}

impl fmt::Display for PlanItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.object_type, self.object)?;
        if !self.connector.is_empty() {
            write!(f, " of `{}`", self.connector)?;
        }
        write!(f, " {}", self.effect.words())?;
        let value = |json: &Json| match json {
            Json::Null => "nothing".to_owned(),
            json => json.to_string(),
        };
        for (number, (name, change)) in self.changes.iter().enumerate() {
            let before = if number == 0 { ": " } else { "; " };
            write!(f, "{before}{name}: {} -> {}", value(&change.before), value(&change.after))?;
        }
        if !self.note.is_empty() {
            write!(f, " ({})", self.note)?;
        }
        Ok(())
    }
}

/// How many objects have one effect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EffectCount {
    /// The effect.
    pub effect: String,
    /// The connector; empty for the metaverse.
    pub connector: String,
    /// The object type.
    pub object_type: String,
    /// How many.
    pub count: u64,
    /// Some of them.
    pub samples: Vec<String>,
    /// The effect in words.
    #[serde(skip)]
    pub words: &'static str,
}

/// How many objects change in one attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AttributeCount {
    /// The connector; empty for the metaverse.
    pub connector: String,
    /// The object type.
    pub object_type: String,
    /// The attribute.
    pub attribute: String,
    /// Objects that get their first value.
    pub set: u64,
    /// Objects that get another value.
    pub changed: u64,
    /// Objects that lose all values.
    pub emptied: u64,
}

/// The items of a plan, taken in one by one: their numbers, samples and hash.
#[derive(Default)]
pub(super) struct Effects {
    counts: BTreeMap<(Effect, String, String), (u64, Vec<String>)>,
    attributes: BTreeMap<(String, String, String), AttributeCount>,
    pub(super) hash: Hash128,
    pub(super) items: u64,
}

impl Effects {
    pub(super) fn take(&mut self, item: &PlanItem) {
        self.items += 1;
        self.hash = self.hash.plus(item.hash());
        let key = (item.effect, item.connector.clone(), item.object_type.clone());
        let (count, samples) = self.counts.entry(key).or_default();
        *count += 1;
        if samples.len() < SAMPLES {
            samples.push(item.object.clone());
        }
        // An object's first values say nothing of a change of rules; links are counted by value.
        if !matches!(item.effect, Effect::Values | Effect::Update | Effect::Adopt | Effect::Disable) {
            return;
        }
        for (attribute, change) in &item.changes {
            let key = (item.connector.clone(), item.object_type.clone(), attribute.clone());
            let count = self.attributes.entry(key).or_insert_with(|| AttributeCount {
                connector: item.connector.clone(),
                object_type: item.object_type.clone(),
                attribute: attribute.clone(),
                ..AttributeCount::default()
            });
            match (&change.before, &change.after) {
                (Json::Null, _) => count.set += 1,
                (_, Json::Null) => count.emptied += 1,
                _ => count.changed += 1,
            }
        }
    }

    pub(super) fn counts(&self) -> Vec<EffectCount> {
        self.counts
            .iter()
            .map(|((effect, connector, object_type), (count, samples))| EffectCount {
                effect: serde_json::to_value(effect)
                    .ok()
                    .and_then(|word| word.as_str().map(str::to_owned))
                    .unwrap_or_default(),
                connector: connector.clone(),
                object_type: object_type.clone(),
                count: *count,
                samples: samples.clone(),
                words: effect.words(),
            })
            .collect()
    }

    pub(super) fn attributes(&self) -> Vec<AttributeCount> {
        self.attributes.values().cloned().collect()
    }
}

//! The catalogue of events: numbers and texts that stay as they are, so that people and programs can rely on them.
//!
//! Numbers that administrators know from Azure AD Connect are kept where the meaning is the same; all others are 7000 to 7999.
//! A number is never given to another event, and none is taken away: `docs/events.md` is written from here by a test.

use serde::Serialize;

/// How grave an event is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Something does not work, or was taken from this server.
    Error,
    /// Something needs a look.
    Warning,
    /// Somebody did something that is worth keeping.
    Notice,
    /// Something went its way.
    Info,
}

impl Level {
    /// All, the gravest first.
    pub const ALL: [Self; 4] = [Self::Error, Self::Warning, Self::Notice, Self::Info];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == text)
    }

    /// What syslog and the journal call it.
    pub(crate) const fn priority(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warning => 4,
            Self::Notice => 5,
            Self::Info => 6,
        }
    }
}

/// A kind of event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// Its number.
    pub number: u16,
    /// The same as a word.
    pub word: &'static str,
    /// How grave it is.
    pub level: Level,
    /// What happened; `{}` stands for whom or what it is about.
    pub text: &'static str,
}

impl Event {
    /// The event of that word.
    #[must_use]
    pub fn by_word(word: &str) -> Option<&'static Self> {
        ALL.iter().find(|event| event.word == word)
    }

    /// What happened to what.
    #[must_use]
    pub fn about(&self, subject: &str) -> String {
        self.text.replacen("{}", subject, 1)
    }
}

macro_rules! catalogue {
    ($($name:ident $number:literal $word:literal $level:ident $text:literal)*) => {
        $(
            #[doc = $text]
            pub const $name: Event =
                Event { number: $number, word: $word, level: Level::$level, text: $text };
        )*
        /// All events, ascending by number.
        pub const ALL: &[Event] = &[$($name),*];
    };
}

catalogue! {
    HELD 116 "held" Warning "a limit holds changes back, plan {}"
    SCHEDULER 904 "scheduler" Notice "the scheduler was switched {}"
    DATABASE_TROUBLE 2005 "database-trouble" Error "the database of {} cannot be used"
    CONNECTORS_CHANGED 2503 "connectors-changed" Notice "connectors were added, changed or removed, configuration {}"
    RULES_CHANGED 2510 "rules-changed" Notice "synchronisation rules were added, changed or removed, configuration {}"
    SECRET_SET 2518 "secret-set" Notice "the secret `{}` was set"
    RUN_NOT_STARTED 6000 "run-not-started" Error "a step of {} could not run, or was cut off by its directory"
    KEYS_MISSING 6028 "keys-missing" Error "the encryption keys are not accessible, {}"
    RUN_WITH_ERRORS 6100 "run-with-errors" Warning "a step of {} was completed with errors"
    NO_ROOM 6323 "no-room" Error "there is no room for the database of {}"
    EXPORT_ERROR 6941 "export-error" Warning "the export to {} was completed with errors"
    SERVICE_STARTED 7000 "service-started" Info "the service has started, version {}"
    SERVICE_STOPPED 7001 "service-stopped" Info "the service has ended, version {}"
    SERVICE_REPLACED 7002 "service-replaced" Error "this server was replaced by another one and stops, installation {}"
    SERVICE_TROUBLE 7003 "service-trouble" Error "the installation in {} cannot be used now, and is tried again"
    RUN_HELD 7010 "run-held" Warning "a step of {} is held back by a protection"
    RUN_FAILED 7011 "run-failed" Error "a step of {} has failed"
    IMPORT_SUSPECT 7012 "import-suspect" Error "an import from {} shows far less than it should; nothing is synchronised because of it"
    CYCLE_FAILED 7013 "cycle-failed" Error "a cycle could not be completed, configuration {}"
    MAINTENANCE_FAILED 7014 "maintenance-failed" Warning "the database of {} could not be maintained"
    ATTRIBUTE_STOPPED 7020 "stopped" Warning "an attribute is not exported because of an error on too many objects, plan {}"
    HELD_RELEASED 7021 "held-released" Notice "the held plan {} was released"
    HELD_REJECTED 7022 "held-rejected" Notice "the held plan {} was rejected"
    STAGING_ON 7023 "staging-on" Notice "exports to {} were switched off"
    STAGING_OFF 7024 "staging-off" Notice "exports to {} were switched on"
    STAGING_ACCEPTED 7025 "staging-accepted" Warning "what leaving staging takes away, and the active server does not, was accepted for {}"
    CONFIG_APPLIED 7030 "config-applied" Notice "configuration {} was applied"
    SOURCE_ANCHOR 7031 "source-anchor" Notice "the source anchor is {}"
    SECRET_REMOVED 7032 "secret-removed" Notice "the secret `{}` was removed"
    SECRET_WORKED 7033 "secret-worked" Info "the new secret `{}` works"
    SECRET_REFUSED 7034 "secret-refused" Warning "the new secret `{}` is refused, the one before stays in use"
    SETUP 7040 "setup" Notice "setup: {}"
    SERVICE_ACCOUNT_CHANGED 7041 "service-account-changed" Notice "name or password of the service account was changed, now {}"
    UPGRADED 7042 "upgraded" Notice "the database {} was brought to this program"
    DATABASE_MOVED 7043 "database-moved" Notice "the installation was moved to {}"
    KEYS_EXPORTED 7050 "keys-exported" Notice "the key set was exported to {}"
    KEYS_EXPORT_REFUSED 7051 "keys-export-refused" Warning "an export of the key set was refused, service account {}"
    KEYS_ROTATED 7052 "keys-rotated" Notice "a new data key is in use, key {}"
    KEYS_RETIRED 7053 "keys-retired" Notice "the data key {} was removed from the key set"
    KEYS_ABANDONED 7054 "keys-abandoned" Warning "unreadable secrets were given up, key set {}"
    KEYS_SEALED 7055 "keys-sealed" Notice "the key set is sealed by another key-encryption key, {}"
    KEYS_RETENTION 7056 "keys-retention" Notice "retired keys are kept for {} days"
    BACKED_UP 7060 "backed-up" Info "a backup was made, {}"
    BACKUP_FAILED 7061 "backup-failed" Warning "a backup has failed, {}"
    RESTORED 7062 "restored" Warning "the database was restored from {}"
    RESTORE_REHEARSED 7063 "restore-rehearsed" Notice "a restore was rehearsed, {}"
    REHEARSAL_FAILED 7064 "rehearsal-failed" Warning "the rehearsal of a restore has failed, {}"
    BACKUPS_SCHEDULED 7065 "backups-scheduled" Notice "backups by themselves are: {}"
    BACKUPS_GONE 7066 "backups-gone" Notice "the backups that lay in {} before are gone for good"
    ACTIVATED 7070 "service-activated" Notice "service activated and running, installation {}"
    ACTIVATION_REFUSED 7071 "activation-refused" Warning "an activation was refused, {}"
    MARKER_TAKEN 7072 "marker-taken" Notice "the marker of {} names this server"
    TAKEN_OVER 7074 "taken-over" Notice "this server has taken the place of the one before, {}"
    LEASE_LOST 7075 "lease-lost" Error "the lease on the database is lost, nothing is exported, server {}"
    SERVER_COPIED 7076 "server-copied" Error "another copy of this server has written to {} since, nothing is exported there"
    MARKER_GONE 7077 "marker-gone" Warning "the marker of {} was gone, and names this server again"
    DATABASE_BEHIND 7078 "database-behind" Error "the database was brought back from before, nothing is written, installation {}"
    MARKER_REFUSED 7079 "marker-refused" Error "{} refuses this server, nothing is exported there"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands before the table of `docs/events.md`.
    const HEAD: &str = include_str!("events.md");

    fn table() -> String {
        let row = |event: &Event| {
            let (level, text) = (event.level.as_str(), event.text.replace("{}", "*SUBJECT*"));
            format!("| {} | `{}` | {level} | {text} |\n", event.number, event.word)
        };
        ALL.iter().map(row).collect()
    }

    #[test]
    fn numbers_and_words_are_given_once_and_ascend() {
        assert!(ALL.is_sorted_by(|a, b| a.number < b.number));
        for event in ALL {
            assert_eq!(Event::by_word(event.word), Some(event));
            assert_eq!(event.text.matches("{}").count(), 1, "{}", event.word);
        }
        assert_eq!(KEYS_MISSING.about("x"), "the encryption keys are not accessible, x");
    }

    #[test]
    fn the_document_has_every_event() {
        let place = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/events.md");
        let now = format!("{HEAD}{}", table());
        if std::env::var_os("ONESYNC_WRITE_DOCS").is_some() {
            std::fs::write(place, &now).unwrap();
        }
        let there = std::fs::read_to_string(place).unwrap_or_default();
        assert!(now == there, "run this test with ONESYNC_WRITE_DOCS=1");
    }
}

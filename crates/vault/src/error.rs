//! What can be wrong with a key set, a key file or a sealed value, in words that say what to do.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::AccountError;

/// What went wrong with the key set or a secret.
#[derive(Debug, Error)]
pub enum VaultError {
    /// There is no key set.
    #[error(
        "key set {} is missing: the secrets in the database cannot be read without it; put its copy back, or activate this server with an exported key file",
        path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Others could read the key set.
    #[error("key set {} has mode {mode:03o}, others could read it: run `chmod 600 {}`", path.display(), path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A key set is there already and is never overwritten.
    #[error("key set {} exists already and is never overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error("key set {} is damaged ({why}): put its copy back, or activate this server with an exported key file", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The file cannot be read or written.
    #[error("key set {} cannot be read or written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// A value was sealed by a key that this key set does not have.
    #[error(
        "the value was sealed by key {id}, which this key set does not have: restore the key set that has it, or enter the secret again"
    )]
    UnknownKey {
        /// The key's id.
        id: String,
    },
    /// A value was changed, or copied from another place.
    #[error(
        "the sealed value does not open here: it was changed, or copied from another place; enter the secret again"
    )]
    NotSealedHere,
    /// Where the key-encryption key comes from is not there, or cannot be read.
    #[error("the key-encryption key of the key set cannot be read ({source_words}): {why}")]
    Kek {
        /// Where it comes from.
        source_words: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The key-encryption key is another one.
    #[error(
        "the key-encryption key ({source_words}) is another one than the one that sealed key set {}: it has the id {found}, the \
         key set was sealed by {wanted}; put that one back, or activate this server with an exported key file",
        path.display()
    )]
    OtherKek {
        /// The key set.
        path: PathBuf,
        /// Where it comes from.
        source_words: String,
        /// The id of the one that is needed.
        wanted: String,
        /// The id of the one that is there.
        found: String,
    },
    /// This is no key file.
    #[error("this is no key file of OneSync: name a file that `onesync keys export` wrote")]
    NoKeyFile,
    /// A newer program wrote the key file.
    #[error(
        "the key file has version {0}, which this program does not know: use the program that wrote it, or a newer one"
    )]
    NewerKeyFile(u32),
    /// The key file is not whole.
    #[error(
        "the key file is cut short, or was changed: {bytes} bytes are there, and its seal does not fit them; copy it again from \
         where it was written"
    )]
    CutKeyFile {
        /// How many bytes are there.
        bytes: usize,
    },
    /// The password does not open the key file.
    #[error(
        "the password does not open this key file: it takes the password that the service account had when the file was exported"
    )]
    KeyFilePassword,
    /// The key file is of another account.
    #[error("this key file was exported by the service account `{exported}`, not by `{given}`")]
    KeyFileAccount {
        /// The account in the file.
        exported: String,
        /// The account that was named.
        given: String,
    },
    /// The key file is sealed in another way than it was to be opened.
    #[error("this key file is sealed to {sealed}, and does not open with {given}")]
    KeyFileSealedOtherwise {
        /// How it is sealed.
        sealed: &'static str,
        /// What was given.
        given: &'static str,
    },
    /// The key file is sealed to others than whoever tries.
    #[error(
        "this key file is not sealed to this identity: take the identity whose recipient was named at the export"
    )]
    NotARecipient,
    /// The shares are of another key file.
    #[error("the shares belong together, and do not open this key file: they are of another export")]
    SharesOfOtherFile,
    /// A text is no recipient.
    #[error("`{0}` is no recipient: it is written `age1...`, as `age-keygen` shows it")]
    Recipient(String),
    /// A text is no identity.
    #[error("this is no identity: it is written `AGE-SECRET-KEY-1...`, as `age-keygen` writes it to a file")]
    Identity,
    /// How a secret is to be split makes no sense.
    #[error("shares are written `3-of-5`: at least 2 are needed, and there are at most 32")]
    Split,
    /// A share was not written down right.
    #[error(
        "line {place} of the shares is damaged: a letter of it is wrong, or missing; compare it with what was written down"
    )]
    ShareDamaged {
        /// Which line.
        place: usize,
    },
    /// Shares of several exports.
    #[error(
        "the share in line {place} is of set {set}, the one in line {other} of set {other_set}: shares of one export belong together"
    )]
    ShareOfOtherSet {
        /// Which line.
        place: usize,
        /// Its set.
        set: String,
        /// The line it is compared with.
        other: usize,
        /// The set of that one.
        other_set: String,
    },
    /// Not enough shares.
    #[error("{needed} different shares are needed; given: {found}")]
    SharesTooFew {
        /// How many there are.
        found: usize,
        /// How many are needed.
        needed: usize,
    },
    /// Shares of the same name that were made at different times.
    #[error("the shares do not belong together: they were made by different exports")]
    SharesContradict,
    /// The name or the password of a service account is not taken.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// What was stored of the service account's password is damaged.
    #[error(
        "the stored verifier of the service account's password is damaged: set it anew with `onesync setup service-account`"
    )]
    Verifier,
    /// The system gave no random bytes.
    #[error("the system's source of randomness failed")]
    Random,
}

//! `secret`: secrets of connectors.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use anyhow::Context as _;
use onesync_service::{Service, ServiceError, Status};
use serde_json::json;
use zeroize::Zeroizing;

use crate::args::SecretCommand;
use crate::output::Output;

/// A secret longer than this is not a secret but a mistake.
const SECRET_MAX: u64 = 64 << 10;
/// How files begin that some editors write.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// `secret`.
pub fn secret(service: &Service, command: &SecretCommand, out: &Output) -> anyhow::Result<Status> {
    match command {
        SecretCommand::Set { name, file } => {
            service.set_secret(name, &read(file.as_deref())?)?;
            eprintln!("secret `{name}` is set");
            if let Some(doubt) = service.secret_unused(name)? {
                eprintln!("note: {doubt}");
            }
        }
        SecretCommand::Remove { name } => {
            service.remove_secret(name)?;
            eprintln!("secret `{name}` is removed");
        }
        SecretCommand::List => {
            let rows: Vec<_> = service
                .secrets()?
                .into_iter()
                .map(|(name, changed, previous)| {
                    json!({"name": name, "changed": changed.to_string(), "previous_kept": previous})
                })
                .collect();
            out.rows(&rows, &["name", "changed", "previous_kept"])?;
        }
    }
    Ok(Status::Done)
}

/// Reads a secret: from a file, from standard input, or asks for it without showing it.
pub fn read(file: Option<&Path>) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    read_asking(file, "secret:", "--file")
}

/// The same, with a question of its own, and the option that names the file.
pub fn read_asking(file: Option<&Path>, question: &str, option: &str) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    match file {
        Some(path) if path != Path::new("-") => {
            open_text(path)?
                .take(SECRET_MAX + 1)
                .read_to_end(&mut bytes)
                .map_err(|error| unread(path, &error))?;
        }
        None if std::io::stdin().is_terminal() => {
            let question = inquire::Password::new(question).without_confirmation();
            let typed = question.prompt().context("the secret was not entered")?;
            bytes.extend_from_slice(Zeroizing::new(typed).as_bytes());
        }
        _ => {
            std::io::stdin().take(SECRET_MAX + 1).read_to_end(&mut bytes).context("standard input")?;
        }
    }
    // A newline at the end belongs to the file, not to the secret; a PEM file keeps its lines.
    // Some editors begin every file with a mark that nobody types.
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        bytes.pop();
    }
    let wrong = |message: &str, hint: &str| ServiceError::Usage {
        message: format!("{message}: nothing was changed"),
        hint: Some(hint.to_owned()),
    };
    if bytes.is_empty() {
        let hint = match file {
            Some(path) if path != Path::new("-") => {
                format!("{} is to hold it, on its first line", path.display())
            }
            Some(_) => "give it on standard input, or name a file in the place of `-`".to_owned(),
            None => format!("type it, or name a file that holds it with `{option} FILE`"),
        };
        return Err(wrong("the secret is empty", &hint).into());
    }
    if bytes.len() as u64 > SECRET_MAX {
        return Err(wrong("this is longer than 64 KiB, and no secret", "is it the right file?").into());
    }
    if std::str::from_utf8(&bytes).is_err() {
        let hint = "save it as UTF-8; a certificate with its key is stored as PEM text";
        return Err(wrong("the secret is not UTF-8 text", hint).into());
    }
    Ok(bytes)
}

/// Opens a file that was named, with a secret or what opens one; a folder is none.
pub fn open_text(path: &Path) -> Result<std::fs::File, ServiceError> {
    let file = std::fs::File::open(path).map_err(|error| unread(path, &error))?;
    match file.metadata().is_ok_and(|found| found.is_dir()) {
        true => Err(unread(path, &std::io::ErrorKind::IsADirectory.into())),
        false => Ok(file),
    }
}

/// How what opens key files begins, in any case: an identity, one of a later kind, a share.
const BEGINS: [&str; 3] = ["age-secret-key-1", "age-secret-key-pq-1", "onesync-share-1"];
/// So many letters behind that are no part of a name any more.
const LETTERS: usize = 8;

/// An error where one of the arguments is such a secret, which belongs into a file: it is not printed once more.
pub fn must_be_no_secret(given: &[OsString]) -> Result<(), ServiceError> {
    let is_secret = |argument: &OsString| {
        let text = argument.to_string_lossy().to_ascii_lowercase();
        // Behind a `=`, on a line of its own, between quotes; behind a `/` it is a file's name.
        text.split(|c: char| c.is_whitespace() || "='\",;".contains(c)).any(|word| {
            let rest = BEGINS.iter().find_map(|begin| word.strip_prefix(begin));
            rest.is_some_and(|rest| rest.bytes().take_while(u8::is_ascii_alphanumeric).count() >= LETTERS)
        })
    };
    if !given.iter().any(is_secret) {
        return Ok(());
    }
    Err(ServiceError::Usage {
        message: "an argument is the secret itself (`AGE-SECRET-KEY-1...` or `onesync-share-1...`), and no recipient and no file: nothing \
                  was done"
            .to_owned(),
        hint: Some(
            "keep it in a file that only you may read, and name that: `--identity FILE`, `--share FILE`, `--share-file FILE`; a recipient \
             begins with `age1`, and `age-keygen -y FILE` shows the one of an identity. On the command line everybody on this machine \
             could see it, and the history of the shell keeps it: delete it there, and where somebody may have seen it, seal anew to a \
             new one and destroy what it opens"
                .to_owned(),
        ),
    })
}

fn unread(path: &Path, error: &std::io::Error) -> ServiceError {
    let why = match error.kind() {
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    };
    ServiceError::Usage {
        message: format!("{} cannot be read: {why}", path.display()),
        hint: Some("name a file that is there, and that this account may read".to_owned()),
    }
}

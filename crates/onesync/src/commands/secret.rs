//! `secret`: secrets of connectors.

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
    read_asking(file, "secret:")
}

/// The same, with a question of its own.
pub fn read_asking(file: Option<&Path>, question: &str) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    match file {
        Some(path) if path != Path::new("-") => {
            let place = || format!("{}", path.display());
            let file = std::fs::File::open(path).with_context(place)?;
            file.take(SECRET_MAX + 1).read_to_end(&mut bytes).with_context(place)?;
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
    while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        bytes.pop();
    }
    let wrong = |message: &str, hint: &str| ServiceError::Usage {
        message: format!("{message}: nothing was changed"),
        hint: Some(hint.to_owned()),
    };
    if bytes.is_empty() {
        return Err(
            wrong("the secret is empty", "type it, or name a file that holds it with `--file`").into()
        );
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

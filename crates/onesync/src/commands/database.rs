//! The database of a new installation, as it is given on the command line.

use std::path::Path;

use anyhow::Context as _;
use onesync_service::{DatabaseServer, Home, ServiceError};
use zeroize::Zeroizing;

use super::read_secret;
use crate::args::DatabaseArgs;

/// The server that is named, with the password that its file holds.
pub fn server(args: &DatabaseArgs) -> anyhow::Result<Option<DatabaseServer>> {
    let Some(url) = &args.database else { return Ok(None) };
    named(url, args.database_password_file.as_deref(), "--database-password-file").map(Some)
}

/// The server of a URL, with the password that a file holds, which this option names.
pub fn named(url: &str, password_file: Option<&Path>, option: &str) -> anyhow::Result<DatabaseServer> {
    let password = match password_file {
        None => None,
        Some(file) => {
            let bytes = read_secret(Some(file))?;
            let text = std::str::from_utf8(&bytes).context("the password is no UTF-8 text")?;
            Some(Zeroizing::new(text.strip_suffix('\n').unwrap_or(text).to_owned()))
        }
    };
    let server = DatabaseServer::new(url, password.as_ref().map(|text| text.as_str()));
    server.check_for(option)?;
    Ok(server)
}

/// The error of whoever names a database for an installation that has one.
pub fn has_database(home: &Home) -> anyhow::Error {
    ServiceError::Usage {
        message: format!("{} holds an installation, which has its database", home.folder().display()),
        hint: Some("leave `--database` out, or name another folder with `--home`".to_owned()),
    }
    .into()
}

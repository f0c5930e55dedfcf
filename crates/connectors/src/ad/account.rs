//! The account that a connector signs in with: its own object, and when its password ends.

use onesync_ldap::{Entry, Filter, Scope, SearchItem, SearchRequest};
use onesync_model::Time;

use super::errors::convert;
use super::server::Server;
use crate::ConnectorError;

/// When the password of an account ends, as the domain computes it from its policies. Time 0: it must be changed now; the
/// greatest number: never.
pub const PASSWORD_END: &str = "msDS-UserPasswordExpiryTimeComputed";

/// What is known of the end of a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PasswordEnd {
    /// It cannot be read.
    Unknown,
    /// Never.
    Never,
    /// Then; long ago for one that must be changed.
    At(Time),
}

impl PasswordEnd {
    /// Reads it of the account's object.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        Self::read(entry.first_text(PASSWORD_END))
    }

    fn read(text: Option<&str>) -> Self {
        match text.and_then(|text| text.parse::<i64>().ok()) {
            None => Self::Unknown,
            Some(i64::MAX) => Self::Never,
            Some(filetime) => Time::from_filetime(filetime).map_or(Self::Unknown, Self::At),
        }
    }
}

/// The distinguished name of the account, which may sign in by other names.
///
/// # Errors
/// When the server cannot be asked.
pub async fn own_name(server: &mut Server, base: &str, bind: &str) -> Result<Option<String>, ConnectorError> {
    if bind.contains('=') {
        return Ok(Some(bind.to_owned()));
    }
    let account = bind.rsplit('\\').next().unwrap_or(bind);
    let short = account.split('@').next().unwrap_or(account);
    let filter = Filter::Or(vec![
        Filter::equal("userPrincipalName", account.as_bytes().to_vec()),
        Filter::equal("sAMAccountName", short.as_bytes().to_vec()),
    ]);
    let request = SearchRequest::new(base, Scope::Subtree, filter).attributes(["objectGUID"]);
    Ok(first_entry(server, request).await?.0.map(|entry| entry.dn().to_owned()))
}

/// When the password of the account ends, where that can be read.
///
/// # Errors
/// When the server cannot be asked.
pub async fn password_end(
    server: &mut Server,
    base: &str,
    bind: &str,
) -> Result<PasswordEnd, ConnectorError> {
    let Some(own) = own_name(server, base, bind).await? else { return Ok(PasswordEnd::Unknown) };
    let entry = server.look(SearchRequest::entry(own).attributes([PASSWORD_END])).await?;
    Ok(entry.ok().flatten().map_or(PasswordEnd::Unknown, |entry| PasswordEnd::of(&entry)))
}

/// The first entry, and the error of a search that found none.
///
/// # Errors
/// When the search cannot begin.
pub async fn first_entry(
    server: &mut Server,
    request: SearchRequest,
) -> Result<(Option<Entry>, Option<ConnectorError>), ConnectorError> {
    let address = server.address.clone();
    let mut search = server.main().await?.search(request).await.map_err(|error| convert(&error, &address))?;
    loop {
        match search.next().await {
            // dropping the search abandons it
            Ok(Some(SearchItem::Entry(entry))) => return Ok((Some(entry), None)),
            Ok(Some(_)) => {}
            Ok(None) => return Ok((None, None)),
            Err(error) => return Ok((None, Some(convert(&error, &address)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_end_never_some_day_or_at_once() {
        assert_eq!(PasswordEnd::read(None), PasswordEnd::Unknown);
        assert_eq!(PasswordEnd::read(Some("9223372036854775807")), PasswordEnd::Never);
        let day = PasswordEnd::read(Some("134117856000000000"));
        assert_eq!(day, PasswordEnd::At(Time::from_seconds(1_767_312_000)));
        assert!(matches!(PasswordEnd::read(Some("0")), PasswordEnd::At(at) if at.seconds() < 0));
    }
}

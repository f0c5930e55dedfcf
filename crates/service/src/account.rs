//! Who is at work: the account for audit and for the default home.

/// The account on whose behalf something is done: the one before `sudo`, else the one that runs this program.
#[must_use]
pub fn who() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| uid().map_or_else(|| "unknown".to_owned(), |uid| format!("uid {uid}")))
}

/// Whether this program runs as root, whatever the environment says.
#[must_use]
pub fn is_root() -> bool {
    uid() == Some(0)
}

/// The number of the account that runs this program.
#[cfg(unix)]
pub(crate) fn uid() -> Option<u32> {
    Some(rustix::process::geteuid().as_raw())
}

#[cfg(not(unix))]
pub(crate) fn uid() -> Option<u32> {
    None
}

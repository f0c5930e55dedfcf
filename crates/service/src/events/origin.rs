//! Where something is done from: account, machine, terminal, ssh client. As the system knows it where it does.

use std::path::Path;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::{account, process};

/// Processes looked at on the way up to the one that ssh began.
const ANCESTORS: usize = 16;
/// What the system says of a process that nobody signed in for.
const NOBODY: u32 = u32::MAX;

/// From where something is done.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub(crate) who: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) login: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) terminal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ssh: Option<String>,
}

impl Origin {
    /// That of this process, which does not change while it runs.
    pub(crate) fn of_process() -> &'static Self {
        static ORIGIN: OnceLock<Origin> = OnceLock::new();
        ORIGIN.get_or_init(|| Self {
            who: account::who(),
            uid: account::uid(),
            login: read("/proc/self/loginuid")
                .and_then(|text| text.parse().ok())
                .filter(|uid| *uid != NOBODY),
            host: Some(process::host()).filter(|name| !name.is_empty()),
            terminal: terminal(),
            ssh: ssh(),
        })
    }
}

fn read(file: &str) -> Option<String> {
    Some(std::fs::read_to_string(file).ok()?.trim().to_owned())
}

fn terminal() -> Option<String> {
    let of = |number: u8| std::fs::read_link(format!("/proc/self/fd/{number}")).ok();
    let path =
        [0, 1, 2].into_iter().filter_map(of).find(|path| path.starts_with("/dev/pts") || is_tty(path))?;
    Some(path.display().to_string())
}

fn is_tty(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.starts_with("/dev/tty"))
}

/// The address of the ssh client: `sudo` takes it out of the environment, so that those before are looked at, too.
fn ssh() -> Option<String> {
    if let Ok(text) = std::env::var("SSH_CONNECTION") {
        return client(&text);
    }
    let mut process = "self".to_owned();
    for _ in 0..ANCESTORS {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        process = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().to_owned();
        // Others' environments can be read by root only: then there is no answer.
        if let Ok(environment) = std::fs::read(format!("/proc/{process}/environ")) {
            let mut entries = environment.split(|byte| *byte == 0);
            if let Some(text) = entries.find_map(|entry| entry.strip_prefix(b"SSH_CONNECTION=")) {
                return client(&String::from_utf8_lossy(text));
            }
        }
    }
    None
}

/// The client of `client port server port`.
fn client(text: &str) -> Option<String> {
    text.split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_and_where_are_known() {
        let origin = Origin::of_process();
        assert!(!origin.who.is_empty() && origin.uid.is_some() && origin.host.is_some(), "{origin:?}");
        assert_eq!(client("192.0.2.1 50000 192.0.2.2 22"), Some("192.0.2.1".to_owned()));
        let text = serde_json::to_string(origin).unwrap();
        assert_eq!(&serde_json::from_str::<Origin>(&text).unwrap(), origin);
    }
}

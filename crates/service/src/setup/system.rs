//! Users, groups, owners of files: what the operating system knows.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use crate::account;
use crate::error::ServiceError;
use crate::home::Home;

/// The system user that runs the daemon when root sets it up and names none.
pub(super) const SYSTEM_USER: &str = "onesync";
/// The longest name of a user or group.
const NAME_BYTES_MAX: usize = 100;

/// A user of the system.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Whether a user, or a group that is named as `group:NAME`, is there.
///
/// # Errors
/// When it cannot be a name, or the system cannot be asked.
pub fn exists(name: &str) -> Result<bool, ServiceError> {
    match name.strip_prefix("group:") {
        Some(group) => Ok(entry("group", group)?.is_some()),
        None => Ok(user(name)?.is_some()),
    }
}

/// A user by name.
pub(super) fn user(name: &str) -> Result<Option<User>, ServiceError> {
    let Some(line) = entry("passwd", name)? else { return Ok(None) };
    let mut parts = line.split(':').skip(2).map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(uid)), Some(Ok(gid))) => Ok(Some(User { name: name.to_owned(), uid, gid })),
        _ => Err(ServiceError::Internal(format!("the system's entry of user `{name}` cannot be read"))),
    }
}

/// The user that runs this program.
pub(super) fn current() -> Result<User, ServiceError> {
    let wrong =
        || ServiceError::usage("the user that runs this program is not known", "name one with `--run-as`");
    let uid = account::uid().ok_or_else(wrong)?;
    let line = entry("passwd", &uid.to_string())?.ok_or_else(wrong)?;
    let name = line.split(':').next().unwrap_or_default().to_owned();
    user(&name)?.ok_or_else(wrong)
}

/// The person who sets up.
pub(super) fn installer() -> Result<String, ServiceError> {
    let who = account::who();
    if user(&who).is_ok_and(|user| user.is_some()) { Ok(who) } else { Ok(current()?.name) }
}

/// Makes a system user without a shell.
pub(super) fn make_user(name: &str, home: &Path) -> Result<(), ServiceError> {
    let made = Command::new("useradd")
        .args(["--system", "--user-group", "--shell", "/usr/sbin/nologin", "--home-dir"])
        .arg(home)
        .args(["--", name])
        .output();
    let hint = format!("make it by hand, then run this again: `useradd --system --user-group {name}`");
    match made {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(ServiceError::usage(format!("the system user `{name}` could not be made: {said}"), hint))
        }
        Err(error) => {
            Err(ServiceError::usage(format!("the system user `{name}` could not be made: {error}"), hint))
        }
    }
}

/// A line of the system's tables of users and groups, wherever they come from (files, LDAP, SSSD).
fn entry(table: &str, key: &str) -> Result<Option<String>, ServiceError> {
    let bad = |c: char| c.is_control() || c.is_whitespace() || c == ':' || c == '/';
    if key.is_empty() || key.len() > NAME_BYTES_MAX || key.starts_with('-') || key.contains(bad) {
        return Err(ServiceError::usage(
            format!("`{key}` is no name of a user or group of this system"),
            "write the name as `id` shows it; of a group as `group:NAME`",
        ));
    }
    let asked = Command::new("getent").args([table, key]).output();
    let output = asked.map_err(|source| ServiceError::File { place: "getent".to_owned(), source })?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().filter(|_| output.status.success()).map(str::to_owned))
}

/// Gives what root has made in a home that belongs to another user to that one: the daemon must be able to use it.
///
/// # Errors
/// When the home cannot be walked through.
pub fn give_back(home: &Home) -> Result<(), ServiceError> {
    let Ok(metadata) = std::fs::metadata(home.folder()) else { return Ok(()) };
    if !account::is_root() || metadata.uid() == 0 || !home.exists() {
        return Ok(());
    }
    give(home.folder(), &User { name: String::new(), uid: metadata.uid(), gid: metadata.gid() })
}

/// Whether a folder and everything in it belongs to a user and is closed to others.
pub(super) fn is_owned(folder: &Path, user: &User) -> Result<bool, ServiceError> {
    let mut all = true;
    walk(folder, &mut |path, metadata| {
        all &= metadata.uid() == user.uid && metadata.gid() == user.gid;
        all &= metadata.is_symlink() || path != folder || metadata.permissions().mode() & 0o077 == 0;
        Ok(())
    })?;
    Ok(all)
}

/// Gives a folder and everything in it to a user, and closes it to others.
pub(super) fn give(folder: &Path, user: &User) -> Result<(), ServiceError> {
    walk(folder, &mut |path, metadata| {
        if metadata.uid() != user.uid || metadata.gid() != user.gid {
            // Never through a link: it may lead anywhere.
            std::os::unix::fs::lchown(path, Some(user.uid), Some(user.gid))?;
        }
        if path == folder {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
        }
        Ok(())
    })
}

fn walk(
    folder: &Path,
    each: &mut dyn FnMut(&Path, &std::fs::Metadata) -> std::io::Result<()>,
) -> Result<(), ServiceError> {
    let failed = |path: &Path| {
        let place = path.display().to_string();
        move |source| ServiceError::File { place, source }
    };
    let metadata = std::fs::symlink_metadata(folder).map_err(failed(folder))?;
    each(folder, &metadata).map_err(failed(folder))?;
    if metadata.is_dir() {
        for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
            match walk(&entry.map_err(failed(folder))?.path(), each) {
                // Files of a database or of work that goes on come and go.
                Err(ServiceError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                walked => walked?,
            }
        }
    }
    Ok(())
}

//! Users, groups, owners of files: what the operating system knows.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, fstat, openat};
use rustix::io::Errno;

use crate::account;
use crate::error::ServiceError;
use crate::home::Home;

/// The system user that runs the daemon when root sets it up and names none.
pub const SYSTEM_USER: &str = "onesync";
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
        Some(group) => Ok(entry("group", named(group)?)?.is_some()),
        None => Ok(user(name)?.is_some()),
    }
}

/// A user by name.
pub(super) fn user(name: &str) -> Result<Option<User>, ServiceError> {
    let Some(line) = entry("passwd", named(name)?)? else { return Ok(None) };
    let mut parts = line.split(':').skip(2).map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(uid)), Some(Ok(gid))) => Ok(Some(User { name: name.to_owned(), uid, gid })),
        _ => Err(ServiceError::Internal(format!("the system's entry of user `{name}` cannot be read"))),
    }
}

/// The name of the user with a number.
pub(crate) fn name_of(uid: u32) -> String {
    let line = entry("passwd", &uid.to_string()).ok().flatten();
    let name = line.as_deref().and_then(|line| line.split(':').next()).filter(|name| !name.is_empty());
    name.map_or_else(|| format!("user number {uid}"), str::to_owned)
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

/// How a system user is made by hand.
pub(super) fn useradd(name: &str) -> String {
    format!("`useradd --system --user-group --shell /usr/sbin/nologin {name}`")
}

/// Makes a system user without a shell.
pub(super) fn make_user(name: &str, home: &Path) -> Result<(), ServiceError> {
    let made = Command::new("useradd")
        .args(["--system", "--user-group", "--shell", "/usr/sbin/nologin", "--home-dir"])
        .arg(home)
        .args(["--", name])
        .output();
    let hint = format!("make it by hand, then run this again: {}", useradd(name));
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

/// Refuses a number: the system's tables would give whoever has it.
fn named(name: &str) -> Result<&str, ServiceError> {
    if name.trim_start_matches('+').bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(no_name(name));
    }
    Ok(name)
}

fn no_name(key: &str) -> ServiceError {
    ServiceError::usage(
        format!("`{key}` is no name of a user or group of this system"),
        "write the name as `id` shows it; of a group as `group:NAME`",
    )
}

/// A line of the system's tables of users and groups, wherever they come from (files, LDAP, SSSD).
fn entry(table: &str, key: &str) -> Result<Option<String>, ServiceError> {
    let bad = |c: char| c.is_control() || c.is_whitespace() || c == ':' || c == '/';
    if key.is_empty() || key.len() > NAME_BYTES_MAX || key.starts_with('-') || key.contains(bad) {
        return Err(no_name(key));
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
    // Where a link leads: below, none is followed.
    let Ok(folder) = std::fs::canonicalize(home.folder()) else { return Ok(()) };
    let Ok(metadata) = std::fs::metadata(&folder) else { return Ok(()) };
    if !account::is_root() || metadata.uid() == 0 || !home.exists() {
        return Ok(());
    }
    give(&folder, &User { name: String::new(), uid: metadata.uid(), gid: metadata.gid() })
}

/// Whether a folder and everything in it belongs to a user and is closed to others.
pub(super) fn is_owned(folder: &Path, user: &User) -> Result<bool, ServiceError> {
    let mut all = true;
    let top = open_folder(CWD, folder, folder)?;
    all &= fstat(&top).map_err(failed(folder))?.st_mode & 0o077 == 0;
    walk(top, folder, &mut |_, stat| {
        all &= stat.st_uid == user.uid && stat.st_gid == user.gid;
        Ok(())
    })?;
    Ok(all)
}

/// Gives a folder and everything in it to a user, and closes it to others.
pub(super) fn give(folder: &Path, user: &User) -> Result<(), ServiceError> {
    let top = open_folder(CWD, folder, folder)?;
    rustix::fs::fchmod(&top, Mode::RWXU).map_err(failed(folder))?;
    walk(top, folder, &mut |entry, stat| {
        if stat.st_uid == user.uid && stat.st_gid == user.gid {
            return Ok(());
        }
        // What was looked at, whatever has its name by now; of a link the link.
        let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        rustix::fs::chownat(entry, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
    })
}

/// Gives a file to a user; never through a link, and never one that has other names.
pub(super) fn give_file(file: &Path, user: &User) -> Result<(), ServiceError> {
    let opened = crate::home::no_link().read(true).open(file);
    let opened = opened.map_err(|source| ServiceError::File { place: file.display().to_string(), source })?;
    let stat = fstat(&opened).map_err(failed(file))?;
    if stat.st_nlink > 1 || (stat.st_uid == user.uid && stat.st_gid == user.gid) {
        return Ok(());
    }
    rustix::fs::fchown(&opened, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))
        .map_err(failed(file))
}

fn failed(place: &Path) -> impl Fn(Errno) -> ServiceError + '_ {
    move |error| ServiceError::File { place: place.display().to_string(), source: error.into() }
}

fn open_folder(at: impl AsFd, name: impl rustix::path::Arg, place: &Path) -> Result<OwnedFd, ServiceError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, name, flags, Mode::empty()).map_err(failed(place))
}

/// Goes through a folder by descriptors, never through a link: whom it belongs to may change what is in it meanwhile. A file with
/// more names is left out: root would give away what lies elsewhere.
fn walk(
    folder: OwnedFd,
    place: &Path,
    each: &mut dyn FnMut(BorrowedFd<'_>, &Stat) -> Result<(), Errno>,
) -> Result<(), ServiceError> {
    each(folder.as_fd(), &fstat(&folder).map_err(failed(place))?).map_err(failed(place))?;
    for entry in Dir::read_from(&folder).map_err(failed(place))? {
        let entry = entry.map_err(failed(place))?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let place = place.join(name.to_string_lossy().as_ref());
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = match openat(&folder, name, flags, Mode::empty()) {
            // Files of a database or of work that goes on come and go.
            Err(Errno::NOENT) => continue,
            opened => opened.map_err(failed(&place))?,
        };
        let stat = fstat(&entry).map_err(failed(&place))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            walk(open_folder(&entry, c".", &place)?, &place, each)?;
        } else if stat.st_nlink == 1 {
            each(entry.as_fd(), &stat).map_err(failed(&place))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn numbers_are_no_names() {
        for number in ["0", "+0", "65534"] {
            assert!(user(number).is_err() && exists(&format!("group:{number}")).is_err(), "{number}");
        }
        assert_eq!(user("root").unwrap().unwrap().uid, 0);
    }

    #[test]
    fn nothing_outside_is_given_away() {
        let folder = tempfile::tempdir().unwrap();
        let (home, outside) = (folder.path().join("home"), folder.path().join("outside"));
        std::fs::create_dir_all(home.join("in")).unwrap();
        std::fs::create_dir(&outside).unwrap();
        let files = [home.join("in/own"), outside.join("named"), outside.join("linked"), outside.join("in")];
        files.iter().for_each(|file| std::fs::write(file, "x").unwrap());
        std::fs::hard_link(outside.join("named"), home.join("named")).unwrap();
        symlink(outside.join("linked"), home.join("linked")).unwrap();
        symlink(&outside, home.join("folder")).unwrap();
        if !account::is_root() {
            // Only root can give anything away.
            return;
        }
        let nobody = user("nobody").unwrap().unwrap();
        assert!(!is_owned(&home, &nobody).unwrap());
        give(&home, &nobody).unwrap();
        assert!(is_owned(&home, &nobody).unwrap());
        let owner = |path: &Path| std::fs::symlink_metadata(path).unwrap().uid();
        assert_eq!((owner(&home.join("in/own")), owner(&home.join("folder"))), (nobody.uid, nobody.uid));
        for file in files.iter().skip(1).chain([&outside]) {
            assert_eq!(owner(file), 0, "{}", file.display());
        }
        assert_eq!(std::fs::metadata(&home).unwrap().permissions().mode() & 0o777, 0o700);
        // Neither is a home that is a link.
        symlink(&outside, folder.path().join("link")).unwrap();
        assert!(give(&folder.path().join("link"), &nobody).is_err());
        assert_eq!(owner(&outside), 0);
    }
}

//! The unit by which systemd runs the daemon, in a sandbox: it writes its home and nothing else.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use onesync_vault::Kek;

use crate::error::ServiceError;

/// The unit.
pub(super) const NAME: &str = "onesync.service";
/// Where the system keeps units of its administrator.
pub(super) const FOLDER: &str = "/etc/systemd/system";
/// There while systemd runs the machine.
pub(super) const RUNNING: &str = "/run/systemd/system";

/// The text of the unit. Not in it is `ProcSubset=pid`: by what lies in `/proc/sys/kernel` the daemon knows which start of the
/// machine this is (`marker`).
pub(super) fn text(
    program: &Path,
    home: &Path,
    user: &str,
    kek: Option<&Kek>,
) -> Result<String, ServiceError> {
    let (program, place) = (quoted(program)?, quoted(home)?);
    // What lies below a place for users would be hidden with it.
    let below_users = ["/home", "/root", "/run/user"].iter().any(|place| home.starts_with(place));
    let hide = match below_users {
        true => format!("ProtectHome=tmpfs\nBindPaths={place}"),
        false => "ProtectHome=yes".to_owned(),
    };
    let credentials: String = kek
        .into_iter()
        .flat_map(Kek::credentials)
        .map(|name| format!("LoadCredentialEncrypted={name}\n"))
        .collect();
    Ok(format!(
        "{HEAD} What is to be otherwise belongs into a drop-in: `systemctl edit onesync`; for example a
# folder outside of the home that a connector writes: ReadWritePaths=/srv/directory
[Unit]
Description=OneSync directory synchronisation
Wants=network-online.target
After=network-online.target postgresql.service
ConditionPathExists={place}

[Service]
Type=notify
NotifyAccess=main
ExecStart={program} --home {place} serve
User={user}
Restart=on-failure
RestartSec=10s
# Wrong usage, and what waits for a person, is not tried again.
RestartPreventExitStatus=2 4
TimeoutStopSec=20s
WatchdogSec=60s
UMask=0077
LimitCORE=0
LimitNOFILE=65536
{credentials}
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ReadWritePaths={place}
{hide}
PrivateTmp=yes
PrivateDevices=yes
PrivateUsers=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
KeyringMode=private
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"
    ))
}

/// What every unit of ours begins with.
const HEAD: &str = "# Written by `onesync setup`.";

/// What lies where a unit is to lie.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// Nothing.
    None,
    /// The unit of this home, with its text.
    Ours(String),
    /// One of another home, or not ours.
    Other,
}

/// Looks whose unit is there: by what is in it, not by its name.
pub(super) fn look(file: &Path, home: &Path) -> Result<Found, ServiceError> {
    let text = match std::fs::read(file) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
            return Ok(Found::None);
        }
        Err(source) => return Err(ServiceError::File { place: file.display().to_string(), source }),
    };
    let place = text
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=")?.split_once(" --home ")?.1.strip_suffix(" serve"))
        .map(|place| PathBuf::from(place.replace("%%", "%")));
    // It may have been written with another way to the same place.
    let is_home = |place: PathBuf| {
        place == home
            || std::fs::canonicalize(place).is_ok_and(|p| std::fs::canonicalize(home).is_ok_and(|h| h == p))
    };
    Ok(match text.starts_with(HEAD) && place.is_some_and(is_home) {
        true => Found::Ours(text),
        false => Found::Other,
    })
}

/// Whether the sandbox of the unit would hide a home: it has a place of its own for what lies there.
pub(super) fn hides(home: &Path) -> bool {
    ["/tmp", "/var/tmp"].iter().any(|place| home.starts_with(place))
}

/// Writes the unit in one piece.
pub(super) fn write(file: &Path, text: &str) -> Result<(), ServiceError> {
    let failed = |source| ServiceError::File { place: file.display().to_string(), source };
    let unfinished = file.with_extension("service.new");
    crate::flushed::write_flushed(&unfinished, text)
        .and_then(|()| {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&unfinished, std::fs::Permissions::from_mode(0o644))
        })
        .and_then(|()| std::fs::rename(&unfinished, file))
        .map_err(failed)
}

/// Whether a unit is one of the systemd that runs this machine.
pub(super) fn is_live(file: &Path) -> bool {
    file.parent() == Some(Path::new(FOLDER)) && Path::new(RUNNING).exists()
}

/// Asks systemd.
pub(super) fn systemctl(arguments: &[&str]) -> Result<(), ServiceError> {
    let line = format!("systemctl {}", arguments.join(" "));
    let hint = format!("run it by hand, then this again: `{line}`");
    match Command::new("systemctl").args(arguments).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(ServiceError::usage(format!("`{line}` failed: {said}"), hint))
        }
        Err(error) => Err(ServiceError::usage(format!("`{line}` failed: {error}"), hint)),
    }
}

/// A path as systemd reads it.
fn quoted(path: &Path) -> Result<String, ServiceError> {
    let wrong = |why: &str| {
        ServiceError::usage(
            format!("{} cannot stand in a unit of systemd: {why}", path.display()),
            "name another folder, by its whole path",
        )
    };
    let text = path.to_str().ok_or_else(|| wrong("it is not UTF-8"))?;
    if !path.is_absolute() {
        return Err(wrong("it is not a whole path"));
    }
    if text.contains(|c: char| c.is_control() || c.is_whitespace() || "\"'\\;$".contains(c)) {
        return Err(wrong("it has spaces, quotes or signs that mean something there"));
    }
    Ok(text.replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_of_another_home_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(NAME);
        let unit = text(Path::new("/usr/bin/onesync"), Path::new("/srv/one%"), "one", None).unwrap();
        assert_eq!(look(&file, Path::new("/srv/one%")).unwrap(), Found::None);
        std::fs::write(&file, &unit).unwrap();
        assert_eq!(look(&file, Path::new("/srv/one%")).unwrap(), Found::Ours(unit.clone()));
        assert_eq!(look(&file, Path::new("/srv/one")).unwrap(), Found::Other);
        std::fs::write(&file, unit.replacen("# Written", "# Kept", 1)).unwrap();
        assert_eq!(look(&file, Path::new("/srv/one%")).unwrap(), Found::Other);
        assert!(hides(Path::new("/var/tmp/x")) && !hides(Path::new("/var/lib/onesync")));
    }

    #[test]
    fn a_unit_writes_its_home_only_and_hides_those_of_people() {
        let unit =
            text(Path::new("/usr/bin/onesync"), Path::new("/var/lib/onesync"), "onesync", None).unwrap();
        assert!(unit.contains("ExecStart=/usr/bin/onesync --home /var/lib/onesync serve\n"));
        assert!(unit.contains("\nReadWritePaths=/var/lib/onesync\nProtectHome=yes\n"));
        assert!(!unit.contains("ProcSubset"), "which start of the machine this is lies in /proc/sys");
        let unit = text(Path::new("/usr/bin/onesync"), Path::new("/home/one%sync"), "one", None).unwrap();
        assert!(unit.contains("ProtectHome=tmpfs\nBindPaths=/home/one%%sync\n"), "{unit}");
        let kek = crate::keys::parse_kek("credential").unwrap();
        let unit = text(Path::new("/usr/bin/onesync"), Path::new("/srv/one"), "one", Some(&kek)).unwrap();
        assert!(unit.contains("\nLoadCredentialEncrypted=onesync-kek\n"), "{unit}");
        for wrong in ["relative", "/with space", "/with\"quote", "/with$sign"] {
            assert!(text(Path::new("/usr/bin/onesync"), Path::new(wrong), "one", None).is_err(), "{wrong}");
        }
    }
}

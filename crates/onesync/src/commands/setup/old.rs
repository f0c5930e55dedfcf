//! The spellings of `DirectorySyncTool.exe`, the installer of the system we replace: administrators know them by heart.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{Seek as _, SeekFrom, Write as _};

use secrecy::SecretString;

/// Old option, and what it is called here. The password has no option: it is taken out.
const SPELLINGS: [(&str, &str); 5] = [
    ("/sqlserver", "--sqlserver"),
    ("/sqlserverinstance", "--sqlserver-instance"),
    ("/serviceaccountdomain", "--service-account-domain"),
    ("/serviceaccountname", "--service-account-name"),
    ("/serviceaccountpassword", PASSWORD),
];
const PASSWORD: &str = "password";
const PASSWORD_HINT: &str = "`--service-account-password-file FILE` names a file that holds it";
/// The place of the first byte of the arguments among the words of `/proc/self/stat` after the name.
const ARGUMENTS_BEGIN: usize = 45;

/// Why arguments cannot be read, and what to write.
#[derive(Debug)]
pub struct Unreadable {
    pub why: String,
    pub hint: &'static str,
}

/// The arguments in the new spelling, and a password that stood among them; or why they cannot be read.
pub fn new_spelling(given: Vec<OsString>) -> Result<(Vec<OsString>, Option<SecretString>), Unreadable> {
    let is_setup = given.iter().skip(1).any(|argument| argument == "setup");
    if !is_setup {
        return Ok((given, None));
    }
    let mut out = Vec::with_capacity(given.len());
    let mut password = None;
    let mut rest = given.into_iter().peekable();
    while let Some(argument) = rest.next() {
        let Some(new) = spelling(&argument) else {
            if is_unknown(&argument, out.last()) {
                return Err(Unreadable {
                    why: format!("`{}` is no option of `setup`", argument.to_string_lossy()),
                    hint: "of the old spellings there are `/sqlserver`, `/sqlserverinstance`, `/serviceAccountDomain`, `/serviceAccountName` and `/serviceAccountPassword`; `onesync setup --help` has all options",
                });
            }
            out.push(argument);
            continue;
        };
        let is_value = |next: &OsString| {
            next.to_str().is_none_or(|next| !next.starts_with('-') && !next.starts_with('/'))
        };
        // A host may be left out; it never begins like an option. Of the others the next one is the value.
        let value = match new {
            "--sqlserver" => Some(rest.next_if(is_value).unwrap_or_else(|| "localhost".into())),
            // It may begin like anything.
            PASSWORD => rest.next_if(|next| spelling(next).is_none()),
            _ => rest.next_if(is_value),
        };
        match (new, value) {
            (PASSWORD, None) => {
                let why = "no password stands behind `/serviceAccountPassword`".to_owned();
                return Err(Unreadable { why, hint: PASSWORD_HINT });
            }
            (PASSWORD, Some(value)) => {
                let text = value.into_string();
                let text = text.map_err(|_| Unreadable {
                    why: "the password behind `/serviceAccountPassword` is no UTF-8 text".to_owned(),
                    hint: PASSWORD_HINT,
                })?;
                password = Some(SecretString::from(text));
            }
            (new, Some(value)) => {
                let mut argument = OsString::from(new);
                argument.push("=");
                argument.push(value);
                out.push(argument);
            }
            // What is missing is told like anything else that is missing.
            (new, None) => out.push(new.into()),
        }
    }
    Ok((out, password))
}

fn spelling(argument: &OsString) -> Option<&'static str> {
    let text = argument.to_str()?;
    SPELLINGS.iter().find(|(old, _)| old.eq_ignore_ascii_case(text)).map(|(_, new)| *new)
}

/// Whether an argument is one option more in the old spelling, which there is not: a word behind a slash, where no value of an
/// option and no folder is expected.
fn is_unknown(argument: &OsString, before: Option<&OsString>) -> bool {
    let Some(word) = argument.to_str().and_then(|text| text.strip_prefix('/')) else { return false };
    let may_be_value = before.and_then(|before| before.to_str()).is_none_or(|before| {
        before == "connectors" || (before.starts_with('-') && !before.contains('=') && before != "--yes")
    });
    !word.is_empty() && !may_be_value && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Takes a password out of what the list of processes shows of this one, as far as the system lets it: whoever looked before
/// has seen it.
pub fn hide(password: &[u8]) -> std::io::Result<()> {
    let wrong = || std::io::Error::other("the place of the arguments is not known");
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, words) = stat.rsplit_once(')').ok_or_else(wrong)?;
    let begin: u64 =
        words.split_whitespace().nth(ARGUMENTS_BEGIN).and_then(|word| word.parse().ok()).ok_or_else(wrong)?;
    let line = std::fs::read("/proc/self/cmdline")?;
    let mut memory = OpenOptions::new().write(true).open("/proc/self/mem")?;
    let mut at = 0u64;
    for argument in line.split(|byte| *byte == 0) {
        if argument == password {
            memory.seek(SeekFrom::Start(begin + at))?;
            memory.write_all(&vec![b'*'; argument.len()])?;
        }
        at += argument.len() as u64 + 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn read(line: &str) -> (String, Option<String>) {
        let given = line.split(' ').map(OsString::from).collect();
        let (out, password) = new_spelling(given).unwrap();
        let out: Vec<String> = out.into_iter().map(|a| a.into_string().unwrap()).collect();
        (out.join(" "), password.map(|password| password.expose_secret().to_owned()))
    }

    #[test]
    fn old_spellings_in_any_case_are_understood_and_a_bare_host_swallows_nothing() {
        let all = "onesync setup /sqlserver DB1 /sqlserverinstance SYNC /serviceAccountDomain C /ServiceAccountName n /SERVICEACCOUNTPASSWORD p";
        let new = "onesync setup --sqlserver=DB1 --sqlserver-instance=SYNC --service-account-domain=C --service-account-name=n";
        assert_eq!(read(all), (new.to_owned(), Some("p".to_owned())));
        for (old, new) in [
            ("onesync setup /sqlserver", "onesync setup --sqlserver=localhost"),
            (
                "onesync setup /sqlserver /serviceAccountName n",
                "onesync setup --sqlserver=localhost --service-account-name=n",
            ),
            ("onesync setup /SqlServer --yes", "onesync setup --sqlserver=localhost --yes"),
            (
                "onesync setup /sqlserverinstance /sqlserver",
                "onesync setup --sqlserver-instance --sqlserver=localhost",
            ),
            ("onesync setup --answers /srv/answers", "onesync setup --answers /srv/answers"),
            ("onesync show /sqlserver", "onesync show /sqlserver"),
        ] {
            assert_eq!(read(old), (new.to_owned(), None), "{old}");
        }
        // A password that was to be is not silently another one.
        use std::os::unix::ffi::OsStringExt as _;
        let missing = ["onesync", "setup", "/serviceAccountPassword"].map(OsString::from).to_vec();
        assert!(new_spelling(missing.clone()).is_err());
        let strange = [missing, vec![OsString::from_vec(b"p\xff".to_vec())]].concat();
        assert!(new_spelling(strange).is_err());
        let refused =
            |line: &str| new_spelling(line.split(' ').map(OsString::from).collect()).unwrap_err().why;
        assert!(
            refused("onesync setup /serviceAccountPassword /serviceAccountName n")
                .contains("no password stands")
        );
        for line in [
            "onesync setup /unknown x",
            "onesync setup /sqlserver h /unknown",
            "onesync setup --yes /unknown",
        ] {
            assert_eq!(refused(line), "`/unknown` is no option of `setup`", "{line}");
        }
        for line in
            ["onesync setup connectors /srv", "onesync setup --home /srv", "onesync --home /srv setup"]
        {
            assert_eq!(read(line), (line.to_owned(), None));
        }
        // A password may begin like anything.
        assert_eq!(read("onesync setup /serviceAccountPassword /x-").1.as_deref(), Some("/x-"));
    }
}

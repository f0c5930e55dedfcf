//! `dist`: packages for people: a `.deb` and a `.tar.gz` of the program, its documents, and the licences of what is in it.
//!
//! Both are installed without a network and start nothing: there are no scripts in them, the service is made by `onesync
//! setup`. The same commit gives the same bytes: times are the commit's, owners are root, order is by name.

mod licences;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::process::{cargo, output, succeeds};
use crate::workspace;

/// Documents beside `docs/`.
const DOCUMENTS: [&str; 5] =
    ["README.md", "CHANGELOG.md", "ARCHITECTURE.md", "LICENSE-MIT", "LICENSE-APACHE"];

/// What goes into the packages.
#[derive(Debug)]
pub struct Contents<'a> {
    /// The checkout, for the documents.
    pub root: &'a Path,
    /// The program.
    pub program: &'a Path,
    /// The text of the licences of what is in it.
    pub licences: String,
    /// The version.
    pub version: &'a str,
    /// The machine, as Debian calls it and as the rest of the world does.
    pub machine: (&'static str, &'static str),
    /// Seconds since 1970 of everything in the packages.
    pub time: u64,
}

/// Builds the program and packs it; false when it does not build.
pub fn run(args: &[String]) -> Result<bool> {
    let root = workspace::root()?;
    let (mut profile, mut into) = ("dist".to_owned(), root.join("target/packages"));
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let value = args.next().with_context(|| format!("`{arg}` lacks its value"))?;
        match arg.as_str() {
            "--profile" => profile.clone_from(value),
            "--into" => into = PathBuf::from(value),
            _ => bail!("unknown option `{arg}`"),
        }
    }
    let build = ["build", "--locked", "--profile", &profile, "--package", "onesync", "--bin", "onesync"];
    if !succeeds(cargo(&root, &build))? {
        return Ok(false);
    }
    let program = workspace::target(&root)?.join(&profile).join("onesync");
    let contents = Contents {
        root: &root,
        program: &program,
        licences: licences::text(&root)?,
        version: env!("CARGO_PKG_VERSION"),
        machine: machine()?,
        time: commit_time(&root)?,
    };
    fs::create_dir_all(&into).with_context(|| into.display().to_string())?;
    for package in contents.pack(&into)? {
        println!("{}", package.display());
    }
    Ok(true)
}

fn machine() -> Result<(&'static str, &'static str)> {
    match std::env::consts::ARCH {
        "x86_64" => Ok(("amd64", "x86_64")),
        "aarch64" => Ok(("arm64", "aarch64")),
        other => bail!("no packages are made for {other}"),
    }
}

fn commit_time(root: &Path) -> Result<u64> {
    let mut git = Command::new("git");
    git.args(["log", "-1", "--format=%ct"]).current_dir(root).stdin(Stdio::null());
    output(git)?.trim().parse().context("git does not say when the commit was made")
}

impl Contents<'_> {
    /// Makes both packages in a folder, and gives their paths.
    pub fn pack(&self, into: &Path) -> Result<[PathBuf; 2]> {
        let work = into.join("work");
        if work.exists() {
            fs::remove_dir_all(&work)?;
        }
        let packages = [self.deb(&work.join("deb"), into)?, self.archive(&work.join("tar"), into)?];
        fs::remove_dir_all(&work)?;
        Ok(packages)
    }

    fn deb(&self, work: &Path, into: &Path) -> Result<PathBuf> {
        install(self.program, &work.join("usr/bin/onesync"), 0o755)?;
        self.documents(&work.join("usr/share/doc/onesync"))?;
        let size = size(work)?.div_ceil(1024);
        let bytes = fs::read(self.program)?;
        let glibc = newest_glibc(&bytes).context("the program does not name the C library it needs")?;
        let control = format!(
            "Package: onesync\nVersion: {}\nArchitecture: {}\nMaintainer: The OneSync developers <onesync@localhost>\n\
             Installed-Size: {size}\nDepends: libc6 (>= 2.{glibc}), libgcc-s1, ca-certificates\nSection: admin\nPriority: optional\n\
             Description: directory synchronisation service\n Reads identities from Active Directory, LDAP and files, joins them under declarative\n \
             rules, and keeps Microsoft Entra ID in step. Installing starts nothing: run\n `onesync setup`.\n",
            self.version, self.machine.0
        );
        write(&work.join("DEBIAN/control"), &control, 0o644)?;
        let package = into.join(format!("onesync_{}_{}.deb", self.version, self.machine.0));
        let mut deb = Command::new("dpkg-deb");
        deb.args(["--root-owner-group", "-Zxz", "--build"]).arg(work).arg(&package);
        deb.env("SOURCE_DATE_EPOCH", self.time.to_string()).stdin(Stdio::null());
        self.age(work)?;
        output(deb)?;
        Ok(package)
    }

    fn archive(&self, work: &Path, into: &Path) -> Result<PathBuf> {
        let name = format!("onesync-{}-linux-{}", self.version, self.machine.1);
        let folder = work.join(&name);
        install(self.program, &folder.join("onesync"), 0o755)?;
        self.documents(&folder)?;
        let package = into.join(format!("{name}.tar.gz"));
        let mut tar = Command::new("tar");
        tar.args([
            "--sort=name",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "--use-compress-program=gzip -n",
        ]);
        tar.arg(format!("--mtime=@{}", self.time)).arg("--create").arg("--file").arg(&package);
        tar.arg("--directory").arg(work).arg(&name).stdin(Stdio::null());
        output(tar)?;
        Ok(package)
    }

    fn documents(&self, folder: &Path) -> Result<()> {
        for name in DOCUMENTS {
            install(&self.root.join(name), &folder.join(name), 0o644)?;
        }
        let mut docs: Vec<_> = fs::read_dir(self.root.join("docs"))?.collect::<Result<_, _>>()?;
        docs.sort_by_key(fs::DirEntry::file_name);
        for doc in docs {
            install(&doc.path(), &folder.join("docs").join(doc.file_name()), 0o644)?;
        }
        write(&folder.join("copyright"), &self.licences, 0o644)
    }

    /// Gives everything below a folder one age.
    fn age(&self, folder: &Path) -> Result<()> {
        let mut find = Command::new("find");
        find.arg(folder).args(["-exec", "touch", "--no-dereference"]);
        find.arg(format!("--date=@{}", self.time)).args(["{}", "+"]).stdin(Stdio::null());
        ensure!(succeeds(find)?, "the age of files in {} could not be set", folder.display());
        Ok(())
    }
}

/// The newest version 2.N of glibc that a program asks for.
fn newest_glibc(program: &[u8]) -> Option<u32> {
    let marks = program.windows(8).enumerate().filter(|(_, window)| *window == b"GLIBC_2.");
    marks
        .filter_map(|(at, _)| {
            let digits = program.get(at + 8..)?.iter().take_while(|byte| byte.is_ascii_digit());
            String::from_utf8(digits.copied().collect()).ok()?.parse().ok()
        })
        .max()
}

fn size(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        sum += if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(sum)
}

fn install(from: &Path, to: &Path, mode: u32) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).with_context(|| format!("failed to copy `{}`", from.display()))?;
    Ok(fs::set_permissions(to, fs::Permissions::from_mode(mode))?)
}

fn write(to: &Path, text: &str, mode: u32) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(to, text)?;
    Ok(fs::set_permissions(to, fs::Permissions::from_mode(mode))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(folder: &Path) -> [PathBuf; 2] {
        let root = workspace::root().unwrap();
        let program = folder.join("program");
        fs::write(&program, b"#!/bin/sh\n# GLIBC_2.17 GLIBC_2.34 GLIBC_2.4\necho installed\n").unwrap();
        let contents = Contents {
            root: &root,
            program: &program,
            licences: "of others\n".to_owned(),
            version: "1.2.3",
            machine: machine().unwrap(),
            time: 1_700_000_000,
        };
        let into = folder.join("out");
        fs::create_dir_all(&into).unwrap();
        contents.pack(&into).unwrap()
    }

    fn tool(program: &str, args: &[&str]) -> String {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null());
        output(command).unwrap()
    }

    #[test]
    fn a_deb_installs_the_program_and_its_documents_and_starts_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let [deb, _] = packed(folder.path());
        let deb = deb.to_str().unwrap();
        let control = tool("dpkg-deb", &["--info", deb]);
        assert!(
            control.contains("Depends: libc6 (>= 2.34)") && control.contains("Version: 1.2.3"),
            "{control}"
        );
        for script in ["preinst", "postinst", "prerm", "postrm", "triggers"] {
            assert!(!control.contains(script), "{control}");
        }
        let into = folder.path().join("root");
        tool("dpkg-deb", &["--extract", deb, into.to_str().unwrap()]);
        assert_eq!(tool(into.join("usr/bin/onesync").to_str().unwrap(), &[]), "installed\n");
        for document in ["README.md", "docs/reference.md", "copyright"] {
            assert!(into.join("usr/share/doc/onesync").join(document).is_file(), "{document}");
        }
        let listed = tool("dpkg-deb", &["--contents", deb]);
        assert!(listed.lines().all(|line| line.contains("root/root")), "{listed}");
    }

    #[test]
    fn an_archive_holds_one_folder() {
        let folder = tempfile::tempdir().unwrap();
        let [_, archive] = packed(folder.path());
        let listed = tool("tar", &["--list", "--file", archive.to_str().unwrap()]);
        let top = format!("onesync-1.2.3-linux-{}/", machine().unwrap().1);
        assert!(listed.lines().all(|line| line.starts_with(&top)), "{listed}");
        assert!(listed.lines().any(|line| line == format!("{top}onesync")), "{listed}");
    }

    #[test]
    fn the_same_contents_give_the_same_bytes() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (a, b) in packed(one.path()).iter().zip(packed(two.path())) {
            assert!(fs::read(a).unwrap() == fs::read(&b).unwrap(), "{}", b.display());
        }
    }
}

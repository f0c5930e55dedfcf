//! The options of `setup`, which an answers file can hold too, and what they ask for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args as ClapArgs;
use onesync_service::setup::{Role, Wanted};
use onesync_service::{DatabaseServer, Home, ServiceError, account};
use secrecy::SecretString;
use serde::Deserialize;

use super::super::read_secret;
use super::answers;

/// Where systemd looks for units of the administrator.
pub(super) const UNITS: &str = "/etc/systemd/system";
/// There while systemd runs the machine.
const SYSTEMD: &str = "/run/systemd/system";
/// The instance of SQL Server that has no name of its own.
const DEFAULT_INSTANCE: &str = "MSSQLSERVER";
/// The database as the replaced system calls it.
const DEFAULT_DATABASE: &str = "ADSync";
/// The SQL login when none is named.
const DEFAULT_LOGIN: &str = "onesync";

/// What an installation is to be. An answers file has the same names.
#[derive(Clone, Debug, Default, ClapArgs, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Options {
    /// File with answers: TOML with the names of these options; an option outweighs its answer
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub answers: Option<PathBuf>,
    /// Do it without asking
    #[arg(long)]
    #[serde(skip)]
    pub yes: bool,
    /// Database on a server: `postgres://user@host/database?sslmode=verify-full`, `sqlserver://user@host/database`; else one is embedded in the home
    #[arg(long, value_name = "URL", conflicts_with = "sqlserver")]
    pub database: Option<String>,
    /// File with the password of the database account, - for standard input; the home keeps it. In an
    /// installed home: another one than before, which is tried first
    #[arg(long, value_name = "FILE")]
    pub database_password_file: Option<PathBuf>,
    /// Account that may make roles (logins) and databases, or owns the database; in an installed home it gives missing rights: `postgres://admin@host/postgres`, `sqlserver://sa@host/master`
    #[arg(long, value_name = "URL")]
    pub database_admin: Option<String>,
    /// File with the password of that account; it is not kept
    #[arg(long, value_name = "FILE", requires = "database_admin")]
    pub database_admin_password_file: Option<PathBuf>,
    /// Database on a SQL Server: its host, localhost when it is left out
    #[arg(long, value_name = "HOST", num_args = 0..=1, default_missing_value = "localhost")]
    pub sqlserver: Option<String>,
    /// Instance [default: MSSQLSERVER]
    #[arg(long, value_name = "NAME", requires = "sqlserver")]
    pub sqlserver_instance: Option<String>,
    /// Database [default: ADSync]
    #[arg(long, value_name = "NAME", requires = "sqlserver")]
    pub sqlserver_database: Option<String>,
    /// SQL login of the service, no Windows account and no Kerberos [default: onesync]
    #[arg(long, value_name = "NAME", requires = "sqlserver")]
    pub sqlserver_user: Option<String>,
    /// Domain of the service account
    #[arg(long, value_name = "DOMAIN", requires = "service_account_name")]
    pub service_account_domain: Option<String>,
    /// Service account; the system user when left out. Backup, restore and keys ask for it
    #[arg(long, value_name = "NAME")]
    pub service_account_name: Option<String>,
    /// File with its password, - for standard input; a random one is made when left out
    #[arg(long, value_name = "FILE")]
    pub service_account_password_file: Option<PathBuf>,
    /// System user that runs the daemon; for root `onesync`, which is made, for others themselves
    #[arg(long, value_name = "USER")]
    pub run_as: Option<String>,
    /// Where the key comes from that seals the key set: `file`, `file:PATH`, `credential:NAME` or `pkcs11:...` [default: file, in
    /// the home]
    #[arg(long, value_name = "SOURCE")]
    pub kek: Option<String>,
    /// User, or group as group:NAME, that may do everything (can be repeated); whoever sets up when left out
    #[arg(long = "admin", value_name = "NAME")]
    #[serde(alias = "admin", deserialize_with = "answers::names")]
    pub admins: Vec<String>,
    /// User or group that runs cycles and decides what is held (can be repeated)
    #[arg(long = "operator", value_name = "NAME")]
    #[serde(alias = "operator", deserialize_with = "answers::names")]
    pub operators: Vec<String>,
    /// User or group that looks (can be repeated)
    #[arg(long = "browser", value_name = "NAME")]
    #[serde(alias = "browser", deserialize_with = "answers::names")]
    pub browsers: Vec<String>,
    /// User or group that sets passwords of people (can be repeated)
    #[arg(long = "password-setter", value_name = "NAME")]
    #[serde(alias = "password-setter", deserialize_with = "answers::names")]
    pub password_setters: Vec<String>,
    /// Proxy on the way to the cloud, without a password: `http://host:port`; `setup connectors` writes it into the connector
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// Write a unit for systemd, into this folder [default: /etc/systemd/system]; root does where systemd runs
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, require_equals = true, default_missing_value = UNITS)]
    #[serde(deserialize_with = "answers::folder")]
    pub systemd: Option<PathBuf>,
    /// Write no unit for systemd
    #[arg(long, conflicts_with = "systemd")]
    pub no_systemd: bool,
    /// People, groups and contacts that are expected, for the disk [default: 10000]
    #[arg(long, value_name = "NUMBER")]
    pub identities: Option<u64>,
    /// A password that stood on the command line in the old spelling.
    #[arg(skip)]
    #[serde(skip)]
    pub account_password: Option<SecretString>,
    /// A password of the database that was asked for.
    #[arg(skip)]
    #[serde(skip)]
    pub database_password: Option<SecretString>,
    /// A password of the administrator that was asked for.
    #[arg(skip)]
    #[serde(skip)]
    pub database_admin_password: Option<SecretString>,
}

impl Options {
    /// Fills in what the answers file says.
    pub fn with_answers(mut self) -> anyhow::Result<Self> {
        let Some(file) = self.answers.take() else { return Ok(self) };
        let text = std::fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
        let answers: Self = answers::read(&text).map_err(|why| ServiceError::Usage {
            message: format!("{}, {why}", file.display()),
            hint: Some("the names are those of the options of `onesync setup --help`, e.g. `run-as = \"onesync\"`; passwords are in files of their own".to_owned()),
        })?;
        if answers.database.is_some() && answers.sqlserver.is_some() {
            return Err(usage("the answers name two databases", "leave `database` or `sqlserver` out"));
        }
        // What is named on the command line is another database than that of the answers, and all that belongs to it.
        let own_database = self.database.is_some() || self.sqlserver.is_some();
        macro_rules! fill {
            ($($name:ident)*) => { $( self.$name = self.$name.take().or(answers.$name); )* };
        }
        if !own_database {
            fill!(database sqlserver database_password_file database_admin database_admin_password_file
                sqlserver_instance sqlserver_database sqlserver_user);
        }
        fill!(service_account_domain service_account_name service_account_password_file run_as kek proxy identities);
        if !self.no_systemd {
            fill!(systemd);
            self.no_systemd = answers.no_systemd && self.systemd.is_none();
        }
        for (own, answer) in [
            (&mut self.admins, answers.admins),
            (&mut self.operators, answers.operators),
            (&mut self.browsers, answers.browsers),
            (&mut self.password_setters, answers.password_setters),
        ] {
            if own.is_empty() {
                *own = answer;
            }
        }
        Ok(self)
    }

    /// Refuses what belongs to something that is not named: in answers it would silently be another installation.
    fn belongs_together(&self) -> anyhow::Result<()> {
        for (there, name, needed, needs) in [
            (self.sqlserver_instance.is_some(), "sqlserver-instance", self.sqlserver.is_some(), "sqlserver"),
            (self.sqlserver_database.is_some(), "sqlserver-database", self.sqlserver.is_some(), "sqlserver"),
            (self.sqlserver_user.is_some(), "sqlserver-user", self.sqlserver.is_some(), "sqlserver"),
            (
                self.database_admin_password_file.is_some(),
                "database-admin-password-file",
                self.database_admin.is_some(),
                "database-admin",
            ),
            (
                self.service_account_domain.is_some(),
                "service-account-domain",
                self.service_account_name.is_some(),
                "service-account-name",
            ),
        ] {
            if there && !needed {
                return Err(usage(
                    &format!("`{name}` belongs to `{needs}`, which is not named"),
                    &format!("name `{needs}`, or leave `{name}` out"),
                ));
            }
        }
        if self.sqlserver_instance.is_some()
            && self.sqlserver.as_ref().is_some_and(|host| host.contains('\\'))
        {
            return Err(usage(
                "the SQL Server's instance is named twice",
                "write `HOST\\INSTANCE`, or `--sqlserver-instance`",
            ));
        }
        Ok(())
    }

    /// The URL of the database on a server.
    pub fn url(&self) -> Option<String> {
        let Some(host) = &self.sqlserver else { return self.database.clone() };
        let part = |part: &Option<String>, default: &str| part.clone().unwrap_or_else(|| default.to_owned());
        // `HOST\INSTANCE,PORT`, as SQL Server's own tools write it.
        let (host, port) = host.split_once(',').map_or((host.as_str(), None), |(h, p)| (h, Some(p.trim())));
        let (host, instance) = host.split_once('\\').map_or((host, None), |(h, i)| (h, Some(i.to_owned())));
        // A port needs no instance to find it by.
        let instance =
            if port.is_some() { None } else { instance.or_else(|| self.sqlserver_instance.clone()) };
        let host = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let instance = part(&instance, DEFAULT_INSTANCE);
        // The default instance has the default port; that of any other one is asked from the server.
        let instance = match instance.eq_ignore_ascii_case(DEFAULT_INSTANCE) {
            true => String::new(),
            false => format!("?instance={}", encoded(&instance)),
        };
        Some(format!(
            "sqlserver://{}@{host}/{}{instance}",
            encoded(&part(&self.sqlserver_user, DEFAULT_LOGIN)),
            encoded(&part(&self.sqlserver_database, DEFAULT_DATABASE)),
        ))
    }

    /// The name of the service account.
    pub fn account(&self) -> Option<String> {
        let name = self.service_account_name.clone()?;
        Some(match &self.service_account_domain {
            Some(domain) => format!("{domain}\\{name}"),
            None => name,
        })
    }

    /// What is asked for, with the passwords that the files hold.
    pub fn wanted(&self, home: &Home) -> anyhow::Result<Wanted> {
        self.belongs_together()?;
        let read = |file: &Option<PathBuf>| file.as_deref().map(password).transpose();
        let from_input = [
            &self.database_password_file,
            &self.service_account_password_file,
            &self.database_admin_password_file,
        ];
        if from_input.iter().filter(|file| file.as_deref() == Some(Path::new("-"))).count() > 1 {
            return Err(usage("two passwords cannot both come from standard input", "name files for them"));
        }
        let server = match self.url() {
            // The one of the home.
            None if home.exists() => None,
            None if self.database_password_file.is_some() => {
                return Err(usage(
                    "a password of a database on a server, and no such database",
                    "name it with `--database`",
                ));
            }
            None => None,
            Some(url) => {
                let password = read(&self.database_password_file)?.or_else(|| self.database_password.clone());
                Some(checked(DatabaseServer { url, password })?)
            }
        };
        let admin = match &self.database_admin {
            None => None,
            Some(_) if server.is_none() && !home.exists() => {
                return Err(usage(
                    "an administrator of a database server, and no database",
                    "name it with `--database`",
                ));
            }
            Some(url) => Some(checked(DatabaseServer {
                url: url.clone(),
                password: read(&self.database_admin_password_file)?
                    .or_else(|| self.database_admin_password.clone()),
            })?),
        };
        let proxy = match &self.proxy {
            Some(proxy) if proxy.contains('@') => {
                return Err(usage(
                    "the proxy holds a password, which everybody sees who sees this command",
                    "leave it out; the connector's file names user and secret: `proxy = { url = \"http://host:port\", username = \"...\", password = \"SECRET\" }`",
                ));
            }
            proxy => proxy.clone(),
        };
        let mut roles = BTreeMap::new();
        for (role, names) in [
            (Role::Admins, &self.admins),
            (Role::Operators, &self.operators),
            (Role::Browse, &self.browsers),
            (Role::PasswordSet, &self.password_setters),
        ] {
            if !names.is_empty() {
                roles.insert(role, names.clone());
            }
        }
        let database_password = match &server {
            None => read(&self.database_password_file)?,
            Some(_) => None,
        };
        Ok(Wanted {
            server,
            database_password,
            admin,
            account: self.account(),
            account_password: match &self.account_password {
                Some(password) => Some(password.clone()),
                None => read(&self.service_account_password_file)?,
            },
            runs_as: self.run_as.clone(),
            kek: self.kek.as_deref().map(onesync_service::keys::parse_kek).transpose()?,
            roles,
            proxy,
            units: self.units(),
            program: std::env::current_exe().context("this program's own place")?,
            identities: self.identities,
        })
    }

    fn units(&self) -> Option<PathBuf> {
        match &self.systemd {
            Some(folder) => Some(folder.clone()),
            None if self.no_systemd => None,
            None => (account::is_root() && Path::new(SYSTEMD).exists()).then(|| PathBuf::from(UNITS)),
        }
    }
}

/// Reads a password from a file.
pub fn password(file: &Path) -> anyhow::Result<SecretString> {
    let bytes = read_secret(Some(file)).with_context(|| format!("the password in {}", file.display()))?;
    Ok(SecretString::from(std::str::from_utf8(&bytes).context("the password is no UTF-8 text")?.to_owned()))
}

fn checked(server: DatabaseServer) -> anyhow::Result<DatabaseServer> {
    server.check()?;
    Ok(server)
}

/// A part of a URL.
pub(super) fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

pub(super) fn usage(message: &str, hint: &str) -> anyhow::Error {
    ServiceError::Usage { message: message.to_owned(), hint: Some(hint.to_owned()) }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Options, with answers.
    fn merged(options: Options, answers: &str) -> anyhow::Result<Options> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("answers.toml");
        std::fs::write(&file, answers).unwrap();
        let options = Options { answers: Some(file), ..options }.with_answers()?;
        options.belongs_together()?;
        Ok(options)
    }

    #[test]
    fn answers_to_one_database_are_none_to_another() {
        let own = Options { database: Some("postgres://a@h/d".into()), ..Options::default() };
        let answers = "database = \"postgres://b@i/e\"\ndatabase-password-file = \"/p\"\ndatabase-admin = \"postgres://c@i/e\"\nrun-as = \"one\"\n";
        let options = merged(own.clone(), answers).unwrap();
        assert_eq!((options.database_password_file, options.database_admin), (None, None));
        assert_eq!((options.run_as.as_deref(), options.database), (Some("one"), own.database.clone()));
        let options = merged(own, "sqlserver = \"h\"\nsqlserver-instance = \"I\"\n").unwrap();
        assert_eq!((options.sqlserver, options.sqlserver_instance), (None, None));
        assert!(merged(Options::default(), answers).unwrap().database_password_file.is_some());
    }

    #[test]
    fn what_belongs_to_nothing_is_refused() {
        for alone in [
            "sqlserver-instance",
            "sqlserver-database",
            "sqlserver-user",
            "database-admin-password-file",
            "service-account-domain",
        ] {
            let error = merged(Options::default(), &format!("{alone} = \"x\"\n")).unwrap_err();
            assert!(error.to_string().contains(alone), "{error}");
        }
        assert!(merged(Options::default(), "sqlserver = 'h\\I'\nsqlserver-instance = \"I\"\n").is_err());
        // On the command line alone, too.
        let twice = Options {
            sqlserver: Some("h\\I".into()),
            sqlserver_instance: Some("OTHER".into()),
            ..Options::default()
        };
        let refused = twice.wanted(&Home::new("/nowhere")).unwrap_err();
        assert!(refused.to_string().contains("named twice"), "{refused}");
    }

    #[test]
    fn answers_have_the_names_of_the_options_and_mistakes_their_lines() {
        let text = "admin = \"one\"\noperators = [\"two\", \"three\"]\nsystemd = true\n";
        let options = merged(Options::default(), text).unwrap();
        assert_eq!((options.admins, options.operators.len()), (vec!["one".to_owned()], 2));
        assert_eq!(options.systemd.as_deref(), Some(Path::new(UNITS)));
        assert_eq!(
            merged(Options::default(), "systemd = \"/u\"\n").unwrap().systemd.unwrap(),
            Path::new("/u")
        );
        for (text, parts) in [
            ("run-as = \"one\"\nkek = none\n", &["line 2", "`kek = \"...\"`"][..]),
            ("# first\n\ndatabase = postgres://a@h/d\n", &["line 3", "`database = \"...\"`"]),
            ("identities = 10\nrun-sa = \"x\"\n", &["line 2", "run-sa"]),
            ("identities = \"many\"\n", &["line 1"]),
            ("systemd = false\n", &["line 1", "no-systemd = true"]),
            ("admins = 3\n", &["line 1", "\"alice\""]),
        ] {
            let refused = merged(Options::default(), text).unwrap_err().to_string();
            assert!(parts.iter().all(|part| refused.contains(part)), "{text}: {refused}");
            assert!(!refused.contains("float"), "{refused}");
        }
    }

    #[test]
    fn a_sql_server_is_named_by_host_instance_and_database() {
        let url = |host: &str, instance: Option<&str>, database: Option<&str>| {
            let options = Options {
                sqlserver: Some(host.to_owned()),
                sqlserver_instance: instance.map(str::to_owned),
                sqlserver_database: database.map(str::to_owned),
                ..Options::default()
            };
            options.url().unwrap()
        };
        assert_eq!(url("localhost", None, None), "sqlserver://onesync@localhost/ADSync");
        assert_eq!(url("db1", Some("mssqlserver"), None), "sqlserver://onesync@db1/ADSync");
        assert_eq!(url("db1\\SYNC", None, None), "sqlserver://onesync@db1/ADSync?instance=SYNC");
        assert_eq!(url("db1,1433", None, None), "sqlserver://onesync@db1:1433/ADSync");
        assert_eq!(url("db1\\SYNC,1500", None, None), "sqlserver://onesync@db1:1500/ADSync");
        assert_eq!(url("db1", Some("SYNC 1"), Some("One")), "sqlserver://onesync@db1/One?instance=SYNC%201");
    }
}

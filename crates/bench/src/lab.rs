//! The folder of one benchmark: a made-up company as LDIF, a configuration with the shipped rules, a home.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use onesync_graphsim::{DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_TENANT_ID};
use onesync_service::{Clock as _, Configuration, DatabaseServer, Home, Service, SystemClock, template};
use onesync_store::Store;
use onesync_testkit::generate::{Company, CompanyOptions};

/// The connector that is read.
pub const SOURCE: &str = "directory";
/// The connector that is written.
pub const CLOUD: &str = "entra";
/// People whose membership of the large group is taken away and given back, one by one.
pub const MEMBERS_CHANGED: usize = 5;

/// People who are searched.
const PEOPLE_SEARCHED: usize = 200;

/// Where everything of one benchmark lies.
#[derive(Clone, Debug)]
pub struct Lab {
    folder: PathBuf,
}

/// Where an Active Directory is to be read.
#[derive(Clone, Debug)]
pub struct Directory {
    /// `ldap://HOST`.
    pub url: String,
    /// The account.
    pub bind: String,
    /// Its password.
    pub password: String,
}

impl Lab {
    /// Names it.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.home().database()
    }

    /// Its store, whichever it is.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn store(&self) -> Result<Arc<dyn Store>> {
        Ok(self.home().open()?.0)
    }

    pub fn home(&self) -> Home {
        Home::new(self.folder.join("home"))
    }

    /// The company of so many people; everyone is in the large group and in ten others on average.
    pub fn company(people: usize, domain: &str, base: &str) -> Company {
        Company::new(CompanyOptions {
            objects: (people * 10).div_ceil(9),
            memberships: 11,
            staff_is_security: true,
            domain: domain.to_owned(),
            base: base.to_owned(),
            ..CompanyOptions::default()
        })
    }

    /// Writes the company as LDIF, and the names of those whose membership changes.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_company(&self, people: usize) -> Result<()> {
        let company = Self::company(people, "contoso.com", "DC=contoso,DC=com");
        let path = self.file("directory.ldif");
        let file = File::create(&path).with_context(|| format!("`{}` cannot be made", path.display()))?;
        company.write_ldif(&mut BufWriter::new(file))?;
        let members: Vec<String> =
            (1..=MEMBERS_CHANGED).map(|n| company.dn(n * company.people() / (MEMBERS_CHANGED + 1))).collect();
        std::fs::write(self.file("members"), members.join("\n"))?;
        let wanted: Vec<String> =
            (0..PEOPLE_SEARCHED).map(|n| company.upn(n * company.people() / PEOPLE_SEARCHED)).collect();
        std::fs::write(self.file("people"), wanted.join("\n"))?;
        Ok(())
    }

    /// Writes so many users as LDIF that a domain controller takes.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn write_users(users: usize, domain: &str, base: &str, out: &mut dyn Write) -> Result<()> {
        let company = Self::company(users, domain, base);
        writeln!(out, "dn: OU=Bench,{base}\nobjectClass: organizationalUnit\n")?;
        for user in 0..users {
            let (name, upn) = (company.name(user), company.upn(user));
            writeln!(
                out,
                "dn: CN=Bench {user:06},OU=Bench,{base}\nobjectClass: user\nsAMAccountName: bench{user:06}"
            )?;
            writeln!(out, "userPrincipalName: {upn}\nmail: {upn}\nuserAccountControl: 544")?;
            // Names of many scripts need base64 in LDIF; a domain controller takes what fits the line here.
            let plain = if name.is_ascii() { name } else { format!("Person {user}") };
            writeln!(out, "displayName: {plain}\ngivenName: Bench\nsn: {user:06}\ntitle: Engineer")?;
            writeln!(out, "department: Department {}\ncompany: Contoso\nl: Berlin\nc: DE", user % 40)?;
            writeln!(out, "telephoneNumber: +49 30 {user:06}\nemployeeID: {user}\n")?;
        }
        Ok(())
    }

    /// Makes the home and applies the configuration: the LDIF file or a directory, and the cloud at `cloud_url`.
    ///
    /// # Errors
    /// When the configuration does not apply.
    pub async fn install(
        &self,
        cloud_url: &str,
        directory: Option<&Directory>,
        server: Option<&DatabaseServer>,
    ) -> Result<()> {
        let home = self.home();
        home.create_on(server, &SystemClock)?;
        let service = Service::open(home, Arc::new(SystemClock), 1).await?;
        service.set_secret("graph", DEFAULT_CLIENT_SECRET.as_bytes())?;
        let mut files = template("single-forest", if directory.is_some() { "ad" } else { "ldif" })?;
        let source = match directory {
            None => format!(
                "name = \"{SOURCE}\"\nkind = \"ldif\"\nrank = 1\n[settings]\npath = {:?}\n",
                self.file("directory.ldif").display().to_string()
            ),
            Some(directory) => {
                service.set_secret("ad", directory.password.as_bytes())?;
                format!(
                    "name = \"{SOURCE}\"\nkind = \"ad\"\nrank = 1\n[settings]\nurl = {:?}\nbind = {:?}\npassword = \"ad\"\nallow_plaintext_password = true\n",
                    directory.url, directory.bind
                )
            }
        };
        files.insert("connectors/source.toml".to_owned(), source);
        files.insert(
            "connectors/entra.toml".to_owned(),
            format!(
                "name = \"{CLOUD}\"\nkind = \"graph\"\nrank = 100\n[settings]\ntenant = \"{DEFAULT_TENANT_ID}\"\nclient_id = \"{DEFAULT_CLIENT_ID}\"\nsecret = \"graph\"\ngraph_url = \"{cloud_url}\"\nlogin_url = \"{cloud_url}\"\n"
            ),
        );
        let files = files.into_iter().map(|(path, text)| (path, text.into_bytes())).collect();
        service.apply(Configuration::parse(files)?, "bench").await?;
        Ok(())
    }

    /// Opens the service as the daemon does.
    ///
    /// # Errors
    /// When the home cannot be opened.
    pub async fn open(&self) -> Result<Service> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Service::open(self.home(), Arc::new(SystemClock), threads).await?)
    }

    /// Copies the database as it is on disk, while nobody has it open.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn keep_database(&self, name: &str) -> Result<PathBuf> {
        let to = self.file(name);
        copy_database(&self.database(), &to)?;
        Ok(to)
    }
}

/// Copies a database with its log.
///
/// # Errors
/// When a file cannot be copied.
pub fn copy_database(from: &Path, to: &Path) -> Result<()> {
    for end in ["", "-wal"] {
        let with = |path: &Path| PathBuf::from(format!("{}{end}", path.display()));
        let (from, to) = (with(from), with(to));
        if from.exists() {
            std::fs::copy(&from, &to).with_context(|| format!("`{}` cannot be copied", from.display()))?;
        } else if to.exists() {
            std::fs::remove_file(&to)?;
        }
    }
    Ok(())
}

/// The date, for the report.
pub fn today() -> String {
    SystemClock.now().to_string().chars().take(10).collect()
}

//! Connections to a domain controller, and what it says about itself.
//!
//! An import reads one long stream over the first connection; everything that it must ask in between goes over a
//! second one, which is made when it is first needed.

use std::collections::BTreeMap;

use onesync_ldap::control::{DirSync, ExtendedDn, SHOW_DELETED};
use onesync_ldap::{
    Client, ConnectOptions, Control, Credentials, Entry, ErrorClass as LdapClass, Filter, LdapError,
    SearchRequest, Session, TlsMode, TypedControl,
};
use onesync_model::Time;
use secrecy::{ExposeSecret, SecretString};

use super::errors::{configuration, convert};
use super::settings::AdSettings;
use super::watermark::{Guid, hex};
use crate::ConnectorError;

/// The largest message taken: Samba sends a group whole, and 100,000 members with their GUIDs and SIDs are 17 MB.
const MESSAGE_SIZE_MAX: usize = 128 * 1024 * 1024;

/// The largest answer asked of DirSync at once, as other clients of Active Directory ask.
pub const DIR_SYNC_BYTES_MAX: i32 = 1024 * 1024;

/// One domain controller.
#[derive(Debug)]
pub struct Server {
    main: Session,
    side: Session,
    /// Its address as people write it.
    pub address: String,
    /// Its host as the settings write it.
    pub host: String,
    /// What it says about itself.
    pub root: RootDse,
}

/// What a domain controller says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootDse {
    /// Its name.
    pub name: String,
    /// Its domain.
    pub domain: String,
    /// All it holds.
    pub naming_contexts: Vec<String>,
    /// Its object in the configuration.
    pub service: String,
    /// Its highest update sequence number.
    pub usn: u64,
    /// The functional level of the domain.
    pub domain_level: Option<String>,
    /// Object identifiers of the controls it knows.
    pub controls: Vec<String>,
    /// What its clock shows, in seconds since 1970.
    pub now: Option<i64>,
}

impl Server {
    /// Connects and signs in at the first server that can be reached: `first` where it is one of the settings', the
    /// preferred ones in their order, then the main one.
    ///
    /// # Errors
    /// When none can be reached, or one refuses.
    pub async fn open(
        settings: &AdSettings,
        secrets: &BTreeMap<String, SecretString>,
        first: Option<&str>,
    ) -> Result<Self, ConnectorError> {
        let mut last = None;
        for options in candidates(settings, first)? {
            let address = options.server();
            match Self::open_one(settings, secrets, options).await {
                Ok(server) => return Ok(server),
                Err(Failure::Ldap(error))
                    if matches!(error.class(), LdapClass::Transient | LdapClass::Busy) =>
                {
                    last = last.or(Some(convert(&error, &address)));
                }
                Err(Failure::Ldap(error)) => return Err(convert(&error, &address)),
                Err(Failure::Other(error)) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| configuration("AD-NO-SERVER", "setting `url`", "no server is named")))
    }

    async fn open_one(
        settings: &AdSettings,
        secrets: &BTreeMap<String, SecretString>,
        options: ConnectOptions,
    ) -> Result<Self, Failure> {
        let credentials = credentials(settings, secrets)?;
        let (address, host) = (options.server(), options.host.clone());
        let mut main = Session::new(options.clone(), credentials.clone());
        let client = main.client().await?;
        let request = SearchRequest::entry("").attributes([
            "dnsHostName",
            "defaultNamingContext",
            "namingContexts",
            "dsServiceName",
            "highestCommittedUSN",
            "domainFunctionality",
            "supportedControl",
            "currentTime",
        ]);
        let root = client.search_one(request).await?.map(|entry| RootDse::read(&entry)).unwrap_or_default();
        Ok(Self { main, side: Session::new(options, credentials), address, host, root })
    }

    /// The connection for the long stream.
    ///
    /// # Errors
    /// When it was lost and cannot be made again.
    pub async fn main(&mut self) -> Result<&mut Client, ConnectorError> {
        self.main.client().await.map_err(|error| convert(&error, &self.address))
    }

    /// Both connections and the address, to be used at the same time.
    ///
    /// # Errors
    /// When the first cannot be made again.
    pub async fn both(&mut self) -> Result<(&mut Client, Side<'_>), ConnectorError> {
        let client = self.main.client().await.map_err(|error| convert(&error, &self.address))?;
        Ok((client, Side { session: &mut self.side, address: &self.address }))
    }

    /// The replica of the directory that this server has.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn invocation(&mut self) -> Result<Guid, ConnectorError> {
        let request = SearchRequest::entry(self.root.service.clone()).attributes(["invocationId"]);
        let address = self.address.clone();
        let entry =
            self.main().await?.search_one(request).await.map_err(|error| convert(&error, &address))?;
        entry.and_then(|entry| guid(&entry, "invocationId")).ok_or_else(|| {
            configuration("AD-NO-INVOCATION-ID", address, "the server does not show its `invocationId`").hint(
                "is it a domain controller of Active Directory, and not a global catalogue port or a proxy?",
            )
        })
    }

    /// Looks at one entry.
    ///
    /// # Errors
    /// When the connection fails or the server refuses.
    pub async fn look(
        &mut self,
        request: SearchRequest,
    ) -> Result<Result<Option<Entry>, LdapError>, ConnectorError> {
        Ok(self.main().await?.search_one(request).await)
    }

    /// Takes a DirSync cookie of this very moment, without entries: the filter matches nothing.
    ///
    /// # Errors
    /// When DirSync is refused: then the server's own words.
    pub async fn cookie(
        &mut self,
        base: &str,
        flags: i32,
    ) -> Result<Result<Vec<u8>, LdapError>, ConnectorError> {
        let nobody = Filter::equal("objectGUID", vec![0u8; 16]);
        let mut cookie = bytes_of(&[]);
        loop {
            let control = DirSync { flags, bytes_max: DIR_SYNC_BYTES_MAX, cookie };
            let request = SearchRequest::new(base, onesync_ldap::Scope::Subtree, nobody.clone())
                .attributes(["objectGUID"])
                .control(control.to_control());
            let address = self.address.clone();
            let done = match self.main().await?.search(request).await {
                Ok(stream) => stream.finish().await,
                Err(error) => Err(error),
            };
            let done = match done {
                Ok(done) => done,
                Err(error) => return Ok(Err(error)),
            };
            let mark = DirSync::find(&done.controls).ok().flatten();
            let Some(mark) = mark.filter(|mark| !mark.cookie.is_empty()) else {
                return Err(configuration(
                    "AD-NO-DIRSYNC",
                    address,
                    "the server answered DirSync without a cookie",
                ));
            };
            if !mark.has_more() {
                return Ok(Ok(mark.cookie.to_vec()));
            }
            cookie = mark.cookie;
        }
    }
}

/// The connection for questions while the first one is busy.
#[derive(Debug)]
pub struct Side<'a> {
    session: &'a mut Session,
    address: &'a str,
}

impl Side<'_> {
    /// The connection.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn client(&mut self) -> Result<&mut Client, ConnectorError> {
        self.session.client().await.map_err(|error| convert(&error, self.address))
    }

    /// The address of the server.
    pub const fn address(&self) -> &str {
        self.address
    }
}

impl RootDse {
    fn read(entry: &Entry) -> Self {
        let text = |name: &str| entry.first_text(name).unwrap_or_default().to_owned();
        let texts = |name: &str| -> Vec<String> {
            entry.values(name).filter_map(|value| String::from_utf8(value.to_vec()).ok()).collect()
        };
        Self {
            name: text("dnsHostName"),
            domain: text("defaultNamingContext"),
            naming_contexts: texts("namingContexts"),
            service: text("dsServiceName"),
            usn: text("highestCommittedUSN").parse().unwrap_or(0),
            domain_level: entry.first_text("domainFunctionality").map(str::to_owned),
            controls: texts("supportedControl"),
            now: entry.first_text("currentTime").and_then(Time::parse_generalized).map(Time::seconds),
        }
    }
}

/// Names with GUIDs, in hexadecimal digits.
#[must_use]
pub fn extended_names() -> Control {
    ExtendedDn(0).to_control()
}

/// Deleted objects are shown too.
#[must_use]
pub fn show_deleted() -> Control {
    Control::flag(SHOW_DELETED)
}

/// A GUID in an entry.
#[must_use]
pub fn guid(entry: &Entry, attribute: &str) -> Option<Guid> {
    entry.first(attribute)?.as_ref().try_into().ok()
}

/// Matches the objects of these GUIDs.
#[must_use]
pub fn guids_filter<'g>(guids: impl IntoIterator<Item = &'g Guid>) -> Filter {
    Filter::Or(guids.into_iter().map(|guid| Filter::equal("objectGUID", guid.to_vec())).collect())
}

/// The name under which an object is found whatever it is called.
#[must_use]
pub fn guid_name(guid: &Guid) -> String {
    format!("<GUID={}>", hex(guid))
}

fn bytes_of(bytes: &'static [u8]) -> bytes::Bytes {
    bytes::Bytes::from_static(bytes)
}

enum Failure {
    Ldap(LdapError),
    Other(ConnectorError),
}

impl From<LdapError> for Failure {
    fn from(error: LdapError) -> Self {
        Self::Ldap(error)
    }
}

impl From<ConnectorError> for Failure {
    fn from(error: ConnectorError) -> Self {
        Self::Other(error)
    }
}

fn credentials(
    settings: &AdSettings,
    secrets: &BTreeMap<String, SecretString>,
) -> Result<Credentials, ConnectorError> {
    let secret = secrets.get(&settings.password).ok_or_else(|| {
        configuration(
            "AD-NO-SECRET",
            "setting `password`",
            format!("there is no secret named `{}`", settings.password),
        )
        .hint(format!("run `onesync secret set {}`", settings.password))
    })?;
    Ok(Credentials::simple(settings.bind.clone(), secret.expose_secret().as_bytes()))
}

fn candidates(settings: &AdSettings, first: Option<&str>) -> Result<Vec<ConnectOptions>, ConnectorError> {
    let mut all = Vec::new();
    for url in settings.preferred_servers.iter().chain([&settings.url]) {
        let mut options = ConnectOptions::new(url).map_err(|error| convert(&error, "setting `url`"))?;
        if settings.starttls {
            if options.tls == TlsMode::Ldaps {
                return Err(configuration(
                    "LDAP-SETTINGS",
                    "setting `starttls`",
                    format!("`{url}` is encrypted from its first byte, and StartTLS cannot encrypt it again"),
                )
                .hint("remove `starttls`, or write `ldap://`"));
            }
            options.tls = TlsMode::StartTls;
        }
        options.ca_file.clone_from(&settings.ca_file);
        options.allow_plaintext_password = settings.allow_plaintext_password;
        options.message_size_max = MESSAGE_SIZE_MAX;
        if !all.contains(&options) {
            all.push(options);
        }
    }
    // a cookie is of use only at the server that made it
    all.sort_by_key(|options| !first.is_some_and(|name| options.host.eq_ignore_ascii_case(name)));
    Ok(all)
}

/// Checks what can be checked without a connection.
///
/// # Errors
/// When an address is wrong. That the secret is not stored shows when it is needed: whoever sets it needs the rest.
pub fn check(settings: &AdSettings) -> Result<(), ConnectorError> {
    candidates(settings, None).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_of_the_cookie_comes_first_then_the_preferred_ones() {
        let text = "url = \"ldap://dc1\"\nstarttls = true\npreferred_servers = [\"ldap://dc2\", \"ldap://dc3\"]\n\
                    bind = \"b\"\npassword = \"p\"";
        let settings: AdSettings = toml::from_str(text).unwrap();
        let hosts = |first| -> Vec<String> {
            candidates(&settings, first).unwrap().into_iter().map(|options| options.host).collect()
        };
        assert_eq!(hosts(None), ["dc2", "dc3", "dc1"]);
        assert_eq!(hosts(Some("DC3")), ["dc3", "dc2", "dc1"]);
        let ldaps = AdSettings { url: "ldaps://dc1".to_owned(), ..settings };
        assert!(candidates(&ldaps, None).unwrap_err().hint.unwrap().contains("starttls"));
        assert_eq!(credentials(&ldaps, &BTreeMap::new()).err().unwrap().code, "AD-NO-SECRET");
    }
}

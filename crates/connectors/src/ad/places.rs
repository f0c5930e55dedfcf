//! What there is to choose from in a domain, before anything is configured: the domains of the forest, and the containers at
//! the top of one.

use std::collections::BTreeMap;

use onesync_ldap::{Filter, Scope, SearchItem, SearchRequest};
use secrecy::SecretString;

use super::errors::convert;
use super::server::Server;
use super::settings::AdSettings;
use crate::ConnectorError;

/// Containers and domains that are shown: whoever has more writes them into the settings.
const PLACES_MAX: usize = 1_000;
/// The bit of a partition that is a domain.
const IS_DOMAIN: i64 = 2;

/// What there is to choose from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Places {
    /// The domain that was asked, by its DN.
    pub domain: String,
    /// All domains of the forest: the name that the network knows, and the DN.
    pub domains: Vec<(String, String)>,
    /// Organisational units and containers at the top of the domain, by DN.
    pub containers: Vec<String>,
}

/// Looks around.
///
/// # Errors
/// When the domain controller cannot be reached, or does not let the account in.
pub async fn places(
    settings: &AdSettings,
    secrets: &BTreeMap<String, SecretString>,
) -> Result<Places, ConnectorError> {
    let mut server = Server::open(settings, secrets, None).await?;
    let domain = settings.base.clone().unwrap_or_else(|| server.root.domain.clone());
    let kinds = ["organizationalUnit", "container", "builtinDomain"];
    let kinds = kinds.map(|kind| Filter::equal("objectClass", kind.as_bytes().to_vec()));
    let found = all(&mut server, &domain, Filter::Or(kinds.to_vec()), &[]).await?;
    let mut containers: Vec<String> = found.into_iter().map(|(dn, _)| dn).collect();
    containers.sort_unstable_by_key(|dn| (!dn.starts_with("OU="), dn.to_lowercase()));
    let configuration =
        server.root.naming_contexts.iter().find(|context| context.starts_with("CN=Configuration,")).cloned();
    let mut domains = Vec::new();
    if let Some(configuration) = configuration {
        let partitions = format!("CN=Partitions,{configuration}");
        let filter = Filter::equal("objectClass", b"crossRef".to_vec());
        let attributes = ["dnsRoot", "nCName", "systemFlags"];
        for (_, values) in all(&mut server, &partitions, filter, &attributes).await? {
            let [Some(name), Some(dn), Some(flags)] = values.as_slice() else { continue };
            if flags.parse::<i64>().is_ok_and(|flags| flags & IS_DOMAIN != 0) {
                domains.push((name.clone(), dn.clone()));
            }
        }
    }
    domains.sort_unstable();
    Ok(Places { domain, domains, containers })
}

/// The names of what lies directly below a place, with the first values of some attributes.
async fn all(
    server: &mut Server,
    base: &str,
    filter: Filter,
    attributes: &[&str],
) -> Result<Vec<(String, Vec<Option<String>>)>, ConnectorError> {
    let address = server.address.clone();
    let asked = if attributes.is_empty() { vec!["objectClass"] } else { attributes.to_vec() };
    let request = SearchRequest::new(base, Scope::OneLevel, filter).attributes(asked);
    let mut search = server.main().await?.search(request).await.map_err(|error| convert(&error, &address))?;
    let mut found = Vec::new();
    while let Some(item) = search.next().await.map_err(|error| convert(&error, &address))? {
        if let SearchItem::Entry(entry) = item {
            let values = attributes.iter().map(|name| entry.first_text(name).map(str::to_owned)).collect();
            found.push((entry.dn().to_owned(), values));
        }
        if found.len() >= PLACES_MAX {
            break;
        }
    }
    Ok(found)
}

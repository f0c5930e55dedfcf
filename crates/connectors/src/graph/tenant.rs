//! What must be known of a tenant before anything is written: its domains, whether another synchronisation masters
//! it, who holds directory roles.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::http::{Api, Call, CallError, encode};
use crate::{ConnectorError, Pass};

/// What the organisation's object says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Organization {
    pub(super) id: String,
    pub(super) name: String,
    /// Verified domains, in lower case.
    pub(super) domains: BTreeSet<String>,
    /// The domain for names without one of their own.
    pub(super) default_domain: Option<String>,
    /// Entra Connect or Cloud Sync is on.
    pub(super) synchronised: bool,
    /// When that synchronisation wrote last.
    pub(super) last_sync: Option<String>,
}

impl Organization {
    pub(super) async fn read(api: &Api) -> Result<Self, CallError> {
        let path = "organization?$select=id,displayName,verifiedDomains,onPremisesSyncEnabled,\
                    onPremisesLastSyncDateTime";
        let answer = api.get(path).await?;
        Ok(Self::from_json(answer.pointer("/value/0").unwrap_or(&Json::Null)))
    }

    fn from_json(json: &Json) -> Self {
        let text = |key: &str| json.get(key).and_then(Json::as_str).map(str::to_owned);
        let mut found = Self {
            id: text("id").unwrap_or_default(),
            name: text("displayName").unwrap_or_default(),
            synchronised: json.get("onPremisesSyncEnabled") == Some(&Json::Bool(true)),
            last_sync: text("onPremisesLastSyncDateTime"),
            ..Self::default()
        };
        for domain in json.get("verifiedDomains").and_then(Json::as_array).into_iter().flatten() {
            if let Some(name) = domain.get("name").and_then(Json::as_str) {
                found.domains.insert(name.to_ascii_lowercase());
                if domain.get("isDefault") == Some(&Json::Bool(true)) {
                    found.default_domain = Some(name.to_owned());
                }
            }
        }
        found
    }

    /// Whether a name's suffix is a verified domain.
    pub(super) fn verified(&self, suffix: &str) -> bool {
        self.domains.contains(&suffix.to_ascii_lowercase())
    }
}

/// Who holds directory roles.
#[derive(Clone, Debug)]
pub(super) enum RoleHolders {
    /// Ids of users, also of those who hold a role through a group.
    Known(BTreeSet<String>),
    /// They could not be read.
    Unknown(ConnectorError),
    /// The settings do not protect them.
    NotAsked,
}

impl RoleHolders {
    /// Reads the holders of all activated directory roles.
    pub(super) async fn read(api: &Api) -> Self {
        match Self::ids(api).await {
            Ok(ids) => Self::Known(ids),
            Err(error) => Self::Unknown(error.at("directory roles")),
        }
    }

    async fn ids(api: &Api) -> Result<BTreeSet<String>, CallError> {
        let roles = api.get_all("directoryRoles?$select=id").await?;
        let paths = roles
            .iter()
            .filter_map(|r| r.get("id").and_then(Json::as_str))
            .map(|id| format!("directoryRoles/{}/members?$select=id", encode(id)));
        let mut groups = BTreeSet::new();
        let mut users = BTreeSet::new();
        for member in members(api, paths.collect()).await? {
            let Some(id) = member.get("id").and_then(Json::as_str) else { continue };
            match member.get("@odata.type").and_then(Json::as_str) {
                Some("#microsoft.graph.group") => groups.insert(id.to_owned()),
                _ => users.insert(id.to_owned()),
            };
        }
        let paths =
            groups.iter().map(|id| format!("groups/{}/transitiveMembers?$select=id", encode(id))).collect();
        for member in members(api, paths).await? {
            if let Some(id) = member.get("id").and_then(Json::as_str) {
                users.insert(id.to_owned());
            }
        }
        Ok(users)
    }

    pub(super) fn holds(&self, id: &str) -> bool {
        matches!(self, Self::Known(ids) if ids.contains(id))
    }

    /// As kept in a watermark.
    pub(super) fn list(&self) -> Option<Vec<String>> {
        match self {
            Self::Known(ids) => Some(ids.iter().cloned().collect()),
            Self::Unknown(_) => None,
            Self::NotAsked => Some(Vec::new()),
        }
    }
}

/// All pages of several small collections.
async fn members(api: &Api, paths: Vec<String>) -> Result<Vec<Json>, CallError> {
    let calls: Vec<Call> = paths.into_iter().map(Call::get).collect();
    let mut all = Vec::new();
    if calls.is_empty() {
        return Ok(all);
    }
    for answer in api.batch(&calls, &Pass::reading()).await {
        let mut page = answer?;
        loop {
            if let Some(Json::Array(items)) = page.get_mut("value").map(Json::take) {
                all.extend(items);
            }
            match page.get("@odata.nextLink").and_then(Json::as_str).map(str::to_owned) {
                Some(link) => page = api.follow(&link, None).await?,
                None => break,
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn domains_compare_without_case() {
        let found = Organization::from_json(&json!({"id": "t", "displayName": "Contoso",
            "verifiedDomains": [{"name": "Contoso.com", "isDefault": true}, {"name": "contoso.onmicrosoft.com"}],
            "onPremisesSyncEnabled": null}));
        assert!(found.verified("CONTOSO.COM") && !found.verified("contoso.local"));
        assert_eq!(found.default_domain.as_deref(), Some("Contoso.com"));
        assert!(!found.synchronised);
    }
}

//! The marker: which installation writes to this tenant, and where it keeps the source anchors of groups.
//!
//! It is a security group of our own without members, `onesync-marker`, because every connector that writes groups
//! has the permission to keep it; an extension of the organisation would need far more. Its description holds the
//! marker, its key says how groups are anchored: decided once, when it is created, and read from it ever after.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::GraphConnector;
use super::http::{Call, CallError, encode, literal};
use super::schema::ANCHOR_EXTENSION;
use crate::{ConnectorError, Marker, Pass};

/// Key of the marker's group; no source anchor reads like this.
const MARKER_KEY: &str = "onesync-marker";
/// What a person reads who finds the group.
const MARKER_TEXT: &str = "Kept by OneSync against a second installation; do not change or delete.";

/// What keeps the source anchor of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnchorPlace {
    /// The property `uniqueName`, set by upsert.
    UniqueName,
    /// A directory extension of our application.
    Extension,
}

/// The marker's group as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MarkerObject {
    pub(super) id: String,
    pub(super) place: AnchorPlace,
    pub(super) marker: Option<Marker>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    installation: String,
    epoch: u64,
}

impl GraphConnector {
    /// Looks the marker's group up.
    pub(super) async fn find_marker(&self) -> Result<Option<MarkerObject>, CallError> {
        let known = self.memory().marker.clone();
        if let Some((id, place)) = known {
            let path = format!("groups/{}?$select=id,description", encode(&id));
            match self.get_new(&id, &path).await {
                Ok(group) => return Ok(Some(MarkerObject { id, place, marker: read(&group) })),
                Err(error) if error.is_not_found() => self.memory().marker = None,
                Err(error) => return Err(error),
            }
        }
        let found = self.look_up(AnchorPlace::UniqueName).await?;
        let found = match found {
            None => self.look_up(AnchorPlace::Extension).await?,
            found => found,
        };
        if let Some(found) = &found {
            self.memory().marker = Some((found.id.clone(), found.place));
        }
        Ok(found)
    }

    async fn look_up(&self, place: AnchorPlace) -> Result<Option<MarkerObject>, CallError> {
        let group = match self.api.get(&self.by_anchor(place, MARKER_KEY)).await {
            Ok(answer) => answer,
            // Not there, or the property to look for is not defined in this tenant.
            Err(CallError::Api(e)) if matches!(e.status, 400 | 404) => return Ok(None),
            Err(error) => return Err(error),
        };
        let group = match place {
            AnchorPlace::UniqueName => &group,
            AnchorPlace::Extension => group.pointer("/value/0").unwrap_or(&Json::Null),
        };
        let id = group.get("id").and_then(Json::as_str);
        Ok(id.map(|id| MarkerObject { id: id.to_owned(), place, marker: read(group) }))
    }

    /// The path that finds a group by its source anchor, as it stands in the tenant.
    pub(super) fn by_anchor(&self, place: AnchorPlace, key: &str) -> String {
        match place {
            AnchorPlace::UniqueName => {
                format!("groups(uniqueName={})?$select=id,description", literal(key))
            }
            AnchorPlace::Extension => format!(
                "groups?$filter={}%20eq%20{}&$select=id,description",
                self.table.anchor_extension,
                literal(key)
            ),
        }
    }

    /// Writes the marker; the first time this decides where groups keep their source anchors.
    pub(super) async fn write_marker(&self, marker: &Marker) -> Result<(), ConnectorError> {
        let (text, pass) = (write(Some(marker)), Pass::unchecked(marker.epoch));
        let place = "marker group";
        match self.find_marker().await.map_err(|e| e.at(place))? {
            Some(found) => {
                let call = Call::patch(format!("groups/{}", encode(&found.id)), json!({"description": text}));
                self.send_new(&found.id, &call, &pass).await.map_err(|e| e.at(place))?;
            }
            None => drop(self.create_marker(&text, &pass).await.map_err(|e| e.at(place))?),
        }
        Ok(())
    }

    /// Where groups keep their source anchors in this tenant; decided now if it was not yet.
    pub(super) async fn anchor_place(&self, pass: &Pass) -> Result<AnchorPlace, CallError> {
        let known = self.memory().marker.clone();
        if let Some((_, place)) = known {
            return Ok(place);
        }
        match self.find_marker().await? {
            Some(found) => Ok(found.place),
            None => self.create_marker(&write(None), pass).await,
        }
    }

    async fn create_marker(&self, text: &str, pass: &Pass) -> Result<AnchorPlace, CallError> {
        let mut group = json!({
            "displayName": "OneSync marker",
            "description": text,
            "mailEnabled": false,
            "mailNickname": MARKER_KEY,
            "securityEnabled": true,
        });
        let path = format!("groups(uniqueName={})", literal(MARKER_KEY));
        let upsert = Call::patch(path, group.clone()).prefer("create-if-missing");
        let place = match self.api.send(&upsert, pass).await {
            Ok(_) => AnchorPlace::UniqueName,
            // The tenant knows no upsert.
            Err(CallError::Api(e)) if matches!(e.status, 400 | 404 | 405 | 501) => {
                self.define_extension(pass).await?;
                group[self.table.anchor_extension.as_str()] = json!(MARKER_KEY);
                // Twice does harm, but nobody is hurt: the one found first counts.
                let created = self.api.send(&Call::post("groups", group), pass).await?;
                self.remember(&created, AnchorPlace::Extension);
                return Ok(AnchorPlace::Extension);
            }
            Err(error) => return Err(error),
        };
        match self.api.get(&self.by_anchor(place, MARKER_KEY)).await {
            Ok(group) => self.remember(&group, place),
            // Not visible yet: looked up the next time.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        Ok(place)
    }

    fn remember(&self, group: &Json, place: AnchorPlace) {
        if let Some(id) = group.get("id").and_then(Json::as_str) {
            self.memory().marker = Some((id.to_owned(), place));
            self.note_new(id);
        }
    }

    /// Defines the directory extension for anchors of groups; it may be there already.
    async fn define_extension(&self, pass: &Pass) -> Result<(), CallError> {
        let filter =
            format!("applications?$filter=appId%20eq%20{}&$select=id", literal(&self.settings.client_id));
        let found = self.api.get(&filter).await?;
        let id = found.pointer("/value/0/id").and_then(Json::as_str).unwrap_or_default().to_owned();
        let path = format!("applications/{}/extensionProperties", encode(&id));
        let known = self.api.get_all(&path).await?;
        if known.iter().any(|e| e.get("name").and_then(Json::as_str) == Some(&self.table.anchor_extension)) {
            return Ok(());
        }
        let body = json!({"name": ANCHOR_EXTENSION, "dataType": "String", "targetObjects": ["Group"]});
        self.api.send(&Call::post(path, body), pass).await.map(drop)
    }
}

fn write(marker: Option<&Marker>) -> String {
    match marker {
        Some(marker) => {
            let written = Written { installation: marker.installation.clone(), epoch: marker.epoch };
            format!("{MARKER_TEXT} {}", serde_json::to_string(&written).unwrap_or_default())
        }
        None => MARKER_TEXT.to_owned(),
    }
}

fn read(group: &Json) -> Option<Marker> {
    let text = group.get("description")?.as_str()?;
    let written: Written = serde_json::from_str(text.get(text.find('{')?..)?).ok()?;
    Some(Marker { installation: written.installation, epoch: written.epoch })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_survives_its_description() {
        let marker = Marker { installation: "inst-\"1\"".to_owned(), epoch: 7 };
        assert_eq!(read(&json!({"description": write(Some(&marker))})), Some(marker));
        for text in [json!(write(None)), json!(null), json!("{broken"), json!("")] {
            assert_eq!(read(&json!({ "description": text })), None);
        }
    }
}

//! The marker: which installation writes to this tenant, and where it keeps the source anchors of groups.
//!
//! It is a security group of our own without members, `onesync-marker`, because every connector that writes groups
//! has the permission to keep it; an extension of the organisation would need far more. Its description holds the
//! marker, its nickname the session: apart, since Graph changes no group on a condition, and who writes one of them late
//! must not undo the other. Its key says how groups are anchored: decided once, when it
//! is created, and read from it ever after.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::GraphConnector;
use super::http::{Call, CallError, encode, literal};
use super::schema::ANCHOR_EXTENSION;
use crate::{ConnectorError, ErrorClass, Marker, Pass};

/// Key of the marker's group; no source anchor reads like this.
const MARKER_KEY: &str = "onesync-marker";
/// What a person reads who finds the group.
const MARKER_TEXT: &str = "Kept by OneSync against a second installation; do not change or delete.";
/// What is read of it.
const SELECT: &str = "$select=id,description,mailNickname";

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

/// What the description says; more, of a later program, is left alone.
#[derive(Serialize, Deserialize)]
struct Written {
    installation: String,
    epoch: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    taken: Option<String>,
    #[serde(default)]
    number: u64,
}

impl GraphConnector {
    /// Looks the marker's group up.
    pub(super) async fn find_marker(&self) -> Result<Option<MarkerObject>, CallError> {
        let (known, made) = {
            let memory = self.memory();
            (memory.marker.clone(), memory.marker_made)
        };
        if made && let Some(found) = self.look_up(AnchorPlace::Extension).await? {
            let mut memory = self.memory();
            (memory.marker, memory.marker_made) = (Some((found.id.clone(), found.place)), false);
            return Ok(Some(found));
        }
        if let Some((id, place)) = known {
            let path = format!("groups/{}?{SELECT}", encode(&id));
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
            let mut memory = self.memory();
            (memory.marker, memory.marker_made) = (Some((found.id.clone(), found.place)), false);
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
                format!("groups(uniqueName={})?{SELECT}", literal(key))
            }
            AnchorPlace::Extension => {
                format!("groups?$filter={}%20eq%20{}&{SELECT}", self.table.anchor_extension, literal(key))
            }
        }
    }

    /// Writes the marker; the first time this decides where groups keep their source anchors.
    pub(super) async fn write_marker(&self, marker: &Marker) -> Result<(), ConnectorError> {
        let pass = Pass::unchecked(marker.epoch);
        let place = "marker group";
        match self.find_marker().await.map_err(|e| e.at(place))? {
            Some(found) => {
                let body = json!({"description": write(Some(marker))});
                let call = Call::patch(format!("groups/{}", encode(&found.id)), body);
                self.send_new(&found.id, &call, &pass).await.map_err(|e| e.at(place))?;
            }
            None => drop(self.create_marker(&write(Some(marker)), &pass).await.map_err(|e| e.at(place))?),
        }
        Ok(())
    }

    /// Writes the session, and nothing else of the marker, while that is of whoever begins it: it may have been removed, and
    /// taken by another one. None is written whoever has it.
    pub(super) async fn write_session(&self, marker: &Marker) -> Result<(), ConnectorError> {
        let place = "marker group";
        let Some(found) = self.find_marker().await.map_err(|e| e.at(place))? else { return Ok(()) };
        let taken = found.marker.and_then(|there| there.taken);
        if marker.session.is_some() && taken != marker.taken {
            let text = "the marker does not show that this server has taken it: no session is begun";
            let error = ConnectorError::new(ErrorClass::Transient, "MARKER-OLD", place, text);
            return Err(error.hint("the next cycle looks again: it may be an old answer"));
        }
        let body = json!({"mailNickname": nickname(marker)});
        let call = Call::patch(format!("groups/{}", encode(&found.id)), body);
        let sent = self.send_new(&found.id, &call, &Pass::unchecked(marker.epoch)).await;
        sent.map(drop).map_err(|e| e.at(place))
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
                // Two that do so at once have two: the one that is found counts, as soon as one is.
                let created = self.api.send(&Call::post("groups", group), pass).await?;
                self.remember(&created, AnchorPlace::Extension);
                self.memory().marker_made = true;
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
            let (installation, taken) = (marker.installation.clone(), marker.taken.clone());
            let written = Written { installation, epoch: marker.epoch, taken, number: marker.number };
            format!("{MARKER_TEXT} {}", serde_json::to_string(&written).unwrap_or_default())
        }
        None => MARKER_TEXT.to_owned(),
    }
}

/// The nickname of the group, with the session.
fn nickname(marker: &Marker) -> String {
    match &marker.session {
        Some(session) => format!("{MARKER_KEY}-{session}"),
        None => MARKER_KEY.to_owned(),
    }
}

fn read(group: &Json) -> Option<Marker> {
    let text = group.get("description").and_then(Json::as_str).unwrap_or_default();
    let written = text.find('{').and_then(|at| serde_json::from_str::<Written>(text.get(at..)?).ok());
    let nickname = group.get("mailNickname").and_then(Json::as_str).unwrap_or_default();
    let session = nickname.strip_prefix(MARKER_KEY).and_then(|rest| rest.strip_prefix('-'));
    let session = session.map(str::to_owned);
    match written {
        Some(Written { installation, epoch, taken, number }) => {
            Some(Marker { installation, epoch, taken, number, session })
        }
        None => session.map(Marker::remains),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_survives_its_description() {
        let bare = Marker::new("inst-\"1\"", 7);
        let session = Some(format!("{}-0123456789abcdef-0123456789abcdef", u32::MAX));
        let full = Marker { taken: Some("t".to_owned()), number: 5, session, ..bare.clone() };
        assert!(nickname(&full).len() <= 64, "as much as Graph takes");
        let group =
            |marker: &Marker| json!({"description": write(Some(marker)), "mailNickname": nickname(marker)});
        for marker in [&bare, &full] {
            assert_eq!(read(&group(marker)).as_ref(), Some(marker));
        }
        for text in [json!(write(None)), json!(null), json!("{broken"), json!("")] {
            assert_eq!(read(&json!({ "description": text })), None);
            let group = json!({"description": text, "mailNickname": "onesync-marker-7-t-s"});
            assert_eq!(read(&group), Some(Marker::remains("7-t-s".to_owned())));
        }
    }

    #[test]
    fn what_another_program_has_written_is_read() {
        let before = r#"Kept by OneSync. {"installation":"i","epoch":3}"#;
        assert_eq!(
            read(&json!({"description": before, "mailNickname": MARKER_KEY})),
            Some(Marker::new("i", 3))
        );
        let later = r#"Kept by OneSync. {"installation":"i","epoch":3,"taken":"t","more":[1]}"#;
        let read = read(&json!({"description": later})).unwrap();
        assert_eq!((read.taken.as_deref(), read.session), (Some("t"), None));
    }
}

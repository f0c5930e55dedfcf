//! Finding objects by their create keys, after a crash or a lost answer.

use onesync_model::TypeId;
use serde_json::Value as Json;

use super::super::GraphConnector;
use super::super::convert::to_unique_name;
use super::super::http::{Call, CallError, literal};
use super::super::marker::AnchorPlace;
use super::super::schema::{IMMUTABLE_ID, Kind};
use crate::{Anchor, ConnectorError, CreateKey, Pass};

impl GraphConnector {
    pub(in super::super) async fn find_by_keys(
        &self,
        keys: &[CreateKey],
    ) -> Result<Vec<Option<Anchor>>, ConnectorError> {
        let is_group = |id: TypeId| matches!(self.table.kind(id), Some(Kind::Group));
        // Without a marker no group was ever created from here.
        let marker = if keys.iter().any(|k| is_group(k.object_type)) {
            self.find_marker().await.map_err(|e| e.at("marker group"))?
        } else {
            None
        };
        let place = marker.map_or(AnchorPlace::UniqueName, |m| m.place);
        let calls: Vec<Call> = keys
            .iter()
            .map(|key| {
                Call::get(if is_group(key.object_type) {
                    self.by_anchor(place, &to_unique_name(&key.key))
                } else {
                    format!("users?$filter={IMMUTABLE_ID}%20eq%20{}&$select=id", literal(&key.key))
                })
            })
            .collect();
        let answers =
            if calls.is_empty() { Vec::new() } else { self.api.batch(&calls, &Pass::reading()).await };
        let mut found = Vec::with_capacity(keys.len());
        for (answer, key) in answers.into_iter().zip(keys) {
            found.push(match answer {
                Ok(body) => id(&body).map(Anchor::text),
                Err(CallError::Api(error)) if error.is_not_found() => None,
                Err(error) => return Err(error.at(format!("object with key {}", key.key))),
            });
        }
        Ok(found)
    }
}

/// The id of an object, or of the first one of a list.
fn id(body: &Json) -> Option<&str> {
    body.get("id").or_else(|| body.pointer("/value/0/id"))?.as_str()
}

//! What if: an object with other attributes than those that are stored, or one that is not there yet.

use onesync_engine::{CsFlags, CsRow};
use onesync_model::{Anchor, AttributeType, Bag, CsId, Image, Values, list_from_json};
use onesync_rules::Target;
use serde_json::{Map, Value as Json};

use crate::error::ServiceError;
use crate::runtime::{ConnectorHandle, Runtime, Service};

/// What is supposed of an object.
#[derive(Clone, Debug, Default)]
pub struct Supposed {
    /// Its attributes; of one that is stored only those that differ, `null` for none.
    pub attributes: Map<String, Json>,
    /// The type of an object that is not there yet.
    pub object_type: Option<String>,
}

impl Service {
    /// The row of an object as it is supposed to be. What a person should know of it goes into `also`.
    pub(crate) fn suppose(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        object: &str,
        supposed: &Supposed,
        also: &mut Vec<String>,
    ) -> Result<CsRow, ServiceError> {
        let stored = match &supposed.object_type {
            None => self.find_cs(runtime, connector, object)?,
            Some(name) => newcomer(connector, object, name)?,
        };
        let mut bag: Bag = stored.image.to_bag();
        for (name, json) in &supposed.attributes {
            let def =
                runtime.names.find(name).and_then(|id| connector.schema.attribute(id)).ok_or_else(|| {
                    let known = connector.schema.attributes.values().map(|def| def.name.as_str());
                    let hint = onesync_rules::nearest(name, known).map_or_else(
                        || format!("`onesync connector schema {}` lists the attributes", connector.name()),
                        |near| format!("did you mean `{near}`?"),
                    );
                    ServiceError::usage(format!("`{}` has no attribute `{name}`", connector.name()), hint)
                })?;
            if def.kind == AttributeType::Reference {
                return Err(ServiceError::usage(
                    format!("`{name}` holds links: only values can be supposed"),
                    "leave it out",
                ));
            }
            let wrong = |error: String| {
                ServiceError::usage(
                    format!("attribute `{name}`: {error}"),
                    "see docs/reference.md, values in JSON",
                )
            };
            let target = Target { kind: Some(def.kind), multi: def.multi, read_only: false };
            let values = list_from_json(name, json).map_err(|error| wrong(error.to_string()))?;
            let values = Values::new(values).map(|values| onesync_rules::convert(values, target));
            let values = values.transpose().map_err(|error| wrong(error.to_string()))?.flatten();
            bag.set(def.id, values);
            let read = connector.selection.types.iter().any(|of| {
                of.id == stored.object_type && of.attributes.iter().any(|attribute| attribute.id == def.id)
            });
            if !read {
                also.push(format!("`{name}` is not read from `{}`: no rule uses it", connector.name()));
            }
        }
        also.push("this is supposed, and not what was imported".to_owned());
        Ok(CsRow { image: Image::from_bag(&bag), ..stored })
    }
}

fn newcomer(connector: &ConnectorHandle, name: &str, object_type: &str) -> Result<CsRow, ServiceError> {
    let found = connector.schema.types.iter().find(|(_, def)| def.name.eq_ignore_ascii_case(object_type));
    let Some((&object_type, _)) = found else {
        let known: Vec<&str> = connector.schema.types.values().map(|def| def.name.as_str()).collect();
        return Err(ServiceError::usage(
            format!("`{}` has no object type `{object_type}`", connector.name()),
            format!("there are {}", known.join(", ")),
        ));
    };
    Ok(CsRow {
        id: CsId::default(),
        connector: connector.id,
        object_type,
        anchor: Some(Anchor::text(name)),
        container: None,
        name: name.to_owned(),
        image: Image::empty(),
        links: Vec::new(),
        flags: CsFlags::default(),
        reason: None,
        join: None,
        leaving: None,
    })
}

//! One item under way: what is still to be sent for it, and what became of the rest.

use std::collections::VecDeque;

use onesync_model::{AttrId, Values};
use serde_json::{Map, Value as Json};

use super::super::convert::write;
use super::super::schema::{Kind, Spec};
use crate::{
    Anchor, ConnectorError, ErrorClass, ExportItem, ExportOutcome, ExportResult, Operation, RefusedAttribute,
};

/// One attribute to send.
#[derive(Clone)]
pub(super) struct Attribute<'a> {
    pub(super) id: AttrId,
    pub(super) spec: &'a Spec,
    pub(super) values: Option<Values>,
}

/// One request for the object itself.
#[derive(Clone, Default)]
pub(super) struct Body<'a> {
    pub(super) attributes: Vec<Attribute<'a>>,
    /// What goes with them and was not asked for: password, nickname, kind of group.
    pub(super) fixed: Map<String, Json>,
}

impl Body<'_> {
    pub(super) fn to_json(&self) -> Json {
        let mut map = self.fixed.clone();
        for attribute in &self.attributes {
            write(&mut map, attribute.spec, attribute.values.as_ref());
        }
        Json::Object(map)
    }

    pub(super) fn position(&self, property: &str) -> Option<usize> {
        let named = |a: &Attribute<'_>| {
            a.spec.name.eq_ignore_ascii_case(property) || a.spec.property().eq_ignore_ascii_case(property)
        };
        self.attributes.iter().position(named)
    }

    /// The text of an attribute that is to be sent.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|a| a.spec.name == name)?;
        found.values.as_ref()?.first().as_str()
    }
}

/// One item under way.
pub(super) struct Work<'a> {
    pub(super) item: &'a ExportItem,
    pub(super) kind: Kind,
    /// For messages: `user anna@contoso.com`.
    pub(super) place: String,
    /// The object's id, once there is one.
    pub(super) id: Option<String>,
    /// The object is there: created in this batch, or found before.
    pub(super) exists: bool,
    pub(super) requests: VecDeque<Body<'a>>,
    /// How often the request at the front met "not found" on a new object.
    pub(super) patience: u32,
    /// Holds a directory role: the service refuses some changes, which are then the object's errors.
    pub(super) role_holder: bool,
    pub(super) refused: Vec<RefusedAttribute>,
    pub(super) outcome: Option<ExportOutcome>,
}

impl<'a> Work<'a> {
    pub(super) fn new(item: &'a ExportItem, kind: Kind, place: String) -> Self {
        let id = item.anchor.as_ref().and_then(Anchor::as_text).map(str::to_owned);
        Self {
            item,
            kind,
            place,
            id,
            exists: false,
            requests: VecDeque::new(),
            patience: 0,
            role_holder: false,
            refused: Vec::new(),
            outcome: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.outcome.is_none()
    }

    /// Whether the request at the front creates the object.
    pub(super) fn creates(&self) -> bool {
        self.item.operation == Operation::Add && !self.exists
    }

    pub(super) fn fail(&mut self, error: ConnectorError) {
        self.outcome = Some(ExportOutcome::Failed(error));
    }

    /// Refuses the whole item by our own rules.
    pub(super) fn forbid(&mut self, code: &str, message: &str, hint: &str) {
        let error = ConnectorError::new(ErrorClass::Object, code, self.place.clone(), message).hint(hint);
        self.fail(error);
    }

    pub(super) fn refuse(&mut self, attribute: AttrId, error: ConnectorError) {
        self.refused.push(RefusedAttribute { attribute, target: None, error });
    }

    pub(super) fn refuse_target(&mut self, attribute: AttrId, target: &Anchor, error: ConnectorError) {
        self.refused.push(RefusedAttribute { attribute, target: Some(target.clone()), error });
    }

    /// An error of our own about one attribute.
    pub(super) fn error(&self, code: &str, message: String, hint: &str) -> ConnectorError {
        ConnectorError::new(ErrorClass::Object, code, self.place.clone(), message).hint(hint)
    }

    pub(super) fn into_result(self) -> ExportResult {
        let anchor = self.id.as_deref().map(Anchor::text);
        let outcome = self.outcome.unwrap_or(ExportOutcome::Done { anchor });
        ExportResult { outcome, refused: self.refused }
    }
}

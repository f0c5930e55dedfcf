//! From an item to the requests for its object, with what must be refused taken out.

use onesync_model::{AttrId, Value, Values};
use secrecy::ExposeSecret as _;
use serde_json::{Value as Json, json};

use super::super::GraphConnector;
use super::super::convert::to_unique_name;
use super::super::marker::AnchorPlace;
use super::super::schema::{IMMUTABLE_ID, Kind, Place, UNIQUE_NAME};
use super::super::settings::UnverifiedSuffix;
use super::super::tenant::Organization;
use super::derive::{nickname, password, valid_nickname};
use super::guard::{MAIL_GROUP, MAIL_GROUP_HINT};
use super::work::{Attribute, Body, Work};
use crate::{ExportBatch, Operation};

/// Attributes that say what kind of group it is: fixed when it is created.
const GROUP_KIND: [&str; 2] = ["mailEnabled", "groupTypes"];

impl GraphConnector {
    /// Makes the requests of one item.
    pub(super) fn prepare<'a>(
        &'a self,
        work: &mut Work<'a>,
        batch: &ExportBatch,
        organization: &Organization,
        anchors: AnchorPlace,
    ) {
        if work.item.operation == Operation::Delete {
            work.requests.push_back(Body::default());
            return;
        }
        let mut body = Body::default();
        for (id, values) in &work.item.values {
            if work.refused.iter().any(|r| r.attribute == *id) {
                continue; // refused by the guard
            }
            if let Some(attribute) = self.attribute(work, organization, *id, values.clone()) {
                body.attributes.push(attribute);
            }
            if !work.is_open() {
                return;
            }
        }
        match (work.item.operation, work.kind) {
            (Operation::Add, Kind::User) => self.complete_user(work, &mut body, batch),
            (Operation::Add, _) => self.complete_group(work, &mut body, anchors),
            _ => {}
        }
        if work.item.operation == Operation::Add || !body.attributes.is_empty() {
            work.requests.push_back(body);
        }
    }

    /// One attribute as it is to be sent; `None` when it is refused or needs no sending.
    fn attribute<'a>(
        &'a self,
        work: &mut Work<'a>,
        organization: &Organization,
        id: AttrId,
        values: Option<Values>,
    ) -> Option<Attribute<'a>> {
        let name = self.table.name(id).unwrap_or("?");
        let Some(spec) = self.table.spec(work.kind, name).filter(|s| !s.is_link()) else {
            let text = format!("`{name}` is no attribute of a {} in Graph", work.kind.name());
            let error = work.error("GRAPH-ATTRIBUTE", text, "correct the rule that flows it");
            work.refuse(id, error);
            return None;
        };
        let add = work.item.operation == Operation::Add;
        let anchor = spec.place == Place::GroupAnchor;
        let kind_of_group = work.kind == Kind::Group && GROUP_KIND.contains(&spec.name.as_str());
        let refusal = if spec.read_only {
            Some(format!("nobody can write `{name}` through Graph"))
        } else if !add && (anchor || kind_of_group) {
            Some(format!("`{name}` of a group is fixed when it is created"))
        } else if values.is_none() && !add && work.kind.never_empty().contains(&spec.name.as_str()) {
            Some(format!("`{name}` cannot be emptied"))
        } else {
            None
        };
        if let Some(text) = refusal {
            let error = work.error("GRAPH-READ-ONLY", text, "take the flow out of the rule");
            work.refuse(id, error);
            return None;
        }
        if anchor || (add && values.is_none()) {
            return None; // the anchor is in the address of the request; nothing needs no sending
        }
        match (name, values) {
            ("userPrincipalName", Some(values)) => {
                let values = self.suffix(work, organization, id, values)?;
                Some(Attribute { id, spec, values: Some(values) })
            }
            (_, values) => Some(Attribute { id, spec, values }),
        }
    }

    /// Checks the suffix of a user principal name; `None` when the name is held.
    fn suffix(
        &self,
        work: &mut Work<'_>,
        organization: &Organization,
        id: AttrId,
        values: Values,
    ) -> Option<Values> {
        let text = values.first().as_str().unwrap_or_default().to_owned();
        let (local, suffix) = text.rsplit_once('@').unwrap_or((&text, ""));
        if organization.verified(suffix) {
            return Some(values);
        }
        let default = organization.default_domain.as_deref();
        if let (UnverifiedSuffix::DefaultDomain, Some(domain)) = (self.settings.unverified_suffix, default) {
            return Some(Values::one(Value::string(format!("{local}@{domain}"))));
        }
        let message = format!("`{text}` is held: `{suffix}` is no verified domain of the tenant");
        let hint = "verify the domain in the tenant, change the name, or set `unverified_suffix = \"default-domain\"`";
        let error = work.error("GRAPH-SUFFIX", message, hint);
        if work.item.operation == Operation::Add {
            work.fail(error);
        } else {
            work.refuse(id, error);
        }
        None
    }

    fn complete_user(&self, work: &mut Work<'_>, body: &mut Body<'_>, batch: &ExportBatch) {
        if !self.has_all(work, body, &["accountEnabled", "displayName", "userPrincipalName"]) {
            return;
        }
        let upn = body.text("userPrincipalName").unwrap_or_default().to_owned();
        let purpose = work.item.create_key.clone().unwrap_or_else(|| upn.clone());
        let rule = &self.settings.initial_password;
        let local = upn.split('@').next().unwrap_or_default().to_owned();
        let secret = password(&batch.seed, &purpose, rule.length, &local);
        body.fixed.insert(
            "passwordProfile".to_owned(),
            json!({
                "password": secret.expose_secret(),
                "forceChangePasswordNextSignIn": rule.change_at_first_sign_in,
            }),
        );
        if let Some(key) = work.item.create_key.as_deref().filter(|_| body.text(IMMUTABLE_ID).is_none()) {
            body.fixed.insert(IMMUTABLE_ID.to_owned(), Json::from(key));
        }
        self.complete_nickname(work, body, &local);
        if let Some(place) = &self.settings.usage_location_default
            && body.text("usageLocation").is_none()
        {
            body.fixed.insert("usageLocation".to_owned(), Json::from(place.as_str()));
        }
    }

    fn complete_group(&self, work: &mut Work<'_>, body: &mut Body<'_>, anchors: AnchorPlace) {
        let Some(key) = work.item.create_key.clone() else {
            let hint = "flow the source anchor to `uniqueName`";
            return work.forbid("GRAPH-ANCHOR", "a group is created only with a source anchor", hint);
        };
        if let Some(id) = self.settings.group_mapping.get(&key) {
            let text = format!("the settings map `{key}` to the existing group {id}, so it is not created");
            return work.forbid("GRAPH-MAPPED", &text, "run a full import, so that the two are joined");
        }
        if !self.has_all(work, body, &["displayName"]) {
            return;
        }
        let values = |name: &str| body.attributes.iter().find(|a| a.spec.name == name)?.values.as_ref();
        let mail = values("mailEnabled").is_some_and(|v| v.first() == &Value::Boolean(true));
        let unified = values("groupTypes").is_some_and(|v| v.as_slice().contains(&"Unified".into()));
        if mail && !unified {
            return work.forbid("GRAPH-READ-ONLY-TYPE", MAIL_GROUP, MAIL_GROUP_HINT);
        }
        for (name, value) in [("mailEnabled", json!(unified)), ("securityEnabled", json!(!unified))] {
            if body.position(name).is_none() {
                body.fixed.insert(name.to_owned(), value);
            }
        }
        if body.position("groupTypes").is_none() {
            body.fixed.insert("groupTypes".to_owned(), json!([]));
        }
        if anchors == AnchorPlace::Extension {
            body.fixed.insert(self.table.anchor_extension.clone(), Json::from(to_unique_name(&key)));
        }
        self.complete_nickname(work, body, &key);
    }

    /// A new object needs a `mailNickname` that the service takes.
    fn complete_nickname(&self, work: &mut Work<'_>, body: &mut Body<'_>, fallback: &str) {
        let at = body.position("mailNickname");
        let given = body.text("mailNickname").unwrap_or_default().to_owned();
        if at.is_some() && valid_nickname(&given) == given {
            return;
        }
        let display = body.text("displayName").unwrap_or_default().to_owned();
        let sources: [&str; 3] = match work.kind {
            Kind::User => [&given, fallback, &display],
            _ => [&given, &display, fallback],
        };
        let made = nickname(&sources);
        if let Some(at) = at {
            let refused = body.attributes.remove(at);
            let text = format!("`{given}` is no valid mailNickname; the object was created with `{made}`");
            let error = work.error("GRAPH-NICKNAME", text, "give a value without spaces and punctuation");
            work.refuse(refused.id, error);
        }
        body.fixed.insert("mailNickname".to_owned(), Json::from(made));
    }

    /// Whether a new object has what it cannot be created without.
    fn has_all(&self, work: &mut Work<'_>, body: &Body<'_>, names: &[&str]) -> bool {
        let missing = names.iter().find(|&&n| {
            body.position(n).is_none_or(|at| body.attributes.get(at).is_none_or(|a| a.values.is_none()))
        });
        match missing {
            Some(name) => {
                let text = format!("a new {} needs `{name}`, and there is no value", work.kind.name());
                work.forbid("GRAPH-REQUIRED", &text, "flow a value to it");
                false
            }
            None => true,
        }
    }
}

/// Properties without which the object cannot be created: never sent later instead.
pub(super) fn is_required(kind: Kind, name: &str) -> bool {
    match kind {
        Kind::User => {
            matches!(name, "accountEnabled" | "displayName" | "userPrincipalName" | "mailNickname")
                || name == IMMUTABLE_ID
        }
        _ => {
            matches!(name, "displayName" | "mailEnabled" | "mailNickname" | "securityEnabled" | "groupTypes")
                || name == UNIQUE_NAME
        }
    }
}

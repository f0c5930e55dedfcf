//! The selection that the tests of plain directories use, and what they need to import.

use onesync_connectors::conformance::Shape;
use onesync_connectors::{
    Connector, ConnectorError, ImportEnd, ImportMode, ImportPage, ImportRequest, SelectedAttribute,
    SelectedType, Selection,
};
use onesync_model::{AttrId, AttributeType, Names};
use tokio::sync::mpsc;

/// Names and a selection of users and groups.
pub struct Words {
    pub names: Names,
    pub selection: Selection,
}

const ATTRIBUTES: [(&str, AttributeType, bool); 10] = [
    ("displayName", AttributeType::String, false),
    ("description", AttributeType::String, true),
    ("mail", AttributeType::String, false),
    ("proxyAddresses", AttributeType::String, true),
    ("userAccountControl", AttributeType::Integer, false),
    ("isCriticalSystemObject", AttributeType::Boolean, false),
    ("objectGUID", AttributeType::Binary, false),
    ("thumbnailPhoto", AttributeType::Binary, false),
    ("whenChanged", AttributeType::Time, false),
    ("manager", AttributeType::Reference, false),
];

impl Words {
    pub fn new() -> Self {
        let mut names = Names::new();
        let mut attribute = |(name, kind, multi): (&str, AttributeType, bool)| SelectedAttribute {
            id: names.intern(name),
            name: name.to_owned(),
            kind,
            multi,
        };
        let user: Vec<_> = ATTRIBUTES.into_iter().map(&mut attribute).collect();
        let mut group: Vec<_> = user.iter().filter(|a| a.name != "manager").cloned().collect();
        group.push(attribute(("member", AttributeType::Reference, true)));
        let types = [("user", user), ("group", group)].map(|(name, attributes)| SelectedType {
            id: names.intern_type(name),
            name: name.to_owned(),
            attributes,
        });
        Self { names, selection: Selection { types: types.into() } }
    }

    pub fn id(&self, name: &str) -> AttrId {
        self.names.find(name).unwrap()
    }

    pub fn shape(&self) -> Shape {
        Shape {
            selection: self.selection.clone(),
            person: "user".to_owned(),
            group: "group".to_owned(),
            text: "displayName".to_owned(),
            member: "member".to_owned(),
        }
    }
}

/// Imports everything.
pub async fn import(
    connector: &dyn Connector,
    words: &Words,
    mode: ImportMode,
    page_size: usize,
) -> (Vec<ImportPage>, Result<ImportEnd, ConnectorError>) {
    let request =
        ImportRequest { mode, selection: words.selection.clone(), known: None, containers: None, page_size };
    let (sender, mut receiver) = mpsc::channel(1);
    let receive = async {
        let mut pages = Vec::new();
        while let Some(page) = receiver.recv().await {
            pages.push(page);
        }
        pages
    };
    let (end, pages) = tokio::join!(connector.import(request, sender), receive);
    (pages, end)
}

/// Imports everything of a full import that must succeed.
pub async fn full(connector: &dyn Connector, words: &Words) -> (Vec<ImportPage>, ImportEnd) {
    let (pages, end) = import(connector, words, ImportMode::Full { resume: None }, 1_000).await;
    (pages, end.unwrap())
}

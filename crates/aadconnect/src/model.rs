//! What an export says, whichever form it has.

use std::collections::BTreeMap;

use onesync_model::AttributeType;

/// One exported configuration.
#[derive(Clone, Debug, Default)]
pub struct Export {
    /// The connectors, in the order of their creation as far as it is known.
    pub connectors: Vec<Connector>,
    /// The metaverse's schema; `None` where the form has none.
    pub metaverse: Option<Metaverse>,
    /// Global parameters.
    pub parameters: BTreeMap<String, String>,
    /// The rules, by precedence.
    pub rules: Vec<Rule>,
    /// What was read and not understood, as lines of the report.
    pub remarks: Vec<String>,
    /// Where it came from.
    pub form: Form,
}

/// The form of an export.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Form {
    /// The folder of XML files.
    #[default]
    Folder,
    /// PowerShell scripts: rules only.
    Scripts,
}

/// What a connector connects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConnectorKind {
    /// A forest.
    ActiveDirectory,
    /// The tenant.
    Cloud,
    /// Something else, by the word of its file.
    Other(String),
}

/// One connector.
#[derive(Clone, Debug)]
pub struct Connector {
    /// Its id, lower case, without braces.
    pub id: String,
    /// Its name here.
    pub name: String,
    /// What it connects.
    pub kind: ConnectorKind,
    /// The account's domain and name, or the user name.
    pub account: Option<String>,
    /// Secrets that its file does not have, in words.
    pub secrets: Vec<String>,
    /// Global parameters of the connector.
    pub parameters: BTreeMap<String, String>,
    /// Selected attributes.
    pub attributes: Vec<String>,
    /// What its directory said about attributes, by lower-case name.
    pub schema: BTreeMap<String, SchemaAttribute>,
    /// Domains of a forest, or the one partition of a tenant.
    pub domains: Vec<Domain>,
    /// Run profiles.
    pub profiles: Vec<Profile>,
    /// Whether passwords are synchronised from it.
    pub password_sync: bool,
    /// When it was made, as text that sorts.
    pub created: String,
}

/// One attribute of a connected directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SchemaAttribute {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub kind: AttributeType,
    /// Whether it may hold several.
    pub multi: bool,
}

/// One partition.
#[derive(Clone, Debug, Default)]
pub struct Domain {
    /// Its distinguished name.
    pub dn: String,
    /// Whether it is read.
    pub selected: bool,
    /// Object classes that are read.
    pub object_types: Vec<String>,
    /// Containers that are read.
    pub inclusions: Vec<String>,
    /// Containers that are left out.
    pub exclusions: Vec<String>,
    /// Parameters of the partition.
    pub parameters: BTreeMap<String, String>,
    /// The domain controller that was read last.
    pub last_server: Option<String>,
}

/// A run profile.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Its steps as our words; `Err` has the original's word for one that we do not have.
    pub steps: Vec<Result<&'static str, String>>,
}

/// The metaverse's schema.
#[derive(Clone, Debug, Default)]
pub struct Metaverse {
    /// Attributes by lower-case name.
    pub attributes: BTreeMap<String, MetaverseAttribute>,
    /// Object types with the lower-case names of their attributes.
    pub types: BTreeMap<String, Vec<String>>,
}

/// One attribute of the metaverse.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetaverseAttribute {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub kind: AttributeType,
    /// Whether it may hold several.
    pub multi: bool,
    /// Whether it is indexed.
    pub indexed: bool,
}

/// What a rule does about links.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkType {
    /// Joins, else creates.
    Provision,
    /// Joins.
    Join,
    /// Joins, and keeps the metaverse object.
    StickyJoin,
}

/// How contributions merge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Merge {
    /// The first wins.
    Update,
    /// The same.
    Replace,
    /// All values.
    Merge,
    /// All values, those that differ in case only once.
    MergeCaseInsensitive,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Where it begins: file, line, column.
    pub place: (String, u32, u32),
    /// Its id, lower case, without braces.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The lasting name of a shipped rule.
    pub tag: String,
    /// Whether it flows to the metaverse.
    pub inbound: bool,
    /// The connector's id.
    pub connector: String,
    /// The object type in the connector space.
    pub object: String,
    /// The object type in the metaverse, `*` for any.
    pub metaverse: String,
    /// What it does about links.
    pub link: LinkType,
    /// Its number, as written.
    pub precedence: u32,
    /// The rule that it stands behind or before, by id, where it has no number of its own.
    pub after: Option<String>,
    /// See [`Rule::after`].
    pub before: Option<String>,
    /// Whether it is switched off.
    pub disabled: bool,
    /// Whether its link carries passwords.
    pub password_sync: bool,
    /// How long a deleted object is kept; `None` for not at all.
    pub soft_delete: Option<String>,
    /// Groups of clauses.
    pub scope: Vec<Vec<ScopeClause>>,
    /// Groups of conditions.
    pub join: Vec<Vec<Condition>>,
    /// The flows.
    pub flows: Vec<Flow>,
}

/// One clause of a scope.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScopeClause {
    /// The attribute of the source side.
    pub attribute: String,
    /// The operator's word.
    pub operator: String,
    /// The value.
    pub value: String,
}

/// One condition of a join.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    /// The attribute in the connector space.
    pub connector: String,
    /// The attribute in the metaverse.
    pub metaverse: String,
    /// Whether case matters.
    pub case_sensitive: bool,
}

/// One flow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flow {
    /// The attribute it writes.
    pub target: String,
    /// Where the values come from.
    pub source: FlowSource,
    /// Whether it is applied once only.
    pub once: bool,
    /// How it merges.
    pub merge: Merge,
}

/// Where values come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FlowSource {
    /// One attribute.
    Direct(String),
    /// A text.
    Constant(String),
    /// An expression.
    Expression(String),
}

/// The id of the cloud connector: the same in every installation.
pub(crate) const CLOUD_CONNECTOR: &str = "b891884f-051e-4a83-95af-2544101c9083";

/// What stands before the name of a connector in the place of an id that a script does not have.
pub(crate) const BY_NAME: &str = "connector of the name ";

/// A GUID as it is compared: lower case, without braces; `None` for one that means nothing.
pub(crate) fn guid(text: &str) -> Option<String> {
    let text = text.trim().trim_matches(['{', '}']).to_ascii_lowercase();
    let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
    let form = text.len() == 36 && digits == 32 && text.bytes().filter(|&b| b == b'-').count() == 4;
    (form && text.bytes().any(|b| b != b'0' && b != b'-')).then_some(text)
}

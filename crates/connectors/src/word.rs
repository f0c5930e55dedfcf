//! How settings write the type of an attribute: `string`, or `string*` where several values are possible.

use onesync_model::AttributeType;
use serde::{Deserialize, Serialize};

/// The type of an attribute's values, and whether there may be several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AttributeWord {
    /// The type of the values.
    pub kind: AttributeType,
    /// Whether there may be several.
    pub multi: bool,
}

impl TryFrom<String> for AttributeWord {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let word = text.strip_suffix('*');
        let kind = AttributeType::parse(word.unwrap_or(&text)).ok_or_else(|| {
            format!(
                "`{text}` is no type of attribute: write string, integer, boolean, binary, time or reference, with `*` \
                 behind it where several values are possible"
            )
        })?;
        Ok(Self { kind, multi: word.is_some() })
    }
}

impl From<AttributeWord> for String {
    fn from(word: AttributeWord) -> Self {
        format!("{}{}", word.kind.as_str(), if word.multi { "*" } else { "" })
    }
}

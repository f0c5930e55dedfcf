//! The text of one rule file, read into [`RuleText`]: shape and words checked, names not yet looked up.
//!
//! Every value keeps its place in the file, so that later findings point at it.

use onesync_model::{Time, Value};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::Operator;
use crate::diagnostic::{Place, Sink};
use crate::suggest::did_you_mean;
use crate::{Direction, LinkType, MergeType};

/// Bytes a rule file may have: far above any rule a person wrote, far below what would hurt.
pub(crate) const FILE_BYTES_MAX: usize = 1024 * 1024;
/// Flows a rule may have: the largest known rule has 106.
pub(crate) const FLOWS_MAX: usize = 1_000;
/// Groups of scope or join, and clauses or conditions of one group.
pub(crate) const GROUPS_MAX: usize = 200;

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub value: T,
    pub place: Place,
}

pub(crate) struct RuleText {
    pub file: usize,
    pub name: At<String>,
    pub direction: Direction,
    /// At least one.
    pub connectors: Vec<At<String>>,
    pub objects: Vec<At<String>>,
    pub metaverse: At<String>,
    pub link: At<LinkType>,
    pub precedence: At<i32>,
    pub description: Option<String>,
    pub tag: Option<String>,
    pub disabled: bool,
    pub password_sync: bool,
    pub recheck_seconds: Option<u32>,
    /// Attributes that the connected directory may lack; a trailing `*` stands for anything.
    pub optional: Vec<At<String>>,
    pub scope: Vec<Vec<ClauseText>>,
    pub join: Vec<Vec<ConditionText>>,
    pub flows: Vec<FlowText>,
}

pub(crate) struct ClauseText {
    pub attribute: At<String>,
    pub operator: Operator,
    pub values: Vec<At<String>>,
    pub place: Place,
}

pub(crate) struct ConditionText {
    pub connector: At<String>,
    pub metaverse: At<String>,
    pub case_sensitive: bool,
}

pub(crate) struct FlowText {
    pub target: At<String>,
    pub source: FlowSourceText,
    pub once: bool,
    pub merge: MergeType,
}

pub(crate) enum FlowSourceText {
    Expression(At<String>),
    Constant(At<Vec<Value>>),
}

const RULE_KEYS: &[&str] = &[
    "name",
    "description",
    "tag",
    "direction",
    "connector",
    "object",
    "metaverse",
    "link",
    "precedence",
    "disabled",
    "password_sync",
    "recheck",
    "optional",
    "scope",
    "join",
    "flow",
    "test", // examples, which are run by `rule test`
];

/// Reads one file; `None` when it is no rule at all, with the reason in the sink.
pub(crate) fn read_rule(file: usize, sink: &mut Sink<'_>) -> Option<RuleText> {
    let text = sink.text(file);
    let whole = Place { file, span: 0..0 };
    if text.len() > FILE_BYTES_MAX {
        sink.error(
            &whole,
            format!("the file has {} bytes, more than the {FILE_BYTES_MAX} allowed", text.len()),
        )
        .hint("write one rule a file");
        return None;
    }
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let span = error.span().unwrap_or(0..0);
            sink.error(&Place { file, span }, error.message().trim().to_owned());
            return None;
        }
    };
    let mut reader = Reader { file, sink };
    reader.known_keys(&table, RULE_KEYS, "a rule");
    reader.rule(&table)
}

pub(crate) struct Reader<'s, 'f> {
    pub file: usize,
    pub sink: &'s mut Sink<'f>,
}

type Key<'i> = Spanned<DeString<'i>>;
type Item<'i> = Spanned<DeValue<'i>>;

impl Reader<'_, '_> {
    fn rule(&mut self, table: &DeTable<'_>) -> Option<RuleText> {
        let direction = self.word(
            table,
            "direction",
            &[("inbound", Direction::Inbound), ("outbound", Direction::Outbound)],
        );
        let link = self.word(
            table,
            "link",
            &[
                ("provision", LinkType::Provision),
                ("join", LinkType::Join),
                ("sticky-join", LinkType::StickyJoin),
            ],
        );
        let name = self.required(table, "name");
        let connectors = self.strings(table, "connector");
        if connectors.is_empty() && !table.contains_key("connector") {
            self.missing("connector", "add a line connector = \"...\"");
        }
        let objects = self.strings(table, "object");
        if objects.is_empty() && !table.contains_key("object") {
            self.missing("object", "the object type in the connector space, e.g. object = \"user\"");
        }
        let metaverse = self.required(table, "metaverse");
        let precedence = self.precedence(table);
        let recheck_seconds = self.recheck(table);
        let (description, tag) = (self.string(table, "description"), self.string(table, "tag"));
        let disabled = self.boolean(table, "disabled");
        let password_sync = self.boolean(table, "password_sync");
        let optional = self.strings(table, "optional");
        let scope = self.groups(table, "scope", "clauses", Self::clause);
        let join = self.groups(table, "join", "conditions", Self::condition);
        let flows = self.flows(table);
        let name = name?;
        if name.value.trim().is_empty() {
            self.sink.error(&name.place, "a rule needs a name").hint("people find it by this name");
            return None;
        }
        Some(RuleText {
            file: self.file,
            name,
            direction: direction?.value,
            connectors: (!connectors.is_empty()).then_some(connectors)?,
            objects: (!objects.is_empty()).then_some(objects)?,
            metaverse: metaverse?,
            link: link?,
            precedence: precedence?,
            description: description.map(|d| d.value),
            tag: tag.map(|t| t.value),
            disabled,
            password_sync,
            recheck_seconds,
            optional,
            scope,
            join,
            flows,
        })
    }

    fn precedence(&mut self, table: &DeTable<'_>) -> Option<At<i32>> {
        let Some((_, item)) = find(table, "precedence") else {
            self.missing(
                "precedence",
                "a whole number; the smaller wins, 0 to 99 are yours, shipped rules start at 100",
            );
            return None;
        };
        let place = self.place(item);
        match item.get_ref().as_integer().and_then(integer).and_then(|n| i32::try_from(n).ok()) {
            Some(value) if value >= 0 => Some(At { value, place }),
            _ => {
                self.sink
                    .error(&place, "`precedence` is a whole number from 0 to 2147483647")
                    .hint("the smaller wins; 0 to 99 are yours, shipped rules start at 100");
                None
            }
        }
    }

    fn recheck(&mut self, table: &DeTable<'_>) -> Option<u32> {
        let text = self.string(table, "recheck")?;
        let unit = text.value.trim_start_matches(|c: char| c.is_ascii_digit());
        let seconds = match unit {
            "m" => Some(60u32),
            "h" => Some(3_600),
            "d" => Some(86_400),
            _ => None,
        };
        let number: Option<u32> =
            text.value.strip_suffix(unit).and_then(|n| n.parse().ok()).filter(|&n| n > 0);
        let found = seconds.zip(number).and_then(|(unit, number)| unit.checked_mul(number));
        if found.is_none() {
            self.sink.error(&text.place, "`recheck` is a number with m, h or d").hint(
                "e.g. recheck = \"12h\": what depends on the clock, and not by a comparison alone, is computed again so often; without it at midnight UTC",
            );
        }
        found
    }

    /// An array of tables `[[key]]`, each with an array of tables under `inner`.
    fn groups<T>(
        &mut self,
        table: &DeTable<'_>,
        key: &'static str,
        inner: &'static str,
        read: fn(&mut Self, &DeTable<'_>, Place) -> Option<T>,
    ) -> Vec<Vec<T>> {
        let Some((_, item)) = find(table, key) else { return Vec::new() };
        let Some(groups) = item.get_ref().as_array() else {
            self.expected(
                item,
                &format!("`{key}` is a list of groups"),
                &format!("write [[{key}]] for each group"),
            );
            return Vec::new();
        };
        if groups.len() > GROUPS_MAX {
            let place = self.place(item);
            self.sink.error(&place, format!("`{key}` has {} groups, more than {GROUPS_MAX}", groups.len()));
            return Vec::new();
        }
        let mut out = Vec::new();
        for group in groups.iter() {
            let Some(group_table) = group.get_ref().as_table() else {
                self.expected(group, &format!("a group of `{key}` is a table"), &format!("write [[{key}]]"));
                continue;
            };
            self.known_keys(group_table, &[inner], &format!("a group of `{key}`"));
            let items = find(group_table, inner).and_then(|(_, item)| item.get_ref().as_array());
            let Some(items) = items.filter(|items| !items.is_empty() && items.len() <= GROUPS_MAX) else {
                self.expected(
                    group,
                    &format!("a group of `{key}` needs `{inner}`, a list of 1 to {GROUPS_MAX} tables"),
                    "remove the group, or fill it; without any group all objects are meant",
                );
                continue;
            };
            let mut read_items = Vec::new();
            for item in items.iter() {
                let Some(table) = item.get_ref().as_table() else {
                    self.expected(item, &format!("each of `{inner}` is a table"), "write { ... }");
                    continue;
                };
                let place = self.place(item);
                read_items.extend(read(self, table, place));
            }
            out.push(read_items);
        }
        out
    }

    fn clause(&mut self, table: &DeTable<'_>, place: Place) -> Option<ClauseText> {
        self.known_keys(table, &["attribute", "operator", "value", "values"], "a scope clause");
        let word = self.required_in(table, "operator", &place);
        // Who asks for groups asks for no attribute; the original's editor writes one all the same.
        let of_groups =
            word.as_ref().and_then(|word| Operator::parse(&word.value)).is_some_and(Operator::is_membership);
        let attribute = match find(table, "attribute") {
            None if of_groups => Some(At { value: "member".to_owned(), place: place.clone() }),
            _ => self.required_in(table, "attribute", &place),
        };
        let word = word?;
        let Some(operator) = Operator::parse(&word.value) else {
            let known = Operator::WORDS.map(|(word, _)| word);
            self.sink
                .error(&word.place, format!("unknown operator `{}`", word.value))
                .hint_if(did_you_mean(&word.value, known).or(Some(format!("one of {}", known.join(", ")))));
            return None;
        };
        let mut values = Vec::new();
        for key in ["value", "values"] {
            let Some((_, item)) = find(table, key) else { continue };
            match item.get_ref().as_array() {
                Some(array) => array.iter().for_each(|item| values.extend(self.scope_value(item))),
                None => values.extend(self.scope_value(item)),
            }
        }
        let is_list = matches!(operator, Operator::IsIn | Operator::IsNotIn);
        if let (true, [one]) = (is_list, values.as_slice()) {
            // The original has no lists in its rule files: one text, parted by semicolons.
            let place = one.place.clone();
            values = one
                .value
                .split(';')
                .map(|part| At { value: part.trim().to_owned(), place: place.clone() })
                .collect();
        }
        let (ok, needs) = match (operator.is_presence(), is_list) {
            (true, _) => (true, ""), // an empty value is what the original's editor writes
            (false, true) => (!values.is_empty(), "values = [...] with at least one value"),
            (false, false) => (values.len() == 1, "value = ... with one value"),
        };
        if !ok {
            self.sink.error(&place, format!("operator `{}` needs {needs}", operator.as_str()));
            return None;
        }
        if operator.is_presence() {
            values.clear();
        }
        Some(ClauseText { attribute: attribute?, operator, values, place })
    }

    fn scope_value(&mut self, item: &Item<'_>) -> Option<At<String>> {
        let place = self.place(item);
        let value = match item.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => integer(number)?.to_string(),
            DeValue::Boolean(b) => if *b { "True" } else { "False" }.to_owned(),
            DeValue::Datetime(time) => time.to_string(),
            _ => {
                self.expected(
                    item,
                    "a scope value is text, a whole number, true or false",
                    "write it in quotes",
                );
                return None;
            }
        };
        Some(At { value, place })
    }

    fn condition(&mut self, table: &DeTable<'_>, place: Place) -> Option<ConditionText> {
        self.known_keys(table, &["connector", "metaverse", "case_sensitive"], "a join condition");
        Some(ConditionText {
            connector: self.required_in(table, "connector", &place)?,
            metaverse: self.required_in(table, "metaverse", &place)?,
            case_sensitive: self.boolean(table, "case_sensitive"),
        })
    }

    fn flows(&mut self, table: &DeTable<'_>) -> Vec<FlowText> {
        let Some((_, item)) = find(table, "flow") else { return Vec::new() };
        let Some(flows) = item.get_ref().as_table() else {
            self.expected(item, "`flow` is a table of attributes", "write [flow] and a line per attribute");
            return Vec::new();
        };
        if flows.len() > FLOWS_MAX {
            let place = self.place(item);
            self.sink.error(&place, format!("the rule has {} flows, more than {FLOWS_MAX}", flows.len()));
            return Vec::new();
        }
        flows.iter().filter_map(|(key, item)| self.flow(key, item)).collect()
    }

    fn flow(&mut self, key: &Key<'_>, item: &Item<'_>) -> Option<FlowText> {
        let target = At { value: key.get_ref().to_string(), place: self.span(key.span()) };
        let place = self.place(item);
        let table = match item.get_ref() {
            DeValue::String(text) => {
                let source = FlowSourceText::Expression(At { value: text.to_string(), place });
                return Some(FlowText { target, source, once: false, merge: MergeType::Update });
            }
            DeValue::Table(table) => table,
            other => {
                let message =
                    format!("a flow is an expression in quotes or a table, not {}", other.type_str());
                self.sink.error(&place, message).hint("for a fixed value write { constant = ... }");
                return None;
            }
        };
        self.known_keys(table, &["expr", "constant", "once", "merge"], "a flow");
        let once = self.boolean(table, "once");
        let merge = match find(table, "merge") {
            None => MergeType::Update,
            Some(_) => {
                self.word(
                    table,
                    "merge",
                    &[
                        ("Update", MergeType::Update),
                        ("Replace", MergeType::Replace),
                        ("Merge", MergeType::Merge),
                        ("MergeCaseInsensitive", MergeType::MergeCaseInsensitive),
                    ],
                )?
                .value
            }
        };
        let source = match (self.string(table, "expr"), find(table, "constant")) {
            (Some(expr), None) => FlowSourceText::Expression(expr),
            (None, Some((_, item))) => FlowSourceText::Constant(self.constant(item)?),
            _ => {
                self.sink
                    .error(&place, "a flow has either `expr` or `constant`")
                    .hint("e.g. { expr = \"[displayName]\", once = true }");
                return None;
            }
        };
        Some(FlowText { target, source, once, merge })
    }

    fn constant(&mut self, item: &Item<'_>) -> Option<At<Vec<Value>>> {
        let place = self.place(item);
        let items: Vec<&Item<'_>> = match item.get_ref().as_array() {
            Some(array) => array.iter().collect(),
            None => vec![item],
        };
        let mut values = Vec::new();
        for item in items {
            let value = match item.get_ref() {
                DeValue::String(text) => Some(Value::string(text)),
                DeValue::Integer(number) => integer(number).map(Value::Integer),
                DeValue::Boolean(b) => Some(Value::Boolean(*b)),
                DeValue::Datetime(time) => time.to_string().parse::<Time>().ok().map(Value::Time),
                _ => None,
            };
            let Some(value) = value else {
                self.expected(
                    item,
                    "a constant is text, a whole number, true, false or a time with its zone",
                    "write text in quotes",
                );
                return None;
            };
            values.push(value);
        }
        if values.is_empty() {
            self.expected(
                item,
                "a constant needs at least one value",
                "write the expression NULL for no value",
            );
            return None;
        }
        Some(At { value: values, place })
    }

    // Pieces shared by all tables.

    pub(crate) fn known_keys(&mut self, table: &DeTable<'_>, known: &[&str], what: &str) {
        for key in table.keys() {
            if !known.contains(&key.get_ref().as_ref()) {
                let hint = did_you_mean(key.get_ref(), known.iter().copied());
                let place = self.span(key.span());
                self.sink
                    .error(&place, format!("unknown key `{}` in {what}", key.get_ref()))
                    .hint_if(hint.or_else(|| Some(format!("known are {}", known.join(", ")))));
            }
        }
    }

    pub(crate) fn place(&self, item: &Item<'_>) -> Place {
        self.span(item.span())
    }

    pub(crate) fn span(&self, span: std::ops::Range<usize>) -> Place {
        Place { file: self.file, span }
    }

    pub(crate) fn expected(&mut self, item: &Item<'_>, message: &str, hint: &str) {
        let place = self.place(item);
        self.sink.error(&place, message).hint(hint);
    }

    fn missing(&mut self, key: &str, hint: &str) {
        let place = Place { file: self.file, span: 0..0 };
        self.sink.error(&place, format!("the rule has no `{key}`")).hint(hint);
    }

    fn required(&mut self, table: &DeTable<'_>, key: &'static str) -> Option<At<String>> {
        if find(table, key).is_none() {
            self.missing(key, &format!("add a line {key} = \"...\""));
        }
        self.string(table, key)
    }

    fn required_in(&mut self, table: &DeTable<'_>, key: &'static str, place: &Place) -> Option<At<String>> {
        if find(table, key).is_none() {
            self.sink.error(place, format!("`{key}` is missing")).hint(format!("add {key} = \"...\""));
        }
        self.string(table, key)
    }

    pub(crate) fn string(&mut self, table: &DeTable<'_>, key: &'static str) -> Option<At<String>> {
        let (_, item) = find(table, key)?;
        match item.get_ref().as_str() {
            Some(text) => Some(At { value: text.to_owned(), place: self.place(item) }),
            None => {
                let found = item.get_ref().type_str();
                self.expected(item, &format!("`{key}` is text, not {found}"), "write it in quotes");
                None
            }
        }
    }

    /// One string or a list of strings.
    pub(crate) fn strings(&mut self, table: &DeTable<'_>, key: &'static str) -> Vec<At<String>> {
        let Some((_, item)) = find(table, key) else { return Vec::new() };
        let Some(array) = item.get_ref().as_array() else {
            return self.string(table, key).into_iter().collect();
        };
        let mut out = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_str() {
                Some(text) => out.push(At { value: text.to_owned(), place: self.place(item) }),
                None => self.expected(item, &format!("each of `{key}` is text"), "write it in quotes"),
            }
        }
        if array.is_empty() {
            self.expected(
                item,
                &format!("`{key}` is an empty list"),
                "name at least one, or remove the line",
            );
        }
        out
    }

    pub(crate) fn boolean(&mut self, table: &DeTable<'_>, key: &'static str) -> bool {
        let Some((_, item)) = find(table, key) else { return false };
        match item.get_ref().as_bool() {
            Some(value) => value,
            None => {
                self.expected(item, &format!("`{key}` is true or false"), "without quotes");
                false
            }
        }
    }

    fn word<T: Copy>(
        &mut self,
        table: &DeTable<'_>,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<At<T>> {
        let known = words.iter().map(|(word, _)| *word).collect::<Vec<_>>();
        if find(table, key).is_none() {
            self.missing(key, &format!("one of {}", known.join(", ")));
        }
        let text = self.string(table, key)?;
        let squeezed = text.value.replace(['-', '_', ' '], "");
        let found = words.iter().find(|(word, _)| word.replace('-', "").eq_ignore_ascii_case(&squeezed));
        match found {
            Some(&(_, value)) => Some(At { value, place: text.place }),
            None => {
                self.sink
                    .error(&text.place, format!("`{key}` is one of {}", known.join(", ")))
                    .hint_if(did_you_mean(&text.value, known.iter().copied()));
                None
            }
        }
    }
}

/// A key of a table with its value.
pub(crate) fn find<'t, 'i>(table: &'t DeTable<'i>, key: &str) -> Option<(&'t Key<'i>, &'t Item<'i>)> {
    table.get_key_value(key)
}

pub(crate) fn integer(number: &toml::de::DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
}

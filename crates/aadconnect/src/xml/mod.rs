//! The folder of XML files that `Get-ADSyncServerConfiguration` writes.

mod connector;
mod metaverse;
mod rule;

pub(crate) use connector::connector;
pub(crate) use metaverse::metaverse;
use roxmltree::{Document, Node, ParsingOptions};
pub(crate) use rule::rule;

use crate::Mistake;

/// Elements of one document: the largest known has 30,000.
const NODES_MAX: u32 = 5_000_000;

/// A document that was read, with its name for messages.
pub(crate) struct Xml<'t> {
    file: &'t str,
    document: Document<'t>,
}

impl<'t> Xml<'t> {
    pub(crate) fn parse(file: &'t str, text: &'t str) -> Result<Self, Mistake> {
        // The text is decoded: what the declaration says about its encoding is not true any more.
        let options = ParsingOptions { nodes_limit: NODES_MAX, ..ParsingOptions::default() };
        match Document::parse_with_options(text, options) {
            Ok(document) => Ok(Self { file, document }),
            Err(error) => {
                let at = error.pos();
                Err(Mistake::new(file, (at.row, at.col), format!("no well-formed XML: {}", reason(&error)))
                    .hint("export the configuration again"))
            }
        }
    }

    pub(crate) fn root(&self) -> Element<'_> {
        Element { file: self.file, node: self.document.root_element() }
    }
}

/// The parser's words without its own place, which counts differently.
fn reason(error: &roxmltree::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at ").map_or(text.as_str(), |(before, _)| before).to_owned()
}

/// An element with the file it is in.
#[derive(Clone, Copy)]
pub(crate) struct Element<'x> {
    file: &'x str,
    node: Node<'x, 'x>,
}

impl<'x> Element<'x> {
    pub(crate) fn name(self) -> &'x str {
        self.node.tag_name().name()
    }

    pub(crate) fn place(self) -> (String, u32, u32) {
        let at = self.node.document().text_pos_at(self.node.range().start);
        (self.file.to_owned(), at.row, at.col)
    }

    pub(crate) fn mistake(self, message: impl Into<String>) -> Mistake {
        let (file, line, column) = self.place();
        Mistake::new(&file, (line, column), message)
    }

    pub(crate) fn children(self) -> impl Iterator<Item = Element<'x>> {
        self.node.children().filter(Node::is_element).map(move |node| Element { file: self.file, node })
    }

    pub(crate) fn named(self, name: &'static str) -> impl Iterator<Item = Element<'x>> {
        self.children().filter(move |child| child.name() == name)
    }

    /// The first element of that name below, however deep.
    pub(crate) fn below(self, name: &'static str) -> impl Iterator<Item = Element<'x>> {
        let of_name = move |node: &Node<'x, 'x>| node.is_element() && node.tag_name().name() == name;
        self.node.descendants().filter(of_name).map(move |node| Element { file: self.file, node })
    }

    pub(crate) fn child(self, name: &'static str) -> Option<Element<'x>> {
        self.named(name).next()
    }

    /// The element at a path of names.
    pub(crate) fn at(self, path: &[&'static str]) -> Option<Element<'x>> {
        path.iter().try_fold(self, |element, name| element.child(name))
    }

    pub(crate) fn attribute(self, name: &str) -> Option<&'x str> {
        self.node.attributes().find(|a| a.name() == name).map(|a| a.value())
    }

    /// Its text, as it stands there: several parts where comments lie between.
    pub(crate) fn text(self) -> String {
        self.node.children().filter(Node::is_text).filter_map(|node| node.text()).collect()
    }

    /// The text of a child without spaces around it; empty where there is none.
    pub(crate) fn text_of(self, name: &'static str) -> String {
        self.child(name).map(|child| child.text().trim().to_owned()).unwrap_or_default()
    }

    /// The text of a child that must be there.
    pub(crate) fn required(self, name: &'static str) -> Result<String, Mistake> {
        let text = self.text_of(name);
        if text.is_empty() {
            return Err(self.mistake(format!("`{}` has no `{name}`", self.name())));
        }
        Ok(text)
    }
}

/// `True`, `true`, `1`.
pub(crate) fn is_true(text: &str) -> bool {
    let text = text.trim();
    text.eq_ignore_ascii_case("true") || text == "1"
}

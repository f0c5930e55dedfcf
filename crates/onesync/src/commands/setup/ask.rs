//! Questions on a terminal.

use anyhow::Context as _;
use inquire::validator::Validation;
use inquire::{Confirm, MultiSelect, Password, PasswordDisplayMode, Select, Text};
use secrecy::SecretString;

/// Lines of a list that are shown at once.
const LINES: usize = 12;

fn none() -> &'static str {
    "nothing was answered, and nothing was done"
}

/// A text, with what suits most.
pub fn text(question: &str, default: &str) -> anyhow::Result<String> {
    let asked = Text::new(question);
    let asked = if default.is_empty() { asked } else { asked.with_default(default) };
    Ok(asked.prompt().context(none())?.trim().to_owned())
}

/// A text that is needed.
pub fn needed(question: &str, help: &str) -> anyhow::Result<String> {
    let asked = Text::new(question).with_help_message(help).with_validator(|text: &str| {
        Ok(match text.trim() {
            "" => Validation::Invalid("it is needed".into()),
            _ => Validation::Valid,
        })
    });
    Ok(asked.prompt().context(none())?.trim().to_owned())
}

/// Yes or no.
pub fn yes(question: &str, default: bool) -> anyhow::Result<bool> {
    Confirm::new(question).with_default(default).prompt().context(none())
}

/// A password, which is not shown; `None` for an empty one.
pub fn password(question: &str, twice: bool) -> anyhow::Result<Option<SecretString>> {
    let asked = Password::new(question).with_display_mode(PasswordDisplayMode::Masked);
    let asked = if twice { asked } else { asked.without_confirmation() };
    let typed = asked.prompt().context(none())?;
    Ok((!typed.is_empty()).then(|| SecretString::from(typed)))
}

/// One of several; gives its place in the list.
pub fn choice(question: &str, choices: &[&str]) -> anyhow::Result<usize> {
    let asked = Select::new(question, choices.to_vec()).with_page_size(LINES);
    Ok(asked.raw_prompt().context(none())?.index)
}

/// Any number of several.
pub fn choices(question: &str, help: &str, choices: Vec<String>) -> anyhow::Result<Vec<String>> {
    MultiSelect::new(question, choices).with_help_message(help).with_page_size(LINES).prompt().context(none())
}

/// Names, parted by commas.
pub fn names(question: &str, default: &str) -> anyhow::Result<Vec<String>> {
    let typed = text(question, default)?;
    Ok(typed.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

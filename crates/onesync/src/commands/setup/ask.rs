//! Questions on a terminal.

use anyhow::Context as _;
use inquire::validator::{StringValidator, Validation};
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

/// A text that is asked for until it is one that will do; what is wrong with it is said.
pub fn text_that(
    question: &str,
    default: &str,
    will_do: impl Fn(&str) -> Result<(), String> + Clone + 'static,
) -> anyhow::Result<String> {
    let asked = Text::new(question).with_validator(validator(will_do));
    let asked = if default.is_empty() { asked } else { asked.with_default(default) };
    Ok(asked.prompt().context(none())?.trim().to_owned())
}

/// A text that is needed.
pub fn needed(question: &str, help: &str) -> anyhow::Result<String> {
    needed_that(question, help, |_| Ok(()))
}

/// A text that is needed, and asked for until it is one that will do.
pub fn needed_that(
    question: &str,
    help: &str,
    will_do: impl Fn(&str) -> Result<(), String> + Clone + 'static,
) -> anyhow::Result<String> {
    let asked =
        Text::new(question).with_help_message(help).with_validator(validator(move |text| match text {
            "" => Err("it is needed".to_owned()),
            text => will_do(text),
        }));
    Ok(asked.prompt().context(none())?.trim().to_owned())
}

fn validator(
    will_do: impl Fn(&str) -> Result<(), String> + Clone + 'static,
) -> impl StringValidator + 'static {
    as_it_is(move |text| will_do(text.trim()))
}

fn as_it_is(
    will_do: impl Fn(&str) -> Result<(), String> + Clone + 'static,
) -> impl StringValidator + 'static {
    move |text: &str| {
        Ok(match will_do(text) {
            Ok(()) => Validation::Valid,
            Err(why) => Validation::Invalid(why.into()),
        })
    }
}

/// Yes or no.
pub fn yes(question: &str, default: bool) -> anyhow::Result<bool> {
    Confirm::new(question).with_default(default).prompt().context(none())
}

/// A password, which is not shown; `None` for an empty one.
pub fn password(question: &str) -> anyhow::Result<Option<SecretString>> {
    let asked = Password::new(question).with_display_mode(PasswordDisplayMode::Masked).without_confirmation();
    let typed = asked.prompt().context(none())?;
    Ok((!typed.is_empty()).then(|| SecretString::from(typed)))
}

/// A new password, typed twice, which is not shown; asked for until it is one that will do.
pub fn new_password(
    question: &str,
    will_do: impl Fn(&SecretString) -> Result<(), String> + Clone + 'static,
) -> anyhow::Result<SecretString> {
    let asked = Password::new(question).with_display_mode(PasswordDisplayMode::Masked);
    let asked = asked.with_validator(as_it_is(move |text| will_do(&SecretString::from(text.to_owned()))));
    Ok(SecretString::from(asked.prompt().context(none())?))
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

/// Names, parted by commas; asked for until each is one that will do.
pub fn names(
    question: &str,
    default: &str,
    will_do: impl Fn(&str) -> Result<(), String> + Clone + 'static,
) -> anyhow::Result<Vec<String>> {
    let typed = text_that(question, default, move |typed| parted(typed).try_for_each(&will_do))?;
    Ok(parted(&typed).map(str::to_owned).collect())
}

fn parted(typed: &str) -> impl Iterator<Item = &str> {
    typed.split(',').map(str::trim).filter(|name| !name.is_empty())
}

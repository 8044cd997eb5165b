//! The formats of secrets that are known by name.

mod chat;
mod cloud;
mod code;
mod context;
mod models;
mod payment;
mod services;

use super::rule::Rule;

/// A pattern that begins at the start of a word, also after an escaped line break, a percent escape or a color code.
/// The text before the word is not part of the secret.
macro_rules! word {
    ($pattern:literal) => {
        concat!(r"(?:\b|_|\\[nrt]|\\u00[0-9A-Fa-f]{2}|%[0-9A-Fa-f]{2}|\x1b\[[0-9;]{0,8}m)(", $pattern, ")")
    };
}
use word;

/// Defines a table of rules: name, pattern, and the characters that continue a secret after its beginning was found.
macro_rules! rules {
    ($($name:literal $pattern:expr, $rest:literal;)+) => {
        pub(super) const RULES: &[$crate::redact::rule::Known] = &[$(
            $crate::redact::rule::Known { name: $name, pattern: $pattern, rest: $rest }
        ),+];
    };
}
use rules;

/// Returns every rule of [`Rules::secrets`](super::Rules::secrets), the more specific ones first: of two that match at
/// the same position the first one wins.
pub(super) fn all() -> Vec<Rule> {
    let tables = [cloud::RULES, code::RULES, chat::RULES, payment::RULES, models::RULES, services::RULES]
        .into_iter()
        .flatten();
    tables.map(Rule::known).chain(context::rules()).collect()
}

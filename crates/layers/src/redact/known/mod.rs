//! The formats of secrets that are known by name.

mod chat;
mod cloud;
mod code;
mod context;
mod models;
mod payment;
mod services;

use super::rule::Rule;

/// A pattern that begins where a word does, also behind what a text writes for a line break, a percent escape or a color.
/// What stands before the word is not part of the secret.
macro_rules! word {
    ($pattern:literal) => {
        concat!(r"(?:\b|_|\\[nrt]|\\u00[0-9A-Fa-f]{2}|%[0-9A-Fa-f]{2}|\x1b\[[0-9;]{0,8}m)(", $pattern, ")")
    };
}
use word;

/// Writes a table of rules: name, pattern, and the characters that a secret goes on with once its beginning was found.
macro_rules! rules {
    ($($name:literal $pattern:expr, $rest:literal;)+) => {
        pub(super) const RULES: &[$crate::redact::rule::Known] = &[$(
            $crate::redact::rule::Known { name: $name, pattern: $pattern, rest: $rest }
        ),+];
    };
}
use rules;

/// Every rule that [`Rules::secrets`](super::Rules::secrets) holds, the more telling ones first: of two that begin at the
/// same place the first one counts.
pub(super) fn all() -> Vec<Rule> {
    let tables = [cloud::RULES, code::RULES, chat::RULES, payment::RULES, models::RULES, services::RULES]
        .into_iter()
        .flatten();
    tables.map(Rule::known).chain(context::rules()).collect()
}

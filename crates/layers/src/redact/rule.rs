//! The parts of a rule.

use std::{borrow::Cow, sync::Arc};

use super::value::{self, Reads};

/// A rule of the table.
pub(super) struct Known {
    pub(super) name: &'static str,
    /// The first participating group is the secret.
    pub(super) pattern: &'static str,
    /// The characters that continue the secret: ranges and single ones.
    pub(super) rest: &'static str,
}

/// Returns true if a value that the pattern found is a secret.
pub(super) type Check = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// A rule before it is compiled.
#[derive(Clone)]
pub(super) struct Rule {
    pub(super) name: Cow<'static, str>,
    pub(super) pattern: Cow<'static, str>,
    pub(super) after: After,
    pub(super) check: Option<Check>,
    /// The value that follows the match; the match itself is then no secret.
    pub(super) reads: Option<Reads>,
}

/// The text that is hidden after a match.
#[derive(Clone, Copy)]
pub(super) enum After {
    Nothing,
    /// As long as characters of this class follow.
    Class(Class),
    /// All text up to the line that ends a private key.
    Block,
}

impl Rule {
    pub(super) fn known(known: &Known) -> Self {
        let Known { name, pattern, rest } = *known;
        Self {
            name: name.into(),
            pattern: pattern.into(),
            after: After::Class(Class::of(rest)),
            check: None,
            reads: None,
        }
    }

    pub(super) fn checked(
        name: &'static str,
        pattern: &'static str,
        rest: &'static str,
        check: fn(&[u8]) -> bool,
    ) -> Self {
        let known = Self::known(&Known { name, pattern, rest });
        Self { check: Some(Arc::new(check)), ..known }
    }

    /// Creates a rule that reads the value after its match.
    pub(super) fn read(name: &'static str, pattern: &'static str, reads: Reads) -> Self {
        let after = After::Class(value::rest());
        Self { name: name.into(), pattern: pattern.into(), after, check: None, reads: Some(reads) }
    }

    pub(super) fn block(name: &'static str, pattern: &'static str) -> Self {
        Self { name: name.into(), pattern: pattern.into(), after: After::Block, check: None, reads: None }
    }

    pub(super) fn custom(name: String, pattern: String) -> Self {
        Self { name: name.into(), pattern: pattern.into(), after: After::Nothing, check: None, reads: None }
    }
}

/// A set of ASCII characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class(u128);

impl Class {
    /// Parses `spec`: `a-z` is a range, and a `-` at the end stands for itself.
    pub(super) fn of(spec: &str) -> Self {
        let (mut set, mut at, bytes) = (0_u128, 0, spec.as_bytes());
        while at < bytes.len() {
            let (first, last) = match bytes[at..] {
                [first, b'-', last, ..] => (first, last),
                [single, ..] => (single, single),
                [] => break,
            };
            at += if first == last { 1 } else { 3 };
            for byte in first..=last {
                set |= 1 << (byte & 127);
            }
        }
        Self(set)
    }

    pub(super) const fn contains(self, byte: u8) -> bool {
        byte < 128 && self.0 >> byte & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_its_ranges_and_single_characters() {
        let class = Class::of("a-c0_-");
        let held: String = (0..=255).filter(|byte| class.contains(*byte)).map(char::from).collect();
        assert_eq!(held, "-0_abc");
        assert_eq!(Class::of("+"), Class(1 << b'+'));
    }
}

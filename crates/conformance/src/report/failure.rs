//! The text of a failed check: its id, its rule, and the expected and the actual result.

use std::fmt::{Display, Write as _};

use serde::Serialize;

/// A failure in words. The checks write every assertion as `assert_eq!(actual, expected)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Failure {
    expected: String,
    actual: String,
    /// The case that the assertion names, or the values that it shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    case: Option<String>,
    /// The file and the line of the assertion.
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
}

/// Returns the lines for a failed check or law: its id, its rule, and the failure in words.
pub(crate) fn describe(kind: &str, id: &impl Display, rule: &str, detail: &str) -> String {
    format!("{kind}: {id}\nrule: {rule}\n{}", in_words(detail))
}

/// Returns the expected and the actual result of a failure, a line for each, and the case and the location where they are known.
pub(crate) fn in_words(detail: &str) -> String {
    let Failure { expected, actual, case, location } = Failure::parse(detail);
    let mut text = format!("expected: {expected}\nactual: {actual}");
    for (name, value) in [("case", case), ("at", location)] {
        if let Some(value) = value {
            let _ = write!(text, "\n{name}: {value}");
        }
    }
    text
}

impl Failure {
    pub(super) fn parse(detail: &str) -> Self {
        let (location, text) = match split_location(detail) {
            Some((location, text)) => (Some(location.to_owned()), text),
            None => (None, detail),
        };
        let (expected, actual, case) = Self::results(text);
        Self { expected, actual, case: case.filter(|case| !case.is_empty()), location }
    }

    /// Returns the expected result, the actual result, and the case.
    fn results(text: &str) -> (String, String, Option<String>) {
        let owned = |text: &str| text.trim().to_owned();
        if let Some((case, actual, expected)) = compared(text, "assertion `left == right` failed") {
            return (owned(expected), owned(actual), Some(owned(case)));
        }
        if let Some((case, actual, other)) = compared(text, "assertion `left != right` failed") {
            return (format!("a value other than {}", other.trim()), owned(actual), Some(owned(case)));
        }
        if let Some((case, rest)) = text.split_once("\n  expected: ")
            && let Some((expected, actual)) = rest.split_once("\n  actual: ")
        {
            return (owned(expected), owned(actual), Some(owned(case)));
        }
        if let Some(condition) = text.strip_prefix("assertion failed: ") {
            return (format!("`{condition}` is true"), "it is false".to_owned(), None);
        }
        if let Some(error) = text.strip_prefix("called `Result::unwrap()` on an `Err` value: ") {
            return ("the call succeeds".to_owned(), format!("the call fails: {error}"), None);
        }
        if let Some(answer) = text.strip_prefix("called `Result::unwrap_err()` on an `Ok` value: ") {
            return ("the call fails".to_owned(), format!("the call succeeds: {answer}"), None);
        }
        if text == "called `Option::unwrap()` on a `None` value" {
            return ("a value".to_owned(), "no value".to_owned(), None);
        }
        ("the rule holds".to_owned(), owned(text), None)
    }
}

/// Splits `file.rs:12: text` after the line number.
fn split_location(detail: &str) -> Option<(&str, &str)> {
    let at = detail.find(".rs:")? + ".rs:".len();
    let digits = detail[at..].bytes().take_while(u8::is_ascii_digit).count();
    let end = at + digits;
    let is_location = digits > 0 && !detail[..end].contains(char::is_whitespace);
    is_location.then_some(())?;
    Some((&detail[..end], detail[end..].strip_prefix(": ")?))
}

/// Splits the text of an `assert_eq!` or `assert_ne!` into its message, its left value and its right value.
fn compared<'a>(text: &'a str, head: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let (message, values) = text.strip_prefix(head)?.rsplit_once("\n  left: ")?;
    let (left, right) = values.split_once("\n right: ")?;
    Some((message.strip_prefix(": ").unwrap_or(message), left, right))
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    /// The text of a panic, with a location.
    fn text(work: impl FnOnce() + std::panic::UnwindSafe) -> String {
        let payload = catch_unwind(work).expect_err("it panics");
        let text = payload.downcast_ref::<String>().cloned();
        let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        format!("src/checks/a.rs:12: {}", text.expect("a text"))
    }

    #[test]
    fn failed_comparison_shows_expected_and_actual() {
        let detail = text(|| assert_eq!([1, 2], [1, 3], "backwards"));
        let lines =
            describe("check", &"pages.cursor_is_exclusive (VL-S1)", "a page excludes its cursor", &detail);
        let due = "check: pages.cursor_is_exclusive (VL-S1)\nrule: a page excludes its cursor\n\
            expected: [1, 3]\nactual: [1, 2]\ncase: backwards\nat: src/checks/a.rs:12";
        assert_eq!(lines, due);
        let detail = text(|| assert_ne!("a", "a"));
        let due = "expected: a value other than \"a\"\nactual: \"a\"\nat: src/checks/a.rs:12";
        assert_eq!(in_words(&detail), due);
    }

    #[expect(clippy::unnecessary_literal_unwrap, reason = "the test needs the panics of these calls")]
    #[test]
    fn failed_call_shows_whether_it_was_expected_to_succeed() {
        let detail = text(|| Err("busy").unwrap());
        assert!(
            in_words(&detail).starts_with("expected: the call succeeds\nactual: the call fails: \"busy\"")
        );
        let detail = text(|| Ok::<_, ()>(3).unwrap_err());
        assert!(in_words(&detail).starts_with("expected: the call fails\nactual: the call succeeds: 3"));
        let detail = text(|| None.unwrap());
        assert!(in_words(&detail).starts_with("expected: a value\nactual: no value"));
    }

    #[test]
    fn other_failures_keep_their_text() {
        let number = 3;
        let detail = text(|| assert!(number > 4));
        assert!(in_words(&detail).starts_with("expected: `number > 4` is true\nactual: it is false"));
        assert_eq!(
            in_words("it hangs: no end after 60s"),
            "expected: the rule holds\nactual: it hangs: no end after 60s"
        );
        let two = "t\n  expected: x\n  actual: y";
        assert_eq!(in_words(two), "expected: x\nactual: y\ncase: t");
    }
}

//! Where two calls or two answers differ. The texts are the kit's own, so that they may be shown.

use std::fmt::Debug;

use serde::Serialize;

/// How much is shown before and behind the first byte that differs.
const SHOWN: usize = 40;

/// Asserts that what came is what was due, and shows where it is not.
#[track_caller]
pub(crate) fn assert_same<T: Serialize + PartialEq + Debug>(case: &str, came: &T, due: &T) {
    if came != due {
        panic!("{case}: {}", difference(&json(came), &json(due)));
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it serializes")
}

/// Says where two texts differ.
pub(crate) fn difference(came: &str, due: &str) -> String {
    let at = came.bytes().zip(due.bytes()).take_while(|(came, due)| came == due).count();
    if at == came.len() && at == due.len() {
        return "they differ in what is not a part of the JSON".to_owned();
    }
    let chunk = |text: &str| {
        let cut = |to: usize| text.floor_char_boundary(to.min(text.len()));
        text[cut(at.saturating_sub(SHOWN))..cut(at + SHOWN)].to_owned()
    };
    format!("they differ from byte {at} on\n  expected: …{}…\n  actual: …{}…", chunk(due), chunk(came))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_shown_with_the_text_around_it() {
        let (came, due) = ("a".repeat(100) + "é 1.1, and on", "a".repeat(100) + "é 1.10, and on");
        let reported = difference(&came, &due);
        assert!(reported.starts_with("they differ from byte 106 on"), "{reported}");
        assert!(reported.contains("é 1.1, and on…") && reported.contains("é 1.10, and on…"), "{reported}");
        assert!(reported.len() < 300, "{reported}");
    }
}

//! Stored text for a terminal. A message is hostile: its escape sequences could rewrite the screen, and its control
//! characters could hide text. So every character that is no visible text is written as `\u{1b}`.

use std::{borrow::Cow, fmt::Write as _};

/// Returns the text on one line: a run of white space becomes a space.
pub(crate) fn line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut in_space = true;
    for char in text.chars() {
        if char.is_whitespace() && !is_hidden_space(char) {
            if !in_space {
                shown.push(' ');
            }
            in_space = true;
        } else {
            in_space = false;
            push(&mut shown, char);
        }
    }
    shown.truncate(shown.trim_end().len());
    shown
}

/// Returns the text with its line breaks.
pub(crate) fn block(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\n' => shown.push('\n'),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\t' => shown.push_str("    "),
            char => push(&mut shown, char),
        }
    }
    shown
}

/// Returns JSON without raw control characters: those between its tokens become spaces, and those in its strings become JSON
/// escapes of the same value.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            // JSON has these only between its tokens.
            '\n' | '\r' | '\t' => shown.push(' '),
            char if is_hidden(char) => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    write!(shown, "\\u{unit:04x}").expect("a string takes any text");
                }
            }
            char => shown.push(char),
        }
    }
    Cow::Owned(shown)
}

fn push(shown: &mut String, char: char) {
    if is_hidden(char) {
        write!(shown, "\\u{{{:x}}}", u32::from(char)).expect("a string takes any text");
    } else {
        shown.push(char);
    }
}

/// The characters that `is_whitespace` counts and that a terminal or an editor treats as control characters.
const fn is_hidden_space(char: char) -> bool {
    matches!(char, '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Control characters, marks of the writing direction, and characters without a width that hide or reorder text. The joiners
/// of emoji and scripts are text.
const fn is_hidden(char: char) -> bool {
    matches!(
        char,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_hidden_characters_are_shown_as_text() {
        let hostile = "\u{1b}[2J\u{9b}31mred\u{7}\u{202e}txt.exe\u{0}";
        assert_eq!(line(hostile), r"\u{1b}[2J\u{9b}31mred\u{7}\u{202e}txt.exe\u{0}");
        assert_eq!(block(hostile), line(hostile));
        assert_eq!(line(" a\r\n\tb \n"), "a b");
        assert_eq!(line("a\u{2028}b\u{85}c"), r"a\u{2028}b\u{85}c");
        assert_eq!(block("a\r\n\tb\rc"), "a\n    b\\u{d}c");
        assert_eq!(line("日本 👩‍👩‍👧 é"), "日本 👩‍👩‍👧 é");
    }

    #[test]
    fn json_keeps_its_value_without_raw_control_characters() {
        let text = "{\n\t\"a\": \"\u{9b}31m\u{202e}\u{e0041}\"\r}";
        let shown = json(text);
        assert_eq!(shown, r#"{  "a": "\u009b31m\u202e\udb40\udc41" }"#);
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&shown), value(text));
        assert!(matches!(json("{\"a\":\"é\"}"), Cow::Borrowed(_)));
    }
}

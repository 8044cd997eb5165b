//! A cipher of single letters: what it makes of a text does not depend on where the text is cut.

use throughline_core::{
    Content, Delta, Metadata, PersistArgs, ReadArgs, Title,
    messages::{CarriesContent, FieldValueMut},
};

/// Enciphers the strings of a call or of an answer, or deciphers them: twice is as if it had not been.
pub(super) fn turn(carrier: &mut impl CarriesContent) {
    for field in carrier.content_fields_mut() {
        match field.value {
            FieldValueMut::Whole(content) | FieldValueMut::Delta(Delta::Blocks(content)) => {
                *content = blocks(content);
            }
            FieldValueMut::Delta(Delta::Text(text))
            | FieldValueMut::Reason(text)
            | FieldValueMut::Preview(text) => {
                *text = letters(text);
            }
            FieldValueMut::Metadata(metadata) => {
                let json = serde_json::to_string(metadata).expect("metadata serializes");
                *metadata = serde_json::from_str::<Metadata>(&in_values(&json)).expect("metadata");
            }
            FieldValueMut::Title(title) => *title = Title::new(letters(title.as_str())).expect("a title"),
        }
    }
}

/// Enciphers the words of a search, and the value of a find.
pub(super) fn turn_query(args: &mut PersistArgs) {
    match args {
        PersistArgs::Read(ReadArgs::Search(search)) => search.query = letters(&search.query),
        PersistArgs::Read(ReadArgs::Find(find)) => {
            let json = serde_json::to_string(&find.metadata).expect("metadata serializes");
            find.metadata = serde_json::from_str(&in_values(&json)).expect("metadata");
        }
        _ => {}
    }
}

fn blocks(content: &Content) -> Content {
    Content::from_json(in_values(content.as_json())).expect("the same array with other letters")
}

fn letters(text: &str) -> String {
    text.chars().map(letter).collect()
}

/// The letter thirteen positions later in the alphabet.
fn letter(letter: char) -> char {
    let turned = |first: u8| char::from(first + (letter as u8 - first + 13) % 26);
    match letter {
        'a'..='z' => turned(b'a'),
        'A'..='Z' => turned(b'A'),
        other => other,
    }
}

/// Rotates the letters of every string that is a value. The type of a block stays: appends depend on it.
fn in_values(json: &str) -> String {
    let (mut turned, mut rest, mut name) = (String::new(), json, "");
    while let Some(at) = rest.find('"') {
        let (before, string) = rest.split_at(at + 1);
        let (text, behind) = string.split_at(closing_quote(string));
        let is_name = behind[1..].trim_start().starts_with(':');
        turned.push_str(before);
        if is_name || name == "type" {
            turned.push_str(text);
        } else {
            turned.push_str(&outside_escapes(text));
        }
        turned.push('"');
        name = if is_name { text } else { "" };
        rest = &behind[1..];
    }
    turned + rest
}

/// Where the string that begins here ends.
fn closing_quote(string: &str) -> usize {
    let mut escaped = false;
    let quote = string.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    quote.expect("JSON closes its strings")
}

fn outside_escapes(text: &str) -> String {
    let (mut turned, mut letters) = (String::new(), text.chars());
    while let Some(next) = letters.next() {
        if next != '\\' {
            turned.push(letter(next));
            continue;
        }
        let escape = letters.next().unwrap_or_default();
        turned.extend([next, escape]);
        turned.extend(letters.by_ref().take(if escape == 'u' { 4 } else { 0 }));
    }
    turned
}

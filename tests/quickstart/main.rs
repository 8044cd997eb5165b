//! Tests of the reader of the quickstart, which the example `production_stack` also uses.

#[path = "../../examples/quickstart/array.rs"]
mod array;
#[path = "../../examples/quickstart/lines.rs"]
mod lines;
#[path = "../../examples/quickstart/reader.rs"]
mod reader;
#[path = "../../examples/quickstart/record.rs"]
mod record;
#[path = "../../examples/quickstart/skipped.rs"]
mod skipped;
#[path = "../../examples/quickstart/transcript.rs"]
#[expect(dead_code, reason = "the quickstart uses more of this module")]
mod transcript;

use throughline::Role;

use self::{
    reader::Reader,
    skipped::{Kind, MAX_LISTED},
};

fn read(input: &str) -> Reader {
    let mut reader = Reader::default();
    reader.input("in.jsonl", input.as_bytes());
    reader
}

fn chat(from: &str) -> String {
    format!(r#"{{"id":"c","conversations":[{{"from":"{from}","value":"hello"}}]}}"#)
}

/// Converters write the names of models and products in place of `gpt`.
#[test]
fn a_speaker_named_after_a_model_or_product_is_the_assistant() {
    let due = [
        ("human", Role::User),
        ("user", Role::User),
        ("gpt", Role::Assistant),
        ("assistant", Role::Assistant),
        ("chatgpt", Role::Assistant),
        ("bing", Role::Assistant),
        ("bard", Role::Assistant),
        ("bot", Role::Assistant),
        ("model", Role::Assistant),
        ("system", Role::System),
        ("tool", Role::Tool),
        ("function", Role::Tool),
    ];
    for (from, role) in due {
        let reader = read(&chat(from));
        assert_eq!((reader.records, reader.skipped.total()), (1, 0), "{from}");
        let conversations = reader.transcript.into_conversations();
        let roles: Vec<Role> = conversations[0].turns.iter().map(|turn| turn.role).collect();
        assert_eq!(roles, [role], "{from}");
    }
}

#[test]
fn an_unknown_speaker_is_skipped_by_name() {
    for from in ["ChatGPT", "claude", "", "gpt "] {
        let reader = read(&chat(from));
        assert_eq!((reader.records, reader.transcript.messages()), (0, 0), "{from}");
        let due = format!("in.jsonl:1: turn 1 of the chat: unknown speaker {from}");
        assert_eq!(reader.skipped.listed, [due]);
    }
}

#[test]
fn bad_lines_beyond_the_first_100_are_counted_by_kind() {
    let mut input = "not JSON\n".repeat(300_000);
    input.push_str("\n[1]\n{}\n");
    input.push_str(&chat("human"));
    input.push_str("\n{\"cut");
    let reader = read(&input);
    assert_eq!((reader.records, reader.skipped.total()), (1, 300_004));
    assert_eq!(reader.skipped.listed.len(), MAX_LISTED);
    assert_eq!(reader.skipped.listed[99], "in.jsonl:100: not JSON: expected ident at column 2");
    let others: Vec<(Kind, usize)> = reader.skipped.others.clone().into_iter().collect();
    assert_eq!(others, [(Kind::Blank, 1), (Kind::CutOff, 1), (Kind::NotJson, 299_900), (Kind::NoRecord, 2)]);
    let printed = reader.skipped.to_string();
    assert_eq!(printed.lines().count(), MAX_LISTED + 4);
    assert!(
        printed.ends_with(
            "skipped 1 more: blank\nskipped 1 more: cut off\nskipped 299900 more: not JSON\n\
             skipped 2 more: neither a turn nor a chat\n"
        ),
        "{printed}"
    );
}

/// A whole array is read element by element, and its bad elements are counted like lines.
#[test]
fn bad_elements_of_an_array_beyond_the_first_100_are_counted_by_kind() {
    let mut input = format!("[{}", chat("human"));
    input.push_str(&",1".repeat(200_000));
    input.push(']');
    let reader = read(&input);
    assert_eq!((reader.records, reader.skipped.total()), (1, 200_000));
    assert_eq!(reader.skipped.listed.len(), MAX_LISTED);
    assert_eq!(reader.skipped.listed[0], "in.jsonl, element 2: expected an object, found a number");
    assert_eq!(reader.skipped.others.into_iter().collect::<Vec<_>>(), [(Kind::NoRecord, 199_900)]);
}

#[test]
fn a_file_that_cannot_be_opened_is_skipped_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("absent.jsonl");
    let mut reader = Reader::default();
    reader.file(&path);
    assert_eq!((reader.records, reader.skipped.total()), (0, 1));
    let due = format!("{}: cannot be opened: ", path.display());
    assert!(reader.skipped.listed[0].starts_with(&due), "{}", reader.skipped.listed[0]);
}

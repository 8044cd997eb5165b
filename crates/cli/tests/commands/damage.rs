//! Damage of a file, as the commands report it.

use std::fs;

use throughline::NewMessage;

use crate::kit::{files, open, run_on, store};

/// Changes one bit of the only occurrence of a text in a file.
pub(crate) fn flip(path: &std::path::Path, text: &str) {
    let mut bytes = fs::read(path).unwrap();
    let found: Vec<usize> = bytes
        .windows(text.len())
        .enumerate()
        .filter(|(_, at)| *at == text.as_bytes())
        .map(|(at, _)| at)
        .collect();
    assert!(!found.is_empty(), "the text is not in the file");
    for at in found {
        bytes[at] ^= 1;
    }
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_flipped_byte_is_found_and_its_row_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    store(&path).await;
    let db = open(&path).await;
    let message = NewMessage::user("a text that occurs once, zebra-17").with_id("m-damaged".parse().unwrap());
    db.thread("trip").add(message).await.unwrap();
    db.close().await.unwrap();
    assert_eq!(run_on(&path, &["verify"]).code, 0);
    // The content, but not the preview of the thread or the words of the index.
    flip(&path, "\"text\":\"a text that occurs once, zebra-17\"");
    let before = files(folder.path());

    let found = run_on(&path, &["verify"]);
    assert_eq!(found.code, 3, "{found:?}");
    assert!(found.out.replace('\n', " ").contains("message `m-damaged`"), "{found:?}");
    let json = run_on(&path, &["verify", "--json"]);
    assert_eq!(json.code, 3);
    let json = json.json();
    assert_eq!(json["sound"], false);
    let damaged = json["damaged"].as_array().unwrap();
    let named = damaged.iter().find(|damage| damage["message"] == "m-damaged");
    let named = named.unwrap_or_else(|| panic!("{json}"));
    assert_eq!(
        (&named["part"], &named["tenant"], &named["thread"]),
        (&"message".into(), &"default".into(), &"trip".into())
    );

    let shown = run_on(&path, &["show", "trip"]);
    assert_eq!(shown.code, 3, "{shown:?}");
    assert!(shown.out.contains("damaged  #"), "{shown:?}");
    assert!(shown.out.contains("Where to? Lisbon by train"), "the others are readable: {shown:?}");
    let plan = run_on(&path, &["repair"]);
    assert_eq!(plan.code, 3, "{plan:?}");
    assert_eq!(files(folder.path()), before);

    let copy = folder.path().join("copy.db");
    let backup = run_on(&path, &["backup", copy.to_str().unwrap(), "--prove", "--json"]);
    assert_eq!(backup.code, 3, "a copy of a damaged store has its damage: {backup:?}");
    assert_eq!(backup.json()["proof"]["verification"]["sound"], false);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_at_all_is_a_finding_of_verify() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    store(&path).await;
    let mut bytes = fs::read(&path).unwrap();
    // The page with the schema.
    bytes[100..4096].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let found = run_on(&path, &["verify", "--json"]);
    assert_eq!(found.code, 3, "{found:?}");
    assert_eq!(found.json()["damaged"][0]["part"], "file");
    assert_eq!(run_on(&path, &["threads"]).code, 1);
}

//! RR-S13: the names of folders that are chats.

use std::fs;

use throughline_transfer::{ChatFolder, FindingKind, TransferError};

use crate::support::{ID, OTHER, catalog, chat, entry, everything, header, lines, store, turn};

fn transcript(id: &str) -> String {
    lines(&[header(id), turn(1, "q", "a")])
}

#[tokio::test]
async fn a_name_is_canonicalized_or_refused_consistently() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    chat(dir, &ID.to_uppercase(), transcript(ID));
    let bad = [&format!("{ID}\n"), &format!("{ID}-00"), &ID.replace("0c", "0g"), ".dirmarker"];
    for name in bad {
        chat(dir, name, transcript(ID));
    }
    fs::write(dir.join(OTHER), "a file").unwrap();
    let entries = [
        entry(&ID.to_uppercase(), "shouted", 1, "q"),
        entry("../x", "outside", 1, "q"),
        entry("", "", 1, "q"),
    ];
    catalog(dir, &entries);
    let db = store();
    let report = ChatFolder::open(dir).unwrap().import(&db).await.unwrap();
    let all = everything(&db).await;
    assert_eq!(all.keys().collect::<Vec<_>>(), [ID]);
    assert_eq!(all[ID].0.title.as_str(), "shouted");
    let found = |kind: &FindingKind| report.skipped.iter().filter(|finding| finding.kind == *kind).count();
    assert_eq!(
        (found(&FindingKind::NoChatId), found(&FindingKind::OtherFile), report.skipped.len()),
        (6, 1, 7)
    );
}

#[cfg(unix)]
#[tokio::test]
async fn no_symbolic_link_is_followed() {
    use std::os::unix::fs::symlink;

    let outside = tempfile::tempdir().unwrap();
    chat(outside.path(), OTHER, transcript(OTHER));
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    symlink(outside.path().join(OTHER), dir.join(OTHER)).unwrap();
    fs::create_dir(dir.join(ID)).unwrap();
    symlink(outside.path().join(OTHER).join("chat.jsonl"), dir.join(ID).join("chat.jsonl")).unwrap();
    let db = store();
    let report = ChatFolder::open(dir).unwrap().import(&db).await.unwrap();
    assert_eq!(everything(&db).await.len(), 0);
    let found: Vec<&FindingKind> = report.skipped.iter().map(|finding| &finding.kind).collect();
    assert_eq!(found, [&FindingKind::SymbolicLink, &FindingKind::SymbolicLink]);
    symlink(outside.path().join("catalog.json"), dir.join("catalog.json")).unwrap();
    let error = ChatFolder::open(dir).unwrap().import(&db).await.unwrap_err();
    assert!(matches!(error, TransferError::SymbolicLink { .. }), "{error}");
}

#[tokio::test]
async fn a_header_of_another_chat_and_a_folder_without_a_transcript_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    chat(folder.path(), ID, transcript(OTHER));
    fs::create_dir(folder.path().join(OTHER)).unwrap();
    catalog(folder.path(), &[entry("99999999-2222-4333-8444-555555555555", "lost", 1, "q")]);
    let report = ChatFolder::open(folder.path()).unwrap().plan().await.unwrap();
    let found: Vec<&FindingKind> = report.skipped.iter().map(|finding| &finding.kind).collect();
    assert_eq!(
        found,
        [&FindingKind::HeaderOfAnother, &FindingKind::NoTranscript, &FindingKind::NoTranscript]
    );
    assert_eq!((report.threads, report.messages), (0, 0));
    let error = ChatFolder::open(folder.path().join("nothing")).unwrap_err();
    assert!(matches!(error, TransferError::Io { operation: "read", .. }), "{error}");
}

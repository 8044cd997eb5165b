//! Chat histories of aider.

use std::{fs, path::Path};

use throughline_core::{Role, Timestamp};
use throughline_transfer::{Aider, AnySource, FindingKind, Format};

use crate::support::{cut_at_every_byte, everything, rows, store};

/// 2025-06-14T10:00:00Z
const TEN: i64 = 1_749_895_200_000_000;

const FIRST: &str = "
# aider chat started at 2025-06-14 10:00:00

> Aider v0.84.0  
> Model: m with diff edit format  

#### make a list  
####   of two  

Here:

#### A heading
> A quotation

```
a
\t
b
```

> Tokens: 1k sent.  
#### /exit  
";
const SECOND: &str = "
# aider chat started at 2025-06-14 11:00:00

#### hello  

hi\r

";

fn texts(rows: &[throughline_core::messages::ImportRow]) -> Vec<(Role, String)> {
    rows.iter().map(|row| (row.role, row.content.plain_text(usize::MAX))).collect()
}

fn due(rows: &[(Role, &str)]) -> Vec<(Role, String)> {
    rows.iter().map(|(role, text)| (*role, (*text).to_owned())).collect()
}

#[tokio::test]
async fn every_session_is_a_thread_with_its_messages_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.bin");
    fs::write(&path, [FIRST, SECOND].concat()).unwrap();
    let (db, source) = (store(), AnySource::detect(&path).unwrap());
    assert_eq!(source.format(), Format::Aider);
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.threads, report.messages), (2, 8));
    assert_eq!((report.skipped.len(), report.warnings.len()), (0, 0));
    let all = everything(&db).await;
    let (thread, rows) = &all["aider 2025-06-14 10:00:00"];
    assert_eq!(thread.labels.get("source").unwrap().as_str(), "aider");
    assert_eq!(thread.created_at, Timestamp::from_micros(TEN));
    assert!(rows.iter().all(|row| row.created_at == thread.created_at));
    assert_eq!(
        texts(rows),
        due(&[
            (Role::Tool, "Aider v0.84.0"),
            (Role::Tool, "Model: m with diff edit format"),
            (Role::User, "make a list\n  of two"),
            (Role::Assistant, "Here:\n\n#### A heading\n> A quotation\n\n```\na\n\t\nb\n```"),
            (Role::Tool, "Tokens: 1k sent."),
            (Role::User, "/exit"),
        ])
    );
    let numbers: Vec<_> = rows.iter().map(|row| row.id.as_str()[..10].to_owned()).collect();
    assert_eq!(numbers, ["message-1-", "message-2-", "message-3-", "message-4-", "message-5-", "message-6-"]);
    let second = texts(&all["aider 2025-06-14 11:00:00"].1);
    assert_eq!(second, due(&[(Role::User, "hello"), (Role::Assistant, "hi")]));
}

#[tokio::test]
async fn without_spaces_at_the_ends_every_mark_counts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(".aider.chat.history.md");
    fs::write(&path, "# aider chat started at 2025-06-14 10:00:00\n\n#### a\n\nb\n> c\n\nd").unwrap();
    let db = store();
    let report = Aider::open(dir.path()).unwrap().import(&db).await.unwrap();
    let rows = rows(&db, "aider 2025-06-14 10:00:00").await;
    assert_eq!(texts(&rows), due(&[(Role::User, "a"), (Role::Assistant, "b"), (Role::Tool, "c")]));
    let skipped: Vec<_> = report.skipped.iter().map(ToString::to_string).collect();
    assert_eq!(skipped, [format!("{}:8: the file ends within it", path.display())]);
}

#[tokio::test]
async fn a_grown_history_adds_the_new_messages_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("h.md");
    fs::write(&path, FIRST).unwrap();
    let (db, source) = (store(), Aider::open(&path).unwrap());
    assert_eq!(source.import(&db).await.unwrap().messages, 6);
    let again = source.import(&db).await.unwrap();
    assert_eq!((again.messages, again.already_there, again.skipped.len()), (0, 6, 0));
    fs::write(&path, [FIRST, "\nbye\n\n", SECOND].concat()).unwrap();
    let grown = source.import(&db).await.unwrap();
    assert_eq!((grown.messages, grown.already_there, grown.skipped.len()), (3, 6, 0));
    let last = rows(&db, "aider 2025-06-14 10:00:00").await.pop().unwrap();
    assert_eq!((last.role, last.content.plain_text(usize::MAX)), (Role::Assistant, "bye".to_owned()));
}

#[tokio::test]
async fn a_message_that_is_cut_off_at_a_line_is_followed_by_the_whole_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("h.md");
    let whole = [SECOND.trim_end(), "\n\nmore\n\n"].concat();
    fs::write(&path, SECOND).unwrap();
    let (db, source) = (store(), Aider::open(&path).unwrap());
    assert_eq!(source.import(&db).await.unwrap().messages, 2);
    fs::write(&path, whole).unwrap();
    assert_eq!(source.import(&db).await.unwrap().messages, 1);
    let rows = rows(&db, "aider 2025-06-14 11:00:00").await;
    assert_eq!(
        texts(&rows),
        due(&[(Role::User, "hello"), (Role::Assistant, "hi"), (Role::Assistant, "hi\n\nmore")])
    );
}

#[tokio::test]
async fn a_history_that_is_cut_off_anywhere_is_imported_up_to_there() {
    let dir = tempfile::tempdir().unwrap();
    let whole = "\n# aider chat started at 2025-06-14 10:00:00\n\n> Aider  \n> Model  \n\n#### é  \n\nan answer\nof two lines\n\n> Tokens  \n\n#### bye  \n";
    let open = |path: &Path| Aider::open(path).unwrap().into();
    cut_at_every_byte(&dir.path().join("h.md"), whole.as_bytes(), open).await;
}

#[tokio::test]
async fn hostile_histories_are_bounded_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("h.md");
    let mut text =
        String::from("before the header\n\n# aider chat started at yesterday\n\n#### a  \n").into_bytes();
    text.extend(b"\xff\n");
    text.extend("x".repeat(2_000).bytes().chain(*b"\n"));
    text.extend("answer\n".repeat(500).bytes().chain(*b"\n"));
    text.extend(format!("# aider chat started at {}\n#### b  \n", "9".repeat(300)).bytes());
    text.extend(b"# aider chat started at 2025-06-14 10:00:00\n#### c  \n".repeat(2));
    fs::write(&path, text).unwrap();
    let db = store();
    let report = Aider::open(&path).unwrap().with_max_message_bytes(1_000).import(&db).await.unwrap();
    let at = |line: u64| format!("{}:{line}", path.display());
    let skipped: Vec<_> =
        report.skipped.iter().map(|found| (found.location.to_string(), found.kind.name())).collect();
    assert_eq!(
        skipped,
        [
            (at(1), "no-header"),
            (at(6), "not-utf8"),
            (at(7), "line-too-long"),
            (at(8), "too-large"),
            (at(509), "invalid-id"),
            (at(510), "invalid-id"),
        ]
    );
    assert_eq!(report.warnings[0].kind, FindingKind::NoTime("aider chat started at"));
    let all = everything(&db).await;
    let names: Vec<_> = all.keys().map(String::as_str).collect();
    assert_eq!(names, ["aider 2025-06-14 10:00:00", "aider 2025-06-14 10:00:00/2", "aider yesterday"]);
    assert_eq!(report.messages, 3);
}

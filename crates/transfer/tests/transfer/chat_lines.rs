//! Transcripts and catalogs that are torn, corrupt, newer, or have unknown fields.

use std::fs;

use throughline_core::{Content, Message, Role, Timestamp};
use throughline_transfer::{ChatFolder, FindingKind, Location, TransferError};

use crate::support::{ID, OTHER, catalog, chat, entry, everything, header, lines, rows, store, turn};

fn ids(rows: &[throughline_core::messages::ImportRow]) -> Vec<&str> {
    rows.iter().map(|row| row.id.as_str()).collect()
}

#[tokio::test]
async fn a_turn_is_a_question_and_an_answer_of_its_time() {
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), &[entry(ID, "  Lisbon ", 2, "two")]);
    let second = r#"{"type":"turn","schema_version":1,"seq":2,"created":"2024-03-01T00:00:02.5+00:00","question":{"text":"two"},"answer":"\u00e9 \ud800"}"#;
    chat(folder.path(), ID, lines(&[header(ID), turn(1, "one \u{0}", "1"), second.to_owned()]));
    let db = store();
    let source = ChatFolder::open(folder.path()).unwrap();
    let plan = source.plan().await.unwrap();
    let report = source.import(&db).await.unwrap();
    assert_eq!(report, plan);
    assert_eq!((report.threads, report.messages, report.skipped.len(), report.warnings.len()), (1, 4, 0, 0));
    let all = everything(&db).await;
    let (thread, messages) = &all[ID];
    assert_eq!((thread.title.as_str(), thread.messages, thread.turns), ("Lisbon", 4, 2));
    assert_eq!(thread.preview.as_deref(), Some("two"));
    let due = [
        ("turn-1-question", Role::User, Content::text("one \u{0}").as_json().to_owned(), 1_000_000),
        ("turn-1-answer", Role::Assistant, Content::text("1").as_json().to_owned(), 1_000_000),
        ("turn-2-question", Role::User, r#"[{"text":"two"}]"#.to_owned(), 2_500_000),
        (
            "turn-2-answer",
            Role::Assistant,
            r#"[{"type":"text","text":"\u00e9 \ud800"}]"#.to_owned(),
            2_500_000,
        ),
    ];
    let began = 1_709_251_200_000_000;
    assert_eq!(thread.created_at, Timestamp::from_micros(began));
    for (row, (id, role, content, after)) in messages.iter().zip(due) {
        let at = Timestamp::from_micros(began + after);
        assert_eq!((row.id.as_str(), row.role, row.content.as_json()), (id, role, &*content));
        assert_eq!((row.created_at, row.updated_at), (at, at));
    }
    // Only the lines that were added since are imported.
    let third = turn(3, "three", "3");
    let path = folder.path().join(ID).join("chat.jsonl");
    fs::write(&path, format!("{}{third}\n", fs::read_to_string(&path).unwrap())).unwrap();
    let again = source.import(&db).await.unwrap();
    assert_eq!((again.messages, again.already_there), (2, 4));
    assert_eq!(ids(&rows(&db, ID).await)[4..], ["turn-3-question", "turn-3-answer"]);
}

/// RR-S7
#[tokio::test]
async fn every_invalid_line_is_reported_and_every_valid_turn_is_imported() {
    let folder = tempfile::tempdir().unwrap();
    let text = [
        header(ID),
        String::new(),
        "null".to_owned(),
        "123".to_owned(),
        "\"x\"".to_owned(),
        "[]".to_owned(),
        r#"{"type":"tombstone","schema_version":1}"#.to_owned(),
        turn(1, "q1", "a1"),
        r#"{"type":"turn","schema_version":1,"seq":2,"cre"#.to_owned(),
        header(OTHER),
        "   \t".to_owned(),
        r#"{"no":"type"}"#.to_owned(),
        turn(3, "q3", "a3"),
    ];
    let mut bytes = lines(&text).into_bytes();
    bytes.extend_from_slice(b"\xff\xfe\n\0\0\0\n");
    bytes.extend_from_slice(br#"{"type":"turn","schema_version":1,"seq":4,"answer":"to"#);
    chat(folder.path(), ID, &bytes);
    let db = store();
    let report = ChatFolder::open(folder.path()).unwrap().import(&db).await.unwrap();
    let due = ["turn-1-question", "turn-1-answer", "turn-3-question", "turn-3-answer"];
    assert_eq!(ids(&rows(&db, ID).await), due);
    let found: Vec<(u64, FindingKind)> = report
        .skipped
        .iter()
        .map(|finding| match &finding.location {
            Location::Line { line, .. } => (*line, finding.kind.clone()),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(
        found,
        [
            (2, FindingKind::Blank),
            (3, FindingKind::NoObject),
            (4, FindingKind::NoObject),
            (5, FindingKind::NoObject),
            (6, FindingKind::NoObject),
            (7, FindingKind::UnknownType("tombstone".to_owned())),
            (9, FindingKind::NotJson(46)),
            (10, FindingKind::SecondHeader),
            (11, FindingKind::Blank),
            (12, FindingKind::UnknownType(String::new())),
            (14, FindingKind::NotJson(1)),
            (15, FindingKind::NotJson(1)),
            (16, FindingKind::NotJson(54)),
        ]
    );
    let [gap] = &report.warnings[..] else { panic!("{:?}", report.warnings) };
    assert_eq!(gap.kind, FindingKind::SeqGap { after: 1, seq: 3 });
    assert!(gap.to_string().ends_with("chat.jsonl:13: turn 3 follows turn 1"));
}

#[tokio::test]
async fn repeated_unordered_or_missing_numbers_lose_no_turn() {
    let folder = tempfile::tempdir().unwrap();
    let nameless = r#"{"type":"turn","seq":"x","question":"q"}"#;
    let text =
        [turn(2, "a", "1"), turn(2, "b", "2"), turn(1, "c", "3"), turn(2, "d", "4"), nameless.to_owned()];
    chat(folder.path(), ID, lines(&text));
    let db = store();
    let source = ChatFolder::open(folder.path()).unwrap();
    let report = source.import(&db).await.unwrap();
    let due = [
        "turn-2-question",
        "turn-2-answer",
        "turn-2.2-question",
        "turn-2.2-answer",
        "turn-1-question",
        "turn-1-answer",
        "turn-2.3-question",
        "turn-2.3-answer",
        "line-5-question",
    ];
    let read = rows(&db, ID).await;
    assert_eq!(ids(&read), due);
    // A turn without a time has that of the turn before.
    assert_eq!(read[8].created_at, read[7].created_at);
    let found: Vec<FindingKind> = report.warnings.iter().map(|finding| finding.kind.clone()).collect();
    assert_eq!(
        found,
        [
            FindingKind::NoHeader,
            FindingKind::SeqGap { after: 0, seq: 2 },
            FindingKind::SeqTwice(2),
            FindingKind::SeqOutOfOrder { after: 2, seq: 1 },
            FindingKind::SeqTwice(2),
            FindingKind::NoField("schema_version"),
            FindingKind::WrongField("seq"),
            FindingKind::NoTime("created"),
            FindingKind::NoField("answer"),
        ]
    );
    let again = source.import(&db).await.unwrap();
    assert_eq!((again.messages, again.already_there), (0, 9));
}

/// The import half of RR-S6.
#[tokio::test]
async fn a_transcript_truncated_at_any_byte_keeps_every_whole_line() {
    let folder = tempfile::tempdir().unwrap();
    let turns = [turn(1, "é\u{0}", "\"}"), turn(2, "🦀", ""), turn(3, "last", "{\"a\":1}")];
    let text = [header(ID)].into_iter().chain(turns).collect::<Vec<_>>();
    let bytes = lines(&text).into_bytes();
    for cut in 0..=bytes.len() {
        chat(folder.path(), ID, &bytes[..cut]);
        let db = store();
        let report = ChatFolder::open(folder.path()).unwrap().import(&db).await.unwrap();
        // A line that lacks only its line break is complete.
        let mut end = 0;
        let whole = text
            .iter()
            .take_while(|line| {
                end += line.len() + 1;
                end <= cut + 1
            })
            .count();
        let read = rows(&db, ID).await;
        assert_eq!(read.len(), 2 * whole.saturating_sub(1), "cut at {cut}");
        let is_torn = bytes[..cut].last().is_some_and(|byte| *byte != b'\n') && {
            let line_end: usize = text.iter().take(whole).map(|line| line.len() + 1).sum();
            cut >= line_end
        };
        assert_eq!(
            report.skipped.len(),
            usize::from(is_torn && cut > 0 && whole < 4 && bytes[cut - 1] != b'\n'),
            "cut at {cut}"
        );
    }
}

/// RR-S8
#[tokio::test]
async fn a_corrupt_catalog_is_an_error_and_transcripts_import_without_it() {
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), &[entry(ID, "one", 2, "q2"), entry(OTHER, "two", 1, "q1")]);
    chat(folder.path(), ID, lines(&[header(ID), turn(1, "q1", "a1"), turn(2, &"é".repeat(100), "a2")]));
    chat(folder.path(), OTHER, lines(&[header(OTHER), turn(1, "q1", "a1")]));
    let path = folder.path().join("catalog.json");
    let whole = fs::read(&path).unwrap();
    let source = ChatFolder::open(folder.path()).unwrap();
    let db = store();
    for cut in (0..whole.len()).step_by(7) {
        fs::write(&path, &whole[..cut]).unwrap();
        let error = source.import(&db).await.unwrap_err();
        assert!(matches!(&error, TransferError::Corrupt { line: 1, .. }), "{cut}: {error}");
        assert_eq!(fs::read(&path).unwrap(), whole[..cut]);
    }
    for (text, line, column) in [("[1]", 1, 0), ("{}", 1, 0), ("{\n\"chats\":{}}", 2, 0), ("{\n x}", 2, 2)] {
        fs::write(&path, text).unwrap();
        let error = source.plan().await.unwrap_err();
        let TransferError::Corrupt { line: at, column: found, .. } = &error else { panic!("{error}") };
        assert_eq!((*at, *found), (line, column), "{text}: {error}");
    }
    assert_eq!(everything(&db).await.len(), 0);
    let rebuilt = source.clone().without_catalog().import(&db).await.unwrap();
    assert_eq!((rebuilt.threads, rebuilt.messages), (2, 6));
    let all = everything(&db).await;
    let (thread, _) = &all[ID];
    assert!(thread.title.is_untitled());
    assert_eq!((thread.turns, thread.preview.clone()), (2, Some("é".repeat(80))));
    assert_eq!(thread.active_at, Timestamp::from_micros(1_709_251_202_000_000));
    // A missing catalog is not corrupt.
    fs::remove_file(&path).unwrap();
    let other = store();
    source.import(&other).await.unwrap();
    assert_eq!(everything(&other).await, all);
}

/// The import half of RR-S9.
#[tokio::test]
async fn newer_versions_are_kept_whole_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let newer = r#"{"type":"turn","schema_version":99, "seq":2,"who":1.10,"question":["q"]}"#;
    let stranger = r#"{"type":"memo","schema_version":2,"n":18446744073709551616}"#;
    let text = [header(ID), turn(1, "q", "a"), newer.to_owned(), stranger.to_owned(), turn(3, "q", "a")];
    chat(folder.path(), ID, lines(&text));
    let catalog = format!(r#"{{"schema_version":2,"chats":[{}]}}"#, entry(ID, "still read", 2, "q"));
    fs::write(folder.path().join("catalog.json"), catalog).unwrap();
    let db = store();
    let report = ChatFolder::open(folder.path()).unwrap().import(&db).await.unwrap();
    assert_eq!((report.messages, report.skipped.len(), report.newer.len()), (6, 0, 3));
    assert_eq!(report.newer[0], Location::File(folder.path().join("catalog.json")));
    assert_eq!(everything(&db).await[ID].0.title.as_str(), "still read");
    let recalled = db.thread(ID).recall(None, 50).await.unwrap().messages;
    let flagged: Vec<&Message> =
        recalled.iter().filter(|message| message.metadata.get("chat.opaque").is_some()).collect();
    let [memo, turn] = flagged[..] else { panic!("{flagged:?}") };
    assert_eq!((turn.id.as_str(), turn.role), ("turn-2-opaque", Role::System));
    assert_eq!(turn.content.as_json(), r#"[{"type":"chat.opaque","schemaVersion":99}]"#);
    assert_eq!(turn.metadata.get("chat.opaque").unwrap().get(), newer);
    assert_eq!(
        (memo.id.as_str(), memo.metadata.get("chat.opaque").unwrap().get()),
        ("line-4-opaque", stranger)
    );
}

#[tokio::test]
async fn unknown_fields_are_kept_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let known = header(ID);
    let header = known.replace('}', r#","theme":{"a" : 1.10}}"#);
    let turn = r#"{ "type":"turn","schema_version":1,"seq":1,"created":"2024-03-01T00:00:01Z","question":"q","answer":"a","cost":1.10,"big":18446744073709551616 }"#;
    let entry = entry(ID, "t", 1, "q").replace('}', r#","pinned":true,"x":[ 1e2 ]}"#);
    chat(folder.path(), ID, lines(&[header.clone(), turn.to_owned()]));
    let text = format!(r#"{{"schema_version":1,"version":3,"chats":[{entry}],"owner":{{"n":1.10}}}}"#);
    fs::write(folder.path().join("catalog.json"), text).unwrap();
    let db = store();
    let report = ChatFolder::open(folder.path()).unwrap().import(&db).await.unwrap();
    let names: Vec<&str> = report.unknown_fields.keys().map(String::as_str).collect();
    let due = ["catalog.owner", "entry.pinned", "entry.x", "header.theme", "turn.big", "turn.cost"];
    assert_eq!(names, due);
    assert_eq!(report.catalog_fields.get("owner").unwrap().get(), r#"{"n":1.10}"#);
    let all = everything(&db).await;
    let (thread, rows) = &all[ID];
    assert_eq!(thread.metadata.get("chat.header").unwrap().get(), header);
    assert_eq!(thread.metadata.get("chat.entry").unwrap().get(), entry);
    let kept = rows[0].metadata.get("chat.line").unwrap().get();
    assert_eq!(kept, turn.replace("\"q\"", "0").replace("\"a\"", "0"));
}

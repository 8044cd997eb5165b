//! Rollouts of Codex.

use std::{fs, path::Path, process::Command};

use throughline_core::{Role, messages::History};
use throughline_transfer::{AnySource, CodexRollouts, Format};

use crate::support::{cut_at_every_byte, everything, ids, rows, store, zstd};

const ID: &str = "0199e2ab-7c1d-7a41-9a51-7d3f1c2b4e5f";

fn line(second: u32, kind: &str, payload: &str) -> String {
    format!(r#"{{"timestamp":"2025-10-29T00:59:{second:02}.000Z","type":"{kind}","payload":{payload}}}"#)
}

fn rollout() -> Vec<String> {
    vec![
        line(
            0,
            "session_meta",
            &format!(r#"{{"id":"{ID}","cwd":"/w","cli_version":"0.65.0","source":"cli"}}"#),
        ),
        line(
            1,
            "response_item",
            r#"{"type":"message","role":"developer","content":[{"type":"input_text","text":"rules"}]}"#,
        ),
        line(
            2,
            "response_item",
            r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"caf\u00e9"}]}"#,
        ),
        line(2, "event_msg", r#"{"type":"user_message","message":"café"}"#),
        line(3, "turn_context", r#"{"model":"m"}"#),
        line(4, "response_item", r#"{"type":"reasoning","summary":[],"encrypted_content":"x"}"#),
        line(
            5,
            "response_item",
            r#"{"type":"function_call","name":"shell","arguments":"{\"a\":1}","call_id":"c1"}"#,
        ),
        line(6, "response_item", r#"{"type":"function_call_output","call_id":"c1","output":"ok"}"#),
        line(7, "compacted", r#"{"message":"a summary","replacement_history":[{"type":"message"}]}"#),
        line(
            8,
            "response_item",
            r#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":"done"}],"id":"m_1"}"#,
        ),
    ]
}

fn text(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn the_items_of_a_rollout_become_messages() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rollout-2025.jsonl");
    fs::write(&path, text(&rollout())).unwrap();
    let db = store();
    let source = AnySource::detect(&path).unwrap();
    assert_eq!(source.format(), Format::Codex);
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.threads, report.messages, report.skipped.len(), report.warnings.len()), (1, 7, 0, 0));
    assert_eq!(
        report.omitted.into_iter().collect::<Vec<_>>(),
        [("event_msg.user_message".to_owned(), 1), ("turn_context".to_owned(), 1)]
    );
    let rows = rows(&db, ID).await;
    let facts: Vec<_> = rows.iter().map(|row| (row.id.as_str(), row.role)).collect();
    assert_eq!(
        facts,
        [
            ("line-2", Role::System),
            ("line-3", Role::User),
            ("line-6", Role::Assistant),
            ("line-7", Role::Assistant),
            ("line-8", Role::Tool),
            ("line-9", Role::System),
            ("line-10", Role::Assistant),
        ]
    );
    // 2025-10-29T00:59:02Z
    assert_eq!(rows[1].created_at.as_micros(), 1_761_699_542_000_000);
    assert_eq!(rows[1].content.as_json(), r#"[{"type":"input_text","text":"caf\u00e9"}]"#);
    assert!(rows[1].metadata.is_empty());
    assert_eq!(rows[5].content.plain_text(100), "a summary");
    assert_eq!(
        rows[5].metadata.get("source.record").unwrap().get(),
        rollout()[8].replace(r#""a summary""#, "null")
    );
    assert!(rows[6].metadata.get("source.record").unwrap().get().contains(r#""id":"m_1""#));
    let (thread, _) = &everything(&db).await[ID];
    assert!(thread.metadata.get("source.record").unwrap().get().contains(r#""cli_version":"0.65.0""#));
    let messages =
        db.thread(ID).page(throughline_core::messages::PageFrom::Start, 100).await.unwrap().messages;
    let history = History::of(messages, false);
    assert_eq!(history.tool_calls.len(), 1);
    assert!(!history.tool_calls[0].is_orphan());
}

#[tokio::test]
async fn a_compressed_and_archived_rollout_is_the_same_conversation() {
    let dir = tempfile::tempdir().unwrap();
    let (sessions, archived) = (dir.path().join("sessions/2025/10/29"), dir.path().join("archived_sessions"));
    fs::create_dir_all(&sessions).unwrap();
    fs::create_dir_all(&archived).unwrap();
    let name = format!("rollout-2025-10-29T00-59-00-{ID}.jsonl");
    let lines = rollout();
    fs::write(sessions.join(&name), text(&lines[..8])).unwrap();
    let db = store();
    let source = || AnySource::detect(dir.path()).unwrap();
    assert_eq!(source().format(), Format::Codex);
    assert_eq!(source().import(&db).await.unwrap().messages, 5);
    // Codex archives a session by moving its file.
    fs::remove_file(sessions.join(&name)).unwrap();
    fs::write(archived.join(format!("{name}.zst")), zstd(text(&lines).as_bytes())).unwrap();
    let report = source().import(&db).await.unwrap();
    assert_eq!((report.messages, report.already_there, report.skipped.len()), (2, 5, 0));
    let other = store();
    source().import(&other).await.unwrap();
    assert!(everything(&other).await[ID].0.archived);
}

#[tokio::test]
async fn a_rollout_that_the_zstd_tool_compressed_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rollout-1.jsonl");
    fs::write(&path, text(&rollout())).unwrap();
    let run = Command::new("zstd").args(["-q", "--rm", "-19"]).arg(&path).status();
    if !run.is_ok_and(|status| status.success()) {
        println!("SKIPPED: a file of the zstd tool (it is not installed)");
        return;
    }
    let source = AnySource::detect(dir.path().join("rollout-1.jsonl.zst")).unwrap();
    assert_eq!((source.format(), source.plan().await.unwrap().messages), (Format::Codex, 7));
}

#[tokio::test]
async fn a_torn_compressed_rollout_does_not_end_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let whole = zstd(text(&rollout()).as_bytes());
    let torn = dir.path().join("rollout-1.jsonl.zst");
    fs::write(dir.path().join("rollout-2.jsonl"), text(&rollout())).unwrap();
    for end in 4..whole.len() {
        fs::write(&torn, &whole[..end]).unwrap();
        let report = CodexRollouts::open(dir.path()).unwrap().plan().await.unwrap();
        assert_eq!((report.threads, report.messages), (1, 7), "{end}");
        assert_eq!(report.skipped.len(), 1, "{end}");
        assert_eq!(report.skipped[0].kind.name(), "unreadable", "{end}");
        assert_eq!(report.skipped[0].location.to_string(), torn.display().to_string());
    }
}

#[tokio::test]
async fn a_rollout_of_the_first_versions_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(format!("rollout-2025-05-01T00-00-00-{ID}.jsonl"));
    fs::write(
        &path,
        concat!(
            r#"{"id":"0199e2ab-7c1d-7a41-9a51-7d3f1c2b4e5f","timestamp":"2025-05-01T00:00:00Z","instructions":null}"#,
            "\n",
            r#"{"record_type":"state"}"#,
            "\n",
            r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"hello"}]}"#,
            "\n",
        ),
    )
    .unwrap();
    let db = store();
    let source = AnySource::detect(&path).unwrap();
    assert_eq!(source.format(), Format::Codex);
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.messages, report.warnings.len(), report.skipped.len()), (1, 0, 0));
    assert_eq!(ids(&db, ID).await, [("line-3".to_owned(), "user")]);
    // 2025-05-01T00:00:00Z
    assert_eq!(rows(&db, ID).await[0].created_at.as_micros(), 1_746_057_600_000_000);
}

#[tokio::test]
async fn an_unknown_record_is_kept_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(format!("rollout-{ID}.jsonl"));
    let lines = [
        line(0, "hologram", r#"{"depth":3}"#),
        line(1, "response_item", r#"{"type":"hologram_call","depth":3}"#),
        line(2, "response_item", r#"{"type":"message","role":"narrator","content":[]}"#),
        line(3, "response_item", "7"),
        "[1]".to_owned(),
    ];
    fs::write(&path, text(&lines)).unwrap();
    let db = store();
    let report = CodexRollouts::open(&path).unwrap().import(&db).await.unwrap();
    let warned: Vec<_> =
        report.warnings.iter().map(|found| (found.location.to_string(), found.kind.name())).collect();
    let at = |line| format!("{}:{line}", path.display());
    assert_eq!(
        warned,
        [(at(1), "unknown-type"), (at(2), "unknown-type"), (at(3), "unknown-role"), (at(4), "wrong-field")]
    );
    assert_eq!(report.skipped.len(), 1);
    // The id of the thread is the one in the name of the file.
    let rows = rows(&db, ID).await;
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[0].content.as_json(), format!(r#"[{{"type":"source.record","record":{}}}]"#, lines[0]));
    assert_eq!(rows[1].content.as_json(), r#"[{"type":"hologram_call","depth":3}]"#);
}

#[tokio::test]
async fn a_rollout_that_is_cut_off_anywhere_is_imported_up_to_there() {
    let dir = tempfile::tempdir().unwrap();
    let open = |path: &Path| CodexRollouts::open(path).unwrap().into();
    let path = dir.path().join(format!("rollout-{ID}.jsonl"));
    cut_at_every_byte(&path, text(&rollout()[..3]).as_bytes(), open).await;
}

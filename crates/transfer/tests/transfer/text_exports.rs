//! Exports to Markdown and to ShareGPT.

use std::fs;

use throughline_core::{
    Content, NewThread, Persistence, Role, Timestamp,
    messages::{Import, ImportRow},
};
use throughline_transfer::{FindingKind, Markdown, ShareGpt, TransferError};

use crate::support::{rows, store};

async fn filled() -> Persistence {
    let db = store();
    let new = NewThread::new().with_id("t`1".parse().unwrap()).with_title("A\ntitle".parse().unwrap());
    db.create_thread(new).await.unwrap();
    let call = r#"[{"type":"text","text":"Look: ```"},{"type":"tool_use","id":"c","input":"```"}]"#;
    let row = |id: &str, role, content| {
        ImportRow::new(id.parse().unwrap(), role, content, Timestamp::from_micros(0))
    };
    let mut user = row("m1", Role::User, Content::text("héllo\n"));
    user.attachments = vec!["a.png".parse().unwrap()];
    let result = row("m3", Role::Tool, Content::from_json(r#"[{"type":"tool_result"}]"#).unwrap());
    let rows = vec![user, row("m2", Role::Assistant, Content::from_json(call).unwrap()), result];
    db.run(Import::new("t`1".parse().unwrap(), rows)).await.unwrap();
    db
}

#[tokio::test]
async fn markdown_has_every_message_with_its_role_and_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chats.md");
    let report = Markdown::create(&path).unwrap().export(&filled().await).await.unwrap();
    assert_eq!((report.threads, report.messages, report.skipped.len()), (1, 3, 0));
    let due = "<!-- conversations, exported by Throughline -->\n\n# A title\n\nThread ``t`1``\n\n\
        ## User, 1970-01-01T00:00:00.000Z\n\nhéllo\n\nAttachment `a.png`\n\n\
        ## Assistant, 1970-01-01T00:00:00.000Z\n\nLook: ```\n\n\
        ````json\n{\"type\":\"tool_use\",\"id\":\"c\",\"input\":\"```\"}\n````\n\n\
        ## Tool, 1970-01-01T00:00:00.000Z\n\n```json\n{\"type\":\"tool_result\"}\n```\n";
    assert_eq!(fs::read_to_string(&path).unwrap(), due);
    Markdown::create(&path).unwrap().export(&store()).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "<!-- conversations, exported by Throughline -->\n");
    fs::write(&path, "# My letter").unwrap();
    assert!(matches!(Markdown::create(&path), Err(TransferError::NotAnExport { .. })));
}

#[tokio::test]
async fn sharegpt_has_every_text_and_names_the_parts_that_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chats.jsonl");
    let report = ShareGpt::create(&path).unwrap().export(&filled().await).await.unwrap();
    assert_eq!((report.threads, report.messages), (1, 3));
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        concat!(
            r#"{"id":"t`1","title":"A\ntitle","conversations":[{"from":"human","value":"héllo\n"},"#,
            r#"{"from":"gpt","value":"Look: ```"},{"from":"tool","value":"[{\"type\":\"tool_result\"}]"}]}"#,
            "\n"
        )
    );
    let lost: Vec<_> =
        report.warnings.iter().map(|found| (found.location.to_string(), found.kind.clone())).collect();
    assert_eq!(
        lost,
        [
            ("message `m2` of `t`1`".to_owned(), FindingKind::TextOnly),
            ("message `m3` of `t`1`".to_owned(), FindingKind::TextOnly)
        ]
    );
    let db = store();
    assert_eq!(ShareGpt::open(&path).unwrap().import(&db).await.unwrap().messages, 3);
    assert_eq!(rows(&db, "t`1").await[0].content, Content::text("héllo\n"));
    let again = dir.path().join("again.jsonl");
    ShareGpt::create(&again).unwrap().export(&db).await.unwrap();
    assert_eq!(fs::read_to_string(&again).unwrap(), fs::read_to_string(&path).unwrap());
}

#[tokio::test]
async fn sharegpt_replaces_no_conversations() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("own.jsonl");
    let own = r#"{"id":"own","conversations":[{"from":"human","value":"mine"}]}"#;
    fs::write(&path, own).unwrap();
    assert!(matches!(ShareGpt::create(&path), Err(TransferError::NotAnExport { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), own);
    fs::write(&path, "").unwrap();
    assert_eq!(ShareGpt::create(&path).unwrap().export(&filled().await).await.unwrap().messages, 3);
}

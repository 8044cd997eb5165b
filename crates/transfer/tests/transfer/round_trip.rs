//! An export and an import into another store preserve arbitrary threads.

use proptest::{collection::vec, option, prelude::*, test_runner::Config};
use throughline_core::{
    Content, Labels, MessageId, Metadata, NewThread, Persistence, Role, ThreadId, Timestamp,
    messages::{Import, ImportRow},
    threads::ArchiveThread,
};
use throughline_transfer::ChatFolder;

use crate::support::{everything, files, store};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{0,3}",
        Just("\u{0}\u{1}\n\r\u{2028}\"\\".to_owned()),
        Just("é🦀e\u{301}".to_owned()),
        any::<String>()
    ]
}

fn json() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("1.10".to_owned()),
        Just("18446744073709551616".to_owned()),
        Just("null".to_owned()),
        Just("{\"a\":1,\n \"a\":[ ]}".to_owned()),
        Just(r#""\ud800""#.to_owned()),
        Just(r#"{"type":"turn","schema_version":99}"#.to_owned()),
        Just(
            r#"{"type":"turn","schema_version":1,"seq":2,"created":"?","question":0,"answer":{}}"#.to_owned()
        ),
        Just(r#"{"type":"header","schema_version":1,"title":7,"throughline":{}}"#.to_owned()),
        Just(r#"{"type":"memo","schema_version":1}"#.to_owned()),
        text().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ]
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let key = prop_oneof![
        "[a-b]{0,2}",
        Just("chat.line".to_owned()),
        Just("chat.opaque".to_owned()),
        Just("chat.entry".to_owned()),
        Just("chat.header".to_owned())
    ];
    vec((key, json()), 0..3).prop_map(|pairs| {
        let mut metadata = Metadata::new();
        for (key, value) in pairs {
            metadata.set_raw(key, serde_json::value::RawValue::from_string(value).unwrap());
        }
        metadata
    })
}

fn content() -> impl Strategy<Value = Content> {
    let block = prop_oneof![
        json(),
        text().prop_map(|text| serde_json::json!({"type": "text", "text": text}).to_string()),
        Just("{\"text\":\"é\",\n\"type\":\"text\"}".to_owned()),
    ];
    prop_oneof![
        3 => text().prop_map(|text| Content::text(&text)),
        1 => vec(block, 0..3).prop_map(|blocks| Content::from_json(format!("[{}]", blocks.join(","))).unwrap()),
        1 => Just(Content::from_json(r#"[{"type":"text","text":"\u00e9\ud800"}]"#).unwrap()),
    ]
}

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        4 => 0..4_000_000_i64,
        1 => (0..1000_i64).prop_map(|millis| 1_709_251_200_000_000 + millis * 1000),
        1 => any::<i64>(),
    ]
    .prop_map(Timestamp::from_micros)
}

fn message_id() -> impl Strategy<Value = String> {
    prop_oneof![
        "turn-[1-4]-(question|answer)",
        "turn-[1-2]\\.2-(question|answer)",
        "line-[2-4]-question",
        "turn-[1-3]-opaque",
        "[a-z:é]{1,6}"
    ]
}

fn row() -> impl Strategy<Value = ImportRow> {
    let role = prop_oneof![3 => Just(Role::User), 3 => Just(Role::Assistant), 1 => Just(Role::System), 1 => Just(Role::Tool)];
    let abandoned =
        prop_oneof![6 => Just(None), 1 => Just(Some(None)), 1 => text().prop_map(|why| Some(Some(why)))];
    let plain = prop_oneof![2 => Just(Metadata::new()), 1 => metadata()];
    let attachments = prop_oneof![4 => Just(0_usize), 1 => Just(2)];
    (message_id(), role, content(), plain, abandoned, time(), 0..2_i64, attachments).prop_map(
        |(id, role, content, metadata, abandoned, created_at, later, attachments)| ImportRow {
            metadata,
            abandoned,
            attachments: (0..attachments).map(|at| format!("{at}.png").parse().unwrap()).collect(),
            updated_at: Timestamp::from_micros(created_at.as_micros().saturating_add(later)),
            ..ImportRow::new(MessageId::new(id).unwrap(), role, content, created_at)
        },
    )
}

#[derive(Debug, Clone)]
struct Thread {
    id: String,
    title: String,
    owner: Option<String>,
    label: Option<String>,
    metadata: Metadata,
    archived: bool,
    created: Timestamp,
    rows: Vec<ImportRow>,
}

fn thread() -> impl Strategy<Value = Thread> {
    let id = prop_oneof![
        "[a-c]{1,2}",
        "(telegram|é|A):[0-9]",
        "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}",
        "[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-8[0-9A-F]{3}-[0-9A-F]{12}",
    ];
    let title = prop_oneof![Just("Untitled chat".to_owned()), Just(String::new()), text()];
    let name = || option::of("[a-z]{1,4}");
    (id, title, name(), name(), metadata(), any::<bool>(), time(), vec(row(), 1..8)).prop_map(
        |(id, title, owner, label, metadata, archived, created, rows)| Thread {
            id,
            title,
            owner,
            label,
            metadata,
            archived,
            created,
            rows,
        },
    )
}

async fn fill(db: &Persistence, threads: &[Thread]) {
    for thread in threads {
        let id: ThreadId = thread.id.parse().unwrap();
        let labels = match &thread.label {
            Some(label) => Labels::new().with("k", label).unwrap(),
            None => Labels::new(),
        };
        let mut new = NewThread::new()
            .with_id(id.clone())
            .with_title(thread.title.parse().unwrap())
            .with_labels(labels)
            .with_metadata(thread.metadata.clone())
            .created_at(thread.created);
        if let Some(owner) = &thread.owner {
            new = new.with_owner(owner.parse().unwrap());
        }
        // Of two threads with one id, the second is refused.
        if db.create_thread(new).await.is_err() {
            continue;
        }
        let mut seen = std::collections::HashSet::new();
        let rows: Vec<ImportRow> =
            thread.rows.iter().filter(|row| seen.insert(row.id.clone())).cloned().collect();
        db.run(Import::new(id.clone(), rows)).await.unwrap();
        db.on_thread(ArchiveThread { thread: id, archived: thread.archived }).await.unwrap();
    }
}

proptest! {
    #![proptest_config(Config { cases: 100, failure_persistence: None, ..Config::default() })]

    #[test]
    fn an_export_is_imported_as_equal_threads(threads in vec(thread(), 1..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let db = store();
            fill(&db, &threads).await;
            let folder = tempfile::tempdir().unwrap();
            let chats = ChatFolder::create(folder.path()).unwrap();
            chats.export(&db).await.unwrap();
            let other = store();
            let report = ChatFolder::open(folder.path()).unwrap().import(&other).await.unwrap();
            assert_eq!(report.skipped, []);
            assert_eq!(everything(&other).await, everything(&db).await);
            // A second export writes the same files.
            let again = tempfile::tempdir().unwrap();
            ChatFolder::create(again.path()).unwrap().export(&other).await.unwrap();
            let names = |dir: &std::path::Path| -> Vec<_> {
                let files = files(dir).into_iter();
                files.map(|(path, bytes)| (path.strip_prefix(dir).unwrap().to_owned(), String::from_utf8(bytes).unwrap())).collect()
            };
            assert_eq!(names(again.path()), names(folder.path()));
        });
    }
}

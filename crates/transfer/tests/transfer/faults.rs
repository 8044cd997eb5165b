//! T3-S10: after a failure of any call, a repeated transfer completes, without duplicates.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use throughline_core::{
    Backend, Content, Effect, ErrorKind, NewMessage, PersistArgs, PersistError, PersistRequest, Persistence,
    Phase, Result,
    messages::{CarriesContent as _, FieldValueMut},
    plugin::{NextRequest, from_fn},
    threads::ListThreads,
};
use throughline_layers::{
    limits::LimitsLayer,
    quota::{Quota, QuotaLayer},
};
use throughline_memory::MemoryBackend;
use throughline_sqlite::SqliteOptions;
use throughline_transfer::{ChatFolder, FindingKind, LegacySqlite, TransferError};

use crate::{
    legacy_rows::{Legacy, TABLE, row, text},
    support::{ID, OTHER, catalog, chat, entry, everything, files, header, lines, rows, store, turn},
};

/// Fails the call with this number, before or after it runs.
#[derive(Clone)]
struct Fault {
    calls: Arc<AtomicUsize>,
    at: Arc<AtomicUsize>,
    is_late: bool,
}

impl Fault {
    fn new(is_late: bool) -> Self {
        Self { calls: Arc::default(), at: Arc::new(AtomicUsize::new(usize::MAX)), is_late }
    }

    fn arm(&self, at: usize) {
        self.calls.store(0, Ordering::SeqCst);
        self.at.store(at, Ordering::SeqCst);
    }

    async fn pass(
        self,
        request: PersistRequest,
        next: NextRequest,
    ) -> Result<throughline_core::PersistResponse> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let error = || PersistError::new(ErrorKind::Unavailable, "the power is gone");
        if number < self.at.load(Ordering::SeqCst) {
            return next.run(request).await;
        }
        // All later calls also fail, as if the process had ended.
        if number == self.at.load(Ordering::SeqCst) && self.is_late {
            next.run(request).await?;
            return Err(error().with_effect(Effect::Unknown));
        }
        Err(error().with_effect(Effect::NotApplied))
    }

    fn before(&self, backend: impl Backend) -> Persistence {
        let fault = self.clone();
        let layer = from_fn("fault", Phase::Guard, move |request, next| fault.clone().pass(request, next));
        Persistence::builder().layer(layer).backend(backend).build().unwrap()
    }
}

fn legacy() -> Legacy {
    let legacy = Legacy::new(TABLE);
    legacy.db.execute_batch("BEGIN").unwrap();
    for number in 0..1_050 {
        legacy.put(row("long", &format!("m{number}"), number));
    }
    for thread in ["a", "b"] {
        legacy.put(row(thread, &format!("{thread}1"), 1));
        legacy.put(row(thread, &format!("{thread}2"), 2));
    }
    legacy.db.execute_batch("COMMIT").unwrap();
    legacy
}

#[tokio::test]
async fn an_import_that_failed_at_any_call_can_be_repeated() {
    let legacy = legacy();
    let source = LegacySqlite::open(legacy.path()).unwrap();
    let bytes = fs::read(legacy.path()).unwrap();
    let clean = store();
    source.import(&clean).await.unwrap();
    let due = everything(&clean).await;
    assert_eq!(due["long"].1.len(), 1_050);
    for is_late in [false, true] {
        let mut at = 0;
        loop {
            let fault = Fault::new(is_late);
            let db = fault.before(MemoryBackend::new());
            fault.arm(at);
            let first = source.import(&db).await;
            fault.arm(usize::MAX);
            if first.is_err() {
                // Every listed thread is complete.
                for entry in db.threads(ListThreads::new(10)).await.unwrap().threads {
                    assert_eq!(entry.messages, due[entry.thread.as_str()].0.messages, "{is_late} {at}");
                }
            }
            let brought =
                rows(&db, "long").await.len() + rows(&db, "a").await.len() + rows(&db, "b").await.len();
            let again = source.import(&db).await.unwrap();
            assert_eq!(again.already_there as usize, brought, "{is_late} {at}");
            assert_eq!(again.messages as usize + brought, 1_054);
            assert_eq!(everything(&db).await, due, "{is_late} {at}");
            match first {
                Err(error) => assert!(matches!(error, TransferError::Store(_)), "{error}"),
                Ok(_) => break,
            }
            at += 1;
        }
        // Each thread is created, filled, read and published.
        assert_eq!(at, 3 * 4 + 2);
    }
    assert_eq!(fs::read(legacy.path()).unwrap(), bytes);
}

#[tokio::test]
async fn a_folder_is_imported_after_a_failure_at_any_call() {
    let folder = tempfile::tempdir().unwrap();
    let turns = |from, to| (from..=to).map(|seq| turn(seq, "q", "a")).collect::<Vec<_>>();
    chat(folder.path(), ID, lines(&[vec![header(ID)], turns(1, 30)].concat()));
    chat(folder.path(), OTHER, lines(&[vec![header(OTHER)], turns(1, 2)].concat()));
    let source = ChatFolder::open(folder.path()).unwrap();
    let clean = store();
    source.import(&clean).await.unwrap();
    let due = everything(&clean).await;
    for at in 0.. {
        let fault = Fault::new(at % 2 == 0);
        let db = fault.before(MemoryBackend::new());
        fault.arm(at);
        let first = source.import(&db).await;
        fault.arm(usize::MAX);
        source.import(&db).await.unwrap();
        assert_eq!(everything(&db).await, due, "{at}");
        if first.is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn an_export_that_failed_at_any_call_can_be_repeated() {
    let fault = Fault::new(false);
    let db = fault.before(MemoryBackend::new());
    for (thread, count) in [("a", 250), ("b", 1), ("c", 0)] {
        for number in 0..count {
            db.thread(thread).add(NewMessage::user(&format!("{number}"))).await.unwrap();
        }
    }
    let clean = tempfile::tempdir().unwrap();
    ChatFolder::create(clean.path()).unwrap().export(&db).await.unwrap();
    let due = shape(clean.path());
    assert_eq!(due.len(), 3);
    for at in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let chats = ChatFolder::create(folder.path()).unwrap();
        fault.arm(at);
        let first = chats.export(&db).await;
        fault.arm(usize::MAX);
        // Every existing file is complete.
        for (path, bytes) in shape(folder.path()) {
            assert!(path.ends_with("catalog.json") || due[&path] == bytes, "{at}: {}", path.display());
        }
        chats.export(&db).await.unwrap();
        assert_eq!(shape(folder.path()), due, "{at}");
        if first.is_ok() {
            // One list; for each thread its summary, its aliases, its pages (three and one), and its summary once more.
            assert_eq!(at, 11);
            break;
        }
    }
}

/// Returns every file below a folder by its name.
fn shape(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = files(dir).into_iter();
    files.map(|(path, bytes)| (path.strip_prefix(dir).unwrap().to_owned(), bytes)).collect()
}

#[tokio::test]
async fn a_refused_chat_is_reported_and_the_others_are_imported() {
    let folder = tempfile::tempdir().unwrap();
    let entry = entry(ID, "t", 1, "q").replace('}', r#","throughline":{"metadata":{"throughline.x":1}}}"#);
    catalog(folder.path(), &[entry]);
    chat(folder.path(), ID, lines(&[header(ID), turn(1, "q", "a")]));
    chat(folder.path(), OTHER, lines(&[header(OTHER), turn(1, "q", "a")]));
    let db = store();
    let report = ChatFolder::open(folder.path()).unwrap().import(&db).await.unwrap();
    assert_eq!((report.messages, report.skipped.len()), (2, 3));
    for finding in &report.skipped {
        assert!(
            matches!(&finding.kind, FindingKind::Refused(why) if why.contains("`throughline.x` is reserved")),
            "{finding}"
        );
    }
    assert_eq!(everything(&db).await.keys().collect::<Vec<_>>(), [OTHER]);
}

#[tokio::test]
async fn a_later_process_continues_an_import_that_ended() {
    let legacy = legacy();
    let source = LegacySqlite::open(legacy.path()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for at in [3, 4, 5, 9] {
        let path = folder.path().join(format!("{at}.db"));
        let fault = Fault::new(true);
        let backend = SqliteOptions::new().open(&path).await.unwrap();
        let db = fault.before(backend);
        fault.arm(at);
        source.import(&db).await.unwrap_err();
        db.close().await.unwrap();
        let backend = SqliteOptions::new().open(&path).await.unwrap();
        let db = Persistence::builder().backend(backend).build().unwrap();
        source.import(&db).await.unwrap();
        let clean = store();
        source.import(&clean).await.unwrap();
        assert_eq!(everything(&db).await, everything(&clean).await);
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_row_that_a_layer_refuses_is_reported_and_the_others_are_imported() {
    let legacy = Legacy::new(TABLE);
    legacy.put(row("t", "a", 1));
    legacy.put(crate::legacy_rows::Row { text: text(&"x".repeat(2000)), ..row("t", "b", 2) });
    legacy.put(row("t", "c", 3));
    let limits = LimitsLayer::new().content_bytes(1000);
    let db = Persistence::builder().layer(limits).backend(MemoryBackend::new()).build().unwrap();
    let report = LegacySqlite::open(legacy.path()).unwrap().import(&db).await.unwrap();
    assert_eq!(report.messages, 2);
    let [refused] = &report.skipped[..] else { panic!("{:?}", report.skipped) };
    assert_eq!(refused.location.to_string(), "row 2 of `projection_thread_messages`");
    assert!(
        matches!(&refused.kind, FindingKind::Refused(why) if why.contains("2027 bytes of content")),
        "{refused}"
    );
    assert_eq!(rows(&db, "t").await.len(), 2);
}

/// Each refused import is halved, so that the cause is found with few calls, and the order stays.
#[tokio::test]
async fn a_refused_row_among_500_is_found_by_halves() {
    let legacy = Legacy::new(TABLE);
    legacy.db.execute_batch("BEGIN").unwrap();
    for number in 0..500 {
        let length = if number == 137 { 2_000 } else { 10 };
        legacy.put(crate::legacy_rows::Row {
            text: text(&"x".repeat(length)),
            ..row("t", &format!("m{number:03}"), number)
        });
    }
    legacy.db.execute_batch("COMMIT").unwrap();
    let imports = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&imports);
    let count = from_fn("count", Phase::Admit, move |request: PersistRequest, next: NextRequest| {
        counted.fetch_add(usize::from(matches!(request.args, PersistArgs::Import(_))), Ordering::SeqCst);
        next.run(request)
    });
    let limits = LimitsLayer::new().content_bytes(1_000);
    let db = Persistence::builder().layer(count).layer(limits).backend(MemoryBackend::new()).build().unwrap();
    let report = LegacySqlite::open(legacy.path()).unwrap().import(&db).await.unwrap();
    assert_eq!((report.messages, report.skipped.len()), (499, 1));
    assert_eq!(imports.load(Ordering::SeqCst), 19);
    let ids: Vec<String> = rows(&db, "t").await.iter().map(|row| row.id.to_string()).collect();
    assert_eq!(ids, (0..500).filter(|n| *n != 137).map(|n| format!("m{n:03}")).collect::<Vec<_>>());
}

/// A layer sees imported messages like any others, and a repeated import finds its result.
#[tokio::test]
async fn redacted_messages_are_imported_once() {
    let legacy = Legacy::new(TABLE);
    legacy.put(crate::legacy_rows::Row { text: text("my key is hunter2"), ..row("t", "a", 1) });
    let redact =
        from_fn("redact", Phase::Transform, |mut request: PersistRequest, next: NextRequest| async {
            for field in request.args.content_fields_mut() {
                if let FieldValueMut::Whole(content) = field.value {
                    *content =
                        Content::from_json(content.as_json().replace("hunter2", "***")).expect("an array");
                }
            }
            next.run(request).await
        });
    let db = Persistence::builder().layer(redact).backend(MemoryBackend::new()).build().unwrap();
    let source = LegacySqlite::open(legacy.path()).unwrap();
    source.import(&db).await.unwrap();
    assert_eq!(rows(&db, "t").await[0].content.plain_text(100), "my key is ***");
    let again = source.import(&db).await.unwrap();
    assert_eq!((again.messages, again.already_there, again.skipped), (0, 1, vec![]));
}

#[tokio::test]
async fn an_import_waits_for_a_quota() {
    let folder = tempfile::tempdir().unwrap();
    let turns: Vec<String> = (1..=4).map(|seq| turn(seq, "q", "a")).collect();
    chat(folder.path(), ID, lines(&[vec![header(ID)], turns].concat()));
    // An import of eight messages can never pass as one call, and neither can as many calls at once.
    let layer = QuotaLayer::new(Quota::new().operations(50, 3));
    let db = Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap();
    let source = ChatFolder::open(folder.path()).unwrap();
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.messages, report.already_there, report.skipped.len()), (8, 0, 0));
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.messages, report.already_there, report.skipped.len()), (0, 8, 0));
}

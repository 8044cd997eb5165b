//! A scrub removes a secret that becomes known later from everything that the store keeps.

use std::{path::Path, sync::Arc};

use throughline::{
    Content, Delta, ErrorKind, MessageState, MetadataPatch, NewMessage, NewReservation, NewThread, OwnerId,
    Persistence, Position, Role,
    effects::{Effects, JsonlMirror},
    layers::redact::{RedactLayer, Redactor, Rules, Scrub, ScrubReport, WhyLeft},
    memory::MemoryBackend,
    messages::{ContentChange, Reserve, Update, UpdateContent, UpdateMode},
    search::SearchMessages,
    sqlite::SqliteOptions,
    threads::{CreateThread, ListThreads},
};

const LITERAL: &str = "correct-horse-battery-staple";

fn redactor() -> Redactor {
    Rules::none().literal("leaked", LITERAL).compile().unwrap()
}

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(id: &str) -> T {
    id.parse().unwrap()
}

/// Writes the secret into every field, in several threads, and text without it.
async fn fill(db: &Persistence) {
    for thread in 0..3 {
        let name = format!("t{thread}");
        let mut facts = throughline::Metadata::new();
        facts.set("about", &format!("it is {LITERAL}")).unwrap();
        let new = NewThread::new()
            .with_id(id(&name))
            .with_title(format!("my {LITERAL}").parse().unwrap())
            .with_metadata(facts.clone());
        db.on_thread(CreateThread::new(new)).await.unwrap();
        for at in 0..130 {
            let text = if at % 10 == 0 { format!("{at} {LITERAL} x") } else { format!("{at} nothing") };
            db.thread(name.as_str())
                .add(NewMessage::user(&text).with_id(id(&format!("m{at}"))))
                .await
                .unwrap();
        }
        let patch = MetadataPatch::new().set(LITERAL, &1).unwrap().set("keep", &2).unwrap();
        db.run(Update::new(id(&name), id("m1"), patch)).await.unwrap();
        let nested =
            Content::from_json(format!(r#"[{{"input":{{"{LITERAL}":[1.10,"\u0063{}"]}}}}]"#, &LITERAL[1..]));
        db.thread(name.as_str()).edit(id("m2"), nested.unwrap()).await.unwrap();
        for (name_of, mode) in [("open", UpdateMode::Partial), ("left", UpdateMode::Abandon { reason: None })]
        {
            let new = NewReservation::new(Role::Assistant).with_id(id(name_of));
            db.run(Reserve::new(id(&name), new)).await.unwrap();
            let change = ContentChange::Append(Delta::text(format!("so: {LITERAL}!")));
            db.run(UpdateContent::new(id(&name), id(name_of), change, mode)).await.unwrap();
        }
    }
}

/// Returns the files below a folder that contain the secret.
fn files_with_secret(folder: &Path) -> Vec<String> {
    let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read(&path).unwrap().windows(LITERAL.len()).any(|at| at == LITERAL.as_bytes())
            {
                found.push(path.file_name().unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_dry_run_reports_the_changes_and_makes_none() {
    let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    fill(&db).await;
    let scrub = Scrub::new(&db, redactor());
    let planned = scrub.clone().dry_run().run().await.unwrap();
    assert_eq!(planned.looked_at, 3 * (132 + 1));
    let done = scrub.run().await.unwrap();
    assert_eq!(done, planned);
    // Each thread contains the secret in itself, in 13 texts, in a metadata name, and in a nested name.
    assert_eq!((done.changed, done.redactions.get("leaked")), (3 * 16, 3 * (2 + 13 + 1 + 2)));
    let whys: Vec<WhyLeft> = done.left.iter().map(|left| left.why).collect();
    assert_eq!(whys, [WhyLeft::Open, WhyLeft::Abandoned].repeat(3));
    let again = scrub.run().await.unwrap();
    assert_eq!((again.changed, again.left.len()), (0, 6), "a second time nothing changes");
    let entry = db.thread("t0").summary().await.unwrap().unwrap();
    assert!(entry.title.as_str().starts_with("my [redacted:leaked#"));
    let message = db.thread("t0").get(id("m1")).await.unwrap().unwrap();
    assert_eq!((message.metadata.len(), message.metadata.get_as::<u8>("keep")), (2, Some(2)));
    let thread = scrub.thread(id("t1")).await.unwrap();
    assert_eq!((thread.changed, thread.looked_at), (0, 133));
}

#[tokio::test]
async fn a_scrub_continues_from_a_cursor_and_reports_what_it_left() {
    let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    fill(&db).await;
    let (mut next, mut changed, mut steps) = (Some(Default::default()), 0, 0);
    while let Some(cursor) = next {
        // Continue from a stored cursor, as another process would.
        let kept = serde_json::to_string(&cursor).unwrap();
        let scrub = Scrub::new(&db, redactor());
        let report: ScrubReport = scrub.step(serde_json::from_str(&kept).unwrap()).await.unwrap();
        assert!(report.looked_at <= 100);
        (changed, steps, next) = (changed + report.changed, steps + 1, report.next);
    }
    assert_eq!((changed, steps), (3 * 16, 3 * 3));
}

#[tokio::test]
async fn after_a_scrub_no_byte_of_the_file_its_wal_the_index_or_the_mirror_contains_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let (store, files) = (folder.path().join("store"), folder.path().join("mirror"));
    std::fs::create_dir_all(&store).unwrap();
    let open = async || SqliteOptions::new().search(true).open(store.join("chat.db")).await.unwrap();
    // Write before the redact layer exists.
    let before = Persistence::builder().backend(open().await).build().unwrap();
    fill(&before).await;
    before.close().await.unwrap();
    assert_eq!(files_with_secret(&store), ["chat.db"]);

    let layer = RedactLayer::new(redactor());
    let db = Persistence::builder().layer(layer).backend(open().await).build().unwrap();
    let mirror = Arc::new(JsonlMirror::open(&files).await.unwrap());
    let effects = Effects::builder(db.clone()).consumer(Arc::clone(&mirror)).start().await.unwrap();
    let scrub = Scrub::new(&db, redactor()).deleting_abandoned();
    for left in scrub.run().await.unwrap().left {
        assert_eq!(left.why, WhyLeft::Open);
        // When the writer has finished the message, the scrub can change it.
        let (thread, message) = (left.thread, left.message.unwrap());
        let settle = UpdateContent::new(thread.clone(), message, ContentChange::none(), UpdateMode::Final);
        assert_eq!(db.run(settle).await.unwrap().state, MessageState::Final);
        assert_eq!(scrub.thread(thread).await.unwrap().left, []);
    }
    let last = db.thread("t0").add(NewMessage::user("the last")).reply().await.unwrap();
    let last: Position = last.receipt.position.unwrap();
    assert!(effects.reached(last).await);
    effects.stop().await;
    while db.search(SearchMessages::new("last", 1)).await.unwrap().indexed < last {
        tokio::task::yield_now().await;
    }
    assert_eq!(db.search(SearchMessages::new("staple", 5)).await.unwrap().hits, []);
    assert_eq!(db.thread("t0").get(id("left")).await.unwrap(), None);
    assert_eq!(files_with_secret(&files), Vec::<String>::new(), "the mirror");
    // Closing checkpoints the WAL into the file.
    db.close().await.unwrap();
    assert_eq!(files_with_secret(&store), Vec::<String>::new(), "the file and its WAL");
    let refused = Rules::none().pattern("endless", "a+").compile().unwrap_err();
    assert_eq!(throughline::PersistError::from(refused).kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn threads_of_an_owner_with_a_secret_are_listed_again_after_a_scrub() {
    let owner: OwnerId = id(&format!("bob {LITERAL}"));
    let folder = tempfile::tempdir().unwrap();
    let open = async || SqliteOptions::new().open(folder.path().join("chat.db")).await.unwrap();
    let before = Persistence::builder().backend(open().await).build().unwrap();
    let new = NewThread::new().with_id(id("t")).with_owner(owner.clone());
    before.on_thread(CreateThread::new(new)).await.unwrap();
    // Lists show a thread only if it has a message.
    before.thread("t").add(NewMessage::user("hello")).await.unwrap();
    before.close().await.unwrap();

    let layer = RedactLayer::new(redactor());
    let db = Persistence::builder().layer(layer).backend(open().await).build().unwrap();
    let listed = async || db.threads(ListThreads::new(10).of_owner(owner.clone())).await.unwrap().threads;
    assert_eq!(listed().await.len(), 0, "the list asks for the marker");
    let scrub = Scrub::new(&db, redactor());
    let planned = scrub.clone().dry_run().run().await.unwrap();
    assert_eq!(listed().await.len(), 0, "a dry run changes nothing");
    let report = scrub.run().await.unwrap();
    assert_eq!((report.changed, report.redactions.get("leaked"), report.left.len()), (1, 1, 0));
    assert_eq!(report, planned);
    let entries = listed().await;
    assert_eq!(entries.len(), 1);
    let stored = entries[0].owner.as_ref().unwrap().as_str();
    assert!(stored.starts_with("bob [redacted:leaked#"), "{stored}");
    assert_eq!(scrub.run().await.unwrap().changed, 0, "a second time nothing changes");
}

//! `repair`, `retain`, `purge` and `compact`: a plan first.

use throughline::{
    MessageState, NewMessage, NewReservation, Persistence, Role, messages::PageFrom, sqlite::SqliteOptions,
};

use crate::kit::{Yesterday, files, open, run_on, store};

#[tokio::test]
async fn retain_deletes_the_planned_messages_only_with_apply() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    let db = open(&path).await;
    for number in 0..10 {
        db.thread("t").add(NewMessage::user(&format!("message {number}"))).await.unwrap();
    }
    db.thread("short").add(NewMessage::user("one")).await.unwrap();
    db.close().await.unwrap();
    let before = files(folder.path());
    let plan = run_on(&path, &["retain", "--keep", "3", "--json"]).json();
    assert_eq!(
        (&plan["applied"], &plan["threads"], &plan["messages"]),
        (&false.into(), &1.into(), &7.into())
    );
    assert_eq!(plan["named"][0]["thread"], "t");
    let old = run_on(&path, &["retain", "--older", "1d", "--json"]).json();
    assert_eq!(old["messages"], 0);
    assert_eq!(files(folder.path()), before);

    let applied = run_on(&path, &["retain", "--keep", "3", "--apply", "--json"]).json();
    assert_eq!((&applied["applied"], &applied["messages"]), (&true.into(), &7.into()));
    let left = run_on(&path, &["show", "t", "--json"]).json();
    let texts: Vec<_> =
        left["messages"].as_array().unwrap().iter().map(|message| &message["content"][0]["text"]).collect();
    assert_eq!(texts, ["message 7", "message 8", "message 9"]);
    assert_eq!(run_on(&path, &["verify"]).code, 0);
    // The index is kept by a command that writes.
    assert_eq!(run_on(&path, &["search", "message", "--json"]).code, 0);
}

#[tokio::test]
async fn repair_abandons_expired_replies_and_keeps_their_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    store(&path).await;
    let backend = SqliteOptions::new().search(true).open(&path).await.unwrap();
    let db = Persistence::builder().clock(Yesterday).backend(backend).build().unwrap();
    let reservation = NewReservation::new(Role::Assistant).with_id("expired-1".parse().unwrap());
    let mut reply = db.thread("trip").reserve(reservation).await.unwrap();
    reply.append("half a rep").await.unwrap();
    reply.flush().await.unwrap();
    drop(reply);
    db.close().await.unwrap();
    let doctor = run_on(&path, &["doctor", "--json"]);
    assert_eq!(doctor.code, 3, "{doctor:?}");
    let doctor = doctor.json();
    assert_eq!((&doctor["openReplies"], &doctor["expiredReplies"]), (&2.into(), &1.into()));
    assert_eq!(doctor["findings"][0]["code"], "expired_leases");

    let before = files(folder.path());
    // A copy of the store settles no reply, so its plan has none.
    let copy = folder.path().join("copy.db");
    let copying = ["repair", "--rebuild-into", copy.to_str().unwrap()];
    let plan = run_on(&path, &copying);
    assert_eq!(plan.code, 0, "{plan:?}");
    assert!(plan.out.contains("copy every row") && !plan.out.contains("abandon"), "{plan:?}");
    assert_eq!(files(folder.path()), before);
    let copied = run_on(&path, &[&copying[..], &["--apply"]].concat());
    assert_eq!(copied.code, 0, "{copied:?}");
    assert!(copied.out.contains("The copy is sound; the store is unchanged."), "{copied:?}");
    std::fs::remove_file(&copy).unwrap();
    let copied = run_on(&path, &[&copying[..], &["--apply", "--json"]].concat()).json();
    assert_eq!(
        (&copied["applied"], &copied["expiredReplies"], &copied["after"]["sound"]),
        (&true.into(), &0.into(), &true.into())
    );
    std::fs::remove_file(&copy).unwrap();
    let before = files(folder.path());
    let plan = run_on(&path, &["repair"]);
    assert_eq!(plan.code, 3, "{plan:?}");
    assert!(plan.out.contains("abandon reply `expired-1`") && !plan.out.contains("open-1"), "{plan:?}");
    assert_eq!(files(folder.path()), before);
    let applied = run_on(&path, &["repair", "--apply", "--json"]);
    assert_eq!(applied.code, 0, "{applied:?}");
    let applied = applied.json();
    assert_eq!((&applied["abandonedReplies"], &applied["after"]["sound"]), (&1.into(), &true.into()));

    let db = open(&path).await;
    let id = "expired-1".parse().unwrap();
    let reply = db.thread("trip").get(id).await.unwrap().unwrap();
    assert_eq!((reply.state, reply.text().as_str()), (MessageState::Abandoned, "half a rep"));
    assert_eq!(db.thread("trip").open_reservations(10).await.unwrap().messages.len(), 1);
    db.close().await.unwrap();
    assert_eq!(run_on(&path, &["repair"]).code, 0);
}

#[tokio::test]
async fn purge_frees_a_deleted_thread_only_with_apply_and_compact_copies_without_its_space() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    store(&path).await;
    let db = open(&path).await;
    let text = "many words ".repeat(2000);
    for _ in 0..20 {
        db.thread("large").add(NewMessage::user(&text)).await.unwrap();
    }
    for key in ["key-1", "key-2"] {
        let message = NewMessage::user("a picture").with_attachments([key.parse().unwrap()]);
        db.thread("large").add(message).await.unwrap();
    }
    db.thread("large").delete_thread().await.unwrap();
    db.close().await.unwrap();
    let plan = run_on(&path, &["purge", "--json"]).json();
    assert_eq!(
        (&plan["applied"], &plan["threads"], &plan["named"][0]["thread"]),
        (&false.into(), &1.into(), &"large".into())
    );
    assert_eq!(plan["attachments"], serde_json::json!([]));
    let freed = run_on(&path, &["purge", "--apply", "--json"]);
    assert_eq!(freed.code, 0, "{freed:?}");
    let freed = freed.json();
    assert_eq!(
        (&freed["command"], &freed["applied"], &freed["threads"], &freed["named"]),
        (&"purge".into(), &true.into(), &1.into(), &plan["named"])
    );
    let of_large =
        |key: &str| serde_json::json!({ "tenant": "default", "thread": "large", "attachment": key });
    assert_eq!(freed["attachments"], serde_json::json!([of_large("key-1"), of_large("key-2")]));
    assert_eq!(run_on(&path, &["purge", "--json"]).json()["threads"], 0);

    let new = folder.path().join("small.db");
    let compacted = run_on(&path, &["compact", "--into", new.to_str().unwrap(), "--json"]);
    assert_eq!(compacted.code, 0, "{compacted:?}");
    let compacted = compacted.json();
    let (before, after) = (compacted["fileBytes"].as_u64().unwrap(), compacted["bytes"].as_u64().unwrap());
    assert!(compacted["freeBytes"].as_u64().unwrap() > 300_000 && after + 300_000 < before, "{compacted}");
    let shown = |path| run_on(path, &["show", "trip", "--json"]).json();
    assert_eq!(shown(&new), shown(&path));
    let db = open(&path).await;
    assert_eq!(db.thread("trip").page(PageFrom::End, 10).await.unwrap().messages.len(), 3);
    db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compact_shrinks_the_file_only_with_apply_while_a_host_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    store(&path).await;
    let db = open(&path).await;
    let text = "many words ".repeat(5000);
    for _ in 0..40 {
        db.thread("large").add(NewMessage::user(&text)).await.unwrap();
    }
    db.thread("large").delete_thread().await.unwrap();
    db.close().await.unwrap();
    assert_eq!(run_on(&path, &["purge", "--apply"]).code, 0);
    let before = files(folder.path());
    let plan = run_on(&path, &["compact", "--json"]).json();
    let (file, free) = (plan["fileBytes"].as_u64().unwrap(), plan["freeBytes"].as_u64().unwrap());
    assert!(free > 2_000_000, "{plan}");
    assert_eq!(
        (&plan["applied"], &plan["compactsInPlace"], plan.get("returnedBytes")),
        (&false.into(), &true.into(), None)
    );
    let shown = run_on(&path, &["compact"]);
    assert!(shown.out.contains("Nothing was changed. Add --apply"), "{shown:?}");
    assert_eq!(files(folder.path()), before);
    let both = run_on(&path, &["compact", "--apply", "--into", "x.db"]);
    assert_eq!(both.code, 2, "{both:?}");

    let db = open(&path).await;
    let writer = db.thread("writer");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let writing = tokio::spawn(async move {
        let (mut written, mut stopped) = (0_u64, stopped);
        while stopped.try_recv().is_err() {
            writer.add(NewMessage::user("during the compaction")).await.unwrap();
            written += 1;
        }
        written
    });
    let compacting = path.clone();
    let compacted =
        tokio::task::spawn_blocking(move || run_on(&compacting, &["compact", "--apply", "--json"]));
    let compacted = compacted.await.unwrap();
    stop.send(()).unwrap();
    let written = writing.await.unwrap();
    assert_eq!(compacted.code, 0, "{compacted:?}");
    let compacted = compacted.json();
    assert_eq!((&compacted["applied"], &compacted["command"]), (&true.into(), &"compact".into()));
    assert!(compacted["freeBytes"].as_u64().unwrap() < 1_000_000, "{compacted}");
    db.close().await.unwrap();
    let shrunk = std::fs::metadata(&path).unwrap().len();
    // The writer has used less than a kilobyte for each message.
    assert!(shrunk + free / 2 < file + written * 1000, "{shrunk} of {file}, {written} messages: {compacted}");
    let summary = run_on(&path, &["threads", "--json"]).json();
    let threads = summary["threads"].as_array().unwrap();
    let of_writer = threads.iter().find(|thread| thread["thread"] == "writer").unwrap();
    assert_eq!(of_writer["messages"], written, "{of_writer}");
    assert_eq!(run_on(&path, &["verify"]).code, 0);
}

//! Law 8: a redirect owns the messages that it sent to another store for good, reads included.

use throughline::{
    Content, Effect, ErrorKind, MessageId, MessageState, MetadataPatch, NewMessage, NewReservation,
    PersistArgs, Persistence, Role,
    memory::MemoryBackend,
    messages::{Batch, ContentChange, Delete, ListOpen, PageFrom, TakeLastMessage, UpdateMode, Visibility},
    redirect::{redirect, redirect_messages},
    sessions::{Claimer, RunReport, Runtime},
    sqlite::SqliteBackend,
    threads::{ClearThread, DeleteThread, RenameThread},
};

use crate::kind_effect_site;

/// Returns two pipelines: the first redirects threads that begin with `target:` to the second one.
fn by_thread() -> (Persistence, Persistence) {
    let second = Persistence::builder().backend(MemoryBackend::new().with_name("second")).build().unwrap();
    let rule =
        |_: &throughline::TenantId, thread: &throughline::ThreadId| thread.as_str().starts_with("target:");
    let db = Persistence::builder()
        .layer(redirect("split", rule, second.clone()))
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    (db, second)
}

#[tokio::test]
async fn every_operation_of_a_redirected_thread_runs_on_the_target_store() {
    let (db, second) = by_thread();
    let thread = db.thread("target:1");
    let id = thread.add(NewMessage::user("a")).await.unwrap().message.id;
    let mut draft = thread.reserve(Role::Assistant).await.unwrap();
    draft.append("b").await.unwrap();
    draft.finish().await.unwrap();
    thread.update(id.clone(), MetadataPatch::new().set("k", &1).unwrap()).await.unwrap();
    thread.edit(id.clone(), Content::text("c")).await.unwrap();
    let through = thread.page(PageFrom::Start, 10).await.unwrap();
    let target = second.thread("target:1").page(PageFrom::Start, 10).await.unwrap();
    assert_eq!(through, target);
    assert_eq!(through.messages.len(), 2);
    thread.delete(id.clone()).await.unwrap();
    assert_eq!(second.thread("target:1").get(id).await.unwrap(), None);
    // The counterpart: a thread that does not match stays in the local store.
    db.thread("local:1").add(NewMessage::user("a")).await.unwrap();
    assert!(second.thread("local:1").page(PageFrom::Start, 10).await.unwrap().messages.is_empty());
}

#[tokio::test]
async fn a_batch_over_both_stores_is_refused_and_a_batch_over_one_store_is_applied() {
    let (db, second) = by_thread();
    let add = |thread: &str| throughline::messages::Add::new(thread.parse().unwrap(), NewMessage::user("a"));
    let error = db.batch(Batch::new().with(add("target:1")).with(add("local:1"))).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Unsupported, Effect::NotApplied, "split"));
    db.batch(Batch::new().with(add("target:1")).with(add("target:2"))).await.unwrap();
    db.batch(Batch::new().with(add("local:1")).with(add("local:2"))).await.unwrap();
    for (thread, target) in [("target:1", 1), ("target:2", 1), ("local:1", 0), ("local:2", 0)] {
        assert_eq!(second.thread(thread).page(PageFrom::Start, 10).await.unwrap().messages.len(), target);
        assert_eq!(db.thread(thread).page(PageFrom::Start, 10).await.unwrap().messages.len(), 1);
    }
}

#[tokio::test]
async fn a_list_over_all_threads_merges_both_stores_in_order_page_by_page() {
    let (db, _second) = by_thread();
    for thread in ["a", "target:1", "z", "target:2", "b"] {
        for _ in 0..2 {
            let reserve = throughline::messages::Reserve::new(
                thread.parse().unwrap(),
                NewReservation::new(Role::Assistant),
            );
            db.run(reserve).await.unwrap();
        }
    }
    let mut shown = Vec::new();
    let mut list = ListOpen::new(3);
    loop {
        let page = db.read(list.clone()).await.unwrap();
        assert!(page.messages.len() <= 3);
        shown.extend(page.messages.iter().map(|m| (m.thread.to_string(), m.seq.get())));
        let Some(next) = page.next else { break };
        list.after = Some(next);
    }
    let expected: Vec<(String, u64)> = ["a", "b", "target:1", "target:2", "z"]
        .iter()
        .flat_map(|t| [((*t).to_owned(), 1), ((*t).to_owned(), 2)])
        .collect();
    assert_eq!(shown, expected);
}

/// Returns a local store and a target; the redirect sends messages of the assistant to the target.
async fn by_message(folder: &std::path::Path) -> (Persistence, Persistence) {
    let target = SqliteBackend::open(folder.join("target.db")).await.unwrap();
    let local = SqliteBackend::open(folder.join("local.db")).await.unwrap();
    let target = Persistence::builder().backend(target).build().unwrap();
    let rule = |args: &PersistArgs| match args {
        PersistArgs::Add(add) => add.role == Role::Assistant,
        PersistArgs::Reserve(reserve) => reserve.role == Role::Assistant,
        _ => false,
    };
    let db = Persistence::builder()
        .layer(redirect_messages("vault", rule, target.clone()))
        .backend(local)
        .build()
        .unwrap();
    (db, target)
}

async fn close(db: (Persistence, Persistence)) {
    db.0.close().await.unwrap();
    db.1.close().await.unwrap();
}

#[tokio::test]
async fn a_redirected_message_is_read_from_the_target_store_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (reserved, added): (MessageId, MessageId) = ("reserved".parse().unwrap(), "added".parse().unwrap());
    let stores = by_message(folder.path()).await;
    let thread = stores.0.thread("t");
    thread.add(NewMessage::user("question")).await.unwrap();
    let reservation = NewReservation::new(Role::Assistant).with_id(reserved.clone());
    let mut draft = thread.reserve(reservation).await.unwrap();
    draft.append("half an ").await.unwrap();
    draft.flush().await.unwrap();
    drop(draft);
    let answer = thread.add(NewMessage::assistant("whole").with_id(added.clone())).key("k").await.unwrap();
    assert_eq!(answer.message.seq.get(), 3);
    close(stores).await;

    let stores = by_message(folder.path()).await;
    let (db, target) = &stores;
    let thread = db.thread("t");
    let open = db.open_reservations(10).await.unwrap().messages;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].content, Content::text("half an "));
    let more = ContentChange::Append(throughline::Delta::text("answer"));
    thread.update_content(reserved.clone(), more, UpdateMode::Final).await.unwrap();
    thread.update(added.clone(), MetadataPatch::new().set("k", &1).unwrap()).await.unwrap();
    let again = thread.add(NewMessage::assistant("whole").with_id(added.clone())).key("k").await.unwrap();
    assert!(again.deduplicated);
    assert_eq!(again.message.seq.get(), 3);
    let page = thread.page_showing(PageFrom::Start, 10, Visibility::Final).await.unwrap();
    let shown: Vec<_> =
        page.messages.iter().map(|m| (m.seq.get(), m.content.as_json(), m.metadata.len())).collect();
    let (question, half, whole) =
        (Content::text("question"), Content::text("half an answer"), Content::text("whole"));
    assert_eq!(shown, [(1, question.as_json(), 0), (2, half.as_json(), 0), (3, whole.as_json(), 1)]);
    // The local store contains no content of the assistant.
    for file in ["local.db", "local.db-wal"] {
        let bytes = std::fs::read(folder.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(4).any(|window| window == b"half" || window == b"whol"), "{file}");
    }
    thread.delete(reserved.clone()).await.unwrap();
    assert_eq!(thread.get(reserved.clone()).await.unwrap(), None);
    assert_eq!(target.thread("t").get(reserved.clone()).await.unwrap(), None);
    assert_eq!(thread.delete(reserved).await.unwrap_err().kind(), ErrorKind::NotFound);
    close(stores).await;
}

#[tokio::test]
async fn a_batch_that_touches_a_redirected_message_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let stores = by_message(folder.path()).await;
    let thread = stores.0.thread("t");
    let target = thread.add(NewMessage::assistant("a")).await.unwrap().message.id;
    let local = thread.add(NewMessage::user("b")).await.unwrap().message.id;
    let delete = |id: &MessageId| Delete::new("t".parse().unwrap(), id.clone());
    let error = stores.0.batch(Batch::new().with(delete(&local)).with(delete(&target))).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Unsupported, Effect::NotApplied, "vault"));
    stores.0.batch(Batch::new().with(delete(&local))).await.unwrap();
    assert_eq!(thread.page(PageFrom::Start, 10).await.unwrap().messages.len(), 1);
    // A batch cannot add such a message either: the redirect could not send it to the target.
    let add = throughline::messages::Add::new("t".parse().unwrap(), NewMessage::assistant("c"));
    let error = stores.0.batch(Batch::new().with(add)).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Unsupported, Effect::NotApplied, "vault"));
    close(stores).await;
}

#[tokio::test]
async fn a_batch_that_takes_or_deletes_the_messages_of_a_thread_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let stores = by_message(folder.path()).await;
    let thread = stores.0.thread("t");
    thread.add(NewMessage::user("a")).await.unwrap();
    let kept = thread.add(NewMessage::assistant("b")).await.unwrap().message.id;
    let t: throughline::ThreadId = "t".parse().unwrap();
    let ends: [PersistArgs; 3] = [
        TakeLastMessage::new(t.clone()).into(),
        ClearThread::new(t.clone()).into(),
        DeleteThread { thread: t.clone() }.into(),
    ];
    for end in ends {
        let error = stores.0.batch(Batch::new().with(end)).await.unwrap_err();
        assert_eq!(kind_effect_site(&error), (ErrorKind::Unsupported, Effect::NotApplied, "vault"));
        let shown: Vec<_> =
            thread.page(PageFrom::Start, 10).await.unwrap().messages.into_iter().map(|m| m.content).collect();
        assert_eq!(shown, [Content::text("a"), Content::text("b")]);
        assert!(stores.1.thread("t").get(kept.clone()).await.unwrap().is_some());
    }
    // The counterpart: a batch that deletes no message is applied.
    let rename = RenameThread::new(t, "new".parse().unwrap());
    stores.0.batch(Batch::new().with(rename)).await.unwrap();
    close(stores).await;
}

/// Returns a pipeline whose target fails writes as the test plans.
fn by_fault() -> (Persistence, std::sync::Arc<std::sync::Mutex<Vec<&'static str>>>) {
    use throughline::{
        PersistError, PersistRequest, Phase,
        plugin::{NextRequest, from_fn},
    };
    let faults = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let plan = std::sync::Arc::clone(&faults);
    let fault = from_fn("fault", Phase::Route, move |request: PersistRequest, next: NextRequest| {
        let plan = if request.kind().is_write() { plan.lock().unwrap().pop() } else { None };
        async move {
            match plan {
                Some("busy") => {
                    Err(PersistError::new(ErrorKind::Busy, "locked").with_effect(Effect::NotApplied))
                }
                _ => next.run(request).await,
            }
        }
    });
    let target = Persistence::builder()
        .layer(fault)
        .backend(MemoryBackend::new().with_name("target"))
        .build()
        .unwrap();
    let rule = |args: &PersistArgs| matches!(args, PersistArgs::Add(add) if add.role == Role::Assistant);
    let db = Persistence::builder()
        .layer(throughline::layers::retry::RetryLayer::new())
        .layer(redirect_messages("vault", rule, target))
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    (db, faults)
}

#[tokio::test(start_paused = true)]
async fn a_redirected_add_is_retried_while_the_target_store_is_busy() {
    let (db, faults) = by_fault();
    faults.lock().unwrap().extend(["busy", "busy"]);
    let id: MessageId = "m".parse().unwrap();
    let added = db.thread("t").add(NewMessage::assistant("a").with_id(id.clone())).await.unwrap();
    assert_eq!((&added.message.id, added.message.seq.get()), (&id, 1));
    let page = db.thread("t").page_showing(PageFrom::Start, 10, Visibility::Final).await.unwrap();
    assert_eq!(page.messages, [added.message]);
    assert_eq!(page.first_open, None);
}

#[tokio::test]
async fn a_replay_on_a_redirected_message_returns_the_first_answer() {
    let (db, _faults) = by_fault();
    let thread = db.thread("t");
    thread.add(NewMessage::user("first")).await.unwrap();
    let add = || thread.add(NewMessage::assistant("a").with_id("m".parse().unwrap())).key("add");
    let first = add().await.unwrap();
    let delete = || thread.delete("m".parse().unwrap()).key("delete");
    let gone = delete().await.unwrap();
    assert_eq!((gone.seq.get(), gone.deduplicated), (2, false));
    let again = delete().await.unwrap();
    assert_eq!((again.seq.get(), again.deduplicated), (2, true));
    let again = add().await.unwrap();
    assert_eq!(
        (again.message.id, again.message.seq, again.deduplicated),
        (first.message.id, first.message.seq, true)
    );
}

#[tokio::test]
async fn an_add_that_the_target_store_refuses_leaves_no_open_message() {
    let deny = throughline::plugin::respond("deny", |args: &PersistArgs, _: &_| {
        args.kind().is_write().then(|| Err(throughline::PersistError::new(ErrorKind::Denied, "no")))
    });
    let target = Persistence::builder().plugin(deny).backend(MemoryBackend::new()).build().unwrap();
    let rule = |args: &PersistArgs| args.kind().is_write();
    let db = Persistence::builder()
        .layer(redirect_messages("vault", rule, target))
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    let error = db.thread("t").add(NewMessage::user("a")).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Denied, Effect::NotApplied, "vault/deny"));
    assert!(db.open_reservations(10).await.unwrap().messages.is_empty());
    let page = db.thread("t").page(PageFrom::Start, 10).await.unwrap();
    assert!(page.messages.is_empty());
    // With a key the reservation stays, for a repeated call or for recovery.
    db.thread("t").add(NewMessage::user("a")).key("k").await.unwrap_err();
    let open = db.open_reservations(10).await.unwrap().messages;
    assert_eq!(open.iter().map(|m| m.state).collect::<Vec<_>>(), [MessageState::Reserved]);
}

#[tokio::test]
async fn sessions_are_redirected_with_their_thread_and_operations_on_a_whole_agent_are_refused() {
    let (db, second) = by_thread();
    let runtime = Runtime::new("r".parse().unwrap(), "root".parse().unwrap());
    let claimer = Claimer::new("p".parse().unwrap(), runtime);
    for (thread, target) in [("target:1", true), ("local:1", false)] {
        let agent_thread = db.agent("g").on(thread);
        let run = agent_thread.begin(agent_thread.run(claimer.clone()).unwrap()).await.unwrap();
        agent_thread.confirm(run.attempt, RunReport::of("s1".parse().unwrap())).await.unwrap();
        let seen = agent_thread.resolve(claimer.clone()).await.unwrap().resolution;
        assert_eq!(seen.session, Some("s1".parse().unwrap()), "{thread}");
        assert_eq!(agent_thread.history(10).await.unwrap().attempts.len(), 1);
        let in_second = second.agent("g").on(thread).resolve(claimer.clone()).await.unwrap().resolution;
        assert_eq!((in_second == seen, in_second.binding.is_some()), (target, target), "{thread}");
    }
    for error in [
        db.agent("g").reset_all().await.map(drop).unwrap_err(),
        db.agent("g").drop_sessions().await.map(drop).unwrap_err(),
        db.drop_runtime("r".parse().unwrap()).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(kind_effect_site(&error), (ErrorKind::Unsupported, Effect::NotApplied, "split"));
    }
    // Operations on a whole agent must be called on each store directly.
    second.agent("g").drop_sessions().await.unwrap();
    assert_eq!(db.agent("g").on("target:1").resolve(claimer.clone()).await.unwrap().resolution.session, None);
    assert!(db.agent("g").on("local:1").resolve(claimer).await.unwrap().resolution.session.is_some());
}

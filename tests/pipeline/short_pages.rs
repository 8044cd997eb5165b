//! Pages that end at the byte limit: readers continue after a short page.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use throughline::{
    Delta, NewMessage, NewReservation, NewThread, PersistArgs, PersistRequest, Persistence, Phase, ReadArgs,
    Role, Timestamp,
    backend::EstimatedSize as _,
    memory::MemoryBackend,
    messages::{ContentChange, ListOpen, PageFrom, ReadPage, Reserve, UpdateMode, Visibility},
    plugin::{NextRequest, from_fn},
    redirect::{redirect, redirect_messages},
    sqlite::SqliteBackend,
    threads::{ListThreads, ThreadOrder},
};

const MIB: usize = 1 << 20;

/// Returns a store whose pages have one item, whatever the limit of the read.
fn pages_of_one_item(clock: &Arc<AtomicI64>) -> Persistence {
    let clock = Arc::clone(clock);
    let now = move || Timestamp::from_micros(clock.load(Ordering::SeqCst));
    let shorten =
        from_fn("shorten", Phase::Route, |mut request: PersistRequest, next: NextRequest| async move {
            match &mut request.args {
                PersistArgs::Read(ReadArgs::Page(read)) => read.max_bytes = 1,
                PersistArgs::Read(ReadArgs::OpenReservations(list)) => list.max_bytes = 1,
                PersistArgs::Read(ReadArgs::Threads(list)) => list.max_bytes = 1,
                PersistArgs::Read(ReadArgs::Audit(read)) => read.max_bytes = 1,
                _ => {}
            }
            next.run(request).await
        });
    Persistence::builder().clock(now).layer(shorten).backend(MemoryBackend::new()).build().unwrap()
}

async fn add(db: &Persistence, thread: &str, count: usize) {
    for number in 0..count {
        let message = NewMessage::user("x").with_id(format!("m{number}").parse().unwrap());
        db.thread(thread).add(message).await.unwrap();
    }
}

fn names(messages: &[throughline::Message]) -> Vec<&str> {
    messages.iter().map(|message| message.id.as_str()).collect()
}

#[tokio::test]
async fn history_recall_walk_and_fork_continue_over_short_pages() {
    let db = pages_of_one_item(&Arc::default());
    add(&db, "t", 6).await;
    let thread = db.thread("t");
    assert_eq!(thread.page(PageFrom::End, 4).await.unwrap().messages.len(), 1);
    let history = thread.history(None, 4).await.unwrap();
    assert_eq!((names(&history.messages), history.has_more), (vec!["m2", "m3", "m4", "m5"], true));
    let history = thread.history(None, 6).await.unwrap();
    assert_eq!((history.messages.len(), history.has_more), (6, false));
    let before = history.messages[2].seq;
    let recalled = thread.recall(Some(before), 50).await.unwrap();
    assert_eq!((names(&recalled.messages), recalled.has_more), (vec!["m1", "m0"], false));
    for (from, first) in [(PageFrom::Start, "m0"), (PageFrom::End, "m5")] {
        let mut walk = thread.walk(from, Visibility::All);
        let mut seen = Vec::new();
        while let Some(message) = walk.next().await.unwrap() {
            seen.push(message.id.to_string());
        }
        assert_eq!((seen.len(), seen[0].as_str()), (6, first));
    }
    let forked = thread.fork(&"m4".parse().unwrap(), NewThread::new()).await.unwrap();
    assert_eq!(forked.messages, 5);
}

#[tokio::test]
async fn recovery_settles_every_expired_message_over_short_lists() {
    let clock = Arc::default();
    let db = pages_of_one_item(&clock);
    for number in 0..5 {
        let reservation = NewReservation::new(Role::Assistant)
            .with_id(format!("m{number}").parse().unwrap())
            .with_lease(Reserve::MIN_LEASE);
        db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
    }
    assert_eq!(db.read(ListOpen::new(10)).await.unwrap().messages.len(), 1);
    clock.store(1_000_000, Ordering::SeqCst);
    assert_eq!(db.recover_expired_drafts("lost").await.unwrap().abandoned.len(), 5);
}

#[tokio::test]
async fn a_page_of_large_messages_ends_at_8_mib_and_a_history_returns_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteBackend::open(folder.path().join("chat.db")).await.unwrap();
    let stores = [
        Persistence::builder().backend(MemoryBackend::new()).build().unwrap(),
        Persistence::builder().backend(sqlite).build().unwrap(),
    ];
    for db in stores {
        let thread = db.thread("t");
        let text = "x".repeat(3 * MIB / 2);
        for _ in 0..8 {
            thread.add(NewMessage::user(&text)).await.unwrap();
        }
        let page = thread.page(PageFrom::Start, 1000).await.unwrap();
        assert_eq!((page.messages.len(), page.has_more), (5, true));
        let history = thread.history(None, 1000).await.unwrap();
        assert_eq!((history.messages.len(), history.has_more), (8, false));
        let whole =
            ReadPage::new("t".parse().unwrap(), PageFrom::Start, 1000).with_max_bytes(ReadPage::MAX_BYTES);
        assert_eq!(db.read(whole).await.unwrap().messages.len(), 8);
    }
}

#[tokio::test]
async fn a_page_merged_from_both_stores_of_a_redirect_respects_the_byte_limit() {
    let vault = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let users = |args: &PersistArgs| matches!(args, PersistArgs::Add(add) if add.role == Role::User);
    let db = Persistence::builder()
        .layer(redirect_messages("vault", users, vault))
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    let thread = db.thread("t");
    for number in 0..9 {
        let (text, role) = ("x".repeat(10 << 10), if number % 3 == 2 { Role::Assistant } else { Role::User });
        let message = NewMessage::new(role, throughline::Content::text(&text));
        thread.add(message.with_id(format!("m{number}").parse().unwrap())).await.unwrap();
    }
    for from in [PageFrom::Start, PageFrom::End] {
        let (mut seen, mut next) = (Vec::new(), Some(from));
        while let Some(at) = next {
            let read = ReadPage::new("t".parse().unwrap(), at, 100).with_max_bytes(32 << 10);
            let page = db.read(read).await.unwrap();
            let size: usize = page.messages.iter().map(throughline::Message::estimated_size).sum();
            assert!(size <= 32 << 10 && page.messages.len() <= 3, "{size}");
            next = page.next(at);
            seen.extend(page.messages.iter().map(|message| message.id.to_string()));
        }
        seen.sort_unstable();
        let due: Vec<String> = (0..9).map(|number| format!("m{number}")).collect();
        assert_eq!(seen, due, "{from:?}");
    }
}

#[tokio::test]
async fn lists_merged_from_both_stores_of_a_redirect_respect_the_byte_limit_and_are_complete() {
    let there = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let rule = |_: &throughline::TenantId, thread: &throughline::ThreadId| thread.as_str().starts_with("b");
    let db = Persistence::builder()
        .layer(redirect("split", rule, there))
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    for number in 0..4 {
        for side in ["a", "b"] {
            let thread = db.thread(format!("{side}{number}").as_str());
            let id = format!("m{side}{number}");
            let reservation = NewReservation::new(Role::Assistant).with_id(id.parse().unwrap());
            db.run(Reserve::new(format!("{side}{number}").parse().unwrap(), reservation)).await.unwrap();
            let text = ContentChange::Append(Delta::text("x".repeat(10 << 10)));
            thread.update_content(id.parse().unwrap(), text, UpdateMode::Partial).await.unwrap();
        }
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let open = db.read(ListOpen { after, ..ListOpen::new(100).with_max_bytes(32 << 10) }).await.unwrap();
        assert!(open.messages.len() <= 3);
        seen.extend(open.messages.iter().map(|message| message.thread.to_string()));
        after = open.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["a0", "a1", "a2", "a3", "b0", "b1", "b2", "b3"]);
}

#[tokio::test]
async fn threads_of_both_stores_of_a_redirect_are_listed_in_the_order_of_the_list() {
    let there = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let rule = |_: &throughline::TenantId, thread: &throughline::ThreadId| thread.as_str().starts_with("b");
    let clock = Arc::new(AtomicI64::new(0));
    let now = {
        let clock = Arc::clone(&clock);
        move || Timestamp::from_micros(clock.load(Ordering::SeqCst))
    };
    let db = Persistence::builder()
        .clock(now)
        .layer(redirect("split", rule, there))
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    // `a0` and `b0` have one time of creation, and the oldest threads have the latest activity.
    for number in (0..4).rev() {
        for side in ["a", "b"] {
            clock.fetch_add(1, Ordering::SeqCst);
            let thread = format!("{side}{number}");
            let new = NewThread::new().with_id(thread.parse().unwrap());
            let new =
                new.created_at(Timestamp::from_micros(number * 10 - i64::from(number > 1 && side == "b")));
            db.create_thread(new).await.unwrap();
            if number < 3 {
                db.thread(thread.as_str()).add(NewMessage::user("x")).await.unwrap();
            }
        }
    }
    let due = ["a0", "b0", "a1", "b1", "b2", "a2", "b3", "a3"];
    for limit in 1..=9 {
        for (order, unlisted) in [
            (ThreadOrder::OldestCreated, true),
            (ThreadOrder::NewestCreated, true),
            (ThreadOrder::OldestCreated, false),
            (ThreadOrder::NewestCreated, false),
        ] {
            let list = ListThreads { unlisted, ..ListThreads::new(limit).ordered_by(order) };
            let (mut seen, mut next) = (Vec::new(), Some(list));
            while let Some(list) = next.take() {
                let page = db.threads(list.clone()).await.unwrap();
                seen.extend(page.threads.iter().map(|entry| entry.thread.to_string()));
                next = page.next.map(|cursor| list.after(cursor));
            }
            let mut due = due[..if unlisted { 8 } else { 6 }].to_vec();
            if order == ThreadOrder::NewestCreated {
                due.reverse();
            }
            assert_eq!(seen, due, "{limit} at once, {order}");
        }
    }
}

//! A store with something of everything in it, and all that can be seen of one.

use std::time::Duration;

use throughline_core::{
    Message, NewMessage, NewReservation, Persistence, Position, Role, TenantId, ThreadId,
    changes::{
        Change, ChangeScope, ConsumerCursor, GetCursor, ListQuarantined, MoveCursor, QuarantineChange,
        QuarantinedChange,
    },
    messages::{Alias, ListAliases, ListOpen, Origin, Reserve, ResolveId, UpdateMode},
    sessions::{Attempts, Claimer, ListAttempts, ResolveSession, RunReport, Runtime, SessionResolved},
    threads::{ClearThread, DeleteThread, ListPurgeable, ThreadArgs, ThreadSummary},
};

use crate::{
    rig::Rig,
    shorthand::{
        append, changes_after, everything, facts, id, json, new_thread, replace, said, thread_id, title,
    },
};

/// Whose store it is.
pub(super) struct Filled {
    tenants: [TenantId; 2],
}

fn claimer() -> Claimer {
    Claimer::new("p".parse().unwrap(), Runtime::new("r".parse().unwrap(), "root".parse().unwrap()))
}

fn with_attachment(name: &str) -> NewMessage {
    said(name, "x").with_attachments([name.parse().expect("a key")])
}

fn asked(thread: &str, item: &str) -> ThreadArgs {
    let origin = Origin::new().in_turn("turn".parse().unwrap()).item(item.parse().unwrap());
    ResolveId { fresh: id(item), ..ResolveId::new(thread_id(thread), origin) }.into()
}

async fn reserve(db: &Persistence, name: &str) {
    let reserve = Reserve::new(thread_id("t"), NewReservation::new(Role::Assistant).with_id(id(name)));
    db.run(reserve).await.expect("it is reserved");
}

/// Fills a store.
pub(super) async fn fill(rig: &Rig, db: &Persistence) -> Filled {
    let tenants = [db.tenant().clone(), "other".parse().unwrap()];
    for tenant in &tenants {
        let db = db.for_tenant(tenant.clone());
        let thread = db.thread("t");
        thread.add(said("first", tenant.as_str())).key("k").await.unwrap();
        rig.clock.advance(Duration::from_secs(1));
        let odd = NewMessage::new(Role::Tool, json(r#"[ {"type":"image","n":1.10}, "\ud800\u0000" ]"#))
            .with_id(id("odd"))
            .with_metadata(facts(r#"{"n":1.10,"k":null}"#))
            .with_attachments(["b".parse().unwrap(), "a".parse().unwrap()]);
        thread.add(odd).await.unwrap();
        thread.update_content(id("first"), append("!"), UpdateMode::Edit).await.unwrap();
        thread.delete(thread.add(said("dead", "x")).await.unwrap().message.id).await.unwrap();
        reserve(&db, "reserved").await;
        reserve(&db, "streaming").await;
        thread.update_content(id("streaming"), append("Hel"), UpdateMode::Partial).await.unwrap();
        thread.update_content(id("streaming"), append("lo"), UpdateMode::Partial).await.unwrap();
        reserve(&db, "abandoned").await;
        let abandoned = UpdateMode::Abandon { reason: Some("no \u{0} reason".to_owned()) };
        thread.update_content(id("abandoned"), replace("lost"), abandoned).await.unwrap();
        db.run(asked("t", "item")).key("name").await.unwrap();
        db.create_thread(new_thread("titled").with_title(title("Trip"))).await.unwrap();
        db.thread("titled").archive(true).await.unwrap();
        for gone in ["cleared", "deleted"] {
            db.thread(gone).add(with_attachment(&format!("{gone}-1"))).await.unwrap();
            db.run(asked(gone, "old")).await.unwrap();
        }
        db.on_thread(ClearThread::new(thread_id("cleared"))).await.unwrap();
        db.run(asked("cleared", "new")).await.unwrap();
        db.thread("cleared").add(said("after", "x")).await.unwrap();
        db.on_thread(DeleteThread { thread: thread_id("deleted") }).await.unwrap();
        let location = db.agent("g").on("t");
        let run = location.begin(location.run(claimer()).unwrap()).await.unwrap().attempt;
        location.confirm(run, RunReport::of("session".parse().unwrap())).await.unwrap();
        location.begin(location.run(claimer()).unwrap()).await.unwrap();
        db.agent("h").reset_all().await.unwrap();
        db.on_consumer(MoveCursor::new("c".parse().unwrap(), Position::new(3))).await.unwrap();
        db.on_consumer(QuarantineChange {
            consumer: "c".parse().unwrap(),
            position: Position::new(2),
            thread: thread_id("t"),
            why: "it was odd".to_owned(),
        })
        .await
        .unwrap();
        rig.clock.advance(Duration::from_secs(1));
    }
    Filled { tenants }
}

/// Ends what is open, and takes more away.
pub(super) async fn end(db: &Persistence) {
    let thread = db.thread("t");
    thread.update_content(id("streaming"), append("!"), UpdateMode::Final).await.unwrap();
    thread.delete(id("reserved")).await.unwrap();
    thread.delete(id("odd")).await.unwrap();
    db.on_thread(ClearThread::new(thread_id("cleared"))).await.unwrap();
    db.agent("g").drop_sessions().await.unwrap();
    db.on_consumer(MoveCursor::new("c".parse().unwrap(), Position::new(9))).await.unwrap();
}

/// All that can be seen of a thread.
#[derive(Debug, PartialEq)]
struct Thread {
    id: ThreadId,
    entry: Option<ThreadSummary>,
    messages: Vec<Message>,
    names: Vec<Alias>,
    attempts: Attempts,
    session: SessionResolved,
    other_session: SessionResolved,
}

/// All that can be seen of a store.
#[derive(Debug, PartialEq)]
pub(super) struct Look {
    threads: Vec<Thread>,
    open: Vec<Vec<Message>>,
    purgeable: Vec<Vec<ThreadId>>,
    cursors: Vec<ConsumerCursor>,
    quarantined: Vec<Vec<QuarantinedChange>>,
    changes: Vec<Change>,
}

/// Looks at a store.
pub(super) async fn look(db: &Persistence, filled: &Filled) -> Look {
    let mut look = Look {
        threads: Vec::new(),
        open: Vec::new(),
        purgeable: Vec::new(),
        cursors: Vec::new(),
        quarantined: Vec::new(),
        changes: changes_after(db, ChangeScope::Store, Position::ZERO).await,
    };
    for tenant in &filled.tenants {
        let db = db.for_tenant(tenant.clone());
        for name in ["t", "titled", "cleared", "deleted", "untouched"] {
            look.threads.push(thread(&db, name).await);
        }
        let open = ListOpen::new(100);
        look.open.push(db.read(open).await.unwrap().messages);
        look.purgeable.push(db.read(ListPurgeable { after: None, limit: 100 }).await.unwrap().threads);
        look.cursors.push(db.read(GetCursor { consumer: "c".parse().unwrap() }).await.unwrap());
        let list = ListQuarantined::new("c".parse().unwrap(), 100);
        look.quarantined.push(db.read(list).await.unwrap().changes);
    }
    look
}

async fn thread(db: &Persistence, name: &str) -> Thread {
    let session = |agent: &str| ResolveSession {
        agent: agent.parse().unwrap(),
        thread: thread_id(name),
        claimer: claimer(),
    };
    Thread {
        id: thread_id(name),
        entry: db.thread(name).summary().await.unwrap(),
        messages: everything(&db.thread(name)).await,
        names: db
            .read(ListAliases { thread: thread_id(name), message: None, after: None, limit: 100 })
            .await
            .unwrap()
            .aliases,
        attempts: db.read(ListAttempts::new("g".parse().unwrap(), thread_id(name), 100)).await.unwrap(),
        session: db.read(session("g")).await.unwrap(),
        other_session: db.read(session("h")).await.unwrap(),
    }
}

//! Fills a store with every kind of row for two tenants, and reads everything back.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use throughline::{
    Content, Labels, Message, MessageId, Metadata, NewMessage, NewThread, Persistence, Position, Role,
    changes::{Change, ChangeScope, GetCursor, ListQuarantined, MoveCursor, QuarantineChange, ReadChanges},
    messages::{ContentChange, ListAliases, ListOpen, Origin, PageFrom, ResolveId, UpdateMode},
    sessions::{Attempts, Claimer, ListAttempts, ResolveSession, RunReport, Runtime, SessionResolved},
    threads::{ListPurgeable, ListThreads, PurgeThread, ThreadArgs},
};

use super::support::{append, reserve};

pub(crate) const TENANTS: [&str; 2] = ["default", "other"];
const THREADS: [&str; 5] = ["t", "titled", "cleared", "deleted", "untouched"];

fn id(id: &str) -> MessageId {
    id.parse().unwrap()
}

fn claimer() -> Claimer {
    Claimer::new("p".parse().unwrap(), Runtime::new("r".parse().unwrap(), "root".parse().unwrap()))
}

fn resolve_alias(thread: &str, item: &str) -> ThreadArgs {
    let origin = Origin::new().in_turn("turn".parse().unwrap()).item(item.parse().unwrap());
    ResolveId { fresh: id(item), ..ResolveId::new(thread.parse().unwrap(), origin) }.into()
}

fn labels() -> Labels {
    Labels::new().with("kind", "trip").unwrap()
}

/// Returns the message of a turn, which is the last one with this alias.
pub(crate) async fn latest(db: &Persistence) -> MessageId {
    let turn = Origin::new().in_turn("turn".parse().unwrap());
    let resolve = ResolveId { fresh: id("none"), ..ResolveId::new("named".parse().unwrap(), turn) };
    db.on_thread(resolve).await.unwrap().id
}

/// The add that is repeated after a move.
pub(crate) async fn keyed(db: &Persistence) -> (MessageId, bool) {
    let first = NewMessage::user("first").with_id(id("first"));
    let added = db.thread("t").add(first).key("k").await.unwrap();
    (added.message.id, added.deduplicated)
}

/// Fills a store with every kind of row.
pub(crate) async fn fill(db: &Persistence) {
    for tenant in TENANTS {
        let db = db.for_tenant(tenant.parse().unwrap());
        let thread = db.thread("t");
        assert_eq!(keyed(&db).await, (id("first"), false));
        let odd = Content::from_json(r#"[ {"type":"image","n":1.10}, "\ud800\u0000" ]"#).unwrap();
        let metadata: Metadata = serde_json::from_str(r#"{"n":1.10,"k":null}"#).unwrap();
        let odd = NewMessage::new(Role::Tool, odd)
            .with_id(id("odd"))
            .with_metadata(metadata)
            .with_attachments(["b".parse().unwrap(), "a".parse().unwrap()]);
        thread.add(odd).await.unwrap();
        append(&db, "t", "first", "!", UpdateMode::Edit).await;
        thread.delete(thread.add(NewMessage::user("gone")).await.unwrap().message.id).await.unwrap();
        for open in ["reserved", "streaming", "abandoned"] {
            reserve(&db, "t", open).await;
        }
        append(&db, "t", "streaming", "Hel", UpdateMode::Partial).await;
        append(&db, "t", "streaming", "lo", UpdateMode::Partial).await;
        let reason = UpdateMode::Abandon { reason: Some("no \u{0} reason".to_owned()) };
        let lost = ContentChange::Replace(Content::text("lost"));
        thread.update_content(id("abandoned"), lost, reason).await.unwrap();
        for item in ["z", "a", "m"] {
            db.run(resolve_alias("t", item)).key(item).await.unwrap();
        }
        for item in ["z", "a", "m"] {
            db.run(resolve_alias("named", item)).await.unwrap();
        }
        let titled = NewThread::new()
            .with_id("titled".parse().unwrap())
            .with_title("Trip".parse().unwrap())
            .with_owner("anna".parse().unwrap())
            .with_labels(labels());
        db.create_thread(titled).await.unwrap();
        db.thread("titled").add(NewMessage::user("Where to?").with_id(id("asked"))).await.unwrap();
        db.thread("titled").archive(true).await.unwrap();
        for gone in ["cleared", "deleted"] {
            let message = NewMessage::user("x").with_attachments([gone.parse().unwrap()]);
            db.thread(gone).add(message).await.unwrap();
            db.run(resolve_alias(gone, "old")).await.unwrap();
            let agent_thread = db.agent("g").on(gone);
            agent_thread.begin(agent_thread.run(claimer()).unwrap()).await.unwrap();
        }
        db.thread("cleared").clear().await.unwrap();
        db.run(resolve_alias("cleared", "new")).await.unwrap();
        db.thread("cleared").add(NewMessage::user("after").with_id(id("after"))).await.unwrap();
        db.thread("deleted").delete_thread().await.unwrap();
        let agent_thread = db.agent("g").on("t");
        let run = agent_thread.begin(agent_thread.run(claimer()).unwrap()).await.unwrap().attempt;
        agent_thread.confirm(run, RunReport::of("session".parse().unwrap())).await.unwrap();
        agent_thread.begin(agent_thread.run(claimer()).unwrap()).await.unwrap();
        db.agent("h").reset_all().await.unwrap();
        db.on_consumer(MoveCursor::new("c".parse().unwrap(), Position::new(3))).await.unwrap();
        // The consumer `late` has a quarantined change and no cursor yet.
        for consumer in ["c", "late"] {
            db.on_consumer(QuarantineChange {
                consumer: consumer.parse().unwrap(),
                position: Position::new(2),
                thread: "t".parse().unwrap(),
                why: "it was odd".to_owned(),
            })
            .await
            .unwrap();
        }
    }
}

/// Finishes open messages, and deletes more rows.
pub(crate) async fn end(db: &Persistence) {
    for tenant in TENANTS {
        let db = db.for_tenant(tenant.parse().unwrap());
        append(&db, "t", "streaming", "!", UpdateMode::Final).await;
        db.thread("t").delete(id("reserved")).await.unwrap();
        db.thread("t").delete(id("odd")).await.unwrap();
        db.thread("cleared").clear().await.unwrap();
        db.agent("g").drop_sessions().await.unwrap();
        db.on_consumer(MoveCursor::new("c".parse().unwrap(), Position::new(9))).await.unwrap();
    }
}

/// Purges the cleared and the deleted thread.
pub(crate) async fn purge(db: &Persistence) {
    for tenant in TENANTS {
        let db = db.for_tenant(tenant.parse().unwrap());
        for thread in ["cleared", "deleted"] {
            let purge = || PurgeThread { thread: thread.parse().unwrap(), limit: 1 };
            while db.on_thread(purge()).await.unwrap().more {}
        }
    }
}

/// Everything that reads return of a thread.
#[derive(Debug, PartialEq)]
pub(crate) struct ThreadContents {
    entry: Option<String>,
    /// The id, seq, revision and state of each message, and a hash of the whole message.
    messages: Vec<(String, u64, u64, String, u64)>,
    aliases: Vec<String>,
    attempts: Attempts,
    sessions: [SessionResolved; 2],
}

/// Everything that reads return of a store, except its changes.
#[derive(Debug, PartialEq)]
pub(crate) struct Contents {
    threads: BTreeMap<(String, String), ThreadContents>,
    open: Vec<String>,
    purgeable: Vec<String>,
    cursors: Vec<String>,
    quarantined: Vec<String>,
    /// The threads that were found by their labels and by their owner.
    found: Vec<String>,
}

fn hash(message: &Message) -> u64 {
    let mut hasher = DefaultHasher::new();
    serde_json::to_string(message).unwrap().hash(&mut hasher);
    hasher.finish()
}

/// Reads everything that [`fill`] has written.
pub(crate) async fn read_all(db: &Persistence) -> Contents {
    let (mut open, mut purgeable, mut cursors, mut quarantined) = (vec![], vec![], vec![], vec![]);
    let (mut threads, mut found) = (BTreeMap::new(), Vec::new());
    for tenant in TENANTS {
        let db = db.for_tenant(tenant.parse().unwrap());
        for thread in THREADS {
            threads.insert((tenant.to_owned(), thread.to_owned()), read_thread(&db, thread).await);
            let list = ListOpen::new(100).in_thread(thread.parse().unwrap());
            open.push(format!("{:?}", db.read(list).await.unwrap().messages));
        }
        let list = ListPurgeable { after: None, limit: 100 };
        purgeable.push(format!("{:?}", db.read(list).await.unwrap().threads));
        for (owner, labels) in [(None, labels()), (Some("anna".parse().unwrap()), Labels::new())] {
            let list = ListThreads { owner, labels, archived: None, ..ListThreads::new(10) };
            let entries = db.read(list).await.unwrap().threads;
            assert_eq!(entries.len(), 1);
            found.push(serde_json::to_string(&entries).unwrap());
        }
        for consumer in ["c", "late", "none"] {
            let consumer = || consumer.parse().unwrap();
            cursors.push(format!("{:?}", db.read(GetCursor { consumer: consumer() }).await.unwrap()));
            let list = ListQuarantined::new(consumer(), 100);
            quarantined.push(serde_json::to_string(&db.read(list).await.unwrap().changes).unwrap());
        }
    }
    Contents { threads, open, purgeable, cursors, quarantined, found }
}

async fn read_thread(db: &Persistence, name: &str) -> ThreadContents {
    let thread = db.thread(name);
    let session = |agent: &str| ResolveSession {
        agent: agent.parse().unwrap(),
        thread: name.parse().unwrap(),
        claimer: claimer(),
    };
    let page = thread.page(PageFrom::Start, 100).await.unwrap();
    assert!(!page.has_more && page.damaged.is_empty());
    let list_attempts = ListAttempts::new("g".parse().unwrap(), name.parse().unwrap(), 100);
    let list = ListAliases { thread: name.parse().unwrap(), message: None, after: None, limit: 100 };
    ThreadContents {
        entry: thread.summary().await.unwrap().map(|entry| serde_json::to_string(&entry).unwrap()),
        messages: page
            .messages
            .iter()
            .map(|message| {
                let state = format!("{:?}", message.state);
                (message.id.to_string(), message.seq.get(), message.revision.get(), state, hash(message))
            })
            .collect(),
        aliases: db.read(list).await.unwrap().aliases.iter().map(|alias| format!("{alias:?}")).collect(),
        attempts: db.read(list_attempts).await.unwrap(),
        sessions: [db.read(session("g")).await.unwrap(), db.read(session("h")).await.unwrap()],
    }
}

/// Returns every change after a position.
pub(crate) async fn changes(db: &Persistence, mut after: Position) -> Vec<Change> {
    let mut changes = Vec::new();
    loop {
        let read = db.read(ReadChanges::new(ChangeScope::Store, after, 100)).await.unwrap();
        changes.extend(read.changes);
        after = read.position;
        if !read.more {
            return changes;
        }
    }
}

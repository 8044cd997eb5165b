//! `Add`.

use throughline_core::{
    Content, ErrorKind, Message, MessageState, NewMessage, NewReservation, Revision, Role, Timestamp,
};

use crate::{
    check::checks,
    clock::ManualClock,
    rig::Rig,
    shorthand::{everything, facts, id, ids, json, refused, said, silent, the},
};

checks! {
    Core "messages.add_answers_the_stored_message" [Add Read] "add answers the whole message, equal to a later read" => answer;
    Core "messages.add_of_an_existing_id_is_refused" [Add Read] "an add with an existing id is refused, and the existing message is unchanged" => existing_id;
    Core "messages.add_of_a_reserved_id_is_refused" [Add Reserve Read] "an add with a reserved id is refused" => reserved_id;
    Core "messages.id_of_another_thread_is_free" [Add Read] "an id that another thread uses can be added" => other_thread;
    Core "messages.minted_ids_are_unique" [Add Read] "each message that is added without an id gets a unique id" => minted_id;
    Core "messages.given_created_at_is_kept" [Add Read] "an added message keeps its given `created_at`, and its sequence number is by arrival" => created_at;
    Core "messages.empty_content_can_be_final" [Add Read] "a final message may have empty content" => no_blocks;
    Core "messages.every_role_is_kept" [Add Read] "every role is stored unchanged" => roles;
    Core "messages.attachment_order_is_kept" [Add Read] "attachment names keep their order" => attachments;
}

async fn answer(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let message = NewMessage::new(Role::User, json(r#"[{"type":"text","text":"a"}, 1.10]"#))
        .with_id(id("m"))
        .with_metadata(facts(r#"{"b":1.10,"a":null}"#))
        .with_attachments(["cat.png".parse().unwrap()]);
    let added = thread.add(message).await.expect("an added message");
    assert!(!added.deduplicated);
    let seq = added.message.seq;
    assert!(seq.get() > 0, "a seq counts from 1");
    let expected = Message {
        tenant: db.tenant().clone(),
        thread: "t".parse().unwrap(),
        id: id("m"),
        seq,
        role: Role::User,
        state: MessageState::Final,
        revision: Revision::FIRST,
        content: json(r#"[{"type":"text","text":"a"}, 1.10]"#),
        metadata: facts(r#"{"b":1.10,"a":null}"#),
        attachments: vec!["cat.png".parse().unwrap()],
        abandon_reason: None,
        lease: None,
        created_at: ManualClock::START,
        updated_at: ManualClock::START,
    };
    assert_eq!(added.message, expected);
    assert_eq!(the(&thread, "m").await, expected);
    assert_eq!(everything(&thread).await, [expected]);
}

async fn existing_id(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let first = thread.add(said("m", "first")).await.unwrap().message;
    let error = refused(thread.add(said("m", "second")).await, ErrorKind::AlreadyExists);
    assert_eq!(error.message(), Some(&id("m")));
    // The same content does not matter: without a key a repeated call cannot be recognized.
    refused(thread.add(said("m", "first")).await, ErrorKind::AlreadyExists);
    assert_eq!(everything(&thread).await, [first]);
    // The neighbour: another id.
    thread.add(said("n", "first")).await.expect("another id is free");
}

async fn reserved_id(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let draft = thread.reserve(NewReservation::new(Role::Assistant).with_id(id("m"))).await.unwrap();
    refused(thread.add(said("m", "x")).await, ErrorKind::AlreadyExists);
    assert_eq!(everything(&thread).await, [draft.reserved().clone()]);
}

async fn other_thread(rig: Rig) {
    let db = rig.db().await;
    let (a, b) = (db.thread("a"), db.thread("b"));
    let in_a = a.add(said("m", "in a")).await.unwrap().message;
    let in_b = b.add(said("m", "in b")).await.expect("another thread's ids are its own").message;
    assert_eq!(everything(&a).await, [in_a]);
    assert_eq!(in_b.content, Content::text("in b"));
    assert_eq!(everything(&b).await, [in_b]);
}

async fn minted_id(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let first = thread.add(NewMessage::user("x")).await.unwrap().message;
    let second = thread.add(NewMessage::user("x")).await.unwrap().message;
    assert_ne!(first.id, second.id);
    assert_eq!(everything(&thread).await, [first, second]);
}

async fn created_at(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let old = Timestamp::from_micros(-62_135_596_800_000_000);
    thread.add(said("now", "x")).await.unwrap();
    let imported = thread.add(said("old", "x").created_at(old)).await.unwrap().message;
    assert_eq!(imported.created_at, old);
    let read = everything(&thread).await;
    assert_eq!(ids(&read), ["now", "old"]);
    assert_eq!(read[1], imported);
}

async fn no_blocks(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(silent("m", Role::Assistant)).await.unwrap();
    let read = the(&thread, "m").await;
    assert_eq!((read.state, read.content.as_json()), (MessageState::Final, "[]"));
    assert_eq!(thread.open_reservations(10).await.unwrap().messages, []);
}

async fn roles(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let roles = [Role::User, Role::Assistant, Role::System, Role::Tool];
    for role in roles {
        thread.add(silent(role.as_str(), role)).await.unwrap();
    }
    let read: Vec<_> = everything(&thread).await.iter().map(|message| message.role).collect();
    assert_eq!(read, roles);
}

async fn attachments(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let names = ["z", "a", "a", "ß.png"];
    let keys = names.map(|name| name.parse().unwrap());
    thread.add(said("m", "x").with_attachments(keys.clone())).await.unwrap();
    thread.add(said("n", "x")).await.unwrap();
    assert_eq!(the(&thread, "m").await.attachments, keys);
    assert_eq!(the(&thread, "n").await.attachments, []);
}

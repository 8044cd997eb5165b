//! `UpdateContent`: what becomes of the content.

use throughline_core::{
    Content, Delta, ErrorKind, MessageState, NewReservation, OpKind, Revision, Role, Thread,
    messages::{Batch, ContentChange, PageFrom, Reserve, UpdateContent, UpdateMode},
};

use crate::{
    check::checks,
    child::{Process, Role as Task},
    rig::Rig,
    shorthand::{append, everything, id, json, refused, replace, the},
};

checks! {
    Core "messages.appended_text_extends_a_text_block" [Reserve UpdateContent Read] "appended text extends a plain text block and starts a new block after any other" => text;
    Core "messages.appended_blocks_are_kept_exactly" [Reserve UpdateContent Read] "appended blocks are stored unchanged, with any content" => blocks;
    Core "messages.replace_and_append_can_alternate" [Reserve UpdateContent Read] "replace and append can alternate in every order" => after_replace;
    Core "messages.empty_append_keeps_the_bytes" [Reserve UpdateContent Read] "an empty append keeps the stored bytes" => nothing;
    Core "messages.append_above_the_call_limit_is_refused" [Reserve UpdateContent Read] "an append that makes the content exceed the limit of the call is refused" => limit;
    Core "messages.appends_are_concatenated" ("VL-S12") [Reserve UpdateContent Read] "the content after a thousand appends is their concatenation, and a reader sees only prefixes" => thousand;
    Extended "messages.append_cost_is_linear" ("VL-S12") [Reserve UpdateContent; durable counted_writes] "the bytes written per append do not grow with the content" => linear;
}

/// A reservation of `m`.
async fn reserved(rig: &Rig) -> Thread {
    let db = rig.db().await;
    let reservation = NewReservation::new(Role::Assistant).with_id(id("m"));
    db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
    db.thread("t")
}

async fn partial(thread: &Thread, change: ContentChange) {
    thread.update_content(id("m"), change, UpdateMode::Partial).await.unwrap();
}

async fn text(rig: Rig) {
    let thread = reserved(&rig).await;
    for text in ["Hel", "lo \"", "\u{0}\n✓", "\u{1F600}"] {
        partial(&thread, append(text)).await;
    }
    let one = r#"[{"type":"text","text":"Hello \"\u0000\n✓😀"}]"#;
    assert_eq!(the(&thread, "m").await.content.as_json(), one);
    // After a block that is not exactly a plain text block, an append opens a new block.
    let other = r#"[{"type":"text","text":"a","x":1}]"#;
    partial(&thread, ContentChange::Replace(json(other))).await;
    partial(&thread, append("b")).await;
    partial(&thread, append("c")).await;
    let two = r#"[{"type":"text","text":"a","x":1},{"type":"text","text":"bc"}]"#;
    assert_eq!(the(&thread, "m").await.content.as_json(), two);
}

async fn blocks(rig: Rig) {
    let thread = reserved(&rig).await;
    partial(&thread, append("a")).await;
    let blocks = r#"[{"n":1.10,"n":18446744073709551615}, "\ud800" , null]"#;
    partial(&thread, ContentChange::Append(Delta::Blocks(json(blocks)))).await;
    partial(&thread, append("b")).await;
    partial(&thread, ContentChange::Append(Delta::Blocks(Content::text("c")))).await;
    partial(&thread, append("d")).await;
    let expected = concat!(
        r#"[{"type":"text","text":"a"},{"n":1.10,"n":18446744073709551615}, "\ud800" , null,"#,
        r#"{"type":"text","text":"b"},{"type":"text","text":"cd"}]"#
    );
    assert_eq!(the(&thread, "m").await.content.as_json(), expected);
}

async fn after_replace(rig: Rig) {
    let thread = reserved(&rig).await;
    partial(&thread, append("lost")).await;
    partial(&thread, replace("a")).await;
    partial(&thread, append("b")).await;
    assert_eq!(the(&thread, "m").await.content, Content::text("ab"));
    partial(&thread, ContentChange::Replace(Content::empty())).await;
    assert_eq!(the(&thread, "m").await.content, Content::empty());
    partial(&thread, append("c")).await;
    thread.update_content(id("m"), append("d"), UpdateMode::Final).await.unwrap();
    assert_eq!(the(&thread, "m").await.content, Content::text("cd"));
    thread.update_content(id("m"), append("e"), UpdateMode::Edit).await.unwrap();
    assert_eq!(the(&thread, "m").await.content, Content::text("cde"));
}

async fn nothing(rig: Rig) {
    let thread = reserved(&rig).await;
    let odd = r#"[ {"type":"text","text":"a"} , 1.0 ]"#;
    partial(&thread, ContentChange::Replace(json(odd))).await;
    partial(&thread, ContentChange::none()).await;
    partial(&thread, ContentChange::Append(Delta::Blocks(json("[ ]")))).await;
    let open = the(&thread, "m").await;
    assert_eq!((open.content.as_json(), open.revision), (odd, Revision::new(2)));
    thread.update_content(id("m"), ContentChange::none(), UpdateMode::Final).await.unwrap();
    let settled = the(&thread, "m").await;
    assert_eq!((settled.content.as_json(), settled.revision), (odd, Revision::new(3)));
}

async fn limit(rig: Rig) {
    let thread = reserved(&rig).await;
    let db = thread.persistence().clone();
    let max = Content::text("0123456789").byte_len() as u64;
    let change = |change, mode| UpdateContent::new("t".parse().unwrap(), id("m"), change, mode).within(max);
    for text in ["0123", "4567", "8"] {
        db.run(change(append(text), UpdateMode::Partial)).await.unwrap();
    }
    for (text, mode) in [("9x", UpdateMode::Partial), ("\u{0}", UpdateMode::Final)] {
        refused(db.run(change(append(text), mode)).await, ErrorKind::TooLarge);
    }
    let batch = Batch::new()
        .with(change(append("9"), UpdateMode::Partial))
        .with(change(append("x"), UpdateMode::Partial));
    if rig.capabilities.supports(OpKind::Batch) {
        refused(db.batch(batch).await, ErrorKind::TooLarge);
    }
    let open = the(&thread, "m").await;
    assert_eq!((open.content, open.revision), (Content::text("012345678"), Revision::new(4)));
    // To the byte, and no call without a limit is held to that of another.
    db.run(change(append("9"), UpdateMode::Partial)).await.unwrap();
    partial(&thread, append("beyond")).await;
    db.run(change(ContentChange::none(), UpdateMode::Final)).await.unwrap();
    let settled = the(&thread, "m").await;
    assert_eq!((settled.content, settled.state), (Content::text("0123456789beyond"), MessageState::Final));
    refused(db.run(change(append("x"), UpdateMode::Edit)).await, ErrorKind::TooLarge);
    db.run(change(replace("0123456789"), UpdateMode::Edit)).await.unwrap();
}

async fn thousand(rig: Rig) {
    const APPENDS: usize = 1000;
    let thread = reserved(&rig).await;
    let chunk = |number: usize| format!("{number:>31}.");
    let mut whole = String::new();
    for number in 0..APPENDS {
        whole.push_str(&chunk(number));
        partial(&thread, append(&chunk(number))).await;
        if number % 250 == 10 {
            let seen = the(&thread, "m").await;
            assert_eq!(seen.content, Content::text(&whole), "after {number}");
            assert_eq!(seen.state, MessageState::Streaming);
            assert_eq!(seen.revision.get(), number as u64 + 2);
            assert_eq!(thread.page(PageFrom::End, 1).await.unwrap().messages, [seen]);
        }
    }
    thread.update_content(id("m"), ContentChange::none(), UpdateMode::Final).await.unwrap();
    let read = everything(&thread).await;
    assert_eq!(read[0].content, Content::text(&whole));
    assert_eq!(read[0].content.byte_len(), APPENDS * 32 + r#"[{"type":"text","text":""}]"#.len());
}

async fn linear(rig: Rig) {
    const APPENDS: u32 = 400;
    let mut process = Process::start(&rig, Task::Appends(APPENDS));
    let mut written = Vec::new();
    for _ in 0..3 {
        written.push(process.ack().await.parse::<u64>().expect("a count of bytes"));
    }
    process.end().await;
    let (first, second) = (written[1] - written[0], written[2] - written[1]);
    // Rewriting the whole content each time would make the second half three times the first.
    assert!(second * 2 < first * 3, "{APPENDS} appends wrote {first} bytes, and {APPENDS} more {second}");
}

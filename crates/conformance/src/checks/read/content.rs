//! Tail reads: `ReadContent`.

use throughline_core::{
    Content, Delta, ErrorKind, MessageState, NewReservation, Persistence, Revision, Role, Thread,
    messages::{
        ContentBuffer, ContentChange, ContentCursor, ContentTail, ReadContent, ReadPage, Reserve, UpdateMode,
    },
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, id, json, refused, replace, said, the},
};

checks! {
    Core "content.tail_reads_show_each_append_once" [Reserve UpdateContent Read] "a tail read after each write shows the content of that write, and all of them are the message" => once;
    Core "content.cursor_continues_after_the_end_of_the_message" [Reserve UpdateContent Read] "a reader whose message is finished or abandoned between two reads gets only what it has not read" => ended;
    Core "content.replacement_begins_the_content_again" [Reserve UpdateContent Read] "after a replacement a tail read says so and begins at the start, in each state of the message" => replaced;
    Core "content.byte_limit_divides_text_between_characters" [Add Reserve UpdateContent Read] "tail reads of any byte limit show the content once, and text is divided between characters" => limited;
    Core "content.cursor_outside_of_the_content_is_refused" [Add Reserve UpdateContent Read] "a cursor after the end, inside of a character or inside of a block is refused" => outside;
    Core "content.missing_message_has_no_tail" [Add Delete Read] "a tail read of an unknown or deleted message, or in another thread or tenant, answers none" => missing;
    Core "content.chunks_of_any_size_are_read_from_any_cursor" [Reserve UpdateContent Read] "a cursor of any earlier answer continues an open message" => any_cursor;
    Core "content.byte_limit_is_from_1_to_64_mib" [Add Read] "a tail read accepts a limit from 1 byte to 64 MiB and refuses others" => limit,
        core alone: "the pipeline refuses it before a store is asked";
}

/// A reader that assembles a message.
struct Reader {
    thread: Thread,
    content: ContentBuffer,
    cursor: Option<ContentCursor>,
}

impl Reader {
    fn new(thread: &Thread) -> Self {
        Self { thread: thread.clone(), content: ContentBuffer::new(&Content::empty()), cursor: None }
    }

    /// Reads once, with this limit.
    async fn read(&mut self, limit: u32) -> ContentTail {
        let read =
            ReadContent::new(self.thread.id().unwrap().clone(), id("m"), self.cursor).with_limit(limit);
        let tail =
            self.thread.persistence().read(read).await.expect("a tail read").expect("the message is there");
        if tail.replaced {
            self.content = ContentBuffer::new(&Content::empty());
        }
        tail.parts.iter().for_each(|part| self.content.push(part));
        self.cursor = Some(tail.next);
        tail
    }

    /// Reads to the end. Returns the appends.
    async fn read_to_the_end(&mut self) -> Vec<Delta> {
        let tail = self.read(ReadPage::DEFAULT_BYTES).await;
        assert!(!tail.has_more && !tail.replaced, "{tail:?}");
        tail.parts
    }

    /// Asserts that the assembled content is that of the message, block by block.
    async fn expect_whole(&self) {
        let message = the(&self.thread, "m").await;
        assert_eq!(blocks(&self.content.content()), blocks(&message.content));
    }
}

fn blocks(content: &Content) -> Vec<String> {
    content.blocks().iter().map(|block| block.get().to_owned()).collect()
}

fn delta_blocks(of: &str) -> ContentChange {
    ContentChange::Append(Delta::Blocks(json(of)))
}

async fn reserved(db: &Persistence) -> Thread {
    let reservation = NewReservation::new(Role::Assistant).with_id(id("m"));
    db.run(Reserve::new("t".parse().unwrap(), reservation)).await.expect("a reservation");
    db.thread("t")
}

async fn write(thread: &Thread, change: ContentChange, mode: UpdateMode) -> Revision {
    thread.update_content(id("m"), change, mode).await.expect("an update").revision
}

async fn partial(thread: &Thread, change: ContentChange) {
    write(thread, change, UpdateMode::Partial).await;
}

/// Text, blocks and other spellings of text, in every order.
fn appends() -> Vec<ContentChange> {
    vec![
        append("Hel"),
        append("lo \"é\n\u{0}✓𝄞"),
        delta_blocks(r#"[{"type":"tool","id":"1"}, 7]"#),
        delta_blocks(r#"[1.10]"#),
        append("more"),
        delta_blocks(r#"[{"type":"text","text":"other"}]"#),
        append(" end"),
        delta_blocks(r#"[{"type":"text","text":"\u0041\ud800"}]"#),
        append("last"),
    ]
}

async fn once(rig: Rig) {
    let db = rig.db().await;
    let thread = reserved(&db).await;
    let mut reader = Reader::new(&thread);
    let tail = reader.read(ReadPage::DEFAULT_BYTES).await;
    assert_eq!((tail.state, tail.revision.get()), (MessageState::Reserved, 1));
    assert_eq!((tail.parts.len(), tail.has_more, tail.replaced), (0, false, false));
    let mut behind = Reader::new(&thread);
    for (number, change) in appends().into_iter().enumerate() {
        let ContentChange::Append(delta) = change.clone() else { unreachable!("only appends") };
        partial(&thread, change).await;
        let tail = reader.read(ReadPage::DEFAULT_BYTES).await;
        assert_eq!((tail.state, tail.revision.get()), (MessageState::Streaming, number as u64 + 2));
        assert_eq!((tail.has_more, tail.replaced), (false, false));
        assert_eq!(tail.parts, [delta], "append {number}");
        assert_eq!(reader.read_to_the_end().await, [], "nothing is shown twice");
        reader.expect_whole().await;
        if number % 3 == 2 {
            behind.read_to_the_end().await;
            behind.expect_whole().await;
        }
    }
}

async fn ended(rig: Rig) {
    let db = rig.db().await;
    let abandon = || UpdateMode::Abandon { reason: None };
    let ends: [(UpdateMode, ContentChange); 5] = [
        (UpdateMode::Final, ContentChange::none()),
        (UpdateMode::Final, append("rest é")),
        (UpdateMode::Final, delta_blocks("[2]")),
        (abandon(), ContentChange::none()),
        (abandon(), append("rest")),
    ];
    for (number, (mode, change)) in ends.into_iter().enumerate() {
        let db = db.for_tenant(format!("tenant-{number}").parse().unwrap());
        for read_before in 0..=appends().len() {
            let thread = db.thread(format!("t{read_before}"));
            let reservation = NewReservation::new(Role::Assistant).with_id(id("m"));
            db.run(Reserve::new(thread.id().unwrap().clone(), reservation)).await.unwrap();
            let mut reader = Reader::new(&thread);
            for (at, append) in appends().into_iter().enumerate() {
                if at == read_before {
                    reader.read_to_the_end().await;
                }
                partial(&thread, append).await;
            }
            if read_before == appends().len() {
                reader.read_to_the_end().await;
            }
            write(&thread, change.clone(), mode.clone()).await;
            let tail = reader.read(ReadPage::DEFAULT_BYTES).await;
            assert!(tail.is_complete() && !tail.replaced, "{tail:?}");
            if read_before == appends().len() {
                let due = match &change {
                    ContentChange::Append(delta) if !delta.is_empty() => vec![delta.clone()],
                    _ => vec![],
                };
                assert_eq!(tail.parts, due, "only the content of the end is new");
            }
            reader.expect_whole().await;
            assert_eq!(reader.read_to_the_end().await, []);
        }
    }
}

async fn replaced(rig: Rig) {
    let db = rig.db().await;
    let thread = reserved(&db).await;
    let mut reader = Reader::new(&thread);
    let expect_replaced = async |reader: &mut Reader, state: MessageState| {
        let tail = reader.read(ReadPage::DEFAULT_BYTES).await;
        assert_eq!((tail.replaced, tail.state, tail.has_more), (true, state, false));
        reader.expect_whole().await;
        let again = reader.read(ReadPage::DEFAULT_BYTES).await;
        assert_eq!((again.replaced, again.parts.len()), (false, 0), "the answer says so once");
    };
    partial(&thread, append("first text")).await;
    reader.read_to_the_end().await;
    // Longer than before, so that the offset of the cursor is inside of the new content.
    partial(&thread, replace("quite another text than the first")).await;
    expect_replaced(&mut reader, MessageState::Streaming).await;
    partial(&thread, append(", and more")).await;
    assert_eq!(reader.read_to_the_end().await, [Delta::text(", and more")]);
    partial(&thread, replace("third")).await;
    partial(&thread, append(" text, which is longer than the second one, and its appends")).await;
    expect_replaced(&mut reader, MessageState::Streaming).await;
    write(
        &thread,
        replace("the final text, which replaces everything that was streamed before"),
        UpdateMode::Final,
    )
    .await;
    expect_replaced(&mut reader, MessageState::Final).await;
    for text in ["an edit", "a second edit, which is longer than the first"] {
        thread.edit(id("m"), Content::text(text)).await.unwrap();
        expect_replaced(&mut reader, MessageState::Final).await;
    }
    // A reader without content has nothing to begin again.
    assert!(!Reader::new(&thread).read(ReadPage::DEFAULT_BYTES).await.replaced);
}

async fn limited(rig: Rig) {
    let db = rig.db().await;
    let thread = reserved(&db).await;
    for append in appends() {
        partial(&thread, append).await;
    }
    let expect_all = async |thread: &Thread| {
        let length = the(thread, "m").await.content.byte_len();
        for limit in [1, 2, 3, 5, 17, 64, length as u32] {
            let mut reader = Reader::new(thread);
            let mut reads = 0;
            loop {
                let tail = reader.read(limit).await;
                let sizes: Vec<usize> = tail.parts.iter().map(Delta::stored_len).collect();
                let size: usize = sizes.iter().sum();
                assert!(size <= limit as usize + 2 * sizes.len() || sizes.len() == 1, "{sizes:?} of {limit}");
                reads += 1;
                assert!(reads <= length, "an answer makes progress");
                if !tail.has_more {
                    break;
                }
                assert!(!tail.parts.is_empty());
            }
            reader.expect_whole().await;
            assert!(limit > 1 || reads >= 29, "{reads} reads of one byte");
        }
    };
    expect_all(&thread).await;
    write(&thread, ContentChange::none(), UpdateMode::Final).await;
    expect_all(&thread).await;
    let other = db.thread("added");
    other.add(said("m", &"é\n".repeat(40))).await.unwrap();
    expect_all(&other).await;
}

async fn outside(rig: Rig) {
    let db = rig.db().await;
    let thread = reserved(&db).await;
    partial(&thread, append("é✓")).await;
    partial(&thread, delta_blocks(r#"[{"x":1}]"#)).await;
    let expect_refused = async |thread: &Thread| {
        let mut reader = Reader::new(thread);
        reader.read_to_the_end().await;
        let end = reader.cursor.unwrap();
        let read = async |offset| {
            let cursor = ContentCursor::new(end.epoch(), offset, end.revision());
            thread.read_content(id("m"), Some(cursor)).await
        };
        let text = r#"{"type":"text","text":""#.len() as u64;
        for offset in [
            1,
            text + 1,
            text + 3,
            text + 6,
            end.offset() - 1,
            end.offset() + 1,
            end.offset() + 1000,
            u64::MAX >> 1,
        ] {
            let error = refused(read(offset).await, ErrorKind::Invalid);
            assert_eq!(error.message(), Some(&id("m")), "the error names the message");
        }
        for offset in [0, text + 2, text + 5, end.offset()] {
            read(offset).await.unwrap().unwrap();
        }
    };
    expect_refused(&thread).await;
    write(&thread, ContentChange::none(), UpdateMode::Final).await;
    expect_refused(&thread).await;
}

async fn missing(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    assert_eq!(thread.read_content(id("m"), None).await.unwrap(), None);
    thread.add(said("m", "text")).await.unwrap();
    let tail = thread.read_content(id("m"), None).await.unwrap().expect("the message");
    assert_eq!((tail.thread.as_str(), &tail.id, tail.state), ("t", &id("m"), MessageState::Final));
    assert_eq!(tail.parts, [Delta::text("text")]);
    let cursor = Some(tail.next);
    for after in [None, cursor] {
        assert_eq!(thread.read_content(id("n"), after).await.unwrap(), None);
        assert_eq!(db.thread("u").read_content(id("m"), after).await.unwrap(), None);
        let other = db.for_tenant("other".parse().unwrap());
        assert_eq!(other.thread("t").read_content(id("m"), after).await.unwrap(), None);
    }
    thread.delete(id("m")).await.unwrap();
    assert_eq!(thread.read_content(id("m"), None).await.unwrap(), None);
    assert_eq!(thread.read_content(id("m"), cursor).await.unwrap(), None);
}

async fn any_cursor(rig: Rig) {
    let db = rig.db().await;
    let thread = reserved(&db).await;
    let mut readers = vec![Reader::new(&thread)];
    for number in 0..60_usize {
        let change = match number % 7 {
            3 => delta_blocks(&format!(r#"[{{"n":{number}}}]"#)),
            _ => append(&"é".repeat(number * 5 % 31 + 1)),
        };
        partial(&thread, change).await;
        let mut reader = Reader::new(&thread);
        // In the middle of a chunk, too.
        let limit = if number % 2 == 0 { ReadPage::DEFAULT_BYTES } else { number as u32 * 11 + 1 };
        reader.read(limit).await;
        readers.push(reader);
    }
    for reader in &mut readers {
        while reader.read(ReadPage::DEFAULT_BYTES).await.has_more {}
        reader.expect_whole().await;
    }
}

async fn limit(rig: Rig) {
    let db = rig.db().await;
    db.thread("t").add(said("m", "x")).await.unwrap();
    let read =
        async |limit| db.read(ReadContent::new("t".parse().unwrap(), id("m"), None).with_limit(limit)).await;
    for limit in [1, ReadPage::MAX_BYTES] {
        assert!(read(limit).await.unwrap().is_some());
    }
    for limit in [0, ReadPage::MAX_BYTES + 1, u32::MAX] {
        refused(read(limit).await, ErrorKind::Invalid);
    }
}

//! Tail reads of an ordered store cost the bytes after their cursor.

use std::{cell::Cell, collections::BTreeMap};

use throughline_core::{
    BoxError, Content, Delta, Effect, ErrorKind, NewReservation, PersistArgs, ReadArgs, ReadResult, Role,
    TenantId, Timestamp,
    messages::{
        ContentBuffer, ContentChange, ContentCursor, ContentTail, ReadContent, Reserve, UpdateContent,
        UpdateMode,
    },
};
use throughline_engine::{
    Limits, Transaction, Write,
    ordered::{Entries, OrderedRead, OrderedRows, OrderedWrite},
};

/// A store that counts the bytes of the values that are read.
#[derive(Default)]
struct Counted {
    map: BTreeMap<String, String>,
    read: Cell<usize>,
}

impl OrderedRead for Counted {
    fn get(&self, key: &str) -> Result<Option<String>, BoxError> {
        let value = self.map.get(key).cloned();
        self.read.set(self.read.get() + value.as_ref().map_or(0, String::len));
        Ok(value)
    }

    fn range(&self, from: &str, to: &str) -> Result<Entries<'_>, BoxError> {
        let entries = self.map.range(from.to_owned()..to.to_owned());
        Ok(Box::new(entries.map(|(key, value)| {
            self.read.set(self.read.get() + value.len());
            Ok((key.clone(), value.clone()))
        })))
    }
}

impl OrderedWrite for Counted {
    fn insert(&mut self, key: &str, value: &str) -> Result<(), BoxError> {
        self.map.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), BoxError> {
        self.map.remove(key);
        Ok(())
    }
}

impl Counted {
    fn apply(&mut self, args: impl Into<PersistArgs>) {
        let (tenant, now) = (TenantId::default(), Timestamp::from_micros(7));
        let mut transaction = Transaction::new(OrderedRows::new(&*self), Limits::default());
        let write = Write { tenant: &tenant, args: &args.into(), idempotency: None, now };
        transaction.apply(&write).map_err(|halt| halt.to_string()).unwrap();
        let (rows, staged) = transaction.into_parts();
        let changes = rows.changes(&staged).unwrap();
        changes.write(self).unwrap();
    }

    fn update(&mut self, change: ContentChange, mode: UpdateMode) {
        self.apply(UpdateContent::new("t".parse().unwrap(), "m".parse().unwrap(), change, mode));
    }

    /// Reads after a cursor. Returns the answer and the bytes that were read for it.
    fn tail(&self, after: Option<ContentCursor>) -> (ContentTail, usize) {
        let before = self.read.get();
        let read = ReadArgs::Content(ReadContent::new("t".parse().unwrap(), "m".parse().unwrap(), after));
        let answer =
            OrderedRows::new(self).read(&TenantId::default(), &read, Timestamp::from_micros(9)).unwrap();
        let ReadResult::Content(Some(tail)) = answer else { panic!("the message is there") };
        (tail, self.read.get() - before)
    }
}

/// The bytes of the rows that every read needs: the message and its thread.
const ROWS: usize = 1000;
/// The bytes of JSON around the text of a chunk.
const CHUNK: usize = 40;

#[test]
fn a_reader_of_a_growing_message_reads_its_bytes_once() {
    let mut store = Counted::default();
    let reservation = NewReservation::new(Role::Assistant).with_id("m".parse().unwrap());
    store.apply(Reserve::new("t".parse().unwrap(), reservation));
    let (mut content, mut cursor) = (ContentBuffer::new(&Content::empty()), None);
    for number in 0..2000 {
        let change = match number % 10 {
            9 => Delta::Blocks(Content::from_json(format!(r#"[{{"n":{number}}}]"#)).unwrap()),
            _ => Delta::text("x".repeat(100)),
        };
        store.update(ContentChange::Append(change), UpdateMode::Partial);
        let (tail, read) = store.tail(cursor);
        // The new chunk, and the one before it, which says whether text continues.
        assert!(read < ROWS + 2 * (100 + CHUNK), "append {number} of {read} bytes");
        tail.parts.iter().for_each(|part| content.push(part));
        cursor = Some(tail.next);
    }
    let (tail, read) = store.tail(cursor);
    assert!(tail.parts.is_empty() && read < ROWS, "{read} bytes for nothing");
    // A reader that is behind reads what it lacks.
    let (_, read) = store.tail(None);
    assert!(read > 180_000 && read < ROWS + 2000 * (100 + CHUNK), "{read} bytes for all");
    store.update(ContentChange::none(), UpdateMode::Final);
    let (tail, read) = store.tail(cursor);
    assert!(tail.is_complete() && !tail.replaced && tail.parts.is_empty());
    assert!(read < ROWS + 200_000, "{read} bytes for a settled message");
    assert_eq!(store.tail(None).0.parts.len(), 400);
    let mut whole = ContentBuffer::new(&Content::empty());
    store.tail(None).0.parts.iter().for_each(|part| whole.push(part));
    assert_eq!(whole.content(), content.content());
}

#[test]
fn a_chunk_that_is_missing_is_no_content() {
    let mut store = Counted::default();
    let reservation = NewReservation::new(Role::Assistant).with_id("m".parse().unwrap());
    store.apply(Reserve::new("t".parse().unwrap(), reservation));
    for text in ["one", "two", "three"] {
        store.update(ContentChange::Append(Delta::text(text)), UpdateMode::Partial);
    }
    let second = store.map.keys().filter(|key| key.starts_with("chunk")).nth(1).cloned().unwrap();
    store.map.remove(&second);
    let read = ReadArgs::Content(ReadContent::new("t".parse().unwrap(), "m".parse().unwrap(), None));
    let answer = OrderedRows::new(&store).read(&TenantId::default(), &read, Timestamp::from_micros(9));
    let error = answer.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Corrupt, Effect::NotApplied));
    assert_eq!(error.message(), Some(&"m".parse().unwrap()));
}

use std::io::{self, Write};

use serde::Serialize;

use super::{PersistArgs, PersistResult};
use crate::{Metadata, id::AttachmentKey};

impl PersistArgs {
    /// The bytes of all the data in the operation: content, metadata with its names, titles, reasons, and every name, such as
    /// ids, attachments, labels and owners. Quotas count these bytes, and the store uses them to estimate the size of a write.
    ///
    /// A message counts the bytes of its parts. Appended text counts as it is stored, with its JSON escapes. An operation on a
    /// thread, a session or a consumer counts the bytes of its JSON. A read counts 0. The idempotency key is not part of an
    /// operation.
    ///
    /// ```
    /// use throughline_core::{NewMessage, PersistArgs, messages::Add};
    ///
    /// let message = NewMessage::user("hello").with_id("m-1".parse()?).with_attachments(["picture.png".parse()?]);
    /// let args: PersistArgs = Add::new("t".parse()?, message).into();
    /// assert_eq!(args.byte_len(), "t".len() + "m-1".len() + r#"[{"type":"text","text":"hello"}]"#.len() + "picture.png".len());
    /// # Ok::<(), throughline_core::InvalidId>(())
    /// ```
    #[must_use]
    pub fn byte_len(&self) -> usize {
        match self {
            Self::Read(_) => 0,
            args => args.operation().byte_len().unwrap_or_else(|| json_len(args)),
        }
    }
}

impl PersistResult {
    /// The bytes of stored data in the answer: metadata and attachment keys after a patch, a thread summary, a taken message, and
    /// the attachment keys of deleted, pruned or purged messages.
    /// [`Batch::max_answer_bytes`](crate::operation::Batch::max_answer_bytes) limits them, because a small call can have a large
    /// answer.
    #[must_use]
    pub fn answer_bytes(&self) -> usize {
        self.facts().stored_bytes()
    }
}

/// The bytes of metadata with its names, and of attachment keys.
pub(super) fn stored_len(metadata: &Metadata, attachments: &[AttachmentKey]) -> usize {
    metadata.byte_len() + attachments.iter().map(|key| key.as_str().len()).sum::<usize>()
}

/// Returns the length of the JSON. Serializes the value without keeping the text.
pub(crate) fn json_len(value: &impl Serialize) -> usize {
    struct Counter(usize);
    impl Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, value).expect("it serializes into a counter");
    counter.0
}

#[cfg(test)]
mod tests {
    use crate::{
        Content, Labels, NewMessage, NewThread, PersistArgs, Role, Timestamp,
        operation::{
            Add, Batch, CreateThread, GetMessage, Import, ImportRow, LabelThread, Origin, Reserve,
            ThreadArgs, UpdateContent, UpdateMode,
        },
        thread::LabelPatch,
    };

    fn of(args: impl Into<PersistArgs>) -> usize {
        args.into().byte_len()
    }

    const LONG: &str = "0123456789012345678901234567890123456789";

    #[test]
    fn every_name_counts() {
        let new =
            || NewMessage::new(Role::User, Content::from_json("[]").unwrap()).with_id("m".parse().unwrap());
        let add = |new: NewMessage| Add::new("t".parse().unwrap(), new);
        assert_eq!(of(add(new())), 4);
        assert_eq!(of(add(new().with_attachments([LONG.parse().unwrap()]))), 44);
        let named = |name: &str| serde_json::from_str(&format!(r#"{{"{name}":1}}"#)).unwrap();
        assert_eq!(of(add(new().with_metadata(named(LONG)))) - of(add(new().with_metadata(named("x")))), 39);
        assert_eq!(of(Batch::new().with(add(new())).with(add(new()))), 8);
        let row = ImportRow::new(
            "i".parse().unwrap(),
            Role::User,
            Content::from_json("[]").unwrap(),
            Timestamp::from_micros(1),
        );
        let row = row.with_origin(Origin::new().in_turn(LONG.parse().unwrap()));
        assert_eq!(of(Import::new("t".parse().unwrap(), vec![row.clone(), row])), 1 + 2 * 43);
        let reserve = Reserve::new(
            "t".parse().unwrap(),
            crate::NewReservation::new(Role::User).with_id("m".parse().unwrap()),
        );
        assert_eq!(of(reserve), 2);
        let abandon = UpdateMode::Abandon { reason: Some(LONG.to_owned()) };
        let update = UpdateContent::new(
            "t".parse().unwrap(),
            "m".parse().unwrap(),
            crate::operation::ContentChange::none(),
            abandon,
        );
        assert_eq!(of(update), 42);
        assert_eq!(of(GetMessage { thread: "t".parse().unwrap(), id: "m".parse().unwrap() }), 0);
    }

    #[test]
    fn the_names_of_a_thread_count() {
        let thread = || NewThread::new().with_id("t".parse().unwrap());
        let created = |new: NewThread| of(ThreadArgs::from(CreateThread::new(new)));
        let plain = created(thread());
        let more = [
            created(thread().with_title(LONG.parse().unwrap())),
            created(thread().with_owner(LONG.parse().unwrap())),
            created(thread().with_labels(Labels::new().with(LONG, "x").unwrap())),
            created(thread().with_labels(Labels::new().with("x", LONG).unwrap())),
        ];
        assert!(more.iter().all(|bytes| *bytes >= plain + LONG.len() - "Untitled".len()), "{plain} {more:?}");
        let label =
            LabelThread::new("t".parse().unwrap()).with_labels(LabelPatch::new().set("x", LONG).unwrap());
        assert!(of(ThreadArgs::from(label)) > LONG.len());
    }
}

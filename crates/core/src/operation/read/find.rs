use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{DamagedMessage, page};
use crate::{
    Effect, ErrorKind, Message, MessageId, Metadata, MetadataScalar, PersistError, Result, Seq, ThreadId,
    Timestamp,
    message::{carries_nothing, carries_parts},
    operation::{
        Addressed, ReadPage, Verb, Visibility,
        facts::{AnswerFacts, Facts, Limits, Split, StatesFacts},
        subject::Asked,
    },
};

/// The order of found messages, and of the pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FindOrder {
    /// The latest message first.
    #[default]
    NewestFirst,
    /// The oldest message first.
    OldestFirst,
}

/// Finds messages by the value of one metadata field, which the host declared as indexed
/// ([`IndexedMetadata`](crate::IndexedMetadata)) when it opened the store.
///
/// In one thread the messages are in the order of the thread. Over all threads of the tenant they are ordered by time of creation,
/// then by the bytes of the thread id, then by sequence number. A message has the value if the JSON of its field means the same
/// string, integer or boolean: see [`MetadataScalar`]. The index is part of each commit: a find sees every write that was answered
/// before.
///
/// The cost depends on the page, not on the store. A page can be shorter than its limit although there are more messages: it ends
/// at [`max_bytes`](Self::max_bytes), and after the store has skipped many messages that are hidden. Only
/// [`FoundMessages::next`] states whether there are more.
///
/// ```
/// use throughline_core::messages::{FindMessages, FindOrder};
///
/// let find = FindMessages::new("orderId", "A-17", 20).ordered(FindOrder::OldestFirst);
/// assert_eq!(find.criterion()?, ("orderId", "A-17".into()));
/// # Ok::<(), throughline_core::PersistError>(())
/// ```
///
/// # Errors
/// `Invalid` if [`metadata`](Self::metadata) has not exactly one field, or a value that is not indexed. `Unsupported` if the field
/// is not declared; the error names it. `Busy` while the store still adds its messages to the index of a new field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FindMessages {
    /// Only messages of this thread. `None` for all threads of the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<ThreadId>,
    /// The field and its value: exactly one member.
    pub metadata: Metadata,
    /// The order of the messages, and of the pages.
    #[serde(default)]
    pub order: FindOrder,
    /// The states of the messages to return; final ones by default. [`Visibility::Settled`] also returns abandoned ones, and
    /// [`Visibility::All`] also open ones.
    #[serde(default = "only_final")]
    pub visibility: Visibility,
    /// The end of the previous page. `None` for the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<FindCursor>,
    /// The most messages to return: 1 to [`ReadPage::MAX_LIMIT`].
    pub limit: u32,
    /// The most bytes of the answer: 1 to [`ReadPage::MAX_BYTES`]; 8 MiB by default. A page ends before the message that would
    /// exceed them, but shows at least one message.
    #[serde(default = "page::default_bytes", skip_serializing_if = "page::is_default_bytes")]
    pub max_bytes: u32,
}

const fn only_final() -> Visibility {
    Visibility::Final
}

impl FindMessages {
    /// Returns a find of the latest `limit` final messages of the tenant whose metadata field `name` has this value.
    #[must_use]
    pub fn new(name: impl Into<String>, value: impl Into<MetadataScalar>, limit: u32) -> Self {
        let mut metadata = Metadata::new();
        metadata.set_raw(name, value.into().to_json());
        Self {
            thread: None,
            metadata,
            order: FindOrder::NewestFirst,
            visibility: Visibility::Final,
            after: None,
            limit,
            max_bytes: ReadPage::DEFAULT_BYTES,
        }
    }

    /// Finds only messages of this thread.
    #[must_use]
    pub fn in_thread(mut self, thread: ThreadId) -> Self {
        self.thread = Some(thread);
        self
    }

    /// Sets the order.
    #[must_use]
    pub const fn ordered(mut self, order: FindOrder) -> Self {
        self.order = order;
        self
    }

    /// Sets the states of the messages to return.
    #[must_use]
    pub const fn showing(mut self, visibility: Visibility) -> Self {
        self.visibility = visibility;
        self
    }

    /// Continues after this cursor: the [`next`](FoundMessages::next) of the previous page.
    #[must_use]
    pub fn after(mut self, after: FindCursor) -> Self {
        self.after = Some(after);
        self
    }

    /// Sets the most bytes of the answer.
    #[must_use]
    pub const fn with_max_bytes(mut self, max_bytes: u32) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Returns the name of the field, and the value.
    ///
    /// # Errors
    /// `Invalid` if there is not exactly one field, or if its value is not indexed.
    pub fn criterion(&self) -> Result<(&str, MetadataScalar)> {
        let invalid =
            |detail: String| PersistError::new(ErrorKind::Invalid, detail).with_effect(Effect::NotApplied);
        let mut fields = self.metadata.iter();
        let (Some((name, value)), None) = (fields.next(), fields.next()) else {
            let count = self.metadata.len();
            return Err(invalid(format!(
                "a find needs exactly one metadata field, and this one has {count}"
            )));
        };
        let value = MetadataScalar::from_json(value).ok_or_else(|| {
            let detail = format!(
                "the value of `{name}` is not indexed: find by a string, a boolean, or an integer of 64 bits"
            );
            invalid(detail)
        })?;
        Ok((name, value))
    }

    /// Compares two messages in the order of the answer.
    #[must_use]
    pub fn compare(&self, a: &FindCursor, b: &FindCursor) -> Ordering {
        match self.order {
            FindOrder::OldestFirst => a.cmp(b),
            FindOrder::NewestFirst => b.cmp(a),
        }
    }
}

/// A cursor in the answers to [`FindMessages`]: the last message that the store examined.
///
/// The text form, for a URL or a command line, is the time of creation in microseconds, the sequence number and the id of the
/// thread, with colons between them.
///
/// ```
/// use throughline_core::messages::FindCursor;
///
/// let cursor: FindCursor = "1700000000000000:7:telegram:42".parse()?;
/// assert_eq!((cursor.seq.get(), cursor.thread.as_str()), (7, "telegram:42"));
/// assert_eq!(cursor.to_string(), "1700000000000000:7:telegram:42");
/// # Ok::<(), throughline_core::PersistError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FindCursor {
    /// The time of creation of the message. A find in one thread does not use it.
    pub created_at: Timestamp,
    /// The thread of the message.
    pub thread: ThreadId,
    /// The sequence number of the message.
    pub seq: Seq,
}

impl FindCursor {
    /// The cursor after this message.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        Self { created_at: message.created_at, thread: message.thread.clone(), seq: message.seq }
    }
}

impl fmt::Display for FindCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.created_at.as_micros(), self.seq, self.thread)
    }
}

impl FromStr for FindCursor {
    type Err = PersistError;

    /// Parses the text form.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for another text.
    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let (micros, rest) = text.split_once(':')?;
            let (seq, thread) = rest.split_once(':')?;
            let created_at = Timestamp::from_micros(micros.parse().ok()?);
            Some(Self { created_at, seq: Seq::new(seq.parse().ok()?), thread: thread.parse().ok()? })
        };
        parse().ok_or_else(|| {
            PersistError::new(ErrorKind::Invalid, "the text is no cursor of a find")
                .with_effect(Effect::NotApplied)
        })
    }
}

/// The answer to [`FindMessages`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundMessages {
    /// The messages, in the order of the find.
    pub messages: Vec<Message>,
    /// The damaged messages with an entry in the index. Each counts for the limit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<DamagedMessage>,
    /// The cursor of the next page. `None` after the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<FindCursor>,
}

impl FoundMessages {
    /// Whether there are more messages after this page.
    #[must_use]
    pub const fn has_more(&self) -> bool {
        self.next.is_some()
    }
}

carries_nothing!(FindMessages {
    thread: _,
    metadata: _,
    order: _,
    visibility: _,
    after: _,
    limit: _,
    max_bytes: _,
});
carries_parts!(FoundMessages { messages, damaged: _, next: _ } => messages);

impl Addressed for FindMessages {
    fn thread(&self) -> Option<&ThreadId> {
        self.thread.as_ref()
    }

    fn message(&self) -> Option<&MessageId> {
        None
    }
}

crate::operation::addresses_no_thread!(FoundMessages);

impl StatesFacts for FindMessages {
    fn facts(&self) -> Facts<'_> {
        Facts {
            limits: Limits::page(self.limit, self.max_bytes),
            split_by_message: Split::Refused(
                "messages cannot be found by metadata: those of the other side are not indexed here",
            ),
            split_by_thread: Split::Both,
            ..Facts::needing(&[Verb::Read])
        }
    }
}

impl AnswerFacts for FoundMessages {
    fn messages(&self) -> &[Message] {
        &self.messages
    }

    fn check(&self, asked: &Asked<'_>) -> Result<(), &'static str> {
        let threads = self.messages.iter().map(|message| &message.thread);
        if threads
            .chain(self.damaged.iter().map(|damaged| &damaged.thread))
            .all(|thread| asked.is_for(thread))
        {
            Ok(())
        } else {
            Err("answered with a message of another thread than it was asked")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_find_needs_one_field_with_an_indexed_value() {
        let criterion = |json: &str| {
            let find = FindMessages {
                metadata: serde_json::from_str(json).unwrap(),
                ..FindMessages::new("unused", true, 1)
            };
            find.criterion().map(|(name, value)| (name.to_owned(), value))
        };
        assert_eq!(criterion(r#"{"kind":"tool"}"#).unwrap(), ("kind".to_owned(), "tool".into()));
        for (json, detail) in [
            ("{}", "a find needs exactly one metadata field, and this one has 0"),
            (r#"{"a":1,"b":2}"#, "a find needs exactly one metadata field, and this one has 2"),
            (
                r#"{"a":1.5}"#,
                "the value of `a` is not indexed: find by a string, a boolean, or an integer of 64 bits",
            ),
        ] {
            let refused = criterion(json).unwrap_err();
            assert_eq!((refused.kind(), refused.detail()), (ErrorKind::Invalid, detail));
        }
    }

    #[test]
    fn the_wire_form_of_a_find_is_short() {
        let find = FindMessages::new("kind", "tool", 5);
        assert_eq!(
            serde_json::to_string(&find).unwrap(),
            r#"{"metadata":{"kind":"tool"},"order":"newestFirst","visibility":"final","limit":5}"#
        );
        let read: FindMessages = serde_json::from_str(r#"{"metadata":{"kind":"tool"},"limit":5}"#).unwrap();
        assert_eq!(read, find);
    }

    #[test]
    fn a_cursor_survives_its_text() {
        for (micros, seq, thread) in [(-7, 0, "t"), (0, 3, "a:b:c"), (i64::MAX, u64::MAX, ":")] {
            let created_at = Timestamp::from_micros(micros);
            let cursor = FindCursor { created_at, thread: thread.parse().unwrap(), seq: Seq::new(seq) };
            assert_eq!(cursor.to_string().parse::<FindCursor>().unwrap(), cursor);
        }
        for text in ["", "7", "7:1", "7:1:", "7:-1:t", "x:1:t", "7::t", ":1:t"] {
            let refused = text.parse::<FindCursor>().unwrap_err();
            assert_eq!(
                (refused.kind(), refused.detail()),
                (ErrorKind::Invalid, "the text is no cursor of a find"),
                "{text}"
            );
        }
    }
}

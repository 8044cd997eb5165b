//! The orders of a list of threads, and the cursors in them.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::ThreadSummary;
use crate::{ErrorKind, PersistError, ThreadId, Timestamp};

/// The order of a list of threads: see [`ListThreads::ordered_by`](crate::operation::ListThreads::ordered_by).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ThreadOrder {
    /// By the last activity, the latest first. Threads with the same time are in the byte order of their ids.
    #[default]
    LatestActivity,
    /// By the time of creation, the newest first: the reverse of [`OldestCreated`](Self::OldestCreated).
    NewestCreated,
    /// By the time of creation, the oldest first. Threads with the same time are in the byte order of their ids.
    OldestCreated,
}

impl ThreadOrder {
    /// Every order.
    pub const ALL: [Self; 3] = [Self::LatestActivity, Self::NewestCreated, Self::OldestCreated];

    /// The name of the order, as in JSON: `latestActivity`, `newestCreated` or `oldestCreated`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LatestActivity => "latestActivity",
            Self::NewestCreated => "newestCreated",
            Self::OldestCreated => "oldestCreated",
        }
    }

    /// Whether the order is the one that a list has without a choice.
    #[must_use]
    pub const fn is_default(&self) -> bool {
        matches!(self, Self::LatestActivity)
    }

    /// The time of a thread by which the order sorts it.
    #[must_use]
    pub const fn time_of(self, entry: &ThreadSummary) -> Timestamp {
        match self {
            Self::LatestActivity => entry.active_at,
            Self::NewestCreated | Self::OldestCreated => entry.created_at,
        }
    }

    /// Compares two positions in the order, each a time and an id.
    #[must_use]
    pub fn compare(self, a: (Timestamp, &ThreadId), b: (Timestamp, &ThreadId)) -> Ordering {
        match self {
            Self::LatestActivity => b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)),
            Self::NewestCreated => b.cmp(&a),
            Self::OldestCreated => a.cmp(&b),
        }
    }
}

impl fmt::Display for ThreadOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ThreadOrder {
    type Err = PersistError;

    /// Parses the [name](Self::as_str) of an order.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for another text.
    fn from_str(name: &str) -> Result<Self, PersistError> {
        Self::ALL.into_iter().find(|order| order.as_str() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join("`, `");
            invalid(format!("a list of threads has no such order: use `{names}`"))
        })
    }
}

/// A cursor in a list of threads. It continues a list of the same order only.
///
/// The text form, for a URL or a command line, is the time in microseconds, a colon, and the id. For another order than the
/// default one, the name of the order and a colon precede it.
///
/// ```
/// use throughline_core::threads::{ThreadCursor, ThreadOrder};
///
/// let cursor: ThreadCursor = "newestCreated:1700000000000000:telegram:42".parse()?;
/// assert_eq!((cursor.order, cursor.thread.as_str()), (ThreadOrder::NewestCreated, "telegram:42"));
/// assert_eq!(cursor.to_string(), "newestCreated:1700000000000000:telegram:42");
/// let cursor: ThreadCursor = "1700000000000000:telegram:42".parse()?;
/// assert_eq!(cursor.order, ThreadOrder::LatestActivity);
/// # Ok::<(), throughline_core::PersistError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CursorJson", into = "CursorJson")]
pub struct ThreadCursor {
    /// The order of the list.
    pub order: ThreadOrder,
    /// The time of the last thread on the page: that of its activity or of its creation, by the order.
    pub at: Timestamp,
    /// The id of that thread.
    pub thread: ThreadId,
}

impl ThreadCursor {
    /// Returns the cursor after `entry` in a list of this order.
    #[must_use]
    pub fn of(order: ThreadOrder, entry: &ThreadSummary) -> Self {
        Self { order, at: order.time_of(entry), thread: entry.thread.clone() }
    }

    /// Compares with another cursor of the same order.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        self.order.compare((self.at, &self.thread), (other.at, &other.thread))
    }

    /// Whether `entry` comes after this cursor.
    #[must_use]
    pub fn is_before(&self, entry: &ThreadSummary) -> bool {
        let entry = (self.order.time_of(entry), &entry.thread);
        self.order.compare((self.at, &self.thread), entry) == Ordering::Less
    }

    /// Checks that a list of this order can continue after the cursor.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the cursor is of another order.
    pub fn expect_order(&self, order: ThreadOrder) -> Result<(), PersistError> {
        if self.order == order {
            return Ok(());
        }
        Err(invalid(format!(
            "the cursor is of a list in the order `{}`, but this list has the order `{order}`: continue with the order \
             of the cursor, or list from the beginning",
            self.order
        )))
    }
}

impl fmt::Display for ThreadCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.order.is_default() {
            write!(f, "{}:", self.order)?;
        }
        write!(f, "{}:{}", self.at.as_micros(), self.thread)
    }
}

impl FromStr for ThreadCursor {
    type Err = PersistError;

    /// Parses the text form.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for another text.
    fn from_str(text: &str) -> Result<Self, PersistError> {
        let parse = || {
            let (first, rest) = text.split_once(':')?;
            // No name of an order is a number.
            let (order, first, thread) = match first.parse() {
                Ok(order) => {
                    let (micros, thread) = rest.split_once(':')?;
                    (order, micros, thread)
                }
                Err(_) => (ThreadOrder::default(), first, rest),
            };
            let at = Timestamp::from_micros(first.parse().ok()?);
            Some(Self { order, at, thread: thread.parse().ok()? })
        };
        parse().ok_or_else(|| invalid("the text is no cursor of a list of threads".to_owned()))
    }
}

fn invalid(detail: String) -> PersistError {
    PersistError::new(ErrorKind::Invalid, detail).with_effect(crate::Effect::NotApplied)
}

/// The JSON of a cursor. That of the default order names no order, so that cursors from before there were others stay valid.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CursorJson {
    #[serde(default, skip_serializing_if = "ThreadOrder::is_default")]
    order: ThreadOrder,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    active_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    thread: ThreadId,
}

impl From<ThreadCursor> for CursorJson {
    fn from(ThreadCursor { order, at, thread }: ThreadCursor) -> Self {
        let (active_at, created_at) =
            if order == ThreadOrder::LatestActivity { (Some(at), None) } else { (None, Some(at)) };
        Self { order, active_at, created_at, thread }
    }
}

impl TryFrom<CursorJson> for ThreadCursor {
    type Error = &'static str;

    fn try_from(json: CursorJson) -> Result<Self, Self::Error> {
        let CursorJson { order, active_at, created_at, thread } = json;
        let (at, other) = if order == ThreadOrder::LatestActivity {
            (active_at, created_at)
        } else {
            (created_at, active_at)
        };
        match (at, other) {
            (Some(at), None) => Ok(Self { order, at, thread }),
            _ => Err(
                "the cursor has not the time of its order: `activeAt` for `latestActivity`, `createdAt` for others",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(order: ThreadOrder, at: i64, thread: &str) -> ThreadCursor {
        ThreadCursor { order, at: Timestamp::from_micros(at), thread: thread.parse().unwrap() }
    }

    #[test]
    fn a_cursor_survives_its_text_and_its_json() {
        for order in ThreadOrder::ALL {
            for thread in ["t", "a:b:c", ":", "oldestCreated:7:t"] {
                let cursor = cursor(order, -7, thread);
                assert_eq!(cursor.to_string().parse::<ThreadCursor>().unwrap(), cursor);
                let json = serde_json::to_string(&cursor).unwrap();
                assert_eq!(serde_json::from_str::<ThreadCursor>(&json).unwrap(), cursor);
            }
        }
        for text in ["", "7", "7:", "x:t", ":t", "latestCreated:7:t", "newestCreated:7", "newestCreated:t:7"]
        {
            assert_eq!(text.parse::<ThreadCursor>().unwrap_err().kind(), ErrorKind::Invalid, "{text}");
        }
    }

    #[test]
    fn the_json_of_the_default_order_names_no_order() {
        let json = |order| serde_json::to_string(&cursor(order, 7, "t")).unwrap();
        assert_eq!(json(ThreadOrder::LatestActivity), r#"{"activeAt":7,"thread":"t"}"#);
        assert_eq!(
            json(ThreadOrder::NewestCreated),
            r#"{"order":"newestCreated","createdAt":7,"thread":"t"}"#
        );
        for json in [
            r#"{"thread":"t"}"#,
            r#"{"createdAt":7,"thread":"t"}"#,
            r#"{"order":"oldestCreated","activeAt":7,"thread":"t"}"#,
            r#"{"activeAt":7,"createdAt":7,"thread":"t"}"#,
        ] {
            assert!(serde_json::from_str::<ThreadCursor>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn the_orders_of_creation_are_the_reverse_of_each_other() {
        let of = |order: ThreadOrder| {
            let mut cursors =
                [(1, "b"), (2, "a"), (1, "a"), (2, "b")].map(|(at, thread)| cursor(order, at, thread));
            cursors.sort_by(ThreadCursor::compare);
            cursors.map(|cursor| (cursor.at.as_micros(), cursor.thread.to_string()))
        };
        let text = |named: [(i64, &str); 4]| named.map(|(at, thread)| (at, thread.to_owned()));
        assert_eq!(of(ThreadOrder::LatestActivity), text([(2, "a"), (2, "b"), (1, "a"), (1, "b")]));
        assert_eq!(of(ThreadOrder::NewestCreated), text([(2, "b"), (2, "a"), (1, "b"), (1, "a")]));
        assert_eq!(of(ThreadOrder::OldestCreated), text([(1, "a"), (1, "b"), (2, "a"), (2, "b")]));
    }
}

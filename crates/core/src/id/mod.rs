//! The opaque identifiers of tenants, threads, messages, idempotency keys, attachments, owners, labels and agent sessions.
//!
//! A message is identified by the *tuple* `(TenantId, ThreadId, MessageId)`, never by a joined string, so that `("a:b", "c")` and
//! `("a", "b:c")` differ.
//!
//! ```
//! use throughline_core::{MessageId, ThreadId};
//!
//! let thread: ThreadId = "telegram:42".parse()?;
//! assert_eq!(thread.as_str(), "telegram:42");
//! assert_eq!("".parse::<ThreadId>().unwrap_err().to_string(), "thread id: is empty");
//! assert_eq!(MessageId::mint().as_str().len(), 36); // a UUIDv7
//! # Ok::<(), throughline_core::InvalidId>(())
//! ```

mod call_id;

pub use self::call_id::CallId;

use std::{
    borrow::Borrow,
    convert::Infallible,
    fmt,
    str::FromStr,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::{ContextV7, Uuid};

use crate::per_process::{Inherit, PerProcess};

/// The longest identifier, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 255;

/// Why a text is not an identifier. It does not repeat the text, which can be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidId {
    kind: &'static str,
    fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Empty,
    TooLong { bytes: usize, max: usize },
    Control(usize),
}

impl InvalidId {
    /// The kind of the refused identifier: `"thread id"`, `"message id"`, …
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.kind
    }
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind;
        match self.fault {
            Fault::Empty => write!(f, "{kind}: is empty"),
            Fault::TooLong { bytes, max } => {
                write!(f, "{kind}: {bytes} bytes are more than the {max} allowed")
            }
            Fault::Control(at) => write!(f, "{kind}: holds a control character at byte {at}"),
        }
    }
}

impl std::error::Error for InvalidId {}

impl From<Infallible> for InvalidId {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

fn check(kind: &'static str, text: &str, max: usize) -> Result<(), InvalidId> {
    let fault = if text.is_empty() {
        Fault::Empty
    } else if text.len() > max {
        Fault::TooLong { bytes: text.len(), max }
    } else if let Some((at, _)) = text.char_indices().find(|(_, c)| c.is_control()) {
        Fault::Control(at)
    } else {
        return Ok(());
    };
    Err(InvalidId { kind, fault })
}

/// Returns a new UUIDv7 as text, with one heap allocation.
fn uuid_v7() -> Arc<str> {
    let mut buffer = Uuid::encode_buffer();
    Arc::from(&*mint_uuid(SystemTime::now()).hyphenated().encode_lower(&mut buffer))
}

/// Returns a new UUIDv7 for this time. A time before 1970 counts as 1970: `Uuid::now_v7` would panic there, and a wrong clock
/// must not stop a host.
pub(crate) fn mint_uuid(now: SystemTime) -> Uuid {
    static COUNTER: PerProcess<Counter> = PerProcess::new();
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let counter = COUNTER.lock();
    Uuid::new_v7(uuid::Timestamp::from_unix(&counter.0, since_epoch.as_secs(), since_epoch.subsec_nanos()))
}

struct Counter(ContextV7);

impl Default for Counter {
    fn default() -> Self {
        Self(ContextV7::new())
    }
}

impl Inherit for Counter {
    fn inherit(_: &Mutex<Self>) -> Self {
        Self::default()
    }
}

macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        opaque_id! {
            $(#[$doc])*
            ///
            /// 1 to 255 bytes of UTF-8 without control characters, compared byte for byte. Cloning is cheap.
            $name, $kind, MAX_ID_BYTES
        }
    };
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, Eq, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                // In a pipeline, both are usually the same allocation.
                Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
            }
        }

        impl std::hash::Hash for $name {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.0.hash(state);
            }
        }

        impl $name {
            /// Checks `text` and returns the identifier.
            ///
            /// # Errors
            /// [`InvalidId`] if the text is empty, too long or has a control character.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                let text = text.as_ref();
                check($kind, text, $max)?;
                Ok(Self(Arc::from(text)))
            }

            /// The text of the identifier.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = InvalidId;

            fn try_from(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<&String> for $name {
            type Error = InvalidId;

            fn try_from(text: &String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<&$name> for $name {
            fn from(id: &$name) -> Self {
                id.clone()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(text).map_err(de::Error::custom)
            }
        }
    };
}

opaque_id!(
    /// The isolated customer or workspace of a handle. A [`Persistence`](crate::Persistence) handle is bound to one tenant.
    TenantId,
    "tenant id"
);
opaque_id!(
    /// One conversation of a tenant. Its first write creates it.
    ThreadId,
    "thread id"
);
opaque_id!(
    /// One message of a thread. The same id in another thread is another message.
    MessageId,
    "message id"
);
opaque_id!(
    /// The caller's name for one intended change, within a tenant and a thread.
    ///
    /// A second operation with the same key and the same content replays the first result with `deduplicated: true`. With other
    /// content it fails as [`Conflict`](crate::ErrorKind::Conflict).
    IdempotencyKey,
    "idempotency key"
);
opaque_id!(
    /// The host's name for a file that belongs to a message. The store keeps the key, not the file.
    AttachmentKey,
    "attachment key"
);
opaque_id!(
    /// The user or group that a thread belongs to inside its tenant.
    OwnerId,
    "owner id"
);
opaque_id!(
    /// The name of a thread label, such as `project`, `pipeline` or `channel`.
    LabelName,
    "label name"
);
opaque_id!(
    /// The value of a thread label.
    LabelValue,
    "label value"
);
opaque_id!(
    /// A turn of a provider or the host: a prompt and the messages that answer it. See [`Origin`](crate::operation::Origin).
    TurnId,
    "turn id"
);
opaque_id!(
    /// An item of a provider's answer, such as a message or a segment. It is unique only within its turn.
    ItemId,
    "item id"
);
opaque_id!(
    /// An event of a provider's stream.
    EventId,
    "event id"
);
opaque_id!(
    /// A consumer of the change feed, with its own cursor.
    ConsumerName,
    "consumer name"
);

opaque_id!(
    /// An agent of the host, with its own sessions. See [`sessions`](crate::sessions).
    AgentId,
    "agent id"
);
opaque_id!(
    /// A run of an agent in a thread. The host assigns it before the run begins, so that a repeated call is the same run.
    AttemptId,
    "attempt id"
);
opaque_id!(
    /// The provider of a session: a model API or an agent program. No other provider can resume the session.
    ProviderId,
    "provider id"
);
opaque_id!(
    /// A provider's own id of a session to resume. It is opaque to the store.
    SessionId,
    "session id"
);
opaque_id!(
    /// A runtime of agents: a machine, a daemon or an installation.
    RuntimeId,
    "runtime id"
);
opaque_id!(
    /// The installation or root directory behind a [`RuntimeId`]. A new installation has another one.
    RootEpoch,
    "root epoch"
);
opaque_id!(
    /// The directory of a run, as its runtime spells it.
    ///
    /// 1 to 4,096 bytes of UTF-8 without control characters. The store does not compare directories: two spellings can mean one
    /// directory, and only the runtime knows. See [`Directory`](crate::sessions::Directory).
    WorkDir,
    "work directory",
    WorkDir::MAX_BYTES
);

impl WorkDir {
    /// The longest path, in bytes of UTF-8.
    pub const MAX_BYTES: usize = 4096;
}

/// The tenant of a handle that is not bound to one: `"default"`.
impl Default for TenantId {
    fn default() -> Self {
        Self(Arc::from("default"))
    }
}

impl ThreadId {
    /// Returns a new UUIDv7.
    #[must_use]
    pub fn mint() -> Self {
        Self(uuid_v7())
    }
}

impl AttemptId {
    /// Returns a new UUIDv7.
    #[must_use]
    pub fn mint() -> Self {
        Self(uuid_v7())
    }
}

impl IdempotencyKey {
    /// Returns a new UUIDv7. Keep it to repeat the call with the same key.
    #[must_use]
    pub fn mint() -> Self {
        Self(uuid_v7())
    }
}

impl MessageId {
    /// Returns a new UUIDv7.
    #[must_use]
    pub fn mint() -> Self {
        Self(uuid_v7())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_exact() {
        assert_eq!(ThreadId::new("x".repeat(255)).unwrap().as_str().len(), 255);
        assert_eq!(
            ThreadId::new("x".repeat(256)).unwrap_err().to_string(),
            "thread id: 256 bytes are more than the 255 allowed"
        );
        assert_eq!(
            MessageId::new("ab\n").unwrap_err().to_string(),
            "message id: holds a control character at byte 2"
        );
        assert_eq!(MessageId::new("a\u{85}").unwrap_err().kind(), "message id");
        assert_eq!(TenantId::new("naïve ✓ 日本").unwrap().as_str(), "naïve ✓ 日本");
    }

    #[test]
    fn a_clock_before_1970_mints_distinct_ids() {
        let before = UNIX_EPOCH - std::time::Duration::from_secs(86_400);
        let (first, second) = (mint_uuid(before), mint_uuid(before));
        assert_ne!(first, second);
        assert_eq!(first.get_version_num(), 7);
    }

    #[test]
    fn ids_minted_one_after_the_other_are_in_order() {
        let minted: Vec<_> = (0..1000).map(|_| mint_uuid(SystemTime::now())).collect();
        assert!(minted.is_sorted());
    }

    #[test]
    fn wire_form_is_checked() {
        assert_eq!(serde_json::to_string(&MessageId::new("m").unwrap()).unwrap(), "\"m\"");
        assert_eq!(serde_json::from_str::<MessageId>("\"\\u006d\"").unwrap().as_str(), "m");
        let refused = serde_json::from_str::<MessageId>("\"\"").unwrap_err().to_string();
        assert!(refused.starts_with("message id: is empty"), "{refused}");
    }
}

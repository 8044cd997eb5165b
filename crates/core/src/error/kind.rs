use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, passes: $passes:literal, refusal: $refusal:literal;)+) => {
        /// The stable classification of an error. A missing row, a damaged row, a busy store and a denied call have different
        /// kinds.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum ErrorKind {
            $($(#[$doc])* $name,)+
        }

        impl ErrorKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Returns the stable code of the kind, such as `not_found`.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// Whether the same call may succeed later without any change by the caller.
            #[must_use]
            pub const fn passes_with_time(self) -> bool {
                match self { $(Self::$name => $passes),+ }
            }

            /// Whether a backend that returns this kind has decided not to apply the operation. For the other kinds a backend
            /// must set the effect with [`with_effect`](crate::PersistError::with_effect); otherwise the effect is
            /// [`Effect::Unknown`].
            #[must_use]
            pub const fn is_refusal(self) -> bool {
                match self { $(Self::$name => $refusal),+ }
            }
        }
    };
}

kinds! {
    /// The message, thread or run does not exist.
    NotFound = "not_found", passes: false, refusal: true;
    /// The thread already has a message with this id, or the thread or run already exists.
    AlreadyExists = "already_exists", passes: false, refusal: true;
    /// The message or thread was deleted. Its id remains as a tombstone, and only a message of a thread that reuses ids can
    /// use it again.
    Gone = "gone", passes: false, refusal: true;
    /// The idempotency key was used with other content, or the state of the message does not allow the change.
    Conflict = "conflict", passes: false, refusal: true;
    /// The call names an older revision, generation or lease, or the message is already settled. Read the current state, then
    /// decide again.
    Stale = "stale", passes: false, refusal: true;
    /// The store no longer has the changes after this position. The reader must start again from a full read.
    TooOld = "too_old", passes: false, refusal: true;
    /// The arguments of the call are not valid.
    Invalid = "invalid", passes: false, refusal: true;
    /// The call exceeds a configured limit.
    TooLarge = "too_large", passes: false, refusal: true;
    /// The caller is not permitted to make this call.
    Denied = "denied", passes: false, refusal: true;
    /// The store is a replica and accepts no writes. Send the write to its primary.
    NotPrimary = "not_primary", passes: false, refusal: true;
    /// The backend or a layer does not support this operation.
    Unsupported = "unsupported", passes: false, refusal: true;
    /// Too many calls are waiting. Repeat the call after [`retry_after`](crate::PersistError::retry_after).
    Overloaded = "overloaded", passes: true, refusal: true;
    /// Another caller holds the needed lock or lease, such as the write lock or the lease of a run.
    Busy = "busy", passes: true, refusal: true;
    /// The deadline of the call has passed.
    Timeout = "timeout", passes: true, refusal: false;
    /// The store cannot be reached, or it is closing.
    Unavailable = "unavailable", passes: true, refusal: false;
    /// The store is full, or the tenant has used all of its quota.
    StorageFull = "storage_full", passes: false, refusal: true;
    /// The stored data cannot be decoded.
    Corrupt = "corrupt", passes: false, refusal: false;
    /// The call was cancelled before it completed.
    Cancelled = "cancelled", passes: false, refusal: false;
    /// A layer or a backend panicked.
    Panicked = "panicked", passes: false, refusal: false;
    /// A layer or a backend broke its contract, for example with the answer of another operation, thread or message.
    ContractViolation = "contract_violation", passes: false, refusal: false;
    /// An unexpected failure inside the library or the store.
    Internal = "internal", passes: false, refusal: false;
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// The part of a failed operation that the store has. A caller needs it to decide whether to repeat the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// The store has no part of the operation. That is about this call: an earlier call with the same idempotency key whose effect is
    /// `Unknown` can still be applied.
    NotApplied,
    /// The store has the whole operation.
    Applied,
    /// The store has the whole operation or none of it. To find out, read the message, or repeat the call with the same
    /// idempotency key.
    Unknown,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotApplied => "nothing was applied",
            Self::Applied => "it was applied",
            Self::Unknown => "the outcome is unknown",
        })
    }
}

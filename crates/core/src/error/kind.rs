use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, passes: $passes:literal, refusal: $refusal:literal;)+) => {
        /// What happened. Absence, corruption, busy and denial are different answers.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum ErrorKind {
            $($(#[$doc])* $name,)+
        }

        impl ErrorKind {
            /// Every kind there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The stable text of the kind.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// Whether the same call may succeed later without anybody doing anything.
            #[must_use]
            pub const fn passes_with_time(self) -> bool {
                match self { $(Self::$name => $passes),+ }
            }

            /// Whether a backend that answers it has decided not to apply the operation. Of the other kinds a
            /// backend has to say the effect itself, or it is [`Effect::Unknown`].
            #[must_use]
            pub const fn is_refusal(self) -> bool {
                match self { $(Self::$name => $refusal),+ }
            }
        }
    };
}

kinds! {
    /// There is no such message, thread or run.
    NotFound = "not_found", passes: false, refusal: true;
    /// The thread has a message with this id.
    AlreadyExists = "already_exists", passes: false, refusal: true;
    /// The thread had a message with this id; it was deleted, and the id stays dead.
    Gone = "gone", passes: false, refusal: true;
    /// The key was used for other content, or the state of the message does not allow the change.
    Conflict = "conflict", passes: false, refusal: true;
    /// The message has moved on: another revision, or it is settled already. Or the sessions of an agent have.
    Stale = "stale", passes: false, refusal: true;
    /// The changes after the position are not kept any more, or the store has lost it: what is followed has to be read anew.
    TooOld = "too_old", passes: false, refusal: true;
    /// The call is not well-formed.
    Invalid = "invalid", passes: false, refusal: true;
    /// The call is larger than a limit allows.
    TooLarge = "too_large", passes: false, refusal: true;
    /// The caller may not do this.
    Denied = "denied", passes: false, refusal: true;
    /// The store follows another one, which takes the writes.
    NotPrimary = "not_primary", passes: false, refusal: true;
    /// The backend or a layer does not do this.
    Unsupported = "unsupported", passes: false, refusal: true;
    /// Too much is waiting already.
    Overloaded = "overloaded", passes: true, refusal: true;
    /// Somebody else holds what is needed, such as a write lock or the lease of a run.
    Busy = "busy", passes: true, refusal: true;
    /// The deadline passed.
    Timeout = "timeout", passes: true, refusal: false;
    /// The store cannot be reached, or is closing.
    Unavailable = "unavailable", passes: true, refusal: false;
    /// The store, or the part of it that is the tenant's, has no room left.
    StorageFull = "storage_full", passes: false, refusal: true;
    /// What is stored cannot be read.
    Corrupt = "corrupt", passes: false, refusal: false;
    /// The work was cancelled before it was done.
    Cancelled = "cancelled", passes: false, refusal: false;
    /// A layer or a backend panicked.
    Panicked = "panicked", passes: false, refusal: false;
    /// A layer or a backend answered what it may not: another variant, thread or id.
    ContractViolation = "contract_violation", passes: false, refusal: false;
    /// Something else, which should not happen.
    Internal = "internal", passes: false, refusal: false;
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// What the store may contain after an error: the one thing that a caller has to know before it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// Nothing of the operation.
    NotApplied,
    /// The whole operation.
    Applied,
    /// All of it or nothing of it. Learn which by reading the message, or by repeating the call with its
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

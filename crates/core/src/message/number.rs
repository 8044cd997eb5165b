//! The counters: sequence number, revision, generation and position.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Counts from 1; 0 means "before the first". At most `i64::MAX`, so that every database can store it.
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Before the first.
            pub const ZERO: Self = Self(0);
            /// The first.
            pub const FIRST: Self = Self(1);

            /// Returns the counter with this value.
            #[must_use]
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// The value of the counter.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The next value. The next value of `i64::MAX` is `i64::MAX`.
            #[must_use]
            pub const fn next(self) -> Self {
                if self.0 < i64::MAX as u64 { Self(self.0 + 1) } else { self }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

counter!(
    /// The sequence number of a message: it orders the messages of a thread. The store assigns it; it increases and is never
    /// reused.
    Seq
);
counter!(
    /// The version of a message's content. A writer that requires a revision cannot overwrite a later one.
    Revision
);
counter!(
    /// The generation of a thread, which increases when the thread is cleared. A writer that requires a generation cannot write
    /// into a later one.
    Generation
);
counter!(
    /// The generation of the sessions of an agent in a thread, which increases with a reset and with a clear of the thread. It is
    /// separate from [`Generation`], because a reset does not affect messages.
    SessionGeneration
);
counter!(
    /// The version of the session state of an agent in a thread. A claim that requires a revision fails if there is a later one.
    SessionRevision
);
counter!(
    /// The position of a change in the commit order of a store. A write takes one position for each of its changes.
    Position
);
counter!(
    /// The number of an entry in an audit log, without gaps.
    AuditNumber
);

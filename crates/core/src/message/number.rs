//! The counters: sequence, revision, generation, position.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Counts from 1; 0 stands for "before the first". At most `i64::MAX`, so that every engine can keep it.
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

            /// The counter with this value.
            #[must_use]
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// Its value.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The one after it. There is none after `i64::MAX`, which stays.
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
    /// The order of a thread: assigned by the store, increasing, never reused. The only order there is.
    Seq
);
counter!(
    /// The version of a message's content; a writer that names the one it saw cannot overwrite a later one.
    Revision
);
counter!(
    /// How often a thread was begun: raised when it is cleared, so that a writer that names the one it saw cannot write
    /// into the history that came after.
    Generation
);
counter!(
    /// How often the sessions of an agent in a thread were begun anew: raised by a reset and by the clearing of the thread. A
    /// count of its own: a reset leaves the messages and their [`Generation`] as they are.
    SessionGeneration
);
counter!(
    /// The version of what is kept of an agent's sessions in a thread; a claim that names the one it was decided on is refused
    /// when there is a later one.
    SessionRevision
);
counter!(
    /// The order of all changes of a store. A write takes one position for each change that it makes.
    Position
);
counter!(
    /// The order of an audit log: without gaps.
    AuditNumber
);

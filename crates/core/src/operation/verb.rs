use std::fmt;

use crate::{ThreadId, change::ChangeScope};

macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)+) => {
        /// A group of operations that a permission may allow. Each operation states its verbs: see
        /// [`PersistArgs::verbs`](crate::PersistArgs::verbs).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Verb {
            $($(#[$doc])* $name,)+
        }

        impl Verb {
            /// All verbs.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Returns the verb as it appears in refusals.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

verbs! {
    /// Reads.
    Read = "read";
    /// Additions of messages, and writes to open ones.
    Append = "append";
    /// Changes of final messages.
    Edit = "edit";
    /// Deletions of messages.
    Delete = "delete";
    /// Creation of threads, and changes of their titles, labels and flags.
    Manage = "manage threads";
    /// Removal of all messages of a thread, or of the thread.
    Clear = "clear";
    /// Imports.
    Import = "import";
    /// Runs of agents.
    Sessions = "run agents";
    /// The cursors and quarantines of consumers.
    Consume = "consume changes";
    /// Reads of the audit log.
    Audit = "read the audit log";
    /// Replication of the store.
    Replicate = "replicate";
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The part of a store that an operation addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach<'a> {
    /// One thread of the tenant.
    Thread(&'a ThreadId),
    /// Every thread of the tenant.
    Tenant,
    /// Every tenant of the store.
    Store,
}

impl<'a> Reach<'a> {
    pub(super) const fn of(scope: &'a ChangeScope) -> Self {
        match scope {
            ChangeScope::Thread(thread) => Self::Thread(thread),
            ChangeScope::Tenant => Self::Tenant,
            ChangeScope::Store => Self::Store,
        }
    }
}

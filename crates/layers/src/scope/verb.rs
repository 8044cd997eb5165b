use std::fmt;

macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)+) => {
        /// A group of operations that a [`Capability`](super::Capability) may allow. The [module](super) lists the
        /// operations of each verb.
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

/// A set of verbs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Verbs(u16);

impl Verbs {
    pub(super) const fn contains(self, verb: Verb) -> bool {
        self.0 & (1 << verb as u16) != 0
    }
}

impl FromIterator<Verb> for Verbs {
    fn from_iter<I: IntoIterator<Item = Verb>>(verbs: I) -> Self {
        Self(verbs.into_iter().fold(0, |bits, verb| bits | 1 << verb as u16))
    }
}

impl fmt::Debug for Verbs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Verb::ALL.iter().filter(|verb| self.contains(**verb))).finish()
    }
}

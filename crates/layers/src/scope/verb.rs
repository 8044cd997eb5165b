use std::fmt;

macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)+) => {
        /// Something that a [`Capability`](super::Capability) may allow. Which operations each stands for is a table in the
        /// [module](super).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Verb {
            $($(#[$doc])* $name,)+
        }

        impl Verb {
            /// Every verb there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The word, as in refusals.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

verbs! {
    /// To read.
    Read = "read";
    /// To add messages, and to write to open ones.
    Append = "append";
    /// To change final messages.
    Edit = "edit";
    /// To delete messages.
    Delete = "delete";
    /// To create threads and to change what is said of them.
    Manage = "manage threads";
    /// To take away the messages of a thread, or the thread.
    Clear = "clear";
    /// To import.
    Import = "import";
    /// To begin and end runs of agents.
    Sessions = "run agents";
    /// To keep the cursor of a consumer of changes.
    Consume = "consume changes";
    /// To read the log of who did what.
    Audit = "read the audit log";
    /// To keep an exact copy of the store.
    Replicate = "replicate";
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Some verbs.
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

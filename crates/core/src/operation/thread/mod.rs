//! What is done to a thread as a whole.

mod change;
mod create;
mod end;
mod prune;

use serde::{Deserialize, Serialize};

pub use self::{
    change::{ArchiveThread, LabelThread, PublishThread, RebuildThread, RenameThread},
    create::{CreateThread, NewThread},
    end::{ClearThread, DeleteThread, PurgeThread, Purged, ThreadDeleted},
    prune::{PruneThread, Pruned},
};
use super::{Addressed, CarriesContent, Place, PlaceMut, places::carries_parts};
use crate::{MessageId, ThreadEntry, ThreadId};

/// The answer to most of what is done to a thread: what it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadChanged {
    /// The thread.
    pub entry: ThreadEntry,
    /// Whether an earlier call with the same idempotency key had done it. The entry is then what it is by now.
    pub deduplicated: bool,
}

carries_parts!(ThreadChanged, self => {
    let Self { entry, deduplicated: _ } = self;
    [entry]
}, {
    let Self { entry, deduplicated: _ } = self;
    [entry]
});

/// What can be read of an answer without knowing which it is.
trait Answer: CarriesContent {
    fn thread(&self) -> &ThreadId;
    fn is_deduplicated(&self) -> bool;
}

impl Answer for ThreadChanged {
    fn thread(&self) -> &ThreadId {
        &self.entry.thread
    }

    fn is_deduplicated(&self) -> bool {
        self.deduplicated
    }
}

macro_rules! answers {
    ($($name:ident),+) => {$(
        impl Answer for $name {
            fn thread(&self) -> &ThreadId {
                &self.thread
            }

            fn is_deduplicated(&self) -> bool {
                self.deduplicated
            }
        }
    )+};
}

answers!(ThreadDeleted, Purged, Pruned);

mod sealed {
    pub trait Sealed {}
}

/// An operation on a thread with its own answer. Sealed: they are the framework's.
pub trait ThreadOperation: Into<ThreadArgs> + sealed::Sealed + Send + 'static {
    /// What it answers.
    type Output: Send + 'static;

    /// Reads an answer as the one to this operation; nothing where it is one to another.
    #[doc(hidden)]
    fn output(result: ThreadResult) -> Option<Self::Output>;
}

macro_rules! thread_operations {
    ($($(#[$doc:meta])* $variant:ident: $name:ident -> $output:ident as $code:literal;)+) => {
        /// What is done to a thread as a whole. It goes through the same layers as the messages.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        #[non_exhaustive]
        pub enum ThreadArgs {
            $($(#[$doc])* $variant($name),)+
        }

        /// The answers to [`ThreadArgs`].
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        #[non_exhaustive]
        pub enum ThreadResult {
            $(
                #[doc = concat!("To [`", stringify!($name), "`].")]
                $variant($output),
            )+
        }

        impl ThreadArgs {
            /// The camelCase name of the operation.
            #[must_use]
            pub const fn as_str(&self) -> &'static str {
                match self { $(Self::$variant(_) => $code,)+ }
            }
        }

        impl ThreadResult {
            /// The camelCase name of the operation that it answers.
            #[must_use]
            pub const fn as_str(&self) -> &'static str {
                match self { $(Self::$variant(_) => $code,)+ }
            }

            /// Whether an earlier call with the same idempotency key had done it.
            #[must_use]
            pub fn is_deduplicated(&self) -> bool {
                match self { $(Self::$variant(answer) => answer.is_deduplicated(),)+ }
            }
        }

        impl CarriesContent for ThreadArgs {
            fn places(&self) -> Vec<Place<'_>> {
                match self { $(Self::$variant(inner) => inner.places(),)+ }
            }

            fn places_mut(&mut self) -> Vec<PlaceMut<'_>> {
                match self { $(Self::$variant(inner) => inner.places_mut(),)+ }
            }
        }

        impl CarriesContent for ThreadResult {
            fn places(&self) -> Vec<Place<'_>> {
                match self { $(Self::$variant(inner) => inner.places(),)+ }
            }

            fn places_mut(&mut self) -> Vec<PlaceMut<'_>> {
                match self { $(Self::$variant(inner) => inner.places_mut(),)+ }
            }
        }

        impl Addressed for ThreadArgs {
            fn thread(&self) -> Option<&ThreadId> {
                match self { $(Self::$variant(inner) => Some(&inner.thread),)+ }
            }

            fn message(&self) -> Option<&MessageId> {
                None
            }
        }

        impl Addressed for ThreadResult {
            fn thread(&self) -> Option<&ThreadId> {
                match self { $(Self::$variant(answer) => Some(Answer::thread(answer)),)+ }
            }

            fn message(&self) -> Option<&MessageId> {
                None
            }
        }

        $(
            impl sealed::Sealed for $name {}

            impl ThreadOperation for $name {
                type Output = $output;

                fn output(result: ThreadResult) -> Option<$output> {
                    match result {
                        ThreadResult::$variant(output) => Some(output),
                        _ => None,
                    }
                }
            }

            impl From<$name> for ThreadArgs {
                fn from(operation: $name) -> Self {
                    Self::$variant(operation)
                }
            }

            impl From<$name> for super::PersistArgs {
                fn from(operation: $name) -> Self {
                    Self::Thread(operation.into())
                }
            }
        )+
    };
}

impl ThreadArgs {
    /// The answer to this operation where that is what the thread is now; nothing where it is something else.
    #[must_use]
    pub fn changed(&self, changed: ThreadChanged) -> Option<ThreadResult> {
        Some(match self {
            Self::Create(_) => ThreadResult::Create(changed),
            Self::Rename(_) => ThreadResult::Rename(changed),
            Self::Archive(_) => ThreadResult::Archive(changed),
            Self::Label(_) => ThreadResult::Label(changed),
            Self::Publish(_) => ThreadResult::Publish(changed),
            Self::Rebuild(_) => ThreadResult::Rebuild(changed),
            Self::Clear(_) => ThreadResult::Clear(changed),
            Self::Prune(_) | Self::Delete(_) | Self::Purge(_) => return None,
        })
    }
}

thread_operations! {
    /// Makes a thread that has no message yet.
    Create: CreateThread -> ThreadChanged as "createThread";
    /// Gives it another title.
    Rename: RenameThread -> ThreadChanged as "renameThread";
    /// Puts it away, or gets it out again.
    Archive: ArchiveThread -> ThreadChanged as "archiveThread";
    /// Changes its labels and its owner.
    Label: LabelThread -> ThreadChanged as "labelThread";
    /// Ends its import.
    Publish: PublishThread -> ThreadChanged as "publishThread";
    /// Makes what its entry says of its messages again, of the messages alone.
    Rebuild: RebuildThread -> ThreadChanged as "rebuildThread";
    /// Takes every message away and begins another generation.
    Clear: ClearThread -> ThreadChanged as "clearThread";
    /// Takes its oldest messages away.
    Prune: PruneThread -> Pruned as "pruneThread";
    /// Deletes it.
    Delete: DeleteThread -> ThreadDeleted as "deleteThread";
    /// Frees what a cleared or deleted thread still takes up.
    Purge: PurgeThread -> Purged as "purgeThread";
}

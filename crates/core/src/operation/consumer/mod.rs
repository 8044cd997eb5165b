//! What a consumer of the changes keeps in the store: how far it has come, and what it passed over.
//!
//! These operations speak of no thread and make no change that is told. None takes an idempotency key: each of them done twice
//! is as good as done once.

mod cursor;
mod quarantine;

use serde::{Deserialize, Serialize};

pub use self::{
    cursor::{CursorMoved, MoveCursor, ResetCursor},
    quarantine::{ChangeQuarantined, ChangeReleased, QuarantineChange, ReleaseChange},
};
use super::{Addressed, CarriesContent, Place, PlaceMut};
use crate::{ConsumerName, MessageId, ThreadId};

mod sealed {
    pub trait Sealed {}
}

/// An operation of a consumer with its own answer. Sealed: they are the framework's.
pub trait ConsumerOperation: Into<ConsumerArgs> + sealed::Sealed + Send + 'static {
    /// What it answers.
    type Output: Send + 'static;

    /// Reads an answer as the one to this operation; nothing where it is one to another.
    #[doc(hidden)]
    fn output(result: ConsumerResult) -> Option<Self::Output>;
}

macro_rules! consumer_operations {
    ($($(#[$doc:meta])* $variant:ident: $name:ident -> $output:ident as $code:literal;)+) => {
        /// What a consumer of the changes keeps in the store. It goes through the same layers as the messages.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        #[non_exhaustive]
        pub enum ConsumerArgs {
            $($(#[$doc])* $variant($name),)+
        }

        /// The answers to [`ConsumerArgs`].
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        #[non_exhaustive]
        pub enum ConsumerResult {
            $(
                #[doc = concat!("To [`", stringify!($name), "`].")]
                $variant($output),
            )+
        }

        impl ConsumerArgs {
            /// The camelCase name of the operation.
            #[must_use]
            pub const fn as_str(&self) -> &'static str {
                match self { $(Self::$variant(_) => $code,)+ }
            }

            /// The consumer that it is of.
            #[must_use]
            pub const fn consumer(&self) -> &ConsumerName {
                match self { $(Self::$variant(inner) => &inner.consumer,)+ }
            }
        }

        impl ConsumerResult {
            /// The camelCase name of the operation that it answers.
            #[must_use]
            pub const fn as_str(&self) -> &'static str {
                match self { $(Self::$variant(_) => $code,)+ }
            }

            /// The consumer that it is of.
            #[must_use]
            pub const fn consumer(&self) -> &ConsumerName {
                match self { $(Self::$variant(inner) => &inner.consumer,)+ }
            }
        }

        impl CarriesContent for ConsumerArgs {
            fn places(&self) -> Vec<Place<'_>> {
                match self { $(Self::$variant(inner) => inner.places(),)+ }
            }

            fn places_mut(&mut self) -> Vec<PlaceMut<'_>> {
                match self { $(Self::$variant(inner) => inner.places_mut(),)+ }
            }
        }

        impl CarriesContent for ConsumerResult {
            fn places(&self) -> Vec<Place<'_>> {
                match self { $(Self::$variant(inner) => inner.places(),)+ }
            }

            fn places_mut(&mut self) -> Vec<PlaceMut<'_>> {
                match self { $(Self::$variant(inner) => inner.places_mut(),)+ }
            }
        }

        $(
            impl sealed::Sealed for $name {}

            impl ConsumerOperation for $name {
                type Output = $output;

                fn output(result: ConsumerResult) -> Option<$output> {
                    match result {
                        ConsumerResult::$variant(output) => Some(output),
                        _ => None,
                    }
                }
            }

            impl From<$name> for ConsumerArgs {
                fn from(operation: $name) -> Self {
                    Self::$variant(operation)
                }
            }

            impl From<$name> for super::PersistArgs {
                fn from(operation: $name) -> Self {
                    Self::Consumer(operation.into())
                }
            }
        )+
    };
}

consumer_operations! {
    /// Takes down that everything up to a position is done.
    MoveCursor: MoveCursor -> CursorMoved as "moveCursor";
    /// Puts the cursor anywhere, back as well.
    ResetCursor: ResetCursor -> CursorMoved as "resetCursor";
    /// Takes down that a change was passed over.
    Quarantine: QuarantineChange -> ChangeQuarantined as "quarantineChange";
    /// Takes a change off that list.
    Release: ReleaseChange -> ChangeReleased as "releaseChange";
}

/// A consumer is one of the whole tenant: the thread that a change was about is said beside, for who reads the list, and no
/// redirect goes by it.
impl Addressed for ConsumerArgs {
    fn thread(&self) -> Option<&ThreadId> {
        None
    }

    fn message(&self) -> Option<&MessageId> {
        None
    }
}

impl Addressed for ConsumerResult {
    fn thread(&self) -> Option<&ThreadId> {
        None
    }

    fn message(&self) -> Option<&MessageId> {
        None
    }
}

//! Answers to reads, built from rows in the same way for every store.
//!
//! A store finds the rows, by an index or by a scan, and passes them in the order that the function requires. The function
//! decides which rows are shown, where the page ends, and what the next cursor is.
//!
//! ```
//! use throughline_core::{Position, messages::{PageFrom, ReadPage}};
//! use throughline_engine::read;
//!
//! let read = ReadPage::new("t".parse()?, PageFrom::Start, 20);
//! // A thread that does not exist.
//! let page = read::page(&read, None, None, Position::ZERO, std::iter::empty::<(_, _, ())>(), |()| unreachable!());
//! assert!(page.messages.is_empty() && !page.has_more);
//! # Ok::<(), throughline_core::InvalidId>(())
//! ```

mod audit;
mod changes;
mod content;
mod find;
mod image;
mod messages;
mod prune;
mod sessions;
mod threads;

pub use self::{
    audit::audit,
    changes::{changes, consumer_cursor, quarantined},
    content::{ChunksBackward, ContentState, TailStart},
    find::{FindCriterion, FoundPage, MAX_SKIPPED},
    image::{message_image, thread_image},
    messages::{open_messages, page},
    prune::plan_prune,
    sessions::attempts,
    threads::{aliases, purgeable, tenants, threads},
};

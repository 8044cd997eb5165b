//! Refuses calls that are too large, too deeply nested, or too many in one batch.
//!
//! ```
//! # use throughline_core::{Admitted, Backend, Capabilities, Durability};
//! # struct Nowhere;
//! # impl Backend for Nowhere {
//! #     fn name(&self) -> &str { "nowhere" }
//! #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
//! # }
//! use throughline_core::{ErrorKind, NewMessage, Persistence};
//! use throughline_layers::{limits::LimitsLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> throughline_core::Result<()> {
//! let db = Persistence::builder().layer(LimitsLayer::new().content_bytes(1024)).backend(Nowhere).build()?;
//! let error = db.thread("t").add(NewMessage::user(&"x".repeat(2000))).await.unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::TooLarge);
//! assert_eq!(error.detail(), "2027 bytes of content are more than the 1024 allowed");
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//! | limit | default | counts |
//! |---|---|---|
//! | [`content_bytes`](LimitsLayer::content_bytes) | 8 MiB | the JSON of one content or one delta; the JSON of a content that grows by appends |
//! | [`metadata_bytes`](LimitsLayer::metadata_bytes) | 256 KiB | names and JSON values in the metadata of one message or thread, also after patches |
//! | [`depth`](LimitsLayer::depth) | 64 | nested arrays and objects, in content and in each metadata value |
//! | [`attachments`](LimitsLayer::attachments) | 256 | attachment names of one message |
//! | [`batch_items`](LimitsLayer::batch_items) | 512 | operations of one batch, rows of one [import](throughline_core::messages::Import) |
//! | [`batch_bytes`](LimitsLayer::batch_bytes) | 16 MiB | content and metadata of one batch or import; stored data in the answers of a batch |
//!
//! # Content that grows by appends
//! The layer does not know the length of existing content, but the store does. So each append carries the limit
//! ([`UpdateContent::max_content_bytes`](throughline_core::messages::UpdateContent::max_content_bytes)), and the store
//! checks it in the commit. An append that exceeds it fails as `TooLarge`, whichever process wrote the earlier content.
//! The store counts the content as it keeps it. [`encrypt`](crate::encrypt) therefore raises the limit of an append to
//! the size of its ciphertext; content with many revisions may exceed the limit by about 200 bytes for each of them. A
//! transform that makes text longer reaches the limit earlier. A [`Draft`](throughline_core::Draft) learns the limit
//! from its reservation and refuses the append itself. An end without content is never refused.
//!
//! # Metadata that grows by patches, and answers of batches
//! A patch carries the limit of the whole metadata in the same way
//! ([`Update::max_metadata_bytes`](throughline_core::messages::Update::max_metadata_bytes),
//! [`LabelThread::max_metadata_bytes`](throughline_core::threads::LabelThread::max_metadata_bytes)). A patch that makes
//! the metadata longer than the limit is `TooLarge`; a patch that does not make it longer always passes. The store
//! counts metadata as it keeps it. Under [`encrypt`](crate::encrypt) a value counts four thirds of its bytes and about
//! a hundred more.
//!
//! The answer of a patch is the whole metadata. So a batch carries a limit on the stored data in its answers, which
//! equals its byte limit ([`Batch::max_answer_bytes`](throughline_core::messages::Batch::max_answer_bytes)). By default
//! the answers of a batch show at most 16 MiB of earlier data. The answers also contain the data of the batch, which is
//! itself within the same limit.
//!
//! # Copies
//! A [fork](throughline_core::Thread::fork) copies stored data without limits, so a message that was written before a
//! limit was lowered can still be forked. The types of ids limit their length.
//!
//! The layer fails closed: it refuses operations that it cannot measure. It costs one pass through the content, without
//! allocation.

mod depth;
mod layer;
mod measure;
mod service;

pub use self::{
    layer::LimitsLayer,
    service::{LimitsFuture, LimitsService},
};

//! Refuses what is too large, too deep or too much at once, before anything is spent on it.
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
//! # What is limited
//! | limit | default | counts |
//! |---|---|---|
//! | [`content_bytes`](LimitsLayer::content_bytes) | 8 MiB | the JSON of one content or of one delta; the JSON of a content that grows by appends |
//! | [`metadata_bytes`](LimitsLayer::metadata_bytes) | 256 KiB | names and JSON values of one metadata, of a message or a thread, and of one that grows by patches |
//! | [`depth`](LimitsLayer::depth) | 64 | nested arrays and objects, in content and in each metadata value |
//! | [`attachments`](LimitsLayer::attachments) | 256 | attachment names of one message |
//! | [`batch_items`](LimitsLayer::batch_items) | 512 | operations of one batch, rows of one [import](throughline_core::messages::Import) |
//! | [`batch_bytes`](LimitsLayer::batch_bytes) | 16 MiB | content and metadata of one batch or import together; what the answers of a batch show of the store |
//!
//! # Content that grows by appends
//! The layer does not know how long the content is already, and the store does. So each append names the limit
//! ([`UpdateContent::max_content_bytes`](throughline_core::messages::UpdateContent::max_content_bytes)), and the store decides it in the commit: the
//! append that exceeds it is refused as `TooLarge`, whichever process wrote what was there. The store counts the content as it
//! keeps it. [`encrypt`](crate::encrypt) therefore raises the limit of an append to the size of
//! its ciphertext; content of many revisions may exceed the limit there by some 200 bytes for each of them. A transform that makes
//! text longer reaches the limit earlier. A [`Draft`](throughline_core::Draft) learns the limit from its reservation and refuses the append itself. An end that carries no content
//! is never refused.
//!
//! # Metadata that grows by patches, and answers of batches
//! A patch names the limit of the whole metadata in the same way ([`Update::max_metadata_bytes`](throughline_core::messages::Update::max_metadata_bytes),
//! [`LabelThread::max_metadata_bytes`](throughline_core::threads::LabelThread::max_metadata_bytes)): one that makes it longer than that is `TooLarge`, and one that does not
//! make it longer always passes. The store counts metadata as it keeps it. Under [`encrypt`](crate::encrypt) a value counts four thirds
//! of its bytes and about a hundred more.
//!
//! A patch is answered by the whole metadata, so a batch names a limit of its answers, which is that of its bytes
//! ([`Batch::max_answer_bytes`](throughline_core::messages::Batch::max_answer_bytes)). With the default limits an answer to a batch shows at most 16 MiB of what was there
//! before it. What the batch itself adds is answered too, and is within the same limit by itself.
//!
//! # Copies
//! A [fork](throughline_core::Thread::fork) copies what the store holds and is not limited. So a message that was written before a limit was
//! lowered can still be forked. The length of ids is limited by their types.
//!
//! It fails closed: what it cannot measure it refuses. Its cost is one pass over the content, without memory.

mod depth;
mod layer;
mod measure;
mod service;

pub use self::{
    layer::LimitsLayer,
    service::{LimitsFuture, LimitsService},
};

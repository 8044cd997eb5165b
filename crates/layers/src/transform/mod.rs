//! Builds layers that rewrite content: a [`Transform`] names the replacements, and this module does the rest.
//!
//! ```
//! # use throughline_core::{
//! #     Admitted, Backend, Capabilities, Durability, OpKind, Reply, Result, Seq, Timestamp,
//! #     messages::{Add, Added},
//! # };
//! # struct Shows;
//! # impl Backend for Shows {
//! #     fn name(&self) -> &str { "shows" }
//! #     fn capabilities(&self) -> Capabilities {
//! #         Capabilities::new(Durability::Volatile).with_operations(&[OpKind::Add])
//! #     }
//! #     async fn add(&self, call: Admitted<'_, Add>) -> Result<Reply<Add>> {
//! #         let (op, context, _) = call.into_parts();
//! #         assert_eq!(op.content.plain_text(100), "ask P1 about it");
//! #         let message = op.to_message(context.tenant(), Seq::FIRST, Timestamp::from_micros(0));
//! #         Ok(Reply::new(Added { message, deduplicated: false }))
//! #     }
//! # }
//! use throughline_core::{NewMessage, Persistence};
//! use throughline_layers::{transform::{Edits, HeldTail, Rewrite, TextPart, Transform, TransformLayer}};
//!
//! /// Stores `P1` for Ada, and returns Ada for `P1`.
//! struct HideAda;
//!
//! impl Transform for HideAda {
//!     type Stream = HeldTail;
//!
//!     fn name(&self) -> &str {
//!         "hide-ada"
//!     }
//!
//!     fn down(&self, part: TextPart<'_>) -> Rewrite {
//!         let (mut edits, start) = (Edits::none(), part.start());
//!         for (at, name) in part.text()[start..].match_indices("Ada") {
//!             edits.replace(start + at..start + at + name.len(), "P1");
//!         }
//!         Rewrite { edits, certain: part.certain_before(start, ["Ada"]) }
//!     }
//!
//!     fn up(&self, text: &str) -> Edits {
//!         let mut edits = Edits::none();
//!         for (at, alias) in text.match_indices("P1") {
//!             edits.replace(at..at + alias.len(), "Ada");
//!         }
//!         edits
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> throughline_core::Result<()> {
//! let db = Persistence::builder().layer(TransformLayer::new(HideAda)).backend(Shows).build()?;
//! let added = db.thread("t").add(NewMessage::user("ask Ada about it")).await?; // the store has "ask P1 about it"
//! assert_eq!(added.message.content.plain_text(100), "ask Ada about it");
//! # Ok(())
//! # }
//! ```
//!
//! The guide `docs/guide/writing-a-layer.md` shows a pseudonymizer with its laws. The layers [`redact`](crate::redact)
//! and [`encrypt`](crate::encrypt) use this module.
//!
//! # Rewritten fields
//! The layer rewrites strings of content at any depth, including names of members; appended text; names and values of
//! metadata and of its patches; titles; and reasons. It also rewrites search queries on the way to the store, and
//! previews and snippets with their marks on the way to the caller. It rewrites a batch item by item.
//!
//! - A string is rewritten by its decoded text. All other bytes stay the same: escapes, numbers, whitespace, lone
//!   halves of surrogate pairs.
//! - Ids, labels, owners, attachment keys and idempotency keys stay unchanged.
//! - A new kind of field does not compile until [`RewriteFields`] has a method for it. The operations of replication,
//!   [`ApplyImages`](throughline_core::replication::ApplyImages) and
//!   [`ReadImages`](throughline_core::replication::ReadImages), are refused.
//! - Content that nests deeper than [`MAX_DEPTH`] levels is refused as [`TooLarge`](throughline_core::ErrorKind::TooLarge).
//!
//! # Text that is being written
//! A match can be divided between two appends. So the layer buffers the end of a text that may continue, for each open
//! message. It stores the buffered text with the next append, with further blocks, or when the message is finished or
//! abandoned. In the end the store has the transform of the whole text.
//!
//! - Buffered text is not durable. The extensions of the answer contain its length
//!   ([`BufferedBytes`](throughline_core::pipeline::BufferedBytes)), and a [`Draft`](throughline_core::Draft) counts it
//!   as not committed.
//! - Calls that change the content of one message run one at a time. A call that was refused, replayed, or dropped
//!   before it reached the store leaves the buffered text unchanged. After an unknown outcome, the next call reads the
//!   message and decides by its revision. An error with the effect [`Applied`](throughline_core::Effect::Applied)
//!   leaves the buffered text as the call changed it.
//! - Blocks that follow buffered text cannot be appended together with it. The layer reads the stored content and
//!   replaces it with both.
//! - If another process began the message, or this one before a restart, its buffered text is lost: see
//!   [`TextStream::resume`].
//! - A text must have one writer at a time, as its lease ensures.
//! - When too many messages are open, the layer drops buffered text and refuses the next call that continues the
//!   message: see [`TransformLayer::open_messages`].
//!
//! # Cancel safety
//! A call that is dropped before it reached the store has no effect.

mod definition;
mod edits;
mod fields;
mod held_tail;
pub(crate) mod json;
mod json_string;
mod layer;
mod metadata;
mod off_runtime;
mod open_message;
mod open_messages;
mod open_table;
mod rewriter;
mod service;
mod tail;
mod write;

#[cfg(feature = "encrypt")]
pub(crate) use self::fields::refuse_row_images;
#[cfg(feature = "encrypt")]
pub(crate) use self::fields::refuse_unknown;
pub use self::{
    definition::{Rewrite, TextPart, TextStream, Transform},
    edits::{Edit, EditCounts, Edits},
    fields::{FieldOwner, RewriteFields, Snippet, rewrite_args, rewrite_fields, rewrite_result},
    held_tail::HeldTail,
    json::{MAX_DEPTH, TooDeep, rewrite_json},
    json_string::JsonString,
    layer::TransformLayer,
    rewriter::{Down, Up},
    service::TransformService,
};

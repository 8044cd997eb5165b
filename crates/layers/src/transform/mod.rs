//! Layers that change content: what is replaced is for a [`Transform`] to say, and everything else is done here.
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
//! /// Stores `P1` for Ada, and shows Ada for `P1`.
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
//! The guide `docs/guide/writing-a-layer.md` has a pseudonymizer with its laws. The layers [`redact`](crate::redact) and
//! [`encrypt`](crate::encrypt) are made with this module.
//!
//! # What is rewritten
//! Strings of content at any depth, names of members included; appended text; names and values of metadata, and patches of it; titles;
//! reasons; search queries on the way down, and previews and snippets on the way up, with the marks in them. A batch is rewritten
//! item by item.
//!
//! - A string is rewritten by what it says, not by how it is written. What is not replaced keeps its bytes: escapes, numbers, blanks, lone
//!   halves of surrogate pairs.
//! - Ids, labels, owners, names of attachments and of idempotency keys are names, and stay.
//! - A new kind of field does not compile until [`RewriteFields`] has a method for it. The operations of an exact copy,
//!   [`ApplyImages`](throughline_core::replication::ApplyImages) and [`ReadImages`](throughline_core::replication::ReadImages), are refused.
//! - Content that nests deeper than [`MAX_DEPTH`] levels is refused as [`TooLarge`](throughline_core::ErrorKind::TooLarge).
//!
//! # Text that is being written
//! What a transform looks for may be cut anywhere between two appends. So the end of a text that may go on is held back, for each open
//! message, and is passed on with what comes next: with the next append, with further blocks, or when the message is finished or
//! abandoned. What is stored in the end is what the transform would make of the whole text.
//!
//! - Held text is not durable. The answer says how much that is, as [`BufferedBytes`](throughline_core::pipeline::BufferedBytes) in its extensions, and a
//!   [`Draft`](throughline_core::Draft) counts it as not committed.
//! - Calls that change the content of one message wait for each other. A call that was refused, replayed, or dropped before it was handed
//!   over leaves what is held as it was. Where an outcome is unknown, the next call reads the message and goes by its revision.
//!   An error that says that the call was applied ([`Effect::Applied`](throughline_core::Effect::Applied)) leaves what is held as the call made it.
//! - Blocks that follow a held text cannot be appended together with it. The layer reads what is stored, and replaces it with both.
//! - Of a message that was begun by another process or before a restart, what was held back is lost: see [`TextStream::resume`].
//! - A text is expected to have one writer at a time, as its lease says.
//! - When too many messages are open, the layer drops held text and refuses the next call that goes on with that message: see
//!   [`TransformLayer::open_messages`].
//!
//! # Cancel safety
//! A call that is dropped before it was handed to the store leaves nothing.

mod definition;
mod edits;
mod fields;
mod held_tail;
mod json;
mod json_string;
mod layer;
mod metadata;
mod off_runtime;
mod open_message;
mod open_messages;
mod open_table;
mod rewriter;
mod service;
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

//! Encrypts content, metadata, titles and reasons on their way to the store, and decrypts them on their way back.
//!
//! ```
//! # use throughline_core::{Admitted, Backend, Capabilities, Durability};
//! # struct Nowhere;
//! # impl Backend for Nowhere {
//! #     fn name(&self) -> &str { "nowhere" }
//! #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
//! # }
//! use throughline_core::{Persistence};
//! use throughline_layers::{encrypt::{EncryptLayer, Key, KeyRing}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> throughline_core::Result<()> {
//! # let (secret, other_secret) = ([7; 32], [8; 32]);
//! let key_ring = KeyRing::new(Key::new("2026-11".parse()?, &secret)); // 32 random bytes from the host's key service
//! let db = Persistence::builder()
//!     .fingerprint_secret(&other_secret) // or idempotency keys leave something to test guesses with
//!     .layer(EncryptLayer::new(key_ring))
//!     .backend(Nowhere)
//!     .build()?;
//! assert_eq!(db.describe().names().next(), Some("encrypt"));
//! # Ok(())
//! # }
//! ```
//!
//! It stands in the phase Transform at rank 90: inside every redaction, outside every retry. It **fails closed**: what it
//! cannot encrypt is not written, and what it cannot decrypt is not shown. The guide `docs/guide/encryption.md` says what is
//! protected and what is not.
//!
//! # What is stored
//! XChaCha20-Poly1305 with a nonce of 24 random bytes of the operating system for each cell, in base64, with the name of its key.
//!
//! | what | in the store | bound to |
//! |---|---|---|
//! | content | one block of type `sealed` for each change | tenant, thread, message, revision, and what kind of change it was |
//! | metadata | each value a string; the names as they are | tenant, thread, message or none, name |
//! | title | a string; [`Title::UNTITLED`](throughline_core::Title::UNTITLED) as it is | tenant, thread |
//! | reason of an abandoned message | a string | tenant, thread, message, revision |
//! | what a run failed with | a string | tenant, thread, agent, run |
//! | why a consumer passed over a change | a string | tenant, thread, consumer, position |
//!
//! Every cell is bound to the format, the algorithm and its key as well. The pieces of a content are numbered without a gap up to
//! the revision of the message, so that one that is missing, doubled or from before is seen.
//!
//! # What a caller notices
//! - A thread has no [preview](throughline_core::threads::ThreadSummary::preview), and [`SearchMessages`](throughline_core::search::SearchMessages) finds nothing: the
//!   store cannot read. It is not told the words either, unless [plaintext is accepted](EncryptLayer::accept_plaintext). [`ThreadSummary::bytes`](throughline_core::threads::ThreadSummary::bytes) and what a prune counts are sizes in the store.
//! - A title has 3,000 bytes or a little less, by the length of the name of its key; a longer one is `TooLarge`.
//! - What cannot be decrypted is [`Corrupt`](throughline_core::ErrorKind::Corrupt) with [`Unreadable`] as its source, and names thread and message. A
//!   list of threads, or of open messages, shows the others and has it among its `damaged`; a page fails, and [`Thread::delete`](throughline_core::Thread::delete) still works.
//! - A change of content that names no revision is made on the one that is there: the layer knows it from its last write, or
//!   reads it, has the store compare, and does it again where somebody was faster: 64 times, then `Busy`.
//! - A [`TakeLastMessage`](throughline_core::messages::TakeLastMessage) costs a read: the layer decrypts the message before the store deletes it. One that cannot be
//!   decrypted is refused with the effect `NotApplied`, and stays.
//! - An [`Import`](throughline_core::messages::Import) that finds messages there already reads each of them, to compare.
//! - An [`Update`](throughline_core::messages::Update) or a [`LabelThread`](throughline_core::threads::LabelThread) that changes nothing writes the values again that are not under the present key.
//!
//! # Cost
//! A third more bytes, and some 125 for each change of content and 80 for each value; with keys of threads 27 more. The limits of
//! [`limits`](crate::limits), which stands outside, count what the caller gave. The layer raises the limit of an append to the size of its
//! ciphertext, and counts one piece for each revision of the message: after edits and snapshots, which leave fewer pieces, content may exceed
//! the limit by some 200 bytes for each revision. A store's [`max_content_bytes`](throughline_core::Capabilities::max_content_bytes) counts what it is given. The layer
//! answers a [`Reserve`](throughline_core::messages::Reserve) with a [`ContentLimit`](throughline_core::pipeline::ContentLimit) of 45/64 of it: three quarters, and a sixteenth
//! less for what is around each change.
//!
//! # Keys
//! [`KeyRing`] has one key to write under and any number to read under. [`KeyRing::rotate`] changes the first while the pipeline
//! serves, [`Rewrite`] brings the store under it, and [`EncryptLayer::retire`] takes the old one away. With
//! [keys of threads](thread_keys) a rotation touches no message, and [`EncryptLayer::shred`] makes one thread unreadable in
//! every copy.
//!
//! # Cancel safety
//! A call that is dropped before it was handed to the store leaves nothing, but for a key that was made for a new thread.

mod binding;
mod cell;
mod in_turn;
mod key;
mod key_ring;
mod key_set;
mod layer;
mod open;
mod pieces;
mod revisions;
mod rewrite;
mod seal;
mod service;
mod shred;
#[cfg(test)]
mod swaps;
mod taken;
pub mod thread_keys;
mod unreadable;
mod weakness;
mod work;

use self::weakness::Weakness;
pub use self::{
    key::{Key, KeyId},
    key_ring::KeyRing,
    layer::EncryptLayer,
    rewrite::{Rewrite, RewriteCursor, Rewritten},
    service::EncryptService,
    shred::Shredded,
    unreadable::Unreadable,
};

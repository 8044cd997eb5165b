//! Encrypts the content, metadata, titles and reasons of a call before the store sees them, and decrypts the answers.
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
//!     .fingerprint_secret(&other_secret) // without it, an attacker can test guesses against the idempotency keys
//!     .layer(EncryptLayer::new(key_ring))
//!     .backend(Nowhere)
//!     .build()?;
//! assert_eq!(db.describe().names().next(), Some("encrypt"));
//! # Ok(())
//! # }
//! ```
//!
//! The layer runs in the phase `Transform` at rank 90: inside every redaction and outside every retry. It **fails
//! closed**: it refuses a write that it cannot encrypt and an answer that it cannot decrypt. The guide
//! `docs/guide/encryption.md` lists the data that is protected and the data that is not.
//!
//! # Stored form
//! The algorithm is XChaCha20-Poly1305. Each ciphertext has its own nonce of 24 random bytes from the operating system.
//! The store keeps it in base64, with the name of its key.
//!
//! | data | in the store | bound to |
//! |---|---|---|
//! | content | one block of type `sealed` for each change | tenant, thread, message, revision, kind of change |
//! | metadata | each value a string; the names in plaintext | tenant, thread, message or none, name |
//! | title | a string; [`Title::UNTITLED`](throughline_core::Title::UNTITLED) in plaintext | tenant, thread |
//! | reason of an abandoned message | a string | tenant, thread, message, revision |
//! | error of a failed run | a string | tenant, thread, agent, run |
//! | reason for a quarantined change | a string | tenant, thread, consumer, position |
//!
//! Every ciphertext is also bound to the format, the algorithm and its key. The chunks of a message are numbered
//! without a gap up to its revision, so the layer detects a missing, repeated or outdated chunk.
//!
//! # Effects on callers
//! - A thread has no [preview](throughline_core::threads::ThreadSummary::preview), and
//!   [`SearchMessages`](throughline_core::search::SearchMessages) finds nothing, because the store cannot read the
//!   text. The store does not receive the search terms either, unless [plaintext is
//!   accepted](EncryptLayer::accept_plaintext).
//!   [`ThreadSummary::bytes`](throughline_core::threads::ThreadSummary::bytes) and the bytes of a prune are sizes in
//!   the store.
//! - A [`FindMessages`](throughline_core::messages::FindMessages) is `Unsupported`, because each ciphertext of a value
//!   is another one.
//! - A title can have about 3,000 bytes; the exact limit depends on the length of the key's name. A longer title is
//!   `TooLarge`.
//! - Data that cannot be decrypted fails as [`Corrupt`](throughline_core::ErrorKind::Corrupt) with [`Unreadable`] as
//!   its source; the error names the thread and the message. A list of threads or of open messages shows the other rows
//!   and names this one in `damaged`. A page fails. [`Thread::delete`](throughline_core::Thread::delete) still works.
//! - A change of content without an expected revision applies to the current one. The layer knows the revision from its
//!   last write or reads it, and the store compares it. When another writer was faster, the layer tries again: 64
//!   times, then `Busy`.
//! - A [`TakeLastMessage`](throughline_core::messages::TakeLastMessage) costs a read: the layer decrypts the message
//!   before the store deletes it. When it cannot decrypt the message, it refuses the call with the effect `NotApplied`,
//!   and the message stays.
//! - An [`Import`](throughline_core::messages::Import) of messages that already exist reads each of them, to compare
//!   the content.
//! - An [`Update`](throughline_core::messages::Update) or a [`LabelThread`](throughline_core::threads::LabelThread)
//!   that changes nothing re-encrypts the values that are not under the current key.
//!
//! # Cost
//! Ciphertext is a third longer than plaintext, plus about 125 bytes for each change of content and 80 for each value;
//! thread keys add 27 more. The layer [`limits`](crate::limits) is outside this one, so it counts plaintext. This layer
//! raises the limit of an append to the size of its ciphertext, and counts one chunk for each revision of the message.
//! Edits and snapshots leave fewer chunks, so content may then exceed the limit by about 200 bytes for each revision. A
//! store's [`max_content_bytes`](throughline_core::Capabilities::max_content_bytes) counts ciphertext. The layer
//! answers a [`Reserve`](throughline_core::messages::Reserve) with a
//! [`ContentLimit`](throughline_core::pipeline::ContentLimit) of 45/64 of it: three quarters for base64, less a
//! sixteenth for the frames of the chunks.
//!
//! # Keys
//! A [`KeyRing`] has one key that encrypts and any number of keys that only decrypt. [`KeyRing::rotate`] replaces the
//! first while the pipeline runs, [`Rewrite`] re-encrypts the store, and [`EncryptLayer::retire`] removes the old key.
//! With [thread keys](thread_keys) a rotation touches no message, and [`EncryptLayer::shred`] makes one thread
//! unreadable in every copy.
//!
//! # Cancel safety
//! A call that is dropped before the layer forwarded it changes nothing, except that a key created for a new thread
//! stays.

mod binding;
mod chunks;
mod ciphertext;
mod key;
mod key_ring;
mod key_set;
mod layer;
mod open;
mod patch_locks;
mod revisions;
mod rewrite;
mod seal;
mod service;
mod shred;
#[cfg(test)]
mod swaps;
mod tail;
mod taken;
pub mod thread_keys;
mod unreadable;
mod work;

pub use self::{
    key::{Key, KeyId},
    key_ring::KeyRing,
    layer::EncryptLayer,
    rewrite::{Rewrite, RewriteCursor, Rewritten},
    service::EncryptService,
    shred::Shredded,
    unreadable::Unreadable,
};

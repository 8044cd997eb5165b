//! Removes secrets from the stored copy: it replaces keys, tokens and passwords by markers before the store sees them.
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
//! #         let message = op.to_message(context.tenant(), Seq::FIRST, Timestamp::from_micros(0));
//! #         Ok(Reply::new(Added { message, deduplicated: false }))
//! #     }
//! # }
//! use throughline_core::{NewMessage, Persistence};
//! use throughline_layers::{redact::RedactLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> throughline_core::Result<()> {
//! let layer = RedactLayer::secrets();
//! let counts = layer.clone();
//! let db = Persistence::builder().layer(layer).backend(Shows).build()?;
//! let key = format!("{}{}", "ghp_", "0123456789".repeat(4));
//! let stored = db.thread("t").add(NewMessage::user(&format!("use {key}"))).await?.message;
//! assert!(stored.content.plain_text(100).starts_with("use [redacted:github-token#"));
//! assert_eq!(counts.counts().get("github-token"), 1);
//! # Ok(())
//! # }
//! ```
//!
//! The value of the caller stays unchanged: the layer changes its own copy of the operation. Answers and reads show the
//! stored text.
//!
//! # Searched fields
//! The layer covers every field of every write that carries content, through the
//! [visitor](throughline_core::messages::CarriesContent): whole contents and blocks at any depth, including names of
//! members; appended text; metadata of messages and threads, with its patches and names; titles; and reasons. So
//! batches, edits, imports and forks are covered. It searches the decoded text of a JSON string: `\u0041KIA…` is a
//! match. Content without secrets keeps its bytes.
//!
//! A patch that removes a name with a secret removes both that name and its redacted form. Only here does a secret
//! reach the store, which does not keep it. The layer covers the owner of a thread, and the actor and the call site of
//! a handle. It does not cover ids, labels, attachment keys and idempotency keys. A secret in a search query is
//! replaced by its marker, so the search finds messages with that marker. Each string is searched by itself: a secret
//! that is divided between two blocks, or two members of a list, is not found, except in text that is appended to text.
//! JSON inside of a string is searched as JSON and as text, except in a text block of the content: that block is
//! searched as text, since it may be streamed.
//!
//! # Rules
//! [`Rules::secrets`] knows more than 130 formats by name, from clouds, code hosts, chats, payment and model providers
//! to private keys, headers, passwords in addresses, and assignments. It hides fields by the parts of their names, at
//! any depth: everything under a `password` or a `client_secret`, and credential-like values under a `token` or an
//! `api_key`. It also decodes and searches Base64, hexadecimal, percent escapes and JSON escapes. A host can add
//! patterns, literals, fields and a threshold of randomness, and remove rules. The guide lists the secrets that are not
//! found.
//!
//! # Cost
//! The rules are one automaton, and the encodings another. Each is tried at the positions whose next twelve bytes can
//! begin a match, and follows a match for at most the length of the longest one. So the time is linear in the length of the
//! text, and no text slows down later ones. A byte of ordinary text costs about 5 to 10 ns, of a Base64 image 15 ns,
//! and of the slowest text in the benchmark about 50 ns; the first text after a start costs about four times as much. A
//! pattern of the host that begins with a long repetition, such as `[a-z]{8,512}x`, costs up to its length at each
//! byte.
//!
//! The rules are compiled once for each process, in about 20 ms. The states of the automata take about 0.6 MB for each
//! concurrent call, and 1.4 MB after adversarial text; later calls reuse them. At 4 MiB of states an automaton drops
//! them, rebuilds those that it needs, and continues.
//!
//! A call with 16 KiB of content or more is redacted on a blocking thread.
//!
//! # Markers
//! The marker `[redacted:RULE#TAG]` replaces a secret. The tag is a keyed hash of the rule's name under [a key of the
//! host](Rules::marker_key), so a caller that has not seen a marker cannot forge it; [`Redactor::is_marker`] verifies
//! markers. A valid marker is never changed and never counted: redacted content stays the same when a fork, an import
//! or an edit writes it again. A text that only looks like a marker is stored unchanged. Without a key, everyone can
//! create markers.
//!
//! # Text that is being written
//! A secret can be divided between two appends. For each open message, the layer buffers the end of the text that may
//! still become a secret. It stores the buffered text with the next append, with further blocks, or when the message is
//! finished or abandoned. The buffer has at most [`Redactor::longest_tail`] bytes, and is mostly empty for ordinary
//! text. After a secret was found, the layer drops the rest of it as it arrives; for a private key, all text up to its
//! last line or to the end of the text. In the end the store has the redaction of the whole text.
//!
//! - Buffered text is not durable: a message that is never finished lacks it. The extensions of the answer contain its
//!   length ([`BufferedBytes`](throughline_core::pipeline::BufferedBytes)), and a [`Draft`](throughline_core::Draft)
//!   counts it as not committed.
//! - Calls that change the content of one message run one at a time. A call that was refused, replayed or dropped
//!   before it reached the store leaves the buffered text unchanged. After an unknown outcome, the next call reads the
//!   message and decides by its revision. If that call was applied, the content of a repeat with its key is not stored.
//!   Inner layers see this content, which may contain a part of a secret.
//! - Blocks that follow buffered text cannot be appended together with it: the layer reads the stored content and
//!   replaces it with both.
//! - [`RedactLayer::open_messages`] bounds the number of open messages. If another process began a message, or this one
//!   before a restart, the layer reads the stored end at the first append. Its buffered text is lost. If the text
//!   continues with a run of 12 characters or more that is not made of words or a path, the run is hidden as `resumed`,
//!   because it may be the rest of a secret. Up to 11 characters of a secret, or a rest without digits and capitals,
//!   can remain.
//! - A text must have one writer at a time, as its lease ensures.
//!
//! # Divided secrets
//! The layer fails closed: it refuses content that nests deeper than 1 024 levels as
//! [`TooLarge`](throughline_core::ErrorKind::TooLarge) and forwards nothing. A panic of the layer fails the call. A
//! title that markers make too long is shortened.
//!
//! # Later
//! A [`Scrub`] removes secrets from stored content after a new rule becomes known.

mod automaton;
mod check;
mod credential;
mod encoded;
mod json;
mod known;
mod layer;
mod marker;
mod object_kind;
mod owner;
mod redaction;
mod redactions;
mod redactor;
mod rule;
mod rules;
mod scan;
mod scrub;
mod secret_name;
mod service;
mod starts;
mod stream;
mod value;

pub use self::{
    layer::RedactLayer,
    redactions::Redactions,
    redactor::Redactor,
    rules::{InvalidRule, Rules},
    scrub::{Left, Scrub, ScrubCursor, ScrubReport, WhyLeft},
    service::RedactService,
};

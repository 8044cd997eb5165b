//! Keeps secrets out of the store: keys, tokens and passwords are replaced by markers in the copy that is stored.
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
//! What the caller holds stays as it is: the layer changes its own copy of the operation. Answers and reads show what is stored.
//!
//! # What is looked at
//! Every place of every write that holds content, by the [one visitor](throughline_core::messages::CarriesContent): whole contents and blocks at any
//! depth, names of members included; appended text; metadata of messages and threads, their patches and names; titles; reasons.
//! So batches, edits, imports and forks are covered. A secret is looked for in what a JSON string says, not in how it is
//! written: `\u0041KIA…` is one. What holds none keeps its bytes.
//!
//! A patch that clears a name with a secret in it clears that name and the one that would be stored: so only it passes, and no store
//! keeps it. The owner of a thread, the actor and the call site of a handle are looked at; ids, labels, names of attachments and of
//! idempotency keys are not. A secret in a search query is replaced by its marker before the store is asked: what is found are
//! messages with that marker.
//! Each string is looked at by itself: a secret whose parts stand in two blocks, or in two members of a list, is not found, but
//! for text that is appended to text. A JSON text inside a string is looked at as JSON and as a text, but for a text block of the content: that one
//! is looked at as a text, since it may be streamed.
//!
//! # Rules
//! [`Rules::secrets`] knows more than 130 formats by name, from clouds, code hosts, chats, payment and providers of models to
//! private keys, headers, passwords in addresses and assignments. Fields are hidden by the parts of their names, at any depth:
//! everything under a `password` or a `client_secret`, and what looks like a credential under a `token` or an `api_key`. Text in
//! Base64, in hexadecimal, with percent or JSON escapes is decoded and searched as well. Patterns, literals, fields and a measure
//! of randomness can be added, and rules taken away. The guide lists what is not found.
//!
//! # What it costs
//! The rules are one automaton and the encodings another. Each is tried at those positions of a text where two bytes can begin a match,
//! and follows what begins there for at most the length of the longest match. So the time is linear in the length of the text, and
//! no text makes those after it slower. A byte of ordinary text costs about 5 to 10 ns, of a picture in Base64 15 ns, of the slowest
//! shapes that the benchmark has about 50 ns; the first text after a start costs about four times as much. A pattern of the host's own that begins
//! with a long repetition, such as `[a-z]{8,512}x`, costs up to its length at each byte.
//!
//! The rules are compiled once for each process, in about 20 ms. The states of the automata take about 0.6 MB for each call that is
//! redacted at the same time, 1.4 MB after text that is made to need many; they are kept for the next calls. At 4 MiB of states an
//! automaton drops them, builds again those that it needs, and goes on.
//!
//! A call with 16 KiB of content or more is redacted on a thread for blocking work.
//!
//! # Markers
//! In the place of a secret stands `[redacted:RULE#TAG]`. The tag is made of the name of the rule under
//! [a key of the host's](Rules::marker_key), so that a caller who has not seen one cannot write one; [`Redactor::is_marker`] tells
//! true ones. A true marker is never changed and counts nothing: what was redacted once stays as it is when it is written
//! again, by a fork, an import, an edit. A text that only looks like one is stored as the text that it is. Without a key
//! everybody can make markers.
//!
//! # Text that is being written
//! A secret may be cut anywhere between two appends. The end of a text that may still become a secret is held back, for each open
//! message, and is stored with what comes next: with the next append, with further blocks, when the message is finished or
//! abandoned. It is at most [`Redactor::longest_tail`] bytes long, of ordinary text mostly none. Of a secret that has been
//! found, the rest is dropped as it comes; of a private key, everything up to the line that ends it, or to the end of the text.
//! So what is stored in the end is what redacting the whole text at once would give.
//!
//! - Held text is not durable: a message that is never finished lacks it. The answer says how much that is, as [`BufferedBytes`](throughline_core::pipeline::BufferedBytes) in
//!   its extensions, and a [`Draft`](throughline_core::Draft) counts it as not committed.
//! - Calls that change the content of one message take turns. A call that was refused, replayed or dropped before it was handed
//!   over leaves what is held as it was. Where an outcome is unknown, the next call reads the message and goes by its revision.
//!   Where it was applied, what a repeat carries under its key is not stored. Layers further in see it, and a part of a secret in it.
//! - Blocks that follow a held text cannot be appended together with it: what is stored is read, and replaced with both.
//! - [`RedactLayer::open_messages`] bounds how many messages are known at one time. Of one that is not known, because it was
//!   begun before a restart or by another process, the stored end is read at the first append. What was held back is lost, and a
//!   run of 12 characters or more, with which the text goes on, is hidden as `resumed` unless it reads like words, or a path:
//!   it may be the rest of a secret. Up to 11 characters of one, or a rest without digits and capitals, can get past that.
//! - A text is expected to have one writer at a time, as its lease says.
//!
//! # What is not stored at all
//! It fails closed: content that nests deeper than 1 024 levels is refused as
//! [`TooLarge`](throughline_core::ErrorKind::TooLarge), and nothing is passed on. A panic inside fails the call. A title that markers make
//! too long is cut.
//!
//! # Later
//! A secret that becomes known later is taken out of what is stored by a [`Scrub`].

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

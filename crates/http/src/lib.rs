//! The HTTP interface of a Throughline pipeline: an axum router with resumable streams.
//!
//! A host mounts [`router`] next to its own routes, or serves it with [`serve`](serve()). A browser, a second process or a host in
//! another language then uses the pipeline with the guarantees of the library. A retried request adds once. A reader that
//! reconnects to any replica continues where it was.
//!
//! ```
//! use throughline_core::Persistence;
//! use throughline_http::{BearerTokens, Caller, Options, router, serve};
//! use throughline_memory::MemoryBackend;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let db = Persistence::builder().backend(MemoryBackend::new()).build()?;
//! let tokens = BearerTokens::new().with_token("a-random-token", Caller::new("alice".parse()?));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let stop = async { /* such as `tokio::signal::ctrl_c()` */ };
//! serve(listener, router(db.clone(), tokens), Options::new()).with_graceful_shutdown(stop).await;
//! db.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Routes
//!
//! `GET /openapi.json` describes each route. Bodies are JSON with the names of the library's own wire format.
//!
//! | route | effect |
//! |---|---|
//! | `GET, POST /v1/threads` | lists threads; creates one |
//! | `GET, PATCH, DELETE /v1/threads/{thread}` | reads, patches and deletes a thread |
//! | `GET, POST /v1/threads/{thread}/messages` | reads a page; adds a message |
//! | `GET, PATCH, DELETE /v1/threads/{thread}/messages/{message}` | reads, patches and deletes a message |
//! | `GET, PUT /v1/threads/{thread}/messages/{message}/content` | reads the content after a cursor; edits a final message |
//! | `POST /v1/threads/{thread}/drafts` | reserves a message for a streamed reply |
//! | `POST /v1/threads/{thread}/drafts/{message}/append`, `finish`, `abandon` | writes it |
//! | `GET /v1/threads/{thread}/stream` | the changes of a thread with their content, as server-sent events |
//! | `GET /v1/changes` | the change feed: a stream of server-sent events, or a long poll |
//! | `POST /v1/batch` | several writes in one transaction |
//! | `GET /v1/search` | full-text search |
//! | `GET /v1/messages` | messages by the value of a metadata field |
//! | `POST /v1/threads/{thread}/sessions/{agent}/resolve`, `begin`, `renew`, `pin`, `confirm`, `fail`, `cancel`, `reset` | agent sessions |
//! | `GET /v1/audit` | the audit log |
//! | `POST /v1/tickets` | a ticket for one stream of a browser |
//! | `/v1/conversations…` | the OpenAI Conversations API, with [`Options::openai_conversations`] |
//! | `GET /healthz`, `/readyz`, `/metrics`, `/openapi.json` | operation |
//! | `GET /ui/` | the web page, which only reads: [`Options::web_page`] |
//!
//! # Requests that are repeated
//!
//! A write takes the header `Idempotency-Key`. A repeated request with the same key and body is applied once, and its answer has
//! `Idempotency-Replayed: true`. The appends of a draft have a number instead. The store keeps the keys, so that a repetition can
//! go to another replica, and can come after a restart.
//!
//! # Clients that disconnect
//!
//! A write runs to its end when its client disconnects. A read ends.
//!
//! # Problems
//!
//! Each refusal is a [`Problem`] document (RFC 9457). It states the stable `code`, what the store has of the operation (`effect`),
//! the part that failed (`site`), and when to try again (`retry_after`, in seconds). [`status_of`] has the table of statuses. A
//! refusal of the router itself, before the pipeline has a call, has the site `http`.
//!
//! # Tenants
//!
//! A caller sees its tenant only. Positions and the numbers of audit entries count the writes of the whole store.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod audit;
mod auth;
mod batch;
mod changes;
mod drafts;
mod event_stream;
mod extract;
mod finds;
mod health;
mod messages;
mod metrics;
mod observe;
mod openai;
mod openapi;
mod options;
mod problem;
mod readers;
mod router;
mod schema;
mod search;
mod serve;
mod sessions;
mod shutdown;
mod state;
mod store_health;
mod subscriber;
mod tails;
mod thread_stream;
mod threads;
mod ticket_store;
mod tickets;
mod web_page;
mod write;

/// The programs of the guides, as documentation tests.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../../docs/guide/http.md")]
    mod http {}
    #[doc = include_str!("../../../docs/guide/openai.md")]
    mod openai {}
    #[doc = include_str!("../../../docs/guide/web-page.md")]
    mod web_page {}
}

pub use self::{
    auth::{
        Authenticate, BadLine, BearerTokens, Caller, InvalidTokenHash, NoAuth, NotLoopback, Refusal,
        TokenFile, TokenFileError,
    },
    options::Options,
    problem::{Problem, status_of},
    router::{not_found, router, router_with},
    serve::{Server, serve},
    store_health::StoreHealth,
};

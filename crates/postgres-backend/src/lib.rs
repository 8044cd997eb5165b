//! The Postgres backend of Throughline: many hosts, one store.
//!
//! ```no_run
//! use throughline_core::{NewMessage, Persistence, messages::PageFrom};
//! use throughline_postgres::PostgresBackend;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let backend = PostgresBackend::open("postgres://app:secret@db.example/app").await?;
//! let db = Persistence::builder().backend(backend).build()?;
//! let thread = db.thread("telegram:42");
//! thread.add(NewMessage::user("hello")).await?;
//! assert_eq!(thread.page(PageFrom::End, 20).await?.messages.len(), 1);
//! db.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//! - A write that returned was committed with `synchronous_commit` on. Writes that wait at the same time share a
//!   transaction, and so one round trip and one flush of the WAL.
//! - Each write has one of three outcomes. If the connection is lost after `COMMIT` was sent, the store determines
//!   the outcome on another connection before it answers. If it cannot, it answers `Unknown`.
//! - With synchronous standbys, a write that returned is on them. If the wait for a standby is cancelled, the store
//!   does not report success, but waits again. An answer to a write that changes nothing, such as a repeated call, waits for them too.
//! - The URL may name several hosts. The store finds the primary, also after a failover.
//! - Any number of processes write to one store. Writers of one thread wait for each other. The order of messages
//!   is the order of commits, and so is the order of the positions of all changes.
//! - Content, metadata and ids come back byte for byte.
//! - With the layer `audit`, each write and its audit record are one commit. The audit log is one chain over all
//!   processes.
//! - Search uses a full-text index that is optional ([`PostgresOptions::search`]). One process at a time updates
//!   it, asynchronously after the commits.
//! - The store can be the source and the target of replication with every other backend.
//!
//! # Requirements
//! PostgreSQL 15 or newer, a database with the encoding UTF8, and a role that may create a schema in it, once. The
//! tables are in the schema `throughline`; a database has one store.
//!
//! # Limits
//! - A process recognizes a replaced primary that comes back if it has seen the new primary or can reach it.
//!   Another process takes it for the primary: the host must keep it fenced off.
//! - The store notices damage when a row cannot be decoded. Page checksums are a feature of the server (`initdb
//!   --data-checksums`).

mod advisory;
mod backend;
mod commits;
mod engine;
mod error;
mod hosts;
mod metadata_index;
mod open;
mod options;
mod pooler;
mod queue;
mod read;
mod read_only;
mod replica;
mod row_security;
mod rows;
mod search;
mod servers;
mod transaction;
mod warnings;
mod writer;

pub use self::{
    backend::PostgresBackend, open::OpenError, options::PostgresOptions, read_only::PostgresReader,
};

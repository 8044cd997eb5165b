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
//! # What it promises
//! - An answered write was committed with `synchronous_commit` on. Writes that wait at the same time share a transaction, and so the
//!   way to the server and the write to its disk.
//! - Every outcome is one of three. When the connection is lost after `COMMIT` was sent, the store finds out on another one what
//!   became of the transaction before it answers; what it cannot find out it calls unknown.
//! - With synchronous standbys, an answered write is on them. A wait for them that somebody cancels is no success: the store waits
//!   anew.
//! - Several hosts may be named. The one that takes writes is found, and found again after a failover.
//! - Any number of processes write to one store. Those that write to one thread wait for each other; the order of its messages is
//!   that of the commits, and so are the positions of all changes.
//! - Content, metadata and ids come back byte for byte.
//! - Who did what is taken down in the commit of each write, as one chain over all processes, where a pipeline has the layer `audit`.
//! - Words in final messages are found by an index that is kept on request ([`PostgresOptions::search`]), behind the commits, by
//!   one process at a time for all.
//! - The store is copied, followed and made to follow, from and to every other backend, by whoever may write to it.
//!
//! # What it asks of the host
//! PostgreSQL 15 or newer, a database in UTF8, and a role that may create a schema in it, once. The tables stand in the schema
//! `throughline`, of which a database has one.
//!
//! # What it does not do
//! - A primary that was replaced and comes back is recognized by whoever has seen the new one, or can reach it. Who has not, and
//!   cannot, takes it for the primary: keep it fenced.
//! - What is damaged is noticed where it cannot be decoded. Checksums of pages are the server's (`initdb --data-checksums`).

mod backend;
mod commits;
mod engine;
mod error;
mod hosts;
mod open;
mod options;
mod pooler;
mod queue;
mod read;
mod replica;
mod row_security;
mod rows;
mod search;
mod servers;
mod transaction;
mod warnings;
mod writer;

pub use self::{backend::PostgresBackend, open::OpenError, options::PostgresOptions};

//! Layers that panic and hang, over a SQLite store: other calls are not affected, and no acknowledged message is lost.

mod hangs;
mod panics;
mod store;

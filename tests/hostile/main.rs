//! Layers that panic and hang, over the SQLite store: the pipeline lives, nothing acknowledged is lost, nobody else notices.

mod hangs;
mod panics;
mod store;

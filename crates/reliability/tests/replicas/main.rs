//! REL-40: a reply over HTTP survives the end of its servers and of its connections.
#![cfg(unix)]

mod processes;
mod reader;
mod reply;
mod request;
mod writer;

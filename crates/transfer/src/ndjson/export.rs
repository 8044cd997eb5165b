//! Writes the native format.

use throughline_core::{Message, messages::Origin, threads::ThreadSummary};

use super::{
    Ndjson,
    line::{self, Header, ThreadLine},
};
use crate::{FindingKind, export_file::Writer};

/// The lines of an export.
pub(super) struct NdjsonWriter;

impl Writer for NdjsonWriter {
    fn head(&mut self) -> String {
        let header = Header { throughline: line::NAME.to_owned(), version: Ndjson::VERSION };
        serde_json::to_string(&header).expect("a header serializes") + "\n"
    }

    fn thread(&mut self, thread: &ThreadSummary) -> String {
        ThreadLine::of(thread).to_line() + "\n"
    }

    fn message(&mut self, message: &Message, aliases: &[Origin]) -> Result<String, FindingKind> {
        Ok(line::message_line(message, aliases) + "\n")
    }

    fn end(&mut self) -> String {
        String::new()
    }
}

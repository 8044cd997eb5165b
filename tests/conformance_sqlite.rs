//! The checks of the conformance kit against the backend on SQLite.

use std::process::ExitCode;

use throughline::{BoxError, IndexedMetadata, backend::search::Tokenizer, sqlite::SqliteBackend};
use throughline_conformance::{Fixture, Profile, StoreLocation};

struct Sqlite;

impl Fixture for Sqlite {
    type Backend = SqliteBackend;

    fn profile(&self) -> Profile {
        Profile::new("sqlite")
    }

    async fn open(&self, location: &StoreLocation) -> Result<SqliteBackend, BoxError> {
        // A content limit that the checks can reach, the full-text index, and threads whose messages are in many segments.
        let options = SqliteBackend::builder().max_content_bytes(1 << 20).segment_positions(3);
        let options = options.search(true).tokenizer(Tokenizer::Cjk);
        let options = options.index_metadata(IndexedMetadata::new(["kind", "orderId"])?);
        Ok(options.open(location.directory().join("store.db")).await?)
    }
}

fn main() -> ExitCode {
    throughline_conformance::main(Sqlite)
}

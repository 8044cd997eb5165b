//! The checks of the conformance kit against the backend on SQLite that keeps nearly every content in a file of its own.

use std::process::ExitCode;

use throughline::{BoxError, backend::search::Tokenizer, sqlite::SqliteBackend};
use throughline_conformance::{Fixture, Profile, StoreLocation};

struct SqliteWithBlobs;

impl Fixture for SqliteWithBlobs {
    type Backend = SqliteBackend;

    fn profile(&self) -> Profile {
        Profile::new("sqlite-blobs")
    }

    async fn open(&self, location: &StoreLocation) -> Result<SqliteBackend, BoxError> {
        // The same options as without blobs, and the least threshold.
        let options =
            SqliteBackend::builder().max_content_bytes(1 << 20).segment_positions(3).blobs_above(64);
        let options = options.search(true).tokenizer(Tokenizer::Cjk);
        Ok(options.open(location.directory().join("store.db")).await?)
    }
}

fn main() -> ExitCode {
    throughline_conformance::main(SqliteWithBlobs)
}

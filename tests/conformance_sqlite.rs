//! The checks of the conformance kit against the backend on SQLite.

use std::process::ExitCode;

use throughline::{BoxError, backend::search::Tokenizer, sqlite::SqliteBackend};
use throughline_conformance::{Fixture, Place, Profile};

struct Sqlite;

impl Fixture for Sqlite {
    type Backend = SqliteBackend;

    fn profile(&self) -> Profile {
        Profile::new("sqlite")
    }

    async fn open(&self, place: &Place) -> Result<SqliteBackend, BoxError> {
        // A limit that the checks can reach, a full-text index, and threads whose messages lie in many segments.
        let options = SqliteBackend::builder().max_content_bytes(1 << 20).segment_positions(3);
        let options = options.search(true).tokenizer(Tokenizer::Cjk);
        Ok(options.open(place.directory().join("store.db")).await?)
    }
}

fn main() -> ExitCode {
    throughline_conformance::main(Sqlite)
}

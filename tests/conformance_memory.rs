//! The checks of the conformance kit against the backend in memory.

use std::process::ExitCode;

use throughline::{BoxError, IndexedMetadata, backend::search::Tokenizer, memory::MemoryBackend};
use throughline_conformance::{Fixture, Profile, StoreLocation};

struct Memory;

impl Fixture for Memory {
    type Backend = MemoryBackend;

    fn profile(&self) -> Profile {
        Profile::new("memory")
    }

    async fn open(&self, _location: &StoreLocation) -> Result<MemoryBackend, BoxError> {
        let indexed = IndexedMetadata::new(["kind", "orderId"])?;
        Ok(MemoryBackend::new().with_tokenizer(Tokenizer::Cjk).with_indexed_metadata(indexed))
    }
}

fn main() -> ExitCode {
    throughline_conformance::main(Memory)
}

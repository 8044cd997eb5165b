//! The indexes that a command declares when it opens the store to write.

use clap::Args;
use throughline::IndexedMetadata;

use crate::Failure;

/// The indexes of the store, in addition to those that it has.
#[derive(Debug, Args)]
pub(crate) struct Indexes {
    /// Keeps a full-text index, for `search`
    #[arg(long)]
    pub(crate) search: bool,
    /// Indexes this metadata field of messages, for `find`; may be repeated
    #[arg(long, value_name = "NAME", value_parser = name)]
    index_metadata: Vec<String>,
}

impl Indexes {
    /// The metadata fields to index.
    pub(crate) fn fields(&self) -> Result<IndexedMetadata, Failure> {
        IndexedMetadata::new(self.index_metadata.iter().map(String::as_str))
            .map_err(|error| Failure::usage(error.to_string()))
    }
}

fn name(text: &str) -> Result<String, String> {
    IndexedMetadata::new([text]).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use throughline::{Persistence, memory::MemoryBackend};

    use super::*;
    use crate::{Exit, Session, Stack, output::Output};

    fn indexes(names: &[&str]) -> Indexes {
        Indexes { search: false, index_metadata: names.iter().map(|&name| name.to_owned()).collect() }
    }

    #[test]
    fn a_name_is_checked_as_the_library_checks_it() {
        assert_eq!(name("orderId"), Ok("orderId".to_owned()));
        let reserved = name("throughline.x").unwrap_err();
        assert!(reserved.starts_with("the metadata field \"throughline.x\" cannot be indexed"), "{reserved}");
        assert_eq!(indexes(&["b", "a", "b"]).fields().unwrap(), IndexedMetadata::new(["a", "b"]).unwrap());
    }

    #[tokio::test]
    async fn a_host_with_its_own_pipeline_declares_its_own_fields() {
        let open = |_| async { Persistence::builder().backend(MemoryBackend::new()).build() };
        let tenant = "default".parse().unwrap();
        let mut session = Session::new(Stack::new().opened_by(open), None, tenant, Output::new(false));
        let Err(Failure::Reported(report)) = session.open_or_create(&indexes(&["orderId"]), None).await
        else {
            panic!("the field is ignored");
        };
        assert_eq!(report.exit, Exit::Usage);
        assert_eq!(report.text, "this host opens its own pipeline, and declares the metadata to index");
        session.open_or_create(&indexes(&[]), None).await.unwrap();
        session.close().await.unwrap();
    }
}

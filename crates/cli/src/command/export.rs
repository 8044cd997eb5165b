//! `export`: the conversations of a tenant as files.

use std::path::PathBuf;

use super::{import::OfSource, sources::Exported};
use crate::{Access, Outcome, Session};
use clap::Args;

/// Exports the listed threads of the tenant to files
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The format
    #[arg(value_enum)]
    format: Exported,
    /// The file or folder. It is missing or empty, or an earlier export, which is replaced
    path: PathBuf,
}

impl Export {
    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        let db = session.open(Access::Read).await?;
        let progress = super::progress::spinner("exporting");
        let report = self.format.export(&self.path, &db).await?;
        progress.finish_and_clear();
        let exported = OfSource::of(&self.path, self.format.name(), &report);
        let output = &mut session.output;
        if output.is_json() {
            output.json("export", &exported)?;
        } else {
            exported.write("exported to", output)?;
        }
        Ok(exported.exit())
    }
}

//! The files that processes leave for each other, and the report that merges them.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{Column, Entry, Report};

/// The variable that names the directory for fragments.
const DIRECTORY: &str = "THROUGHLINE_CONFORMANCE_REPORT";

/// The directory of the fragments, if the environment names one.
#[derive(Debug, Clone)]
pub(crate) struct Fragments(Option<PathBuf>);

impl Fragments {
    pub(crate) fn from_environment() -> Self {
        Self(env::var_os(DIRECTORY).map(PathBuf::from))
    }

    pub(crate) fn column(&self, column: &Column) -> io::Result<()> {
        self.write(&format!("{}.column.json", column.backend), column)
    }

    pub(crate) fn entry(&self, entry: &Entry) -> io::Result<()> {
        self.write(&format!("{}.{}.entry.json", entry.backend, entry.check), entry)
    }

    /// Writes a temporary file and renames it: several processes write the same column.
    fn write(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let Some(directory) = &self.0 else { return Ok(()) };
        fs::create_dir_all(directory)?;
        let sibling = directory.join(format!("{name}.{}", std::process::id()));
        fs::write(&sibling, serde_json::to_vec(value)?)?;
        fs::rename(sibling, directory.join(name))
    }
}

impl Report {
    /// Merges the files that many processes left in a directory.
    ///
    /// # Errors
    /// Returns an error if the directory cannot be read, or if a file in it is not a fragment.
    pub fn from_directory(directory: impl AsRef<Path>) -> io::Result<Self> {
        let mut report = Self::default();
        for file in fs::read_dir(directory)? {
            let path = file?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(".column.json") {
                report.columns.push(serde_json::from_slice(&fs::read(&path)?)?);
            } else if name.ends_with(".entry.json") {
                report.entries.push(serde_json::from_slice(&fs::read(&path)?)?);
            }
        }
        report.sort();
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use throughline_core::{Capabilities, Durability};

    use super::*;
    use crate::{Profile, report::Outcome};

    #[test]
    fn fragments_of_several_processes_merge() {
        let directory = tempfile::tempdir().unwrap();
        let fragments = Fragments(Some(directory.path().join("deep")));
        let check = crate::checks::all()[0];
        for name in ["b", "a"] {
            let column = Column::of(&Profile::new(name), &Capabilities::full(Durability::Volatile));
            fragments.column(&column).unwrap();
            fragments.column(&column).unwrap();
            fragments.entry(&Entry::of(name, check, Outcome::Pass, None)).unwrap();
        }
        let report = Report::from_directory(directory.path().join("deep")).unwrap();
        let names: Vec<_> = report.columns.iter().map(|column| column.backend.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(report.entries.len(), 2);
        assert!(report.to_markdown().contains(&format!("| `{check}` | {} | pass | pass |", check.level)));
    }
}

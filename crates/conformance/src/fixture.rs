use std::{
    fmt,
    future::{Future, ready},
    path::{Path, PathBuf},
};

use throughline_core::{Backend, BoxError, MessageId};

use crate::Profile;

/// How the kit comes to a backend: the one thing that its author writes.
///
/// See the [crate](crate) for a whole program.
pub trait Fixture: Send + Sync + 'static {
    /// The backend.
    type Backend: Backend;

    /// Its name in the report, and what is known not to work.
    fn profile(&self) -> Profile;

    /// Opens the store at `location`, or opens it again: every check has a location of its own. A check of durability
    /// opens it several times, also from another process.
    fn open(&self, location: &StoreLocation) -> impl Future<Output = Result<Self::Backend, BoxError>> + Send;

    /// Removes the store that a check left at `location`. The kit removes its directory.
    fn clean(&self, location: &StoreLocation) -> impl Future<Output = ()> + Send {
        let _ = location;
        ready(())
    }
}

/// Where a store is: a directory for one that keeps files, a name for one that keeps them elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreLocation {
    directory: PathBuf,
    name: String,
}

impl StoreLocation {
    /// A new, unused location in this directory.
    pub(crate) fn fresh(directory: impl Into<PathBuf>) -> Self {
        let name = format!("c{}", MessageId::mint().as_str().replace('-', ""));
        Self { directory: directory.into(), name }
    }

    /// The location that another process has created.
    pub(crate) const fn known(directory: PathBuf, name: String) -> Self {
        Self { directory, name }
    }

    /// The directory of this location, which exists.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A unique name for a schema or a key prefix: a letter, then up to 32 letters and digits, all ASCII
    /// and lower-case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreLocation({})", self.name)
    }
}

//! The stack of a host, over which the commands run.

use std::{fmt, future::Future, pin::Pin};

use throughline::{Persistence, Result, pipeline::LayerList};

/// The use that a command makes of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It only reads. The backend accepts no write, so leave out layers that need one which does, such as `audit`.
    Read,
    /// It also writes.
    Write,
}

type Layers = Box<dyn Fn(Access) -> LayerList + Send + Sync>;
type Opening = Pin<Box<dyn Future<Output = Result<Persistence>> + Send>>;
type Open = Box<dyn Fn(Access) -> Opening + Send + Sync>;

/// The stack of a host: its layers over the store that `--store` names, or a pipeline that the host opens itself.
///
/// A host whose content is encrypted gives its layers, so that `show` and `search` read the text:
///
/// ```no_run
/// use throughline::{layers::limits::LimitsLayer, pipeline::LayerList};
/// use throughline_cli::Stack;
///
/// fn main() -> std::process::ExitCode {
///     // Here also `EncryptLayer`, with the keys of the host.
///     throughline_cli::run(Stack::new().layers(|_| LayerList::new().with(LimitsLayer::new())))
/// }
/// ```
pub struct Stack {
    layers: Layers,
    open: Option<Open>,
}

impl Stack {
    /// Returns a stack without layers.
    #[must_use]
    pub fn new() -> Self {
        Self { layers: Box::new(|_| LayerList::new()), open: None }
    }

    /// Sets the layers over the store.
    #[must_use]
    pub fn layers(mut self, layers: impl Fn(Access) -> LayerList + Send + Sync + 'static) -> Self {
        self.layers = Box::new(layers);
        self
    }

    /// Opens the pipeline of the host in place of the one over `--store`: for a redirect to a second store, or a backend of its
    /// own. The commands that read the file itself, such as `verify`, still use `--store`, without the pipeline.
    ///
    /// ```no_run
    /// use throughline::{Persistence, sqlite::{SqliteBackend, SqliteReader}};
    /// use throughline_cli::{Access, Stack};
    ///
    /// fn main() -> std::process::ExitCode {
    ///     throughline_cli::run(Stack::new().opened_by(|access| async move {
    ///         let builder = Persistence::builder();
    ///         match access {
    ///             Access::Read => builder.backend(SqliteReader::open("chat.db").await?).build(),
    ///             Access::Write => builder.backend(SqliteBackend::open("chat.db").await?).build(),
    ///         }
    ///     }))
    /// }
    /// ```
    #[must_use]
    pub fn opened_by<F>(mut self, open: impl Fn(Access) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Persistence>> + Send + 'static,
    {
        self.open = Some(Box::new(move |access| Box::pin(open(access))));
        self
    }

    pub(crate) fn layers_for(&self, access: Access) -> LayerList {
        (self.layers)(access)
    }

    /// Opens the pipeline of the host, if it opens its own.
    pub(crate) fn open(&self, access: Access) -> Option<Opening> {
        self.open.as_ref().map(|open| open(access))
    }
}

impl Default for Stack {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").field("opens_its_own", &self.open.is_some()).finish_non_exhaustive()
    }
}

//! The open stores of the process: one for each file, shared by all its handles.

pub(crate) mod backend;
mod options;

use std::{
    collections::HashMap,
    mem,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use pyo3::prelude::*;
use throughline::{Effect, ErrorKind, PersistError, Persistence, Result, pipeline::LayerList};
use tokio::{runtime::Handle, sync::Mutex as AsyncMutex};

use self::{
    backend::{Backend, Url},
    options::OpenOptions,
};
use crate::{
    answer::Answer,
    completion::{OnCancel, block_on, start},
    error::{invalid, raise},
    json,
    layers::Parts,
    plugin::{self, PluginHost},
    process,
};

/// An open store. Each `open` of the same file counts; the last `close` closes it.
pub(crate) struct Shared {
    db: Persistence,
    backend: Backend,
    parts: Parts,
    plugins: Option<Arc<PluginHost>>,
    is_heavy: bool,
    runtime: Handle,
    options: OpenOptions,
    opens: Mutex<usize>,
    /// Keeps the entry of the file.
    _entry: Option<FileEntry>,
}

/// The entry of a file among the stores of the process. An `open` holds its lock, and waits there for the end of a store that closes.
type FileEntry = Arc<AsyncMutex<Weak<Shared>>>;

#[derive(Default)]
struct Stores {
    by_file: HashMap<PathBuf, FileEntry>,
    all: Vec<Weak<Shared>>,
}

/// Taken only by attached threads: see [`process`].
static STORES: Mutex<Option<Stores>> = Mutex::new(None);

fn stores() -> MutexGuard<'static, Option<Stores>> {
    process::generation();
    STORES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leaves the stores of the parent to it, in a child that was forked.
pub(crate) fn forget_stores() {
    mem::forget(stores().take());
}

/// Returns the stores that are open.
pub(crate) fn open_stores(_attached: Python<'_>) -> Vec<Arc<Shared>> {
    stores().iter().flat_map(|stores| stores.all.iter()).filter_map(Weak::upgrade).collect()
}

impl Shared {
    pub(crate) const fn db(&self) -> &Persistence {
        &self.db
    }

    pub(crate) const fn backend(&self) -> &Backend {
        &self.backend
    }

    pub(crate) const fn parts(&self) -> &Parts {
        &self.parts
    }

    pub(crate) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Whether calls run on the threads of the runtime, because their polls compute or wait for the interpreter.
    pub(crate) const fn is_heavy(&self) -> bool {
        self.is_heavy
    }

    /// Refuses a call if the loop that runs the plugins is closed.
    pub(crate) fn check_plugins(&self, py: Python<'_>) -> PyResult<()> {
        match &self.plugins {
            Some(host) => host.check(py),
            None => Ok(()),
        }
    }

    /// Counts one more `open`. Returns false if the store is closing.
    fn enter(&self) -> bool {
        let mut opens = self.opens.lock().unwrap_or_else(PoisonError::into_inner);
        if *opens == 0 {
            return false;
        }
        *opens += 1;
        true
    }

    /// Counts one `close`. Returns whether it was the last one.
    fn leave(&self) -> bool {
        let mut opens = self.opens.lock().unwrap_or_else(PoisonError::into_inner);
        *opens = opens.saturating_sub(1);
        *opens == 0
    }

    async fn close(self: Arc<Self>, limit: Option<Duration>) -> Result<()> {
        match limit {
            Some(limit) => self.db.close_within(limit).await,
            None => self.db.close().await,
        }
    }
}

/// One `open` of a store. All handles that come from it share it.
pub(crate) struct Opened {
    shared: Arc<Shared>,
    is_closed: AtomicBool,
}

impl Opened {
    fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self { shared, is_closed: AtomicBool::new(false) })
    }

    /// Returns the store. Refuses it after `close`.
    pub(crate) fn get(&self) -> Result<&Arc<Shared>> {
        if self.is_closed.load(Ordering::Acquire) {
            let closed = PersistError::new(ErrorKind::Unavailable, "the store was closed by this handle");
            return Err(closed.with_effect(Effect::NotApplied));
        }
        Ok(&self.shared)
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Ends this `open`. A repeated call waits for nothing.
    pub(crate) async fn close(self: Arc<Self>, limit: Option<Duration>) -> Result<Answer> {
        if !self.is_closed.swap(true, Ordering::AcqRel) && self.shared.leave() {
            Arc::clone(&self.shared).close(limit).await?;
        }
        Ok(Answer::Nothing)
    }

    /// Ends this `open` without a caller that waits.
    pub(crate) fn close_in_background(&self) {
        if !self.is_closed.swap(true, Ordering::AcqRel) && self.shared.leave() {
            let shared = Arc::clone(&self.shared);
            drop(self.shared.runtime.spawn(shared.close(None)));
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // A handle that was collected without `close`.
        self.close_in_background();
    }
}

/// Opens a store, or another handle to an open one.
#[pyfunction]
#[pyo3(signature = (url, options, plugins, blocking))]
pub(crate) fn open(
    py: Python<'_>,
    url: &str,
    options: &Bound<'_, PyAny>,
    plugins: Vec<(String, String, Py<PyAny>)>,
    blocking: bool,
) -> PyResult<Py<PyAny>> {
    process::check(py, process::generation())?;
    let options: OpenOptions = json::wire(py, json::text_of(options)?, "the options")?;
    let url = Url::parse(url).map_err(|error| raise(py, &error))?;
    let tenant = options.tenant.clone().unwrap_or_default();
    let runtime = process::runtime(py)?;
    let host = if plugins.is_empty() { None } else { Some(PluginHost::here(py, blocking)?) };
    let layers = plugin::layers(plugins, host.as_ref()).map_err(|error| raise(py, &error))?;
    let opening = Opening { url, options, layers, host, runtime: runtime.clone() };
    let work = opening.start(py)?;
    // The backend opens files: on a thread of the runtime.
    let work = Box::pin(async move {
        let opened = match runtime.spawn(work).await {
            Ok(opened) => opened?,
            Err(_) => return Err(PersistError::new(ErrorKind::Panicked, "the store could not be opened")),
        };
        Ok(Answer::Engine { opened, tenant, is_blocking: blocking })
    });
    if blocking {
        let handle = process::runtime(py)?;
        let answer = block_on(py, &handle, false, work)?.map_err(|error| raise(py, &error))?;
        return answer.into_python(py);
    }
    start(py, OnCancel::Leaves, work)
}

struct Opening {
    url: Url,
    options: OpenOptions,
    layers: Vec<plugin::PythonLayer>,
    host: Option<Arc<PluginHost>>,
    runtime: Handle,
}

impl Opening {
    /// Finds the entry of the file, and returns the work that opens it.
    fn start(
        self,
        _attached: Python<'_>,
    ) -> PyResult<impl Future<Output = Result<Arc<Opened>>> + Send + use<>> {
        let entry = self.url.file().map(|file| {
            let mut stores = stores();
            let by_file = &mut stores.get_or_insert_default().by_file;
            // An entry without another holder has no store.
            by_file.retain(|_, entry| Arc::strong_count(entry) > 1);
            Arc::clone(by_file.entry(file.to_owned()).or_default())
        });
        Ok(async move {
            let Some(entry) = entry else {
                return Ok(Opened::new(self.build(None).await?));
            };
            let mut held = entry.lock().await;
            if let Some(shared) = held.upgrade() {
                if shared.enter() {
                    // An error drops this `open`, which counts as a `close`.
                    let opened = Opened::new(shared);
                    return self.check_same(&opened.shared).map(|()| opened);
                }
                // It is closing. Its own caller has the error, if there is one.
                drop(shared.db.close().await);
            }
            let shared = self.build(Some(Arc::clone(&entry))).await?;
            *held = Arc::downgrade(&shared);
            Ok(Opened::new(shared))
        })
    }

    fn check_same(&self, shared: &Shared) -> Result<()> {
        let refused = |why: &str| {
            let detail = format!(
                "the store is open in this process already, {why}: share that handle, or close it first"
            );
            Err(PersistError::new(ErrorKind::Conflict, detail).with_effect(Effect::NotApplied))
        };
        if self.host.is_some() || shared.plugins.is_some() {
            return refused("and it has, or this call has, plugins");
        }
        if self.options.is_same_store(&shared.options) { Ok(()) } else { refused("with other options") }
    }

    async fn build(self, entry: Option<FileEntry>) -> Result<Arc<Shared>> {
        let Self { url, options, layers, host, runtime } = self;
        let mut parts = Parts::default();
        let mut list = LayerList::new();
        let mut is_heavy = url.is_remote() || host.is_some();
        for layer in options.layers.clone() {
            is_heavy |= layer.is_heavy();
            list = layer.add_to(list, &mut parts)?;
        }
        for layer in layers {
            list = layer.add_to(list);
        }
        let (db, backend) = url.open(&options, list).await?;
        let opens = Mutex::new(1);
        let shared = Arc::new(Shared {
            db,
            backend,
            parts,
            plugins: host,
            is_heavy,
            runtime,
            options,
            opens,
            _entry: entry,
        });
        let weak = Arc::downgrade(&shared);
        // The registry is locked by attached threads only.
        let is_kept = Python::try_attach(|_| {
            let mut stores = stores();
            let all = &mut stores.get_or_insert_default().all;
            all.retain(|store| store.strong_count() > 0);
            all.push(weak);
        });
        match is_kept {
            Some(()) => Ok(shared),
            None => Err(PersistError::new(ErrorKind::Unavailable, "the interpreter is ending")
                .with_effect(Effect::NotApplied)),
        }
    }
}

/// Returns the path by which the process knows a file, which need not exist.
fn canonical(path: &Path) -> Result<PathBuf> {
    if let Ok(found) = path.canonicalize() {
        return Ok(found);
    }
    let name =
        path.file_name().ok_or_else(|| invalid(format!("`{}` is no path of a file", path.display())))?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // A missing directory is an error of the backend, which names it.
    Ok(parent.canonicalize().map_or_else(|_| path.to_owned(), |parent| parent.join(name)))
}

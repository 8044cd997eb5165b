//! Bearer tokens in a file.

mod contents;
mod error;
mod line;
mod narrowing;

use std::{
    fmt,
    future::Future,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::http::request::Parts;

pub use self::error::{BadLine, TokenFileError};
use self::{
    contents::{Contents, Stamp, stamp},
    narrowing::Narrowing,
};
use super::{Authenticate, Caller, Refusal, bearer::token_of};

/// Bearer tokens of a file, which keeps their hashes only.
///
/// The file has one JSON object on each line. Empty lines, and lines that begin with `#`, count for nothing.
///
/// ```text
/// # the hash is that of `BearerTokens::hash`, which the program `b3sum` computes too
/// {"name":"alice-laptop","hash":"9f2c…","tenant":"alice"}
/// {"name":"bot","hash":"51d0…","tenant":"alice","threadsUnder":"telegram:","verbs":["read","append"],"expires":1798761600}
/// ```
///
/// | member | meaning |
/// |---|---|
/// | `name` | the name of the token, for errors and as the actor |
/// | `hash` | its hash, as 64 hexadecimal digits |
/// | `tenant` | the tenant that it acts for |
/// | `actor` | the actor, if not the name |
/// | `thread`, `threadsUnder` | the only thread, or the prefix of the ids of its threads |
/// | `verbs` | its [verbs](throughline_core::operations::Verb): `read`, `append`, `edit`, `delete`, `manage`, `clear`, `import`, `sessions`, `consume`, `audit`, `replicate` |
/// | `expires` | the end, in seconds since 1970 |
/// | `operator` | whether it may read `/metrics` |
///
/// The layer `scope` enforces threads and verbs: [`open_scoped`](Self::open_scoped).
///
/// # Reloading
///
/// At most once in a second, a request looks whether the file has changed, and then reads it. A removed or changed token is
/// refused from then on. An open stream authenticates its caller again once in each heartbeat (`Options::heartbeat`), and ends if
/// its token was removed or has expired; a capability of the layer `scope` is revoked at once. A bad line is refused and logged, and the other
/// lines apply. While the file as a whole cannot be used, every request is refused as 503. Replace the file by renaming another
/// one, so that no request reads half of it.
///
/// # Permissions
///
/// On Unix, the file must not be writable for its group, and neither readable nor writable for others.
pub struct TokenFile {
    path: PathBuf,
    narrowing: Narrowing,
    interval: Duration,
    state: Mutex<State>,
}

struct State {
    contents: Contents,
    stamp: Option<Stamp>,
    failure: Option<TokenFileError>,
    checked: Instant,
}

impl TokenFile {
    /// Reads a file whose tokens are not restricted to threads or verbs.
    ///
    /// # Errors
    /// [`TokenFileError`] if the file or one of its lines is refused.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, TokenFileError> {
        Self::with(path.into(), Narrowing::default())
    }

    /// Reads a file. Each token gets a capability of this authority: that of the layer `scope` of the pipeline.
    ///
    /// # Errors
    /// [`TokenFileError`] if the file or one of its lines is refused.
    #[cfg(feature = "scope")]
    pub fn open_scoped(
        path: impl Into<PathBuf>,
        authority: throughline_layers::scope::Authority,
    ) -> Result<Self, TokenFileError> {
        Self::with(path.into(), Narrowing::of(authority))
    }

    fn with(path: PathBuf, narrowing: Narrowing) -> Result<Self, TokenFileError> {
        let state =
            State { contents: Contents::default(), stamp: None, failure: None, checked: Instant::now() };
        let file = Self { path, narrowing, interval: Duration::from_secs(1), state: Mutex::new(state) };
        file.reload()?;
        Ok(file)
    }

    /// Sets how often a request looks whether the file has changed. The default is 1 second.
    #[must_use]
    pub const fn check_every(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Reads the file now, and returns the number of its tokens. The good lines apply also if there is a bad one.
    ///
    /// # Errors
    /// [`TokenFileError`] if the file or one of its lines is refused.
    pub fn reload(&self) -> Result<usize, TokenFileError> {
        let mut state = self.state();
        state.stamp = None;
        self.refresh(&mut state)?;
        Ok(state.contents.len())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file if it has changed.
    fn refresh(&self, state: &mut State) -> Result<(), TokenFileError> {
        state.checked = Instant::now();
        let read = stamp(&self.path).and_then(|stamp| {
            if state.stamp.as_ref() == Some(&stamp) {
                return Ok(Vec::new());
            }
            let (contents, bad_lines) = Contents::read(&self.path, &self.narrowing, &mut state.contents)?;
            (state.contents, state.stamp) = (contents, Some(stamp));
            Ok(bad_lines)
        });
        match read {
            Ok(bad_lines) if bad_lines.is_empty() => {
                state.failure = None;
                Ok(())
            }
            Ok(bad_lines) => {
                state.failure = None;
                Err(TokenFileError::lines(&self.path, bad_lines))
            }
            Err(error) => {
                state.stamp = None;
                state.failure = Some(error.clone());
                Err(error)
            }
        }
    }

    fn caller(&self, parts: &Parts) -> Result<Caller, Refusal> {
        let mut state = self.state();
        if state.checked.elapsed() >= self.interval {
            let failed_before = state.failure.clone();
            if let Err(error) = self.refresh(&mut state)
                && failed_before.as_ref() != Some(&error)
            {
                tracing::error!(%error, "the token file is refused, or a part of it");
            }
        }
        if state.failure.is_some() {
            return Err(Refusal::unavailable("the tokens of the server cannot be read"));
        }
        let caller = token_of(parts).and_then(|token| state.contents.caller_of(token)).cloned();
        caller.ok_or_else(|| Refusal::unauthenticated("a known bearer token is required"))
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Shows the path and the number of tokens only.
impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenFile({}, {} tokens)", self.path.display(), self.state().contents.len())
    }
}

impl Authenticate for TokenFile {
    fn authenticate(&self, parts: &Parts) -> impl Future<Output = Result<Caller, Refusal>> + Send {
        std::future::ready(self.caller(parts))
    }
}

/// Several routers, or the host and a router, can share one file: the host keeps a clone, for [`TokenFile::reload`].
impl Authenticate for std::sync::Arc<TokenFile> {
    fn authenticate(&self, parts: &Parts) -> impl Future<Output = Result<Caller, Refusal>> + Send {
        std::future::ready(self.caller(parts))
    }
}

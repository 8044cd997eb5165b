//! Checks that need another process: the test program starts itself again and passes the task in environment variables.
//!
//! The environment is read before the arguments, so that this works under every runner.

mod process;
mod role;

use std::{env, ffi::OsString, io::Write as _, path::PathBuf, process::ExitCode, sync::Arc};

use throughline_core::{Backend as _, Persistence};

pub(crate) use self::{
    process::Process,
    role::{Role, chunk, long_text, shown_key, written},
};
use crate::{StoreLocation, clock::ManualClock, erased::Subject};

const ROLE: &str = "THROUGHLINE_CONFORMANCE_ROLE";
const BACKEND: &str = "THROUGHLINE_CONFORMANCE_BACKEND";
const DIRECTORY: &str = "THROUGHLINE_CONFORMANCE_DIRECTORY";
const NAME: &str = "THROUGHLINE_CONFORMANCE_NAME";

/// The task of this process, if a check started it.
#[derive(Debug)]
pub(crate) struct Requested {
    role: Role,
    backend: String,
    location: StoreLocation,
}

/// Reads the task from the environment, if there is one.
pub(crate) fn requested() -> Option<Requested> {
    let text = |name| env::var_os(name).and_then(|value: OsString| value.into_string().ok());
    Some(Requested {
        role: Role::parse(&text(ROLE)?)?,
        backend: text(BACKEND)?,
        location: StoreLocation::known(PathBuf::from(env::var_os(DIRECTORY)?), text(NAME)?),
    })
}

impl Requested {
    /// The name of the backend to open: a program can have several.
    pub(crate) fn backend(&self) -> &str {
        &self.backend
    }

    /// Runs the task until it is complete or the process is killed.
    pub(crate) fn play(self, subject: &Arc<dyn Subject>) -> ExitCode {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let played = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
            runtime.block_on(async {
                let backend = subject.open(&self.location).await.map_err(|error| error.to_string())?;
                let key = backend.fingerprint_key();
                let db = Persistence::builder().clock(ManualClock::new()).backend(backend).build();
                self.role.play(db.map_err(|error| error.to_string())?, key).await
            })
        });
        match played {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                drop(writeln!(std::io::stderr(), "{:?} failed: {error}", self.role));
                ExitCode::FAILURE
            }
        }
    }
}

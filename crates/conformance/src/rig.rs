use std::{
    fs,
    sync::{Arc, Mutex, PoisonError},
};

use throughline_core::{Builder, Capabilities, Persistence};

use crate::{
    StoreLocation,
    clock::ManualClock,
    erased::{AnyBackend, Subject},
    tap::{Tap, Tapped},
};

/// The equipment of a check: a backend that can be opened at a location of the check's own, and a clock.
#[derive(Clone)]
pub(crate) struct Rig {
    pub(crate) subject: Arc<dyn Subject>,
    pub(crate) location: StoreLocation,
    pub(crate) clock: ManualClock,
    pub(crate) capabilities: Capabilities,
    /// The seed of the random sequences.
    pub(crate) seed: u64,
    /// Every store location of the check, for the cleanup at its end.
    locations: Arc<Mutex<Vec<StoreLocation>>>,
}

impl Rig {
    pub(crate) fn new(
        subject: Arc<dyn Subject>,
        location: StoreLocation,
        capabilities: Capabilities,
        seed: u64,
    ) -> Self {
        let locations = Arc::new(Mutex::new(vec![location.clone()]));
        Self { subject, location, clock: ManualClock::new(), capabilities, seed, locations }
    }

    /// The same rig at another location, for a check that compares two stores.
    pub(crate) fn sibling(&self, name: &str) -> Self {
        let directory = self.location.directory().join(name);
        fs::create_dir(&directory).expect("a directory");
        let location = StoreLocation::fresh(directory);
        self.locations.lock().unwrap_or_else(PoisonError::into_inner).push(location.clone());
        Self { location, clock: ManualClock::new(), ..self.clone() }
    }

    /// Lets the fixture clean all locations of the check.
    pub(crate) async fn clean(&self) {
        let locations = self.locations.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for location in locations {
            self.subject.clean(&location).await;
        }
    }

    /// Opens the store, or opens it again.
    pub(crate) async fn open(&self) -> AnyBackend {
        match self.subject.open(&self.location).await {
            Ok(backend) => backend,
            Err(error) => panic!("the store did not open: {error}"),
        }
    }

    /// The store, with hooks before and after each call.
    pub(crate) async fn tapped<T: Tap>(&self, tap: &Arc<T>) -> Tapped<T> {
        Tapped::new(self.open().await, tap)
    }

    /// The beginning of a pipeline on the clock of the check.
    pub(crate) fn builder(&self) -> Builder {
        Persistence::builder().clock(self.clock.clone())
    }

    /// A pipeline with the backend alone: no layer repeats or changes its answers.
    pub(crate) async fn db(&self) -> Persistence {
        self.builder().backend(self.open().await).build().expect("an empty stack builds")
    }

    /// Closes the store and opens it again.
    pub(crate) async fn reopen(&self, db: Persistence) -> Persistence {
        db.close().await.expect("the store closes");
        drop(db);
        self.db().await
    }
}

//! The number of open streams and long polls of each caller.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use throughline_core::TenantId;

use crate::{
    auth::Caller,
    problem::{HttpFault, Problem},
};

/// A tenant and its actor.
type ReaderKey = (TenantId, Option<String>);

type Open = Arc<Mutex<HashMap<ReaderKey, usize>>>;

/// The open streams and long polls, counted for each caller.
pub(crate) struct Readers {
    max: usize,
    open: Open,
}

impl Readers {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, open: Open::default() }
    }

    /// Admits one more stream of this caller.
    pub(crate) fn admit(&self, caller: &Caller) -> Result<ReaderPermit, Problem> {
        let key = (caller.tenant().clone(), caller.actor().map(str::to_owned));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&key).copied().unwrap_or_default();
        if count >= self.max {
            let detail = format!("the caller has {count} open streams, and no more are allowed");
            return Err(Problem::http(HttpFault::TooManyStreams, detail).retry_after(1));
        }
        open.insert(key.clone(), count + 1);
        Ok(ReaderPermit { key, open: Arc::clone(&self.open) })
    }
}

/// The permit of one stream. A drop returns it.
pub(crate) struct ReaderPermit {
    key: ReaderKey,
    open: Open,
}

impl Drop for ReaderPermit {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_has_its_own_streams() {
        let readers = Readers::new(1);
        let alice = Caller::new("a".parse().unwrap());
        let alice_on_the_web = alice.clone().with_actor("web");
        let first = readers.admit(&alice).ok();
        assert!(first.is_some());
        assert_eq!(readers.admit(&alice).err().map(|problem| problem.status().as_u16()), Some(429));
        assert!(readers.admit(&alice_on_the_web).is_ok());
        drop(first);
        assert!(readers.admit(&alice).is_ok());
        assert!(readers.open.lock().unwrap().is_empty());
    }
}

//! State that the handles of one pipeline share: one value for each type.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

type Map = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// The values of [`Persistence::shared_state`](crate::Persistence::shared_state).
#[derive(Default)]
pub(crate) struct SharedState(Mutex<Map>);

impl SharedState {
    /// Returns the value of this type. The first call creates it.
    pub(crate) fn get<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        if let Some(value) = self.find() {
            return value;
        }
        // The lock is not held while the code of another crate runs. Of two values that are created at once, the first stays.
        let value: Arc<dyn Any + Send + Sync> = Arc::new(T::default());
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let value = Arc::clone(map.entry(TypeId::of::<T>()).or_insert(value));
        drop(map);
        value.downcast().unwrap_or_default()
    }

    fn find<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let value = Arc::clone(map.get(&TypeId::of::<T>())?);
        drop(map);
        value.downcast().ok()
    }
}

impl fmt::Debug for SharedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write!(f, "SharedState({})", map.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn each_type_has_one_value() {
        let state = SharedState::default();
        state.get::<AtomicU32>().fetch_add(1, Ordering::Relaxed);
        assert_eq!(state.get::<AtomicU32>().load(Ordering::Relaxed), 1);
        assert_eq!(*state.get::<u32>(), 0);
    }

    #[test]
    fn a_default_may_use_the_state() {
        #[derive(Default)]
        struct Outer;
        thread_local!(static STATE: SharedState = SharedState::default());
        #[derive(Debug)]
        struct Inner(u32);
        impl Default for Inner {
            fn default() -> Self {
                STATE.with(SharedState::get::<Outer>);
                Self(7)
            }
        }
        assert_eq!(STATE.with(SharedState::get::<Inner>).0, 7);
    }
}

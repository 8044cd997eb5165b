//! A mutex that each process has for itself.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use throughline_core::backend::OwnerProcess;

/// A mutex that a forked child does not share with its parent. A thread of the parent may hold the lock at the fork,
/// and the child has no such thread to release it. So the child begins with a new, unlocked mutex.
#[derive(Debug)]
pub(crate) struct PerProcess<T: 'static>(OnceLock<Box<Node<T>>>);

/// The value of one process. The next node belongs to a child, in the memory of the child.
#[derive(Debug)]
struct Node<T: 'static> {
    owner: OwnerProcess,
    value: Mutex<T>,
    next: OnceLock<Box<Self>>,
}

/// The initial value in a process.
pub(crate) trait Inherit: Default {
    /// Returns the value for a forked child, from that of its parent, which no code in the child uses otherwise. The
    /// parent's lock may stay held forever.
    fn inherit(parent: &Mutex<Self>) -> Self;
}

impl<T: Inherit> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    pub(crate) fn lock(&'static self) -> MutexGuard<'static, T> {
        self.of_this_process().lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates the value of a forked child, unless it exists.
    pub(crate) fn inherit(&'static self) {
        self.of_this_process();
    }

    fn of_this_process(&'static self) -> &'static Mutex<T> {
        let (mut next, mut parent) = (&self.0, None);
        loop {
            let node = next.get_or_init(|| {
                let value = parent.map_or_else(T::default, T::inherit);
                let value = Mutex::new(value);
                Box::new(Node { owner: OwnerProcess::current(), value, next: OnceLock::new() })
            });
            if node.owner.is_current() {
                return &node.value;
            }
            (next, parent) = (&node.next, Some(&node.value));
        }
    }
}

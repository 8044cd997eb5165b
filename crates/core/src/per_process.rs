//! A mutex that each process has for itself.

use std::{
    process,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

/// A mutex that a forked child does not share with its parent, for a `static`.
///
/// A thread of the parent may hold a lock at the fork, and the child has no such thread to release it. So the child begins with a new,
/// unlocked mutex. Each use costs one system call.
///
/// ```
/// use std::sync::Mutex;
/// use throughline_core::backend::{Inherit, PerProcess};
///
/// #[derive(Default)]
/// struct Opened(u64);
///
/// impl Inherit for Opened {
///     fn inherit(_: &Mutex<Self>) -> Self {
///         Self::default()
///     }
/// }
///
/// static OPENED: PerProcess<Opened> = PerProcess::new();
///
/// OPENED.lock().0 += 1;
/// assert_eq!(OPENED.lock().0, 1);
/// ```
#[derive(Debug)]
pub struct PerProcess<T: 'static>(OnceLock<Box<Node<T>>>);

/// The value of one process. The next node belongs to a child, in the memory of the child.
#[derive(Debug)]
struct Node<T: 'static> {
    owner: u32,
    value: Mutex<T>,
    next: OnceLock<Box<Self>>,
}

/// The initial value in a process: see [`PerProcess`].
pub trait Inherit: Default {
    /// Returns the value for a forked child, from that of its parent, which no code in the child uses otherwise. The
    /// parent's lock may stay held forever.
    fn inherit(parent: &Mutex<Self>) -> Self;
}

impl<T: Inherit> PerProcess<T> {
    /// Returns a value that each process makes at its first use.
    #[must_use]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Locks the value of this process. A panic of another thread that held the lock is ignored.
    pub fn lock(&'static self) -> MutexGuard<'static, T> {
        self.of_this_process().lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates the value of a forked child, unless it exists.
    pub fn inherit(&'static self) {
        self.of_this_process();
    }

    fn of_this_process(&'static self) -> &'static Mutex<T> {
        let (mut next, mut parent) = (&self.0, None);
        loop {
            let node = next.get_or_init(|| {
                let value = parent.map_or_else(T::default, T::inherit);
                let value = Mutex::new(value);
                Box::new(Node { owner: process::id(), value, next: OnceLock::new() })
            });
            if node.owner == process::id() {
                return &node.value;
            }
            (next, parent) = (&node.next, Some(&node.value));
        }
    }
}

impl<T: Inherit> Default for PerProcess<T> {
    fn default() -> Self {
        Self::new()
    }
}

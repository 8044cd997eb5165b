//! A fair queue over tenants: for the writes that wait for the writer, and for the reads that wait for a reader.

use std::{
    collections::{HashMap, VecDeque},
    mem,
};

use throughline_core::TenantId;

/// An item in a fair queue.
pub(crate) trait Queued {
    /// Returns the tenant of the item.
    fn tenant(&self) -> &TenantId;
}

/// A fair queue. It serves the tenants in rotation, and the items of one tenant in arrival order.
#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    /// Items that were put back. They come first, regardless of their tenants.
    returned: VecDeque<T>,
    queues: HashMap<TenantId, VecDeque<T>>,
    /// The tenants that have waiting items, the next one first.
    rotation: VecDeque<TenantId>,
    len: usize,
    /// The buffer of the last queue that became empty, so that a lone tenant needs no new allocation.
    spare: VecDeque<T>,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self {
            returned: VecDeque::new(),
            queues: HashMap::new(),
            rotation: VecDeque::new(),
            len: 0,
            spare: VecDeque::new(),
        }
    }
}

impl<T: Queued> FairQueue<T> {
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, waiting: T) {
        self.len += 1;
        if let Some(queue) = self.queues.get_mut(waiting.tenant()) {
            return queue.push_back(waiting);
        }
        let tenant = waiting.tenant().clone();
        self.rotation.push_back(tenant.clone());
        let mut queue = mem::take(&mut self.spare);
        queue.push_back(waiting);
        self.queues.insert(tenant, queue);
    }

    /// Puts an item back in front of all others.
    pub(crate) fn push_front(&mut self, waiting: T) {
        self.len += 1;
        self.returned.push_front(waiting);
    }

    /// Takes the next item.
    #[cfg(test)]
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.pop_if(|_| true)
    }

    /// Takes the next item if `fits` accepts it.
    pub(crate) fn pop_if(&mut self, fits: impl FnOnce(&T) -> bool) -> Option<T> {
        if let Some(first) = self.returned.front() {
            if !fits(first) {
                return None;
            }
            self.len -= 1;
            return self.returned.pop_front();
        }
        let tenant = self.rotation.front()?;
        if !self.queues.get(tenant)?.front().is_some_and(fits) {
            return None;
        }
        self.take(0)
    }

    /// Takes the next item of the tenant with the smallest count below `limit`. Among tenants with equal counts the
    /// rotation decides. Ignores items that were put back.
    pub(crate) fn pop_least(&mut self, limit: usize, count: impl Fn(&TenantId) -> usize) -> Option<T> {
        let mut least: Option<(usize, usize)> = None;
        for (at, tenant) in self.rotation.iter().enumerate() {
            let count = count(tenant);
            if count < limit && least.is_none_or(|(_, least)| count < least) {
                least = Some((at, count));
            }
            if count == 0 {
                break;
            }
        }
        self.take(least?.0)
    }

    /// Takes the first item of the tenant at this index of the rotation, and moves the tenant to its end.
    fn take(&mut self, at: usize) -> Option<T> {
        let tenant = self.rotation.remove(at)?;
        let queue = self.queues.get_mut(&tenant)?;
        let waiting = queue.pop_front();
        self.len -= 1;
        if queue.is_empty() {
            self.spare = self.queues.remove(&tenant).unwrap_or_default();
        } else {
            self.rotation.push_back(tenant);
        }
        waiting
    }

    /// Returns how many items of a tenant wait.
    pub(crate) fn waiting_of(&self, tenant: &TenantId) -> usize {
        self.queues.get(tenant).map_or(0, VecDeque::len)
    }

    /// Takes all items that `is_over` selects.
    pub(crate) fn take_if(&mut self, mut is_over: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for queue in self.queues.values_mut().chain([&mut self.returned]) {
            if queue.iter().any(&mut is_over) {
                let (over, left) = queue.drain(..).partition::<VecDeque<_>, _>(&mut is_over);
                taken.extend(over);
                *queue = left;
            }
        }
        self.queues.retain(|_, queue| !queue.is_empty());
        self.rotation.retain(|tenant| self.queues.contains_key(tenant));
        self.len -= taken.len();
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use throughline_core::{NewMessage, Timestamp, messages::Add};

    use super::*;
    use crate::queue::{Pending, Times, Work, Write};
    use throughline_core::backend::QueueCapacity;

    async fn write(tenant: &str, text: &str) -> Pending {
        let tenant: TenantId = tenant.parse().unwrap();
        let timeout_at = Instant::now();
        let permit = QueueCapacity::new(1, 1).enter(&tenant, 1, timeout_at).await.unwrap();
        let message = NewMessage::user(text).with_id(text.parse().unwrap());
        let args = Add::new("t".parse().unwrap(), message).into();
        let write = Write {
            tenant,
            args,
            idempotency: None,
            audit: None,
            now: Timestamp::from_micros(0),
            blobs: Vec::new(),
        };
        Pending::new(write, Times { deadline: None, timeout_at }, 1, permit).0
    }

    fn text(pending: &Pending) -> String {
        let Work::Write(write) = &pending.work else { unreachable!("no call was rejected") };
        match &write.args {
            throughline_core::PersistArgs::Add(add) => add.id.to_string(),
            other => panic!("not an addition: {other:?}"),
        }
    }

    fn pop_all(queues: &mut FairQueue<Pending>) -> Vec<String> {
        std::iter::from_fn(|| queues.pop()).map(|pending| text(&pending)).collect()
    }

    async fn queues() -> FairQueue<Pending> {
        let mut queues = FairQueue::default();
        for (tenant, name) in [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("b", "b2"), ("c", "c1")] {
            queues.push(write(tenant, name).await);
        }
        queues
    }

    #[tokio::test]
    async fn tenants_take_turns_and_each_keeps_its_order() {
        let mut queues = queues().await;
        assert_eq!(queues.len(), 6);
        assert!(queues.pop_if(|first| text(first) != "a1").is_none());
        assert_eq!(pop_all(&mut queues), ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert!(queues.is_empty() && queues.queues.is_empty() && queues.rotation.is_empty());
        queues.push(write("b", "b3").await);
        assert_eq!(pop_all(&mut queues), ["b3"]);
    }

    #[tokio::test]
    async fn returned_items_come_first() {
        let mut queues = queues().await;
        let taken = [queues.pop().unwrap(), queues.pop().unwrap()];
        taken.into_iter().rev().for_each(|pending| queues.push_front(pending));
        assert!(queues.pop_if(|first| text(first) != "a1").is_none());
        assert_eq!(pop_all(&mut queues), ["a1", "b1", "c1", "a2", "b2", "a3"]);
    }

    #[tokio::test]
    async fn the_tenant_with_the_smallest_count_comes_first() {
        let mut queues = queues().await;
        let mut pop = |counts: [usize; 3]| {
            let count = |tenant: &TenantId| counts[usize::from(tenant.as_str().as_bytes()[0] - b'a')];
            queues.pop_least(3, count).map(|pending| text(&pending))
        };
        assert_eq!(pop([2, 1, 1]).as_deref(), Some("b1"));
        assert_eq!(pop([2, 1, 1]).as_deref(), Some("c1"));
        // `b` has had its turn in the rotation.
        assert_eq!(pop([1, 1, 0]).as_deref(), Some("a1"));
        assert_eq!(pop([3, 4, 0]), None);
        assert_eq!(pop([0, 0, 0]).as_deref(), Some("b2"));
        assert_eq!(pop_all(&mut queues), ["a2", "a3"]);
        assert!(queues.is_empty() && queues.queues.is_empty() && queues.rotation.is_empty());
    }

    #[tokio::test]
    async fn selected_items_are_taken_from_every_queue() {
        let mut queues = queues().await;
        let first = queues.pop().unwrap();
        queues.push_front(first);
        let taken = queues.take_if(|pending| ["a1", "a2", "c1"].contains(&text(pending).as_str()));
        let mut taken: Vec<_> = taken.iter().map(text).collect();
        taken.sort();
        assert_eq!((taken, queues.len()), (vec!["a1".to_owned(), "a2".to_owned(), "c1".to_owned()], 3));
        assert_eq!(pop_all(&mut queues), ["b1", "a3", "b2"]);
        assert!(queues.is_empty());
    }
}

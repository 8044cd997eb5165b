use std::{
    collections::{HashMap, VecDeque},
    mem,
};

use throughline_core::TenantId;

use super::Pending;

/// What waits, each tenant's writes in the order in which they came. Tenants take turns: each write is the next tenant's.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// What was taken too early and comes first, whosesoever it is.
    again: VecDeque<Pending>,
    lines: HashMap<TenantId, VecDeque<Pending>>,
    /// Everyone who has a line, the next one first.
    turns: VecDeque<TenantId>,
    len: usize,
    /// What the last line to become empty was kept in: a lone tenant's next write needs no new memory.
    spare: VecDeque<Pending>,
}

impl Lines {
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, pending: Pending) {
        self.len += 1;
        if let Some(line) = self.lines.get_mut(&pending.write.tenant) {
            return line.push_back(pending);
        }
        let tenant = pending.write.tenant.clone();
        self.turns.push_back(tenant.clone());
        let mut line = mem::take(&mut self.spare);
        line.push_back(pending);
        self.lines.insert(tenant, line);
    }

    /// Puts a write before all others.
    pub(super) fn push_front(&mut self, pending: Pending) {
        self.len += 1;
        self.again.push_front(pending);
    }

    /// Takes the next write, if `fits` says so.
    pub(super) fn pop_if(&mut self, fits: impl FnOnce(&Pending) -> bool) -> Option<Pending> {
        if let Some(first) = self.again.front() {
            if !fits(first) {
                return None;
            }
            self.len -= 1;
            return self.again.pop_front();
        }
        let tenant = self.turns.front()?;
        let line = self.lines.get_mut(tenant)?;
        if !line.front().is_some_and(fits) {
            return None;
        }
        let pending = line.pop_front();
        self.len -= 1;
        if line.is_empty() {
            self.spare = self.lines.remove(tenant).unwrap_or_default();
            self.turns.pop_front();
        } else if self.turns.len() > 1 {
            self.turns.rotate_left(1);
        }
        pending
    }

    /// Takes every write of which `is_over` says so.
    pub(super) fn take_if(&mut self, mut is_over: impl FnMut(&Pending) -> bool) -> Vec<Pending> {
        let mut taken = Vec::new();
        for line in self.lines.values_mut().chain([&mut self.again]) {
            if line.iter().any(&mut is_over) {
                let (over, left) = line.drain(..).partition::<VecDeque<_>, _>(&mut is_over);
                taken.extend(over);
                *line = left;
            }
        }
        self.lines.retain(|_, line| !line.is_empty());
        self.turns.retain(|tenant| self.lines.contains_key(tenant));
        self.len -= taken.len();
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use throughline_core::{Add, NewMessage, Timestamp};

    use super::*;
    use crate::queue::{Admission, Times, Write};

    async fn write(tenant: &str, text: &str) -> Pending {
        let tenant: TenantId = tenant.parse().unwrap();
        let give_up = Instant::now();
        let slot = Admission::new(1, 1).enter(&tenant, 1, give_up).await.unwrap();
        let message = NewMessage::user(text).with_id(text.parse().unwrap());
        let args = Add::new("t".parse().unwrap(), message).into();
        let write = Write { tenant, args, idempotency: None, now: Timestamp::from_micros(0) };
        Pending::new(write, Times { deadline: None, give_up }, 1, slot).0
    }

    fn text(pending: &Pending) -> String {
        match &pending.write.args {
            throughline_core::PersistArgs::Add(add) => add.id.to_string(),
            other => panic!("not an addition: {other:?}"),
        }
    }

    fn pop_all(lines: &mut Lines) -> Vec<String> {
        std::iter::from_fn(|| lines.pop_if(|_| true)).map(|pending| text(&pending)).collect()
    }

    async fn lines() -> Lines {
        let mut lines = Lines::default();
        for (tenant, name) in [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("b", "b2"), ("c", "c1")] {
            lines.push(write(tenant, name).await);
        }
        lines
    }

    #[tokio::test]
    async fn tenants_take_turns_and_each_keeps_its_order() {
        let mut lines = lines().await;
        assert_eq!(lines.len(), 6);
        assert!(lines.pop_if(|first| text(first) != "a1").is_none());
        assert_eq!(pop_all(&mut lines), ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert!(lines.is_empty() && lines.lines.is_empty() && lines.turns.is_empty());
        lines.push(write("b", "b3").await);
        assert_eq!(pop_all(&mut lines), ["b3"]);
    }

    #[tokio::test]
    async fn what_is_put_back_comes_first() {
        let mut lines = lines().await;
        let taken = [lines.pop_if(|_| true).unwrap(), lines.pop_if(|_| true).unwrap()];
        taken.into_iter().rev().for_each(|pending| lines.push_front(pending));
        assert!(lines.pop_if(|first| text(first) != "a1").is_none());
        assert_eq!(pop_all(&mut lines), ["a1", "b1", "c1", "a2", "b2", "a3"]);
    }

    #[tokio::test]
    async fn what_is_over_is_taken_from_every_line() {
        let mut lines = lines().await;
        let first = lines.pop_if(|_| true).unwrap();
        lines.push_front(first);
        let taken = lines.take_if(|pending| ["a1", "a2", "c1"].contains(&text(pending).as_str()));
        let mut taken: Vec<_> = taken.iter().map(text).collect();
        taken.sort();
        assert_eq!((taken, lines.len()), (vec!["a1".to_owned(), "a2".to_owned(), "c1".to_owned()], 3));
        assert_eq!(pop_all(&mut lines), ["b1", "a3", "b2"]);
        assert!(lines.is_empty());
    }
}

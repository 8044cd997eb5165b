//! Chooses the paths of a tree that the store has already.

use std::collections::{HashMap, HashSet};

use throughline_core::{MessageId, ThreadId};

use super::{
    MAX_FORK_MESSAGES, MessageTree,
    paths::{Tree, TreePaths},
};
use crate::{TransferError, import::Sink};

/// Returns the paths of a tree. The main path and each fork continue the path that the store has of their thread. Behind it,
/// the main path continues with the current path, and a fork with the first node.
pub(super) fn paths(
    of: &MessageTree<'_>,
    tree: &Tree,
    sink: &mut dyn Sink,
) -> Result<TreePaths, TransferError> {
    let by_id = of.nodes.iter().enumerate().map(|(at, node)| (&*node.id, at)).collect();
    let mut stored = Stored { of, tree, by_id, sink, forks: HashMap::new() };
    let current = of.current.as_deref().and_then(|id| stored.by_id.get(id).copied());
    let current: HashSet<usize> = current.and_then(|node| tree.path_to(node)).into_iter().flatten().collect();
    let mut main = stored.part(&of.id)?;
    let main = tree.descend(|_, nodes: &[usize]| {
        let chosen = stored.choose(&of.id, &mut main, nodes)?;
        let of_current = || nodes.iter().copied().find(|node| current.contains(node));
        Ok::<_, TransferError>(chosen.or_else(of_current).unwrap_or(nodes[0]))
    })?;
    tree.paths(main, MAX_FORK_MESSAGES, |fork, nodes: &[usize]| stored.of_fork(fork, nodes))
}

/// The part of a path that the store has.
enum Part {
    /// It has nothing, or nothing that follows.
    Nothing,
    /// It has a node, and these are the nodes up to it.
    UpTo(HashSet<usize>),
    /// Its latest messages are no nodes of the tree. It is asked for single nodes.
    Unknown,
}

struct Stored<'a> {
    of: &'a MessageTree<'a>,
    tree: &'a Tree,
    by_id: HashMap<&'a str, usize>,
    sink: &'a mut dyn Sink,
    /// The forks that were asked for, by their first nodes.
    forks: HashMap<usize, Part>,
}

impl Stored<'_> {
    fn part(&mut self, thread: &ThreadId) -> Result<Part, TransferError> {
        let latest = self.sink.latest(thread)?;
        if latest.is_empty() {
            return Ok(Part::Nothing);
        }
        let node = latest.iter().find_map(|message| self.by_id.get(message.as_str()).copied());
        let path = node.and_then(|node| self.tree.path_to(node));
        Ok(path.map_or(Part::Unknown, |path| Part::UpTo(path.into_iter().collect())))
    }

    /// Returns the node of several that the store has in a thread.
    fn choose(
        &mut self,
        thread: &ThreadId,
        part: &mut Part,
        nodes: &[usize],
    ) -> Result<Option<usize>, TransferError> {
        let mut found = None;
        match part {
            Part::Nothing => {}
            Part::UpTo(path) => found = nodes.iter().copied().find(|node| path.contains(node)),
            Part::Unknown => {
                for node in nodes {
                    if self.has(thread, *node)? {
                        found = Some(*node);
                        break;
                    }
                }
            }
        }
        if found.is_none() {
            *part = Part::Nothing;
        }
        Ok(found)
    }

    /// Returns the node of several with which a fork continues.
    fn of_fork(&mut self, fork: Option<usize>, nodes: &[usize]) -> Result<usize, TransferError> {
        let Some(first) = fork else { return Ok(nodes[0]) };
        let Ok(thread) = self.of.fork_id(first) else { return Ok(nodes[0]) };
        let mut part = match self.forks.remove(&first) {
            Some(part) => part,
            None => self.part(&thread)?,
        };
        let chosen = self.choose(&thread, &mut part, nodes)?;
        self.forks.insert(first, part);
        Ok(chosen.unwrap_or(nodes[0]))
    }

    /// Whether the store has the message of a node, or the next one below a node without a message.
    fn has(&mut self, thread: &ThreadId, node: usize) -> Result<bool, TransferError> {
        let mut nodes = vec![node];
        while let Some(node) = nodes.pop() {
            let (found, tree) = (&self.of.nodes[node], self.tree);
            if found.record.is_none() {
                nodes.extend(tree.children(node).iter().rev());
            } else if let Ok(id) = MessageId::new(&found.id)
                && self.sink.has(thread, &id)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

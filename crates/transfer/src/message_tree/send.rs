//! Sends the paths of a tree.

use std::collections::{HashMap, HashSet};

use throughline_core::{MessageId, NewThread, ThreadId, Timestamp, messages::ImportRow, threads::ForkPoint};

use super::{
    MAX_FORK_MESSAGES, MessageTree, Node, ReadRow,
    paths::{Tree, TreePath},
    stored,
};
use crate::{
    FindingKind, Report, TransferError,
    import::{Conversation, Sink, Step},
    object::{Object, quoted},
    record,
};

impl MessageTree<'_> {
    /// Sends the thread of the current path and then the forks; `None` if the receiver stopped. A later import continues
    /// the path that the store has of each thread, and sends another one as a fork, so that no thread mixes two answers.
    pub(crate) fn send(
        mut self,
        read: ReadRow,
        sink: &mut dyn Sink,
        report: &mut Report,
    ) -> Result<Option<()>, TransferError> {
        self.check_nodes(report);
        let edges: Vec<_> = self.nodes.iter().map(|node| (&*node.id, node.parent.as_deref())).collect();
        let tree = Tree::new(&edges);
        let paths = stored::paths(&self, &tree, sink)?;
        if paths.omitted > 0 {
            let found = FindingKind::TooManyForks { omitted: paths.omitted, max: MAX_FORK_MESSAGES };
            report.skip(&self.location, found);
        }
        if paths.circular > 0 {
            report.skip(&self.location, FindingKind::Circle(paths.circular));
        }
        let mut owners: HashMap<usize, ThreadId> = HashMap::new();
        for (nth, path) in paths.paths.iter().enumerate() {
            let thread = if nth == 0 { Ok(self.id.clone()) } else { self.fork_id(path.nodes[path.shared]) };
            let thread = match thread {
                Ok(thread) => thread,
                Err(found) => {
                    report.skip(&self.nodes[path.nodes[path.shared]].location, found);
                    continue;
                }
            };
            for node in &path.nodes[path.shared..] {
                owners.insert(*node, thread.clone());
            }
            let conversation = if nth == 0 {
                let new = self.thread(&thread, report);
                Conversation::new(thread, new, self.location.clone())
            } else {
                self.fork(thread, path, &owners, report)
            };
            if self.path(conversation, path, read, sink, report).is_none() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    /// Reports repeated nodes, which it removes, and missing parents.
    fn check_nodes(&mut self, report: &mut Report) {
        let mut ids = HashSet::new();
        self.nodes.retain(|node| {
            let is_new = ids.insert(node.id.clone());
            if !is_new {
                report.skip(&node.location, FindingKind::Twice);
            }
            is_new
        });
        for node in &self.nodes {
            if let Some(parent) = node.parent.as_ref().filter(|parent| !ids.contains(*parent)) {
                report.warn(&node.location, FindingKind::NoParent(parent.clone()));
            }
        }
    }

    /// Returns the id of the fork that begins with a node.
    pub(super) fn fork_id(&self, first: usize) -> Result<ThreadId, FindingKind> {
        let first = &self.nodes[first].id;
        ThreadId::new(format!("{}/{first}", self.id)).map_err(FindingKind::InvalidId)
    }

    fn begin(&self, id: &ThreadId, report: &mut Report) -> NewThread {
        let mut new = record::thread(self.format, id);
        if let Some(title) = &self.title {
            new = new.with_title(record::title(title, &self.location, report));
        }
        match self.created_at {
            Some(created_at) => new.created_at(created_at),
            None => new,
        }
    }

    /// Returns the thread of the main path, with the other fields of the conversation.
    fn thread(&self, id: &ThreadId, report: &mut Report) -> NewThread {
        let new = self.begin(id, report);
        match &self.record {
            Some(rest) if rest.len() > record::MAX_METADATA => {
                report.warn(&self.location, FindingKind::TooLarge { max: record::MAX_METADATA });
                new
            }
            Some(rest) => new.with_metadata(record::metadata(record::RECORD, rest.clone())),
            None => new,
        }
    }

    /// Returns the thread of another path, with the point at which it leaves an earlier one.
    fn fork(
        &self,
        id: ThreadId,
        path: &TreePath,
        owners: &HashMap<usize, ThreadId>,
        report: &mut Report,
    ) -> Conversation {
        let parent = record::metadata(record::PARENT, quoted(self.id.as_str()));
        let mut new = self.begin(&id, report).with_metadata(parent);
        let mut leaves = self.id.clone();
        let mut shared = path.nodes[..path.shared].iter().rev();
        let last = shared.find(|node| self.nodes[**node].record.is_some());
        let point = last.and_then(|node| {
            let message = MessageId::new(&self.nodes[*node].id).ok()?;
            Some(ForkPoint { thread: owners.get(node)?.clone(), message })
        });
        if let Some(point) = point {
            leaves = point.thread.clone();
            new = new.forked_from(point);
        }
        Conversation::new(id, new, self.location.clone()).leaving(leaves)
    }

    /// Sends the messages of one path; `None` if the receiver stopped.
    fn path(
        &self,
        conversation: Conversation,
        path: &TreePath,
        read: ReadRow,
        sink: &mut dyn Sink,
        report: &mut Report,
    ) -> Option<()> {
        let conversation = Conversation { archived: self.archived, ..conversation };
        sink.take(Step::Begin(Box::new(conversation)))?;
        let mut before = self.created_at.unwrap_or(Timestamp::from_micros(0));
        for (nth, node) in path.nodes.iter().enumerate() {
            let node = &self.nodes[*node];
            // The path that has the node first reports its defects.
            let mut ignored = Report::default();
            let report = if nth >= path.shared { &mut *report } else { &mut ignored };
            if let Some(row) = row(node, before, read, report) {
                before = row.created_at;
                sink.take(Step::Row(Box::new(row), node.location.clone()))?;
            }
        }
        sink.take(Step::End)
    }
}

/// Returns the message of a node; `None` if it has none, or an invalid id.
fn row(node: &Node<'_>, before: Timestamp, read: ReadRow, report: &mut Report) -> Option<ImportRow> {
    let record = node.record.as_deref()?;
    let id = match MessageId::new(&node.id) {
        Ok(id) => id,
        Err(error) => {
            report.skip(&node.location, FindingKind::InvalidId(error));
            return None;
        }
    };
    let message = Object::read(record).map_err(|_| FindingKind::NoObject);
    match message.and_then(|message| read(id.clone(), &message, before)) {
        Ok((row, warning)) => {
            if let Some(found) = warning {
                report.warn(&node.location, found);
            }
            Some(row)
        }
        Err(found) => {
            report.warn(&node.location, found);
            Some(record::kept_whole(id, record, before))
        }
    }
}

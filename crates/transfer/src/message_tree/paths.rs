//! The paths of a tree of messages.

use std::collections::HashMap;

/// A path through a tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TreePath {
    /// The nodes, from the root on.
    pub(super) nodes: Vec<usize>,
    /// The number of nodes at the beginning that belong to an earlier path.
    pub(super) shared: usize,
}

/// A tree, given by the parent of each node.
#[derive(Debug)]
pub(super) struct Tree {
    parents: Vec<Option<usize>>,
    children: Vec<Vec<usize>>,
}

impl Tree {
    /// Returns a tree. A node whose parent does not exist is a root.
    pub(super) fn new(nodes: &[(&str, Option<&str>)]) -> Self {
        let by_id: HashMap<&str, usize> = nodes.iter().enumerate().map(|(at, (id, _))| (*id, at)).collect();
        let mut children = vec![Vec::new(); nodes.len()];
        let parents: Vec<Option<usize>> =
            nodes.iter().map(|(_, parent)| by_id.get(parent.as_ref()?).copied()).collect();
        for (at, parent) in parents.iter().enumerate() {
            if let Some(parent) = parent {
                children[*parent].push(at);
            }
        }
        Self { parents, children }
    }

    /// Returns the nodes from the root to `node`; `None` if they form a circle.
    fn path_to(&self, node: usize) -> Option<Vec<usize>> {
        let mut nodes = vec![node];
        while let Some(parent) = self.parents[*nodes.last()?] {
            if nodes.len() > self.parents.len() {
                return None;
            }
            nodes.push(parent);
        }
        nodes.reverse();
        Some(nodes)
    }

    /// Returns the path through `node` that continues with the first child to a leaf.
    pub(super) fn path_through(&self, node: usize) -> Option<Vec<usize>> {
        let mut nodes = self.path_to(node)?;
        while let Some(child) = self.children[*nodes.last()?].first() {
            nodes.push(*child);
        }
        Some(nodes)
    }

    /// Returns the main path, and then each other path. The nodes of all other paths are at most `max`.
    pub(super) fn paths(&self, main: Vec<usize>, max: usize) -> TreePaths {
        let mut is_taken = vec![false; self.parents.len()];
        let mut paths = vec![TreePath { nodes: main, shared: 0 }];
        let (mut done, mut left, mut omitted) = (0, max, 0);
        // Other roots begin paths, too.
        let mut roots = (0..self.parents.len()).filter(|node| self.parents[*node].is_none());
        loop {
            while done < paths.len() {
                let TreePath { nodes, shared } = &paths[done];
                nodes[*shared..].iter().for_each(|node| is_taken[*node] = true);
                let mut forks = Vec::new();
                for at in *shared..nodes.len() {
                    for child in self.children[nodes[at]].iter().filter(|child| !is_taken[**child]) {
                        match self.fork(&nodes[..=at], *child, &mut left) {
                            Some(fork) => forks.push(fork),
                            None => omitted += 1,
                        }
                    }
                }
                paths.append(&mut forks);
                done += 1;
            }
            let Some(root) = roots.next() else { break };
            if !is_taken[root] {
                match self.fork(&[], root, &mut left) {
                    Some(fork) => paths.push(fork),
                    None => omitted += 1,
                }
            }
        }
        let is_complete = omitted == 0;
        let circular = is_taken.iter().filter(|is_taken| !**is_taken && is_complete).count();
        TreePaths { paths, omitted, circular }
    }

    /// Returns a path that leaves another one; `None` if it has more nodes than are left.
    fn fork(&self, prefix: &[usize], child: usize, left: &mut usize) -> Option<TreePath> {
        let mut own = vec![child];
        while let Some(child) = self.children[*own.last()?].first() {
            own.push(*child);
        }
        *left = left.checked_sub(prefix.len() + own.len())?;
        Some(TreePath { nodes: [prefix, &own].concat(), shared: prefix.len() })
    }
}

/// The paths of a tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TreePaths {
    /// The main path comes first.
    pub(super) paths: Vec<TreePath>,
    /// The paths beyond the limit, without those that leave them.
    pub(super) omitted: usize,
    /// The nodes in circles, which are on no path.
    pub(super) circular: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(nodes: &[(&str, Option<&str>)], main: usize, max: usize) -> TreePaths {
        let tree = Tree::new(nodes);
        tree.paths(tree.path_through(main).unwrap(), max)
    }

    fn path(nodes: &[usize], shared: usize) -> TreePath {
        TreePath { nodes: nodes.to_vec(), shared }
    }

    #[test]
    fn each_node_is_on_one_path_of_its_own() {
        // 0 - 1 - 2, 0 - 3 - 4, 3 - 5, and another root 6
        let nodes = [
            ("a", None),
            ("b", Some("a")),
            ("c", Some("b")),
            ("d", Some("a")),
            ("e", Some("d")),
            ("f", Some("d")),
            ("g", Some("missing")),
        ];
        let all = paths(&nodes, 4, 100);
        assert_eq!(all.paths, [path(&[0, 3, 4], 0), path(&[0, 1, 2], 1), path(&[0, 3, 5], 2), path(&[6], 0)]);
        assert_eq!((all.omitted, all.circular), (0, 0));
        let bounded = paths(&nodes, 4, 4);
        assert_eq!(bounded.paths, [path(&[0, 3, 4], 0), path(&[0, 1, 2], 1), path(&[6], 0)]);
        assert_eq!(bounded.omitted, 1);
    }

    #[test]
    fn a_circle_ends() {
        let nodes = [("a", None), ("b", Some("c")), ("c", Some("b")), ("d", Some("d"))];
        let tree = Tree::new(&nodes);
        assert_eq!((tree.path_through(1), tree.path_through(3)), (None, None));
        assert_eq!(tree.path_through(0), Some(vec![0]));
        assert_eq!(paths(&nodes, 0, 100).circular, 3);
    }
}

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
    pub(super) fn path_to(&self, node: usize) -> Option<Vec<usize>> {
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

    /// Returns the path from a root to a leaf. `choose` returns the node that follows, of several.
    pub(super) fn descend<E>(&self, mut choose: impl Choose<E>) -> Result<Vec<usize>, E> {
        let roots: Vec<usize> =
            (0..self.parents.len()).filter(|node| self.parents[*node].is_none()).collect();
        match next(None, &roots, &mut choose)? {
            Some(root) => self.below(root, None, &mut choose),
            None => Ok(Vec::new()),
        }
    }

    /// Returns a node and the path below it, to a leaf.
    fn below<E>(
        &self,
        node: usize,
        fork: Option<usize>,
        choose: &mut impl Choose<E>,
    ) -> Result<Vec<usize>, E> {
        let (mut nodes, mut last) = (vec![node], node);
        while let Some(child) = next(fork, &self.children[last], choose)? {
            nodes.push(child);
            last = child;
        }
        Ok(nodes)
    }

    pub(super) fn children(&self, node: usize) -> &[usize] {
        &self.children[node]
    }

    /// Returns the main path, and then each other path. The nodes of all other paths are at most `max`. `choose` returns the
    /// node with which a fork continues, of several.
    pub(super) fn paths<E>(
        &self,
        main: Vec<usize>,
        max: usize,
        mut choose: impl Choose<E>,
    ) -> Result<TreePaths, E> {
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
                        match self.fork(&nodes[..=at], *child, &mut left, &mut choose)? {
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
                match self.fork(&[], root, &mut left, &mut choose)? {
                    Some(fork) => paths.push(fork),
                    None => omitted += 1,
                }
            }
        }
        let is_complete = omitted == 0;
        let circular = is_taken.iter().filter(|is_taken| !**is_taken && is_complete).count();
        Ok(TreePaths { paths, omitted, circular })
    }

    /// Returns a path that leaves another one; `None` if it has more nodes than are left.
    fn fork<E>(
        &self,
        prefix: &[usize],
        child: usize,
        left: &mut usize,
        choose: &mut impl Choose<E>,
    ) -> Result<Option<TreePath>, E> {
        let own = self.below(child, Some(child), choose)?;
        let Some(rest) = left.checked_sub(prefix.len() + own.len()) else { return Ok(None) };
        *left = rest;
        Ok(Some(TreePath { nodes: [prefix, &own].concat(), shared: prefix.len() }))
    }
}

/// Chooses one of several nodes that follow the same node: of the main path, or of the fork that begins with a node.
pub(super) trait Choose<E>: FnMut(Option<usize>, &[usize]) -> Result<usize, E> {}

impl<E, F: FnMut(Option<usize>, &[usize]) -> Result<usize, E>> Choose<E> for F {}

fn next<E>(fork: Option<usize>, nodes: &[usize], choose: &mut impl Choose<E>) -> Result<Option<usize>, E> {
    match nodes {
        [] => Ok(None),
        [only] => Ok(Some(*only)),
        several => choose(fork, several).map(Some),
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
    use std::convert::Infallible;

    use super::*;

    fn first(_: Option<usize>, nodes: &[usize]) -> Result<usize, Infallible> {
        Ok(nodes[0])
    }

    /// Returns the paths of a tree whose main path goes to `main`.
    fn paths(nodes: &[(&str, Option<&str>)], main: usize, max: usize) -> TreePaths {
        let tree = Tree::new(nodes);
        let path = tree.path_to(main).unwrap();
        let preferred = |_: Option<usize>, nodes: &[usize]| {
            Ok(*nodes.iter().find(|node| path.contains(node)).unwrap_or(&nodes[0]))
        };
        let main = tree.descend::<Infallible>(preferred).unwrap();
        tree.paths(main, max, first).unwrap()
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
    fn a_fork_continues_with_the_chosen_node() {
        // 0 - 1, and 0 - 2 with the answers 3 and 4
        let nodes = [("a", None), ("b", Some("a")), ("c", Some("a")), ("d", Some("c")), ("e", Some("c"))];
        let tree = Tree::new(&nodes);
        let mut asked = Vec::new();
        let last = |fork: Option<usize>, nodes: &[usize]| {
            asked.push((fork, nodes.to_vec()));
            Ok::<_, Infallible>(*nodes.last().unwrap())
        };
        let all = tree.paths(vec![0, 1], 100, last).unwrap();
        assert_eq!(all.paths, [path(&[0, 1], 0), path(&[0, 2, 4], 1), path(&[0, 2, 3], 2)]);
        assert_eq!(asked, [(Some(2), vec![3, 4])]);
    }

    #[test]
    fn a_circle_ends() {
        let nodes = [("a", None), ("b", Some("c")), ("c", Some("b")), ("d", Some("d"))];
        let tree = Tree::new(&nodes);
        assert_eq!((tree.path_to(1), tree.path_to(3)), (None, None));
        assert_eq!(tree.path_to(0), Some(vec![0]));
        assert_eq!(tree.descend(first), Ok(vec![0]));
        assert_eq!(Tree::new(&nodes[1..]).descend(first), Ok(Vec::new()));
        assert_eq!(paths(&nodes, 0, 100).circular, 3);
    }
}

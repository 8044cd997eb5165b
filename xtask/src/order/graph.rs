//! The graph of modules: its circles, and the layers of a topological order.

use std::collections::BTreeMap;

/// For each module the modules that it uses. Every module is a key.
pub(super) type Graph<'a> = BTreeMap<&'a str, Vec<&'a str>>;

/// A strongly connected component: one module, or a circle of several, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Component<'a> {
    pub(super) modules: Vec<&'a str>,
    /// 0 if it uses no other component, and else one more than the highest that it uses.
    pub(super) layer: usize,
}

impl Component<'_> {
    /// Whether its modules use each other in a circle.
    pub(super) fn is_circle(&self) -> bool {
        self.modules.len() > 1
    }
}

/// The components, sorted by layer and then by name.
pub(super) fn components<'a>(graph: &Graph<'a>) -> Vec<Component<'a>> {
    let mut search = Search {
        graph,
        visits: BTreeMap::new(),
        stack: Vec::new(),
        layers: BTreeMap::new(),
        out: Vec::new(),
    };
    for module in graph.keys() {
        if !search.visits.contains_key(module) {
            search.visit(module);
        }
    }
    let mut components = search.out;
    components.sort_by(|a, b| (a.layer, &a.modules).cmp(&(b.layer, &b.modules)));
    components
}

/// Tarjan's algorithm: a component is complete only after every component that it uses.
struct Search<'g, 'a> {
    graph: &'g Graph<'a>,
    /// For each visited module the number of those that were visited before it.
    visits: BTreeMap<&'a str, usize>,
    stack: Vec<&'a str>,
    /// The layer of each module whose component is complete.
    layers: BTreeMap<&'a str, usize>,
    out: Vec<Component<'a>>,
}

impl<'a> Search<'_, 'a> {
    fn visit(&mut self, module: &'a str) -> usize {
        let number = self.visits.len();
        self.visits.insert(module, number);
        self.stack.push(module);
        let graph = self.graph;
        let mut low = number;
        for used in graph.get(module).into_iter().flatten() {
            match self.visits.get(used).copied() {
                None => low = low.min(self.visit(used)),
                Some(number) if self.stack.contains(used) => low = low.min(number),
                Some(_) => {}
            }
        }
        if low == number {
            self.complete(module);
        }
        low
    }

    /// Takes a component from the stack: the modules from this one upwards.
    fn complete(&mut self, first: &str) {
        let from = self.stack.iter().position(|module| *module == first).unwrap_or(0);
        let mut modules = self.stack.split_off(from);
        modules.sort_unstable();
        let used = modules.iter().filter_map(|module| self.graph.get(module)).flatten();
        let layer = used.filter_map(|used| self.layers.get(used)).map(|layer| layer + 1).max().unwrap_or(0);
        self.layers.extend(modules.iter().map(|module| (*module, layer)));
        self.out.push(Component { modules, layer });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(graph: &[(&'static str, &[&'static str])]) -> Vec<(usize, Vec<&'static str>)> {
        let graph: Graph<'static> = graph.iter().map(|(from, to)| (*from, to.to_vec())).collect();
        components(&graph).into_iter().map(|component| (component.layer, component.modules)).collect()
    }

    #[test]
    fn a_chain_has_a_layer_for_each_module() {
        assert_eq!(
            layers(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[]), ("d", &[])]),
            [(0, vec!["c"]), (0, vec!["d"]), (1, vec!["b"]), (2, vec!["a"])]
        );
    }

    #[test]
    fn a_circle_is_one_component() {
        assert_eq!(
            layers(&[("a", &["b"]), ("b", &["c"]), ("c", &["a", "d"]), ("d", &[]), ("e", &["b"])]),
            [(0, vec!["d"]), (1, vec!["a", "b", "c"]), (2, vec!["e"])]
        );
    }

    #[test]
    fn two_circles_stay_apart() {
        assert_eq!(
            layers(&[("a", &["b"]), ("b", &["a", "c"]), ("c", &["d"]), ("d", &["c"])]),
            [(0, vec!["c", "d"]), (1, vec!["a", "b"])]
        );
    }
}

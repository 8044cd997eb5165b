//! The order that the modules of a crate are to have.

/// The groups of a crate's modules, from the lowest to the highest.
pub(super) type Order = &'static [Group];

/// Modules of the same height. They may use each other, but not in a circle.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) modules: &'static [&'static str],
}

/// The crates that have an order.
const ORDERS: [(&str, Order); 1] = [("throughline-core", CORE)];

const CORE: Order = &[
    Group { name: "ids", modules: &["contain", "id", "keyed_queue", "op_kind", "per_process"] },
    Group {
        name: "vocabulary",
        modules: &["audit_entry", "change", "error", "message", "replica", "session", "thread"],
    },
    Group { name: "operations", modules: &["operation"] },
    Group { name: "seam", modules: &["backend", "context", "request"] },
    Group { name: "pipeline", modules: &["pipeline"] },
    Group { name: "plugins", modules: &["plugin"] },
    Group { name: "handles", modules: &["handle", "redirect"] },
    // Modules of re-exports: nothing in the crate uses them.
    Group {
        name: "public surface",
        modules: &[
            "audit",
            "changes",
            "ids",
            "messages",
            "operations",
            "prelude",
            "replication",
            "requests",
            "search",
            "sessions",
            "threads",
        ],
    },
];

/// The order of a crate, if it has one.
pub(super) fn order_of(package: &str) -> Option<Order> {
    ORDERS.iter().find(|(name, _)| *name == package).map(|(_, order)| *order)
}

/// The height of a module's group, and its name.
pub(super) fn group_of(order: Order, module: &str) -> Option<(usize, &'static str)> {
    let group = order.iter().position(|group| group.modules.contains(&module))?;
    Some((group, order[group].name))
}

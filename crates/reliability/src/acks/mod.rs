//! What was acknowledged, kept on another path than the store.

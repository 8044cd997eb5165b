/// A check that a deliberately defective layer omits. Only the tests of this crate construct one; in other builds the
/// compiler removes the checks for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code, reason = "constructed by tests only"))]
pub(super) enum Weakness {
    #[default]
    None,
    ForgetsTenant,
    ForgetsThread,
    ForgetsMessage,
    ForgetsField,
    ForgetsRevision,
    ForgetsOrder,
    ForgetsEnds,
    AcceptsPlaintext,
}

/// What a broken variant of the layer forgets. Only the tests of this crate make one: elsewhere there is nothing to forget,
/// and the compiler takes the questions away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code, reason = "made by tests alone"))]
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

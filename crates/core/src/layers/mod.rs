//! The layers that come with the framework, one folder and one feature each.
//!
//! | layer | phase | does | fails |
//! |---|---|---|---|
//! | [`limits`] | Admit | refuses what is too large, too deep or too much at once | closed |
//! | [`trace`] | Observe | a span and events for each call | open |
//! | [`retry`] | Route | repeats what failed and passes with time | as the last attempt |
//! | [`timeout`] | Route | ends one attempt that takes too long | as an unknown outcome |
//!
//! The order of the phases puts them right: limits outside trace, retry outside the timeout of an attempt.

#[cfg(feature = "limits")]
pub mod limits;
#[cfg(feature = "retry")]
pub mod retry;
#[cfg(feature = "timeout")]
pub mod timeout;
#[cfg(feature = "trace")]
pub mod trace;

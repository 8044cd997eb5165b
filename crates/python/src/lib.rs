//! The compiled core of the Python package `throughline-py`.
//!
//! The classes that programs use are written in Python, in `python/throughline`. They call the [`Engine`](engine::Engine) of this
//! crate, which runs each call on one pipeline of the library. From the bottom up:
//!
//! - [`process`]: the tokio runtime of the process, and what a fork and the end of the interpreter change;
//! - [`completion`]: how a finished call reaches its event loop, or the thread that waits for it;
//! - [`json`], [`number`], [`decode`], [`error`], [`message`], [`page`], [`answer`]: values that cross;
//! - [`layers`], [`plugin`], [`store`]: a pipeline from the arguments of `open`, one for each path in a process;
//! - [`engine`], [`draft`], [`feed`], [`fork`]: the calls.

mod answer;
mod completion;
mod decode;
mod draft;
mod engine;
mod error;
mod feed;
mod fork;
mod json;
mod layers;
mod logs;
mod message;
mod metrics;
mod number;
mod page;
mod plugin;
mod process;
mod store;

use pyo3::prelude::*;

/// The compiled core. Programs use the classes of `throughline` and `throughline.sync`.
#[pymodule(gil_used = true)]
mod _throughline {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::{
        completion::Ready,
        draft::DraftWriter,
        engine::Engine,
        feed::Feed,
        json::{content_json, mint_id, one_value, raw_get, raw_items},
        layers::Capability,
        message::{Added, Damaged, Message},
        page::Page,
        plugin::register_loop,
        process::{after_fork_in_child, after_fork_in_parent, at_exit, before_fork},
        store::open,
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        let built_with: &[&str] = if cfg!(feature = "postgres") {
            &["sqlite", "memory", "postgres"]
        } else {
            &["sqlite", "memory"]
        };
        module.add("BUILT_WITH", pyo3::types::PyTuple::new(module.py(), built_with)?)
    }
}

//! The web page in a real Chromium: a long thread, a server that dies, script injections, foreign requests, the keyboard, tokens.
//!
//! The tests need the programs `chromium` and `chromedriver`. `cargo xtask ci --only browser` runs them.

mod death;
mod driver;
#[cfg(target_os = "linux")]
mod driver_end;
mod driver_process;
mod exact;
mod injection;
mod keyboard;
mod long_thread;
mod scroll;
mod server;
mod tokens;

//! A progress bar and a spinner on the error output.

use std::{borrow::Cow, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use throughline::transfer::Progress;

/// The interval of the changes.
const TICK: Duration = Duration::from_millis(200);

/// A spinner, which is invisible unless the error output is a terminal.
pub(super) fn spinner(work: impl Into<Cow<'static, str>>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, target());
    bar.set_style(ProgressStyle::with_template("{spinner} {msg} {elapsed}").expect("the template is valid"));
    bar.set_message(work);
    bar.enable_steady_tick(TICK);
    bar
}

/// Shows the bytes of a transfer until it ends.
pub(super) async fn bar<T>(
    work: impl Into<Cow<'static, str>>,
    progress: &Progress,
    transfer: impl Future<Output = T>,
) -> T {
    let bar = of_bytes(work);
    let show = async {
        loop {
            bar.set_length(progress.bytes_total());
            bar.set_position(progress.bytes_read());
            tokio::time::sleep(TICK).await;
        }
    };
    let ended = tokio::select! {
        ended = transfer => ended,
        () = show => unreachable!("the bar does not end by itself"),
    };
    bar.finish_and_clear();
    ended
}

/// A bar of bytes, which is invisible unless the error output is a terminal.
pub(super) fn of_bytes(work: impl Into<Cow<'static, str>>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), target());
    let template = "{msg} [{bar:20}] {bytes}/{total_bytes} {elapsed}";
    bar.set_style(ProgressStyle::with_template(template).expect("the template is valid"));
    bar.set_message(work);
    bar
}

fn target() -> ProgressDrawTarget {
    if crate::output::shows_progress() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}

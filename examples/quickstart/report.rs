//! The summary that the example prints after the writes.

use std::{
    fmt::{self, Display},
    time::Duration,
};

use throughline::OpKind;

use crate::{
    store::{Files, Stores},
    writer::Written,
};

/// The values of the summary.
pub(crate) struct Report<'a> {
    pub(crate) stores: &'a Stores,
    pub(crate) files: &'a Files,
    pub(crate) written: &'a Written,
    pub(crate) conversations: usize,
    pub(crate) skipped: usize,
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stores, files, written, conversations, skipped } = self;
        writeln!(f, "\nThe chain, from the outside in\n")?;
        for line in stores.db.describe().to_string().lines() {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "\nOperations that reached each counter\n")?;
        self.operations(f)?;

        let seconds = written.took.as_secs_f64();
        let outermost = &stores.counters[0];
        let latency = |quantile| milliseconds(outermost.write_latency(quantile));
        let mut row = |name, value: &dyn Display| writeln!(f, "  {name:18}{value}");
        row("conversations", conversations)?;
        row("messages", &written.messages)?;
        row("bytes of content", &written.bytes)?;
        row("lines skipped", skipped)?;
        row("turns refused", &written.refused.len())?;
        row("time", &format_args!("{seconds:.2} s"))?;
        row("rate", &format_args!("{:.0} operations a second", outermost.operations() as f64 / seconds))?;
        row("durable after", &format_args!("{} (p50), {} (p99)", latency(0.5), latency(0.99)))?;
        row("chats", &files.main.display())?;
        row("agents", &files.agents.display())
    }
}

impl Report<'_> {
    /// Writes one row for each counter and one column for each operation that occurred.
    fn operations(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let occurred = |kind: &OpKind| self.stores.counters.iter().any(|counter| counter.count(*kind) > 0);
        let kinds: Vec<OpKind> = OpKind::ALL.into_iter().filter(occurred).collect();
        let width = self.stores.counters.iter().map(|counter| counter.label().len()).max().unwrap_or(0);
        write!(f, "  {:width$}", "")?;
        for kind in &kinds {
            write!(f, "  {:>13}", kind.as_str())?;
        }
        for counter in &self.stores.counters {
            write!(f, "\n  {:width$}", counter.label())?;
            for kind in &kinds {
                write!(f, "  {:>13}", counter.count(*kind))?;
            }
        }
        f.write_str("\n\n")
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

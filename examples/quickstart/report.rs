//! What is printed at the end.

use std::{
    fmt::{self, Display},
    time::Duration,
};

use throughline::OpKind;

use crate::{
    player::Played,
    store::{Files, Stores},
};

/// Everything that the table shows.
pub(crate) struct Report<'a> {
    pub(crate) stores: &'a Stores,
    pub(crate) files: &'a Files,
    pub(crate) played: &'a Played,
    pub(crate) conversations: usize,
    pub(crate) skipped: usize,
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stores, files, played, conversations, skipped } = self;
        writeln!(f, "\nThe chain, from the outside in\n")?;
        for line in stores.db.describe().to_string().lines() {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "\nOperations that came by\n")?;
        self.operations(f)?;

        let seconds = played.took.as_secs_f64();
        let outermost = &stores.tallies[0];
        let latency = |quantile| milliseconds(outermost.write_latency(quantile));
        let mut row = |name, value: &dyn Display| writeln!(f, "  {name:18}{value}");
        row("conversations", conversations)?;
        row("messages", &played.messages)?;
        row("bytes of content", &played.bytes)?;
        row("lines skipped", skipped)?;
        row("turns refused", &played.refused.len())?;
        row("time", &format_args!("{seconds:.2} s"))?;
        row("rate", &format_args!("{:.0} operations a second", outermost.operations() as f64 / seconds))?;
        row("durable after", &format_args!("{} (p50), {} (p99)", latency(0.5), latency(0.99)))?;
        row("chats", &files.main.display())?;
        row("agents", &files.agents.display())
    }
}

impl Report<'_> {
    /// One row for each tally, one column for each operation that there was.
    fn operations(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let was_there = |kind: &OpKind| self.stores.tallies.iter().any(|tally| tally.count(*kind) > 0);
        let kinds: Vec<OpKind> = OpKind::ALL.into_iter().filter(was_there).collect();
        let width = self.stores.tallies.iter().map(|tally| tally.label().len()).max().unwrap_or(0);
        write!(f, "  {:width$}", "")?;
        for kind in &kinds {
            write!(f, "  {:>13}", kind.as_str())?;
        }
        for tally in &self.stores.tallies {
            write!(f, "\n  {:width$}", tally.label())?;
            for kind in &kinds {
                write!(f, "  {:>13}", tally.count(*kind))?;
            }
        }
        f.write_str("\n\n")
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

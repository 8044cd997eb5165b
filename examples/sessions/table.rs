//! The table of all runs.

use std::fmt;

use throughline::{
    runs::{CompletedRun, Run},
    sessions::Gap,
};

use crate::host::Task;

/// The row of one run.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) scene: &'static str,
    pub(crate) agent: String,
    pub(crate) thread: String,
    pub(crate) machine: String,
    pub(crate) resumed: Option<String>,
    pub(crate) ran: Option<String>,
    pub(crate) refused: Option<String>,
    pub(crate) gap: Option<Gap>,
    pub(crate) dir: Option<String>,
    pub(crate) remembers: usize,
    pub(crate) attempt: Option<throughline::ids::AttemptId>,
    pub(crate) ended: String,
}

impl Row {
    pub(crate) fn of(task: Task<'_>) -> Self {
        Self {
            scene: task.scene,
            agent: task.agent.to_owned(),
            thread: task.thread.to_owned(),
            machine: task.machine.to_owned(),
            resumed: None,
            ran: None,
            refused: None,
            gap: None,
            dir: None,
            remembers: 0,
            attempt: None,
            ended: String::new(),
        }
    }

    pub(crate) fn record_begin(&mut self, run: &Run) {
        self.resumed = run.session().map(ToString::to_string);
        self.gap = run.gap().cloned();
        self.dir = run.work_dir().map(ToString::to_string);
        self.attempt = Some(run.attempt().clone());
    }

    pub(crate) fn record_confirmation(&mut self, ran: &CompletedRun<usize>) {
        self.remembers = ran.output;
        self.refused = ran.refused.as_ref().map(ToString::to_string);
        let pointer = ran.changed.binding.pointer.as_ref();
        self.ran = pointer.map(|pointer| pointer.session.to_string());
        "confirmed".clone_into(&mut self.ended);
    }
}

/// Prints all rows.
pub(crate) struct Table<'a>(pub(crate) &'a [Row]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, columns: [&str; 8]| {
            let [scene, agent, thread, machine, resumed, ran, remembers, ended] = columns;
            writeln!(
                f,
                "  {scene:<34} {agent:<7} {thread:<11} {machine:<8} {resumed:<10} {ran:<10} {remembers:>9}  {ended}"
            )
        };
        line(f, ["scene", "agent", "thread", "machine", "resumed", "session", "remembers", "end"])?;
        for row in self.0 {
            let none = || "-".to_owned();
            let (resumed, ran) =
                (row.resumed.clone().unwrap_or_else(none), row.ran.clone().unwrap_or_else(none));
            let gap = row.gap.as_ref().map_or_else(String::new, |gap| format!(", gap: {}", gap.reason));
            let refused =
                row.refused.as_ref().map_or_else(String::new, |lost| format!(", {lost} was refused"));
            let ended = format!("{}{refused}{gap}", row.ended);
            let remembers = row.remembers.to_string();
            line(f, [row.scene, &row.agent, &row.thread, &row.machine, &resumed, &ran, &remembers, &ended])?;
        }
        Ok(())
    }
}

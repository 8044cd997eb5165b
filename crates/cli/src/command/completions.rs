//! `completions` and `man`: files for shells and for `man`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use serde_json::json;

use crate::{Exit, Outcome, Session, arguments::Arguments};

/// Prints the completions of a shell
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the man page of the program, or of one command
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The command, such as `backup` or `audit verify`
    command: Vec<String>,
}

/// Writes a file as it is, or as a JSON document.
fn write(session: &mut Session, command: &str, text: &[u8]) -> Outcome {
    if session.output.is_json() {
        session.output.json(command, &json!({ "text": String::from_utf8_lossy(text) }))?;
    } else {
        session.output.raw(text)?;
    }
    Ok(Exit::Done)
}

impl Completions {
    pub(super) fn run(&self, session: &mut Session) -> Outcome {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "throughline", &mut text);
        write(session, "completions", &text)
    }
}

impl Man {
    pub(super) fn run(&self, session: &mut Session) -> Outcome {
        let mut root = Arguments::command().disable_help_subcommand(true);
        // Names the commands of commands.
        root.build();
        let mut command = &root;
        for name in &self.command {
            command = command.find_subcommand(name).ok_or_else(|| {
                crate::Failure::usage(format!("there is no command `{}`", self.command.join(" ")))
            })?;
        }
        let mut text = Vec::new();
        clap_mangen::Man::new(command.clone()).render(&mut text)?;
        write(session, "man", &text)
    }
}

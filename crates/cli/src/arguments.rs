//! The arguments of the program.

use clap::{Parser, builder::Styles};
use throughline::TenantId;

use crate::{command::Command, output};

const STYLES: Styles = Styles::styled().header(output::BOLD).usage(output::BOLD).literal(output::ID);

/// The heading of the options that every command has.
const EVERYWHERE: &str = "Options of every command";

/// Looks at a Throughline store, checks it, repairs it, backs it up, moves it and serves it.
///
/// Commands that only read leave every file as it was. Commands that delete show a plan, and change nothing without --apply.
#[derive(Debug, Parser)]
#[command(
    name = "throughline",
    version,
    styles = STYLES,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 findings, 4 the store is busy or cannot be reached."
)]
pub(crate) struct Arguments {
    /// The store: the path of a SQLite file, or a URL that begins with postgres://
    #[arg(
        long,
        global = true,
        env = "THROUGHLINE_STORE",
        hide_env_values = true,
        value_name = "PATH|URL",
        help_heading = EVERYWHERE
    )]
    pub(crate) store: Option<String>,
    /// The tenant; `doctor`, `verify`, `stats` and `repair` work on all
    #[arg(
        long,
        global = true,
        env = "THROUGHLINE_TENANT",
        hide_env_values = true,
        default_value = "default",
        help_heading = EVERYWHERE
    )]
    pub(crate) tenant: TenantId,
    /// Writes JSON, with the field `version`
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

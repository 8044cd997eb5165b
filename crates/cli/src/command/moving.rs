//! `move`: a live move between two stores.

use std::{fmt, time::Duration};

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use throughline::{
    Persistence,
    mirror::{Comparison, MirrorState, Switch, Switched, compare},
    replication::{GetReplicationStatus, ReplicationRole, ReplicationStatus},
};

use crate::{
    Exit, Failure, Outcome, Session,
    output::{BAD, BOLD, GOOD, count, duration, line, parse_duration},
    store::{Opening, StoreName},
};

/// The interval of the reports of `follow`.
const REPORT: Duration = Duration::from_millis(500);
/// The differences that the text shows.
const SHOWN: usize = 50;

/// Moves a store into another one while hosts write
///
/// Both stores are opened without the layers of a host, so that the copy has the same bytes.
#[derive(Debug, Args)]
pub(crate) struct Move {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Follow(Follow),
    Status(Status),
    Compare(Compare),
    Switch(SwitchOver),
    Back(SwitchBack),
}

/// The two stores.
#[derive(Debug, Args)]
struct Target {
    /// The second store; --store is the first
    #[arg(long = "to", value_name = "PATH|URL")]
    name: String,
}

/// Copies the primary into the other store, and keeps the copy current until Ctrl-C; a later call continues
#[derive(Debug, Args)]
pub(crate) struct Follow {
    #[command(flatten)]
    to: Target,
    /// Ends as soon as the copy is equal
    #[arg(long)]
    until_equal: bool,
}

/// Shows the roles and positions of both stores; changes nothing
#[derive(Debug, Args)]
struct Status {
    #[command(flatten)]
    to: Target,
}

/// Compares every row of both stores; exits with 3 if they differ
///
/// Both stores record changed rows from then on, as they do during replication.
#[derive(Debug, Args)]
struct Compare {
    #[command(flatten)]
    to: Target,
}

/// Makes the second store the primary, as soon as it is equal
#[derive(Debug, Args)]
struct SwitchOver {
    #[command(flatten)]
    to: Target,
    /// The longest wait; then the first store stays the primary
    #[arg(long, value_parser = parse_duration, default_value = "30s")]
    timeout: Duration,
}

/// Makes the first store the primary again, as soon as it is equal
#[derive(Debug, Args)]
struct SwitchBack {
    #[command(flatten)]
    to: Target,
    /// The longest wait; then the second store stays the primary
    #[arg(long, value_parser = parse_duration, default_value = "30s")]
    timeout: Duration,
}

impl Move {
    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        match self.verb {
            Verb::Follow(follow) => follow.run(session).await,
            Verb::Status(status) => status.run(session).await,
            Verb::Compare(compare) => compare.run(session).await,
            Verb::Switch(SwitchOver { to, timeout }) => {
                let switch = to.switch(session).await?;
                switch.follow().await?;
                switched(session, "move switch", &switch.switch_over(timeout).await?, &switch)
            }
            Verb::Back(SwitchBack { to, timeout }) => {
                let switch = to.switch(session).await?;
                switch.follow().await?;
                switched(session, "move back", &switch.switch_back(timeout).await?, &switch)
            }
        }
    }

    /// Whether Ctrl-C is the usual end.
    pub(super) const fn runs_until_interrupted(&self) -> bool {
        matches!(self.verb, Verb::Follow(Follow { until_equal: false, .. }))
    }
}

impl Target {
    /// Opens both stores. Only `follow` creates the second one. It declares there the metadata fields that the first store indexes:
    /// after the switchover, finds need them.
    async fn open(
        &self,
        session: &mut Session,
        first_as: Opening,
        mut second_as: Opening,
    ) -> Result<(Persistence, Persistence), Failure> {
        let (first, second) = (session.store()?.clone(), StoreName::parse(&self.name)?);
        if first == second {
            return Err(Failure::usage("--store and --to name the same store"));
        }
        let first = session.open_other(&first, first_as).await?;
        if second_as.creates {
            second_as.indexed = first.describe().capabilities().indexed_metadata.clone();
        }
        Ok((first, session.open_other(&second, second_as).await?))
    }

    async fn switch(&self, session: &mut Session) -> Result<Switch, Failure> {
        let (first, second) = self.open(session, Opening::WRITE, Opening::WRITE).await?;
        Ok(Switch::open(first, second).await?)
    }
}

impl Follow {
    async fn run(self, session: &mut Session) -> Outcome {
        let (first, second) = self.to.open(session, Opening::WRITE, Opening::CREATE).await?;
        let switch = Switch::open(first, second).await?;
        switch.follow().await?;
        let mut last = None;
        loop {
            let (Some(status), Some(lag)) = (switch.status().await, switch.lag().await) else {
                return Err(Failure::new(Exit::Failed, "internal", "the mirror was not started"));
            };
            let state = match &status.state {
                MirrorState::Copying => "copying",
                MirrorState::Replicating => "replicating",
                MirrorState::Stopped { why: Some(why) } => {
                    return Err(Failure::from(why.clone()).about("the copy has stopped"));
                }
                _ => "stopped",
            };
            let is_equal = matches!(status.state, MirrorState::Replicating) && lag.changes == 0;
            let now = (state, status.images, lag.changes, status.failures);
            if last != Some(now) {
                last = Some(now);
                report(session, &status, state, lag.changes)?;
            }
            if self.until_equal && is_equal {
                switch.stop().await;
                return Ok(if status.damaged.is_empty() { Exit::Done } else { Exit::Findings });
            }
            tokio::time::sleep(REPORT).await;
        }
    }
}

fn report(
    session: &mut Session,
    status: &throughline::mirror::MirrorStatus,
    state: &str,
    behind: u64,
) -> Result<(), Failure> {
    let output = &mut session.output;
    if output.is_json() {
        let failure = status.last_failure.as_ref().map(ToString::to_string);
        let (images, failures, damaged) = (status.images, status.failures, &status.damaged);
        let body = json!({
            "state": state, "rowImages": images, "behind": behind, "failures": failures, "lastFailure": failure,
            "damaged": damaged,
        });
        output.json("move follow", &body)?;
    } else {
        let images = count(status.images, "row");
        output.line(format_args!("{BOLD}{state}{BOLD:#}  {images} copied, {behind} changes behind"))?;
        if let Some(failure) = status.last_failure.as_ref().filter(|_| status.failures > 0) {
            output.sentence(format_args!("  tried again after: {}", line(&failure.to_string())))?;
        }
        for damaged in &status.damaged {
            output.sentence(format_args!("  {BAD}damaged, not copied{BAD:#}: {}", line(damaged)))?;
        }
    }
    Ok(output.flush()?)
}

/// The role of one store, as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct State {
    store: String,
    role: &'static str,
    epoch: u64,
    position: u64,
    is_empty: bool,
}

impl State {
    fn of(store: String, status: &ReplicationStatus) -> Self {
        let role = match status.replication_state.role {
            ReplicationRole::Primary => "primary",
            ReplicationRole::Replica => "replica",
        };
        let epoch = status.replication_state.epoch.get();
        Self { store, role, epoch, position: status.position.get(), is_empty: status.is_empty }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, role, epoch, position, is_empty } = self;
        let empty = if *is_empty { ", empty" } else { "" };
        write!(f, "{BOLD}{role}{BOLD:#}  {store}: epoch {epoch}, position {position}{empty}")
    }
}

impl Status {
    async fn run(self, session: &mut Session) -> Outcome {
        let (first, second) = self.to.open(session, Opening::READ, Opening::READ).await?;
        let names = [session.store_name(), StoreName::parse(&self.to.name)?.to_string()];
        let [first_name, second_name] = names;
        let first = State::of(first_name, &first.read(GetReplicationStatus {}).await?);
        let second = State::of(second_name, &second.read(GetReplicationStatus {}).await?);
        let output = &mut session.output;
        if output.is_json() {
            output.json("move status", &json!({ "stores": [first, second] }))?;
        } else {
            output.sentence(&first)?;
            output.sentence(&second)?;
            if first.role == second.role {
                output.sentence("No store copies the other one. `throughline move follow` begins a move.")?;
            }
        }
        Ok(Exit::Done)
    }
}

impl Compare {
    async fn run(self, session: &mut Session) -> Outcome {
        let (first, second) = self.to.open(session, Opening::WRITE, Opening::WRITE).await?;
        let progress = super::progress::spinner("comparing");
        let found = compare(&first, &second).await?;
        progress.finish_and_clear();
        let Comparison { differences, position, threads, messages } = &found;
        let exit = if differences.is_empty() { Exit::Done } else { Exit::Findings };
        session.settled = Some(exit);
        let output = &mut session.output;
        if output.is_json() {
            let texts: Vec<String> = differences.iter().map(ToString::to_string).collect();
            let position = position.map(throughline::Position::get);
            let body = json!({ "differences": texts, "position": position, "threads": threads, "messages": messages });
            output.json("move compare", &body)?;
            return Ok(exit);
        }
        for difference in differences.iter().take(SHOWN) {
            output.sentence(format_args!("{BAD}differs{BAD:#}: {}", line(&difference.to_string())))?;
        }
        if differences.len() > SHOWN {
            output.line(format_args!("and {} more; --json lists them", differences.len() - SHOWN))?;
        }
        let compared = format!("{} in {}", count(*messages, "message"), count(*threads, "thread"));
        match (differences.is_empty(), position) {
            (true, Some(at)) => {
                output.sentence(format_args!("{GOOD}equal{GOOD:#} at position {at}: {compared}"))?;
            }
            (true, None) => output.sentence(format_args!("{GOOD}equal{GOOD:#}: {compared}"))?,
            (false, Some(at)) => output.sentence(format_args!("compared {compared} at position {at}"))?,
            (false, None) => {
                output.sentence(format_args!("compared {compared}; a difference can be a later write"))?;
            }
        }
        Ok(exit)
    }
}

fn switched(session: &mut Session, command: &str, done: &Switched, switch: &Switch) -> Outcome {
    let which = if switch.primary() == 0 { "first" } else { "second" };
    let output = &mut session.output;
    if output.is_json() {
        let held = u64::try_from(done.held.as_millis()).unwrap_or(u64::MAX);
        let epoch = done.epoch.get();
        output.json(command, &json!({ "primary": which, "epoch": epoch, "heldMillis": held }))?;
    } else {
        output.sentence(format_args!(
            "{GOOD}The {which} store is the primary{GOOD:#}, in epoch {}; writes waited for {}.",
            done.epoch,
            duration(done.held)
        ))?;
        output.sentence("The other store is its replica, and refuses every other write.")?;
    }
    Ok(Exit::Done)
}

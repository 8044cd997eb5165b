//! Starts the host processes, collects their events, and ends them by closing their pipes.

use std::{
    collections::{HashSet, VecDeque},
    env,
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    sync::mpsc,
    time::timeout,
};

use crate::{
    Failure,
    latency::{Latencies, Phase},
};

/// The longest wait for an event that must come.
const TIMEOUT: Duration = Duration::from_secs(90);

/// A message whose write was acknowledged.
pub(crate) struct Acknowledged {
    pub(crate) thread: String,
    pub(crate) id: String,
}

/// All collected events.
pub(crate) struct Done {
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// The position of each change, with the id of the message that it completed, if any.
    pub(crate) changes: Vec<(u64, String)>,
    pub(crate) failed: usize,
}

struct Host {
    process: Child,
    /// Closing it ends the host.
    input: Option<ChildStdin>,
}

pub(crate) struct Hosts {
    writers: Vec<Host>,
    subscriber: Host,
    /// Events that arrived before all hosts were ready.
    early: VecDeque<(usize, String)>,
    lines: mpsc::UnboundedReceiver<(usize, String)>,
    open: HashSet<String>,
    done: Done,
}

impl Hosts {
    /// Starts `writers` writers and one subscriber, and waits until all have opened the store.
    pub(crate) async fn start(writers: usize, tenant: &str, url: &str) -> Result<Self, Failure> {
        let (sender, mut lines) = mpsc::unbounded_channel();
        let mut hosts = Vec::new();
        for number in 0..writers {
            let name = format!("host-{number}");
            hosts.push(start(number, &["write", &name, tenant, url], &sender)?);
        }
        let subscriber = start(writers, &["subscribe", tenant, url], &sender)?;
        // The first writer may report events before the last host is ready.
        let (mut early, mut ready) = (VecDeque::new(), 0);
        while ready <= writers {
            match timeout(TIMEOUT, lines.recv()).await? {
                Some((_, line)) if line == "ready" => ready += 1,
                Some(event) => early.push_back(event),
                None => return Err("every host has ended".into()),
            }
        }
        let done = Done { acknowledged: Vec::new(), changes: Vec::new(), failed: 0 };
        Ok(Self { writers: hosts, subscriber, early, lines, open: HashSet::new(), done })
    }

    /// Returns the number of streams that have begun and are not acknowledged.
    pub(crate) fn streams(&self) -> usize {
        self.open.len()
    }

    /// Collects events until `messages` more messages are acknowledged.
    pub(crate) async fn acknowledge(
        &mut self,
        messages: usize,
        latencies: &mut Latencies,
        phase: Phase,
    ) -> Result<(), Failure> {
        let wanted = self.done.acknowledged.len() + messages;
        while self.done.acknowledged.len() < wanted {
            self.collect_next(latencies, phase).await?;
        }
        Ok(())
    }

    /// Collects events until each writer has a further acknowledged message after the failover.
    pub(crate) async fn each_acknowledges(
        &mut self,
        latencies: &mut Latencies,
        phase: Phase,
    ) -> Result<(), Failure> {
        // Skip the events that are already queued: they may be from before the failover.
        let mut pending: HashSet<usize> = (0..self.writers.len()).collect();
        let mut waiting = self.early.len() + self.lines.len();
        while !pending.is_empty() {
            let (host, is_acknowledged) = self.collect_next(latencies, phase).await?;
            if waiting == 0 && is_acknowledged {
                pending.remove(&host);
            }
            waiting = waiting.saturating_sub(1);
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<(usize, String)>, Failure> {
        match self.early.pop_front() {
            Some(event) => Ok(Some(event)),
            None => Ok(timeout(TIMEOUT, self.lines.recv()).await?),
        }
    }

    /// Collects one event. Returns its host, and whether it acknowledges a message.
    async fn collect_next(
        &mut self,
        latencies: &mut Latencies,
        phase: Phase,
    ) -> Result<(usize, bool), Failure> {
        let (host, line) = self.next().await?.ok_or("every host has ended")?;
        Ok((host, self.collect(&line, latencies, phase)?))
    }

    fn collect(&mut self, line: &str, latencies: &mut Latencies, phase: Phase) -> Result<bool, Failure> {
        match line.split('\t').collect::<Vec<_>>()[..] {
            ["ack", operation, micros, thread, id] => {
                self.open.remove(id);
                latencies.record(phase, operation, Duration::from_micros(micros.parse()?));
                self.done.acknowledged.push(Acknowledged { thread: thread.to_owned(), id: id.to_owned() });
                return Ok(true);
            }
            ["begun", id] => drop(self.open.insert(id.to_owned())),
            ["change", position, id] => self.done.changes.push((position.parse()?, id.to_owned())),
            ["failed", kind] => {
                println!("a call failed: {kind}");
                self.done.failed += 1;
            }
            _ => return Err(format!("unknown event of a host: `{line}`").into()),
        }
        Ok(false)
    }

    /// Ends the writers, then the subscriber, and collects their last events.
    pub(crate) async fn stop(mut self, latencies: &mut Latencies, phase: Phase) -> Result<Done, Failure> {
        for writer in &mut self.writers {
            end(writer).await?;
        }
        end(&mut self.subscriber).await?;
        while let Some((_, line)) = self.next().await? {
            self.collect(&line, latencies, phase)?;
        }
        Ok(self.done)
    }
}

fn start(
    number: usize,
    arguments: &[&str],
    sender: &mpsc::UnboundedSender<(usize, String)>,
) -> Result<Host, Failure> {
    let mut process = Command::new(env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = process.stdout.take().ok_or("a host has no output")?;
    let input = process.stdin.take();
    let sender = sender.clone();
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if sender.send((number, line)).is_err() {
                return;
            }
        }
    });
    Ok(Host { process, input })
}

async fn end(host: &mut Host) -> Result<(), Failure> {
    drop(host.input.take());
    let status = timeout(TIMEOUT, host.process.wait()).await??;
    if status.success() { Ok(()) } else { Err(format!("a host has failed: {status}").into()) }
}

//! The processes, from outside: what they say is gathered, and their pipes end them.

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

/// The longest that anything may take that has to come.
const TIMEOUT: Duration = Duration::from_secs(90);

/// A message that a host was told is stored.
pub(crate) struct Acknowledged {
    pub(crate) thread: String,
    pub(crate) id: String,
}

/// Everything that was said, in the end.
pub(crate) struct Done {
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// Positions, each with the message that was whole then, if one was.
    pub(crate) told: Vec<(u64, String)>,
    pub(crate) failed: usize,
}

struct Host {
    process: Child,
    /// Closed, it tells the host to end.
    input: Option<ChildStdin>,
}

pub(crate) struct Hosts {
    writers: Vec<Host>,
    replica: Host,
    /// What was said before all were ready.
    early: VecDeque<(usize, String)>,
    lines: mpsc::UnboundedReceiver<(usize, String)>,
    open: HashSet<String>,
    done: Done,
}

impl Hosts {
    /// Starts so many that write, and one that follows; waits until all have opened the store.
    pub(crate) async fn start(writers: usize, tenant: &str, url: &str) -> Result<Self, Failure> {
        let (say, mut lines) = mpsc::unbounded_channel();
        let mut hosts = Vec::new();
        for number in 0..writers {
            let name = format!("host-{number}");
            hosts.push(start(number, &["write", &name, tenant, url], &say)?);
        }
        let replica = start(writers, &["follow", tenant, url], &say)?;
        // The first may write before the last is ready.
        let (mut early, mut ready) = (VecDeque::new(), 0);
        while ready <= writers {
            match timeout(TIMEOUT, lines.recv()).await? {
                Some((_, line)) if line == "ready" => ready += 1,
                Some(said) => early.push_back(said),
                None => return Err("every host has ended".into()),
            }
        }
        let done = Done { acknowledged: Vec::new(), told: Vec::new(), failed: 0 };
        Ok(Self { writers: hosts, replica, early, lines, open: HashSet::new(), done })
    }

    /// How many messages were begun to be streamed, and not acknowledged yet.
    pub(crate) fn streams(&self) -> usize {
        self.open.len()
    }

    /// Takes what they say until so many more messages are acknowledged.
    pub(crate) async fn acknowledge(
        &mut self,
        messages: usize,
        latencies: &mut Latencies,
        phase: Phase,
    ) -> Result<(), Failure> {
        let wanted = self.done.acknowledged.len() + messages;
        while self.done.acknowledged.len() < wanted {
            self.hear(latencies, phase).await?;
        }
        Ok(())
    }

    /// Takes what they say until each host was acknowledged something that was asked for before, or while, nobody could answer.
    pub(crate) async fn each_acknowledges(
        &mut self,
        latencies: &mut Latencies,
        phase: Phase,
    ) -> Result<(), Failure> {
        // What is waiting to be heard was said before the server was back, or just after.
        let mut silent: HashSet<usize> = (0..self.writers.len()).collect();
        let mut waiting = self.early.len() + self.lines.len();
        while !silent.is_empty() {
            let (host, is_acknowledged) = self.hear(latencies, phase).await?;
            if waiting == 0 && is_acknowledged {
                silent.remove(&host);
            }
            waiting = waiting.saturating_sub(1);
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<(usize, String)>, Failure> {
        match self.early.pop_front() {
            Some(said) => Ok(Some(said)),
            None => Ok(timeout(TIMEOUT, self.lines.recv()).await?),
        }
    }

    /// Takes one line; says whose it is, and whether a message was acknowledged.
    async fn hear(&mut self, latencies: &mut Latencies, phase: Phase) -> Result<(usize, bool), Failure> {
        let (host, line) = self.next().await?.ok_or("every host has ended")?;
        Ok((host, self.take(&line, latencies, phase)?))
    }

    fn take(&mut self, line: &str, latencies: &mut Latencies, phase: Phase) -> Result<bool, Failure> {
        match line.split('\t').collect::<Vec<_>>()[..] {
            ["ack", what, micros, thread, id] => {
                self.open.remove(id);
                latencies.record(phase, what, Duration::from_micros(micros.parse()?));
                self.done.acknowledged.push(Acknowledged { thread: thread.to_owned(), id: id.to_owned() });
                return Ok(true);
            }
            ["begun", id] => drop(self.open.insert(id.to_owned())),
            ["told", position, id] => self.done.told.push((position.parse()?, id.to_owned())),
            ["failed", kind] => {
                println!("a call failed: {kind}");
                self.done.failed += 1;
            }
            _ => return Err(format!("a host says `{line}`").into()),
        }
        Ok(false)
    }

    /// Ends the writers, then the one that follows them, and takes what they still say.
    pub(crate) async fn stop(mut self, latencies: &mut Latencies, phase: Phase) -> Result<Done, Failure> {
        for writer in &mut self.writers {
            end(writer).await?;
        }
        end(&mut self.replica).await?;
        while let Some((_, line)) = self.next().await? {
            self.take(&line, latencies, phase)?;
        }
        Ok(self.done)
    }
}

fn start(
    number: usize,
    arguments: &[&str],
    say: &mpsc::UnboundedSender<(usize, String)>,
) -> Result<Host, Failure> {
    let mut process = Command::new(env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = process.stdout.take().ok_or("a host has no output")?;
    let input = process.stdin.take();
    let say = say.clone();
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if say.send((number, line)).is_err() {
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

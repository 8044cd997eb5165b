//! A network of its own for a server, which can be cut.

use std::{
    ffi::OsStr,
    net::{IpAddr, Ipv4Addr},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
};

use crate::StartError;

/// A network namespace with one cable into it. It takes a right that root has, where it was not taken away; and it is gone with whoever
/// has made it, and with the servers in it.
///
/// ```no_run
/// use throughline_postgres_cluster::{Cluster, Installation, Network};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let installation = Installation::find().ok_or("PostgreSQL is not installed")?;
/// let network = Network::make()?;
/// let cluster = Cluster::start_in(&installation, &network)?;
/// network.cut()?; // nothing arrives, and nobody is told
/// network.heal()?;
/// # drop(cluster);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Network {
    /// Holds the namespace for as long as the pipe to it is open.
    holder: Child,
    cable: String,
    client: Ipv4Addr,
    server: Ipv4Addr,
}

impl Network {
    /// Makes one.
    ///
    /// # Errors
    /// [`StartError`] where that is not permitted.
    pub fn make() -> Result<Self, StartError> {
        let mut holder = Command::new("unshare")
            .args(["--net", "--", "/bin/sh", "-c", "echo; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(StartError::io("unshare"))?;
        // It says a line once it is inside.
        let mut said = [0];
        let stdout = holder.stdout.as_mut();
        let inside = stdout.map(|stdout| std::io::Read::read_exact(stdout, &mut said));
        if !matches!(inside, Some(Ok(()))) {
            drop(holder.wait());
            return Err(StartError::new("a network namespace is not permitted"));
        }
        let number = holder.id();
        // Two addresses of 198.18.0.0/15, which is for tests; by the number of the process, so that two of them differ.
        let base = 0xC612_0000 | ((number & 0x7FFF) << 2);
        let network = Self {
            holder,
            cable: format!("tl{number}"),
            client: Ipv4Addr::from(base | 1),
            server: Ipv4Addr::from(base | 2),
        };
        network.lay_cable()?;
        Ok(network)
    }

    fn lay_cable(&self) -> Result<(), StartError> {
        let (pid, cable) = (self.holder.id().to_string(), &*self.cable);
        run(Command::new("ip")
            .args(["link", "add", cable, "type", "veth", "peer", "name", "server", "netns", &pid]))?;
        run(Command::new("ip").args(["addr", "add", &format!("{}/30", self.client), "dev", cable]))?;
        run(Command::new("ip").args(["link", "set", cable, "up"]))?;
        self.ip(&["link", "set", "lo", "up"])?;
        self.ip(&["addr", "add", &format!("{}/30", self.server), "dev", "server"])?;
        self.ip(&["link", "set", "server", "up"])
    }

    /// The address of servers in it.
    #[must_use]
    pub const fn server(&self) -> IpAddr {
        IpAddr::V4(self.server)
    }

    /// Takes the cable out: nothing arrives on either side.
    ///
    /// # Errors
    /// [`StartError`] where the system refuses.
    pub fn cut(&self) -> Result<(), StartError> {
        self.ip(&["link", "set", "server", "down"])
    }

    /// Has everything vanish that servers in it send; what is sent to them arrives.
    ///
    /// # Errors
    /// [`StartError`] where the system refuses.
    pub fn mute(&self) -> Result<(), StartError> {
        self.ip(&["route", "add", "blackhole", &format!("{}/32", self.client)])
    }

    /// Undoes [`cut`](Self::cut) and [`mute`](Self::mute).
    ///
    /// # Errors
    /// [`StartError`] where the system refuses.
    pub fn heal(&self) -> Result<(), StartError> {
        // There may be none.
        drop(self.ip(&["route", "del", "blackhole", &format!("{}/32", self.client)]));
        self.ip(&["link", "set", "server", "up"])
    }

    fn ip(&self, args: &[&str]) -> Result<(), StartError> {
        let mut ip = Command::new("ip");
        ip.args(args);
        run(&mut self.inside(&ip))
    }

    /// The command, inside.
    pub(crate) fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--net=/proc/{}/ns/net", self.holder.id())).arg("--");
        inside.arg(command.get_program()).args(command.get_args());
        inside
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        drop(self.holder.wait());
    }
}

fn run(command: &mut Command) -> Result<(), StartError> {
    let name = command.get_program().to_owned();
    let output = command.output().map_err(StartError::io(name.to_string_lossy()))?;
    if output.status.success() {
        return Ok(());
    }
    let args: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    let said = String::from_utf8_lossy(&output.stderr);
    Err(StartError::new(format!("{} {}: {}", name.to_string_lossy(), args.join(" "), said.trim())))
}

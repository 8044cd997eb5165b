//! A network namespace for a server, which a test can cut.

use std::{
    ffi::OsStr,
    net::{IpAddr, Ipv4Addr},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
};

use crate::StartError;

/// A network namespace with one virtual Ethernet link to this machine. Creating it takes a capability that root
/// usually has. The namespace ends with the process that created it, and so do the servers in it.
///
/// ```no_run
/// use throughline_postgres_cluster::{Cluster, Installation, Network};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let installation = Installation::find().ok_or("PostgreSQL is not installed")?;
/// let network = Network::make()?;
/// let cluster = Cluster::start_in(&installation, &network)?;
/// network.cut()?; // packets are lost without an error
/// network.heal()?;
/// # drop(cluster);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Network {
    /// The process that keeps the namespace alive as long as the pipe to it is open.
    holder: Child,
    cable: String,
    client: Ipv4Addr,
    server: Ipv4Addr,
}

impl Network {
    /// Creates a network namespace.
    ///
    /// # Errors
    /// Returns [`StartError`] if the system does not permit it.
    pub fn make() -> Result<Self, StartError> {
        let mut holder = Command::new("unshare")
            .args(["--net", "--", "/bin/sh", "-c", "echo; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(StartError::io("unshare"))?;
        // The process writes a line once it is inside the namespace.
        let mut said = [0];
        let stdout = holder.stdout.as_mut();
        let inside = stdout.map(|stdout| std::io::Read::read_exact(stdout, &mut said));
        if !matches!(inside, Some(Ok(()))) {
            drop(holder.wait());
            return Err(StartError::new("a network namespace is not permitted"));
        }
        let number = holder.id();
        // Two addresses of 198.18.0.0/15, the range for tests. They derive from the process id, so that two
        // namespaces differ.
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

    /// Returns the address of servers in the namespace.
    #[must_use]
    pub const fn server(&self) -> IpAddr {
        IpAddr::V4(self.server)
    }

    /// Sets the link down: packets are lost in both directions.
    ///
    /// # Errors
    /// Returns [`StartError`] if the system refuses.
    pub fn cut(&self) -> Result<(), StartError> {
        self.ip(&["link", "set", "server", "down"])
    }

    /// Drops every packet that servers in the namespace send. Packets to them still arrive.
    ///
    /// # Errors
    /// Returns [`StartError`] if the system refuses.
    pub fn mute(&self) -> Result<(), StartError> {
        self.ip(&["route", "add", "blackhole", &format!("{}/32", self.client)])
    }

    /// Undoes [`cut`](Self::cut) and [`mute`](Self::mute).
    ///
    /// # Errors
    /// Returns [`StartError`] if the system refuses.
    pub fn heal(&self) -> Result<(), StartError> {
        // There may be no such route.
        drop(self.ip(&["route", "del", "blackhole", &format!("{}/32", self.client)]));
        self.ip(&["link", "set", "server", "up"])
    }

    fn ip(&self, args: &[&str]) -> Result<(), StartError> {
        let mut ip = Command::new("ip");
        ip.args(args);
        run(&mut self.inside(&ip))
    }

    /// Returns the command, to be run inside the namespace.
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

//! The process of chromedriver, with every process of its browser.

use std::{
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, Command},
};

/// Starts the driver, waits for the end of the input, and kills the whole process group: the driver, the browser and this shell. A
/// driver that gets a signal leaves its browser running.
const SCRIPT: &str = "chromedriver --port=0 & exec >&-; read -r _; kill -s KILL 0";

/// The kernel ends killed processes within milliseconds.
const END: Duration = Duration::from_secs(5);

/// A running driver. Its input closes when this value is dropped, and also when the test process is killed.
pub(crate) struct DriverProcess {
    shell: Child,
    input: Option<ChildStdin>,
}

impl DriverProcess {
    /// Starts a driver, and returns it with its port.
    pub(crate) async fn start() -> (Self, u16) {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("the program sh");
        let output = shell.stdout.take().unwrap();
        let input = shell.stdin.take();
        let driver = Self { shell, input };
        let mut lines = BufReader::new(output).lines();
        let port = loop {
            let line = lines.next_line().await.unwrap();
            let line = line.expect("the program chromedriver: on Debian, the package chromium-driver");
            if let Some((_, port)) = line.split_once("successfully on port ") {
                break port.trim_end_matches('.').parse().unwrap();
            }
        };
        // The driver must always be able to write.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        (driver, port)
    }
}

impl Drop for DriverProcess {
    fn drop(&mut self) {
        drop(self.input.take());
        let begun = Instant::now();
        while begun.elapsed() < END && matches!(self.shell.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

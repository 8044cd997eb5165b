use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{Failure, host::TOKEN};

/// The longest wait for bytes of a stream. A stream without them for so long has failed.
const HANG: Duration = Duration::from_secs(60);

/// The client of one stream. It looks for marks in the bytes, and parses nothing else, so that it costs little.
pub(crate) struct StreamReader {
    stream: TcpStream,
    /// The bytes that are read, without those that were searched.
    pending: Vec<u8>,
}

/// A mark in a stream: `#` and five digits, the number of an append.
pub(crate) const MARK: usize = 6;

/// An append that a reader has received.
pub(crate) struct Received {
    pub(crate) number: usize,
    pub(crate) at: Instant,
}

impl StreamReader {
    /// Opens a stream, and reads the begin of its answer.
    pub(crate) async fn open(server: SocketAddr, target: &str) -> Result<Self, Failure> {
        let mut stream = TcpStream::connect(server).await?;
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
             Accept: text/event-stream\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut reader = Self { stream, pending: Vec::with_capacity(1024) };
        // The begin of the answer is the head and the first field of the stream.
        while !reader.has(b"retry: ") {
            reader.read().await?;
        }
        if !reader.pending.starts_with(b"HTTP/1.1 200 ") {
            return Err(String::from_utf8_lossy(&reader.pending).into_owned().into());
        }
        reader.pending.clear();
        Ok(reader)
    }

    fn has(&self, text: &[u8]) -> bool {
        self.pending.windows(text.len()).any(|window| window == text)
    }

    async fn read(&mut self) -> Result<usize, Failure> {
        match timeout(HANG, self.stream.read_buf(&mut self.pending)).await?? {
            0 => Err(format!("the stream ended: {}", String::from_utf8_lossy(&self.pending)).into()),
            bytes => Ok(bytes),
        }
    }

    /// Reads until the append with this number has arrived. Returns the bytes that were read, and when each append arrived.
    pub(crate) async fn follow(&mut self, last: usize) -> Result<(usize, Vec<Received>), Failure> {
        let (mut bytes, mut received) = (0, Vec::new());
        loop {
            bytes += self.read().await?;
            let at = Instant::now();
            let mut searched = 0;
            while let Some(found) = self.pending[searched..].iter().position(|byte| *byte == b'#') {
                let begin = searched + found;
                let Some(digits) = self.pending.get(begin + 1..begin + MARK) else { break };
                let number = std::str::from_utf8(digits)?.parse()?;
                received.push(Received { number, at });
                searched = begin + MARK;
            }
            // A mark that has not arrived as a whole stays.
            let rest = self.pending[searched..].iter().position(|byte| *byte == b'#');
            let keep = rest.map_or(self.pending.len(), |found| searched + found);
            self.pending.drain(..keep);
            if received.last().is_some_and(|received| received.number >= last) {
                return Ok((bytes, received));
            }
        }
    }
}

//! One proxied connection.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinSet,
    time::sleep,
};

use super::{Faults, Shared, Way};

/// Accepts connections until the task is aborted, which also closes every connection.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut links = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        while links.try_join_next().is_some() {}
        shared.counts.connections.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(&shared);
        links.spawn(async move {
            let faults = shared.faults.subscribe();
            if faults.borrow().refuses {
                reset(&client, &shared);
                return;
            }
            // If the server is not there, the proxy closes the client's connection.
            let Ok(server) = TcpStream::connect(shared.upstream()).await else { return };
            carry(client, server, &shared, faults).await;
        });
    }
}

/// Makes the connection end with a TCP reset.
fn reset(client: &TcpStream, shared: &Shared) {
    shared.counts.cut.fetch_add(1, Ordering::SeqCst);
    // If the option cannot be set, the connection ends without a reset.
    drop(client.set_zero_linger());
}

async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    shared: &Shared,
    mut faults: watch::Receiver<Faults>,
) {
    drop((client.set_nodelay(true), server.set_nodelay(true)));
    let cuts = faults.borrow().cuts;
    let waits = AtomicBool::default();
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            ended = pass(from_client, to_server, (shared, &waits), Way::ToServer) => ended,
            ended = pass(from_server, to_client, (shared, &waits), Way::ToClient) => ended,
            _ = faults.wait_for(|faults| faults.cuts != cuts) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    };
    if ended.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionAborted) {
        reset(&client, shared);
        drop(server.set_zero_linger());
    }
}

/// Forwards bytes until the end of the stream. The error `ConnectionAborted` means that the proxy itself reset the
/// connection. `waits` is whether the client has sent bytes since the last answer.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    (shared, waits): (&Shared, &AtomicBool),
    way: Way,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let waited = waits.swap(way == Way::ToServer, Ordering::SeqCst);
        if way == Way::ToServer && !waited {
            shared.counts.round_trips.fetch_add(1, Ordering::SeqCst);
        }
        let faults = *shared.faults.borrow();
        if !faults.delay.is_zero() {
            sleep(faults.delay).await;
        }
        let swallows = match way {
            Way::ToServer => faults.swallows_to_server,
            Way::ToClient => faults.swallows_to_client,
        };
        if swallows {
            shared.counts.swallowed.fetch_add(1, Ordering::SeqCst);
            continue;
        }
        let allowed = allowed(shared, way, read);
        to.write_all(&buffer[..allowed]).await?;
        if allowed < read {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
    }
}

/// Returns how many of these bytes may pass. After a partial answer, the next bytes may pass again.
fn allowed(shared: &Shared, way: Way, bytes: usize) -> usize {
    let wanted = i64::try_from(bytes).unwrap_or(i64::MAX);
    let take = |left: i64| match left {
        ..0 => None,
        left if left < wanted => Some(-1),
        left => Some(left - wanted),
    };
    match shared.budgets[way as usize].fetch_update(Ordering::SeqCst, Ordering::SeqCst, take) {
        Ok(left) if left < wanted => usize::try_from(left).unwrap_or_default(),
        _ => bytes,
    }
}

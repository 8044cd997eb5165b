//! The proxy injects the configured faults and nothing else.

use std::time::Duration;

use throughline_postgres_cluster::proxy::{Proxy, Way};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// A server that returns what it receives.
async fn echo() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = client.split();
                drop(tokio::io::copy(&mut from, &mut to).await);
            });
        }
    });
    address
}

async fn answered(client: &mut TcpStream, sent: &[u8]) -> Vec<u8> {
    client.write_all(sent).await.unwrap();
    let mut answer = vec![0; sent.len()];
    client.read_exact(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn bytes_pass_until_the_connection_is_cut_in_the_middle() {
    let proxy = Proxy::start(&echo().await).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(answered(&mut client, b"hello").await, b"hello");
    proxy.cut_after(Way::ToClient, 3);
    client.write_all(b"world").await.unwrap();
    let mut got = [0; 3];
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"wor");
    assert_eq!(client.read(&mut got).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!((proxy.connections(), proxy.cut(), proxy.swallowed()), (1, 1, 0));
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(
        answered(&mut client, b"again").await,
        b"again",
        "the proxy reset one connection, and not the next"
    );
}

#[tokio::test]
async fn swallowed_bytes_get_no_answer_and_refused_connections_end() {
    let proxy = Proxy::start(&echo().await).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(answered(&mut client, b"hello").await, b"hello");
    proxy.swallow_one(Way::ToClient);
    client.write_all(b"world").await.unwrap();
    let mut got = [0; 5];
    assert!(timeout(Duration::from_millis(100), client.read(&mut got)).await.is_err());
    assert_eq!(proxy.swallowed(), 1);
    proxy.heal();
    assert!(client.read(&mut got).await.is_err(), "it has missed something");
    proxy.refuse();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(client.read(&mut got).await.is_err());
    proxy.heal();
    proxy.route_to(&echo().await);
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(answered(&mut client, b"again").await, b"again");
    proxy.reset();
    assert!(client.read(&mut got).await.is_err());
}

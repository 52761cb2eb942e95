//! Clients that ping too often are cut off, in the words and after as many pings as by the real etcd.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::{Cluster, SOON};
use super::real::real_etcds;

/// The head of a frame and its payload.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let head = [0, 0, length, kind, 0, 0, 0, 0, 0];
    [&head, payload].concat()
}

/// Pings until the server has gone: how many pings it answered, and its last word.
async fn ping(endpoint: &str) -> (usize, String) {
    let mut stream = TcpStream::connect(endpoint).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    stream.write_all(&frame(4, b"")).await.unwrap();
    let (mut answered, mut last) = (0, String::new());
    stream.write_all(&frame(6, &[1; 8])).await.unwrap();
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return (answered, last);
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).await.unwrap();
        match (head[3], head[4]) {
            (6, 1) => {
                answered += 1;
                stream.write_all(&frame(6, &[1; 8])).await.unwrap();
            }
            (7, _) => {
                let words = String::from_utf8_lossy(&payload[8..]).into_owned();
                last = format!("{:?} {words}", &payload[..8]);
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_pings_too_often_is_cut_off() {
    let cluster = Cluster::start(1).await;
    let mut endpoints = vec![("ours", cluster.endpoint(0))];
    let real = real_etcds(&[]).await;
    let others = real
        .iter()
        .map(|(name, real)| (*name, real.endpoint.clone()));
    endpoints.extend(others);
    for (name, endpoint) in endpoints {
        let patience = std::time::Duration::from_secs(SOON);
        let told = tokio::time::timeout(patience, ping(&endpoint))
            .await
            .unwrap();
        let expected = "[0, 0, 0, 0, 0, 0, 0, 11] too_many_pings".to_owned();
        assert_eq!(told, (4, expected), "{name}");
    }
}

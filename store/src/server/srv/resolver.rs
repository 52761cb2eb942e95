//! Asks the system's name servers for SRV records, by datagrams, and over TCP for what is too long for
//! them. Limit: two rounds over at most three servers, some seconds for each question.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::message::{self, Answer, NO_SUCH_NAME, Record};

const CONFIG: &str = "/etc/resolv.conf";
const PORT: u16 = 53;
const SERVERS_MAX: usize = 3;
const ROUNDS: usize = 2;
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest message without extensions of the protocol.
const DATAGRAM_BYTES_MAX: usize = 512;

/// Why there are no records; the words are those of Go's resolver.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The servers know of none.
    #[error("lookup {name} on {server}: no such host")]
    NoSuchHost {
        /// What was asked for.
        name: String,
        /// Who was asked.
        server: SocketAddr,
    },
    /// No server gave an answer. Worth another try.
    #[error("lookup {name} on {server}: {why}")]
    NoAnswer {
        /// What was asked for.
        name: String,
        /// Who was asked last.
        server: SocketAddr,
        /// Why not.
        why: String,
    },
    /// It cannot be asked for.
    #[error("lookup {0}: no such host")]
    NoName(String),
}

/// The records of `name`, those to be preferred first.
pub(super) async fn lookup(servers: &[SocketAddr], name: &str) -> Result<Vec<Record>, LookupError> {
    let mut failed = LookupError::NoName(name.into());
    for _ in 0..ROUNDS {
        for server in servers {
            let (id, question) = ask_for(name)?;
            let answered = timeout(PATIENCE, ask(*server, id, &question)).await;
            let (name, server) = (name.to_owned(), *server);
            let why = match answered {
                Err(_) => "i/o timeout".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Ok(Ok(answer)) => match answer.code {
                    0 if !answer.records.is_empty() => {
                        let mut records = answer.records;
                        records.sort();
                        return Ok(records);
                    }
                    0 | NO_SUCH_NAME => return Err(LookupError::NoSuchHost { name, server }),
                    _ => "server misbehaving".to_owned(),
                },
            };
            failed = LookupError::NoAnswer { name, server, why };
        }
    }
    Err(failed)
}

fn ask_for(name: &str) -> Result<(u16, Vec<u8>), LookupError> {
    let no_name = || LookupError::NoName(name.into());
    let mut id = [0; 2];
    // Together with the socket's own number it makes answers hard to forge.
    aws_lc_rs::rand::fill(&mut id).map_err(|_| no_name())?;
    let id = u16::from_be_bytes(id);
    let question = message::question(id, name).ok_or_else(no_name)?;
    Ok((id, question))
}

async fn ask(server: SocketAddr, id: u16, question: &[u8]) -> std::io::Result<Answer> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    // From here on nobody else is heard.
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = [0; DATAGRAM_BYTES_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // A late answer to another question may come first.
        match message::answer(id, &buffer[..length]) {
            Some(answer) if answer.is_truncated => {
                return ask_at_length(server, id, question).await;
            }
            Some(answer) => return Ok(answer),
            None => {}
        }
    }
}

async fn ask_at_length(server: SocketAddr, id: u16, question: &[u8]) -> std::io::Result<Answer> {
    let invalid = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(|_| invalid())?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(question).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    message::answer(id, &buffer).ok_or_else(invalid)
}

/// The name servers of this machine; its own where none is named.
pub(super) async fn system_servers() -> Vec<SocketAddr> {
    let text = tokio::fs::read_to_string(CONFIG).await;
    let mut servers = servers_of(&text.unwrap_or_default());
    if servers.is_empty() {
        servers.push((Ipv4Addr::LOCALHOST, PORT).into());
    }
    servers
}

fn servers_of(config: &str) -> Vec<SocketAddr> {
    let addresses = config.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next().filter(|word| *word == "nameserver");
        // A zone behind an address is of use to link-local ones alone.
        address.and(words.next())?.parse::<IpAddr>().ok()
    });
    let servers = addresses.map(|address| SocketAddr::new(address, PORT));
    servers.take(SERVERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_those_of_the_systems_file() {
        let text = "# nameserver 1.1.1.1\nsearch a\nnameserver 10.0.0.1\nnameserver\tfd00::1 # x\n\
                    nameserver no\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n";
        let servers = servers_of(text).into_iter();
        let servers: Vec<String> = servers.map(|server| server.to_string()).collect();
        assert_eq!(servers, ["10.0.0.1:53", "[fd00::1]:53", "10.0.0.2:53"]);
        assert!(servers_of("").is_empty());
    }

    /// The answer to a question: one record, or its code alone.
    fn answer_to(question: &[u8], flags: [u8; 2], has_record: bool) -> Vec<u8> {
        let mut answer = question.to_vec();
        answer[2..4].copy_from_slice(&flags);
        if has_record {
            answer[7] = 1;
            answer.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, 9]);
            answer.extend([0, 1, 0, 2, 9, 0x4c, 1, b'm', 0]);
        }
        answer
    }

    async fn recv(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
        let mut question = [0; 512];
        let (length, from) = socket.recv_from(&mut question).await.unwrap();
        (question[..length].to_vec(), from)
    }

    #[tokio::test]
    async fn what_is_too_long_comes_over_tcp_and_a_bad_server_is_passed_over() {
        let stream = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = UdpSocket::bind(stream.local_addr().unwrap()).await.unwrap();
        let bad = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let servers = [bad.local_addr().unwrap(), good.local_addr().unwrap()];
        let serve = async {
            let (question, from) = recv(&bad).await;
            let refused = answer_to(&question, [0x80, 2], false);
            bad.send_to(&refused, from).await.unwrap();
            let (question, from) = recv(&good).await;
            // Nobody's answer, and then one that says that there is more.
            good.send_to(b"??", from).await.unwrap();
            let truncated = answer_to(&question, [0x82, 0], false);
            good.send_to(&truncated, from).await.unwrap();
            let (mut stream, _) = stream.accept().await.unwrap();
            let mut asked = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut asked).await.unwrap();
            assert_eq!(asked, question);
            let whole = answer_to(&question, [0x80, 0], true);
            let length = u16::try_from(whole.len()).unwrap();
            stream.write_u16(length).await.unwrap();
            stream.write_all(&whole).await.unwrap();
        };
        let (found, ()) = tokio::join!(lookup(&servers, "_x._tcp.a"), serve);
        let record = Record {
            priority: 1,
            weight: 2,
            target: "m".into(),
            port: 2380,
        };
        assert_eq!(found.unwrap(), [record]);
        let serve = async {
            let (question, from) = recv(&good).await;
            let none = answer_to(&question, [0x80, NO_SUCH_NAME], false);
            good.send_to(&none, from).await.unwrap();
        };
        let (none, ()) = tokio::join!(lookup(&servers[1..], "_x._tcp.a"), serve);
        let words = format!("lookup _x._tcp.a on {}: no such host", servers[1]);
        assert_eq!(none.unwrap_err().to_string(), words);
        let bad_name = lookup(&servers, "a..b").await.unwrap_err();
        assert_eq!(bad_name.to_string(), "lookup a..b: no such host");
    }
}

//! gofail's HTTP: `GET /` lists the places, `PUT /NAME` gives one its terms, `DELETE /NAME` takes them
//! away, `GET /NAME` shows them, `GET /NAME/count` counts hits, `PUT /failpoints` sets several.
//!
//! A thread of its own with the plainest server there is, so that a member whose every other thread
//! waits at a place can still be told to go on. One order at a time, each bounded in size and time.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::points::{OrderError, POINTS, Points};

const HEAD_BYTES_MAX: u64 = 16 << 10;
const BODY_BYTES_MAX: usize = 64 << 10;
const TIMEOUT: Duration = Duration::from_secs(5);

/// Listens at `address` from now on; where it really does.
pub(super) fn listen(address: &str) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address)?;
    let bound = listener.local_addr()?;
    std::thread::Builder::new()
        .name("failpoints".to_owned())
        .spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Err(error) = serve(&stream, &POINTS) {
                    tracing::warn!(error = %error, "a failpoint order was not read");
                }
            }
        })?;
    tracing::warn!(address = %bound, "failpoints can be set: this build is for tests alone");
    Ok(bound)
}

struct Answer {
    status: &'static str,
    body: String,
}

fn serve(stream: &TcpStream, points: &Points) -> io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut reader = BufReader::new(stream.take(HEAD_BYTES_MAX));
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, path) = (
        words.next().unwrap_or_default().to_owned(),
        words.next().unwrap_or_default().to_owned(),
    );
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0_usize);
        }
    }
    let mut body = vec![0; length.min(BODY_BYTES_MAX)];
    reader.get_mut().set_limit(BODY_BYTES_MAX as u64);
    reader.read_exact(&mut body)?;
    let answer = order(points, &method, &path, &String::from_utf8_lossy(&body));
    let Answer { status, body } = answer;
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn order(points: &Points, method: &str, path: &str, body: &str) -> Answer {
    let name = path.trim_start_matches('/');
    let done = |result: Result<(), OrderError>| match result {
        Ok(()) => Answer {
            status: "204 No Content",
            body: String::new(),
        },
        Err(error) => refused("400 Bad Request", &error),
    };
    let shown = |result: Result<String, OrderError>| match result {
        Ok(text) => Answer {
            status: "200 OK",
            body: format!("{text}\n"),
        },
        Err(error) => refused("404 Not Found", &error),
    };
    match method {
        "GET" if name.is_empty() => Answer {
            status: "200 OK",
            body: points.list(),
        },
        "GET" => match name.strip_suffix("/count") {
            Some(name) => shown(points.get(name).map(|(_, hits)| hits.to_string())),
            None => shown(points.get(name).map(|(terms, _)| terms)),
        },
        "PUT" if name == "failpoints" => done(points.set_list(body)),
        "PUT" => done(points.set(name, body)),
        "DELETE" => done(points.clear(name)),
        _ => Answer {
            status: "405 Method Not Allowed",
            body: "Method not allowed\n".to_owned(),
        },
    }
}

fn refused(status: &'static str, error: &OrderError) -> Answer {
    Answer {
        status,
        body: format!("{error}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(points: &Points, request: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        let (server, _) = listener.accept().unwrap();
        serve(&server, points).unwrap();
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn speaks_as_gofail_does() {
        let points = Points::default();
        let put =
            "PUT /raftBeforeSave HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nsleep(\"1s\")";
        assert!(ask(&points, put).starts_with("HTTP/1.1 204 "));
        let list = ask(&points, "GET / HTTP/1.1\r\n\r\n");
        assert!(
            list.starts_with("HTTP/1.1 200 ") && list.contains("\nraftBeforeSave=sleep(\"1s\")\n"),
            "{list}"
        );
        points.hit("raftBeforeSave");
        let count = ask(&points, "GET /raftBeforeSave/count HTTP/1.1\r\n\r\n");
        assert!(count.ends_with("\r\n\r\n1\n"), "{count}");
        let delete = "DELETE /raftBeforeSave HTTP/1.1\r\n\r\n";
        assert!(ask(&points, delete).starts_with("HTTP/1.1 204 "));
        assert!(ask(&points, delete).starts_with("HTTP/1.1 400 "));
        let bad = "PUT /nowhere HTTP/1.1\r\nContent-Length: 5\r\n\r\npanic";
        assert!(ask(&points, bad).contains("does not exist"));
        assert!(ask(&points, "\r\n\r\n").starts_with("HTTP/1.1 405 "));
    }
}

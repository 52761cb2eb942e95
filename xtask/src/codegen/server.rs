//! Asks a running server, by way of `kubectl proxy`, which knows how to authenticate.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::workspace;

/// Asks for a Table, without the objects.
pub(super) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
/// Asks for aggregated discovery.
pub(super) const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// A proxy that ends with this value.
pub(super) struct Server {
    proxy: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

impl Server {
    /// Starts a proxy for the server that the kubeconfig names.
    pub(super) fn connect(kubeconfig: &Path) -> Result<Self> {
        let kubectl = workspace::peers().map(|dir| dir.join("bin/kubectl"))?;
        let program = if kubectl.exists() {
            kubectl.as_path()
        } else {
            Path::new("kubectl")
        };
        let mut command = Command::new(program);
        command
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["proxy", "--port", "0"]);
        let mut proxy = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let mut line = String::new();
        let stdout = proxy.stdout.take().context("kubectl has no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let Some((_, address)) = line.trim().rsplit_once(' ') else {
            bail!("kubectl proxy said {line:?}");
        };
        Ok(Self {
            address: address.to_owned(),
            proxy,
        })
    }

    /// The JSON at a path.
    pub(super) fn get(&self, path: &str, accept: &str) -> Result<Value> {
        let mut stream = TcpStream::connect(&self.address).context("connect to kubectl proxy")?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        let (head, body) = split_head(&answer).context("an answer without a head")?;
        ensure!(
            head.starts_with("HTTP/1.1 200"),
            "GET {path}: {}",
            head.lines().next().unwrap_or("")
        );
        let is_chunked = head.to_lowercase().contains("transfer-encoding: chunked");
        let body = if is_chunked {
            join_chunks(body)?
        } else {
            body.to_vec()
        };
        serde_json::from_slice(&body).with_context(|| format!("read the answer of {path}"))
    }
}

fn split_head(answer: &[u8]) -> Option<(String, &[u8])> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(answer.get(..end)?).into_owned();
    Some((head, answer.get(end + 4..)?))
}

fn join_chunks(mut body: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len());
    loop {
        let end = body
            .windows(2)
            .position(|two| two == b"\r\n")
            .context("a chunk has no length")?;
        let length = std::str::from_utf8(body.get(..end).unwrap_or_default())?;
        let length = usize::from_str_radix(length.trim(), 16)?;
        if length == 0 {
            return Ok(out);
        }
        let start = end + 2;
        out.extend_from_slice(
            body.get(start..start + length)
                .context("a chunk is cut off")?,
        );
        body = body
            .get(start + length + 2..)
            .context("a chunk is cut off")?;
    }
}

#[cfg(test)]
mod tests {
    use super::{join_chunks, split_head};

    #[test]
    fn answers_are_put_together() {
        let (head, body) =
            split_head(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n").unwrap();
        assert_eq!(head, "HTTP/1.1 200 OK\r\nA: b");
        assert_eq!(join_chunks(body).unwrap(), b"abcd");
        join_chunks(b"5\r\nabc").unwrap_err();
    }
}

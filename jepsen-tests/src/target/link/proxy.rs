//! The proxy before one member: takes what the others open, and forwards by the links' rules.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use base::Tasks;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::owner::owner;
use super::pump::pump;
use super::rules::Rules;

/// Connections at once through one proxy; beyond, new ones wait.
const CONNECTIONS_MAX: usize = 512;

/// Which members run now, as which processes.
pub(crate) type Pids = Arc<dyn Fn() -> Vec<(usize, u32)> + Send + Sync>;

/// A proxy that is bound.
pub(crate) struct Proxy {
    /// The member behind it.
    pub(crate) member: usize,
    /// Where it listens.
    pub(crate) listener: TcpListener,
    /// Where the member listens.
    pub(crate) to: u16,
    /// Who may have opened a connection.
    pub(crate) pids: Pids,
    /// What each link does.
    pub(crate) rules: watch::Receiver<Rules>,
}

impl Proxy {
    /// Listens on `port` of the loopback.
    pub(crate) async fn bind(port: u16) -> Result<TcpListener> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .with_context(|| format!("listen on 127.0.0.1:{port} for a member's peers"))
    }

    /// Forwards until the tasks end.
    pub(crate) async fn run(self, tasks: Tasks) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let stop = tasks.stop().clone();
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! { biased;
                () = stop.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((from, address)) = accepted else {
                continue;
            };
            let (member, to, rules) = (self.member, self.to, self.rules.clone());
            let (pids, stop) = (self.pids.clone(), stop.clone());
            tasks.spawn_infallible("link", async move {
                let _permit = permit;
                tokio::select! { biased;
                    () = stop.cancelled() => {}
                    () = forward(from, address, (member, to), &pids, rules) => {}
                }
            });
        }
    }
}

/// Forwards one connection until an end of it closes.
async fn forward(
    from: TcpStream,
    address: SocketAddr,
    (member, to): (usize, u16),
    pids: &Pids,
    mut rules: watch::Receiver<Rules>,
) {
    let Ok(here) = from.local_addr() else { return };
    // One that is of no member that lives is closed: nothing may pass by a link's rules.
    let Some(sender) = owner(&pids(), address, here) else {
        return;
    };
    let link = (sender, member);
    if rules.wait_for(|rules| !rules.holds(link)).await.is_err() {
        return;
    }
    let Ok(target) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await else {
        return;
    };
    let _ = (from.set_nodelay(true), target.set_nodelay(true));
    let (read, write) = from.into_split();
    let (answers, asks) = target.into_split();
    tokio::join!(
        pump(read, asks, rules.clone(), link),
        pump(answers, write, rules, (member, sender)),
    );
}

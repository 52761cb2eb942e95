//! Saves snapshots of a cluster while others write to it, and restores them as clusters of one when
//! the run is over: as they are, and with revisions that go on beyond the old ones.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use proto_etcd::etcdserverpb::SnapshotRequest;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto_etcd::etcdserverpb::{RangeRequest, RangeResponse};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::watcher::Stream;
use crate::edn::Value;
use crate::history::{History, Kind};
use crate::target::{Alone, Program};
use crate::wire::{ANSWER_TIME_MAX, Dial, Kv, end_of, put, revision};

const EACH: Duration = Duration::from_millis(2_500);
const SAVE_TIME_MAX: Duration = Duration::from_secs(10);
/// The first ones are as good as any: the rest is not restored.
const SAVED_MAX: usize = 6;
/// More than any run writes.
pub(crate) const BUMP: i64 = 1_000_000_000;

/// Snapshots in files.
pub(crate) struct Saver {
    dir: TempDir,
    saved: Mutex<Vec<PathBuf>>,
}

impl Saver {
    pub(super) fn new() -> Result<Arc<Self>> {
        let dir = tempfile::tempdir().context("make a folder for snapshots")?;
        let saved = Mutex::default();
        Ok(Arc::new(Self { dir, saved }))
    }

    /// Saves one after the other, of each member in turn, until it is to stop.
    pub(super) async fn run(
        self: Arc<Self>,
        urls: Vec<String>,
        history: History,
        stop: CancellationToken,
    ) {
        for (number, url) in urls.iter().cycle().enumerate() {
            tokio::select! { biased;
                () = stop.cancelled() => return,
                () = sleep(EACH) => {}
            }
            if self.saved.lock().len() >= SAVED_MAX {
                return;
            }
            let path = self.dir.path().join(format!("{number}.snapshot"));
            match timeout(SAVE_TIME_MAX, save(url, &path)).await {
                Ok(Ok(bytes)) => {
                    self.saved.lock().push(path);
                    history.note("saver", "saved", bytes.into());
                }
                // A member that is down, or goes down meanwhile: the next one is asked.
                Ok(Err(_)) | Err(_) => history.note("saver", "not-saved", Value::text(url)),
            }
        }
    }

    /// Restores each of them, and records what is there.
    pub(super) async fn restore(
        &self,
        program: &Program,
        prefix: &str,
        history: &History,
    ) -> Result<()> {
        let saved = self.saved.lock().clone();
        ensure!(!saved.is_empty(), "no snapshot was saved");
        for (number, file) in saved.iter().enumerate() {
            // Each one as a disaster would have it, and the first also as it is.
            for bump in [(number == 0).then_some(0), Some(BUMP)]
                .into_iter()
                .flatten()
            {
                let folder = self.dir.path().join(format!("{number}-{bump}"));
                let restored = restore(program, file, &folder, bump);
                restored.with_context(|| format!("restore snapshot {number}"))?;
                record(program, &folder, prefix, bump, history)
                    .await
                    .with_context(|| format!("start what snapshot {number} was restored to"))?;
            }
        }
        Ok(())
    }
}

async fn save(url: &str, path: &Path) -> Result<i64> {
    let channel = Dial::new(url).channel().await.context("nobody answers")?;
    let mut client = MaintenanceClient::new(channel);
    let mut parts = client.snapshot(SnapshotRequest {}).await?.into_inner();
    let mut file = File::create(path)?;
    let mut bytes = 0;
    while let Some(part) = parts.message().await? {
        file.write_all(&part.blob)?;
        bytes += part.blob.len();
    }
    Ok(i64::try_from(bytes).unwrap_or(i64::MAX))
}

/// By the tool that belongs to the servers, as an administrator would.
fn restore(program: &Program, file: &Path, folder: &Path, bump: i64) -> Result<()> {
    let (path, first) = program.tool();
    let mut command = Command::new(path);
    command.args(first).args(["snapshot", "restore"]).arg(file);
    command.arg("--data-dir").arg(folder.join(Alone::NAME));
    command.args(["--name", Alone::NAME]);
    let peer = Alone::PEER_URL;
    command.arg(format!("--initial-cluster={}={peer}", Alone::NAME));
    command.arg(format!("--initial-advertise-peer-urls={peer}"));
    if bump > 0 {
        command.arg(format!("--bump-revision={bump}"));
        command.arg("--mark-compacted");
    }
    fs::create_dir_all(folder).context("make a folder")?;
    let done = command.output().context("start the tool")?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "snapshot restore: {said}");
    Ok(())
}

/// What the restored cluster says: `[bump revision [[key value revision] …] old-watch next-write]`.
async fn record(
    program: &Program,
    folder: &Path,
    prefix: &str,
    bump: i64,
    history: &History,
) -> Result<()> {
    let process = history.new_process();
    let op = history.invoke(process, "restored", bump.into());
    let alone = Alone::start(program, folder).await?;
    let all = format!("{prefix}assign/");
    let channel = Dial::new(&alone.url).channel().await;
    let mut client = KvClient::new(channel.context("nobody answers")?);
    let request = RangeRequest {
        range_end: end_of(&all).into(),
        key: all.into(),
        ..RangeRequest::default()
    };
    let there: RangeResponse = client.range(request).await?.into_inner();
    let at = revision(there.header.as_ref());
    let keys = there.kvs.seen().into_iter().map(|seen| {
        Value::Vector(vec![
            Value::text(seen.key),
            Value::text(seen.value),
            seen.revision.into(),
        ])
    });
    let keys = Value::Vector(keys.collect());
    let old = old_watch(&alone.url, prefix).await?;
    let written = client.put(put(&format!("{prefix}after"), "")).await?;
    let next = revision(written.into_inner().header.as_ref());
    let told = vec![bump.into(), at.into(), keys, old, next.into()];
    history.complete(op, Kind::Ok, Value::Vector(told), None);
    alone.end();
    Ok(())
}

/// What a watcher is told that goes on from before the snapshot: the compacted revision, or `nil`.
async fn old_watch(url: &str, prefix: &str) -> Result<Value> {
    let mut dial = Dial::new(url);
    let mut stream = Stream::open(&mut dial, prefix, 2).await?;
    loop {
        // The first answer says that there is a watch; only what comes next counts.
        match timeout(ANSWER_TIME_MAX, stream.next()).await {
            Ok(answer) => {
                let answer = answer?;
                if answer.compact_revision > 0 {
                    return Ok(answer.compact_revision.into());
                }
                if !answer.events.is_empty() {
                    return Ok(Value::Nil);
                }
            }
            Err(_) => return Ok(Value::Nil),
        }
    }
}

//! The end of everything that a runtime started: in order by the runtime itself, and by force where
//! no runtime can be asked any more.
//!
//! What is ended is known by this bundle's directory, so that no other runtime's pods are touched.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use super::program::run;
use super::{Bundle, Error};
use crate::runtime::{self, Cri, Runtime};

/// How long a container may take to end before it is killed. Less than a pod's usual 30 s: somebody
/// waits for the end of a whole cluster.
const GRACE: Duration = Duration::from_secs(5);
/// Containers and sandboxes that are stopped at the same time.
const AT_ONCE_MAX: usize = 32;
/// How often, and how many times, it is looked whether killed shims are gone.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const LOOKS_MAX: usize = 100;
/// containerd's namespace of pods.
const NAMESPACE: &str = "k8s.io";

impl Bundle {
    /// Whether anything of a pod is alive, with or without the runtime.
    pub fn has_pods(&self) -> bool {
        !self.shims().is_empty()
    }

    /// Stops every pod by the running runtime. Links and addresses are given back. What the runtime
    /// knows of the pods stays, so that the next start finds them as after the machine's own.
    pub async fn stop_pods(&self) -> Result<(), Error> {
        let runtime = Cri::connect(&self.endpoint()).await?;
        let containers = runtime.containers(None).await?.into_iter();
        // What does not end by itself is killed with its sandbox.
        let _ = all(containers.map(|container| stop(runtime.clone(), container.id))).await;
        let sandboxes = runtime.sandboxes(None).await?.into_iter();
        Ok(all(sandboxes.map(|sandbox| stop_sandbox(runtime.clone(), sandbox.id))).await?)
    }

    /// Takes away by force what is left of pods: processes, mounts, network namespaces, sockets.
    /// Call it when the runtime has ended. Files stay, so that the next start knows what there was.
    pub async fn sweep(&self) -> Result<(), Error> {
        let runc = self.directory.join("runc").join(NAMESPACE);
        for container in names(&runc) {
            let delete = [
                OsStr::new("--root"),
                runc.as_os_str(),
                OsStr::new("delete"),
                OsStr::new("--force"),
                &container,
            ];
            run("runc", &delete).await?;
        }
        // After their containers: a shim is who learns of the end of its containers' processes.
        self.kill_shims().await;
        let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
        let mounts = mounts_below(&mounts, &self.directory);
        if !mounts.is_empty() {
            let mut args = vec![OsStr::new("--lazy")];
            args.extend(mounts.iter().map(PathBuf::as_path).map(Path::as_os_str));
            run("umount", &args).await?;
        }
        for socket in self.shim_sockets() {
            // One that is gone is as good.
            let _ = fs::remove_file(socket);
        }
        Ok(())
    }

    async fn kill_shims(&self) {
        for _ in 0..LOOKS_MAX {
            let shims = self.shims();
            if shims.is_empty() {
                return;
            }
            for shim in shims {
                // One that has just ended is as good.
                let _ = kill_process(shim, Signal::KILL);
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    fn shims(&self) -> Vec<Pid> {
        let socket = self.socket();
        let is_ours = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            is_shim_of(&line, &socket)
        };
        names(Path::new("/proc"))
            .iter()
            .filter_map(|name| name.to_str()?.parse().ok())
            .filter(is_ours)
            .filter_map(Pid::from_raw)
            .collect()
    }

    /// Where shims listen: outside of this directory, because containerd fixes the place.
    fn shim_sockets(&self) -> Vec<PathBuf> {
        let tasks = self.directory.join("state/io.containerd.runtime.v2.task");
        let tasks = tasks.join(NAMESPACE);
        let address = |id: &OsString| fs::read_to_string(tasks.join(id).join("address")).ok();
        names(&tasks)
            .iter()
            .filter_map(address)
            .filter_map(|text| Some(PathBuf::from(text.trim().strip_prefix("unix://")?)))
            .collect()
    }
}

async fn stop(runtime: Cri, container: String) -> runtime::Result<()> {
    runtime.stop_container(&container, GRACE).await
}

async fn stop_sandbox(runtime: Cri, sandbox: String) -> runtime::Result<()> {
    runtime.stop_sandbox(&sandbox).await
}

/// Does all of `calls`, some at a time, and returns the first error.
async fn all<F>(calls: impl Iterator<Item = F>) -> runtime::Result<()>
where
    F: Future<Output = runtime::Result<()>>,
{
    stream::iter(calls)
        .buffer_unordered(AT_ONCE_MAX)
        .fold(Ok(()), |first: runtime::Result<()>, next| async move {
            first.and(next)
        })
        .await
}

/// What a directory holds; nothing if it is not there.
fn names(directory: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).collect()
}

/// Whether a command line is that of a shim which reports to the runtime at `socket`.
fn is_shim_of(cmdline: &[u8], socket: &Path) -> bool {
    let mut words = cmdline.split(|byte| *byte == 0);
    let program = words
        .next()
        .and_then(|word| Path::new(OsStr::from_bytes(word)).file_name());
    program.is_some_and(|name| name.as_bytes().starts_with(b"containerd-shim"))
        && words.any(|word| word == socket.as_os_str().as_bytes())
}

/// The mount points below `directory` in a `mountinfo`, the last mounted first.
fn mounts_below(mountinfo: &[u8], directory: &Path) -> Vec<PathBuf> {
    let lines = mountinfo.split(|byte| *byte == b'\n');
    let points = lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    let mut found: Vec<PathBuf> = points
        .map(|point| PathBuf::from(OsString::from_vec(unescape(point))))
        .filter(|point| point.starts_with(directory))
        .collect();
    found.reverse();
    found
}

/// The kernel writes white space and backslashes of a path as a backslash and three octal digits.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|_| *first == b'\\');
        let octal = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{is_shim_of, mounts_below};

    #[test]
    fn mounts_of_another_directory_stay() {
        let mountinfo = b"\
            22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
            40 22 0:30 / /my\\040data/runtime-0/state/shm rw - tmpfs shm rw\n\
            41 22 0:31 / /my\\040data/runtime-00/state/shm rw - tmpfs shm rw\n\
            42 22 0:4 net:[4026532] /my\\040data/runtime-0/state/netns rw - nsfs nsfs rw\n";
        let found = mounts_below(mountinfo, Path::new("/my data/runtime-0"));
        assert_eq!(
            found,
            ["state/netns", "state/shm"].map(|at| PathBuf::from("/my data/runtime-0").join(at))
        );
    }

    #[test]
    fn shims_of_another_runtime_stay() {
        let line = |socket: &str| {
            format!(
                "/usr/bin/containerd-shim-runc-v2\0-namespace\0k8s.io\0-id\0a\0-address\0{socket}\0"
            )
        };
        let ours = Path::new("/d/containerd.sock");
        assert!(is_shim_of(line("/d/containerd.sock").as_bytes(), ours));
        assert!(!is_shim_of(
            line("/run/containerd/containerd.sock").as_bytes(),
            ours
        ));
        assert!(!is_shim_of(b"cat\0/d/containerd.sock\0", ours));
        assert!(!is_shim_of(b"", ours));
    }
}

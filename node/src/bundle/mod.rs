//! A container runtime of its own for a node: its configuration, its network, its first images.
//!
//! Everything lives under one directory and never touches the system's containerd. Whoever starts
//! the node (as root) calls [`Bundle::write`], starts [`Bundle::command`], waits for
//! [`Bundle::is_ready`] and then calls [`Bundle::import_images`]. Pods outlive the runtime, so whoever
//! ends the node calls [`Bundle::stop_pods`] before the runtime's end and [`Bundle::sweep`] after it.

mod archive;
mod end;
mod images;
mod network;
mod program;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

pub use archive::{Entry, Image, oci_archive};
pub use images::{LOCAL_PREFIX, PAUSE, TOUR, pause, tour};
pub(crate) use network::nft;
pub use network::{remove_table, set_up as set_up_network, tear_down as tear_down_network};

use crate::runtime::{self, Cri, Runtime};

/// Linux's limit for the path of a socket, without the byte that ends it.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
/// The longest path of a bundle: its longest socket must fit below it.
pub const DIRECTORY_BYTES_MAX: usize = SOCKET_PATH_BYTES_MAX - "/containerd.sock.ttrpc".len();

/// Where a machine's packages put things.
#[derive(Clone, Debug)]
pub struct Programs {
    /// containerd.
    pub containerd: PathBuf,
    /// containerd's own client.
    pub ctr: PathBuf,
    /// The network plugins' directory.
    pub cni: PathBuf,
    /// A busybox that needs no libraries.
    pub busybox: PathBuf,
}

impl Default for Programs {
    /// Where Debian's packages containerd, containernetworking-plugins and busybox-static put them.
    fn default() -> Self {
        Self {
            containerd: "/usr/bin/containerd".into(),
            ctr: "/usr/bin/ctr".into(),
            cni: "/usr/lib/cni".into(),
            busybox: "/bin/busybox".into(),
        }
    }
}

/// The runtime of one node.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Where all of it is, in at most [`DIRECTORY_BYTES_MAX`] bytes. Must not be moved while
    /// anything runs.
    pub directory: PathBuf,
    /// The addresses of the node's pods.
    pub pod_cidr: IpNet,
    /// The programs.
    pub programs: Programs,
}

/// What went wrong. None of these is worth a retry without a change of the machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error("write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A program of the machine's packages is missing.
    #[error("{path} is missing; install the package {package}")]
    Missing {
        /// What.
        path: PathBuf,
        /// Debian's package of it.
        package: &'static str,
    },
    /// A program failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Which.
        program: String,
        /// What it said.
        output: String,
    },
    /// A program could not be started.
    #[error("start {program}")]
    Start {
        /// Which.
        program: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The runtime did not do what it was asked to.
    #[error("ask the container runtime")]
    Runtime(#[from] runtime::Error),
}

impl Bundle {
    /// The socket, as `--container-runtime-endpoint` has it.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("containerd.sock")
    }

    /// Writes the configuration of runtime and network.
    pub fn write(&self) -> Result<(), Error> {
        let programs = &self.programs;
        for (path, package) in [
            (&programs.containerd, "containerd"),
            (&programs.ctr, "containerd"),
            (&programs.cni.join("ptp"), "containernetworking-plugins"),
            (&programs.busybox, "busybox-static"),
        ] {
            if !path.exists() {
                return Err(Error::Missing {
                    path: path.clone(),
                    package,
                });
            }
        }
        for (program, package) in [("runc", "runc"), ("nft", "nftables"), ("ip", "iproute2")] {
            if !is_on_path(program) {
                return Err(Error::Missing {
                    path: program.into(),
                    package,
                });
            }
        }
        let cni = self.directory.join("cni");
        for directory in [&self.directory, &cni] {
            let failed = |source| Error::Write {
                path: directory.clone(),
                source,
            };
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        put(
            &self.directory.join("containerd.toml"),
            self.containerd_config().as_bytes(),
        )?;
        put(
            &cni.join("10-keelson.conflist"),
            network::conflist(self.pod_cidr, &self.directory).as_bytes(),
        )
    }

    /// The runtime, ready to be started in the foreground.
    pub fn command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.programs.containerd);
        command
            .arg("--config")
            .arg(self.directory.join("containerd.toml"));
        command
    }

    /// Whether the runtime answers, with its network ready.
    pub async fn is_ready(&self) -> bool {
        let Ok(runtime) = Cri::connect(&self.endpoint()).await else {
            return false;
        };
        runtime
            .conditions()
            .await
            .is_ok_and(|all| all.iter().all(|c| c.status))
    }

    /// Makes the node's own images and gives them to the running runtime.
    pub async fn import_images(&self) -> Result<(), Error> {
        let busybox = &self.programs.busybox;
        let bytes = std::fs::read(busybox).map_err(|source| Error::Write {
            path: busybox.clone(),
            source,
        })?;
        for (name, image) in [("pause", pause(&bytes)), ("tour", tour(&bytes))] {
            let path = self.directory.join(format!("{name}.tar"));
            let failed = |source| Error::Write {
                path: path.clone(),
                source,
            };
            put(&path, &oci_archive(&image).map_err(failed)?)?;
            self.import(&path).await?;
            std::fs::remove_file(&path).map_err(failed)?;
        }
        Ok(())
    }

    async fn import(&self, archive: &Path) -> Result<(), Error> {
        let socket = self.socket();
        let args = [
            OsStr::new("--address"),
            socket.as_os_str(),
            OsStr::new("--namespace"),
            OsStr::new("k8s.io"),
            OsStr::new("images"),
            OsStr::new("import"),
            archive.as_os_str(),
        ];
        program::run(&self.programs.ctr, &args).await
    }

    fn containerd_config(&self) -> String {
        let path = |name: &str| self.directory.join(name).display().to_string();
        // Cgroups by the file system and not by systemd, which a machine may not have.
        format!(
            r#"version = 2
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
  address = "{socket}"

[ttrpc]
  address = "{socket}.ttrpc"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  tolerate_missing_hugetlb_controller = true
  restrict_oom_score_adj = {restricted}
  # Beside all else that has to go when the cluster ends, and not among the machine's own.
  netns_mounts_under_state_dir = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{bin}"
    conf_dir = "{cni}"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{runc}"
        SystemdCgroup = false
"#,
            // Without that right no process can make itself less likely to be killed than it is,
            // and the runtime fails where it is told to.
            restricted = !may_raise_limits(),
            root = path("root"),
            state = path("state"),
            socket = self.socket().display(),
            bin = self.programs.cni.display(),
            cni = path("cni"),
            runc = path("runc"),
        )
    }
}

/// Whether a program is where this process, and so the runtime, looks for programs.
fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).exists())
}

/// Whether this process has CAP_SYS_RESOURCE; root in a virtual machine or container may lack it.
fn may_raise_limits() -> bool {
    const SYS_RESOURCE: u64 = 1 << 24;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    effective.is_none_or(|rights| rights & SYS_RESOURCE != 0)
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    std::fs::write(path, bytes).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

//! A member's folder: who owns it, and where each part lives.
//!
//! ```text
//! DIR/member/lock       held while a process uses the folder
//! DIR/member/identity   cluster id, member id, format version; written once, whole and synced
//! DIR/member/log        the raft log (or --wal-dir)
//! DIR/member/state      the state machine
//! DIR/member/staging    snapshots under way
//! DIR/member/restoring  there while a snapshot is made into a member, and not a member yet; whoever
//!                       makes it notes there how far it is
//! ```
//! Must never delete or repair anything of a member: a folder that does not fit is refused.

mod error;
mod restoring;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

pub use self::error::DataDirError;

/// The layout that this program writes. A reader refuses a greater one.
const FORMAT: u32 = 1;

/// See the module.
const RESTORING: &str = "restoring";

/// A founding member, as `--initial-cluster` named it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founder {
    /// Its name.
    pub name: String,
    /// Its peer URLs.
    pub peer_urls: Vec<String>,
}

/// Which member of which cluster the folder belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    format: u32,
    /// The cluster.
    #[serde(with = "hex_id")]
    pub cluster_id: u64,
    /// The member.
    #[serde(with = "hex_id")]
    pub member_id: u64,
    /// `--name` at the first start.
    pub name: String,
    /// `--initial-cluster-token` at the first start.
    pub token: String,
    /// The members that found the cluster together; none if this one joined later.
    pub founders: Option<Vec<Founder>>,
    /// What the cluster was called before this member was forced to go on without the others.
    #[serde(default, with = "hex_ids", skip_serializing_if = "Vec::is_empty")]
    pub former_cluster_ids: Vec<u64>,
    /// True once the log has held an entry: from then on an empty log is a lost one.
    pub initialized: bool,
}

impl Identity {
    /// A new member's identity.
    pub fn new(
        cluster_id: u64,
        member_id: u64,
        name: &str,
        token: &str,
        founders: Option<Vec<Founder>>,
    ) -> Self {
        Self {
            format: FORMAT,
            cluster_id,
            member_id,
            name: name.into(),
            token: token.into(),
            founders,
            former_cluster_ids: Vec::new(),
            initialized: false,
        }
    }
}

/// An owned folder. Dropping it gives it up.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    member: PathBuf,
    log: PathBuf,
    identity: Option<Identity>,
    _lock: File,
}

impl DataDir {
    /// Takes the folder, making it where it is missing, and reads its identity.
    pub fn open(root: &Path, wal_dir: Option<&Path>) -> Result<Self, DataDirError> {
        let member = root.join("member");
        refuse_foreign(root, &member)?;
        let log = wal_dir.map_or_else(|| member.join("log"), Path::to_path_buf);
        make_private(root)?;
        make_private(&member)?;
        let lock = take_lock(root, &member.join("lock"))?;
        if member.join(RESTORING).exists() {
            return Err(DataDirError::HalfRestored(root.into()));
        }
        Self::take(root, member, log, lock)
    }

    fn take(root: &Path, member: PathBuf, log: PathBuf, lock: File) -> Result<Self, DataDirError> {
        for dir in [&log, &member.join("state"), &member.join("staging")] {
            make_private(dir)?;
        }
        let identity = read_identity(root, &member.join("identity"))?;
        let dir = Self {
            root: root.into(),
            member,
            log,
            identity,
            _lock: lock,
        };
        dir.check_consistent()?;
        Ok(dir)
    }

    /// The identity; none in a fresh folder.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Writes the identity, whole or not at all, and syncs it.
    pub fn set_identity(&mut self, identity: Identity) -> Result<(), DataDirError> {
        let path = self.member.join("identity");
        let temporary = self.member.join("identity.tmp");
        let text = serde_json::to_vec_pretty(&identity)
            .map_err(|error| access(&path, "encode the identity")(io::Error::other(error)))?;
        let write = || -> io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&temporary, &path)?;
            // The rename is durable only once the folder is.
            sync_dirs(&[&self.member, &self.root])
        };
        write().map_err(access(&path, "write the identity"))?;
        self.identity = Some(identity);
        Ok(())
    }

    /// Where the raft log lives.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Where the state machine lives.
    pub fn state(&self) -> PathBuf {
        self.member.join("state")
    }

    /// Where snapshots are put together.
    pub fn staging(&self) -> PathBuf {
        self.member.join("staging")
    }

    /// The folder as the user named it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn check_consistent(&self) -> Result<(), DataDirError> {
        let damaged = |what: String| DataDirError::Damaged {
            path: self.root.clone(),
            what,
        };
        let empty = |path: &Path| is_empty(path).map_err(access(path, "list"));
        match &self.identity {
            None if !empty(&self.log)? => Err(damaged(format!(
                "{} has a log, but there is no member/identity",
                self.log.display()
            ))),
            None if !empty(&self.state())? => {
                Err(damaged("there is data, but no member/identity".into()))
            }
            Some(identity) if identity.initialized && empty(&self.log)? => Err(damaged(format!(
                "the raft log in {} is gone",
                self.log.display()
            ))),
            _ => Ok(()),
        }
    }
}

fn access(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_path_buf();
    move |source| DataDirError::Access {
        path,
        action,
        source,
    }
}

fn refuse_foreign(root: &Path, member: &Path) -> Result<(), DataDirError> {
    for (name, found) in [("snap", "member/snap"), ("wal", "member/wal")] {
        if member.join(name).is_dir() {
            return Err(DataDirError::Foreign {
                path: root.into(),
                found,
            });
        }
    }
    Ok(())
}

/// Makes a folder where it is missing, and its name durable: without that, a loss of power takes all
/// that was synced in it.
fn make_private(path: &Path) -> Result<(), DataDirError> {
    let is_missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.exists();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| match error.kind() {
            // What creation says of a file in the folder's place.
            io::ErrorKind::AlreadyExists => io::Error::from(io::ErrorKind::NotADirectory),
            _ => error,
        })
        .map_err(access(path, "create"))?;
    let above = missing.iter().filter_map(|dir| dir.parent());
    for dir in above.map(or_here) {
        sync_dirs(&[dir]).map_err(access(path, "sync the folder above"))?;
    }
    // Creation alone says nothing about a folder that was there before.
    std::fs::read_dir(path)
        .map(drop)
        .map_err(access(path, "read"))
}

/// What a path without a folder before its name is in.
fn or_here(dir: &Path) -> &Path {
    match dir.as_os_str().is_empty() {
        true => Path::new("."),
        false => dir,
    }
}

fn sync_dirs(dirs: &[&Path]) -> io::Result<()> {
    dirs.iter().try_for_each(|dir| File::open(dir)?.sync_all())
}

fn take_lock(root: &Path, path: &Path) -> Result<File, DataDirError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(access(path, "open the lock"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(DataDirError::InUse(root.into())),
        Err(error) => Err(access(path, "lock")(error.into())),
    }
}

fn read_identity(root: &Path, path: &Path) -> Result<Option<Identity>, DataDirError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(access(path, "read the identity")(error)),
    };
    let damaged = |error: serde_json::Error| DataDirError::Damaged {
        path: root.into(),
        what: format!("member/identity cannot be read: {error}"),
    };
    // The format comes first: a later one may have other fields.
    #[derive(Deserialize)]
    struct FormatOnly {
        format: u32,
    }
    let FormatOnly { format } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if format > FORMAT {
        return Err(DataDirError::TooNew {
            path: root.into(),
            found: format,
        });
    }
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

fn is_empty(path: &Path) -> io::Result<bool> {
    Ok(std::fs::read_dir(path)?.next().transpose()?.is_none())
}

/// Ids as etcd prints them.
mod hex_id {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(id: &u64, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&format!("{id:x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
        let text = String::deserialize(input)?;
        u64::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

/// As [`hex_id`], several.
mod hex_ids {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(ids: &[u64], out: S) -> Result<S::Ok, S::Error> {
        let texts: Vec<String> = ids.iter().map(|id| format!("{id:x}")).collect();
        texts.serialize(out)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u64>, D::Error> {
        let texts = Vec::<String>::deserialize(input)?;
        let ids = texts.iter().map(|text| u64::from_str_radix(text, 16));
        ids.collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{DataDir, DataDirError, Identity};

    fn identity() -> Identity {
        Identity::new(0xabc, 0xdef, "a", "token", None)
    }

    #[test]
    fn the_identity_survives_and_the_folder_is_private() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        let mut dir = DataDir::open(&path, None).unwrap();
        assert_eq!(dir.identity(), None);
        dir.set_identity(identity()).unwrap();
        drop(dir);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(
            DataDir::open(&path, None).unwrap().identity(),
            Some(&identity())
        );
    }

    #[test]
    fn one_process_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let first = DataDir::open(root.path(), None).unwrap();
        assert!(matches!(
            DataDir::open(root.path(), None),
            Err(DataDirError::InUse(_))
        ));
        drop(first);
        DataDir::open(root.path(), None).unwrap();
    }

    #[test]
    fn half_a_restore_is_no_member() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        drop(DataDir::begin_restore(&path, None).unwrap());
        let error = DataDir::open(&path, None).unwrap_err();
        assert!(matches!(error, DataDirError::HalfRestored(_)), "{error}");
        let dir = DataDir::begin_restore(&path, None).unwrap();
        dir.finish_restore(identity()).unwrap();
        assert_eq!(
            DataDir::open(&path, None).unwrap().identity(),
            Some(&identity())
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_and_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let foreign = root.path().join("etcd");
        std::fs::create_dir_all(foreign.join("member/snap")).unwrap();
        assert!(matches!(
            DataDir::open(&foreign, None),
            Err(DataDirError::Foreign { .. })
        ));
        assert!(!foreign.join("member/lock").exists());

        let file = root.path().join("file");
        std::fs::write(&file, b"x").unwrap();
        assert!(matches!(
            DataDir::open(&file, None),
            Err(DataDirError::Access { .. })
        ));

        let headless = root.path().join("headless");
        std::fs::create_dir_all(headless.join("member/log")).unwrap();
        std::fs::write(headless.join("member/log/1"), b"x").unwrap();
        assert!(matches!(
            DataDir::open(&headless, None),
            Err(DataDirError::Damaged { .. })
        ));

        let lost = root.path().join("lost");
        let mut dir = DataDir::open(&lost, None).unwrap();
        dir.set_identity(Identity {
            initialized: true,
            ..identity()
        })
        .unwrap();
        drop(dir);
        assert!(matches!(
            DataDir::open(&lost, None),
            Err(DataDirError::Damaged { .. })
        ));

        let newer = root.path().join("newer");
        let mut dir = DataDir::open(&newer, None).unwrap();
        dir.set_identity(Identity {
            format: 2,
            ..identity()
        })
        .unwrap();
        drop(dir);
        assert!(matches!(
            DataDir::open(&newer, None),
            Err(DataDirError::TooNew { found: 2, .. })
        ));

        let garbled = root.path().join("garbled");
        std::fs::create_dir_all(garbled.join("member")).unwrap();
        std::fs::write(garbled.join("member/identity"), b"{").unwrap();
        assert!(matches!(
            DataDir::open(&garbled, None),
            Err(DataDirError::Damaged { .. })
        ));
    }
}

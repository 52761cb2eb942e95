//! A small state machine for tests: text commands over a map, kept in one file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::consensus::{AppliedState, Committed, Fatal, LogId, Member, Payload, StateMachine};

/// What a [`TestMachine`] holds; tests look at it from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) values: BTreeMap<String, String>,
    pub(super) log_id: Option<LogId>,
    pub(super) membership: Option<Vec<u8>>,
    pub(super) members: Vec<Member>,
    /// How many entries were applied: each exactly once.
    pub(super) applied: u64,
}

/// `set KEY VALUE` answers with the old value, `fail` is fatal.
pub(super) struct TestMachine {
    file: PathBuf,
    pub(super) state: Arc<Mutex<State>>,
}

impl TestMachine {
    pub(super) fn open(dir: &Path) -> Self {
        fs::create_dir_all(dir).unwrap();
        let file = dir.join("state.json");
        let state = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap(),
            Err(_) => State::default(),
        };
        Self {
            file,
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn write(&self, file: &Path) -> Result<(), Fatal> {
        let state = self.state.lock().clone();
        let bytes = serde_json::to_vec(&state).map_err(Fatal::at("test::encode"))?;
        let unfinished = file.with_extension("tmp");
        fs::write(&unfinished, bytes).map_err(Fatal::at("test::write"))?;
        fs::rename(unfinished, file).map_err(Fatal::at("test::rename"))
    }

    fn now(&self) -> AppliedState {
        let state = self.state.lock();
        AppliedState {
            log_id: state.log_id,
            membership: state.membership.clone().map(Bytes::from),
        }
    }
}

impl StateMachine for TestMachine {
    fn applied_state(&mut self) -> Result<AppliedState, Fatal> {
        Ok(self.now())
    }

    fn apply(&mut self, entry: Committed) -> Result<Bytes, Fatal> {
        let mut state = self.state.lock();
        assert_eq!(
            entry.log_id.index,
            state.log_id.map_or(0, |log_id| log_id.index) + 1,
            "applied in order, once"
        );
        state.log_id = Some(entry.log_id);
        state.applied += 1;
        match entry.payload {
            Payload::Blank => Ok(Bytes::new()),
            Payload::Membership { encoded, members } => {
                state.membership = Some(encoded.to_vec());
                state.members = members;
                Ok(Bytes::new())
            }
            Payload::Command(command) => {
                let text = String::from_utf8_lossy(&command).into_owned();
                let mut words = text.splitn(3, ' ');
                match (words.next(), words.next(), words.next()) {
                    (Some("set"), Some(key), Some(value)) => {
                        let old = state.values.insert(key.to_owned(), value.to_owned());
                        Ok(old.unwrap_or_default().into())
                    }
                    _ => Err(Fatal {
                        step: "test::apply",
                        source: anyhow::anyhow!("planted"),
                    }),
                }
            }
        }
    }

    fn flush(&mut self) -> Result<Option<LogId>, Fatal> {
        self.write(&self.file)?;
        Ok(self.now().log_id)
    }

    fn checkpoint(&mut self, dir: &Path) -> Result<AppliedState, Fatal> {
        self.write(&dir.join("state.json"))?;
        // More files, one of them empty and one of several messages.
        fs::write(dir.join("EMPTY"), b"").map_err(Fatal::at("test::write"))?;
        fs::write(dir.join("LARGE"), vec![7; 700_000]).map_err(Fatal::at("test::write"))?;
        Ok(self.now())
    }

    fn install(&mut self, dir: PathBuf) -> Result<AppliedState, Fatal> {
        let bytes = fs::read(dir.join("state.json")).map_err(Fatal::at("test::read"))?;
        let large = fs::read(dir.join("LARGE")).map_err(Fatal::at("test::read"))?;
        assert!(large.len() == 700_000 && dir.join("EMPTY").exists());
        *self.state.lock() = serde_json::from_slice(&bytes).map_err(Fatal::at("test::decode"))?;
        self.write(&self.file)?;
        Ok(self.now())
    }
}

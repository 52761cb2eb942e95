//! Names, and what they stand for. A name that was made, moved or removed is durable once its folder is
//! synced.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::StdRng;

use super::engine::Table;
use super::file::Content;

/// What a name stands for.
#[derive(Clone)]
pub(super) enum Node {
    Folder(Arc<Mutex<Folder>>),
    File(Arc<Mutex<Content>>),
    /// The rows of an engine.
    Table(Arc<Mutex<Table>>),
}

/// A folder.
#[derive(Default)]
pub(super) struct Folder {
    pub(super) live: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    /// What came from other folders since the last sync: these names go there with the next one.
    came_from: Vec<(Arc<Mutex<Folder>>, String)>,
}

/// A folder that is there from the beginning.
pub(super) fn make_durable(parent: &Arc<Mutex<Folder>>, name: &str) {
    let mut parent = parent.lock();
    let folder = Node::Folder(Arc::default());
    parent.live.insert(name.to_owned(), folder.clone());
    parent.durable.insert(name.to_owned(), folder);
}

/// Makes the names in `folder` durable. What was moved here is gone from where it was.
pub(super) fn sync(folder: &Arc<Mutex<Folder>>) {
    let mut folder = folder.lock();
    let folder = &mut *folder;
    folder.durable.clone_from(&folder.live);
    for (from, name) in std::mem::take(&mut folder.came_from) {
        from.lock().durable.remove(&name);
    }
}

/// Moves a name. Within one folder or from one to another.
pub(super) fn rename(
    from: &Arc<Mutex<Folder>>,
    name: &str,
    to: &Arc<Mutex<Folder>>,
    new_name: &str,
) -> bool {
    let Some(node) = from.lock().live.remove(name) else {
        return false;
    };
    let is_other = !Arc::ptr_eq(from, to);
    let mut to = to.lock();
    to.live.insert(new_name.to_owned(), node);
    if is_other {
        to.came_from.push((from.clone(), name.to_owned()));
    }
    true
}

/// The power goes. True if anything was lost.
pub(super) fn lose(folder: &Arc<Mutex<Folder>>, chance: &mut StdRng) -> bool {
    let mut folder = folder.lock();
    let folder = &mut *folder;
    folder.came_from.clear();
    let is_same = folder.live.keys().eq(folder.durable.keys());
    folder.live.clone_from(&folder.durable);
    let mut lost = !is_same;
    for node in folder.live.values() {
        lost |= match node {
            Node::Folder(inner) => lose(inner, chance),
            Node::File(content) => content.lock().lose(chance),
            Node::Table(table) => {
                let kept = chance.random_range(0.0..=1.0);
                table.lock().lose(kept)
            }
        };
    }
    lost
}

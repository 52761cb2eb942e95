//! What plugins remember between the extension points of one scheduling cycle of one pod.
//!
//! It is cloned for each node that preemption tries, so values clone deeply.

use std::any::{Any, TypeId};
use std::collections::HashMap;

/// A value a plugin keeps for the length of a cycle.
pub trait StateData: Any + Send + Sync {
    /// A deep copy.
    fn clone_data(&self) -> Box<dyn StateData>;
}

impl<T: Any + Clone + Send + Sync> StateData for T {
    fn clone_data(&self) -> Box<dyn StateData> {
        Box::new(self.clone())
    }
}

/// The values of one cycle, one for each type.
#[derive(Default)]
pub struct CycleState {
    values: HashMap<TypeId, Box<dyn StateData>>,
}

impl CycleState {
    /// Keeps `value`, replacing an earlier one of its type.
    pub fn write<T: Any + Clone + Send + Sync>(&mut self, value: T) {
        self.values.insert(TypeId::of::<T>(), Box::new(value));
    }

    /// The value of type `T`, if one was kept.
    pub fn read<T: Any>(&self) -> Option<&T> {
        let value: &dyn Any = self.values.get(&TypeId::of::<T>())?.as_ref();
        value.downcast_ref()
    }

    /// The value of type `T`, to be changed.
    pub fn read_mut<T: Any>(&mut self) -> Option<&mut T> {
        let value: &mut dyn Any = self.values.get_mut(&TypeId::of::<T>())?.as_mut();
        value.downcast_mut()
    }
}

impl Clone for CycleState {
    fn clone(&self) -> Self {
        let values = self
            .values
            .iter()
            .map(|(key, value)| (*key, value.as_ref().clone_data()));
        Self {
            values: values.collect(),
        }
    }
}

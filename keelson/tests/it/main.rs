//! End to end: clusters started by the binary, used with the real etcdctl and kubectl.

mod bad_input;
mod etcdutl;
mod node;
mod plane;
mod run;
mod store;

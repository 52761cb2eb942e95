//! What people get wrong: each gets one clear error in the words that users of the peer know, the
//! exit status that they expect, and nothing is lost. Whole processes, as an operator starts them.

mod admission;
mod certificates;
mod command_lines;
mod config_files;
mod folders;
mod local_cluster;
mod pki;
mod ports;
mod process;

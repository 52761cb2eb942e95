//! The process as the kernel sees it.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use super::gauge;

/// Whatever cannot be read is left out.
pub(super) fn process(out: &mut Registry) {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else {
        return;
    };
    // Fields are counted behind the program's name, which may hold anything.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let field = |at: usize| {
        fields
            .get(at)
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    let page_bytes = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    let as_i64 = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    // Fields 14 and 15 of the whole line, which begins two earlier.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a process does not live that many ticks"
    )]
    let cpu = (field(11) + field(12)) as f64 / ticks_per_second as f64;
    let seconds = Counter::<f64, AtomicU64>::default();
    seconds.inc_by(cpu);
    out.register("process_cpu_seconds", "Time on processors", seconds);
    gauge(
        out,
        "process_resident_memory_bytes",
        "Memory in use",
        as_i64(field(21) * page_bytes),
    );
    gauge(
        out,
        "process_virtual_memory_bytes",
        "Memory mapped",
        as_i64(field(20)),
    );
    gauge(
        out,
        "process_start_time_seconds",
        "When it was started, in Unix time",
        as_i64(boot_seconds() + field(19) / ticks_per_second),
    );
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        let open = as_i64(u64::try_from(files.count()).unwrap_or(0));
        gauge(out, "process_open_fds", "Open files", open);
        gauge(out, "os_fd_used", "Open files", open);
    }
    use rustix::process::{Resource, getrlimit};
    let limit = |of| getrlimit(of).current.map_or(i64::MAX, as_i64);
    let files = limit(Resource::Nofile);
    gauge(out, "process_max_fds", "Files that may be open", files);
    gauge(out, "os_fd_limit", "Files that may be open", files);
    gauge(
        out,
        "process_virtual_memory_max_bytes",
        "Memory that may be mapped",
        limit(Resource::As),
    );
}

/// When the machine was started, in Unix time; 0 if the kernel does not say.
fn boot_seconds() -> u64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
    line.and_then(|text| text.trim().parse().ok())
        .unwrap_or_default()
}

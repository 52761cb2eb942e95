//! Prometheus' text format 0.0.4, which is what etcd answers with and every scraper reads, from the
//! library's OpenMetrics: there a counter is named without its `_total` where it is described.

/// The media type.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Both formats have the same samples.
pub(super) fn plain(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            // The type comes next, and decides the name.
            help = described.split_once(' ').map(|(_, help)| help);
        } else if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap_or((typed, "unknown"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            if let Some(help) = help.take() {
                let help = help.strip_suffix('.').unwrap_or(help);
                out.push_str(&format!("# HELP {name}{suffix} {help}\n"));
            }
            out.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::metrics::histogram::Histogram;
    use prometheus_client::registry::Registry;

    use super::plain;

    #[test]
    fn counters_are_described_by_their_whole_names() {
        let mut registry = Registry::default();
        registry.register("calls", "Calls begun", Counter::<u64>::default());
        registry.register("open", "Open files", Gauge::<i64>::default());
        registry.register("took_seconds", "Time", Histogram::new([0.001]));
        let mut open_metrics = String::new();
        text::encode(&mut open_metrics, &registry).unwrap();
        assert!(
            open_metrics.contains("# TYPE calls counter"),
            "{open_metrics}"
        );
        let expected = "\
# HELP calls_total Calls begun
# TYPE calls_total counter
calls_total 0
# HELP open Open files
# TYPE open gauge
open 0
# HELP took_seconds Time
# TYPE took_seconds histogram
took_seconds_sum 0.0
took_seconds_count 0
took_seconds_bucket{le=\"0.001\"} 0
took_seconds_bucket{le=\"+Inf\"} 0
";
        assert_eq!(plain(&open_metrics), expected);
    }
}

//! The Prometheus text format 0.0.4, made of the OpenMetrics text that `prometheus_client` writes.

use std::fmt::Write as _;

pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counters and info metrics have their suffix in the metadata too, there are no units, and nothing ends the text.
pub(super) fn from_openmetrics(text: &str) -> String {
    let mut converted = String::with_capacity(text.len());
    let mut help = "";
    for line in text.lines() {
        if let Some(name_and_help) = line.strip_prefix("# HELP ") {
            // `# TYPE` follows, and decides the name.
            help = name_and_help.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                _ => ("", kind),
            };
            let _ = write!(converted, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
        } else if !line.starts_with("# ") {
            converted.push_str(line);
            converted.push('\n');
        }
    }
    converted
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::metrics::histogram::Histogram;
    use prometheus_client::metrics::info::Info;
    use prometheus_client::registry::{Registry, Unit};

    use super::*;

    #[test]
    fn counters_and_info_have_their_suffix_in_the_metadata_and_nothing_else_is_changed() {
        let (counter, histogram) = (Counter::<u64>::default(), Histogram::new([0.5]));
        counter.inc();
        histogram.observe(0.25);
        let mut registry = Registry::with_prefix("a");
        registry.register("build", "The version", Info::new([("version", "1")]));
        registry.register("requests", "Requests, \"all\" of \\them", counter);
        registry.register_with_unit("size", "Size", Unit::Bytes, Gauge::<i64>::default());
        registry.register("time", "Time", histogram);
        let mut openmetrics = String::new();
        text::encode(&mut openmetrics, &registry).expect("metrics are text");
        let expected = "\
# HELP a_build_info The version.
# TYPE a_build_info gauge
a_build_info{version=\"1\"} 1
# HELP a_requests_total Requests, \"all\" of \\them.
# TYPE a_requests_total counter
a_requests_total 1
# HELP a_size_bytes Size.
# TYPE a_size_bytes gauge
a_size_bytes 0
# HELP a_time Time.
# TYPE a_time histogram
a_time_sum 0.25
a_time_count 1
a_time_bucket{le=\"0.5\"} 1
a_time_bucket{le=\"+Inf\"} 1
";
        assert_eq!(from_openmetrics(&openmetrics), expected, "{openmetrics}");
    }
}

//! Converts OpenMetrics to the older text format of Prometheus. There, the family of a counter has the name of its samples,
//! and there are no units and no end marker.

pub(super) fn from_openmetrics(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut help = "";
    for line in text.lines() {
        match line.strip_prefix("# ").and_then(|comment| comment.split_once(' ')) {
            Some(("HELP", about)) => help = about.split_once(' ').map_or("", |(_, words)| words),
            Some(("TYPE", about)) => {
                let (name, kind) = about.split_once(' ').unwrap_or((about, "untyped"));
                let suffix = if kind == "counter" { "_total" } else { "" };
                out += &format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
            }
            _ if line.starts_with('#') => {}
            _ => {
                out += line;
                out.push('\n');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_renamed_and_the_rest_is_kept() {
        let text = "# HELP a_seconds About a.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total{x=\"# y\"} 1\n\
                    # HELP b About b, in words.\n# TYPE b gauge\nb 2.5\n# EOF\n";
        assert_eq!(
            from_openmetrics(text),
            "# HELP a_seconds_total About a.\n# TYPE a_seconds_total counter\na_seconds_total{x=\"# y\"} 1\n\
             # HELP b About b, in words.\n# TYPE b gauge\nb 2.5\n"
        );
    }
}

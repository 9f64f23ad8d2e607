//! The list of topics.

use super::{Backend, Retention, UNLIMITED};
use crate::alert::{Level, Pattern};

#[tokio::test]
async fn topics_with_alerts_are_listed_in_order_within_patterns_prefix_and_bound() {
    for backend in Backend::all() {
        topics(backend).await;
    }
}

async fn topics(backend: Backend) {
    let mut log = backend.open("log", Retention { count: 8, ..UNLIMITED }).await;
    for topic in ["gone", "ops", "web", "ops.db", "ops-x", "ops.db.disk", "Ops.a", "opsx.b", "ops.db"] {
        log.publish(topic, "m", Level::Info).await;
    }
    let ask = |patterns: &[&str], prefix: &str, most: usize| {
        let patterns: Vec<Pattern> = patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
        let (engine, prefix) = (log.engine.clone(), prefix.to_owned());
        async move {
            let listing = engine.topics(&patterns, &prefix, most).await.unwrap();
            (listing.topics.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), listing.more)
        }
    };
    let all = "Ops.a ops ops-x ops.db ops.db.disk opsx.b web";
    assert_eq!(ask(&["*"], "", 100).await, (all.to_owned(), false));
    assert_eq!(ask(&["*"], "", 7).await, (all.to_owned(), false));
    assert_eq!(ask(&["*"], "", 6).await, (all.trim_end_matches(" web").to_owned(), true));
    assert_eq!(ask(&["*"], "ops.", 100).await, ("ops.db ops.db.disk".to_owned(), false));
    assert_eq!(ask(&["web", "ops.*", "ops.db.*"], "", 100).await, ("ops.db ops.db.disk web".to_owned(), false));
    assert_eq!(ask(&["web", "ops.*"], "ops.db.", 100).await, ("ops.db.disk".to_owned(), false));
    for (patterns, prefix) in
        [(&["gone"][..], ""), (&["none.*", "w"], ""), (&["web"], "ops"), (&["*"], "\u{e9}"), (&[], "")]
    {
        assert_eq!(ask(patterns, prefix, 100).await, (String::new(), false), "{patterns:?} {prefix}");
    }
}

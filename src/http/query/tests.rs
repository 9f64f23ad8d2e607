//! Tests of queries and path segments.

use super::*;

fn stream(topic: Option<&str>, text: &str, cursor: Option<&'static str>) -> Result<Query, String> {
    let mut headers = HeaderMap::new();
    if let Some(cursor) = cursor {
        headers.insert("last-event-id", hyper::header::HeaderValue::from_static(cursor));
    }
    read(topic, Parameters::parse(Some(text)), &headers, Purpose::Stream, 1_000_000).map_err(|e| e.to_string())
}

#[test]
fn the_header_wins_over_the_parameter_and_both_over_since() {
    let start = |query: &str, header| stream(None, query, header).unwrap().start;
    assert_eq!(start("since=all&last_event_id=5-0", Some("6-0")), Some(Start::cursor("6-0")));
    assert_eq!(start("since=all&last_event_id=5-0", None), Some(Start::cursor("5-0")));
    assert_eq!(start("since=all", Some("")), Some(Start::All));
    assert_eq!(start("", None), None);
    assert_eq!(start("last_event_id=x%20y", None), Some(Start::Unreadable("x y".into())));
}

#[test]
fn the_parameter_is_known_in_every_spelling_and_the_last_one_counts() {
    for name in ["last_event_id", "lastEventId", "lastEventID", "last-event-id", "Last-Event-ID", "LASTEVENTID"] {
        let start = |query: String| stream(None, &query, None).unwrap().start;
        assert_eq!(start(format!("{name}=5-0&_=17")), Some(Start::cursor("5-0")), "{name}");
        assert_eq!(start(format!("last_event_id=4-0&{name}=5-0")), Some(Start::cursor("5-0")), "{name}");
        assert_eq!(start(format!("last_event_id=4-0&{name}=")), Some(Start::cursor("4-0")), "{name}");
    }
}

#[test]
fn what_clients_without_a_cursor_send_is_none() {
    for nothing in ["", "undefined", "null", "Null", "None", " ", "NaN", "(null)", "<nil>", "\"\"", "[object Object]"] {
        assert_eq!(stream(None, "since=none", Some(nothing)).unwrap().start, Some(Start::Live), "{nothing:?}");
        let in_query = format!("lastEventId={}", nothing.replace(' ', "+"));
        assert_eq!(stream(None, &in_query, None).unwrap().start, None, "{nothing:?}");
        let since = stream(None, &in_query.replace("lastEventId", "since"), None).unwrap().start;
        assert_eq!(since, None, "{nothing:?}");
        assert_eq!(stream(None, "last_event_id=5-0", Some(nothing)).unwrap().start, Some(Start::cursor("5-0")));
    }
    assert_eq!(stream(None, "", Some("nullable")).unwrap().start, Some(Start::Unreadable("nullable".into())));
}

#[test]
fn a_stream_ignores_what_libraries_add_and_takes_its_own_parameters_strictly() {
    for more in ["_=1795455190123", "ngsw-bypass", "stream=true", "levl=error", "a%zz=%e4", "token=x", "_=1&_=2"] {
        let query = stream(None, &format!("level=warn&{more}"), None).unwrap();
        assert_eq!(query.level, Level::Warn, "{more}");
    }
    assert!(stream(None, "level=error&level=warn", None).unwrap_err().contains("once"));
    assert!(stream(None, "level=loud", None).unwrap_err().starts_with("level: "));
    assert!(stream(Some("a"), "topic=b", None).unwrap_err().contains("path already"));
    assert!(stream(None, "topic=%zz", None).unwrap_err().contains("percent-encoded"));
    assert!(stream(None, "limit=5", None).unwrap_err().contains("application/json"));
}

#[test]
fn a_typo_in_a_name_is_not_lost_on_a_page_of_history() {
    let page = |text| read(None, Parameters::parse(Some(text)), &HeaderMap::new(), Purpose::History, 0);
    let refused = |text| page(text).unwrap_err().to_string();
    assert!(refused("levl=error").starts_with("levl: is not a parameter"));
    let mut busted = Parameters::parse(Some("_=17&limit=7&uptime_kuma_cachebuster=0.5"));
    busted.ignore_cache_busters();
    assert_eq!(read(None, busted, &HeaderMap::new(), Purpose::History, 0).unwrap().limit, 7);
    assert_eq!(page("lastEventId=5-0&limit=7").unwrap().limit, 7);
}

#[test]
fn a_topic_in_the_query_of_a_publish_is_pointed_to_the_path() {
    let said = |query| Parameters::parse(Some(query)).no_topic().map_err(|e| e.to_string());
    assert!(said("topic=ops").unwrap_err().ends_with("POST /alerts/ops"));
    assert!(said("topic=a%20b").unwrap_err().ends_with("POST /alerts/TOPIC"));
    assert_eq!(said("level=warn"), Ok(()));
}

#[test]
fn no_topic_is_the_default_one() {
    assert_eq!(stream(None, "", None).unwrap().patterns, ["default".parse().unwrap()]);
    assert_eq!(stream(None, "topic=a&topic=b.*", None).unwrap().patterns.len(), 2);
}

//! Queries and headers of readers, and the small grammars in them: ids, topics, patterns, durations, starts.

use std::net::{IpAddr, Ipv4Addr};

use hyper::header::{HeaderName, HeaderValue};

use super::request::Request;
use crate::alert::{Filter, Id, Level, Pattern, Start, Topic, duration};
use crate::http::media_type::MediaType;
use crate::http::query::{self, Purpose};
use crate::http::{forwarded, negotiate};
use crate::net::{Network, Networks};
use crate::service::Query;
use crate::sse::{Format, Gap, Parser};

const NOW_MS: u64 = 1_795_455_190_123;

/// A request for a stream, and the same for a page of history.
pub(super) fn query(input: &[u8]) {
    let Some(request) = Request::read(input) else { return };
    let Some(segments) = request.segments() else { return };
    let topic = segments.last().map(String::as_str);
    for purpose in [Purpose::Stream, Purpose::History] {
        let mut parameters = request.parameters();
        parameters.ignore_cache_busters();
        match query::read(topic, parameters, &request.headers, purpose, NOW_MS) {
            Ok(query) => check_query(query, purpose),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

fn check_query(query: Query, purpose: Purpose) {
    assert!((1..=Filter::MAX_PATTERNS).contains(&query.patterns.len()));
    assert!((1..=1000).contains(&query.limit));
    assert!(purpose == Purpose::History || query.before.is_none());
    if let Some(Start::Unreadable(text)) = &query.start {
        assert!(text.chars().count() <= Start::SHOWN);
        let gap = Gap { requested: text.clone(), oldest: None, head: Id::at(NOW_MS) };
        for_gap(&gap);
    }
    let filter = Filter::new(query.patterns.clone(), query.level);
    assert_eq!(Filter::new(filter.patterns().to_vec(), query.level), filter);
    let topics = query.patterns.iter().filter_map(|pattern| match pattern {
        Pattern::All => None,
        Pattern::Below(topic) | Pattern::Exact(topic) => Some(topic.to_string()),
    });
    for topic in topics.flat_map(|topic| [format!("{topic}.x"), format!("{topic}x"), topic]) {
        let is_asked = query.patterns.iter().any(|pattern| pattern.matches(&topic));
        assert_eq!(filter.matches(&topic, Level::Error), is_asked, "{topic}");
    }
}

/// A gap is one event in either format, and alertctl reads it as it was.
pub(super) fn for_gap(gap: &Gap) {
    let mut events = Vec::new();
    Parser::default()
        .feed(&Format::Sse.gap(gap, Id::ZERO, NOW_MS), |event| events.push(event))
        .expect("a line is short");
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(event.event, "gap");
    assert_eq!(serde_json::from_str::<Gap>(&event.data).as_ref().ok(), Some(gap));
    let line = Format::Ndjson.gap(gap, Id::ZERO, NOW_MS);
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    assert_eq!(serde_json::from_slice::<Gap>(&line).as_ref().ok(), Some(gap));
}

/// The headers that say where a request comes from, and what its answer is to be.
pub(super) fn headers(input: &[u8]) {
    let Some(mut request) = Request::read(input) else { return };
    let trusted = Networks::from(vec!["10.0.0.0/8".parse::<Network>().expect("a network")]);
    let (proxy, other) = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V4(Ipv4Addr::new(198, 51, 100, 9)));
    assert_eq!(forwarded::client(&trusted, Some(other), &request.headers), Some(other));
    let client = forwarded::client(&trusted, Some(proxy), &request.headers).expect("a peer has an address");
    assert_eq!(client, client.to_canonical());
    let _ = (negotiate::alerts(&request.headers), negotiate::exposition(&request.headers));
    let media = MediaType::of(&request.headers);
    let _ = (media.kind(), media.charset(), media.decoded(request.body));
    assert!(media.boundary().is_none_or(|boundary| !boundary.is_empty()));
    // A proxy appends the address that it sees, after whatever a client wrote: in a header of its own, or to the last one.
    let name = HeaderName::from_static("x-forwarded-for");
    request.headers.append(&name, HeaderValue::from_static("198.51.100.9"));
    assert_eq!(forwarded::client(&trusted, Some(proxy), &request.headers), Some(other));
}

/// Up to eight texts, one on each line.
pub(super) fn grammar(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else { return };
    let texts: Vec<_> = input.lines().take(8).collect();
    for text in &texts {
        check_text(text);
    }
    let patterns: Vec<Pattern> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    let topics: Vec<Topic> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    for wide in &patterns {
        assert!(wide.covers(wide) && Pattern::All.covers(wide));
        for narrow in patterns.iter().filter(|narrow| wide.covers(narrow)) {
            let escapes = |topic: &&Topic| narrow.matches(topic.as_str()) && !wide.matches(topic.as_str());
            assert_eq!(topics.iter().find(escapes), None, "{wide} {narrow}");
        }
    }
    let ids: Vec<Id> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    for pair in ids.windows(2) {
        assert_eq!(pair[0].cmp(&pair[1]), pair[0].to_u128().cmp(&pair[1].to_u128()));
    }
}

fn check_text(text: &str) {
    if let Ok(topic) = text.parse::<Topic>() {
        assert!(topic.to_string() == text && text.len() <= Topic::MAX);
        assert!(topic.ancestors().all(|above| above.parse::<Topic>().is_ok()));
    }
    if let Ok(pattern) = text.parse::<Pattern>() {
        assert_eq!(pattern.to_string(), text);
    }
    if let Ok(id) = text.parse::<Id>() {
        assert_eq!((id.to_string().as_str(), Id::from_u128(id.to_u128())), (text, id));
        assert!(id == Id::MAX || id.successor() > id && id.successor().predecessor() == id);
        assert!(id == Id::MAX || [0, NOW_MS, u64::MAX].into_iter().all(|now_ms| id.next(now_ms) > id), "{id}");
        assert_eq!(Start::cursor(text), Start::After(id));
    }
    if let Some(time) = duration::parse(text) {
        assert_eq!(duration::parse(&duration::show(time)), Some(time));
    }
    if let Ok(level) = text.parse::<Level>() {
        assert_eq!(level.to_string(), text);
        assert_eq!(Level::from_u8(level as u8), Some(level));
    }
    match Start::since(text, NOW_MS) {
        Ok(Start::Unreadable(text)) => panic!("{text:?} is refused, not unreadable"),
        Ok(_) => {}
        Err(reason) => assert!(!reason.is_empty()),
    }
    let _ = text.parse::<Network>().map(|network| network.contains(IpAddr::V4(Ipv4Addr::LOCALHOST)));
}

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::alert::Id;

fn subscription(key: Option<&str>, topics: &[&str], format: Format) -> SubscriptionRecord {
    let patterns = topics.iter().map(|topic| topic.parse().unwrap());
    SubscriptionRecord { key: key.map(str::to_owned), filter: Arc::new(Filter::new(patterns, Level::Warn)), format }
}

fn stream(subscription: SubscriptionRecord, start: Start) -> StreamRecord {
    StreamRecord {
        subscription,
        has_passed_seam: matches!(start, Start::After(_)),
        start,
        latest_after_ms: 17,
        retry_ms: 2500,
        lifetime: Some(Duration::from_secs(90)),
        patience: None,
        unsent: Bytes::new(),
    }
}

/// Two streams of one subscription, and one of another with unsent bytes.
fn small() -> Description {
    let many = subscription(Some("k1"), &["ops.*", "web"], Format::Sse);
    let mut slow = stream(subscription(None, &["*"], Format::Ndjson), Start::After(Id { ms: 5, seq: 2 }));
    slow.patience = Some(Duration::from_millis(1234));
    slow.unsent = Bytes::from_static(b"\"}\n\r\n\0\xff");
    let live = stream(many.clone(), Start::After(Id::at(5)));
    let streams = vec![(7, live), (8, stream(many, Start::Latest)), (9, slow)];
    Description { stored_ms: 123_456, streams }
}

#[test]
fn what_is_written_is_read() {
    for description in [small(), Description { stored_ms: 0, streams: Vec::new() }] {
        assert_eq!(Description::decode(&description.encode()), Ok((description, true)));
    }
}

#[test]
fn a_flipped_byte_ends_the_streams_of_its_line_and_changes_none() {
    let description = small();
    let bytes = description.encode();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let mut ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    ends.insert(0, 0);
    // The streams that each line is about: version, header, subscription, two streams, subscription, stream, end.
    let concerned: [&[u64]; 8] = [&[7, 8, 9], &[7, 8, 9], &[7, 8], &[7], &[8], &[9], &[9], &[]];
    for at in 0..bytes.len() {
        let line = text[..at].matches('\n').count();
        for flip in [1, 2, 32, 128, 255] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            let (streams, is_whole) = match Description::decode(&damaged) {
                Ok((read, is_whole)) => {
                    assert_eq!(read.stored_ms, description.stored_ms);
                    (read.streams, is_whole)
                }
                Err(_) => (Vec::new(), false),
            };
            assert!(!is_whole, "byte {at} ^ {flip}");
            assert!(streams.iter().all(|stream| description.streams.contains(stream)), "byte {at} ^ {flip}");
            // A line break that is gone joins a line with the next one.
            let next = if bytes[at] == b'\n' { line + 1 } else { line };
            let lost = [concerned[line], concerned.get(next).unwrap_or(&&[][..])].concat();
            for stream in &description.streams {
                let is_concerned = lost.contains(&stream.0);
                assert!(is_concerned || streams.contains(stream), "byte {at} ^ {flip}: {} is lost", stream.0);
            }
        }
    }
}

#[test]
fn an_end_that_is_missing_is_noticed_and_what_is_there_is_read() {
    let (description, bytes) = (small(), small().encode());
    for length in 0..bytes.len() {
        if let Ok((read, is_whole)) = Description::decode(&bytes[..length]) {
            assert!(!is_whole && description.streams.starts_with(&read.streams), "{length}");
        }
    }
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let without = [&lines[..4], &lines[5..]].concat().concat();
    let (read, is_whole) = Description::decode(&without).unwrap();
    assert_eq!((read.streams.len(), is_whole), (2, false));
}

#[test]
fn another_version_is_refused_by_name() {
    let refused = |text: &[u8]| Description::decode(text).unwrap_err().to_string();
    let body = small().encode();
    let newer = [b"alertd takeover 2\n", &body[KIND.len() + 2..]].concat();
    assert!(refused(&newer).contains("version 2, and this alertd knows only version 1"));
    assert!(refused(b"alertd takeover 10\n").contains("version 10"));
    assert!(refused(b"alertd takeover").contains("does not begin"));
    assert!(refused(b"").contains("does not begin"));
    assert!(refused(&[b"alertd takeover ".as_slice(), &[0xff; 100]].concat()).len() < 300);
}

#[test]
fn unknown_fields_and_lines_of_a_later_release_are_ignored() {
    let description = small();
    let text = String::from_utf8(description.encode()).unwrap();
    let mut later = String::new();
    for line in text.lines() {
        let Some(json) = line.get(9..).filter(|json| json.starts_with('{')) else {
            later += &format!("{line}\n");
            continue;
        };
        let mut value: serde_json::Value = serde_json::from_str(json).unwrap();
        for member in value.as_object_mut().unwrap().values_mut() {
            member.as_object_mut().unwrap().insert("later".into(), serde_json::json!([1, { "x": null }]));
        }
        for json in [value.to_string(), r#"{"weather":{"is":"fine"}}"#.to_owned()] {
            later += &format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes()));
        }
    }
    let (read, _) = Description::decode(later.as_bytes()).unwrap();
    assert_eq!(read, description);
}

fn any_start() -> impl Strategy<Value = Start> {
    prop_oneof![
        Just(Start::Latest),
        Just(Start::Live),
        Just(Start::All),
        any::<u64>().prop_map(Start::Time),
        any::<(u64, u64)>().prop_map(|(ms, seq)| Start::After(Id { ms, seq })),
        "\\PC{0,20}[\n\r ]\\PC{0,20}".prop_map(Start::Unreadable),
    ]
}

fn any_stream() -> impl Strategy<Value = (u64, StreamRecord)> {
    let topics = prop::collection::vec(prop_oneof![Just("*"), Just("a"), Just("a.*"), Just("b.c")], 1..4);
    let subscription = (prop::option::of("\\PC{1,12}"), topics, any::<bool>()).prop_map(|(key, topics, is_sse)| {
        subscription(key.as_deref(), &topics, if is_sse { Format::Sse } else { Format::Ndjson })
    });
    let times = prop::option::of(any::<u32>()).prop_map(|ms| ms.map(|ms| Duration::from_millis(ms.into())));
    let numbers = (any::<u64>(), any::<u64>(), any::<bool>(), any::<u32>());
    (subscription, any_start(), numbers, times.clone(), times, prop::collection::vec(any::<u8>(), 0..200)).prop_map(
        |(subscription, start, (cookie, latest_after_ms, has_passed_seam, retry_ms), lifetime, patience, unsent)| {
            let unsent = unsent.into();
            let record = StreamRecord {
                subscription,
                start,
                latest_after_ms,
                has_passed_seam,
                retry_ms,
                lifetime,
                patience,
                unsent,
            };
            (cookie, record)
        },
    )
}

proptest! {
    #[test]
    fn any_streams_are_read_as_they_were_written(stored_ms: u64, streams in prop::collection::vec(any_stream(), 0..20)) {
        let description = Description { stored_ms, streams };
        prop_assert_eq!(Description::decode(&description.encode()), Ok((description, true)));
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..300), cut: prop::sample::Index) {
        let _ = Description::decode(&bytes);
        let whole = small().encode();
        let (before, behind) = whole.split_at(cut.index(whole.len()));
        if let Ok((read, _)) = Description::decode(&[before, &bytes, behind].concat()) {
            prop_assert!(read.streams.iter().all(|stream| small().streams.contains(stream)));
        }
    }
}

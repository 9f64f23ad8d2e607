//! Does the load generator notice what it must? Its parts, fed with streams that are right and wrong.

use crate::histogram::Histogram;
use crate::load::{Decoder, Event, Order, Seen};
use crate::stamp::{self, Stamp};
use crate::{Result, answer};

/// Fails with the first part that does not do what it should.
pub(crate) fn run() -> Result<()> {
    for (name, part) in
        [("order", order as fn() -> bool), ("stamps", stamps), ("events", events), ("answers", answers), ("time", time)]
    {
        if !part() {
            return Err(format!("the generator is wrong about {name}").into());
        }
    }
    println!("the load generator notices what it must");
    Ok(())
}

fn order() -> bool {
    let of = |one_publisher, indices: &[u32]| -> (Vec<Seen>, u64) {
        let mut order = Order::default();
        order.begin(0, one_publisher);
        (indices.iter().map(|&index| order.see(index)).collect(), order.digest)
    };
    use Seen::{Ahead, Late, Next, Repeated};
    of(true, &[0, 1, 2, 3]).0 == [Next, Next, Next, Next]
        && of(true, &[0, 2, 1, 3]).0 == [Next, Ahead, Late, Next]
        && of(true, &[0, 1, 1, 0, 2]).0 == [Next, Next, Repeated, Repeated, Next]
        && of(true, &[0, 500, 1]).0 == [Next, Ahead, Repeated]
        && of(false, &[3, 0, 500, 0]).0 == [Next, Next, Next, Repeated]
        && of(true, &[0, 1, 2]).1 != of(true, &[1, 0, 2]).1
}

fn stamps() -> bool {
    let stamps = [7, 8, 12_345_678].map(|sequence| Stamp { sequence, nanoseconds: 1_234_567_890_123_456 });
    let text: String = stamps.iter().map(|stamp| format!("data: {}\n\n", stamp.message(60))).collect();
    // Cut anywhere, and what is kept goes in front of the rest.
    (0..text.len()).all(|cut| {
        let mut found = Vec::new();
        let kept = stamp::scan(&text.as_bytes()[..cut], |stamp| found.push(stamp));
        stamp::scan(&text.as_bytes()[kept..], |stamp| found.push(stamp));
        found == stamps
    })
}

fn events() -> bool {
    let body = "retry: 1200\nevent: cursor\nid: 1-0\ndata: {}\n\nid: 2-0\ndata: one\n\n: quiet\n\nid: 3-0\ndata: two\n\nid: 4-0\nda";
    let (first, rest) = body.split_at(20);
    let wire = format!("{:x}\r\n{first}\r\n{:x}\r\n{rest}\r\n", first.len(), rest.len());
    (0..wire.len()).all(|cut| {
        let (mut decoder, mut seen) = (Decoder::new(true), Vec::new());
        for part in [&wire.as_bytes()[..cut], &wire.as_bytes()[cut..]] {
            decoder.feed(part, |event| {
                seen.push(match event {
                    Event::Alert(data) => String::from_utf8_lossy(data).into_owned(),
                    Event::Named(name) => format!("<{name}>"),
                });
            });
        }
        seen == ["<cursor>", "one", "two"] && decoder.last_id == "3-0" && decoder.broken == 0
    })
}

fn answers() -> bool {
    let whole = |text: &str| answer::whole(text.as_bytes()).map(|answer| (answer.status, answer.length, answer.close));
    whole("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{").is_none()
        && whole("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}") == Some((200, 40, false))
        && whole("HTTP/1.0 503 No\r\nConnection: Close\r\n\r\n") == Some((503, 38, true))
        && whole("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n") == Some((200, 59, false))
}

fn time() -> bool {
    let mut histogram = Histogram::new();
    (1..=1000).for_each(|step| histogram.record(step * 1_000_000));
    let near = |share, wanted: f64| (histogram.milliseconds(share) / wanted - 1.0).abs() < 0.02;
    near(0.5, 500.0) && near(0.99, 990.0) && near(1.0, 1000.0)
}

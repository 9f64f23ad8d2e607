//! The address of a client behind proxies: `X-Forwarded-For` and `Forwarded` (RFC 7239).
//!
//! Called for each request that has to be authenticated. Always: a header counts only as far as trusted proxies wrote it,
//! so that no client chooses its address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper::header::{FORWARDED, HeaderMap, HeaderName};

use crate::net::Networks;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address that failed attempts count against: behind trusted proxies the last hop that is not a trusted proxy
/// itself, because the client can write anything before it. A connection without an address comes from a proxy on this
/// machine, because the permissions of its socket admit nobody else. If both headers are present, `X-Forwarded-For`
/// counts, because more proxies write it.
pub(crate) fn client(trusted: &Networks, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
    if peer.is_some_and(|peer| !trusted.contain(peer)) {
        return peer;
    }
    let hops = if headers.contains_key(&X_FORWARDED_FOR) {
        hops(headers, &X_FORWARDED_FOR, address)
    } else {
        hops(headers, &FORWARDED, forwarded_for)
    };
    let mut nearest = peer;
    for hop in hops.into_iter().rev() {
        // Clients behind a hop without an address, such as `unknown`, cannot be told apart.
        let Some(address) = hop else { break };
        nearest = Some(address);
        if !trusted.contain(address) {
            break;
        }
    }
    nearest
}

/// The address in each element of a header, the nearest hop last.
fn hops(headers: &HeaderMap, name: &HeaderName, read: fn(&str) -> Option<IpAddr>) -> Vec<Option<IpAddr>> {
    // A client may have sent bytes that are not UTF-8 before a proxy appended its element.
    let lines = headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    // Empty elements do not count (RFC 9110, section 5.6.1): some proxies leave a comma at the end.
    let elements = |line: &str| {
        let given = split(line, ',').into_iter().filter(|element| !element.trim().is_empty());
        given.map(read).collect::<Vec<_>>()
    };
    lines.flat_map(|line| elements(&line)).collect()
}

fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = split(element, ';').into_iter().filter_map(|pair| pair.split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    address(node)
}

/// The parts between separators that are not in a quoted string.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut in_quotes, mut is_escaped) = (false, false);
    let separates = |c: char| {
        let is_plain = !std::mem::take(&mut is_escaped);
        match c {
            '\\' if in_quotes && is_plain => is_escaped = true,
            '"' if is_plain => in_quotes = !in_quotes,
            _ => {}
        }
        c == separator && !in_quotes
    };
    text.split(separates).collect()
}

/// An address as proxies write it: quoted or not, an IPv6 address in brackets or not, with a port or not.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let address = if let Some(rest) = text.strip_prefix('[') {
        let (inside, port) = rest.split_once(']')?;
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        is_port.then(|| v6(inside)).flatten()?
    } else if let Some((host, _)) = text.split_once(':').filter(|(_, port)| is_port(port)) {
        IpAddr::V4(host.parse::<Ipv4Addr>().ok()?)
    } else if let Some((host, _)) = text.rsplit_once(':').filter(|(host, port)| host.contains('.') && is_port(port)) {
        // An IPv4-mapped IPv6 address with a port, as a dual-stack socket reports it.
        v6(host)?
    } else {
        text.parse().ok().or_else(|| v6(text))?
    };
    Some(address.to_canonical())
}

/// An IPv6 address, without its zone, which is meaningful only on the machine that wrote it.
fn v6(text: &str) -> Option<IpAddr> {
    let text = text.split_once('%').map_or(text, |(address, _)| address);
    text.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

/// A number, or a name that a proxy made up (RFC 7239, section 6).
fn is_port(text: &str) -> bool {
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    text.parse::<u16>().is_ok() || text.strip_prefix('_').is_some_and(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Network;
    use hyper::header::HeaderValue;

    fn seen(peer: &str, lines: &[(&HeaderName, &str)]) -> String {
        let trusted: Vec<Network> = ["127.0.0.0/8", "::1"].iter().map(|text| text.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for (name, line) in lines {
            headers.append(*name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        let client = client(&trusted.into(), peer.parse().ok(), &headers);
        client.map_or("nobody".to_owned(), |address| address.to_string())
    }

    #[test]
    fn a_client_cannot_choose_its_address() {
        let seen = |peer: &str, lines: &[&str]| {
            let lines: Vec<_> = lines.iter().map(|line| (&X_FORWARDED_FOR, *line)).collect();
            seen(peer, &lines)
        };
        assert_eq!(seen("198.51.100.9", &["1.1.1.1"]), "198.51.100.9");
        assert_eq!(seen("127.0.0.1", &["1.1.1.1, 203.0.113.7"]), "203.0.113.7");
        assert_eq!(seen("127.0.0.1", &["1.1.1.1", "203.0.113.7, 127.0.0.2"]), "203.0.113.7");
        assert_eq!(seen("127.0.0.1", &["1.1.1.1", "203.0.113.7:4711, 127.0.0.2:80"]), "203.0.113.7");
        assert_eq!(seen("127.0.0.1", &["\u{e4}\", 203.0.113.7", "203.0.113.8"]), "203.0.113.8");
        assert_eq!(seen("127.0.0.1", &["1.1.1.1, unknown, 127.0.0.2"]), "127.0.0.2");
        assert_eq!(seen("127.0.0.1", &["1.1.1.1, 203.0.113.7, ,", "", " "]), "203.0.113.7");
        assert_eq!(seen("127.0.0.1", &["nonsense"]), "127.0.0.1");
        assert_eq!(seen("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(seen("a Unix socket", &["1.1.1.1, 203.0.113.7"]), "203.0.113.7");
        assert_eq!(seen("a Unix socket", &[]), "nobody");
    }

    #[test]
    fn forwarded_is_read_where_the_other_header_is_missing() {
        for (line, wanted) in [
            ("for=203.0.113.7", "203.0.113.7"),
            ("For=\"203.0.113.7:4711\";proto=https;by=10.0.0.1", "203.0.113.7"),
            ("proto=http; FOR=\"[2001:db8::7]:4711\"", "2001:db8::7"),
            ("for=\"[2001:db8::7]\", for=127.0.0.2", "2001:db8::7"),
            ("for=1.1.1.1, for=203.0.113.7;host=\"a,b;for=9.9.9.9\"", "203.0.113.7"),
            ("for=1.1.1.1;x=\"\\\",for=8.8.8.8\", for=203.0.113.7", "203.0.113.7"),
            ("for=\"203.0.113.7:_port\"", "203.0.113.7"),
            ("for=1.1.1.1, for=unknown", "127.0.0.1"),
            ("for=1.1.1.1, for=_hidden", "127.0.0.1"),
            ("for=1.1.1.1, by=203.0.113.7", "127.0.0.1"),
            ("", "127.0.0.1"),
        ] {
            assert_eq!(seen("127.0.0.1", &[(&FORWARDED, line)]), wanted, "{line}");
        }
        assert_eq!(seen("198.51.100.9", &[(&FORWARDED, "for=1.1.1.1")]), "198.51.100.9");
        let both = [(&FORWARDED, "for=1.1.1.1"), (&X_FORWARDED_FOR, "203.0.113.7")];
        assert_eq!(seen("127.0.0.1", &both), "203.0.113.7");
    }

    #[test]
    fn an_address_is_read_as_proxies_write_it_and_nothing_else_is() {
        for (text, wanted) in [
            ("203.0.113.7", "203.0.113.7"),
            (" 203.0.113.7:4711 ", "203.0.113.7"),
            ("\"203.0.113.7:4711\"", "203.0.113.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("\"[2001:db8::7]:4711\"", "2001:db8::7"),
            ("[fe80::1%eth0]:1", "fe80::1"),
            ("fe80::1%2", "fe80::1"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("[::ffff:203.0.113.7]:1", "203.0.113.7"),
            ("::ffff:203.0.113.7:4711", "203.0.113.7"),
        ] {
            assert_eq!(address(text), Some(wanted.parse().unwrap()), "{text}");
        }
        for bad in [
            "",
            "x",
            "[",
            "[]",
            "[203.0.113.7]",
            "203.0.113.7:",
            "203.0.113.7:99999",
            "203.0.113.7:x",
            "\"",
            "[::1]x",
            "1:2:3",
        ] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }
}

//! Who asks: a key in the header, a ticket, or the door the connection came in by.

use std::net::IpAddr;

use hyper::header::{AUTHORIZATION, HeaderMap};

use super::error::HttpError;
use super::request::Parameters;
use super::route::Route;
use super::{Door, Peer, Settings};
use crate::service::{Caller, Service};

/// The caller of a request.
///
/// # Errors
/// As [`Service::authenticate`] and [`Service::redeem_ticket`].
pub(crate) async fn caller(
    service: &Service,
    settings: &Settings,
    peer: Peer,
    headers: &HeaderMap,
    parameters: &mut Parameters,
    route: Route,
) -> Result<Caller, HttpError> {
    match peer.door {
        Door::Control => return Ok(Caller::Control),
        Door::Publish => return Ok(Caller::Publisher),
        Door::Http => {}
    }
    let client = client(settings, peer.address, headers);
    // Before the header: a browser behind a proxy with passwords of its own sends those along.
    if route == Route::Read
        && let Some(ticket) = parameters.one("ticket")?
    {
        return Ok(service.redeem_ticket(&ticket, client).await?);
    }
    let in_query = if settings.query_token { parameters.one("token")? } else { None };
    match bearer(headers).or(in_query.as_deref()) {
        Some(key) => Ok(service.authenticate(key, client).await?),
        None => Err(service.refuse_keyless(client).into()),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    // Two headers: proxies disagree which one counts, so neither does.
    if values.next().is_some() {
        return None;
    }
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim()).filter(|key| !key.is_empty())
}

/// The address that failures are counted for: behind our own proxies the nearest one in `X-Forwarded-For` that is not
/// ours, because everything before it is the client's own word.
pub(crate) fn client(settings: &Settings, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
    // Over a Unix socket comes nobody but a proxy of this machine, which its permissions let in.
    if let Some(peer) = peer
        && !(settings.trusted_proxy)(peer)
    {
        return Some(peer);
    }
    let hops = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = hops.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut nearest = peer;
    for hop in hops.into_iter().rev() {
        let Ok(address) = hop.parse::<IpAddr>() else { break };
        nearest = Some(address);
        if !(settings.trusted_proxy)(address) {
            break;
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;
    use std::sync::Arc;

    fn headers(name: &'static str, values: &[&'static str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for value in values {
            map.append(name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn a_key_is_taken_from_one_bearer_header_only() {
        let key = |values: &[&'static str]| bearer(&headers("authorization", values)).map(str::to_owned);
        assert_eq!(key(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(key(&["bearer  abc "]).as_deref(), Some("abc"));
        for bad in [&["Basic abc"][..], &["Bearer"], &["Bearer "], &["abc"], &["Bearer a", "Bearer b"], &[]] {
            assert_eq!(key(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_client_cannot_choose_its_address() {
        let settings = Settings {
            max_body: 0,
            max_hook_body: 0,
            trusted_proxy: Arc::new(|address| address.is_loopback()),
            query_token: false,
            cors_origins: Vec::new(),
            documentation: false,
        };
        let seen = |peer: &str, forwarded: &[&'static str]| {
            let client = client(&settings, peer.parse().ok(), &headers("x-forwarded-for", forwarded));
            client.map_or("nobody".to_owned(), |address| address.to_string())
        };
        assert_eq!(seen("198.51.100.9", &["1.1.1.1"]), "198.51.100.9");
        assert_eq!(seen("127.0.0.1", &["1.1.1.1, 203.0.113.7"]), "203.0.113.7");
        assert_eq!(seen("127.0.0.1", &["1.1.1.1", "203.0.113.7, 127.0.0.2"]), "203.0.113.7");
        assert_eq!(seen("127.0.0.1", &["nonsense"]), "127.0.0.1");
        assert_eq!(seen("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(seen("a Unix socket", &["1.1.1.1, 203.0.113.7"]), "203.0.113.7");
        assert_eq!(seen("a Unix socket", &[]), "nobody");
    }
}

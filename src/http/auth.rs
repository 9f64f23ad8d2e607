//! Authentication: which caller a request comes from, and whether its route is for that caller.
//!
//! The dispatcher calls [`authorize`] with the access that the route's row requires, before the handler runs and before a
//! body is read. Always true: what the OpenAPI document says about access is what is checked here, because both read the row.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64_URL};
use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderMap};
use zeroize::Zeroizing;

use super::error::HttpError;
use super::query::Parameters;
use super::{ListenerKind, Peer, Settings, forwarded};
use crate::key::Scope;
use crate::service::{Caller, Refusal, Service};

/// What a route requires of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Open,
    /// A key of any scope.
    AnyKey,
    Key(Scope),
    /// A key with one of these scopes; not the publish socket.
    Either(Scope, Scope),
    /// A key with the scope `subscribe`, or a ticket.
    KeyOrTicket,
    /// GitHub's signature of the body. The handler checks it, because the body has to be read for that; until then the
    /// caller is anonymous and may do nothing.
    Signature,
    /// The control socket; no key is enough.
    ControlSocket,
}

/// Whose protocol a request speaks. It decides how errors are written, and how a key may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Own,
    Ntfy,
}

impl Dialect {
    #[must_use]
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        let is_publish = path == "/" && [Method::POST, Method::PUT].contains(method);
        let is_ntfy =
            is_publish || path.strip_prefix("/ntfy").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if is_ntfy { Self::Ntfy } else { Self::Own }
    }
}

/// Where a request may have its key.
pub(crate) struct Presented<'r> {
    pub headers: &'r HeaderMap,
    pub parameters: &'r mut Parameters,
    pub dialect: Dialect,
}

impl Access {
    fn check(self, caller: &Caller) -> Result<(), Refusal> {
        match self {
            Self::Open => Ok(()),
            Self::Signature if matches!(caller, Caller::Anonymous) => Ok(()),
            Self::AnyKey => caller.require_any(),
            Self::Key(scope) => caller.require(scope),
            Self::Either(first, second) => caller.require_either(first, second),
            Self::KeyOrTicket => caller.require(Scope::Subscribe),
            Self::Signature => caller.require(Scope::Publish),
            Self::ControlSocket => caller.require_control(),
        }
    }
}

/// The caller of a request, once it is shown to have this access.
///
/// # Errors
/// As [`Service::authenticate`] and [`Service::redeem_ticket`]; as [`Access`] for a caller who lacks it.
pub(crate) async fn authorize(
    service: &Service,
    settings: &Settings,
    peer: Peer,
    Presented { headers, parameters, dialect }: Presented<'_>,
    access: Access,
) -> Result<Caller, HttpError> {
    let caller = match (peer.listener, access) {
        (_, Access::Open) | (ListenerKind::Http, Access::Signature) => Caller::Anonymous,
        (ListenerKind::Control, _) => Caller::Control(peer.uid),
        (ListenerKind::Publish, _) => Caller::Publisher(peer.uid),
        (ListenerKind::Http, _) => {
            let client = forwarded::client(&settings.trusted_proxies, peer.address, headers);
            let ticket = if access == Access::KeyOrTicket { parameters.one("ticket")? } else { None };
            // Before the header: a browser sends the password of a proxy in front of alertd in that header, and it is no key.
            if let Some(ticket) = ticket {
                // Boxed, because the task of each request is as large as its largest branch.
                Box::pin(service.redeem_ticket(&ticket, client)).await?
            } else {
                let in_query = match dialect {
                    _ if !settings.query_token => None,
                    Dialect::Own => parameters.one("token")?.map(Zeroizing::new),
                    Dialect::Ntfy => parameters.first(&["auth", "authorization"])?.as_deref().and_then(header_in_query),
                };
                let authorization = authorization(headers);
                let bearer = authorization.and_then(|header| credentials(header, "bearer"));
                let mut key = bearer.or(in_query.as_ref().map(|key| key.as_str()));
                // Last, because a browser sends the password of a proxy in front of alertd in this way too.
                let password = if key.is_none() { authorization.and_then(password) } else { None };
                key = key.or(password.as_ref().map(|key| key.as_str()));
                service.authenticate(key.ok_or_else(|| service.refuse_keyless(client))?, client).await?
            }
        }
    };
    access.check(&caller)?;
    Ok(caller)
}

/// The key in a header `Authorization` that ntfy's clients send in the query, in base64.
fn header_in_query(text: &str) -> Option<Zeroizing<String>> {
    let header = Zeroizing::new(BASE64_URL.decode(text.trim_end_matches('=')).ok()?);
    let header = std::str::from_utf8(&header).ok()?;
    let bearer = credentials(header, "bearer").map(|key| Zeroizing::new(key.to_owned()));
    bearer.or_else(|| password(header))
}

/// The password of the scheme `Basic`, which tools send that take a user and a password or have them in a URL. The user does not
/// matter; without a password it is the key.
fn password(header: &str) -> Option<Zeroizing<String>> {
    let decoded = Zeroizing::new(BASE64.decode(credentials(header, "basic")?).ok()?);
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    let key = if password.is_empty() { user } else { password };
    Some(key.trim()).filter(|key| !key.is_empty()).map(|key| Zeroizing::new(key.to_owned()))
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    // With two headers neither counts: proxies disagree on which one does.
    if values.next().is_some() {
        return None;
    }
    Some(value)
}

fn credentials<'h>(header: &'h str, wanted: &str) -> Option<&'h str> {
    let (scheme, key) = header.split_at_checked(wanted.len())?;
    let key = key.strip_prefix(' ').filter(|_| scheme.eq_ignore_ascii_case(wanted))?;
    Some(key.trim()).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn headers(name: &'static str, values: &[&'static str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for value in values {
            map.append(name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn a_key_is_taken_from_one_bearer_header_only() {
        let key = |values: &[&'static str]| {
            let headers = headers("authorization", values);
            authorization(&headers).and_then(|header| credentials(header, "bearer")).map(str::to_owned)
        };
        assert_eq!(key(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(key(&["bearer  abc "]).as_deref(), Some("abc"));
        for bad in [&["Basic abc"][..], &["Bearer"], &["Bearer "], &["abc"], &["Bearer a", "Bearer b"], &[]] {
            assert_eq!(key(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_key_is_taken_from_the_password_of_a_basic_header_or_its_user() {
        let key =
            |values: &[&'static str]| Some(password(authorization(&headers("authorization", values))?)?.to_string());
        // alice:abc, abc:, :abc
        for value in ["Basic YWxpY2U6YWJj", "basic YWJjOg==", "Basic OmFiYw=="] {
            assert_eq!(key(&[value]).as_deref(), Some("abc"), "{value}");
        }
        // Without a colon, empty, not base64, twice.
        let twice = ["Basic OmFiYw==", "Basic OmFiYw=="];
        for bad in [&["Basic YWJj"][..], &["Basic Og=="], &["Basic abc:def"], &["Bearer OmFiYw=="], &twice, &[]] {
            assert_eq!(key(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_header_in_the_query_is_read_as_one() {
        let key = |header: &str| header_in_query(&BASE64_URL.encode(header)).map(|key| key.to_string());
        assert_eq!(key("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(key("Basic YWxpY2U6YWJj").as_deref(), Some("abc"));
        assert_eq!(header_in_query(&format!("{}==", BASE64_URL.encode("Bearer abcd"))).unwrap().as_str(), "abcd");
        assert_eq!((key("abc"), header_in_query("*"), header_in_query("")), (None, None, None));
    }

    #[test]
    fn ntfys_paths_are_known() {
        for path in ["/ntfy", "/ntfy/", "/ntfy/a/json"] {
            assert_eq!(Dialect::of(&Method::GET, path), Dialect::Ntfy, "{path}");
        }
        assert_eq!(Dialect::of(&Method::POST, "/"), Dialect::Ntfy);
        for path in ["/", "/ntfyx", "/alerts/ntfy"] {
            assert_eq!(Dialect::of(&Method::GET, path), Dialect::Own, "{path}");
        }
    }
}

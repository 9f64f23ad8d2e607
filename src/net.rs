//! Networks of IP addresses, written as an address or in CIDR notation.
//!
//! An IPv4 address and its IPv6-mapped form are equal here, because a listener on `[::]` sees IPv4 peers in that form.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// A network of IP addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network(IpNet);

/// Why a text is not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NetworkError {
    #[error("is not an address or network; write one such as \"10.0.0.0/8\" or \"::1\"")]
    Form,
    #[error("has too many bits; the maximum is {0}")]
    Bits(u8),
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Form)?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => all,
            Some(bits) if !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit()) => {
                bits.parse().ok().filter(|bits| *bits <= all).ok_or(NetworkError::Bits(all))?
            }
            Some(_) => return Err(NetworkError::Form),
        };
        // Peers are compared in their IPv4 form, so a network in the mapped form would never match.
        let (address, bits) = match address.to_canonical() {
            mapped @ IpAddr::V4(_) if all == 128 && bits >= 96 => (mapped, bits - 96),
            _ => (address, bits),
        };
        IpNet::new(address, bits).map(Self).map_err(|_| NetworkError::Bits(all))
    }
}

impl Network {
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

/// Several networks, such as those of trusted proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Networks(Vec<Network>);

impl Networks {
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<Network>> for Networks {
    fn from(networks: Vec<Network>) -> Self {
        Self(networks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_its_addresses_and_no_other() {
        for (network, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.128/25", "192.0.2.127", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "1.2.3.4", false),
            ("::1", "::1", true),
            ("::1", "::2", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "11.1.2.3", false),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(parsed.contains(address.parse().unwrap()), inside, "{network} {address}");
        }
    }

    #[test]
    fn an_invalid_network_is_refused() {
        for bad in ["", "x", "10.0.0/8", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8", " 10.0.0.1"] {
            assert_eq!(bad.parse::<Network>(), Err(NetworkError::Form), "{bad}");
        }
        for (bad, max) in [("10.0.0.0/33", 32), ("::1/129", 128), ("::1/99999999999", 128)] {
            assert_eq!(bad.parse::<Network>(), Err(NetworkError::Bits(max)), "{bad}");
        }
    }
}

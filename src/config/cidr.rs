//! An address, or a network in CIDR form.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// Addresses that share their first bits. IPv4 and its IPv6-mapped form are one and the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    address: IpAddr,
    bits: u32,
}

/// A text that is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CidrError {
    /// Not of that form.
    #[error("is no address or network; write one such as \"10.0.0.0/8\" or \"::1\"")]
    Form,
    /// More bits than an address has.
    #[error("has too many bits; write {0} at most")]
    Bits(u32),
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| CidrError::Form)?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => all,
            Some(bits) if !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit()) => {
                bits.parse().ok().filter(|bits| *bits <= all).ok_or(CidrError::Bits(all))?
            }
            Some(_) => return Err(CidrError::Form),
        };
        // Peers are compared in their IPv4 form, so a network written in the mapped form would never match.
        match address.to_canonical() {
            mapped @ IpAddr::V4(_) if all == 128 && bits >= 96 => Ok(Self { address: mapped, bits: bits - 96 }),
            _ => Ok(Self { address, bits }),
        }
    }
}

impl Cidr {
    /// Whether the address lies in it.
    #[must_use]
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => self.shares(widen(own), widen(other), Ipv4Addr::BITS),
            (IpAddr::V6(own), IpAddr::V6(other)) => self.shares(own.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }

    fn shares(&self, own: u128, other: u128, width: u32) -> bool {
        // A shift by the whole width is the network of all addresses.
        let shift = width - self.bits;
        own.checked_shr(shift).unwrap_or(0) == other.checked_shr(shift).unwrap_or(0)
    }
}

fn widen(address: Ipv4Addr) -> u128 {
    address.to_bits().into()
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
            let cidr: Cidr = network.parse().unwrap();
            assert_eq!(cidr.contains(address.parse().unwrap()), inside, "{network} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in ["", "x", "10.0.0/8", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8", " 10.0.0.1"] {
            assert_eq!(bad.parse::<Cidr>(), Err(CidrError::Form), "{bad}");
        }
        for (bad, most) in [("10.0.0.0/33", 32), ("::1/129", 128), ("::1/99999999999", 128)] {
            assert_eq!(bad.parse::<Cidr>(), Err(CidrError::Bits(most)), "{bad}");
        }
    }
}

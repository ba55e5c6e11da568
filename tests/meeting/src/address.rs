//! Which address of this machine carries the media.
//!
//! Firefox offers no loopback address to a page that may not use the
//! microphone, so 127.0.0.1 never connects. What it offers is the address of
//! the default route.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// An address reserved for documentation: nothing is ever sent to it.
const FAR_AWAY: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "this machine has no address that a browser would use for media: give it a default \
         route, or inside a network namespace without one:\n  \
         ip link set lo up && ip address add 192.0.2.10/32 dev lo && ip route add default dev lo src 192.0.2.10"
    )]
    None,
    #[error("{0} (--media-address) cannot be used for media: browsers refuse loopback addresses")]
    Loopback(IpAddr),
    #[error("{address} (--media-address) is no address of this machine")]
    Foreign { address: IpAddr, source: std::io::Error },
}

/// The address asked for, else the one of the default route.
pub(crate) fn choose(asked: Option<IpAddr>) -> Result<IpAddr, Error> {
    match asked {
        Some(address) if address.is_loopback() => Err(Error::Loopback(address)),
        Some(address) => match UdpSocket::bind((address, 0)) {
            Ok(_) => Ok(address),
            Err(source) => Err(Error::Foreign { address, source }),
        },
        None => default_route().ok_or(Error::None),
    }
}

/// The kernel picks the address when a socket is connected; that sends nothing.
fn default_route() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(FAR_AWAY).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_never_connect_are_refused_with_the_reason() {
        let loopback = choose(Some(IpAddr::V4(Ipv4Addr::LOCALHOST))).unwrap_err().to_string();
        assert!(loopback.contains("loopback"), "{loopback}");
        let foreign = choose(Some("203.0.113.77".parse().unwrap())).unwrap_err().to_string();
        assert!(foreign.contains("no address of this machine"), "{foreign}");
        assert!(Error::None.to_string().contains("ip route add default dev lo"));
    }
}

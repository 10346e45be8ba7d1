//! Which addresses a call may go to.
//!
//! A catalog entry is written by people who may not see the server's own network. So a call goes to an address of the
//! public internet, or the operator has allowed private ones for it. Addresses at which clouds hand out the machine's
//! own credentials are refused in any case: nothing that answers there is a provider.
//!
//! The ranges are those of the IANA registries of special-purpose addresses that are not globally reachable.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where clouds tell a machine about itself: AWS, Azure, GCP and others; Azure's wire server; Alibaba; Oracle.
const METADATA_V4: [Ipv4Addr; 4] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];
/// The same of ECS tasks and EKS pods at AWS, which have more than one address of this kind.
const METADATA_BLOCK_V4: ([u8; 3], [u8; 2]) = ([169, 254, 170], [2, 23]);
/// AWS: metadata, EKS pods; GCP.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// Blocks by their first address and the bits that their addresses share.
const SPECIAL_V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::UNSPECIFIED, 8),           // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // shared by a carrier's customers
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // relays of 6to4
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),     // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),     // reserved, broadcast
];
/// Everything public is in here.
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// Of the block above.
const SPECIAL_V6: [(Ipv6Addr, u32); 3] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments, Teredo
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// Whether a connection to the address may be made.
pub(super) fn is_allowed(address: IpAddr, may_private: bool) -> bool {
    let address = plain(address);
    if is_metadata(address) {
        return false;
    }
    may_private || is_public(address)
}

/// What the host of a URL is, as far as it says so itself, if nothing may be sent there. A name is looked up when something
/// is sent; these need no look.
pub(crate) fn forbidden_host(host: &str, may_private: bool) -> Option<&'static str> {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let is_local = name == "localhost" || name.ends_with(".localhost");
    let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
    let address = match literal.parse::<IpAddr>() {
        Ok(address) => plain(address),
        Err(_) => return (is_local && !may_private).then_some("the host is this machine"),
    };
    if is_metadata(address) || is_link_local(address) {
        return Some("the host is at an address of the machine's own link");
    }
    (!may_private && !is_public(address)).then_some("the host is at a private address")
}

/// Nobody receives anything there: clouds tell machines about themselves at such addresses.
const fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// The IPv4 address that an IPv6 address stands for, in the forms that lead a packet there.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let low = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // Compatible, of which `::` and `::1` are none.
        [0, 0, 0, 0, 0, 0, a, b] if a != 0 => low(a, b),
        // Mapped, translated (RFC 2765), NAT64, 6to4.
        [0, 0, 0, 0, 0, 0xffff, a, b]
        | [0, 0, 0, 0, 0xffff, 0, a, b]
        | [0x64, 0xff9b, 0, 0, 0, 0, a, b]
        | [0x2002, a, b, ..] => low(a, b),
        _ => address,
    }
}

fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let (block, last) = METADATA_BLOCK_V4;
            let octets = v4.octets();
            METADATA_V4.contains(&v4) || (octets[..3] == block && last.contains(&octets[3]))
        }
        IpAddr::V6(v6) => METADATA_V6.contains(&v6),
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !SPECIAL_V4.iter().any(|(block, bits)| {
        let host_bits = u32::BITS - bits;
        address.to_bits() >> host_bits == block.to_bits() >> host_bits
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let is_in = |(block, bits): &(Ipv6Addr, u32)| {
        let host_bits = u128::BITS - bits;
        address.to_bits() >> host_bits == block.to_bits() >> host_bits
    };
    is_in(&GLOBAL_V6) && !SPECIAL_V6.iter().any(is_in)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(addresses: &[&str], may_private: bool) -> Vec<String> {
        let is_refused = |text: &&&str| !is_allowed(text.parse().unwrap(), may_private);
        addresses.iter().filter(is_refused).map(ToString::to_string).collect()
    }

    const PRIVATE: &[&str] = &[
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.9.9.9",
        "169.254.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "fc00::1",
        "fdff::1",
        "ff02::1",
        "100::1",
        "64:ff9b:1::1",
        "2001::1",
        "2001:2::1",
        "2001:db8::1",
        "3fff::1",
        "4000::1",
    ];

    #[test]
    fn addresses_that_are_not_of_the_public_internet_need_permission() {
        assert_eq!(refused(PRIVATE, false), PRIVATE);
        assert_eq!(refused(PRIVATE, true), Vec::<String>::new());
    }

    #[test]
    fn a_host_that_says_itself_that_it_is_private_is_known_without_a_look() {
        let told =
            |host| (forbidden_host(host, false).is_some(), forbidden_host(host, true).is_some());
        for host in ["127.0.0.1", "10.0.0.1", "localhost", "LOCALHOST.", "a.localhost", "[::1]"] {
            assert_eq!(told(host), (true, false), "{host}");
        }
        for host in ["169.254.0.1", "169.254.169.254", "[fe80::1]", "[::ffff:169.254.1.1]"] {
            assert_eq!(told(host), (true, true), "{host}");
        }
        for host in ["hooks.example", "1.1.1.1", "[2606:4700::1111]", "localhost.example"] {
            assert_eq!(told(host), (false, false), "{host}");
        }
    }

    #[test]
    fn a_private_address_is_seen_in_each_of_its_forms() {
        let forms = [
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::192.168.0.1",
            "2002:7f00:1::",
            "2002:a00:1::1",
        ];
        assert_eq!(refused(&forms, false), forms);
    }

    #[test]
    fn addresses_of_the_public_internet_are_allowed() {
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "2a00::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ];
        assert_eq!(refused(&public, false), Vec::<String>::new());
    }

    #[test]
    fn what_hands_out_the_credentials_of_the_machine_is_refused_with_permission_too() {
        let metadata = [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
        ];
        assert_eq!(refused(&metadata, true), metadata);
        assert_eq!(refused(&metadata, false), metadata);
    }
}

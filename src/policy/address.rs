//! Which addresses may be dialled for a permit: those of the public Internet, and those that an exception names.
//!
//! One table holds every special-use range of IPv4 and IPv6, one every way of wrapping IPv4 in IPv6. An answer with a single
//! address that may not be dialled is refused as a whole: picking the good ones would let an attacker's name probe.
//!
//! Not known here, so not refused: a translator's own NAT64 prefix (RFC 6052 § 2.2), public addresses that a network uses
//! inside, and addresses of the proxy that it doesn't know of, such as a load balancer's before it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::decision::Permit;
use super::pattern::HostPattern;
use super::reason::DenyReason;

/// One special-use range.
#[derive(Debug)]
struct SpecialUse {
    network: IpNet,
    reason: DenyReason,
    /// Where it is set aside.
    reference: &'static str,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8, reason: DenyReason, reference: &'static str) -> SpecialUse {
    SpecialUse {
        network: IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)),
        reason,
        reference,
    }
}

const fn v6(segments: [u16; 8], length: u8, reason: DenyReason, reference: &'static str) -> SpecialUse {
    let network = Ipv6Net::new_assert(Ipv6Addr::from_segments(segments), length);
    SpecialUse {
        network: IpNet::V6(network),
        reason,
        reference,
    }
}

/// Every range that is not public unicast; of two that overlap, the narrower stands first. The registries are IANA's "IPv4" and
/// "IPv6 Special-Purpose Address Space". The AS112 and AMT ranges in them are public, and so are they here.
#[rustfmt::skip]
const SPECIAL_USE: &[SpecialUse] = &[
    v4(169, 254, 169, 254, 32, DenyReason::AddressMetadata, "AWS, Azure, Google Cloud and others: instance metadata"),
    v4(169, 254, 170, 2, 32, DenyReason::AddressMetadata, "AWS ECS: task credentials"),
    v4(169, 254, 170, 23, 32, DenyReason::AddressMetadata, "AWS EKS: pod identity"),
    v4(169, 254, 42, 42, 32, DenyReason::AddressMetadata, "Scaleway: instance metadata"),
    v4(169, 254, 0, 23, 32, DenyReason::AddressMetadata, "Tencent Cloud: instance metadata"),
    v4(168, 63, 129, 16, 32, DenyReason::AddressMetadata, "Azure: platform channel, in a public range"),
    v4(100, 100, 100, 200, 32, DenyReason::AddressMetadata, "Alibaba Cloud: instance metadata"),
    v4(192, 0, 0, 192, 32, DenyReason::AddressMetadata, "Oracle Cloud: instance metadata"),
    v4(255, 255, 255, 255, 32, DenyReason::AddressBroadcast, "RFC 8190, RFC 919 § 7"),
    v4(0, 0, 0, 0, 8, DenyReason::AddressUnspecified, "RFC 791 § 3.2, RFC 1122 § 3.2.1.3"),
    v4(10, 0, 0, 0, 8, DenyReason::AddressPrivate, "RFC 1918"),
    v4(100, 64, 0, 0, 10, DenyReason::AddressShared, "RFC 6598"),
    v4(127, 0, 0, 0, 8, DenyReason::AddressLoopback, "RFC 1122 § 3.2.1.3"),
    v4(169, 254, 0, 0, 16, DenyReason::AddressLinkLocal, "RFC 3927"),
    v4(172, 16, 0, 0, 12, DenyReason::AddressPrivate, "RFC 1918"),
    v4(192, 0, 0, 0, 24, DenyReason::AddressReserved, "RFC 6890 § 2.1, IETF protocol assignments"),
    v4(192, 0, 2, 0, 24, DenyReason::AddressDocumentation, "RFC 5737, TEST-NET-1"),
    v4(192, 88, 99, 0, 24, DenyReason::AddressReserved, "RFC 7526, former 6to4 relays"),
    v4(192, 168, 0, 0, 16, DenyReason::AddressPrivate, "RFC 1918"),
    v4(198, 18, 0, 0, 15, DenyReason::AddressBenchmarking, "RFC 2544"),
    v4(198, 51, 100, 0, 24, DenyReason::AddressDocumentation, "RFC 5737, TEST-NET-2"),
    v4(203, 0, 113, 0, 24, DenyReason::AddressDocumentation, "RFC 5737, TEST-NET-3"),
    v4(224, 0, 0, 0, 4, DenyReason::AddressMulticast, "RFC 5771"),
    v4(240, 0, 0, 0, 4, DenyReason::AddressReserved, "RFC 1112 § 4"),

    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, DenyReason::AddressMetadata, "AWS: instance metadata"),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], 128, DenyReason::AddressMetadata, "AWS EKS: pod identity"),
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, DenyReason::AddressMetadata, "Google Cloud: instance metadata"),
    v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128, DenyReason::AddressMetadata, "Scaleway: instance metadata"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128, DenyReason::AddressMetadata, "OpenStack: instance metadata"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, DenyReason::AddressUnspecified, "RFC 4291 § 2.5.2"),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, DenyReason::AddressLoopback, "RFC 4291 § 2.5.3"),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, DenyReason::AddressReserved, "RFC 6666, discard-only"),
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64, DenyReason::AddressReserved, "RFC 9780, dummy prefix"),
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, DenyReason::AddressBenchmarking, "RFC 5180"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, DenyReason::AddressReserved, "RFC 2928, IETF protocol assignments"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, DenyReason::AddressDocumentation, "RFC 3849"),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, DenyReason::AddressDocumentation, "RFC 9637"),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, DenyReason::AddressReserved, "RFC 9602, SRv6 segment identifiers"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, DenyReason::AddressUniqueLocal, "RFC 4193"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, DenyReason::AddressLinkLocal, "RFC 4291 § 2.5.6"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, DenyReason::AddressPrivate, "RFC 3879, former site-local"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, DenyReason::AddressMulticast, "RFC 4291 § 2.7"),
    // Public unicast is assigned from 2000::/3 alone; these three are everything else.
    v6([0, 0, 0, 0, 0, 0, 0, 0], 3, DenyReason::AddressReserved, "RFC 4291 § 2.4, not assigned"),
    v6([0x4000, 0, 0, 0, 0, 0, 0, 0], 2, DenyReason::AddressReserved, "RFC 4291 § 2.4, not assigned"),
    v6([0x8000, 0, 0, 0, 0, 0, 0, 0], 1, DenyReason::AddressReserved, "RFC 4291 § 2.4, not assigned"),
];

/// A way of wrapping IPv4 addresses in IPv6 ones.
#[derive(Debug)]
struct Wrapping {
    network: Ipv6Net,
    inner: fn([u16; 8]) -> Inner,
    /// Whether a public server may be reached by it when the inner address is public.
    public: bool,
    /// Where it is described.
    reference: &'static str,
}

/// The IPv4 addresses in an IPv6 one: the one that packets end up at, and another where the form has two.
type Inner = [Option<Ipv4Addr>; 2];

const fn wrapping(
    segments: [u16; 8],
    length: u8,
    inner: fn([u16; 8]) -> Inner,
    public: bool,
    reference: &'static str,
) -> Wrapping {
    let network = Ipv6Net::new_assert(Ipv6Addr::from_segments(segments), length);
    Wrapping {
        network,
        inner,
        public,
        reference,
    }
}

#[rustfmt::skip]
const WRAPPINGS: &[Wrapping] = &[
    wrapping([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, last_bits, false, "RFC 4291 § 2.5.5.2, IPv4-mapped"),
    wrapping([0, 0, 0, 0, 0, 0, 0, 0], 96, last_bits, false, "RFC 4291 § 2.5.5.1, IPv4-compatible"),
    wrapping([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, last_bits, false, "RFC 2765 § 2.1, IPv4-translated (SIIT)"),
    wrapping([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, last_bits, true, "RFC 6052 § 2.1, NAT64"),
    wrapping([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, local_nat64, false, "RFC 8215, NAT64 for local use"),
    wrapping([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, six_to_four, false, "RFC 3056, 6to4; RFC 7526 retired it"),
    wrapping([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, teredo, false, "RFC 4380 § 4, Teredo"),
];

fn ipv4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

fn last_bits([.., high, low]: [u16; 8]) -> Inner {
    [Some(ipv4(high, low)), None]
}

/// RFC 6052 § 2.2: with a 48-bit prefix the address stands around the zero byte 8, with a 96-bit one at the end.
fn local_nat64(segments: [u16; 8]) -> Inner {
    match segments {
        [_, _, _, high, third @ ..=0xff, fourth, 0, 0] if fourth.trailing_zeros() >= 8 => {
            [Some(ipv4(high, third << 8 | fourth >> 8)), None]
        }
        _ => last_bits(segments),
    }
}

fn six_to_four([_, high, low, ..]: [u16; 8]) -> Inner {
    [Some(ipv4(high, low)), None]
}

/// The client's address is stored with every bit turned; the server's stands in the prefix.
fn teredo([_, _, server_high, server_low, _, _, client_high, client_low]: [u16; 8]) -> Inner {
    [
        Some(ipv4(!client_high, !client_low)),
        Some(ipv4(server_high, server_low)),
    ]
}

/// RFC 5214 § 6.1, ISATAP: an interface identifier below any prefix.
fn isatap(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => Some(ipv4(high, low)),
        _ => None,
    }
}

/// The reason why an address is not public unicast, or `None` when it is. IPv4 wrapped in IPv6 has the class of the inner
/// address, if that is special, and `address.embedded` if the wrapping is none that a public server has.
pub fn classify(address: IpAddr) -> Option<DenyReason> {
    class(address).map(|class| class.reason)
}

/// Where the range of an address that is not public unicast is set aside: the RFC, or who runs the service at it.
pub fn reference(address: IpAddr) -> Option<&'static str> {
    class(address).map(|class| class.reference)
}

/// What the tables say of an address.
#[derive(Debug, Clone, Copy)]
struct Class {
    reason: DenyReason,
    reference: &'static str,
}

impl Class {
    fn is_metadata(self) -> bool {
        self.reason == DenyReason::AddressMetadata
    }
}

fn class(address: IpAddr) -> Option<Class> {
    match address {
        IpAddr::V4(_) => special_use(address),
        IpAddr::V6(address) => class_v6(address),
    }
}

fn special_use(address: IpAddr) -> Option<Class> {
    let row = SPECIAL_USE.iter().find(|row| row.network.contains(&address))?;
    Some(Class {
        reason: row.reason,
        reference: row.reference,
    })
}

fn class_v6(address: Ipv6Addr) -> Option<Class> {
    // `::` and `::1` are no IPv4-compatible addresses, though they lie in that range.
    if address.is_unspecified() || address.is_loopback() {
        return special_use(address.into());
    }
    if let Some(row) = wrapping_of(address) {
        let [first, second] = (row.inner)(address.segments()).map(|inner| special_use(inner?.into()));
        let embedded = Class {
            reason: DenyReason::AddressEmbedded,
            reference: row.reference,
        };
        return worse(first, second).or((!row.public).then_some(embedded));
    }
    let inner = isatap(address).and_then(|inner| special_use(inner.into()));
    worse(special_use(address.into()), inner)
}

/// The first class that there is, but metadata before any other.
fn worse(first: Option<Class>, second: Option<Class>) -> Option<Class> {
    second.filter(|class| class.is_metadata()).or(first).or(second)
}

fn wrapping_of(address: Ipv6Addr) -> Option<&'static Wrapping> {
    WRAPPINGS.iter().find(|row| row.network.contains(&address))
}

/// The address and all that is wrapped in it.
fn unwrapped(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let inner = match address {
        IpAddr::V4(_) => [None; 3],
        IpAddr::V6(address) => {
            let [first, second] = wrapping_of(address).map_or([None; 2], |row| (row.inner)(address.segments()));
            [first, second, isatap(address)]
        }
    };
    std::iter::once(address).chain(inner.into_iter().flatten().map(IpAddr::V4))
}

/// Special-use networks that certain hosts may lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// The hosts.
    pub hosts: HostPattern,
    /// The networks. A metadata service's address is meant only by a network that is exactly that address (`/32`, `/128`), and
    /// an IPv4 network doesn't mean its addresses as wrapped in IPv6.
    pub networks: Vec<IpNet>,
}

impl Exception {
    fn lifts(&self, permit: &Permit, address: IpAddr, reason: DenyReason) -> bool {
        let wide_enough =
            |network: &IpNet| reason != DenyReason::AddressMetadata || network.prefix_len() == network.max_prefix_len();
        self.hosts.matches(permit.host())
            && self
                .networks
                .iter()
                .any(|network| wide_enough(network) && network.contains(&address))
    }
}

/// What may be dialled beyond the public Internet, and what never.
#[derive(Debug, Clone, Default)]
pub struct AddressRules {
    exceptions: Vec<Exception>,
    listeners: Vec<SocketAddr>,
    interfaces: Vec<IpAddr>,
}

impl AddressRules {
    /// Rules with these exceptions, for a proxy that listens at `listeners` on a machine with the addresses `interfaces`.
    pub fn new(exceptions: Vec<Exception>, listeners: Vec<SocketAddr>, interfaces: Vec<IpAddr>) -> Self {
        Self {
            exceptions,
            listeners,
            interfaces,
        }
    }

    /// The addresses that may be dialled for this permit; all of them or none.
    ///
    /// An address of the proxy's own listeners is refused first, whatever exceptions say. Then every address must be public or
    /// excepted for the permit's host. If none is, the reason is the class of the first, or `address.metadata` if any is
    /// that; if some are, it is `address.mixed`. No addresses at all are `upstream.name_not_found`.
    pub fn vet(&self, permit: &Permit, addresses: &[IpAddr]) -> Result<VettedAddrs, DenyReason> {
        if addresses.is_empty() {
            return Err(DenyReason::UpstreamNameNotFound);
        }
        if addresses.iter().any(|address| self.is_own(*address, permit.port())) {
            return Err(DenyReason::AddressOwn);
        }
        let refused: Vec<DenyReason> = addresses
            .iter()
            .filter_map(|address| self.refusal(permit, *address))
            .collect();
        match refused.first() {
            None => Ok(VettedAddrs::new(permit, addresses)),
            Some(_) if refused.len() < addresses.len() => Err(DenyReason::AddressMixed),
            Some(_) if refused.contains(&DenyReason::AddressMetadata) => Err(DenyReason::AddressMetadata),
            Some(reason) => Err(*reason),
        }
    }

    fn refusal(&self, permit: &Permit, address: IpAddr) -> Option<DenyReason> {
        let reason = classify(address)?;
        let lifted = self
            .exceptions
            .iter()
            .any(|exception| exception.lifts(permit, address, reason));
        (!lifted).then_some(reason)
    }

    fn is_own(&self, address: IpAddr, port: u16) -> bool {
        let listeners = || self.listeners.iter().filter(|listener| listener.port() == port);
        unwrapped(address).any(|address| listeners().any(|listener| self.reaches(address, listener.ip())))
    }

    /// Whether a connection to the address would come in at a listener with that address and the same port.
    fn reaches(&self, address: IpAddr, listener: IpAddr) -> bool {
        // A connection to the unspecified address goes to the machine itself.
        if address.is_unspecified() {
            return true;
        }
        let listener = listener.to_canonical();
        if !listener.is_unspecified() {
            return address == listener;
        }
        address.is_loopback() || self.interfaces.iter().any(|own| own.to_canonical() == address)
    }
}

/// Addresses that were vetted for a permit, with its port: the only thing that is ever dialled. Never empty.
///
/// Only [`AddressRules::vet`] makes one:
///
/// ```
/// use egret::policy::{AddressRules, Authority, Decision, Mode, Policy, VettedAddrs};
/// let authority = Authority::parse("example.com:443").unwrap();
/// let Decision::Allow(permit) = Policy::new(&[], Mode::Observe).decide_connect(&authority) else { unreachable!() };
/// let vetted: VettedAddrs = AddressRules::default().vet(&permit, &["1.1.1.1".parse().unwrap()]).unwrap();
/// assert_eq!(vetted.iter().count(), 1);
/// ```
///
/// ```compile_fail,E0423
/// let forged = egret::policy::VettedAddrs(Box::new(["127.0.0.1:80".parse().unwrap()]));
/// ```
///
/// ```compile_fail,E0624
/// use egret::policy::{Permit, VettedAddrs};
/// fn forge(permit: &Permit) -> VettedAddrs { VettedAddrs::new(permit, &["127.0.0.1".parse().unwrap()]) }
/// ```
///
/// ```compile_fail,E0277
/// fn default<T: Default>() {}
/// default::<egret::policy::VettedAddrs>();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct VettedAddrs(Box<[SocketAddr]>);

impl VettedAddrs {
    fn new(permit: &Permit, addresses: &[IpAddr]) -> Self {
        Self(
            addresses
                .iter()
                .map(|address| SocketAddr::new(*address, permit.port()))
                .collect(),
        )
    }

    /// The addresses, in the order that they were given.
    pub fn iter(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Authority, Decision, Mode, Policy};
    use DenyReason::{
        AddressBenchmarking as Benchmarking, AddressBroadcast as Broadcast, AddressDocumentation as Documentation,
        AddressEmbedded as Embedded, AddressLinkLocal as LinkLocal, AddressLoopback as Loopback,
        AddressMetadata as Metadata, AddressMixed as Mixed, AddressMulticast as Multicast, AddressOwn as Own,
        AddressPrivate as Private, AddressReserved as Reserved, AddressShared as Shared,
        AddressUniqueLocal as UniqueLocal, AddressUnspecified as Unspecified,
    };
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn permit(authority: &str) -> Permit {
        match Policy::new(&[], Mode::Observe).decide_connect(&Authority::parse(authority).unwrap()) {
            Decision::Allow(permit) => permit,
            Decision::Deny(denial) => panic!("{denial:?}"),
        }
    }

    #[track_caller]
    fn check(text: &str, expected: Option<DenyReason>) {
        assert_eq!(classify(ip(text)), expected, "{text}");
        assert_eq!(reference(ip(text)).is_some(), expected.is_some(), "{text}");
    }

    /// The range's first and last address have the class, and the addresses before and after it are public.
    #[track_caller]
    fn check_range(first: &str, last: &str, expected: DenyReason) {
        let neighbour = |text: &str, step: i64| {
            let bits = i64::from(u32::from(text.parse::<Ipv4Addr>().unwrap()));
            u32::try_from(bits + step).map(Ipv4Addr::from).unwrap().to_string()
        };
        check(&neighbour(first, -1), None);
        check(first, Some(expected));
        check(last, Some(expected));
        check(&neighbour(last, 1), None);
    }

    #[test]
    fn ipv4_ranges_end_where_they_should() {
        check_range("10.0.0.0", "10.255.255.255", Private);
        check_range("100.64.0.0", "100.127.255.255", Shared);
        check_range("127.0.0.0", "127.255.255.255", Loopback);
        check_range("168.63.129.16", "168.63.129.16", Metadata);
        check_range("169.254.0.0", "169.254.255.255", LinkLocal);
        check_range("172.16.0.0", "172.31.255.255", Private);
        check_range("192.0.0.0", "192.0.0.255", Reserved);
        check_range("192.0.2.0", "192.0.2.255", Documentation);
        check_range("192.88.99.0", "192.88.99.255", Reserved);
        check_range("192.168.0.0", "192.168.255.255", Private);
        check_range("198.18.0.0", "198.19.255.255", Benchmarking);
        check_range("198.51.100.0", "198.51.100.255", Documentation);
        check_range("203.0.113.0", "203.0.113.255", Documentation);
    }

    #[test]
    fn ipv4_begins_and_ends_with_what_is_not_public() {
        check("0.0.0.0", Some(Unspecified));
        check("0.255.255.255", Some(Unspecified));
        check("1.0.0.0", None);
        check("223.255.255.255", None);
        check("224.0.0.0", Some(Multicast));
        check("239.255.255.255", Some(Multicast));
        check("240.0.0.0", Some(Reserved));
        check("255.255.255.254", Some(Reserved));
        check("255.255.255.255", Some(Broadcast));
        for public in ["1.1.1.1", "8.8.8.8", "192.31.196.1", "192.52.193.1", "192.175.48.1"] {
            check(public, None);
        }
    }

    #[test]
    fn metadata_services_have_their_own_class() {
        for text in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "169.254.42.42",
            "169.254.0.23",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:42::42",
            "fe80::a9fe:a9fe",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "64:ff9b:1:a9fe:a9:fe00::",
            "2002:a9fe:a9fe::1",
            "2001:0:a9fe:a9fe::1",
            "2001:0:808:808::5601:5601",
            "fe80::5efe:169.254.169.254",
            "2600::200:5efe:169.254.169.254",
        ] {
            check(text, Some(Metadata));
        }
    }

    #[test]
    fn ipv6_ranges_end_where_they_should() {
        const HIGH: &str = "ffff:ffff:ffff:ffff:ffff:ffff";
        check("::", Some(Unspecified));
        check("::1", Some(Loopback));
        check("::1:0:0:0", Some(Reserved));
        check("64:ff9a:ffff::", Some(Reserved));
        check("100::", Some(Reserved));
        check("100:0:0:1::1", Some(Reserved));
        check("1fff::1", Some(Reserved));
        check("2000::", None);
        check("2001:200::", None);
        check("2001:1ff:ffff::", Some(Reserved));
        check("2001:1::1", Some(Reserved));
        check("2001:2::", Some(Benchmarking));
        check("2001:2:0:ffff::", Some(Benchmarking));
        check("2001:2:1::", Some(Reserved));
        check("2001:db7:ffff::", None);
        check("2001:db8::", Some(Documentation));
        check(&format!("2001:db8:{HIGH}"), Some(Documentation));
        check("2001:db9::", None);
        check("2001:ffff::", None);
        check("2003::", None);
        check("3ffe:ffff::", None);
        check("3fff::", Some(Documentation));
        check("3fff:fff:ffff::", Some(Documentation));
        check("3fff:1000::", None);
        check("3fff:ffff::", None);
        check("4000::", Some(Reserved));
        check("5f00::", Some(Reserved));
        check("7fff::", Some(Reserved));
        check("8000::", Some(Reserved));
        check("fbff::", Some(Reserved));
        check("fc00::", Some(UniqueLocal));
        check(&format!("fdff:ffff:{HIGH}"), Some(UniqueLocal));
        check("fe00::", Some(Reserved));
        check("fe80::", Some(LinkLocal));
        check("febf::1", Some(LinkLocal));
        check("fec0::", Some(Private));
        check("feff::1", Some(Private));
        check("ff00::", Some(Multicast));
        check("ff02::1", Some(Multicast));
        check(&format!("ffff:ffff:{HIGH}"), Some(Multicast));
        for public in [
            "2600::",
            "2606:4700:4700::1111",
            "2a00:1450:4001:80b::200e",
            "2620:4f:8000::1",
        ] {
            check(public, None);
        }
    }

    #[test]
    fn wrapped_ipv4_has_the_class_of_the_inner_address() {
        check("::ffff:127.0.0.1", Some(Loopback));
        check("::ffff:10.0.0.1", Some(Private));
        check("::ffff:8.8.8.8", Some(Embedded));
        check("::10.0.0.1", Some(Private));
        check("::8.8.8.8", Some(Embedded));
        check("::2", Some(Unspecified));
        check("::ffff:0:192.168.0.1", Some(Private));
        check("::ffff:0:8.8.8.8", Some(Embedded));
        check("64:ff9b::7f00:1", Some(Loopback));
        check("64:ff9b::808:808", None);
        check("64:ff9b:1::808:808", Some(Embedded));
        check("64:ff9b:1:808:8:800::", Some(Embedded));
        check("64:ff9b:1:a00:0:100::", Some(Private));
        check("64:ff9b:2::808:808", Some(Reserved));
        check("64:ff9b:0:1::808:808", Some(Reserved));
        check("2002:c0a8:1::1", Some(Private));
        check("2002:808:808::1", Some(Embedded));
        check("2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some(Broadcast));
        // Teredo: a public server with the client 10.0.0.1, a private server with a public client, both public.
        check("2001:0:808:808:0:0:f5ff:fffe", Some(Private));
        check("2001:0:a00:1:0:0:f7f7:f7f7", Some(Private));
        check("2001:0:808:808:0:0:f7f7:f7f7", Some(Embedded));
        check("2600::5efe:10.0.0.1", Some(Private));
        check("2600::200:5efe:8.8.8.8", None);
        check("fe80::5efe:10.0.0.1", Some(LinkLocal));
    }

    #[test]
    fn tables_are_well_formed() {
        for (number, row) in SPECIAL_USE.iter().enumerate() {
            assert_eq!(row.network, row.network.trunc(), "{row:?}");
            assert!(row.reason.code().starts_with("address."), "{row:?}");
            assert!(!row.reference.is_empty(), "{row:?}");
            let hidden_by = SPECIAL_USE[..number]
                .iter()
                .find(|earlier| earlier.network.contains(&row.network));
            assert!(hidden_by.is_none(), "{row:?} never decides");
        }
        for row in WRAPPINGS {
            assert_eq!(row.network, row.network.trunc(), "{row:?}");
            assert!(!row.reference.is_empty(), "{row:?}");
        }
    }

    #[track_caller]
    fn vets(rules: &AddressRules, authority: &str, addresses: &[&str], expected: Result<&[&str], DenyReason>) {
        let addresses: Vec<IpAddr> = addresses.iter().map(|text| ip(text)).collect();
        let vetted = rules.vet(&permit(authority), &addresses);
        let vetted = vetted.map(|vetted| vetted.iter().map(|address| address.to_string()).collect::<Vec<_>>());
        let expected = expected.map(|addresses| addresses.iter().map(|text| (*text).to_owned()).collect());
        assert_eq!(vetted, expected);
    }

    #[test]
    fn an_answer_is_taken_whole_or_not_at_all() {
        let rules = AddressRules::default();
        vets(
            &rules,
            "a.test:443",
            &["1.1.1.1", "2606:4700::1"],
            Ok(&["1.1.1.1:443", "[2606:4700::1]:443"]),
        );
        vets(&rules, "a.test:443", &[], Err(DenyReason::UpstreamNameNotFound));
        vets(&rules, "a.test:443", &["10.0.0.1"], Err(Private));
        vets(&rules, "a.test:443", &["10.0.0.1", "127.0.0.1"], Err(Private));
        vets(&rules, "a.test:443", &["10.0.0.1", "169.254.169.254"], Err(Metadata));
        vets(&rules, "a.test:443", &["1.1.1.1", "10.0.0.1"], Err(Mixed));
        vets(&rules, "a.test:443", &["::ffff:10.0.0.1", "1.1.1.1"], Err(Mixed));
        vets(&rules, "10.0.0.1:443", &["10.0.0.1"], Err(Private));
    }

    fn exception(hosts: &str, networks: &[&str]) -> Exception {
        Exception {
            hosts: HostPattern::parse(hosts).unwrap(),
            networks: networks.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn exceptions_are_bound_to_names_and_networks() {
        let rules = AddressRules::new(
            vec![
                exception("wiki.test", &["10.20.0.0/16", "fd00::/8"]),
                exception("*.lab.test", &["127.0.0.0/8"]),
            ],
            vec![],
            vec![],
        );
        vets(
            &rules,
            "wiki.test:443",
            &["10.20.0.1", "fd00::1"],
            Ok(&["10.20.0.1:443", "[fd00::1]:443"]),
        );
        vets(
            &rules,
            "wiki.test:443",
            &["10.20.0.1", "1.1.1.1"],
            Ok(&["10.20.0.1:443", "1.1.1.1:443"]),
        );
        vets(&rules, "wiki.test:443", &["10.21.0.1"], Err(Private));
        vets(&rules, "wiki.test:443", &["10.20.0.1", "10.21.0.1"], Err(Mixed));
        vets(&rules, "wiki.test:443", &["::ffff:10.20.0.1"], Err(Private));
        vets(&rules, "wiki.test:443", &["127.0.0.1"], Err(Loopback));
        vets(&rules, "other.test:443", &["10.20.0.1"], Err(Private));
        vets(&rules, "10.20.0.1:443", &["10.20.0.1"], Err(Private));
        vets(&rules, "a.lab.test:80", &["127.0.0.1"], Ok(&["127.0.0.1:80"]));
        vets(&rules, "lab.test:80", &["127.0.0.1"], Err(Loopback));
    }

    #[test]
    fn metadata_needs_an_exception_for_exactly_it() {
        let wide = AddressRules::new(
            vec![exception(
                "m.test",
                &[
                    "169.254.0.0/16",
                    "0.0.0.0/0",
                    "::/0",
                    "169.254.169.254/31",
                    "fd00:ec2::/32",
                ],
            )],
            vec![],
            vec![],
        );
        vets(&wide, "m.test:80", &["169.254.169.254"], Err(Metadata));
        vets(&wide, "m.test:80", &["fd00:ec2::254"], Err(Metadata));
        vets(&wide, "m.test:80", &["::ffff:169.254.169.254"], Err(Metadata));
        vets(&wide, "m.test:80", &["169.254.1.1"], Ok(&["169.254.1.1:80"]));
        let exact = AddressRules::new(
            vec![exception("m.test", &["169.254.169.254/32", "fd00:ec2::254/128"])],
            vec![],
            vec![],
        );
        vets(
            &exact,
            "m.test:80",
            &["169.254.169.254", "fd00:ec2::254"],
            Ok(&["169.254.169.254:80", "[fd00:ec2::254]:80"]),
        );
        vets(&exact, "m.test:80", &["169.254.170.2"], Err(Metadata));
        vets(&exact, "x.test:80", &["169.254.169.254"], Err(Metadata));
    }

    #[test]
    fn own_addresses_are_refused_whatever_exceptions_say() {
        let any = || vec![exception("own.test", &["0.0.0.0/0", "::/0"])];
        let own = |listener: &str, interfaces: &[&str]| {
            AddressRules::new(
                any(),
                vec![listener.parse().unwrap()],
                interfaces.iter().map(|text| ip(text)).collect(),
            )
        };
        let loopback = own("127.0.0.1:3128", &["127.0.0.1", "10.0.0.5"]);
        vets(&loopback, "own.test:3128", &["127.0.0.1"], Err(Own));
        vets(&loopback, "own.test:3128", &["::ffff:127.0.0.1"], Err(Own));
        vets(&loopback, "own.test:3128", &["64:ff9b::7f00:1"], Err(Own));
        vets(&loopback, "own.test:3128", &["0.0.0.0"], Err(Own));
        vets(&loopback, "own.test:3128", &["::"], Err(Own));
        vets(&loopback, "own.test:3128", &["1.1.1.1", "127.0.0.1"], Err(Own));
        vets(&loopback, "own.test:3129", &["127.0.0.1"], Ok(&["127.0.0.1:3129"]));
        vets(&loopback, "own.test:3128", &["10.0.0.5"], Ok(&["10.0.0.5:3128"]));
        for listener in ["0.0.0.0:3128", "[::]:3128"] {
            let everywhere = own(listener, &["10.0.0.5", "203.0.113.5", "2600::5"]);
            for address in [
                "127.0.0.1",
                "127.9.9.9",
                "::1",
                "::",
                "10.0.0.5",
                "203.0.113.5",
                "2600::5",
                "::ffff:10.0.0.5",
                "2002:a00:5::",
            ] {
                vets(&everywhere, "own.test:3128", &[address], Err(Own));
            }
            vets(&everywhere, "own.test:3128", &["10.0.0.6"], Ok(&["10.0.0.6:3128"]));
            vets(&everywhere, "own.test:443", &["10.0.0.5"], Ok(&["10.0.0.5:443"]));
        }
        vets(
            &own("[::ffff:10.0.0.5]:3128", &[]),
            "own.test:3128",
            &["10.0.0.5"],
            Err(Own),
        );
        // A public address of the proxy is refused too, without any exception.
        vets(&own("0.0.0.0:443", &["1.2.3.4"]), "x.test:443", &["1.2.3.4"], Err(Own));
    }

    /// Every way of wrapping an IPv4 address.
    fn wrapped(inner: Ipv4Addr) -> Vec<Ipv6Addr> {
        let bits = u32::from(inner);
        let (high, low) = (
            u16::try_from(bits >> 16).unwrap(),
            u16::try_from(bits & 0xffff).unwrap(),
        );
        [
            [0, 0, 0, 0, 0, 0xffff, high, low],
            [0, 0, 0, 0, 0xffff, 0, high, low],
            [0x64, 0xff9b, 0, 0, 0, 0, high, low],
            [0x64, 0xff9b, 1, 0, 0, 0, high, low],
            [0x64, 0xff9b, 1, high, low >> 8, low << 8, 0, 0],
            [0x2002, high, low, 0, 0, 0, 0, 1],
            [0x2001, 0, 0x0808, 0x0808, 0, 0, !high, !low],
            [0x2001, 0, high, low, 0, 0, 0xf7f7, 0xf7f7],
            [0x2600, 0, 0, 0, 0, 0x5efe, high, low],
            [0x2600, 0, 0, 0, 0x200, 0x5efe, high, low],
        ]
        .map(Ipv6Addr::from_segments)
        .to_vec()
    }

    proptest! {
        #[test]
        fn special_ipv4_is_special_in_every_wrapping(row in 0..SPECIAL_USE.len(), host in any::<u32>()) {
            if let IpNet::V4(network) = SPECIAL_USE[row].network {
                let inner = Ipv4Addr::from(u32::from(network.network()) | host & u32::from(network.hostmask()));
                let expected = classify(inner.into());
                prop_assert!(expected.is_some());
                for outer in wrapped(inner) {
                    prop_assert_eq!(classify(outer.into()), expected, "{}", outer);
                }
                let compatible = Ipv6Addr::from(u128::from(u32::from(inner)));
                prop_assert!(classify(compatible.into()).is_some());
            }
        }

        #[test]
        fn only_global_unicast_is_public(bits in any::<u128>()) {
            let address = Ipv6Addr::from(bits);
            if classify(address.into()).is_none() {
                prop_assert_eq!(bits >> 125, 1, "{}", address);
            }
        }

        #[test]
        fn what_is_vetted_is_what_was_given(addresses in proptest::collection::vec(any::<u32>().prop_map(|bits| IpAddr::from(Ipv4Addr::from(bits))), 1..8)) {
            let vetted = AddressRules::default().vet(&permit("a.test:443"), &addresses);
            let public = addresses.iter().all(|address| classify(*address).is_none());
            prop_assert_eq!(vetted.is_ok(), public);
            if let Ok(vetted) = vetted {
                prop_assert_eq!(vetted.iter().map(|address| address.ip()).collect::<Vec<_>>(), addresses);
            }
        }
    }
}

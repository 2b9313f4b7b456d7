//! Workloads, and the look-up of one by what its client shows.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use subtle::Choice;

use super::certificate::{CertificateName, CertificateNames};
use super::credential::{Credential, Presented, Shown};
use crate::policy::Policy;

/// What a client must show to be a workload's: each part that is there must hold.
#[derive(Debug, Clone)]
pub struct Match {
    /// Any one of these networks; `None` when the network doesn't matter.
    pub networks: Option<Vec<IpNet>>,
    /// The credential; `None` when none is asked for.
    pub credential: Option<Credential>,
    /// Any one of these names in a certificate that it shows to a listener with TLS; `None` when none is asked for.
    pub certificate: Option<Vec<CertificateName>>,
}

impl Match {
    /// Whether every client of `other` is one of these as well, so that `other` in a later place is never asked.
    pub fn covers(&self, other: &Self) -> bool {
        // Two credentials can't be compared: only hashes are known, and a user name may differ.
        self.credential.is_none() && self.covers_certificates(other) && self.covers_networks(other)
    }

    fn covers_certificates(&self, other: &Self) -> bool {
        match (&self.certificate, &other.certificate) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(names), Some(others)) => others.iter().all(|name| names.contains(name)),
        }
    }

    fn covers_networks(&self, other: &Self) -> bool {
        match (&self.networks, &other.networks) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(networks), Some(others)) => others
                .iter()
                .all(|inner| networks.iter().any(|outer| outer.contains(inner))),
        }
    }

    /// Whether all but the credential holds.
    fn has(&self, peer: IpAddr, shown: Option<&CertificateNames>) -> bool {
        let networks = self.networks.as_ref();
        let certificate = self.certificate.as_ref();
        networks.is_none_or(|networks| networks.iter().any(|network| network.contains(&peer)))
            && certificate.is_none_or(|wanted| shown.is_some_and(|shown| shown.any_of(wanted)))
    }
}

/// A workload: who its clients are and what they may reach.
pub struct Workload {
    /// The name in records and metrics.
    pub name: Arc<str>,
    /// What its clients may reach.
    pub policy: Policy,
    clients: Match,
}

impl Workload {
    /// A workload of the clients that `clients` describes.
    pub fn new(name: Arc<str>, clients: Match, policy: Policy) -> Self {
        Self { name, policy, clients }
    }

    /// The user whose credential its clients must show, where the configuration names one.
    pub fn user(&self) -> Option<&str> {
        self.clients.credential.as_ref()?.user()
    }

    /// What its clients must show.
    pub fn clients(&self) -> &Match {
        &self.clients
    }
}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workload")
            .field("name", &self.name)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

/// Who a client is.
#[derive(Debug)]
pub enum Identified {
    /// The first workload that matches.
    Workload(Arc<Workload>),
    /// A workload of the client's network asks for a credential and none was sent.
    CredentialRequired,
    /// A workload of the client's network asks for a credential and another was sent, or one that is malformed.
    CredentialWrong,
    /// Nobody's client.
    Unknown,
}

/// All workloads in the configuration's order. With none, every client is unknown.
#[derive(Debug, Default)]
pub struct Workloads(Vec<Arc<Workload>>);

impl Workloads {
    /// Workloads in the order in which they are tried.
    pub fn new(workloads: Vec<Workload>) -> Self {
        Self(workloads.into_iter().map(Arc::new).collect())
    }

    /// The workloads in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.0.iter()
    }

    /// The first workload that matches the client's address, the credential that it sent, and the certificate that it showed.
    ///
    /// Every credential of the client's network is compared, in constant time, also after one matched.
    pub fn identify(
        &self,
        peer: IpAddr,
        shown: Option<Shown<'_>>,
        certificate: Option<&CertificateNames>,
    ) -> Identified {
        // A listener for both families shows an IPv4 client as ::ffff:a.b.c.d.
        let peer = peer.to_canonical();
        let presented = shown.and_then(Presented::read);
        let mut found = None;
        let mut credential_wanted = false;
        for workload in self.0.iter().filter(|workload| workload.clients.has(peer, certificate)) {
            credential_wanted |= workload.clients.credential.is_some();
            let accepted = accepts(workload, presented.as_ref());
            if bool::from(accepted) && found.is_none() {
                found = Some(Arc::clone(workload));
            }
        }
        match found {
            Some(workload) => Identified::Workload(workload),
            None if !credential_wanted => Identified::Unknown,
            None if shown.is_none() => Identified::CredentialRequired,
            None => Identified::CredentialWrong,
        }
    }
}

fn accepts(workload: &Workload, presented: Option<&Presented>) -> Choice {
    match (&workload.clients.credential, presented) {
        (None, _) => Choice::from(1),
        (Some(credential), Some(presented)) => credential.accepts(presented),
        (Some(_), None) => Choice::from(0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::SecretHash;
    use super::*;
    use crate::policy::Mode;

    fn workload(name: &str, networks: Option<&[&str]>, token: Option<&str>) -> Workload {
        let networks = networks.map(|networks| networks.iter().map(|network| network.parse().unwrap()).collect());
        let credential = token.map(|token| Credential::new(None, SecretHash::of(token.as_bytes())));
        Workload::new(
            Arc::from(name),
            Match {
                networks,
                credential,
                certificate: None,
            },
            Policy::new(&[], Mode::Enforce),
        )
    }

    fn workloads() -> Workloads {
        Workloads::new(vec![
            workload("both", Some(&["10.0.0.0/8"]), Some("token-both")),
            workload("network", Some(&["10.1.0.0/16", "2001:db8::/32"]), None),
            workload("token", None, Some("token-alone")),
            workload("later", Some(&["10.1.0.0/16"]), Some("token-later")),
        ])
    }

    #[track_caller]
    fn check(peer: &str, authorization: Option<&str>, expected: &str) {
        let identified = workloads().identify(
            peer.parse().unwrap(),
            authorization.map(|value| Shown::Field(value.as_bytes())),
            None,
        );
        let name = match identified {
            Identified::Workload(workload) => workload.name.to_string(),
            other @ (Identified::CredentialRequired | Identified::CredentialWrong | Identified::Unknown) => {
                format!("{other:?}")
            }
        };
        assert_eq!(name, expected, "{peer} {authorization:?}");
    }

    #[test]
    fn the_first_workload_wins_of_which_every_part_holds() {
        check("10.2.0.1", Some("Bearer token-both"), "both");
        check("10.1.0.1", Some("Bearer token-both"), "both");
        check("10.1.0.1", None, "network");
        check("10.1.0.1", Some("Bearer wrong"), "network");
        check("10.1.0.1", Some("Bearer token-later"), "network");
        check("2001:db8::1", None, "network");
        check("192.0.2.1", Some("Bearer token-alone"), "token");
        check("10.2.0.1", Some("Bearer token-alone"), "token");
    }

    #[test]
    fn an_ipv4_client_of_a_dual_listener_is_an_ipv4_client() {
        check("::ffff:10.1.0.1", None, "network");
        check("::ffff:10.2.0.1", Some("Bearer token-both"), "both");
    }

    #[test]
    fn a_client_that_matches_none_is_told_whether_a_credential_would_help() {
        check("192.0.2.1", None, "CredentialRequired");
        check("192.0.2.1", Some("Bearer token-both"), "CredentialWrong");
        check("192.0.2.1", Some("Basic !!!"), "CredentialWrong");
        check("192.0.2.1", Some(""), "CredentialWrong");
    }

    #[test]
    fn without_a_workload_that_asks_for_one_a_credential_does_not_help() {
        let workloads = Workloads::new(vec![workload("network", Some(&["10.1.0.0/16"]), None)]);
        for authorization in [None, Some(Shown::Field(b"Bearer x"))] {
            let identified = workloads.identify("192.0.2.1".parse().unwrap(), authorization, None);
            assert!(matches!(identified, Identified::Unknown), "{identified:?}");
        }
    }

    #[test]
    fn no_workloads_no_clients() {
        let identified = Workloads::default().identify("127.0.0.1".parse().unwrap(), None, None);
        assert!(matches!(identified, Identified::Unknown), "{identified:?}");
    }

    #[test]
    fn no_networks_is_not_any_network() {
        let workloads = Workloads::new(vec![workload("none", Some(&[]), None)]);
        let identified = workloads.identify("127.0.0.1".parse().unwrap(), None, None);
        assert!(matches!(identified, Identified::Unknown), "{identified:?}");
    }

    #[track_caller]
    fn check_covers(first: &Workload, second: &Workload, expected: bool) {
        assert_eq!(first.clients().covers(second.clients()), expected);
    }

    #[test]
    fn a_workload_without_credential_hides_later_ones_of_its_networks() {
        let any = || workload("any", None, None);
        let wide = || workload("wide", Some(&["10.0.0.0/8"]), None);
        let narrow = || workload("narrow", Some(&["10.1.0.0/16", "10.2.0.0/16"]), Some("token"));
        check_covers(&any(), &wide(), true);
        check_covers(&wide(), &narrow(), true);
        check_covers(&wide(), &any(), false);
        check_covers(&narrow(), &wide(), false);
        check_covers(&narrow(), &narrow(), false);
    }

    /// A client of this address that shows these names gets this workload.
    #[track_caller]
    fn check_certificate(peer: &str, names: &[&str], expected: &str) {
        let wanted = |names: &[&str]| {
            names
                .iter()
                .map(|name| CertificateName::parse(name).unwrap())
                .collect::<Vec<_>>()
        };
        let certified = |name: &str, networks, token, names| {
            let mut workload = workload(name, networks, token);
            workload.clients.certificate = Some(wanted(names));
            workload
        };
        let workloads = Workloads::new(vec![
            certified(
                "near",
                Some(&["10.0.0.0/8"][..]),
                None,
                &["a.test", "spiffe://a.test/b"][..],
            ),
            certified("keyed", None, Some("token"), &["keyed.test"]),
            certified("any", None, None, &["a.test"]),
            workload("plain", Some(&["10.9.0.0/16"]), None),
        ]);
        let shown = (!names.is_empty()).then(|| wanted(names).into_iter().collect());
        let identified = workloads.identify(peer.parse().unwrap(), None, shown.as_ref());
        let name = match identified {
            Identified::Workload(workload) => workload.name.to_string(),
            other @ (Identified::CredentialRequired | Identified::CredentialWrong | Identified::Unknown) => {
                format!("{other:?}")
            }
        };
        assert_eq!(name, expected, "{peer} {names:?}");
    }

    #[test]
    fn a_certificate_is_one_more_part_that_must_hold() {
        check_certificate("10.1.0.1", &["a.test"], "near");
        check_certificate("10.1.0.1", &["b.test", "spiffe://a.test/b"], "near");
        check_certificate("192.0.2.1", &["a.test"], "any");
        check_certificate("10.9.0.1", &["b.a.test"], "plain");
        check_certificate("10.9.0.1", &[], "plain");
        check_certificate("10.1.0.1", &[], "Unknown");
        check_certificate("10.1.0.1", &["spiffe://a.test/b/c"], "Unknown");
        // Only who shows the certificate is asked for the credential as well.
        check_certificate("192.0.2.1", &["keyed.test"], "CredentialRequired");
        check_certificate("192.0.2.1", &["other.test"], "Unknown");
    }

    #[test]
    fn a_workload_of_some_certificates_hides_those_of_fewer() {
        let with = |names: Option<&[&str]>| {
            let mut workload = workload("w", None, None);
            workload.clients.certificate =
                names.map(|names| names.iter().map(|name| CertificateName::parse(name).unwrap()).collect());
            workload
        };
        check_covers(&with(None), &with(Some(&["a.test"])), true);
        check_covers(&with(Some(&["a.test", "b.test"])), &with(Some(&["a.test"])), true);
        check_covers(&with(Some(&["a.test"])), &with(Some(&["b.test"])), false);
        check_covers(&with(Some(&["a.test"])), &with(None), false);
    }

    #[test]
    fn debug_shows_no_hash() {
        let shown = format!("{:?}", workload("w", None, Some("token")));
        assert!(shown.contains("SecretHash") && !shown.contains("token"), "{shown}");
    }
}

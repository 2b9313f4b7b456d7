//! The `workloads` key: who may ask, and for what.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::allowlist::LoadedList;
use super::closest::closest;
use super::error::{ConfigError, Errors, Problem};
use super::field::{Field, Table};
use crate::identity::{CertificateName, Credential, Match, SecretHash, Workload, Workloads};
use crate::policy::{Allowlist, Mode, Policy};

const WORKLOAD: &[&str] = &["name", "match", "allow", "mode"];
const MATCH: &[&str] = &["networks", "credential", "certificate", "kubernetes"];
const CREDENTIAL: &[&str] = &["user", "sha256"];
const MODES: &[&str] = &["enforce", "observe"];

/// The workload of a configuration without `workloads`: clients on this machine, every allowlist.
const DEFAULT_NAME: &str = "default";

/// Reads `workloads`, or makes the default one when the key is absent. An empty list permits nobody.
/// `certificates` says whether clients may show some.
pub(super) fn workloads(
    field: Option<Field<'_>>,
    lists: &[Arc<LoadedList>],
    certificates: bool,
    errors: &mut Errors,
) -> Workloads {
    let Some(field) = field else {
        return Workloads::new(vec![default_workload(lists)]);
    };
    let items = errors
        .keep(field.list("a list of workloads, or [] to permit nobody"))
        .unwrap_or_default();
    let mut names = Vec::new();
    let workloads = items
        .iter()
        .filter_map(|item| workload(item, lists, certificates, &mut names, errors))
        .collect();
    Workloads::new(workloads)
}

fn default_workload(lists: &[Arc<LoadedList>]) -> Workload {
    let networks = vec![
        IpNet::new_assert(IpAddr::from([127, 0, 0, 0]), 8),
        IpNet::from(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)),
    ];
    let clients = Match {
        networks: Some(networks),
        credential: None,
        certificate: None,
    };
    let lists: Vec<_> = lists.iter().map(|loaded| Arc::clone(&loaded.list)).collect();
    Workload::new(Arc::from(DEFAULT_NAME), clients, Policy::new(&lists, Mode::Enforce))
}

fn workload<'a>(
    field: &Field<'a>,
    lists: &[Arc<LoadedList>],
    certificates: bool,
    names: &mut Vec<(&'a str, String)>,
    errors: &mut Errors,
) -> Option<Workload> {
    let table = field.table(WORKLOAD, errors);
    let name = table.require("name", "give the workload a name for records and metrics", errors);
    let name = name.and_then(|name| errors.keep(unique_name(&name, names)));
    let clients = clients(&table, certificates, errors);
    let allowed = allowed(&table, lists, errors);
    let mode = table.read_or("mode", Mode::Enforce, errors, |mode| {
        mode.one_of(MODES, &[Mode::Enforce, Mode::Observe])
    });
    Some(Workload::new(Arc::from(name?), clients?, Policy::new(&allowed, mode)))
}

fn unique_name<'a>(field: &Field<'a>, names: &mut Vec<(&'a str, String)>) -> Result<&'a str, ConfigError> {
    let name = plain_name(field)?;
    if let Some((_, first)) = names.iter().find(|(taken, _)| *taken == name) {
        return Err(field.error(Problem::RepeatedName {
            name: name.to_owned(),
            first: first.clone(),
        }));
    }
    names.push((name, field.place()));
    Ok(name)
}

/// A name that is safe as a metric's label and in a record: 1 to 63 letters, digits, dots, hyphens and underscores.
pub(super) fn plain_name<'a>(field: &Field<'a>) -> Result<&'a str, ConfigError> {
    let name = field.text("a name such as github-mcp")?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if (1..=63).contains(&name.len()) && name.bytes().all(is_plain) {
        return Ok(name);
    }
    let wanted = "a name of 1 to 63 letters, digits, dots, hyphens and underscores";
    Err(field.error(Problem::WrongText {
        found: name.to_owned(),
        wanted,
        example: "one such as github-mcp",
    }))
}

fn allowed(table: &Table<'_>, lists: &[Arc<LoadedList>], errors: &mut Errors) -> Vec<Arc<Allowlist>> {
    if table
        .require("allow", "name allowlists, or write allow: [] to permit nothing", errors)
        .is_none()
    {
        return Vec::new();
    }
    let find = |item: &Field<'_>| {
        let name = item.text("an allowlist's name")?;
        let found = lists.iter().find(|loaded| &**loaded.list.name() == name);
        found
            .map(|loaded| Arc::clone(&loaded.list))
            .ok_or_else(|| item.error(unknown_list(name, lists)))
    };
    table
        .read_list(
            "allow",
            "a list of allowlists' names, or [] to permit nothing",
            errors,
            find,
        )
        .unwrap_or_default()
}

fn unknown_list(name: &str, lists: &[Arc<LoadedList>]) -> Problem {
    let names: Vec<&str> = lists.iter().map(|loaded| &**loaded.list.name()).collect();
    let known = if names.is_empty() {
        "there are no allowlists".to_owned()
    } else {
        format!("there are {}", names.join(", "))
    };
    let closest = closest(name, names).map(str::to_owned);
    Problem::UnknownName {
        kind: "allowlist",
        found: name.to_owned(),
        closest,
        known,
    }
}

fn clients(workload: &Table<'_>, certificates: bool, errors: &mut Errors) -> Option<Match> {
    let Some(field) = workload.get("match") else {
        errors.add(workload.field().error(Problem::EmptyMatch));
        return None;
    };
    let table = field.table(MATCH, errors);
    if table.is_empty() {
        errors.add(field.error(Problem::EmptyMatch));
    }
    if let Some(later) = table.get("kubernetes") {
        let feature = "matching by pod";
        errors.add(later.error(Problem::NotInThisRelease { feature }));
    }
    if let Some(field) = table.get("certificate").filter(|_| !certificates) {
        errors.add(field.error(Problem::NoClientCa));
    }
    let networks = networks(&table, errors);
    let credential = table.get("credential").and_then(|field| credential(&field, errors));
    let certificate = certificate(&table, errors);
    Some(Match {
        networks,
        credential,
        certificate,
    })
}

/// The `networks` list of a table; an empty one is noted as an error.
pub(super) fn networks(table: &Table<'_>, errors: &mut Errors) -> Option<Vec<IpNet>> {
    let before = errors.count();
    let networks = table.read_list("networks", "a list of networks such as [10.1.0.0/16]", errors, network)?;
    if networks.is_empty() && errors.count() == before {
        let remedy = "name networks, or [0.0.0.0/0, \"::/0\"] for any";
        errors.add(
            table
                .get("networks")
                .as_ref()
                .unwrap_or(table.field())
                .error(Problem::EmptyList { remedy }),
        );
    }
    Some(networks)
}

/// A network in CIDR notation, or one address.
fn network(field: &Field<'_>) -> Result<IpNet, ConfigError> {
    let read = |text: &str| {
        text.parse::<IpNet>()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    };
    let network = field.parse(
        "a network",
        "one such as 10.1.0.0/16, 10.1.0.7 or \"2001:db8::/32\"",
        read,
    )?;
    if network.addr() != network.network() {
        return Err(field.error(Problem::HostBits {
            network: network.trunc().to_string(),
        }));
    }
    // Peers are compared as what they are: an IPv4 client is never ::ffff:a.b.c.d.
    if matches!(network, IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() && v6.prefix_len() >= 96) {
        let found = network.to_string();
        return Err(field.error(Problem::WrongText {
            found,
            wanted: "a network of clients",
            example: "it as IPv4",
        }));
    }
    Ok(network)
}

/// The names of which a client's certificate must have one.
fn certificate(table: &Table<'_>, errors: &mut Errors) -> Option<Vec<CertificateName>> {
    let example = "one such as mcp.example.com or spiffe://example.com/ns/mcp/sa/github";
    let name = |field: &Field<'_>| field.parse("a DNS name or a SPIFFE ID", example, CertificateName::parse);
    let before = errors.count();
    let names = table.read_list("certificate", "a list of names such as [mcp.example.com]", errors, name)?;
    if names.is_empty() && errors.count() == before {
        let remedy = "name what a certificate must say, or remove the key";
        let field = table.get("certificate");
        errors.add(
            field
                .as_ref()
                .unwrap_or(table.field())
                .error(Problem::EmptyList { remedy }),
        );
    }
    Some(names)
}

fn credential(field: &Field<'_>, errors: &mut Errors) -> Option<Credential> {
    let table = field.table(CREDENTIAL, errors);
    let user = table.get("user").and_then(|user| errors.keep(user_name(&user)));
    let hash = table.require("sha256", "write the SHA-256 of the password or token", errors)?;
    let hash = errors.keep(secret_hash(&hash))?;
    Some(Credential::new(user, hash))
}

fn user_name<'a>(field: &Field<'a>) -> Result<&'a str, ConfigError> {
    let user = field.text("a user name")?;
    let is_possible = !user.is_empty() && !user.contains(|character: char| character == ':' || character.is_control());
    let wrong = || Problem::WrongText {
        found: user.to_owned(),
        wanted: "a user name that Basic can carry",
        example: "one without a colon",
    };
    if is_possible {
        Ok(user)
    } else {
        Err(field.error(wrong()))
    }
}

fn secret_hash(field: &Field<'_>) -> Result<SecretHash, ConfigError> {
    let hex = field.text("64 hexadecimal digits in quotes")?;
    SecretHash::from_hex(hex).ok_or_else(|| field.error(Problem::NotSha256))
}

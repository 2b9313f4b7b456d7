//! Egret's certificate authority: it makes the certificates that intercepted clients are shown.
//!
//! One key serves all leaves of a process, and each leaf names exactly one host. The CA's key signs leaves and nothing else; it
//! is read once and never leaves this module. It does not decide for whom a certificate is made: its callers hold a permit.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ProducesTickets;
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, sign};

use crate::config::CaFiles;
use crate::policy::Host;

/// How long the CA made by [`create`] is valid.
const CA_DAYS: i64 = 3 * 365;
/// Clocks of containers lag behind: leaves are valid from two days back.
const LEAF_BACKDATED_DAYS: i64 = 2;
/// Leaves are valid for at most 30 days on.
const LEAF_DAYS: i64 = 29;
/// A cached leaf is made anew after this long, well before it expires.
const LEAF_REUSED: Duration = Duration::from_hours(24);
/// A common name longer than this is not allowed (RFC 5280, ub-common-name); the subject is left empty then.
const MAX_COMMON_NAME: usize = 63;

/// Why there is no CA to work with.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// One of the two files is there and the other isn't: making both anew would replace a CA that clients trust.
    #[error("{present} is there but {absent} is not: put it back, or remove both to have a new CA made")]
    Half {
        /// The file that exists.
        present: PathBuf,
        /// The file that does not.
        absent: PathBuf,
    },
    /// The certificate or key can't be used.
    #[error("{path}: not a usable CA: {what}")]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A certificate could not be made.
    #[error("failed to make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The system gave no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// The TLS library refused a key or certificate.
    #[error("failed to prepare TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// What an intercepted client may be offered by ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Offer {
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2, which the origin speaks.
    Http2,
}

impl Offer {
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http1 => vec![b"http/1.1".to_vec()],
            Self::Http2 => vec![b"h2".to_vec()],
        }
    }
}

/// Makes leaves and keeps the newest.
pub struct Issuer {
    ca: rcgen::Issuer<'static, KeyPair>,
    /// Sent after the leaf: the issuing certificate when it isn't the root, and what stands between.
    intermediates: Vec<CertificateDer<'static>>,
    certificate_pem: String,
    leaf_key: KeyPair,
    leaf_signer: Arc<dyn sign::SigningKey>,
    provider: Arc<CryptoProvider>,
    ticketer: Arc<dyn ProducesTickets>,
    cache: Cache<(Host, Offer), (Instant, Arc<ServerConfig>)>,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer")
            .field("cached", &self.cache.len())
            .finish_non_exhaustive()
    }
}

impl Issuer {
    /// Reads the CA, or makes it when neither file is there. Where several certificates stand in the file, the issuing one is the first and
    /// its root the last. `capacity` bounds the leaves that are kept.
    pub fn open(files: &CaFiles, capacity: usize) -> Result<Self, IssuerError> {
        match (files.certificate.exists(), files.key.exists()) {
            (true, true) => {}
            (false, false) => create(files)?,
            (true, false) => return Err(half(&files.certificate, &files.key)),
            (false, true) => return Err(half(&files.key, &files.certificate)),
        }
        Self::load(files, capacity)
    }

    fn load(files: &CaFiles, capacity: usize) -> Result<Self, IssuerError> {
        let certificate_pem = read(&files.certificate)?;
        let unusable = |path: &Path, what: &dyn ToString| IssuerError::Unusable {
            path: path.to_owned(),
            what: what.to_string(),
        };
        let key = KeyPair::from_pem(&read(&files.key)?).map_err(|error| unusable(&files.key, &error))?;
        let chain = CertificateDer::pem_slice_iter(certificate_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unusable(&files.certificate, &error))?;
        let issuing = chain
            .first()
            .ok_or_else(|| unusable(&files.certificate, &"it holds no certificate"))?;
        prove_pair(issuing, &key).map_err(|what| unusable(&files.key, &what))?;
        let ca = rcgen::Issuer::from_ca_cert_der(issuing, key).map_err(|error| unusable(&files.certificate, &error))?;
        let without_root = chain.len().saturating_sub(1);

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let leaf_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let leaf_der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
        Ok(Self {
            ca,
            intermediates: chain.into_iter().take(without_root).collect(),
            certificate_pem,
            leaf_signer: provider.key_provider.load_private_key(leaf_der)?,
            leaf_key,
            provider,
            ticketer: rustls::crypto::aws_lc_rs::Ticketer::new()?,
            cache: Cache::new(capacity),
        })
    }

    /// The CA's certificate as PEM, for those who shall trust it.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The TLS configuration that shows a leaf for `host`. `minted` is called when a leaf had to be made.
    pub(crate) fn server_config(
        &self,
        host: &Host,
        offer: Offer,
        minted: impl FnOnce(),
    ) -> Result<Arc<ServerConfig>, IssuerError> {
        let key = (host.clone(), offer);
        if let Some((made, config)) = self.cache.get(&key)
            && made.elapsed() < LEAF_REUSED
        {
            return Ok(config);
        }
        let config = Arc::new(self.make_config(host, offer)?);
        minted();
        self.cache.insert(key, (Instant::now(), Arc::clone(&config)));
        Ok(config)
    }

    fn make_config(&self, host: &Host, offer: Offer) -> Result<ServerConfig, IssuerError> {
        let mut chain = vec![self.mint(host)?];
        chain.extend(self.intermediates.iter().cloned());
        let certified = CertifiedKey::new(chain, Arc::clone(&self.leaf_signer));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(sign::SingleCertAndKey::from(certified)));
        config.alpn_protocols = offer.protocols();
        config.ticketer = Arc::clone(&self.ticketer);
        // One ticket resumes; the second that TLS 1.3 servers send by default is a record and a seal more for each connection.
        config.send_tls13_tickets = 1;
        Ok(config)
    }

    /// A leaf for exactly one name or address.
    fn mint(&self, host: &Host) -> Result<CertificateDer<'static>, IssuerError> {
        let mut params = CertificateParams::default();
        let now = time::OffsetDateTime::now_utc();
        params.not_before = now - time::Duration::days(LEAF_BACKDATED_DAYS);
        params.not_after = now + time::Duration::days(LEAF_DAYS);
        params.serial_number = Some(random_serial()?);
        params.subject_alt_names = vec![match host {
            Host::Name(name) => SanType::DnsName(name.as_str().try_into()?),
            Host::Address(address) => SanType::IpAddress(*address),
        }];
        params.distinguished_name = DistinguishedName::new();
        let name = host.to_string();
        if name.len() <= MAX_COMMON_NAME {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(&self.leaf_key, &self.ca)?.into())
    }
}

/// Makes a CA: P-256, for certificates of servers directly below it, valid for three years.
pub fn create(files: &CaFiles) -> Result<(), IssuerError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now - time::Duration::days(LEAF_BACKDATED_DAYS);
    params.not_after = now + time::Duration::days(CA_DAYS);
    params.serial_number = Some(random_serial()?);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Egret");
    params
        .distinguished_name
        .push(DnType::CommonName, format!("Egret CA {}", now.date()));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?;
    write_new(&files.key, &key.serialize_pem(), 0o600)?;
    write_new(&files.certificate, &certificate.pem(), 0o644)
}

/// The system's root certificates, each as PEM; none where the system has none.
pub fn system_roots() -> Vec<String> {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    rustls_native_certs::load_native_certs()
        .certs
        .iter()
        .map(|root| pem::encode_config(&pem::Pem::new("CERTIFICATE", root.to_vec()), config))
        .collect()
}

fn half(present: &Path, absent: &Path) -> IssuerError {
    IssuerError::Half {
        present: present.to_owned(),
        absent: absent.to_owned(),
    }
}

fn read(path: &Path) -> Result<String, IssuerError> {
    fs::read_to_string(path).map_err(|source| IssuerError::File {
        path: path.to_owned(),
        source,
    })
}

/// Writes a file that must not be there yet, so that a CA is never replaced by accident.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), IssuerError> {
    let write = || {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| IssuerError::File {
        path: path.to_owned(),
        source,
    })
}

/// Refuses a key that does not belong to the certificate: every client would refuse every leaf.
fn prove_pair(certificate: &CertificateDer<'_>, key: &KeyPair) -> Result<(), String> {
    use rcgen::PublicKeyData;
    let spki = key.subject_public_key_info();
    if memchr::memmem::find(certificate, &spki).is_none() {
        return Err("the key does not belong to the certificate".to_owned());
    }
    Ok(())
}

/// 128 random bits, positive.
fn random_serial() -> Result<SerialNumber, IssuerError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| IssuerError::Random)?;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

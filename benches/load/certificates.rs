//! The certificates of the test bed: the origin's and its CA, and the CA that every intercepting proxy signs with.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use time::{Duration, OffsetDateTime};

/// Names that the origin answers to; the address serves the peers that can't be told where a name points.
const NAMES: [&str; 3] = ["origin.test", "tunnel.origin.test", "127.0.0.1"];

/// PEM files in one folder.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// The CA behind the origin's certificate.
    pub(crate) origin_ca: PathBuf,
    pub(crate) origin: PathBuf,
    pub(crate) origin_key: PathBuf,
    /// The CA that intercepting proxies sign with.
    pub(crate) proxy_ca: PathBuf,
    pub(crate) proxy_ca_key: PathBuf,
    /// A certificate of that CA for the origin's names, for the floor that mints none.
    pub(crate) minted: PathBuf,
    pub(crate) minted_key: PathBuf,
}

impl Certificates {
    pub(crate) fn make(dir: &Path) -> Self {
        let origin_ca = authority("Load test origin CA");
        let proxy_ca = authority("Load test proxy CA");
        let files = Self {
            origin_ca: dir.join("origin-ca.pem"),
            origin: dir.join("origin.pem"),
            origin_key: dir.join("origin.key"),
            proxy_ca: dir.join("proxy-ca.pem"),
            proxy_ca_key: dir.join("proxy-ca.key"),
            minted: dir.join("minted.pem"),
            minted_key: dir.join("minted.key"),
        };
        write(&files.origin_ca, &origin_ca.pem());
        write(&files.proxy_ca, &proxy_ca.pem());
        write(&files.proxy_ca_key, &proxy_ca.key().serialize_pem());
        leaf(&origin_ca, &files.origin, &files.origin_key);
        leaf(&proxy_ca, &files.minted, &files.minted_key);
        files
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    valid_now(&mut params);
    CertifiedIssuer::self_signed(params, key()).expect("a CA can be made")
}

fn leaf(issuer: &CertifiedIssuer<'_, KeyPair>, certificate: &Path, key_file: &Path) {
    let mut params = CertificateParams::new(NAMES.map(String::from)).expect("the names are valid");
    params.distinguished_name.push(DnType::CommonName, NAMES[0]);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    valid_now(&mut params);
    let key = key();
    let signed = params.signed_by(&key, issuer).expect("a leaf can be signed");
    write(certificate, &signed.pem());
    write(key_file, &key.serialize_pem());
}

fn valid_now(params: &mut CertificateParams) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::days(2);
    params.not_after = now + Duration::days(20);
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key can be made")
}

/// For the owner alone: some proxies refuse a key that others can read.
fn write(file: &Path, pem: &str) {
    fs::write(file, pem).expect("a certificate can be written");
    fs::set_permissions(file, Permissions::from_mode(0o600)).expect("a file of ours");
}

/// TLS as a server with that certificate.
pub(crate) fn server_config(certificate: &Path, key: &Path, alpn: &[&str]) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .expect("a certificate file")
        .map(|certificate| certificate.expect("a certificate"))
        .collect();
    let key = PrivateKeyDer::from_pem_file(key).expect("a key file");
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("the key is the certificate's");
    config.alpn_protocols = protocols(alpn);
    Arc::new(config)
}

/// TLS as a client that trusts those roots and nothing else.
pub(crate) fn client_config(roots: &Path, alpn: &[&str]) -> ClientConfig {
    let mut store = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(roots).expect("a file of roots") {
        store.add(root.expect("a root")).expect("a valid root");
    }
    let mut config = ClientConfig::builder()
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = protocols(alpn);
    config
}

fn protocols(alpn: &[&str]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.as_bytes().to_vec()).collect()
}

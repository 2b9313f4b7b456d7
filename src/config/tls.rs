//! `proxy.tls`: the listener for clients that speak TLS to the proxy itself.
//!
//! What is read becomes a whole TLS configuration here, so that a key which isn't the certificate's is an error of the file that names it.
//! Both files are watched: a certificate that was renewed is taken by a reload.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use webpki::EndEntityCert;
use zeroize::Zeroizing;

use super::error::{FileProblem, Problem};
use super::field::{Field, Table};
use super::load::{self, Reading, at_field, listen_address};
use super::source;

const TLS: &[&str] = &["listen", "certificate", "key", "client_ca"];
/// HTTP/2 and HTTP/1.1 by ALPN (RFC 7301); a client without ALPN speaks HTTP/1.1.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A listener that speaks TLS.
#[derive(Debug, Clone)]
pub struct TlsListener {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// What they are shown and asked for.
    pub tls: Arc<ServerConfig>,
}

/// Reads the table; `None` when the key is absent, or after an error.
pub(super) fn read(proxy: &Table<'_>, reading: &mut Reading) -> Option<TlsListener> {
    let field = proxy.get("tls")?;
    let table = field.table(TLS, &mut reading.errors);
    let listen = table.require(
        "listen",
        "write where clients connect by TLS, such as 127.0.0.1:3129",
        &mut reading.errors,
    );
    let listen = listen.and_then(|listen| reading.errors.keep(listen_address(&listen)));
    let chain = pem(
        &table,
        "certificate",
        "name the PEM file that the listener shows",
        reading,
        chain,
    );
    let key = pem(
        &table,
        "key",
        "name the PEM file of the certificate's private key",
        reading,
        key,
    );
    let roots = table.get("client_ca").and_then(|field| roots(&field, reading));
    let (chain, key) = (chain?, key?);
    let tls = server_config(chain.1, key.1, roots).map_err(|problem| at_field(&key.0, &key.2, problem));
    Some(TlsListener {
        listen: listen?,
        tls: reading.errors.keep(tls)?,
    })
}

/// What a PEM file holds, with the field that names it and its path.
type Named<'a, T> = (Field<'a>, T, PathBuf);

fn pem<'a, T>(
    table: &Table<'a>,
    name: &'static str,
    remedy: &'static str,
    reading: &mut Reading,
    parse: fn(&[u8]) -> Result<T, FileProblem>,
) -> Option<Named<'a, T>> {
    let field = table.require(name, remedy, &mut reading.errors)?;
    let (path, parsed) = file(&field, reading, parse)?;
    Some((field, parsed, path))
}

fn file<T>(
    field: &Field<'_>,
    reading: &mut Reading,
    parse: fn(&[u8]) -> Result<T, FileProblem>,
) -> Option<(PathBuf, T)> {
    let name = reading.errors.keep(field.text("a PEM file"))?;
    let path = reading.beside_configuration(name);
    reading.add_source(&path);
    // It may hold a key.
    let parsed = source::read_bytes(&path)
        .map(Zeroizing::new)
        .and_then(|pem| parse(&pem));
    let parsed = parsed.map_err(|problem| at_field(field, &path, problem));
    reading.errors.keep(parsed).map(|parsed| (path, parsed))
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileProblem> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let has_leaf =
        |chain: &Vec<CertificateDer<'static>>| chain.first().is_some_and(|leaf| EndEntityCert::try_from(leaf).is_ok());
    chain.ok().filter(has_leaf).ok_or(FileProblem::NoCertificate)
}

fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, FileProblem> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| FileProblem::NoKey)
}

/// The CAs that client certificates are verified by; an empty list would verify none, so it is an error.
fn roots(field: &Field<'_>, reading: &mut Reading) -> Option<RootCertStore> {
    let items = reading.errors.keep(field.list("a list of PEM files"))?;
    if items.is_empty() {
        let remedy = "name CA files, or remove client_ca to ask for no certificates";
        reading.errors.add(field.error(Problem::EmptyList { remedy }));
        return None;
    }
    let mut store = RootCertStore::empty();
    for item in &items {
        let (_, roots) = file(item, reading, load::roots)?;
        store.roots.extend(roots.roots);
    }
    Some(store)
}

/// TLS 1.2 and 1.3. With `roots`, a client may show a certificate, and one that doesn't verify ends the handshake.
fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Option<RootCertStore>,
) -> Result<Arc<ServerConfig>, FileProblem> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certified = CertifiedKey::from_der(chain, key, &provider).map_err(|error| {
        if matches!(error, rustls::Error::InconsistentKeys(_)) {
            FileProblem::OtherKey
        } else {
            FileProblem::NoKey
        }
    })?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|_| FileProblem::NoKey)?;
    let asks_for_certificates = roots.is_some();
    let builder = match roots {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|_| FileProblem::NoCertificate)?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
    if asks_for_certificates {
        // A resumed session would skip the look at the certificate's dates.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;

    use crate::config::inspect;

    /// A folder with two pairs of certificate and key, and a file that is neither.
    fn folder() -> TempDir {
        let folder = TempDir::new().unwrap();
        for name in ["one", "two"] {
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new(vec![format!("{name}.test")]).unwrap();
            let certificate = certificate.self_signed(&key).unwrap();
            fs::write(folder.path().join(format!("{name}.crt")), certificate.pem()).unwrap();
            fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        fs::write(folder.path().join("text.pem"), "neither").unwrap();
        folder
    }

    /// What is wrong with `proxy.tls`, after the file's name; nothing when it is right.
    #[track_caller]
    fn check(tls: &str, expected: &str) {
        let folder = folder();
        let file = folder.path().join("egret.yaml");
        fs::write(&file, format!("proxy:\n  tls: {{{tls}}}\n")).unwrap();
        let found = inspect(Some(&file))
            .err()
            .map(|errors| errors.to_string())
            .unwrap_or_default();
        let found = found.replace(&format!("{}/", folder.path().display()), "");
        assert_eq!(found, expected, "{tls}");
    }

    #[test]
    fn a_certificate_and_its_key_are_taken() {
        check("listen: 127.0.0.1:1, certificate: one.crt, key: one.key", "");
        check(
            "listen: 127.0.0.1:1, certificate: one.crt, key: one.key, client_ca: [one.crt, two.crt]",
            "",
        );
    }

    #[test]
    fn what_does_not_go_together_is_refused_at_its_place() {
        check(
            "listen: 127.0.0.1:1, certificate: one.crt, key: two.key",
            "egret.yaml:2:57: proxy.tls.key: two.key: not the key of the certificate; name the two that belong together",
        );
        check(
            "listen: 127.0.0.1:1, certificate: text.pem, key: text.pem",
            "egret.yaml:2:43: proxy.tls.certificate: text.pem: no certificate in it; it must hold PEM blocks that begin with \
             -----BEGIN CERTIFICATE-----\n\
             egret.yaml:2:58: proxy.tls.key: text.pem: no private key in it; it must hold a PEM block that begins with \
             -----BEGIN PRIVATE KEY-----",
        );
        check(
            "listen: 127.0.0.1:1, certificate: one.crt, key: one.key, client_ca: []",
            "egret.yaml:2:77: proxy.tls.client_ca: the list is empty, which would match nothing; name CA files, or remove \
             client_ca to ask for no certificates",
        );
        check(
            "certificate: one.crt, key: one.key",
            "egret.yaml:2:8: proxy.tls: `listen` is missing; write where clients connect by TLS, such as 127.0.0.1:3129",
        );
        check(
            "listen: 0.0.0.0:9090, certificate: one.crt, key: one.key",
            "egret.yaml:2:3: proxy: admin.listen and proxy.tls.listen have the same address; each listener needs one of its own",
        );
        check(
            "listen: 127.0.0.1:3128, certificate: one.crt, key: one.key",
            "egret.yaml:2:3: proxy: proxy.tls.listen and proxy.listen have the same address; each listener needs one of its own",
        );
    }
}

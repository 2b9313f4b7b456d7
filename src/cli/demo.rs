//! `egret demo`: the product in a few seconds, without a network.
//!
//! Everything is real and on loopback: an origin with TLS, a name server, the proxy with a configuration on disk, and one request
//! for each fate. What is shown is what came back, what arrived at the origin, and the records in the trail.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::audit::recent::Recent;
use crate::audit::{OnFailure, Trail};
use crate::config;
use crate::metrics::Metrics;
use crate::policy::DenyReason;
use crate::proxy::Proxy;
use crate::proxy::issuer::Issuer;

/// A made-up token in the form of a GitHub one.
const TOKEN: &str = "ghp_egretDemo00notAReal00Token00AtAll00x";
/// The longest reply or record that is read.
const MAX_REPLY: u64 = 64 * 1024;
/// How long the last records may take.
const LAST_RECORDS: Duration = Duration::from_secs(5);

/// The arguments of `egret demo`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// One request and what it shows.
struct Scene {
    title: &'static str,
    method: &'static str,
    url: String,
    fields: String,
    body: String,
}

/// Shows one request of each fate. Gives the exit code.
///
/// # Errors
///
/// Loopback or the temporary folder can't be used, or the writer fails.
pub fn run(_: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let folder = Folder::new()?;
    runtime.block_on(show(&folder.0, out))?;
    Ok(0)
}

async fn show(folder: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let stage = Stage::set(folder).await?;
    writeln!(
        out,
        "An MCP server may reach api.demo.test: GET and POST below /v1. Everything else is refused.\n"
    )?;
    for scene in stage.scenes() {
        stage.play(&scene, out).await?;
    }
    stage.close(out)
}

/// The origin, the name server and the proxy, all on loopback.
struct Stage {
    proxy: SocketAddr,
    origin: u16,
    arrived: Arc<Mutex<Vec<String>>>,
    trail: Trail,
    trail_file: std::path::PathBuf,
}

impl Stage {
    async fn set(folder: &Path) -> anyhow::Result<Self> {
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let (origin, root) = start_origin(Arc::clone(&arrived)).await?;
        let names = start_names().await?;
        std::fs::write(folder.join("origin-ca.pem"), root)?;
        std::fs::write(folder.join("demo.yaml"), allowlist(origin))?;
        let file = folder.join("egret.yaml");
        std::fs::write(&file, configuration(folder, names))?;
        let config = config::load(Some(&file)).map_err(|errors| anyhow::anyhow!("{errors}"))?;

        let metrics = Metrics::new(DenyReason::ALL.iter().map(|reason| reason.code()));
        let trail_file = config.audit.path.clone();
        let trail = Trail::open(&trail_file, OnFailure::Refuse, config.limits.exchanges, metrics.clone())?;
        let issuer = Issuer::open(&config.ca, config.limits.certificate_cache)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = listener.local_addr()?;
        let egret = Proxy::new(config, issuer, trail.clone(), metrics, Recent::default(), vec![proxy])?;
        tokio::spawn(egret.serve(listener));
        Ok(Self {
            proxy,
            origin,
            arrived,
            trail,
            trail_file,
        })
    }

    fn scenes(&self) -> Vec<Scene> {
        let api = format!("https://api.demo.test:{}", self.origin);
        let get = |title, url: String| Scene {
            title,
            method: "GET",
            url,
            fields: String::new(),
            body: String::new(),
        };
        vec![
            get("an allowed call", format!("{api}/v1/issues")),
            get(
                "a host that nobody listed",
                format!("https://collector.evil.test:{}/upload", self.origin),
            ),
            Scene {
                method: "DELETE",
                ..get("a method that the rule does not name", format!("{api}/v1/issues/7"))
            },
            get(
                "an allowed name that leads to the cloud's metadata service",
                format!("https://rebind.demo.test:{}/latest/meta-data", self.origin),
            ),
            Scene {
                title: "a token in a tool call's arguments: it is rewritten on the way out",
                method: "POST",
                url: format!("{api}/v1/notes"),
                fields: "Content-Type: application/json\r\n".to_owned(),
                body: format!(
                    r#"{{"method":"tools/call","params":{{"name":"note","arguments":{{"text":"key {TOKEN}"}}}}}}"#
                ),
            },
        ]
    }

    /// Sends one request in absolute-form and shows its fate.
    async fn play(&self, scene: &Scene, out: &mut dyn Write) -> anyhow::Result<()> {
        let Scene {
            title,
            method,
            url,
            fields,
            body,
        } = scene;
        writeln!(out, "── {title}\n   {method} {url}")?;
        let host = url.trim_start_matches("https://").split('/').next().unwrap_or_default();
        let length = body.len();
        let request = format!(
            "{method} {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        );
        let reply = self.exchange(&request).await?;
        show_reply(&reply, out)?;
        let arrived = std::mem::take(&mut *self.arrived.lock().unwrap_or_else(PoisonError::into_inner));
        if !body.is_empty() {
            writeln!(out, "   sent      {body}")?;
        }
        match arrived.last() {
            Some(text) if !body.is_empty() => writeln!(out, "   arrived   {text}\n")?,
            Some(_) => writeln!(out, "   arrived   yes\n")?,
            None => writeln!(out, "   arrived   nothing\n")?,
        }
        Ok(())
    }

    async fn exchange(&self, request: &str) -> anyhow::Result<String> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the demo's own client dials its own proxy on loopback"
        )]
        let mut stream = TcpStream::connect(self.proxy).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut reply = String::new();
        stream.take(MAX_REPLY).read_to_string(&mut reply).await?;
        Ok(reply)
    }

    /// Shows the records of it all.
    fn close(self, out: &mut dyn Write) -> anyhow::Result<()> {
        self.trail.close(LAST_RECORDS)?;
        writeln!(out, "── the trail: one record for each, and no secret in it")?;
        for line in std::fs::read_to_string(&self.trail_file)?.lines() {
            let record: serde_json::Value = serde_json::from_str(line)?;
            let shown: serde_json::Map<_, _> = [
                "seq",
                "decision",
                "reason",
                "method",
                "host",
                "path",
                "rule",
                "status",
                "bytes_out",
                "redactions",
            ]
            .into_iter()
            .filter_map(|key| Some((key.to_owned(), record.get(key)?.clone())))
            .collect();
            writeln!(out, "   {}", serde_json::Value::Object(shown))?;
        }
        writeln!(
            out,
            "\nRun `egret` for the proxy itself, `egret env` for what a container needs to use it."
        )?;
        Ok(())
    }
}

fn show_reply(reply: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((reply, ""));
    let status = head.lines().next().unwrap_or_default().trim_start_matches("HTTP/1.1 ");
    writeln!(out, "   reply     {status}")?;
    let Ok(problem) = serde_json::from_str::<serde_json::Value>(body) else {
        return Ok(());
    };
    for key in ["reason", "detail", "hint"] {
        if let Some(text) = problem.get(key).and_then(serde_json::Value::as_str) {
            writeln!(out, "   {key:<9} {text}")?;
        }
    }
    Ok(())
}

fn allowlist(port: u16) -> String {
    format!(
        "name: demo\n\
         description: What the demo's MCP server may reach\n\
         rules:\n\
         \x20 - {{host: api.demo.test, ports: [{port}], methods: [GET, POST], paths: [\"/v1/**\"]}}\n\
         \x20 - {{host: rebind.demo.test, ports: [{port}]}}\n"
    )
}

fn configuration(folder: &Path, names: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "state_dir: {folder}/state\n\
         allowlists: [demo.yaml]\n\
         workloads:\n\
         \x20 - {{name: demo-mcp, match: {{networks: [127.0.0.0/8]}}, allow: [demo]}}\n\
         addresses:\n\
         \x20 permit: [{{host: api.demo.test, networks: [127.0.0.0/8]}}]\n\
         dns: {{servers: [\"{names}\"]}}\n\
         upstream: {{roots: [origin-ca.pem]}}\n"
    )
}

/// An origin with TLS that keeps what arrives; gives its port and its root certificate.
async fn start_origin(arrived: Arc<Mutex<Vec<String>>>) -> anyhow::Result<(u16, String)> {
    let made = rcgen::generate_simple_self_signed(["api.demo.test".to_owned(), "rebind.demo.test".to_owned()])?;
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())?;
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, arrived) = (acceptor.clone(), Arc::clone(&arrived));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let service = service_fn(move |request| answer(request, Arc::clone(&arrived)));
                let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                // A client that leaves early is no matter here.
                served.await.ok();
            });
        }
    });
    Ok((port, made.cert.pem()))
}

async fn answer(
    request: Request<Incoming>,
    arrived: Arc<Mutex<Vec<String>>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    arrived.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    Ok(Response::new(Full::new(Bytes::from_static(b"{\"ok\":true}"))))
}

/// A name server that knows two names: one at home, one that leads to the metadata service.
async fn start_names() -> anyhow::Result<SocketAddr> {
    let socket = UdpSocket::bind("127.0.0.1:0")
        .await
        .context("failed to start the demo's name server")?;
    let address = socket.local_addr()?;
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            if let Some(reply) = buffer.get(..length).and_then(name_reply) {
                // A lost answer is asked for again.
                socket.send_to(&reply, peer).await.ok();
            }
        }
    });
    Ok(address)
}

/// Answers an A question (RFC 1035 §4); other kinds of record are said not to exist.
fn name_reply(query: &[u8]) -> Option<Vec<u8>> {
    let name_end = 12 + query.get(12..)?.iter().position(|&byte| byte == 0)?;
    let question = query.get(12..name_end + 5)?;
    let is_address = question.ends_with(&[0, 1, 0, 1]);
    let rebinds = question.get(1..7) == Some(b"rebind");
    let mut reply = query.get(..2)?.to_vec();
    reply.extend([0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
    reply.extend_from_slice(question);
    if is_address {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        reply.extend(if rebinds { [169, 254, 169, 254] } else { [127, 0, 0, 1] });
    }
    Some(reply)
}

/// A folder that goes away with the demo.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).ok().context("no random numbers")?;
        let path = std::env::temp_dir().join(format!("egret-demo-{:016x}", u64::from_le_bytes(random)));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left over lies in the temporary folder.
        std::fs::remove_dir_all(&self.0).ok();
    }
}

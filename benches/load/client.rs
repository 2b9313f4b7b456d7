//! The load: a fixed number of requests through a proxy, closed loop, each answer checked. A process of its own.
//!
//! It warms up, prints `warm`, waits for a line, makes the load, prints its outcome as JSON, and holds its connections until
//! it is ended, so that the proxy's memory can be read with them open.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::rows::{Exchange, Form};
use crate::{certificates, payload};

/// The longest that one request may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// After so many failures a measurement is worth nothing.
const ENOUGH_ERRORS: u64 = 16;
const HEAD_LIMIT: usize = 8 * 1024;
const WARM_UP_SECONDS: f64 = 1.0;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) proxy: SocketAddr,
    pub(crate) form: Form,
    /// The origin's name and port, as the client names them to the proxy.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whom the client trusts: in an intercepted row only the proxy's CA, so that a proxy can't skip the interception.
    pub(crate) roots: PathBuf,
    pub(crate) exchange: Exchange,
    pub(crate) clients: usize,
    pub(crate) warm_up: u64,
    pub(crate) count: u64,
    pub(crate) fresh: bool,
    pub(crate) seconds: f64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    /// Of bodies, both ways.
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// An echoed body came back other than it was sent.
    pub(crate) altered: bool,
}

#[tokio::main]
pub(crate) async fn run(specification: &str) {
    let load: Load = serde_json::from_str(specification).expect("a specification");
    let plan = Arc::new(Plan::of(load));
    let mut workers: Vec<Worker> = (0..plan.load.clients).map(|_| Worker::new(&plan)).collect();
    let warm_up = Phase::new(plan.load.warm_up, WARM_UP_SECONDS);
    workers = warm_up.load(workers).await.0;
    println!("warm");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    lines.next_line().await.expect("a line");

    let begun = Instant::now();
    let phase = Phase::new(plan.load.count, plan.load.seconds);
    let (workers, mut outcome) = phase.load(workers).await;
    outcome.seconds = begun.elapsed().as_secs_f64();
    println!("{}", serde_json::to_string(&outcome).unwrap());
    lines.next_line().await.expect("the end of input");
    drop(workers);
}

/// What all workers share.
struct Plan {
    load: Load,
    connector: TlsConnector,
    bodies: Vec<Bytes>,
}

impl Plan {
    fn of(load: Load) -> Self {
        let mut config = certificates::client_config(&load.roots, &["http/1.1"]);
        // Clients of this kind (one process a tool call) seldom resume; every peer gets the same full handshakes.
        config.resumption = Resumption::disabled();
        Self {
            connector: TlsConnector::from(Arc::new(config)),
            bodies: bodies(load.exchange),
            load,
        }
    }

    fn authority(&self) -> String {
        format!("{}:{}", self.load.host, self.load.port)
    }

    /// Requests are numbered; a number's parity decides a bulk transfer's direction.
    fn request(&self, number: u64) -> Request<Full<Bytes>> {
        let body = || self.bodies[number as usize % self.bodies.len()].clone();
        match self.load.exchange {
            Exchange::Get | Exchange::Hold => self.head(Method::GET, "/v1/items/4711", Bytes::new()),
            Exchange::Bulk(size) if number.is_multiple_of(2) => {
                self.head(Method::GET, &format!("/bytes/{size}"), Bytes::new())
            }
            Exchange::Post(_) | Exchange::Bulk(_) => self.head(Method::POST, "/v1/mcp", body()),
            Exchange::Echo => self.head(Method::POST, "/echo", body()),
        }
    }

    fn head(&self, method: Method, path: &str, body: Bytes) -> Request<Full<Bytes>> {
        let uri = match self.load.form {
            Form::Absolute => format!("http://{}{path}", self.authority()),
            Form::Tunnel | Form::Intercept => path.to_owned(),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header("host", self.authority())
            .header("user-agent", "load/1")
            .header("accept", "application/json, text/event-stream");
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        request.body(Full::new(body)).expect("a valid request")
    }

    async fn dial(&self) -> anyhow::Result<TcpStream> {
        let stream = TcpStream::connect(self.load.proxy).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// CONNECT, then TLS with whoever answers.
    async fn open_tls(&self) -> anyhow::Result<TlsStream<TcpStream>> {
        let mut stream = self.dial().await?;
        connect(&mut stream, &self.authority()).await?;
        let name = ServerName::try_from(self.load.host.clone())?;
        self.connector
            .connect(name, stream)
            .await
            .context("TLS through the proxy")
    }

    async fn open(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        match self.load.form {
            Form::Absolute => speak(self.dial().await?).await,
            Form::Tunnel | Form::Intercept => speak(self.open_tls().await?).await,
        }
    }
}

fn bodies(exchange: Exchange) -> Vec<Bytes> {
    let (variants, make): (u64, Box<dyn Fn(u64) -> Vec<u8>>) = match exchange {
        Exchange::Get | Exchange::Hold => return Vec::new(),
        Exchange::Post(size) => (
            if size > 1 << 20 { 2 } else { 16 },
            Box::new(move |seed| payload::tool_call(seed, size)),
        ),
        Exchange::Bulk(size) => (1, Box::new(move |seed| payload::noise(seed, size))),
        Exchange::Echo => (1, Box::new(payload::with_secrets)),
    };
    (0..variants).map(|seed| make(seed).into()).collect()
}

async fn speak<S>(stream: S) -> anyhow::Result<SendRequest<Full<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn connect(stream: &mut TcpStream, authority: &str) -> anyhow::Result<()> {
    let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < HEAD_LIMIT, "a reply to CONNECT without an end");
        ensure!(stream.read_buf(&mut head).await? > 0, "closed in the reply to CONNECT");
    }
    let text = String::from_utf8_lossy(&head);
    let status = text.split_whitespace().nth(1);
    ensure!(
        status == Some("200"),
        "CONNECT was answered: {}",
        text.lines().next().unwrap_or("")
    );
    Ok(())
}

/// One stretch of requests: numbered from a shared counter, ended by number or by time.
struct Phase {
    count: u64,
    end: Instant,
    next: AtomicU64,
    errors: AtomicU64,
}

impl Phase {
    fn new(count: u64, seconds: f64) -> Arc<Self> {
        Arc::new(Self {
            count,
            end: Instant::now() + Duration::from_secs_f64(seconds),
            next: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        })
    }

    async fn load(self: Arc<Self>, workers: Vec<Worker>) -> (Vec<Worker>, Outcome) {
        let tasks: Vec<_> = workers
            .into_iter()
            .map(|worker| tokio::spawn(worker.work(self.clone())))
            .collect();
        let mut workers = Vec::new();
        for task in tasks {
            workers.push(task.await.expect("a worker ends"));
        }
        let outcome = Outcome::of(workers.iter_mut().map(|worker| std::mem::take(&mut worker.tally)));
        (workers, outcome)
    }

    fn number(&self) -> Option<u64> {
        if Instant::now() >= self.end || self.errors.load(Ordering::Relaxed) >= ENOUGH_ERRORS {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.count).then_some(number)
    }
}

/// What one worker saw in one phase.
#[derive(Default)]
struct Tally {
    latencies: Vec<Duration>,
    errors: u64,
    first_error: Option<String>,
    bytes: u64,
    altered: bool,
}

impl Outcome {
    fn of(tallies: impl Iterator<Item = Tally>) -> Self {
        let mut latencies = Vec::new();
        let mut outcome = Self::default();
        for tally in tallies {
            latencies.extend(tally.latencies);
            outcome.errors += tally.errors;
            outcome.first_error = outcome.first_error.or(tally.first_error);
            outcome.bytes += tally.bytes;
            outcome.altered |= tally.altered;
        }
        latencies.sort_unstable();
        outcome.requests = latencies.len() as u64;
        outcome.p50_ms = quantile(&latencies, 0.50);
        outcome.p99_ms = quantile(&latencies, 0.99);
        outcome
    }
}

/// In milliseconds; 0 of nothing.
fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share) as usize;
    let at = rank.min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
}

/// One client: at most one request in flight.
struct Worker {
    plan: Arc<Plan>,
    connection: Option<SendRequest<Full<Bytes>>>,
    held: Vec<TlsStream<TcpStream>>,
    tally: Tally,
}

impl Worker {
    fn new(plan: &Arc<Plan>) -> Self {
        Self {
            plan: plan.clone(),
            connection: None,
            held: Vec::new(),
            tally: Tally::default(),
        }
    }

    async fn work(mut self, phase: Arc<Phase>) -> Self {
        while let Some(number) = phase.number() {
            let begun = Instant::now();
            match tokio::time::timeout(PATIENCE, self.once(number)).await {
                Ok(Ok(())) => self.tally.latencies.push(begun.elapsed()),
                Ok(Err(error)) => self.failed(&phase, format!("{error:#}")),
                Err(_) => self.failed(&phase, format!("no answer within {PATIENCE:?}")),
            }
        }
        self
    }

    fn failed(&mut self, phase: &Phase, error: String) {
        self.connection = None;
        self.tally.errors += 1;
        self.tally.first_error.get_or_insert(error);
        phase.errors.fetch_add(1, Ordering::Relaxed);
    }

    async fn once(&mut self, number: u64) -> anyhow::Result<()> {
        if self.plan.load.exchange == Exchange::Hold {
            self.held.push(self.plan.open_tls().await?);
            return Ok(());
        }
        let mut sender = match self.kept().await {
            Some(sender) => sender,
            None => self.plan.open().await?,
        };
        let response = sender.send_request(self.plan.request(number)).await?;
        self.check(number, response).await?;
        if !self.plan.load.fresh {
            self.connection = Some(sender);
        }
        Ok(())
    }

    /// The connection of the request before, unless the proxy closed it: that shows in the latency, not as an error.
    async fn kept(&mut self) -> Option<SendRequest<Full<Bytes>>> {
        let mut sender = self.connection.take()?;
        sender.ready().await.ok()?;
        Some(sender)
    }

    async fn check(&mut self, number: u64, response: Response<Incoming>) -> anyhow::Result<()> {
        let status = response.status();
        let exchange = self.plan.load.exchange;
        if let (Exchange::Bulk(size), true) = (exchange, number.is_multiple_of(2)) {
            ensure!(status == StatusCode::OK, "status {status}");
            ensure!(drain(response.into_body()).await? == size, "fewer bytes than asked for");
            self.tally.bytes += size as u64;
            return Ok(());
        }
        let body = response.into_body().collect().await?.to_bytes();
        ensure!(
            status == StatusCode::OK,
            "status {status}: {}",
            String::from_utf8_lossy(&body)
        );
        match exchange {
            Exchange::Post(size) | Exchange::Bulk(size) => {
                let expected = format!(r#"{{"received":{size}}}"#);
                ensure!(
                    body == expected,
                    "{} instead of {expected}",
                    String::from_utf8_lossy(&body)
                );
                self.tally.bytes += size as u64;
            }
            Exchange::Echo => self.tally.altered |= body != self.plan.bodies[0],
            Exchange::Get | Exchange::Hold => self.tally.bytes += body.len() as u64,
        }
        Ok(())
    }
}

async fn drain(mut body: Incoming) -> hyper::Result<usize> {
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        received += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(received)
}

//! The usual scene: an origin, a DNS server that knows it, and Egret between them and the test.

use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::ca::TestCa;
use super::client::{Reply, Wire};
use super::dns::{Answer, Dns, at};
use super::egret::{Egret, Setup};
use super::origin::Origin;

/// The names under which the origin is known, and for which its certificate is good.
pub(crate) const NAMES: [&str; 4] = ["origin.test", "other.test", "*.wild.test", "api.github.com"];

/// A scene that is being set.
pub(crate) struct Scene {
    pub(crate) ca: TestCa,
    pub(crate) origin: Origin,
    pub(crate) setup: Setup,
    names: Vec<(String, Answer)>,
}

/// A scene in play.
pub(crate) struct Play {
    pub(crate) ca: TestCa,
    pub(crate) origin: Origin,
    pub(crate) dns: Dns,
    pub(crate) egret: Egret,
}

impl Scene {
    /// An origin and an Egret that allows nothing yet.
    pub(crate) async fn new() -> Self {
        let ca = TestCa::new();
        let origin = Origin::start(&ca, &NAMES).await;
        let mut setup = Setup::new();
        setup.roots = ca.pem().to_owned();
        let scene = Self {
            ca,
            origin,
            setup,
            names: Vec::new(),
        };
        scene
            .name("origin.test", at(&["127.0.0.1"]))
            .permit("origin.test")
            .name("other.test", at(&["127.0.0.1"]))
            .permit("other.test")
    }

    /// Everything at `origin.test` and `other.test` is allowed, on the origin's two ports.
    pub(crate) async fn open() -> Self {
        Self::new().await.allow(
            "- {host: origin.test, schemes: [http, https], ports: [$PLAIN, $TLS]}\n\
             - {host: other.test, schemes: [http, https], ports: [$PLAIN, $TLS]}",
        )
    }

    /// The rules of the list `test`; `$PLAIN` and `$TLS` stand for the origin's ports.
    pub(crate) fn allow(self, rules: &str) -> Self {
        self.list("test", &format!("rules:\n{}", indented(rules)))
    }

    /// A whole allowlist; its text goes below `name:`.
    pub(crate) fn list(mut self, name: &str, text: &str) -> Self {
        let text = self.with_ports(&format!("name: {name}\n{text}"));
        self.setup.allowlists.push((name.to_owned(), text));
        self
    }

    /// The entries of `workloads:` in place of the usual one.
    pub(crate) fn workloads(mut self, entries: &str) -> Self {
        self.setup.workloads = indented(entries);
        self
    }

    /// A further top-level section of the configuration.
    pub(crate) fn section(mut self, yaml: &str) -> Self {
        self.setup.sections.push_str(yaml.trim_end());
        self.setup.sections.push('\n');
        self
    }

    /// What the DNS server says about a name.
    pub(crate) fn name(mut self, name: &str, answer: Answer) -> Self {
        self.names.push((name.to_owned(), answer));
        self
    }

    /// Lets a name resolve to loopback.
    pub(crate) fn permit(mut self, name: &str) -> Self {
        let exception = (name.to_owned(), "127.0.0.0/8".to_owned());
        self.setup.permits.push(exception);
        self
    }

    pub(crate) async fn start(mut self) -> Play {
        let dns = Dns::start(self.names).await;
        self.setup.dns = vec![dns.address()];
        Play {
            ca: self.ca,
            origin: self.origin,
            egret: self.setup.start().await,
            dns,
        }
    }

    /// Text with the origin's ports filled in.
    pub(crate) fn with_ports(&self, text: &str) -> String {
        text.replace("$PLAIN", &self.origin.plain_port().to_string())
            .replace("$TLS", &self.origin.tls_port().to_string())
    }
}

impl Play {
    pub(crate) fn proxy(&self) -> SocketAddr {
        self.egret.proxy
    }

    /// `http://host:port` of the origin's plain port.
    pub(crate) fn plain(&self, host: &str) -> String {
        format!("http://{host}:{}", self.origin.plain_port())
    }

    /// `host:port` of the origin's TLS port.
    pub(crate) fn secure(&self, host: &str) -> String {
        format!("{host}:{}", self.origin.tls_port())
    }

    /// A request in absolute-form to the plain port of `host`, with a right `Host` and further fields.
    pub(crate) async fn ask(&self, method: &str, host: &str, path: &str, fields: &str, body: &[u8]) -> Reply {
        let port = self.origin.plain_port();
        let fields = format!("Host: {host}:{port}\r\n{fields}");
        let target = format!("{}{path}", self.plain(host));
        let mut wire = Wire::dial(self.proxy()).await;
        wire.ask(method, &target, &fields, body).await
    }

    /// A plain `GET` of a path at `origin.test`.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", "origin.test", path, "", b"").await
    }

    /// CONNECT to the origin's TLS port under a name.
    pub(crate) async fn tunnel(&self, host: &str) -> Result<Wire<TcpStream>, Reply> {
        Wire::tunnel(self.proxy(), &self.secure(host), "").await
    }

    /// CONNECT and TLS with Egret, as a container's client does; `alpn` as given.
    pub(crate) async fn intercepted(&self, host: &str, alpn: &[&str]) -> Wire<TlsStream<TcpStream>> {
        let wire = self.tunnel(host).await.unwrap();
        wire.tls(host, self.egret.roots(), alpn).await.unwrap()
    }

    /// A `GET` over an intercepted connection of its own.
    pub(crate) async fn secure_get(&self, host: &str, path: &str) -> Reply {
        self.secure_ask("GET", host, path, "", b"").await
    }

    /// A request over an intercepted connection of its own.
    pub(crate) async fn secure_ask(&self, method: &str, host: &str, path: &str, fields: &str, body: &[u8]) -> Reply {
        let mut wire = self.intercepted(host, &["http/1.1"]).await;
        let fields = format!("Host: {}\r\n{fields}", self.secure(host));
        wire.ask(method, path, &fields, body).await
    }
}

fn indented(text: &str) -> String {
    text.lines().flat_map(|line| ["  ", line, "\n"]).collect()
}

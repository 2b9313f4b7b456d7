//! Who is measured, and how each is configured: as its documentation says for the job of the row, with an allowlist that
//! holds the test origin alone and an access log, where it has such.

use std::cell::Cell;
use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use serde_json::Value;

use crate::certificates::Certificates;
use crate::origin::{self, Ports};
use crate::process::Process;
use crate::rows::Form;
use crate::{relay, splice};

/// Intercepted, by the peers that can be told where a name points.
const NAME: &str = "origin.test";
/// Tunnelled, by the same.
const TUNNEL_NAME: &str = "tunnel.origin.test";
/// For the peers that resolve with the system's resolver only; it stands in the origin's certificate as well.
const ADDRESS: &str = "127.0.0.1";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    Egret,
    EgretNoRedaction,
    Squid,
    Tinyproxy,
    Haproxy,
    Mitmproxy,
    Relay,
    Splice,
}

/// A proxy that listens.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Peer {
    pub(crate) const ALL: [Self; 8] = [
        Self::Egret,
        Self::EgretNoRedaction,
        Self::Squid,
        Self::Tinyproxy,
        Self::Haproxy,
        Self::Mitmproxy,
        Self::Relay,
        Self::Splice,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Egret => "egret",
            Self::EgretNoRedaction => "egret-no-redaction",
            Self::Squid => "squid",
            Self::Tinyproxy => "tinyproxy",
            Self::Haproxy => "haproxy",
            Self::Mitmproxy => "mitmproxy",
            Self::Relay => "relay",
            Self::Splice => "splice",
        }
    }

    /// What the peer can do at all. haproxy forwards to the servers of its configuration and knows no CONNECT.
    pub(crate) fn does(self, form: Form) -> bool {
        match self {
            Self::Egret | Self::EgretNoRedaction | Self::Squid | Self::Mitmproxy | Self::Relay => true,
            Self::Tinyproxy => form != Form::Intercept,
            Self::Haproxy => form == Form::Absolute,
            Self::Splice => form == Form::Tunnel,
        }
    }

    pub(crate) fn installed(self, bed: &Bed) -> bool {
        self.program(bed).is_none_or(|program| program.exists())
    }

    /// `None` for this program itself.
    fn program(self, bed: &Bed) -> Option<PathBuf> {
        match self {
            Self::Egret | Self::EgretNoRedaction => Some(bed.egret.clone()),
            Self::Squid => Some("/usr/sbin/squid".into()),
            Self::Tinyproxy => Some("/usr/bin/tinyproxy".into()),
            Self::Haproxy => Some("/usr/sbin/haproxy".into()),
            Self::Mitmproxy => Some(bed.mitmdump.clone()),
            Self::Relay | Self::Splice => None,
        }
    }

    /// The first line of what the peer says of its version.
    pub(crate) fn version(self, bed: &Bed) -> String {
        let flag = match self {
            Self::Egret | Self::EgretNoRedaction | Self::Mitmproxy => "--version",
            Self::Squid | Self::Tinyproxy | Self::Haproxy => "-v",
            Self::Relay => return "bare hyper relay, in this benchmark".to_owned(),
            Self::Splice => return "bare splice(2) forwarder, in this benchmark".to_owned(),
        };
        let program = self.program(bed).filter(|program| program.exists());
        let output = program.and_then(|program| Command::new(program).arg(flag).output().ok());
        output.map_or("not installed".to_owned(), |output| first_line(&output.stdout))
    }

    /// How the client names the origin to this peer.
    pub(crate) fn origin_host(self, form: Form) -> &'static str {
        if matches!(self, Self::Tinyproxy | Self::Mitmproxy) {
            return ADDRESS;
        }
        match form {
            Form::Tunnel => TUNNEL_NAME,
            Form::Absolute | Form::Intercept => NAME,
        }
    }

    /// tinyproxy closes each connection after one request without saying so first: it gets a new one each.
    pub(crate) fn keeps_alive(self) -> bool {
        self != Self::Tinyproxy
    }

    /// Starts the peer in a folder of its own and waits until it listens.
    pub(crate) fn start(self, bed: &Bed, form: Form) -> Result<Running, String> {
        let dir = bed.fresh_dir(self.name());
        match self {
            Self::Egret => egret(bed, &dir, "redact"),
            Self::EgretNoRedaction => egret(bed, &dir, "off"),
            Self::Squid => squid(bed, &dir, form),
            Self::Tinyproxy => tinyproxy(bed, &dir, form),
            Self::Haproxy => haproxy(bed, &dir),
            Self::Mitmproxy => mitmproxy(bed, &dir, form),
            Self::Relay => ours("relay", &bed.relay(), &dir),
            Self::Splice => ours("splice", &splice::Specification {}, &dir),
        }
    }
}

/// Certificates, the origin, and a folder that goes away: everything but the proxy.
#[derive(Debug)]
pub(crate) struct Bed {
    dir: tempfile::TempDir,
    started: Cell<u32>,
    certificates: Certificates,
    origin: Process,
    ports: Ports,
    egret: PathBuf,
    mitmdump: PathBuf,
}

impl Bed {
    pub(crate) fn lay(egret: PathBuf) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        // squid reads its certificates as a user of its own.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("a folder of ours");
        let certificates = Certificates::make(dir.path());
        let specification = origin::Specification {
            certificate: certificates.origin.clone(),
            key: certificates.origin_key.clone(),
        };
        let mut origin = Process::of_ours("origin", &specification, dir.path()).expect("the origin starts");
        let ports = origin.read_json().expect("the origin says where it listens");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self {
            dir,
            started: Cell::new(0),
            certificates,
            origin,
            ports,
            egret,
            mitmdump: root.join("target/bench-peers/venv/bin/mitmdump"),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The origin's process.
    pub(crate) fn origin(&self) -> u32 {
        self.origin.id()
    }

    pub(crate) fn origin_port(&self, form: Form) -> u16 {
        match form {
            Form::Absolute => self.ports.http,
            Form::Tunnel | Form::Intercept => self.ports.https,
        }
    }

    pub(crate) fn client_roots(&self, form: Form) -> PathBuf {
        match form {
            Form::Intercept => self.certificates.proxy_ca.clone(),
            Form::Absolute | Form::Tunnel => self.certificates.origin_ca.clone(),
        }
    }

    fn relay(&self) -> relay::Specification {
        relay::Specification {
            certificate: self.certificates.minted.clone(),
            key: self.certificates.minted_key.clone(),
            roots: self.certificates.origin_ca.clone(),
            tunnel: TUNNEL_NAME.to_owned(),
        }
    }

    fn fresh_dir(&self, name: &str) -> PathBuf {
        self.started.set(self.started.get() + 1);
        let dir = self.dir.path().join(format!("{name}-{}", self.started.get()));
        fs::create_dir(&dir).expect("a folder");
        fs::set_permissions(&dir, Permissions::from_mode(0o777)).expect("a folder of ours");
        dir
    }
}

fn ours(role: &str, specification: &impl serde::Serialize, dir: &Path) -> Result<Running, String> {
    let mut process = Process::of_ours(role, specification, dir)?;
    let port = process.read_json()?;
    Ok(Running {
        process,
        address: loopback(port),
    })
}

/// Starts a program that was told its port, and waits until it accepts there.
fn told(command: &mut Command, port: u16, dir: &Path) -> Result<Running, String> {
    let address = loopback(port);
    let mut process = Process::of_theirs(command, dir.join("output.log"))?;
    process.wait_for(|_| TcpStream::connect(address).ok())?;
    Ok(Running { process, address })
}

/// Egret takes a free port and tells it in its log. The origin's port is listed for one intercepted and one tunnelled name.
fn egret(bed: &Bed, dir: &Path, redaction: &str) -> Result<Running, String> {
    let Ports { http, https, dns } = bed.ports;
    let Certificates {
        origin_ca,
        proxy_ca,
        proxy_ca_key,
        ..
    } = &bed.certificates;
    let list = format!(
        "name: load\n\
         description: The origin of the load test\n\
         rules:\n\
         \x20 - {{host: {NAME}, ports: [{http}, {https}], schemes: [http, https]}}\n\
         \x20 - {{host: {TUNNEL_NAME}, ports: [{https}], treatment: tunnel}}\n"
    );
    let configuration = format!(
        "proxy: {{listen: \"127.0.0.1:0\"}}\n\
         admin: {{listen: \"127.0.0.1:0\"}}\n\
         state_dir: {dir}/state\n\
         allowlists: [{dir}/load.yaml]\n\
         ca: {{certificate: {certificate}, key: {key}}}\n\
         workloads:\n\
         \x20 - name: load\n\
         \x20   match: {{networks: [127.0.0.0/8]}}\n\
         \x20   allow: [load]\n\
         addresses:\n\
         \x20 permit:\n\
         \x20   - {{host: {NAME}, networks: [127.0.0.0/8]}}\n\
         \x20   - {{host: {TUNNEL_NAME}, networks: [127.0.0.0/8]}}\n\
         dns: {{servers: [\"127.0.0.1:{dns}\"]}}\n\
         upstream: {{roots: [{roots}]}}\n\
         redaction:\n\
         \x20 surfaces: {{body: {redaction}, header: {redaction}, url: {redaction}, websocket: {redaction}}}\n\
         audit: {{path: {dir}/audit.jsonl}}\n\
         limits: {{connections_per_client: 4096}}\n",
        dir = dir.display(),
        certificate = proxy_ca.display(),
        key = proxy_ca_key.display(),
        roots = origin_ca.display(),
    );
    write(dir, "load.yaml", &list);
    let file = write(dir, "egret.yaml", &configuration);
    let mut command = Command::new(&bed.egret);
    command.current_dir(dir).arg("run").arg("--config").arg(file);
    let mut process = Process::of_theirs(&mut command, dir.join("output.log"))?;
    let address = process.wait_for(|process| listening(&process.printed()))?;
    Ok(Running { process, address })
}

/// Where Egret's log says that the proxy listens.
fn listening(log: &str) -> Option<SocketAddr> {
    let lines = log.lines().filter_map(|line| serde_json::from_str(line).ok());
    lines
        .map(|line: Value| line.get("fields").cloned().unwrap_or(line))
        .filter(|line| line["message"] == "listening")
        .find_map(|line| line["proxy"].as_str()?.parse().ok())
}

/// One port that intercepts, or one that does not. squid is one process with one thread; its certificate makers are children.
fn squid(bed: &Bed, dir: &Path, form: Form) -> Result<Running, String> {
    let port = free_port();
    let database = dir.join("certificates");
    let maker = "/usr/lib/squid/security_file_certgen";
    let intercept = format!(
        "http_port 127.0.0.1:{port} ssl-bump tls-cert={certificate} tls-key={key} generate-host-certificates=on dynamic_cert_mem_cache_size=16MB\n\
         sslcrtd_program {maker} -s {database} -M 16MB\n\
         tls_outgoing_options cafile={roots}\n\
         acl hello at_step SslBump1\n\
         ssl_bump peek hello\n\
         ssl_bump bump all\n",
        certificate = bed.certificates.proxy_ca.display(),
        key = bed.certificates.proxy_ca_key.display(),
        database = database.display(),
        roots = bed.certificates.origin_ca.display(),
    );
    let listen = match form {
        Form::Intercept => intercept,
        Form::Absolute | Form::Tunnel => format!("http_port 127.0.0.1:{port}\n"),
    };
    let hosts = write(dir, "hosts", &format!("127.0.0.1 {NAME} {TUNNEL_NAME}\n"));
    let configuration = format!(
        "{listen}\
         visible_hostname load.test\n\
         acl listed dstdomain .{NAME}\n\
         http_access allow listed\n\
         http_access deny all\n\
         hosts_file {hosts}\n\
         cache deny all\n\
         access_log stdio:{dir}/access.log\n\
         cache_log {dir}/cache.log\n\
         pid_filename none\n\
         coredump_dir {dir}\n\
         pinger_enable off\n\
         max_filedescriptors 16384\n\
         shutdown_lifetime 0 seconds\n",
        hosts = hosts.display(),
        dir = dir.display(),
    );
    let file = write(dir, "squid.conf", &configuration);
    if form == Form::Intercept {
        make_database(Path::new(maker), &database)?;
    }
    let mut command = Command::new("/usr/sbin/squid");
    told(command.args(["-N", "-f"]).arg(file), port, dir)
}

/// squid drops to a user of its own when root starts it, so that its database must be anyone's to write.
fn make_database(maker: &Path, database: &Path) -> Result<(), String> {
    let made = Command::new(maker)
        .args(["-c", "-s"])
        .arg(database)
        .args(["-M", "16MB"])
        .output()
        .map_err(|error| format!("{}: {error}", maker.display()))?;
    if !made.status.success() {
        return Err(first_line(&made.stderr));
    }
    let opened = Command::new("chmod").args(["-R", "a+rwX"]).arg(database).status();
    opened.map(drop).map_err(|error| format!("chmod: {error}"))
}

/// A thread for each connection, and no interception.
fn tinyproxy(bed: &Bed, dir: &Path, form: Form) -> Result<Running, String> {
    let port = free_port();
    let filter = write(dir, "filter", "^127\\.0\\.0\\.1$\n");
    let configuration = format!(
        "Port {port}\n\
         Listen 127.0.0.1\n\
         Allow 127.0.0.1\n\
         Timeout 600\n\
         MaxClients 2048\n\
         ConnectPort {origin}\n\
         Filter \"{filter}\"\n\
         FilterDefaultDeny Yes\n\
         LogFile \"{dir}/access.log\"\n\
         LogLevel Connect\n",
        origin = bed.origin_port(form),
        filter = filter.display(),
        dir = dir.display(),
    );
    let file = write(dir, "tinyproxy.conf", &configuration);
    told(
        Command::new("/usr/bin/tinyproxy").args(["-d", "-c"]).arg(file),
        port,
        dir,
    )
}

/// haproxy has the origin as its only server and refuses any other Host.
fn haproxy(bed: &Bed, dir: &Path) -> Result<Running, String> {
    let port = free_port();
    let origin = bed.ports.http;
    let configuration = format!(
        "global\n\
         \x20 nbthread 2\n\
         \x20 log stdout format raw local0\n\
         defaults\n\
         \x20 mode http\n\
         \x20 log global\n\
         \x20 option httplog\n\
         \x20 http-reuse always\n\
         \x20 timeout connect 10s\n\
         \x20 timeout client 60s\n\
         \x20 timeout server 60s\n\
         frontend proxy\n\
         \x20 bind 127.0.0.1:{port}\n\
         \x20 http-request deny unless {{ hdr(host) {NAME}:{origin} }}\n\
         \x20 default_backend origin\n\
         backend origin\n\
         \x20 server origin 127.0.0.1:{origin}\n"
    );
    let file = write(dir, "haproxy.cfg", &configuration);
    told(
        Command::new("/usr/sbin/haproxy").args(["-db", "-f"]).arg(file),
        port,
        dir,
    )
}

/// mitmdump, which prints one line a request unless told not to: quiet here, for it is slow enough.
fn mitmproxy(bed: &Bed, dir: &Path, form: Form) -> Result<Running, String> {
    let port = free_port();
    let read = |file: &Path| fs::read_to_string(file).expect("a certificate of ours");
    let Certificates {
        origin_ca,
        proxy_ca,
        proxy_ca_key,
        ..
    } = &bed.certificates;
    let both = format!("{}{}", read(proxy_ca_key), read(proxy_ca));
    write(dir, "mitmproxy-ca.pem", &both);
    write(dir, "mitmproxy-ca-cert.pem", &read(proxy_ca));
    let mut command = Command::new(&bed.mitmdump);
    command
        .args(["--quiet", "--listen-host", ADDRESS, "--listen-port"])
        .arg(port.to_string())
        .arg("--set")
        .arg(format!("confdir={}", dir.display()))
        .arg("--set")
        .arg(format!("ssl_verify_upstream_trusted_ca={}", origin_ca.display()));
    if form == Form::Tunnel {
        command.args(["--ignore-hosts", ".*"]);
    }
    told(&mut command, port, dir)
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A port that was free a moment ago, for the programs that can't choose one and say which.
fn free_port() -> u16 {
    let listener = TcpListener::bind(loopback(0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let file = dir.join(name);
    fs::write(&file, text).expect("a file in a folder of ours");
    file
}

fn first_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    text.lines().next().unwrap_or("says nothing").to_owned()
}

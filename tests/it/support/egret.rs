//! The built `egret` binary as a child process, with a configuration in a folder that goes away with it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use rustls::RootCertStore;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::client::{Reply, Wire, roots_from_pem};
use super::{PATIENCE, eventually, within};

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_egret");

/// A configuration before it is written. Text fields are YAML, spliced in as they stand.
pub(crate) struct Setup {
    folder: TempDir,
    /// Entries of `workloads:`.
    pub(crate) workloads: String,
    /// Files of the allowlist folder: name and text.
    pub(crate) allowlists: Vec<(String, String)>,
    pub(crate) dns: Vec<SocketAddr>,
    /// Further keys of `dns:`, each behind a comma.
    pub(crate) dns_keys: String,
    /// Names that may resolve to special-use networks.
    pub(crate) permits: Vec<(String, String)>,
    /// CA certificates for origins, as PEM.
    pub(crate) roots: String,
    /// Further keys of `proxy:`.
    pub(crate) proxy_keys: String,
    /// Further top-level sections.
    pub(crate) sections: String,
    /// Where the audit trail goes.
    pub(crate) audit: PathBuf,
    /// `refuse` or `continue`.
    pub(crate) audit_on_failure: String,
    /// Makes writes beyond the file size limit fail, as on a full disk, where they would else kill the process.
    pub(crate) survives_full_disk: bool,
}

impl Setup {
    /// One workload `tester`, which every loopback client is, allowed the list `test`; no list yet, so nothing allowed.
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let audit = folder.path().join("audit.jsonl");
        Self {
            folder,
            workloads: "  - {name: tester, match: {networks: [127.0.0.0/8]}, allow: [test]}\n".into(),
            allowlists: Vec::new(),
            dns: Vec::new(),
            dns_keys: String::new(),
            permits: Vec::new(),
            roots: String::new(),
            proxy_keys: String::new(),
            sections: String::new(),
            audit,
            audit_on_failure: "refuse".into(),
            survives_full_disk: false,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration's text.
    pub(crate) fn yaml(&self) -> String {
        let folder = self.folder().display();
        let mut yaml = format!(
            "proxy: {{listen: \"127.0.0.1:0\"{}}}\n\
             admin: {{listen: \"127.0.0.1:0\"}}\n\
             state_dir: {folder}/state\n\
             allowlists: [{folder}/allowlists]\n\
             audit: {{path: {}, on_failure: {}}}\n\
             workloads:\n{}",
            self.proxy_keys,
            self.audit.display(),
            self.audit_on_failure,
            self.workloads
        );
        let servers: Vec<String> = self.dns.iter().map(|at| format!("\"{at}\"")).collect();
        let servers = servers.join(", ");
        writeln!(yaml, "dns: {{servers: [{servers}]{}}}", self.dns_keys).unwrap();
        if !self.roots.is_empty() {
            writeln!(yaml, "upstream: {{roots: [{folder}/roots.pem]}}").unwrap();
        }
        let permits = self
            .permits
            .iter()
            .map(|(host, network)| format!("{{host: \"{host}\", networks: [{network}]}}"))
            .collect::<Vec<_>>()
            .join(", ");
        writeln!(yaml, "addresses: {{permit: [{permits}]}}").unwrap();
        yaml.push_str(&self.sections);
        yaml
    }

    /// Writes every file and gives the configuration's path.
    pub(crate) fn write(&self) -> PathBuf {
        let lists = self.folder().join("allowlists");
        std::fs::create_dir_all(&lists).unwrap();
        for (name, text) in &self.allowlists {
            std::fs::write(lists.join(format!("{name}.yaml")), text).unwrap();
        }
        std::fs::write(self.folder().join("roots.pem"), &self.roots).unwrap();
        let config = self.folder().join("egret.yaml");
        std::fs::write(&config, self.yaml()).unwrap();
        config
    }

    /// Runs a command to its end over the written configuration.
    pub(crate) async fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        command.args(arguments).arg("--config").arg(self.write());
        finish(command).await
    }

    fn program(&self) -> Command {
        if !self.survives_full_disk {
            return Command::new(BINARY);
        }
        // An ignored signal stays ignored across `exec`.
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", BINARY]);
        shell
    }

    /// Starts the proxy and waits until it listens.
    pub(crate) async fn start(self) -> Egret {
        let config = self.write();
        let mut child = self
            .program()
            .arg("run")
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = ProgramLog::follow(&mut child);
        let listening = log.await_message("listening").await;
        let find = |field: &str| -> Option<SocketAddr> {
            let text = listening[field].as_str();
            let text = text.or_else(|| listening["fields"][field].as_str());
            text.map(|text| text.parse().unwrap())
        };
        let address = |field: &str| find(field).unwrap_or_else(|| panic!("no {field} in {listening}"));
        Egret {
            proxy: address("proxy"),
            tls: find("tls"),
            admin: address("admin"),
            dns: find("dns"),
            setup: self,
            child,
            log,
        }
    }
}

/// Runs `command` to its end, bounded in time.
pub(crate) async fn finish(mut command: Command) -> Output {
    command.stdin(Stdio::null()).kill_on_drop(true);
    within("the command", command.output()).await.unwrap()
}

/// Egret running; it is killed when dropped.
pub(crate) struct Egret {
    pub(crate) proxy: SocketAddr,
    /// The listener with TLS, where the configuration has one.
    pub(crate) tls: Option<SocketAddr>,
    pub(crate) admin: SocketAddr,
    /// The DNS listener, where there is one.
    dns: Option<SocketAddr>,
    setup: Setup,
    child: Child,
    log: ProgramLog,
}

impl Egret {
    pub(crate) fn folder(&self) -> &Path {
        self.setup.folder()
    }

    pub(crate) fn audit(&self) -> &Path {
        &self.setup.audit
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id().expect("Egret still runs")
    }

    /// The PEM file of Egret's own CA, made at the first start.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder().join("state/ca.crt")
    }

    /// What a client inside a container trusts: Egret's CA alone.
    pub(crate) fn roots(&self) -> RootCertStore {
        roots_from_pem(&std::fs::read(self.ca_file()).unwrap())
    }

    /// Where the DNS listener is.
    pub(crate) fn dns(&self) -> SocketAddr {
        self.dns.expect("the configuration has a DNS listener")
    }

    pub(crate) fn log(&self) -> &ProgramLog {
        &self.log
    }

    /// Replaces an allowlist's file, as an editor does: by renaming a new file over the old.
    pub(crate) fn replace_allowlist(&self, name: &str, text: &str) {
        let lists = self.folder().join("allowlists");
        let fresh = self.folder().join("fresh.tmp");
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(fresh, lists.join(format!("{name}.yaml"))).unwrap();
    }

    /// Every whole line of the audit trail.
    pub(crate) fn trail(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.audit()).unwrap_or_default();
        let whole = text.rfind('\n').map_or(0, |last| last + 1);
        text.get(..whole)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}")))
            .collect()
    }

    /// The records of exchanges and tunnels, without those of Egret's own events.
    pub(crate) fn records(&self) -> Vec<Value> {
        let mut trail = self.trail();
        trail.retain(|record| record["event"] == "exchange" || record["event"] == "tunnel");
        trail
    }

    /// The records of DNS queries.
    pub(crate) fn lookups(&self) -> Vec<Value> {
        let mut trail = self.trail();
        trail.retain(|record| record["event"] == "lookup");
        trail
    }

    /// Waits until there are `count` records.
    pub(crate) async fn await_records(&self, count: usize) -> Vec<Value> {
        eventually(&format!("{count} audit records"), || async {
            let records = self.records();
            (records.len() >= count).then_some(records)
        })
        .await
    }

    /// Waits for the one record that fits.
    pub(crate) async fn await_record(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let found = eventually(&format!("a record: {what}"), || async {
            let mut records = self.records();
            records.retain(&fits);
            (!records.is_empty()).then_some(records)
        })
        .await;
        assert_eq!(found.len(), 1, "records of {what}: {found:#?}");
        found.into_iter().next().unwrap()
    }

    /// The record of the exchange for `path`.
    pub(crate) async fn record_of(&self, path: &str) -> Value {
        self.await_record(path, |record| record["path"] == path).await
    }

    /// The record of the exchange refused for `reason`.
    pub(crate) async fn refusal(&self, reason: &str) -> Value {
        self.await_record(reason, |record| record["reason"] == reason).await
    }

    /// A reply of the admin listener.
    pub(crate) async fn ask_admin(&self, path: &str) -> Reply {
        let mut wire = Wire::dial(self.admin).await;
        wire.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n"
        ))
        .await;
        wire.reply().await
    }

    pub(crate) async fn metrics(&self) -> String {
        let reply = self.ask_admin("/metrics").await;
        assert_eq!(reply.status, 200);
        reply.text().to_owned()
    }

    /// The sum of all samples of `name` that carry each of `labels` (`key="value"`).
    pub(crate) async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        sum(&self.metrics().await, name, labels)
    }

    /// Waits until that sum is at least `least`.
    pub(crate) async fn await_metric(&self, name: &str, labels: &[&str], least: f64) {
        eventually(&format!("{name}{labels:?} >= {least}"), || async {
            (self.metric(name, labels).await >= least).then_some(())
        })
        .await;
    }

    pub(crate) async fn reload(&self) {
        self.signal("HUP").await;
    }

    pub(crate) async fn terminate(&self) {
        self.signal("TERM").await;
    }

    /// Starts another process with the same folder, after this one ended.
    pub(crate) async fn restart(self) -> Self {
        self.setup.start().await
    }

    /// Waits for the end of the process.
    pub(crate) async fn exit(&mut self) -> ExitStatus {
        within("Egret's end", self.child.wait()).await.unwrap()
    }

    /// From now on no file may grow beyond `bytes` (a number or `unlimited`): a full disk, or room again.
    pub(crate) async fn limit_file_size(&self, bytes: &str) {
        let mut limit = Command::new("prlimit");
        limit.arg("--pid").arg(self.process().to_string());
        limit.arg(format!("--fsize={bytes}:unlimited"));
        let output = finish(limit).await;
        assert!(output.status.success(), "{output:?}");
    }

    async fn signal(&self, name: &str) {
        let mut kill = Command::new("sh");
        kill.arg("-c").arg(format!("kill -{name} {}", self.process()));
        assert!(finish(kill).await.status.success());
    }

    /// A line of `/proc/PID/status` in kibibytes, such as `VmHWM`.
    pub(crate) fn memory_kib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process())).unwrap();
        status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .and_then(|rest| rest.split_whitespace().next())
            .unwrap()
            .parse()
            .unwrap()
    }
}

/// Adds up samples of the exposition format.
fn sum(exposition: &str, name: &str, labels: &[&str]) -> f64 {
    exposition
        .lines()
        .filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (tags, value) = rest.rsplit_once(' ')?;
            let named = tags.is_empty() || tags.starts_with('{');
            (named && labels.iter().all(|label| tags.contains(label))).then(|| value.parse::<f64>().unwrap())
        })
        .sum()
}

/// What the program writes about itself, on both of its outputs.
pub(crate) struct ProgramLog {
    lines: Arc<Mutex<Vec<String>>>,
    ends: watch::Receiver<u64>,
}

impl ProgramLog {
    fn follow(child: &mut Child) -> Self {
        let lines = Arc::new(Mutex::default());
        let (changed, ends) = watch::channel(0);
        let changed = Arc::new(changed);
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        tokio::spawn(read_lines(out, Arc::clone(&lines), Arc::clone(&changed)));
        tokio::spawn(read_lines(err, Arc::clone(&lines), changed));
        Self { lines, ends }
    }

    /// All lines so far.
    pub(crate) fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Waits for the JSON line with this message; fails when the program ends before.
    pub(crate) async fn await_message(&self, message: &str) -> Value {
        let mut ends = self.ends.clone();
        let search = async {
            loop {
                ends.borrow_and_update();
                if let Some(line) = self.find(message) {
                    return line;
                }
                let more = ends.changed().await;
                assert!(more.is_ok(), "Egret ended before {message:?}:\n{}", self.text());
            }
        };
        tokio::time::timeout(PATIENCE, search)
            .await
            .unwrap_or_else(|_| panic!("no line {message:?} in:\n{}", self.text()))
    }

    fn find(&self, message: &str) -> Option<Value> {
        let lines = self.lines.lock().unwrap();
        lines
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line["message"] == message || line["fields"]["message"] == message)
    }
}

async fn read_lines(output: impl AsyncRead + Unpin, lines: Arc<Mutex<Vec<String>>>, changed: Arc<watch::Sender<u64>>) {
    let mut output = BufReader::new(output).lines();
    while let Ok(Some(line)) = output.next_line().await {
        lines.lock().unwrap().push(line);
        changed.send_modify(|count| *count += 1);
    }
}

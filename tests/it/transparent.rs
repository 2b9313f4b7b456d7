//! Clients that know nothing of a proxy, in a network of their own, whose packets the rules of `deploy/transparent` send to Egret.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::process::Command;

use crate::support::dns::at;
use crate::support::egret::finish;
use crate::support::eventually;
use crate::support::namespace::{Namespace, inside};
use crate::support::scene::{Play, Scene};

/// Egret's end of the wire, and the workload's.
const EGRET: Ipv4Addr = Ipv4Addr::new(10, 83, 0, 1);
const WORKLOAD: Ipv4Addr = Ipv4Addr::new(10, 83, 0, 2);
/// Somewhere on the Internet, where nobody is.
const ELSEWHERE: &str = "198.51.100.7";

/// A workload behind the packet filter, and the Egret that it ends at.
struct Redirected {
    play: Play,
    workload: Namespace,
}

impl Redirected {
    async fn start(gateway: &Namespace, scene: Scene) -> Self {
        let workload = gateway.attach("mcp0", EGRET, WORKLOAD);
        let mut scene = scene
            .workloads("- {name: unaware, match: {networks: [10.83.0.2]}, allow: [test]}")
            .section(&format!("transparent: {{listen: \"{EGRET}:3129\"}}"));
        scene.setup.dns_keys = format!(", listen: \"{EGRET}:53\", answer: [{EGRET}]");
        let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/transparent/egret.nft");
        let shipped = std::fs::read_to_string(rules).unwrap();
        let rules = shipped.replace("{ 80, 443 }", &scene.with_ports("{ $PLAIN, $TLS }"));
        assert_ne!(rules, shipped);
        let file = scene.setup.folder().join("egret.nft");
        std::fs::write(&file, rules).unwrap();
        gateway.run(&["nft", "-f", file.to_str().unwrap()]);
        // Somebody else's resolver: the filter sends it to Egret all the same.
        std::fs::write(scene.setup.folder().join("resolv.conf"), "nameserver 203.0.113.53\n").unwrap();
        Self {
            play: scene.start().await,
            workload,
        }
    }

    /// Runs a program in the workload's network, with its `resolv.conf`.
    async fn run(&self, program: &[&str]) -> Output {
        let [ip, arguments @ ..] = self.workload.prefix();
        let mut command = Command::new(ip);
        command.args(arguments);
        command.args([
            "sh",
            "-c",
            "mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"",
            "sh",
        ]);
        command.arg(self.play.egret.folder().join("resolv.conf"));
        command.args(program);
        finish(command).await
    }

    /// What curl writes: the status in a last line of its own, `000` when there was none.
    async fn curl(&self, roots: &Path, arguments: &[&str]) -> (String, Option<i32>) {
        let roots = roots.to_str().unwrap();
        let usual = [
            "curl",
            "--silent",
            "--show-error",
            "--max-time",
            "20",
            "--cacert",
            roots,
            "--write-out",
            "\n%{http_code}",
        ];
        let output = self.run(&[&usual, arguments].concat()).await;
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    }

    async fn get(&self, arguments: &[&str]) -> (String, Option<i32>) {
        self.curl(&self.play.egret.ca_file(), arguments).await
    }

    fn secure(&self, host: &str, path: &str) -> String {
        format!("https://{}{path}", self.play.secure(host))
    }

    fn plain(&self, host: &str, path: &str) -> String {
        format!("{}{path}", self.play.plain(host))
    }

    /// The one record that fits and came by redirection.
    async fn record(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.play
            .egret
            .await_record(what, |record| record["form"] == "transparent" && fits(record))
            .await
    }
}

#[test]
fn an_allowed_host_is_reached_and_looked_into() {
    inside(async |gateway| {
        let stage = Redirected::start(gateway, Scene::open().await).await;
        let (said, code) = stage
            .get(&["--data", "four", &stage.secure("origin.test", "/echo")])
            .await;
        assert_eq!((said.as_str(), code), ("four\n200", Some(0)));
        let opened = stage.record("the connection", |record| record["path"].is_null()).await;
        assert_eq!(opened["decision"], "allow", "{opened}");
        assert_eq!(opened["treatment"], "intercept", "{opened}");
        assert_eq!(opened["workload"], "unaware", "{opened}");
        assert_eq!(opened["tls"]["sni"], "origin.test", "{opened}");
        // The address that was vetted, not the one that the packets went to.
        assert_eq!(opened["address"], "127.0.0.1", "{opened}");
        let inner = stage.play.egret.record_of("/echo").await;
        assert_eq!((&inner["form"], &inner["status"]), (&"intercepted".into(), &200.into()));

        let (said, code) = stage
            .get(&["--data", "four", &stage.plain("origin.test", "/echo")])
            .await;
        assert_eq!((said.as_str(), code), ("four\n200", Some(0)));
        let plain = stage
            .record("the request in clear", |record| record["path"] == "/echo")
            .await;
        assert_eq!(
            (&plain["treatment"], &plain["method"]),
            (&"plain".into(), &"POST".into())
        );
        assert_eq!(
            (&plain["scheme"], &plain["host"]),
            (&"http".into(), &"origin.test".into())
        );
        let counted = stage
            .play
            .egret
            .metric("egret_exchanges_total", &["form=\"transparent\"", "decision=\"allow\""])
            .await;
        assert!((counted - 2.0).abs() < 0.1, "{counted}");
    });
}

#[test]
fn a_denied_host_is_refused() {
    inside(async |gateway| {
        let stage = Redirected::start(gateway, Scene::open().await).await;
        // By name there is none.
        let (_, code) = stage.get(&[&stage.secure("unlisted.test", "/")]).await;
        assert_eq!(code, Some(6));
        // And who knows an address is told by the name that the connection says.
        let host = stage.play.secure("unlisted.test");
        let pinned = format!("{host}:{ELSEWHERE}");
        let (said, code) = stage
            .get(&["--resolve", &pinned, &stage.secure("unlisted.test", "/")])
            .await;
        assert_eq!((said.as_str(), code), ("\n000", Some(35)));
        let refused = stage
            .record("the TLS connection", |record| record["tls"]["sni"] == "unlisted.test")
            .await;
        assert_eq!(
            (&refused["decision"], &refused["reason"]),
            (&"deny".into(), &"host.not_listed".into())
        );

        let target = stage.plain("unlisted.test", "/clear");
        let pinned = format!(
            "{}:{ELSEWHERE}",
            target.trim_start_matches("http://").trim_end_matches("/clear")
        );
        let (said, _) = stage.get(&["--resolve", &pinned, &target]).await;
        assert!(
            said.contains("\"host.not_listed\"") && said.ends_with("\n403"),
            "{said}"
        );
        stage
            .record("the request in clear", |record| record["path"] == "/clear")
            .await;
        assert!(
            stage.play.dns.questions().is_empty(),
            "{:?}",
            stage.play.dns.questions()
        );
        stage.play.origin.assert_untouched();
    });
}

#[test]
fn a_wrong_name_is_refused() {
    inside(async |gateway| {
        let stage = Redirected::start(gateway, Scene::open().await).await;
        let port = stage.play.origin.tls_port();
        // The server name says another host than the request inside: neither may stand for the other.
        let host = format!("Host: unlisted.test:{port}");
        let (said, _) = stage
            .get(&["--header", &host, &stage.secure("origin.test", "/inner")])
            .await;
        assert!(
            said.contains("\"name.host_mismatch\"") && said.ends_with("\n403"),
            "{said}"
        );
        let pinned = format!("unlisted.test:{port}:{EGRET}");
        let honest = format!("Host: origin.test:{port}");
        let lying = ["--resolve", &pinned, "--header", &honest];
        let (_, code) = stage
            .get(&[&lying[..], &[&stage.secure("unlisted.test", "/outer")]].concat())
            .await;
        assert_eq!(code, Some(35));
        stage
            .record("host.not_listed", |record| record["reason"] == "host.not_listed")
            .await;

        // No name at all: an address alone opens nothing.
        let bare = format!("https://{ELSEWHERE}:{port}/");
        let (_, code) = stage.get(&["--insecure", &bare]).await;
        assert_eq!(code, Some(35));
        stage
            .record("name.sni_mismatch", |record| record["reason"] == "name.sni_mismatch")
            .await;
        let bare = format!("http://{ELSEWHERE}:{}/", stage.play.origin.plain_port());
        let (said, _) = stage.get(&[&bare]).await;
        assert!(said.ends_with("\n403"), "{said}");

        // The name's port is the one that the connection was on its way to.
        let other = "Host: origin.test:1";
        let (said, _) = stage
            .get(&["--header", other, &stage.plain("origin.test", "/port")])
            .await;
        assert!(
            said.contains("\"name.host_mismatch\"") && said.ends_with("\n403"),
            "{said}"
        );
        stage.play.origin.assert_no_request();
    });
}

#[test]
fn the_address_of_a_packet_opens_nothing() {
    inside(async |gateway| {
        let scene = Scene::open().await.name("inside.test", at(&["10.0.0.1"]));
        let stage = Redirected::start(gateway, scene).await;
        // An allowed name, said to be elsewhere: Egret goes where the name leads.
        let pinned = format!("{}:{ELSEWHERE}", stage.play.secure("origin.test"));
        let (said, code) = stage
            .get(&[
                "--resolve",
                &pinned,
                "--data",
                "four",
                &stage.secure("origin.test", "/echo"),
            ])
            .await;
        assert_eq!((said.as_str(), code), ("four\n200", Some(0)));
        let opened = stage.record("the connection", |record| record["path"].is_null()).await;
        assert_eq!(opened["address"], "127.0.0.1", "{opened}");
    });
}

#[test]
fn what_is_neither_tls_nor_http_is_refused() {
    inside(async |gateway| {
        let stage = Redirected::start(gateway, Scene::open().await).await;
        let target = format!("telnet://{ELSEWHERE}:{}", stage.play.origin.tls_port());
        let speak = format!("printf 'SSH-2.0-probe\\r\\n\\r\\n' | curl --silent --max-time 20 {target}");
        let output = stage.run(&["sh", "-c", &speak]).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("request.malformed"), "{said}");
        stage
            .record("request.malformed", |record| record["reason"] == "request.malformed")
            .await;
    });
}

#[test]
fn everything_else_is_closed() {
    inside(async |gateway| {
        let stage = Redirected::start(gateway, Scene::open().await).await;
        // A machine that would forward, and a server out there that would answer: what is closed is closed by the rules.
        let outside = gateway.attach("uplink", Ipv4Addr::new(198, 51, 100, 1), ELSEWHERE.parse().unwrap());
        gateway.run(&["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
        let [ip, arguments @ ..] = outside.prefix();
        let mut server = Command::new(ip);
        server
            .args(arguments)
            .args(["python3", "-m", "http.server", "8080"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let _server = server
            .current_dir(stage.play.egret.folder().join("allowlists"))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let reachable = format!("http://{ELSEWHERE}:8080/");
        eventually("the server outside", || async {
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--max-time", "5", &reachable]);
            finish(curl).await.status.success().then_some(())
        })
        .await;

        let admin = format!("http://{EGRET}:{}/metrics", stage.play.egret.admin.port());
        for target in [reachable, format!("http://{EGRET}:22/"), admin] {
            let (said, code) = stage.get(&[&target]).await;
            assert_eq!((said.as_str(), code), ("\n000", Some(7)), "{target}");
        }
        assert!(stage.play.egret.records().is_empty());
    });
}

#[test]
fn a_tunnel_is_only_watched() {
    inside(async |gateway| {
        let scene = Scene::new()
            .await
            .allow("- {host: origin.test, ports: [$TLS], treatment: tunnel}");
        let stage = Redirected::start(gateway, scene).await;
        let roots = stage.play.egret.folder().join("roots.pem");
        // The origin's own certificate arrives.
        let (said, code) = stage
            .curl(&roots, &["--data", "four", &stage.secure("origin.test", "/echo")])
            .await;
        assert_eq!((said.as_str(), code), ("four\n200", Some(0)));
        let record = stage.record("the tunnel", |record| record["event"] == "tunnel").await;
        assert_eq!(
            (&record["treatment"], &record["decision"]),
            (&"tunnel".into(), &"allow".into())
        );
        assert!(record["bytes_out"].as_u64().is_some_and(|bytes| bytes > 4), "{record}");
    });
}

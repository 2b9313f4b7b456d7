//! `egret env`: every variable that a container needs so that its clients ask Egret and trust its certificates.
//!
//! It looks at nothing but the configuration's listen address; the bundle of certificates is `egret ca bundle`'s.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::ensure;
use clap::ValueEnum;

use crate::config;

const DONE: u8 = 0;
const UNREADABLE: u8 = 2;

/// Name of the service that containers know Egret by.
const SERVICE: &str = "egret";

/// Variables that hold the proxy's URL: curl reads `http_proxy` in lower case only, Go looks at upper case first.
const PROXY: [&str; 6] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
];
/// Variables that hold the hosts not to ask the proxy for.
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// Node's fetch and https ignore proxies without it.
const NODE: &str = "NODE_USE_ENV_PROXY";
/// Variables that name the bundle; most of them replace the system's roots, so the bundle holds those too.
const BUNDLE: [&str; 13] = [
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "DENO_CERT",
    "YARN_HTTPS_CA_FILE_PATH",
    "NIX_SSL_CERT_FILE",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
];

/// The arguments of `egret env`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How to write the variables.
    #[arg(long, value_enum, default_value_t = Format::Shell)]
    pub format: Format,
    /// The configuration with the listen address; without it the embedded default.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The proxy's URL as the container sees it; by default the listen address, or the name egret where a container
    /// can't reach that.
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// The bundle's path as the container sees it.
    #[arg(long, value_name = "PATH", default_value = "/etc/egret-ca/ca-bundle.pem")]
    pub bundle: String,
    /// Hosts to reach without the proxy. It is the client's to change, so no boundary.
    #[arg(long, value_name = "HOSTS", default_value = "localhost,127.0.0.1")]
    pub no_proxy: String,
}

/// How variables are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// `export` lines for a POSIX shell.
    Shell,
    /// `NAME=value` lines, for `docker run --env-file`.
    Docker,
    /// A container's `env` list, in YAML.
    Kubernetes,
}

/// Prints the variables on `out`; errors of the configuration go to `err`. Gives the exit code.
///
/// # Errors
///
/// A value can't stand in an environment file, or a writer fails.
pub fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<u8> {
    let proxy = match &args.proxy {
        Some(proxy) => proxy.clone(),
        None => match config::inspect(args.config.as_deref()) {
            Ok(config) => proxy_url(args.format, config.proxy_listen),
            Err(errors) => {
                writeln!(err, "{errors}")?;
                return Ok(UNREADABLE);
            }
        },
    };
    for value in [&proxy, &args.bundle, &args.no_proxy] {
        ensure!(
            !value.contains(char::is_control),
            "{value:?} has a control character; no variable should"
        );
    }
    print(args, &proxy, out)?;
    Ok(DONE)
}

/// A container's loopback is its own, and 0.0.0.0 is no destination.
fn proxy_url(format: Format, listen: SocketAddr) -> String {
    let port = listen.port();
    let elsewhere = format != Format::Shell && listen.ip().is_loopback();
    match (listen.ip().is_unspecified(), format) {
        (true, Format::Shell) => format!("http://127.0.0.1:{port}"),
        (true, Format::Docker | Format::Kubernetes) => format!("http://{SERVICE}:{port}"),
        (false, _) if elsewhere => format!("http://{SERVICE}:{port}"),
        (false, _) => format!("http://{listen}"),
    }
}

fn print(args: &Args, proxy: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "# Where to ask.")?;
    for name in PROXY {
        variable(args.format, name, proxy, out)?;
    }
    for name in NO_PROXY {
        variable(args.format, name, &args.no_proxy, out)?;
    }
    variable(args.format, NODE, "1", out)?;
    writeln!(
        out,
        "# Whom to trust: the system's roots and Egret's CA, as `egret ca bundle` prints them."
    )?;
    for name in BUNDLE {
        variable(args.format, name, &args.bundle, out)?;
    }
    java_note(proxy, out)
}

/// Java knows no proxy variables and reads certificates from a trust store of its own, so it can't be done for everyone.
fn java_note(proxy: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let (host, port) = proxy
        .rsplit_once("//")
        .unwrap_or(("", proxy))
        .1
        .rsplit_once(':')
        .unwrap_or((SERVICE, "3128"));
    writeln!(
        out,
        "# Java reads none of these. Put the CA into a trust store with keytool, then set JAVA_TOOL_OPTIONS to"
    )?;
    writeln!(
        out,
        "#   -Dhttp.proxyHost={host} -Dhttp.proxyPort={port} -Dhttps.proxyHost={host} -Dhttps.proxyPort={port} \
         -Djavax.net.ssl.trustStore=/path/to/store"
    )?;
    Ok(())
}

fn variable(format: Format, name: &str, value: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    match format {
        Format::Shell => writeln!(out, "export {name}='{}'", value.replace('\'', r"'\''"))?,
        Format::Docker => writeln!(out, "{name}={value}")?,
        Format::Kubernetes => {
            let value = value.replace('\\', r"\\").replace('"', "\\\"");
            writeln!(out, "- name: {name}\n  value: \"{value}\"")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: Format, proxy: Option<&str>, bundle: &str) -> String {
        let args = Args {
            format,
            config: None,
            proxy: proxy.map(str::to_owned),
            bundle: bundle.to_owned(),
            no_proxy: "localhost,127.0.0.1".to_owned(),
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(run(&args, &mut out, &mut err).unwrap(), DONE);
        assert!(err.is_empty());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_format_has_every_variable_once() {
        for format in [Format::Shell, Format::Docker, Format::Kubernetes] {
            let text = printed(format, None, "/bundle.pem");
            for name in PROXY.iter().chain(&NO_PROXY).chain([&NODE]).chain(&BUNDLE) {
                let starts = [
                    format!("export {name}="),
                    format!("{name}="),
                    format!("- name: {name}\n"),
                ];
                let lines = text
                    .lines()
                    .filter(|line| starts.iter().any(|start| format!("{line}\n").starts_with(start)));
                assert_eq!(lines.count(), 1, "{name} in {format:?}");
            }
        }
    }

    #[track_caller]
    fn check_url(format: Format, listen: &str, expected: &str) {
        assert_eq!(proxy_url(format, listen.parse().unwrap()), expected);
    }

    #[test]
    fn the_url_is_one_that_a_container_can_reach() {
        check_url(Format::Shell, "127.0.0.1:3128", "http://127.0.0.1:3128");
        check_url(Format::Shell, "0.0.0.0:8080", "http://127.0.0.1:8080");
        check_url(Format::Docker, "127.0.0.1:3128", "http://egret:3128");
        check_url(Format::Kubernetes, "[::]:3128", "http://egret:3128");
        check_url(Format::Kubernetes, "10.0.0.5:3128", "http://10.0.0.5:3128");
        check_url(Format::Docker, "[2001:db8::1]:3128", "http://[2001:db8::1]:3128");
    }

    #[test]
    fn values_are_quoted_as_each_format_wants() {
        let odd = "/it's \"here\"";
        assert!(printed(Format::Shell, None, odd).contains(r#"SSL_CERT_FILE='/it'\''s "here"'"#));
        assert!(printed(Format::Docker, None, odd).contains("SSL_CERT_FILE=/it's \"here\"\n"));
        assert!(printed(Format::Kubernetes, None, odd).contains(r#"value: "/it's \"here\"""#));
    }

    #[test]
    fn java_gets_host_and_port() {
        let text = printed(Format::Shell, Some("http://proxy.test:3129"), "/b");
        assert!(
            text.contains("-Dhttps.proxyHost=proxy.test -Dhttps.proxyPort=3129"),
            "{text}"
        );
    }

    #[test]
    fn a_line_break_makes_no_second_variable() {
        let args = Args {
            format: Format::Docker,
            config: None,
            proxy: Some("http://a:1\nLD_PRELOAD=x".to_owned()),
            bundle: "/b".to_owned(),
            no_proxy: String::new(),
        };
        assert!(run(&args, &mut Vec::new(), &mut Vec::new()).is_err());
    }
}

//! Whole configurations, good and bad.

use std::fs;
use std::path::Path;

use super::*;
use crate::identity::Identified;
use crate::policy::{Mode, Policy};

const HASH: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

/// A folder with `egret.yaml` and, beside it, what configurations of these tests name.
fn folder(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("egret.yaml"), text).unwrap();
    fs::write(
        folder.path().join("list.yaml"),
        "name: list\nrules: [{host: example.com}]\n",
    )
    .unwrap();
    fs::write(
        folder.path().join("twin.yaml"),
        "description: The same name.\nname: list\n",
    )
    .unwrap();
    fs::write(folder.path().join("text.pem"), "no certificate").unwrap();
    fs::write(folder.path().join("nul.yaml"), "name: a\0b\n").unwrap();
    fs::write(folder.path().join("bad.toml"), "[[rules]]\nid = \"x\"\nregex = \n").unwrap();
    fs::write(
        folder.path().join("look.toml"),
        "[[rules]]\nid = \"x\"\nregex = 'secret(?=x)'\n",
    )
    .unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    folder
}

fn load_text(text: &str) -> Result<Config, ConfigErrors> {
    let folder = folder(text);
    inspect(Some(&folder.path().join("egret.yaml")))
}

/// The errors without the test's folder.
fn errors_of(text: &str) -> String {
    let folder = folder(text);
    let errors = inspect(Some(&folder.path().join("egret.yaml"))).expect_err("an error");
    errors.to_string().replace(&format!("{}/", folder.path().display()), "")
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(errors_of(text), expected);
}

#[test]
fn listeners_and_paths() {
    check(
        "proxy:\n  liste: x\n",
        "egret.yaml:2:3: proxy.liste: unknown key; did you mean `listen`?",
    );
    check("prxy: {}\n", "egret.yaml:1:1: prxy: unknown key; did you mean `proxy`?");
    check(
        "server: {}\n",
        "egret.yaml:1:1: server: unknown key; the keys here are proxy, transparent, admin, state_dir, allowlists, ca, workloads, \
         addresses, dns, upstream, redaction, audit, limits",
    );
    check(
        "proxy: {port: 3}\n",
        "egret.yaml:1:9: proxy.port: unknown key; the keys here are listen, tls",
    );
    check(
        "proxy:\n  listen: localhost:3128\n",
        "egret.yaml:2:11: proxy.listen: \"localhost:3128\" is not an address with a port; write one such as 127.0.0.1:3128 or \
         \"[::1]:3128\"",
    );
    check(
        "proxy:\n  listen: 3128\n",
        "egret.yaml:2:11: proxy.listen: found a number; write one such as 127.0.0.1:3128 or \"[::1]:3128\"",
    );
    check(
        "proxy: 3128\n",
        "egret.yaml:1:8: proxy: found a number; write a table of `key: value` lines",
    );
    check(
        "admin: {listen: 0.0.0.0:3128}\n",
        "egret.yaml:1:8: admin: admin.listen and proxy.listen have the same address; each listener needs one of its own",
    );
    check(
        "state_dir:\n",
        "egret.yaml:1:10: state_dir: found nothing; write a path",
    );
    check(
        "state_dir: ''\n",
        "egret.yaml:1:12: state_dir: \"\" is not a path; write one such as ./egret-state",
    );
    check(
        "ca: {cert: x}\n",
        "egret.yaml:1:6: ca.cert: unknown key; the keys here are certificate, key",
    );
    check(
        "ca: {key: [x]}\n",
        "egret.yaml:1:11: ca.key: found a list; write a path",
    );
    check(
        "audit: {path: a}\naudit: {path: b}\n",
        "egret.yaml:2:1: audit: this key stands on line 1 already; keep one of them",
    );
    check(
        "audit: {on_failure: ignore}\n",
        "egret.yaml:1:21: audit.on_failure: \"ignore\" is not one of its values; the values here are refuse, continue",
    );
    check(
        "- a\n",
        "egret.yaml:1:1: found a list; write a table of `key: value` lines",
    );
}

#[test]
fn workloads_and_who_matches() {
    let workload = |rest: &str| format!("workloads:\n  - name: w\n    allow: []\n{rest}");
    check(
        "workloads:\n",
        "egret.yaml:1:10: workloads: found nothing; write a list of workloads, or [] to permit nobody",
    );
    check(
        &workload(""),
        "egret.yaml:2:5: workloads[0]: nothing to match by; give networks, a credential or a certificate, and networks: [0.0.0.0/0, \"::/0\"] if \
         anyone may",
    );
    check(
        &workload("    match: {}\n"),
        "egret.yaml:4:12: workloads[0].match: nothing to match by; give networks, a credential or a certificate, and networks: [0.0.0.0/0, \
         \"::/0\"] if anyone may",
    );
    check(
        &workload("    match: {networks: [10.0.0.0/8, 10.1.0.0/33]}\n"),
        "egret.yaml:4:36: workloads[0].match.networks[1]: \"10.1.0.0/33\" is not a network; write one such as 10.1.0.0/16, \
         10.1.0.7 or \"2001:db8::/32\"",
    );
    check(
        &workload("    match: {networks: [10.1.2.3/16]}\n"),
        "egret.yaml:4:24: workloads[0].match.networks[0]: an address with bits behind its prefix; write the network, 10.1.0.0/16, \
         or the address alone",
    );
    check(
        &workload("    match: {networks: ['::ffff:10.0.0.0/104']}\n"),
        "egret.yaml:4:24: workloads[0].match.networks[0]: \"::ffff:10.0.0.0/104\" is not a network of clients; write it as IPv4",
    );
    check(
        &workload("    match: {networks: []}\n"),
        "egret.yaml:4:23: workloads[0].match.networks: the list is empty, which would match nothing; name networks, or \
         [0.0.0.0/0, \"::/0\"] for any",
    );
    check(
        &workload("    match: {networks: 10.0.0.0/8}\n"),
        "egret.yaml:4:23: workloads[0].match.networks: found text; write a list of networks such as [10.1.0.0/16]",
    );
    check(
        &workload("    match: {certificate: [a.test]}\n"),
        "egret.yaml:4:26: workloads[0].match.certificate: no client is asked for a certificate; set proxy.tls.client_ca",
    );
    check(
        &workload("    match: {networks: [10.0.0.1], kubernetes: {namespace: mcp}}\n"),
        "egret.yaml:4:47: workloads[0].match.kubernetes: matching by pod is not in this release; remove it, so that nothing \
         relies on it",
    );
    check(
        &workload("    match: {credential: {user: alice}}\n"),
        "egret.yaml:4:25: workloads[0].match.credential: `sha256` is missing; write the SHA-256 of the password or token",
    );
    let not_a_hash =
        "not the SHA-256 of a secret; write 64 hexadecimal digits, as `printf %s \"$SECRET\" | sha256sum` prints them";
    check(
        &workload("    match: {credential: {sha256: my-password}}\n"),
        &format!("egret.yaml:4:34: workloads[0].match.credential.sha256: {not_a_hash}"),
    );
    check(
        &workload(&format!("    match: {{credential: {{user: 'a:b', sha256: {HASH}}}}}\n")),
        "egret.yaml:4:32: workloads[0].match.credential.user: \"a:b\" is not a user name that Basic can carry; write one without a \
         colon",
    );
    check(
        &workload("    match: {network: [10.0.0.0/8]}\n"),
        "egret.yaml:4:13: workloads[0].match.network: unknown key; did you mean `networks`?",
    );
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let text = "workloads:\n  - name: w\n    allow: []\n    match: {credential: {sha256: hunter2}}\n";
    assert!(!errors_of(text).contains("hunter2"));
}

#[test]
fn workloads_and_what_they_may() {
    let workload =
        |rest: &str| format!("allowlists: [list.yaml]\nworkloads:\n  - match: {{networks: [10.0.0.0/8]}}\n{rest}");
    check(
        &workload("    name: w\n"),
        "egret.yaml:3:5: workloads[0]: `allow` is missing; name allowlists, or write allow: [] to permit nothing",
    );
    check(
        &workload("    allow: []\n"),
        "egret.yaml:3:5: workloads[0]: `name` is missing; give the workload a name for records and metrics",
    );
    check(
        &workload("    name: a b\n    allow: []\n"),
        "egret.yaml:4:11: workloads[0].name: \"a b\" is not a name of 1 to 63 letters, digits, dots, hyphens and underscores; \
         write one such as github-mcp",
    );
    check(
        &workload("    name: w\n    allow: [lsit]\n"),
        "egret.yaml:5:13: workloads[0].allow[0]: no allowlist has the name \"lsit\"; did you mean `list`?",
    );
    check(
        &workload("    name: w\n    allow: [elsewhere]\n"),
        "egret.yaml:5:13: workloads[0].allow[0]: no allowlist has the name \"elsewhere\"; there are list",
    );
    check(
        &workload("    name: w\n    allow: []\n    mode: observ\n"),
        "egret.yaml:6:11: workloads[0].mode: \"observ\" is not one of its values; did you mean `observe`?",
    );
    check(
        &workload("    name: w\n    allow: []\n    mode: off\n"),
        "egret.yaml:6:11: workloads[0].mode: \"off\" is not one of its values; the values here are enforce, observe",
    );
    check(
        &workload("    name: w\n    allow: []\n  - {name: w, allow: [], match: {networks: [10.0.0.1]}}\n"),
        "egret.yaml:6:12: workloads[1].name: the name \"w\" is taken by egret.yaml:4; give it another",
    );
}

#[test]
fn files_that_are_named() {
    check(
        "allowlists: [none.yaml]\n",
        "egret.yaml:1:14: allowlists[0]: none.yaml: can't be read: entity not found; check its path and permissions",
    );
    check(
        "allowlists: [empty]\n",
        "egret.yaml:1:14: allowlists[0]: empty: no *.yaml or *.yml file in this folder; add one, or write allowlists: [] to have \
         none",
    );
    check(
        "allowlists: [nul.yaml]\n",
        "egret.yaml:1:14: allowlists[0]: nul.yaml: not text; save it as UTF-8 without NUL",
    );
    check(
        "allowlists: [/dev/zero]\n",
        "egret.yaml:1:14: allowlists[0]: /dev/zero: not a regular file; name a file",
    );
    check(
        "allowlists: [list.yaml, twin.yaml]\n",
        "twin.yaml:2:7: name: the name \"list\" is taken by list.yaml:1; give it another",
    );
    check(
        "allowlists: list.yaml\n",
        "egret.yaml:1:13: allowlists: found text; write a list of files and folders",
    );
    check(
        "upstream: {roots: [text.pem]}\n",
        "egret.yaml:1:20: upstream.roots[0]: text.pem: no certificate in it; it must hold PEM blocks that begin with \
         -----BEGIN CERTIFICATE-----",
    );
    check(
        "upstream: {proxy: http://proxy.corp.test:8080}\n",
        "egret.yaml:1:19: upstream.proxy: chaining to another proxy is not in this release; remove it, so that nothing relies on it",
    );
}

#[test]
fn addresses_names_and_limits() {
    let permit = |entry: &str| format!("addresses:\n  permit:\n    - {entry}\n");
    check(
        &permit("{host: wiki.corp.test}"),
        "egret.yaml:3:7: addresses.permit[0]: `networks` is missing; name the networks that the host's addresses may be in",
    );
    check(
        &permit("{networks: [10.0.0.0/8]}"),
        "egret.yaml:3:7: addresses.permit[0]: `host` is missing; name the host whose addresses may be special",
    );
    check(
        &permit("{host: '*', networks: [10.0.0.0/8]}"),
        "egret.yaml:3:14: addresses.permit[0].host: \"*\": a wildcard needs a name to stand below, such as *.example.com",
    );
    check(
        &permit("{host: a.test, networks: []}"),
        "egret.yaml:3:32: addresses.permit[0].networks: the list is empty, which would match nothing; name networks, or \
         [0.0.0.0/0, \"::/0\"] for any",
    );
    check(
        "dns: {servers: [dns.example]}\n",
        "egret.yaml:1:17: dns.servers[0]: \"dns.example\" is not a DNS server; write one such as 1.1.1.1, 127.0.0.1:5353 or \
         \"[::1]:53\"",
    );
    for server in ["tls://1.1.1.1", "https://1.1.1.1/dns-query"] {
        check(
            &format!("dns: {{servers: ['{server}']}}\n"),
            "egret.yaml:1:17: dns.servers[0]: DNS over TLS or HTTPS is not in this release; remove it, so that nothing relies on it",
        );
    }
    check(
        "transparent: {listen: 3129}\n",
        "egret.yaml:1:23: transparent.listen: found a number; write one such as 10.1.0.2:3129 or \"[::1]:3129\"",
    );
    check(
        "dns: {listen: '127.0.0.1:3128'}\n",
        "egret.yaml:1:6: dns: dns.listen and proxy.listen have the same address; each listener needs one of its own",
    );
    for (keys, error) in [
        (
            "listen: 53",
            "15: dns.listen: found a number; write one such as 10.1.0.2:53 or \"[::1]:53\"",
        ),
        (
            "listen: 10.1.0.2",
            "15: dns.listen: \"10.1.0.2\" is not an address with a port; write one such as 10.1.0.2:53 or \"[::1]:53\"",
        ),
        (
            "listen: '1.1.1.1:53', servers: [1.1.1.1]",
            "15: dns.listen: the same address as one of dns.servers: Egret would ask itself; name another server, or listen elsewhere",
        ),
        (
            "answer: resolve",
            "15: dns.answer: \"resolve\" is not one of its values; did you mean `resolved`?",
        ),
        (
            "answer: []",
            "15: dns.answer: the list is empty, which would match nothing; write resolved, or addresses of Egret's own",
        ),
        (
            "answer: [0.0.0.0]",
            "16: dns.answer[0]: \"0.0.0.0\" is not an address of Egret's own; write one such as 10.1.0.2",
        ),
    ] {
        check(&format!("dns: {{{keys}}}\n"), &format!("egret.yaml:1:{error}"));
    }
    check(
        "limits: {head_timout: 5s}\n",
        "egret.yaml:1:10: limits.head_timout: unknown key; did you mean `head_timeout`?",
    );
    check(
        "limits: {head_timeout: 5}\n",
        "egret.yaml:1:24: limits.head_timeout: found a number; write a duration such as 500ms, 10s, 5m or 1h",
    );
    check(
        "limits: {head_timeout: 1d}\n",
        "egret.yaml:1:24: limits.head_timeout: \"1d\" is not a duration; write a duration such as 500ms, 10s, 5m or 1h",
    );
    check(
        "limits: {head_timeout: 0s}\n",
        "egret.yaml:1:24: limits.head_timeout: 0s is outside its range; write 100ms to 10m",
    );
    check(
        "limits: {connections: 0}\n",
        "egret.yaml:1:23: limits.connections: 0 is outside its range; write 1 to 1000000",
    );
    check(
        "limits: {connections: many}\n",
        "egret.yaml:1:23: limits.connections: found text; write a whole number such as 1000",
    );
    check(
        "limits: {connections: -1}\n",
        "egret.yaml:1:23: limits.connections: found a number; write a whole number such as 1000",
    );
}

#[test]
fn redaction() {
    check(
        "redaction: {rules: []}\n",
        "egret.yaml:1:20: redaction.rules: the list is empty, which would match nothing; write [builtin]; to switch redaction \
         off, say so under surfaces",
    );
    check(
        "redaction: {rules: [bad.toml]}\n",
        "bad.toml:3:9: string values must be quoted, expected literal string",
    );
    check(
        "redaction: {rules: [buildin]}\n",
        "egret.yaml:1:21: redaction.rules[0]: buildin: can't be read: entity not found; check its path and permissions",
    );
    let look = errors_of("redaction: {rules: [look.toml]}\n");
    assert!(
        look.starts_with("egret.yaml:1:20: redaction.rules: look.toml:2: rule \"x\": key `regex`: "),
        "{look}"
    );
    check(
        "redaction: {replacement: same_lenght}\n",
        "egret.yaml:1:26: redaction.replacement: \"same_lenght\" is not one of its values; did you mean `same_length`?",
    );
    let quote = errors_of("redaction: {replacement: 'a\"b'}\n");
    assert!(
        quote.starts_with("egret.yaml:1:26: redaction.replacement: a replacement template is printable"),
        "{quote}"
    );
    check(
        "redaction: {surfaces: {body: drop}}\n",
        "egret.yaml:1:30: redaction.surfaces.body: \"drop\" is not one of its values; the values here are redact, block, alert, off",
    );
    check(
        "redaction: {surfaces: {cookie: off}}\n",
        "egret.yaml:1:24: redaction.surfaces.cookie: unknown key; the keys here are body, header, url, websocket",
    );
    check(
        "redaction: {examples: keep}\n",
        "egret.yaml:1:23: redaction.examples: \"keep\" is not one of its values; the values here are redact, pass",
    );
}

/// What is said of files with known secrets, in a folder `secrets` beside the configuration.
#[track_caller]
fn check_secrets(files: &[(&str, &str)], entry: &str, expected: Result<usize, &str>) {
    let folder = folder(&format!("redaction: {{known_secrets: [{entry}]}}\n"));
    fs::create_dir(folder.path().join("secrets")).unwrap();
    for (name, text) in files {
        fs::write(folder.path().join("secrets").join(name), text).unwrap();
    }
    let found = inspect(Some(&folder.path().join("egret.yaml")))
        .map(|config| config.sources.len())
        .map_err(|errors| errors.to_string().replace(&format!("{}/", folder.path().display()), ""));
    assert_eq!(found, expected.map_err(str::to_owned), "{files:?}");
}

#[test]
fn known_secrets_are_read_and_weak_ones_refused_by_name() {
    let strong = ("token", "hQ7-wK2m-Zx9v-Lp4t\n");
    // The configuration, the folder and the file are watched.
    check_secrets(&[strong], "secrets", Ok(3));
    check_secrets(&[strong], "secrets/token", Ok(2));
    check_secrets(
        &[("app.env", "KEY=hQ7-wK2m-Zx9v-Lp4t\nEMPTY=\n")],
        "secrets/app.env",
        Ok(2),
    );
    let at = "egret.yaml:1:29: redaction.known_secrets[0]: secrets";
    check_secrets(
        &[strong, ("user", "postgres")],
        "secrets",
        Err(&format!(
            "{at}/user: the value is a common password or a common setting, as ordinary traffic has too; leave it out"
        )),
    );
    check_secrets(
        &[(
            "app.env",
            "PORT=80805432\nKEY=hQ7-wK2m-Zx9v-Lp4t\nHOST='db.corp.example'\n",
        )],
        "secrets",
        Err(&format!(
            "{at}/app.env: PORT: the value is a number of fewer than 10 digits, as ordinary traffic has too; leave it out\n\
             {at}/app.env: HOST: the value is the name or address of a host, as ordinary traffic has too; leave it out"
        )),
    );
    check_secrets(
        &[("app.env", "KEY is hidden\n")],
        "secrets",
        Err(&format!(
            "{at}/app.env: not every line is NAME=value; correct it, or give it another name"
        )),
    );
    check_secrets(
        &[],
        "secrets",
        Err(&format!(
            "{at}: no file in this folder; mount the secret there, or leave the folder out"
        )),
    );
    check_secrets(
        &[],
        "secrets/none",
        Err(&format!(
            "{at}/none: can't be read: entity not found; check its path and permissions"
        )),
    );
    check_secrets(
        &[("long", &"long-".repeat(1000))],
        "secrets",
        Err(&format!(
            "{at}/long: the value is longer than 4096 bytes; give its secret parts alone"
        )),
    );
}

/// The errors of an allowlist file.
#[track_caller]
fn check_list(list: &str, expected: &str) {
    let folder = folder("allowlists: [a.yaml]\n");
    fs::write(folder.path().join("a.yaml"), list).unwrap();
    let errors = inspect(Some(&folder.path().join("egret.yaml"))).expect_err("an error");
    assert_eq!(
        errors.to_string().replace(&format!("{}/", folder.path().display()), ""),
        expected
    );
}

#[test]
fn allowlists_that_are_wrong() {
    let rule = |rest: &str| format!("name: a\nrules:\n  - {{host: example.com, {rest}}}\n");
    check_list(
        "rules: []\n",
        "a.yaml:1:1: `name` is missing; give the list the name that workloads allow it by",
    );
    check_list(
        "name: a\nrule: []\n",
        "a.yaml:2:1: rule: unknown key; did you mean `rules`?",
    );
    check_list(
        "name: a\nrules:\n  - paths: [/a]\n",
        "a.yaml:3:5: rules[0]: `host` is missing; name the host, or *.example.com for every name below example.com",
    );
    check_list(
        "name: a\nrules:\n  - example.com\n",
        "a.yaml:3:5: rules[0]: found text; write a table of `key: value` lines\na.yaml:3:5: rules[0]: `host` is missing; name the host, or *.example.com for every name below example.com",
    );
    check_list(
        "name: a\nrules:\n  - host: https://example.com/\n",
        "a.yaml:3:11: rules[0].host: \"https://example.com/\": a host pattern is the host alone, without scheme, port and path",
    );
    check_list(
        "name: a\nrules:\n  - host: exam*ple.com\n",
        "a.yaml:3:11: rules[0].host: \"exam*ple.com\": a wildcard stands for whole labels at the front only, as in *.example.com",
    );
    check_list(
        &rule("ports: [70000]"),
        "a.yaml:3:33: rules[0].ports[0]: 70000 is outside its range; write 1 to 65535",
    );
    check_list(
        &rule("ports: [https]"),
        "a.yaml:3:33: rules[0].ports[0]: found text; write a number from 1 to 65535",
    );
    check_list(
        &rule("ports: []"),
        "a.yaml:3:32: rules[0].ports: ports is empty; leave it out for its default",
    );
    check_list(
        &rule("schemes: [ftp]"),
        "a.yaml:3:35: rules[0].schemes[0]: \"ftp\" is not one of its values; the values here are https, http",
    );
    check_list(
        &rule("methods: [get]"),
        "a.yaml:3:34: rules[0].methods: methods are in capitals: write GET",
    );
    check_list(
        &rule("paths: [repos]"),
        "a.yaml:3:33: rules[0].paths[0]: \"repos\": no request can match: the path doesn't begin with /",
    );
    check_list(
        &rule("paths: [/a/../b]"),
        "a.yaml:3:33: rules[0].paths[0]: \"/a/../b\": no request can match: the path has a dot segment",
    );
    check_list(
        &rule("treatment: tunel"),
        "a.yaml:3:36: rules[0].treatment: \"tunel\" is not one of its values; did you mean `tunnel`?",
    );
    check_list(
        &rule("treatment: tunnel, paths: [/a]"),
        "a.yaml:3:51: rules[0].paths: a tunnel can't see paths; leave them out, or use treatment: intercept",
    );
    check_list(
        &rule("credentials: [github-pta]"),
        "a.yaml:3:39: rules[0].credentials[0]: no kind of secret has the name \"github-pta\"; did you mean `github-pat`?",
    );
    check_list(
        "name: a\ndeny:\n  - {host: example.com, treatment: tunnel}\n",
        "a.yaml:3:25: deny[0].treatment: unknown key; the keys here are host, ports, schemes, methods, paths",
    );
    check_list(
        "name: a\nexamples:\n  - {allow: GET https://a.test/, deny: GET https://a.test/}\n",
        "a.yaml:3:5: examples[0]: an example has one key; write {allow: \"GET https://host/path\"} or {deny: …}",
    );
    check_list(
        "name: a\nexamples:\n  - allow: https://a.test/\n",
        "a.yaml:3:12: examples[0].allow: \"https://a.test/\": neither https://host/path, http://host/path nor host:port; write \
         \"GET https://host/path\" or \"CONNECT host:port\"",
    );
}

#[test]
fn every_error_is_named_in_the_order_of_files_and_lines() {
    check(
        "limits: {connections: 0}\nallowlists: [none.yaml]\nproxy: {listen: x}\nxyz: 1\n",
        "egret.yaml:1:23: limits.connections: 0 is outside its range; write 1 to 1000000\n\
         egret.yaml:2:14: allowlists[0]: none.yaml: can't be read: entity not found; check its path and permissions\n\
         egret.yaml:3:17: proxy.listen: \"x\" is not an address with a port; write one such as 127.0.0.1:3128 or \"[::1]:3128\"\n\
         egret.yaml:4:1: xyz: unknown key; the keys here are proxy, transparent, admin, state_dir, allowlists, ca, workloads, addresses, dns, \
         upstream, redaction, audit, limits",
    );
}

#[test]
fn what_is_in_a_file_reaches_a_terminal_escaped() {
    for text in [
        "\"\\e[2Jkey\": 1\n",
        "proxy: {listen: \"\\e[2J\"}\n",
        "allowlists: [\"\\e[2J.yaml\"]\n",
        "upstream: {roots: [\"\\e[2J\\n\"]}\n",
    ] {
        let errors = errors_of(text);
        assert!(errors.contains("[2J"), "{errors:?}");
        assert!(!errors.contains(char::is_control), "{errors:?}");
    }
}

#[test]
fn a_file_that_is_not_there() {
    let errors = inspect(Some(Path::new("/nowhere/egret.yaml"))).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "/nowhere/egret.yaml: can't be read: entity not found; check its path and permissions"
    );
}

/// What tells two configurations apart, save for what has no text of its own.
fn shown(config: &Config) -> String {
    let Config {
        proxy_listen,
        proxy_tls,
        transparent_listen,
        admin_listen,
        state_dir,
        ca,
        workloads,
        address_exceptions,
        dns,
        upstream_roots,
        redaction,
        audit,
        limits,
        allowlists,
        sources: _,
    } = config;
    let lists: Vec<_> = allowlists.iter().map(|list| list.list.name()).collect();
    let allowed: Vec<_> = workloads.iter().map(|workload| workload.policy.lists()).collect();
    format!(
        "{proxy_listen} {proxy_tls:?} {transparent_listen:?} {admin_listen} {state_dir:?} {ca:?} {workloads:?} {allowed:?} {address_exceptions:?} {dns:?} {upstream_roots:?} \
         {:?} {:?} {audit:?} {limits:?} {lists:?}",
        redaction.redactor, redaction.surfaces
    )
    .replace("\"./egret-state", "\"egret-state")
}

#[test]
fn the_embedded_configuration_says_the_defaults() {
    let embedded = inspect(None).unwrap();
    assert_eq!(shown(&embedded), shown(&load_text("").unwrap()));
    assert!(embedded.sources.is_empty());
    assert_eq!(embedded.allowlists.len(), ALLOWLISTS.len());
    for limit in LIMITS {
        assert!(reference().contains(limit.name));
    }
}

#[test]
fn without_workloads_this_machine_may_and_with_an_empty_list_nobody() {
    let who = |config: &Config, peer: &str| match config.workloads.identify(peer.parse().unwrap(), None, None) {
        Identified::Workload(workload) => workload.name.to_string(),
        other @ (Identified::CredentialRequired | Identified::CredentialWrong | Identified::Unknown) => {
            format!("{other:?}")
        }
    };
    let default = load_text("").unwrap();
    assert_eq!(who(&default, "127.0.0.1"), "default");
    assert_eq!(who(&default, "127.83.0.1"), "default");
    assert_eq!(who(&default, "::1"), "default");
    assert_eq!(who(&default, "10.0.0.1"), "Unknown");
    assert_eq!(who(&load_text("workloads: []\n").unwrap(), "127.0.0.1"), "Unknown");
}

#[test]
fn rules_that_extend_others() {
    let folder = folder("redaction: {rules: [rules/own.toml]}\n");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let load = || inspect(Some(&folder.path().join("egret.yaml")));
    fs::create_dir(folder.path().join("rules")).unwrap();
    write(
        "rules/own.toml",
        "[extend]\npath = '../team.toml'\n[[rules]]\nid = 'own'\nregex = 'own_[a-z]{20}'\n",
    );
    write(
        "team.toml",
        "[extend]\nuseDefault = true\n[[rules]]\nid = 'team'\nregex = 'team_[a-z]{20}'\n",
    );
    let config = load().unwrap();
    let rules = config.redaction.redactor.rules();
    for id in ["own", "team", "github-pat"] {
        assert!(rules.named(id).is_some(), "{id}");
    }
    let team = folder.path().join("rules/../team.toml");
    assert!(config.sources.contains(&team), "{:?}", config.sources);

    let errors = || {
        let errors = load().expect_err("an error").to_string();
        errors.replace(&format!("{}/", folder.path().display()), "")
    };
    write("team.toml", "[[rules]]\nid = \n");
    assert_eq!(
        errors(),
        "rules/../team.toml:2:6: string values must be quoted, expected literal string"
    );
    fs::remove_file(team).unwrap();
    assert_eq!(
        errors(),
        "egret.yaml:1:20: redaction.rules: rules/../team.toml: can't be read: entity not found; check its path and permissions"
    );
}

#[test]
fn a_configuration_with_everything() {
    let text = format!(
        "proxy: {{listen: '[::]:8080'}}\ntransparent: {{listen: '[::]:3129'}}\nadmin: {{listen: 127.0.0.1:0}}\nstate_dir: /var/lib/egret\nallowlists: [list.yaml, .]\n\
         ca: {{certificate: /etc/ca.crt}}\nworkloads:\n  - name: w\n    match:\n      networks: [10.1.0.0/16, 192.0.2.7]\n      \
         credential: {{user: alice, sha256: {HASH}}}\n    allow: [list]\n    mode: observe\naddresses:\n  permit: [{{host: \
         '*.corp.test', networks: [10.0.0.0/8]}}]\ndns: {{servers: [1.1.1.1, '127.0.0.1:5353', '::1', '[::1]:54'], listen: '127.0.0.1:53', answer: [192.0.2.1, '::2']}}\nupstream: \
         {{roots: [], proxy: null}}\nredaction:\n  rules: [builtin]\n  replacement: '[redacted:{{rule}}]'\n  surfaces: {{body: \
         block, url: off}}\n  known_secrets: []\naudit: {{path: trail.jsonl, on_failure: continue}}\nlimits: {{head_bytes: \
         32KiB, head_timeout: 500ms, connections: 7}}\n"
    );
    let folder = folder(&text);
    fs::remove_file(folder.path().join("twin.yaml")).unwrap();
    fs::remove_file(folder.path().join("nul.yaml")).unwrap();
    fs::rename(folder.path().join("egret.yaml"), folder.path().join("egret.conf")).unwrap();
    let config = inspect(Some(&folder.path().join("egret.conf"))).unwrap();
    assert_eq!(config.proxy_listen, "[::]:8080".parse().unwrap());
    assert_eq!(config.ca.certificate, Path::new("/etc/ca.crt"));
    assert_eq!(config.ca.key, Path::new("/var/lib/egret/ca.key"));
    assert_eq!(
        config.audit,
        Audit {
            path: PathBuf::from("trail.jsonl"),
            on_failure: OnFailure::Continue
        }
    );
    let servers: Vec<_> = config.dns.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["1.1.1.1:53", "127.0.0.1:5353", "[::1]:53", "[::1]:54"]);
    assert_eq!(config.transparent_listen, Some("[::]:3129".parse().unwrap()));
    assert_eq!(config.dns.listen, Some("127.0.0.1:53".parse().unwrap()));
    let told = ["192.0.2.1", "::2"].map(|text| text.parse().unwrap());
    assert_eq!(config.dns.answer, DnsAnswer::Fixed(told.to_vec()));
    assert_eq!(config.redaction.surfaces.body, SurfaceMode::Block);
    assert_eq!(config.redaction.surfaces.url, SurfaceMode::Off);
    assert_eq!(config.redaction.surfaces.header, SurfaceMode::Redact);
    assert_eq!((config.limits.head_bytes, config.limits.connections), (32_768, 7));
    assert_eq!(config.limits.head_timeout.as_millis(), 500);
    assert_eq!(config.allowlists.len(), 1);
    let workload = config.workloads.iter().next().unwrap();
    assert_eq!(workload.policy.mode(), Mode::Observe);
    let sources: Vec<_> = config
        .sources
        .iter()
        .map(|path| path.strip_prefix(folder.path()).unwrap().to_owned())
        .collect();
    assert_eq!(
        sources,
        [Path::new("egret.conf"), Path::new("list.yaml"), Path::new("")]
    );
}

#[test]
fn loading_makes_the_state_folder_only_when_all_is_well() {
    let text = |rest: &str, folder: &Path| format!("state_dir: {}\n{rest}", folder.join("state").display());
    let folder = folder("");
    let file = folder.path().join("egret.yaml");
    let state = folder.path().join("state");
    fs::write(&file, text("xyz: 1\n", folder.path())).unwrap();
    load(Some(&file)).unwrap_err();
    fs::write(&file, text("", folder.path())).unwrap();
    inspect(Some(&file)).unwrap();
    assert!(!state.exists());
    load(Some(&file)).unwrap();
    assert!(state.join("fingerprint.key").exists());
    fs::write(state.join("fingerprint.key"), "short").unwrap();
    let errors = load(Some(&file)).unwrap_err().to_string();
    assert!(errors.contains(":1:12: state_dir: the state folder "), "{errors}");
}

#[test]
fn each_shipped_list_does_what_its_examples_say() {
    let config = inspect(None).unwrap();
    for loaded in &config.allowlists {
        let alone = Policy::new(&[Arc::clone(&loaded.list)], Mode::Enforce);
        assert!(!loaded.examples.is_empty(), "{}", loaded.source);
        for example in &loaded.examples {
            let allowed = matches!(example.probe.decide(&alone), Ok(crate::policy::Decision::Allow(_)));
            assert_eq!(
                allowed,
                example.verdict == Verdict::Allow,
                "{}: {}",
                example.source,
                example.probe
            );
        }
    }
}

#[test]
fn a_rule_that_names_credentials_replaces_the_kinds_own_audience() {
    let folder = folder("allowlists: [a.yaml]\n");
    let list = "name: a\nrules:\n  - {host: api.github.com}\n  - {host: ghe.corp.test, credentials: [github-pat]}\n  \
                - {host: github.com, credentials: []}\n";
    fs::write(folder.path().join("a.yaml"), list).unwrap();
    let config = inspect(Some(&folder.path().join("egret.yaml"))).unwrap();
    let kinds = config.redaction.redactor.rules();
    let admits = |kind: &str, rule: Option<usize>, host: &str| {
        let rule = rule.and_then(|index| config.allowlists[0].list.rules().get(index));
        config.redaction.audiences.admits(
            kinds.named(kind).unwrap(),
            rule.map(|rule| &**rule),
            &host.parse().unwrap(),
        )
    };
    assert!(admits("github-pat", Some(0), "api.github.com"));
    assert!(admits("github-pat", None, "api.github.com"));
    assert!(!admits("github-pat", None, "ghe.corp.test"));
    assert!(admits("github-pat", Some(1), "ghe.corp.test"));
    assert!(!admits("github-pat", Some(2), "github.com"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_reading_panic_or_take_a_configuration_with_errors(
        text in r#"(name|rules|host|a|b|[-:{}\[\]*&!"'# \n]|[0-9]|\\PC){0,60}"#,
    ) {
        let file = Arc::from("a.yaml");
        let mut errors = super::error::Errors::default();
        let text = super::allowlist::Text { file: &file, yaml: &text, shipped: false };
        let list = super::allowlist::read(&text, None, &mut errors);
        proptest::prop_assert!(list.is_some() || errors.count() > 0);
    }
}

//! The rules of the house that no compiler holds: who may know whom, what stays pure, where a socket is opened, what is left lying about.
//!
//! Sources are read as text, without comments, so that a file may well say what it does not know. What a rule looks at is found
//! by walking folders; a folder that should hold files and holds none fails, so no rule can pass by looking at nothing.

use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms of `src/` each room may name. A room is a folder or a file right below `src/`; one that isn't here may name none.
const KNOWS: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "admin", "audit", "config", "identity", "log", "metrics", "policy", "proxy", "redact", "reload", "shutdown",
        ],
    ),
    ("proxy", &["policy", "redact", "mcp", "identity", "audit", "metrics"]),
    ("config", &["policy", "redact", "detect"]),
    ("admin", &["audit", "detect", "policy"]),
    ("audit", &["policy"]),
];

/// What rooms name beyond the table, each with the reason why they can't do without.
const BESIDES: &[(&str, &str, &str)] = &[
    ("identity", "policy", "a workload is a name and its policy"),
    ("config", "identity", "workloads are part of the document"),
    (
        "proxy",
        "config",
        "limits, surfaces and audiences go in as they were read",
    ),
    ("audit", "metrics", "the writer counts records and failures"),
    ("admin", "metrics", "it shows them"),
    ("metrics", "audit", "verdict and form are the record's words"),
    ("reload", "config", "it reads the configuration again"),
    ("reload", "metrics", "it counts what was taken and refused"),
];

/// The one place of pure code with threads: rules are compiled side by side, since that is most of what a start takes. The threads end
/// before the call does and share nothing that changes, so that the outcome is the same.
const COMPILES_SIDE_BY_SIDE: (&str, &str) = ("redact/gather.rs", "std::thread");
/// Folders of pure code; the last two are later work and looked at once they are there.
const PURE: [&str; 4] = ["policy", "redact", "detect", "mcp"];
/// Pure files in folders that aren't.
const PURE_FILES: [&str; 8] = [
    "audit/record.rs",
    "audit/json.rs",
    "proxy/head.rs",
    "proxy/wire.rs",
    "proxy/client_hello.rs",
    "proxy/socks5.rs",
    "proxy/reader.rs",
    "proxy/dns/message.rs",
];
/// What pure code does not know: runtimes, files, the environment, clocks, sockets, the log.
const IMPURE: [&str; 14] = [
    "tokio",
    "hyper",
    "rustls",
    "hickory",
    "std::fs",
    "std::env",
    "std::net::Tcp",
    "std::net::Udp",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant",
    "tracing",
    "crate::proxy",
];

/// What opens a socket or looks a name up, and the one file that may; none may where there is no file.
const ONE_PLACE: &[(&str, Option<&str>)] = &[
    ("TcpSocket::", Some("proxy/connect.rs")),
    ("TcpStream::connect", None),
    ("UdpSocket::bind", Some("cli/run.rs")),
    ("UdpSocket::connect", None),
    ("UnixStream::", None),
    ("UnixDatagram::", None),
    ("TokioResolver", Some("proxy/resolve.rs")),
    ("lookup_ip", Some("proxy/resolve.rs")),
    ("lookup_host", None),
    ("to_socket_addrs", None),
    ("ToSocketAddrs", None),
    ("hyper_util::client", None),
];

/// The demo plays client and name server to a proxy of its own, on loopback; these are its only sockets.
const DEMO: &str = "cli/demo.rs";
const SOCKETS_OF_THE_DEMO: [&str; 2] = ["TcpStream::connect(self.proxy)", "UdpSocket::bind(\"127.0.0.1:0\")"];

/// Words that say nothing about what a module is for.
const VAGUE: [&str; 9] = [
    "manager", "handler", "helper", "helpers", "util", "utils", "context", "common", "engine",
];

/// One file of Egret's sources.
struct Source {
    /// Its path below `src/`.
    path: String,
    text: String,
}

impl Source {
    fn room(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// The file without comments.
    fn code(&self) -> String {
        let is_comment = |line: &&str| line.trim_start().starts_with("//");
        let lines = self.text.lines().filter(|line| !is_comment(line));
        lines
            .map(|line| line.split(" // ").next().unwrap())
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The code that runs in production: without the test module, which stands last.
    fn production(&self) -> String {
        let code = self.code();
        code.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned()
    }

    /// Whether code names `word`, alone or as the beginning of a longer name.
    fn names(code: &str, word: &str) -> bool {
        let begins = |at: usize| {
            !code
                .split_at(at)
                .0
                .ends_with(|before: char| before.is_alphanumeric() || before == '_')
        };
        code.match_indices(word).any(|(at, _)| begins(at))
    }

    /// The rooms that it names, each with the path that does.
    fn rooms_named(&self) -> Vec<String> {
        let root = if self.path == "main.rs" { "egret::" } else { "crate::" };
        let code = self.production();
        let after = code.split(root).skip(1);
        after
            .map(|rest| {
                rest.chars()
                    .take_while(|next| next.is_alphanumeric() || *next == '_')
                    .collect()
            })
            .collect()
    }
}

/// Every file below a folder of the repository, in order.
fn files(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            let skipped = ["target", "node_modules", "__pycache__"]
                .iter()
                .any(|name| path.ends_with(name));
            match path.is_dir() {
                true if !skipped => folders.push(path),
                true => {}
                false => found.push(path),
            }
        }
    }
    assert!(!found.is_empty(), "{} holds no files", root.display());
    found.sort();
    found
}

/// The Rust files below `src/` and one of its folders, or all; without files that are only compiled for tests.
fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources: Vec<Source> = files(&format!("src/{folder}"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| Source {
            path: path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(),
            text: fs::read_to_string(&path).unwrap(),
        })
        .collect();
    assert!(!sources.is_empty(), "src/{folder} holds no Rust files");
    let for_tests: Vec<String> = sources.iter().flat_map(modules_for_tests).collect();
    sources.retain(|source| !for_tests.contains(&source.path));
    sources
}

/// The files that `source` declares for tests only.
fn modules_for_tests(source: &Source) -> Vec<String> {
    let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let declared = source.text.split("#[cfg(test)]\nmod ").skip(1);
    let names = declared.filter_map(|rest| rest.lines().next()?.strip_suffix(';'));
    names
        .map(|name| format!("{folder}/{name}.rs").trim_start_matches('/').to_owned())
        .collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Fails with every violation at once.
#[track_caller]
fn assert_none(rule: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{rule}:\n  {}", violations.join("\n  "));
}

#[test]
fn each_room_knows_only_whom_it_may() {
    let allowed = |from: &str, to: &str| {
        from == to
            || KNOWS.iter().any(|(room, known)| *room == from && known.contains(&to))
            || BESIDES.iter().any(|(room, known, _)| *room == from && *known == to)
            || from == "main" && to == "cli"
    };
    let mut violations = Vec::new();
    for source in sources("") {
        for named in source.rooms_named() {
            if !allowed(source.room(), &named) {
                violations.push(format!("src/{} knows {named}", source.path));
            }
        }
    }
    assert_none("a room names another that it must not know", &violations);
}

#[test]
fn only_cli_and_admin_know_the_proxy() {
    let knows = |source: &&Source| source.rooms_named().iter().any(|room| room == "proxy");
    let all = sources("");
    let knowing: Vec<&str> = all
        .iter()
        .filter(knows)
        .map(Source::room)
        .filter(|room| *room != "proxy")
        .collect();
    assert!(!knowing.is_empty(), "nobody runs the proxy");
    assert!(
        knowing.iter().all(|room| ["cli", "admin"].contains(room)),
        "{knowing:?}"
    );
}

#[test]
fn what_stands_beside_the_table_is_needed() {
    let all = sources("");
    let named = |from: &str, to: &str| {
        all.iter()
            .filter(|one| one.room() == from)
            .any(|one| one.rooms_named().iter().any(|room| room == to))
    };
    let idle: Vec<String> = BESIDES
        .iter()
        .filter(|(from, to, _)| !named(from, to))
        .map(|(from, to, _)| format!("{from} to {to}"))
        .collect();
    assert_none("an exception that nobody needs any more", &idle);
}

#[test]
fn rooms_are_named_one_at_a_time() {
    // Else the rules above would have to read nested imports.
    let grouped = |source: &Source| source.code().contains("crate::{");
    let upwards = |source: &Source| source.path.ends_with("mod.rs") && Source::names(&source.production(), "super::");
    let violations: Vec<String> = sources("")
        .iter()
        .filter(|one| grouped(one) || upwards(one))
        .map(|one| one.path.clone())
        .collect();
    assert_none(
        "a file names rooms in a group, or by `super` from the room's root",
        &violations,
    );
}

#[test]
fn pure_code_knows_no_world() {
    let mut pure: Vec<(String, String)> = Vec::new();
    for folder in PURE {
        let later = ["detect", "mcp"].contains(&folder);
        if later && !Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder).exists() {
            continue;
        }
        pure.extend(
            sources(folder)
                .into_iter()
                .map(|source| (source.path.clone(), source.code())),
        );
    }
    for file in PURE_FILES {
        let source = Source {
            path: file.to_owned(),
            text: read(&format!("src/{file}")),
        };
        pure.push((file.to_owned(), source.production()));
    }
    let mut violations = Vec::new();
    for (path, code) in &pure {
        let others = PURE
            .iter()
            .filter(|folder| !path.starts_with(&format!("{folder}/")))
            .map(|folder| format!("crate::{folder}"));
        let in_pure_folder = PURE.iter().any(|folder| path.starts_with(&format!("{folder}/")));
        let words = IMPURE
            .map(str::to_owned)
            .into_iter()
            .chain(others.filter(|_| in_pure_folder));
        violations.extend(
            words
                .filter(|word| Source::names(code, word) && (path.as_str(), word.as_str()) != COMPILES_SIDE_BY_SIDE)
                .map(|word| format!("src/{path} names {word}")),
        );
    }
    assert_none("pure code names something of the world", &violations);
}

#[test]
fn a_socket_is_opened_and_a_name_looked_up_in_one_place() {
    let mut violations = Vec::new();
    for source in sources("") {
        let mut code = source.production();
        for socket in SOCKETS_OF_THE_DEMO.iter().filter(|_| source.path == DEMO) {
            code = code.replacen(socket, "", 1);
        }
        for (word, place) in ONE_PLACE {
            if Source::names(&code, word) && *place != Some(source.path.as_str()) {
                violations.push(format!("src/{} names {word}", source.path));
            }
        }
    }
    assert_none("a dial or a look-up outside its place", &violations);
    for (word, place) in ONE_PLACE {
        let used = place.is_none_or(|place| Source::names(&read(&format!("src/{place}")), word));
        assert!(used, "{word} is gone from {place:?}: this rule looks at nothing");
    }
}

#[test]
fn the_lint_against_dials_is_lifted_where_it_may_be() {
    let lifts = |source: &Source| source.production().matches("clippy::disallowed_methods").count();
    let lifted: Vec<(String, usize)> = sources("")
        .iter()
        .map(|source| (source.path.clone(), lifts(source)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let expected = [DEMO, "proxy/connect.rs", "proxy/resolve.rs"].map(|path| (path.to_owned(), 1));
    assert_eq!(lifted, expected);
}

#[test]
fn the_library_root_is_a_list_of_modules() {
    let root = Source {
        path: "lib.rs".into(),
        text: read("src/lib.rs"),
    };
    let code = root.code();
    let others: Vec<String> = code
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("pub mod "))
        .map(str::to_owned)
        .collect();
    assert_none("src/lib.rs holds something else than `pub mod` lines", &others);
    assert!(read("src/main.rs").lines().count() < 100, "src/main.rs has grown");
}

#[test]
fn a_panic_unwinds() {
    let manifest = read("Cargo.toml");
    assert!(
        manifest.contains("panic = \"unwind\""),
        "the release profile does not say so"
    );
    assert!(
        !manifest.contains("panic = \"abort\""),
        "a panic would end every exchange"
    );
}

#[test]
fn nothing_is_left_for_later() {
    let marks = ["TO", "FIX"].map(|half| [half, if half == "TO" { "DO" } else { "ME" }].concat());
    let folders = ["src", "tests", "benches", "fuzz", "allowlists", "deploy", ".ci"];
    let mut violations = Vec::new();
    for path in folders.iter().flat_map(|folder| files(folder)) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            let words = || line.split(|next: char| !next.is_ascii_alphanumeric());
            if words().any(|word| marks.iter().any(|mark| mark == word)) {
                violations.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert_none("a mark for later work", &violations);
}

#[test]
fn files_are_named_for_what_they_do() {
    let stem = |source: &Source| {
        Path::new(&source.path)
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    let vague: Vec<String> = sources("")
        .iter()
        .filter(|source| VAGUE.contains(&stem(source).as_str()))
        .map(|source| source.path.clone())
        .collect();
    assert_none("a file's name says nothing", &vague);
}

#[test]
fn each_dependency_has_its_reason_and_its_use() {
    let manifest = read("Cargo.toml");
    let mut checked = 0;
    let mut violations = Vec::new();
    for section in manifest
        .split("\n[")
        .filter(|section| section.lines().next().unwrap().contains("dependencies]"))
    {
        let for_tests = section.starts_with("dev-");
        for line in section
            .lines()
            .skip(1)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let name = line
                .split_once(" = ")
                .unwrap_or_else(|| panic!("not one line a dependency: {line}"))
                .0;
            checked += 1;
            if line.split_once(" # ").is_none_or(|(_, reason)| reason.len() < 10) {
                violations.push(format!("{name}: no reason"));
            }
            if !is_used(&name.replace('-', "_"), for_tests) {
                violations.push(format!("{name}: not used"));
            }
        }
    }
    assert!(checked > 10, "the sections of Cargo.toml were not found");
    assert_none("a dependency without reason or use", &violations);
}

fn is_used(name: &str, for_tests: bool) -> bool {
    let folders: &[&str] = if for_tests {
        &["src", "tests", "benches"]
    } else {
        &["src"]
    };
    let rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let mut texts = folders
        .iter()
        .flat_map(|folder| files(folder))
        .filter(rust)
        .map(|path| fs::read_to_string(path).unwrap());
    texts.any(|text| Source::names(&text, name))
}

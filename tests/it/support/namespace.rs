//! Network namespaces: a network of a test's own, with real interfaces, ports below 1024 and packet filters, which goes away with the test.
//!
//! They need root, as a container's own root is.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A namespace with loopback; removed, with all that is in it, when dropped.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    fn new() -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("egret-{}-{number}", std::process::id());
        run(&["ip", "netns", "add", &name]);
        let namespace = Self { name };
        namespace.run(&["ip", "link", "set", "lo", "up"]);
        namespace
    }

    /// Runs a program in the namespace to its end, which must be a good one.
    pub(crate) fn run(&self, command: &[&str]) -> Output {
        let inside = ["ip", "netns", "exec", self.name.as_str()];
        run(&[&inside, command].concat())
    }

    /// The program and the first arguments of a command that runs in the namespace.
    pub(crate) fn prefix(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }

    fn enter(&self) {
        let file = File::open(format!("/run/netns/{}", self.name)).unwrap();
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    /// Another namespace that is joined to this one by a wire, with these addresses at its ends, and routes everything to this one. `end` is
    /// the interface's name here.
    pub(crate) fn attach(&self, end: &str, here: Ipv4Addr, there: Ipv4Addr) -> Self {
        let other = Self::new();
        let wire = [
            "ip", "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns",
        ];
        self.run(&[&wire[..], &[&other.name]].concat());
        for (namespace, end, address) in [(self, end, here), (&other, "eth0", there)] {
            namespace.run(&["ip", "address", "add", &format!("{address}/24"), "dev", end]);
            namespace.run(&["ip", "link", "set", end, "up"]);
        }
        other.run(&["ip", "route", "add", "default", "via", &here.to_string()]);
        other
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A failure here must not hide the one that a test reports.
        Command::new("ip").args(["netns", "delete", &self.name]).status().ok();
    }
}

#[track_caller]
fn run(command: &[&str]) -> Output {
    let output = Command::new(command[0]).args(&command[1..]).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?} (network namespaces need root): {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Plays a story in a namespace of its own: every socket that it opens, and every program that it starts, is in there.
pub(crate) fn inside(story: impl AsyncFnOnce(&Namespace) + Send) {
    let namespace = Namespace::new();
    // A thread of its own, lest the next test of this one be in the namespace too.
    let told = std::thread::scope(|scope| {
        let played = scope.spawn(|| {
            namespace.enter();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(story(&namespace));
        });
        played.join()
    });
    if let Err(panic) = told {
        std::panic::resume_unwind(panic);
    }
}

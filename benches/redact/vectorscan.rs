//! Vectorscan in streaming mode, by the C program beside this file; `unsafe` stays out of the package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::expressions::expressions;

/// How much of an input it is given.
const SHARE: usize = 32 << 20;

/// Its program, where `benches/redact/install` put it.
pub(crate) struct Vectorscan {
    program: PathBuf,
    folder: PathBuf,
}

impl Vectorscan {
    /// Nothing when it was not built.
    pub(crate) fn find() -> Option<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-peers");
        let program = folder.join("vectorscan");
        program.exists().then_some(Self { program, folder })
    }

    /// What it says about `body`: its speed in GB/s, and how many expressions it can't compile.
    pub(crate) fn run(&self, body: &[u8]) -> String {
        let (rules, input) = (self.folder.join("expressions"), self.folder.join("input"));
        let lines: String = expressions()
            .iter()
            .map(|one| one.regex.replace('\n', "\\n") + "\n")
            .collect();
        fs::write(&rules, lines).expect("the folder can be written to");
        fs::write(&input, &body[..SHARE.min(body.len())]).expect("the folder can be written to");
        let output = Command::new(&self.program)
            .args([&rules, &input])
            .output()
            .expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

//! A pack's own examples as a test of all the rules together.

use std::sync::Arc;

use super::{Redactor, Rule};

/// An example that the rules don't treat as their pack says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExampleFailure {
    /// The rule whose example it is.
    pub rule: Arc<str>,
    /// Its number among the rule's examples or counter-examples, from 1.
    pub number: usize,
    /// True when it should have been found, false when it should not.
    pub expected: bool,
}

impl Redactor {
    /// Runs the examples of all rules: in each the rule itself must find a secret, and no rule must in a
    /// counter-example. What is given back went wrong.
    pub fn check_examples(&self) -> Vec<ExampleFailure> {
        self.rules()
            .iter()
            .flat_map(|rule| {
                let found = self.failures(rule, rule.examples(), true);
                found.chain(self.failures(rule, rule.counter_examples(), false))
            })
            .collect()
    }

    fn failures<'a>(
        &'a self,
        rule: &'a Rule,
        texts: &'a [String],
        expected: bool,
    ) -> impl Iterator<Item = ExampleFailure> + 'a {
        let wrong = move |text: &str| {
            let found = self.value(text.as_bytes(), &|_| false);
            let findings = found.map(|(_, findings)| findings).unwrap_or_default();
            if expected {
                // What is packed, or goes by a name only, is found as what it is.
                !findings
                    .iter()
                    .any(|finding| rule.is_packed() || rule.is_generic() || &*finding.rule == rule.id())
            } else {
                !findings.is_empty()
            }
        };
        (1..)
            .zip(texts)
            .filter(move |(_, text)| wrong(text))
            .map(move |(number, _)| ExampleFailure {
                rule: Arc::clone(rule.shared_id()),
                number,
                expected,
            })
    }
}

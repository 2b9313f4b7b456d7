//! Egret's own log on standard output: text for a person at a terminal, one JSON object a line for everything else.
//!
//! The log tells of the process: its start, its reloads, its troubles. What was let out and what was refused stands in the
//! audit trail, not here.

use std::io::{self, IsTerminal as _};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{FromEnvError, LevelFilter};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// The environment variable that says what is logged, such as `debug` or `info,egret::proxy=trace`; without it, `info`.
pub const FILTER_VARIABLE: &str = "EGRET_LOG";

/// Why the log couldn't be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter doesn't parse.
    #[error("{FILTER_VARIABLE} is no log filter (right would be: info, debug, or info,egret::proxy=trace): {0}")]
    Filter(#[from] FromEnvError),
    /// The process has a log already.
    #[error("failed to set up the log: {0}")]
    Twice(#[from] TryInitError),
}

/// The two looks of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Text,
    Json,
}

/// Sets up the log of the process. To be called once, by the command that runs.
pub fn start() -> Result<(), LogError> {
    let look = if io::stdout().is_terminal() {
        Look::Text
    } else {
        Look::Json
    };
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .with_env_var(FILTER_VARIABLE)
        .from_env()?;
    subscriber(look, filter, io::stdout).try_init()?;
    Ok(())
}

fn subscriber<W>(look: Look, filter: EnvFilter, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_target(false);
    match look {
        Look::Text => Box::new(log.finish()),
        Look::Json => Box::new(
            log.json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false)
                .finish(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(look: Look, filter: &str, tell: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let filter = EnvFilter::try_new(filter).unwrap();
        tracing::subscriber::with_default(subscriber(look, filter, move || writer.clone()), tell);
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_has_the_fields_beside_the_message() {
        let line = logged(Look::Json, "info", || {
            tracing::warn!(path = "a\nb", "trail failed");
        });
        assert_eq!(line.matches('\n').count(), 1);
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        let keys: Vec<_> = event.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["level", "message", "path", "timestamp"]);
        assert_eq!(
            (&event["level"], &event["message"], &event["path"]),
            (&"WARN".into(), &"trail failed".into(), &"a\nb".into())
        );
    }

    #[test]
    fn text_has_level_and_message() {
        let line = logged(Look::Text, "info", || {
            tracing::info!(port = 3128, "listening");
        });
        assert!(
            line.contains("INFO") && line.contains("listening") && line.contains("3128"),
            "{line}"
        );
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_err());
    }

    #[test]
    fn the_filter_holds() {
        assert_eq!(logged(Look::Json, "warn", || tracing::info!("hidden")), "");
    }
}

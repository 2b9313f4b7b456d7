//! The console: one page that says how Egret is and what it refused.
//!
//! No script, nothing loaded from elsewhere, nothing to click: what it shows is what the metrics and the ring of refusals
//! hold at that moment.

use std::fmt::{self, Display, Write};
use std::sync::LazyLock;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::HeaderValue;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::macros::format_description;

use super::{Admin, Phase};
use crate::audit::recent::Refusal;
use crate::metrics::WorkloadTotals;

const STYLE: &str = include_str!("console.css");

/// What the page may load: its own style, known by its hash, and nothing else.
static CONTENT_SECURITY_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// The header value that goes with the page.
pub(super) fn content_security_policy() -> HeaderValue {
    CONTENT_SECURITY_POLICY.clone()
}

/// The whole page.
pub(super) fn html(admin: &Admin) -> String {
    let mut page = String::with_capacity(16 * 1024);
    // Writing into a String can't fail.
    write_page(&mut page, admin).unwrap_or_default();
    page
}

fn write_page(page: &mut String, admin: &Admin) -> fmt::Result {
    write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Egret</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\">\
         <style>{STYLE}</style></head><body><main><h1>Egret</h1>"
    )?;
    write_state(page, admin)?;
    write_workloads(page, &admin.metrics.totals())?;
    write_refusals(page, &admin.recent.newest_first())?;
    page.write_str("</main></body></html>\n")
}

fn write_state(page: &mut String, admin: &Admin) -> fmt::Result {
    let phase = match admin.readiness.phase() {
        Phase::Starting => "starting",
        Phase::Ready => "ready",
        Phase::Draining => "draining",
    };
    let trail = match (admin.trail.writable(), admin.trail.refuses()) {
        (true, _) => "written",
        (false, true) => "can't be written: requests are refused",
        (false, false) => "can't be written: requests go on, and their records may be lost",
    };
    let class = if admin.unready().is_empty() { "good" } else { "bad" };
    write!(
        page,
        "<dl><dt>State</dt><dd class=\"{class}\">{phase}</dd><dt>Audit trail</dt><dd class=\"{}\">{trail}</dd>\
         <dt>Version</dt><dd>{}</dd><dt>Up for</dt><dd>{}</dd></dl>",
        if admin.trail.writable() { "good" } else { "bad" },
        env!("CARGO_PKG_VERSION"),
        Uptime(admin.started.elapsed()),
    )
}

fn write_workloads(page: &mut String, totals: &[WorkloadTotals]) -> fmt::Result {
    page.write_str("<h2>Workloads</h2>")?;
    if totals.is_empty() {
        return page.write_str("<p>None.</p>");
    }
    page.write_str(
        "<table><thead><tr><th scope=\"col\">Workload</th><th scope=\"col\" class=\"number\">Allowed</th>\
         <th scope=\"col\" class=\"number\">Refused</th><th scope=\"col\">Reasons</th></tr></thead><tbody>",
    )?;
    for workload in totals {
        write_workload(page, workload)?;
    }
    page.write_str("</tbody></table>")
}

fn write_workload(page: &mut String, totals: &WorkloadTotals) -> fmt::Result {
    write!(
        page,
        "<tr><th scope=\"row\">{}</th><td class=\"number\">{}",
        Named(&totals.name),
        totals.allowed
    )?;
    if totals.observed > 0 {
        write!(page, "<br><small>{} by observe mode</small>", totals.observed)?;
    }
    write!(
        page,
        "</td><td class=\"number\">{}</td><td>",
        totals.refused.values().sum::<u64>()
    )?;
    for (number, (reason, count)) in totals.refused.iter().enumerate() {
        let separator = if number == 0 { "" } else { ", " };
        write!(page, "{separator}<code>{}</code> {count}", Escaped(reason))?;
    }
    page.write_str("</td></tr>")
}

fn write_refusals(page: &mut String, refusals: &[Refusal]) -> fmt::Result {
    page.write_str("<h2>Last refusals</h2>")?;
    if refusals.is_empty() {
        return page.write_str("<p>None since the start.</p>");
    }
    page.write_str(
        "<table><thead><tr><th scope=\"col\">Time (UTC)</th><th scope=\"col\">Workload</th><th scope=\"col\">Host</th>\
         <th scope=\"col\">Reason and remedy</th></tr></thead><tbody>",
    )?;
    for refusal in refusals {
        write!(
            page,
            "<tr><td class=\"time\">{}</td><td>{}</td><td>{}</td><td><code>{}</code><br>{}</td></tr>",
            Moment(refusal.time),
            Named(&refusal.workload),
            Escaped(&refusal.host),
            Escaped(refusal.reason),
            Escaped(&refusal.hint),
        )?;
    }
    page.write_str("</tbody></table>")
}

/// Text from outside, safe inside an element and inside a quoted attribute.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            other => f.write_char(other),
        })
    }
}

/// A workload's name, or what stands for none.
struct Named<'a>(&'a str);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("<em>unknown client</em>");
        }
        Escaped(self.0).fmt(f)
    }
}

struct Moment(OffsetDateTime);

impl Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
        let utc = self.0.to_offset(time::UtcOffset::UTC);
        f.write_str(&utc.format(format).unwrap_or_default())
    }
}

/// The two greatest units of a time span.
struct Uptime(Duration);

impl Display for Uptime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{seconds} s"),
            (0, 0, _) => write!(f, "{minutes} min {} s", seconds % 60),
            (0, ..) => write!(f, "{hours} h {} min", minutes % 60),
            _ => write!(f, "{days} d {} h", hours % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::admin;
    use super::*;
    use crate::audit::{Form, OnFailure};

    #[test]
    fn the_page_shows_what_happened_and_escapes_it() {
        let folder = tempfile::tempdir().unwrap();
        let admin = admin(folder.path(), OnFailure::Refuse);
        admin.readiness.ready();
        let workload = admin.metrics.workload("git<hub>", ["github/1"]);
        workload.allowed(Form::Connect);
        workload.denied(Form::Connect, "host.not_listed");
        workload.denied(Form::Absolute, "host.not_listed");
        admin.recent.push(Refusal {
            time: OffsetDateTime::UNIX_EPOCH,
            workload: "git<hub>".into(),
            host: "<script>alert('1')</script>".to_owned(),
            reason: "host.not_listed",
            hint: "add \"- host: x\" & reload".to_owned(),
        });
        let page = html(&admin);
        assert!(
            page.contains(
                "<th scope=\"row\">git&lt;hub&gt;</th><td class=\"number\">1</td><td class=\"number\">2</td>"
            )
        );
        assert!(page.contains("<code>host.not_listed</code> 2"));
        assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;"));
        assert!(page.contains("add &quot;- host: x&quot; &amp; reload"));
        assert!(page.contains("1970-01-01 00:00:00"));
        assert!(page.contains("<dd class=\"good\">ready</dd>"));
        assert!(!page.contains("<script"));
    }

    #[test]
    fn the_policy_knows_the_style_by_its_hash() {
        let policy = content_security_policy();
        let hash = policy
            .to_str()
            .unwrap()
            .split("'sha256-")
            .nth(1)
            .unwrap()
            .split('\'')
            .next()
            .unwrap();
        assert_eq!(BASE64_STANDARD.decode(hash).unwrap().len(), 32);
    }

    #[test]
    fn an_idle_egret_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let page = html(&admin(folder.path(), OnFailure::Refuse));
        assert!(page.contains("<p>None.</p>") && page.contains("<p>None since the start.</p>"));
        assert!(page.contains("<dd class=\"bad\">starting</dd>"));
    }

    #[track_caller]
    fn check_uptime(seconds: u64, expected: &str) {
        assert_eq!(Uptime(Duration::from_secs(seconds)).to_string(), expected);
    }

    #[test]
    fn an_uptime_has_two_units() {
        check_uptime(0, "0 s");
        check_uptime(59, "59 s");
        check_uptime(61, "1 min 1 s");
        check_uptime(3_660, "1 h 1 min");
        check_uptime(90_000, "1 d 1 h");
    }
}

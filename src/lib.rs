//! Egret: the way out for MCP server containers. A forward proxy that lets out what an allowlist names, rewrites secrets in what goes
//! out, and writes one record for every exchange.
//!
//! The crate is the library below the `egret` binary. Its public items are for that binary, its tests and its benches; only the command
//! line, the configuration, the reason codes, the record and the metrics are promises to others.
//!
//! # The journey of a request
//!
//! ```text
//! accept ─ identify ─ read head ─ decide ─ resolve ─ vet ─ dial ─┬─ tunnel
//!                                                                └─ intercept ─ redact ─ send
//!             every arrow is a type; every exit writes one audit record and counts one metric
//! ```
//!
//! | step | takes | gives | file |
//! |---|---|---|---|
//! | accept | socket | stream and peer address | `proxy/listener.rs` |
//! | identify | peer, credentials | workload, and its policy | `identity/` |
//! | read head | HTTP head | one canonical [`Target`](policy::Target), or a refusal | `proxy/head.rs` |
//! | decide | policy, head | [`Permit`](policy::Permit) or [`Denial`](policy::Denial) | `policy/decision.rs` |
//! | resolve | permit | addresses | `proxy/resolve.rs` |
//! | vet | permit, addresses | [`VettedAddrs`](policy::VettedAddrs), or a refusal | `policy/address.rs` |
//! | dial | vetted addresses | connection | `proxy/connect.rs` |
//! | treat | the permit's treatment | tunnel or intercept | `proxy/tunnel.rs`, `proxy/intercept.rs` |
//! | redact | chunks of a body | chunks, and findings | `redact/` |
//! | send | request | response | `proxy/upstream.rs` |
//! | record | outcome | one [`Record`](audit::Record) | `audit/` |
//!
//! `proxy/exchange.rs` alone knows the order. A step's argument can be made only by the step before it, so that a name which nobody
//! allowed is never looked up, and what was vetted is what is dialled.
//!
//! # The map
//!
//! | room | holds | knows |
//! |---|---|---|
//! | [`cli`] | one file a subcommand | all |
//! | [`policy`] | pure: what a workload may reach | nobody |
//! | [`redact`] | pure: what leaves unreadable | nobody |
//! | [`config`] | documents to domain types, whole or not at all; alone reads configuration files | `policy`, `redact`, `identity` |
//! | [`identity`] | who is asking | `policy` |
//! | [`proxy`] | the data plane; decides nothing itself | `policy`, `redact`, `identity`, `config`, `audit`, `metrics` |
//! | [`audit`] | the record (pure), and the sink that gets it into the file | `metrics` |
//! | [`admin`] | metrics, health and console, on a listener of their own | `audit`, `metrics` |
//! | [`metrics`], [`mod@log`] | what is counted; the program's own log | `audit` for the words of labels |
//! | [`reload`], [`shutdown`] | a new configuration in one step; signals | `config`, `metrics` |
//!
//! Nobody but `cli` knows `proxy`. `it::tidy::each_room_knows_only_whom_it_may` holds the table.
//!
//! # What is always true
//!
//! `it::file::name` is a test of `tests/it`, any other name one beside the code.
//!
//! 1. `policy` and `redact` do no IO, read no clock, know no runtime: `it::tidy::pure_code_knows_no_world`.
//! 2. A socket to the outside is opened in one place, for vetted addresses:
//!    `it::tidy::a_socket_is_opened_and_a_name_looked_up_in_one_place`, `it::tidy::the_lint_against_dials_is_lifted_where_it_may_be`, and the
//!    examples of [`Permit`](policy::Permit) and [`VettedAddrs`](policy::VettedAddrs) that must not compile.
//! 3. A name is looked up only after it was allowed, at most once per exchange, as an absolute name:
//!    `it::policy::a_refused_name_is_never_looked_up`, `it::lookups::allowed_names_are_answered_and_no_other_is_asked_for`,
//!    `it::addresses::what_was_vetted_is_dialled_even_when_the_name_moves_on`.
//! 4. CONNECT target, TLS server name, the name verified in the upstream certificate, and the inner `Host` or `:authority` are one name,
//!    or the exchange is refused with a reason that says which two differ: `it::intercept::a_server_name_that_differs_is_refused`,
//!    `it::intercept::an_origin_of_another_name_is_refused`, `it::intercept::an_inner_name_that_differs_is_refused`,
//!    `it::intercept::an_inner_authority_that_differs_is_refused`, `it::tunnel::another_server_name_is_refused`.
//! 5. Each accepted exchange yields exactly one audit record, also when it is cancelled or panics:
//!    `it::trail::every_fate_has_its_record_in_order`, `it::trail::an_abandoned_exchange_is_recorded_once`.
//! 6. Unknown, ambiguous, unparsable, unreachable, unrecordable: refused. No setting turns a failure into permission, and an empty list
//!    permits nothing: `policy::decision::no_rules_no_permit`, `it::policy::an_empty_list_allows_nothing`,
//!    `it::policy::a_client_that_matches_no_workload_is_refused`, `identity::workload::no_networks_is_not_any_network`,
//!    `it::limits::bad_heads_are_refused_and_go_no_further`, `it::commands::a_missing_configuration_is_no_default`,
//!    `it::trail::without_a_trail_nothing_leaves_until_it_can_be_written_again`.
//! 7. A configuration is taken whole or not at all; a refused reload keeps the old one and shows in the metrics:
//!    `config::no_text_makes_reading_panic_or_take_a_configuration_with_errors`,
//!    `it::lifecycle::a_refused_reload_keeps_the_old_configuration`.
//! 8. Nothing is unbounded: each queue, buffer, header block, body window, cache, connection count and wait has a named limit, a default,
//!    and a stated behaviour when it is reached: `config::limits::the_reference_has_a_row_for_each_limit_with_its_default_and_sentence`,
//!    `proxy::wire::heads_are_bounded`, `proxy::places::places_are_bounded_in_all_and_for_one_address`,
//!    `audit::sink::places_are_bounded_and_come_back`, `it::streams::an_upload_of_5_gib_passes_in_constant_memory`,
//!    `it::limits::exchanges_beyond_the_limit_are_refused`, `it::limits::a_slow_head_is_not_waited_for`.
//! 9. The same request gets the same verdict and the same redaction however it arrives:
//!    `it::policy::the_same_request_gets_the_same_verdict_however_it_arrives`,
//!    `it::redaction::the_form_of_arrival_makes_no_difference`, `it::websocket::a_secret_in_a_message_leaves_unreadable`,
//!    `it::socks5::what_connect_refuses_is_refused_with_the_same_code`.
//! 10. What the detector finds, the redactor can rewrite: one rule set drives both:
//!     `redact::every_example_is_found_wherever_it_stands_and_keeps_its_length`,
//!     `redact::the_shipped_rules_treat_their_examples_as_they_say`.
//! 11. A reason code, once released, never changes meaning: `policy::reason::codes_are_frozen`.
//! 12. A secret never appears in a log, a metric, an error, a `Debug` output or the audit trail; a finding carries the rule, the place and
//!     a keyed fingerprint, never the text: `it::redaction::the_trail_of_a_refused_request_keeps_the_secret_too`,
//!     `it::policy::a_right_credential_opens_and_goes_no_further`, `it::admin::no_label_value_comes_from_traffic`,
//!     `config::a_secret_in_the_wrong_place_is_not_repeated`, `identity::credential::debug_shows_no_hash`,
//!     `redact::findings::a_key_shows_nothing`, `policy::path::debug_keeps_the_path_to_itself`.
//! 13. A panic in one exchange does not stop another, and is counted: `proxy::ledger::a_panic_is_recorded_and_counted_as_a_refusal`, `it::tidy::a_panic_unwinds`,
//!     `it::admin::every_denial_of_a_closed_set_starts_at_zero`.

pub mod admin;
pub mod audit;
pub mod cli;
pub mod config;
pub mod identity;
pub mod log;
pub mod metrics;
pub mod policy;
pub mod proxy;
pub mod redact;
pub mod reload;
pub mod shutdown;

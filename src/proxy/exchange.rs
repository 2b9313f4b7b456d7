//! The journey of a request, in order: identify, read head, decide, resolve, vet, dial, send, record.
//!
//! This file alone knows the order. Each step's argument can be made only by the step before it, and every way out, a panic
//! included, passes the [`Ledger`], which writes one record and counts one metric.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONNECTION, HeaderValue, PROXY_AUTHORIZATION, UPGRADE};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{Either, Full};
use hyper::body::{Body, Incoming};

use super::body::{Looked, Passage, RequestBody, ResponseBody};
use super::client_hello::ClientHello;
use super::client_io::Coming;
use super::connect::{Dialled, dial};
use super::fields;
use super::generation::{Generation, Tenant};
use super::head::{self, Head};
use super::ledger::Ledger;
use super::outgoing::Outgoing;
use super::pool::{Key, Wanted};
use super::reply::Refusal;
use super::socks5;
use super::surface;
use super::upstream::{SendFailure, Upstream};
use super::{Connection, Entrance, UnderWay, intercept, tunnel, websocket};
use crate::audit::{Form, Slot};
use crate::config::Limits;
use crate::identity::{Identified, Shown};
use crate::policy::{Authority, Decision, DenyReason, DnsName, Permit, RequestHead, Treatment};

/// What goes back to the client: Egret's own words, or an origin's.
pub(crate) type ReplyBody = Either<Full<Bytes>, ResponseBody>;

/// Takes one request through its journey. Whatever happens in it, other exchanges go on.
pub(crate) async fn serve(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible> {
    let is_connect = request.method() == Method::CONNECT;
    let speaks_http1 = request.version() < Version::HTTP_2;
    let wants_upgrade = request
        .headers()
        .get_all(UPGRADE)
        .iter()
        .any(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let open = |slot| Ledger::open(slot, &connection, &request);
    let mut response = match Exchange::begin(&connection, open) {
        Ok(exchange) => exchange.run(request).await,
        // Without a record there is no exchange to name.
        Err(refusal) => own_reply(&refusal, "", is_connect),
    };
    let refused_upgrade = wants_upgrade && response.status() != StatusCode::SWITCHING_PROTOCOLS;
    if speaks_http1 && (refused_upgrade || response.status() == StatusCode::BAD_REQUEST) {
        // What follows a handshake was not checked as HTTP, and who sends one bad request is not read on: the connection ends here.
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Takes a SOCKS5 client's one request through the journey of a CONNECT. Granted, its tunnel waits for `client`; refused, the reason is to
/// be told.
pub(crate) async fn serve_socks5(
    connection: Arc<Connection>,
    request: socks5::Request,
    client: Coming,
) -> Result<(), DenyReason> {
    let open = |slot| Ledger::open_socks5(slot, &connection, request.command);
    let granted = match Exchange::begin(&connection, open) {
        Ok(exchange) => exchange.run_socks5(&request, client).await,
        Err(refusal) => Err(refusal),
    };
    granted.map_err(|refusal| refusal.reason())
}

/// Takes a TLS connection that was redirected on its way to `port` through the journey of a CONNECT to its server name.
pub(crate) async fn serve_redirected(
    connection: Arc<Connection>,
    hello: &ClientHello,
    port: u16,
    client: Coming,
) -> Result<(), DenyReason> {
    let open = |slot| Ledger::new(slot, &connection, Form::Transparent);
    let granted = match Exchange::begin(&connection, open) {
        Ok(exchange) => exchange.run_redirected(hello, port, client).await,
        Err(refusal) => Err(refusal),
    };
    granted.map_err(|refusal| refusal.reason())
}

/// One request on its way.
struct Exchange {
    connection: Arc<Connection>,
    generation: Arc<Generation>,
    ledger: Ledger,
    under_way: Option<UnderWay>,
}

impl Exchange {
    /// Takes a place in the trail first: what can't be recorded does not begin.
    fn begin(connection: &Arc<Connection>, open: impl FnOnce(Slot) -> Ledger) -> Result<Self, Refusal> {
        let slot = connection.proxy.reserve()?;
        Ok(Self {
            connection: Arc::clone(connection),
            generation: connection.proxy.generation(),
            ledger: open(slot),
            under_way: Some(connection.exchange()),
        })
    }

    /// Runs the steps and turns a refusal or a panic into a recorded reply.
    async fn run(mut self, request: Request<Incoming>) -> Response<ReplyBody> {
        let is_connect = request.method() == Method::CONNECT;
        let result = AssertUnwindSafe(self.steps(request)).catch_unwind().await;
        match self.settle(result).await {
            Ok(response) => response,
            Err((refusal, id)) => own_reply(&refusal, &id, is_connect),
        }
    }

    async fn run_socks5(mut self, request: &socks5::Request, client: Coming) -> Result<(), Refusal> {
        let result = AssertUnwindSafe(self.steps_socks5(request, client))
            .catch_unwind()
            .await;
        self.settle(result).await.map_err(|(refusal, _)| refusal)
    }

    async fn run_redirected(mut self, hello: &ClientHello, port: u16, client: Coming) -> Result<(), Refusal> {
        let result = AssertUnwindSafe(self.steps_redirected(hello, port, client))
            .catch_unwind()
            .await;
        self.settle(result).await.map_err(|(refusal, _)| refusal)
    }

    /// What the steps came to; a refusal and a panic are recorded before they are told.
    async fn settle<T>(self, result: thread::Result<Result<T, Refusal>>) -> Result<T, (Refusal, String)> {
        let refusal = match result {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(refusal)) => refusal,
            Err(_panic) => Refusal::new(DenyReason::InternalPanic),
        };
        Err(self.connection.refuse(self.ledger, refusal).await)
    }

    async fn steps(&mut self, request: Request<Incoming>) -> Result<Response<ReplyBody>, Refusal> {
        let tenant = self.identify(request.headers().get(PROXY_AUTHORIZATION))?;
        if request.method() == Method::CONNECT {
            return self.connect(request, tenant).await;
        }
        let (mut parts, body) = request.into_parts();
        head::check_size(&parts, &self.generation.limits)?;
        let (head, suspicious) = self.read(&parts)?;
        let permit = self.decide(&tenant, &head, &parts)?;
        let is_websocket = websocket::is_handshake(&parts);
        let mut outbound = fields::outbound(&mut parts, &head.target);
        if suspicious {
            surface::scrub_url(&self.generation, &mut self.ledger, &permit, &mut outbound)?;
        }
        surface::scrub_headers(&self.generation, &mut self.ledger, &permit, &mut outbound)?;
        if is_websocket {
            return self.upgrade(parts, outbound, permit, &tenant).await;
        }
        let outgoing = self.account(&mut outbound, &body)?;
        let wanted = if parts.version == Version::HTTP_2 {
            Wanted::Http2
        } else {
            Wanted::Http1
        };
        let key = self.key(&tenant, &head, wanted);
        let content = RequestBody::new(
            body,
            Arc::clone(&outgoing),
            !outbound.reframed,
            self.generation.limits.idle_timeout,
        );
        let (response, upstream) = self.send(&permit, key, outbound.request(content), &outgoing).await?;
        self.answer(response, upstream).await
    }

    async fn steps_socks5(&mut self, request: &socks5::Request, client: Coming) -> Result<(), Refusal> {
        let tenant = self.identify(None)?;
        // UDP ASSOCIATE comes without one (RFC 1928 §7).
        let authority = request.authority();
        if let Some(authority) = &authority {
            self.name(authority)?;
        }
        if request.command != socks5::Command::Connect {
            return Err(
                Refusal::new(DenyReason::RequestUnsupported).detail("of SOCKS5's commands Egret carries out CONNECT")
            );
        }
        let authority = authority.ok_or_else(|| {
            Refusal::new(DenyReason::RequestMalformed).detail("SOCKS5 takes a host name or an address, and a port")
        })?;
        self.open(authority, tenant, client).await
    }

    async fn steps_redirected(&mut self, hello: &ClientHello, port: u16, client: Coming) -> Result<(), Refusal> {
        let tenant = self.identify(None)?;
        let redacted = |text: &String| self.generation.redacted(text);
        self.ledger.hello(
            hello.server_name.as_ref().map(redacted),
            hello.alpn.as_ref().map(redacted),
        );
        let nameless = || {
            Refusal::new(DenyReason::NameSniMismatch)
                .detail("a redirected connection goes where its TLS server name says, and this has none")
        };
        let name = hello.server_name.as_deref().ok_or_else(nameless)?;
        let name = DnsName::parse(name).map_err(|_| nameless())?;
        let authority = Authority::new(name.into(), port);
        self.name(&authority)?;
        self.open(authority, tenant, client).await
    }

    /// Who asks: by the tunnel it came through, by what it said before, or by address and credential.
    fn identify(&mut self, credential: Option<&HeaderValue>) -> Result<Arc<Tenant>, Refusal> {
        let tenant = match &self.connection.entrance {
            Entrance::Tunnel(inner) => self.generation.tenant(&inner.workload),
            Entrance::Socks5(workload) => workload.as_ref().and_then(|name| self.generation.tenant(name)),
            Entrance::Listener(_) | Entrance::Redirected { .. } => {
                // Who doesn't know of a proxy shows it no credential.
                let is_proxy = matches!(self.connection.entrance, Entrance::Listener(_));
                let credential = credential.filter(|_| is_proxy);
                let shown = credential.map(|value| Shown::Field(value.as_bytes()));
                let certificate = self.connection.certificate();
                let peer = self.connection.peer.ip();
                match self.generation.workloads.identify(peer, shown, certificate) {
                    Identified::Workload(workload) => self.generation.tenant(&workload.name),
                    Identified::CredentialRequired => return Err(DenyReason::WorkloadCredentialRequired.into()),
                    Identified::CredentialWrong => return Err(DenyReason::WorkloadCredentialWrong.into()),
                    Identified::Unknown => None,
                }
            }
        }
        .ok_or(DenyReason::WorkloadUnknown)?;
        self.ledger.identified(&tenant);
        Ok(tenant)
    }

    /// The head, and whether its URL holds a secret.
    fn read(&mut self, parts: &Parts) -> Result<(Head, bool), Refusal> {
        let head = match &self.connection.entrance {
            // A SOCKS5 client's requests come inside its tunnel.
            Entrance::Listener(_) | Entrance::Socks5(_) => head::read_absolute(parts),
            Entrance::Tunnel(inner) => head::read_inner(parts, &inner.tunnel),
            Entrance::Redirected { port } => head::read_redirected(parts, *port),
        }?;
        self.ledger.targeted(&head.target);
        let suspicious = surface::record_url(&self.generation, &mut self.ledger, head::path_and_query(parts));
        // A tunnel's host was checked when it was opened.
        if !matches!(self.connection.entrance, Entrance::Tunnel(_)) {
            surface::check_host(&self.generation, &mut self.ledger, head.target.host())?;
        }
        fields::check_method_override(parts)?;
        Ok((head, suspicious))
    }

    fn decide(&mut self, tenant: &Tenant, head: &Head, parts: &Parts) -> Result<Permit, Refusal> {
        let request = RequestHead {
            target: &head.target,
            method: parts.method.as_str(),
            path: &head.path,
        };
        match tenant.workload.policy.decide(&request) {
            Decision::Allow(permit) => {
                self.ledger.permitted(&permit);
                Ok(permit)
            }
            Decision::Deny(denial) => {
                let hint = denial.hint(&request);
                Err(denied(&denial, hint))
            }
        }
    }

    /// Opens the account of what leaves in the body, or refuses a body that could not be read.
    fn account(&mut self, outbound: &mut fields::Outbound, body: &Incoming) -> Result<Arc<Outgoing>, Refusal> {
        let limit = self.generation.limits.body_bytes;
        if body.size_hint().lower() > limit {
            return Err(DenyReason::LimitBodySize.into());
        }
        let scrub = if body.is_end_stream() {
            None
        } else {
            surface::body_scrub(&self.generation, outbound)?
        };
        let outgoing = Arc::new(Outgoing::new(scrub, limit));
        if body.is_end_stream() {
            outgoing.end();
        }
        self.ledger.account(Arc::clone(&outgoing));
        Ok(outgoing)
    }

    fn key(&self, tenant: &Tenant, head: &Head, wanted: Wanted) -> Arc<Key> {
        match &self.connection.entrance {
            Entrance::Tunnel(inner) if inner.key.wanted == wanted && inner.key.target == head.target => {
                Arc::clone(&inner.key)
            }
            Entrance::Tunnel(_) | Entrance::Listener(_) | Entrance::Socks5(_) | Entrance::Redirected { .. } => {
                Arc::new(Key {
                    workload: Arc::clone(&tenant.workload.name),
                    target: head.target.clone(),
                    wanted,
                })
            }
        }
    }

    /// Sends over a connection that waits, or over a new one. A request of which nothing was sent yet is sent once more.
    async fn send(
        &mut self,
        permit: &Permit,
        key: Arc<Key>,
        mut request: Request<RequestBody>,
        outgoing: &Outgoing,
    ) -> Result<(Response<Incoming>, Upstream), Refusal> {
        while let Some(upstream) = self.generation.pool.take(&key) {
            match self.send_over(upstream, request, outgoing).await {
                Ok(answered) => return Ok(answered),
                Err(Unanswered::Unsent(unsent)) => request = *unsent,
                Err(Unanswered::Refused(refusal)) => return Err(refusal),
            }
        }
        let dialled = reach(&self.generation, permit).await?;
        let upstream = self.generation.establish(dialled, key).await?;
        match self.send_over(upstream, request, outgoing).await {
            Ok(answered) => Ok(answered),
            Err(Unanswered::Unsent(_)) => Err(DenyReason::UpstreamClosed.into()),
            Err(Unanswered::Refused(refusal)) => Err(refusal),
        }
    }

    async fn send_over(
        &mut self,
        mut upstream: Upstream,
        request: Request<RequestBody>,
        outgoing: &Outgoing,
    ) -> Result<(Response<Incoming>, Upstream), Unanswered> {
        self.ledger.reached(&upstream);
        if let Some(shared) = upstream.share() {
            self.generation.pool.put(shared);
        }
        match unless_overdue(upstream.send(request), outgoing, &self.generation.limits).await {
            None => Err(Unanswered::Refused(DenyReason::UpstreamResponseTimeout.into())),
            Some(Ok(response)) => Ok((response, upstream)),
            Some(Err(SendFailure::Unsent(request))) => Err(Unanswered::Unsent(request)),
            Some(Err(SendFailure::Broken(error))) => Err(Unanswered::Refused(self.broken(&error, outgoing))),
        }
    }

    /// Whose fault it is that a request got no answer: the redactor's verdict, the client's bytes, or the origin.
    fn broken(&self, error: &hyper::Error, outgoing: &Outgoing) -> Refusal {
        if let Some(refusal) = outgoing.refused() {
            return refusal;
        }
        if let Some(fault) = self.connection.fault() {
            return Refusal::new(fault.reason).detail(fault.detail);
        }
        if error.is_user() {
            return DenyReason::ClientClosed.into();
        }
        DenyReason::UpstreamClosed.into()
    }

    /// Gives the origin's response to the client; its record is written before its last byte.
    async fn answer(
        &mut self,
        response: Response<Incoming>,
        upstream: Upstream,
    ) -> Result<Response<ReplyBody>, Refusal> {
        let (mut parts, body) = response.into_parts();
        fields::inbound(&mut parts.headers);
        self.ledger.answered(parts.status);
        let passage = Passage {
            under_way: self.under_way.take(),
            ledger: self.ledger.take(),
            upstream: (!upstream.speaks_http2()).then_some(upstream),
            pool: Arc::clone(&self.generation.pool),
        };
        parts.version = Version::default();
        match ResponseBody::new(body, passage, self.generation.limits.idle_timeout)
            .look()
            .await
        {
            Looked::Broken(ledger) => {
                self.ledger = ledger;
                Err(DenyReason::UpstreamClosed.into())
            }
            Looked::Whole(content) => Ok(Response::from_parts(parts, Either::Left(Full::new(content)))),
            Looked::Streaming(body) => Ok(Response::from_parts(parts, Either::Right(*body))),
            Looked::Unrecorded => Err(DenyReason::AuditUnwritable.into()),
        }
    }

    /// A WebSocket handshake: sent over a connection of its own, and joined when the origin's 101 holds.
    async fn upgrade(
        &mut self,
        parts: Parts,
        mut outbound: fields::Outbound,
        permit: Permit,
        tenant: &Tenant,
    ) -> Result<Response<ReplyBody>, Refusal> {
        let handshake = websocket::Handshake::prepare(&mut outbound)?;
        let key = Arc::new(Key {
            workload: Arc::clone(&tenant.workload.name),
            target: outbound.target().clone(),
            wanted: Wanted::Http1,
        });
        let client = hyper::upgrade::on(Request::from_parts(parts, ()));
        let dialled = reach(&self.generation, &permit).await?;
        let upstream = self.generation.establish(dialled, key).await?;
        let outgoing = Arc::new(Outgoing::new(surface::websocket_scrub(&self.generation), u64::MAX));
        outgoing.end();
        self.ledger.account(Arc::clone(&outgoing));
        let request = outbound.request(RequestBody::empty());
        let (mut response, upstream) = match self.send_over(upstream, request, &outgoing).await {
            Ok(answered) => answered,
            Err(Unanswered::Unsent(_)) => return Err(DenyReason::UpstreamClosed.into()),
            Err(Unanswered::Refused(refusal)) => return Err(refusal),
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return self.answer(response, upstream).await;
        }
        handshake.check(&response)?;
        let origin = hyper::upgrade::on(&mut response);
        let (mut head, _) = response.into_parts();
        fields::inbound_upgrade(&mut head.headers);
        self.ledger.answered(head.status);
        let handover = self
            .connection
            .handover(&self.generation)
            .ok_or(DenyReason::ShutdownDraining)?;
        websocket::join(client, origin, outgoing, self.ledger.take(), handover);
        Ok(Response::from_parts(head, Either::Left(Full::default())))
    }

    /// CONNECT: a tunnel that is only watched, or one that is looked into.
    async fn connect(
        &mut self,
        request: Request<Incoming>,
        tenant: Arc<Tenant>,
    ) -> Result<Response<ReplyBody>, Refusal> {
        if !matches!(self.connection.entrance, Entrance::Listener(_)) {
            return Err(Refusal::new(DenyReason::RequestUnsupported).detail("CONNECT inside a tunnel is not forwarded"));
        }
        let (parts, body) = request.into_parts();
        let authority = head::read_connect(&parts)?;
        self.name(&authority)?;
        let client = Coming::Upgrade(hyper::upgrade::on(Request::from_parts(parts, body)));
        self.open(authority, tenant, client).await?;
        Ok(Response::new(Either::Left(Full::default())))
    }

    /// Says in the record where a tunnel is to lead; a host name with a secret in it leads nowhere.
    fn name(&mut self, authority: &Authority) -> Result<(), Refusal> {
        self.ledger.tunnelled(authority);
        surface::check_host(&self.generation, &mut self.ledger, authority.host())
    }

    /// Decides about a tunnel, dials, and has it carried on once the client was told.
    async fn open(&mut self, authority: Authority, tenant: Arc<Tenant>, client: Coming) -> Result<(), Refusal> {
        let permit = match tenant.workload.policy.decide_connect(&authority) {
            Decision::Allow(permit) => permit,
            Decision::Deny(denial) => {
                let hint = denial.hint_connect(&authority);
                return Err(denied(&denial, hint));
            }
        };
        self.ledger.permitted(&permit);
        let handover = self
            .connection
            .handover(&self.generation)
            .ok_or(DenyReason::ShutdownDraining)?;
        match permit.treatment() {
            Treatment::Tunnel => {
                let dialled = reach(&self.generation, &permit).await?;
                self.ledger.dialled(dialled.address());
                tunnel::spawn(client, dialled, authority, self.ledger.take(), handover);
            }
            Treatment::Intercept => {
                let ahead = intercept::reach_ahead(&self.generation, &permit, &tenant, &authority).await?;
                if let Some(dialled) = &ahead {
                    self.ledger.dialled(dialled.address());
                }
                intercept::spawn(client, ahead, authority, tenant, permit, self.ledger.take(), handover);
            }
        }
        Ok(())
    }
}

/// Why a request has no response yet.
enum Unanswered {
    Unsent(Box<Request<RequestBody>>),
    Refused(Refusal),
}

/// Resolve, vet, dial: in this order, each once.
pub(crate) async fn reach(generation: &Generation, permit: &Permit) -> Result<Dialled, Refusal> {
    let addresses = generation.resolve(permit).await?;
    let vetted = generation.addresses.vet(permit, &addresses)?;
    let began = std::time::Instant::now();
    let dialled = dial(&vetted, generation.limits.connect_timeout).await?;
    generation.metrics.upstream_connected(began.elapsed());
    Ok(dialled)
}

/// Waits for a response as long as it isn't overdue: an upload that moves keeps its response waiting for as long as it takes. None after that.
async fn unless_overdue<F: Future>(response: F, outgoing: &Outgoing, limits: &Limits) -> Option<F::Output> {
    let mut response = pin!(response);
    loop {
        let due = outgoing.overdue(limits.response_timeout, limits.idle_timeout);
        match tokio::time::timeout_at(due, &mut response).await {
            Ok(output) => return Some(output),
            Err(_) if outgoing.overdue(limits.response_timeout, limits.idle_timeout) > due => {}
            Err(_) => return None,
        }
    }
}

fn denied(denial: &crate::policy::Denial, hint: String) -> Refusal {
    let refusal = Refusal::new(denial.reason()).hint(hint);
    match denial.rule_id() {
        Some(rule) => refusal.rule(rule.to_string()),
        None => refusal,
    }
}

fn own_reply(refusal: &Refusal, exchange: &str, is_connect: bool) -> Response<ReplyBody> {
    let response = if is_connect {
        refusal.connect_response(exchange)
    } else {
        refusal.response(exchange)
    };
    response.map(|body| Either::Left(Full::new(body)))
}

//! A DNS server on loopback, over UDP and TCP, that answers from a table and remembers what it was asked.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_server::proto::rr::rdata::CNAME;
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};

/// Seconds that an answer may be kept: none, so each exchange must ask.
const TTL: u32 = 0;

/// What the server says about a name.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// These addresses, each time.
    Addresses(Vec<IpAddr>),
    /// The first set to the first question for an IPv4 address, the next to the next, and so on; the last stays.
    Rebinding(Vec<Vec<IpAddr>>),
    /// Another name of the table, which may be an alias in turn.
    Alias(&'static str),
    NxDomain,
    ServFail,
    /// No answer at all.
    Silent,
}

/// An answer of fixed addresses.
pub(crate) fn at(addresses: &[&str]) -> Answer {
    Answer::Addresses(parse(addresses))
}

/// An answer that changes with each question.
pub(crate) fn rebinding(steps: &[&[&str]]) -> Answer {
    Answer::Rebinding(steps.iter().map(|step| parse(step)).collect())
}

fn parse(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|text| text.parse().unwrap()).collect()
}

/// The running server; it stops when dropped.
pub(crate) struct Dns {
    address: SocketAddr,
    zone: Arc<Zone>,
    _server: Server<Answering>,
}

#[derive(Default)]
struct Zone {
    answers: Mutex<HashMap<String, Answer>>,
    questions: Mutex<Vec<(String, RecordType)>>,
}

struct Answering(Arc<Zone>);

impl Dns {
    /// Starts a server that knows `names`; every other name does not exist.
    pub(crate) async fn start(names: Vec<(String, Answer)>) -> Self {
        let zone = Arc::new(Zone {
            answers: Mutex::new(names.into_iter().collect()),
            questions: Mutex::default(),
        });
        let (udp, tcp) = same_port().await;
        let address = udp.local_addr().unwrap();
        let mut server = Server::new(Answering(Arc::clone(&zone)));
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(5), 64);
        Self {
            address,
            zone,
            _server: server,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what is said about `name` from now on.
    pub(crate) fn set(&self, name: &str, answer: Answer) {
        self.zone.answers.lock().unwrap().insert(name.to_owned(), answer);
    }

    /// Every question so far, in order: the absolute name without its final dot, and the type.
    pub(crate) fn questions(&self) -> Vec<(String, RecordType)> {
        self.zone.questions.lock().unwrap().clone()
    }

    /// How often the IPv4 address of `name` was asked for.
    pub(crate) fn lookups(&self, name: &str) -> usize {
        self.questions()
            .iter()
            .filter(|(asked, kind)| asked == name && *kind == RecordType::A)
            .count()
    }
}

/// A UDP and a TCP socket on one port of loopback.
async fn same_port() -> (UdpSocket, TcpListener) {
    for _ in 0..64 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
    panic!("no port of loopback is free for both UDP and TCP");
}

impl Zone {
    /// The records to answer with, or the code of the failure; `None` stands for silence.
    fn answer(&self, name: &str, kind: RecordType) -> Option<Result<Vec<Record>, ResponseCode>> {
        let mut records = Vec::new();
        let mut name = name.to_owned();
        loop {
            let answer = self.take(&name, kind);
            match answer {
                Answer::Alias(target) => {
                    let rdata = RData::CNAME(CNAME(absolute(target)));
                    records.push(Record::from_rdata(absolute(&name), TTL, rdata));
                    target.clone_into(&mut name);
                }
                Answer::Addresses(addresses) => {
                    let fitting = addresses.into_iter().filter(|ip| {
                        (kind == RecordType::A && ip.is_ipv4()) || (kind == RecordType::AAAA && ip.is_ipv6())
                    });
                    records.extend(fitting.map(|ip| Record::from_rdata(absolute(&name), TTL, RData::from(ip))));
                    return Some(Ok(records));
                }
                Answer::NxDomain => return Some(Err(ResponseCode::NXDomain)),
                Answer::ServFail => return Some(Err(ResponseCode::ServFail)),
                Answer::Silent => return None,
                Answer::Rebinding(_) => unreachable!("`take` resolves rebinding to addresses"),
            }
        }
    }

    /// The answer for `name` now; a rebinding one moves on with each question for an IPv4 address.
    fn take(&self, name: &str, kind: RecordType) -> Answer {
        let mut answers = self.answers.lock().unwrap();
        match answers.get_mut(name) {
            Some(Answer::Rebinding(steps)) => {
                let now = steps.first().cloned().unwrap_or_default();
                if kind == RecordType::A && steps.len() > 1 {
                    steps.remove(0);
                }
                Answer::Addresses(now)
            }
            Some(answer) => answer.clone(),
            None => Answer::NxDomain,
        }
    }
}

fn absolute(name: &str) -> Name {
    Name::from_ascii(format!("{name}.")).unwrap()
}

#[async_trait::async_trait]
impl RequestHandler for Answering {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response_handle: R,
    ) -> ResponseInfo {
        let info = request.request_info().unwrap();
        let name = info.query.name().to_string();
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let kind = info.query.query_type();
        self.0.questions.lock().unwrap().push((name.clone(), kind));

        let metadata = Metadata::response_from_request(&request.metadata);
        let reply = MessageResponseBuilder::from_message_request(request);
        let sent = match self.0.answer(&name, kind) {
            None => return silence(metadata),
            Some(Ok(records)) => {
                let reply = reply.build(metadata, &records, [], [], []);
                response_handle.send_response(reply).await
            }
            Some(Err(code)) => {
                let reply = reply.error_msg(&request.metadata, code);
                response_handle.send_response(reply).await
            }
        };
        // The asker may be gone by now; that is its affair.
        sent.unwrap_or_else(|_| silence(metadata))
    }
}

fn silence(metadata: Metadata) -> ResponseInfo {
    ResponseInfo::from(Header {
        metadata,
        counts: HeaderCounts::default(),
    })
}

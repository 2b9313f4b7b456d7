//! The closed set of reasons for a refusal: one code each, the same in reply, audit record and metric.
//!
//! A code, once released, never changes its meaning. Rendering a reply is not done here.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $code:literal, $status:literal, $error:literal, $title:literal, $remedy:literal;)*) => {
        /// Why Egret refused an exchange, or could not finish it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DenyReason {
            $($(#[$doc])* $name,)*
        }

        impl DenyReason {
            /// Every reason, so that a metric can start each series at zero.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code, `area.cause`.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status of the reply, where one can still be sent.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// The error type of the `Proxy-Status` field (RFC 9209 § 2.3).
            pub const fn proxy_error(self) -> &'static str {
                match self { $(Self::$name => $error,)* }
            }

            /// What happened, in a few words: the `title` of the reply.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// What a person should look at or change.
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

reasons! {
    /// No rule of the workload names the host.
    HostNotListed => "host.not_listed", 403, "http_request_denied", "Host not listed",
        "No allowlist of this workload names the host. Add a rule for it if the workload should reach it.";
    /// A deny rule forbids it.
    HostDenied => "host.denied", 403, "http_request_denied", "Host denied",
        "A deny rule forbids this request, and deny wins over every allow. Remove or narrow that rule if it is wrong.";
    /// The host is listed, but not with this scheme.
    SchemeNotListed => "scheme.not_listed", 403, "http_request_denied", "Scheme not listed",
        "The host is listed with another scheme only. Use https, or add http to the rule's schemes.";
    /// The host is listed, but not on this port.
    PortNotListed => "port.not_listed", 403, "http_request_denied", "Port not listed",
        "The host is listed on other ports only. Add the port to the rule's ports.";
    /// The host is listed, but not with this method.
    MethodNotListed => "method.not_listed", 403, "http_request_denied", "Method not listed",
        "The host is listed with other methods only. Add the method to the rule's methods.";
    /// Host and method are listed, but not this path.
    PathNotListed => "path.not_listed", 403, "http_request_denied", "Path not listed",
        "The host is listed with other paths only. Add the path to the rule's paths.";

    /// RFC 1918, or the old site-local IPv6 range.
    AddressPrivate => "address.private", 403, "destination_ip_prohibited", "Private address",
        "The name leads to a private network. If it should, add the name and its network under addresses.permit.";
    /// The machine itself.
    AddressLoopback => "address.loopback", 403, "destination_ip_prohibited", "Loopback address",
        "The name leads to the proxy's own machine. If it should, add the name and its network under addresses.permit.";
    /// RFC 3927, `fe80::/10`.
    AddressLinkLocal => "address.link_local", 403, "destination_ip_prohibited", "Link-local address",
        "The name leads to a link-local address. If it should, add the name and its network under addresses.permit.";
    /// A cloud's metadata service, which hands out credentials.
    AddressMetadata => "address.metadata", 403, "destination_ip_prohibited", "Metadata service",
        "The name leads to a cloud metadata service, which hands out credentials. Only an exception for exactly that address lifts this.";
    /// RFC 5771, `ff00::/8`.
    AddressMulticast => "address.multicast", 403, "destination_ip_prohibited", "Multicast address",
        "The name leads to a multicast group, which no HTTP server is. Correct the name's records.";
    /// 255.255.255.255.
    AddressBroadcast => "address.broadcast", 403, "destination_ip_prohibited", "Broadcast address",
        "The name leads to the broadcast address, which no HTTP server is. Correct the name's records.";
    /// `0.0.0.0/8` and `::`, which many systems take for themselves.
    AddressUnspecified => "address.unspecified", 403, "destination_ip_prohibited", "Unspecified address",
        "The name leads to no address (0.0.0.0/8 or ::). Some blocklists answer so; correct the name's records.";
    /// RFC 6598, between a carrier and its customers.
    AddressShared => "address.shared", 403, "destination_ip_prohibited", "Shared address space",
        "The name leads to a carrier's or overlay's network (100.64.0.0/10). If it should, add the name and its network under addresses.permit.";
    /// Addresses for books.
    AddressDocumentation => "address.documentation", 403, "destination_ip_prohibited", "Documentation address",
        "The name leads to an address that is reserved for documentation. Correct the name's records.";
    /// RFC 2544 and RFC 5180.
    AddressBenchmarking => "address.benchmarking", 403, "destination_ip_prohibited", "Benchmarking address",
        "The name leads to a network for benchmarks. If it should, add the name and its network under addresses.permit.";
    /// Anything else that is not assigned to the public Internet.
    AddressReserved => "address.reserved", 403, "destination_ip_prohibited", "Reserved address",
        "The name leads to an address outside of the public Internet. Correct the name's records.";
    /// RFC 4193.
    AddressUniqueLocal => "address.unique_local", 403, "destination_ip_prohibited", "Unique local address",
        "The name leads to a private IPv6 network. If it should, add the name and its network under addresses.permit.";
    /// IPv4 wrapped in IPv6 in a way that no public server has.
    AddressEmbedded => "address.embedded", 403, "destination_ip_prohibited", "IPv4 wrapped in IPv6",
        "The name leads to an IPv4 address that is wrapped in an IPv6 transition address. Give the name an A record instead.";
    /// Public and special-use addresses in one answer.
    AddressMixed => "address.mixed", 403, "destination_ip_prohibited", "Public and special addresses mixed",
        "The name has public and special-use addresses at once, as in DNS rebinding. Correct the name's records.";
    /// The proxy itself.
    AddressOwn => "address.own", 403, "destination_ip_prohibited", "The proxy's own address",
        "The name leads back to Egret. A request can't be sent to the proxy through the proxy; no setting lifts this.";

    /// TLS server name and CONNECT target differ, or there is no server name.
    NameSniMismatch => "name.sni_mismatch", 403, "http_request_denied", "TLS server name differs",
        "The TLS server name is missing or isn't the name that was asked for by CONNECT. Both must be the same.";
    /// `Host` or `:authority` and target differ.
    NameHostMismatch => "name.host_mismatch", 403, "http_request_denied", "Host field differs",
        "The Host field (or :authority) isn't the name that the request or its CONNECT asked for. Both must be the same.";
    /// The host is no valid name or address.
    NameInvalid => "name.invalid", 400, "http_request_error", "Invalid host",
        "The host is neither a valid domain name nor an address. Correct the URL.";

    /// A DNS query of a type that the listener has no answer to.
    DnsTypeNotAnswered => "dns.type_not_answered", 403, "dns_error", "Record type not answered",
        "Egret answers DNS queries for addresses (A and AAAA) only; whatever else a name holds is neither asked for nor told.";

    /// Encrypted `ClientHello` in a tunnel.
    TlsEch => "tls.ech", 403, "http_request_denied", "Encrypted ClientHello",
        "The client encrypts its TLS server name, so a tunnel can't be checked. Turn ECH off, or use treatment: intercept.";
    /// A tunnel that carries something else.
    TlsNotTls => "tls.not_tls", 403, "http_request_denied", "Not TLS",
        "A tunnel carries TLS only, and this began with something else. Use treatment: intercept for plain HTTP.";
    /// TLS with the proxy itself that came to nothing.
    TlsHandshakeFailed => "tls.handshake_failed", 400, "http_request_error", "TLS handshake failed",
        "The client's TLS handshake with proxy.tls.listen failed. Let it speak TLS 1.2 or 1.3 there, and plain HTTP on proxy.listen.";
    /// A `ClientHello` beyond 64 KiB.
    TlsClientHelloTooLarge => "tls.client_hello_too_large", 431, "http_request_error", "ClientHello too large",
        "The TLS ClientHello is larger than any client needs. Look at the client.";

    /// Not HTTP as the RFCs have it.
    RequestMalformed => "request.malformed", 400, "http_request_error", "Malformed request",
        "The request breaks HTTP's grammar. Look at the client that made it.";
    /// Readable in two ways.
    RequestAmbiguous => "request.ambiguous", 400, "http_request_error", "Ambiguous request",
        "Proxies and origins would read this request differently (framing, path or host), so it isn't forwarded. Look at the client that made it.";
    /// Valid, but nothing that Egret forwards.
    RequestUnsupported => "request.unsupported", 400, "http_request_error", "Unsupported request",
        "The request asks for something that Egret doesn't forward, such as a scheme besides http and https.";
    /// A coding of the body that can't be looked into.
    RequestEncoding => "request.encoding", 415, "http_request_error", "Body can't be read",
        "The body's Content-Encoding isn't one or two of gzip, deflate, br and zstd, or the body isn't what it says, so it can't be searched for secrets. Send it uncompressed.";

    /// A secret stands where it can't be replaced.
    SecretUnrewritable => "secret.unrewritable", 403, "http_request_denied", "Secret can't be rewritten",
        "The request carries a secret in a place that can't be changed without breaking it, such as a signed body. Take the secret out.";
    /// A credential on the way to someone else.
    SecretWrongAudience => "secret.wrong_audience", 403, "http_request_denied", "Credential for another host",
        "The request carries a credential that belongs to another host. If it may go here, name its kind in the rule's credentials.";
    /// A secret on a surface whose setting is `block`.
    SecretBlocked => "secret.blocked", 403, "http_request_denied", "Secret found",
        "The request carries a secret, and this surface is set to block. Take the secret out.";

    /// No workload matches the client.
    WorkloadUnknown => "workload.unknown", 403, "http_request_denied", "Unknown workload",
        "No workload of the configuration matches this client. Add one whose networks or credential match.";
    /// A credential is needed.
    WorkloadCredentialRequired => "workload.credential_required", 407, "http_request_denied", "Credential required",
        "This proxy wants a credential. Put it in the proxy URL: http://user:password@proxy:3128.";
    /// The credential is wrong.
    WorkloadCredentialWrong => "workload.credential_wrong", 407, "http_request_denied", "Credential wrong",
        "The proxy credential matches no workload. Compare it with the configuration.";

    /// A client certificate that does not verify.
    WorkloadCertificateInvalid => "workload.certificate_invalid", 403, "http_request_denied", "Client certificate invalid",
        "The certificate that the client showed doesn't verify. Look at its dates and its use, and whether its CA stands under proxy.tls.client_ca.";

    /// The audit trail can't take a record.
    AuditUnwritable => "audit.unwritable", 503, "proxy_internal_error", "Records can't be written",
        "The audit trail can't be written, and without a record nothing passes. Look at the disk and the permissions of the audit file.";

    /// Too many connections at once.
    LimitConnections => "limit.connections", 503, "connection_limit_reached", "Too many connections",
        "The proxy has as many connections as it may. Try again later, or raise limits.connections.";
    /// Too many connections of one client.
    LimitClientConnections => "limit.client_connections", 429, "connection_limit_reached", "Too many connections of this client",
        "This client has as many connections as it may. Close some, or raise limits.connections_per_client.";
    /// Too many exchanges at once.
    LimitExchanges => "limit.exchanges", 503, "connection_limit_reached", "Too many exchanges",
        "The proxy has as many exchanges as it may. Try again later, or raise limits.exchanges.";
    /// The message head is too long.
    LimitHeadSize => "limit.head_size", 431, "http_request_error", "Head too large",
        "The request's head is too long. Send less in the URL and the fields, or raise limits.head_bytes.";
    /// The message head has too many fields.
    LimitHeadFields => "limit.head_fields", 431, "http_request_error", "Too many fields",
        "The request has too many header fields. Send fewer, or raise limits.head_fields.";
    /// The message head came too slowly.
    LimitHeadTimeout => "limit.head_timeout", 408, "http_request_error", "Head too slow",
        "The request's head didn't arrive in time. Look at the client's network, or raise limits.head_timeout.";
    /// The body is too long.
    LimitBodySize => "limit.body_size", 413, "http_request_error", "Body too large",
        "The request's body is larger than may be sent.";
    /// A compressed body that unfolds beyond measure.
    LimitDecompression => "limit.decompression", 413, "http_request_error", "Body unfolds too far",
        "The compressed body unfolds to more than 200 times its size. Send it uncompressed.";
    /// Too many DNS queries in one second.
    LimitDnsQueries => "limit.dns_queries", 429, "connection_limit_reached", "Too many DNS queries",
        "This workload asked more names in one second than it may. Ask less often, or raise limits.dns_queries.";
    /// Nothing moved for too long.
    LimitIdle => "limit.idle", 408, "connection_timeout", "Idle for too long",
        "Nothing was sent for longer than limits.idle_timeout (or tunnel_idle_timeout).";
    /// The `ClientHello` came too slowly.
    LimitClientHelloTimeout => "limit.client_hello_timeout", 408, "http_request_error", "ClientHello too slow",
        "The client didn't begin TLS in time, after CONNECT or on proxy.tls.listen. Look at the client.";

    /// The name does not exist, or has no address.
    UpstreamNameNotFound => "upstream.name_not_found", 502, "dns_error", "Name not found",
        "The name doesn't exist or has no address. Correct the URL or the name's records.";
    /// The resolver failed.
    UpstreamResolveFailed => "upstream.resolve_failed", 502, "dns_error", "Name look-up failed",
        "The name server answered with a failure. Look at dns.servers.";
    /// The resolver was silent.
    UpstreamResolveTimeout => "upstream.resolve_timeout", 504, "dns_timeout", "Name look-up too slow",
        "No name server answered in time. Look at dns.servers and limits.dns_timeout.";
    /// The origin can't be reached.
    UpstreamConnectFailed => "upstream.connect_failed", 502, "destination_unavailable", "Origin not reached",
        "No address of the origin takes a connection. Look at the origin and at the network between.";
    /// The origin was silent.
    UpstreamConnectTimeout => "upstream.connect_timeout", 504, "connection_timeout", "Connecting took too long",
        "The origin didn't take a connection in time. Look at the network between, and at limits.connect_timeout.";
    /// The TLS handshake failed.
    UpstreamTlsFailed => "upstream.tls_failed", 502, "tls_protocol_error", "TLS with the origin failed",
        "The TLS handshake with the origin failed. An origin that wants a client certificate needs treatment: tunnel.";
    /// The origin's certificate does not verify.
    UpstreamCertificateInvalid => "upstream.certificate_invalid", 502, "tls_certificate_error", "Origin's certificate invalid",
        "The origin's certificate doesn't verify for this name. If a private CA signed it, add that under upstream.roots.";
    /// The origin does not speak HTTP properly.
    UpstreamProtocol => "upstream.protocol", 502, "http_protocol_error", "Origin broke the protocol",
        "The origin's response isn't valid HTTP. Look at the origin.";
    /// No response in time.
    UpstreamResponseTimeout => "upstream.response_timeout", 504, "http_response_timeout", "Origin's response too slow",
        "The origin didn't begin its response in time. Look at the origin, or raise limits.response_timeout.";
    /// The connection ended early.
    UpstreamClosed => "upstream.closed", 502, "connection_terminated", "Origin closed the connection",
        "The origin closed the connection before its response was whole. Try again.";
    /// The origin's 101 is not right.
    UpstreamUpgradeInvalid => "upstream.upgrade_invalid", 502, "http_upgrade_failed", "Upgrade not confirmed",
        "The origin's 101 response doesn't confirm the upgrade that was asked for, so nothing is passed on. Look at the origin.";

    /// The client went away before the end.
    ClientClosed => "client.closed", 499, "connection_terminated", "Client closed the connection",
        "The client closed its connection before the exchange was over. Nobody is left to read this.";
    /// A fault of Egret's own.
    InternalPanic => "internal.panic", 500, "proxy_internal_error", "Internal fault",
        "This exchange met a fault in Egret; others go on. Please report it with the exchange's id.";
    /// The proxy is going down.
    ShutdownDraining => "shutdown.draining", 503, "proxy_internal_error", "Shutting down",
        "The proxy is shutting down and takes nothing new. Try again on a new connection.";
}

impl DenyReason {
    /// The reason with this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }
}

impl fmt::Display for DenyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Dashboards, scripts and trails hold on to these: a code may be added, never changed or taken away.
    const RELEASED: &str = "
        host.not_listed
        host.denied
        scheme.not_listed
        port.not_listed
        method.not_listed
        path.not_listed
        address.private
        address.loopback
        address.link_local
        address.metadata
        address.multicast
        address.broadcast
        address.unspecified
        address.shared
        address.documentation
        address.benchmarking
        address.reserved
        address.unique_local
        address.embedded
        address.mixed
        address.own
        name.sni_mismatch
        name.host_mismatch
        name.invalid dns.type_not_answered
        tls.ech
        tls.not_tls
        tls.handshake_failed
        tls.client_hello_too_large
        request.malformed
        request.ambiguous
        request.unsupported request.encoding
        secret.unrewritable
        secret.wrong_audience
        secret.blocked
        workload.unknown
        workload.credential_required
        workload.credential_wrong
        workload.certificate_invalid
        audit.unwritable
        limit.connections
        limit.client_connections
        limit.exchanges
        limit.head_size
        limit.head_fields
        limit.head_timeout
        limit.body_size limit.decompression
        limit.dns_queries
        limit.idle
        limit.client_hello_timeout
        upstream.name_not_found
        upstream.resolve_failed
        upstream.resolve_timeout
        upstream.connect_failed
        upstream.connect_timeout
        upstream.tls_failed
        upstream.certificate_invalid
        upstream.protocol
        upstream.response_timeout
        upstream.closed
        upstream.upgrade_invalid
        client.closed internal.panic
        shutdown.draining
    ";

    #[test]
    fn codes_are_frozen() {
        let codes: Vec<&str> = DenyReason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes, RELEASED.split_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn codes_are_unique_and_well_formed() {
        let codes: HashSet<&str> = DenyReason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), DenyReason::ALL.len());
        for code in codes {
            let (area, cause) = code.split_once('.').unwrap();
            for word in [area, cause] {
                assert!(
                    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                    "{code}"
                );
            }
        }
    }

    #[test]
    fn every_reason_can_be_rendered() {
        for reason in DenyReason::ALL {
            assert_eq!(DenyReason::from_code(reason.code()), Some(*reason));
            assert!(
                [400, 403, 407, 408, 413, 415, 429, 431, 499, 500, 502, 503, 504].contains(&reason.status()),
                "{reason}"
            );
            assert!(!reason.title().is_empty() && !reason.title().ends_with('.'), "{reason}");
            assert!(reason.explanation().ends_with('.'), "{reason}");
            assert!(!reason.proxy_error().is_empty(), "{reason}");
        }
        assert_eq!(DenyReason::from_code("host"), None);
    }

    #[test]
    fn policy_never_asks_for_a_credential() {
        for reason in DenyReason::ALL {
            let asks = reason.code().starts_with("workload.credential_");
            assert_eq!(reason.status() == 407, asks, "{reason}");
        }
    }
}

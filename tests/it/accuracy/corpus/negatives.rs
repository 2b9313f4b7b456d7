//! What is no secret and looks like one: realistic traffic of many kinds, made from a seed.
//!
//! Made-up beginnings of tokens stand here in two parts, so that no scanner of sources takes this file for a leak.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::dress::{Entity, Layer, Which};
use super::random::{ALPHANUMERIC, BASE64, BASE64_URL, DIGITS, Seeded};
use super::vocabulary::{FIELDS, FOREIGN, HOSTS, IDENTIFIERS, PACKAGES, PEOPLE, SEED_WORDS, sentence, time, words};

/// One kind of traffic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    /// Ordinary traffic must arrive byte for byte; of what is made to look like a secret, nearly all.
    pub(crate) is_ordinary: bool,
    make: fn(&mut Seeded) -> Vec<u8>,
}

impl Family {
    /// A document of this kind, of about a length in bytes.
    pub(crate) fn document(&self, length: usize, random: &mut Seeded) -> Vec<u8> {
        let mut document = Vec::new();
        while document.len() < length {
            document.extend((self.make)(random));
        }
        document
    }
}

const fn ordinary(name: &'static str, make: fn(&mut Seeded) -> Vec<u8>) -> Family {
    Family {
        name,
        is_ordinary: true,
        make,
    }
}

const fn alike(name: &'static str, make: fn(&mut Seeded) -> Vec<u8>) -> Family {
    Family {
        name,
        is_ordinary: false,
        make,
    }
}

/// All kinds.
pub(crate) const FAMILIES: &[Family] = &[
    ordinary("UUIDs", |random| {
        let [one, two, three] = [
            random.uuid(),
            random.uuid().to_uppercase(),
            random.uuid().replace('-', ""),
        ];
        format!(r#"{{"id":"{one}","account":"{{{two}}}","page":"{three}","urn":"urn:uuid:{one}"}},"#).into()
    }),
    ordinary("hashes", |random| {
        let lengths = [32, 40, 56, 64, 96, 128];
        let length = lengths[random.below(lengths.len())];
        format!(
            "{}  ./{}/{}.tar.gz\n",
            random.hex(length),
            random.pick(PEOPLE),
            random.pick(SEED_WORDS)
        )
        .into()
    }),
    ordinary("hashes by name", |random| {
        let hash = random.hex(64);
        let name = random.pick(&["sha256", "digest", "checksum", "etag", "fingerprint", "content_hash"]);
        format!(
            r#"{{"{name}":"sha256:{hash}","md5":"{}","crc32c":"{}=="}},"#,
            random.hex(32),
            random.text(BASE64, 6)
        )
        .into()
    }),
    ordinary("SRI", |random| {
        let sri = format!("sha384-{}", random.text(BASE64, 64));
        format!("<script src=\"https://cdn.example.net/{}.min.js\" integrity=\"{sri}\" crossorigin=\"anonymous\"></script>\n", random.pick(SEED_WORDS)).into()
    }),
    ordinary("git log", |random| {
        let merge = format!("Merge: {} {}\n", random.hex(7), random.hex(7));
        format!(
            "commit {}\n{merge}Author: {} <{}@example.com>\nDate:   {}\n\n    {}\n\n",
            random.hex(40),
            random.pick(PEOPLE),
            random.pick(PEOPLE),
            time(random),
            sentence(random)
        )
        .into()
    }),
    ordinary("git objects", |random| {
        format!(
            "100644 blob {}\tsrc/{}.rs\n003f{} refs/heads/{}\n",
            random.hex(40),
            random.pick(SEED_WORDS),
            random.hex(40),
            random.pick(SEED_WORDS)
        )
        .into()
    }),
    ordinary("diffs", |random| {
        format!("diff --git a/{0}.py b/{0}.py\nindex {1}..{2} 100644\n--- a/{0}.py\n+++ b/{0}.py\n@@ -1,7 +1,7 @@\n-    {3} = None\n+    {3} = load({4:?})\n", random.pick(SEED_WORDS), random.hex(10), random.hex(10), random.pick(IDENTIFIERS), random.pick(FIELDS)).into()
    }),
    ordinary("traces", |random| {
        format!("traceparent: 00-{}-{}-01\r\nX-Amzn-Trace-Id: Root=1-{}-{};Sampled=1\r\nX-Cloud-Trace-Context: {}/{};o=1\r\ncf-ray: {}-FRA\r\nx-b3-traceid: {}\r\n", random.hex(32), random.hex(16), random.hex(8), random.hex(24), random.hex(32), random.digits(19), random.hex(16), random.hex(16)).into()
    }),
    ordinary("OTLP", |random| {
        format!(r#"{{"traceId":"{}","spanId":"{}","parentSpanId":"{}","name":"{}","startTimeUnixNano":"{}","attributes":[{{"key":"http.url","value":{{"stringValue":"https://{}/{}"}}}}]}},"#, random.hex(32), random.hex(16), random.hex(16), random.pick(IDENTIFIERS), random.digits(19), random.pick(HOSTS), random.pick(FIELDS)).into()
    }),
    ordinary("response heads", |random| {
        format!("HTTP/1.1 200 OK\r\nETag: W/\"{}\"\r\nX-Request-Id: {}\r\nX-GitHub-Request-Id: {}:{}:{}:{}\r\nLast-Modified: Tue, 03 Mar 2026 10:11:12 GMT\r\nContent-Length: {}\r\n\r\n", random.hex(40), random.uuid(), random.hex(4).to_uppercase(), random.hex(5).to_uppercase(), random.hex(7).to_uppercase(), random.hex(8).to_uppercase(), random.below(1 << 20)).into()
    }),
    ordinary("cursors", |random| {
        let cursor = base64(&format!(
            r#"{{"after":"{}","order":"{}","n":{}}}"#,
            random.uuid(),
            random.pick(FIELDS),
            random.below(500)
        ));
        format!(
            r#"{{"has_more":true,"next_cursor":"{cursor}","page_token":"{}","endCursor":"Y3Vyc29yOnYyOpK5{}"}},"#,
            random.text(BASE64_URL, 48),
            random.text(BASE64, 28)
        )
        .into()
    }),
    ordinary("requestState", |random| {
        let length = random.between(60, 600);
        let state = random.bytes(length);
        let state = dressed(&state, base64_layer(false), random);
        [
            br#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required","requestState":""#,
            &state[..],
            br#""}}"#,
            b"\n",
        ]
        .concat()
    }),
    ordinary("data URIs", |random| {
        let length = random.between(300, 3000);
        let pixels = [
            &b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x06\0\0\0"[..],
            &random.bytes(length),
        ]
        .concat();
        let image = dressed(&pixels, base64_layer(false), random);
        [b"<img alt=\"\" src=\"data:image/png;base64,", &image[..], b"\">\n"].concat()
    }),
    ordinary("images in JSON", |random| {
        let length = random.between(300, 4000);
        let pixels = [&b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01"[..], &random.bytes(length)].concat();
        let image = dressed(&pixels, base64_layer(false), random);
        [
            br#"{"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":""#,
            &image[..],
            br#""}},"#,
        ]
        .concat()
    }),
    ordinary("images in lines", |random| {
        let pixels = random.bytes(2000);
        let image = dressed(&dressed(&pixels, base64_layer(false), random), Layer::MimeLines, random);
        [b"Content-Transfer-Encoding: base64\r\n\r\n", &image[..], b"\r\n"].concat()
    }),
    ordinary("minified JavaScript", |random| {
        let names = || "abcdefghijklmnopqrstuvwxyz";
        let [a, b, c] = [0; 3].map(|_| random.text(names(), 1));
        format!("!function({a},{b}){{\"object\"==typeof exports?{b}(exports):{b}({a}.{}={{}})}}(this,function({c}){{var t=/[A-Za-z0-9+\\/=]{{16,}}/g,n=0x{};return {c}.{}=function(e){{return e.replace(t,\"{}\")}},{c}}});", random.pick(IDENTIFIERS), random.hex(8), random.pick(IDENTIFIERS), random.pick(WORDS_OF_CODE)).into()
    }),
    ordinary("source maps", |random| {
        let mut mappings = String::new();
        for _ in 0..80 {
            let length = random.between(4, 5);
            mappings.push_str(&random.text("ACDEGIKMOQSUWYacegikmoqsuwy", length));
            mappings.push_str(random.pick(&[",", ",", ";"]));
        }
        format!(
            r#"{{"version":3,"sources":["webpack:///./src/{}.ts"],"mappings":"{mappings}"}}"#,
            random.pick(SEED_WORDS)
        )
        .into()
    }),
    ordinary("CSS", |random| {
        format!(".{}--{}:not(:first-child)>.{}{{color:#{};background:url(/static/{}.{}.svg#icon) no-repeat;transition:all .3s cubic-bezier(.25,.8,.25,1)}}\n", random.pick(SEED_WORDS), random.pick(SEED_WORDS), random.pick(SEED_WORDS), random.hex(6), random.pick(SEED_WORDS), random.hex(8)).into()
    }),
    ordinary("package-lock.json", |random| {
        let (package, version) = (random.pick(PACKAGES), version(random));
        format!("    \"node_modules/{package}\": {{\n      \"version\": \"{version}\",\n      \"resolved\": \"https://registry.example.io/{package}/-/{package}-{version}.tgz\",\n      \"integrity\": \"sha512-{}==\",\n      \"license\": \"MIT\"\n    }},\n", random.text(BASE64, 86)).into()
    }),
    ordinary("Cargo.lock", |random| {
        format!("[[package]]\nname = \"{}\"\nversion = \"{}\"\nsource = \"registry+https://example.io/index\"\nchecksum = \"{}\"\ndependencies = [\n \"{}\",\n]\n\n", random.pick(PACKAGES), version(random), random.hex(64), random.pick(PACKAGES)).into()
    }),
    ordinary("go.sum", |random| {
        format!(
            "{0} v{1} h1:{2}=\n{0} v{1}/go.mod h1:{3}=\n{0} v0.0.0-20240115112233-{4} h1:{2}=\n",
            random.pick(PACKAGES),
            version(random),
            random.text(BASE64, 43),
            random.text(BASE64, 43),
            random.hex(12)
        )
        .into()
    }),
    ordinary("yarn.lock and poetry.lock", |random| {
        format!("\"{0}@^{1}\":\n  version \"{1}\"\n  resolved \"https://registry.example.io/{0}/-/x-{1}.tgz#{2}\"\n{{file = \"{3}-{1}-py3-none-any.whl\", hash = \"sha256:{4}\"}},\n", random.pick(PACKAGES), version(random), random.hex(40), random.pick(PACKAGES), random.hex(64)).into()
    }),
    ordinary("Kubernetes manifests", |random| {
        format!("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {0}\n  uid: {1}\n  resourceVersion: \"{2}\"\n  annotations:\n    checksum/config: {3}\nspec:\n  template:\n    spec:\n      containers:\n        - name: {0}\n          image: registry.example.io/{0}@sha256:{4}\n          env:\n            - name: API_TOKEN\n              valueFrom:\n                secretKeyRef: {{name: {0}-credentials, key: api-token}}\n            - name: DATABASE_PASSWORD\n              valueFrom: {{secretKeyRef: {{name: {0}-db, key: password}}}}\n---\n", random.pick(SEED_WORDS), random.uuid(), random.digits(8), random.hex(64), random.hex(64)).into()
    }),
    ordinary("SOPS", |random| {
        format!("{}: ENC[AES256_GCM,data:{},iv:{}=,tag:{}==,type:str]\nsops:\n  mac: ENC[AES256_GCM,data:{}=,iv:{}=,tag:{}==,type:str]\n  age:\n    - recipient: age1{}\n", random.pick(FIELDS), random.text(BASE64, 24), random.text(BASE64, 43), random.text(BASE64, 22), random.text(BASE64, 87), random.text(BASE64, 43), random.text(BASE64, 22), random.text("qpzry9x8gf2tvdw0s3jn54khce6mua7l", 58)).into()
    }),
    ordinary("sealed secrets", |random| {
        format!(
            "kind: SealedSecret\nspec:\n  encryptedData:\n    password: AgB{}\n    {}: AgA{}=\n",
            random.text(BASE64, 341),
            random.pick(FIELDS),
            random.text(BASE64, 320)
        )
        .into()
    }),
    ordinary("ciphertext", |random| {
        let lines: Vec<String> = (0..8).map(|_| random.text(BASE64, 64)).collect();
        let kind = random.pick(&["PGP MESSAGE", "AGE ENCRYPTED FILE", "PGP SIGNATURE", "SSH SIGNATURE"]);
        format!(
            "-----BEGIN {kind}-----\n\n{}\n={}\n-----END {kind}-----\n",
            lines.join("\n"),
            random.text(BASE64, 4)
        )
        .into()
    }),
    ordinary("public keys", |random| {
        let lines: Vec<String> = (0..6).map(|_| random.text(BASE64, 64)).collect();
        let kind = random.pick(&[
            "PUBLIC KEY",
            "CERTIFICATE",
            "RSA PUBLIC KEY",
            "CERTIFICATE REQUEST",
            "X509 CRL",
        ]);
        format!(
            "-----BEGIN {kind}-----\nMIIB{}\n-----END {kind}-----\n",
            lines.join("\n")
        )
        .into()
    }),
    ordinary("SSH public keys", |random| {
        let host = random.pick(HOSTS);
        let ed25519 = format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{}", random.text(BASE64, 43));
        let rsa = format!("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ{}==", random.text(BASE64, 336));
        format!(
            "{host},140.82.121.{} {ed25519}\n|1|{}=|{}= {rsa} {}@{host}\nSHA256:{}\n",
            random.below(256),
            random.text(BASE64, 27),
            random.text(BASE64, 27),
            random.pick(PEOPLE),
            random.text(BASE64, 43)
        )
        .into()
    }),
    ordinary("JWKS", |random| {
        format!(r#"{{"keys":[{{"kty":"RSA","use":"sig","alg":"RS256","kid":"{}","n":"{}","e":"AQAB","x5t":"{}"}},{{"kty":"EC","crv":"P-256","x":"{}","y":"{}"}}]}}"#, random.hex(40), random.text(BASE64_URL, 342), random.text(BASE64_URL, 27), random.text(BASE64_URL, 43), random.text(BASE64_URL, 43)).into()
    }),
    alike("nearly JWTs", |random| {
        let head = base64(&format!(
            r#"{{"offset":{},"shard":"{}"}}"#,
            random.below(9000),
            random.pick(SEED_WORDS)
        ));
        let name = random.text(ALPHANUMERIC, 12);
        format!(
            "{{\"cursor\":\"{head}\",\"module\":\"com.{name}.{name}.service\",\"dotted\":\"{}.{}\"}}\n",
            random.text(BASE64_URL, 20),
            random.text(BASE64_URL, 20)
        )
        .into()
    }),
    alike("tokens that are too short", |random| {
        let halves = random.pick(&[
            "gh p_", "glp at-", "sk -", "AK IA", "xo xb-", "npm _", "dop_ v1_", "SG .",
        ]);
        let beginning = halves.replace(' ', "");
        format!(
            "A token begins with `{beginning}` and not with `{beginning}{}`; {}\n",
            random.text(ALPHANUMERIC, 6),
            sentence(random)
        )
        .into()
    }),
    alike("placeholders", |random| {
        let name = random.pick(&[
            "OPENAI_API_KEY",
            "GITHUB_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "DB_PASSWORD",
            "CLIENT_SECRET",
            "STRIPE_SECRET_KEY",
        ]);
        let value = random.pick(&[
            "YOUR_API_KEY",
            "<your-token>",
            "${TOKEN}",
            "{{ token }}",
            "$(cat /run/token)",
            "xxxxxxxxxxxxxxxxxxxx",
            "********",
            "[REDACTED]",
            "",
            "...",
            "%s",
            "None",
            "null",
        ]);
        format!("export {name}={value}\n{name}: \"{value}\"\nconst key = process.env.{name};\nkey = os.environ[\"{name}\"]\nwith: {{token: ${{{{ secrets.{name} }}}}}}\n").into()
    }),
    alike("variables in URLs", |random| {
        let host = random.pick(HOSTS);
        format!(
            "git clone https://$USER:$PASSWORD@{host}/{}\n{}\n",
            random.pick(SEED_WORDS),
            sentence(random)
        )
        .into()
    }),
    alike("16 digits that fail Luhn", |random| {
        let order = failing_luhn(random);
        let spaced = order
            .as_bytes()
            .chunks(4)
            .map(|four| String::from_utf8_lossy(four).into_owned())
            .collect::<Vec<_>>();
        format!(
            r#"{{"order_number":"{order}","ref":"{}","n":{order}}},"#,
            spaced.join(random.pick(&[" ", "-"]))
        )
        .into()
    }),
    alike("IBANs that fail mod 97", |random| {
        format!(
            r#"{{"iban":"{}","vat":"DE{}","bic":"DEUTDEFF{}"}},"#,
            failing_iban(random),
            random.digits(9),
            random.digits(3)
        )
        .into()
    }),
    ordinary("words of seed lists", |random| {
        let count = random.between(2, 8);
        let listed: Vec<&str> = (0..count).map(|_| random.pick(SEED_WORDS)).collect();
        format!(
            "The {} said: {}, {}",
            random.pick(SEED_WORDS),
            listed.join(" "),
            sentence(random)
        )
        .into()
    }),
    ordinary("URLs", urls),
    ordinary("chat completions", |random| {
        let arguments = format!(
            r#"{{\"query\":\"{}\",\"limit\":{}}}"#,
            words(random, 40),
            random.below(50)
        );
        format!(r#"{{"id":"chatcmpl-{}","object":"chat.completion","model":"gpt-x","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}","tool_calls":[{{"id":"call_{}","type":"function","function":{{"name":"{}","arguments":"{arguments}"}}}}]}},"finish_reason":"tool_calls"}}],"usage":{{"prompt_tokens":{},"completion_tokens":{}}},"system_fingerprint":"fp_{}"}}"#, random.text(ALPHANUMERIC, 29), sentence(random), random.text(ALPHANUMERIC, 24), random.pick(IDENTIFIERS), random.below(9000), random.below(900), random.hex(10)).into()
    }),
    ordinary("messages with tool use", |random| {
        format!(r#"{{"id":"msg_01{}","type":"message","role":"assistant","content":[{{"type":"text","text":"{}"}},{{"type":"tool_use","id":"toolu_01{}","name":"search_issues","input":{{"q":"{}"}}}}],"stop_reason":"tool_use"}}"#, random.text(ALPHANUMERIC, 22), sentence(random), random.text(ALPHANUMERIC, 22), words(random, 30)).into()
    }),
    ordinary("deltas as events", |random| {
        format!("event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{}\"}},\"obfuscation\":\"{}\"}}\n\n", words(random, 12), random.text(ALPHANUMERIC, 10)).into()
    }),
    ordinary("MCP calls", |random| {
        format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"tools/call","params":{{"name":"{}","arguments":{{"path":"/workspace/{}/{}.md","content":"{}"}},"_meta":{{"progressToken":"{}"}}}}}}"#, random.uuid(), random.pick(&["read_file", "create_issue", "search", "fetch"]), random.pick(SEED_WORDS), random.pick(SEED_WORDS), sentence(random), random.digits(6)).into()
    }),
    ordinary("source code", |random| {
        let name = random.pick(IDENTIFIERS);
        format!("def {name}(self, {}: str | None = None) -> dict[str, Any]:\n    \"\"\"{}\"\"\"\n    headers = {{\"Authorization\": f\"Bearer {{self.{name}}}\", \"X-Api-Key\": settings.{name}}}\n    password = getpass.getpass(\"Password: \")\n    return self.session.post(url, auth=(user, password), headers=headers)\n\n", random.pick(IDENTIFIERS), sentence(random)).into()
    }),
    ordinary("source code in C's family", |random| {
        let name = random.pick(IDENTIFIERS);
        format!("static const struct option {name}_options[] = {{\n    {{\"{}\", required_argument, NULL, 0x{}}},\n}};\npub fn {name}(token: &Token, secret: Option<&SecretString>) -> Result<Credentials, Error> {{\n    let key = Key::from_slice(&env_or(\"{}_KEY\", default_key())?);\n    // {}\n}}\n", random.pick(FIELDS), random.hex(4), random.pick(SEED_WORDS).to_uppercase(), sentence(random)).into()
    }),
    ordinary("access logs", |random| {
        format!("10.{}.{}.{} - {} [03/Mar/2026:10:11:12 +0000] \"GET /v1/{}/{}?page={} HTTP/1.1\" 200 {} \"-\" \"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\" rt=0.{}\n", random.below(256), random.below(256), random.below(256), random.pick(PEOPLE), random.pick(FIELDS), random.uuid(), random.below(99), random.below(90_000), random.digits(3)).into()
    }),
    ordinary("application logs", |random| {
        format!("{} ERROR [{}] c.e.{}.{}: token expired for user={} session={} attempt={}\n\tat com.example.{}(Service.java:{})\n", time(random), random.hex(16), random.pick(SEED_WORDS), random.pick(IDENTIFIERS), random.pick(PEOPLE), random.below(100_000), random.below(9), random.pick(IDENTIFIERS), random.below(900)).into()
    }),
    ordinary("CSV", |random| {
        format!(
            "{},{},\"{}\",{}.{:02},{},{}\n",
            random.digits(10),
            random.uuid(),
            sentence(random).trim(),
            random.below(9000),
            random.below(100),
            time(random),
            random.hex(24)
        )
        .into()
    }),
    ordinary("telephone numbers", |random| {
        format!(
            "TEL;TYPE=work,voice:+49 30 {}\n+1 ({}) {}-{}, 0{}/{}\nEMAIL:{}.{}@example.com\n",
            random.digits(7),
            random.digits(3),
            random.digits(3),
            random.digits(4),
            random.digits(3),
            random.digits(8),
            random.pick(PEOPLE),
            random.pick(PEOPLE)
        )
        .into()
    }),
    ordinary("ISBN and EAN", |random| {
        format!(
            "ISBN 978-{}-{}-{}-{}, EAN 40{}, ISSN {}-{}, tracking 1Z{}\n",
            random.digits(1),
            random.digits(4),
            random.digits(4),
            random.digits(1),
            random.digits(11),
            random.digits(4),
            random.digits(4),
            random.text("0123456789ABCDEF", 16)
        )
        .into()
    }),
    ordinary("numbers", |random| {
        format!(
            r#"{{"snowflake":"1{}","epoch_us":17{},"lat":{}.{},"lng":-{}.{},"bytes":{},"ratio":0.{}}},"#,
            random.text(DIGITS, 18),
            random.text(DIGITS, 14),
            random.below(90),
            random.digits(12),
            random.below(180),
            random.digits(13),
            random.digits(11),
            random.digits(17)
        )
        .into()
    }),
    ordinary("embeddings", |random| {
        let numbers: Vec<String> = (0..64)
            .map(|_| format!("{}0.0{}", random.pick(&["", "-"]), random.digits(8)))
            .collect();
        format!("{{\"object\":\"embedding\",\"embedding\":[{}]}},\n", numbers.join(",")).into()
    }),
    ordinary("other scripts", |random| {
        format!(
            r#"{{"text":"{}","title":"{}","n":{}}},"#,
            random.pick(FOREIGN),
            random.pick(FOREIGN),
            random.below(100)
        )
        .into()
    }),
    ordinary("other scripts, \\u", |random| {
        let text = random.pick(FOREIGN).as_bytes();
        let text = dressed(
            text,
            Layer::JsonUnicode {
                which: Which::Reserved,
                upper: false,
            },
            random,
        );
        [b"{\"text\":\"", &text[..], b"\"},"].concat()
    }),
    ordinary("other scripts, percent", |random| {
        let text = random.pick(FOREIGN).as_bytes();
        [
            b"https://example.com/wiki/",
            &dressed(
                text,
                Layer::Percent {
                    which: Which::Reserved,
                    upper: true,
                },
                random,
            )[..],
            b"\n",
        ]
        .concat()
    }),
    ordinary("other scripts, entities", |random| {
        let text = dressed(
            random.pick(FOREIGN).as_bytes(),
            Layer::Html {
                which: Which::All,
                entity: Entity::Decimal,
            },
            random,
        );
        [b"<p>", &text[..], b"</p>\n"].concat()
    }),
    ordinary("forms", |random| {
        let note = sentence(random);
        let note = dressed(note.as_bytes(), Layer::Form, random);
        let head = format!(
            "utf8=%E2%9C%93&id={}&{}={}&comment=",
            random.uuid(),
            random.pick(FIELDS),
            random.below(1000)
        );
        [
            head.as_bytes(),
            &note,
            b"&redirect=https%3A%2F%2Fexample.com%2Fdone%3Fa%3D1&",
        ]
        .concat()
    }),
    ordinary("quoted-printable mail", |random| {
        let text = format!("{} {}", random.pick(FOREIGN), sentence(random));
        let text = dressed(
            text.as_bytes(),
            Layer::QuotedPrintable { all: false, every: 70 },
            random,
        );
        let head = format!(
            "Message-ID: <{}.{}@mail.example.com>\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
            random.digits(14),
            random.text(ALPHANUMERIC, 12)
        );
        [head.as_bytes(), &text, b"\r\n.\r\n"].concat()
    }),
    ordinary("multipart uploads", |random| {
        let boundary = format!("----WebKitFormBoundary{}", random.text(ALPHANUMERIC, 16));
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}.png\"\r\nContent-Type: image/png\r\n\r\n",
            random.pick(SEED_WORDS)
        );
        [
            head.as_bytes(),
            &random.bytes(400),
            format!("\r\n--{boundary}--\r\n").as_bytes(),
        ]
        .concat()
    }),
    ordinary("GraphQL", |random| {
        let node = base64(&format!("04:User{}", random.digits(8)));
        format!(r#"{{"data":{{"node":{{"id":"{node}","databaseId":{},"pullRequest":{{"id":"PR_kwDO{}","headRefOid":"{}"}}}}}}}}"#, random.digits(8), random.text(BASE64_URL, 14), random.hex(40)).into()
    }),
    ordinary("protobuf", |random| {
        let name = words(random, 24);
        [
            &[0x0a, 24][..],
            name.as_bytes(),
            &[0x12, 16],
            &random.bytes(16),
            &[0x1a, 36],
            random.uuid().as_bytes(),
        ]
        .concat()
    }),
    ordinary("random bytes", |random| random.bytes(512)),
    ordinary("gzip", |random| {
        let text: String = (0..30).map(|_| sentence(random)).collect();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }),
    ordinary("hex dumps", |random| {
        let bytes = random.bytes(16);
        let spaced = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>();
        format!(
            "{:08x}: {}  |................|\nether {}  inet6 fe80::{}:{}ff:fe{}:{}\nMD5:{}\n",
            random.below(1 << 20) * 16,
            spaced.join(" "),
            spaced[..6].join(":"),
            random.hex(4),
            random.hex(2),
            random.hex(2),
            random.hex(4),
            spaced.join(":")
        )
        .into()
    }),
    ordinary("hex in code", |random| {
        let bytes = random.bytes(12);
        let literals: Vec<String> = bytes.iter().map(|byte| format!("0x{byte:02x}")).collect();
        let escapes: Vec<String> = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        format!(
            "static unsigned char blob[] = {{ {} }};\nMAGIC = b\"{}\"\n",
            literals.join(", "),
            escapes.concat()
        )
        .into()
    }),
    ordinary("Markdown", |random| {
        let (name, version) = (random.pick(SEED_WORDS), version(random));
        format!("## {name}\n\n[![Build](https://img.shields.io/badge/build-{version}-green)](https://example.com/{name}/actions) {}\n\n```sh\ncurl -H \"Authorization: Bearer $TOKEN\" https://{}/v1/{name}\n```\n\n| `{}` | `{}` |\n", sentence(random), random.pick(HOSTS), random.pick(IDENTIFIERS), random.pick(IDENTIFIERS)).into()
    }),
    ordinary("HTML", |random| {
        format!("<meta name=\"description\" content=\"{0}\"><a class=\"btn btn--{1}\" href=\"/{1}?utm_source=mail&amp;id={2}\" data-testid=\"{3}\">{0} &mdash; &#8220;{1}&#8221; &#x2713;</a>\n<input type=\"password\" name=\"password\" placeholder=\"Password\" autocomplete=\"current-password\">\n", sentence(random), random.pick(SEED_WORDS), random.below(90_000), random.uuid()).into()
    }),
    ordinary("XML", |random| {
        format!("<dependency><groupId>org.{0}</groupId><artifactId>{1}</artifactId><version>{2}</version></dependency>\n<item><guid isPermaLink=\"false\">{3}</guid><pubDate>{4}</pubDate><title><![CDATA[{5}]]></title></item>\n", random.pick(SEED_WORDS), random.pick(PACKAGES), version(random), random.uuid(), time(random), sentence(random)).into()
    }),
    ordinary("CI workflows", |random| {
        format!("jobs:\n  {0}:\n    runs-on: ubuntu-latest\n    permissions: {{id-token: write, contents: read}}\n    steps:\n      - uses: actions/checkout@{1} # v4.{2}\n        with: {{token: \"${{{{ secrets.GITHUB_TOKEN }}}}\", persist-credentials: false}}\n      - run: ./{0} --password \"$DEPLOY_PASSWORD\"\n", random.pick(SEED_WORDS), random.hex(40), random.below(9)).into()
    }),
    ordinary("SQL", |random| {
        format!(
            "INSERT INTO {} (id, {}, checksum) VALUES ('{}', '{}', '\\x{}');\nALTER ROLE {} VALID UNTIL '{}';\n",
            random.pick(FIELDS),
            random.pick(FIELDS),
            random.uuid(),
            sentence(random).replace('\'', "''"),
            random.hex(40),
            random.pick(PEOPLE),
            time(random)
        )
        .into()
    }),
    ordinary("prose", |random| {
        (0..6).map(|_| sentence(random)).collect::<String>().into()
    }),
    ordinary("Terraform and Dockerfiles", |random| {
        format!("resource \"aws_instance\" \"{0}\" {{\n  ami           = \"ami-{1}\"\n  subnet_id     = \"subnet-{2}\"\n  secret_arn    = \"arn:aws:secretsmanager:eu-west-1:{3}:secret:{0}-{4}\"\n  password      = var.db_password\n}}\nFROM docker.io/library/{0}:{5}@sha256:{6}\n", random.pick(SEED_WORDS), random.hex(17), random.hex(17), random.digits(12), random.text(ALPHANUMERIC, 6), version(random), random.hex(64)).into()
    }),
    ordinary("addresses on chains", |random| {
        format!(
            r#"{{"tx":"0x{}","to":"0x{}","block":"0x{}","cid":"Qm{}","ipns":"bafybei{}"}},"#,
            random.hex(64),
            random.hex(40),
            random.hex(7),
            random.text("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", 44),
            random.text("abcdefghijklmnopqrstuvwxyz234567", 52)
        )
        .into()
    }),
    ordinary("metrics", |random| {
        format!("# TYPE {0}_seconds histogram\n{0}_seconds_bucket{{le=\"0.{1}\",pod=\"{0}-{2}-{3}\"}} {4}\n{0}_seconds_sum {5}.{6}\n", random.pick(SEED_WORDS), random.digits(3), random.hex(10), random.text("bcdfghjklmnpqrstvwxz2456789", 5), random.below(90_000), random.below(9000), random.digits(9)).into()
    }),
    ordinary("cloud resource names", |random| {
        format!(r#"{{"InstanceId":"i-{}","VpcId":"vpc-{}","Arn":"arn:aws:iam::{}:role/{}","Azure":"/subscriptions/{}/resourceGroups/{}","RequestId":"{}","NextToken":"AQICAHh{}=="}},"#, random.hex(17), random.hex(17), random.digits(12), random.pick(SEED_WORDS), random.uuid(), random.pick(SEED_WORDS), random.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 16), random.text(BASE64, 60)).into()
    }),
    ordinary("ids of services", |random| {
        format!(r#"{{"channel":"C0{}","user":"U0{}","ts":"17{}.{}","customer":"cus_{}","price":"price_1{}","publishable":"{}{}","page":"{}","doc":"https://docs.google.com/document/d/1{}/edit","video":"https://youtu.be/{}","issue":"ENG-{}"}},"#, random.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 9), random.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 9), random.text(DIGITS, 8), random.digits(6), random.text(ALPHANUMERIC, 14), random.text(ALPHANUMERIC, 23), ["pk_", "test_"].concat(), random.text(ALPHANUMERIC, 24), random.hex(32), random.text(BASE64_URL, 43), random.text(BASE64_URL, 11), random.below(9000)).into()
    }),
    ordinary("notebooks", |random| {
        format!("  {{\n   \"cell_type\": \"code\",\n   \"execution_count\": {},\n   \"id\": \"{}\",\n   \"outputs\": [{{\"data\": {{\"image/png\": \"iVBORw0KGgoAAAANSUhEUgAA{}\\n\"}}}}],\n   \"source\": [\"df = pd.read_csv('{}.csv')\\n\"]\n  }},\n", random.below(99), random.hex(8), random.text(BASE64, 900), random.pick(SEED_WORDS)).into()
    }),
];

const WORDS_OF_CODE: &[&str] = &["$1", "use strict", "undefined", "application/json", "[object Object]"];

fn base64_layer(url: bool) -> Layer {
    Layer::Base64 {
        url,
        padded: !url,
        after: "",
    }
}

fn dressed(text: &[u8], layer: Layer, random: &mut Seeded) -> Vec<u8> {
    layer.apply(text, random)
}

fn base64(text: &str) -> String {
    String::from_utf8(base64_layer(false).apply(text.as_bytes(), &mut Seeded::new(0))).unwrap()
}

fn version(random: &mut Seeded) -> String {
    format!("{}.{}.{}", random.below(20), random.below(40), random.below(12))
}

fn urls(random: &mut Seeded) -> Vec<u8> {
    let (host, word, person) = (random.pick(HOSTS), random.pick(SEED_WORDS), random.pick(PEOPLE));
    let urls = [
        format!(
            "https://{host}:8443/{word}/@{person}/{word}:{}?q=a:b@c#L{}",
            random.digits(4),
            random.below(900)
        ),
        format!("git@{host}:{person}/{word}.git ssh://git@{host}:22/{word}"),
        format!("https://{person}@{host}/{word} mailto:{person}@example.com?subject={word}"),
        format!("http://[2001:db8::{}]:{}/{word}", random.hex(4), random.digits(4)),
        format!("https://${{USER}}:${{PASSWORD}}@{host}/{word}"),
        format!(
            "https://{host}/{}/{word}.jpg?width={}&v={}&sig=",
            random.hex(32),
            random.below(4000),
            random.hex(8)
        ),
        format!("postgres://{host}:5432/{word}?sslmode=require redis://{host}:6379/0 amqp://{person}@{host}/{word}"),
        format!(
            "https://{host}/callback?code_challenge={}&code_challenge_method=S256&state=",
            random.text(BASE64_URL, 43)
        ),
        format!(
            "s3://{word}-{}/{word}/dt=2026-03-03/part-00000-{}.snappy.parquet",
            random.digits(6),
            random.uuid()
        ),
        format!(
            "data:text/plain,{word} urn:isbn:978{} file:///home/{person}/{word}.txt",
            random.digits(10)
        ),
    ];
    format!("{}\n", urls[random.below(urls.len())]).into()
}

/// Sixteen digits whose check digit is wrong.
fn failing_luhn(random: &mut Seeded) -> String {
    loop {
        let digits = random.digits(16);
        let values = digits.bytes().rev().map(|digit| u32::from(digit - b'0')).enumerate();
        let doubled = |(at, digit): (usize, u32)| {
            if at % 2 == 0 {
                digit
            } else {
                digit * 2 / 10 + digit * 2 % 10
            }
        };
        if values.map(doubled).sum::<u32>() % 10 != 0 {
            return digits;
        }
    }
}

/// A German IBAN's shape with wrong check digits.
fn failing_iban(random: &mut Seeded) -> String {
    loop {
        let (check, account) = (random.text(DIGITS, 2), random.text(DIGITS, 18));
        // "DE" is 1314 there.
        let number = format!("{account}1314{check}");
        let rest = number
            .bytes()
            .fold(0, |rest, digit| (rest * 10 + u32::from(digit - b'0')) % 97);
        if rest != 1 {
            return format!("DE{check}{account}");
        }
    }
}

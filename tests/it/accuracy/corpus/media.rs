//! The media in which a secret can leave: what stands around it, and how the medium writes it.

use super::dress::Layer;
use super::random::{BASE64_URL, Seeded};
use super::vocabulary::words;

/// Makes what stands before and after a value.
type Around = fn(&[u8], &str, &mut Seeded) -> (Vec<u8>, Vec<u8>);

/// What a text is put into.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Medium {
    pub(crate) name: &'static str,
    /// How the medium writes a value.
    pub(crate) layers: &'static [Layer],
    /// What it puts before and after the value, which is written already, with a filler somewhere before it.
    around: Around,
    pub(crate) takes: Takes,
    /// Whether what stands around the value is no secret.
    pub(crate) is_clean_around: bool,
    /// Whether the whole is well formed.
    pub(crate) is_valid: fn(&[u8]) -> bool,
}

/// What a medium can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    Bytes,
    Text,
    /// Text without line breaks.
    Line,
}

/// Where in a document the value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    First,
    Near,
    /// Around the end of 4 KiB.
    Page,
    /// Around the end of 64 KiB.
    Far,
}

impl Position {
    pub(crate) const ALL: [Self; 4] = [Self::First, Self::Near, Self::Page, Self::Far];

    /// Its name in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Near => "within 80 bytes",
            Self::Page => "around 4 KiB",
            Self::Far => "around 64 KiB",
        }
    }

    fn filler(self, random: &mut Seeded) -> String {
        let length = match self {
            Self::First => 0,
            Self::Near => random.between(1, 80),
            Self::Page => random.between(4000, 4120),
            Self::Far => random.between(65_440, 65_560),
        };
        words(random, length)
    }
}

/// A document with a value in it.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) bytes: Vec<u8>,
    /// Where the value begins and ends, as the medium writes it.
    pub(crate) value: std::ops::Range<usize>,
}

impl Medium {
    /// A document around `written`, a value as the medium writes it.
    pub(crate) fn document(&self, written: &[u8], position: Position, random: &mut Seeded) -> Document {
        let filler = position.filler(random);
        let (before, after) = (self.around)(written, &filler, random);
        let value = before.len()..before.len() + written.len();
        Document {
            bytes: [&before, written, &after].concat(),
            value,
        }
    }

    /// Whether it can hold a value that was dressed so.
    pub(crate) fn can_hold(&self, value: &[u8], is_binary: bool) -> bool {
        match self.takes {
            Takes::Bytes => true,
            Takes::Text => !is_binary,
            Takes::Line => !is_binary && !value.iter().any(|byte| b"\r\n".contains(byte)),
        }
    }
}

fn around(before: String, after: &str) -> (Vec<u8>, Vec<u8>) {
    (before.into_bytes(), after.as_bytes().to_vec())
}

fn any(_: &[u8]) -> bool {
    true
}

fn is_json(document: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(document).is_ok()
}

/// Each line a JSON document.
fn are_json(document: &[u8]) -> bool {
    document
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .all(is_json)
}

/// A JSON document that holds another in a string, and that a third.
fn is_nested_json(document: &[u8]) -> bool {
    let outer: Option<serde_json::Value> = serde_json::from_slice(document).ok();
    let inner = outer.as_ref().and_then(|outer| outer["payload"].as_str());
    let inner: Option<serde_json::Value> = inner.and_then(|text| serde_json::from_str(text).ok());
    inner
        .as_ref()
        .and_then(|inner| inner["body"].as_str())
        .is_some_and(|text| is_json(text.as_bytes()))
}

/// A varint of protobuf.
fn varint(number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = number;
    while rest > 0x7f {
        bytes.push(u8::try_from(rest & 0x7f | 0x80).unwrap());
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

/// A message of two fields before the value's and one after.
fn protobuf(value: &[u8], filler: &str, random: &mut Seeded) -> (Vec<u8>, Vec<u8>) {
    let mut before = [&[0x0a][..], &varint(filler.len()), filler.as_bytes(), &[0x10]].concat();
    before.extend(varint(random.below(1 << 30)));
    before.push(0x1a);
    before.extend(varint(value.len()));
    (before, vec![0x20, 0x01])
}

fn grpc(value: &[u8], filler: &str, random: &mut Seeded) -> (Vec<u8>, Vec<u8>) {
    let (message, after) = protobuf(value, filler, random);
    let length = u32::try_from(message.len() + value.len() + after.len()).unwrap();
    ([&[0][..], &length.to_be_bytes(), &message].concat(), after)
}

/// As many layers as a JSON string inside a JSON string inside a JSON string.
const NESTED: &[Layer] = &[Layer::JsonString, Layer::JsonString, Layer::JsonString];

/// Every medium of the corpus; the first is bare text.
pub(crate) const MEDIA: &[Medium] = &[
    Medium {
        name: "plain text",
        layers: &[],
        around: |_, filler, _| around(format!("{filler} "), " and so on.\n"),
        takes: Takes::Bytes,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "JSON value",
        layers: &[Layer::JsonString],
        around: |_, filler, random| {
            let id = random.uuid();
            around(
                format!(r#"{{"id":"{id}","note":"{filler}","value":""#),
                r#"","n":[1,2.5,null]}"#,
            )
        },
        takes: Takes::Text,
        is_clean_around: true,
        is_valid: is_json,
    },
    Medium {
        name: "JSON in JSON in JSON",
        layers: NESTED,
        around: |_, filler, _| {
            let before = format!(r#"{{"note":"{filler}","payload":"{{\"kind\":\"x\",\"body\":\"{{\\\"value\\\":\\\""#);
            around(before, r#"\\\",\\\"ok\\\":true}\"}"}"#)
        },
        takes: Takes::Text,
        is_clean_around: true,
        is_valid: is_nested_json,
    },
    Medium {
        name: "JSON key",
        layers: &[Layer::JsonString],
        around: |_, filler, _| around(format!(r#"{{"note":"{filler}","seen":{{""#), r#"":true}}"#),
        takes: Takes::Text,
        is_clean_around: true,
        is_valid: is_json,
    },
    Medium {
        name: "NDJSON",
        layers: &[Layer::JsonString],
        around: |_, filler, random| {
            let level = random.pick(&["info", "warn"]);
            let before = format!("{{\"level\":\"{level}\",\"msg\":\"{filler}\"}}\n{{\"level\":\"error\",\"msg\":\"");
            around(before, "\"}\n{\"level\":\"info\",\"msg\":\"done\"}\n")
        },
        takes: Takes::Text,
        is_clean_around: true,
        is_valid: are_json,
    },
    Medium {
        name: "MCP tools/call",
        layers: &[Layer::JsonString],
        around: |_, filler, random| {
            let id = random.below(10_000);
            let head =
                format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"create_issue","#);
            around(format!(r#"{head}"arguments":{{"title":"{filler}","body":""#), r#""}}}"#)
        },
        takes: Takes::Text,
        is_clean_around: true,
        is_valid: is_json,
    },
    Medium {
        name: "GraphQL",
        layers: NESTED.split_at(2).0,
        around: |_, filler, _| {
            let before = format!(r#"{{"query":"mutation {{ addComment(input: {{note: \"{filler}\", body: \""#);
            around(before, r#"\"}) { id } }","variables":{}}"#)
        },
        takes: Takes::Text,
        is_clean_around: true,
        is_valid: is_json,
    },
    Medium {
        name: "form",
        layers: &[Layer::Form],
        around: |_, filler, _| around(format!("q={}&value=", filler.replace(' ', "+")), "&submit=Send"),
        takes: Takes::Text,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "multipart body",
        layers: &[],
        around: |_, filler, random| {
            let boundary = random.text(BASE64_URL, 16);
            let note = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\n{filler}\r\n");
            let head =
                "Content-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\n";
            around(
                format!("{note}--{boundary}\r\n{head}"),
                &format!("\r\n--{boundary}--\r\n"),
            )
        },
        takes: Takes::Bytes,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "multipart file name",
        layers: &[],
        around: |_, filler, random| {
            let boundary = random.text(BASE64_URL, 16);
            let note = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\n{filler}\r\n");
            let head = "Content-Disposition: form-data; name=\"file\"; filename=\"";
            around(
                format!("{note}--{boundary}\r\n{head}"),
                &format!("\"\r\n\r\n1,2\r\n--{boundary}--\r\n"),
            )
        },
        takes: Takes::Line,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "multipart header",
        layers: &[],
        around: |_, filler, random| {
            let boundary = random.text(BASE64_URL, 16);
            let note = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\n{filler}\r\n");
            around(
                format!("{note}--{boundary}\r\nX-Origin: "),
                &format!("\r\n\r\nbody\r\n--{boundary}--\r\n"),
            )
        },
        takes: Takes::Line,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "XML text",
        layers: &[Layer::Xml],
        around: |_, filler, _| {
            let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
            around(
                format!("{head}<order note=\"{filler}\"><value>"),
                "</value><n>3</n></order>\n",
            )
        },
        takes: Takes::Text,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "XML attribute",
        layers: &[Layer::Xml],
        around: |_, filler, _| around(format!("<c><note>{filler}</note><add key=\"v\" value=\""), "\"/></c>\n"),
        takes: Takes::Line,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "YAML, bare",
        layers: &[],
        around: |_, filler, _| {
            around(
                format!("note: {filler}\nenv:\n  - name: VALUE\n    value: "),
                "\nreplicas: 2\n",
            )
        },
        takes: Takes::Line,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "YAML, quoted",
        layers: &[Layer::JsonString],
        around: |_, filler, _| around(format!("note: {filler}\nspec:\n  value: \""), "\"\n  replicas: 2\n"),
        takes: Takes::Text,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "CSV, quoted",
        layers: &[Layer::CsvQuotes],
        around: |_, filler, _| around(format!("id,note,value,n\n7,{filler},\""), "\",12.50\n8,x,,3\n"),
        takes: Takes::Text,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "CSV, bare",
        layers: &[],
        around: |_, filler, _| around(format!("id,note,value,n\n7,{filler},"), ",12.50\n8,x,,3\n"),
        takes: Takes::Line,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "Markdown code",
        layers: &[],
        around: |_, filler, _| around(format!("# Set-up\n\n{filler}: set it to `"), "`, then go on.\n"),
        takes: Takes::Line,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "Markdown link",
        layers: &[Layer::Percent {
            which: super::dress::Which::Reserved,
            upper: true,
        }],
        around: |_, filler, _| {
            around(
                format!("{filler}: see [the page](https://wiki.example.com/p?v="),
                ") for more.\n",
            )
        },
        takes: Takes::Text,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "Markdown table",
        layers: &[],
        around: |_, filler, _| {
            around(
                format!("| name | value |\n|---|---|\n| {filler} | "),
                " |\n| other | 1 |\n",
            )
        },
        takes: Takes::Line,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "SSE",
        layers: &[Layer::SseLines],
        around: |_, filler, random| {
            let id = random.below(100_000);
            around(
                format!(": {filler}\nid: {id}\nevent: message\ndata: "),
                "\n\ndata: [DONE]\n\n",
            )
        },
        takes: Takes::Text,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "dotenv",
        layers: &[],
        around: |_, filler, _| around(format!("# {filler}\nMODE=production\nVALUE="), "\nPORT=8080\n"),
        takes: Takes::Line,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "Python",
        layers: &[Layer::JsonString],
        around: |_, filler, _| around(format!("# {filler}\nclient = Client(value=\""), "\", timeout=30)\n"),
        takes: Takes::Text,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "Go",
        layers: &[Layer::JsonString],
        around: |_, filler, _| {
            around(
                format!("// {filler}\n\tvalue := \""),
                "\"\n\treturn run(ctx, value)\n}\n",
            )
        },
        takes: Takes::Text,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "shell",
        layers: &[Layer::ShellQuotes],
        around: |_, filler, _| {
            around(
                format!("#!/bin/sh\n# {filler}\nexport VALUE='"),
                "'\nexec ./serve \"$@\"\n",
            )
        },
        takes: Takes::Text,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "URL path",
        layers: &[Layer::Percent {
            which: super::dress::Which::Reserved,
            upper: true,
        }],
        around: |_, filler, _| around(format!("/v1/{}/", filler.replace(' ', "-")), "/items?limit=10"),
        takes: Takes::Text,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "URL query",
        layers: &[Layer::Form],
        around: |_, filler, _| around(format!("/search?q={}&v=", filler.replace(' ', "+")), "&page=2"),
        takes: Takes::Text,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "URL user name",
        layers: &[Layer::Percent {
            which: super::dress::Which::Reserved,
            upper: true,
        }],
        around: |_, filler, _| {
            around(
                format!("{filler}: git clone https://"),
                ":x-oauth-basic@git.example.com/a/b.git\n",
            )
        },
        takes: Takes::Text,
        is_clean_around: false,
        is_valid: any,
    },
    Medium {
        name: "URL password",
        layers: &[Layer::Percent {
            which: super::dress::Which::Reserved,
            upper: true,
        }],
        around: |_, filler, _| {
            around(
                format!("{filler}: git clone https://git:"),
                "@git.example.com/a/b.git\n",
            )
        },
        takes: Takes::Text,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "header lines",
        layers: &[],
        around: |_, filler, _| around(format!("X-Note: {filler}\r\nX-Value: "), "\r\nAccept: */*\r\n"),
        takes: Takes::Line,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "protobuf",
        layers: &[],
        around: protobuf,
        takes: Takes::Bytes,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "gRPC",
        layers: &[],
        around: grpc,
        takes: Takes::Bytes,
        is_clean_around: true,
        is_valid: any,
    },
    Medium {
        name: "unknown bytes",
        layers: &[],
        around: |_, filler, random| {
            let mut before = random.bytes(filler.len());
            before.push(0);
            (before, [vec![0], random.bytes(40)].concat())
        },
        takes: Takes::Bytes,
        is_clean_around: true,
        is_valid: any,
    },
];

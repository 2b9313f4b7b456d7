//! Words and names as traffic has them.

use super::random::Seeded;

/// Words of English prose.
pub(crate) const WORDS: &[&str] = &[
    "the",
    "of",
    "and",
    "to",
    "in",
    "that",
    "is",
    "was",
    "for",
    "with",
    "request",
    "answer",
    "server",
    "client",
    "after",
    "before",
    "when",
    "release",
    "customer",
    "invoice",
    "review",
    "change",
    "branch",
    "commit",
    "deploy",
    "cluster",
    "region",
    "latency",
    "average",
    "timeout",
    "retry",
    "because",
    "should",
    "would",
    "every",
    "another",
    "message",
    "meeting",
    "summary",
    "question",
    "weather",
    "station",
    "garden",
    "ocean",
    "planet",
    "history",
    "number",
    "between",
    "through",
    "without",
    "interface",
    "protocol",
    "document",
    "translation",
    "temperature",
    "configuration",
    "authentication",
    "responsibility",
    "internationalization",
    "straightforward",
    "it",
    "we",
    "you",
    "are",
    "on",
    "as",
    "by",
    "at",
    "from",
    "or",
    "an",
    "which",
    "one",
    "all",
    "their",
    "has",
    "more",
    "password",
    "token",
    "secret",
    "key",
    "credential",
    "login",
    "account",
    "session",
    "rotate",
    "expires",
    "scope",
];

/// Words that also stand in lists of seed phrases.
pub(crate) const SEED_WORDS: &[&str] = &[
    "abandon", "ability", "about", "above", "absent", "absorb", "abstract", "account", "across", "action", "advice",
    "airport", "alcohol", "almost", "already", "also", "amount", "ancient", "answer", "apple", "april", "armor",
    "artist", "balance", "basket", "become", "before", "believe", "bicycle", "blanket", "border", "bridge", "brother",
    "build", "camera", "capital", "castle", "catalog", "cause", "century", "chapter", "choice", "citizen", "clever",
    "coffee", "column", "common", "concert", "country", "cousin", "credit", "culture", "danger", "decide", "define",
    "describe", "design", "digital", "dinner", "doctor", "dolphin", "dream", "early", "earth", "economy", "effort",
    "energy", "engine", "example", "expect", "family", "famous", "festival", "finish", "flower", "forest", "garden",
    "gentle", "glass", "guitar", "habit", "history", "holiday", "hospital", "island", "journey", "kitchen", "language",
    "letter", "library", "market", "mountain", "museum", "network", "office", "orange", "parent", "picture", "planet",
    "quality", "question", "river", "salad", "school", "season", "shadow", "silver", "simple", "student", "summer",
    "table", "teach", "ticket", "together", "travel", "uncle", "universe", "village", "visit", "water", "weather",
    "window", "winter", "wonder", "world", "yellow", "young", "zebra",
];

/// Names of people.
pub(crate) const PEOPLE: &[&str] = &[
    "ada",
    "grace",
    "linus",
    "barbara",
    "edsger",
    "margaret",
    "alan",
    "katherine",
    "dennis",
    "radia",
    "donald",
];

/// Names of hosts.
pub(crate) const HOSTS: &[&str] = &[
    "api.example.com",
    "cdn.example.net",
    "www.example.org",
    "docs.example.com",
    "registry.example.io",
    "files.eu-west-1.example.com",
    "api.github.com",
    "storage.googleapis.com",
    "en.wikipedia.org",
    "login.example.com",
];

/// Names of fields in JSON and of parameters.
pub(crate) const FIELDS: &[&str] = &[
    "id",
    "name",
    "type",
    "created_at",
    "updated_at",
    "status",
    "count",
    "url",
    "title",
    "description",
    "owner",
    "author",
    "labels",
    "next_cursor",
    "total",
    "version",
    "parent_id",
    "checksum",
    "size",
    "mime_type",
    "page_token",
];

/// Names of functions and variables.
pub(crate) const IDENTIFIERS: &[&str] = &[
    "getUserById",
    "parse_response",
    "MAX_RETRIES",
    "handleRequest",
    "access_token",
    "secretKeyRef",
    "api_key",
    "connection_pool",
    "createElement",
    "AbstractSingletonProxyFactoryBean",
    "private_key_path",
    "isAuthenticated",
    "password_hash_rounds",
    "tokenizer",
    "response_headers",
    "ContentSecurityPolicy",
    "client_secret_basic",
];

/// Names of packages.
pub(crate) const PACKAGES: &[&str] = &[
    "left-pad",
    "react",
    "@types/node",
    "serde",
    "tokio",
    "lodash.merge",
    "eslint-plugin-import",
    "requests",
    "numpy",
    "github.com/spf13/cobra",
    "golang.org/x/crypto",
    "@babel/helper-plugin-utils",
    "typing-extensions",
    "urllib3",
];

/// Sentences that aren't English.
pub(crate) const FOREIGN: &[&str] = &[
    "请求已经发送到服务器，请稍候再试。",
    "我们的会议定于下周三上午九点在三楼举行。",
    "密码必须至少包含八个字符。",
    "サーバーからの応答を待っています。",
    "パスワードを変更してください。",
    "東京の天気は晴れのち曇りです。",
    "Запрос был отправлен на сервер, ответа пока нет.",
    "Ключ доступа выдаёт администратор.",
    "Завтра в Москве ожидается небольшой дождь.",
    "Το αίτημα στάλθηκε στον διακομιστή.",
    "Ο κωδικός πρόσβασης έχει λήξει.",
    "Größe und Übermaß: die Straße führt über die Brücke.",
    "L'été dernier, nous avons déjeuné près de la forêt.",
    "El niño pidió información sobre la contraseña.",
    "🚀 Released! 🎉 Thanks to everyone 👩‍💻👨‍👩‍👧‍👦 ✅",
    "안녕하세요, 회의는 내일 오후에 시작합니다.",
    "تم إرسال الطلب إلى الخادم.",
    "הבקשה נשלחה לשרת.",
    "अनुरोध सर्वर को भेज दिया गया है।",
];

/// Some words, `length` bytes of them.
pub(crate) fn words(random: &mut Seeded, length: usize) -> String {
    let mut text = String::new();
    while text.len() < length {
        text.push_str(random.pick(WORDS));
        text.push(' ');
    }
    text.truncate(length);
    text
}

/// A sentence of English.
pub(crate) fn sentence(random: &mut Seeded) -> String {
    let length = random.between(20, 160);
    let text = words(random, length);
    format!("{}. ", text.trim())
}

/// A time of the last years, as RFC 3339 writes it.
pub(crate) fn time(random: &mut Seeded) -> String {
    let [year, month, day] = [random.between(2019, 2026), random.between(1, 12), random.between(1, 28)];
    let [hour, minute, second] = [random.below(24), random.below(60), random.below(60)];
    let micros = random.below(1_000_000);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

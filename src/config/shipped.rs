//! What is embedded in the binary: the default configuration and the shipped allowlists.

/// The default configuration, which holds every key with its default and its comment.
pub const DEFAULT: &str = include_str!("egret.default.yaml");

/// How the default configuration is named in messages.
pub(super) const DEFAULT_FILE: &str = "egret.default.yaml";

macro_rules! shipped {
    ($name:literal) => {
        (
            concat!("allowlists/", $name, ".yaml"),
            include_str!(concat!("../../allowlists/", $name, ".yaml")),
        )
    };
}

/// The shipped allowlists: the file's name and its text.
pub const ALLOWLISTS: &[(&str, &str)] = &[
    shipped!("airtable"),
    shipped!("anthropic"),
    shipped!("asana"),
    shipped!("atlassian"),
    shipped!("aws-ap-northeast-1"),
    shipped!("aws-ap-southeast-2"),
    shipped!("aws-documentation"),
    shipped!("aws-eu-central-1"),
    shipped!("aws-eu-north-1"),
    shipped!("aws-eu-west-1"),
    shipped!("aws-global"),
    shipped!("aws-us-east-1"),
    shipped!("aws-us-east-2"),
    shipped!("aws-us-west-2"),
    shipped!("azure"),
    shipped!("brave-search"),
    shipped!("cloudflare"),
    shipped!("context7"),
    shipped!("datadog"),
    shipped!("discord"),
    shipped!("exa"),
    shipped!("figma"),
    shipped!("firecrawl"),
    shipped!("github"),
    shipped!("gitlab"),
    shipped!("google-maps"),
    shipped!("google-workspace"),
    shipped!("hubspot"),
    shipped!("huggingface"),
    shipped!("linear"),
    shipped!("microsoft-graph"),
    shipped!("microsoft-learn"),
    shipped!("notion"),
    shipped!("openai"),
    shipped!("pagerduty"),
    shipped!("paypal"),
    shipped!("perplexity"),
    shipped!("sentry"),
    shipped!("slack"),
    shipped!("stripe"),
    shipped!("tavily"),
    shipped!("wikipedia"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_table_holds_every_file_of_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("allowlists");
        let files: BTreeMap<String, String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
            .map(|path| {
                (
                    format!("allowlists/{}", path.file_name().unwrap().display()),
                    fs::read_to_string(path).unwrap(),
                )
            })
            .collect();
        let table: BTreeMap<String, String> = ALLOWLISTS
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect();
        assert_eq!(table, files);
        assert!(table.len() >= 24);
    }
}

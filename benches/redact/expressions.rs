//! The shipped rules as other matchers take them: expressions and keywords.

use egret::redact::Rules;

/// One rule.
pub(crate) struct Expression {
    pub(crate) regex: String,
    /// Texts one of which stands in every match: the pack's `keywords`, else its `prefix`, else the longest literal text
    /// of the expression.
    pub(crate) keywords: Vec<String>,
}

/// All shipped rules.
pub(crate) fn expressions() -> Vec<Expression> {
    let pack: toml::Table = Rules::BUILTIN_TOML.parse().expect("the shipped pack is TOML");
    let rules = pack["rules"].as_array().expect("a list of rules");
    rules.iter().filter_map(expression).collect()
}

fn expression(rule: &toml::Value) -> Option<Expression> {
    let regex = rule.get("regex")?.as_str()?.to_owned();
    let listed = ["keywords", "prefix"].iter().find_map(|key| {
        let texts = rule.get(*key)?.as_array()?.iter();
        Some(
            texts
                .filter_map(|text| Some(text.as_str()?.to_owned()))
                .collect::<Vec<_>>(),
        )
    });
    let keywords = listed
        .filter(|texts| !texts.is_empty())
        .unwrap_or_else(|| vec![literal(&regex)]);
    Some(Expression { regex, keywords })
}

/// The longest run of plain characters outside brackets and braces.
fn literal(regex: &str) -> String {
    let (mut longest, mut run) = (String::new(), String::new());
    let mut depth = 0_u32;
    let mut escaped = false;
    for character in regex.chars().chain(['|']) {
        let is_plain = !escaped && depth == 0 && (character.is_ascii_alphanumeric() || "_-:/ ".contains(character));
        if is_plain {
            run.push(character);
        } else if run.len() > longest.len() {
            longest = std::mem::take(&mut run);
        } else {
            run.clear();
        }
        match character {
            '[' | '{' if !escaped => depth += 1,
            ']' | '}' if !escaped => depth = depth.saturating_sub(1),
            _ => {}
        }
        escaped = character == '\\' && !escaped;
    }
    longest
}

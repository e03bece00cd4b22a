//! Chat templates, rendered as transformers renders them.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, ErrorKind, State, Value};
use serde_json::Value as Json;

use crate::tokenizer::{guard_text, Mode, Tokenizer};
use crate::{Error, Result};

/// Instructions that one rendering may take: a template that loops for ever
/// ends as an error.
const FUEL: u64 = 20_000_000;

/// Roles end up in the prompt outside of any content, so they are names.
const MAX_ROLE_BYTES: usize = 64;

pub struct ChatTemplate {
    environment: Environment<'static>,
}

/// A conversation, from the JSON that the C interface takes.
pub struct Chat {
    /// An object: messages, add_generation_prompt, tools, ...
    variables: serde_json::Map<String, Json>,
    /// Seconds since 1970 for `strftime_now`.
    now: i64,
}

impl Chat {
    pub fn parse(json: &str, now: i64) -> Result<Self> {
        let variables = match serde_json::from_str(json) {
            Ok(Json::Object(variables)) => variables,
            Ok(_) => return Err(Error::invalid("chat: not a JSON object")),
            Err(e) => return Err(Error::invalid(format!("chat: {e}"))),
        };
        let messages = variables
            .get("messages")
            .and_then(Json::as_array)
            .ok_or_else(|| Error::invalid("chat: no list of messages"))?;
        if messages.is_empty() {
            return Err(Error::invalid("chat: no messages"));
        }
        for (i, message) in messages.iter().enumerate() {
            let role = message.get("role").and_then(Json::as_str).unwrap_or("");
            let is_name = role
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
            if role.is_empty() || role.len() > MAX_ROLE_BYTES || !is_name {
                return Err(Error::invalid(format!(
                    "chat: message {i} has no role, or one that is not a name of letters, \
                     digits, '_' and '-'"
                )));
            }
        }
        Ok(Self { variables, now })
    }
}

impl ChatTemplate {
    pub fn new(source: &str) -> Result<Self> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(
            minijinja_contrib::pycompat::unknown_method_callback,
        );
        environment.set_formatter(format_value);
        environment.add_filter("tojson", tojson);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment
            .add_template_owned(
                "chat_template",
                without_generation_tags(source),
            )
            .map_err(|e| template_error(&e))?;
        Ok(Self { environment })
    }

    fn render(
        &self,
        variables: &serde_json::Map<String, Json>,
    ) -> Result<String> {
        self.environment
            .get_template("chat_template")
            .and_then(|template| {
                template.render(Value::from_serialize(variables))
            })
            .map_err(|e| template_error(&e))
    }
}

fn template_error(error: &minijinja::Error) -> Error {
    let line =
        error.line().map_or(String::new(), |line| format!(", line {line}"));
    let detail =
        error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    Error::invalid(format!("chat template{line}: {detail}"))
}

impl Tokenizer {
    fn template(&self) -> Result<&ChatTemplate> {
        self.chat.as_ref().ok_or_else(|| {
            Error::not_found("the model's folder has no chat template")
        })
    }

    fn variables(&self, chat: &Chat) -> serde_json::Map<String, Json> {
        let mut variables = chat.variables.clone();
        for (role, token) in &self.roles.tokens {
            variables
                .entry(role.clone())
                .or_insert_with(|| Json::from(token.as_str()));
        }
        variables.insert(NOW.to_owned(), Json::from(chat.now));
        variables
    }

    /// The prompt as text. To encode it, use `encode_chat`: in this text user
    /// content that spells a control token looks like the template's own.
    pub fn render_chat(&self, chat: &Chat) -> Result<String> {
        self.template()?.render(&self.variables(chat))
    }

    /// The prompt as ids: control tokens from the template, text from the
    /// messages.
    ///
    /// Wherever a message spells a control token, a character that stands
    /// nowhere else goes into the middle of it, and out again when the tokens
    /// of the rendered prompt have been found. So the template sees the text
    /// almost as it is, and may trim, split and compare it.
    pub fn encode_chat(&self, chat: &Chat) -> Result<Vec<u32>> {
        let template = self.template()?;
        let mut variables = self.variables(chat);
        let guard = unused_character(&chat.variables).ok_or_else(|| {
            Error::invalid(
                "chat: the messages use up the noncharacters U+FDD0 to U+FDEF",
            )
        })?;
        for name in chat.variables.keys() {
            let Some(value) = variables.get_mut(name) else { continue };
            if name == "messages" {
                for message in value.as_array_mut().into_iter().flatten() {
                    // Templates look for markers such as </think> in what the
                    // assistant said, so those stay; special tokens don't.
                    let assistant = message.get("role").and_then(Json::as_str)
                        == Some("assistant");
                    let tokens = if assistant {
                        self.special_texts()
                    } else {
                        self.control_texts()
                    };
                    guard_json(message, tokens, guard)?;
                }
            } else {
                guard_json(value, self.control_texts(), guard)?;
            }
        }
        let prompt = template.render(&variables)?;
        let mode = if prompt.contains(guard) {
            Mode::Guarded(guard)
        } else {
            Mode::Parse
        };
        self.encode(&prompt, false, mode)
    }
}

fn contains(value: &Json, c: char) -> bool {
    match value {
        Json::String(text) => text.contains(c),
        Json::Array(items) => items.iter().any(|item| contains(item, c)),
        Json::Object(map) => {
            map.iter().any(|(key, item)| key.contains(c) || contains(item, c))
        }
        _ => false,
    }
}

fn unused_character(variables: &serde_json::Map<String, Json>) -> Option<char> {
    ('\u{fdd0}'..='\u{fdef}')
        .find(|&c| variables.values().all(|value| !contains(value, c)))
}

fn guard_json(value: &mut Json, tokens: &[String], guard: char) -> Result<()> {
    match value {
        Json::String(text) => {
            // Nothing can stand inside of a single character.
            let single = tokens
                .iter()
                .find(|t| t.chars().count() == 1 && text.contains(t.as_str()));
            if single.is_some() {
                return Err(Error::invalid(
                    "chat: a message holds a control character",
                ));
            }
            if let std::borrow::Cow::Owned(guarded) =
                guard_text(text, tokens, guard)
            {
                *text = guarded;
            }
            Ok(())
        }
        Json::Array(items) => items
            .iter_mut()
            .try_for_each(|item| guard_json(item, tokens, guard)),
        Json::Object(map) => {
            if map.keys().any(|key| {
                tokens.iter().any(|token| key.contains(token.as_str()))
            }) {
                return Err(Error::invalid(
                    "chat: a field's name spells a control token",
                ));
            }
            map.values_mut()
                .try_for_each(|item| guard_json(item, tokens, guard))
        }
        _ => Ok(()),
    }
}

/// `{% generation %}`, an extension of transformers that marks what the
/// assistant said, changes nothing in the text. `{% if true %}` neither.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let tag = &rest[start + 2..start + length];
        let name = tag
            .trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        let (before, after) = (&rest[..start + 2], &rest[start + length..]);
        out.push_str(before);
        match name {
            "generation" => out.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => {
                out.push_str(&tag.replace("endgeneration", "endif"))
            }
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Python's spelling of the values whose own is different.
fn format_value(
    out: &mut minijinja::Output,
    state: &State,
    value: &Value,
) -> std::result::Result<(), minijinja::Error> {
    let python = match value.kind() {
        ValueKind::None => "None",
        ValueKind::Bool if value.is_true() => "True",
        ValueKind::Bool => "False",
        _ => return minijinja::escape_formatter(out, state, value),
    };
    out.write_str(python).map_err(minijinja::Error::from)
}

fn raise_exception(
    message: String,
) -> std::result::Result<String, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

/// As `json.dumps` writes it; Jinja's own filter escapes for HTML.
fn tojson(
    value: &Value,
    kwargs: Kwargs,
) -> std::result::Result<String, minijinja::Error> {
    let ensure_ascii =
        kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let indent = kwargs.get::<Option<usize>>("indent")?;
    let sort_keys = kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    let separators = kwargs.get::<Option<Vec<String>>>("separators")?;
    kwargs.assert_all_used()?;
    let (item, key) = match separators.as_deref() {
        None if indent.is_some() => (",", ": "),
        None => (", ", ": "),
        Some([item, key]) => (item.as_str(), key.as_str()),
        Some(_) => {
            return Err(minijinja::Error::new(
                ErrorKind::InvalidOperation,
                "tojson: separators are two strings",
            ))
        }
    };
    let json = serde_json::to_value(value).map_err(|e| {
        minijinja::Error::new(ErrorKind::BadSerialization, e.to_string())
    })?;
    let mut dump =
        Dump { out: String::new(), item, key, indent, ensure_ascii, sort_keys };
    dump.value(&json, 0);
    Ok(dump.out)
}

struct Dump<'a> {
    out: String,
    item: &'a str,
    key: &'a str,
    indent: Option<usize>,
    ensure_ascii: bool,
    sort_keys: bool,
}

impl Dump<'_> {
    fn value(&mut self, value: &Json, depth: usize) {
        match value {
            Json::String(text) => self.string(text),
            Json::Array(items) if items.is_empty() => self.out.push_str("[]"),
            Json::Object(map) if map.is_empty() => self.out.push_str("{}"),
            Json::Array(items) => {
                self.out.push('[');
                for (i, item) in items.iter().enumerate() {
                    self.separate(i, depth + 1);
                    self.value(item, depth + 1);
                }
                self.line(depth);
                self.out.push(']');
            }
            Json::Object(map) => {
                let mut entries: Vec<(&String, &Json)> = map.iter().collect();
                if self.sort_keys {
                    entries.sort_by_key(|(name, _)| name.as_str());
                }
                self.out.push('{');
                for (i, (name, item)) in entries.into_iter().enumerate() {
                    self.separate(i, depth + 1);
                    self.string(name);
                    self.out.push_str(self.key);
                    self.value(item, depth + 1);
                }
                self.line(depth);
                self.out.push('}');
            }
            scalar => self.out.push_str(&scalar.to_string()),
        }
    }

    fn separate(&mut self, i: usize, depth: usize) {
        if i > 0 {
            self.out.push_str(self.item);
        }
        self.line(depth);
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat(' ').take(indent * depth));
        }
    }

    fn string(&mut self, text: &str) {
        let quoted = Json::from(text).to_string();
        if !self.ensure_ascii {
            self.out.push_str(&quoted);
            return;
        }
        for c in quoted.chars() {
            if c.is_ascii() {
                self.out.push(c);
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    self.out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
}

/// The variable that holds the time; no template has a name like this.
const NOW: &str = "tacit now";

/// Of Python's `datetime.now().strftime`; the time is UTC.
fn strftime_now(
    state: &State,
    format: &str,
) -> std::result::Result<String, minijinja::Error> {
    let now =
        state.lookup(NOW).and_then(|v| i64::try_from(v).ok()).unwrap_or(0);
    strftime(format, now)
        .map_err(|e| minijinja::Error::new(ErrorKind::InvalidOperation, e))
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

fn strftime(format: &str, seconds: i64) -> std::result::Result<String, String> {
    let days = seconds.div_euclid(86400);
    let (hour, minute, second) = (
        seconds.rem_euclid(86400) / 3600,
        seconds.rem_euclid(3600) / 60,
        seconds.rem_euclid(60),
    );
    // Days to a date, http://howardhinnant.github.io/date_algorithms.html:
    // years begin in March, eras are 400 years.
    let shifted = days + 719468;
    let era = shifted.div_euclid(146097);
    let day_of_era = shifted.rem_euclid(146097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524
        - day_of_era / 146096)
        / 365;
    let day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let month_name = MONTHS[month as usize - 1];
    let day_name = DAYS[days.rem_euclid(7) as usize];

    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut code = chars.next();
        let padded = code != Some('-');
        if !padded {
            code = chars.next();
        }
        let number = |value: i64| {
            if padded {
                format!("{value:02}")
            } else {
                value.to_string()
            }
        };
        match code {
            Some('Y') => out.push_str(&year.to_string()),
            Some('y') => out.push_str(&number(year.rem_euclid(100))),
            Some('m') => out.push_str(&number(month)),
            Some('d') => out.push_str(&number(day)),
            Some('H') => out.push_str(&number(hour)),
            Some('I') => out.push_str(&number((hour + 11) % 12 + 1)),
            Some('M') => out.push_str(&number(minute)),
            Some('S') => out.push_str(&number(second)),
            Some('p') => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            Some('B') => out.push_str(month_name),
            Some('b') => out.push_str(&month_name[..3]),
            Some('A') => out.push_str(day_name),
            Some('a') => out.push_str(&day_name[..3]),
            Some('%') => out.push('%'),
            _ => {
                return Err(
                    "strftime_now: only %Y %y %m %d %H %I %M %S %p %B %b %A %a"
                        .to_owned(),
                )
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strftime_matches_python() {
        // datetime.fromtimestamp(t, timezone.utc).strftime(...)
        for (seconds, text) in [
            (0, "01 Jan 1970 Thursday 00:00:00"),
            (951_782_400, "29 Feb 2000 Tuesday 00:00:00"),
            (1_700_000_000, "14 Nov 2023 Tuesday 22:13:20"),
            (4_107_542_400, "01 Mar 2100 Monday 00:00:00"),
        ] {
            assert_eq!(
                strftime("%d %b %Y %A %H:%M:%S", seconds).unwrap(),
                text
            );
        }
        assert_eq!(
            strftime("%-d/%-m %I %p %%", 1_700_000_000).unwrap(),
            "14/11 10 PM %"
        );
        assert!(strftime("%Q", 0).is_err());
    }

    #[test]
    fn generation_tags_keep_their_whitespace_control() {
        assert_eq!(
            without_generation_tags(
                "a {%- generation -%} b {% endgeneration %}{% if x %}"
            ),
            "a {%- if true -%} b {% endif %}{% if x %}"
        );
        assert_eq!(without_generation_tags("{% open"), "{% open");
    }
}

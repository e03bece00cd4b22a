//! Finds a tokenizer in a model's folder.
//!
//! tokenizer.json is taken as it is. Without it, the older files are: they are
//! written as the tokenizer.json that transformers makes of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{json, Map, Value};
use tokenizers::tokenizer::AddedToken;

use crate::chat::ChatTemplate;
use crate::sentencepiece;
use crate::tokenizer::{Roles, Tokenizer};
use crate::{Error, Result};

/// The largest tokenizer.json known is some 35 MB.
const MAX_FILE_BYTES: u64 = 256 << 20;

const ROLES: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// What Qwen2's tokenizer class says; GPT-2's pattern is built in.
const QWEN2_PATTERN: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*",
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
);

/// The file's contents, or None if the folder has no such file.
fn read(folder: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let file = match File::open(folder.join(name)) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::invalid(format!("{name}: {e}"))),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::invalid(format!("{name}: {e}")))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::invalid(format!(
            "{name}: larger than {MAX_FILE_BYTES} bytes"
        )));
    }
    Ok(Some(bytes))
}

fn read_text(folder: &Path, name: &str) -> Result<Option<String>> {
    let Some(bytes) = read(folder, name)? else { return Ok(None) };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(e) => Err(Error::invalid(format!(
            "{name}: invalid UTF-8 at byte {}",
            e.utf8_error().valid_up_to()
        ))),
    }
}

fn read_object(
    folder: &Path,
    name: &str,
) -> Result<Option<Map<String, Value>>> {
    let Some(text) = read_text(folder, name)? else { return Ok(None) };
    match serde_json::from_str(&text) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(_) => Err(Error::invalid(format!("{name}: not a JSON object"))),
        Err(e) => Err(Error::invalid(format!("{name}: {e}"))),
    }
}

/// The small JSON files about the tokenizer; empty objects where absent.
struct Settings {
    config: Map<String, Value>,
    special_tokens: Map<String, Value>,
}

impl Settings {
    fn flag(&self, name: &str, default: bool) -> bool {
        self.config.get(name).and_then(Value::as_bool).unwrap_or(default)
    }

    /// A token is written as a string, or as an object with its content.
    fn token(&self, role: &str) -> Option<&str> {
        [&self.config, &self.special_tokens].into_iter().find_map(|object| {
            let value = object.get(role)?;
            value.as_str().or_else(|| value.get("content")?.as_str())
        })
    }

    fn token_or<'a>(&'a self, role: &str, default: &'a str) -> &'a str {
        self.token(role).unwrap_or(default)
    }

    /// tokenizer_config.json's `added_tokens_decoder`, by id.
    fn added_tokens(&self) -> Result<BTreeMap<u32, AddedToken>> {
        let mut tokens = BTreeMap::new();
        let Some(decoder) =
            self.config.get("added_tokens_decoder").and_then(Value::as_object)
        else {
            return Ok(tokens);
        };
        for (id, token) in decoder {
            let bad = || {
                Error::invalid(format!(
                    "tokenizer_config.json: added_tokens_decoder has a bad entry {id:?}"
                ))
            };
            let content =
                token.get("content").and_then(Value::as_str).ok_or_else(bad)?;
            let flag = |name: &str| {
                token.get(name).and_then(Value::as_bool).unwrap_or(false)
            };
            tokens.insert(
                id.parse().map_err(|_| bad())?,
                AddedToken::from(content, flag("special"))
                    .single_word(flag("single_word"))
                    .lstrip(flag("lstrip"))
                    .rstrip(flag("rstrip"))
                    .normalized(flag("normalized")),
            );
        }
        Ok(tokens)
    }
}

fn added_json(id: u32, token: &AddedToken) -> Value {
    json!({
        "id": id, "content": token.content, "single_word": token.single_word,
        "lstrip": token.lstrip, "rstrip": token.rstrip, "normalized": token.normalized,
        "special": token.special,
    })
}

/// The added tokens of a vocabulary without a tokenizer.json: those that the
/// settings list, and the special ones that `vocab` holds.
fn added_tokens_json(
    vocab: &Map<String, Value>,
    settings: &Settings,
    roles: &[(&str, &str)],
) -> Result<Vec<Value>> {
    let mut tokens = settings.added_tokens()?;
    for (_, token) in roles {
        if let Some(id) = vocab.get(*token).and_then(Value::as_u64) {
            tokens
                .entry(id as u32)
                .or_insert_with(|| AddedToken::from(*token, true));
        }
    }
    Ok(tokens.iter().map(|(id, token)| added_json(*id, token)).collect())
}

/// `single` around one text; a pair's second text and `second_end` follow it.
fn template_json(
    single: &[Value],
    second_end: &[Value],
    tokens: &[(&str, u64)],
) -> Value {
    let mut pair = single.to_vec();
    pair.push(json!({"Sequence": {"id": "B", "type_id": 1}}));
    pair.extend_from_slice(second_end);
    let special: Map<String, Value> = tokens
        .iter()
        .map(|(text, id)| {
            (
                (*text).to_owned(),
                json!({"id": text, "ids": [id], "tokens": [text]}),
            )
        })
        .collect();
    json!({
        "type": "TemplateProcessing", "single": single, "pair": pair,
        "special_tokens": special,
    })
}

/// vocab.json and merges.txt: byte-level BPE of GPT-2 or Qwen2.
fn byte_level_json(
    folder: &Path,
    settings: &Settings,
) -> Result<Option<Value>> {
    let Some(vocab) = read_object(folder, "vocab.json")? else {
        return Ok(None);
    };
    let Some(text) = read_text(folder, "merges.txt")? else {
        return Err(Error::not_found("vocab.json is there, but no merges.txt"));
    };
    let class = settings.config.get("tokenizer_class").and_then(Value::as_str);
    let class = class.unwrap_or("GPT2Tokenizer").trim_end_matches("Fast");
    let (normalizer, pre_tokenizer, default_token) = match class {
        "GPT2Tokenizer" => (
            Value::Null,
            json!({
                "type": "ByteLevel", "trim_offsets": true, "use_regex": true,
                "add_prefix_space": settings.flag("add_prefix_space", false),
            }),
            "<|endoftext|>",
        ),
        "Qwen2Tokenizer" => (
            json!({"type": "NFC"}),
            json!({"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": QWEN2_PATTERN}, "behavior": "Isolated",
                 "invert": false},
                {"type": "ByteLevel", "trim_offsets": true, "use_regex": false,
                 "add_prefix_space": settings.flag("add_prefix_space", false)},
            ]}),
            "<|endoftext|>",
        ),
        _ => {
            return Err(Error::unimplemented(format!(
                "tokenizer class {class} with vocab.json and merges.txt; supported are \
                 GPT2Tokenizer and Qwen2Tokenizer, and others through a tokenizer.json"
            )))
        }
    };
    let mut merges = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || (number == 0 && line.starts_with("#version")) {
            continue;
        }
        let Some((left, right)) = line.split_once(' ') else {
            return Err(Error::invalid(format!(
                "merges.txt: line {} is no pair",
                number + 1
            )));
        };
        merges.push(json!([left, right]));
    }
    let roles: Vec<(&str, &str)> =
        ["bos_token", "eos_token", "unk_token", "pad_token"]
            .into_iter()
            .map(|role| (role, settings.token_or(role, default_token)))
            .collect();
    let added = added_tokens_json(&vocab, settings, &roles)?;
    let byte_level = json!({
        "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true,
    });
    let bos = settings.token_or("bos_token", default_token);
    let post_processor = match vocab.get(bos).and_then(Value::as_u64) {
        Some(id) if settings.flag("add_bos_token", false) => template_json(
            &[
                json!({"SpecialToken": {"id": bos, "type_id": 0}}),
                json!({"Sequence": {"id": "A", "type_id": 0}}),
            ],
            &[],
            &[(bos, id)],
        ),
        _ => byte_level.clone(),
    };
    Ok(Some(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor, "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null,
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
            "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": merges,
        },
    })))
}

/// vocab.txt: BERT's WordPiece.
fn word_piece_json(
    folder: &Path,
    settings: &Settings,
) -> Result<Option<Value>> {
    let Some(text) = read_text(folder, "vocab.txt")? else { return Ok(None) };
    let vocab: Map<String, Value> = text
        .strip_suffix('\n')
        .unwrap_or(&text)
        .split('\n')
        .enumerate()
        .map(|(id, line)| (line.trim_end_matches('\r').to_owned(), json!(id)))
        .collect();
    let defaults = [
        ("unk_token", "[UNK]"),
        ("sep_token", "[SEP]"),
        ("pad_token", "[PAD]"),
        ("cls_token", "[CLS]"),
        ("mask_token", "[MASK]"),
    ];
    let roles: Vec<(&str, &str)> = defaults
        .iter()
        .map(|(role, default)| (*role, settings.token_or(role, default)))
        .collect();
    let id_of = |token: &str| {
        vocab.get(token).and_then(Value::as_u64).ok_or_else(|| {
            Error::invalid(format!("vocab.txt: no special token {token:?}"))
        })
    };
    let (unk, sep, cls) = (roles[0].1, roles[1].1, roles[3].1);
    id_of(unk)?;
    let post_processor = template_json(
        &[
            json!({"SpecialToken": {"id": cls, "type_id": 0}}),
            json!({"Sequence": {"id": "A", "type_id": 0}}),
            json!({"SpecialToken": {"id": sep, "type_id": 0}}),
        ],
        &[json!({"SpecialToken": {"id": sep, "type_id": 1}})],
        &[(cls, id_of(cls)?), (sep, id_of(sep)?)],
    );
    let added = added_tokens_json(&vocab, settings, &roles)?;
    Ok(Some(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true,
            "handle_chinese_chars": settings.flag("tokenize_chinese_chars", true),
            "strip_accents": settings.config.get("strip_accents").and_then(Value::as_bool),
            "lowercase": settings.flag("do_lower_case", true),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": post_processor,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": unk, "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab,
        },
    })))
}

/// tokenizer.model: SentencePiece, as LLaMA's. Also gives the roles' defaults.
fn sentence_piece_json(
    folder: &Path,
    settings: &mut Settings,
) -> Result<Option<Value>> {
    let Some(bytes) = read(folder, "tokenizer.model")? else { return Ok(None) };
    let model = sentencepiece::Model::parse(&bytes)?;
    for (role, token) in [
        ("bos_token", model.bos()),
        ("eos_token", model.eos()),
        ("unk_token", model.unk()),
    ] {
        if let (None, Some(token)) = (settings.token(role), token) {
            settings.special_tokens.insert(role.to_owned(), json!(token));
        }
    }
    let options = sentencepiece::Options {
        add_bos: settings.flag("add_bos_token", model.bos().is_some()),
        add_eos: settings.flag("add_eos_token", false),
        legacy: settings.flag("legacy", true),
    };
    model.to_tokenizer_json(&options).map(Some)
}

fn from_json(name: &str, value: Value) -> Result<tokenizers::Tokenizer> {
    let expected: Vec<(String, u64)> = value
        .get("added_tokens")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|token| {
            Some((
                token.get("content")?.as_str()?.to_owned(),
                token.get("id")?.as_u64()?,
            ))
        })
        .collect();
    let tokenizer: tokenizers::Tokenizer = serde_json::from_value(value)
        .map_err(|e| Error::invalid(format!("{name}: {e}")))?;
    // The library numbers added tokens itself and only logs a difference.
    for (content, id) in expected {
        match tokenizer.token_to_id(&content) {
            Some(got) if u64::from(got) == id => {}
            got => {
                return Err(Error::invalid(format!(
                    "{name}: added token {content:?} says id {id}, but the vocabulary gives {}",
                    got.map_or("none".to_owned(), |got| got.to_string())
                )))
            }
        }
    }
    Ok(tokenizer)
}

/// Tokens that only tokenizer_config.json marks as added or special, as far as
/// the vocabulary has them.
fn add_missing(
    tokenizer: &mut tokenizers::Tokenizer,
    settings: &Settings,
) -> Result<()> {
    let mut tokens: Vec<AddedToken> = Vec::new();
    let known = tokenizer.get_added_tokens_decoder();
    let mut next = known
        .keys()
        .map(|id| *id as usize + 1)
        .max()
        .unwrap_or(0)
        .max(tokenizer.get_vocab_size(false));
    for (id, token) in settings.added_tokens()? {
        if known.contains_key(&id) {
            continue;
        }
        match tokenizer.token_to_id(&token.content) {
            Some(got) if got == id => tokens.push(token),
            None if id as usize == next => {
                tokens.push(token);
                next += 1;
            }
            _ => {
                return Err(Error::invalid(format!(
                "tokenizer_config.json: added token {:?} cannot have id {id}",
                token.content
            )))
            }
        }
    }
    for role in ROLES {
        if let Some(token) = settings.token(role) {
            let is_added = known
                .values()
                .chain(&tokens)
                .any(|added| added.content == token);
            if !is_added && tokenizer.token_to_id(token).is_some() {
                tokens.push(AddedToken::from(token, true));
            }
        }
    }
    tokenizer
        .add_tokens(tokens)
        .map_err(|e| Error::invalid(format!("tokenizer_config.json: {e}")))?;
    Ok(())
}

fn chat_template(
    folder: &Path,
    settings: &Settings,
) -> Result<Option<ChatTemplate>> {
    if let Some(source) = read_text(folder, "chat_template.jinja")? {
        return ChatTemplate::new(&source).map(Some);
    }
    let from_file = read_object(folder, "chat_template.json")?;
    let value = from_file
        .as_ref()
        .and_then(|object| object.get("chat_template"))
        .or_else(|| settings.config.get("chat_template"));
    let source = match value {
        Some(Value::String(source)) => Some(source.as_str()),
        // Several by name; "default" is what a plain conversation uses.
        Some(Value::Array(templates)) => {
            templates.iter().find_map(|template| {
                (template.get("name")?.as_str()? == "default")
                    .then(|| template.get("template")?.as_str())?
            })
        }
        _ => None,
    };
    source.map(ChatTemplate::new).transpose()
}

pub fn load(folder: &str) -> Result<Tokenizer> {
    let path = Path::new(folder);
    if !path.is_dir() {
        return Err(Error::not_found(format!("{folder}: no such folder")));
    }
    let mut settings = Settings {
        config: read_object(path, "tokenizer_config.json")?.unwrap_or_default(),
        special_tokens: read_object(path, "special_tokens_map.json")?
            .unwrap_or_default(),
    };
    let (name, json) = if let Some(bytes) = read(path, "tokenizer.json")? {
        let json = serde_json::from_slice(&bytes)
            .map_err(|e| Error::invalid(format!("tokenizer.json: {e}")))?;
        ("tokenizer.json", json)
    } else if let Some(json) = byte_level_json(path, &settings)? {
        ("vocab.json, merges.txt", json)
    } else if let Some(json) = word_piece_json(path, &settings)? {
        for (role, token) in [
            ("unk_token", "[UNK]"),
            ("sep_token", "[SEP]"),
            ("pad_token", "[PAD]"),
            ("cls_token", "[CLS]"),
            ("mask_token", "[MASK]"),
        ] {
            settings.special_tokens.entry(role).or_insert_with(|| json!(token));
        }
        ("vocab.txt", json)
    } else if let Some(json) = sentence_piece_json(path, &mut settings)? {
        ("tokenizer.model", json)
    } else {
        return Err(Error::not_found(format!(
            "{folder}: no tokenizer.json, vocab.json with merges.txt, vocab.txt or \
             tokenizer.model"
        )));
    };
    let mut inner = from_json(name, json)?;
    add_missing(&mut inner, &settings)?;
    let roles = Roles {
        tokens: ROLES
            .into_iter()
            .filter_map(|role| {
                Some((role.to_owned(), settings.token(role)?.to_owned()))
            })
            .collect(),
    };
    let chat = chat_template(path, &settings)?;
    Tokenizer::new(inner, roles, chat)
}

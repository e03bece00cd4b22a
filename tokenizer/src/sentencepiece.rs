//! Reads a SentencePiece `tokenizer.model` and writes it as a tokenizer.json.
//!
//! The file is a protocol buffer (sentencepiece_model.proto); the few fields
//! that matter here are read by hand. The conversion is that of transformers'
//! `LlamaConverter`, so both give the same merges in the same order.

use std::collections::HashMap;

use serde_json::{json, Value};

use crate::{Error, Result};

const UNIGRAM: u64 = 1;
const BPE: u64 = 2;

/// `ModelProto.SentencePiece.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

pub struct Piece {
    pub text: String,
    pub score: f32,
    pub kind: Kind,
}

/// A `tokenizer.model`; defaults are those of the .proto file.
pub struct Model {
    pub pieces: Vec<Piece>,
    model_type: u64,
    byte_fallback: bool,
    suffix_whitespace: bool,
    bos_id: i64,
    eos_id: i64,
    charsmap: Vec<u8>,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
    escape_whitespaces: bool,
}

/// What tokenizer_config.json has to say about the conversion.
pub struct Options {
    pub add_bos: bool,
    pub add_eos: bool,
    /// transformers' `legacy`: a "▁" before every piece of text between
    /// special tokens, instead of before the first only.
    pub legacy: bool,
}

enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

/// Walks the fields of one protocol buffer message.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) =
                self.rest.split_first().ok_or_else(truncated)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::invalid("tokenizer.model: a number longer than 64 bits"))
    }

    fn take(&mut self, size: u64) -> Result<&'a [u8]> {
        let size = usize::try_from(size).map_err(|_| truncated())?;
        if size > self.rest.len() {
            return Err(truncated());
        }
        let (taken, rest) = self.rest.split_at(size);
        self.rest = rest;
        Ok(taken)
    }

    fn next(&mut self) -> Result<Option<(u64, Field<'a>)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Bytes(self.take(8)?),
            2 => {
                let size = self.varint()?;
                Field::Bytes(self.take(size)?)
            }
            5 => {
                let mut word = [0; 4];
                word.copy_from_slice(self.take(4)?);
                Field::Fixed32(word)
            }
            wire => {
                return Err(Error::invalid(format!(
                    "tokenizer.model: wire type {wire}; this is no SentencePiece model"
                )))
            }
        };
        Ok(Some((key >> 3, field)))
    }
}

fn truncated() -> Error {
    Error::invalid("tokenizer.model: truncated, or no SentencePiece model")
}

fn parse_piece(bytes: &[u8]) -> Result<Piece> {
    let mut piece =
        Piece { text: String::new(), score: 0.0, kind: Kind::Normal };
    let mut reader = Reader { rest: bytes };
    while let Some((number, field)) = reader.next()? {
        match (number, field) {
            (1, Field::Bytes(text)) => {
                piece.text = std::str::from_utf8(text)
                    .map_err(|_| {
                        Error::invalid("tokenizer.model: a piece is not UTF-8")
                    })?
                    .to_owned();
            }
            (2, Field::Fixed32(word)) => piece.score = f32::from_le_bytes(word),
            (3, Field::Varint(kind)) => {
                piece.kind = match kind {
                    1 => Kind::Normal,
                    2 => Kind::Unknown,
                    3 => Kind::Control,
                    4 => Kind::UserDefined,
                    5 => Kind::Unused,
                    6 => Kind::Byte,
                    _ => {
                        return Err(Error::invalid(format!(
                            "tokenizer.model: piece type {kind}"
                        )))
                    }
                }
            }
            _ => {}
        }
    }
    Ok(piece)
}

impl Model {
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut model = Model {
            pieces: Vec::new(),
            model_type: UNIGRAM,
            byte_fallback: false,
            suffix_whitespace: false,
            bos_id: 1,
            eos_id: 2,
            charsmap: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
        };
        let mut reader = Reader { rest: bytes };
        while let Some((number, field)) = reader.next()? {
            match (number, field) {
                (1, Field::Bytes(piece)) => {
                    model.pieces.push(parse_piece(piece)?)
                }
                (2, Field::Bytes(spec)) => model.parse_trainer_spec(spec)?,
                (3, Field::Bytes(spec)) => model.parse_normalizer_spec(spec)?,
                _ => {}
            }
        }
        model.check()?;
        Ok(model)
    }

    fn parse_trainer_spec(&mut self, bytes: &[u8]) -> Result<()> {
        let mut reader = Reader { rest: bytes };
        while let Some((number, field)) = reader.next()? {
            if let Field::Varint(value) = field {
                match number {
                    3 => self.model_type = value,
                    24 => self.suffix_whitespace = value != 0,
                    35 => self.byte_fallback = value != 0,
                    // int32, -1 for none, which a varint holds as 64 bits.
                    41 => self.bos_id = value as i64,
                    42 => self.eos_id = value as i64,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn parse_normalizer_spec(&mut self, bytes: &[u8]) -> Result<()> {
        let mut reader = Reader { rest: bytes };
        while let Some((number, field)) = reader.next()? {
            match (number, field) {
                (2, Field::Bytes(map)) => self.charsmap = map.to_vec(),
                (3, Field::Varint(value)) => self.add_dummy_prefix = value != 0,
                (4, Field::Varint(value)) => {
                    self.remove_extra_whitespaces = value != 0
                }
                (5, Field::Varint(value)) => {
                    self.escape_whitespaces = value != 0
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if self.pieces.is_empty() {
            return Err(Error::invalid("tokenizer.model: no pieces"));
        }
        if self.model_type != UNIGRAM && self.model_type != BPE {
            return Err(Error::unimplemented(format!(
                "tokenizer.model: model type {}; supported are unigram (1) and BPE (2)",
                self.model_type
            )));
        }
        if self.suffix_whitespace || !self.escape_whitespaces {
            return Err(Error::unimplemented(
                "tokenizer.model: treat_whitespace_as_suffix, or escape_whitespaces off, \
                 is not supported",
            ));
        }
        let mut seen = HashMap::new();
        for (id, piece) in self.pieces.iter().enumerate() {
            if piece.text.is_empty() || !piece.score.is_finite() {
                return Err(Error::invalid(format!(
                    "tokenizer.model: piece {id} is empty or has no finite score"
                )));
            }
            if let Some(first) = seen.insert(piece.text.as_str(), id) {
                return Err(Error::invalid(format!(
                    "tokenizer.model: pieces {first} and {id} are the same"
                )));
            }
        }
        Ok(())
    }

    fn unknown(&self) -> Option<usize> {
        self.pieces.iter().position(|p| p.kind == Kind::Unknown)
    }

    /// The text of special piece `id`, if the model has it.
    fn special(&self, id: i64) -> Option<&str> {
        let piece = self.pieces.get(usize::try_from(id).ok()?)?;
        (piece.kind == Kind::Control).then_some(piece.text.as_str())
    }
    pub fn bos(&self) -> Option<&str> {
        self.special(self.bos_id)
    }
    pub fn eos(&self) -> Option<&str> {
        self.special(self.eos_id)
    }
    pub fn unk(&self) -> Option<&str> {
        self.unknown().map(|id| self.pieces[id].text.as_str())
    }

    /// Every way to put a piece together from two, best piece first.
    fn merges(&self) -> Vec<(&str, &str)> {
        let ids: HashMap<&str, usize> = self
            .pieces
            .iter()
            .enumerate()
            .map(|(id, p)| (p.text.as_str(), id))
            .collect();
        let mut merges = Vec::new();
        for piece in &self.pieces {
            // Control pieces never come out of text.
            if matches!(piece.kind, Kind::Control | Kind::Unknown | Kind::Byte)
            {
                continue;
            }
            let mut local: Vec<(usize, usize)> = piece
                .text
                .char_indices()
                .skip(1)
                .filter_map(|(cut, _)| {
                    let (left, right) = piece.text.split_at(cut);
                    Some((*ids.get(left)?, *ids.get(right)?))
                })
                .collect();
            local.sort_unstable();
            merges.extend(local.into_iter().map(|pair| (piece.score, pair)));
        }
        let length = |id: usize| self.pieces[id].text.chars().count();
        // Stable: pieces of equal score stay in the order of their ids.
        merges.sort_by(|(score_a, a), (score_b, b)| {
            score_b
                .total_cmp(score_a)
                .then_with(|| length(b.0).cmp(&length(a.0)))
                .then_with(|| length(b.1).cmp(&length(a.1)))
        });
        merges
            .into_iter()
            .map(|(_, (left, right))| {
                (
                    self.pieces[left].text.as_str(),
                    self.pieces[right].text.as_str(),
                )
            })
            .collect()
    }

    fn model_json(&self) -> Value {
        if self.model_type == BPE {
            let vocab: serde_json::Map<String, Value> = self
                .pieces
                .iter()
                .enumerate()
                .map(|(id, piece)| (piece.text.clone(), json!(id)))
                .collect();
            json!({
                "type": "BPE", "dropout": null, "unk_token": self.unk(),
                "continuing_subword_prefix": null, "end_of_word_suffix": null,
                "fuse_unk": true, "byte_fallback": self.byte_fallback,
                "ignore_merges": false, "vocab": vocab, "merges": self.merges(),
            })
        } else {
            let vocab: Vec<Value> = self
                .pieces
                .iter()
                .map(|piece| json!([piece.text, f64::from(piece.score)]))
                .collect();
            json!({
                "type": "Unigram", "unk_id": self.unknown(), "vocab": vocab,
                "byte_fallback": self.byte_fallback,
            })
        }
    }

    fn post_processor_json(&self, options: &Options) -> Result<Value> {
        let mut single = vec![json!({"Sequence": {"id": "A", "type_id": 0}})];
        let mut pair_second =
            vec![json!({"Sequence": {"id": "B", "type_id": 0}})];
        let mut special_tokens = serde_json::Map::new();
        for (wanted, id, first) in [
            (options.add_bos, self.bos_id, true),
            (options.add_eos, self.eos_id, false),
        ] {
            if !wanted {
                continue;
            }
            let text = self.special(id).ok_or_else(|| {
                Error::invalid(format!(
                    "tokenizer.model: no control piece {id} to add"
                ))
            })?;
            let token = json!({"SpecialToken": {"id": text, "type_id": 0}});
            for sequence in [&mut single, &mut pair_second] {
                sequence.insert(
                    if first { 0 } else { sequence.len() },
                    token.clone(),
                );
            }
            special_tokens.insert(
                text.to_owned(),
                json!({"id": text, "ids": [id], "tokens": [text]}),
            );
        }
        if special_tokens.is_empty() {
            return Ok(Value::Null);
        }
        let mut pair = single.clone();
        pair.extend(pair_second);
        Ok(json!({
            "type": "TemplateProcessing", "single": single, "pair": pair,
            "special_tokens": special_tokens,
        }))
    }

    pub fn to_tokenizer_json(&self, options: &Options) -> Result<Value> {
        let mut normalizers = Vec::new();
        if !self.charsmap.is_empty() {
            normalizers.push(json!({
                "type": "Precompiled", "precompiled_charsmap": base64(&self.charsmap),
            }));
        }
        if self.remove_extra_whitespaces {
            normalizers.push(json!({"type": "Strip", "strip_left": true, "strip_right": true}));
            normalizers.push(
                json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}),
            );
        }
        let mut pre_tokenizer = Value::Null;
        // Unigram's word cache and BPE's merging both want words.
        if options.legacy && self.model_type == BPE {
            if self.add_dummy_prefix {
                normalizers.push(json!({"type": "Prepend", "prepend": "▁"}));
            }
            normalizers
                .push(json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"}));
        } else {
            let scheme = match (self.add_dummy_prefix, options.legacy) {
                (false, _) => "never",
                (true, true) => "always",
                (true, false) => "first",
            };
            pre_tokenizer = json!({
                "type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme,
                "split": false,
            });
        }
        let mut decoders = vec![
            json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        if self.add_dummy_prefix {
            decoders.push(
                json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}),
            );
        }
        let added: Vec<Value> = self
            .pieces
            .iter()
            .enumerate()
            .filter(|(_, p)| {
                matches!(p.kind, Kind::Control | Kind::Unknown | Kind::UserDefined)
            })
            .map(|(id, p)| {
                json!({
                    "id": id, "content": p.text, "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false,
                    "special": p.kind != Kind::UserDefined,
                })
            })
            .collect();
        let normalizer = match normalizers.len() {
            0 => Value::Null,
            _ => json!({"type": "Sequence", "normalizers": normalizers}),
        };
        Ok(json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
            "normalizer": normalizer, "pre_tokenizer": pre_tokenizer,
            "post_processor": self.post_processor_json(options)?,
            "decoder": {"type": "Sequence", "decoders": decoders},
            "model": self.model_json(),
        }))
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] =
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |w, &b| w << 8 | u32::from(b))
            << (8 * (3 - chunk.len()));
        for i in 0..4 {
            out.push(if i <= chunk.len() {
                char::from(ALPHABET[(word >> (18 - 6 * i)) as usize & 63])
            } else {
                '='
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_rfc_4648() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), text);
        }
    }

    #[test]
    fn garbage_is_an_error_not_a_panic() {
        let mut state = 1u32;
        for size in 0..200 {
            let bytes: Vec<u8> = (0..size)
                .map(|_| {
                    state =
                        state.wrapping_mul(1664525).wrapping_add(1013904223);
                    (state >> 24) as u8
                })
                .collect();
            assert!(Model::parse(&bytes).is_err());
        }
    }
}

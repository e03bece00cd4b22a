//! Text to ids and back.
//!
//! Text comes from users, ids decide what the model takes for an instruction:
//! by default no text may turn into a control token ("<|im_start|>", "</s>").
//! Only the text that a chat template adds may.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;

use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::tokenizer::{
    AddedToken, AddedVocabulary, Encoding, Model, NormalizedString, Normalizer,
    OffsetType, PreTokenizedString, PreTokenizer, Token,
};

use crate::chat::ChatTemplate;
use crate::{Error, Result};

/// Longer texts are refused: encoding needs some 100 bytes for each of theirs.
pub const MAX_TEXT_BYTES: usize = 8 << 20;

/// Tokens that the stream decoder holds back for the rest of a character.
const MAX_HELD_TOKENS: usize = 16;

/// Special tokens by role, as tokenizer_config.json names them.
#[derive(Default)]
pub struct Roles {
    /// ("bos_token", "<s>"), ...; also what chat templates see.
    pub tokens: Vec<(String, String)>,
}

impl Roles {
    pub fn get(&self, role: &str) -> Option<&str> {
        self.tokens
            .iter()
            .find(|(name, _)| name == role)
            .map(|(_, token)| token.as_str())
    }
}

/// How encoding treats control tokens that are spelled out in the text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As text.
    Plain,
    /// As the tokens: for trusted text.
    Parse,
    /// As the tokens, unless this character stands in them; it is removed.
    Guarded(char),
}

pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The added tokens, with every control token flagged special: those are
    /// what `encode_special_tokens` makes them skip.
    plain: AddedVocabulary,
    /// The same, all control tokens matched in the raw text, where a guard
    /// character can break them up.
    guarded: AddedVocabulary,
    /// Ids that text must not become, and their spellings.
    control_ids: HashSet<u32>,
    control_texts: Vec<String>,
    /// The control tokens flagged special in the file.
    special_texts: Vec<String>,
    unknown_id: Option<u32>,
    vocab_size: u32,
    pub roles: Roles,
    pub chat: Option<ChatTemplate>,
}

/// Removes the guard character, then normalizes.
struct Unguard<'a> {
    guard: char,
    inner: Option<&'a NormalizerWrapper>,
}

impl Normalizer for Unguard<'_> {
    fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        if text.get().contains(self.guard) {
            text.filter(|c| c != self.guard);
        }
        self.inner.map_or(Ok(()), |inner| inner.normalize(text))
    }
}

/// Whether an added token means something to the model that text should not be
/// able to say. Files flag most of them as special, but not such as Qwen's
/// <tool_call>, which only decoding should keep.
fn is_control(token: &AddedToken) -> bool {
    let text = token.content.as_str();
    token.special
        || (text.len() >= 3
            && text.starts_with('<')
            && text.ends_with('>')
            && !text.contains(char::is_whitespace))
}

fn failed(what: &str, error: impl std::fmt::Display) -> Error {
    Error::invalid(format!("{what}: {error}"))
}

impl Tokenizer {
    pub fn new(
        mut inner: tokenizers::Tokenizer,
        roles: Roles,
        chat: Option<ChatTemplate>,
    ) -> Result<Self> {
        // Some files ask for it; the caller decides on lengths.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| failed("tokenizer", e))?;

        let vocab_size = inner
            .get_vocab(true)
            .values()
            .max()
            .map_or(0, |id| u64::from(*id) + 1);
        if vocab_size == 0 || vocab_size > i32::MAX as u64 {
            return Err(Error::invalid(format!(
                "tokenizer: a vocabulary of {vocab_size}"
            )));
        }
        let mut added: Vec<(u32, AddedToken)> =
            inner.get_added_tokens_decoder().into_iter().collect();
        added.sort_by_key(|(id, _)| *id);
        let control: Vec<&(u32, AddedToken)> =
            added.iter().filter(|(_, token)| is_control(token)).collect();
        let control_ids = control.iter().map(|(id, _)| *id).collect();
        let control_texts: Vec<String> =
            control.iter().map(|(_, token)| token.content.clone()).collect();
        let special_texts = control
            .iter()
            .filter(|(_, token)| token.special)
            .map(|(_, token)| token.content.clone())
            .collect();

        let plain = rebuild(&inner, &added, |token| {
            token.special = is_control(token);
        })?;
        let guarded = rebuild(&inner, &added, |token| {
            if is_control(token) {
                token.normalized = false;
            }
        })?;
        let mut plain = plain;
        plain.set_encode_special_tokens(true);

        let unknown_id =
            roles.get("unk_token").and_then(|token| inner.token_to_id(token));
        Ok(Self {
            inner,
            plain,
            guarded,
            control_ids,
            control_texts,
            special_texts,
            unknown_id,
            vocab_size: vocab_size as u32,
            roles,
            chat,
        })
    }

    /// One more than the largest id.
    pub fn vocab_size(&self) -> u32 {
        self.vocab_size
    }
    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }
    pub fn token_of(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }
    pub fn role_id(&self, role: &str) -> Option<u32> {
        self.roles.get(role).and_then(|token| self.id_of(token))
    }
    pub fn control_texts(&self) -> &[String] {
        &self.control_texts
    }
    pub fn special_texts(&self) -> &[String] {
        &self.special_texts
    }

    /// `add_special` adds what the model wants around every text, such as BOS.
    pub fn encode(
        &self,
        text: &str,
        add_special: bool,
        mode: Mode,
    ) -> Result<Vec<u32>> {
        let encoding = self.encoding(text, mode, 0)?;
        let encoding = self
            .inner
            .post_process(encoding, None, add_special)
            .map_err(|e| failed("encoding", e))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Two texts with what the model wants around them, such as [SEP], and
    /// which of them each id is of: 0 or 1. Text stays text.
    pub fn encode_pair(
        &self,
        first: &str,
        second: &str,
    ) -> Result<(Vec<u32>, Vec<u32>)> {
        let first = self.encoding(first, Mode::Plain, 0)?;
        let second = self.encoding(second, Mode::Plain, 1)?;
        let encoding = self
            .inner
            .post_process(first, Some(second), true)
            .map_err(|e| failed("encoding", e))?;
        Ok((encoding.get_ids().to_vec(), encoding.get_type_ids().to_vec()))
    }

    fn encoding(
        &self,
        text: &str,
        mode: Mode,
        type_id: u32,
    ) -> Result<Encoding> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Error::invalid(format!(
                "a text of {} bytes; at most {MAX_TEXT_BYTES} are encoded at once",
                text.len()
            )));
        }
        let normalizer = self.inner.get_normalizer();
        let mut pieces = match mode {
            Mode::Plain => self.plain.extract_and_normalize(normalizer, text),
            Mode::Parse => self
                .inner
                .get_added_vocabulary()
                .extract_and_normalize(normalizer, text),
            Mode::Guarded(guard) => self.guarded.extract_and_normalize(
                Some(&Unguard { guard, inner: normalizer }),
                text,
            ),
        };
        if let Some(pre_tokenizer) = self.inner.get_pre_tokenizer() {
            pre_tokenizer
                .pre_tokenize(&mut pieces)
                .map_err(|e| failed("encoding", e))?;
        }
        self.tokenize(&mut pieces, mode)?;
        pieces
            .into_encoding(None, type_id, OffsetType::None)
            .map_err(|e| failed("encoding", e))
    }

    /// The model's part. Some vocabularies hold control tokens that the model
    /// itself would put together from their characters (Unigram, or BPE with
    /// whole words first); such a piece is cut there and done again.
    fn tokenize(
        &self,
        pieces: &mut PreTokenizedString,
        mode: Mode,
    ) -> Result<()> {
        let model = self.inner.get_model();
        let unavoidable = Cell::new(None);
        pieces
            .tokenize(|piece| {
                let tokens = model.tokenize(piece.get())?;
                if mode == Mode::Parse || !self.has_control(&tokens) {
                    return Ok(tokens);
                }
                let mut tokens = Vec::new();
                for part in self.cut(piece.get()) {
                    tokens.extend(model.tokenize(part)?);
                }
                if let Some(bad) =
                    tokens.iter().find(|token| self.is_forbidden(token.id))
                {
                    unavoidable.set(Some(bad.id));
                }
                Ok(tokens)
            })
            .map_err(|e| failed("encoding", e))?;
        match unavoidable.get() {
            Some(id) => Err(Error::invalid(format!(
                "the text spells control token {id}, which cannot be written otherwise"
            ))),
            None => Ok(()),
        }
    }

    fn is_forbidden(&self, id: u32) -> bool {
        // Every word that the vocabulary lacks becomes the unknown token.
        Some(id) != self.unknown_id && self.control_ids.contains(&id)
    }
    fn has_control(&self, tokens: &[Token]) -> bool {
        tokens.iter().any(|token| self.is_forbidden(token.id))
    }

    /// `text` in parts, none of which holds a whole control token.
    fn cut<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let mut parts = Vec::new();
        let mut start = 0;
        for (at, c) in text.char_indices() {
            let cut = at + c.len_utf8();
            if cut < text.len() && spells_any(&text[at..], &self.control_texts)
            {
                parts.push(&text[start..cut]);
                start = cut;
            }
        }
        parts.push(&text[start..]);
        parts
    }

    /// Whether decoding passes over the id: a special token that is not to be
    /// seen, or an id that no token has.
    fn is_silent(&self, id: u32, skip_special: bool) -> bool {
        match self.token_of(id) {
            Some(token) => {
                skip_special
                    && self
                        .inner
                        .get_added_vocabulary()
                        .is_special_token(&token)
            }
            None => true,
        }
    }

    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        self.inner.decode(ids, skip_special).map_err(|e| failed("decoding", e))
    }
}

/// Whether one of `tokens` stands at the beginning of `text`.
fn spells_any(text: &str, tokens: &[String]) -> bool {
    tokens.iter().any(|token| text.starts_with(token.as_str()))
}

/// `text` with `guard` inside of every one of `tokens` that it spells.
pub fn guard_text<'a>(
    text: &'a str,
    tokens: &[String],
    guard: char,
) -> Cow<'a, str> {
    if !tokens.iter().any(|token| text.contains(token.as_str())) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 64);
    for (at, c) in text.char_indices() {
        out.push(c);
        if spells_any(&text[at..], tokens) {
            out.push(guard);
        }
    }
    Cow::Owned(out)
}

/// The tokenizer's added tokens, each after `change`, under the same ids.
fn rebuild(
    inner: &tokenizers::Tokenizer,
    added: &[(u32, AddedToken)],
    change: impl Fn(&mut AddedToken),
) -> Result<AddedVocabulary> {
    let mut vocabulary = AddedVocabulary::new();
    let tokens: Vec<AddedToken> = added
        .iter()
        .map(|(_, token)| {
            let mut token = token.clone();
            change(&mut token);
            token
        })
        .collect();
    vocabulary
        .add_tokens(tokens, inner.get_model(), inner.get_normalizer())
        .map_err(|e| failed("tokenizer", e))?;
    for (id, token) in added {
        if vocabulary.token_to_id(&token.content, inner.get_model())
            != Some(*id)
        {
            return Err(Error::invalid(format!(
                "tokenizer: added token {id} is out of order"
            )));
        }
    }
    Ok(vocabulary)
}

/// Decodes ids one at a time into pieces that are valid UTF-8 by themselves:
/// ids that end within a character are held back until the rest comes.
#[derive(Default)]
pub struct DecodeStream {
    /// What may still change the text: `ids[..shown]` is out already and only
    /// context, for a decoder may treat the first token in a special way.
    ids: Vec<u32>,
    shown: usize,
    skip_special: bool,
}

impl DecodeStream {
    pub fn new(skip_special: bool) -> Self {
        Self { skip_special, ..Self::default() }
    }

    pub fn step(&mut self, tokenizer: &Tokenizer, id: u32) -> Result<String> {
        // As context, such ids would hide the tokens before them.
        if tokenizer.is_silent(id, self.skip_special) {
            return Ok(String::new());
        }
        self.ids.push(id);
        self.take(tokenizer, self.ids.len() - self.shown >= MAX_HELD_TOKENS)
    }

    /// The text of what was held back; incomplete characters become U+FFFD.
    pub fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String> {
        let text = self.take(tokenizer, true)?;
        *self = Self::new(self.skip_special);
        Ok(text)
    }

    fn take(&mut self, tokenizer: &Tokenizer, all: bool) -> Result<String> {
        if self.shown == self.ids.len() {
            return Ok(String::new());
        }
        let before =
            tokenizer.decode(&self.ids[..self.shown], self.skip_special)?;
        let after = tokenizer.decode(&self.ids, self.skip_special)?;
        if !all && after.ends_with(char::REPLACEMENT_CHARACTER) {
            return Ok(String::new());
        }
        let piece = match after.strip_prefix(before.as_str()) {
            Some(piece) => piece.to_owned(),
            // A byte that breaks the character before it, which is out.
            None => {
                tokenizer.decode(&self.ids[self.shown..], self.skip_special)?
            }
        };
        if piece.is_empty() && !all {
            // Nothing to see yet: a space that the decoder strips from the
            // front. Stays as context for the next.
            if self.ids.len() < MAX_HELD_TOKENS {
                return Ok(piece);
            }
        }
        self.ids.drain(..self.shown);
        self.shown = self.ids.len();
        Ok(piece)
    }
}

//! Tokenizers and chat templates for Tacit, behind the C interface that
//! `tacit_tokenizer.h` declares.

mod chat;
mod ffi;
mod load;
mod sentencepiece;
mod tokenizer;

/// Why a call failed: a code of Abseil's, and a message for people.
#[derive(Debug)]
pub struct Error {
    pub code: Code,
    pub message: String,
}

/// The values are those of `absl::StatusCode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Code {
    InvalidArgument = 3,
    NotFound = 5,
    Unimplemented = 12,
    Internal = 13,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { code: Code::InvalidArgument, message: message.into() }
    }
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { code: Code::NotFound, message: message.into() }
    }
    pub fn unimplemented(message: impl Into<String>) -> Self {
        Self { code: Code::Unimplemented, message: message.into() }
    }
    pub fn internal(message: impl Into<String>) -> Self {
        Self { code: Code::Internal, message: message.into() }
    }
}
